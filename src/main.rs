//! The `inrush` binary: everything it does is in the library, see [`inrush::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    inrush::cli::main()
}
