//! The API of Amazon ECR, as a plain HTTP client asks it.

use reqwest::Client;
use serde_json::Value;

/// Asks for an action (`DescribeRepositories`) in a region. Gives its output, or its exception and its message.
pub(crate) async fn call(endpoint: &str, region: &str, action: &str, input: &Value) -> Result<Value, (String, String)> {
    // The first test installs it; it is there for the others.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let scope = format!("AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20260101/{region}/ecr/aws4_request, Signature=0");
    let asked = Client::builder().no_proxy().build().unwrap().post(endpoint).body(input.to_string());
    let asked = asked
        .header("Authorization", scope)
        .header("Content-Type", "application/x-amz-json-1.1")
        .header("X-Amz-Target", format!("AmazonEC2ContainerRegistry_V20150921.{action}"));
    let response = asked.send().await.unwrap();
    let is_success = response.status().is_success();
    let text = response.text().await.unwrap();
    let output: Value = serde_json::from_str(&text).unwrap_or_default();
    if is_success {
        return Ok(output);
    }
    let field = |key: &str| output[key].as_str().map(str::to_owned);
    Err((field("__type").unwrap_or_default(), field("message").unwrap_or(text)))
}
