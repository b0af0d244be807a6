//! BuildKit's options for writing an image.

use std::collections::HashMap;

use super::build::{BuildRequest, Output};
use crate::plan::{BuildSpec, Compression, Export, LayerPolicy, MediaTypes, Timestamps};

/// Whether the manifest has the media types of OCI. Docker's media types have no annotations and no zstd layers: BuildKit
/// invents a name for zstd layers. With attestations BuildKit itself changes to OCI's (`exporter/containerimage`,
/// `EnableOCITypes`).
fn is_oci(build: &BuildSpec) -> bool {
    let Export { compression, media_types, annotations, .. } = &build.export;
    let needs_oci = matches!(compression, Some(Compression::Zstd | Compression::Estargz));
    *media_types == MediaTypes::Oci || needs_oci || !annotations.is_empty() || !build.attest.is_nothing()
}

/// The exporter's options, with buildx's names (BuildKit, `exporter/containerimage/exptypes`).
pub(in crate::buildkit) fn exporter_attrs(request: &BuildRequest<'_>) -> HashMap<String, String> {
    let Export { compression, level, layers, timestamps, media_types: _, annotations } = &request.build.export;
    let yes = |said: bool| said.then(|| "true".to_owned());
    // A pushed image has only its digest as name, and the engine does not keep it. Under one plain name on the engine,
    // two platforms would replace each other. The engine would unpack an image without a name only to delete it.
    let (name, pushes) = match request.to {
        // The run's own name is the first one, because no other build takes it. If BuildKit cannot assign the other
        // name, the image still exists.
        Output::Engine(names) if request.build.attest.is_nothing() => {
            (Some(format!("{},{}", names.own, names.shared)), false)
        }
        // An attestation contains all names of its image (BuildKit, `exporter/containerimage`, "in-toto subjects"). The
        // run's own name would change the attestation in each run.
        Output::Engine(names) => (Some(names.shared.to_string()), false),
        Output::Registry(repository) => (Some(repository.to_string()), true),
        Output::Nowhere(_) => (None, false),
    };
    let options = [
        ("name", name),
        ("push", yes(pushes)),
        ("push-by-digest", yes(pushes)),
        ("registry.insecure", yes(pushes && request.may_use_http(request.to.repository()))),
        ("store", pushes.then(|| "false".to_owned())),
        ("compression", compression.map(|compression| compression.as_str().to_owned())),
        ("compression-level", level.map(|level| level.get().to_string())),
        ("force-compression", yes(*layers == LayerPolicy::Recompress)),
        ("rewrite-timestamp", yes(*timestamps == Timestamps::Rewrite)),
        // The default of BuildKit changed with 0.32. Without this option the digest would depend on BuildKit's version, and
        // one index could mix both types.
        ("oci-mediatypes", Some(is_oci(request.build).to_string())),
    ];
    let said = options.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    let annotations = annotations.iter().map(|(key, value)| (format!("annotation.{key}"), value.clone()));
    said.chain(annotations).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::build::EngineNames;
    use super::*;
    use crate::oci::Reference;
    use crate::plan::{self, Facts, Overrides, SourceText};

    /// The options for the only job of an image with `settings`, to the engine or to the registry.
    fn sent(settings: &str) -> [HashMap<String, String>; 2] {
        let text = format!("{{version: 1, images: {{a: {{tags: [x], platforms: [linux/amd64], {settings}}}}}}}");
        let source = SourceText { path: "build.yaml".into(), text };
        let plan = plan::resolve(&source, &BTreeMap::new(), &Facts::new(), &Overrides::default()).unwrap();
        let job = &plan.images[0].jobs[0];
        let repository = "127.0.0.1:5000/a".parse::<Reference>().unwrap().repository;
        let (own, shared) = (repository.tag("own".parse().unwrap()), repository.tag(job.arch_tag.clone()));
        let (names, build, bases) = (EngineNames { own, shared }, &job.build().unwrap().spec, &BTreeMap::new());
        [Output::Engine(&names), Output::Registry(&repository)].map(|to| {
            let request = BuildRequest { to, platform: &job.platform, build, bases, plain_http: None, context: None };
            exporter_attrs(&request)
        })
    }

    #[test]
    fn media_types_are_sent_with_every_build() {
        for (settings, is_oci) in [
            ("", "false"),
            ("compression: gzip", "false"),
            ("oci_mediatypes: false", "false"),
            ("oci_mediatypes: true", "true"),
            ("compression: zstd", "true"),
            ("annotations: {a: b}", "true"),
            ("provenance: min", "true"),
        ] {
            for attrs in sent(settings) {
                assert_eq!(attrs.get("oci-mediatypes").map(String::as_str), Some(is_oci), "{settings}");
            }
        }
    }
}
