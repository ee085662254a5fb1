//! Templates: text with holes, `order {{ payload.body.id }} of {{ webhook }}`.

use cel::Value;

use super::compile::Compiled;
use super::error::{EvalError, ExprError};
use super::functions::TEXT;
use super::output::NotJson;
use super::scan::{Scanner, Token};
use super::scope::evaluate;
use super::value::TEXT_BYTES_MAX;
use super::variables::Variables;
use crate::event::Event;

/// How long the text of a template may be.
pub const TEMPLATE_BYTES_MAX: usize = 64 * 1024;
/// How many holes a template may have.
pub const HOLES_MAX: usize = 64;

/// Text with holes. `{{` opens one and `}}` ends it; between them stands an expression. Literal braces are written as a
/// string in a hole: `{{ "{{" }}`.
#[derive(Debug)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Text(String),
    Hole(Compiled),
}

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    /// When a hole does not end, or holds a mistake; the column counts from the start of the template.
    pub fn compile(text: &str) -> Result<Self, ExprError> {
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err(ExprError::new(1, format!("longer than {TEMPLATE_BYTES_MAX} bytes, too long")));
        }
        let (mut parts, mut at, mut holes) = (Vec::new(), 0, 0);
        while let Some(start) = text[at..].find("{{").map(|found| at + found) {
            if start > at {
                parts.push(Part::Text(text[at..start].to_owned()));
            }
            holes += 1;
            if holes > HOLES_MAX {
                return Err(ExprError::at(text, start, format!("more than {HOLES_MAX} holes, too many")));
            }
            let inside = start + 2;
            let Some(length) = hole_length(&text[inside..]) else {
                return Err(ExprError::at(
                    text,
                    start,
                    "this hole does not end, write }} behind its expression",
                ));
            };
            let compiled =
                Compiled::new(&text[inside..inside + length], Some(TEXT)).map_err(|mut mistake| {
                    mistake.column += text[..inside].chars().count();
                    mistake
                })?;
            parts.push(Part::Hole(compiled));
            at = inside + length + 2;
        }
        if at < text.len() {
            parts.push(Part::Text(text[at..].to_owned()));
        }
        Ok(Self { parts })
    }

    /// Whether it names anything of the body.
    pub fn reads_body(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Hole(compiled) if compiled.reads_body()))
    }

    /// Whether it has no holes: the same text for every event.
    pub fn is_constant(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Text(_)))
    }

    /// Appends the text for `event` to `out`: strings as they are, anything else as compact JSON.
    ///
    /// # Errors
    /// When a hole has no value, or the text would be longer than [`TEXT_BYTES_MAX`]; `out` is as it was then.
    pub fn render(
        &self,
        event: &Event<'_>,
        variables: &Variables,
        out: &mut String,
    ) -> Result<(), EvalError> {
        self.render_holes(event, variables, out, |_, _| Ok(()))
    }

    /// The same, and shows `hole` what each hole has made: it stands in the string from the given place on, and may be
    /// changed or refused there.
    ///
    /// # Errors
    /// As [`Self::render`], and those of `hole`.
    pub fn render_holes(
        &self,
        event: &Event<'_>,
        variables: &Variables,
        out: &mut String,
        hole: impl Fn(&mut String, usize) -> Result<(), EvalError>,
    ) -> Result<(), EvalError> {
        let start = out.len();
        let rendered = self.parts.iter().try_for_each(|part| {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Hole(compiled) => match evaluate(compiled, event, variables)? {
                    Value::String(text) => {
                        let begins = out.len();
                        out.push_str(&text);
                        hole(out, begins)?;
                    }
                    _ => return Err(EvalError::new("a hole has no text")),
                },
            }
            if out.len() - start > TEXT_BYTES_MAX {
                return Err(EvalError::new(NotJson::TooLarge.to_string()));
            }
            Ok(())
        });
        if rendered.is_err() {
            out.truncate(start);
        }
        rendered
    }
}

/// The length of the expression in a hole, up to the `}}` that no bracket and no string of it holds.
fn hole_length(rest: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in Scanner::new(rest) {
        match token {
            Token::Open => depth += 1,
            Token::Close if depth == 0 && rest[at..].starts_with("}}") => return Some(at),
            Token::Close => depth = depth.saturating_sub(1),
            Token::Operator | Token::Other => {}
        }
    }
    None
}
