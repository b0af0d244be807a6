//! A tar archive of small files in memory, for `docker load` (POSIX.1-2017, `pax`: ustar interchange format).

/// The size of a block. Headers and contents fill whole blocks.
const BLOCK: usize = 512;

/// The archive of `files`. Each file has a path of at most 100 bytes and a content of less than 8 GiB.
pub(super) fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (path, bytes) in files {
        archive.extend(header(path, bytes.len()));
        archive.extend(bytes);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    // Two empty blocks mark the end.
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive
}

fn header(path: &str, size: usize) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, path.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    // The checksum: the sum of all bytes, with its own eight bytes counted as spaces.
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn tar_program_reads_the_archive() {
        let files = [("a/b".to_owned(), b"one".to_vec()), ("c".to_owned(), vec![b'x'; 1024]), ("d".to_owned(), vec![])];
        let mut command = Command::new("tar");
        let mut reading = command
            .args(["--list", "--verbose", "--file", "-"])
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        reading.stdin.take().unwrap().write_all(&tar(&files)).unwrap();
        let listed = reading.wait_with_output().unwrap();
        assert!(listed.status.success());
        let listed = String::from_utf8(listed.stdout).unwrap();
        let seen: Vec<_> = listed
            .lines()
            .map(|line| {
                let words: Vec<_> = line.split_whitespace().collect();
                (words[0], words[2], words[5])
            })
            .collect();
        assert_eq!(seen, [("-rw-r--r--", "3", "a/b"), ("-rw-r--r--", "1024", "c"), ("-rw-r--r--", "0", "d")]);
    }
}
