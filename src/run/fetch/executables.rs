//! Checks that an image's programs are for the platform of its entry. BuildKit and tools that join images do not
//! check this.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::oci::{Child, Content, Descriptor, Digest, ElfMachine, Platform};
use crate::rootfs::{Answer, MAX_WINDOW, Search, is_zstd};
use crate::run::event::failure::chain;
use crate::run::storage::Storage;
use crate::run::storage::error::StorageError;

/// The most bytes of layers that polyarch fetches to find the program that an image starts.
const MAX_FETCHED: u64 = 64 << 20;
/// The same limit for an image that starts no program. The image may contain only data.
const MAX_FETCHED_OF_DATA: u64 = 4 << 20;
/// The longest part of a layer that polyarch fetches at once, in bytes. A layer up to this size is fetched whole, and
/// hashed.
const LONGEST_PART: u64 = 2 << 20;
/// The length of the first part of a longer layer, because programs are often near the beginning. Each later part is
/// twice as long as the part before.
const FIRST_PART: u64 = 256 << 10;
/// The time limit of one image's check.
const LONGEST: Duration = Duration::from_mins(1);
/// The parts of a layer in memory at once: one is read, one waits, one arrives.
const PARTS: u32 = 3;
/// The most memory for the names of an image's files, in MiB: 3 for the table, and 2 for the old table while the
/// table grows.
const NAMES: u32 = 5;
/// The most memory for unpacking zstd, in MiB: a window, and one or two blocks.
const WINDOW: u32 = 17;
const _: () = assert!(MAX_WINDOW < (WINDOW as u64) << 20);
/// Memory for parts of layers in the whole process, in MiB. All images and runs share it.
static FOR_PARTS: Semaphore = Semaphore::const_new(12);
/// Memory for names and windows, in MiB. A check first takes memory for parts, and then this memory. The fixed order
/// prevents deadlocks.
static FOR_READING: Semaphore = Semaphore::const_new((NAMES + WINDOW) as usize);

/// The memory that one image's check holds. The last thread that reads for the check releases it.
struct Memory {
    _parts: SemaphorePermit<'static>,
    _reading: SemaphorePermit<'static>,
}

/// The result of one image's check.
enum Finding {
    Fits,
    /// The image has a program for another processor. The text describes it.
    Foreign(String),
    /// The image could not be checked. The text gives the reason.
    NotChecked(String),
    /// A layer cannot be pulled.
    Damaged(String),
}

/// The reason why a search ended without an answer.
enum NoAnswer {
    /// The layer does not exist, or its bytes do not match its digest.
    Damaged(String),
    Unreadable(String),
}

/// The results of checking several images. Images whose programs fit are left out.
#[derive(Default)]
pub(in crate::run) struct Look {
    /// The platforms whose image has a program for another processor, each with a description.
    pub(in crate::run) foreign: Vec<(Platform, String)>,
    /// Layers that are missing or do not match their digest, each with its platform.
    pub(in crate::run) damaged: Vec<(Platform, String)>,
    /// Reasons why images could not be checked, each with its platforms.
    pub(in crate::run) not_checked: Vec<(String, Vec<Platform>)>,
    /// The layers that were read whole and match their digest.
    pub(in crate::run) hashed: BTreeSet<Digest>,
}

/// The hint if an image has a program for another processor.
pub(in crate::run) const FOREIGN: &str = "build the image for its platform, or pass `--no-elf` to skip this check";

/// Searches the layers of images for the programs that the images start.
pub(in crate::run) async fn look(storage: &Storage, children: &[&Child]) -> Look {
    let checking = children.iter().map(async |child| {
        let mut hashed = BTreeSet::new();
        (check(storage, child, &mut hashed).await, hashed)
    });
    let mut look = Look::default();
    for (child, (finding, hashed)) in children.iter().zip(join_all(checking).await) {
        look.hashed.extend(hashed);
        let platform = child.platform();
        match finding {
            Finding::Fits => {}
            Finding::Damaged(damage) => look.damaged.push((platform.clone(), format!("{platform}: {damage}"))),
            Finding::Foreign(program) => look.foreign.push((platform.clone(), format!("{platform} holds {program}"))),
            Finding::NotChecked(reason) => match look.not_checked.iter_mut().find(|(other, _)| *other == reason) {
                Some((_, platforms)) => platforms.push(platform.clone()),
                None => look.not_checked.push((reason, vec![platform.clone()])),
            },
        }
    }
    look
}

