//! The links of AWS's credential chain, each with somebody who gives credentials out as it does, and what is wrong with
//! them.

use std::fs;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::world::{Aws, HELLO, says};
use crate::support::program::Run;
use crate::support::scripted_ecr::Mutability;
use crate::support::scripted_registry::{Reply, Request, ScriptedRegistry, status};

/// Far in the future: what is given out does not end during a test.
const EXPIRATION: &str = "2099-01-01T00:00:00Z";

async fn aws() -> Aws {
    let aws = Aws::start().await;
    aws.ecr.has("hello", Mutability::Mutable);
    aws
}

/// Who signed the requests that ECR got.
fn signers(aws: &Aws) -> Vec<String> {
    let requests = aws.ecr.control.requests().into_iter();
    let signer = |request: Request| {
        let (_, rest) = request.header("authorization")?.split_once("Credential=")?;
        rest.split_once('/').map(|(key, _)| key.to_owned())
    };
    let mut signers: Vec<_> = requests.filter_map(signer).collect();
    signers.dedup();
    signers
}

fn keys(id: &str) -> Reply {
    let keys = json!({
        "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z", "Expiration": EXPIRATION,
        "AccessKeyId": id, "SecretAccessKey": "s", "Token": "t",
    });
    status(200).header("Content-Type", "application/json").body(keys.to_string())
}

fn url(server: &ScriptedRegistry, path: &str) -> String {
    format!("http://{}{path}", server.host())
}

/// What is asked for is only who we are and what ECR says then.
fn doctor(aws: &Aws) -> Run {
    aws.run_as_nobody(&["doctor", "ecr"])
}

#[tokio::test]
async fn instance_metadata_v2_gives_aws_credentials() {
    let aws = aws().await;
    let instance = ScriptedRegistry::stateful(|request| {
        let token = request.header("x-aws-ec2-metadata-token");
        match request.line().as_str() {
            "PUT /latest/api/token" => {
                Some(status(200).header("x-aws-ec2-metadata-token-ttl-seconds", "21600").body("session"))
            }
            _ if token != Some("session") => Some(status(401)),
            "GET /latest/meta-data/iam/security-credentials/" => Some(status(200).body("images")),
            "GET /latest/meta-data/iam/security-credentials/images" => Some(keys("AKIAINSTANCE")),
            // Newer instances have these, and this one does not.
            line if line.contains("security-credentials-extended") => Some(status(404)),
            _ => None,
        }
    })
    .await;
    let run = doctor(&aws).env("AWS_EC2_METADATA_DISABLED", "false");
    run.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", url(&instance, "/")).finish().await.expect_code(0);
    assert_eq!(signers(&aws), ["AKIAINSTANCE"]);
}

#[tokio::test]
async fn instance_without_credentials_ends_the_chain() {
    let aws = aws().await;
    // The hop limit of a container in an instance, and an instance without a role.
    for line in ["PUT /latest/api/token", "GET /latest/meta-data/iam/security-credentials/"] {
        let instance = ScriptedRegistry::stateful(move |request| match request.method.as_str() {
            _ if request.line() == line => Some(status(if request.method == "PUT" { 403 } else { 404 })),
            "PUT" => Some(status(200).header("x-aws-ec2-metadata-token-ttl-seconds", "21600").body("session")),
            _ => Some(status(404)),
        })
        .await;
        let run = doctor(&aws).env("AWS_EC2_METADATA_DISABLED", "false");
        let run = run.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", url(&instance, "/"));
        let told = run.finish().await.expect_code(3);
        assert!(told.stdout.contains("no AWS credentials were found"), "{line}: {}", told.stdout);
    }
}

#[tokio::test]
async fn container_endpoint_gives_credentials_for_its_token() {
    let aws = aws().await;
    let agent = ScriptedRegistry::stateful(|request| {
        (request.line() == "GET /v2/credentials" && request.header("authorization") == Some("Bearer pod"))
            .then(|| keys("AKIACONTAINER"))
    })
    .await;
    let token = aws.home.path().join("token");
    fs::write(&token, "Bearer pod").unwrap();
    let run = doctor(&aws).env("AWS_CONTAINER_CREDENTIALS_FULL_URI", url(&agent, "/v2/credentials"));
    run.env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.as_os_str()).finish().await.expect_code(0);
    assert_eq!(signers(&aws), ["AKIACONTAINER"]);
}

#[tokio::test]
async fn web_identity_token_assumes_a_role() {
    let aws = aws().await;
    let role = "arn:aws:iam::123456789012:role/images";
    let sts = ScriptedRegistry::stateful(|request| {
        let body = String::from_utf8_lossy(&request.body);
        let asks = ["Action=AssumeRoleWithWebIdentity", "role%2Fimages", "WebIdentityToken=oidc"];
        if !asks.iter().all(|part| body.contains(part)) {
            return body.contains("GetCallerIdentity").then(|| status(403));
        }
        let answer = format!(
            "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
             <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIAWEB</AccessKeyId>\
             <SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>{EXPIRATION}</Expiration>\
             </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        );
        Some(status(200).header("Content-Type", "text/xml").body(answer))
    })
    .await;
    let token = aws.home.path().join("token");
    fs::write(&token, "oidc").unwrap();
    let run = doctor(&aws).env("AWS_ENDPOINT_URL_STS", url(&sts, "")).env("AWS_ROLE_ARN", role);
    run.env("AWS_WEB_IDENTITY_TOKEN_FILE", token.as_os_str()).finish().await;
    assert_eq!(signers(&aws), ["ASIAWEB"]);
}

