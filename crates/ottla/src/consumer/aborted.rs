//! read_committed: which batches of a fetched range belong to aborted transactions.
//!
//! Owns the list of aborted transactions that came with one partition of one fetch response, and walks
//! it along with the response's batches. A list covers its own response and is not carried on to the
//! next one: the broker names every aborted transaction that reaches into the range it returns.
//!
//! Knows nothing of records; the caller says what a batch's header says.

use std::collections::BTreeSet;

/// A transaction that was aborted, as a fetch response names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AbortedTransaction {
    /// The producer that began it.
    pub(crate) producer_id: i64,
    /// The offset of its first record in this partition.
    pub(crate) first_offset: i64,
}

/// The walk along one response's aborted transactions.
#[derive(Debug, Default)]
pub(crate) struct AbortedTransactions {
    /// Not reached yet, the last to be reached first.
    ahead: Vec<AbortedTransaction>,
    /// Producers whose batches are aborted at the point reached.
    active: BTreeSet<i64>,
}

impl AbortedTransactions {
    /// Takes the list in any order: not every broker sorts it.
    pub(crate) fn new(mut list: Vec<AbortedTransaction>) -> Self {
        list.sort_by_key(|aborted| std::cmp::Reverse(aborted.first_offset));
        Self {
            ahead: list,
            active: BTreeSet::new(),
        }
    }

    /// Whether a batch of records that ends at `last_offset` was aborted. Batches must be asked about in
    /// the order of the log.
    pub(crate) fn covers(
        &mut self,
        producer_id: i64,
        is_transactional: bool,
        last_offset: i64,
    ) -> bool {
        self.advance(last_offset);
        is_transactional && self.active.contains(&producer_id)
    }

    /// A control batch at `last_offset` ended a transaction of this producer, one way or the other. An
    /// end without an entry is nothing unusual: the transaction may have held no records.
    pub(crate) fn end(&mut self, producer_id: i64, last_offset: i64) {
        self.advance(last_offset);
        self.active.remove(&producer_id);
    }

    fn advance(&mut self, last_offset: i64) {
        while let Some(next) = self.ahead.last() {
            if next.first_offset > last_offset {
                break;
            }
            self.active.insert(next.producer_id);
            self.ahead.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[(i64, i64)]) -> AbortedTransactions {
        let one = |&(producer_id, first_offset)| AbortedTransaction {
            producer_id,
            first_offset,
        };
        AbortedTransactions::new(entries.iter().map(one).collect())
    }

    #[test]
    fn an_aborted_producers_batches_are_covered_until_its_marker() {
        let mut aborted = list(&[(1, 10)]);
        assert!(!aborted.covers(1, true, 9));
        assert!(aborted.covers(1, true, 14));
        assert!(!aborted.covers(2, true, 15));
        assert!(aborted.covers(1, true, 16));
        aborted.end(1, 17);
        assert!(!aborted.covers(1, true, 18));
    }

    #[test]
    fn a_batch_that_only_ends_behind_the_first_offset_is_covered() {
        assert!(list(&[(1, 10)]).covers(1, true, 12));
    }

    #[test]
    fn records_outside_transactions_are_never_covered() {
        assert!(!list(&[(1, 0)]).covers(1, false, 5));
    }

    #[test]
    fn f04_an_unsorted_list_is_sorted() {
        let mut aborted = list(&[(2, 50), (1, 10), (1, 90)]);
        assert!(aborted.covers(1, true, 10));
        aborted.end(1, 11);
        assert!(aborted.covers(2, true, 50));
        assert!(!aborted.covers(1, true, 60));
        assert!(aborted.covers(1, true, 90));
    }

    #[test]
    fn o12_an_empty_aborted_transaction_does_not_reach_past_its_marker() {
        // The transaction's first offset is its marker's own.
        let mut aborted = list(&[(1, 20)]);
        assert!(!aborted.covers(1, true, 19));
        aborted.end(1, 20);
        assert!(!aborted.covers(1, true, 25));
    }

    #[test]
    fn a_marker_without_an_entry_is_tolerated() {
        let mut aborted = list(&[]);
        aborted.end(1, 5);
        assert!(!aborted.covers(1, true, 6));
    }

    #[test]
    fn one_producer_may_abort_again_and_again() {
        let mut aborted = list(&[(1, 0), (1, 10), (1, 30)]);
        for (first, end) in [(0, 5), (10, 15), (30, 35)] {
            assert!(aborted.covers(1, true, first));
            aborted.end(1, end);
        }
        assert!(!aborted.covers(1, true, 40));
    }
}
