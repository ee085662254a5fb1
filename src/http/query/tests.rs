//! The query parser against what the real qs answered, and against its own rules.

use super::*;
use proptest::prelude::*;

/// What qs answered to some hundreds of queries; how they were made stands in the file.
#[test]
fn the_real_qs_says_so() {
    let file: Value = serde_json::from_str(include_str!("../../../tests/fixtures/qs-vectors.json")).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert!(vectors.len() > 500);
    let wrong: Vec<_> = vectors
        .iter()
        .filter(|vector| parse(vector[0].as_str().unwrap().as_bytes()) != vector[1])
        .map(|vector| {
            format!("{} is {}, not {}", vector[0], vector[1], parse(vector[0].as_str().unwrap().as_bytes()))
        })
        .collect();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    vectors.iter().for_each(|vector| fuzz_query(vector[0].as_str().unwrap().as_bytes()));
}

fn check(query: &str, expected: &str) {
    fuzz_query(query.as_bytes());
    assert_eq!(parse(query.as_bytes()), serde_json::from_str::<Value>(expected).unwrap(), "{query}");
}

/// The ones a reader wants to see.
#[test]
fn what_qs_does() {
    check("", "{}");
    check("a=1&b=2", r#"{"a":"1","b":"2"}"#);
    check("a=1&a=2", r#"{"a":["1","2"]}"#);
    check("a[]=1&a[]=2", r#"{"a":["1","2"]}"#);
    check("a[1]=b&a[0]=c", r#"{"a":["c","b"]}"#);
    check("a[20]=x", r#"{"a":["x"]}"#);
    check("a[21]=x", r#"{"a":{"21":"x"}}"#);
    check("a[b][c]=1", r#"{"a":{"b":{"c":"1"}}}"#);
    check("a[b][c][d][e][f][g][h]=1", r#"{"a":{"b":{"c":{"d":{"e":{"f":{"[g][h]":"1"}}}}}}}"#);
    check("a", r#"{"a":""}"#);
    check("=1", "{}");
    check("a=1=2", r#"{"a":"1=2"}"#);
    check("a;b=1", r#"{"a;b":"1"}"#);
    check("a.b=1", r#"{"a.b":"1"}"#);
    check("a=1,2", r#"{"a":"1,2"}"#);
    check("a=%zz", r#"{"a":"%zz"}"#);
    check("a=+b%20c", r#"{"a":" b c"}"#);
    check("a%5Bb%5D=1", r#"{"a":{"b":"1"}}"#);
    check("a=1&a[b]=2", r#"{"a":["1",{"b":"2"}]}"#);
    check("a[b]=1&a=2", r#"{"a":{"2":true,"b":"1"}}"#);
    check("__proto__[x]=1&constructor=1", "{}");
    check("a[=1", r#"{"a[":"1"}"#);
    check("a]b=1", r#"{"a]b":"1"}"#);
    check("[]=1", r#"{"0":"1"}"#);
    check("a[][b]=1&a[][b]=2", r#"{"a":[{"b":["1","2"]}]}"#);
}

/// Every vector cut at every byte, also inside an escape and inside a character.
#[test]
fn any_beginning_of_a_query_is_a_query() {
    for query in ["a[b][]=1&a[b][c]=%C3%A9&=2&a[0]=x", "a%5B0%5D=+é%zz&a[1][b]=2&a=3&__proto__=4"] {
        (0..=query.len()).for_each(|end| fuzz_query(&query.as_bytes()[..end]));
    }
}

#[test]
fn a_plain_parameter_is_found_without_parsing() {
    for (query, name, expected) in [
        ("env=prod", "env", Some(Some("prod"))),
        ("a=1&env=x=y&b", "env", Some(Some("x=y"))),
        ("a=1&env", "env", Some(Some(""))),
        ("a=1&env=", "env", Some(Some(""))),
        ("", "env", Some(None)),
        ("envx=1&xenv=2", "env", Some(None)),
        ("env=1&env=2", "env", None),
        ("env=1&other=a+b", "env", None),
        ("env=1&%65nv=2", "env", None),
        ("env=1&env[a]=2", "env", None),
        ("toString=1", "toString", None),
        ("=1", "", None),
    ] {
        assert_eq!(plain(query.as_bytes(), name), expected, "{query}");
        fuzz_query(query.as_bytes());
    }
}

#[test]
fn bytes_that_are_not_utf8() {
    assert_eq!(parse(b"a=\xFF&\xC3(=%41"), serde_json::json!({"a": "\u{FFFD}", "\u{FFFD}(": "A"}));
}

#[test]
fn only_the_first_thousand_parameters_count() {
    let query = (0..1005).map(|number| format!("k{number}=1")).collect::<Vec<_>>().join("&");
    let parsed = parse(query.as_bytes());
    assert_eq!(parsed.as_object().map(Map::len), Some(1000));
    assert!(parsed.get("k999").is_some() && parsed.get("k1000").is_none());
    assert_eq!(parse(&[&b"&".repeat(1000)[..], b"a=1"].concat()), Value::Object(Map::new()));
}

/// Queries made to blow up, at the length a request line may have: what is made of them is bounded by what they are.
#[test]
fn hostile_queries_stay_small() {
    for piece in [
        "a[]=&",
        "a&",
        "[",
        "]",
        "a[",
        "a[]",
        "a[20]=1&",
        "a[][]=1&",
        "%",
        "%41",
        "[][][][][][][]=&",
        "a[b]&a=c&",
    ] {
        let query = piece.repeat((16 << 10) / piece.len());
        fuzz_query(query.as_bytes());
        assert!(parse(query.as_bytes()).to_string().len() <= 8 * query.len(), "{piece}");
    }
}

proptest! {
    #[test]
    fn any_bytes(query in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz_query(&query);
    }

    #[test]
    fn any_query(pieces in proptest::collection::vec(proptest::sample::select(
        &["a", "b", "0", "1", "20", "21", "[", "]", "[]", "[0]", "[1]", "[a]", "=", "&", "&a", "&a[b]=", "+", "%", "%41", "%5B", "%5D", "%C3", "%A9", "é", "toString"][..]), 0..60)) {
        fuzz_query(pieces.concat().as_bytes());
    }
}
