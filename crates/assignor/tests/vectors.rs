//! The assignors against the answers of two reference implementations.
//!
//! The vectors are read from `tests/vectors`, or from the directory that `OTTLA_ASSIGNOR_VECTORS` names. Each test
//! prints one line per file: how many cases ran and how many were compared exactly.

mod support;

use std::collections::BTreeSet;
use std::io::Write;

use ottla_assignor::{Assignor, Member, RangeAssignor, RoundRobinAssignor};
use support::case::{Case, Expected, cases};
use support::measure::{Owners, is_valid, owners};

/// What became of one file's cases.
#[derive(Default)]
struct Tally {
    ran: usize,
    java: usize,
    aiokafka: usize,
}

impl Tally {
    /// Past the capture of test output: the figures belong in every log.
    fn print(&self, file: &str) {
        let Self {
            ran,
            java,
            aiokafka,
        } = self;
        let line = format!(
            "{file}: {ran} cases ran, exactly compared: {java} with Java, {aiokafka} with aiokafka\n"
        );
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
}

fn answer(assignor: &dyn Assignor, case: &Case, members: &[Member]) -> Owners {
    let assignments = assignor.assign(&case.topics, members).unwrap();
    let owners = owners(&case.topics, members, &assignments);
    assert!(
        is_valid(&case.topics, members, &owners),
        "{}: {owners:?}",
        case.name
    );
    owners
}

/// Where aiokafka's answer differs from Java's by design: it does not see instance ids and orders ids by code points,
/// which may put the members in another order, and its range counts a repeated topic twice.
fn aiokafka_differs(assignor: &dyn Assignor, members: &[Member]) -> bool {
    let ids = |key: fn(&Member) -> (bool, Vec<u16>)| {
        let mut sorted: Vec<&Member> = members.iter().collect();
        sorted.sort_by_key(|member| key(member));
        sorted
            .into_iter()
            .map(|member| member.id.as_str())
            .collect::<Vec<_>>()
    };
    let java = ids(|member| match &member.instance_id {
        Some(instance) => (false, instance.encode_utf16().collect()),
        None => (true, member.id.encode_utf16().collect()),
    });
    let mut aiokafka: Vec<&str> = members.iter().map(|member| member.id.as_str()).collect();
    aiokafka.sort_unstable();
    let repeats =
        |member: &Member| member.topics.iter().collect::<BTreeSet<_>>().len() < member.topics.len();
    java != aiokafka || assignor.name() == "range" && members.iter().any(repeats)
}

/// Runs a stateless assignor's cases, each compared with Java wherever it answers and with aiokafka where it does not
/// differ by design.
fn check_stateless(assignor: &dyn Assignor, file: &str) {
    let mut tally = Tally::default();
    for case in cases(file) {
        if case
            .assignor
            .as_deref()
            .is_some_and(|name| name != assignor.name())
        {
            continue;
        }
        let owners = answer(assignor, &case, &case.members);
        tally.ran += 1;
        if let Some(Expected::Answer(java)) = &case.java {
            assert_eq!(owners, java.owners, "{file}, {}: Java", case.name);
            tally.java += 1;
        }
        if let Some(Expected::Answer(aiokafka)) = &case.aiokafka
            && !aiokafka_differs(assignor, &case.members)
        {
            assert_eq!(owners, aiokafka.owners, "{file}, {}: aiokafka", case.name);
            tally.aiokafka += 1;
        }
    }
    assert!(tally.ran > 0, "{file} has cases of {}", assignor.name());
    tally.print(&format!("{file} ({})", assignor.name()));
}

#[test]
fn range() {
    check_stateless(&RangeAssignor::new(), "range.json");
}

#[test]
fn range_with_racks() {
    check_stateless(&RangeAssignor::new(), "range-racks.json");
}

#[test]
fn range_large() {
    check_stateless(&RangeAssignor::new(), "large.json");
}

#[test]
fn round_robin() {
    check_stateless(&RoundRobinAssignor::new(), "roundrobin.json");
}

#[test]
fn round_robin_large() {
    check_stateless(&RoundRobinAssignor::new(), "large.json");
}
