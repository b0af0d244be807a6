//! `moby.filesync.v1.FileSync/DiffCopy`: sends a directory to the engine.
//!
//! This is fsutil's protocol (tonistiigi/fsutil, `send.go`). polyarch sends a `STAT` packet for every entry, in order,
//! and an empty one at the end. The engine sends `REQ` with the number of an entry whose bytes it wants, any time after
//! its `STAT`. polyarch answers with `DATA` packets and an empty one. The engine ends with `FIN`, and so does polyarch.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use bollard::fsutil::types::packet::PacketType;
use bollard::fsutil::types::{Packet, Stat};
use bollard::moby::filesync::v1::file_sync_server::FileSync;
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::backlog::Backlog;
use super::observed::Observed;
use crate::context::{ContextEntry, ContextError, EntryKind, Root, Selection};

/// The most bytes of a file in one packet.
const CHUNK: usize = 64 << 10;
/// The most packets that wait for the connection. With [`CHUNK`] this limits the memory of one transfer.
const WAITING: usize = 32;

/// The names of the build context and of the Dockerfile's directory (`BuildKit`, `frontend/dockerui`).
const CONTEXT: &str = "context";
const DOCKERFILE: &str = "dockerfile";

type Packets = mpsc::Sender<Result<Packet, Status>>;

/// The directories that the session serves.
#[derive(Debug, Clone)]
pub(super) struct FileSyncService {
    /// The directories by the names that the engine uses.
    roots: BTreeMap<String, Arc<Root>>,
    observed: Observed,
}

impl FileSyncService {
    /// Opens the directories.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub(super) fn open(
        context: Option<&Path>,
        dockerfile: Option<Root>,
        named: &BTreeMap<String, PathBuf>,
        observed: Observed,
    ) -> Result<Self, ContextError> {
        let named = named.iter().map(|(name, path)| (name.as_str(), path.as_path()));
        let opened = named.chain(context.map(|path| (CONTEXT, path))).map(|(name, path)| Ok((name, Root::open(path)?)));
        let shared =
            |opened: Result<(&str, Root), ContextError>| opened.map(|(name, root)| (name.to_owned(), Arc::new(root)));
        let dockerfile = dockerfile.map(|root| Ok((DOCKERFILE, root)));
        Ok(Self { roots: opened.chain(dockerfile).map(shared).collect::<Result<_, _>>()?, observed })
    }

    /// The directory that the engine's request names.
    fn root(&self, metadata: &MetadataMap) -> Result<Arc<Root>, Status> {
        let names = values(metadata, "dir-name");
        let root = names.first().and_then(|name| self.roots.get(name));
        root.cloned().ok_or_else(|| Status::not_found(format!("no directory {:?} is served", names.first())))
    }

    /// Whether the sent bytes count as context. The Dockerfile and the ignore file do not count, because they are the
    /// build's instructions. Newer engines read them again in every build, even if they have them (BuildKit,
    /// `llb.Differ(llb.DiffNone, …)`).
    fn counts(&self, root: &Arc<Root>, selection: &Selection) -> bool {
        let dockerfile = self.roots.get(DOCKERFILE).is_some_and(|dockerfile| Arc::ptr_eq(root, dockerfile));
        !dockerfile && selection.follow != [".dockerignore"]
    }
}

#[tonic::async_trait]
impl FileSync for FileSyncService {
    type DiffCopyStream = Pin<Box<dyn Stream<Item = Result<Packet, Status>> + Send>>;
    type TarStreamStream = Self::DiffCopyStream;

    async fn diff_copy(&self, request: Request<Streaming<Packet>>) -> Result<Response<Self::DiffCopyStream>, Status> {
        let root = self.root(request.metadata())?;
        let selection = selection(request.metadata());
        let (packets, waiting) = mpsc::channel(WAITING);
        let sent = if self.counts(&root, &selection) { self.observed.sent.clone() } else { Arc::default() };
        let backlog = Arc::<Backlog>::default();
        let observed = self.observed.clone();
        let transfer = Transfer { root, entries: Arc::default(), observed, packets, backlog: backlog.clone() };
        // The response owns the task. When the engine drops the stream, the task ends.
        let task = AbortOnDropHandle::new(tokio::spawn(transfer.run(selection, request.into_inner())));
        // The connection asks the stream for a packet when it has space. If the engine does not read, it never asks.
        let stream = futures::stream::unfold((waiting, task), move |(mut waiting, task)| {
            let (backlog, sent) = (backlog.clone(), sent.clone());
            async move {
                let packet = waiting.recv().await?;
                backlog.taken();
                let bytes = packet.as_ref().map_or(0, |packet| packet.data.len());
                sent.fetch_add(bytes as u64, Ordering::Relaxed);
                Some((packet, (waiting, task)))
            }
        });
        Ok(Response::new(Box::pin(stream)))
    }

