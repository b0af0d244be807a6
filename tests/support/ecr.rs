//! Amazon ECR of real parts: moto is its control plane, and a docker-registry for each region, with TLS and the login that
//! moto gives, its data plane, under the host name that the account has at AWS.
//!
//! Each value is an account of its own, so that tests run side by side: its name leads, in `/etc/hosts` of this machine and
//! of the newer engine's system, to a loopback address of its own, and both engines trust its certificate. What is pushed
//! to a registry is an image of moto's, too, once [`Ecr::settled`] comes back; to a repository that moto does not have
//! nothing may be pushed, and dropping the account fails the test if something was. It does what no real one does: it lets
//! the push pass, has no immutable tags over `/v2/`, and takes whatever is uploaded. `scripted_ecr` refuses that.

mod hosts;
mod images;
mod moto;

use std::fs;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use self::hosts::Hosts;
use self::images::Images;
use self::moto::Moto;
use super::distribution::{Distribution, Named};
use super::engines::Engine;
use super::program::Run;
use super::{aws, parts};

/// Keys that must be seen nowhere.
pub(crate) const SECRET_KEY: &str = "canary/secret+access/key";
/// As [`SECRET_KEY`].
pub(crate) const SESSION_TOKEN: &str = "canary-session-token";
/// Longest that the images of moto may be behind those of the registry.
const BEHIND: Duration = Duration::from_secs(30);

/// An account, empty at first. It ends with the value.
#[derive(Debug)]
pub(crate) struct Ecr {
    /// Twelve digits.
    pub(crate) account: String,
    moto: Moto,
    regions: Vec<Region>,
    images: Images,
    /// Has the certificate that all regions have.
    folder: TempDir,
    _hosts: Hosts,
}

#[derive(Debug)]
struct Region {
    name: &'static str,
    host: String,
    registry: Distribution,
}

impl Ecr {
    /// An account in us-east-1.
    pub(crate) async fn start() -> Self {
        Self::start_in(&["us-east-1"]).await
    }

    /// An account in several regions.
    pub(crate) async fn start_in(regions: &[&'static str]) -> Self {
        let process = std::process::id();
        let account = format!("{process:07}{:05}", next());
        let moto = Moto::start(&account).await;
        let password = moto.password(regions[0]).await;
        let login = htpasswd(&password).await;
        let hosts: Vec<_> = regions
            .iter()
            .map(|region| (*region, address(), format!("{account}.dkr.ecr.{region}.amazonaws.com")))
            .collect();
        let made =
            rcgen::generate_simple_self_signed(hosts.iter().map(|(_, _, host)| host.clone()).collect::<Vec<_>>());
        let (made, folder) = (made.unwrap(), TempDir::with_prefix("polyarch-test-").unwrap());
        let certificate = made.cert.pem();
        fs::write(folder.path().join("ca.pem"), &certificate).unwrap();
        let lines: Vec<_> = hosts.iter().map(|(_, address, host)| format!("{address} {host}")).collect();
        let in_hosts = Hosts::add(&account, &lines).await;
        let images = Images::mirror(&moto.endpoint, &password, &certificate).await;
        let start = |(name, address, host): (&'static str, Ipv4Addr, String)| {
            let trusted = format!("/etc/docker/certs.d/{host}");
            fs::create_dir_all(&trusted).unwrap();
            fs::write(format!("{trusted}/ca.crt"), &certificate).unwrap();
            let key = made.signing_key.serialize_pem();
            let named = Named {
                address: (address, 443).into(),
                certificate: &certificate,
                key: &key,
                login: &login,
                events: &images.url(name, &host),
            };
            Region { name, registry: Distribution::start_named(&named), host }
        };
        let regions = hosts.into_iter().map(start).collect();
        Self { account, moto, regions, images, folder, _hosts: in_hosts }
    }

    /// The host name in the first region.
    pub(crate) fn host(&self) -> &str {
        &self.regions[0].host
    }

    /// The host name in a region.
    pub(crate) fn host_in(&self, region: &str) -> &str {
        &self.region(region).host
    }

    /// The control plane: `http://127.0.0.1:PORT`.
    pub(crate) fn endpoint(&self) -> &str {
        &self.moto.endpoint
    }

    /// What the data plane in the first region was asked so far, `METHOD /path`.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.regions[0].registry.requests()
    }

    /// A run that finds the account as a user of AWS would, with keys, in the first region, and trusts its certificate.
    pub(crate) fn aws(&self, run: Run) -> Run {
        self.environment().into_iter().fold(run, |run, (name, value)| run.env(name, value))
    }

