//! How far `-e` has come: which partitions are still before their end.
//!
//! A partition is done by position, not by a record: the last offsets of a log may hold control records,
//! or nothing any more after a compaction.

use std::collections::BTreeMap;

use ottla::TopicPartition;

/// The partitions that are still to be read, and where each ends.
#[derive(Debug, Default)]
pub(crate) struct Ends(BTreeMap<TopicPartition, i64>);

impl Ends {
    pub(crate) fn new(ends: BTreeMap<TopicPartition, i64>) -> Self {
        Self(ends)
    }

    /// Where a partition ends; `None` if it is done.
    pub(crate) fn of(&self, partition: &TopicPartition) -> Option<i64> {
        self.0.get(partition).copied()
    }

    /// Takes note of a position; whether the partition is done by that.
    pub(crate) fn reached(&mut self, partition: &TopicPartition, position: i64) -> bool {
        let done = self.of(partition).is_some_and(|end| position >= end);
        if done {
            self.0.remove(partition);
        }
        done
    }

    pub(crate) fn all_done(&self) -> bool {
        self.0.is_empty()
    }

    /// The partitions that are not done, the first few of them by name.
    pub(crate) fn remaining(&self) -> String {
        const SHOWN: usize = 5;
        let mut names: Vec<_> = self.0.keys().take(SHOWN).map(ToString::to_string).collect();
        if self.0.len() > SHOWN {
            names.push(format!("{} more", self.0.len() - SHOWN));
        }
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_done_at_its_end_and_not_before() {
        let names: Vec<TopicPartition> = (0..7).map(|partition| ("t", partition).into()).collect();
        let mut ends = Ends::new(names.iter().map(|name| (name.clone(), 10)).collect());
        assert_eq!(ends.remaining(), "t-0, t-1, t-2, t-3, t-4, 2 more");
        assert!(!ends.reached(&names[0], 9));
        assert!(ends.reached(&names[0], 10));
        assert!(!ends.reached(&names[0], 11), "only once");
        for name in &names[1..] {
            assert!(!ends.all_done());
            assert!(ends.reached(name, 12));
        }
        assert!(ends.all_done());
    }
}
