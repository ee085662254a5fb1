//! Queries as `qs` 6.11 reads them, through the whole server: the same vectors as beside the code, here to show that
//! no byte of them is lost or refused on the way to the event.

use serde_json::Value;

use crate::support::server::OPEN;
use crate::support::{DRIVERS, Server};

const VECTORS: &[(&str, &str)] = &[
    ("a=1&b=2", r#"{"a":"1","b":"2"}"#),
    ("a=1&a=2", r#"{"a":["1","2"]}"#),
    ("a[]=1&a[]=2", r#"{"a":["1","2"]}"#),
    ("a[1]=b&a[0]=c", r#"{"a":["c","b"]}"#),
    ("a[20]=x", r#"{"a":["x"]}"#),
    ("a[21]=x", r#"{"a":{"21":"x"}}"#),
    ("a[b][c]=1", r#"{"a":{"b":{"c":"1"}}}"#),
    ("a[b][c][d][e][f][g][h]=1", r#"{"a":{"b":{"c":{"d":{"e":{"f":{"[g][h]":"1"}}}}}}}"#),
    ("a", r#"{"a":""}"#),
    ("=1", "{}"),
    ("", "{}"),
    ("&&", "{}"),
    ("a=1=2", r#"{"a":"1=2"}"#),
    ("a;b=1", r#"{"a;b":"1"}"#),
    ("a.b=1", r#"{"a.b":"1"}"#),
    ("a=1,2", r#"{"a":"1,2"}"#),
    ("a=%zz", r#"{"a":"%zz"}"#),
    ("a=+b%20c", r#"{"a":" b c"}"#),
    ("a%5Bb%5D=1", r#"{"a":{"b":"1"}}"#),
    ("a=1&a[b]=2", r#"{"a":["1",{"b":"2"}]}"#),
    ("a[b]=1&a=2", r#"{"a":{"2":true,"b":"1"}}"#),
    ("__proto__[x]=1&constructor=1", "{}"),
    ("a[=1", r#"{"a[":"1"}"#),
    ("a]b=1", r#"{"a]b":"1"}"#),
    ("[]=1", r#"{"0":"1"}"#),
    ("a[][b]=1&a[][b]=2", r#"{"a":[{"b":["1","2"]}]}"#),
    ("a=%22%5C%0A%00", r#"{"a":"\"\\\n\u0000"}"#),
    ("a=%c3%a9", r#"{"a":"é"}"#),
];

#[test]
fn queries_reach_the_event_as_qs_reads_them() {
    for driver in DRIVERS {
        let server = Server::start(driver);
        let mut client = server.connect();
        for (query, _) in VECTORS {
            client.send(format!("GET /{OPEN}?{query} HTTP/1.1\r\nHost: h\r\n\r\n"));
        }
        let ids: Vec<String> = VECTORS.iter().map(|_| client.answer().event_id().to_owned()).collect();
        // 1005 parameters: the first 1000 count.
        let many: String = (0..1005).map(|i| format!("p{i}=1&")).collect();
        let last =
            client.call(format!("GET /{OPEN}?{many} HTTP/1.1\r\nHost: h\r\n\r\n")).event_id().to_owned();

        let events = server.finish();
        for ((query, expected), id) in VECTORS.iter().zip(&ids) {
            let expected: Value = serde_json::from_str(expected).expect("a vector is JSON");
            assert_eq!(events.get(id).at("/query"), Some(&expected), "{query} on {driver:?}");
        }
        let parameters = events.get(&last).at("/query").and_then(Value::as_object).map(serde_json::Map::len);
        assert_eq!(parameters, Some(1000), "{driver:?}");
    }
}
