//! `containerd.services.content.v1.Content`: through this service `BuildKit` reads and writes caches in directories of
//! this machine (`session/content`, `cache/remotecache/local`).
//!
//! bollard has no generated types for this service. The code here has the form of generated code.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::Stream;
use futures::future::BoxFuture;
use futures::stream::try_unfold;
use prost::Message;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::server::{Grpc, NamedService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};

use super::content_proto::{
    Info, InfoRequest, InfoResponse, Nothing, ReadContentRequest, ReadContentResponse, RefRequest, UpdateRequest,
    WriteAction, WriteContentRequest, WriteContentResponse,
};
use crate::layout::{Ingest, Layout, LayoutError};
use crate::oci::Digest;

/// Bytes of a blob in one message.
const CHUNK: usize = 256 << 10;
/// The largest message that polyarch accepts. containerd writes up to 8 MiB at once (half of
/// `defaults.DefaultMaxSendMsgSize`).
const MAX_MESSAGE: usize = 9 << 20;

/// The metadata key with the engine's name of a directory.
const STORE: &str = "buildkit-attachable-store-id";

type ResponseStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
type ServiceResult<T> = Result<Response<T>, Status>;

/// The directories that a session's builds may read and write.
#[derive(Debug, Clone)]
pub(super) struct ContentService {
    /// The directories by the names that the engine uses.
    stores: Arc<BTreeMap<String, Layout>>,
}

impl ContentService {
    pub(super) fn of(directories: &BTreeSet<PathBuf>) -> Self {
        let stores = directories.iter().map(|directory| Layout::at(directory));
        Self { stores: Arc::new(stores.map(|store| (format!("local:{}", store.id()), store)).collect()) }
    }

    fn store(&self, metadata: &MetadataMap) -> Result<Layout, Status> {
        let id = metadata.get(STORE).and_then(|id| id.to_str().ok()).unwrap_or_default();
        let store = self.stores.get(id).cloned();
        store.ok_or_else(|| Status::not_found(format!("the plan names no cache directory {id:?}")))
    }

    async fn info(self, request: Request<InfoRequest>) -> ServiceResult<InfoResponse> {
        let store = self.store(request.metadata())?;
        self::info(store, request.into_inner().digest).await
    }

    /// polyarch does not store labels.
    async fn update(self, request: Request<UpdateRequest>) -> ServiceResult<InfoResponse> {
        let store = self.store(request.metadata())?;
        self::info(store, request.into_inner().info.unwrap_or_default().digest).await
    }

    async fn read(self, request: Request<ReadContentRequest>) -> ServiceResult<ResponseStream<ReadContentResponse>> {
        let store = self.store(request.metadata())?;
        let ReadContentRequest { digest, offset, size } = request.into_inner();
        let digest = parsed(&digest)?;
        let reading = blocking(move || {
            let (mut file, length) = store.open(&digest).map_err(|error| refused(&error))?.ok_or_else(missing)?;
            let at = u64::try_from(offset).unwrap_or(0);
            let left = length.checked_sub(at).ok_or_else(|| Status::out_of_range("the blob is shorter"))?;
            let wanted = u64::try_from(size).ok().filter(|size| *size > 0).unwrap_or(left);
            file.seek(SeekFrom::Start(at)).map_err(|error| Status::unknown(error.to_string()))?;
            Ok(Reading { file, at, left: left.min(wanted) })
        });
        let stream = try_unfold(reading.await?, |reading| blocking(move || reading.next()));
        Ok(Response::new(Box::pin(stream)))
    }

    async fn write(
        self,
        request: Request<Streaming<WriteContentRequest>>,
    ) -> ServiceResult<ResponseStream<WriteContentResponse>> {
        let store = self.store(request.metadata())?;
        let mut asked = request.into_inner();
        let Some(first) = asked.message().await? else { return Ok(Response::new(Box::pin(futures::stream::empty()))) };
        let (total, expected) = (first.total, first.expected.clone());
        let ingest = blocking(move || begin(&store, total, &expected)).await?;
        let writing = Writing { ingest: Some(ingest), first: Some(first), asked };
        Ok(Response::new(Box::pin(try_unfold(writing, Writing::next))))
    }
}

/// A blob that is being read.
struct Reading {
    file: File,
    at: u64,
    left: u64,
}

impl Reading {
    fn next(mut self) -> Result<Option<(ReadContentResponse, Self)>, Status> {
        if self.left == 0 {
            return Ok(None);
        }
        let mut data = vec![0; usize::try_from(self.left).unwrap_or(CHUNK).min(CHUNK)];
        self.file.read_exact(&mut data).map_err(|error| Status::data_loss(error.to_string()))?;
        let offset = i64::try_from(self.at).unwrap_or(i64::MAX);
        self.at += data.len() as u64;
        self.left -= data.len() as u64;
        Ok(Some((ReadContentResponse { offset, data }, self)))
    }
}

