//! Mistakes in the configuration: what they are called, and at which column.

use super::*;

#[test]
fn a_mistake_is_named_with_its_column() {
    for (text, column, message) in [
        ("", 1, "there is no expression"),
        ("payload.body.a ==", 18, "the expression ends too early"),
        ("'é' == payload.body.a &&", 25, "the expression ends too early"),
        ("payload.body.a == é", 19, "token recognition error"),
        ("'é' == 'é' && foo", 15, "unknown name `foo`"),
        ("true &&\n  foo", 11, "unknown name `foo`"),
        ("true &&\n 'é' == 1 1", 19, "extraneous input '1'"),
        ("body.type == 'x'", 1, "did you mean payload.body.type?"),
        ("true && headers['x-a'] == 'x'", 9, "did you mean payload.headers[\"x-a\"]?"),
        ("payload.headers['X-A'] == 'x'", 1, "payload.headers[\"x-a\"]"),
        ("payload.boddy.x == 1", 1, "payload has body, query, headers, path and method"),
        ("payload == 1", 1, "name a part of it"),
        ("payload[webhook] == 1", 1, "name a part of it"),
        ("size(variables) == 1", 6, "variables.NAME"),
        ("webhook.name == 'x'", 1, "webhook is a string and has no fields"),
        (".payload.x == 1", 2, "unknown name"),
        ("frob(1)", 5, "unknown function `frob`"),
        ("payload.body.x.frob()", 20, "unknown function `frob`"),
        ("size()", 5, "`size` is not called with 0 arguments"),
        ("'a'.contains('b', 'c')", 13, "write value.contains(argument)"),
        ("contains('a', 'b')", 9, "write value.contains(argument)"),
        ("'a'.matches(webhook)", 13, "must be a literal"),
        ("'a'.matches('(')", 13, "bad pattern"),
        ("payload.body.all(payload.x, true)", 25, "argument must be a simple name"),
        ("Foo{a: 1} == 1", 4, "messages are not supported"),
        ("payload.body.x == 9223372036854775808", 19, "invalid int literal"),
        ("payload.body.x == 1e400", 19, "invalid double literal"),
        ("has(payload.headers['x-a'])", 20, "`has` takes a field"),
        ("1 + 1", 1, "a condition must be a bool"),
        ("'true'", 1, "a condition must be a bool"),
        ("webhook", 1, "a condition must be a bool, this is a string"),
        ("payload.body.x.lowerAscii()", 1, "a condition must be a bool"),
        ("size(payload.body)", 1, "a condition must be a bool"),
        ("payload.body.?x", 1, "orValue(false)"),
        ("[true]", 1, "a condition must be a bool"),
    ] {
        let error = Condition::compile(text).expect_err(text);
        assert!(error.message.contains(message), "{text}: {error}");
        assert_eq!(error.column, column, "{text}: {error}");
    }
}

#[test]
fn a_mistake_in_a_template_counts_from_its_start() {
    for (text, column, message) in [
        ("é {{ ", 3, "does not end"),
        ("é {{ '}}", 3, "does not end"),
        ("é {{ }}", 5, "there is no expression"),
        ("é {{ 1 }} {{ foo }}", 14, "unknown name `foo`"),
        ("{{ {{ 1 }} }}", 9, "mismatched input '}'"),
    ] {
        let error = Template::compile(text).expect_err(text);
        assert!(error.message.contains(message), "{text}: {error}");
        assert_eq!(error.column, column, "{text}: {error}");
    }
}

#[test]
fn what_would_overflow_a_stack_is_refused_and_what_is_allowed_does_not() {
    let deep = |open: &str, inner: &str, close: &str, n: usize| open.repeat(n) + inner + &close.repeat(n);
    // Threads of the standard library have two megabytes.
    let results = std::thread::Builder::new().stack_size(512 * 1024).spawn(move || {
        for n in [1, 20, 24, 25, 60, 95, 100, 150, 250, 255, 500, 1000, 2000] {
            for text in [
                deep("(", "1", ")", n),
                deep("[", "1", "]", n),
                deep("{1:", "1", "}", n),
                deep("size(", "'a'", ")", n),
                deep("!", "true", "", n),
                deep("- ", "1", "", n),
                deep("", "1", "+1", n),
                deep("", "'a'", "+'a'", n),
                deep("", "true", "&&true", n),
                deep("true?1:", "1", "", n),
                deep("", "payload.body", ".a", n),
                deep("", "payload.body", "[0]", n),
                deep("", "[[]]", "[0]", n),
                deep("[1].map(x,", "x", ")", n),
                deep("", "[1]", ".map(x,x)", n),
                deep("", "'a'", ".trim()", n),
                deep("'", "a", "'", n),
                deep("\"\"\"", "a", "", n),
            ] {
                if let Ok(expression) = Expression::compile(&text) {
                    let slot = slot("/", "", b"{}", true);
                    let _ = expression.eval(&Event::new(&slot, &Source::named("w")), &Variables::new());
                }
            }
        }
        assert!(Expression::compile(&deep("(", "1", ")", 24)).is_ok());
        assert!(Expression::compile(&deep("", "1", "+1", 46)).is_ok());
        assert!(Expression::compile(&deep("", "true", "&&true", 250)).is_ok());
        assert!(Expression::compile(&deep("(", "1", ")", 25)).is_err());
    });
    results.unwrap().join().unwrap();
    assert!(Expression::compile(&format!("'{}'", "a".repeat(EXPRESSION_BYTES_MAX - 2))).is_ok());
    assert!(Expression::compile(&format!("'{}'", "a".repeat(EXPRESSION_BYTES_MAX - 1))).is_err());
}
