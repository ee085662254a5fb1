//! Variables: what they keep, who sees them, and that they survive.

use super::support::{DRIVERS, Driver, Setup};
use super::{ID, counts, eventually, post, webhook};

#[test]
fn variables_count_and_decide_and_survive_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let triggers = [
        r#"id = "count"
nodes = [
  { type = "variable", name = "orders_{{ payload.body.customer }}", increment = 1 },
  { type = "variable", name = "total", increment = "payload.body.amount" },
  { type = "variable", name = "last", set = "payload.body.customer + '!'" },
]"#,
        r#"id = "loyal"
when = 'variables["orders_" + payload.body.customer] >= 3'
nodes = [{ type = "file", path = "loyal-{{ variables.last }}.out" }]"#,
        r#"id = "forget"
when = 'has(payload.body.forget)'
nodes = [{ type = "variable", name = "orders_{{ payload.body.forget }}", delete = true }]"#,
    ];
    let text = webhook(&triggers.map(str::to_owned));
    let order = |customer: &str| post("", "", &format!("{{\"customer\":{customer:?},\"amount\":10}}"));
    let mut loyal = 0;
    for (round, driver) in DRIVERS.into_iter().enumerate() {
        let server = Setup::new(driver).data_dir(data.path()).more(&text).start();
        let mut client = server.connect();
        for (customer, number) in ["acme", "bob", "acme"].into_iter().zip(1..) {
            assert_eq!(client.call(order(customer)).status, 200);
            // A template sees the variables as they are when its node runs: here, before the next event changes them.
            eventually("it has run", || {
                let (count, loyal) = (counts(&server, "count"), counts(&server, "loyal"));
                let (events, skipped) = (loyal["events"].as_u64()?, loyal["skipped"].as_u64()?);
                let all = count["nodes"][2]["runs"] == number && events + skipped == number;
                (all && loyal["nodes"][0]["runs"] == events).then_some(())
            });
        }
        let stopped = server.stop();
        assert_eq!(stopped.status.code(), Some(0), "{}", stopped.stderr);
        let kept = std::fs::read_to_string(data.path().join(format!("variables/{ID}.json"))).unwrap();
        let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
        let count = 2 * (round as u64 + 1);
        let text = kept.to_string();
        assert!(text.contains(&format!("\"orders_acme\":{count}")), "{text}");
        assert!(text.contains(&format!("\"total\":{}", 30 * (round + 1))), "{text}");
        // The third order of acme comes in the second life.
        let lines = std::fs::read_to_string(stopped.directory.path().join("loyal-acme!.out"));
        loyal += lines.map_or(0, |lines| lines.lines().count());
    }
    assert_eq!(loyal, 2, "the third and the fourth");
    let server = Setup::new(Driver::Uring).data_dir(data.path()).more(&text).start();
    assert_eq!(server.connect().call(post("", "", "{\"forget\":\"acme\"}")).status, 200);
    eventually("the deletion", || (counts(&server, "forget")["nodes"][0]["runs"] == 1).then_some(()));
    // Saved while it runs, within a second or so.
    let path = data.path().join(format!("variables/{ID}.json"));
    eventually("the file", || {
        (!std::fs::read_to_string(&path).unwrap().contains("orders_acme")).then_some(())
    });
}

#[test]
fn a_damaged_file_of_variables_is_refused_by_name() {
    let data = tempfile::tempdir().unwrap();
    std::fs::create_dir(data.path().join("variables")).unwrap();
    std::fs::write(data.path().join(format!("variables/{ID}.json")), "{\"orders\":").unwrap();
    let trigger = "id = \"t\"\nnodes = [{ type = \"discard\" }]".to_owned();
    let (mut process, _directory) =
        Setup::new(Driver::Uring).data_dir(data.path()).more(&webhook(&[trigger])).spawn();
    let status = process.wait(super::PATIENCE);
    let said = process.stderr.text();
    assert_eq!(status.code(), Some(74), "{said}");
    assert!(said.contains(&format!("{ID}.json")) && !said.contains("panicked"), "{said}");
}