/// A blob that the engine writes. If the engine stops before the commit, the blob does not exist, and no later write
/// resumes it.
struct Writing {
    /// `None` after the commit.
    ingest: Option<Ingest>,
    /// The first request of this write.
    first: Option<WriteContentRequest>,
    asked: Streaming<WriteContentRequest>,
}

impl Writing {
    /// Handles one request and returns its answer.
    async fn next(mut self) -> Result<Option<(WriteContentResponse, Self)>, Status> {
        let Some(ingest) = self.ingest.take() else { return Ok(None) };
        let request = match self.first.take() {
            Some(first) => Some(first),
            None => self.asked.message().await?,
        };
        let Some(request) = request else { return Ok(None) };
        let (answer, ingest) = blocking(move || take(ingest, &request)).await?;
        self.ingest = ingest;
        Ok(Some((answer, self)))
    }
}

/// polyarch accepts only blobs with a digest and a size. So no more bytes than announced reach the disk.
fn begin(store: &Layout, total: i64, expected: &str) -> Result<Ingest, Status> {
    let digest = parsed(expected)?;
    let size = u64::try_from(total).ok().filter(|size| *size > 0);
    let size = size.ok_or_else(|| Status::invalid_argument("the size of a blob must come before its bytes"))?;
    let there = store.open(&digest).map_err(|error| refused(&error))?;
    if there.is_some_and(|(_, length)| length == size) {
        return Err(Status::already_exists(format!("{digest} already exists")));
    }
    store.ingest(digest, size).map_err(|error| refused(&error))
}

/// Handles one request. Returns the ingest unless the request committed it.
fn take(mut ingest: Ingest, request: &WriteContentRequest) -> Result<(WriteContentResponse, Option<Ingest>), Status> {
    let action = WriteAction::try_from(request.action).map_err(|_| Status::invalid_argument("no action"))?;
    if !request.expected.is_empty() && request.expected != ingest.digest().as_str() {
        return Err(Status::failed_precondition("this write began for another blob"));
    }
    if action != WriteAction::Stat {
        match u64::try_from(request.offset) {
            Ok(offset) if offset == ingest.written() => {}
            Ok(0) => ingest.restart().map_err(|error| refused(&error))?,
            _ => return Err(Status::out_of_range("a blob must be written from its beginning to its end")),
        }
        ingest.write(&request.data).map_err(|error| refused(&error))?;
    }
    let bytes = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
    let (offset, total) = (bytes(ingest.written()), bytes(ingest.size()));
    let answer = WriteContentResponse { action: request.action, offset, total, digest: String::new() };
    if action != WriteAction::Commit {
        return Ok((answer, Some(ingest)));
    }
    let digest = ingest.digest().to_string();
    ingest.commit().map_err(|error| refused(&error))?;
    Ok((WriteContentResponse { digest, ..answer }, None))
}

async fn info(store: Layout, digest: String) -> ServiceResult<InfoResponse> {
    let parsed = parsed(&digest)?;
    let opened = blocking(move || store.open(&parsed).map_err(|error| refused(&error))).await?;
    let (_, size) = opened.ok_or_else(missing)?;
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    Ok(Response::new(InfoResponse { info: Some(Info { digest, size }) }))
}

/// polyarch keeps no unfinished write, so a later session finds none.
async fn not_begun<T>(_: Request<RefRequest>) -> ServiceResult<T> {
    Err(Status::not_found("no write under this name is in progress"))
}

async fn nothing(_: Request<Nothing>) -> ServiceResult<Nothing> {
    Ok(Response::new(Nothing {}))
}

/// polyarch parses a digest before it uses the digest as a file name.
fn parsed(digest: &str) -> Result<Digest, Status> {
    digest.parse().map_err(|error| Status::invalid_argument(format!("{digest:?}: {error}")))
}

fn missing() -> Status {
    // containerd's text. BuildKit's message must end with it.
    Status::not_found("not found")
}

fn refused(error: &LayoutError) -> Status {
    match error {
        LayoutError::Content { .. } | LayoutError::TooLong(_) => Status::failed_precondition(error.to_string()),
        _ => Status::unknown(error.to_string()),
    }
}

/// Reads and writes files on a thread for blocking work.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Status> + Send + 'static) -> Result<T, Status> {
    // A panicking thread writes its message to the log.
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(Status::internal("the client failed")))
}

impl NamedService for ContentService {
    const NAME: &'static str = "containerd.services.content.v1.Content";
}

impl Service<http::Request<Body>> for ContentService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let content = self.clone();
        Box::pin(async move { Ok(content.answer(request).await) })
    }
}

