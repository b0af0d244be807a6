//! BuildKit's control API inside the engine: gRPC over `POST /grpc`.

use bollard::moby::buildkit::v1::control_client::ControlClient;
use tonic::transport::{Channel, Endpoint};

use super::dial::{self, Dialer};

/// Largest gRPC message that is read, in bytes: BuildKit splits logs well below, grpc-go's own limit is 4 MiB.
const MAX_MESSAGE: usize = 16 << 20;

/// A client of BuildKit's control API; clones share one connection.
pub(super) type Control = ControlClient<Channel>;

/// Opens the control connection. It fails where the engine has no BuildKit, and is opened again if it is lost.
pub(super) async fn connect(dialer: &Dialer) -> Result<Control, tonic::transport::Error> {
    let dialer = dialer.clone();
    let connector = tower::service_fn(move |_: http::Uri| {
        let dialer = dialer.clone();
        async move { dialer.upgrade("/grpc", &[]).await }
    });
    // The name is never resolved: the connector dials.
    let channel = Endpoint::from_static("http://docker")
        .initial_stream_window_size(dial::STREAM_WINDOW)
        .initial_connection_window_size(dial::CONNECTION_WINDOW)
        .connect_with_connector(connector)
        .await?;
    Ok(ControlClient::new(channel).max_decoding_message_size(MAX_MESSAGE))
}
