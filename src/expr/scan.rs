//! As much of the language's grammar as it takes to tell strings from brackets: for the bounds of an expression, and for
//! the end of a hole in a template.

/// What matters of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// `(`, `[` or `{`.
    Open,
    /// `)`, `]` or `}`.
    Close,
    /// Any other punctuation than a comma.
    Operator,
    /// A string, a comment, a name, a number, a comma, white space.
    Other,
}

/// Tokens with the byte each starts at. Any text has tokens: what is wrong with it is for the parser to say.
pub(super) struct Scanner<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Scanner<'t> {
    pub fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }
}

impl Iterator for Scanner<'_> {
    type Item = (usize, Token);

    fn next(&mut self) -> Option<Self::Item> {
        let (start, rest) = (self.at, &self.text[self.at..]);
        let first = rest.chars().next()?;
        let (length, token) = match first {
            '"' | '\'' => (string_length(rest, self.is_raw()), Token::Other),
            '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), Token::Other),
            '(' | '[' | '{' => (1, Token::Open),
            ')' | ']' | '}' => (1, Token::Close),
            ',' => (1, Token::Other),
            _ if first.is_ascii_punctuation() && first != '_' => (1, Token::Operator),
            _ => (first.len_utf8(), Token::Other),
        };
        self.at += length;
        Some((start, token))
    }
}

impl Scanner<'_> {
    /// Whether the string that starts here has a prefix that makes its backslashes plain: `r""`, `bR""`.
    fn is_raw(&self) -> bool {
        let before = &self.text.as_bytes()[..self.at];
        let prefix =
            before.iter().rev().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
        let prefix = &before[before.len() - prefix..];
        prefix.len() <= 2
            && prefix.iter().all(|byte| b"rRbB".contains(byte))
            && prefix.iter().any(|byte| b"rR".contains(byte))
    }
}

/// The length of a string literal, its quotes included; all of the rest if it does not end.
fn string_length(rest: &str, is_raw: bool) -> usize {
    let quote = &rest[..1];
    let triple = quote.repeat(3);
    let end = if rest.starts_with(&triple) { triple.as_str() } else { quote };
    let mut at = end.len();
    while at < rest.len() {
        let here = &rest[at..];
        if here.starts_with(end) {
            return at + end.len();
        }
        let mut chars = here.chars();
        let skipped = match chars.next() {
            Some('\\') if !is_raw => 1 + chars.next().map_or(0, char::len_utf8),
            Some(char) => char.len_utf8(),
            None => 1,
        };
        at += skipped;
    }
    rest.len()
}
