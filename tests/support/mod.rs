//! What the tests share: the program under test, and the real parts that it works with.
#![allow(dead_code, reason = "the integration and the live target each use a part of it")]

pub(crate) mod engines;
pub(crate) mod parts;
pub(crate) mod program;
