//! Who we are at AWS, and at its registries.

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::world::{Aws, HELLO, KEYS, says, with_keys};
use crate::support::images::Image;
use crate::support::scripted_ecr::{Action, Mutability};

/// Everything that AWS's chain looks at.
const CHAIN: [&str; 5] =
    ["AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_", "IMDS"];

/// An account with the two images that a join takes.
async fn with_images() -> Aws {
    let aws = Aws::start().await;
    aws.ecr.has("hello", Mutability::Mutable);
    for platform in ["linux/amd64", "linux/arm64"] {
        aws.ecr.keep("hello", Some(&platform.replace("linux/", "1.0-")), &Image::docker(platform, platform));
    }
    aws
}

#[tokio::test]
async fn one_ecr_token_serves_the_engine_and_the_registry() {
    let aws = Aws::start().await;
    aws.ecr.has("hello", Mutability::Mutable);
    aws.build().await.expect_code(0);
    assert_eq!(aws.ecr.count(Action::GetAuthorizationToken), 1);
    assert_eq!(aws.engine.counts().pushes.started, 2);
}

#[tokio::test]
async fn join_requests_one_ecr_token_even_if_it_has_expired() {
    for seconds in [-3600, -400_000_000, 1] {
        let aws = with_images().await;
        aws.ecr.token_life(seconds);
        aws.run(&["join"]).finish().await.expect_code(0);
        assert_eq!(aws.ecr.count(Action::GetAuthorizationToken), 1, "{seconds}");
    }
}

#[tokio::test]
async fn ecr_token_that_expires_during_a_join_is_renewed_once() {
    for action in [Action::BatchGetImage, Action::PutImage] {
        let aws = with_images().await;
        aws.ecr.expire_tokens_at(action);
        aws.run(&["join"]).finish().await.expect_code(0);
        assert_eq!(aws.ecr.count(Action::GetAuthorizationToken), 2, "{action:?}");
    }
}

#[tokio::test]
async fn missing_aws_credentials_error_names_the_chain() {
    let aws = with_images().await;
    let refused = aws.run_as_nobody(&["join"]).finish().await.expect_code(3);
    says(&refused, &CHAIN);
    says(&refused, &["hint: set AWS_PROFILE"]);
}

#[tokio::test]
async fn half_of_the_aws_keys_names_the_missing_variable() {
    let aws = with_images().await;
    for (set, missing) in [(0, 1), (1, 0)] {
        let [set, missing] = [set, missing].map(|place: usize| KEYS[place].0);
        let refused = aws.run_as_nobody(&["join"]).env(set, "something").finish().await.expect_code(3);
        says(&refused, &[&format!("{missing} is not set, but {set} is"), &format!("hint: set {missing}")]);
        assert!(!refused.stderr.contains("there is no login"), "{}", refused.stderr);
    }
}

#[tokio::test]
async fn region_of_the_plan_finds_the_registry_of_the_account() {
    let aws = Aws::start().await;
    aws.plan_at("{ type: ecr, region: us-east-1 }", HELLO);
    let planned = with_keys(aws.run_nowhere(&["plan"])).finish().await.expect_code(0);
    assert!(planned.stdout.contains("123456789012.dkr.ecr.us-east-1.amazonaws.com/hello:1.0"), "{}", planned.stdout);
    for registry in ["ecr", "[{ type: ecr, region: eu-west-1 }, ecr/team]", "{ type: ecr }"] {
        aws.plan_at(registry, HELLO);
        let refused = with_keys(aws.run_nowhere(&["plan"])).finish().await.expect_code(3);
        says(&refused, &["no AWS region is known"]);
    }
}

#[tokio::test]
async fn silent_ec2_metadata_is_abandoned_after_one_second() {
    let aws = with_images().await;
    // It takes the connection, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let started = Instant::now();
    let run = aws.run_as_nobody(&["join"]).env("AWS_EC2_METADATA_DISABLED", "false");
    let refused = run.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint).finish().await.expect_code(3);
    says(&refused, &CHAIN);
    // One second is the instance's, the rest for a machine that does something else meanwhile.
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
}

