//! Upload sessions (distribution-spec, "Pushing blobs").

use std::collections::HashMap;
use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, timeout};

use super::disk::{FILE_MODE, StoreError};
use crate::oci::{Hasher, RepositoryPath};
use crate::random;

/// The most sessions at a time.
const MAX_SESSIONS: usize = 1024;
/// A session that was unused for this time ends when another session begins.
const SESSION_IDLE: Duration = Duration::from_hours(1);
/// A body that stops arriving for this time fails. The time is long because an engine compresses while it sends.
const BODY_IDLE: Duration = Duration::from_mins(5);

/// The name of a session: 32 hexadecimal digits, safe as a file name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::embedded) struct UploadId(String);

impl UploadId {
    /// Parses the last component of a session's URL.
    pub(in crate::embedded) fn parse(text: &str) -> Option<Self> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == 32 && text.bytes().all(hex)).then(|| Self(text.into()))
    }

    /// The name as a URL contains it.
    pub(in crate::embedded) fn as_str(&self) -> &str {
        &self.0
    }
}

/// One session. A request that writes to it holds its lock.
#[derive(Debug)]
pub(in crate::embedded) struct Session {
    repository: RepositoryPath,
    progress: Arc<tokio::sync::Mutex<Progress>>,
}

/// The bytes of a blob that have arrived.
#[derive(Debug)]
pub(in crate::embedded) struct Progress {
    path: PathBuf,
    offset: u64,
    hasher: Hasher,
    touched: Instant,
    over: bool,
}

