//! From what the operator wrote to what runs: every constant path becomes one name, every operator that the library
//! gets wrong or does not count becomes ours, and whatever can be known to be a mistake is one.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, SourceInfo};
use cel::common::types::{CelInt, CelString};

use super::error::ExprError;
use super::functions::{CALLABLE, CHARGE, OPERATORS, Pattern, ROUNDS};
use super::path::{Path, Root, Segment};

/// How many steps a path may have.
const SEGMENTS_MAX: usize = 32;
/// How long a pattern may be, and how much memory its automaton may take.
const PATTERN_BYTES_MAX: usize = 1024;
const PATTERN_MEMORY_MAX: usize = 1024 * 1024;

/// Names of types, which `type(x)` can be compared with.
const TYPES: [&str; 9] = ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "uint"];

/// What an expression wants to know of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// What is there; an error if there is nothing.
    Value,
    /// Whether anything is there: `has(…)`.
    Presence,
    /// What is there, if anything: `payload.body.?a.b`.
    Optional,
    /// All variables, of which one is looked up by a name that is not constant.
    Lookup,
}

/// A path that stands in an expression as the name `@` and its place among the slots.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub path: Path,
    pub ask: Ask,
}

/// What is found while an expression is rewritten.
pub(super) struct Rewriter<'t> {
    text: &'t str,
    info: &'t SourceInfo,
    pub slots: Vec<Slot>,
    pub patterns: Vec<Pattern>,
    /// Variables of the macros around, innermost last.
    bound: Vec<String>,
}

impl<'t> Rewriter<'t> {
    pub fn new(text: &'t str, info: &'t SourceInfo) -> Self {
        Self { text, info, slots: Vec::new(), patterns: Vec::new(), bound: Vec::new() }
    }

    /// A mistake in the part of the text that a node stands for.
    fn mistake<T>(&self, id: u64, message: impl Into<String>) -> Result<T, ExprError> {
        let offset = self.info.offset_for(id).map_or(0, |(start, _)| start as usize);
        Err(ExprError::at(self.text, offset, message))
    }

