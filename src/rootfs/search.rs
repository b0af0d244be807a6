//! Searches for the program that shows the platform of an image.

use std::io::{self, ErrorKind, Read};

use super::decode::Unpacked;
use super::files::{End, Files};
use crate::oci::{ElfMachine, Platform, Start};

/// The most bytes that are unpacked for one image. A few compressed kilobytes can unpack to any size.
const MAX_UNPACKED: u64 = 1 << 30;
/// The most bytes of names that are looked up for one image. Every new name on the way to a program starts the lookup
/// again.
const MAX_FOLLOWED: usize = 64 << 20;

/// A search in the layers of an image. The caller passes the layers from the topmost down.
#[derive(Debug)]
pub struct Search {
    platform: Platform,
    /// The program to search for. `None`: any program.
    start: Option<Start>,
    files: Files,
    /// The bytes that may still be unpacked.
    left: u64,
    /// The bytes of names that were looked up.
    followed: usize,
    /// The result so far, if the image names no program.
    seen: Answer,
}

/// The result of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The search found nothing yet.
    Nothing,
    /// A program for the platform.
    Fits,
    /// A program for another processor.
    Foreign {
        /// The path.
        path: String,
        /// The processor of the program.
        machine: ElfMachine,
    },
    /// The file that the image starts is not an ELF program.
    NoProgram {
        /// The path.
        path: String,
    },
}

impl Search {
    /// A search for the program that a container of an image for `platform` starts. If the image starts no program,
    /// any program for the platform is enough. Such images may also contain programs for other platforms.
    #[must_use]
    pub fn new(platform: Platform, start: Option<Start>) -> Self {
        Self { platform, start, files: Files::default(), left: MAX_UNPACKED, followed: 0, seen: Answer::Nothing }
    }

    /// Reads the next lower layer, up to the end of the search.
    ///
    /// # Errors
    /// The layer cannot be read to the point where the search would end.
    pub fn read(&mut self, layer: impl Read) -> io::Result<()> {
        let mut unpacked = Unpacked::of(layer)?.take(self.left);
        let Self { platform, start, files, seen, followed: bytes, .. } = self;
        let mut followed = start.as_ref().map(|start| files.first(start.places()));
        let taken = files.take(&mut unpacked, |files, name| {
            if let (Some(start), Some(followed)) = (&*start, &mut followed) {
                if files.is_missed(followed, name) {
                    *followed = files.first(start.places());
                    *bytes += followed.bytes;
                }
                return followed.end != End::Unknown || *bytes > MAX_FOLLOWED;
            }
            let found = files.elf(name).and_then(|machine| judge(platform, name, machine));
            if let Some(found) = found.filter(|found| *found == Answer::Fits || *seen == Answer::Nothing) {
                *seen = found;
            }
            *seen == Answer::Fits
        });
        if *bytes > MAX_FOLLOWED {
            return Err(io::Error::new(ErrorKind::FileTooLarge, "too many paths lead to its program through links"));
        }
        self.left = unpacked.limit();
        match taken {
            Err(error) if self.left == 0 => Err(io::Error::new(
                ErrorKind::FileTooLarge,
                format!("it unpacks to more than {MAX_UNPACKED} bytes: {error}"),
            )),
            taken => taken,
        }
    }

    /// The result so far.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let Some(start) = &self.start else { return self.seen.clone() };
        match self.files.first(start.places()).end {
            End::Unknown => Answer::Nothing,
            End::Other(path) => Answer::NoProgram { path: format!("/{path}") },
            // Programs for an unknown platform cannot be judged.
            End::Elf(path, machine) => judge(&self.platform, &path, machine).unwrap_or(Answer::Nothing),
        }
    }

    /// Whether another layer cannot change the result.
    #[must_use]
    pub fn is_over(&self) -> bool {
        match self.answer() {
            Answer::Nothing => false,
            Answer::Fits => true,
            Answer::Foreign { .. } | Answer::NoProgram { .. } => self.start.is_some(),
        }
    }
}

