//! Random numbers for names that must not collide or be guessed, and choices that look random but are always the same.

mod number;
mod rendezvous;

pub(crate) use number::*;
pub(crate) use rendezvous::*;
