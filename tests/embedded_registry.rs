//! The embedded registry as a process: killed, opened twice, starved, read slowly.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::StreamExt as _;
use http::Method;
use polyarch::embedded::{Embedded, Opened, STORE_HEADER};
use polyarch::oci::{Digest, MediaType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::registry_conformance::peer::{Answer, Peer, image};

/// Tells the test binary, started as a child, which directory to hold.
const HOLD: &str = "POLYARCH_TEST_HOLD";

/// Not a test: what the children of the tests below run. It ends with its standard input.
#[test]
fn held_by_a_child() {
    let Some(dir) = std::env::var_os(HOLD) else { return };
    let Opened::Held(embedded) = Embedded::open(Path::new(&dir)).unwrap() else { panic!("somebody else holds it") };
    println!("HOLDING {}", embedded.address());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        drop(stop);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(embedded.serve(async { drop(stopped.await) })).unwrap();
}

/// A registry in a process of its own; killed with SIGKILL when it is dropped.
struct Holder {
    child: Child,
    address: SocketAddr,
    /// The child would end if it wrote to a closed pipe. It writes a line after a minute.
    _output: BufReader<ChildStdout>,
}

impl Holder {
    fn start(dir: &Path) -> Self {
        Self::run(Command::new(std::env::current_exe().unwrap()), dir)
    }

    /// With `dir` on a file system of its own of `size` bytes.
    fn starved(dir: &Path, size: usize) -> Self {
        let mut command = Command::new("unshare");
        let script = format!("mount -t tmpfs -o size={size} tmpfs \"$0\" && exec \"$@\"");
        command.args(["--map-root-user", "--mount", "sh", "-c", &script]);
        command.arg(dir).arg(std::env::current_exe().unwrap());
        Self::run(command, dir)
    }

    fn run(mut command: Command, dir: &Path) -> Self {
        command.args(["--exact", "embedded_registry::held_by_a_child", "--nocapture"]).env(HOLD, dir);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut lines = output.by_ref().lines().map_while(Result::ok);
        let address = lines.find_map(|line| line.split("HOLDING ").nth(1)?.parse().ok());
        Self { address: address.expect("the child says where it listens"), child, _output: output }
    }

    fn peer(&self, name: &str) -> Peer {
        Peer::new(&format!("http://{}", self.address), name)
    }

    /// The most memory that it ever had resident, in bytes.
    fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn held(dir: &Path) -> Embedded {
    match Embedded::open(dir).unwrap() {
        Opened::Held(embedded) => embedded,
        Opened::Elsewhere { address, .. } => panic!("held at {address}"),
    }
}

/// Serves `embedded` while `work` runs.
async fn serving<T>(embedded: Embedded, work: impl Future<Output = T>) -> T {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let work = async {
        let done = work.await;
        drop(stop);
        done
    };
    let (served, done) = tokio::join!(embedded.serve(async { drop(stopped.await) }), work);
    served.unwrap();
    done
}

#[tokio::test]
async fn layer_of_5_gib_is_pushed_and_pulled_in_constant_memory() {
    const PIECE: usize = 1 << 20;
    const PIECES: usize = 5 << 10;
    static ZEROS: [u8; PIECE] = [0; PIECE];
    let digest: Digest = "sha256:7f06c62352aebd8125b2a1841e2b9e1ffcbed602f381c3dcb3200200e383d1d5".parse().unwrap();
    // Beside the build: the system's directory for temporary files may lie in memory.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let holder = Holder::start(dir.path());
    let peer = holder.peer("big");
    peer.blob(b"warm").await.unwrap();
    let before = holder.peak_memory();

    let pieces = (0..PIECES).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(&ZEROS)));
    let upload = peer.request(Method::PATCH, &peer.begin().await.unwrap());
    let body = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
    let sent =
        Answer::of(upload.timeout(std::time::Duration::from_mins(10)).body(body)).await.unwrap().is(202).unwrap();
    peer.finish(sent.header("location").unwrap(), &digest, "").await.unwrap().is(201).unwrap();

    let get = peer.ask(Method::GET, &format!("blobs/{digest}")).timeout(std::time::Duration::from_mins(10));
    let mut download = get.send().await.unwrap().bytes_stream();
    let mut received = 0;
    while let Some(piece) = download.next().await {
        received += piece.unwrap().len();
    }
    assert_eq!(received, PIECE * PIECES);
    let grown = holder.peak_memory() - before;
    assert!(grown < 64 << 20, "{} MiB more", grown >> 20);
}

