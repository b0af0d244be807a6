//! Holds the JSON Schema of `polyarch engines --json`.

/// The JSON Schema (draft 2020-12) of `polyarch engines --json`: `polyarch schema engines`.
pub(crate) const SCHEMA: &str = include_str!("schema.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::document::as_json;
    use super::super::samples::{every_kind, without_images};
    use super::*;
    use crate::cli::output::display::held::Held;

    #[test]
    fn engines_schema_has_exactly_the_fields_that_documents_use() {
        let mut held = Held::new(SCHEMA);
        held.hold(&as_json(&every_kind()));
        held.hold(&as_json(&without_images()));
        held.hold(&as_json(&[]));
        assert_eq!(held.unseen(), BTreeSet::new());
    }
}