    /// Rewrites a node and what is under it.
    pub fn rewrite(&mut self, node: &mut IdedExpr) -> Result<(), ExprError> {
        if let Some(slot) = self.slot_of(node)? {
            node.expr = self.name_of(slot);
            return Ok(());
        }
        let id = node.id;
        match &mut node.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => match name.as_str() {
                name if self.is_bound(name) || TYPES.contains(&name) => Ok(()),
                "payload" => {
                    self.mistake(id, "name a part of it: payload.body, query, headers, path or method")
                }
                "variables" => self.mistake(id, "name one of them: variables.NAME"),
                name => {
                    let message = format!("unknown name `{name}`");
                    self.mistake(id, message)
                }
            },
            Expr::Select(select) => self.rewrite(&mut select.operand),
            Expr::Call(call) => self.rewrite_call(id, call),
            Expr::List(list) => {
                list.elements.iter_mut().try_for_each(|element| self.rewrite_charged(element))
            }
            Expr::Map(map) => map.entries.iter_mut().try_for_each(|entry| match &mut entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.rewrite_charged(&mut entry.key)?;
                    self.rewrite_charged(&mut entry.value)
                }
                EntryExpr::StructField(_) => Ok(()),
            }),
            Expr::Comprehension(comprehension) => self.rewrite_macro(comprehension),
            Expr::Struct(_) => self.mistake(id, "messages are not supported, write a map: {\"key\": value}"),
            Expr::Unspecified => self.mistake(id, "there is no expression"),
        }
    }

    /// Rewrites a value that is copied or searched, and charges what it holds.
    fn rewrite_charged(&mut self, node: &mut IdedExpr) -> Result<(), ExprError> {
        self.rewrite(node)?;
        if !matches!(node.expr, Expr::Literal(_)) {
            wrap(node, CHARGE, Vec::new());
        }
        Ok(())
    }

    fn rewrite_call(&mut self, id: u64, call: &mut CallExpr) -> Result<(), ExprError> {
        match call.func_name.as_str() {
            // What the library does with these is right.
            "_&&_" | "_||_" | "_?_:_" | "@not_strictly_false" => {
                call.args.iter_mut().try_for_each(|arg| self.rewrite(arg))
            }
            "_[_]" | "_[?_]" | "_?._" => {
                self.rewrite_container(call, 0)?;
                call.args.iter_mut().skip(1).try_for_each(|arg| self.rewrite(arg))
            }
            "@in" => {
                self.rewrite_container(call, 1)?;
                call.args.iter_mut().take(1).try_for_each(|arg| self.rewrite(arg))?;
                "@within".clone_into(&mut call.func_name);
                Ok(())
            }
            name => {
                if let Some((_, ours)) = OPERATORS.iter().find(|(operator, _)| *operator == name) {
                    (*ours).clone_into(&mut call.func_name);
                    return call.args.iter_mut().try_for_each(|arg| self.rewrite(arg));
                }
                self.rewrite_function(id, call)
            }
        }
    }

    /// Rewrites the argument that is searched; all variables may be searched for one.
    fn rewrite_container(&mut self, call: &mut CallExpr, at: usize) -> Result<(), ExprError> {
        let Some(container) = call.args.get_mut(at) else { return Ok(()) };
        match &container.expr {
            Expr::Ident(name) if name == "variables" && !self.is_bound(name) => {
                let path = Path { root: Root::Variables, segments: Vec::new() };
                container.expr = self.name_of(Slot { path, ask: Ask::Lookup });
                Ok(())
            }
            _ => self.rewrite(container),
        }
    }

    fn rewrite_function(&mut self, id: u64, call: &mut CallExpr) -> Result<(), ExprError> {
        // What the macros optMap and optFlatMap are made of.
        if let Some(Expr::Ident(name)) = call.target.as_ref().map(|target| &target.expr)
            && name == "optional"
            && !self.is_bound(name)
            && matches!((call.func_name.as_str(), call.args.len()), ("of", 1) | ("none", 0))
        {
            return call.args.iter_mut().try_for_each(|arg| self.rewrite_charged(arg));
        }
        let name = call.func_name.clone();
        let Some(callable) = CALLABLE.iter().find(|callable| callable.name == name) else {
            let known: Vec<&str> = CALLABLE.iter().map(|callable| callable.name).collect();
            return self.mistake(id, format!("unknown function `{name}`; known are {}", known.join(", ")));
        };
        let arities = if call.target.is_some() { callable.member } else { callable.global };
        if !arities.contains(&call.args.len()) {
            let example = match callable {
                callable if callable.member.is_empty() => format!("{name}(value)"),
                callable if callable.member == [0] => format!("value.{name}()"),
                _ => format!("value.{name}(argument)"),
            };
            let message =
                format!("`{name}` is not called with {} arguments here, write {example}", call.args.len());
            return self.mistake(id, message);
        }
        if let Some(ours) = callable.ours {
            ours.clone_into(&mut call.func_name);
            let target = call.target.take().map(|target| *target);
            call.args.splice(0..0, target);
        }
        if let Some(target) = &mut call.target {
            self.rewrite_charged(target)?;
        }
        let pattern = if name == "matches" { call.args.pop() } else { None };
        call.args.iter_mut().try_for_each(|arg| self.rewrite_charged(arg))?;
        if let Some(pattern) = pattern {
            call.args.push(self.compile_pattern(pattern)?);
        }
        Ok(())
    }

    /// Compiles the pattern of a `matches`, which has to be a literal: no event decides what it costs.
    fn compile_pattern(&mut self, pattern: IdedExpr) -> Result<IdedExpr, ExprError> {
        let id = pattern.id;
        let Expr::Literal(LiteralValue::String(text)) = &pattern.expr else {
            return self.mistake(id, "the pattern of `matches` must be a literal");
        };
        if text.inner().len() > PATTERN_BYTES_MAX {
            return self.mistake(id, format!("a pattern is at most {PATTERN_BYTES_MAX} bytes long"));
        }
        match regex::RegexBuilder::new(text.inner()).size_limit(PATTERN_MEMORY_MAX).build() {
            Ok(regex) => self.patterns.push(Pattern(regex)),
            Err(error) => {
                let error = error.to_string();
                return self
                    .mistake(id, format!("bad pattern: {}", error.lines().last().unwrap_or_default()));
            }
        }
        Ok(IdedExpr { id, expr: Expr::Ident(format!("{PATTERN_PREFIX}{}", self.patterns.len() - 1)) })
    }

    fn rewrite_macro(&mut self, comprehension: &mut ComprehensionExpr) -> Result<(), ExprError> {
        let nodes = count(&comprehension.loop_step) + 1;
        self.rewrite(&mut comprehension.iter_range)?;
        self.rewrite(&mut comprehension.accu_init)?;
        if !matches!(&comprehension.iter_range.expr, Expr::List(list) if list.elements.is_empty()) {
            let nodes = Expr::Literal(LiteralValue::Int(CelInt::from(nodes as i64)));
            wrap(&mut comprehension.iter_range, ROUNDS, vec![IdedExpr { id: 0, expr: nodes }]);
        }
        let outer = self.bound.len();
        self.bound.push(comprehension.accu_var.clone());
        self.rewrite(&mut comprehension.result)?;
        self.bound.push(comprehension.iter_var.clone());
        self.bound.extend(comprehension.iter_var2.clone());
        self.rewrite(&mut comprehension.loop_cond)?;
        self.rewrite_step(&mut comprehension.loop_step, &comprehension.accu_var)?;
        self.bound.truncate(outer);
        Ok(())
    }

    /// Rewrites what a macro does in each round. Where it appends to its result, the library must recognise that: it
    /// would copy the result in each round otherwise.
    fn rewrite_step(&mut self, step: &mut IdedExpr, result: &str) -> Result<(), ExprError> {
        match &mut step.expr {
            Expr::Call(call) if call.func_name == "_?_:_" && call.args.len() == 3 => {
                self.rewrite(&mut call.args[0])?;
                self.rewrite_step(&mut call.args[1], result)?;
                self.rewrite(&mut call.args[2])
            }
            Expr::Call(call)
                if call.func_name == "_+_"
                    && matches!(&call.args[..], [IdedExpr { expr: Expr::Ident(name), .. }, IdedExpr { expr: Expr::List(_), .. }] if name == result) =>
            {
                call.args.iter_mut().skip(1).try_for_each(|list| self.rewrite(list))
            }
            _ => self.rewrite(step),
        }
    }

    fn is_bound(&self, name: &str) -> bool {
        self.bound.iter().any(|bound| bound == name)
    }

    /// The name under which a slot is looked up. Equal slots are one.
    fn name_of(&mut self, slot: Slot) -> Expr {
        let at = self.slots.iter().position(|known| *known == slot).unwrap_or_else(|| {
            self.slots.push(slot);
            self.slots.len() - 1
        });
        Expr::Ident(format!("{SLOT_PREFIX}{at}"))
    }

    /// The slot that a node stands for, if it is a constant path from one of our names.
    fn slot_of(&self, node: &IdedExpr) -> Result<Option<Slot>, ExprError> {
        let (mut segments, mut ask) = (Vec::new(), Ask::Value);
        let mut at = node;
        let name = loop {
            let (operand, segment) = match &at.expr {
                Expr::Select(select) if !select.test => {
                    (&*select.operand, Segment::Key(select.field.clone()))
                }
                Expr::Select(select) if std::ptr::eq(at, node) => {
                    ask = Ask::Presence;
                    (&*select.operand, Segment::Key(select.field.clone()))
                }
                Expr::Call(CallExpr { func_name, args, .. }) => {
                    let is_optional = matches!(func_name.as_str(), "_[?_]" | "_?._");
                    let ([operand, index], true) = (&args[..], is_optional || func_name == "_[_]") else {
                        return Ok(None);
                    };
                    let Some(segment) = constant_segment(&index.expr) else { return Ok(None) };
                    if is_optional && ask == Ask::Value {
                        ask = Ask::Optional;
                    }
                    (operand, segment)
                }
                Expr::Ident(name) => break name,
                _ => return Ok(None),
            };
            segments.push(segment);
            at = operand;
        };
        if self.is_bound(name) || (segments.is_empty() && TYPES.contains(&name.as_str())) {
            return Ok(None);
        }
        segments.reverse();
        let root = self.root_of(at, name, &mut segments)?;
        let Some(root) = root else { return Ok(None) };
        let path = Path { root, segments };
        if root.is_text() && !path.segments.is_empty() {
            let text = Path { root, segments: Vec::new() };
            return self.mistake(at.id, format!("{text} is a string and has no fields"));
        }
        if let (Root::Headers, Some(Segment::Key(key))) = (root, path.segments.first())
            && key.bytes().any(|byte| byte.is_ascii_uppercase())
        {
            let lower = key.to_ascii_lowercase();
            return self
                .mistake(at.id, format!("names of headers are lower case: payload.headers[{lower:?}]"));
        }
        if path.segments.len() > SEGMENTS_MAX {
            return self.mistake(at.id, format!("a path has at most {SEGMENTS_MAX} steps"));
        }
        Ok(Some(Slot { path, ask }))
    }

    /// Where a path starts; takes the step from `payload`. `None` when there is no such step.
    fn root_of(
        &self,
        ident: &IdedExpr,
        name: &str,
        segments: &mut Vec<Segment>,
    ) -> Result<Option<Root>, ExprError> {
        if name == "payload" {
            return match segments.first() {
                None => Ok(None),
                Some(Segment::Key(part)) if Root::of_payload(part).is_some() => {
                    let root = Root::of_payload(part);
                    segments.remove(0);
                    Ok(root)
                }
                Some(_) => self.mistake(ident.id, "payload has body, query, headers, path and method"),
            };
        }
        if let Some(root) = Root::of_name(name) {
            let is_bare = root == Root::Variables && segments.is_empty();
            return Ok((!is_bare).then_some(root));
        }
        if let Some(root) = Root::of_payload(name) {
            let meant = Path { root, segments: segments.clone() };
            return self.mistake(ident.id, format!("unknown name `{name}`, did you mean {meant}?"));
        }
        let message =
            format!("unknown name `{name}`; known are payload, webhook, id, received_at and variables");
        self.mistake(ident.id, message)
    }
}

