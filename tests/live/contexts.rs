//! What of a context reaches the image: all of what is wanted, as it is, and nothing else.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use polyarch::oci::Digest;
use rustix::fs::{CWD, FileType, Mode, makedev, mkfifoat, mknodat};

use crate::project::Project;
use crate::support::distribution::{Distribution, Setup};
use crate::support::engines::Engine;
use crate::support::parts;
use crate::support::program::Run;

on_both_engines!(
    ten_thousand_files_arrive_unchanged,
    pipes_and_devices_arrive_and_sockets_are_skipped,
    context_may_be_anywhere_on_the_machine,
    file_that_changes_while_it_is_read_ends_the_build,
    thousands_of_ignore_lines_and_copied_paths_are_accepted,
    build_with_thousands_of_settings_is_accepted,
    unreadable_ignore_file_stops_the_run_before_the_build,
    shared_context_of_several_images_is_sent_once,
    contexts_with_different_ignore_files_are_sent_separately,
);
on_the_graph_engine!(
    ten_thousand_files_arrive_unchanged,
    thousands_of_ignore_lines_and_copied_paths_are_accepted,
    shared_context_of_several_images_is_sent_once,
);

/// Of the file that BuildKit reads first; the other one would leave nothing to copy.
const IGNORE: &str = "\
# everything that a machine wrote
**/*.log
!**/keep.log
tree/cache
!tree/cache/kept/**
/tree/d1?/f-9*
**/deep/**/secret*
";

/// Prints `mode size uid:gid links mtime name -> target` of everything, and the digest of every file.
const LIST: &str = "cd /in && /bin/busybox find . -exec /bin/busybox stat -c '%f %s %u:%g %h %Y %N' {} + && \
    /bin/busybox find . -type f -exec /bin/busybox sha256sum {} +";

async fn ten_thousand_files_arrive_unchanged(engine: Engine) {
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(engine, "files");
    project.busybox("COPY tree /in\n");
    project.write("context/Dockerfile.dockerignore", IGNORE);
    project.write("context/.dockerignore", "**\n");
    let mut tree = Tree { root: project.context().join("tree"), wanted: BTreeMap::new() };
    tree.plant();
    assert!(tree.wanted.len() > 10_000);
    project.plan(registry.address(), "platforms: [linux/amd64, linux/arm64]");
    project.build(&[]).await;

    let image = project.reference(registry.address(), "1.0-amd64");
    let run = ["run", "--rm", "--network=none", "--pull=never", &image, "/bin/busybox", "sh", "-c", LIST];
    let found = read(&parts::printed(&project.engine.docker(run).await));
    let differences: Vec<_> = tree
        .wanted
        .iter()
        .filter(|(path, wanted)| found.get(*path) != Some(wanted))
        .map(|(path, wanted)| format!("{path}: {wanted}, found {:?}", found.get(path)))
        .chain(found.keys().filter(|path| !tree.wanted.contains_key(*path)).map(|path| format!("{path}: not wanted")))
        .take(20)
        .collect();
    assert!(differences.is_empty(), "{differences:#?}");
}

/// The tree of the context, and what the image must hold of it: path → mode, size, what is in it.
struct Tree {
    root: PathBuf,
    wanted: BTreeMap<String, String>,
}

impl Tree {
    fn plant(&mut self) {
        self.wanted.insert(".".into(), "41ed".into());
        fs::create_dir_all(&self.root).unwrap();
        for directory in 0..100 {
            let name = format!("d{directory:02}");
            self.directory(&name, 0o755);
            for file in 0..101 {
                let path = format!("{name}/f-{file:02}");
                let ignored = (10..20).contains(&directory) && file / 10 == 9;
                self.file(&path, path.as_bytes(), 0o644, !ignored);
            }
        }
        self.ignored();
        self.special();
        self.links();
    }

    fn ignored(&mut self) {
        self.file("noise.log", b"noise", 0o644, false);
        self.file("d05/noise.log", b"noise", 0o644, false);
        self.file("d05/keep.log", b"keep", 0o644, true);
        self.directory("cache", 0o755);
        self.file("cache/dropped", b"dropped", 0o644, false);
        self.directory("cache/kept", 0o755);
        self.directory("cache/kept/a", 0o755);
        self.file("cache/kept/a/b", b"b", 0o644, true);
        self.directory("deep", 0o755);
        self.directory("deep/er", 0o755);
        self.file("deep/er/secret.key", b"secret", 0o600, false);
        self.file("deep/er/public.key", b"public", 0o644, true);
    }

