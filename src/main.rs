//! The program: arguments → settings → runtime → run → exit code.

fn main() {}