#[tokio::test]
async fn missing_aws_region_is_reported() {
    let aws = with_images().await;
    let refused = with_keys(aws.run_nowhere(&["join"])).finish().await.expect_code(3);
    says(&refused, &["no AWS region is known", "AWS_REGION, AWS_DEFAULT_REGION or the profile"]);
    let run = with_keys(aws.run_nowhere(&["join"])).env("AWS_DEFAULT_REGION", "us-east-1");
    run.finish().await.expect_code(0);
    let config = aws.home.path().join("aws-config");
    fs::write(&config, "[default]\n[profile deploy]\nregion = us-east-1\n").unwrap();
    let run = with_keys(aws.run_nowhere(&["join"])).env("AWS_CONFIG_FILE", config.as_os_str());
    run.env("AWS_PROFILE", "deploy").finish().await.expect_code(0);
}

#[tokio::test]
async fn refused_aws_credentials_error_quotes_aws() {
    let aws = with_images().await;
    aws.ecr.fail(Action::DescribeRepositories, "ExpiredTokenException", "The security token is expired");
    aws.ecr.fail(Action::GetAuthorizationToken, "ExpiredTokenException", "The security token is expired");
    let refused = aws.run(&["join"]).finish().await.expect_code(3);
    says(&refused, &["AWS does not accept the credentials", "The security token is expired", "check AWS_REGION"]);
    // Retries are the SDK's, and only for what may pass.
    let aws = with_images().await;
    aws.ecr.throttle(Action::GetAuthorizationToken, 2);
    aws.run(&["join"]).finish().await.expect_code(0);
    assert_eq!(aws.ecr.count(Action::GetAuthorizationToken), 3);
}

#[tokio::test]
async fn profiles_and_credential_processes_give_aws_credentials() {
    let aws = with_images().await;
    let config = aws.home.path().join("aws-config");
    let answer = json!({ "Version": 1, "AccessKeyId": "AKIAPROCESS", "SecretAccessKey": "s" });
    fs::write(aws.home.path().join("answer.json"), answer.to_string()).unwrap();
    let process = aws.home.path().join("answer.json");
    let profiles = format!(
        "[profile keys]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = s\n\
         [profile process]\ncredential_process = cat {}\n",
        process.display(),
    );
    fs::write(&config, profiles).unwrap();
    for profile in ["keys", "process"] {
        let run = aws.run_as_nobody(&["join"]).env("AWS_CONFIG_FILE", config.as_os_str()).env("AWS_PROFILE", profile);
        run.finish().await.expect_code(0);
    }
}

#[tokio::test]
async fn ecr_login_order_is_helper_then_aws_then_docker_config() {
    let aws = with_images().await;
    let login = |password: &str| STANDARD.encode(format!("AWS:{password}"));
    // A token as `aws ecr get-login-password` would give it.
    let asked = aws.run(&["join"]).finish().await.expect_code(0);
    assert!(asked.stderr.contains("verified"), "{}", asked.stderr);
    let password = aws.ecr.password();
    let tokens = || aws.ecr.count(Action::GetAuthorizationToken);
    let config = aws.home.docker_config().join("config.json");
    // An old login is passed over where AWS knows us.
    fs::write(&config, json!({ "auths": { aws.ecr.host(): { "auth": login("old") } } }).to_string()).unwrap();
    aws.run(&["digest", &format!("{}/hello:1.0", aws.ecr.host())]).finish().await.expect_code(3);
    aws.run(&["join"]).finish().await.expect_code(0);
    assert_eq!(tokens(), 2);
    // The registry takes what the other one was given, too.
    let helper = aws.home.path().join("docker-credential-own");
    let body = format!("#!/bin/sh\nread -r host\necho '{{\"Username\":\"AWS\",\"Secret\":\"{password}\"}}'\n");
    let write = r#"printf '%s' "$1" > "$0" && chmod 755 "$0""#;
    assert!(Command::new("sh").arg("-c").arg(write).arg(&helper).arg(body).status().unwrap().success());
    fs::write(&config, json!({ "credHelpers": { aws.ecr.host(): "own" } }).to_string()).unwrap();
    let path = format!("{}:/usr/bin:/bin", aws.home.path().display());
    aws.run(&["join"]).env("PATH", path).finish().await.expect_code(0);
    assert_eq!(tokens(), 2);
    // Nobody at AWS, and logged in with docker: the repository is then not looked for.
    fs::write(&config, json!({ "auths": { aws.ecr.host(): { "auth": login(&password) } } }).to_string()).unwrap();
    aws.run_as_nobody(&["join"]).finish().await.expect_code(0);
    assert_eq!(tokens(), 2);
}