/// What slots and patterns are called in a rewritten expression: no source can spell it.
pub(super) const SLOT_PREFIX: &str = "@";
pub(super) const PATTERN_PREFIX: &str = "@/";

fn constant_segment(index: &Expr) -> Option<Segment> {
    match index {
        Expr::Literal(LiteralValue::String(key)) => Some(Segment::Key(CelString::inner(key).to_owned())),
        Expr::Literal(LiteralValue::Int(index)) => usize::try_from(*index.inner()).ok().map(Segment::Index),
        Expr::Literal(LiteralValue::UInt(index)) => usize::try_from(*index.inner()).ok().map(Segment::Index),
        _ => None,
    }
}

/// Makes a node the first argument of a call.
pub(super) fn wrap(node: &mut IdedExpr, function: &str, more: Vec<IdedExpr>) {
    let id = node.id;
    let inner = std::mem::take(node);
    let args = std::iter::once(inner).chain(more).collect();
    *node =
        IdedExpr { id, expr: Expr::Call(CallExpr { func_name: function.to_owned(), target: None, args }) };
}

/// The nodes under a node, itself included.
fn count(node: &IdedExpr) -> usize {
    let mut nodes = 0;
    visit(node, 0, &mut |_| nodes += 1);
    nodes
}

/// Shows every node its depth.
pub(super) fn visit(node: &IdedExpr, depth: usize, see: &mut dyn FnMut(usize)) {
    see(depth);
    let mut below = |node: &IdedExpr| visit(node, depth + 1, see);
    match &node.expr {
        Expr::Select(select) => below(&select.operand),
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).for_each(below),
        Expr::List(list) => list.elements.iter().for_each(below),
        Expr::Map(map) => map.entries.iter().for_each(|entry| {
            if let EntryExpr::MapEntry(entry) = &entry.expr {
                below(&entry.key);
                below(&entry.value);
            }
        }),
        Expr::Comprehension(comprehension) => {
            let ComprehensionExpr { iter_range, accu_init, loop_cond, loop_step, result, .. } =
                &**comprehension;
            [iter_range, accu_init, loop_cond, loop_step, result].into_iter().for_each(below);
        }
        Expr::Struct(_) | Expr::Literal(_) | Expr::Ident(_) | Expr::Unspecified => {}
    }
}
