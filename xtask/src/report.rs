//! The steps of a command: each is announced, timed and tabled; the others go on when one fails.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::scenarios::{Skipped, Tally};

/// What became of a step.
#[derive(Debug)]
enum Outcome {
    Ok(Tally),
    Failed(String),
    Skipped(String),
}

/// The steps so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    steps: Vec<(String, Duration, Outcome)>,
}

impl Report {
    /// Runs a step; its error is kept, printed, and makes the whole command fail at its end.
    pub(crate) fn step(&mut self, name: &str, run: impl FnOnce() -> Result<()>) {
        self.scenarios(name, || run().map(|()| Tally::default()));
    }

    /// Like [`step`](Self::step), for one that runs scenarios and tells which it had to leave out.
    pub(crate) fn scenarios(&mut self, name: &str, run: impl FnOnce() -> Result<Tally>) {
        eprintln!("\n== {name}");
        let start = Instant::now();
        let outcome = match run() {
            Ok(tally) => Outcome::Ok(tally),
            Err(error) => {
                eprintln!("error: {error:#}");
                Outcome::Failed(first_line(&format!("{error:#}")))
            }
        };
        let took = start.elapsed();
        eprintln!(
            "== {name}: {} after {:.1} s",
            word(&outcome),
            took.as_secs_f64()
        );
        self.steps.push((name.to_owned(), took, outcome));
    }

    /// Records that a step was asked not to run.
    pub(crate) fn skip(&mut self, name: &str, reason: &str) {
        eprintln!("\n== {name}: skipped: {reason}");
        self.steps.push((
            name.to_owned(),
            Duration::ZERO,
            Outcome::Skipped(reason.to_owned()),
        ));
    }

    /// Prints the table.
    ///
    /// # Errors
    /// A step has failed, or none has run.
    pub(crate) fn finish(self) -> Result<()> {
        eprintln!("\n{}", self.table());
        let failed = self
            .steps
            .iter()
            .filter(|(_, _, outcome)| matches!(outcome, Outcome::Failed(_)))
            .count();
        if failed > 0 {
            bail!("{failed} of {} steps failed", self.steps.len());
        }
        if !self
            .steps
            .iter()
            .any(|(_, _, outcome)| matches!(outcome, Outcome::Ok(_)))
        {
            bail!("nothing has run");
        }
        Ok(())
    }

    fn table(&self) -> String {
        let width = self
            .steps
            .iter()
            .map(|(name, _, _)| name.len())
            .max()
            .unwrap_or(0);
        let mut total = Duration::ZERO;
        let mut lines = Vec::new();
        for (name, took, outcome) in &self.steps {
            total += *took;
            let why = match outcome {
                Outcome::Ok(tally) if *tally == Tally::default() => String::new(),
                Outcome::Ok(Tally { ran, skipped }) => {
                    let skipped: usize = skipped.iter().map(|skipped| skipped.tests).sum();
                    format!("{ran} ran, {skipped} skipped")
                }
                Outcome::Failed(why) | Outcome::Skipped(why) => why.clone(),
            };
            let line = format!(
                "{name:width$}  {:>7.1} s  {:7}  {why}",
                took.as_secs_f64(),
                word(outcome)
            );
            lines.push(line.trim_end().to_owned());
        }
        lines.push(format!(
            "{:width$}  {:>7.1} s",
            "total",
            total.as_secs_f64()
        ));
        for (name, _, outcome) in &self.steps {
            if let Outcome::Ok(tally) = outcome {
                let skipped = tally.skipped.iter();
                lines.extend(skipped.map(|skipped| {
                    let Skipped {
                        scenario,
                        tests,
                        reason,
                    } = skipped;
                    format!("{name}: {scenario} ({tests}) is impossible: {reason}")
                }));
            }
        }
        lines.join("\n")
    }
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Ok(_) => "ok",
        Outcome::Failed(_) => "FAILED",
        Outcome::Skipped(_) => "skipped",
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_does_not_stop_the_rest_and_fails_the_whole() {
        let mut report = Report::default();
        let mut ran = false;
        report.step("first", || bail!("broken\nin detail"));
        report.step("second", || {
            ran = true;
            Ok(())
        });
        assert!(ran);
        let table = report.table();
        assert!(table.contains("FAILED   broken"), "{table}");
        assert!(!table.contains("in detail"), "{table}");
        assert!(report.finish().unwrap_err().to_string().contains("1 of 2"));
    }

    #[test]
    fn skipped_steps_are_told_but_do_not_fail() {
        let mut report = Report::default();
        report.skip("real", "--no-kafka");
        assert!(report.table().contains("skipped  --no-kafka"));
        report.step("lint", || Ok(()));
        assert!(report.finish().is_ok());
    }

    #[test]
    fn scenarios_that_were_left_out_are_named() {
        let mut report = Report::default();
        report.scenarios("suite", || {
            Ok(Tally {
                ran: 3,
                skipped: vec![Skipped {
                    scenario: "a::b",
                    tests: 2,
                    reason: "too old",
                }],
            })
        });
        let table = report.table();
        assert!(table.contains("3 ran, 2 skipped"), "{table}");
        assert!(table.contains("a::b (2) is impossible: too old"), "{table}");
        assert!(report.finish().is_ok());
    }

    #[test]
    fn nothing_but_skips_is_a_failure() {
        let mut report = Report::default();
        report.skip("real", "--no-kafka");
        assert!(report.finish().is_err());
    }
}
