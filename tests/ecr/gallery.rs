//! The public gallery: read by everybody, and by those whom AWS knows with their login.

use std::fs;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::world::{says, with_keys};
use crate::registry_faults::certificate;
use crate::registry_faults::proxies::Tunnel;
use crate::support::images::Image;
use crate::support::program::{Home, Run};
use crate::support::scripted_engine::{Script, ScriptedEngine};
use crate::support::scripted_registry::{Reply, Request, ScriptedRegistry, status};
use crate::support::store::Store;

/// The gallery under its own name, and its API.
struct Gallery {
    home: Home,
    registry: ScriptedRegistry,
    control: ScriptedRegistry,
    tunnel: Tunnel,
}

impl Gallery {
    /// It has one image, which everybody may read.
    async fn start() -> Self {
        let home = Home::new();
        let (acceptor, pem) = certificate("public.ecr.aws");
        fs::write(home.path().join("ca.pem"), pem).unwrap();
        let image = Image::docker("linux/amd64", "public");
        let registry = ScriptedRegistry::stateful_tls(acceptor, move |request| Some(answered(&image, request))).await;
        let control = ScriptedRegistry::stateful(api).await;
        let tunnel = Tunnel::to(registry.address, None).await;
        Self { home, registry, control, tunnel }
    }

    fn digest(&self) -> Run {
        self.run(&["digest", "--ca", "public.ecr.aws=ca.pem", "public.ecr.aws/alias/web:1.0"])
    }

    fn run(&self, args: &[&str]) -> Run {
        let run = Run::new(&self.home, args).env("HTTPS_PROXY", format!("http://{}", self.tunnel.address));
        let control = format!("http://{}", self.control.host());
        run.env("AWS_ENDPOINT_URL_ECR_PUBLIC", control).env("AWS_REGION", "eu-west-1")
    }

    /// With which login tokens were asked for.
    fn logins(&self) -> Vec<Option<String>> {
        let requests = self.registry.requests().into_iter().filter(|request| request.target.starts_with("/token"));
        requests.map(|request| request.header("authorization").map(str::to_owned)).collect()
    }
}

/// The API: a login, and no repository.
fn api(request: &Request) -> Option<Reply> {
    let (code, answer) = match request.header("x-amz-target")?.strip_prefix("SpencerFrontendService.")? {
        "GetAuthorizationToken" => {
            let token = STANDARD.encode("AWS:gallery");
            let data = json!({ "authorizationToken": token, "expiresAt": 4_070_908_800_i64 });
            (200, json!({ "authorizationData": data }))
        }
        "DescribeRepositories" => (400, json!({ "__type": "RepositoryNotFoundException", "message": "none" })),
        "CreateRepository" => (200, json!({ "repository": {} })),
        _ => return None,
    };
    Some(status(code).header("Content-Type", "application/x-amz-json-1.1").body(answer.to_string()))
}

fn answered(image: &Image, request: &Request) -> Reply {
    let challenge = "Bearer realm=\"https://public.ecr.aws/token/\",service=\"public.ecr.aws\",scope=\"aws\"";
    if request.target.starts_with("/token") {
        return status(200).body(json!({ "token": "t" }).to_string());
    }
    if request.header("authorization") != Some("Bearer t") {
        return status(401).header("WWW-Authenticate", challenge);
    }
    let found = status(200).header("Content-Type", image.manifest.media_type.clone());
    match request.method.as_str() {
        "HEAD" => found.header("Docker-Content-Digest", image.manifest.digest()),
        _ => found.body(image.manifest.bytes.clone()),
    }
}

#[tokio::test]
async fn public_ecr_login_comes_from_us_east_1() {
    let gallery = Gallery::start().await;
    with_keys(gallery.digest()).finish().await.expect_code(0);
    let asked = gallery.control.requests();
    let scope = asked[0].header("authorization").unwrap();
    assert!(asked.len() == 1 && scope.contains("/us-east-1/ecr-public/aws4_request"), "{scope}");
    assert_eq!(gallery.logins(), [Some(format!("Basic {}", STANDARD.encode("AWS:gallery")))]);
}

#[tokio::test]
async fn public_ecr_is_read_anonymously_and_imds_times_out_after_1s() {
    let gallery = Gallery::start().await;
    let silent = ScriptedRegistry::stateful(|_| Some(Reply::Silence)).await;
    let begun = Instant::now();
    let run = gallery.digest().env("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{}/", silent.host()));
    run.finish().await.expect_code(0);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!((silent.requests().len(), gallery.logins()), (1, vec![None]));
    // Whose profile is wrong, or whom AWS refuses, reads all the same.
    let run = gallery.digest().env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_PROFILE", "gone");
    run.finish().await.expect_code(0);
    assert_eq!(gallery.control.requests().len(), 0);
    let doctor = ["doctor", "ecr", "public.ecr.aws/alias/web"];
    let told = Run::new(&gallery.home, doctor).env("AWS_EC2_METADATA_DISABLED", "true").finish().await.expect_code(3);
    assert!(told.stdout.contains("place       the public gallery"), "{}", told.stdout);
}

#[tokio::test]
async fn public_ecr_refuses_settings_of_private_repositories() {
    let gallery = Gallery::start().await;
    let engine = ScriptedEngine::start(Script::default(), &Store::default());
    fs::create_dir(gallery.home.path().join("context")).unwrap();
    fs::write(gallery.home.path().join("context/Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n").unwrap();
    let plan = "version: 1\nregistry: { host: public.ecr.aws/alias, ca: ca.pem }\nimages:\n  web: { context: context, \
                tags: [a], platforms: [linux/amd64], ecr: { create: true, scan_on_push: true } }\n";
    fs::write(gallery.home.path().join("build.yaml"), plan).unwrap();
    let run = with_keys(gallery.run(&["build"])).env("DOCKER_HOST", engine.host());
    says(&run.finish().await.expect_code(3), &["repositories of the public gallery do not have these settings"]);
    let asked =
        gallery.control.requests().into_iter().filter_map(|request| Some(request.header("x-amz-target")?.to_owned()));
    assert!(!asked.collect::<Vec<_>>().iter().any(|target| target.contains("CreateRepository")));
}