    /// What [`Self::aws`] sets. Tools that are written in Go trust the certificate by `SSL_CERT_FILE`, too.
    pub(crate) fn environment(&self) -> [(&'static str, String); 7] {
        [
            ("AWS_ENDPOINT_URL_ECR", self.moto.endpoint.clone()),
            ("AWS_ENDPOINT_URL_STS", self.moto.endpoint.clone()),
            ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_SESSION_TOKEN", SESSION_TOKEN.to_owned()),
            ("AWS_REGION", self.regions[0].name.to_owned()),
            ("SSL_CERT_FILE", self.folder.path().join("ca.pem").display().to_string()),
        ]
    }

    /// Asks the control plane in the first region.
    pub(crate) async fn call(&self, action: &str, input: &Value) -> Result<Value, (String, String)> {
        aws::call(&self.moto.endpoint, self.regions[0].name, action, input).await
    }

    /// The password that the control plane gives for `AWS`.
    pub(crate) async fn password(&self) -> String {
        self.moto.password(self.regions[0].name).await
    }

    /// Makes a repository in the first region.
    pub(crate) async fn create(&self, repository: &str) {
        self.call("CreateRepository", &json!({ "repositoryName": repository })).await.unwrap();
    }

    /// Comes back when the control plane has every image that was pushed so far.
    pub(crate) async fn settled(&self) {
        let put = || self.regions.iter().map(|region| region.registry.count_of_put_manifests()).sum::<usize>();
        parts::eventually("moto has what was pushed", BEHIND, || self.images.mirrored() == put()).await;
    }

    /// The tags of a repository in the first region as the control plane has them, sorted, once it has settled.
    pub(crate) async fn tags(&self, repository: &str) -> Vec<String> {
        self.settled().await;
        let described = self.call("DescribeImages", &json!({ "repositoryName": repository })).await.unwrap();
        let images = described["imageDetails"].as_array().unwrap();
        let tags = images.iter().flat_map(|image| image["imageTags"].as_array().into_iter().flatten());
        let mut tags: Vec<_> = tags.map(|tag| tag.as_str().unwrap().to_owned()).collect();
        tags.sort_unstable();
        tags
    }

    /// `aws ecr get-login-password | docker login` with the engine's client, whose configuration is then in `folder`.
    ///
    /// An engine looks into `/etc/hosts` again after five seconds: comes back when it has found all regions.
    pub(crate) async fn log_in(&self, engine: &Engine, folder: &std::path::Path) {
        let password = self.password().await;
        for region in &self.regions {
            let logging_in = async {
                loop {
                    let login = ["login", "--username", "AWS", "--password-stdin", &region.host];
                    let output = with_input(engine.docker_command(login).env("DOCKER_CONFIG", folder), &password).await;
                    let said = String::from_utf8_lossy(&output.stderr).into_owned();
                    if !said.contains("no such host") {
                        break parts::printed(&output);
                    }
                }
            };
            let logged_in = tokio::time::timeout(BEHIND, logging_in).await;
            let logged_in = logged_in.unwrap_or_else(|_| panic!("{} does not find {}", engine.host, region.host));
            assert!(logged_in.contains("Login Succeeded"), "{logged_in}");
        }
    }

    /// Comes back when the engine finds all regions by their names.
    pub(crate) async fn known_to(&self, engine: &Engine) {
        let folder = TempDir::with_prefix("polyarch-test-").unwrap();
        self.log_in(engine, folder.path()).await;
    }

    fn region(&self, name: &str) -> &Region {
        self.regions.iter().find(|region| region.name == name).unwrap_or_else(|| panic!("the account is not in {name}"))
    }
}

impl Drop for Ecr {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let refused = self.images.refused();
            assert!(refused.is_empty(), "pushed, and the account does not take it: {refused:?}");
        }
    }
}

fn next() -> u8 {
    static COUNT: AtomicU8 = AtomicU8::new(1);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

/// A loopback address that nobody else has: of this process, and the how many-th.
fn address() -> Ipv4Addr {
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 | (high & 63), low, next())
}

/// The line of an htpasswd file for `AWS`. Of the algorithms docker-registry knows bcrypt alone.
async fn htpasswd(password: &str) -> String {
    let mut command = Command::new("htpasswd");
    command.args(["-n", "-i", "-B", "-C", "4", "AWS"]);
    parts::printed(&with_input(&mut command, password).await)
}

async fn with_input(command: &mut Command, input: &str) -> std::process::Output {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn();
    let mut child = piped.unwrap_or_else(|error| panic!("{command:?}: {error}: `make parts engines` brings it"));
    // Who refuses at once reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes()).await;
    let ended = tokio::time::timeout(parts::LIMIT, child.wait_with_output()).await;
    ended.unwrap_or_else(|_| panic!("{command:?} was not done after {:?}", parts::LIMIT)).unwrap()
}

fn basic(password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("AWS:{password}")))
}
