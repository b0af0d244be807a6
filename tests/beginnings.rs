//! What a command refuses before it begins, and a stop that is heard wherever a run waits.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::support::program::{Home, Run};

/// A registry that says it is there, and answers nothing else. Each request that it leaves waiting is told.
async fn silent(listener: TcpListener, waiting: mpsc::UnboundedSender<()>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let waiting = waiting.clone();
        tokio::spawn(async move {
            let mut request = [0; 4096];
            while let Ok(1..) = stream.read(&mut request).await {
                if request.starts_with(b"GET /v2/ ") {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
                } else {
                    let _ = waiting.send(());
                }
            }
        });
    }
}

#[tokio::test]
async fn interrupt_ends_a_join_that_waits_for_its_registry() {
    for args in [&["join"][..], &["join", "--dry-run"]] {
        // A registry each: what the first run still sent would be taken for the second one's question, and the signal
        // would come before anybody listens for it.
        let home = Home::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let plan = format!(
            "version: 1\nregistry: {{ host: '{}', insecure: true }}\nimages:\n  web:\n    context: .\n    tags: ['1']\n    \
             platforms: [linux/amd64, linux/arm64]\n",
            listener.local_addr().unwrap()
        );
        fs::write(home.path().join("build.yaml"), plan).unwrap();
        let (told, mut waiting) = mpsc::unbounded_channel();
        let registry = tokio::spawn(silent(listener, told));
        let running = Run::new(&home, args).start();
        waiting.recv().await.unwrap();
        let asked = Instant::now();
        running.signal(Signal::INT);
        running.finish().await.expect_code(130);
        assert!(asked.elapsed() < Duration::from_secs(5), "{args:?} took {:?}", asked.elapsed());
        registry.abort();
    }
}

#[tokio::test]
async fn endless_plan_is_refused() {
    let home = Home::new();
    let refused = Run::new(&home, ["plan", "-f", "/dev/zero"]).finish().await.expect_code(2);
    assert!(refused.stderr.contains("it is larger than"), "{}", refused.stderr);
}

#[tokio::test]
async fn unencrypted_remote_docker_host_is_refused() {
    let home = Home::new();
    let plan = "version: 1\nregistry: local\nimages:\n  web: { context: ., tags: ['1'], platforms: [linux/amd64] }\n";
    fs::write(home.path().join("build.yaml"), plan).unwrap();
    let refused = Run::new(&home, ["build"]).env("DOCKER_HOST", "tcp://192.0.2.1:2375").finish().await.expect_code(3);
    assert!(refused.stderr.contains("insecure: true"), "{}", refused.stderr);
}
