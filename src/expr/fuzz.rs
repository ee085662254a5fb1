//! What the fuzzer runs: an expression and a body, and two ways from one to the other that must agree.

use std::sync::Arc;

use super::{Condition, Expression, Template, Variables};
use crate::buffer::{Budget, Pool};
use crate::event::{Event, Reads, Slot, Source};
use crate::json::{Parser, validate};

/// Compiles the text before the first NUL as a condition, as an expression and as a template, and evaluates what can be
/// for an event with the body behind it: by the body's tape, and by its exact text.
///
/// # Panics
/// When the two differ, when an expression answers something else the second time, when a mistake has no place in the
/// text.
pub fn fuzz_expression(input: &[u8]) {
    let (text, body) = match memchr::memchr(0, input) {
        Some(end) => (&input[..end], &input[end + 1..]),
        None => (input, &b""[..]),
    };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let places = 1..=text.chars().count() + 1;
    let condition = Condition::compile(text).inspect_err(|mistake| assert!(places.contains(&mistake.column)));
    let expression =
        Expression::compile(text).inspect_err(|mistake| assert!(places.contains(&mistake.column)));
    let template = Template::compile(text).inspect_err(|mistake| assert!(places.contains(&mistake.column)));
    assert!(expression.is_ok() || condition.is_err(), "a condition is an expression");
    if expression.is_err() && template.as_ref().map_or(true, Template::is_constant) {
        return;
    }

    let body = if validate(body).is_ok() { body } else { b"" };
    let (source, variables) = (Source::named("w"), Variables::new());
    let _ = variables.set("n", 1.into());
    let [tape, exact, again] = [true, false, true].map(|reads| {
        let slot = slot(body, reads);
        let event = Event::new(&slot, &source);
        (
            condition.as_ref().ok().map(|condition| condition.eval(&event, &variables)),
            expression.as_ref().ok().map(|expression| expression.eval(&event, &variables)),
            template.as_ref().ok().map(|template| {
                let mut out = String::new();
                template.render(&event, &variables, &mut out).map(|()| out)
            }),
        )
    });
    assert_eq!(tape, exact, "by the tape, by the text");
    assert_eq!(tape, again, "the first time, the second time");
    if let (Some(Ok(met)), _, _) = &tape {
        assert_eq!(tape.1.as_ref().and_then(|value| value.as_ref().ok()), Some(&(*met).into()));
    }
}

/// An event with this body, judged, and with nothing in its head; with a value if `reads` and there is one.
fn slot(body: &[u8], reads: bool) -> Slot {
    let mut slot = Slot::new();
    let pool = Pool::new(Arc::new(Budget::new(1 << 30)));
    let Ok(mut buf) = pool.take(body.len()) else { return slot };
    buf.extend_from_slice(body);
    slot.body = 0..buf.len();
    slot.buf = Some(buf);
    slot.facts = validate(body).unwrap_or_default();
    if reads {
        slot.build_value(Reads { value_up_to: usize::MAX, text: true }, &mut Parser::new());
    }
    slot
}
