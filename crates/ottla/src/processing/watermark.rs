//! How far a partition is done: the offset that everything below is finished of, in whatever order that came.
//!
//! Knows offsets only. What is between two records (what compaction took, the marks of transactions) is done with when
//! both are.

use std::collections::VecDeque;

use crate::consumer::OffsetAndMetadata;

/// What was taken in of a partition, and what is finished of it.
#[derive(Debug)]
pub(super) struct Watermark {
    /// From the oldest one that is not finished, in the order of the log.
    begun: VecDeque<Begun>,
    /// Everything below was taken in.
    reached: i64,
    /// What those that are not finished take in memory.
    bytes: usize,
    /// The epoch under which the last record below the watermark was written.
    leader_epoch: Option<i32>,
}

#[derive(Debug)]
struct Begun {
    offset: i64,
    leader_epoch: Option<i32>,
    bytes: usize,
    is_finished: bool,
}

impl Watermark {
    /// Nothing was taken in, and the next record is this one or a later one.
    pub(super) fn starting_at(offset: i64) -> Self {
        Self {
            begun: VecDeque::new(),
            reached: offset,
            bytes: 0,
            leader_epoch: None,
        }
    }

    /// The record at that offset is taken in, which takes so many bytes until it is finished. Offsets only grow.
    pub(super) fn begin(&mut self, offset: i64, leader_epoch: Option<i32>, bytes: usize) {
        debug_assert!(offset >= self.reached, "{offset} after {}", self.reached);
        self.begun.push_back(Begun {
            offset,
            leader_epoch,
            bytes,
            is_finished: false,
        });
        self.bytes = self.bytes.saturating_add(bytes);
        self.reached = offset.saturating_add(1);
    }

    /// Everything below that offset was taken in, whether or not there were records.
    pub(super) fn pass(&mut self, next: i64) {
        self.reached = self.reached.max(next);
    }

    /// That record is done with, for good.
    pub(super) fn finish(&mut self, offset: i64) {
        let found = self.begun.binary_search_by_key(&offset, |one| one.offset);
        if let Some(one) = found.ok().and_then(|index| self.begun.get_mut(index)) {
            one.is_finished = true;
            self.bytes = self.bytes.saturating_sub(std::mem::take(&mut one.bytes));
        }
        while let Some(first) = self.begun.front()
            && first.is_finished
        {
            self.leader_epoch = first.leader_epoch;
            self.begun.pop_front();
        }
    }

    /// How many records there are from the oldest unfinished one to the latest one.
    pub(super) fn span(&self) -> usize {
        self.begun.len()
    }

    /// What the records that are not finished take in memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The offset that everything below was taken in of.
    pub(super) fn reached(&self) -> i64 {
        self.reached
    }

    /// Everything below is finished.
    pub(super) fn offset(&self) -> i64 {
        self.begun
            .front()
            .map_or(self.reached, |first| first.offset)
    }

    /// The same as it is committed.
    pub(super) fn position(&self) -> OffsetAndMetadata {
        OffsetAndMetadata {
            leader_epoch: self.leader_epoch,
            ..OffsetAndMetadata::new(self.offset())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn it_stands_at_the_oldest_that_is_not_finished() {
        let mut watermark = Watermark::starting_at(10);
        assert_eq!(watermark.offset(), 10);
        for offset in [10, 11, 15] {
            watermark.begin(offset, Some(3), 100);
        }
        assert_eq!((watermark.offset(), watermark.span()), (10, 3));
        watermark.finish(11);
        watermark.finish(11);
        assert_eq!((watermark.offset(), watermark.span()), (10, 3));
        assert_eq!(watermark.bytes(), 200);
        watermark.finish(10);
        assert_eq!((watermark.offset(), watermark.span()), (15, 1));
        watermark.finish(15);
        assert_eq!((watermark.offset(), watermark.span()), (16, 0));
        assert_eq!(watermark.position().leader_epoch, Some(3));
    }

    #[test]
    fn what_holds_no_record_is_passed_once_all_before_is_finished() {
        let mut watermark = Watermark::starting_at(0);
        watermark.begin(3, None, 1);
        watermark.pass(9);
        assert_eq!((watermark.offset(), watermark.reached()), (3, 9));
        watermark.finish(3);
        assert_eq!(watermark.offset(), 9);
        watermark.pass(5);
        assert_eq!(watermark.offset(), 9);
    }

    #[test]
    fn what_is_unknown_or_finished_twice_changes_nothing() {
        let mut watermark = Watermark::starting_at(0);
        watermark.begin(0, None, 1);
        watermark.begin(5, None, 1);
        watermark.finish(3);
        watermark.finish(0);
        watermark.finish(0);
        assert_eq!((watermark.offset(), watermark.span()), (5, 1));
    }

    /// Logs with holes, taken in piece by piece and finished in any order, against the definition.
    #[test]
    fn any_order_gives_the_same_end_and_never_passes_what_is_unfinished() {
        for seed in 0..2000 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let start = rng.i64(0..100);
            let mut watermark = Watermark::starting_at(start);
            let (mut next, mut unfinished) = (start, BTreeSet::new());
            let mut to_come = rng.usize(1..60);
            let mut last = watermark.offset();
            while to_come > 0 || !unfinished.is_empty() {
                if to_come > 0 && (unfinished.is_empty() || rng.bool()) {
                    next += *rng.choice(&[0, 0, 0, 1, 7]).unwrap();
                    watermark.begin(next, Some(1), 1);
                    unfinished.insert(next);
                    next += 1;
                    to_come -= 1;
                    if rng.u8(..5) == 0 {
                        next += rng.i64(0..4);
                        watermark.pass(next);
                    }
                } else {
                    let all: Vec<i64> = unfinished.iter().copied().collect();
                    let offset = *rng.choice(&all).unwrap();
                    unfinished.remove(&offset);
                    watermark.finish(offset);
                }
                let expected = unfinished.first().copied().unwrap_or(next);
                assert_eq!(watermark.offset(), expected, "seed {seed}");
                assert_eq!(watermark.bytes(), unfinished.len(), "seed {seed}");
                assert!(watermark.offset() >= last, "seed {seed}");
                last = watermark.offset();
            }
            assert_eq!((watermark.offset(), watermark.span()), (next, 0));
        }
    }
}