#[tokio::test]
async fn slow_reader_gets_the_whole_blob() {
    const READERS: usize = 24;
    let dir = tempfile::tempdir().unwrap();
    let embedded = held(dir.path());
    let address = embedded.address();
    let bytes: Vec<u8> = (0..1_u32 << 18).flat_map(u32::to_le_bytes).collect();
    let read = |digest: Digest| async move {
        // The kernel makes the smallest window of it that it has: the server waits for us all the time.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4 << 10).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        let request = format!("GET /v2/slow/blobs/{digest} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let (mut answer, mut piece) = (Vec::new(), [0; 1 << 10]);
        loop {
            match stream.read(&mut piece).await.unwrap() {
                0 => break answer,
                n => answer.extend_from_slice(&piece[..n]),
            }
            tokio::task::yield_now().await;
        }
    };
    let answers = serving(embedded, async {
        let digest = Peer::new(&format!("http://{address}"), "slow").blob(&bytes).await.unwrap();
        futures::future::join_all((0..READERS).map(|_| read(digest.clone()))).await
    })
    .await;
    for answer in answers {
        let body = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        assert!(answer[body..] == bytes[..], "{} of {} bytes", answer.len() - body, bytes.len());
    }
}

#[tokio::test]
async fn hanging_reader_loses_its_connection() {
    let dir = tempfile::tempdir().unwrap();
    let embedded = held(dir.path());
    let address = embedded.address();
    let answer = serving(embedded, async {
        // More than the kernel buffers for a connection.
        let digest = Peer::new(&format!("http://{address}"), "hung").blob(&vec![0; 64 << 20]).await.unwrap();
        let mut hung = TcpStream::connect(address).await.unwrap();
        let request = format!("GET /v2/hung/blobs/{digest} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        hung.write_all(request.as_bytes()).await.unwrap();
        // The clock goes on when the server can do nothing but wait.
        tokio::time::pause();
        tokio::time::sleep(std::time::Duration::from_mins(6)).await;
        tokio::time::resume();
        let mut answer = Vec::new();
        // Broken off, which a client can tell from the end of the blob by the announced length.
        let _ = hung.read_to_end(&mut answer).await;
        answer
    })
    .await;
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.len() < 64 << 20, "{} bytes", answer.len());
}

#[tokio::test]
async fn one_process_serves_the_embedded_registry_for_all() {
    let dir = tempfile::tempdir().unwrap();
    let holder = Holder::start(dir.path());
    let Opened::Elsewhere { address, id } = Embedded::open(dir.path()).unwrap() else { panic!("a child holds it") };
    assert_eq!(address, holder.address);
    let answer = Answer::of(holder.peer("any").request(Method::GET, "/v2/")).await.unwrap();
    assert_eq!(answer.header(STORE_HEADER).unwrap(), id);
    // Killed: nobody could clean up, and still the next one has it, at the same address.
    drop(holder);
    let next = held(dir.path());
    assert_eq!((next.address(), next.id(), next.port_changed_from()), (address, &*id, None));
}

#[test]
fn taken_port_is_replaced_by_a_port_that_is_then_kept() {
    let dir = tempfile::tempdir().unwrap();
    let first = held(dir.path()).address();
    let stranger = std::net::TcpListener::bind(first).unwrap();
    let second = held(dir.path());
    let moved = second.address();
    assert!(moved != first && second.port_changed_from() == Some(first.port()));
    drop((second, stranger));
    let third = held(dir.path());
    assert_eq!((third.address(), third.port_changed_from()), (moved, None));
}

#[test]
fn registry_without_an_address_file_is_a_transient_error() {
    let dir = tempfile::tempdir().unwrap();
    let held = held(dir.path());
    fs::remove_file(dir.path().join("address")).unwrap();
    assert!(Embedded::open(dir.path()).unwrap_err().is_transient());
    drop(held);
}

