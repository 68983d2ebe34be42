//! Which of the records that were taken in may begin: those of one lane follow each other, lanes go on side by side.
//!
//! Knows records and their keys, and nothing of who handles them.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use super::processor::ProcessingOrder;
use crate::consumer::ConsumedRecord;

/// What records are in order with each other by; those of no lane are in order with none.
pub(super) type Lane = Option<Bytes>;

/// The records of one partition that wait for their turn.
#[derive(Debug)]
pub(super) struct Lanes {
    order: ProcessingOrder,
    /// Nothing before them in their lanes.
    ready: VecDeque<ConsumedRecord>,
    /// Lanes with a record that is ready or has begun, and what is behind it. Never looked at as a whole but to
    /// throw out of it.
    behind: HashMap<Bytes, VecDeque<ConsumedRecord>>,
}

impl Lanes {
    pub(super) fn new(order: ProcessingOrder) -> Self {
        Self {
            order,
            ready: VecDeque::new(),
            behind: HashMap::new(),
        }
    }

    /// The lane that a record is in.
    pub(super) fn of(&self, record: &ConsumedRecord) -> Lane {
        match self.order {
            ProcessingOrder::Key => record.key.clone(),
            ProcessingOrder::Partition => Some(Bytes::new()),
            ProcessingOrder::Unordered => None,
        }
    }

    /// The next record of the log.
    pub(super) fn push(&mut self, record: ConsumedRecord) {
        let Some(lane) = self.of(&record) else {
            self.ready.push_back(record);
            return;
        };
        match self.behind.entry(lane) {
            Entry::Occupied(mut behind) => behind.get_mut().push_back(record),
            Entry::Vacant(free) => {
                free.insert(VecDeque::new());
                self.ready.push_back(record);
            }
        }
    }

    /// Takes a record that may begin.
    pub(super) fn pop(&mut self) -> Option<ConsumedRecord> {
        self.ready.pop_front()
    }

    /// Whether there is one that may begin.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The record of this lane that had begun is done with: the next one may begin.
    pub(super) fn release(&mut self, lane: Lane) {
        let Some(Entry::Occupied(mut behind)) = lane.map(|lane| self.behind.entry(lane)) else {
            return;
        };
        match behind.get_mut().pop_front() {
            Some(next) => self.ready.push_back(next),
            None => drop(behind.remove()),
        }
    }

    /// Throws out what waits from that offset on.
    pub(super) fn truncate(&mut self, from: i64) {
        self.ready.retain(|record| record.offset < from);
        for behind in self.behind.values_mut() {
            behind.retain(|record| record.offset < from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: i64, key: Option<&'static str>) -> ConsumedRecord {
        ConsumedRecord {
            partition: ("t", 0).into(),
            offset,
            timestamp: 0,
            key: key.map(|key| Bytes::from_static(key.as_bytes())),
            value: None,
            headers: Vec::new(),
        }
    }

    fn lanes(order: ProcessingOrder, keys: &[Option<&'static str>]) -> Lanes {
        let mut lanes = Lanes::new(order);
        for (offset, key) in (0..).zip(keys) {
            lanes.push(record(offset, *key));
        }
        lanes
    }

    /// All that may begin, in turn.
    fn begin(lanes: &mut Lanes) -> Vec<i64> {
        std::iter::from_fn(|| lanes.pop().map(|record| record.offset)).collect()
    }

    fn key(key: &'static str) -> Lane {
        Some(Bytes::from_static(key.as_bytes()))
    }

    #[test]
    fn records_of_a_key_follow_each_other_and_others_pass() {
        let keys = [Some("a"), Some("a"), Some("b"), None, None, Some("a")];
        let mut lanes = lanes(ProcessingOrder::Key, &keys);
        assert_eq!(begin(&mut lanes), [0, 2, 3, 4]);
        lanes.release(None);
        lanes.release(key("b"));
        assert_eq!(begin(&mut lanes), []);
        lanes.release(key("a"));
        assert_eq!(begin(&mut lanes), [1]);
        lanes.push(record(6, Some("b")));
        assert_eq!(begin(&mut lanes), [6]);
        lanes.release(key("a"));
        assert_eq!(begin(&mut lanes), [5]);
        lanes.release(key("a"));
        lanes.release(key("b"));
        assert!(lanes.behind.is_empty(), "no lane outlives its records");
    }

    #[test]
    fn an_empty_key_is_a_key() {
        let mut lanes = lanes(ProcessingOrder::Key, &[Some(""), Some(""), None]);
        assert_eq!(begin(&mut lanes), [0, 2]);
    }

    #[test]
    fn records_of_a_partition_follow_each_other_whatever_their_keys() {
        let mut lanes = lanes(ProcessingOrder::Partition, &[Some("a"), None, Some("b")]);
        for offset in 0..3 {
            assert_eq!(begin(&mut lanes), [offset]);
            let lane = lanes.of(&record(offset, None));
            lanes.release(lane);
        }
    }

    #[test]
    fn records_in_no_order_all_begin() {
        let mut lanes = lanes(ProcessingOrder::Unordered, &[Some("a"), Some("a"), None]);
        assert_eq!(begin(&mut lanes), [0, 1, 2]);
    }

    #[test]
    fn what_is_thrown_out_never_begins() {
        let keys = [Some("a"), Some("b"), Some("a"), Some("c"), Some("a")];
        let mut lanes = lanes(ProcessingOrder::Key, &keys);
        assert_eq!(lanes.pop().map(|record| record.offset), Some(0));
        lanes.truncate(3);
        assert_eq!(begin(&mut lanes), [1]);
        lanes.release(key("a"));
        assert_eq!(begin(&mut lanes), [2]);
        lanes.release(key("a"));
        assert_eq!(begin(&mut lanes), []);
    }
}
