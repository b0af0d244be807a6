//! The scripted ECR keeps the rules of ECR that other tests rely on, as a plain HTTP client sees them.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use polyarch::oci::Digest;
use reqwest::{Client, Method, RequestBuilder, redirect};
use serde_json::{Value, json};

use crate::support::aws;
use crate::support::images::{DOCKER_LIST, Document, Image, OCI_INDEX};
use crate::support::program::{Home, Run};
use crate::support::scripted_ecr::{Action, Mutability, ScriptedEcr};
use crate::support::scripted_engine::{Script, ScriptedEngine};
use crate::support::scripted_registry::status;
use crate::support::store::Store;

const MEBIBYTE: usize = 1 << 20;

fn client() -> Client {
    // The first test installs it; it is there for the others.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().redirect(redirect::Policy::none()).build().unwrap()
}

/// What came back.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, body: response.bytes().await.unwrap().to_vec() }
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// The status, the code and the message of a registry's error.
    fn refusal(&self) -> (u16, String, String) {
        let error = &self.json()["errors"][0];
        let text = |key: &str| error[key].as_str().unwrap().to_owned();
        (self.status, text("code"), text("message"))
    }
}

/// Somebody who is logged in.
struct Peer<'a> {
    ecr: &'a ScriptedEcr,
    client: Client,
}

impl<'a> Peer<'a> {
    /// With a token, and a repository `hello`.
    async fn of(ecr: &'a ScriptedEcr, mutability: Mutability) -> Self {
        let peer = Self { ecr, client: client() };
        ecr.has("hello", mutability);
        peer.log_in().await;
        peer
    }

    async fn log_in(&self) -> Value {
        self.api(Action::GetAuthorizationToken, &json!({})).await.unwrap()["authorizationData"][0].clone()
    }

    /// The output of an action, or its exception and its message.
    async fn api(&self, action: Action, input: &Value) -> Result<Value, (String, String)> {
        self.api_in("us-east-1", action, input).await
    }

    async fn api_in(&self, region: &str, action: Action, input: &Value) -> Result<Value, (String, String)> {
        aws::call(&self.ecr.endpoint(), region, &format!("{action:?}"), input).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("http://{}{path}", self.ecr.host()) };
        self.client.request(method, url).header("Authorization", self.ecr.authorization())
    }

    async fn ask(&self, method: Method, path: &str) -> Answer {
        Answer::of(self.request(method, path)).await
    }

    async fn put(&self, reference: &str, document: &Document) -> Answer {
        let put = self.request(Method::PUT, &format!("/v2/hello/manifests/{reference}"));
        Answer::of(put.header("Content-Type", &document.media_type).body(document.bytes.clone())).await
    }

    async fn delete(&self, reference: &str) -> Answer {
        self.ask(Method::DELETE, &format!("/v2/hello/manifests/{reference}")).await
    }

    async fn begin(&self) -> String {
        let begun = self.ask(Method::POST, "/v2/hello/blobs/uploads/").await;
        assert_eq!(begun.status, 202);
        begun.header("location").to_owned()
    }

    async fn part(&self, location: &str, first: usize, bytes: &[u8]) -> Answer {
        let range = format!("{first}-{}", first + bytes.len() - 1);
        Answer::of(self.request(Method::PATCH, location).header("Content-Range", range).body(bytes.to_vec())).await
    }

    async fn finish(&self, location: &str, digest: &Digest, last: &[u8]) -> Answer {
        Answer::of(self.request(Method::PUT, &format!("{location}?digest={digest}")).body(last.to_vec())).await
    }
}

