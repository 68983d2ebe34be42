//! What is said on stderr when nobody can hear it, and what is not said twice.

use std::fs::OpenOptions;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;

use crate::support::{cluster, command, command_on, ended, file, ottla};

/// A device on which every write fails.
fn full() -> Stdio {
    let device = OpenOptions::new().write(true).open("/dev/full");
    device.unwrap().into()
}

async fn with_full_stderr(mut command: tokio::process::Command) -> ExitStatus {
    command.stdout(Stdio::null()).stderr(full());
    command.status().await.unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_stderr_changes_no_status() {
    let cluster = cluster(1).await;
    let dir = tempfile::tempdir().unwrap();
    let lines = file(&dir, "lines", "a\nb\n");
    let good = format!("produce -t t {}", lines.display());
    for (arguments, status) in [
        (&*good, 0),
        (&*format!("{good} -vvv"), 0),
        ("produce -q -t t /no/such/file", 1),
        ("produce -t nonsense /no/such/file", 1),
        ("topics delete nonsense", 1),
        ("topics describe nonsense", 1),
        ("consume -t nonsense -e", 1),
        ("bench produce -t nonsense --records 1", 1),
        ("bench consume -t t --records 4", 0),
        ("consume", 2),
    ] {
        let ended = with_full_stderr(command_on(&cluster, arguments)).await;
        assert_eq!(ended.code(), Some(status), "{arguments}");
    }
    let unreachable = command("topics list -b 127.0.0.1:1");
    assert_eq!(with_full_stderr(unreachable).await.code(), Some(1));
}

#[tokio::test]
async fn a_stderr_that_is_gone_changes_no_status() {
    let mut child = command("produce -q -t t -b localhost:1 /no/such/file")
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    ended(child).await.failed(1);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn help_that_cannot_be_written_is_a_failure() {
    for arguments in ["--help", "--version", "produce -h"] {
        assert!(!ottla(arguments).await.good().is_empty());
        let said = {
            let child = command(arguments).stdout(full()).spawn().unwrap();
            ended(child).await.bad()
        };
        assert!(
            said.starts_with("ottla: cannot write to stdout: "),
            "{said}"
        );
    }
}

#[tokio::test]
async fn what_is_certain_is_said_soon_and_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    for (brokers, why) in [
        (address.to_string(), "refused"),
        ("no-such-host.invalid:9092".to_owned(), "lookup"),
    ] {
        let started = Instant::now();
        let said = ottla(&format!("topics list -b {brokers}")).await.bad();
        assert!(started.elapsed() < Duration::from_secs(8), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(why), "{said}");
    }
    let said = ottla(&format!("topics list -v -b {address}")).await.bad();
    assert!(
        said.contains("WARN"),
        "whoever asks for a log gets it: {said}"
    );
}

#[tokio::test]
async fn an_address_is_named_once() {
    let said = ottla("topics list -b 127.0.0.1:1").await.bad();
    assert!(!said.contains("127.0.0.1:1: 127.0.0.1:1: "), "{said}");
}
