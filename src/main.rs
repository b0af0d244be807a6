//! The program: arguments → settings → runtime → run → exit code.

mod cli;

fn main() {}
