//! How AWS is reached: its endpoints, proxies, and answers that are none.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use super::world::{Aws, says, with_keys};
use crate::support::program::Run;
use crate::support::scripted_ecr::{Action, Mutability};
use crate::support::scripted_registry::{Body, Reply, Request, ScriptedRegistry, status};

/// A proxy that writes down where it is to go, and goes nowhere.
async fn proxy() -> ScriptedRegistry {
    ScriptedRegistry::stateful(|_| Some(status(403))).await
}

fn through(run: Run, proxy: &ScriptedRegistry) -> Run {
    let address = format!("http://{}", proxy.host());
    run.env("HTTPS_PROXY", address.clone()).env("HTTP_PROXY", address)
}

#[tokio::test]
async fn every_ecr_host_form_maps_to_its_api_endpoint() {
    let aws = Aws::start().await;
    let proxy = proxy().await;
    for (host, api, sts) in [
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "api.ecr.eu-west-1.amazonaws.com", "eu-west-1.amazonaws.com"),
        (
            "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com",
            "api.ecr-fips.us-east-1.amazonaws.com",
            "us-east-1.amazonaws.com",
        ),
        ("123456789012.dkr-ecr.eu-west-1.on.aws", "ecr.eu-west-1.api.aws", "eu-west-1.amazonaws.com"),
        ("123456789012.dkr-ecr-fips.us-east-2.on.aws", "ecr-fips.us-east-2.api.aws", "us-east-2.amazonaws.com"),
        (
            "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
            "api.ecr.cn-north-1.amazonaws.com.cn",
            "cn-north-1.amazonaws.com.cn",
        ),
        (
            "123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn",
            "ecr.cn-north-1.api.amazonwebservices.com.cn",
            "cn-north-1.amazonaws.com.cn",
        ),
        (
            "123456789012.dkr.ecr.us-gov-west-1.amazonaws.com",
            "api.ecr.us-gov-west-1.amazonaws.com",
            "us-gov-west-1.amazonaws.com",
        ),
        (
            "123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov",
            "api.ecr.us-iso-east-1.c2s.ic.gov",
            "us-iso-east-1.c2s.ic.gov",
        ),
        (
            "123456789012.dkr.ecr.us-isob-east-1.sc2s.sgov.gov",
            "api.ecr.us-isob-east-1.sc2s.sgov.gov",
            "us-isob-east-1.sc2s.sgov.gov",
        ),
        (
            "123456789012.dkr.ecr.us-isof-south-1.csp.hci.ic.gov",
            "api.ecr.us-isof-south-1.csp.hci.ic.gov",
            "us-isof-south-1.csp.hci.ic.gov",
        ),
        (
            "123456789012.dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk",
            "api.ecr.eu-isoe-west-1.cloud.adc-e.uk",
            "eu-isoe-west-1.cloud.adc-e.uk",
        ),
        (
            "123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu",
            "api.ecr.eusc-de-east-1.amazonaws.eu",
            "eusc-de-east-1.amazonaws.eu",
        ),
        ("public.ecr.aws", "api.ecr-public.us-east-1.amazonaws.com", "us-east-1.amazonaws.com"),
        ("ecr-public.aws.com", "api.ecr-public.us-east-1.amazonaws.com", "us-east-1.amazonaws.com"),
    ] {
        let run = with_keys(Run::new(&aws.home, ["doctor", "ecr", &format!("{host}/team/web")]));
        // One attempt each: nobody is there.
        let told = through(run, &proxy).env("AWS_MAX_ATTEMPTS", "1").finish().await.expect_code(3);
        assert!(told.stdout.contains("through HTTPS_PROXY if set"), "{}", told.stdout);
        let asked: Vec<_> = proxy.requests().iter().rev().take(2).map(Request::line).collect();
        assert_eq!(asked, [format!("CONNECT {api}:443"), format!("CONNECT sts.{sts}:443")], "{host}");
    }
    let run = with_keys(Run::new(&aws.home, ["doctor", "ecr", "123456789012.dkr.ecr.us-east-1.amazonaws.com/web"]));
    let run = through(run, &proxy).env("AWS_USE_FIPS_ENDPOINT", "true").env("AWS_MAX_ATTEMPTS", "1");
    run.finish().await.expect_code(3);
    let asked: Vec<_> = proxy.requests().iter().rev().take(2).map(Request::line).collect();
    assert_eq!(
        asked,
        ["CONNECT api.ecr-fips.us-east-1.amazonaws.com:443", "CONNECT sts-fips.us-east-1.amazonaws.com:443"]
    );
}

#[tokio::test]
async fn local_aws_endpoints_are_reached_without_a_proxy() {
    let aws = Aws::start().await;
    aws.ecr.has("hello", Mutability::Mutable);
    let proxy = proxy().await;
    through(aws.run(&["build"]), &proxy).finish().await.expect_code(0);
    // The address of every instance's credentials, in clear: it is asked, and not of the proxy.
    let nobody = aws.run_as_nobody(&["join"]).env("AWS_EC2_METADATA_DISABLED", "false");
    through(nobody, &proxy).finish().await.expect_code(3);
    assert_eq!(proxy.requests().len(), 0);
    let run = with_keys(Run::new(&aws.home, ["doctor", "ecr", "123456789012.dkr.ecr.us-east-1.amazonaws.com/web"]));
    let run = through(run, &proxy).env("NO_PROXY", "amazonaws.com").env("AWS_MAX_ATTEMPTS", "1");
    run.finish().await.expect_code(3);
    assert_eq!(proxy.requests().len(), 0);
}

#[tokio::test]
async fn hanging_aws_api_stops_at_once_and_nonsense_is_reported() {
    let aws = Aws::start().await;
    let gone = Arc::new(Mutex::new(Reply::Silence));
    let reply = gone.clone();
    aws.ecr.answers(move |action, _| (action != Action::GetCallerIdentity).then(|| reply.lock().unwrap().clone()));
    let running = aws.run(&["build"]).start();
    aws.ecr.control.arrived(1).await;
    let stopped = Instant::now();
    running.signal(Signal::INT);
    running.finish().await.expect_code(130);
    assert!(stopped.elapsed() < Duration::from_secs(1), "{:?}", stopped.elapsed());

    let json = |reply: Reply| reply.header("Content-Type", "application/x-amz-json-1.1");
    let ouch = json!({ "__type": "ServerException", "message": "ouch\u{1b}[31m" }).to_string();
    for (answer, said) in [
        (json(status(500)).body(ouch), "ServerException: ouch"),
        (status(200).body("<html>hello</html>"), "not part of its API"),
        (status(502).body("<html>bad gateway</html>"), "not part of its API"),
        (json(status(200)).send(Body::Endless), "not part of its API"),
    ] {
        *gone.lock().unwrap() = answer;
        let told = aws.run(&["build"]).finish().await.expect_code(3);
        says(&told, &[said]);
        assert!(!told.stderr.contains('\u{1b}'), "{:?}", told.stderr);
    }
}