#[tokio::test]
async fn registry_ecr_finds_the_private_registry_of_the_account() {
    let aws = Aws::start().await;
    aws.ecr.has("team/hello", Mutability::Mutable);
    aws.ecr.proxy_endpoint(&format!("http://{}", aws.ecr.host()));
    aws.plan_at("ecr/team", &HELLO.replace("latest", "\"${aws.region}\""));
    aws.build().await.expect_code(0);
    assert_eq!(aws.ecr.tags("team/hello"), ["1.0", "1.0-amd64", "1.0-arm64", "us-east-1"]);
    assert_eq!(aws.ecr.count(Action::GetAuthorizationToken), 1, "what says where it is is its login, too");
    let refused = aws.run_as_nobody(&["plan"]).finish().await.expect_code(3);
    says(&refused, &CHAIN);
    let asked = aws.ecr.control.requests().len();
    aws.plan_at("local", HELLO);
    aws.run(&["build", "--no-push"]).finish().await.expect_code(0);
    aws.run(&["plan"]).finish().await.expect_code(0);
    assert_eq!(aws.ecr.control.requests().len(), asked, "nobody asks AWS about other registries");
}

#[tokio::test]
async fn aws_account_variable_is_the_registry_id() {
    let aws = Aws::start().await;
    aws.plan_at("ecr", &HELLO.replace("latest", "\"${aws.account}\""));
    let plan = aws.run(&["plan", "--format", "json"]).finish().await.expect_code(0);
    assert!(plan.stdout.contains("\"host\": \"123456789012.dkr.ecr.us-east-1.amazonaws.com\""), "{}", plan.stdout);
    assert!(plan.stdout.contains("\"123456789012\""), "{}", plan.stdout);
    aws.plan_at("local", &HELLO.replace("latest", "\"${aws.account:-nobody}\""));
    let plan = aws.run_as_nobody(&["plan", "--format", "json"]).finish().await.expect_code(0);
    assert!(plan.stdout.contains("\"nobody\""), "{}", plan.stdout);
}

/// A git that writes down what it was started with, and what the program was.
fn watching_git(aws: &Aws) -> String {
    let (home, git) = (aws.home.path(), aws.home.path().join("git"));
    let body = format!(
        "#!/bin/sh\n(env; echo \"$@\"; tr '\\0' ' ' </proc/$PPID/cmdline) >> {}\nexec /usr/bin/git \"$@\"\n",
        home.join("seen").display(),
    );
    let write = r#"printf '%s' "$1" > "$0" && chmod 755 "$0""#;
    assert!(Command::new("sh").arg("-c").arg(write).arg(&git).arg(body).status().unwrap().success());
    format!("{}:/usr/bin:/bin", home.display())
}

#[tokio::test]
async fn aws_secrets_never_appear_in_any_output_at_trace_level() {
    let aws = Aws::start().await;
    let plan = HELLO.replace("context: context", "context: context\n    ecr: { create: true }");
    aws.plan(&plan.replace("latest", "\"${git.short:-none}\""));
    let path = watching_git(&aws);
    aws.ecr.expire_tokens_at(Action::PutImage);
    for args in [
        &["build", "--progress", "plain", "--report", "report.json"][..],
        &["build", "--progress", "json"][..],
        &["join", "--progress", "plain"][..],
        &["-v", "verify"][..],
        &["doctor", "ecr"][..],
        &["plan", "--format", "json"][..],
        &["--verbose", "plan"][..],
    ] {
        let run = aws.run(args).env("PATH", &path).env("RUST_LOG", "trace").env("RUST_BACKTRACE", "1");
        let ran = run.finish().await.expect_code(0);
        let written = ["report.json", "seen"].map(|file| fs::read_to_string(aws.home.path().join(file)).unwrap());
        assert!(written[1].contains(args[0]) && written[1].contains("rev-parse"), "{}", written[1]);
        hunt(&aws, &[&ran.stdout, &ran.stderr, &written[0], &written[1]]);
    }
    // What refuses them does not repeat them either.
    aws.ecr.fail(Action::GetAuthorizationToken, "UnrecognizedClientException", "The security token is invalid.");
    let refused = aws.run(&["join"]).env("RUST_LOG", "trace").finish().await.expect_code(3);
    hunt(&aws, &[&refused.stdout, &refused.stderr]);
}

fn hunt(aws: &Aws, texts: &[&str]) {
    let password = aws.ecr.password();
    let canaries = KEYS.iter().map(|(_, value)| *value).chain([password.as_str()]);
    for canary in canaries {
        let encoded = STANDARD.encode(format!("AWS:{canary}"));
        for text in texts {
            assert!(!text.contains(canary) && !text.contains(&encoded), "{canary} is in:\n{text}");
        }
    }
}
