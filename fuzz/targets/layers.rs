//! Layers, gzip, zstd or plain, as the search for an image's program reads them. `//` stands between two layers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use polyarch::oci::Start;
use polyarch::rootfs::{Answer, Search};

fuzz_target!(|bytes: &[u8]| {
    let config = br#"{"config":{"Entrypoint":["app"],"Env":["PATH=/bin:/usr/bin:/a/../b"]}}"#;
    for start in [None, Start::of(config)] {
        let mut search = Search::new("linux/amd64".parse().unwrap(), start);
        let mut rest = bytes;
        for _ in 0..3 {
            let end = rest.windows(2).position(|pair| pair == b"//").unwrap_or(rest.len());
            let (layer, more) = rest.split_at(end);
            if search.read(layer).is_err() {
                break;
            }
            rest = more.get(2..).unwrap_or_default();
        }
        assert!(!search.is_over() || search.answer() != Answer::Nothing, "a search without an answer is not over");
    }
});