#[tokio::test]
async fn sso_session_gives_a_role_and_expired_one_hints_login() {
    let aws = aws().await;
    let config = aws.home.path().join("aws-config");
    let profile = "[profile sso]\nsso_session = acme\nsso_account_id = 123456789012\nsso_role_name = images\n\
                   [sso-session acme]\nsso_region = us-east-1\nsso_start_url = https://acme.example/start\n";
    fs::write(&config, profile).unwrap();
    let portal = ScriptedRegistry::stateful(|request| {
        let is_ours = request.target.starts_with("/federation/credentials?")
            && request.header("x-amz-sso_bearer_token") == Some("portal");
        let keys = json!({ "roleCredentials": {
            "accessKeyId": "ASIASSO", "secretAccessKey": "s", "sessionToken": "t", "expiration": 4_070_908_800_000_i64,
        } });
        is_ours.then(|| status(200).header("Content-Type", "application/json").body(keys.to_string()))
    })
    .await;
    let run = || {
        let run = doctor(&aws).env("AWS_CONFIG_FILE", config.as_os_str()).env("AWS_PROFILE", "sso");
        run.env("AWS_ENDPOINT_URL_SSO", url(&portal, ""))
    };
    let over = run().finish().await.expect_code(3);
    assert!(over.stdout.contains("the cached SSO token") && over.stdout.contains("aws sso login"), "{}", over.stdout);
    // Its name is the SHA-1 of the session's (`acme`).
    let cache = aws.home.path().join(".aws/sso/cache");
    fs::create_dir_all(&cache).unwrap();
    let token = json!({ "accessToken": "portal", "expiresAt": EXPIRATION, "startUrl": "https://acme.example/start" });
    fs::write(cache.join("293abb6b76d7791c0732cc517d38c4b5c734b87f.json"), token.to_string()).unwrap();
    run().finish().await.expect_code(0);
    assert_eq!(signers(&aws), ["ASIASSO"]);
}

#[tokio::test]
async fn missing_aws_profile_or_broken_aws_config_is_named() {
    let aws = aws().await;
    let config = aws.home.path().join("aws-config");
    fs::write(&config, "[profile deploy]\nregion = us-east-1\n").unwrap();
    let run = |args: &[&str]| aws.run_as_nobody(args).env("AWS_CONFIG_FILE", config.as_os_str());
    let told = run(&["build"]).env("AWS_PROFILE", "deplyo").finish().await.expect_code(3);
    says(&told, &["there is no profile `deplyo` (AWS_PROFILE)", "aws configure list-profiles"]);
    fs::write(&config, "[profile deploy").unwrap();
    let told = run(&["doctor", "ecr"]).finish().await.expect_code(3);
    assert!(told.stdout.contains("on line 1"), "{}", told.stdout);
    assert!(!told.stdout.contains("  token "), "what follows from it is left out: {}", told.stdout);
    aws.plan_at("ecr", HELLO);
    let told = aws.run_nowhere(&["plan"]).env("AWS_CONFIG_FILE", config.as_os_str()).finish().await.expect_code(3);
    says(&told, &["the AWS configuration cannot be used", "on line 1"]);
    let told = aws.run_nowhere(&["plan"]).env("AWS_REGION", "EU Central").finish().await.expect_code(3);
    says(&told, &["`EU Central` from AWS_REGION, AWS_DEFAULT_REGION or the profile is not an AWS region"]);
}

#[tokio::test]
async fn silent_credential_process_is_abandoned_after_5s() {
    let aws = aws().await;
    let (config, started) = (aws.home.path().join("aws-config"), aws.home.path().join("started"));
    // It ends when the tests do.
    let process = format!("sh -c 'echo >> {}; exec tail --pid={} -f /dev/null'", started.display(), std::process::id());
    fs::write(&config, format!("[profile slow]\ncredential_process = {process}\n")).unwrap();
    let begun = Instant::now();
    let run = aws.run_as_nobody(&["build"]).env("AWS_CONFIG_FILE", config.as_os_str()).env("AWS_PROFILE", "slow");
    let told = run.finish().await.expect_code(3);
    says(&told, &["their source did not answer within 5 s"]);
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    assert_eq!(fs::read_to_string(started).unwrap(), "\n");
}

#[tokio::test]
async fn silent_ec2_metadata_is_asked_once_for_all_images() {
    let aws = aws().await;
    let images =
        (0..8).map(|number| format!("  web{number}: {{ context: context, tags: [a], platforms: [linux/amd64] }}\n"));
    aws.plan(&format!("images:\n{}", images.collect::<String>()));
    // Who is logged in with docker is let in, and AWS is asked about each repository.
    aws.run(&["doctor", "ecr"]).finish().await.expect_code(3);
    let login = STANDARD.encode(format!("AWS:{}", aws.ecr.password()));
    let auths = json!({ "auths": { aws.ecr.host(): { "auth": login } } });
    fs::write(aws.home.docker_config().join("config.json"), auths.to_string()).unwrap();
    let silent = ScriptedRegistry::stateful(|_| Some(Reply::Silence)).await;
    let begun = Instant::now();
    let run = aws.run_as_nobody(&["build"]).env("AWS_EC2_METADATA_DISABLED", "false");
    let told = run.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", url(&silent, "/")).finish().await.expect_code(3);
    says(&told, &["repository web0 does not exist in", "repository web7 does not exist in"]);
    assert_eq!(silent.requests().len(), 1);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}
