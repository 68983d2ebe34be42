//! The scenarios of the test binary `api`, and those that a Kafka cannot be put through.
//!
//! A test runs to its end or is in [`IMPOSSIBLE`]: none returns early because of a version, and what a run leaves out
//! without being listed makes it red.

use anyhow::{Context, Result, ensure};

use crate::harness::{Run, TestBinary};

/// What some versions of Kafka make impossible.
struct Impossible {
    /// A test, or what the names of several begin with.
    scenario: &'static str,
    /// The real brokers' versions, or the releases that the fake plays.
    kafka: &'static [&'static str],
    reason: &'static str,
}

const IMPOSSIBLE: &[Impossible] = &[
    Impossible {
        scenario: "compaction::real::tail_gone_at_the_end",
        kafka: &["2.8.2", "3.9.2", "4.3.0"],
        reason: "cleaners spare the newest segment",
    },
    Impossible {
        scenario: "compaction::real::emptied_at_the_end",
        kafka: &["2.8.2", "3.9.2", "4.3.0"],
        reason: "cleaners spare the newest segment",
    },
    Impossible {
        scenario: "compaction::real::wrappers_of_format_0",
        kafka: &["3.9.2", "4.3.0"],
        reason: "only brokers before 3.0 write the formats from before 0.11",
    },
    Impossible {
        scenario: "compaction::real::wrappers_of_format_1",
        kafka: &["3.9.2", "4.3.0"],
        reason: "only brokers before 3.0 write the formats from before 0.11",
    },
    Impossible {
        scenario: "versus::real::answers_as_written_down",
        kafka: &["2.8.2", "3.9.2"],
        reason: "what is written down are the answers of 4.3.0, whose versions of requests these do not know",
    },
    Impossible {
        scenario: "real::own::reload",
        kafka: &["2.8.2", "3.9.2"],
        reason: "what is written down are the answers of 4.3.0, whose versions of requests these do not know",
    },
    Impossible {
        scenario: "real::java::headers_and_nulls_of_a_java_producer_are_read",
        kafka: &["2.8.2"],
        reason: "its console producer cannot write them (KIP-798, KIP-810)",
    },
    Impossible {
        scenario: "real::java_on_fake::the_fake_takes_headers_and_nulls_of_javas_producer_and_gives_them_back",
        kafka: &["2.8.2"],
        reason: "its console producer cannot write them (KIP-798, KIP-810)",
    },
    Impossible {
        scenario: "real::groups::a_group_whose_coordinator_assigns_is_described",
        kafka: &["2.8.2", "3.9.2"],
        reason: "coordinators assign since 4.0 (KIP-848)",
    },
    Impossible {
        scenario: "real::old_formats",
        kafka: &["3.9.2", "4.3.0"],
        reason: "only brokers before 3.0 write the formats from before 0.11",
    },
    Impossible {
        scenario: "real::own::follower::a_follower_that_lags_is_left_for_the_leader_where_it_has_nothing",
        kafka: &["2.8.2"],
        reason: "its leaders forget to look again at what waits for a follower that has left (KAFKA-13091)",
    },
    Impossible {
        scenario: "real::own::moves::elected_and_reassigned_leaders_are_followed::case_2_by_refusals_alone",
        kafka: &["2.8.2"],
        reason: "refusals name the new leader since 3.7 (KIP-951)",
    },
    Impossible {
        scenario: "producer::faults::a_leader_hint_is_followed_without_waiting",
        kafka: &["2.1", "2.4", "3.0"],
        reason: "refusals name the new leader since 3.7 (KIP-951)",
    },
    Impossible {
        scenario: "consumer::faults::a_move_found_through_the_refusal_itself_takes_no_metadata",
        kafka: &["2.1", "2.4", "3.0"],
        reason: "refusals name the new leader since 3.7 (KIP-951)",
    },
    Impossible {
        scenario: "producer::faults::a_recreated_topic_is_a_typed_error_and_then_a_new_topic",
        kafka: &["2.1", "2.4", "3.0"],
        reason: "produce requests tell a topic from its successor since 4.1 (KIP-516)",
    },
    Impossible {
        scenario: "consumer::faults::a_recreated_topic_is_an_error_until_it_is_assigned_anew",
        kafka: &["2.1", "2.4", "3.0"],
        reason: "fetches tell a topic from its successor since 3.1 (KIP-516)",
    },
    Impossible {
        scenario: "admin::fake::groups_without_members_come_and_go",
        kafka: &["2.1", "2.4"],
        reason: "groups are listed by state since 2.6 (KIP-518)",
    },
    Impossible {
        scenario: "admin::fake::members_are_seen_and_removed",
        kafka: &["2.1"],
        reason: "members are static since 2.3, and removed by others since 2.4 (KIP-345)",
    },
    Impossible {
        scenario: "groups::static_members",
        kafka: &["2.1"],
        reason: "members are static since 2.3 (KIP-345)",
    },
    Impossible {
        scenario: "groups::assignors::assignors_are_told_everything",
        kafka: &["2.1"],
        reason: "members are static since 2.3 (KIP-345)",
    },
    Impossible {
        scenario: "groups::interrupted::f30_partitions_that_stay_begin_once_their_offsets_come_however_many_rebalances_later",
        kafka: &["2.1", "2.4"],
        reason: "offsets are asked for that no transaction can change since 2.5 (KIP-447)",
    },
    Impossible {
        scenario: "groups::chain::fake::every_topic_of_a_chain_of_static_members_ends_with_each_key",
        kafka: &["2.1", "2.4"],
        reason: "coordinators that took over fenced static members that had come back (KAFKA-9801), if they knew any",
    },
    Impossible {
        scenario: "groups::commits::f25_offsets_of_a_topic_are_not_committed_for_its_successor",
        kafka: &["2.1", "2.4"],
        reason: "a topic is told from its successor since 2.8 (KIP-516)",
    },
    Impossible {
        scenario: "consumer::faults::f18_going_back_and_forth_between_leader_and_follower_repeats_nothing",
        kafka: &["2.1"],
        reason: "followers are read from since 2.4 (KIP-392)",
    },
];

