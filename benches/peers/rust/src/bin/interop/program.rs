//! A client's program, run to its end.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use ottla_peers::Result;
use tokio::process::Command;
use tokio::time::timeout;

/// Within this time a program reads or writes all that it is told to.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a program printed, and why it failed if it did.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) lines: Vec<String>,
    pub(crate) failure: Option<String>,
}

impl Output {
    /// The lines about each partition, without its number in front.
    pub(crate) fn by_partition(&self) -> BTreeMap<i32, Vec<&str>> {
        let mut all: BTreeMap<i32, Vec<&str>> = BTreeMap::new();
        for line in &self.lines {
            let (partition, rest) = line.split_once(' ').unwrap_or((line, ""));
            if let Ok(partition) = partition.parse() {
                all.entry(partition).or_default().push(rest);
            }
        }
        all
    }

    /// All of it, if the program was successful.
    pub(crate) fn success(self) -> Result<Vec<String>> {
        match self.failure {
            None => Ok(self.lines),
            Some(failure) => Err(failure.into()),
        }
    }
}

pub(crate) async fn run(words: &[String], args: &[String]) -> Result<Output> {
    let (program, first) = words.split_first().ok_or("no program")?;
    let mut child = Command::new(program)
        .args(first)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{program}: {error}"))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    // Read while it runs, so that what it printed before it got stuck is not lost with it.
    let (stdout, stderr) = (read(stdout), read(stderr));
    let failure = match timeout(PATIENCE, child.wait()).await {
        Ok(status) => {
            let status = status?;
            (!status.success()).then(|| status.to_string())
        }
        Err(_) => {
            child.kill().await?;
            Some(format!("not done after {} s", PATIENCE.as_secs()))
        }
    };
    let (lines, errors) = (stdout.await?, stderr.await?);
    Ok(Output {
        lines: lines.lines().map(str::to_owned).collect(),
        failure: failure.map(|failure| {
            let last = errors.lines().rfind(|line| !line.trim().is_empty());
            last.map_or(failure.clone(), |line| format!("{failure}: {line}"))
        }),
    })
}

fn read(
    stream: Option<impl tokio::io::AsyncRead + Send + Unpin + 'static>,
) -> tokio::task::JoinHandle<String> {
    use tokio::io::AsyncReadExt as _;

    tokio::spawn(async move {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What was read before an error is still told.
            let _ = stream.read_to_end(&mut bytes).await;
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
