//! What has become of the records, in bounded memory.

use std::collections::VecDeque;

use ottla::{Delivery, Error};

/// How many records may be without an outcome. At 24 bytes each this stays far below the producer's own
/// memory, whatever the size of the records.
const MAX_OPEN: usize = 200_000;

/// Deliveries in the order of their records, until they have an outcome.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    open: VecDeque<(Delivery, u32)>,
    taken: u64,
    pub(crate) delivered: u64,
    /// Bytes of the lines of delivered records.
    pub(crate) bytes: u64,
    pub(crate) failed: u64,
    /// The first failure and the number of its record, from 1.
    pub(crate) first_failure: Option<(u64, Error)>,
}

impl Deliveries {
    /// Takes the next record's delivery.
    pub(crate) fn push(&mut self, delivery: Delivery, bytes: usize) {
        // A record's length has 31 bits on the wire.
        self.open.push_back((delivery, bytes as u32));
        self.taken += 1;
    }

    /// Takes note of a record that was not even taken in.
    pub(crate) fn refused(&mut self, error: Error) {
        self.failed += 1;
        self.first_failure.get_or_insert((self.taken + 1, error));
    }

    /// How many records have been taken in.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
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
            let Some(outcome) = delivery.try_result() else {
                break;
            };
            self.settle(outcome.err());
        }
    }

    /// Waits until the oldest has its outcome; for ever if there is none.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by a drop.
    pub(crate) async fn oldest(&mut self) {
        match self.open.front_mut() {
            Some((delivery, _)) => {
                let outcome = delivery.await;
                self.settle(outcome.err());
            }
            None => std::future::pending().await,
        }
    }

    /// The oldest has an outcome.
    fn settle(&mut self, failure: Option<Error>) {
        let number = self.taken - self.open.len() as u64 + 1;
        let Some((_, bytes)) = self.open.pop_front() else {
            return;
        };
        match failure {
            None => {
                self.delivered += 1;
                self.bytes += u64::from(bytes);
            }
            Some(error) => {
                self.failed += 1;
                self.first_failure.get_or_insert((number, error));
            }
        }
    }
}