#[tokio::test]
async fn sigkill_keeps_acknowledged_content_and_tags() {
    const PUSHERS: usize = 4;
    let dir = tempfile::tempdir().unwrap();
    let mut pushed = HashMap::new();
    for round in 0..12_usize {
        let holder = Holder::start(dir.path());
        let acknowledged = AtomicUsize::new(0);
        let tagged = std::sync::Mutex::new(std::mem::take(&mut pushed));
        {
            let pushing =
                (0..PUSHERS).map(|n| push_for_ever(holder.peer(&format!("p{n}")), round, &tagged, &acknowledged));
            let enough = futures::future::poll_fn(|context| {
                context.waker().wake_by_ref();
                // Another point of the sequence each time.
                if acknowledged.load(Ordering::Relaxed) >= 3 + round * 5 {
                    std::task::Poll::Ready(())
                } else {
                    std::task::Poll::Pending
                }
            });
            tokio::select! {
                _ = futures::future::join_all(pushing) => panic!("the registry refused a push"),
                () = enough => {}
            }
        }
        // While the last requests are being worked on.
        drop(holder);
        pushed = tagged.into_inner().unwrap();
        let embedded = held(dir.path());
        let base = format!("http://{}", embedded.address());
        serving(embedded, check(dir.path(), &base, &mut pushed)).await;
    }
}

/// What a repository's tag may name: the last manifest that was acknowledged, or the one after it.
type Tagged = HashMap<String, (Option<Digest>, Option<Digest>)>;

/// Pushes images, each of a layer of 1 MiB, under one tag; ends when the registry does.
async fn push_for_ever(peer: Peer, round: usize, tagged: &std::sync::Mutex<Tagged>, acknowledged: &AtomicUsize) {
    for n in 0.. {
        let layer = format!("{} {round} {n} ", peer.name).repeat(1 << 16);
        let bytes = image_of(layer.as_bytes());
        let digest = Digest::of(&bytes);
        let pushed = async {
            peer.blob(b"{}").await?;
            acknowledged.fetch_add(1, Ordering::Relaxed);
            peer.blob(layer.as_bytes()).await?;
            acknowledged.fetch_add(1, Ordering::Relaxed);
            tagged.lock().unwrap().entry(peer.name.clone()).or_default().1 = Some(digest.clone());
            peer.manifest("latest", MediaType::OciManifest.as_str(), &bytes).await?.is(201)
        };
        if pushed.await.is_err() {
            return;
        }
        tagged.lock().unwrap().insert(peer.name.clone(), (Some(digest), None));
        acknowledged.fetch_add(1, Ordering::Relaxed);
    }
}

fn image_of(layer: &[u8]) -> Vec<u8> {
    image(&MediaType::OciManifest, b"{}", layer)
}

async fn check(dir: &Path, base: &str, tagged: &mut Tagged) {
    assert_eq!(fs::read_dir(dir.join("uploads")).unwrap().count(), 0, "unfinished uploads are removed");
    for entry in fs::read_dir(dir.join("blobs/sha256")).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(Digest::of(&fs::read(entry.path()).unwrap()).hex(), entry.file_name().to_str().unwrap());
    }
    for (name, (acknowledged, sent)) in tagged {
        let peer = Peer::new(base, name);
        let answer = peer.get("manifests/latest").await.unwrap();
        if acknowledged.is_none() && answer.header("docker-content-digest").is_err() {
            continue;
        }
        let answer = answer.is(200).unwrap();
        let digest = Some(Digest::of(&answer.body));
        assert!([&*acknowledged, &*sent].contains(&&digest), "{name} names something else");
        (*acknowledged, *sent) = (digest, None);
        for layer in answer.json().unwrap()["layers"].as_array().unwrap() {
            peer.head(&format!("blobs/{}", layer["digest"].as_str().unwrap())).await.unwrap().is(200).unwrap();
        }
    }
}

#[tokio::test]
async fn full_disk_answers_507_and_keeps_old_content() {
    let dir = tempfile::tempdir().unwrap();
    let holder = Holder::starved(dir.path(), 4 << 20);
    let peer = holder.peer("full");
    let image = peer.image(Some("1"), &MediaType::OciManifest, "small").await.unwrap();
    let large = vec![1; 8 << 20];
    let refused = peer.finish(&peer.begin().await.unwrap(), &Digest::of(&large), large).await.unwrap();
    refused.refused(507, "UNKNOWN").unwrap();
    // The space of what did not fit is free again.
    assert_eq!(peer.get("manifests/1").await.unwrap().body, image);
    peer.blob(&vec![2; 2 << 20]).await.unwrap();
}