    async fn tar_stream(&self, _: Request<Streaming<Packet>>) -> Result<Response<Self::TarStreamStream>, Status> {
        Err(Status::unimplemented("only DiffCopy is served"))
    }
}

/// One `DiffCopy` call.
#[derive(Clone)]
struct Transfer {
    root: Arc<Root>,
    /// The entries by the number of their packet. Only files that the engine may request are kept.
    entries: Arc<Mutex<Vec<Option<ContextEntry>>>>,
    observed: Observed,
    packets: Packets,
    backlog: Arc<Backlog>,
}

/// A file whose bytes the engine wants.
struct RequestedFile {
    number: u32,
    entry: ContextEntry,
}

/// Why a transfer ended early.
enum Stop {
    /// The engine disconnected or has enough. There is no receiver for an error.
    Disconnected,
    /// The context cannot be sent.
    Context(ContextError),
    /// The engine requested something that polyarch did not offer.
    Protocol(&'static str),
    /// The engine stopped reading.
    Stalled,
}

impl From<ContextError> for Stop {
    fn from(error: ContextError) -> Self {
        Self::Context(error)
    }
}

impl Transfer {
    async fn run(self, selection: Selection, asked: Streaming<Packet>) {
        // This channel needs no bound: each entry can be requested once, and only moves from one list to the other.
        let (requests, wanted) = mpsc::unbounded_channel();
        // Two threads for blocking work read the file system: one lists entries, one reads the requested files.
        let lister = self.clone();
        let listing = tokio::task::spawn_blocking(move || lister.list(&selection));
        let reader = self.clone();
        let reading = tokio::task::spawn_blocking(move || reader.read_wanted(wanted));
        let ended =
            async { tokio::try_join!(joined(listing), joined(reading), self.forward(asked, requests)).map(drop) };
        let ended = tokio::select! {
            ended = ended => ended,
            () = self.backlog.stalled() => Err(Stop::Stalled),
        };
        match ended {
            Ok(()) => drop(self.packets.send(Ok(packet(PacketType::PacketFin))).await),
            Err(Stop::Disconnected) => {}
            // The engine would not read an error. So this signals the build, which drops the session.
            Err(Stop::Stalled) => self.observed.stalled.cancel(),
            Err(Stop::Protocol(message)) => drop(self.packets.send(Err(Status::invalid_argument(message))).await),
            Err(Stop::Context(error)) => {
                let error = Arc::new(error);
                let status = Status::unknown(error.to_string());
                // polyarch shows the first error. Later errors follow from it.
                let _ = self.observed.context_error.set(error);
                let _ = self.packets.send(Err(status)).await;
            }
        }
    }

    /// Sends all entries, in order.
    fn list(&self, selection: &Selection) -> Result<(), Stop> {
        for entry in self.root.walk(selection)? {
            let entry = entry?;
            if entry.kind == EntryKind::Socket {
                self.observed.socket.get_or_init(|| entry.path);
                continue;
            }
            let stat = Packet { stat: Some(stat(&entry)), ..packet(PacketType::PacketStat) };
            let requestable = entry.has_content().then_some(entry);
            self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(requestable);
            self.send(stat)?;
        }
        self.send(packet(PacketType::PacketStat))
    }

    /// Receives the engine's requests until the engine has everything that it wants.
    async fn forward(
        &self,
        mut asked: Streaming<Packet>,
        requests: mpsc::UnboundedSender<RequestedFile>,
    ) -> Result<(), Stop> {
        while let Some(Ok(packet)) = asked.next().await {
            match packet.r#type() {
                PacketType::PacketReq => {
                    let number = packet.id;
                    let entry = self.take_entry(number)?;
                    requests.send(RequestedFile { number, entry }).map_err(|_| Stop::Disconnected)?;
                }
                PacketType::PacketFin => return Ok(()),
                PacketType::PacketErr => return Err(Stop::Disconnected),
                PacketType::PacketStat | PacketType::PacketData => {
                    return Err(Stop::Protocol("a receiver must not send data"));
                }
            }
        }
        Err(Stop::Disconnected)
    }

