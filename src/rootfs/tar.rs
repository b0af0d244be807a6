//! Reads the tar archives of layers: POSIX ustar and pax, and GNU's long names.
//!
//! polyarch has its own reader, so that the names in a third-party archive cannot use unbounded memory.

use std::io::{self, ErrorKind, Read};

const BLOCK: usize = 512;
/// The longest extended header, in bytes.
const MAX_EXTENDED: u64 = 64 << 10;
/// The most extended headers of one entry.
const MAX_HEADERS: usize = 8;

/// The entries of an archive in order.
pub(super) struct Archive<R> {
    input: R,
    /// The unread bytes of the current entry's content.
    content: u64,
    /// The zeros behind the content.
    padding: u64,
}

/// One entry. Its path is unchanged.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: String,
    pub(super) kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A regular file, and whether any user may execute it.
    File {
        is_executable: bool,
    },
    /// Another name of an entry in this archive.
    HardLink(String),
    Link(String),
    Directory,
    Other,
}

/// The values of extended headers for the next entry.
#[derive(Default)]
struct Extended {
    path: Option<String>,
    link: Option<String>,
    size: Option<u64>,
}

fn malformed(fault: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the layer is not a valid tar archive: {fault}"))
}

impl<R: Read> Archive<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, content: 0, padding: 0 }
    }

    /// Moves to the next entry.
    pub(super) fn next(&mut self) -> io::Result<Option<Entry>> {
        let mut extended = Extended::default();
        for _ in 0..MAX_HEADERS {
            self.skip()?;
            let Some(header) = self.header()? else { return Ok(None) };
            let size = number(&header[124..136]).ok_or_else(|| malformed("a size is malformed"))?;
            match header[156] {
                b'x' => self.pax(size, &mut extended)?,
                b'L' => extended.path = Some(text(&self.extension(size)?)),
                b'K' => extended.link = Some(text(&self.extension(size)?)),
                b'g' => self.enter(size),
                kind => {
                    let entry = entry(&header, kind, &mut extended)?;
                    let has_content = matches!(kind, b'0' | 0 | b'7' | b'S');
                    self.enter(if has_content { extended.size.unwrap_or(size) } else { 0 });
                    return Ok(Some(entry));
                }
            }
        }
        Err(malformed("an entry has too many headers"))
    }

    /// The first bytes of the current entry's content, at most `most`.
    pub(super) fn head(&mut self, most: u64) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        self.input.by_ref().take(self.content.min(most)).read_to_end(&mut head)?;
        self.content -= head.len() as u64;
        Ok(head)
    }

    fn enter(&mut self, size: u64) {
        self.content = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
    }

    fn skip(&mut self) -> io::Result<()> {
        let left = self.content.saturating_add(self.padding);
        let skipped = io::copy(&mut self.input.by_ref().take(left), &mut io::sink())?;
        (self.content, self.padding) = (0, 0);
        if skipped == left { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }

    /// The next header. `None`: the end of the archive, with or without its blocks of zeros.
    fn header(&mut self) -> io::Result<Option<[u8; BLOCK]>> {
        let mut header = Vec::with_capacity(BLOCK);
        self.input.by_ref().take(BLOCK as u64).read_to_end(&mut header)?;
        if header.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let header: [u8; BLOCK] = header.try_into().map_err(|_| io::Error::from(ErrorKind::UnexpectedEof))?;
        // The sum is computed with spaces in the field of the sum.
        let sum = header.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { 32 } else { *byte });
        if number(&header[148..156]) == Some(sum.map(u64::from).sum()) {
            Ok(Some(header))
        } else {
            Err(malformed("a checksum is wrong"))
        }
    }

    fn extension(&mut self, size: u64) -> io::Result<Vec<u8>> {
        if size > MAX_EXTENDED {
            return Err(malformed("a header is too long"));
        }
        self.enter(size);
        self.head(size)
    }

    /// Records of the form `LENGTH KEY=VALUE\n` (POSIX, "pax Extended Header").
    fn pax(&mut self, size: u64, extended: &mut Extended) -> io::Result<()> {
        let records = self.extension(size)?;
        let mut rest = &records[..];
        while !rest.is_empty() {
            let record = record(rest).ok_or_else(|| malformed("a pax record is malformed"))?;
            let (key, value) = record.keyed;
            match key {
                b"path" => extended.path = Some(text(value)),
                b"linkpath" => extended.link = Some(text(value)),
                b"size" => extended.size = std::str::from_utf8(value).ok().and_then(|size| size.parse().ok()),
                _ => {}
            }
            rest = record.rest;
        }
        Ok(())
    }
}

struct Record<'a> {
    keyed: (&'a [u8], &'a [u8]),
    rest: &'a [u8],
}

fn record(records: &[u8]) -> Option<Record<'_>> {
    let space = records.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
    let record = records.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some(Record { keyed: (&record[..equals], &record[equals + 1..]), rest: &records[length..] })
}