impl ContentService {
    async fn answer(self, request: http::Request<Body>) -> http::Response<Body> {
        let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        match &*method {
            "Info" => grpc().unary(service_fn(|asked| self.clone().info(asked)), request).await,
            "Update" => grpc().unary(service_fn(|asked| self.clone().update(asked)), request).await,
            "Read" => grpc().server_streaming(service_fn(|asked| self.clone().read(asked)), request).await,
            "Write" => grpc().streaming(service_fn(|asked| self.clone().write(asked)), request).await,
            "Status" | "Abort" => grpc().unary(service_fn(not_begun::<Nothing>), request).await,
            "ListStatuses" => grpc().unary(service_fn(nothing), request).await,
            // `List` and `Delete`: no build needs them.
            _ => Status::unimplemented("no such method").into_http(),
        }
    }
}

fn grpc<Sent, Taken>() -> Grpc<ProstCodec<Sent, Taken>>
where
    Sent: Message + Send + 'static,
    Taken: Message + Default + Send + 'static,
{
    Grpc::new(ProstCodec::default()).max_decoding_message_size(MAX_MESSAGE)
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn asking<T>(store: &str, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert(STORE, store.parse().unwrap());
        request
    }

    #[tokio::test]
    async fn session_serves_only_planned_cache_directories() {
        let folder = tempfile::tempdir().unwrap();
        let (planned, other) = (Layout::at(&folder.path().join("planned")), Layout::at(&folder.path().join("other")));
        let digest = Digest::of(b"layer");
        for layout in [&planned, &other] {
            let mut ingest = layout.ingest(digest.clone(), 5).unwrap();
            ingest.write(b"layer").unwrap();
            ingest.commit().unwrap();
        }
        let content = ContentService::of(&BTreeSet::from([folder.path().join("planned")]));
        let info = async |store: &str, digest: &str| {
            let answer = content.clone().info(asking(store, InfoRequest { digest: digest.to_owned() })).await;
            answer.map(|answer| answer.into_inner().info.unwrap().size).map_err(|status| status.code())
        };
        let here = format!("local:{}", planned.id());
        assert_eq!(info(&here, digest.as_str()).await, Ok(5));
        assert_eq!(info(&here, Digest::of(b"other").as_str()).await, Err(Code::NotFound));
        assert_eq!(info(&here, "sha256:../../x").await, Err(Code::InvalidArgument));
        let path = folder.path().join("planned").display().to_string();
        for store in ["", "local:", &format!("local:{path}"), &format!("local:{}", other.id()), "oci:x"] {
            assert_eq!(info(store, digest.as_str()).await, Err(Code::NotFound), "{store}");
        }
    }

    #[test]
    fn cache_blob_is_written_in_order_and_under_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::at(folder.path());
        let digest = Digest::of(b"layer");
        for (total, expected, code) in [
            (0, digest.as_str(), Code::InvalidArgument),
            (-1, digest.as_str(), Code::InvalidArgument),
            (5, "", Code::InvalidArgument),
            (5, "sha256:../../x", Code::InvalidArgument),
        ] {
            assert_eq!(begin(&layout, total, expected).unwrap_err().code(), code, "{total} {expected}");
        }
        let say = |action: WriteAction, offset, data: &[u8]| WriteContentRequest {
            action: action.into(),
            offset,
            data: data.to_vec(),
            ..WriteContentRequest::default()
        };
        let begun = || begin(&layout, 5, digest.as_str()).unwrap();
        for (offset, data, code) in [(1, &b"l"[..], Code::OutOfRange), (0, b"layers", Code::FailedPrecondition)] {
            assert_eq!(take(begun(), &say(WriteAction::Write, offset, data)).unwrap_err().code(), code);
        }
        let other = WriteContentRequest { expected: Digest::of(b"x").to_string(), ..say(WriteAction::Stat, 0, b"") };
        assert_eq!(take(begun(), &other).unwrap_err().code(), Code::FailedPrecondition);
        assert_eq!(take(begun(), &say(WriteAction::Commit, 0, b"lay")).unwrap_err().code(), Code::FailedPrecondition);
        // The write starts again from offset 0, and its commit contains the last bytes.
        let (answer, ingest) = take(begun(), &say(WriteAction::Write, 0, b"later")).unwrap();
        assert_eq!((answer.offset, answer.total, &*answer.digest), (5, 5, ""));
        let (_, ingest) = take(ingest.unwrap(), &say(WriteAction::Write, 0, b"lay")).unwrap();
        let (answer, ingest) = take(ingest.unwrap(), &say(WriteAction::Commit, 3, b"er")).unwrap();
        assert_eq!((answer.offset, &*answer.digest, ingest.is_none()), (5, digest.as_str(), true));
        assert_eq!(begin(&layout, 5, digest.as_str()).unwrap_err().code(), Code::AlreadyExists);
        // A file that is too short is written again.
        std::fs::write(folder.path().join("blobs/sha256").join(digest.hex()), "lay").unwrap();
        assert!(begin(&layout, 5, digest.as_str()).is_ok());
    }
}