fn judge(platform: &Platform, name: &str, machine: ElfMachine) -> Option<Answer> {
    Some(if machine.is_of(platform)? { Answer::Fits } else { Answer::Foreign { path: format!("/{name}"), machine } })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::oci::elf::tests::head;
    use crate::rootfs::files::MOST_KEPT;
    use crate::rootfs::tar::tests::{archive, directory, extended, file, hard_link, link, program};

    fn start(settings: &str) -> Option<Start> {
        Start::of(format!(r#"{{"config":{settings}}}"#).as_bytes())
    }

    /// The result for layers of an image for linux/arm64, the topmost layer first.
    fn found(settings: &str, layers: &[Vec<u8>]) -> Answer {
        let mut search = Search::new("linux/arm64".parse().unwrap(), start(settings));
        for layer in layers {
            search.read(&layer[..]).unwrap();
            if search.is_over() {
                break;
            }
        }
        search.answer()
    }

    fn foreign(path: &str) -> Answer {
        Answer::Foreign { path: path.to_owned(), machine: ElfMachine::read(&head("amd64")).unwrap() }
    }

    const SERVER: &str = r#"{"Entrypoint":["/app/server"]}"#;
    const SHELL: &str = r#"{"Entrypoint":["/bin/sh","-c","server"]}"#;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    #[test]
    fn program_is_found_in_layers_of_every_compression() {
        for architecture in ["amd64", "arm64"] {
            let layer = archive(&[directory("app"), file("app/notes", b"x"), program("app/server", architecture)]);
            let (first, second) = layer.split_at(700);
            let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..], &zstd(first), &zstd(second)].concat();
            let members = [gzip(first), gzip(second)].concat();
            for layer in [layer.clone(), gzip(&layer), zstd(&layer), skipped, members] {
                let expected = if architecture == "arm64" { Answer::Fits } else { foreign("/app/server") };
                assert_eq!(found(SERVER, &[layer]), expected);
            }
        }
    }

    #[test]
    fn upper_layers_replace_and_delete_lower_files() {
        let (arm, x86) = (archive(&[program("./app/server", "arm64")]), archive(&[program("app/server", "amd64")]));
        assert_eq!(found(SERVER, &[arm.clone(), x86.clone()]), Answer::Fits);
        assert_eq!(found(SERVER, &[x86.clone(), arm.clone()]), foreign("/app/server"));
        for whiteout in ["app/.wh.server", ".wh.app", "app/.wh..wh..opq", ".wh..wh..opq"] {
            let top = archive(&[file(whiteout, b"")]);
            assert_eq!(found(SERVER, &[top, x86.clone()]), Answer::Nothing, "{whiteout}");
        }
        // A whiteout affects lower layers. The files of its own layer are kept.
        let replaced = archive(&[file("app/.wh..wh..opq", b""), program("app/server", "arm64")]);
        assert_eq!(found(SERVER, &[replaced, x86.clone()]), Answer::Fits);
        let other = archive(&[file("app/.wh.serve", b"")]);
        assert_eq!(found(SERVER, &[other, x86]), foreign("/app/server"));
    }

    #[test]
    fn program_search_follows_links_and_scripts_in_all_layers() {
        let base = archive(&[
            link("bin", "usr/bin"),
            link("usr/bin/sh", "dash"),
            program("usr/bin/dash", "amd64"),
            hard_link("usr/bin/env", "./usr/bin/dash"),
        ]);
        assert_eq!(found(SHELL, std::slice::from_ref(&base)), foreign("/usr/bin/dash"));
        for (settings, line) in [(SERVER, "#!/bin/sh\n"), (SERVER, "#! /bin/sh -e"), (SERVER, "#!/usr/bin/env node\n")]
        {
            let script = archive(&[link("app", "/opt/../srv"), file("srv/server", line.as_bytes())]);
            let Answer::Foreign { path, .. } = found(settings, &[script, base.clone()]) else { panic!("{line}") };
            assert!(["/usr/bin/dash", "/usr/bin/env"].contains(&path.as_str()), "{path}");
        }
        let in_path = r#"{"Cmd":["tool"],"Env":["PATH=/opt/bin:/bin"]}"#;
        let tool = archive(&[link("usr/bin/tool", "../../bin/dash")]);
        assert_eq!(found(in_path, &[tool, base.clone()]), foreign("/usr/bin/dash"));
        let folder = r#"{"Cmd":["./dash"],"WorkingDir":"/bin/"}"#;
        assert_eq!(found(folder, &[base]), foreign("/usr/bin/dash"));
    }

    #[test]
    fn program_search_ends_on_loops_and_dead_ends() {
        let circle = archive(&[link("app/server", "other"), link("app/other", "server")]);
        assert_eq!(found(SERVER, &[circle]), Answer::NoProgram { path: "/app/server".into() });
        let script = archive(&[file("app/server", b"#!/app/server\n")]);
        assert_eq!(found(SERVER, &[script]), Answer::NoProgram { path: "/app/server".into() });
        let jar = archive(&[file("app/server", b"PK\x03\x04")]);
        assert_eq!(found(SERVER, &[jar]), Answer::NoProgram { path: "/app/server".into() });
        assert_eq!(found(SERVER, &[archive(&[program("app/server/below", "amd64")])]), Answer::Nothing);
        assert_eq!(found(SERVER, &[archive(&[program("app", "amd64")])]), Answer::Nothing);
        assert_eq!(found(SERVER, &[Vec::new()]), Answer::Nothing);
    }

    #[test]
    fn image_without_a_command_needs_one_program_of_its_platform() {
        let nothing = "null";
        assert_eq!(found(nothing, &[archive(&[program("tools/x", "amd64")])]), foreign("/tools/x"));
        let both = archive(&[program("tools/amd64", "amd64"), program("tools/arm64", "arm64")]);
        assert_eq!(found(nothing, &[both]), Answer::Fits);
        let layers = [archive(&[program("tools/amd64", "amd64")]), archive(&[program("tools/arm64", "arm64")])];
        assert_eq!(found(nothing, &layers), Answer::Fits);
        assert_eq!(found(nothing, &[archive(&[file("data", b"1")])]), Answer::Nothing);
    }

    #[test]
    fn layer_is_unpacked_only_up_to_a_limit() {
        let mut search = Search::new("linux/arm64".parse().unwrap(), start(SERVER));
        search.left = 1 << 20;
        let bomb = gzip(&archive(&[file("zeros", &vec![0; 3 << 20]), program("app/server", "amd64")]));
        let error = search.read(&bomb[..]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge, "{error}");
        assert_eq!(search.answer(), Answer::Nothing);
    }

    /// The entries by number.
    type Entries<'a> = &'a dyn Fn(usize) -> Vec<u8>;

    #[test]
    fn names_kept_from_a_layer_are_bounded() {
        let long = "x".repeat(4000);
        let pax = |key: &str, value: &str| {
            let record = format!("{key}={value}\n");
            // The length includes its own digits. The length field always has four characters here.
            extended(b'x', format!("{} {record}", record.len() + 5).as_bytes())
        };
        let named = |at: usize| format!("{at:06}");
        let kinds: [(&str, Entries); 6] = [
            ("links", &|at| [pax("linkpath", &long), link(&named(at), "x")].concat()),
            ("hard links", &|at| [extended(b'K', long.as_bytes()), hard_link(&named(at), "x")].concat()),
            ("whiteouts", &|at| [pax("path", &format!("{long}/.wh.{at}")), file("x", b"")].concat()),
            ("opaque directories", &|at| file(&format!("{at}/.wh..wh..opq"), b"")),
            ("directories", &|at| [extended(b'L', format!("{long}{at}").as_bytes()), directory("x")].concat()),
            ("scripts", &|at| file(&named(at), format!("#!/{}", "i".repeat(250)).as_bytes())),
        ];
        for (what, entry) in kinds {
            let layer: Vec<u8> = (0..100).flat_map(entry).collect();
            let mut search = Search::new("linux/arm64".parse().unwrap(), start(SERVER));
            search.files.kept = MOST_KEPT - 99 * 64;
            let error = search.read(&layer[..]).unwrap_err();
            assert!(error.to_string().contains("too many names"), "{what}: {error}");
            assert_eq!(search.answer(), Answer::Nothing, "{what}");
        }
    }

    /// Each link is a missing part of the way, the last part first.
    #[test]
    fn late_directory_names_do_not_slow_the_program_search() {
        let deep = |at: usize| format!("/{at}{}", "/d".repeat(900));
        let path = (0..256).map(deep).collect::<Vec<_>>().join(":");
        let image = start(&format!(r#"{{"Cmd":["app"],"Env":["PATH={path}"]}}"#));
        let names = (0..256).flat_map(|at| (1..150).map(move |parts| format!("{at}{}", "/d".repeat(900 - parts))));
        let long = |name: String| [extended(b'L', name.as_bytes()), link("x", "x")].concat();
        let layer: Vec<u8> = names.flat_map(long).collect();
        let mut search = Search::new("linux/arm64".parse().unwrap(), image);
        let began = std::time::Instant::now();
        let read = search.read(&layer[..]);
        assert_eq!(search.answer(), Answer::Nothing, "{read:?}");
        assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
        let straight = start(&format!(r#"{{"Cmd":["app"],"Env":["PATH={}"]}}"#, deep(0)));
        let mut search = Search::new("linux/arm64".parse().unwrap(), straight);
        search.followed = MAX_FOLLOWED - 1;
        let error = search.read(&layer[..]).unwrap_err();
        assert!(error.to_string().contains("too many paths"), "{error}");
    }

    #[test]
    fn long_path_variable_does_not_slow_the_program_search() {
        let places = (0..100_000).map(|at| format!("/opt/{at}")).collect::<Vec<_>>().join(":");
        let start = Start::of(format!(r#"{{"config":{{"Cmd":["app"],"Env":["PATH={places}:/bin"]}}}}"#).as_bytes());
        let layer = archive(&(0..20_000).map(|at| program(&format!("opt/x/{at}"), "amd64")).collect::<Vec<_>>());
        let mut search = Search::new("linux/arm64".parse().unwrap(), start);
        let began = std::time::Instant::now();
        search.read(&layer[..]).unwrap();
        assert_eq!(search.answer(), Answer::Nothing);
        assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
    }

    #[test]
    fn invalid_layer_is_refused() {
        let layer = archive(&[program("app/server", "amd64")]);
        let mut broken = layer.clone();
        broken[3] ^= 1;
        let mut long = archive(&[file("x", &[])]);
        long[156] = b'x';
        long[124..135].copy_from_slice(b"77777777777");
        crate::rootfs::tar::tests::seal(&mut long);
        for bad in [broken, long, layer[..600].to_vec(), gzip(&layer)[..60].to_vec(), zstd(&layer)[..60].to_vec()] {
            let mut search = Search::new("linux/arm64".parse().unwrap(), start(r#"{"Cmd":["/other"]}"#));
            search.read(&bad[..]).unwrap_err();
        }
    }
}
