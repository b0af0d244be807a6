//! The JSON Schema of the plan, for editors.

/// The JSON Schema (draft 2020-12) of a plan: `polyarch plan --schema`.
pub const SCHEMA: &str = include_str!("schema.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::super::read::keys::{
        CACHE, CACHE_AZBLOB, CACHE_FROM, CACHE_GHA, CACHE_S3, CACHE_TO, ECR, ECR_ENCRYPTION, ECR_IMMUTABLE, ENGINE,
        ENGINE_BUILDKIT, ENTRY, IMAGE, Keys, PLAN, PLATFORM, REGISTRY, SECRET, TLS, ULIMIT,
    };
    use super::*;

    #[test]
    fn plan_schema_has_exactly_the_keys_that_are_read() {
        let schema: Value = serde_json::from_str(SCHEMA).unwrap();
        let tables: [(&str, &Keys); 19] = [
            ("", &PLAN),
            ("/$defs/registry", &REGISTRY),
            ("/$defs/engine", &ENGINE),
            ("/$defs/engineTls", &TLS),
            ("/$defs/image", &IMAGE),
            ("/$defs/platform", &PLATFORM),
            ("/$defs/entry", &ENTRY),
            ("/$defs/secret", &SECRET),
            ("/$defs/ulimit", &ULIMIT),
            ("/$defs/cache", &CACHE),
            ("/$defs/cacheFrom", &CACHE_FROM),
            ("/$defs/cacheTo", &CACHE_TO),
            ("/$defs/ecr", &ECR),
            ("/$defs/ecrImmutable", &ECR_IMMUTABLE),
            ("/$defs/ecrEncryption", &ECR_ENCRYPTION),
            ("/$defs/engineBuildkit", &ENGINE_BUILDKIT),
            ("/$defs/cacheS3", &CACHE_S3),
            ("/$defs/cacheAzblob", &CACHE_AZBLOB),
            ("/$defs/cacheGha", &CACHE_GHA),
        ];
        for (place, keys) in tables {
            let object = schema.pointer(place).unwrap();
            let said: BTreeSet<&str> = object["properties"].as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(said, keys.known.iter().copied().collect(), "{place}");
            assert_eq!(object["additionalProperties"], Value::Bool(false), "{place}");
            assert!(keys.not_yet.iter().all(|key| !keys.known.contains(key)), "{place}");
        }
    }

    #[test]
    fn platform_keys_are_a_subset_of_image_keys() {
        assert!(PLATFORM.known.iter().all(|key| IMAGE.known.contains(key)));
    }
}
