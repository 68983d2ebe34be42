//! Child processes that are signalled by their own pid and never outlive the one who started them.

use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

/// A process: its id and when it started, because ids are used again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) pid: u32,
    started: String,
}

impl Identity {
    pub(crate) fn current() -> Result<Self> {
        Self::of(std::process::id())
    }

    fn of(pid: u32) -> Result<Self> {
        let started = start_time(pid).with_context(|| format!("process {pid} does not run"))?;
        Ok(Self { pid, started })
    }

    /// Whether this very process still runs; a zombie does not.
    pub(crate) fn is_alive(&self) -> bool {
        start_time(self.pid).as_deref() == Some(&*self.started)
    }

    /// Sends `signal` (a name like `TERM`), unless the process is gone.
    pub(crate) fn signal(&self, signal: &str) -> Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        let status = Command::new("kill")
            .args([format!("-{signal}"), self.pid.to_string()])
            .stderr(Stdio::null())
            .status()
            .context("running kill")?;
        ensure!(
            status.success() || !self.is_alive(),
            "could not send SIG{signal} to process {}",
            self.pid
        );
        Ok(())
    }

    /// SIGSTOP, and waits until every thread has stopped.
    pub(crate) fn pause(&self) -> Result<()> {
        self.signal("STOP")?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while !all_stopped(self.pid)? {
            ensure!(
                Instant::now() < deadline,
                "process {} goes on after SIGSTOP",
                self.pid
            );
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Waits until the process is gone; false when it still runs at the deadline.
    pub(crate) fn wait(&self, deadline: Instant) -> bool {
        while self.is_alive() {
            if Instant::now() >= deadline {
                return false;
            }
            thread::sleep(Duration::from_millis(10));
        }
        true
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(&self) -> Result<()> {
        self.signal("KILL")?;
        ensure!(
            self.wait(Instant::now() + Duration::from_secs(10)),
            "process {} survives SIGKILL",
            self.pid
        );
        Ok(())
    }

    /// SIGTERM, and SIGKILL when it has not ended within `grace`.
    pub(crate) fn terminate(&self, grace: Duration) -> Result<()> {
        self.signal("TERM")?;
        if self.wait(Instant::now() + grace) {
            Ok(())
        } else {
            self.kill()
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pid, self.started)
    }
}

impl FromStr for Identity {
    type Err = anyhow::Error;

    fn from_str(s: &str) -> Result<Self> {
        let Some((pid, started)) = s.split_once(' ') else {
            bail!("not a process: {s:?}")
        };
        Ok(Self {
            pid: pid.parse()?,
            started: started.into(),
        })
    }
}

/// How a child relates to the process that starts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// Killed when the starting process ends, however it ends.
    Attached,
    /// Runs on until it is stopped by its recorded identity.
    Detached,
}

/// Runs the command as a child whose end it waits for, tells its pid, and kills it when its own
/// standard input ends: that pipe's other end closes with the process that holds it, even on SIGKILL.
const ATTACHED: &str = r#"
log="$1"; shift
exec 3<&0
"$@" </dev/null >>"$log" 2>&1 3<&- &
child=$!
echo "$child"
exec >/dev/null
( read -r _ <&3; kill -KILL "$child" ) 2>/dev/null &
watcher=$!
wait "$child"
kill -KILL "$watcher" 2>/dev/null
"#;

/// SIGHUP is ignored, so that closing the terminal does not end it.
const DETACHED: &str = r#"
log="$1"; shift
trap '' HUP
"$@" </dev/null >>"$log" 2>&1 &
echo "$!"
"#;

/// A process started here, with its output appended to a log file.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) identity: Identity,
    log: PathBuf,
    /// Where in the log its own output starts; earlier processes may have written before it.
    log_start: usize,
    /// The supervising shell and the pipe that keeps it from killing; none for a detached process.
    supervisor: Option<(Child, ChildStdin)>,
}

