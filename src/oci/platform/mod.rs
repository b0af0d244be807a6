//! Platforms: their normal form, the spelling of people, and the processors of programs.

pub(super) mod demands;
pub(crate) mod elf;
pub(super) mod known;
pub(super) mod normal_form;
pub(super) mod spelling;
