//! The names of compressions.

pub(in crate::plan) const COMPRESSIONS: [(&str, Compression); 4] = [
    ("gzip", Compression::Gzip),
    ("zstd", Compression::Zstd),
    ("estargz", Compression::Estargz),
    ("uncompressed", Compression::Uncompressed),
];

/// The name in the plan.
pub(in crate::plan) fn name(compression: Compression) -> &'static str {
    COMPRESSIONS.iter().find(|(_, known)| *known == compression).map_or("gzip", |(name, _)| name)
}

/// The compression of layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Every engine and registry can read it.
    Gzip,
    /// Faster and smaller. Docker Engine before 23.0 cannot pull it.
    Zstd,
    /// gzip with files that can be read one by one, for containerd's stargz snapshotter.
    Estargz,
    /// No compression.
    Uncompressed,
}

impl Compression {
    /// The name in the plan, in BuildKit and in buildx.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        name(self)
    }
}
