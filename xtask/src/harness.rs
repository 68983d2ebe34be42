//! Runs tests and counts what it ran: nothing run is not a success.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::iter::once;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use xtask::project;

/// What a test run printed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) ignored: usize,
    pub(crate) lines: Vec<String>,
    pub(crate) success: bool,
}

impl Run {
    /// That tests have run, and passed.
    ///
    /// # Errors
    /// One failed, or none has run.
    pub(crate) fn check(&self) -> Result<()> {
        ensure!(self.success, "{} tests failed", self.failed);
        ensure!(self.passed > 0, "no test has run");
        eprintln!("{} tests passed, {} ignored", self.passed, self.ignored);
        Ok(())
    }

    fn read(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("test result: ") {
            self.passed += count(rest, " passed");
            self.failed += count(rest, " failed");
            self.ignored += count(rest, " ignored");
        }
        self.lines.push(line.to_owned());
    }
}

/// Every test of the workspace that needs no broker, doc tests included.
pub(crate) fn cargo_test() -> Result<Run> {
    let mut command = Command::new("cargo");
    command.args(["test", "--workspace", "--no-fail-fast"]);
    run(command, &[])
}

/// The same tests but for those in docs, optimised: long runs would take an hour otherwise.
pub(crate) fn cargo_test_optimised(env: &[(&str, &str)]) -> Result<Run> {
    let mut command = Command::new("cargo");
    let args = ["--workspace", "--lib", "--bins", "--tests"];
    command.args(["test", "--release", "--no-fail-fast"]);
    command.args(args);
    run(command, env)
}

/// The codec's messages with their JSON form, which no other crate asks for.
pub(crate) fn cargo_test_json() -> Result<Run> {
    let mut command = Command::new("cargo");
    command.args(["test", "--package", "ottla-codec", "--features", "serde"]);
    command.args(["--test", "messages"]);
    run(command, &[])
}

/// A test binary of one package.
#[derive(Debug)]
pub(crate) struct TestBinary {
    path: PathBuf,
    dir: PathBuf,
}

impl TestBinary {
    /// The binary `name` of the package in `dir`.
    ///
    /// It is built as one of the whole workspace's tests: choosing it in cargo would give its
    /// dependencies other features, and build them a second time.
    pub(crate) fn build(dir: &str, name: &str) -> Result<Self> {
        Self::built(&[], dir, name)
    }

    /// The same, optimised.
    pub(crate) fn build_optimised(dir: &str, name: &str) -> Result<Self> {
        Self::built(&["--release"], dir, name)
    }

    fn built(profile: &[&str], dir: &str, name: &str) -> Result<Self> {
        let args = [
            "test",
            "--workspace",
            "--no-run",
            "--message-format",
            "json-render-diagnostics",
        ];
        let args = [&args, profile].concat();
        eprintln!("$ cargo {}", args.join(" "));
        let output = Command::new("cargo")
            .args(args)
            .current_dir(project::root())
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .context("running cargo")?;
        ensure!(output.status.success(), "the tests do not compile");
        let messages = String::from_utf8(output.stdout)?;
        let path = executable(&messages, name)
            .with_context(|| format!("cargo built no test binary named {name}"))?;
        Ok(Self {
            path,
            dir: project::root().join(dir),
        })
    }

    /// The names of its tests, ignored ones too.
    pub(crate) fn list(&self) -> Result<Vec<String>> {
        let output = Command::new(&self.path)
            .args(["--list", "--format", "terse"])
            .stdin(Stdio::null())
            .output()
            .context("listing the tests")?;
        ensure!(output.status.success(), "the tests cannot be listed");
        let text = String::from_utf8(output.stdout)?;
        let names = text.lines().filter_map(|line| line.strip_suffix(": test"));
        Ok(names.map(String::from).collect())
    }

    /// Runs it where cargo would.
    pub(crate) fn run(&self, args: &[&str], env: &[(&str, &str)]) -> Result<Run> {
        let mut command = Command::new(&self.path);
        command.args(args).current_dir(&self.dir);
        run(command, env)
    }
}

/// How many words of a command are shown: the names of all tests would fill the screen.
const WORDS: usize = 12;

/// Runs a command that prints test results; shows its output as it comes.
fn run(mut command: Command, env: &[(&str, &str)]) -> Result<Run> {
    let settings: String = env
        .iter()
        .map(|(key, value)| format!("{key}={value} "))
        .collect();
    let words: Vec<_> = once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect();
    let (shown, more) = words.split_at(words.len().min(WORDS));
    let more = match more.len() {
        0 => String::new(),
        count => format!(" … and {count} more"),
    };
    eprintln!("$ {settings}{}{more}", shown.join(" "));
    command
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    if command.get_current_dir().is_none() {
        command.current_dir(project::root());
    }
    let mut child = command.spawn().context("starting the tests")?;
    let mut run = Run::default();
    let mut reader = BufReader::new(child.stdout.take().context("the tests have no output")?);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        std::io::stdout().write_all(&line)?;
        run.read(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    run.success = child.wait()?.success();
    Ok(run)
}

/// The path of the test binary `name` in cargo's JSON messages.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Artifact {
        target: Target,
        executable: PathBuf,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
        kind: Vec<String>,
    }
    // Messages of other kinds lack these fields.
    let mut artifacts = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Artifact>(line).ok());
    let wanted =
        |artifact: &Artifact| artifact.target.name == name && artifact.target.kind == ["test"];
    artifacts.find(wanted).map(|artifact| artifact.executable)
}

/// The number before `what` in `ok. 3 passed; 0 failed; …`.
fn count(line: &str, what: &str) -> usize {
    let Some((before, _)) = line.split_once(what) else {
        return 0;
    };
    let digits = before.rsplit(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_summed_over_binaries() {
        let mut run = Run {
            success: true,
            ..Run::default()
        };
        run.read("test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 1 filtered out; finished in 0.00s");
        run.read("test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out");
        assert_eq!((run.passed, run.failed, run.ignored), (13, 2, 3));
        assert!(run.check().is_ok());
    }

    #[test]
    fn a_run_without_tests_is_red() {
        let mut run = Run {
            success: true,
            ..Run::default()
        };
        run.read("test result: ok. 0 passed; 0 failed; 9 ignored; 0 measured; 9 filtered out; finished in 0.00s");
        assert!(
            run.check()
                .unwrap_err()
                .to_string()
                .contains("no test has run")
        );
    }

    #[test]
    fn the_binary_is_found_among_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"api","kind":["lib"]},"executable":null}
{"reason":"compiler-artifact","target":{"name":"ottla","kind":["bin"]},"executable":"x/ottla"}
{"reason":"compiler-artifact","target":{"name":"api","kind":["test"]},"executable":"x/api-1"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages, "api"), Some("x/api-1".into()));
        assert_eq!(executable(messages, "other"), None);
    }
}
