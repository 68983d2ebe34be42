//! `cargo xtask test`: the tests on the fake cluster, then the integration suite on real Kafka.
//!
//! The contract with the package `ottla-tests`, whose one binary is `api`: tests that need a broker
//! are ignored by default. Those under `real::` share one broker, named by `OTTLA_TEST_BROKERS`;
//! those under `real::own::` start their own clusters and run one at a time, after it has stopped.
//! `OTTLA_TEST_KAFKA_VERSION` names the version for both. `compaction::` belongs to `compaction`.
//! `OTTLA_TEST_FAKE_RELEASE` names the release that the fake plays for the other tests.

use anyhow::{Context, Result};
use xtask::kafka::{Cluster, Version};

use crate::flags::Flags;
use crate::harness::{TestBinary, cargo_test, cargo_test_json, cargo_test_optimised};
use crate::report::Report;
use crate::scenarios::{Scenarios, Tally};

/// What to run against real brokers.
#[derive(Debug)]
pub(crate) struct Brokers {
    pub(crate) versions: Vec<Version>,
    /// `--no-kafka`: none of it.
    pub(crate) skip: bool,
    /// `--full`: long runs as well.
    pub(crate) long: bool,
}

impl Brokers {
    /// `--version V`…, `--full` and `--no-kafka`.
    pub(crate) fn from_flags(flags: &mut Flags) -> Result<Self> {
        let long = flags.switch("--full");
        let mut versions = Vec::new();
        for version in flags.values("--version")? {
            versions.push(version.parse().context("--version")?);
        }
        if versions.is_empty() {
            versions = if long {
                Version::ALL.to_vec()
            } else {
                vec![Version::DEFAULT]
            };
        }
        Ok(Self {
            versions,
            skip: flags.switch("--no-kafka"),
            long,
        })
    }
}

pub(crate) fn run(mut flags: Flags) -> Result<()> {
    let brokers = Brokers::from_flags(&mut flags)?;
    let filter = flags.rest()?;
    let mut report = Report::default();
    if filter.is_empty() {
        on_fake(&mut report, brokers.long);
        on_real(&mut report, &brokers);
    } else {
        for version in &brokers.versions {
            report.scenarios(&format!("chosen tests on Kafka {version}"), || {
                chosen(*version, &filter)
            });
        }
    }
    report.finish()
}

/// `cargo xtask soak`: a producer and a group for long, optimised, while brokers are restarted.
pub(crate) fn soak(mut flags: Flags) -> Result<()> {
    let minutes = flags.value::<u32>("--minutes")?.unwrap_or(30).to_string();
    let version = flags.value("--version")?.unwrap_or(Version::DEFAULT);
    flags.done()?;
    let mut env = env(version, None, false);
    env.push(("OTTLA_TEST_MINUTES", &minutes));
    let args = ["--include-ignored", "--nocapture", "real::own::soak::"];
    let mut report = Report::default();
    report.step(&format!("soak on Kafka {version}"), || {
        TestBinary::build_optimised("tests", "api")?
            .run(&args, &env)?
            .check()
    });
    report.finish()
}

/// Every test that needs no broker, doc tests included; those of the clients once more on older releases of Kafka;
/// then the long runs, if asked for.
pub(crate) fn on_fake(report: &mut Report, long: bool) {
    report.step("tests on the fake", || cargo_test()?.check());
    report.step("messages as JSON", || cargo_test_json()?.check());
    for release in if long { OLDER } else { &OLDER[..1] } {
        report.scenarios(&format!("suite on the fake as Kafka {release}"), || {
            let plays = |name: &str| {
                PLAYED.iter().any(|module| name.starts_with(module)) && !name.contains("real::")
            };
            Scenarios::build()?.run(release, plays, &[], &[("OTTLA_TEST_FAKE_RELEASE", release)])
        });
    }
    if long {
        report.step("long runs on the fake", || {
            cargo_test_optimised(&[LONG])?.check()
        });
    }
}

/// The control of brokers itself, then the integration suite, on each version.
pub(crate) fn on_real(report: &mut Report, brokers: &Brokers) {
    for version in &brokers.versions {
        let shared = format!("suite on Kafka {version}");
        let control = format!("control of Kafka {version}");
        let own = format!("clusters of Kafka {version}");
        if brokers.skip {
            for step in [&control, &shared, &own] {
                report.skip(step, "--no-kafka");
            }
            continue;
        }
        report.step(&control, || {
            let args = ["--include-ignored", "--test-threads", "1"];
            TestBinary::build("xtask", "cluster")?
                .run(&args, &env(*version, None, brokers.long))?
                .check()
        });
        report.scenarios(&shared, || {
            let shares = |name: &str| {
                name.contains("real::")
                    && !name.starts_with(OWN)
                    && !name.starts_with("compaction::")
            };
            with_broker(*version, brokers.long, shares, &[])
        });
        report.scenarios(&own, || {
            let env = env(*version, None, brokers.long);
            let one_by_one = ["--test-threads", "1"];
            let is_own = |name: &str| name.starts_with(OWN);
            Scenarios::build()?.run(version.as_str(), is_own, &one_by_one, &env)
        });
    }
}

/// The tests whose names contain one of the filters; options among them are passed on.
fn chosen(version: Version, filter: &[String]) -> Result<Tally> {
    let (options, names): (Vec<&str>, Vec<&str>) = filter
        .iter()
        .map(String::as_str)
        .partition(|filter| filter.starts_with('-'));
    let is_chosen = |name: &str| names.iter().any(|filter| name.contains(filter));
    with_broker(version, false, is_chosen, &options)
}

fn with_broker(
    version: Version,
    long: bool,
    chosen: impl Fn(&str) -> bool,
    more: &[&str],
) -> Result<Tally> {
    let scenarios = Scenarios::build()?;
    let mut cluster = Cluster::builder().version(version).start()?;
    let servers = cluster.bootstrap_servers();
    let env = env(version, Some(&servers), long);
    let result = scenarios.run(version.as_str(), chosen, more, &env);
    if result.is_err() {
        cluster.keep_logs();
    }
    result
}

/// The releases before those that are started for real, as the fake plays them.
const OLDER: &[&str] = &["2.1", "2.4", "3.0"];

/// The modules whose clusters are of the release that is asked for.
const PLAYED: [&str; 5] = [
    "admin::",
    "client::",
    "producer::",
    "consumer::",
    "groups::",
];

/// The module whose tests start clusters of their own.
const OWN: &str = "real::own::";

/// What tests against real brokers find in their environment.
pub(crate) fn env(
    version: Version,
    servers: Option<&str>,
    long: bool,
) -> Vec<(&'static str, &str)> {
    let mut env = vec![("OTTLA_TEST_KAFKA_VERSION", version.as_str())];
    env.extend(servers.map(|servers| ("OTTLA_TEST_BROKERS", servers)));
    if long {
        env.push(LONG);
    }
    env
}

/// Asks tests for their long runs.
const LONG: (&str, &str) = ("OTTLA_TEST_LONG", "1");