    fn special(&mut self) {
        self.file("empty", b"", 0o644, true);
        self.directory("empty directory", 0o755);
        self.directory("private", 0o700);
        self.directory("sticky", 0o1777);
        self.file("program", b"#!/bin/sh", 0o755, true);
        self.file("set-uid", b"root", 0o4755, true);
        self.file("read-only", b"read", 0o400, true);
        for name in [".hidden", "with space", "ümlaut", "-dash", "[brackets]", "star*", "quo\"te", "back\\slash"] {
            self.file(name, name.as_bytes(), 0o644, true);
        }
        let sparse = File::create(self.root.join("sparse")).unwrap();
        sparse.set_len(16 << 20).unwrap();
        sparse.write_all_at(b"the end", (16 << 20) - 7).unwrap();
        let mut bytes = vec![0; 16 << 20];
        bytes[(16 << 20) - 7..].copy_from_slice(b"the end");
        self.finish("sparse", &bytes, 0o644, 1);
    }

    fn links(&mut self) {
        for (name, target) in [("link", "d00/f-00"), ("broken", "nowhere"), ("up", "../../etc"), ("whole", "/in/d01")] {
            symlink(target, self.root.join(name)).unwrap();
            self.wanted.insert(format!("./{name}"), format!("a1ff {} -> {target}", target.len()));
        }
        self.file("hard-a", b"one file", 0o644, true);
        fs::hard_link(self.root.join("hard-a"), self.root.join("hard-b")).unwrap();
        for name in ["hard-a", "hard-b"] {
            self.finish(name, b"one file", 0o644, 2);
        }
    }

    fn directory(&mut self, name: &str, mode: u32) {
        fs::create_dir(self.root.join(name)).unwrap();
        fs::set_permissions(self.root.join(name), Permissions::from_mode(mode)).unwrap();
        self.wanted.insert(format!("./{name}"), format!("{:x}", 0o040_000 | mode));
    }

    fn file(&mut self, name: &str, bytes: &[u8], mode: u32, wanted: bool) {
        fs::write(self.root.join(name), bytes).unwrap();
        self.finish(name, bytes, mode, 1);
        if !wanted {
            self.wanted.remove(&format!("./{name}"));
        }
    }

    /// Mode, time and what is wanted of a file that was written.
    fn finish(&mut self, name: &str, bytes: &[u8], mode: u32, links: u32) {
        let path = self.root.join(name);
        let file = File::options().read(true).open(&path).unwrap();
        let seconds = 1_000_000_000 + bytes.len() as u64;
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let (digest, size, mode) = (Digest::of(bytes), bytes.len(), 0o100_000 | mode);
        self.wanted.insert(format!("./{name}"), format!("{mode:x} {size} links {links} at {seconds} {}", digest.hex()));
    }
}

/// What [`LIST`] printed, as [`Tree::wanted`] has it. The owner is always root.
fn read(listed: &str) -> BTreeMap<String, String> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for line in listed.lines() {
        if let Some((digest, path)) = line.split_once("  ").filter(|(digest, _)| digest.len() == 64) {
            found.get_mut(path).unwrap().extend([" ", digest]);
            continue;
        }
        let [mode, size, owner, links, mtime, name] = line.splitn(6, ' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        assert_eq!(owner, "0:0", "{line}");
        // Of links alone the name is quoted: 'name' -> 'target'.
        let link = name.trim_matches('\'').split_once("' -> '");
        let what = match (&mode[..1], link) {
            ("4", _) => mode.to_owned(),
            (_, Some((_, target))) => format!("{mode} {size} -> {target}"),
            (_, None) => format!("{mode} {size} links {links} at {mtime}"),
        };
        found.insert(link.map_or(name, |(name, _)| name).to_owned(), what);
    }
    found
}

async fn pipes_and_devices_arrive_and_sockets_are_skipped(engine: Engine) {
    // BuildKit 0.8 gets them, and its `COPY` leaves FIFOs out and makes files of devices.
    let copies = engine.host == Engine::new().host;
    let project = Project::new(engine, "special");
    let nodes = if copies { "test -p /in/run/pipe && test -c /in/run/null && " } else { "" };
    let test = format!("{nodes}test ! -e /in/run/socket && test -e /in/run/file");
    project.busybox(&format!("COPY . /in\nRUN [\"/bin/busybox\", \"sh\", \"-c\", \"{test}\"]\n"));
    project.plan("local", "platforms: [linux/amd64, linux/arm64]");
    project.write("context/run/file", "x");
    let run = project.context().join("run");
    mkfifoat(CWD, run.join("pipe"), Mode::RUSR).unwrap();
    let mode = Mode::RUSR | Mode::WUSR;
    mknodat(CWD, run.join("null"), FileType::CharacterDevice, mode, makedev(1, 3)).unwrap();
    let _listening = std::os::unix::net::UnixListener::bind(run.join("socket")).unwrap();
    let built = project.run(&["build", "--no-push", "--progress", "plain"]).await.expect_code(0);
    let warned = built.stderr.matches("skips the socket run/socket").count();
    assert_eq!(warned, 1, "{}", built.stderr);
    // A socket that is ignored is no matter.
    project.write("context/.dockerignore", "run/socket\n");
    let quiet = project.run(&["build", "--no-push", "--progress", "plain"]).await.expect_code(0);
    assert!(!quiet.stderr.contains("skips the socket"), "{}", quiet.stderr);
}

