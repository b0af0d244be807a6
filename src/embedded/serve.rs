//! The process that holds the registry, and its listener.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::EmbeddedError;
use super::routes::{self, Registry};
use super::stall::Unstalled;
use super::store::{DIRECTORY_MODE, FILE_MODE, Store, StoreError, write_whole};
use crate::random;
use crate::text::innermost;

/// The most connections at a time. Further clients wait.
const MAX_CONNECTIONS: usize = 256;
/// How long requests may continue after the shutdown.
const GRACE: Duration = Duration::from_secs(5);
/// The longest time for the head of a request, and for an idle connection.
const HEAD_TIMEOUT: Duration = Duration::from_mins(2);
/// The pause after a failed accept (no file descriptor is free): a connection must end first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The embedded registry, which this process holds and which listens on 127.0.0.1. It answers while it is [served].
///
/// [served]: Embedded::serve
#[derive(Debug)]
pub struct Embedded {
    registry: Arc<Registry>,
    listener: TcpListener,
    address: SocketAddr,
    port_changed_from: Option<u16>,
    address_file: PathBuf,
    lock: Lock,
}

/// The process that holds the registry.
#[derive(Debug)]
pub enum Opened {
    /// This process, which must serve the registry.
    Held(Embedded),
    /// Another live process.
    Elsewhere {
        /// The address of that process.
        address: SocketAddr,
        /// The registry's id. A caller compares it with answers, because another server may use the address.
        id: String,
    },
}

impl Embedded {
    /// Opens the registry in `dir`, and creates it if it does not exist.
    ///
    /// The registry listens on the port of its last run, so that references stay valid. If another process uses that
    /// port, polyarch chooses a new port and keeps it. Blocks on the disk.
    ///
    /// # Errors
    /// polyarch cannot use the directory; no port is free; or another process opens the registry now (transient).
    pub fn open(dir: &Path) -> Result<Opened, EmbeddedError> {
        make_private(dir)?;
        let address_file = dir.join("address");
        let Some(lock) = lock(&dir.join("lock"))? else { return elsewhere(dir) };
        // After a kill, the file still has the old address, which may now belong to another program. So polyarch
        // deletes the file until it knows the new address.
        match fs::remove_file(&address_file) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::at("remove", &address_file)(e).into());
            }
            _ => {}
        }
        let store = Store::open(dir)?;
        let id = id(&store, dir)?;
        let (listener, address, port_changed_from) = listen(&store, dir)?;
        write_whole(&store.uploads(), &address_file, address.to_string().as_bytes())?;
        let registry = Arc::new(Registry::new(store, id));
        Ok(Opened::Held(Self { registry, listener, address, port_changed_from, address_file, lock }))
    }

    /// The address that it listens on: 127.0.0.1 and a port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The previous port of its references, if another process uses that port now.
    pub fn port_changed_from(&self) -> Option<u16> {
        self.port_changed_from
    }

    /// 32 hexadecimal digits that stay the same for the lifetime of the directory.
    pub fn id(&self) -> &str {
        self.registry.id()
    }

    /// Answers until `shutdown`. After that, requests in progress and new requests have five seconds to finish.
    /// Dropping the future ends all connections at once, and the content on disk stays whole.
    ///
    /// # Errors
    /// The listener is not usable.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), EmbeddedError> {
        let Self { registry, listener, address_file, lock, .. } = self;
        listener.set_nonblocking(true).map_err(EmbeddedError::Listen)?;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(EmbeddedError::Listen)?;
        let stop = CancellationToken::new();
        // This function owns the set: dropping the set ends its connections.
        let mut connections = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                    Ok((stream, _)) => drop(connections.spawn(connection(stream, Arc::clone(&registry), stop.clone()))),
                    Err(error) => {
                        tracing::warn!(%error, "the embedded registry cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        stop.cancel();
        // No other process can take over the registry before the lock is free, so this process still answers new
        // clients.
        let finished = async {
            loop {
                tokio::select! {
                    biased;
                    ended = connections.join_next() => if ended.is_none() { break },
                    Ok((stream, _)) = listener.accept(), if connections.len() < MAX_CONNECTIONS => {
                        drop(connections.spawn(connection(stream, Arc::clone(&registry), stop.clone())));
                    }
                }
            }
        };
        let finished = tokio::time::timeout(GRACE, finished).await;
        drop(listener);
        if finished.is_err() {
            let (open, seconds) = (connections.len(), GRACE.as_secs());
            tracing::warn!(
                "the embedded registry stops, but {open} connections did not finish within {seconds} s: their clients retry"
            );
        }
        connections.shutdown().await;
        // The registry finishes moving content, so that the next process finds it.
        registry.finished().await;
        // The file must not lead clients to a closed port. The lock is released last, so the file still belongs to this
        // process.
        let _ = fs::remove_file(&address_file);
        drop(lock);
        Ok(())
    }
}

