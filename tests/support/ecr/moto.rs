//! `moto_server`: AWS's APIs in a process of their own.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::super::{aws, parts};

/// A `moto_server` with one account; killed when it is dropped.
#[derive(Debug)]
pub(super) struct Moto {
    child: Child,
    /// `http://127.0.0.1:PORT`.
    pub(super) endpoint: String,
}

impl Moto {
    /// Starts one on a port of its choice and waits until it listens.
    pub(super) async fn start(account: &str) -> Self {
        let mut command = Command::new(parts::part("moto/bin/moto_server"));
        command.args(["-H", "127.0.0.1", "-p", "0"]).env("MOTO_ACCOUNT_ID", account);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = child.stderr.take().unwrap();
        let listening = tokio::task::spawn_blocking(|| {
            parts::listening(log, |line| line.split("Running on http://").nth(1)?.trim().parse().ok())
        });
        let address: Option<SocketAddr> = listening.await.unwrap();
        let Some(address) = address else {
            let _ = child.kill();
            panic!("moto_server did not say where it listens: {:?}", child.wait());
        };
        Self { child, endpoint: format!("http://{address}") }
    }

    /// The password of the login that it gives.
    pub(super) async fn password(&self, region: &str) -> String {
        let token = aws::call(&self.endpoint, region, "GetAuthorizationToken", &json!({})).await.unwrap();
        let token = token["authorizationData"][0]["authorizationToken"].as_str().unwrap().to_owned();
        let login = String::from_utf8(STANDARD.decode(token).unwrap()).unwrap();
        login.strip_prefix("AWS:").unwrap().to_owned()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
