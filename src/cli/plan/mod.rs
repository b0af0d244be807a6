//! `polyarch plan`

mod command;
mod text;

pub(crate) use command::{Form, run};
