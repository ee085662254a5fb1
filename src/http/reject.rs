//! Why a request is refused: the table of every refusal, one constant each, with its status, its stable `code`
//! and the sentence that tells the sender what to do. The sender's fault is a [`Reject`]; ours never leaks out.

/// One row of the table of answers.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    /// HTTP status code.
    pub status: u16,
    /// Stable machine-readable name, the `code` member of the problem document.
    pub code: &'static str,
    /// What is wrong and what to do about it, for a person.
    pub detail: &'static str,
    /// Whether the connection must close because it is in doubt where the next request starts.
    pub close: bool,
}

/// A refusal: the row of the table, and where it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reject {
    /// The row.
    pub problem: &'static Problem,
    /// Offset of the first bad byte of the body, where there is one.
    pub offset: Option<u64>,
}

impl Reject {
    /// The same refusal, naming the byte of the body at which it was seen.
    pub fn at(self, offset: u64) -> Self {
        Self { offset: Some(offset), ..self }
    }
}

impl From<&'static Problem> for Reject {
    fn from(problem: &'static Problem) -> Self {
        Self { problem, offset: None }
    }
}

macro_rules! problems {
    ($($(#[$doc:meta])* $name:ident = $status:literal $code:literal $fate:ident $detail:literal;)*) => {
        $($(#[$doc])* pub static $name: Problem =
            Problem { status: $status, code: $code, detail: $detail, close: problems!(@$fate) };)*
        /// Every row, for tests and documentation.
        pub static ALL: &[&Problem] = &[$(&$name),*];
    };
    (@close) => { true };
    (@keep) => { false };
}

problems! {
    // The head: framing is in doubt from here on, so each closes.
    /// RFC 9112 §2.2, §3, §5: not an HTTP/1.x head.
    BAD_HEAD = 400 "bad_head" close "The request head is not valid HTTP/1.1.";
    /// RFC 9112 §2.2: a recipient may refuse a lone LF; a proxy in front could read it otherwise.
    BARE_LF = 400 "bare_lf" close "Lines of the head must end with CRLF, a lone LF is refused.";
    /// RFC 9112 §3: the target holds bytes that a URI cannot hold, or a bad percent-encoding.
    BAD_TARGET = 400 "bad_target" close "The request target is not a valid URI path and query.";
    /// RFC 9112 §3.2: exactly one valid Host.
    BAD_HOST = 400 "bad_host" close "Send exactly one valid Host header.";
    /// RFC 9112 §6.3: Content-Length is not one plain decimal number.
    BAD_CONTENT_LENGTH = 400 "bad_content_length" close "Send one Content-Length, a plain decimal number.";
    /// RFC 9112 §6.1: both framings at once is a request smuggling attempt.
    LENGTH_AND_TRANSFER_ENCODING = 400 "length_and_transfer_encoding" close "Send either Content-Length or Transfer-Encoding, not both.";
    /// RFC 9112 §6.1: chunked must be the final coding, once, without parameters; and not in HTTP/1.0.
    BAD_TRANSFER_ENCODING = 400 "bad_transfer_encoding" close "Transfer-Encoding must be exactly `chunked`, in HTTP/1.1 only.";
    /// RFC 9112 §6.1: a transfer coding that is not understood.
    UNKNOWN_TRANSFER_ENCODING = 501 "unknown_transfer_encoding" close "The only transfer coding understood is `chunked`.";
    /// RFC 9110 §9.1: a method that is not implemented.
    UNKNOWN_METHOD = 501 "unknown_method" close "This method is not implemented; use POST or GET.";
    /// RFC 9110 §15.6.6.
    BAD_VERSION = 505 "http_version" close "Only HTTP/1.1 and HTTP/1.0 are understood.";
    /// RFC 9110 §15.5.15.
    TARGET_TOO_LONG = 414 "target_too_long" close "The request line is longer than 16 KiB.";
    /// RFC 6585 §5: one line over 16 KiB, the head over 64 KiB, or over 100 fields.
    HEAD_TOO_LARGE = 431 "head_too_large" close "The header fields are too large or too many.";
    /// RFC 9112 §8: the connection ended inside a request.
    TRUNCATED = 400 "truncated" close "The connection ended before the request was complete.";
    /// RFC 9110 §15.5.9: the head did not arrive in time.
    HEAD_TIMEOUT = 408 "head_timeout" close "The request head did not arrive in time.";

    // Admission: decided on the head alone.
    /// No webhook with this id; the same answer for any unknown id.
    UNKNOWN_WEBHOOK = 404 "unknown_webhook" keep "No webhook is installed at this URL.";
    /// RFC 9110 §15.5.6.
    METHOD_NOT_ALLOWED = 405 "method_not_allowed" keep "A webhook takes POST, GET and OPTIONS.";
    /// Fetch: a browser whose origin is not on the webhook's list.
    ORIGIN_NOT_ALLOWED = 403 "origin_not_allowed" keep "This webhook does not accept requests from this browser origin.";
    /// The secret is missing, wrong, or was sent twice.
    BAD_SECRET = 401 "bad_secret" keep "Send the webhook's secret once in the header x-bp-secret.";
    /// RFC 9110 §10.1.1.
    BAD_EXPECTATION = 417 "bad_expectation" close "The only expectation understood is 100-continue.";
    /// RFC 9110 §15.5.14.
    BODY_TOO_LARGE = 413 "body_too_large" close "The body is larger than this webhook accepts.";

    /// RFC 9110 §15.5.16: a coding that is not understood; the answer says which are (§12.5.3).
    UNSUPPORTED_CODING = 415 "unsupported_coding" keep "Send the body without a Content-Encoding.";

    // The body.
    /// RFC 9112 §7.1: a chunk size, extension, line end or trailer is malformed.
    BAD_CHUNK = 400 "bad_chunk" close "The chunked body is malformed.";
    /// RFC 9112 §7.1.2: trailers beyond the budget of the head.
    TRAILERS_TOO_LARGE = 431 "trailers_too_large" close "The trailers are too large or too many.";
    /// RFC 9110 §15.5.9: the body did not arrive in time.
    BODY_TIMEOUT = 408 "body_timeout" close "The body did not arrive in time.";
    /// RFC 8259: `offset` is the first bad byte.
    INVALID_JSON = 400 "invalid_json" keep "The body is not one valid JSON document (RFC 8259).";
    /// RFC 8259 §9: our limit on nesting.
    JSON_TOO_DEEP = 400 "json_too_deep" keep "The JSON document is nested deeper than 1024 levels.";

    /// A bug of ours.
    INTERNAL = 500 "internal" keep "The server failed to handle this request; it is not the sender's fault.";

    // Ours: the sender may try again later.
    /// The event queue stayed full.
    QUEUE_FULL = 503 "queue_full" keep "The server is at its limit, try again later.";
    /// Events wait for a trigger of the webhook, and more may not.
    TRIGGER_BEHIND = 503 "trigger_behind" keep "What this webhook does with its events takes longer than they come, try again later.";
    /// The byte budget has no room for this body.
    OVER_BUDGET = 503 "over_budget" close "The server is at its memory limit, try again later.";
    /// The server is shutting down.
    DRAINING = 503 "draining" close "The server is shutting down, try again later.";
    /// The server has as many connections as it allows.
    TOO_MANY_CONNECTIONS = 503 "too_many_connections" close "The server has too many connections, try again later.";
}
