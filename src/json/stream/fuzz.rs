//! The validator against the oracle and serde_json, however the text is cut.

use serde::de::IgnoredAny;

use super::{Validator, validate};
use crate::json::naive;
use crate::json::verdict::{Facts, Invalid, InvalidKind};

/// Longer texts are cut at every so many bytes only, so that the fuzzer is not slowed down by its own long inputs.
const EVERY_CUT_BYTES_MAX: usize = 256;

/// Asserts that the validator says of `data` what [`naive::validate`] says, fed whole, cut in two at every byte, and
/// byte by byte; that it says so with the bad byte itself; and that serde_json does not know better.
///
/// Known differences of serde_json: skipping (`IgnoredAny`) does not check the digits of `\u` escapes and knows no
/// limit of depth, nor does it check UTF-8, so it is given a `str`; it may accept more, never less.
///
/// # Panics
/// When they do not agree.
pub fn fuzz_stream(data: &[u8]) {
    // The fuzzer's build tries the ways that a better CPU than needed has; elsewhere the caller chooses.
    #[cfg(all(fuzzing, target_arch = "x86_64"))]
    super::dispatch::ways::every_way(|| check(data));
    #[cfg(not(all(fuzzing, target_arch = "x86_64")))]
    check(data);
}

fn check(data: &[u8]) {
    let wanted = naive::validate(data);
    assert_eq!(validate(data), wanted, "as a whole");
    let step = 1 + data.len() / EVERY_CUT_BYTES_MAX;
    for cut in (0..=data.len()).step_by(step) {
        let (first, second) = data.split_at(cut);
        assert_eq!(fed([first, second], wanted), wanted, "cut at {cut}");
        let mut validator = Validator::new();
        let judged = validator.feed(first).and_then(|()| validator.finish_with(second));
        assert_eq!(judged, wanted, "the last piece from {cut} on");
    }
    for piece in [1, 3, 64, 65] {
        assert_eq!(fed(data.chunks(piece), wanted), wanted, "in pieces of {piece}");
    }

    let skipped =
        std::str::from_utf8(data).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    match wanted {
        Ok(_) => assert!(skipped, "serde_json skips every valid document"),
        Err(invalid) => {
            let known = matches!(invalid.kind, InvalidKind::Escape | InvalidKind::TooDeep);
            assert!(!skipped || known, "serde_json skips what is {invalid}");
        }
    }
}

/// Feeds pieces one by one. A bad byte must be reported with the piece that holds it; only what may be a byte order
/// mark waits for its third byte.
fn fed<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    wanted: Result<Facts, Invalid>,
) -> Result<Facts, Invalid> {
    let mut validator = Validator::new();
    let mut seen = 0;
    for piece in pieces {
        seen += piece.len();
        validator.feed(piece)?;
        if let Err(invalid) = wanted {
            let is_mark_or_end = invalid.offset == 0 && seen < 3;
            assert!(invalid.offset >= seen || is_mark_or_end, "{invalid} is not seen within {seen} bytes");
        }
    }
    validator.finish()
}
