//! Expressions over events: the same for a body with a tape and for its exact text.

mod limits;
mod mistakes;
mod numbers;

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::buffer::{Budget, Pool};
use crate::event::{EventIds, Reads, Slot, Source};
use crate::http::head::HeadReader;
use crate::json::{Parser, validate};

/// An event with this target and these header lines; with a tape if `reads` and if its body has one.
fn slot(target: &str, headers: &str, body: &[u8], reads: bool) -> Slot {
    let pool = Pool::new(Arc::new(Budget::new(1 << 30)));
    let head = format!("POST {target} HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
    let mut slot = Slot::new();
    HeadReader::default().read(head.as_bytes(), &mut slot.head).expect("a head");
    let mut buf = pool.take(head.len() + body.len()).unwrap();
    buf.extend_from_slice(head.as_bytes());
    buf.extend_from_slice(body);
    slot.body = head.len()..buf.len();
    slot.buf = Some(buf);
    slot.suffix = slot.head.path;
    slot.received_at_ms = 1_700_000_000_123;
    slot.id = EventIds::new(0).next(slot.received_at_ms);
    if !body.is_empty() {
        slot.facts = validate(body).expect("a document");
    }
    if reads {
        slot.build_value(Reads { value_up_to: usize::MAX, text: true }, &mut Parser::new());
    }
    slot
}

const TARGET: &str = "/hook/x?env=prod&tag=a&tag=b&n%5Bx%5D=1&sp=a+b";
const HEADERS: &str =
    "X-GitHub-Event: push\r\nX-Two: 1\r\nx-two: 2\r\nAuthorization: s\r\nX-Latin: \u{e9}\r\n";
const BODY: &str = r#"{
    "type": "invoice.paid", "a-b": 1, "n": 18446744073709551615, "neg": -5, "f": 0.5, "yes": true, "nothing": null,
    "ref": "refs/heads/main", "text": "caf\u00e9 \"x\"", "in": 3, "dup": 1, "dup": {"x": 2},
    "items": [{"sku": "a", "qty": 1, "tags": ["t"]}, {"sku": "b", "qty": 20, "tags": []}],
    "ids": [1, 2, 3], "nested": {"b": {"c": "deep"}}, "empty": {}, "key": "a-b"
}"#;

fn variables() -> Variables {
    let variables = Variables::new();
    variables.set("count", json!(41)).unwrap();
    variables.set("orders_a-b", json!({"last": [1, 2]})).unwrap();
    variables
}

