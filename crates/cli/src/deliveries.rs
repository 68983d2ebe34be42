//! What has become of the records, in bounded memory.

use std::collections::{BTreeMap, VecDeque};

use ottla::{Delivery, Error, ErrorKind};

/// How many records may be without an outcome: what several requests to a few brokers hold of short ones. At
/// 24 bytes each, this is 1.5 MB whatever the size of the records.
const MAX_OPEN: usize = 65_536;

/// How many refused records are remembered one by one.
const MAX_TOLD: usize = 10;

/// Brokers' codes for a record that is too large for them.
const TOO_LARGE: [&str; 2] = ["MESSAGE_TOO_LARGE", "RECORD_LIST_TOO_LARGE"];

/// Deliveries in the order of their records, until they have an outcome.
///
/// A failure is either one record's alone, and the others may go on, or it has a reason that the next
/// records will meet as well, and then there is no point in going on.
#[derive(Debug)]
pub(crate) struct Deliveries {
    /// `None` for a record that was not even taken in.
    open: VecDeque<(Option<Delivery>, u32)>,
    /// How many records there have been. The last one has this number.
    seen: u64,
    pub(crate) delivered: u64,
    /// Bytes of the lines of delivered records.
    pub(crate) bytes: u64,
    pub(crate) failed: u64,
    /// Of the records that failed for themselves alone the first few, by their numbers.
    refused: BTreeMap<u64, Error>,
    /// How many failed for themselves alone beyond those.
    untold: u64,
    /// The first failure that is not one record's alone, and the number of its record.
    stop: Option<(u64, Error)>,
}

/// Records that were given up on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Abandoned {
    pub(crate) records: u64,
    /// How many of them may have been written.
    pub(crate) possibly_written: u64,
}

impl Deliveries {
    pub(crate) fn new() -> Self {
        Self {
            // All at once: growing would copy it, and leave holes of all its former sizes in the heap.
            open: VecDeque::with_capacity(MAX_OPEN),
            seen: 0,
            delivered: 0,
            bytes: 0,
            failed: 0,
            refused: BTreeMap::new(),
            untold: 0,
            stop: None,
        }
    }

    /// Takes the next record's delivery.
    pub(crate) fn push(&mut self, delivery: Delivery, bytes: usize) {
        // A record's length has 31 bits on the wire.
        self.open.push_back((Some(delivery), bytes as u32));
        self.seen += 1;
    }

    /// Takes note of the next record, which was not even taken in.
    pub(crate) fn refused(&mut self, error: Error) {
        self.open.push_back((None, 0));
        self.seen += 1;
        self.fail(self.seen, error);
    }

    /// How many records there have been.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// How many records are without an outcome.
    pub(crate) fn waiting(&self) -> usize {
        let waiting = |delivery: &Delivery| delivery.try_result().is_none();
        let deliveries = self
            .open
            .iter()
            .filter_map(|(delivery, _)| delivery.as_ref());
        deliveries.filter(|delivery| waiting(delivery)).count()
    }

    /// Whether a failure has come that is not one record's alone.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.is_some()
    }

    /// The failures with the numbers of their records, from 1; of many, some.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (u64, &Error)> {
        let refused = self.refused.iter().map(|(number, error)| (*number, error));
        refused.chain(self.stop.iter().map(|(number, error)| (*number, error)))
    }

    /// How many records failed for themselves alone beyond those in [`failures`](Self::failures).
    pub(crate) fn untold(&self) -> u64 {
        self.untold
    }

    pub(crate) fn is_full(&self) -> bool {
        self.open.len() >= MAX_OPEN
    }

    /// Lets go of those that have an outcome, and waits while there are too many without one.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by a drop.
    pub(crate) async fn make_room(&mut self) {
        self.reap();
        while self.is_full() {
            self.oldest().await;
            self.reap();
        }
    }

    /// Lets go of those at the front that have an outcome.
    pub(crate) fn reap(&mut self) {
        while let Some((delivery, _)) = self.open.front() {
            match delivery.as_ref().map(Delivery::try_result) {
                None => drop(self.open.pop_front()),
                Some(Some(outcome)) => self.settle(outcome.err()),
                Some(None) => break,
            }
        }
    }

    /// Waits until the oldest has its outcome; for ever if there is none.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by a drop.
    pub(crate) async fn oldest(&mut self) {
        match self.open.front_mut() {
            Some((Some(delivery), _)) => {
                let outcome = delivery.await;
                self.settle(outcome.err());
            }
            Some((None, _)) => drop(self.open.pop_front()),
            None => std::future::pending().await,
        }
    }

    /// Lets go of all, once the producer is closed. Those that had no outcome by then count as failed.
    pub(crate) fn abandon(&mut self) -> Abandoned {
        let mut abandoned = Abandoned {
            records: 0,
            possibly_written: 0,
        };
        while let Some((delivery, _)) = self.open.front() {
            let possibly_written = match delivery.as_ref().map(Delivery::try_result) {
                None => {
                    self.open.pop_front();
                    continue;
                }
                Some(Some(Err(error))) if matches!(error.kind(), ErrorKind::Closed { .. }) => {
                    error.possibly_written()
                }
                Some(Some(outcome)) => {
                    self.settle(outcome.err());
                    continue;
                }
                Some(None) => true,
            };
            self.open.pop_front();
            self.failed += 1;
            abandoned.records += 1;
            abandoned.possibly_written += u64::from(possibly_written);
        }
        abandoned
    }

    /// The oldest has an outcome.
    fn settle(&mut self, failure: Option<Error>) {
        let number = self.seen - self.open.len() as u64 + 1;
        let Some((_, bytes)) = self.open.pop_front() else {
            return;
        };
        match failure {
            None => {
                self.delivered += 1;
                self.bytes += u64::from(bytes);
            }
            Some(error) => self.fail(number, error),
        }
    }

    fn fail(&mut self, number: u64, error: Error) {
        self.failed += 1;
        if !is_the_records_own(&error) {
            self.stop.get_or_insert((number, error));
            return;
        }
        self.refused.insert(number, error);
        if self.refused.len() > MAX_TOLD {
            self.refused.pop_last();
            self.untold += 1;
        }
    }
}

/// Whether the next record may fare better.
fn is_the_records_own(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::RecordTooLarge { .. } => true,
        ErrorKind::Broker { code, .. } => TOO_LARGE.contains(&code.name()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn too_large(size: usize) -> Error {
        ErrorKind::RecordTooLarge {
            size,
            limit: 1,
            limit_name: "max.request.size",
        }
        .into()
    }

    #[test]
    fn of_many_refused_records_the_first_are_told() {
        let mut deliveries = Deliveries::new();
        for size in 1..=25 {
            deliveries.refused(too_large(size));
        }
        assert!(!deliveries.is_stopped());
        deliveries.refused(ErrorKind::MemoryFull.into());
        deliveries.refused(ErrorKind::Fenced.into());
        assert!(deliveries.is_stopped());
        let numbers: Vec<u64> = deliveries.failures().map(|(number, _)| number).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 26]);
        assert_eq!((deliveries.untold(), deliveries.failed), (15, 27));
        assert_eq!((deliveries.seen(), deliveries.waiting()), (27, 0));
        deliveries.reap();
        assert!(deliveries.open.is_empty());
    }
}