/// The most memory for parts of `layers`, in MiB.
fn parts(layers: &[Descriptor]) -> u32 {
    let longest = layers.iter().map(|layer| layer.size).max().unwrap_or(0);
    let part = u32::try_from(longest.clamp(1, LONGEST_PART).div_ceil(1 << 20)).unwrap_or(1);
    // A layer of one part is fetched before it is read. No other part waits in memory.
    if longest <= LONGEST_PART { part } else { PARTS * part }
}

/// The most memory for reading `layers`, without their parts, in MiB.
fn reading(layers: &[Descriptor]) -> u32 {
    NAMES + if layers.iter().any(says_zstd) { WINDOW } else { 0 }
}

/// The most bytes of layers that polyarch fetches for `child`.
fn budget(child: &Child) -> u64 {
    if child.start().is_some() { MAX_FETCHED } else { MAX_FETCHED_OF_DATA }
}

/// The layers that are archives of files. The base layer comes first.
fn layers(child: &Child) -> Vec<Descriptor> {
    match child.manifest().content() {
        Ok(Content::Image(image)) => image.layers.into_iter().filter(is_files).collect(),
        Ok(Content::Index(_)) | Err(_) => Vec::new(),
    }
}

async fn check(storage: &Storage, child: &Child, hashed: &mut BTreeSet<Digest>) -> Finding {
    if child.platform().os() == "windows" {
        return Finding::NotChecked("its programs are not ELF".into());
    }
    if !ElfMachine::knows(child.platform()) {
        return Finding::NotChecked("polyarch cannot check programs for its processor".into());
    }
    let layers = layers(child);
    let late = |_| Finding::NotChecked(format!("its layers were not read within {} s", LONGEST.as_secs()));
    let none = |_| Finding::NotChecked("polyarch has no memory left for its layers".into());
    let found = async {
        let parts = FOR_PARTS.acquire_many(parts(&layers)).await.map_err(none)?;
        // Names need more memory than a short layer. Short layers may therefore arrive before memory for names is
        // free.
        let first = timeout(LONGEST, short(storage, budget(child), &layers)).await.map_err(late)?;
        let reading = FOR_READING.acquire_many(reading(&layers)).await.map_err(none)?;
        let memory = Arc::new(Memory { _parts: parts, _reading: reading });
        timeout(LONGEST, search(storage, child, layers, first, memory, hashed)).await.map_err(late)
    };
    match found.await {
        Ok(Ok(finding)) | Err(finding) => finding,
        Ok(Err(NoAnswer::Unreadable(reason))) => Finding::NotChecked(reason),
        Ok(Err(NoAnswer::Damaged(what))) => Finding::Damaged(what),
    }
}

/// The layer that [`search`] reads first, if it fits into one part.
async fn short(storage: &Storage, budget: u64, layers: &[Descriptor]) -> Option<Result<Bytes, StorageError>> {
    let first = layers.iter().rev().find(|layer| layer.size <= budget)?;
    if first.size == 0 || first.size > LONGEST_PART {
        return None;
    }
    Some(storage.part(first, 0..first.size).await)
}

/// Reads layers, the topmost first, until one of them gives an answer.
async fn search(
    storage: &Storage,
    child: &Child,
    layers: Vec<Descriptor>,
    mut first: Option<Result<Bytes, StorageError>>,
    memory: Arc<Memory>,
    hashed: &mut BTreeSet<Digest>,
) -> Result<Finding, NoAnswer> {
    let mut budget = budget(child);
    let mut passed_over = 0;
    let mut search = Search::new(child.platform().clone(), child.start().cloned());
    for layer in layers.iter().rev() {
        if layer.size > budget {
            passed_over += 1;
            continue;
        }
        budget -= layer.size;
        search = read(storage, layer, first.take(), search, memory.clone(), hashed).await?;
        if search.is_over() {
            break;
        }
    }
    let program = child.start().map_or("a program", |start| start.program());
    Ok(match search.answer() {
        // The program that the image starts decides. Without such a program, a matching program may be in a layer
        // that was not read.
        Answer::Foreign { .. } if child.start().is_none() && passed_over > 0 => {
            Finding::NotChecked("it starts no program, and polyarch does not read large layers".into())
        }
        Answer::Fits => Finding::Fits,
        Answer::Foreign { path, machine } => Finding::Foreign(format!("{machine} {path}")),
        Answer::NoProgram { path } => Finding::NotChecked(format!("{path} is not an ELF program")),
        Answer::Nothing if passed_over > 0 => {
            let small = "was not found in its small layers, and polyarch does not read large layers";
            Finding::NotChecked(format!("{program} {small}"))
        }
        Answer::Nothing => Finding::NotChecked(format!("{program} was not found in its layers")),
    })
}

