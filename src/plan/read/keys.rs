//! The keys that each map of a plan may have. `schema.json` has the same keys for editors, and a test compares both.

/// The keys of one kind of map.
pub(in crate::plan) struct Keys {
    /// The name of the map in messages.
    pub(in crate::plan) of: &'static str,
    /// The keys that the map may have.
    pub(in crate::plan) known: &'static [&'static str],
    /// Keys that are planned and refused until polyarch supports them.
    pub(in crate::plan) not_yet: &'static [&'static str],
}

/// The plan itself.
pub(in crate::plan) const PLAN: Keys = Keys {
    of: "a plan",
    known: &["version", "registry", "engines", "defaults", "images", "silence"],
    not_yet: &["groups", "matrix"],
};

/// `registry`, written as a map.
pub(in crate::plan) const REGISTRY: Keys = Keys {
    of: "a registry",
    known: &["type", "host", "region", "endpoint", "insecure", "ca", "cert", "key", "may_send_to"],
    not_yet: &[],
};

/// One of `engines`.
pub(in crate::plan) const ENGINE: Keys = Keys {
    of: "an engine",
    known: &[
        "host",
        "command",
        "context",
        "buildkit",
        "builder",
        "tls",
        "platforms",
        "platforms_only",
        "slots",
        "emulate",
        "required",
        "insecure",
    ],
    not_yet: &[],
};

/// `tls` of an engine.
pub(in crate::plan) const TLS: Keys =
    Keys { of: "the TLS of an engine", known: &["ca", "cert", "key", "servername"], not_yet: &[] };

/// `buildkit` of an engine, written as a map.
pub(in crate::plan) const ENGINE_BUILDKIT: Keys =
    Keys { of: "the way to a BuildKit", known: &["command"], not_yet: &[] };

/// The build settings that an image and each of its platforms may have. `before` and `after` are keys of the image
/// only.
macro_rules! keys_of_a_build {
    ([$($before:literal),*], [$($after:literal),*]) => {
        &[
            $($before,)*
            "from",
            "context",
            "contexts",
            "dockerfile",
            "dockerfile_inline",
            "target",
            "args",
            "labels",
            "secrets",
            "ssh",
            "network",
            "extra_hosts",
            "shm_size",
            "ulimits",
            "cgroup_parent",
            "no_cache",
            "no_cache_filter",
            "cache",
            "pull",
            "compression",
            "compression_level",
            "force_compression",
            "rewrite_timestamp",
            "oci_mediatypes",
            "annotations",
            "provenance",
            "sbom",
            "engine",
            "emulate",
            "timeout",
            "arch_tag",
            "arch_tags",
            "entry",
            $($after,)*
        ]
    };
}

/// One of `images`, or `defaults`.
pub(in crate::plan) const IMAGE: Keys = Keys {
    of: "an image",
    known: keys_of_a_build!(["repository", "tags", "platforms", "when"], ["attestations", "ecr"]),
    not_yet: NOT_YET,
};

/// One of an image's `platforms`: the build settings of an image, for one platform.
pub(in crate::plan) const PLATFORM: Keys = Keys { of: "a platform", known: keys_of_a_build!([], []), not_yet: NOT_YET };

/// `entry`: the settings of `docker manifest annotate`, and `platform` for three of them at once.
pub(in crate::plan) const ENTRY: Keys = Keys {
    of: "an entry",
    known: &["platform", "os", "arch", "variant", "os_version", "os_features"],
    not_yet: &["annotations"],
};

/// `ecr`: how polyarch creates a repository.
pub(in crate::plan) const ECR: Keys = Keys {
    of: "a repository of ECR",
    known: &["create", "immutable", "scan_on_push", "encryption", "tags", "lifecycle"],
    not_yet: &[],
};
/// `immutable` of `ecr`, written as a map.
pub(in crate::plan) const ECR_IMMUTABLE: Keys = Keys { of: "the map `immutable`", known: &["except"], not_yet: &[] };
/// `encryption` of `ecr`, written as a map.
pub(in crate::plan) const ECR_ENCRYPTION: Keys =
    Keys { of: "the encryption of a repository", known: &["type", "key"], not_yet: &[] };
/// One of `tags`, written as a map.
pub(in crate::plan) const TAG: Keys = Keys { of: "a tag", known: &["tag", "when"], not_yet: &[] };
/// One of `secrets`.
pub(in crate::plan) const SECRET: Keys = Keys { of: "a secret", known: &["id", "env", "file"], not_yet: &[] };
/// `cache`.
pub(in crate::plan) const CACHE: Keys =
    Keys { of: "a cache", known: &["registry", "mode", "from", "to"], not_yet: &[] };
/// One of the caches under `from`, written as a map.
pub(in crate::plan) const CACHE_FROM: Keys =
    Keys { of: "a cache that is imported", known: &["type", "ref", "src"], not_yet: &[] };
/// The cache under `to`, written as a map.
pub(in crate::plan) const CACHE_TO: Keys =
    Keys { of: "a cache that is exported", known: &["type", "ref", "dest", "mode"], not_yet: &[] };
/// A cache in Amazon S3, with the attributes of buildx.
pub(in crate::plan) const CACHE_S3: Keys = Keys {
    of: "a cache of `type: s3`",
    known: &[
        "type",
        "mode",
        "region",
        "bucket",
        "name",
        "prefix",
        "manifests_prefix",
        "blobs_prefix",
        "endpoint_url",
        "use_path_style",
        "touch_refresh",
        "upload_parallelism",
        "ignore-error",
        "access_key_id",
        "secret_access_key",
        "session_token",
    ],
    not_yet: &[],
};
/// A cache in Azure Blob Storage, with the attributes of buildx.
pub(in crate::plan) const CACHE_AZBLOB: Keys = Keys {
    of: "a cache of `type: azblob`",
    known: &[
        "type",
        "mode",
        "account_url",
        "account_name",
        "container",
        "name",
        "prefix",
        "manifests_prefix",
        "blobs_prefix",
        "ignore-error",
        "secret_access_key",
    ],
    not_yet: &[],
};
/// A cache of GitHub Actions, with the attributes of buildx.
pub(in crate::plan) const CACHE_GHA: Keys = Keys {
    of: "a cache of `type: gha`",
    known: &[
        "type",
        "mode",
        "scope",
        "url",
        "url_v2",
        "version",
        "timeout",
        "repository",
        "ignore-error",
        "token",
        "ghtoken",
    ],
    not_yet: &[],
};
/// One of `ulimits`, written as a map.
pub(in crate::plan) const ULIMIT: Keys = Keys { of: "a ulimit", known: &["soft", "hard"], not_yet: &[] };

/// Keys of Compose and bake, each with the key that replaces it here.
pub(super) const ELSEWHERE: &[(&str, &str)] = &[
    ("additional_contexts", "contexts"),
    ("attest", "provenance"),
    ("build_arg", "args"),
    ("build_args", "args"),
    ("cache_from", "cache"),
    ("cache_to", "cache"),
];

/// Keys that belong under another key.
pub(super) const UNDER: &[(&str, &str)] = &[("ca", "tls"), ("cert", "tls"), ("key", "tls"), ("servername", "tls")];

const NOT_YET: &[&str] = &["no_cache_from", "registry"];
