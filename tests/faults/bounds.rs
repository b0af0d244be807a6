//! Engines and layers may send without end. That takes neither memory nor time.

use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::json;
use std::io::Write as _;

use super::world::{World, says};
use crate::support::images::{Document, Image};
use crate::support::memory::peak;
use crate::support::program::Finished;
use crate::support::scripted_engine::{Rest, Script};

/// The most memory that the program may take, in KiB. The rest of the promised 64 MiB is room for the pages of the
/// program file, which are not counted.
const MEMORY: u64 = 40 << 10;
/// How long it may take to find out that an answer has no end.
const LONG: Duration = Duration::from_secs(30);
const PLATFORMS: [&str; 5] = ["linux/amd64", "linux/arm64", "linux/386", "linux/s390x", "linux/riscv64"];

async fn bounded(world: &World, args: &[&str], what: &str) -> Finished {
    let (began, running) = (Instant::now(), world.run(args).start());
    let watch = peak(&running);
    let finished = running.finish().await;
    let (took, peak) = (began.elapsed(), watch.join().unwrap());
    std::io::stderr().write_all(format!("{what}: {took:?}, {peak} KiB\n").as_bytes()).unwrap();
    assert!(peak > 0 && peak < MEMORY, "{what}: {peak} KiB\n{}", finished.stderr);
    finished
}

#[tokio::test]
async fn endless_engine_answer_is_cut_off() {
    for (line, code) in [("GET /version", 3), ("GET /info", 3), ("GET /images/", 4)] {
        for status in [200, 500] {
            let script =
                Script::default().rest(move |asked| asked.starts_with(line).then_some(Rest::Endless(status, "", "x")));
            let world = World::start(script).await;
            let what = format!("{status} {line}");
            let began = Instant::now();
            let finished = bounded(&world, &["build"], &what).await.expect_code(code);
            assert!(began.elapsed() < LONG, "{what}: {:?}", began.elapsed());
            says(&finished, &["the engine's answer is longer than 4194304 bytes"]);
            world.assert_untouched();
        }
    }
}

#[tokio::test]
async fn endless_line_of_a_push_is_cut_off() {
    for (status, first, then, said) in [
        (200, "{\"status\":\"", "x", "the connection to the engine was lost"),
        (200, "{\"errorDetail\":{\"message\":\"", "\\n", "the connection to the engine was lost"),
        (200, "", " ", "the connection to the engine was lost"),
        (500, "", "x\n", "the engine's answer is longer than 4194304 bytes"),
    ] {
        let script =
            Script::default().rest(move |line| line.ends_with("/push").then_some(Rest::Endless(status, first, then)));
        let world = World::start(script).await;
        let began = Instant::now();
        let finished = bounded(&world, &["build"], first).await.expect_code(5);
        assert!(began.elapsed() < LONG, "{first}: {:?}", began.elapsed());
        says(&finished, &[said]);
        world.assert_untouched();
    }
}

/// A line that never ends may be as long as polyarch keeps one, and every step of a build may have such a line.
#[tokio::test]
async fn hundred_endless_log_lines_take_little_memory() {
    let script = Script::default().solve(async |call| {
        // Six times the longest line that polyarch keeps: it could not have room for all of them.
        let part = "x".repeat(400 << 10);
        for step in 0..100 {
            call.log_of(&format!("sha256:{step}"), &part);
        }
        call.built()
    });
    let world = World::start(script).await;
    let began = Instant::now();
    bounded(&world, &["build"], "100 steps").await.expect_code(0);
    assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
    assert_eq!(world.put(), ["1.0", "latest"]);
}

/// An archive of this many entries of one kind, with long names.
fn archive(entries: usize, entry: impl Fn(usize) -> (u8, String, String)) -> Vec<u8> {
    let mut archive = Vec::new();
    let mut add = |kind: u8, name: &str, link: &str, content: &[u8]| {
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..107].copy_from_slice(b"0000755");
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156] = kind;
        header[157..157 + link.len()].copy_from_slice(link.as_bytes());
        let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        archive.extend(header);
        archive.extend(content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    };
    for at in 0..entries {
        let (kind, name, link) = entry(at);
        add(b'L', "long", "", name.as_bytes());
        if kind == b'2' {
            add(b'K', "long", "", link.as_bytes());
        }
        add(kind, "entry", "", b"");
    }
    archive
}

