//! A scripted engine's pushes, as an engine of Docker's makes them: with the login that it was given, one request after
//! the other.

use std::pin::Pin;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::super::images::Document;
use super::super::scripted_engine::PushCall;
use super::ScriptedEcr;

type Push = Pin<Box<dyn Future<Output = ()> + Send>>;

impl ScriptedEcr {
    /// For `Script::push`: pushes here what was built. Where that is refused the engine says it as Docker does.
    pub(crate) fn pushes(&self) -> impl Fn(PushCall) -> Push + Send + Sync + 'static {
        let base = format!("http://{}/v2/", self.host());
        // The first test installs it; it is there for the others.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().build().unwrap();
        move |call| {
            let registry = Registry { client: client.clone(), base: base.clone(), auth: basic(&call.auth) };
            Box::pin(async move {
                match registry.push(&call).await {
                    Ok(digest) => {
                        call.line(r#"{"status":"Pushed","progressDetail":{},"id":"layer"}"#);
                        let said = format!("{}: digest: {digest} size: 528", call.tag);
                        call.line(&json!({ "status": said }).to_string());
                    }
                    Err(message) => {
                        let error = json!({ "errorDetail": { "message": message }, "error": message });
                        call.line(&error.to_string());
                    }
                }
            })
        }
    }
}

/// What `X-Registry-Auth` has, as `Authorization` has it; nothing for nobody.
fn basic(auth: &str) -> Option<String> {
    let decoded = URL_SAFE.decode(auth).or_else(|_| STANDARD.decode(auth)).ok()?;
    let auth: Value = serde_json::from_slice(&decoded).ok()?;
    let (user, password) = (auth["username"].as_str()?, auth["password"].as_str()?);
    Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
}

struct Registry {
    client: Client,
    base: String,
    auth: Option<String>,
}

impl Registry {
    async fn push(&self, call: &PushCall) -> Result<String, String> {
        let image = call.image();
        for blob in image.blobs() {
            self.push_blob(&call.repository, blob).await?;
        }
        let path = format!("{}/manifests/{}", call.repository, call.tag);
        let put = self.ask(Method::PUT, &path).header("Content-Type", &image.manifest.media_type);
        send(put.body(image.manifest.bytes.clone())).await?;
        Ok(image.manifest.digest())
    }

    async fn push_blob(&self, repository: &str, blob: &Document) -> Result<(), String> {
        let digest = blob.digest();
        let there = self.ask(Method::HEAD, &format!("{repository}/blobs/{digest}")).send().await.unwrap();
        if there.status().is_success() {
            return Ok(());
        }
        let begun = send(self.ask(Method::POST, &format!("{repository}/blobs/uploads/"))).await?;
        let streamed = send(self.at(Method::PATCH, &location(&begun)).body(blob.bytes.clone())).await?;
        let end = format!("{}?digest={digest}", location(&streamed));
        send(self.at(Method::PUT, &end)).await.map(drop)
    }

    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.at(method, &format!("{}{path}", self.base))
    }

    fn at(&self, method: Method, url: &str) -> RequestBuilder {
        let request = self.client.request(method, url);
        match &self.auth {
            Some(auth) => request.header("Authorization", auth),
            None => request,
        }
    }
}

fn location(response: &Response) -> String {
    response.headers()["location"].to_str().unwrap().to_owned()
}

/// What the engine says of a refusal: the code in words, and the message.
async fn send(request: RequestBuilder) -> Result<Response, String> {
    let response = request.send().await.unwrap();
    if response.status().is_success() {
        return Ok(response);
    }
    if response.status() == 401 {
        return Err("no basic auth credentials".to_owned());
    }
    let error: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default();
    let error = &error["errors"][0];
    let code = error["code"].as_str().unwrap_or_default().to_lowercase().replace('_', " ");
    Err(format!("{code}: {}", error["message"].as_str().unwrap_or_default()))
}