    fn take_entry(&self, number: u32) -> Result<ContextEntry, Stop> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.get_mut(number as usize).and_then(Option::take);
        entry.ok_or(Stop::Protocol("polyarch did not offer this entry, has sent it already, or it is not a file"))
    }

    /// Sends the bytes of the requested files.
    fn read_wanted(&self, mut wanted: mpsc::UnboundedReceiver<RequestedFile>) -> Result<(), Stop> {
        while let Some(RequestedFile { number, entry }) = wanted.blocking_recv() {
            self.read(number, &entry)?;
        }
        Ok(())
    }

    fn read(&self, number: u32, entry: &ContextEntry) -> Result<(), Stop> {
        let mut file = self.root.open_file(entry)?;
        let chunk = usize::try_from(entry.size()).unwrap_or(CHUNK).clamp(1, CHUNK);
        loop {
            let mut data = vec![0; chunk];
            let read = file.read_chunk(&mut data)?;
            data.truncate(read);
            // The packet without data marks the end of the file.
            self.send(Packet { id: number, data, ..packet(PacketType::PacketData) })?;
            if read == 0 {
                return Ok(());
            }
        }
    }

    /// Waits if the connection is slower than the disk.
    fn send(&self, packet: Packet) -> Result<(), Stop> {
        self.backlog.waiting(|| self.packets.blocking_send(Ok(packet)).map_err(|_| Stop::Disconnected))
    }
}

async fn joined(task: tokio::task::JoinHandle<Result<(), Stop>>) -> Result<(), Stop> {
    // A panicking thread writes its message to the log. The engine sees the end of the stream.
    task.await.unwrap_or(Err(Stop::Disconnected))
}

fn packet(kind: PacketType) -> Packet {
    Packet { r#type: kind.into(), ..Packet::default() }
}

/// An entry in fsutil's form. All owners are 0, as in `docker build`.
fn stat(entry: &ContextEntry) -> Stat {
    let (devmajor, devminor) = match entry.kind {
        EntryKind::Node { major, minor } => (major.into(), minor.into()),
        _ => (0, 0),
    };
    Stat {
        path: entry.path.clone(),
        mode: entry.mode,
        size: i64::try_from(entry.size()).unwrap_or(i64::MAX),
        mod_time: entry.mtime_ns,
        linkname: entry.linkname().to_owned(),
        devmajor,
        devminor,
        ..Stat::default()
    }
}

/// The part of the directory that the engine requests.
fn selection(metadata: &MetadataMap) -> Selection {
    Selection {
        include: values(metadata, "include-patterns"),
        exclude: values(metadata, "exclude-patterns"),
        follow: values(metadata, "followpaths"),
    }
}

/// The values of `key`, decoded like BuildKit's `filesync.decodeOpts`.
fn values(metadata: &MetadataMap, key: &str) -> Vec<String> {
    let encoded = metadata.get(format!("{key}-encoded")).is_some_and(|flag| flag.as_bytes() == b"1");
    let text = metadata.get_all(key).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    if encoded { text.map(|value| query_unescape(&value)).collect() } else { text.collect() }
}

/// Go's `url.QueryUnescape`, but text that is not an escape stays unchanged.
fn query_unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |byte: &u8| char::from(*byte).to_digit(16);
        rest = match (first, tail) {
            (b'%', [high, low, after @ ..]) if hex(high).is_some() && hex(low).is_some() => {
                let value = hex(high).unwrap_or_default() * 16 + hex(low).unwrap_or_default();
                bytes.push(u8::try_from(value).unwrap_or_default());
                after
            }
            (b'+', _) => {
                bytes.push(b' ');
                tail
            }
            (other, _) => {
                bytes.push(*other);
                tail
            }
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filesync_values_are_decoded_only_if_encoded() {
        let mut metadata = MetadataMap::new();
        metadata.append("followpaths", "a%20b+c".parse().unwrap());
        assert_eq!(values(&metadata, "followpaths"), ["a%20b+c"]);
        metadata.append("followpaths", "%C3%A4%2".parse().unwrap());
        metadata.insert("followpaths-encoded", "1".parse().unwrap());
        assert_eq!(values(&metadata, "followpaths"), ["a b c", "ä%2"]);
    }
}
