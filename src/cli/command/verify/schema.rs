//! Holds the JSON Schema of `polyarch verify --json`.

/// The JSON Schema (draft 2020-12) of `polyarch verify --json`: `polyarch schema verify`.
pub(crate) const SCHEMA: &str = include_str!("schema.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use polyarch::auth::Anonymous;
    use polyarch::oci::{Digest, Entry, MediaType, Reference};
    use polyarch::plan::NamedRegistry;
    use polyarch::registry::{Backoff, ClientConfig, Proxies, Timeouts};
    use polyarch::run::{
        Checked, CheckedBlob, Expected, Failure, Kept, NotCheckedReport, Phase, PulledImage, Registry, Source, Storage,
        VerifiedEntry, VerifiedIndex, VerifyError, VerifyFault,
    };

    use super::super::finding::{self, Finding};
    use super::super::told::document;
    use super::*;
    use crate::cli::command::verify::outcome::{Subject, Verified};
    use crate::cli::output::display::held::Held;

    fn registry() -> Registry {
        let named = NamedRegistry::from("localhost:9".parse::<polyarch::oci::RegistryHost>().unwrap());
        let config = ClientConfig {
            user_agent: "test".into(),
            backoff: Backoff::STANDARD,
            timeouts: Timeouts::STANDARD,
            proxies: Proxies::read(|_| None).unwrap(),
            on_notice: Arc::new(|_| {}),
        };
        Registry::named(&named, &[], config, Arc::new(Anonymous), None).unwrap()
    }

    fn verified(result: Result<VerifiedIndex, VerifyError>, pulled: Option<Vec<PulledImage>>) -> Verified {
        let Reference { repository, selector } = "localhost:9/web:1".parse().unwrap();
        let source = Source { storage: Storage::Repository { registry: registry(), repository }, selector };
        let (name, image) = ("web:1".to_owned(), Some("web".to_owned()));
        let subject = Subject { name, image, source, expected: Expected::default() };
        Verified { subject, result, pulled, not_pulled: Vec::new() }
    }

    /// A reference with every field.
    fn right() -> Verified {
        let (digest, platform) = (Digest::of(b"x"), "linux/arm64".parse().unwrap());
        let Reference { repository, .. } = "localhost:9/web:1".parse().unwrap();
        let all = [Checked::Hashed, Checked::Size, Checked::Present, Checked::Foreign, Checked::Unanswered];
        let media_type = MediaType::parse("application/vnd.oci.image.layer.v1.tar+gzip");
        let blob = |checked| CheckedBlob { digest: digest.clone(), media_type: media_type.clone(), size: 1, checked };
        let entry = Entry { platform, digest: digest.clone(), bytes: 1, attestations: vec![digest.clone()] };
        let platforms = vec![entry.platform.clone()];
        let pulled = |kept| PulledImage {
            engine: "default".into(),
            platform: entry.platform.clone(),
            image: digest.clone(),
            kept,
        };
        let pulled = vec![pulled(Kept::WasThere), pulled(Kept::Removed)];
        let index = VerifiedIndex {
            index: repository.digest(digest.clone()).into(),
            media_type: "application/vnd.oci.image.index.v1+json".into(),
            indexes: vec![digest.clone()],
            entries: vec![VerifiedEntry { entry: entry.clone(), config: digest.clone() }],
            attestations: 1,
            blobs: all.map(blob).into(),
            not_checked: vec![NotCheckedReport { platforms, reason: "it has no program".into() }],
        };
        verified(Ok(index), Some(pulled))
    }

    #[test]
    fn verify_schema_has_exactly_the_fields_that_documents_use() {
        let failure = |phase| Failure::new(phase, "text".into(), Some("text".into()));
        let fault = VerifyFault { platform: Some("linux/arm64".parse().unwrap()), failure: failure(Phase::Verify) };
        let wrong = vec![right(), verified(Err(VerifyError::Untrue { index: None, faults: vec![fault] }), None)];
        let unreached = vec![Finding::of_registry(&registry(), failure(Phase::Preflight))];
        let mut held = Held::new(SCHEMA);
        held.hold(&document(&[right()], &[]));
        held.hold(&document(&wrong, &finding::all(&wrong)));
        held.hold(&document(&[], &unreached));
        assert_eq!(held.unseen(), BTreeSet::new());
    }
}