/// Why the registry could not add bytes to an upload.
#[derive(Debug, thiserror::Error)]
pub(in crate::embedded) enum UploadError {
    /// The disk failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The client disconnected, or sent something that is not HTTP.
    #[error("the body ended too early")]
    Body(#[source] axum::Error),
    /// The client stopped sending.
    #[error("no byte arrived for {} s", BODY_IDLE.as_secs())]
    Idle,
    /// The body is longer or shorter than its announced length. The upload keeps nothing of the body.
    #[error("the body is not as long as its Content-Range says")]
    Length,
}

/// The sessions of this process. They end with the process, and their clients begin again.
#[derive(Debug)]
pub(in crate::embedded) struct Uploads {
    dir: PathBuf,
    sessions: Mutex<HashMap<UploadId, Arc<Session>>>,
}

impl Uploads {
    /// Sessions with their content in `dir`.
    pub(in crate::embedded) fn new(dir: PathBuf) -> Self {
        Self { dir, sessions: Mutex::default() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<UploadId, Arc<Session>>> {
        // A holder that panics leaves the map consistent.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a session, or returns `None` if there are too many. Ends sessions that are no longer in use.
    pub(in crate::embedded) fn begin(&self, repository: &RepositoryPath) -> Option<(UploadId, Arc<Session>)> {
        let mut sessions = self.lock();
        sessions.retain(|_, session| {
            // The lock is held, so the session is in use.
            let Ok(mut progress) = session.progress.try_lock() else { return true };
            if !progress.over && progress.touched.elapsed() < SESSION_IDLE {
                return true;
            }
            progress.end();
            false
        });
        if sessions.len() >= MAX_SESSIONS {
            return None;
        }
        let id = UploadId(random::name());
        let progress = Progress {
            path: self.dir.join(id.as_str()),
            offset: 0,
            hasher: Hasher::new(),
            touched: Instant::now(),
            over: false,
        };
        let session = Arc::new(Session { repository: repository.clone(), progress: Arc::new(progress.into()) });
        sessions.insert(id.clone(), Arc::clone(&session));
        Some((id, session))
    }

    /// The session `id` of `repository`.
    pub(in crate::embedded) fn get(&self, repository: &RepositoryPath, id: &UploadId) -> Option<Arc<Session>> {
        self.lock().get(id).filter(|session| session.repository == *repository).cloned()
    }

    /// Ends a session, and deletes its content unless the content has moved to its place.
    pub(in crate::embedded) fn end(&self, id: &UploadId, progress: &mut Progress) {
        self.lock().remove(id);
        progress.end();
    }
}

impl Session {
    /// The bytes that have arrived, as soon as no other request writes. `None` means that the session ended while this
    /// waited.
    ///
    /// A task that outlives its request may keep the guard. Until the guard is dropped, no other request writes.
    pub(in crate::embedded) async fn progress(&self) -> Option<OwnedMutexGuard<Progress>> {
        let progress = Arc::clone(&self.progress).lock_owned().await;
        (!progress.over).then_some(progress)
    }
}

impl Progress {
    /// The bytes that have arrived.
    pub(in crate::embedded) fn offset(&self) -> u64 {
        self.offset
    }

    /// The digest of the bytes that have arrived.
    pub(in crate::embedded) fn digest(&self) -> crate::oci::Digest {
        self.hasher.clone().finish()
    }

    /// The file with these bytes.
    pub(in crate::embedded) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds `body`. If the body breaks off, the upload keeps the bytes that arrived, and the client can continue there.
    /// If a length was announced and the body has another length, the upload keeps nothing of the body.
    pub(in crate::embedded) async fn append(
        &mut self,
        body: &mut Body,
        length: Option<u64>,
    ) -> Result<(), UploadError> {
        let (offset, hasher) = (self.offset, self.hasher.clone());
        // If this request is dropped here, a write may still be running. Then no request may continue this upload.
        self.over = true;
        let result = self.write(body, length.map(|length| offset.saturating_add(length))).await;
        self.over = false;
        self.touched = Instant::now();
        if matches!(result, Err(UploadError::Length)) {
            (self.offset, self.hasher) = (offset, hasher);
        }
        result
    }

    /// Writes and hashes until the body ends. The end must be at offset `end`.
    async fn write(&mut self, body: &mut Body, end: Option<u64>) -> Result<(), UploadError> {
        let mut file = self.open().await.map_err(StoreError::at("write", &self.path))?;
        let received = self.receive(&mut file, body, end).await;
        // Errors of unfinished writes appear here.
        file.flush().await.map_err(StoreError::at("write", &self.path))?;
        received?;
        if end.is_some_and(|end| self.offset != end) { Err(UploadError::Length) } else { Ok(()) }
    }

    async fn receive(&mut self, file: &mut File, body: &mut Body, end: Option<u64>) -> Result<(), UploadError> {
        while let Some(frame) = timeout(BODY_IDLE, body.frame()).await.map_err(|_| UploadError::Idle)? {
            let Ok(chunk) = frame.map_err(UploadError::Body)?.into_data() else { continue };
            if end.is_some_and(|end| self.offset.saturating_add(chunk.len() as u64) > end) {
                return Err(UploadError::Length);
            }
            file.write_all(&chunk).await.map_err(StoreError::at("write", &self.path))?;
            self.hasher.update(&chunk);
            self.offset += chunk.len() as u64;
        }
        Ok(())
    }

    /// Opens the file, cut to the bytes that the upload keeps.
    async fn open(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let mut file = options.create(true).truncate(false).write(true).mode(FILE_MODE).open(&self.path).await?;
        file.set_len(self.offset).await?;
        file.seek(SeekFrom::Start(self.offset)).await?;
        Ok(file)
    }

    fn end(&mut self) {
        self.over = true;
        // The file may have moved to its place. Otherwise, the next start deletes a file that stays behind.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;
    use crate::oci::Digest;

    fn repository() -> RepositoryPath {
        "a".parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn upload_sessions_are_limited_and_the_oldest_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let uploads = Uploads::new(dir.path().into());
        let (first, session) = uploads.begin(&repository()).unwrap();
        session.progress().await.unwrap().append(&mut "forgotten".into(), None).await.unwrap();
        for _ in 1..MAX_SESSIONS {
            assert!(uploads.begin(&repository()).is_some());
        }
        assert!(uploads.begin(&repository()).is_none(), "one too many");

        tokio::time::advance(SESSION_IDLE / 2).await;
        assert!(uploads.begin(&repository()).is_none(), "still remembered");
        tokio::time::advance(SESSION_IDLE / 2).await;
        assert!(uploads.begin(&repository()).is_some());
        assert!(uploads.get(&repository(), &first).is_none());
        assert!(session.progress().await.is_none(), "who still waits for it is told");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "its bytes are gone");
    }

    #[tokio::test(start_paused = true)]
    async fn idle_upload_is_abandoned_and_keeps_its_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let (_, session) = Uploads::new(dir.path().into()).begin(&repository()).unwrap();
        let mut progress = session.progress().await.unwrap();
        let stopping = stream::iter([Ok::<_, io::Error>("begin")]);
        let mut hanging = Body::from_stream(futures::StreamExt::chain(stopping, stream::pending()));
        assert!(matches!(progress.append(&mut hanging, None).await, Err(UploadError::Idle)));
        assert_eq!(progress.offset(), 5);
        progress.append(&mut ", end".into(), None).await.unwrap();
        assert_eq!(progress.digest(), Digest::of(b"begin, end"));
        assert_eq!(std::fs::read(progress.path()).unwrap(), b"begin, end");
    }

    #[tokio::test]
    async fn upload_with_a_dropped_request_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let uploads = Uploads::new(dir.path().into());
        let (_, session) = uploads.begin(&repository()).unwrap();
        {
            let mut progress = session.progress().await.unwrap();
            let mut body = Body::from_stream(stream::pending::<io::Result<&str>>());
            let hanging = progress.append(&mut body, None);
            assert!(futures::future::FutureExt::now_or_never(hanging).is_none());
        }
        assert!(session.progress().await.is_none());
        uploads.begin(&repository()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "its bytes are gone");
    }

    #[tokio::test]
    async fn body_of_another_length_than_announced_is_not_stored() {
        let dir = tempfile::tempdir().unwrap();
        let (_, session) = Uploads::new(dir.path().into()).begin(&repository()).unwrap();
        let mut progress = session.progress().await.unwrap();
        progress.append(&mut "12".into(), Some(2)).await.unwrap();
        for length in [2, 4, u64::MAX] {
            assert!(
                matches!(progress.append(&mut "345".into(), Some(length)).await, Err(UploadError::Length)),
                "{length}"
            );
            assert_eq!((progress.offset(), progress.digest()), (2, Digest::of(b"12")));
        }
        progress.append(&mut "x".into(), None).await.unwrap();
        assert_eq!(std::fs::read(progress.path()).unwrap(), b"12x");
    }
}
