//! `cargo xtask compaction`: the scenarios of compacted logs, each on the fake and on real Kafka.
//!
//! The scenarios live in the tests, as functions `compaction::fake::<scenario>` and
//! `compaction::real::<scenario>`. Each prints what came of it as a line
//! `compaction-result scenario=<scenario> broker=<fake|version> result=<ok|failed|skipped> requests=<n>`.
//! A scenario which did not print `ok` is red, so one that is skipped or lost cannot pass unseen.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use xtask::kafka::Cluster;

use crate::flags::Flags;
use crate::harness::{Run, TestBinary};
use crate::report::Report;
use crate::scenarios::Tally;
use crate::suite::{Brokers, env};

const FAKE: &str = "compaction::fake::";
const REAL: &str = "compaction::real::";

pub(crate) fn run(mut flags: Flags) -> Result<()> {
    let brokers = Brokers::from_flags(&mut flags)?;
    flags.done()?;
    let mut report = Report::default();
    steps(&mut report, &brokers);
    report.finish()
}

/// One step for the fake and one for each version.
pub(crate) fn steps(report: &mut Report, brokers: &Brokers) {
    report.scenarios("compaction on the fake", || {
        scenarios(&TestBinary::build("tests", "api")?, FAKE, "fake", &[])
    });
    for version in &brokers.versions {
        let name = format!("compaction on Kafka {version}");
        if brokers.skip {
            report.skip(&name, "--no-kafka");
            continue;
        }
        report.scenarios(&name, || {
            let api = TestBinary::build("tests", "api")?;
            let mut cluster = Cluster::builder().version(*version).start()?;
            let servers = cluster.bootstrap_servers();
            let result = scenarios(
                &api,
                REAL,
                version.as_str(),
                &env(*version, Some(&servers), brokers.long),
            );
            if result.is_err() {
                cluster.keep_logs();
            }
            result
        });
    }
}

fn scenarios(api: &TestBinary, module: &str, broker: &str, env: &[(&str, &str)]) -> Result<Tally> {
    let list = api.run(&[module, "--list"], &[])?;
    let expected = expected(&list, module);
    ensure!(!expected.is_empty(), "there is no test {module}…");
    let args = [
        module,
        "--include-ignored",
        "--nocapture",
        "--test-threads",
        "1",
    ];
    let run = api.run(&args, env)?;
    let (table, red) = tabulate(&expected, broker, &run);
    eprintln!("\n{table}");
    ensure!(red == 0, "{red} of {} scenarios are red", expected.len());
    run.check()?;
    Ok(Tally {
        ran: expected.len(),
        skipped: Vec::new(),
    })
}

/// The scenarios that `--list` names, as `compaction::fake::<scenario>: test`.
fn expected(list: &Run, module: &str) -> Vec<String> {
    let tests = list
        .lines
        .iter()
        .filter_map(|line| line.strip_suffix(": test")?.strip_prefix(module));
    let mut names: Vec<String> = tests
        .filter_map(|name| name.split("::").next())
        .map(String::from)
        .collect();
    names.dedup();
    names
}

/// A line for each expected scenario, and how many of them are not `ok`.
fn tabulate(expected: &[String], broker: &str, run: &Run) -> (String, usize) {
    let mut results: BTreeMap<String, (String, String)> = BTreeMap::new();
    for line in &run.lines {
        let Some((_, line)) = line.split_once("compaction-result ") else {
            continue;
        };
        let fields: BTreeMap<&str, &str> = line
            .split_whitespace()
            .filter_map(|pair| pair.split_once('='))
            .collect();
        let field = |name: &str| fields.get(name).copied().unwrap_or("?").to_owned();
        if field("broker") != broker {
            continue;
        }
        let result = (field("result"), field("requests"));
        let entry = results
            .entry(field("scenario").replace('-', "_"))
            .or_insert_with(|| result.clone());
        // A scenario with several cases is as good as its worst.
        if result.0 != "ok" {
            *entry = result;
        }
    }
    let width = expected
        .iter()
        .map(String::len)
        .fold("scenario".len(), usize::max);
    let mut red = 0;
    let mut lines = vec![format!(
        "{:width$}  {:8}  {:8}  requests",
        "scenario", "broker", "result"
    )];
    for scenario in expected {
        let missing = ("no result".to_owned(), "-".to_owned());
        let (result, requests) = results.get(scenario).unwrap_or(&missing);
        red += usize::from(result != "ok");
        lines.push(format!(
            "{scenario:width$}  {broker:8}  {result:8}  {requests}"
        ));
    }
    (lines.join("\n"), red)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(lines: &[&str]) -> Run {
        Run {
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
            ..Run::default()
        }
    }

    #[test]
    fn expected_scenarios_are_those_of_the_module() {
        let list = run(&[
            "compaction::fake::hole: test",
            "compaction::fake::tail::case_1: test",
            "compaction::fake::tail::case_2: test",
            "compaction::real::hole: test",
            "3 tests, 0 benchmarks",
        ]);
        assert_eq!(expected(&list, FAKE), ["hole", "tail"]);
        assert_eq!(expected(&list, REAL), ["hole"]);
    }

    #[test]
    fn only_ok_is_green() {
        let scenarios = ["hole", "tail", "empty_batch", "lost"].map(String::from);
        let run = run(&[
            "test compaction::fake::hole ... compaction-result scenario=hole broker=fake result=ok requests=4",
            "compaction-result scenario=tail broker=fake result=skipped requests=0",
            "compaction-result scenario=empty-batch broker=fake result=ok requests=2",
            "compaction-result scenario=lost broker=4.3.0 result=ok requests=2",
        ]);
        let (table, red) = tabulate(&scenarios, "fake", &run);
        assert_eq!(red, 2, "{table}");
        assert!(table.contains("tail         fake      skipped"), "{table}");
        assert!(
            table.contains("lost         fake      no result"),
            "{table}"
        );
    }

    #[test]
    fn the_worst_case_counts() {
        let run = run(&[
            "compaction-result scenario=hole broker=fake result=failed requests=4",
            "compaction-result scenario=hole broker=fake result=ok requests=4",
        ]);
        assert_eq!(tabulate(&["hole".to_owned()], "fake", &run).1, 1);
    }
}