/// One request, byte for byte, and the status of its answer.
async fn raw(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn embedded_registry_answers_loopback_names_and_no_web_page() {
    let dir = tempfile::tempdir().unwrap();
    let embedded = held(dir.path());
    let address = embedded.address();
    serving(embedded, async {
        for (headers, status) in [
            (format!("host: {address}"), "200"),
            ("host: localhost".into(), "200"),
            ("host: LOCALHOST:5000".into(), "200"),
            ("host: 127.9.9.9:1".into(), "200"),
            ("host: [::1]:5000".into(), "200"),
            ("host: evil.example".into(), "421"),
            ("host: localhost.evil.example".into(), "421"),
            ("host: 127.0.0.1.nip.io".into(), "421"),
            ("host: 10.0.0.1".into(), "421"),
            ("host: ".into(), "421"),
            ("x: no host at all".into(), "421"),
            ("host: localhost\r\nhost: evil.example".into(), "421"),
            ("host: localhost\r\norigin: https://evil.example".into(), "403"),
        ] {
            let request = format!("GET /v2/ HTTP/1.1\r\n{headers}\r\nconnection: close\r\n\r\n");
            assert_eq!(raw(address, &request).await, status, "{headers}");
        }
        let absolute = "GET http://evil.example/v2/ HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        assert_eq!(raw(address, absolute).await, "421");
    })
    .await;
}

#[tokio::test]
async fn request_that_runs_at_shutdown_finishes() {
    let dir = tempfile::tempdir().unwrap();
    let embedded = held(dir.path());
    let peer = Peer::new(&format!("http://{}", embedded.address()), "last");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (sender, receiver) = futures::channel::mpsc::unbounded::<Result<&str, std::io::Error>>();
    let asking = async {
        let location = peer.begin().await.unwrap();
        let digest = Digest::of(b"begin, end");
        let upload = peer.finish(&location, &digest, reqwest::Body::wrap_stream(receiver));
        sender.unbounded_send(Ok("begin, ")).unwrap();
        let (shut, go_on) = tokio::sync::oneshot::channel::<()>();
        let ending = async {
            // The request has arrived when its first bytes are in their file.
            let uploads = dir.path().join("uploads");
            let begun = || fs::read_dir(&uploads).unwrap().any(|e| e.unwrap().metadata().unwrap().len() > 0);
            while !begun() {
                tokio::task::yield_now().await;
            }
            drop((stop, shut));
        };
        let finishing = async {
            let _ = go_on.await;
            sender.unbounded_send(Ok("end")).unwrap();
            drop(sender);
        };
        tokio::join!(upload, ending, finishing).0
    };
    let (served, answer) = tokio::join!(embedded.serve(async { drop(stopped.await) }), asking);
    served.unwrap();
    answer.unwrap().is(201).unwrap();
}

#[tokio::test]
async fn hanging_request_ends_after_the_grace_period() {
    let dir = tempfile::tempdir().unwrap();
    let embedded = held(dir.path());
    let address = embedded.address();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let asking = async {
        let location = Peer::new(&format!("http://{address}"), "hung").begin().await.unwrap();
        let mut hung = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "PATCH {location} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 10\r\nexpect: 100-continue\r\n\r\n"
        );
        hung.write_all(head.as_bytes()).await.unwrap();
        // "100 Continue": the request is being worked on.
        hung.read_exact(&mut [0; 12]).await.unwrap();
        // From here nothing happens but timers.
        tokio::time::pause();
        drop(stop);
        hung
    };
    let before = tokio::time::Instant::now();
    let (served, _hung) = tokio::join!(embedded.serve(async { drop(stopped.await) }), asking);
    served.unwrap();
    // Time stands still but for the timers: longer means that another one than the grace ended it.
    let waited = before.elapsed().as_secs();
    assert!((5..60).contains(&waited), "{waited} s");
    assert!(matches!(Embedded::open(dir.path()), Ok(Opened::Held(_))), "the lock is released");
}
