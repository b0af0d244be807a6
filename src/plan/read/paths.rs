//! Paths in a plan, relative to its directory or to the context.

use std::path::{Component, Path, PathBuf};

/// Joins `path` to `base`, without `.` components. `..` is kept, because only the file system can resolve it.
pub(in crate::plan) fn join(base: &Path, path: &str) -> PathBuf {
    let joined: PathBuf = base.join(path).components().filter(|part| *part != Component::CurDir).collect();
    if joined.as_os_str().is_empty() { PathBuf::from(".") } else { joined }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plan_paths_join_without_needless_dots() {
        for (base, path, joined) in [
            ("", ".", "."),
            ("", "a/./b/", "a/b"),
            ("plans", ".", "plans"),
            ("plans", "../x", "plans/../x"),
            ("plans", "/abs", "/abs"),
            (".", "./a", "a"),
        ] {
            assert_eq!(join(Path::new(base), path), Path::new(joined), "{base} {path}");
        }
    }
}
