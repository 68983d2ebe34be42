//! A client's program, run to its end or for a while: what it printed, and what it took.

use std::ffi::OsStr;
use std::fs;
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

/// How long a program that has nothing to do may take to begin with that, and how long it is watched then.
const SETTLING: Duration = Duration::from_secs(4);
const WATCHED: Duration = Duration::from_secs(8);

/// A program that did what it was told to.
#[derive(Debug)]
pub(crate) struct Run {
    /// Its line of JSON.
    pub(crate) told: Value,
    /// User and system time of all of its threads, from its start to its end.
    pub(crate) cpu: Duration,
    /// The most memory that it had at a time.
    pub(crate) resident_bytes: u64,
    /// How often it has allocated, if that was counted.
    pub(crate) allocations: Option<u64>,
}

/// A program that had nothing to do.
#[derive(Debug)]
pub(crate) struct Idle {
    /// How much of a core it took.
    pub(crate) share: f64,
    /// The most memory that it had at a time.
    pub(crate) resident_bytes: u64,
}

/// A program's whole output, if it is successful.
pub(crate) fn output(words: &[String], args: &[String]) -> Result<String> {
    finish(words, args, &[], PATIENCE).map(|ended| ended.output)
}

/// Variables of a program's environment that are set.
pub(crate) type Variables<'a> = [(&'static str, Option<&'a OsStr>)];

/// Runs a program to its end.
pub(crate) fn run(words: &[String], args: &[String], variables: &Variables<'_>) -> Result<Run> {
    let ended = finish(words, args, variables, PATIENCE)?;
    let last = ended.output.lines().last().ok_or("it printed nothing")?;
    let mut errors = ended.errors.lines();
    let allocations = errors.find_map(|line| line.strip_prefix("allocations ")?.parse().ok());
    Ok(Run {
        told: serde_json::from_str(last)?,
        cpu: ended.used.rusage.utime + ended.used.rusage.stime,
        resident_bytes: ended.used.rusage.maxrss,
        allocations,
    })
}

/// Watches a program that waits, and ends it.
pub(crate) fn idle(words: &[String], args: &[String]) -> Result<Idle> {
    let (program, first) = words.split_first().ok_or("no program")?;
    let mut child = Command::new(program)
        .args(first)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("{program}: {error}"))?;
    let pid = child.id();
    thread::sleep(SETTLING);
    let before = cpu_of(pid);
    let started = Instant::now();
    thread::sleep(WATCHED);
    let (after, watched) = (cpu_of(pid), started.elapsed());
    let resident = peak_of(pid);
    if let Some(status) = child.try_wait()? {
        return Err(format!("it ended: {status}").into());
    }
    child.kill()?;
    child.wait()?;
    Ok(Idle {
        share: after?.saturating_sub(before?).as_secs_f64() / watched.as_secs_f64(),
        resident_bytes: resident?,
    })
}

/// The processor time of a process's threads so far, to the nanosecond. Linux alone tells.
fn cpu_of(pid: u32) -> Result<Duration> {
    let mut nanos = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // It may end meanwhile.
        let text = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        nanos += text
            .split(' ')
            .next()
            .and_then(|on| on.parse().ok())
            .unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanos))
}

/// The most memory that a process has had so far.
fn peak_of(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|peak| peak.trim().split(' ').next());
    Ok(kib.ok_or("no peak told")?.parse::<u64>()? << 10)
}

/// A program that was successful.
pub(crate) struct Ended {
    output: String,
    errors: String,
    pub(crate) used: ResUse,
}

/// Runs a program that has so long.
pub(crate) fn finish(
    words: &[String],
    args: &[String],
    variables: &Variables<'_>,
    patience: Duration,
) -> Result<Ended> {
    let (program, first) = words.split_first().ok_or("no program")?;
    let mut command = Command::new(program);
    command
        .args(first)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for (name, value) in variables {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    let mut child = command
        .spawn()
        .map_err(|error| format!("{program}: {error}"))?;
    // Read while it runs: it may print more than a pipe holds.
    let outputs = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr) = (outputs.0.map(reader), outputs.1.map(reader));
    let used = wait(&mut child, patience)?;
    let (output, errors) = (text(stdout), text(stderr));
    let Some(used) = used else {
        return Err(format!("not done after {} s", patience.as_secs()).into());
    };
    if !used.status.success() {
        let told = |line: &&str| !line.trim().is_empty() && !line.starts_with("allocations ");
        let last = errors.lines().rfind(told);
        return Err(format!("{}: {}", used.status, last.unwrap_or("no reason told")).into());
    }
    Ok(Ended {
        output,
        errors,
        used,
    })
}

/// What it used; `None` if it had to be killed.
fn wait(child: &mut Child, patience: Duration) -> Result<Option<ResUse>> {
    let deadline = Instant::now() + patience;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).to_vec()
    }

    #[test]
    fn a_run_is_its_last_line_and_what_was_counted() {
        let script = "echo noise; echo '{\"records\":3}'; echo allocations 12 >&2";
        let run = run(&sh(script), &[], &[]).unwrap();
        assert_eq!(
            (run.told["records"].as_i64(), run.allocations),
            (Some(3), Some(12))
        );
        assert!(run.resident_bytes > 100_000, "{}", run.resident_bytes);
    }

    #[test]
    fn a_program_that_fails_says_why() {
        let error = output(&sh("echo first >&2; echo last >&2; exit 3"), &[]).unwrap_err();
        assert_eq!(error.to_string(), "exit status: 3: last");
        assert!(run(&sh("echo no json"), &[], &[]).is_err());
        let told = sh("echo $TOLD");
        let variables = [("TOLD", Some(OsStr::new("7"))), ("OTHER", None)];
        assert_eq!(run(&told, &[], &variables).unwrap().told.as_i64(), Some(7));
    }
}
