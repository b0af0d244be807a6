//! Makes the JSON document: everything that was read, with the keys of the manifests.

use polyarch::oci::{Descriptor, ImageManifest};
use polyarch::run::{Inspected, InspectedEntry, InspectedIndex, Listed, ManifestContent};
use serde_json::{Map, Value, json};

pub(crate) fn as_json(reference: &str, Inspected { manifest, inside }: &Inspected) -> Value {
    let mut document = json!({
        "version": 1, "reference": reference, "mediaType": manifest.media_type(), "digest": manifest.digest(),
        "size": manifest.size(),
    });
    match inside {
        ManifestContent::Index(index) => add(&mut document, of_index(index)),
        ManifestContent::Image(image, says) => {
            add(&mut document, of_image(image));
            let says = json!({ "platform": says.platform, "created": says.created, "annotations": image.annotations });
            add(&mut document, says);
        }
    }
    document
}

fn of_index(InspectedIndex { annotations, entries }: &InspectedIndex) -> Value {
    json!({ "annotations": annotations, "entries": entries.iter().map(of_entry).collect::<Vec<_>>() })
}

fn of_entry(InspectedEntry { entry, attests, inside }: &InspectedEntry) -> Value {
    let mut document = descriptor(entry);
    add(&mut document, json!({ "platform": entry.platform, "attests": attests }));
    match inside {
        Listed::Image(image) => {
            add(&mut document, of_image(image));
            let own = json!({ "annotations": image.annotations });
            add(&mut document, json!({ "manifest": own }));
        }
        Listed::Index(index) => add(&mut document, json!({ "index": of_index(index) })),
        Listed::Again => add(&mut document, json!({ "shown_above": true })),
        Listed::Unread(why) => add(&mut document, json!({ "unread": why })),
    }
    document
}

fn of_image(image: &ImageManifest) -> Value {
    let layers: Vec<_> = image.layers.iter().map(descriptor).collect();
    let predicates: Vec<_> = image.layers.iter().filter_map(Descriptor::predicate_type).collect();
    json!({
        "bytes": image.image_bytes(), "config": descriptor(&image.config), "layers": layers, "predicates": predicates,
    })
}

fn descriptor(Descriptor { media_type, digest, size, annotations, .. }: &Descriptor) -> Value {
    json!({ "mediaType": media_type, "digest": digest, "size": size, "annotations": annotations })
}

fn add(document: &mut Value, more: Value) {
    if let (Value::Object(document), Value::Object(more)) = (document, more) {
        document.extend::<Map<_, _>>(more);
    }
}