fn entry(header: &[u8; BLOCK], kind: u8, extended: &mut Extended) -> io::Result<Entry> {
    let name = || {
        let (name, prefix) = (text(&header[..100]), text(&header[345..500]));
        // GNU uses the bytes of the prefix for other fields.
        let is_posix = header[257..263] == *b"ustar\0" && !prefix.is_empty();
        if is_posix { format!("{prefix}/{name}") } else { name }
    };
    let path = extended.path.take().unwrap_or_else(name);
    let link = extended.link.take().unwrap_or_else(|| text(&header[157..257]));
    let mode = number(&header[100..108]).ok_or_else(|| malformed("a mode is malformed"))?;
    let kind = match kind {
        // In archives from before POSIX, only the name shows that an entry is a directory.
        b'0' | 0 | b'7' if path.ends_with('/') => Kind::Directory,
        b'0' | 0 | b'7' => Kind::File { is_executable: mode & 0o111 != 0 },
        b'1' => Kind::HardLink(link),
        b'2' => Kind::Link(link),
        b'5' => Kind::Directory,
        _ => Kind::Other,
    };
    Ok(Entry { path, kind })
}

/// The text up to its NUL.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// Octal digits, or the base 256 of GNU.
fn number(field: &[u8]) -> Option<u64> {
    if let [0x80, rest @ ..] = field {
        return rest.iter().try_fold(0_u64, |sum, byte| sum.checked_mul(256)?.checked_add(u64::from(*byte)));
    }
    let digits = field.iter().copied().skip_while(|byte| *byte == b' ').take_while(|byte| !matches!(byte, b' ' | 0));
    let mut digits = digits.peekable();
    digits.try_fold(0_u64, |sum, digit| match digit {
        b'0'..=b'7' => sum.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oci::elf::tests::head;

    /// An entry with header and content.
    type Raw = Vec<u8>;

    pub(crate) fn archive(entries: &[Raw]) -> Vec<u8> {
        [entries.concat(), vec![0; 2 * BLOCK]].concat()
    }

    /// An executable file.
    pub(crate) fn file(path: &str, content: &[u8]) -> Raw {
        raw(b'0', path, "", content)
    }

    pub(crate) fn program(path: &str, architecture: &str) -> Raw {
        file(path, &head(architecture))
    }

    pub(crate) fn directory(path: &str) -> Raw {
        raw(b'5', path, "", b"")
    }

    pub(crate) fn link(path: &str, to: &str) -> Raw {
        raw(b'2', path, to, b"")
    }

    pub(crate) fn hard_link(path: &str, to: &str) -> Raw {
        raw(b'1', path, to, b"")
    }

    /// An extended header for the next entry.
    pub(crate) fn extended(kind: u8, content: &[u8]) -> Raw {
        raw(kind, "extended", "", content)
    }

    fn raw(kind: u8, path: &str, link: &str, content: &[u8]) -> Raw {
        let mut header = vec![0; BLOCK];
        header[..path.len()].copy_from_slice(path.as_bytes());
        header[100..107].copy_from_slice(b"0000755");
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[156] = kind;
        header[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header[257..263].copy_from_slice(b"ustar\0");
        seal(&mut header);
        header.extend(content);
        header.resize(header.len().next_multiple_of(BLOCK), 0);
        header
    }

    /// Writes the checksum of the first header.
    pub(crate) fn seal(archive: &mut [u8]) {
        archive[148..156].fill(b' ');
        let sum: u64 = archive[..BLOCK].iter().map(|byte| u64::from(*byte)).sum();
        archive[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }

    fn entries(bytes: &[u8]) -> io::Result<Vec<Entry>> {
        let mut archive = Archive::new(bytes);
        let mut entries = Vec::new();
        while let Some(entry) = archive.next()? {
            entries.push(entry);
        }
        Ok(entries)
    }

    #[test]
    fn tar_reader_reads_long_names_in_all_forms() {
        let long = "d/".repeat(120) + "x";
        let pax = format!("path={long}\n");
        let pax = format!("{} {pax}", pax.len() + 4);
        let mut prefixed = raw(b'0', "x", "", b"");
        prefixed[345..347].copy_from_slice(b"a/");
        seal(&mut prefixed);
        let bytes = archive(&[
            raw(b'x', "pax", "", pax.as_bytes()),
            raw(b'0', "short", "", b"content"),
            raw(b'g', "global", "", b"12 path=no\n"),
            raw(b'K', "gnu", "", long.as_bytes()),
            raw(b'L', "gnu", "", b"name\0"),
            link("short", "short"),
            prefixed,
            directory("dir/"),
        ]);
        let is_executable = true;
        let expected = [
            Entry { path: long.clone(), kind: Kind::File { is_executable } },
            Entry { path: "name".into(), kind: Kind::Link(long) },
            Entry { path: "a//x".into(), kind: Kind::File { is_executable } },
            Entry { path: "dir/".into(), kind: Kind::Directory },
        ];
        assert_eq!(entries(&bytes).unwrap(), expected);
    }

    proptest! {
        #[test]
        fn tar_reader_never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..2048), sealed in any::<bool>()) {
            if sealed && bytes.len() >= BLOCK {
                seal(&mut bytes);
            }
            let _ = entries(&bytes);
        }
    }
}
