//! How BuildKit is told to write an image.

use std::collections::HashMap;

use super::client::ImageStore;
use super::request::{BuildRequest, Output};
use crate::plan::{Compression, Export, LayerPolicy, MediaTypes, Timestamps};

/// BuildKit's name of the exporter that writes into `store`: each engine knows one of them.
pub(super) fn exporter(store: ImageStore) -> &'static str {
    match store {
        ImageStore::GraphDriver => "moby",
        ImageStore::Containerd => "image",
    }
}

/// Docker's media types have no layers in zstd, though BuildKit makes up a name for them, and no annotations.
fn needs_oci(compression: Option<Compression>) -> bool {
    matches!(compression, Some(Compression::Zstd | Compression::Estargz))
}

/// Its options, as buildx names them (BuildKit, `exporter/containerimage/exptypes`).
pub(super) fn exporter_attrs(request: &BuildRequest<'_>) -> HashMap<String, String> {
    let Export { compression, level, layers, timestamps, media_types, annotations } = &request.build.export;
    let yes = |said: bool| said.then(|| "true".to_owned());
    // Named by its digest alone, and not kept: under one bare name on the engine two platforms would be in each
    // other's way, and an image without a name would only be unpacked to be collected.
    let (name, pushes) = match request.to {
        // The own name goes first, because nobody else takes it. If BuildKit cannot give the other name, the image is
        // still there.
        Output::Engine(names) if request.build.attest.is_nothing() => {
            (format!("{},{}", names.own, names.shared), false)
        }
        // An attestation says all names of its image (BuildKit, `exporter/containerimage`, "in-toto subjects"). With
        // the run's own name in it, each run would attest something else.
        Output::Engine(names) => (names.shared.to_string(), false),
        Output::Registry(repository) => (repository.to_string(), true),
    };
    let options = [
        ("name", Some(name)),
        ("push", yes(pushes)),
        ("push-by-digest", yes(pushes)),
        ("store", pushes.then(|| "false".to_owned())),
        ("compression", compression.map(|compression| compression.as_str().to_owned())),
        ("compression-level", level.map(|level| level.get().to_string())),
        ("force-compression", yes(*layers == LayerPolicy::Recompress)),
        ("rewrite-timestamp", yes(*timestamps == Timestamps::Rewrite)),
        ("oci-mediatypes", yes(*media_types == MediaTypes::Oci || needs_oci(*compression) || !annotations.is_empty())),
    ];
    let said = options.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    let annotations = annotations.iter().map(|(key, value)| (format!("annotation.{key}"), value.clone()));
    said.chain(annotations).collect()
}
