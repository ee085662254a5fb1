//! Limits: what is too much is refused with a reason, soon.

use std::time::{Duration, Instant};

use super::*;

#[test]
fn values_that_are_too_large_are_refused_where_they_are_named() {
    let many = format!(r#"{{"list": [{}1], "ok": 1}}"#, "1,".repeat(NODES_MAX));
    let long = format!(r#"{{"text": "{}", "ok": 1}}"#, "x".repeat(TEXT_BYTES_MAX));
    let longer = format!(r#"{{"text": "{}", "ok": 1}}"#, "x".repeat(TEXT_BYTES_MAX + 1));
    let deep = format!(r#"{{"deep": {}{}, "ok": 1}}"#, "[".repeat(DEPTH_MAX + 1), "]".repeat(DEPTH_MAX + 1));
    let deepest = format!(r#"{{"deep": {}{}, "ok": 1}}"#, "[".repeat(1000), "]".repeat(1000));
    for (body, text, expected) in [
        (&many, "size(payload.body.list)", "payload.body.list holds more than 10000 values"),
        (&many, "payload.body", "payload.body holds more than 10000 values"),
        (&longer, "size(payload.body.text)", "payload.body.text holds more than 1048576 bytes of text"),
        (&deep, "size(payload.body.deep)", "payload.body.deep is nested deeper than 32 levels"),
        (&deepest, "size(payload.body.deep)", "payload.body.deep is nested deeper than 32 levels"),
    ] {
        let error = eval_on(body, text).expect_err(text);
        assert!(error.contains(expected), "{text}: {error}");
        assert_eq!(eval_on(body, "payload.body.ok"), Ok(json!(1)), "what is beside it can be named");
    }
    assert_eq!(eval_on(&many, "payload.body.list[9999] == 1 && has(payload.body.list)"), Ok(json!(true)));
    assert_eq!(eval_on(&deepest, "!payload.body.?deep[?0][0].x.hasValue()"), Ok(json!(true)));
    assert_eq!(eval_on(&long, "payload.body.text.startsWith('x')"), Ok(json!(true)));
}

#[test]
fn work_is_bounded_whatever_the_body_holds() {
    let list = (0..4000).map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(",");
    let text = "ab".repeat(200_000);
    let objects = format!("[{}]", vec![r#"{"a":[1,2,3],"b":"x"}"#; 900].join(","));
    let body = format!(r#"{{"list": [{list}], "text": "{text}", "objects": {objects}}}"#);
    for text in [
        "payload.body.list.all(a, payload.body.list.all(b, payload.body.list.all(c, a + b != c)))",
        "payload.body.list.all(a, payload.body.list.all(b, a != b || a == b))",
        "payload.body.list.map(a, payload.body.list.map(b, [a, b])).size() > 0",
        "payload.body.list.map(a, payload.body.text + a).size() > 0",
        "payload.body.list.all(a, !payload.body.text.contains(a))",
        "payload.body.list.all(a, payload.body.text.matches('(a|b)*c') == false)",
        "payload.body.list.all(a, payload.body.list == payload.body.list)",
        "payload.body.list.all(a, payload.body.objects == payload.body.objects)",
        "payload.body.list.all(a, [payload.body.objects, payload.body.objects].size() == 2)",
        "payload.body.list.all(a, {'x': payload.body.objects}.size() == 1)",
        "payload.body.list.all(a, a in payload.body.list)",
        "payload.body.list.all(a, payload.body.text.split('a').size() > 1)",
        "payload.body.list.map(a, payload.body.text.replace('a', 'bb')).size() > 1",
        "payload.body.list.map(a, payload.body.text.upperAscii()).size() > 1",
        "payload.body.objects.map(a, payload.body.objects).map(b, b.map(c, c)).size() > 1",
        "payload.body.text.split('').size() > 1",
        "payload.body.text.replace('', payload.body.text).size() > 1",
        "payload.body.list.map(a, payload.body.list).map(l, l.join(payload.body.text)).size() > 1",
    ] {
        let condition = Condition::compile(text).unwrap();
        let slot = slot("/", "", body.as_bytes(), true);
        let start = Instant::now();
        let result = condition.eval(&Event::new(&slot, &Source::named("w")), &Variables::new());
        let took = start.elapsed();
        // In a build without optimization on a busy machine; the figures in docs/expressions.md are of a release build.
        assert!(took < Duration::from_secs(10), "{text} took {took:?}: {result:?}");
        assert!(result.is_err(), "{text}: {result:?} after {took:?}");
    }
    // And what is reasonable is not refused.
    for text in [
        "payload.body.list.exists(a, a == '3999') && !payload.body.list.exists(a, a == 'x')",
        "payload.body.objects.all(o, o.a.exists(n, n == 3) && o.b == 'x')",
        "payload.body.text.matches('^[ab]*$') && payload.body.text.size() == 400000",
        "payload.body.list.filter(a, a.endsWith('7')).size() == 400",
        "['1', '77', '3999'].all(a, a in payload.body.list)",
    ] {
        assert_eq!(eval_on(&body, text), Ok(json!(true)), "{text}");
    }
}

#[test]
fn a_template_renders_to_so_much_and_no_more() {
    let body = format!(r#"{{"text": "{}"}}"#, "x".repeat(TEXT_BYTES_MAX / 2));
    assert_eq!(
        render_on(&body, "{{ payload.body.text }}{{ payload.body.text }}").unwrap().len(),
        TEXT_BYTES_MAX
    );
    let error = render_on(&body, "a{{ payload.body.text }}{{ payload.body.text }}").unwrap_err();
    assert!(error.contains("larger than"), "{error}");
    let holes = "{{ 1 }}".repeat(HOLES_MAX);
    assert!(Template::compile(&holes).is_ok());
    assert!(Template::compile(&(holes + "{{ 1 }}")).is_err());
    assert!(Template::compile(&"x".repeat(TEMPLATE_BYTES_MAX + 1)).is_err());
}
