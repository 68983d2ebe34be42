//! Runs `cargo test` and counts what it ran: nothing run is not a success.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
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

/// Runs cargo with `args` and environment `env`; shows its output as it comes.
pub(crate) fn cargo_test(args: &[&str], env: &[(&str, &str)]) -> Result<Run> {
    let settings: String = env
        .iter()
        .map(|(key, value)| format!("{key}={value} "))
        .collect();
    eprintln!("$ {settings}cargo {}", args.join(" "));
    let mut child = Command::new("cargo")
        .args(args)
        .envs(env.iter().copied())
        .current_dir(project::root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("running cargo")?;
    let mut run = Run::default();
    let mut reader = BufReader::new(child.stdout.take().context("cargo has no output")?);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        std::io::stdout().write_all(&line)?;
        run.read(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    run.success = child.wait()?.success();
    Ok(run)
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
}