/// Each platform has an image with such a layer, in both compressions. None of the layers has the program. polyarch reads
/// four layers of gzip at once, and one of zstd: one more waits.
#[tokio::test]
async fn layers_full_of_names_take_little_memory() {
    let long = "x".repeat(500);
    let links = archive(20_000, |at| (b'2', format!("{at}"), long.clone()));
    let whiteouts = archive(50_000, |at| (b'0', format!("{long}/.wh.{at}"), String::new()));
    let deep = archive(50_000, |at| (b'5', format!("{at}{}", "/d".repeat(200)), String::new()));
    // polyarch keeps only hashes of whiteouts and directories: only many of them are too many.
    for (what, layer) in [("links", links), ("whiteouts", whiteouts), ("deep directories", deep)] {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&layer).unwrap();
        let zstd = compress_to_vec(&layer[..], CompressionLevel::Fastest);
        for (suffix, bytes, count) in [("gzip", gzip.finish().unwrap(), 5), ("zstd", zstd, 2)] {
            let world = World::start(Script::default()).await;
            let layer = Document { media_type: format!("application/vnd.oci.image.layer.v1.tar+{suffix}"), bytes };
            let sources: Vec<_> = PLATFORMS[..count]
                .iter()
                .enumerate()
                .map(|(at, platform)| {
                    let tag = format!("source-{at}");
                    let start = json!({ "Entrypoint": ["/app"] });
                    world.store.push("hello", &tag, &Image::oci(platform, what).holding(&start, &[&layer]));
                    format!("{}/hello:{tag}", world.registry.host())
                })
                .collect();
            let target = format!("{}/hello:1.0", world.registry.host());
            let mut args = vec!["join", "-t", &target];
            args.extend(sources.iter().map(String::as_str));
            let what = format!("{what}, {suffix}, {} bytes", layer.bytes.len());
            let finished = bounded(&world, &args, &what).await.expect_code(0);
            says(&finished, &["not checked: its layer sha256:", "its layers have too many names"]);
        }
    }
}

/// polyarch reserves memory only for the compression that is declared.
#[tokio::test]
async fn huge_zstd_window_or_undeclared_compression_is_not_read() {
    // A frame's head with a window of 128 MiB (RFC 8878, 3.1.1.1), and an empty last block.
    let wide = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x88, 0x01, 0x00, 0x00];
    for (suffix, said) in [
        ("+zstd", "window"),
        ("+gzip", "its bytes are zstd, but its media type does not declare zstd"),
        ("", "bytes are zstd"),
    ] {
        let world = World::start(Script::default()).await;
        let layer =
            Document { media_type: format!("application/vnd.oci.image.layer.v1.tar{suffix}"), bytes: wide.clone() };
        let image = Image::oci("linux/amd64", "wide").holding(&json!({ "Entrypoint": ["/app"] }), &[&layer]);
        world.store.push("hello", "source", &image);
        let [source, target] = ["source", "1.0"].map(|tag| format!("{}/hello:{tag}", world.registry.host()));
        let finished = bounded(&world, &["join", "-t", &target, &source], suffix).await.expect_code(0);
        says(&finished, &["programs of linux/amd64 not checked: its layer sha256:", said]);
    }
}

/// The program is in none of the directories, so the search would look into each of them.
#[tokio::test]
async fn search_of_a_path_with_100000_directories_is_fast() {
    let world = World::start(Script::default()).await;
    let layer = Document {
        media_type: "application/vnd.oci.image.layer.v1.tar".to_owned(),
        bytes: archive(20_000, |at| (b'0', format!("bin/{at}"), String::new())),
    };
    let path = (0..100_000).map(|at| format!("/opt/{at}")).collect::<Vec<_>>().join(":");
    let start = json!({ "Cmd": ["server"], "Env": [format!("PATH={path}")] });
    world.store.push("hello", "source", &Image::oci("linux/amd64", "path").holding(&start, &[&layer]));
    let [source, target] = ["source", "1.0"].map(|tag| format!("{}/hello:{tag}", world.registry.host()));
    let began = Instant::now();
    let finished = bounded(&world, &["join", "-t", &target, &source], "PATH").await.expect_code(0);
    says(&finished, &["programs of linux/amd64 not checked: server was not found in its layers"]);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}
