//! What is pushed to a docker-registry becomes an image of moto's: the registry says what it got, and moto is told.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use reqwest::{Certificate, Client};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::super::aws;
use super::basic;

/// Longest message of a registry that is read, in bytes.
const LONGEST: usize = 1 << 20;

/// Hears of pushes; it ends when it is dropped.
#[derive(Debug)]
pub(super) struct Images {
    base: String,
    mirror: Arc<Mirror>,
    _server: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Mirror {
    moto: String,
    client: Client,
    authorization: String,
    mirrored: Mutex<usize>,
    /// `HOST/REPOSITORY: what moto said`.
    refused: Mutex<Vec<String>>,
}

impl Images {
    /// Tells the moto of an endpoint.
    pub(super) async fn mirror(moto: &str, password: &str, certificate: &str) -> Self {
        let certificate = Certificate::from_pem(certificate.as_bytes()).unwrap();
        let client = Client::builder().no_proxy().tls_certs_only([certificate]).build().unwrap();
        let mirror = Arc::new(Mirror {
            moto: moto.to_owned(),
            client,
            authorization: basic(password),
            mirrored: Mutex::default(),
            refused: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(hear).with_state(mirror.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { base, mirror, _server: AbortOnDropHandle::new(server) }
    }

    /// Where the registry of a region tells what it got.
    pub(super) fn url(&self, region: &str, host: &str) -> String {
        format!("{}/{region}/{host}", self.base)
    }

    /// How many pushes were heard of, and told or refused.
    pub(super) fn mirrored(&self) -> usize {
        *self.mirror.mirrored.lock().unwrap()
    }

    /// What moto did not take.
    pub(super) fn refused(&self) -> Vec<String> {
        self.mirror.refused.lock().unwrap().clone()
    }
}

async fn hear(State(mirror): State<Arc<Mirror>>, request: Request) -> StatusCode {
    let (parts, body) = request.into_parts();
    let (region, host) = parts.uri.path().trim_start_matches('/').split_once('/').unwrap();
    let body: Bytes = to_bytes(body, LONGEST).await.unwrap();
    let message: Value = serde_json::from_slice(&body).unwrap();
    let pushed = |event: &&Value| {
        let media_type = event["target"]["mediaType"].as_str().unwrap_or_default();
        event["action"] == "push" && media_type != "application/octet-stream"
    };
    for event in message["events"].as_array().unwrap().iter().filter(pushed) {
        mirror.tell(region, host, &event["target"]).await;
    }
    StatusCode::OK
}

impl Mirror {
    async fn tell(&self, region: &str, host: &str, target: &Value) {
        let text = |key: &str| target[key].as_str().unwrap_or_default();
        let url = format!("https://{host}/v2/{}/manifests/{}", text("repository"), text("digest"));
        let got = self.client.get(url).header("Authorization", &self.authorization).header("Accept", text("mediaType"));
        let manifest = got.send().await.unwrap().error_for_status().unwrap().text().await.unwrap();
        let mut image = json!({
            "repositoryName": text("repository"),
            "imageManifest": manifest,
            "imageManifestMediaType": text("mediaType"),
            "imageDigest": text("digest"),
        });
        if let Some(tag) = target["tag"].as_str() {
            image["imageTag"] = tag.into();
        }
        match aws::call(&self.moto, region, "PutImage", &image).await {
            // Pushed again.
            Err((exception, _)) if exception == "ImageAlreadyExistsException" => {}
            Err((exception, message)) => {
                let said = format!("{host}/{}: {exception}: {message}", text("repository"));
                self.refused.lock().unwrap().push(said);
            }
            Ok(_) => {}
        }
        *self.mirrored.lock().unwrap() += 1;
    }
}
