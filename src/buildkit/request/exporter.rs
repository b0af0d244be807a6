//! BuildKit's options for writing an image.

use std::collections::HashMap;

use super::build::{BuildRequest, Output};
use crate::plan::{Compression, Export, LayerPolicy, MediaTypes, Timestamps};

/// Docker's media types have no annotations and no zstd layers. BuildKit invents a name for zstd layers.
fn needs_oci(compression: Option<Compression>) -> bool {
    matches!(compression, Some(Compression::Zstd | Compression::Estargz))
}

/// The exporter's options, with buildx's names (BuildKit, `exporter/containerimage/exptypes`).
pub(in crate::buildkit) fn exporter_attrs(request: &BuildRequest<'_>) -> HashMap<String, String> {
    let Export { compression, level, layers, timestamps, media_types, annotations } = &request.build.export;
    let yes = |said: bool| said.then(|| "true".to_owned());
    // A pushed image has only its digest as name, and the engine does not keep it. Under one plain name on the engine,
    // two platforms would replace each other. The engine would unpack an image without a name only to delete it.
    let (name, pushes) = match request.to {
        // The run's own name is the first one, because no other build takes it. If BuildKit cannot assign the other
        // name, the image still exists.
        Output::Engine(names) if request.build.attest.is_nothing() => {
            (format!("{},{}", names.own, names.shared), false)
        }
        // An attestation contains all names of its image (BuildKit, `exporter/containerimage`, "in-toto subjects"). The
        // run's own name would change the attestation in each run.
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