/// Answers the requests of one connection. After `stop` the connection ends with its current request.
async fn connection(stream: TcpStream, registry: Arc<Registry>, stop: CancellationToken) {
    // Small answers should be sent at once. If this call fails, they are only slower.
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(routes::router(registry));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(Unstalled::new(stream)), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    match ended {
        // The answer ended before its announced length. The client is not the cause.
        Err(error) if error.is_user() => {
            tracing::warn!("the embedded registry broke off an answer: {}", innermost(&error));
        }
        Err(error) => tracing::debug!(%error, "a connection to the embedded registry broke"),
        Ok(()) => {}
    }
}

/// The right to use the directory. The system releases it when the process ends, for any reason.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child process that is starting holds the file, too, until it runs its
        // program.
        let _ = self.0.unlock();
    }
}

/// Creates the directory, and lets only its owner read it: its images may be private.
fn make_private(dir: &Path) -> Result<(), StoreError> {
    let made = DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(dir);
    made.map_err(StoreError::at("create", dir))?;
    let open = fs::metadata(dir).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0);
    if open && let Err(error) = fs::set_permissions(dir, Permissions::from_mode(DIRECTORY_MODE)) {
        // The directory belongs to another user, who lets this process use it.
        tracing::debug!("other users may still read {}: {error}", dir.display());
    }
    Ok(())
}

/// The lock, or `None` if another process has it.
pub(super) fn lock(path: &Path) -> Result<Option<Lock>, EmbeddedError> {
    let failed = |source| EmbeddedError::Lock { path: path.to_owned(), source };
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).mode(FILE_MODE).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// The address of the process that holds the lock, if it has written one.
pub(super) fn address_in(dir: &Path) -> Option<SocketAddr> {
    fs::read_to_string(dir.join("address")).ok()?.parse().ok()
}

/// The address and the id of the process that holds the lock.
fn elsewhere(dir: &Path) -> Result<Opened, EmbeddedError> {
    match (address_in(dir), fs::read_to_string(dir.join("id")).ok()) {
        (Some(address), Some(id)) => Ok(Opened::Elsewhere { address, id }),
        _ => Err(EmbeddedError::Opening { root: dir.to_owned() }),
    }
}

/// The store's id. The first opening creates it.
fn id(store: &Store, dir: &Path) -> Result<String, StoreError> {
    let path = dir.join("id");
    let valid = |text: &String| text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if let Some(id) = fs::read_to_string(&path).ok().filter(valid) {
        return Ok(id);
    }
    let id = random::name();
    write_whole(&store.uploads(), &path, id.as_bytes())?;
    Ok(id)
}

/// Listens on the port of the last run, or else on a new port, which it records.
fn listen(store: &Store, dir: &Path) -> Result<(TcpListener, SocketAddr, Option<u16>), EmbeddedError> {
    let path = dir.join("port");
    let last = fs::read_to_string(&path).ok().and_then(|text| text.parse::<u16>().ok());
    if let Some(listener) = last.and_then(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()) {
        let address = listener.local_addr().map_err(EmbeddedError::Listen)?;
        return Ok((listener, address, None));
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(EmbeddedError::Listen)?;
    let address = listener.local_addr().map_err(EmbeddedError::Listen)?;
    write_whole(&store.uploads(), &path, address.port().to_string().as_bytes())?;
    Ok((listener, address, last))
}
