//! A client's program, run to its end: what it printed, and what it took.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ottla_peers::Result;
use serde_json::Value;
use wait4::{ResUse, Wait4 as _};

/// Within this time a program does all that it is told to.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(5);

/// A program that did what it was told to.
#[derive(Debug)]
pub(crate) struct Run {
    /// Its line of JSON.
    pub(crate) told: Value,
    /// User and system time of all of its threads, from its start to its end.
    pub(crate) cpu: Duration,
    /// The most memory that it had at a time.
    pub(crate) resident_bytes: u64,
}

/// The program's whole output, if it is successful.
pub(crate) fn output(words: &[String], args: &[String]) -> Result<String> {
    finish(words, args).map(|(output, _)| output)
}

pub(crate) fn run(words: &[String], args: &[String]) -> Result<Run> {
    let (output, used) = finish(words, args)?;
    let last = output.lines().last().ok_or("it printed nothing")?;
    Ok(Run {
        told: serde_json::from_str(last)?,
        cpu: used.rusage.utime + used.rusage.stime,
        resident_bytes: used.rusage.maxrss,
    })
}

fn finish(words: &[String], args: &[String]) -> Result<(String, ResUse)> {
    let (program, first) = words.split_first().ok_or("no program")?;
    let mut child = Command::new(program)
        .args(first)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{program}: {error}"))?;
    // Read while it runs: it may print more than a pipe holds.
    let outputs = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr) = (outputs.0.map(reader), outputs.1.map(reader));
    let used = wait(&mut child)?;
    let (output, errors) = (text(stdout), text(stderr));
    let Some(used) = used else {
        return Err(format!("not done after {} s", PATIENCE.as_secs()).into());
    };
    if !used.status.success() {
        let last = errors.lines().rfind(|line| !line.trim().is_empty());
        return Err(format!("{}: {}", used.status, last.unwrap_or("no reason told")).into());
    }
    Ok((output, used))
}

/// What it used; `None` if it had to be killed.
fn wait(child: &mut Child) -> Result<Option<ResUse>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(used) = child.try_wait4()? {
            return Ok(Some(used));
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(LOOK);
    }
}

fn reader(mut stream: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is still told.
        let _ = stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn text(reader: Option<thread::JoinHandle<String>>) -> String {
    reader
        .and_then(|reader| reader.join().ok())
        .unwrap_or_default()
}
