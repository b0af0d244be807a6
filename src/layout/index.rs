//! `index.json`: the images of a layout, and their names.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::oci::Descriptor;
use crate::oci::document::{self, Shape};

/// The annotation with the tag of an entry (OCI image-spec, "Annotations").
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The annotation of containerd with the name of an image.
pub(super) const IMAGE_NAME: &str = "io.containerd.image.name";
/// The name of the cache in the index of its directory (BuildKit, `client/solve.go`).
pub(super) const LATEST: &str = "latest";
/// The most names in an error.
const MOST_NAMES: usize = 10;

/// The parts of the index that polyarch reads.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Index {
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
}

impl Index {
    pub(super) fn read(text: &[u8]) -> Result<Self, String> {
        document::read(text, Shape::Manifest).map_err(|error| error.to_string())
    }

    pub(super) fn entries(&self) -> &[Descriptor] {
        self.manifests.as_deref().unwrap_or_default()
    }

    pub(super) fn named(&self, annotation: &str, name: &str) -> impl Iterator<Item = &Descriptor> {
        let is = move |entry: &&Descriptor| entry.annotations.get(annotation).is_some_and(|own| own == name);
        self.entries().iter().filter(is)
    }

    /// The images of the layout, as text.
    pub(super) fn has(&self) -> String {
        let names: Vec<_> = self.entries().iter().filter_map(|entry| entry.annotations.get(REF_NAME)).collect();
        match (self.entries().len(), &names[..]) {
            (0, _) => "no image".to_owned(),
            (count, []) => format!("{count} images without a tag"),
            (count, names) => {
                let said: Vec<_> = names.iter().take(MOST_NAMES).map(|name| name.as_str()).collect();
                let more = count - said.len();
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!("{}{more}", said.join(", "))
            }
        }
    }
}

/// The index with `entry` in place of the entries that `replaces` selects. Everything else is kept, including unknown
/// fields.
pub(super) fn with(text: Option<&[u8]>, entry: Value, replaces: impl Fn(&Value) -> bool) -> Result<String, String> {
    let fields: Option<Map<String, Value>> =
        text.map(|text| document::read(text, Shape::Manifest)).transpose().map_err(|error| error.to_string())?;
    let mut fields = fields.unwrap_or_default();
    fields.insert("schemaVersion".to_owned(), json!(2));
    fields.entry("mediaType").or_insert_with(|| json!("application/vnd.oci.image.index.v1+json"));
    let manifests = fields.entry("manifests").or_insert_with(|| json!([]));
    if manifests.is_null() {
        *manifests = json!([]);
    }
    let Some(manifests) = manifests.as_array_mut() else { return Err("its `manifests` is not a list".to_owned()) };
    manifests.retain(|one| !replaces(one));
    manifests.push(entry);
    Ok(Value::Object(fields).to_string())
}