/// Evaluates an expression for the event of this page, both ways, and wants one answer.
#[track_caller]
fn eval_on(body: &str, text: &str) -> Result<serde_json::Value, String> {
    let expression = Expression::compile(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let source = Source::named("orders");
    let mut answers = [true, false].map(|reads| {
        let slot = slot(TARGET, HEADERS, body.as_bytes(), reads);
        expression.eval(&Event::new(&slot, &source), &variables()).map_err(|error| error.to_string())
    });
    assert_eq!(answers[0], answers[1], "{text}: by the tape, by the text");
    std::mem::replace(&mut answers[0], Ok(json!(null)))
}

#[track_caller]
fn eval(text: &str) -> Result<serde_json::Value, String> {
    eval_on(BODY, text)
}

#[track_caller]
fn render(text: &str) -> Result<String, String> {
    render_on(BODY, text)
}

#[track_caller]
fn render_on(body: &str, text: &str) -> Result<String, String> {
    let template = Template::compile(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let source = Source::named("orders");
    let [tape, exact] = [true, false].map(|reads| {
        let slot = slot(TARGET, HEADERS, body.as_bytes(), reads);
        let mut out = "before ".to_owned();
        let rendered = template.render(&Event::new(&slot, &source), &variables(), &mut out);
        assert!(rendered.is_ok() || out == "before ", "{text}: {out} stays of a failure");
        rendered.map(|()| out[7..].to_owned()).map_err(|error| error.to_string())
    });
    assert_eq!(tape, exact, "{text}: by the tape, by the text");
    tape
}

#[test]
fn paths_lead_to_what_an_event_holds() {
    for (text, expected) in [
        ("payload.body.type", json!("invoice.paid")),
        (r#"payload["body"]["a-b"]"#, json!(1)),
        ("payload.body.n", json!(u64::MAX)),
        ("payload.body.nothing", json!(null)),
        ("payload.body.text", json!("café \"x\"")),
        ("payload.body.dup.x", json!(2)),
        ("payload.body.items[1].qty", json!(20)),
        ("payload.body.items[0u].tags", json!(["t"])),
        ("payload.body.items[0]", json!({"sku": "a", "qty": 1, "tags": ["t"]})),
        ("payload.body.nested.b.c", json!("deep")),
        ("payload.body.empty", json!({})),
        ("payload.body[payload.body.key]", json!(1)),
        ("payload.body.items[payload.body.ids[0]].sku", json!("b")),
        ("payload.query.env", json!("prod")),
        ("payload.query.tag", json!(["a", "b"])),
        ("payload.query.tag[1]", json!("b")),
        ("payload.query.n.x", json!("1")),
        ("payload.query.sp", json!("a b")),
        ("payload.query", json!({"env": "prod", "tag": ["a", "b"], "n": {"x": "1"}, "sp": "a b"})),
        (r#"payload.headers["x-github-event"]"#, json!("push")),
        (r#"payload.headers["x-two"]"#, json!(["1", "2"])),
        (r#"payload.headers["x-two"][1]"#, json!("2")),
        (r#"payload.headers["x-" + "two"][0]"#, json!("1")),
        (r#"payload.headers["x-latin"]"#, json!("é")),
        ("payload.path", json!("/hook/x")),
        ("payload.method", json!("POST")),
        ("webhook", json!("orders")),
        ("received_at", json!("2023-11-14T22:13:20.123Z")),
        ("size(id)", json!(36)),
        ("variables.count", json!(41)),
        (r#"variables["orders_" + payload.body.key].last[1]"#, json!(2)),
        (r#"variables["orders_a-b"].last"#, json!([1, 2])),
    ] {
        assert_eq!(eval(text), Ok(expected), "{text}");
    }
    let all = eval("payload.headers").unwrap();
    assert_eq!(all, json!({"host": "h", "x-github-event": "push", "x-two": ["1", "2"], "x-latin": "é"}));
    assert_eq!(eval_on("", "payload.body"), Ok(json!({})));
    assert_eq!(eval_on(" [ 1 , 2 ] ", "payload.body[1]"), Ok(json!(2)));
    assert_eq!(eval_on(" 7\n", "payload.body + 1"), Ok(json!(8)));
}

#[test]
fn what_is_missing_or_of_the_wrong_type_is_named() {
    for (text, expected) in [
        ("payload.body.x", "payload.body.x is missing"),
        ("payload.body.x.y.z", "payload.body.x is missing"),
        ("payload.body.items[2]", "payload.body.items[2] is missing"),
        ("payload.body.type.x", "payload.body.type is a string, not an object"),
        ("payload.body.nothing.x", "payload.body.nothing is null, not an object"),
        ("payload.body.items.sku", "payload.body.items is a list, not an object"),
        ("payload.body.nested[0]", "payload.body.nested is an object, not a list"),
        ("payload.body.n.x", "payload.body.n is a number, not an object"),
        (r#"payload.body["a b"]"#, "payload.body[\"a b\"] is missing"),
        ("payload.query.nope", "payload.query.nope is missing"),
        ("payload.query.env.x", "payload.query.env is a string, not an object"),
        ("payload.headers.authorization", "payload.headers.authorization is missing"),
        ("variables.nope", "variables.nope is missing"),
        (r#"variables["no" + "pe"]"#, "there is no field `variables[\"nope\"]`"),
        ("payload.body.type + 1", "`+` is not for values of the types string, int"),
        ("payload.body.type < 1", "`<` is not for values of the types string, int"),
        ("!payload.body.type", "`!` is not for values of the types string"),
        ("payload.body.items[5 + 5]", "an index is beyond the end of its list"),
        ("size(payload.body.yes)", "`size` is not for values of the types bool"),
        ("payload.body.items.map(i, i.nope)", "there is no field `nope`"),
        ("payload.body.yes ? payload.body.x : 1", "payload.body.x is missing"),
    ] {
        assert_eq!(eval(text), Err(expected.to_owned()), "{text}");
    }
}

#[test]
fn conditions_are_met_or_not_and_what_decides_need_not_be_there() {
    for (text, expected) in [
        (r#"payload.body.type == "invoice.paid" && payload.query.env == "prod""#, true),
        (r#"payload.body.type == "invoice.paid" && payload.query.env == "test""#, false),
        ("payload.body.x == 1 || true", true),
        ("payload.body.x == 1 && false", false),
        ("true || payload.body.x", true),
        ("has(payload.body.type) && !has(payload.body.x)", true),
        ("has(payload.body.nested.b.c) && !has(payload.body.type.x) && !has(payload.body.x.y)", true),
        ("has(payload.body.nothing)", true),
        ("has(payload.query.env) && !has(payload.query.x)", true),
        ("has(payload.headers.host) && !has(payload.headers.authorization)", true),
        ("has(variables.count) && !has(variables.x)", true),
        (r#""orders_a-b" in variables && !("x" in variables)"#, true),
        (r#"payload.headers[?"x-two"].hasValue() && "x-two" in payload.headers"#, true),
        ("payload.body.items.exists(i, i.qty > 10 && i.sku == 'b')", true),
        ("payload.body.items.all(i, i.qty > 10)", false),
        ("payload.body.items.exists_one(i, size(i.tags) == 1)", true),
        ("payload.body.items.exists(payload, payload.sku == 'a')", true),
        ("payload.body.ids.exists(id, id == 2) && id != '2'", true),
        ("payload.body.ids.exists(webhook, webhook == 2) && webhook == 'orders'", true),
        (
            "payload.body.items.exists(i, i.sku == 'b' && payload.body.ids.exists(j, j == 3 && i.qty == 20))",
            true,
        ),
        ("payload.body.items.exists(i, has(i.qty) && !has(i.x))", true),
        ("2 in payload.body.ids && !(4 in payload.body.ids) && 'c' in payload.body.nested.b", true),
        ("payload.body.ids == [1, 2, 3] && payload.body.ids != [1, 2]", true),
        ("payload.body.nested == {'b': {'c': 'deep'}}", true),
        ("payload.body.ref.startsWith('refs/heads/') && payload.body.ref.endsWith('main')", true),
        (r#"payload.body.ref.matches("^refs/(heads|tags)/m.*n$") && matches(webhook, "^o")"#, true),
        ("payload.body.?x.y.orValue(1) == 1 && payload.body.?neg.orValue(1) == -5", true),
        ("!payload.body.?x.hasValue() && payload.body.items[?7].?sku.orValue('none') == 'none'", true),
        ("payload.body.?neg.optMap(x, x + 6).orValue(0) == 1", true),
        ("type(payload.body.neg) == int && type(payload.body.type) == string", true),
        ("payload.body.type == 1 || payload.body.yes != 'yes'", true),
        ("received_at > '2023-01-01' && received_at < '2024'", true),
    ] {
        let condition = Condition::compile(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let source = Source::named("orders");
        for reads in [true, false] {
            let slot = slot(TARGET, HEADERS, BODY.as_bytes(), reads);
            assert_eq!(condition.eval(&Event::new(&slot, &source), &variables()), Ok(expected), "{text}");
        }
    }
    for (text, expected) in [
        ("payload.body.type", "the condition is of type string, not bool"),
        ("payload.body.yes && payload.body.x", "payload.body.x is missing"),
    ] {
        let slot = slot(TARGET, HEADERS, BODY.as_bytes(), true);
        let condition = Condition::compile(text).unwrap();
        let error = condition.eval(&Event::new(&slot, &Source::named("orders")), &variables()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn functions_do_what_their_names_say() {
    for (text, expected) in [
        ("payload.body.text.size()", json!(8)),
        ("size(payload.body.items) + size(payload.body.nested)", json!(3)),
        ("payload.body.type.upperAscii()", json!("INVOICE.PAID")),
        ("'ÀB'.lowerAscii()", json!("Àb")),
        ("'  a '.trim()", json!("a")),
        ("payload.body.ref.substring(11)", json!("main")),
        ("payload.body.text.substring(3, 5)", json!("é ")),
        ("payload.body.ref.replace('refs/', '')", json!("heads/main")),
        ("payload.body.ref.split('/')", json!(["refs", "heads", "main"])),
        ("payload.body.items.map(i, i.sku).join('+')", json!("a+b")),
        ("payload.body.items.filter(i, i.qty > 10).map(i, i.sku)", json!(["b"])),
        ("['a', 'b'].join()", json!("ab")),
        ("string(payload.body.neg) + string(1.5) + string(true)", json!("-51.5true")),
        ("int('12') + int(1.9)", json!(13)),
        ("double(1) / 2.0", json!(0.5)),
        ("[1] + payload.body.ids", json!([1, 1, 2, 3])),
        ("payload.body.ids + [payload.body.f]", json!([1, 2, 3, 0.5])),
        ("{'b': 1, 'a': payload.body.ids}", json!({"a": [1, 2, 3], "b": 1})),
        ("payload.body.yes ? 'y' : 'n'", json!("y")),
    ] {
        assert_eq!(eval(text), Ok(expected), "{text}");
    }
    for text in [
        "'abc'.substring(4)",
        "'abc'.substring(2, 1)",
        "'abc'.substring(-1)",
        "'a'.split('')",
        "[1].join()",
        "int('x')",
    ] {
        assert!(eval(text).is_err(), "{text}");
    }
    assert_eq!(eval("{1: 2}"), Err("the result is an object with a key that is not a string".to_owned()));
    assert_eq!(eval("b'x'"), Err("the result is of type bytes, which JSON does not have".to_owned()));
}

#[test]
fn templates_are_text_with_holes() {
    for (text, expected) in [
        ("", ""),
        ("plain } text }} { 'x", "plain } text }} { 'x"),
        ("{{ payload.body.type }}", "invoice.paid"),
        ("a {{payload.body.neg}} b {{ payload.body.yes }}{{payload.body.nothing}}", "a -5 b truenull"),
        ("{{ payload.body.f }} {{ 1.0 }} {{ payload.body.n }}", "0.5 1.0 18446744073709551615"),
        ("{{ payload.body.text }}", "café \"x\""),
        ("{{ payload.body.nested }}", r#"{"b":{"c":"deep"}}"#),
        ("{{ payload.body.items }}", r#"[{"qty":1,"sku":"a","tags":["t"]},{"qty":20,"sku":"b","tags":[]}]"#),
        (r#"{{ "{{" }} and {{ '}}' }}"#, "{{ and }}"),
        ("{{ {'a': {'b': '}}'}} }}", r#"{"a":{"b":"}}"}}"#),
        (r#"{{ "\"}}" }}{{ r"\" }}"#, r#""}}\"#),
        ("{{ payload.body.?x.orValue('none') }}", "none"),
        ("{{ has(payload.body.x) ? payload.body.x : 'none' }}", "none"),
        ("{{ payload.body.ref.substring(11) }}@{{ webhook }}", "main@orders"),
    ] {
        assert_eq!(render(text).as_deref(), Ok(expected), "{text}");
    }
    assert_eq!(render("a {{ payload.body.x }}"), Err("payload.body.x is missing".to_owned()));
    assert!(
        Template::compile("a {{ '}}' }}")
            .is_ok_and(|template| !template.is_constant() && !template.reads_body())
    );
    assert!(Template::compile("a }}").is_ok_and(|template| template.is_constant()));
    assert!(Template::compile("a {{ payload.body }}").is_ok_and(|template| template.reads_body()));
}

#[test]
fn what_reads_the_body_says_so() {
    for (text, expected) in [
        ("payload.body.x == 1", true),
        ("has(payload.body.x)", true),
        ("payload.query.x == '1' && webhook == 'w'", false),
        ("[1].exists(payload, payload == 1)", false),
        ("payload.query.x == '1' || payload[\"body\"].y", true),
    ] {
        assert_eq!(Condition::compile(text).unwrap().reads_body(), expected, "{text}");
        assert_eq!(Expression::compile(text).unwrap().reads_body(), expected, "{text}");
    }
}

#[test]
fn what_is_compiled_and_what_is_kept_goes_between_threads() {
    fn send<T: Send>() {}
    fn shared<T: Send + Sync>() {}
    send::<Condition>();
    send::<Expression>();
    send::<Template>();
    shared::<Variables>();
}
