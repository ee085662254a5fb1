//! In which order events run, and on which worker.

use super::support::{DRIVERS, Driver, Setup};
use super::{eventually, post, webhook};

/// Three workers, four senders with ten keys each: the events of each key stand in its file in the order they were sent,
/// and none is lost when the server is told to stop at once.
#[test]
fn events_of_one_key_stay_in_order_over_many_workers() {
    let trigger = "id = \"t\"\nkey = \"payload.body.k\"\nnodes = [{ type = \"file\", path = \"k{{ payload.body.k }}.out\" }]";
    for driver in DRIVERS {
        let setup = Setup::new(driver).argument("--workers").argument(3).argument("--cores").argument(2);
        let server = setup.more(&webhook(&[trigger.to_owned()])).start();
        std::thread::scope(|scope| {
            for sender in 0..4 {
                let mut client = server.connect();
                scope.spawn(move || {
                    for number in 0..500 {
                        let body = format!("{{\"k\":{},\"n\":{number}}}", sender * 10 + number * 7 % 10);
                        assert_eq!(client.call(post("", "", &body)).status, 200, "{driver:?}");
                    }
                });
            }
        });
        let stopped = server.stop();
        assert_eq!(stopped.status.code(), Some(0), "{}", stopped.stderr);
        for key in 0..40 {
            let text = std::fs::read_to_string(stopped.directory.path().join(format!("k{key}.out"))).unwrap();
            let numbers: Vec<u64> = text
                .lines()
                .map(|line| {
                    let line: serde_json::Value = serde_json::from_str(line).unwrap();
                    line["payload"]["body"]["n"].as_u64().unwrap()
                })
                .collect();
            let sent: Vec<u64> = (0..500).filter(|n| n * 7 % 10 == key % 10).collect();
            assert_eq!(numbers, sent, "key {key} on {driver:?}");
        }
    }
}

/// Commands that take longer the earlier they come would end in the wrong order, were it not for `ordered`.
#[test]
fn an_ordered_trigger_waits_for_each_command() {
    let script = "sleep 0.0$((9 - $1)); echo $1 >> order.out";
    let trigger = format!(
        "id = \"t\"\nordered = true\nnodes = [{{ type = \"exec\", command = [\"sh\", \"-c\", {script:?}, \"sh\", \"{{{{ payload.body }}}}\"], env = [\"PATH\"] }}]"
    );
    let server = Setup::new(Driver::Uring).more(&webhook(&[trigger])).start();
    let mut client = server.connect();
    for number in 0..9 {
        assert_eq!(client.call(post("", "", &number.to_string())).status, 200);
    }
    let path = server.directory.path().join("order.out");
    let text = eventually("all of them", || {
        std::fs::read_to_string(&path).ok().filter(|text| text.lines().count() == 9)
    });
    assert_eq!(text.split_whitespace().collect::<String>(), "012345678");
}