async fn context_may_be_anywhere_on_the_machine(engine: Engine) {
    let project = Project::new(engine, "anywhere");
    project.busybox("COPY which /which\n");
    project.write("context/which", "context");
    project.write("context/Dockerfile", "this is not the one");
    project.write("plans/which", "plans");
    project.write("dockerfiles/One", format!("{}COPY which /which\n", crate::project::BUSYBOX));
    project.plan("local", "platforms: [linux/amd64]\ndockerfile: ../dockerfiles/One");
    let plan =
        fs::read_to_string(project.path("build.yaml")).unwrap().replace("context: context", "context: ../context");
    project.write("plans/build.yaml", plan);
    let file = project.path("plans/build.yaml");
    let build = project.command(&["build", "-f", file.to_str().unwrap()]).folder("/");
    build.finish().await.expect_code(0);
    let image = format!("{}:1.0", project.name);
    let run = ["run", "--rm", "--network=none", "--pull=never", &image, "/bin/busybox", "cat", "/which"];
    assert_eq!(parts::printed(&project.engine.docker(run).await), "context");
}

async fn file_that_changes_while_it_is_read_ends_the_build(engine: Engine) {
    let project = Project::new(engine, "changes");
    project.busybox("COPY large /large\n");
    project.plan("local", "platforms: [linux/amd64]");
    let large = File::create(project.context().join("large")).unwrap();
    large.set_len(4 << 30).unwrap();
    let building = project.start(&["build", "--no-push"]);
    // It is open, and no disk is fast enough to have it all by then.
    let files = format!("/proc/{}/fd", building.pid().as_raw_nonzero());
    let path = project.context().join("large");
    let is_open = || {
        let mut files = fs::read_dir(&files).unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        files.any(|file| file == path)
    };
    parts::eventually("the file is open", parts::LIMIT, is_open).await;
    large.set_len(1 << 20).unwrap();
    let failed = building.finish().await.expect_code(2);
    assert!(failed.stderr.contains("large changed while polyarch read the build context"), "{}", failed.stderr);
}

/// Lines of an ignore file. BuildKit sends each as a header, and so it does with the paths of a Dockerfile.
const LINES: usize = 5_000;

async fn thousands_of_ignore_lines_and_copied_paths_are_accepted(engine: Engine) {
    // On other engines so many paths take minutes, or BuildKit 0.8 gives up (`flightcontrol: exceeded retry timeout`).
    let paths = if engine.host == Engine::new().host { 5_000 } else { 500 };
    let project = Project::new(engine, "many");
    // Each is 150 bytes and more, so that all of them fill hundreds of frames.
    let deep = format!("{}/\u{fc}ber", "a-long-name-of-a-folder-".repeat(5));
    let mut lines = String::from("secret\n*.key\n");
    let mut copies = String::new();
    for nth in 0..LINES {
        writeln!(lines, "{deep}/ignored-{nth:05}").unwrap();
    }
    // An image has 127 layers at most.
    for step in 0..50 {
        copies.push_str("COPY");
        for nth in 0..paths / 50 {
            project.write(&format!("context/{deep}/kept-{step:02}-{nth:03}"), "");
            write!(copies, " \\\n  {deep}/kept-{step:02}-{nth:03}").unwrap();
        }
        copies.push_str(" /in/\n");
    }
    lines.push_str("last\n");
    project.busybox(&format!("{copies}COPY . /all/\n"));
    for name in ["secret", "a.key", "last", &format!("{deep}/ignored-{:05}", LINES - 1)] {
        project.write(&format!("context/{name}"), "must not be sent");
    }
    project.write("context/.dockerignore", &lines);
    project.plan("local", "platforms: [linux/amd64]");
    project.run(&["build", "--load"]).await.expect_code(0);
    let image = format!("{}:1.0", project.name);
    let script = "cd /in && /bin/busybox ls | /bin/busybox wc -l; cd /all && /bin/busybox find . -type f | \
                  /bin/busybox grep -c kept-; /bin/busybox find . -name 'secret' -o -name '*.key' -o -name last -o -name 'ignored*'";
    let run = ["run", "--rm", "--network=none", "--pull=never", &image, "/bin/busybox", "sh", "-c", script];
    let found = parts::printed(&project.engine.docker(run).await);
    assert_eq!(found.split_whitespace().collect::<Vec<_>>(), [paths.to_string(), paths.to_string()], "{found}");
}

