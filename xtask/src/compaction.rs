//! `cargo xtask compaction`: the scenarios of compacted logs, each on the fake and on real Kafka.
//!
//! The scenarios live in the tests, as functions `compaction::fake::<scenario>` and
//! `compaction::real::<scenario>`. Each prints what came of it as a line
//! `compaction-result scenario=<scenario> broker=<fake|version> result=<ok|failed|skipped> requests=<n>`.
//! A scenario which did not print `ok` is red, so one that is skipped or lost cannot pass unseen; what a Kafka makes
//! impossible is listed in `scenarios`, and has a line in the table that says so.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use xtask::kafka::Cluster;

use crate::flags::Flags;
use crate::harness::Run;
use crate::report::Report;
use crate::scenarios::{Scenarios, Skipped, Tally};
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
        scenarios(&Scenarios::build()?, FAKE, "fake", &[])
    });
    for version in &brokers.versions {
        let name = format!("compaction on Kafka {version}");
        if brokers.skip {
            report.skip(&name, "--no-kafka");
            continue;
        }
        report.scenarios(&name, || {
            let all = Scenarios::build()?;
            let mut cluster = Cluster::builder().version(*version).start()?;
            let servers = cluster.bootstrap_servers();
            let env = env(*version, Some(&servers), brokers.long);
            let result = scenarios(&all, REAL, version.as_str(), &env);
            if result.is_err() {
                cluster.keep_logs();
            }
            result
        });
    }
}

fn scenarios(all: &Scenarios, module: &str, kafka: &str, env: &[(&str, &str)]) -> Result<Tally> {
    let (names, skipped) = all.possible(kafka, |name| name.starts_with(module));
    // Together, because they wait for cleaners most of the time.
    let run = all.try_run(&names, &["--nocapture", "--test-threads", "16"], env)?;
    let expected = expected(&names, module);
    let (mut table, red) = tabulate(&expected, kafka, &run);
    for Skipped { scenario, .. } in &skipped {
        let scenario = scenario.strip_prefix(module).unwrap_or(scenario);
        table += &row(&expected, [scenario, kafka, "impossible", "-"]);
    }
    eprintln!("\n{table}");
    ensure!(red == 0, "{red} of {} scenarios are red", expected.len());
    run.check()?;
    Ok(Tally {
        ran: expected.len(),
        skipped,
    })
}

/// The scenarios of tests named `compaction::fake::<scenario>`, with or without cases.
fn expected(names: &[&str], module: &str) -> Vec<String> {
    let names = names.iter().filter_map(|name| name.strip_prefix(module));
    let mut names: Vec<String> = names
        .filter_map(|name| name.split("::").next())
        .map(String::from)
        .collect();
    names.dedup();
    names
}

/// A line of the table, as wide as the longest of these scenarios needs it.
fn row(scenarios: &[String], [scenario, broker, result, requests]: [&str; 4]) -> String {
    let width = scenarios.iter().map(String::len).max().unwrap_or(0).max(24);
    format!("{scenario:width$}  {broker:8}  {result:10}  {requests}\n")
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
    let mut red = 0;
    let mut table = row(expected, ["scenario", "broker", "result", "requests"]);
    for scenario in expected {
        let missing = ("no result".to_owned(), "-".to_owned());
        let (result, requests) = results.get(scenario).unwrap_or(&missing);
        red += usize::from(result != "ok");
        table += &row(expected, [scenario, broker, result, requests]);
    }
    (table, red)
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
        let names = [
            "compaction::fake::hole",
            "compaction::fake::tail::case_1",
            "compaction::fake::tail::case_2",
            "compaction::real::hole",
        ];
        assert_eq!(expected(&names, FAKE), ["hole", "tail"]);
        assert_eq!(expected(&names, REAL), ["hole"]);
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
        let has = |scenario: &str, result: &str| {
            let mut lines = table.lines();
            lines.any(|line| line.starts_with(scenario) && line.contains(result))
        };
        assert!(has("tail", "skipped"), "{table}");
        assert!(has("lost", "no result"), "{table}");
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
