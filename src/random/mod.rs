//! Random numbers for names that must not collide or be guessed.

mod number;

pub(crate) use number::*;