/// Whether a layer is an archive of files that the registry stores (OCI image-spec, "Image Layer Filesystem
/// Changeset").
fn is_files(layer: &Descriptor) -> bool {
    let media_type = layer.media_type.as_str();
    let is_elsewhere = ["foreign", "nondistributable", "encrypted"].iter().any(|word| media_type.contains(word));
    media_type.contains("tar") && !is_elsewhere
}

/// Whether a layer's media type declares zstd compression, which needs memory.
fn says_zstd(layer: &Descriptor) -> bool {
    layer.media_type.as_str().contains("zstd")
}

/// The reason why polyarch did not fetch a layer.
#[derive(Debug, thiserror::Error)]
enum Unfetched {
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The layer is zstd, but the check reserved no memory to unpack it.
    #[error("its bytes are zstd, but its media type does not declare zstd")]
    Undeclared,
}

/// Fetches a layer in parts until the search has its answer. `first` is the first part, if it was fetched before.
async fn read(
    storage: &Storage,
    layer: &Descriptor,
    first: Option<Result<Bytes, StorageError>>,
    mut search: Search,
    memory: Arc<Memory>,
    hashed: &mut BTreeSet<Digest>,
) -> Result<Search, NoAnswer> {
    let (sender, receiver) = mpsc::channel(1);
    // The thread ends after the last part. It also ends if this future is dropped, because the future owns the sender
    // of the parts.
    let mut reading = spawn_blocking(move || {
        let read = search.read(Parts { coming: receiver, part: Bytes::new(), _memory: memory });
        read.map(|()| search)
    });
    let fetched = tokio::select! {
        read = &mut reading => return ended(read, layer),
        fetched = fetch(storage, layer, first, sender, hashed) => fetched,
    };
    fetched.map_err(|error| {
        let reason = format!("its layer {}: {}", layer.digest, chain(&error));
        if matches!(&error, Unfetched::Storage(error) if error.is_damage()) {
            NoAnswer::Damaged(reason)
        } else {
            NoAnswer::Unreadable(reason)
        }
    })?;
    ended(reading.await, layer)
}

fn ended(read: Result<io::Result<Search>, tokio::task::JoinError>, layer: &Descriptor) -> Result<Search, NoAnswer> {
    let unreadable =
        |error: &dyn std::error::Error| NoAnswer::Unreadable(format!("its layer {}: {}", layer.digest, chain(error)));
    read.map_err(|error| unreadable(&error))?.map_err(|error| unreadable(&error))
}

async fn fetch(
    storage: &Storage,
    layer: &Descriptor,
    mut first: Option<Result<Bytes, StorageError>>,
    parts: mpsc::Sender<Bytes>,
    hashed: &mut BTreeSet<Digest>,
) -> Result<(), Unfetched> {
    let (mut from, mut length) = (0, if layer.size <= LONGEST_PART { LONGEST_PART } else { FIRST_PART });
    while from < layer.size {
        let to = (from + length).min(layer.size);
        let part = match first.take() {
            Some(first) => first?,
            None => storage.part(layer, from..to).await?,
        };
        if from == 0 && is_zstd(&part) && !says_zstd(layer) {
            return Err(Unfetched::Undeclared);
        }
        if to - from == layer.size {
            hashed.insert(layer.digest.clone());
        }
        if parts.send(part).await.is_err() {
            break;
        }
        (from, length) = (to, (length * 2).min(LONGEST_PART));
    }
    Ok(())
}

/// The parts of a layer as one reader. A thread that may block reads it.
struct Parts {
    coming: mpsc::Receiver<Bytes>,
    part: Bytes,
    _memory: Arc<Memory>,
}

impl Read for Parts {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.part.is_empty() {
            let Some(part) = self.coming.blocking_recv() else { return Ok(0) };
            self.part = part;
        }
        let length = self.part.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.part.split_to(length));
        Ok(length)
    }
}
