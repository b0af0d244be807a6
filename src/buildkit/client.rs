//! The connection to a BuildKit, and its workers.

use std::io;

use bollard::moby::buildkit::v1::types::WorkerRecord;
use bollard::moby::buildkit::v1::{ListWorkersRequest, ListWorkersResponse};
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::transport::Channel;

use super::error::BuildKitError;
use super::grpc::{self, Control};
use super::request::Worker;
use super::session::{Session, SessionServices};
use super::version::BuildKitVersion;
use crate::oci::Platform;
use crate::text::innermost;

/// A BuildKit that polyarch has reached and identified.
#[derive(Debug)]
pub(crate) struct BuildKit {
    pub(super) channel: Channel,
    pub(super) worker: Worker,
}

impl BuildKit {
    pub(crate) fn new(channel: Channel, worker: Worker) -> Self {
        Self { channel, worker }
    }

    /// BuildKit's control API. All clients share one connection.
    pub(super) fn control(&self) -> Control {
        grpc::control(&self.channel)
    }

    /// Opens a session inside of BuildKit's control API.
    ///
    /// # Errors
    /// BuildKit refuses, or the connection is lost.
    pub(crate) async fn open_session(&self, services: SessionServices) -> Result<Session, BuildKitError> {
        let opened = services.serve_inside(self.control()).await;
        opened.map_err(|status| BuildKitError::Lost(status.message().to_owned()))
    }
}

/// The reports of a BuildKit about itself.
#[derive(Debug)]
pub(crate) struct Workers {
    /// The platforms that its workers run, in their order.
    pub(crate) platforms: Vec<Platform>,
    /// The version of BuildKit.
    pub(crate) version: BuildKitVersion,
    /// Whether the worker is a part of Docker Engine with a graph driver. It has no exporter that pushes.
    pub(crate) is_of_graph_driver: bool,
}

/// Connects to BuildKit over a stream that `dial` opens, and asks for its workers. `authority` is BuildKit's name in
/// requests.
///
/// # Errors
/// The other end has no BuildKit.
pub(crate) async fn connect<D, F, S>(authority: &str, dial: D) -> Result<(Channel, Workers), BuildKitError>
where
    D: Fn() -> F + Send + 'static,
    F: Future<Output = io::Result<S>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let channel = grpc::connect(authority, dial).await.map_err(|error| BuildKitError::Absent(innermost(&error)))?;
    let workers = grpc::control(&channel).list_workers(ListWorkersRequest::default()).await;
    let workers = workers.map_err(|status| BuildKitError::Absent(status.message().to_owned()))?;
    Ok((channel, Workers::of(&workers.into_inner())))
}

impl Workers {
    fn of(workers: &ListWorkersResponse) -> Self {
        let specs = workers.record.iter().flat_map(|worker| &worker.platforms);
        let platforms = specs.filter_map(|spec| Platform::new(&spec.os, &spec.architecture, Some(&spec.variant)).ok());
        let version = workers.record.iter().find_map(|worker| worker.buildkit_version.as_ref());
        Self {
            platforms: platforms.collect(),
            version: BuildKitVersion::of_worker(version.map(|version| version.version.as_str())),
            is_of_graph_driver: workers.record.iter().any(is_of_graph_driver),
        }
    }
}

/// Every worker has a label with its snapshotter, except the worker of Docker Engine with a graph driver (BuildKit,
/// `worker/label`; moby, `builder/builder-next/controller.go`).
fn is_of_graph_driver(worker: &WorkerRecord) -> bool {
    !worker.labels.contains_key("org.mobyproject.buildkit.worker.snapshotter")
}
