//! Compiling: bounds first, then the library's parser, then our rewriting.

use cel::IdedExpr;
use cel::common::ast::{Expr, LiteralValue};

use super::error::ExprError;
use super::functions::{CALLABLE, Pattern, env};
use super::path::Root;
use super::rewrite::{Ask, Rewriter, SLOT_PREFIX, Slot, visit, wrap};
use super::scan::{Scanner, Token};

/// How long an expression may be.
pub const TEXT_BYTES_MAX: usize = 4096;
/// How deep brackets may be nested in an expression.
const BRACKETS_DEPTH_MAX: usize = 24;
/// How deep the nodes of an expression may be nested. The library evaluates by recursion, and takes a few KiB of stack
/// for each.
const DEPTH_MAX: usize = 48;
/// How many operators, dots and opening brackets an expression may hold: each may nest what stands before it.
const OPERATORS_MAX: usize = 512;
/// The stack of the thread that compiles.
const STACK_BYTES: usize = 16 * 1024 * 1024;

/// An expression, ready to be evaluated.
#[derive(Debug)]
pub(super) struct Compiled {
    pub expr: IdedExpr,
    pub slots: Vec<Slot>,
    pub patterns: Vec<Pattern>,
}

impl Compiled {
    /// Compiles an expression whose value is handed to `result` in the end, a function of ours, if one is named.
    pub fn new(text: &str, result: Option<&str>) -> Result<Self, ExprError> {
        refuse_too_much(text)?;
        // The parser takes some 30 KiB of stack for each nested bracket, in a build without optimization. And a mistake
        // of the library's must not cost more than this expression.
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("inrush-compile".into()).stack_size(STACK_BYTES);
            let compiled =
                thread.spawn_scoped(scope, || Self::parse(text, result)).map(|thread| thread.join());
            match compiled {
                Ok(Ok(compiled)) => compiled,
                Ok(Err(_)) => Err(ExprError::new(1, "the parser gave up on this")),
                Err(error) => Err(ExprError::new(1, format!("there is no thread to compile it: {error}"))),
            }
        })
    }

    fn parse(text: &str, result: Option<&str>) -> Result<Self, ExprError> {
        let program = env().compile(text).map_err(|errors| first_mistake(text, &errors))?;
        let mut expr = program.expression().clone();
        let mut rewriter = Rewriter::new(text, program.source_info());
        rewriter.rewrite(&mut expr)?;
        let Rewriter { slots, patterns, .. } = rewriter;
        if let Some(function) = result {
            wrap(&mut expr, function, Vec::new());
        }
        let mut deepest = 0;
        visit(&expr, 0, &mut |depth| deepest = deepest.max(depth));
        if deepest > DEPTH_MAX {
            return Err(ExprError::new(1, format!("nested deeper than {DEPTH_MAX} levels, too deep")));
        }
        Ok(Self { expr, slots, patterns })
    }

    /// Whether it names anything of the body.
    pub fn reads_body(&self) -> bool {
        self.slots.iter().any(|slot| slot.path.root == Root::Body)
    }

    /// What the result is for every event, if it cannot be a bool.
    pub fn never_bool(&self) -> Option<&'static str> {
        match &self.expr.expr {
            Expr::Literal(LiteralValue::Boolean(_)) => None,
            Expr::Literal(_) => Some("a constant"),
            Expr::List(_) => Some("a list"),
            Expr::Map(_) => Some("a map"),
            Expr::Ident(name) => {
                let slot = self.slots.get(name.strip_prefix(SLOT_PREFIX)?.parse::<usize>().ok()?)?;
                match slot.ask {
                    Ask::Optional => Some("an optional, add `.orValue(false)`"),
                    Ask::Value if slot.path.root.is_text() => Some("a string"),
                    _ => None,
                }
            }
            Expr::Call(call) => match call.func_name.as_str() {
                "@sub" | "@mul" | "@div" | "@rem" | "@neg" => Some("a number"),
                "@add" => Some("a number, a string or a list"),
                name => CALLABLE
                    .iter()
                    .find(|callable| callable.name == name || callable.ours == Some(name))
                    .filter(|callable| !callable.can_be_bool)
                    .map(|_| "what this function returns"),
            },
            _ => None,
        }
    }
}

/// The bounds that keep the parser's recursion, and ours, within a thread's stack.
fn refuse_too_much(text: &str) -> Result<(), ExprError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(ExprError::new(1, format!("longer than {TEXT_BYTES_MAX} bytes, too long")));
    }
    if text.trim().is_empty() {
        return Err(ExprError::new(1, "there is no expression"));
    }
    let (mut depth, mut operators) = (0_usize, 0_usize);
    for (at, token) in Scanner::new(text) {
        match token {
            Token::Open => {
                depth += 1;
                operators += 1;
            }
            Token::Close => depth = depth.saturating_sub(1),
            Token::Operator => operators += 1,
            Token::Other => {}
        }
        if depth > BRACKETS_DEPTH_MAX {
            let message = format!("brackets are nested deeper than {BRACKETS_DEPTH_MAX} levels");
            return Err(ExprError::at(text, at, message));
        }
        if operators > OPERATORS_MAX {
            let message = format!("more than {OPERATORS_MAX} operators, dots and brackets, too many");
            return Err(ExprError::at(text, at, message));
        }
    }
    Ok(())
}

/// The first of the parser's complaints, with its place as a character of the whole text.
fn first_mistake(text: &str, errors: &cel::ParseErrors) -> ExprError {
    const MESSAGE_CHARS_MAX: usize = 120;
    let Some(error) = errors.errors.first() else { return ExprError::new(1, "not an expression") };
    let (line, column) = error.pos;
    let line = usize::try_from(line).unwrap_or(1).max(1);
    let before: usize = text.split_inclusive('\n').take(line - 1).map(|line| line.chars().count()).sum();
    let column = (before + usize::try_from(column).unwrap_or(1).max(1)).min(text.chars().count() + 1);
    let message = error.msg.trim_start_matches("Syntax error: ");
    // What could have stood there is often everything.
    let message = message.split(" expecting {").next().unwrap_or(message);
    if message.contains("has() macro") {
        const HAS: &str =
            "`has` takes a field, as has(payload.body.a); else write payload.headers[?\"x-a\"].hasValue()";
        return ExprError::new(column, HAS);
    }
    let message = message.replace("mismatched input '<EOF>'", "the expression ends too early");
    ExprError::new(column, message.chars().take(MESSAGE_CHARS_MAX).collect::<String>())
}
