//! Running the program against a cluster in the test's process.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use ottla_fake::{FakeCluster, LoggedRecord};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

/// No run of the program takes longer, or it hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// How a run ended and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ended {
    /// What went to stdout, of a run that went well.
    #[track_caller]
    pub(crate) fn good(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        String::from_utf8(self.stdout).unwrap()
    }

    /// What went to stderr, of a run that failed.
    #[track_caller]
    pub(crate) fn bad(self) -> String {
        self.failed(1)
    }

    /// What went to stderr, of a run that ended with this status.
    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> String {
        assert_eq!(
            self.code,
            Some(code),
            "stdout: {:?}, stderr: {}",
            String::from_utf8_lossy(&self.stdout),
            self.stderr
        );
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self.stderr
    }

    /// The last line on stderr.
    #[track_caller]
    pub(crate) fn summary(&self) -> &str {
        self.stderr.lines().last().unwrap()
    }
}

/// The program with these arguments, separated by blanks, and nothing from this process's environment.
pub(crate) fn command(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ottla"));
    command
        .args(arguments.split_whitespace())
        .env_remove("OTTLA_BROKERS")
        .env_remove("OTTLA_CONFIG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Runs a command to its end.
pub(crate) async fn end(mut command: Command) -> Ended {
    ended(command.spawn().unwrap()).await
}

/// Waits for the end of a run.
pub(crate) async fn ended(child: Child) -> Ended {
    let output = timeout(LIMIT, child.wait_with_output())
        .await
        .expect("it hangs")
        .unwrap();
    Ended {
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs the program without a cluster.
pub(crate) async fn ottla(arguments: &str) -> Ended {
    end(command(arguments)).await
}

/// Runs the program with the cluster's brokers in its environment.
pub(crate) async fn ottla_on(cluster: &FakeCluster, arguments: &str) -> Ended {
    end(command_on(cluster, arguments)).await
}

pub(crate) fn command_on(cluster: &FakeCluster, arguments: &str) -> Command {
    let mut command = command(arguments);
    command.env("OTTLA_BROKERS", cluster.bootstrap_servers());
    command
}

/// Runs the program with something on its stdin.
pub(crate) async fn ottla_reading(cluster: &FakeCluster, arguments: &str, stdin: &[u8]) -> Ended {
    let mut child = command_on(cluster, arguments)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let stdin = stdin.to_vec();
    let feeding = tokio::spawn(async move {
        // A program that gives up early does not read all of it.
        let _ = pipe.write_all(&stdin).await;
    });
    let ended = ended(child).await;
    feeding.await.unwrap();
    ended
}

/// A cluster of one broker with one topic, `t`.
pub(crate) async fn cluster(partitions: i32) -> FakeCluster {
    FakeCluster::builder()
        .topic("t", partitions)
        .auto_create_topics(false)
        .start()
        .await
        .unwrap()
}

/// A partition's records.
pub(crate) async fn log(cluster: &FakeCluster, partition: i32) -> Vec<LoggedRecord> {
    cluster.log("t", partition).await.unwrap()
}

/// The values in a partition.
pub(crate) async fn values(cluster: &FakeCluster, partition: i32) -> Vec<Vec<u8>> {
    let log = log(cluster, partition).await;
    log.into_iter()
        .map(|record| record.value.unwrap_or_default().to_vec())
        .collect()
}

/// A file that is gone after the test.
pub(crate) fn file(dir: &tempfile::TempDir, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// Reads stderr until it says something. What was said by then, and the rest of it.
pub(crate) async fn says(child: &mut Child, what: &str) -> (String, ChildStderr) {
    let mut stderr = child.stderr.take().unwrap();
    let mut said = Vec::new();
    let saying = async {
        while !String::from_utf8_lossy(&said).contains(what) {
            let read = stderr.read_buf(&mut said).await.unwrap();
            let said = String::from_utf8_lossy(&said);
            assert!(read > 0, "{what} was never said: {said}");
        }
    };
    timeout(LIMIT, saying).await.expect("it says nothing");
    (String::from_utf8(said).unwrap(), stderr)
}

/// The number that stands before these words.
#[track_caller]
pub(crate) fn number_before(words: &str, text: &str) -> u64 {
    let before = text.split(words).next().unwrap();
    let number = before.rsplit(' ').next().unwrap();
    number
        .parse()
        .unwrap_or_else(|_| panic!("no number before {words:?}: {text}"))
}

/// Sends a signal.
pub(crate) async fn signal(child: &Child, signal: &str) {
    let id = child.id().expect("it has ended already").to_string();
    let sent = Command::new("kill")
        .args([signal, &id])
        .status()
        .await
        .unwrap();
    assert!(sent.success());
}

/// Looks again until it is so.
pub(crate) async fn until<F: Future<Output = bool>>(mut so: impl FnMut() -> F) {
    let looking = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LIMIT, looking)
        .await
        .expect("it never came to be so");
}