/// What a run has come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) ran: usize,
    pub(crate) skipped: Vec<Skipped>,
}

/// An impossible scenario.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Skipped {
    pub(crate) scenario: &'static str,
    /// How many tests it consists of.
    pub(crate) tests: usize,
    pub(crate) reason: &'static str,
}

/// Every test of the binary.
pub(crate) struct Scenarios {
    api: TestBinary,
    names: Vec<String>,
}

impl Scenarios {
    /// Builds the binary.
    ///
    /// # Errors
    /// It does not compile, or something listed as impossible does not exist.
    pub(crate) fn build() -> Result<Self> {
        let api = TestBinary::build("tests", "api")?;
        let names = api.list()?;
        for Impossible { scenario, .. } in IMPOSSIBLE {
            ensure!(
                names.iter().any(|name| is_in(name, scenario)),
                "listed as impossible, but there is no test {scenario}"
            );
        }
        Ok(Self { api, names })
    }

    /// Runs the chosen scenarios on a Kafka, all but the impossible ones.
    ///
    /// # Errors
    /// One failed or did not run, or none was chosen.
    pub(crate) fn run(
        &self,
        kafka: &str,
        chosen: impl Fn(&str) -> bool,
        more: &[&str],
        env: &[(&str, &str)],
    ) -> Result<Tally> {
        let (run, skipped) = self.possible(kafka, chosen);
        let outcome = self.try_run(&run, more, env)?;
        outcome.check()?;
        let left_out = run.len().checked_sub(outcome.passed);
        let left_out = left_out.context("more tests ran than there are")?;
        ensure!(left_out == 0, "{left_out} tests were left out");
        Ok(Tally {
            ran: outcome.passed,
            skipped,
        })
    }

    /// The names of the chosen scenarios that a Kafka can be put through, and what is impossible.
    pub(crate) fn possible(
        &self,
        kafka: &str,
        chosen: impl Fn(&str) -> bool,
    ) -> (Vec<&str>, Vec<Skipped>) {
        split(self.names.iter().filter(|name| chosen(name)), kafka)
    }

    /// Runs these scenarios, and tells what came of it.
    ///
    /// # Errors
    /// There are none, or they cannot be started.
    pub(crate) fn try_run(
        &self,
        names: &[&str],
        more: &[&str],
        env: &[(&str, &str)],
    ) -> Result<Run> {
        ensure!(!names.is_empty(), "no test is chosen that is possible");
        let mut args = vec!["--exact", "--include-ignored"];
        args.extend(more);
        args.extend(names);
        self.api.run(&args, env)
    }
}

/// The names to run, and what is impossible.
fn split<'a>(names: impl Iterator<Item = &'a String>, kafka: &str) -> (Vec<&'a str>, Vec<Skipped>) {
    let mut run = Vec::new();
    let mut skipped: Vec<Skipped> = Vec::new();
    for name in names {
        let mut listed = IMPOSSIBLE.iter();
        let found =
            listed.find(|entry| entry.kafka.contains(&kafka) && is_in(name, entry.scenario));
        match found {
            None => run.push(&**name),
            Some(&Impossible {
                scenario, reason, ..
            }) => match skipped.iter_mut().find(|s| s.scenario == scenario) {
                Some(known) => known.tests += 1,
                None => skipped.push(Skipped {
                    scenario,
                    tests: 1,
                    reason,
                }),
            },
        }
    }
    (run, skipped)
}

/// Whether a test is the scenario, or one of its cases.
fn is_in(name: &str, scenario: &str) -> bool {
    name.strip_prefix(scenario)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_for_a_version_is_left_out() {
        let names = [
            "versus::real::answers_as_written_down::case_1_producing",
            "versus::real::answers_as_written_down::case_2_idempotence",
            "versus::real::answers_as_written_down_twice",
            "real::admin::a_topics_life",
        ]
        .map(String::from);
        let (run, skipped) = split(names.iter(), "3.9.2");
        assert_eq!(run, [&names[2], &names[3]]);
        assert_eq!(skipped.len(), 1);
        assert_eq!(skipped[0].tests, 2);
        let (run, skipped) = split(names.iter(), "4.3.0");
        assert_eq!((run.len(), skipped), (4, Vec::new()));
    }
}