async fn build_with_thousands_of_settings_is_accepted(engine: Engine) {
    let project = Project::new(engine, "settings");
    let map = |key: &str| {
        let value = "v".repeat(200);
        (0..2_000).map(|nth| format!("{key}{nth}: \"{value}{nth}\"")).collect::<Vec<_>>().join(", ")
    };
    let secrets: Vec<_> = (0..500).map(|nth| format!("{{ id: s{nth}, env: SECRET }}")).collect();
    project.busybox(
        "ARG a1999\nRUN --mount=type=secret,id=s499 [\"/bin/busybox\", \"sh\", \"-c\", \
         \"echo ${#a1999} $(/bin/busybox cat /run/secrets/s499 | /bin/busybox wc -c) > /sizes\"]\n",
    );
    let settings = format!(
        "platforms: [linux/amd64]\nargs: {{ {} }}\nlabels: {{ {} }}\nsecrets: [{}]",
        map("a"),
        map("l"),
        secrets.join(", ")
    );
    project.plan("local", &settings);
    let built = project.command(&["build", "--load"]).env("SECRET", "canary-of-settings");
    built.finish().await.expect_code(0);
    let image = format!("{}:1.0", project.name);
    let run = ["run", "--rm", "--network=none", "--pull=never", &image, "/bin/busybox", "cat", "/sizes"];
    assert_eq!(parts::printed(&project.engine.docker(run).await), "204 18");
    let label = ["image", "inspect", "--format", "{{len (index .Config.Labels \"l1999\")}}", &image];
    assert_eq!(parts::printed(&project.engine.docker(label).await), "204");
}

/// Makes an ignore file at a path.
type Make<'a> = &'a dyn Fn(&Path);

async fn unreadable_ignore_file_stops_the_run_before_the_build(engine: Engine) {
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(engine, "unreadable");
    project.busybox("COPY . /all/\n");
    project.write("context/secret", "canary");
    project.write("outside", "secret\n");
    project.write("named/secret", "canary");
    project.plan(registry.address(), "platforms: [linux/amd64]");
    let plan = fs::read_to_string(project.path("build.yaml")).unwrap();
    let utf16: Vec<u8> = "\u{feff}secret\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let cases: [(&str, &str, Make<'_>); 6] = [
        ("context/.dockerignore", "is not a regular file", &|path| fs::create_dir(path).unwrap()),
        ("context/.dockerignore", "is a link to a file that does not exist", &|path| symlink("none", path).unwrap()),
        ("context/.dockerignore", "is a link that leads out of its directory", &|path| {
            symlink("../outside", path).unwrap();
        }),
        ("context/Dockerfile.dockerignore", "is a link that leads out of its directory", &|path| {
            symlink("../outside", path).unwrap();
        }),
        ("context/.dockerignore", "is not UTF-8", &|path| fs::write(path, &utf16).unwrap()),
        ("named/.dockerignore", "is a link that leads out of its directory", &|path| {
            symlink("../outside", path).unwrap();
        }),
    ];
    let knows_contexts = parts::printed(&project.engine.docker(["version", "--format={{.Server.APIVersion}}"]).await);
    for (path, why, make) in cases {
        let named = path.starts_with("named/");
        if named && knows_contexts == "1.41" {
            continue;
        }
        project.write(
            "build.yaml",
            if named { format!("{plan}    contexts: {{ other: named }}\n") } else { plan.clone() },
        );
        let file = project.path(path);
        make(&file);
        let refused = project.run(&["build"]).await.expect_code(2);
        let words = format!("{} {why}\n", file.display());
        assert!(refused.stderr.contains(&words), "no {words:?} in\n{}", refused.stderr);
        assert!(refused.stderr.contains("hint: "), "{}", refused.stderr);
        if file.is_dir() && !file.is_symlink() { fs::remove_dir(file).unwrap() } else { fs::remove_file(file).unwrap() }
    }
    assert!(registry.requests().iter().all(|asked| !asked.starts_with("PUT") && !asked.starts_with("POST")));

    // The program runs as a user who may not read the file. Root may read it, unless that capability is taken away.
    project.write("build.yaml", plan);
    project.write("context/.dockerignore", "secret\n");
    fs::set_permissions(project.path("context/.dockerignore"), Permissions::from_mode(0o000)).unwrap();
    let unprivileged = ["--bounding-set=-dac_override,-dac_read_search", "--", env!("CARGO_BIN_EXE_polyarch"), "build"];
    let run = Run::of("setpriv", &project.home, unprivileged);
    let run = run.folder(project.path("")).env("DOCKER_HOST", &project.engine.host);
    let refused = run.finish().await.expect_code(2);
    assert!(refused.stderr.contains(".dockerignore cannot be read: Permission denied"), "{}", refused.stderr);
    // An ignore file that can be read counts.
    fs::set_permissions(project.path("context/.dockerignore"), Permissions::from_mode(0o644)).unwrap();
    project.build(&[]).await;
    let image = project.reference(registry.address(), "1.0-amd64");
    let run = ["run", "--rm", "--network=none", "--pull=never", &image, "/bin/busybox", "ls", "-A", "/all"];
    let listed = parts::printed(&project.engine.docker(run).await);
    assert!(!listed.contains("secret") && listed.contains("Dockerfile"), "{listed}");
}