impl Process {
    /// Starts `command` (program and arguments) in a process group of its own.
    pub(crate) fn spawn(
        command: &[String],
        cwd: &Path,
        log: &Path,
        lifetime: Lifetime,
    ) -> Result<Self> {
        let log_start = File::options()
            .create(true)
            .append(true)
            .open(log)?
            .metadata()?
            .len();
        let attached = lifetime == Lifetime::Attached;
        let mut shell = Command::new("sh")
            .arg("-c")
            .arg(if attached { ATTACHED } else { DETACHED })
            .arg("sh")
            .arg(log)
            .args(command)
            .current_dir(cwd)
            .process_group(0)
            .stdin(if attached {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("running sh")?;
        let stdout = shell.stdout.take().context("the shell has no output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let pid = line
            .trim()
            .parse()
            .with_context(|| format!("not a pid: {line:?}"))?;
        let supervisor = match shell.stdin.take() {
            Some(stdin) => Some((shell, stdin)),
            None => {
                shell.wait()?;
                None
            }
        };
        let identity = Identity::of(pid).with_context(|| tail(log, 20))?;
        Ok(Self {
            identity,
            log: log.into(),
            log_start: usize::try_from(log_start)?,
            supervisor,
        })
    }

    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Whether it has written `text` into its log.
    pub(crate) fn has_logged(&self, text: &str) -> Result<bool> {
        let log = fs::read(&self.log)?;
        let own = log.get(self.log_start..).unwrap_or_default();
        Ok(String::from_utf8_lossy(own).contains(text))
    }

    /// Kills it, unless it is detached, and reaps the supervisor.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.identity.kill()?;
        self.reap();
        Ok(())
    }

    /// Ends it in an orderly way, or by force after `grace`.
    pub(crate) fn terminate(mut self, grace: Duration) -> Result<()> {
        self.identity.terminate(grace)?;
        self.reap();
        Ok(())
    }

    fn reap(&mut self) {
        if let Some((mut shell, stdin)) = self.supervisor.take() {
            drop(stdin);
            // It ends because its child has ended or its input has; its status says nothing.
            let _ = shell.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.reap();
    }
}

/// The last lines of a log, for an error message.
pub(crate) fn tail(log: &Path, lines: usize) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    let last = all
        .get(all.len().saturating_sub(lines)..)
        .unwrap_or_default();
    format!("the end of {}:\n{}", log.display(), last.join("\n"))
}

/// When the process started, in whatever unit the system has; none for dead ones and zombies.
fn start_time(pid: u32) -> Option<String> {
    if Path::new("/proc/self/stat").exists() {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        return parse_stat(&stat);
    }
    let output = Command::new("ps")
        .args(["-o", "state=,lstart=", "-p", &pid.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (state, started) = text.trim().split_once(' ')?;
    (!state.starts_with('Z')).then(|| started.split_whitespace().collect::<Vec<_>>().join("_"))
}

/// Whether no thread of the process runs; without `/proc` the signal is trusted.
fn all_stopped(pid: u32) -> Result<bool> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Ok(true);
    };
    for thread in threads {
        // A thread that has ended in the meantime has no state.
        let stat = fs::read_to_string(thread?.path().join("stat")).unwrap_or_default();
        let state = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().next());
        if !matches!(state, None | Some("T" | "t" | "Z" | "X")) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Field 22 of `/proc/<pid>/stat`; the command's name in field 2 may hold spaces and brackets.
///
/// The first thread of a process can be a zombie while others still end: until they have, the
/// process holds its sockets, and counts as alive.
fn parse_stat(stat: &str) -> Option<String> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let (state, threads) = (*fields.first()?, fields.get(17)?.parse::<u32>().ok()?);
    let gone = matches!(state, "Z" | "X") && threads <= 1;
    (!gone).then(|| fields.get(19).map(|field| (*field).to_owned()))?
}

#[cfg(test)]
mod tests;
