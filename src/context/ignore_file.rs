//! Checks that an ignore file can be read. If BuildKit cannot read an ignore file, it silently continues without one
//! (BuildKit, `frontend/dockerui`). The image would then contain all files that you excluded.

use std::io::Read as _;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::entry::Stamp;
use super::error::{ContextError, IgnoreFileFault, escape};
use super::follow::follow;
use super::root::Root;

/// The largest ignore file, in bytes. BuildKit sends its lines as headers, and an engine accepts this many bytes of
/// headers.
pub const MAX_IGNORE_FILE_BYTES: u64 = 16 << 20;

/// Whether an ignore file exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IgnoreFile {
    /// The file exists and can be read.
    Readable,
    /// The file does not exist.
    Absent,
}

impl Root {
    /// Checks that an ignore file directly beneath the root is a regular file in UTF-8, if it exists. Symbolic links
    /// beneath the root may lead to it.
    ///
    /// # Errors
    ///
    /// [`ContextError::IgnoreFile`] if the name exists and an engine could not read it.
    pub fn check_ignore_file(&self, name: &str) -> Result<IgnoreFile, ContextError> {
        let read = self.read_ignore_file(name)?;
        Ok(if read.is_some() { IgnoreFile::Readable } else { IgnoreFile::Absent })
    }

    /// The bytes of an ignore file. `None`: the file does not exist.
    ///
    /// # Errors
    ///
    /// The errors of [`Self::check_ignore_file`].
    pub fn read_ignore_file(&self, name: &str) -> Result<Option<Vec<u8>>, ContextError> {
        let failed =
            |why| ContextError::IgnoreFile { path: escape(self.path().join(name).as_os_str().as_encoded_bytes()), why };
        let unreadable = |error: Errno| failed(IgnoreFileFault::Read(error.into()));
        match self.look_at(name) {
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(unreadable(error)),
            Ok(_) => {}
        }
        let Some(path) = self.leads_to(name)? else { return Err(failed(self.leads_nowhere(name))) };
        let stamp = Stamp::of(&self.look_at(&path).map_err(unreadable)?.0);
        match stamp.kind {
            FileType::RegularFile if stamp.size > MAX_IGNORE_FILE_BYTES => {
                return Err(failed(IgnoreFileFault::Size(stamp.size)));
            }
            FileType::RegularFile => {}
            _ => return Err(failed(IgnoreFileFault::Kind)),
        }
        let mut text = Vec::new();
        let read = self.open_for_reading(&path).map_err(unreadable)?.take(MAX_IGNORE_FILE_BYTES).read_to_end(&mut text);
        read.map_err(|error| failed(IgnoreFileFault::Read(error)))?;
        if std::str::from_utf8(&text).is_err() {
            return Err(failed(IgnoreFileFault::NotUtf8));
        }
        Ok(Some(text))
    }

    /// The path beneath the root to which a name leads through all its links.
    fn leads_to(&self, name: &str) -> Result<Option<String>, ContextError> {
        let paths = follow(self, &[name.to_owned()])?.unwrap_or_default();
        Ok(paths.into_iter().find(|path| matches!(self.look_at(path), Ok((_, None)))))
    }

    /// The error for a link that does not lead to a file beneath the root.
    fn leads_nowhere(&self, name: &str) -> IgnoreFileFault {
        if self.path().join(name).exists() { IgnoreFileFault::Outside } else { IgnoreFileFault::Dangling }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::super::testing::{open, tree};
    use super::*;

    const NAME: &str = ".dockerignore";

    #[test]
    fn readable_or_missing_ignore_file_is_accepted() {
        for (lines, expected) in [
            (&[][..], IgnoreFile::Absent),
            (&["file .dockerignore secret"], IgnoreFile::Readable),
            (&["file .dockerignore"], IgnoreFile::Readable),
            (&["dir d", "file d/real secret", "link .dockerignore d/real"], IgnoreFile::Readable),
            (&["dir d", "link d/l real", "file d/real x", "link .dockerignore /d/l"], IgnoreFile::Readable),
        ] {
            assert_eq!(open(&tree(lines)).check_ignore_file(NAME).unwrap(), expected, "{lines:?}");
        }
        let with_mark = tree(&[]);
        fs::write(with_mark.path().join(NAME), "\u{feff}gr\u{fc}n\n").unwrap();
        assert_eq!(open(&with_mark).check_ignore_file(NAME).unwrap(), IgnoreFile::Readable);
    }

    #[test]
    fn ignore_file_unreadable_for_the_engine_is_an_error() {
        let outside = tree(&["file real secret"]);
        let out = format!("link .dockerignore {}", outside.path().join("real").display());
        for (lines, why) in [
            (&["dir .dockerignore"][..], "is not a regular file"),
            (&["dir d", "link .dockerignore d"], "is not a regular file"),
            (&["link .dockerignore none"], "is a link to a file that does not exist"),
            (&["link .dockerignore .dockerignore"], "is a link to a file that does not exist"),
            (&["link a .dockerignore", "link .dockerignore a"], "is a link to a file that does not exist"),
            (&[&*out], "is a link that leads out of its directory"),
        ] {
            let tree = tree(lines);
            let root = open(&tree);
            let error = root.check_ignore_file(NAME).unwrap_err();
            assert_eq!(error.to_string(), format!("{} {why}", root.path().join(NAME).display()), "{lines:?}");
        }
        let tree = tree(&[]);
        let path = tree.path().join(NAME);
        // `echo secret > .dockerignore` writes these bytes in Windows PowerShell.
        let utf16: Vec<u8> = "\u{feff}secret\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for (bytes, why) in [(&utf16[..], "is not UTF-8"), (b"secr\xe9t\n", "is not UTF-8")] {
            fs::write(&path, bytes).unwrap();
            let error = open(&tree).check_ignore_file(NAME).unwrap_err();
            assert!(error.to_string().ends_with(why), "{error}");
        }
        fs::File::create(&path).unwrap().set_len(MAX_IGNORE_FILE_BYTES + 1).unwrap();
        assert!(matches!(
            open(&tree).check_ignore_file(NAME),
            Err(ContextError::IgnoreFile { why: IgnoreFileFault::Size(_), .. })
        ));
        fs::remove_file(&path).unwrap();
        mkfifoat(CWD, &path, Mode::RUSR).unwrap();
        let error = open(&tree).check_ignore_file(NAME).unwrap_err();
        assert!(error.to_string().ends_with("is not a regular file"), "{error}");
    }
}