/// Plans an image for each of these Dockerfiles, all on one context that has 1 MB beside them; gives that file's size.
fn several(project: &Project, registry: &Distribution, dockerfiles: &[&str]) -> u64 {
    let name = &project.name;
    let big = name.repeat(1_000_000 / name.len());
    project.write("context/big", &big);
    let mut plan = format!(
        "version: 1\nregistry: {}\ndefaults: {{ context: context, tags: [\"1.0\"], platforms: [linux/amd64, linux/arm64] }}\nimages:\n",
        registry.address()
    );
    for (at, dockerfile) in dockerfiles.iter().enumerate() {
        project.write(&format!("context/D{at}"), format!("FROM scratch\n{dockerfile}\nLABEL name={name}{at}\n"));
        writeln!(plan, "  {name}-{at}: {{ dockerfile: D{at} }}").unwrap();
    }
    project.write("build.yaml", plan);
    big.len() as u64
}

/// The bytes of contexts that a run sent, by its report.
fn sent(report: &serde_json::Value) -> u64 {
    let images = report["images"].as_array().unwrap().iter();
    let platforms = images.flat_map(|image| image["platforms"].as_array().unwrap());
    platforms.map(|platform| platform["context_bytes"].as_u64().unwrap()).sum()
}

async fn shared_context_of_several_images_is_sent_once(engine: Engine) {
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(engine, "common");
    project.write("context/.dockerignore", "D?\n.dockerignore\nsecret\n");
    project.write("context/secret", "x");
    let all = ["COPY . /", "COPY big /", "COPY . /src/", "COPY big /other"];
    let size = several(&project, &registry, &all);
    let report = project.build(&["--no-elf"]).await;
    assert_eq!(sent(&report), size, "four images for two platforms");
    let report = project.build(&["--no-elf"]).await;
    assert_eq!(sent(&report), 0, "the engine kept it");
    project.write("context/more", "more");
    let report = project.build(&["--no-elf"]).await;
    assert_eq!(sent(&report), 4, "what is new is sent once");

    // What is ignored is in no image, and one that fails ends no other.
    several(&project, &registry, &["COPY . /", "COPY secret /", "COPY big /"]);
    let failed = project.run(&["build", "--no-elf"]).await.expect_code(4);
    assert!(failed.stderr.contains("`secret` does not exist in the context"), "{}", failed.stderr);
    assert_eq!(failed.stdout.lines().count(), 2, "{}", failed.stderr);
}

async fn contexts_with_different_ignore_files_are_sent_separately(engine: Engine) {
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(engine, "apart");
    project.write("context/D1.dockerignore", "D*\n");
    project.write("context/.dockerignore", "D*\n.dockerignore\n");
    let size = several(&project, &registry, &["COPY . /", "COPY . /"]);
    let report = project.build(&["--no-elf"]).await;
    let ignore = fs::metadata(project.path("context/.dockerignore")).unwrap().len();
    assert_eq!(sent(&report), 2 * size + ignore, "the second one has an ignore file of its own");

    // Where no build takes everything, each gets what it names.
    project.write("context/large", project.name.repeat(100_000));
    let size = several(&project, &registry, &["COPY D0 D[0] big /", "COPY big /copied"]);
    fs::remove_file(project.path("context/D1.dockerignore")).unwrap();
    project.write("context/.dockerignore", "");
    let report = project.build(&["--no-elf"]).await;
    assert!(sent(&report) < 3 * size, "{}", sent(&report));
}
