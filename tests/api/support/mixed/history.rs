//! What members of a group have said, and whether it can be true.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// A member's number, in the order in which they were started.
pub(super) type Id = usize;

/// What a member has said, and when by its clock, which is everybody's: milliseconds since 1970.
#[derive(Debug)]
struct Event {
    at: u64,
    by: Id,
    what: What,
}

#[derive(Debug)]
enum What {
    Assigned(BTreeSet<i32>),
    Revoked(BTreeSet<i32>),
    /// Partition, first and last offset.
    Consumed(Vec<(i32, i64, i64)>),
    /// Partition, and where the group goes on.
    Committed(Vec<(i32, i64)>),
}

/// Of one topic and one group.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Each member's in the order in which it said them.
    events: Vec<Event>,
    /// What each of those that run owns.
    owned: BTreeMap<Id, BTreeSet<i32>>,
    consumed: BTreeMap<(i32, i64), usize>,
}

impl History {
    /// A line of a member's output.
    ///
    /// # Panics
    /// It is none of Kafka's events, or of records of partitions that are not the member's.
    pub(super) fn said(&mut self, by: Id, line: &str) {
        let event: Value = serde_json::from_str(line).expect("one event a line");
        let at = event["timestamp"].as_u64().expect("a time");
        let partitions = || list(&event["partitions"], |entry| number(entry, "partition"));
        let owned = self.owned.entry(by).or_default();
        let what = match event["name"].as_str().expect("a name") {
            "partitions_assigned" => {
                let partitions: BTreeSet<i32> = partitions().into_iter().collect();
                owned.extend(&partitions);
                What::Assigned(partitions)
            }
            "partitions_revoked" => {
                let partitions: BTreeSet<i32> = partitions().into_iter().collect();
                owned.retain(|partition| !partitions.contains(partition));
                What::Revoked(partitions)
            }
            "records_consumed" => {
                let ranges = list(&event["partitions"], |entry| {
                    let partition: i32 = number(entry, "partition");
                    assert!(owned.contains(&partition), "{by} owns {owned:?}: {event}");
                    (
                        partition,
                        number(entry, "minOffset"),
                        number(entry, "maxOffset"),
                    )
                });
                for &(partition, first, last) in &ranges {
                    for offset in first..=last {
                        *self.consumed.entry((partition, offset)).or_default() += 1;
                    }
                }
                What::Consumed(ranges)
            }
            "offsets_committed" if event["success"] == true => {
                What::Committed(list(&event["offsets"], |entry| {
                    (number(entry, "partition"), number(entry, "offset"))
                }))
            }
            "offsets_committed" | "startup_complete" | "shutdown_requested"
            | "shutdown_complete" => return,
            other => panic!("{by} says {other}"),
        };
        self.events.push(Event { at, by, what });
    }

    /// The member's program has ended.
    ///
    /// # Panics
    /// It has kept partitions.
    pub(super) fn ended(&mut self, by: Id) {
        let kept = self.owned.remove(&by).unwrap_or_default();
        assert!(kept.is_empty(), "{by} has gone with {kept:?}");
    }

    /// Whether these own all partitions, each of them some, and nobody the same.
    pub(super) fn is_shared_out(&self, among: &[Id], partitions: i32) -> bool {
        let owned = among.iter().map(|id| self.owned.get(id));
        let owned: Vec<_> = owned.flatten().filter(|owned| !owned.is_empty()).collect();
        let sum: usize = owned.iter().map(|owned| owned.len()).sum();
        let union: BTreeSet<_> = owned.iter().copied().flatten().copied().collect();
        owned.len() == among.len() && sum == union.len() && union == (0..partitions).collect()
    }

    /// How many records have been consumed by anybody, each counted once.
    pub(super) fn consumed(&self) -> usize {
        self.consumed.len()
    }

    /// How many records were consumed again.
    pub(super) fn repeated(&self) -> usize {
        self.consumed.values().sum::<usize>() - self.consumed.len()
    }

    /// That no partition was two members' at a time, and that nothing was consumed again that had been committed.
    ///
    /// # Panics
    /// One was, or it was.
    pub(super) fn check(&self) {
        // (partition, from when, until when, whose)
        let mut spells: Vec<(i32, u64, u64, Id)> = Vec::new();
        let mut committed: Vec<(i32, u64, i64, Id)> = Vec::new();
        for Event { at, by, what } in &self.events {
            match what {
                What::Assigned(partitions) => {
                    spells.extend(partitions.iter().map(|&p| (p, *at, u64::MAX, *by)));
                }
                What::Revoked(partitions) => {
                    let ended = spells.iter_mut().filter(|(p, _, until, whose)| {
                        partitions.contains(p) && whose == by && *until == u64::MAX
                    });
                    ended.for_each(|spell| spell.2 = *at);
                }
                What::Committed(offsets) => {
                    committed.extend(offsets.iter().map(|&(p, offset)| (p, *at, offset, *by)));
                }
                What::Consumed(_) => {}
            }
        }
        spells.sort_unstable();
        for pair in spells.windows(2) {
            let overlap = pair[0].0 == pair[1].0 && pair[1].1 < pair[0].2;
            assert!(!overlap, "owned by two: {pair:?}");
        }
        for Event { at, by, what } in &self.events {
            let What::Consumed(ranges) = what else {
                continue;
            };
            for &(partition, first, _) in ranges {
                let earlier = committed
                    .iter()
                    .filter(|(p, when, ..)| *p == partition && when < at);
                let beyond = earlier.max_by_key(|(_, _, offset, _)| *offset);
                assert!(
                    beyond.is_none_or(|(_, _, offset, _)| *offset <= first),
                    "{by} at {at} reads {partition} at {first} again, after the commit {beyond:?}"
                );
            }
        }
    }
}

fn list<T>(entries: &Value, of: impl FnMut(&Value) -> T) -> Vec<T> {
    let entries = entries.as_array().expect("a list");
    entries.iter().map(of).collect()
}

fn number<T: TryFrom<i64, Error: std::fmt::Debug>>(entry: &Value, name: &str) -> T {
    let number = entry[name].as_i64().expect("a number");
    number.try_into().expect("in range")
}
