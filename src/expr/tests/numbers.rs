//! Numbers: never a wrong value. An error is allowed.

use std::cmp::Ordering;

use proptest::prelude::*;

use super::*;

const BIG: &str = r#"{"big": 18446744073709551616, "neg": -9223372036854775809, "huge": 1e400, "lone": "\ud800x",
    "list": [1, 18446744073709551616, "\udfff"], "zero": -0, "ok": 1, "key": {"\ud800": 1}, "max": 9223372036854775807,
    "two53": 9007199254740993, "umax": 18446744073709551615, "double": 9007199254740992.0}"#;

#[test]
fn what_is_not_representable_is_an_error_and_never_a_value() {
    for text in [
        "payload.body.big == 18446744073709551615u",
        "payload.body.big == payload.body.big",
        "payload.body.big != 1",
        "payload.body.big > 0",
        "payload.body.neg < 0",
        "payload.body.big + 1",
        "1 + payload.body.big",
        "-payload.body.big",
        "double(payload.body.big)",
        "string(payload.body.big)",
        "payload.body.huge > 1.0",
        "payload.body.lone == 'x'",
        "payload.body.lone + 'x'",
        "size(payload.body.lone)",
        "payload.body.lone.contains('x')",
        "payload.body.big in [1, 2]",
        "'x' in payload.body.list",
        "payload.body.list == [1, 2, 'x']",
        "payload.body.key == {}",
        "payload.body.big",
        "[payload.body.huge]",
    ] {
        let error = eval_on(BIG, text).expect_err(text);
        assert!(error.contains("not representable"), "{text}: {error}");
    }
    for (text, expected) in [
        ("has(payload.body.big) && payload.body.ok == 1", json!(true)),
        ("1 in payload.body.list", json!(true)),
        ("payload.body.list[0] == 1 && size(payload.body.list) == 3", json!(true)),
        ("payload.body.list == [2, 2, 2]", json!(false)),
        ("payload.body.zero == 0", json!(true)),
        ("payload.body.zero", json!(0)),
    ] {
        assert_eq!(eval_on(BIG, text), Ok(expected), "{text}");
    }
    // Printed, it is exact.
    assert_eq!(render_on(BIG, "{{ payload.body.big }}").as_deref(), Ok("18446744073709551616"));
    assert_eq!(render_on(BIG, "{{ payload.body.huge }}").as_deref(), Ok("1e400"));
    assert_eq!(
        render_on(BIG, "{{ payload.body.list }}").as_deref(),
        Ok(r#"[1,18446744073709551616,"\udfff"]"#)
    );
    assert!(render_on(BIG, "{{ payload.body.lone }}").is_err());
}

#[test]
fn numbers_compare_by_their_exact_value_where_the_library_rounds() {
    use cel::common::types::{CelDouble, CelInt};
    use cel::common::value::Val;
    // What is fenced: if the library learns to do this, the fence may go.
    assert!(
        CelInt::from((1 << 53) + 1).equals(&CelDouble::from(9_007_199_254_740_992.0)),
        "cel rounds no more"
    );
    for (text, expected) in [
        ("payload.body.two53 == payload.body.double", false),
        ("payload.body.two53 > payload.body.double", true),
        ("payload.body.double in [9007199254740993]", false),
        ("[payload.body.two53] == [payload.body.double]", false),
        ("{'a': payload.body.two53} == {'a': payload.body.double}", false),
        ("payload.body.?two53 == payload.body.?double", false),
        ("payload.body.two53 != payload.body.double", true),
        ("payload.body.max == 9223372036854775808.0", false),
        ("payload.body.umax == 18446744073709551615u", true),
        ("payload.body.umax > payload.body.max && payload.body.umax > -1", true),
        ("payload.body.umax < 18446744073709551616.0", true),
        ("1 == 1u && 1u == 1.0 && 1 == 1.0", true),
        ("[1, 2u, 3.0] == [1.0, 2, 3u]", true),
        ("{1: 'a'} == {1u: 'a'}", true),
        (
            "double('1.5') == 1.5 && double(1u) == 1 && double(payload.body.double) == payload.body.double",
            true,
        ),
    ] {
        assert_eq!(eval_on(BIG, text), Ok(json!(expected)), "{text}");
    }
    for text in [
        "payload.body.max + 1",
        "payload.body.umax + 1u",
        "0u - 1u",
        "-(-9223372036854775807 - 1)",
        "payload.body.max * 2",
        "1 / 0",
        "1 % 0",
        "(-9223372036854775807 - 1) / -1",
        "1.0 / 0.0",
        "1e308 * 10.0",
        "0.0 / 0.0",
        "payload.body.umax + payload.body.max",
        "1 + 1.0",
        "int(9223372036854775808.0)",
        "int(payload.body.umax)",
        "uint(-1)",
        "double('NaN') == 1.0",
        "double('inf') == double('1e400')",
        "double(true)",
    ] {
        assert!(eval_on(BIG, text).is_err(), "{text}");
    }
}

/// A number as JSON text, as an expression could spell it, and what it is: an integer or a double.
#[derive(Debug, Clone)]
enum Spelled {
    Integer(i128),
    Double(f64),
}

impl Spelled {
    fn json(&self) -> String {
        match self {
            Self::Integer(integer) => integer.to_string(),
            Self::Double(double) => format!("{double:e}"),
        }
    }

    /// Exact: every double here is a whole number of halves below 2^120, or is compared by way of its bits.
    fn compare(&self, other: &Self) -> Ordering {
        let (left, right) = (self.parts(), other.parts());
        // mantissa * 2^exponent, both brought to the smaller exponent; too far apart, the sign and the size decide.
        let exponent = left.1.min(right.1);
        let scaled = |(mantissa, from): (i128, i32)| {
            let shift = (from - exponent) as u32;
            if mantissa == 0 {
                Some(0)
            } else if shift < mantissa.unsigned_abs().leading_zeros().saturating_sub(1) {
                Some(mantissa << shift)
            } else {
                None
            }
        };
        match (scaled(left), scaled(right)) {
            (Some(left), Some(right)) => left.cmp(&right),
            (None, _) => left.0.cmp(&0),
            (_, None) => 0.cmp(&right.0),
        }
    }

    fn parts(&self) -> (i128, i32) {
        match self {
            Self::Integer(integer) => (*integer, 0),
            Self::Double(double) => {
                let bits = double.to_bits();
                let (sign, exponent) = (if bits >> 63 == 1 { -1 } else { 1 }, ((bits >> 52) & 0x7ff) as i32);
                let fraction = i128::from(bits & ((1 << 52) - 1));
                let mantissa = if exponent == 0 { fraction } else { fraction | (1 << 52) };
                (sign * mantissa, exponent.max(1) - 1075)
            }
        }
    }
}

fn integers() -> impl Strategy<Value = i128> {
    let near = [0_i128, 1 << 52, 1 << 53, 1 << 62, 1 << 63, 1 << 64, -(1 << 53), -(1 << 63), 1 << 70];
    prop_oneof![
        -3_i128..4,
        any::<i64>().prop_map(i128::from),
        any::<u64>().prop_map(i128::from),
        (proptest::sample::select(near.to_vec()), -3_i128..4).prop_map(|(near, by)| near + by),
    ]
}

fn numbers() -> impl Strategy<Value = Spelled> {
    prop_oneof![
        integers().prop_map(Spelled::Integer),
        integers().prop_map(|integer| Spelled::Double(integer as f64)),
        integers().prop_map(|integer| Spelled::Double(integer as f64 + 0.5)),
        any::<f64>().prop_filter("JSON has it", |double| double.is_finite()).prop_map(Spelled::Double),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn comparisons_are_those_of_exact_arithmetic(a in numbers(), b in numbers()) {
        let body = format!(r#"{{"a": {}, "b": {}}}"#, a.json(), b.json());
        let order = a.compare(&b);
        for (operator, expected) in [
            ("==", order.is_eq()), ("!=", order.is_ne()), ("<", order.is_lt()),
            ("<=", order.is_le()), (">", order.is_gt()), (">=", order.is_ge()),
        ] {
            if let Ok(found) = eval_on(&body, &format!("payload.body.a {operator} payload.body.b")) {
                prop_assert_eq!(found, json!(expected), "{} {}", &body, operator);
            } else {
                let beyond = |number: &Spelled| matches!(number, Spelled::Integer(integer)
                    if i64::try_from(*integer).is_err() && u64::try_from(*integer).is_err());
                prop_assert!(beyond(&a) || beyond(&b), "{} {}: an error without need", &body, operator);
            }
        }
    }

    #[test]
    fn arithmetic_on_integers_is_exact_or_an_error(a in integers(), b in integers()) {
        let body = format!(r#"{{"a": {a}, "b": {b}}}"#);
        for (operator, expected) in [
            ("+", a.checked_add(b)), ("-", a.checked_sub(b)), ("*", a.checked_mul(b)),
            ("/", a.checked_div(b)), ("%", a.checked_rem(b)),
        ] {
            if let Ok(found) = eval_on(&body, &format!("payload.body.a {operator} payload.body.b")) {
                prop_assert_eq!(Some(found.to_string()), expected.map(|exact| exact.to_string()), "{} {}", &body, operator);
            } else if let (Ok(_), Ok(_), Some(Ok(_))) =
                (i64::try_from(a), i64::try_from(b), expected.map(i64::try_from))
            {
                // The remainder of what overflows when divided: 0 would be right.
                prop_assert!(a == i64::MIN.into() && b == -1, "{} {}: an error without need", &body, operator);
            }
        }
    }

    #[test]
    fn numbers_are_printed_as_they_are(a in numbers()) {
        let body = format!(r#"{{"a": {}}}"#, a.json());
        let printed = render_on(&body, "{{ payload.body.a }}").unwrap();
        match a {
            Spelled::Integer(integer) => prop_assert_eq!(printed, integer.to_string()),
            Spelled::Double(double) => prop_assert_eq!(printed.parse::<f64>().unwrap(), double),
        }
    }
}
