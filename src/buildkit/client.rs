//! The connection to a BuildKit, and its worker.

use std::io;

use bollard::moby::buildkit::v1::{ListWorkersRequest, ListWorkersResponse};
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::transport::Channel;

use super::error::BuildKitError;
use super::grpc::{self, Control};
use super::request::Worker;
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
}

/// Connects to BuildKit over a stream that `dial` opens, and lists the platforms of its workers, in their order.
///
/// # Errors
/// The other end has no BuildKit.
pub(crate) async fn connect<D, F, S>(dial: D) -> Result<(Channel, Vec<Platform>), BuildKitError>
where
    D: Fn() -> F + Send + 'static,
    F: Future<Output = io::Result<S>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let channel = grpc::connect(dial).await.map_err(|error| BuildKitError::Absent(innermost(&error)))?;
    let workers = grpc::control(&channel).list_workers(ListWorkersRequest::default()).await;
    let workers = workers.map_err(|status| BuildKitError::Absent(status.message().to_owned()))?;
    let platforms = platforms(&workers.into_inner());
    Ok((channel, platforms))
}

fn platforms(workers: &ListWorkersResponse) -> Vec<Platform> {
    let specs = workers.record.iter().flat_map(|worker| &worker.platforms);
    specs.filter_map(|spec| Platform::new(&spec.os, &spec.architecture, Some(&spec.variant)).ok()).collect()
}
