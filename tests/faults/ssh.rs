//! ssh agents: forwarded to the builds that they are for, and missed before anything is built.

use std::fs;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};

use bollard::moby::sshforward::v1::ssh_client::SshClient;
use bollard::moby::sshforward::v1::{BytesMessage, CheckAgentRequest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::{Request, Status};

use super::world::{World, says};
use crate::support::scripted_engine::{Script, SolveCall};

const PLAN: &str = r#"
images:
  hello:
    context: context
    tags: ["1.0", latest]
    ssh: [default, other=other.sock]
    platforms:
      linux/amd64:
      linux/arm64: { ssh: [default=other.sock] }
"#;

/// `SSH_AGENTC_REQUEST_IDENTITIES`.
const LIST: [u8; 5] = [0, 0, 0, 1, 11];
/// `SSH_AGENTC_REMOVE_ALL_IDENTITIES`, and the `SSH_AGENT_FAILURE` that is the answer.
const REMOVE_ALL: [u8; 5] = [0, 0, 0, 1, 19];
const FAILURE: [u8; 5] = [0, 0, 0, 1, 5];

/// A message of an agent that says `name` to whatever it is asked, and ends if it is not asked to list.
fn identities(name: u8) -> [u8; 6] {
    [0, 0, 0, 2, 12, name]
}

/// An agent at `socket`: each connection is asked to list, over and over.
fn agent(world: &World, socket: &str, name: u8) {
    let listener = UnixListener::bind(world.home.path().join(socket)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::UnixListener::from_std(listener).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 5];
                while stream.read_exact(&mut request).await.is_ok() && request == LIST {
                    stream.write_all(&identities(name)).await.unwrap();
                }
            });
        }
    });
}

/// What the session answers where a step asks the agent `id`, as BuildKit passes it on: in pieces, and to the end.
async fn ask(call: &SolveCall, id: &str, pieces: &[&[u8]]) -> Result<Vec<u8>, Status> {
    let mut ssh = SshClient::new(call.session().await);
    ssh.check_agent(CheckAgentRequest { id: id.into() }).await?;
    let pieces: Vec<_> = pieces.iter().map(|piece| BytesMessage { data: piece.to_vec() }).collect();
    let mut request = Request::new(futures::stream::iter(pieces));
    request.metadata_mut().insert("buildkit.ssh.id", id.parse().unwrap());
    let mut said = ssh.forward_agent(request).await?.into_inner();
    let mut answered = Vec::new();
    while let Some(part) = said.message().await? {
        answered.extend(part.data);
    }
    Ok(answered)
}

#[tokio::test]
async fn build_reads_only_its_planned_ssh_agents() {
    let answers = Arc::new(Mutex::new(Vec::new()));
    let told = answers.clone();
    let script = Script::default().solve(move |call| {
        let told = told.clone();
        async move {
            for id in ["", "default", "other"] {
                let pieces: [&[u8]; 4] = [&LIST[..2], &LIST[2..], &REMOVE_ALL, &LIST];
                let answer = ask(&call, id, &pieces).await.map_err(|status| status.message().to_owned());
                told.lock().unwrap().push((call.platform().to_owned(), id, answer));
            }
            call.built()
        }
    });
    let world = World::start(script).await;
    world.plan(PLAN);
    agent(&world, "mine.sock", b'm');
    agent(&world, "other.sock", b'o');
    world.run(&["build"]).env("SSH_AUTH_SOCK", world.home.path().join("mine.sock")).finish().await.expect_code(0);
    let mut answers = answers.lock().unwrap().clone();
    answers.sort_by_key(|(platform, ..)| platform.clone());
    let (amd64, arm64) = ("linux/amd64".to_owned(), "linux/arm64".to_owned());
    let of = |name| Ok([&identities(name)[..], &FAILURE, &identities(name)].concat());
    assert_eq!(
        answers,
        [
            (amd64.clone(), "", of(b'm')),
            (amd64.clone(), "default", of(b'm')),
            (amd64, "other", of(b'o')),
            (arm64.clone(), "", of(b'o')),
            (arm64.clone(), "default", of(b'o')),
            (arm64, "other", Err("no ssh agent \"other\" is planned".to_owned())),
        ]
    );
}

#[tokio::test]
async fn missing_ssh_agent_stops_the_run_before_any_build() {
    let world = World::start(Script::default()).await;
    world.plan(PLAN);
    let refused = world.build().await.expect_code(2);
    says(
        &refused,
        &[
            "the ssh agent default: SSH_AUTH_SOCK is not set",
            "the ssh agent other: no agent answers at other.sock: No such file",
        ],
    );
    // A key in the place of an agent, and what an agent leaves behind that ended.
    fs::write(world.home.path().join("other.sock"), "-----BEGIN OPENSSH PRIVATE KEY-----").unwrap();
    drop(UnixListener::bind(world.home.path().join("dead.sock")).unwrap());
    let dead = world.home.path().join("dead.sock");
    let refused = world.run(&["build"]).env("SSH_AUTH_SOCK", &dead).finish().await.expect_code(2);
    let unanswered = format!("the ssh agent default: no agent answers at {}: Connection refused", dead.display());
    says(&refused, &[&unanswered, "other.sock is not the socket of an agent", "`ssh-add other.sock`"]);
    assert_eq!(world.engine.counts().solves.started, 0);
    world.assert_untouched();
}
