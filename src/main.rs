//! The `inrush` binary: everything it does is in the library, see [`inrush::cli`].

mod heap;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    inrush::cli::main()
}