fn filters(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[tokio::test]
async fn scripted_ecr_token_works_until_it_expires() {
    let ecr = ScriptedEcr::start().await;
    let peer = Peer::of(&ecr, Mutability::Mutable).await;
    let token = peer.log_in().await;
    let login = STANDARD.decode(token["authorizationToken"].as_str().unwrap()).unwrap();
    assert_eq!(String::from_utf8(login).unwrap(), format!("AWS:{}", ecr.password()));
    assert_eq!(token["proxyEndpoint"], "https://123456789012.dkr.ecr.us-east-1.amazonaws.com");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!(token["expiresAt"].as_u64().unwrap().abs_diff(now + 12 * 60 * 60) < 60);

    let nobody = Answer::of(client().get(format!("http://{}/v2/", ecr.host()))).await;
    let challenge = format!("Basic realm=\"http://{}/\",service=\"ecr.amazonaws.com\"", ecr.host());
    assert_eq!((nobody.status, nobody.header("www-authenticate")), (401, challenge.as_str()));
    let guessed = client().get(format!("http://{}/v2/", ecr.host())).basic_auth("AWS", Some("guessed"));
    assert_eq!(Answer::of(guessed).await.status, 401);
    assert_eq!(peer.ask(Method::GET, "/v2/").await.status, 200);

    let stale = ecr.authorization();
    ecr.token_life(-60);
    let behind = peer.log_in().await;
    assert!(behind["expiresAt"].as_u64().unwrap() < now + 1, "it ended before it was given out");
    assert_eq!(peer.ask(Method::GET, "/v2/").await.status, 200, "and is taken");
    ecr.expire_tokens_at(Action::ListImages);
    assert_eq!(peer.ask(Method::GET, "/v2/").await.status, 200);
    let text = "Your authorization token has expired. Reauthenticate and try again.";
    let expired = (403, "DENIED".to_owned(), text.to_owned());
    assert_eq!(peer.ask(Method::GET, "/v2/hello/tags/list").await.refusal(), expired);
    let before = peer.request(Method::GET, "/v2/").header("Authorization", stale);
    assert_eq!(Answer::of(before).await.status, 403);
    peer.log_in().await;
    assert_eq!(peer.ask(Method::GET, "/v2/hello/tags/list").await.status, 200);
    assert_eq!((ecr.count(Action::GetAuthorizationToken), ecr.count(Action::ListImages)), (4, 2));
}

#[tokio::test]
async fn scripted_ecr_names_a_missing_repository() {
    let ecr = ScriptedEcr::start().await;
    let peer = Peer::of(&ecr, Mutability::Mutable).await;
    let text = "The repository with name 'team/gone' does not exist in the registry with id '123456789012'";
    for (method, path) in [
        (Method::POST, "/v2/team/gone/blobs/uploads/"),
        (Method::GET, "/v2/team/gone/manifests/1.0"),
        (Method::GET, "/v2/team/gone/tags/list"),
    ] {
        let refused = peer.ask(method, path).await.refusal();
        assert_eq!(refused, (404, "NAME_UNKNOWN".to_owned(), text.to_owned()), "{path}");
    }
    let unknown = peer.api(Action::DescribeRepositories, &json!({ "repositoryNames": ["team/gone"] })).await;
    assert_eq!(unknown.unwrap_err(), ("RepositoryNotFoundException".to_owned(), text.to_owned()));

    // Unless a template creates what is pushed: the longest prefix, and the root's last.
    ecr.has_template(json!({ "prefix": "ROOT", "appliedFor": ["CREATE_ON_PUSH"], "imageTagMutability": "MUTABLE" }));
    ecr.has_template(json!({ "prefix": "team/", "appliedFor": ["CREATE_ON_PUSH"], "imageTagMutability": "IMMUTABLE" }));
    ecr.has_template(json!({ "prefix": "team/gone", "appliedFor": ["REPLICATION"] }));
    assert_eq!(peer.ask(Method::GET, "/v2/team/gone/manifests/1.0").await.status, 404);
    for name in ["team/gone", "other"] {
        assert_eq!(peer.ask(Method::POST, &format!("/v2/{name}/blobs/uploads/")).await.status, 202);
    }
    assert_eq!(ecr.settings("team/gone").unwrap()["imageTagMutability"], "IMMUTABLE");
    assert_eq!(ecr.repositories(), ["hello", "other", "team/gone"]);
    let templates =
        peer.api(Action::DescribeRepositoryCreationTemplates, &json!({ "prefixes": ["ROOT"] })).await.unwrap();
    assert_eq!(templates["repositoryCreationTemplates"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn scripted_ecr_refuses_any_push_to_an_immutable_tag() {
    let text = "The image tag '1.0' already exists in the 'hello' repository and cannot be overwritten because the \
                repository is immutable.";
    let refused = (400, "TAG_INVALID".to_owned(), text.to_owned());
    let (first, second) = (Image::oci("linux/amd64", "first"), Image::oci("linux/amd64", "second"));
    for (mutability, held, free) in [
        (Mutability::Immutable, "1.0", None),
        (Mutability::ImmutableExcept(filters(&["latest", "dev-*-x*"])), "1.0", Some("latest")),
        (Mutability::ImmutableExcept(filters(&["latest", "dev-*-x*"])), "1.0", Some("dev-2-xyz")),
        (Mutability::MutableExcept(filters(&["*.0"])), "1.0", Some("1.1")),
        (Mutability::Mutable, "", Some("1.0")),
    ] {
        let ecr = ScriptedEcr::start().await;
        let peer = Peer::of(&ecr, mutability.clone()).await;
        ecr.keep("hello", None, &second);
        for tag in [Some(held), free].into_iter().flatten().filter(|tag| !tag.is_empty()) {
            ecr.keep("hello", Some(tag), &first);
            for image in [&first, &second] {
                let put = peer.put(tag, &image.manifest).await;
                if tag == held {
                    assert_eq!(put.refusal(), refused, "{mutability:?}");
                    assert_eq!(ecr.get("hello", tag).unwrap(), first.manifest);
                } else {
                    assert_eq!(put.status, 201, "{mutability:?} {tag}");
                    assert_eq!(ecr.get("hello", tag).unwrap(), image.manifest);
                }
            }
        }
        // A new tag, and what has none, are always taken.
        assert_eq!(peer.put("new", &first.manifest).await.status, 201);
        assert_eq!(peer.put(&first.manifest.digest(), &first.manifest).await.status, 201);
    }
}

#[tokio::test]
async fn scripted_ecr_requires_referenced_content() {
    let ecr = ScriptedEcr::start().await;
    let peer = Peer::of(&ecr, Mutability::Mutable).await;
    let (amd64, arm64) = (Image::docker("linux/amd64", "a"), Image::docker("linux/arm64", "a"));
    ecr.keep("hello", Some("1.0-amd64"), &amd64);
    let both = Document::index_of([&amd64, &arm64]);
    let text = format!(
        "Images with digests '[{}]' required for pushing image into repository with name 'hello' in the registry with id \
         '123456789012' do not exist",
        arm64.manifest.digest()
    );
    assert_eq!(peer.put("1.0", &both).await.refusal(), (404, "MANIFEST_BLOB_UNKNOWN".to_owned(), text));
    let (status, code, message) = peer.put("1.0-arm64", &arm64.manifest).await.refusal();
    assert_eq!((status, code.as_str()), (404, "MANIFEST_BLOB_UNKNOWN"));
    assert!(message.starts_with(&format!("Layers with digests '[{}]' required", arm64.config.digest())), "{message}");
    ecr.keep("hello", None, &arm64);
    let put = peer.put("1.0", &both).await;
    assert_eq!((put.status, put.header("docker-content-digest")), (201, both.digest().as_str()));
    let read = peer.ask(Method::GET, "/v2/hello/manifests/1.0").await;
    assert_eq!((read.header("content-type"), &read.body), (OCI_INDEX, &both.bytes));
    let head = peer.ask(Method::HEAD, "/v2/hello/manifests/1.0").await;
    assert_eq!(head.header("docker-content-digest"), both.digest());
    let other = peer.put(&arm64.manifest.digest(), &amd64.manifest).await.refusal();
    assert_eq!((other.0, other.1.as_str()), (400, "MANIFEST_INVALID"));
}

#[tokio::test]
async fn scripted_ecr_refuses_invalid_manifest_json() {
    let ecr = ScriptedEcr::start().await;
    let peer = Peer::of(&ecr, Mutability::Mutable).await;
    let image = Image::docker("linux/amd64", "a");
    ecr.keep("hello", None, &image);
    let mut untyped = image.manifest.json();
    untyped.as_object_mut().unwrap().remove("mediaType");
    let mut entry = image.manifest.descriptor();
    entry["platform"] = json!({ "os": "linux", "architecture": "amd64", "features": ["sse4"] });
    let documents = [
        Document::new(&image.manifest.media_type, &untyped),
        Document::docker_list(&[entry]),
        Document { media_type: DOCKER_LIST.to_owned(), bytes: b"{".to_vec() },
    ];
    let text = "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'";
    for document in documents {
        assert_eq!(peer.put("1.0", &document).await.refusal(), (405, "UNSUPPORTED".to_owned(), text.to_owned()));
    }
    assert!(ecr.tags("hello").is_empty());
}

#[tokio::test]
async fn scripted_ecr_deletes_an_image_with_its_last_tag() {
    let ecr = ScriptedEcr::start().await;
    let peer = Peer::of(&ecr, Mutability::Mutable).await;
    let (amd64, single) = (Image::oci("linux/amd64", "a"), Image::oci("linux/amd64", "single"));
    let list = Document::index_of([&amd64]);
    for tag in ["1.0-amd64", "same"] {
        ecr.keep("hello", Some(tag), &amd64);
    }
    ecr.keep_manifest("hello", Some("1.0"), &list);
    ecr.keep("hello", Some("single"), &single);
    assert_eq!(peer.delete("same").await.status, 202);
    assert!(ecr.get("hello", &amd64.manifest.digest()).is_some(), "it has another tag");
    for reference in ["1.0-amd64", &amd64.manifest.digest()] {
        let refused = peer.delete(reference).await.refusal();
        assert_eq!(refused.2, "Requested image referenced by manifest list", "{reference}");
    }
    let ids = json!([
        { "imageTag": "1.0-amd64" }, { "imageTag": "single" }, { "imageTag": "gone" }, {},
        { "imageTag": "1.0", "imageDigest": amd64.manifest.digest() },
    ]);
    let input = json!({ "repositoryName": "hello", "imageIds": ids });
    let deleted = peer.api(Action::BatchDeleteImage, &input).await.unwrap();
    assert_eq!(deleted["imageIds"], json!([{ "imageTag": "single", "imageDigest": single.manifest.digest() }]));
    let codes: Vec<_> = deleted["failures"].as_array().unwrap().iter().map(|one| &one["failureCode"]).collect();
    let expected =
        ["ImageReferencedByManifestList", "ImageNotFound", "MissingDigestAndTag", "ImageTagDoesNotMatchDigest"];
    assert_eq!(codes, expected);
    assert!(ecr.get("hello", &single.manifest.digest()).is_none());
    // Once the list is gone they go, too; a digest goes with all its tags.
    assert_eq!(peer.delete(&list.digest()).await.status, 202);
    assert_eq!(peer.delete("1.0-amd64").await.status, 202);
    assert!(ecr.tags("hello").is_empty());
    assert_eq!(peer.delete("1.0-amd64").await.refusal().1, "MANIFEST_UNKNOWN");
}

#[tokio::test]
async fn scripted_ecr_accepts_ordered_parts_of_5_to_20_mib() {
    let ecr = ScriptedEcr::start().await;
    let peer = Peer::of(&ecr, Mutability::Mutable).await;
    let bytes = vec![b'x'; 11 * MEBIBYTE];
    let digest = Digest::of(&bytes);
    let upload = peer.begin().await;
    assert_eq!(peer.part(&upload, 0, &bytes[..5 * MEBIBYTE]).await.status, 201, "not 202, as others say");
    let again = peer.part(&upload, 0, &bytes[..5 * MEBIBYTE]).await;
    assert_eq!((again.status, again.header("range")), (416, "0-5242879"));
    assert_eq!(peer.part(&upload, 5 * MEBIBYTE, &bytes[5 * MEBIBYTE..10 * MEBIBYTE]).await.status, 201);
    assert_eq!(peer.finish(&upload, &digest, &bytes[10 * MEBIBYTE..]).await.status, 201);
    assert_eq!(ecr.part_sizes(), [5, 5, 5, 1].map(|size| size * MEBIBYTE));
    let head = peer.ask(Method::HEAD, &format!("/v2/hello/blobs/{digest}")).await;
    assert_eq!((head.status, head.header("content-length")), (200, (11 * MEBIBYTE).to_string().as_str()));

    ecr.patch_status(202);
    let upload = peer.begin().await;
    assert_eq!(peer.part(&upload, 0, &bytes[..MEBIBYTE]).await.status, 202, "it may be the last");
    let small = peer.part(&upload, MEBIBYTE, &bytes[MEBIBYTE..]).await.refusal();
    assert_eq!((small.0, small.1.as_str()), (400, "BLOB_UPLOAD_INVALID"));
    let upload = peer.begin().await;
    let large = peer.part(&upload, 0, &vec![0; 20 * MEBIBYTE + 1]).await.refusal();
    assert_eq!((large.0, large.1.as_str()), (400, "BLOB_UPLOAD_INVALID"));
    let other = peer.finish(&upload, &digest, b"other").await.refusal();
    assert_eq!((other.0, other.1.as_str()), (400, "DIGEST_INVALID"));
    let counted = [Action::InitiateLayerUpload, Action::UploadLayerPart, Action::CompleteLayerUpload];
    assert_eq!(counted.map(|action| ecr.count(action)), [3, 6, 2]);
}

#[tokio::test]
async fn scripted_ecr_redirects_layers_and_mounts_if_enabled() {
    let ecr = ScriptedEcr::start().await;
    let peer = Peer::of(&ecr, Mutability::Mutable).await;
    let image = Image::oci("linux/amd64", "a");
    ecr.has("base", Mutability::Mutable);
    ecr.keep("base", Some("1.0"), &image);
    let digest = image.config.digest();
    let found = peer.ask(Method::GET, &format!("/v2/base/blobs/{digest}")).await;
    assert_eq!(found.status, 307);
    let location = found.header("location").to_owned();
    assert!(location.starts_with(&ecr.endpoint()), "{location}");
    assert_eq!(Answer::of(client().get(&location)).await.body, image.config.bytes);
    let part = Answer::of(client().get(&location).header("Range", "bytes=0-3")).await;
    assert_eq!((part.status, part.body.as_slice()), (206, &image.config.bytes[..4]));

    let mount = format!("/v2/hello/blobs/uploads/?mount={digest}&from=base");
    assert_eq!(peer.ask(Method::POST, &mount).await.status, 202);
    ecr.mounts_blobs();
    assert_eq!(peer.ask(Method::POST, &mount).await.status, 201);
    assert_eq!(peer.ask(Method::HEAD, &format!("/v2/hello/blobs/{digest}")).await.status, 200);
}

#[tokio::test]
#[should_panic(expected = "the registry was asked what its script does not have: [\"GET /layers/base/sha256:")]
async fn scripted_ecr_rejects_a_login_sent_to_layer_storage() {
    let ecr = ScriptedEcr::start().await;
    let peer = Peer::of(&ecr, Mutability::Mutable).await;
    let image = Image::oci("linux/amd64", "a");
    ecr.has("base", Mutability::Mutable);
    ecr.keep("base", None, &image);
    let found = peer.ask(Method::GET, &format!("/v2/base/blobs/{}", image.config.digest())).await;
    peer.ask(Method::GET, found.header("location")).await;
}

#[tokio::test]
async fn scripted_ecr_denies_and_throttles_with_real_messages() {
    let ecr = ScriptedEcr::start().await;
    let peer = Peer::of(&ecr, Mutability::Mutable).await;
    let image = Image::oci("linux/amd64", "a");
    ecr.keep("hello", None, &image);
    ecr.throttle(Action::PutImage, 2);
    let too_many = (429, "TOOMANYREQUESTS".to_owned(), "Rate exceeded".to_owned());
    for _ in 0..2 {
        assert_eq!(peer.put("1.0", &image.manifest).await.refusal(), too_many);
    }
    assert_eq!(peer.put("1.0", &image.manifest).await.status, 201);
    ecr.deny(Action::PutImage);
    let (status_of, code, message) = peer.put("1.1", &image.manifest).await.refusal();
    let named =
        "is not authorized to perform: ecr:PutImage on resource: arn:aws:ecr:us-east-1:123456789012:repository/hello";
    assert_eq!((status_of, code.as_str()), (403, "DENIED"));
    assert!(message.contains(named), "{message}");
    assert_eq!(ecr.count(Action::PutImage), 4);

    ecr.throttle(Action::DescribeImages, 1);
    let input = json!({ "repositoryName": "hello" });
    let (exception, message) = peer.api(Action::DescribeImages, &input).await.unwrap_err();
    assert_eq!((exception.as_str(), message.as_str()), ("ThrottlingException", "Rate exceeded"));
    ecr.deny(Action::DescribeImages);
    let (exception, message) = peer.api(Action::DescribeImages, &input).await.unwrap_err();
    assert_eq!(exception, "AccessDeniedException");
    assert!(message.contains("to perform: ecr:DescribeImages on resource"), "{message}");
    ecr.fail(Action::GetAuthorizationToken, "ExpiredTokenException", "The security token is expired");
    assert_eq!(peer.api(Action::GetAuthorizationToken, &json!({})).await.unwrap_err().0, "ExpiredTokenException");
    let elsewhere = peer.api_in("eu-west-1", Action::DescribeRepositories, &json!({})).await.unwrap_err();
    assert_eq!(elsewhere.0, "InvalidSignatureException");
    let unsigned = client().post(ecr.endpoint());
    let unsigned = unsigned.header("X-Amz-Target", "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories");
    assert_eq!(Answer::of(unsigned).await.json()["__type"], "MissingAuthenticationTokenException");

    ecr.answers(|action, _| (action == Action::ListImages).then(|| status(503)));
    assert_eq!(peer.ask(Method::GET, "/v2/hello/tags/list").await.status, 503);
}

#[tokio::test]
async fn scripted_ecr_creates_repositories_and_simulates_races() {
    let ecr = ScriptedEcr::start().await;
    let peer = Peer::of(&ecr, Mutability::Mutable).await;
    let input = json!({
        "repositoryName": "team/app",
        "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
        "imageTagMutabilityExclusionFilters": [{ "filterType": "WILDCARD", "filter": "latest*" }],
        "imageScanningConfiguration": { "scanOnPush": true },
        "encryptionConfiguration": { "encryptionType": "KMS", "kmsKey": "alias/ours" },
        "tags": [{ "Key": "team", "Value": "a" }],
    });
    let created = peer.api(Action::CreateRepository, &input).await.unwrap()["repository"].clone();
    assert_eq!(created["repositoryUri"], "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/app");
    let asked = json!({ "repositoryNames": ["team/app"] });
    let described = peer.api(Action::DescribeRepositories, &asked).await.unwrap()["repositories"][0].clone();
    assert_eq!(described, created);
    for key in [
        "imageTagMutability",
        "imageTagMutabilityExclusionFilters",
        "imageScanningConfiguration",
        "encryptionConfiguration",
    ] {
        assert_eq!(described[key], input[key], "{key}");
    }
    let text = r#"{"rules":[]}"#;
    let policy = json!({ "repositoryName": "team/app", "lifecyclePolicyText": text });
    peer.api(Action::PutLifecyclePolicy, &policy).await.unwrap();
    assert_eq!(ecr.settings("team/app").unwrap()["tags"], input["tags"]);
    let tags = json!([{ "Key": "team", "Value": "b" }]);
    let tagged = json!({ "resourceArn": created["repositoryArn"], "tags": tags });
    peer.api(Action::TagResource, &tagged).await.unwrap();
    let settings = ecr.settings("team/app").unwrap();
    assert_eq!((&settings["tags"], &settings["lifecyclePolicyText"]), (&tags, &json!(text)));
    let again = peer.api(Action::CreateRepository, &input).await.unwrap_err();
    let there = "The repository with name 'team/app' already exists in the registry with id '123456789012'";
    assert_eq!(again, ("RepositoryAlreadyExistsException".to_owned(), there.to_owned()));

    ecr.lose_the_race("raced", Mutability::Immutable);
    assert!(!ecr.repositories().contains(&"raced".to_owned()));
    let raced = peer.api(Action::CreateRepository, &json!({ "repositoryName": "raced" })).await.unwrap_err();
    assert_eq!(raced.0, "RepositoryAlreadyExistsException");
    assert_eq!(ecr.settings("raced").unwrap()["imageTagMutability"], "IMMUTABLE");
}

#[tokio::test]
async fn scripted_ecr_pages_images_and_finds_them_by_tag_or_digest() {
    let ecr = ScriptedEcr::start().await;
    let peer = Peer::of(&ecr, Mutability::Mutable).await;
    let layer = Document { media_type: "application/vnd.oci.image.layer.v1.tar".to_owned(), bytes: vec![0; 5000] };
    let amd64 = Image::oci("linux/amd64", "a");
    let arm64 = Image::oci("linux/arm64", "a").holding(&json!({}), &[&layer]);
    let list = Document::index_of([&amd64, &arm64]);
    ecr.keep("hello", Some("1.0-amd64"), &amd64);
    ecr.keep("hello", None, &arm64);
    ecr.keep_manifest("hello", Some("latest"), &list);
    ecr.keep_manifest("hello", Some("1.0"), &list);
    ecr.page(2);
    let first =
        peer.api(Action::DescribeImages, &json!({ "repositoryName": "hello", "maxResults": 500 })).await.unwrap();
    let next = json!({ "repositoryName": "hello", "nextToken": first["nextToken"] });
    let second = peer.api(Action::DescribeImages, &next).await.unwrap();
    assert!(second["nextToken"].is_null());
    let images =
        [first["imageDetails"].as_array().unwrap().clone(), second["imageDetails"].as_array().unwrap().clone()];
    let images = images.concat();
    let digests: Vec<_> = images.iter().map(|image| image["imageDigest"].as_str().unwrap().to_owned()).collect();
    assert_eq!(digests, [amd64.manifest.digest(), arm64.manifest.digest(), list.digest()]);
    assert_eq!((&images[1]["imageTags"], &images[2]["imageTags"]), (&Value::Null, &json!(["1.0", "latest"])));
    let size = 5000 + arm64.config.bytes.len();
    assert_eq!((&images[1]["imageSizeInBytes"], &images[2]["imageSizeInBytes"]), (&json!(size), &json!(size)));
    let untagged = json!({ "repositoryName": "hello", "filter": { "tagStatus": "UNTAGGED" } });
    assert_eq!(peer.api(Action::DescribeImages, &untagged).await.unwrap()["imageDetails"].as_array().unwrap().len(), 1);
    let named = json!({ "repositoryName": "hello", "imageIds": [{ "imageTag": "gone" }] });
    assert_eq!(peer.api(Action::DescribeImages, &named).await.unwrap_err().0, "ImageNotFoundException");
    assert_eq!(
        peer.api(Action::DescribeImages, &json!({ "repositoryName": "gone" })).await.unwrap_err().0,
        "RepositoryNotFoundException"
    );

    let ids = json!([{ "imageTag": "1.0" }, { "imageDigest": amd64.manifest.digest() }, { "imageTag": "gone" }]);
    let got = peer.api(Action::BatchGetImage, &json!({ "repositoryName": "hello", "imageIds": ids })).await.unwrap();
    assert_eq!(got["images"][0]["imageManifest"], String::from_utf8(list.bytes.clone()).unwrap());
    assert_eq!(got["images"][1]["imageManifestMediaType"], amd64.manifest.media_type);
    assert_eq!(got["failures"][0]["failureCode"], "ImageNotFound");
    let many: Vec<_> = (0..101).map(|tag| json!({ "imageTag": tag.to_string() })).collect();
    let many = peer.api(Action::BatchGetImage, &json!({ "repositoryName": "hello", "imageIds": many })).await;
    assert_eq!(many.unwrap_err().0, "InvalidParameterException");
    let ids = peer.api(Action::ListImages, &json!({ "repositoryName": "hello" })).await.unwrap();
    assert_eq!(ids["imageIds"][0], json!({ "imageTag": "1.0-amd64", "imageDigest": amd64.manifest.digest() }));

    let page = peer.ask(Method::GET, "/v2/hello/tags/list").await;
    assert_eq!(page.json()["tags"], json!(["1.0", "1.0-amd64"]));
    let more = page.header("link").split(['<', '>']).nth(1).unwrap().to_owned();
    assert_eq!(peer.ask(Method::GET, &more).await.json()["tags"], json!(["latest"]));
    assert_eq!(peer.ask(Method::GET, "/v2/hello/tags/list?n=1001").await.status, 405);
}

#[tokio::test]
async fn scripted_sts_identifies_the_caller() {
    let ecr = ScriptedEcr::start_of("210987654321", "eu-west-1").await;
    let scope = "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20260101/us-east-1/sts/aws4_request, Signature=0";
    let asked = client().post(ecr.endpoint()).header("Authorization", scope);
    let caller = Answer::of(asked.body("Action=GetCallerIdentity&Version=2011-06-15")).await;
    assert!(String::from_utf8(caller.body).unwrap().contains("<Account>210987654321</Account>"));
    assert_eq!(ecr.count(Action::GetCallerIdentity), 1);
    assert_eq!(ecr.real_host(), "210987654321.dkr.ecr.eu-west-1.amazonaws.com");
}

#[tokio::test]
async fn scripted_engine_pushes_to_scripted_ecr_with_a_login() {
    let ecr = ScriptedEcr::start().await;
    let peer = Peer::of(&ecr, Mutability::Mutable).await;
    let engine = ScriptedEngine::start(Script::default().push(ecr.pushes()), &Store::default());
    let home = Home::new();
    let plan = format!(
        "version: 1\nregistry: {}\nimages:\n  hello:\n    dockerfile_inline: FROM scratch\n    tags: [\"1.0\"]\n    \
         platforms: [linux/amd64, linux/arm64]\n",
        ecr.host()
    );
    fs::write(home.path().join("build.yaml"), plan).unwrap();
    let login = json!({ "auths": { ecr.host(): { "auth": STANDARD.encode(format!("AWS:{}", ecr.password())) } } });
    fs::write(home.docker_config().join("config.json"), login.to_string()).unwrap();
    let build = || Run::new(&home, ["build"]).env("DOCKER_HOST", engine.host()).finish();
    build().await.expect_code(0);
    assert_eq!(ecr.tags("hello"), ["1.0", "1.0-amd64", "1.0-arm64"]);
    assert_eq!(ecr.count(Action::PutImage), 3);

    ecr.throttle(Action::PutImage, usize::MAX);
    let throttled = Run::new(&home, ["build", "--tag", "2.0"]).env("DOCKER_HOST", engine.host()).finish();
    let throttled = throttled.await.expect_code(5).stderr;
    assert!(throttled.contains("toomanyrequests: Rate exceeded"), "{throttled}");
    peer.log_in().await;
    ecr.expire_tokens();
    let expired = build().await;
    assert!(expired.stderr.contains("Your authorization token has expired"), "{}", expired.stderr);
}
