//! Bytes of a connection to the embedded registry. The registry answers or ends the connection, and goes on serving
//! other clients.
#![no_main]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use polyarch::embedded::{Embedded, Opened};
use tokio::signal::unix::{SignalKind, signal};

/// Most bytes of an answer that are read: a list of tags is the longest.
const MOST: u64 = 1 << 20;

/// Served until the process ends.
static REGISTRY: LazyLock<SocketAddr> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap().keep();
    let Opened::Held(registry) = Embedded::open(&folder).unwrap() else { panic!("somebody else holds it") };
    let address = registry.address();
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            // The fuzzer's main does not ignore this signal, as Rust's does. A client that goes away would end the
            // process.
            let _ignored = signal(SignalKind::pipe()).unwrap();
            registry.serve(std::future::pending()).await
        })
    });
    address
});

/// Closes the connection that it comes on.
const PROBE: &[u8] = b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

fn ask(bytes: &[u8], patience: Duration) -> Vec<u8> {
    let mut stream = TcpStream::connect(*REGISTRY).unwrap();
    stream.set_read_timeout(Some(patience)).unwrap();
    let mut answer = Vec::new();
    // The registry may end the connection before it has read all.
    if stream.write_all(bytes).is_ok() {
        let _ = stream.take(MOST).read_to_end(&mut answer);
    }
    answer
}

fuzz_target!(|bytes: &[u8]| {
    // The registry answers a whole request, and the probe after it. A request that is not whole ends with our patience.
    ask(&[bytes, PROBE].concat(), Duration::from_millis(30));
    let answer = ask(PROBE, Duration::from_secs(20));
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
});
