//! Conditions and templates.

fn main() {}
