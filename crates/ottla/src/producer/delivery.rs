//! What becomes of a record, for its sender: one outcome per batch, and a light future per record.
//!
//! Knows nothing of brokers or retries: somebody else decides an outcome, once.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::TopicPartition;
use crate::error::{Error, Result};
use crate::record::RecordMetadata;

/// The fate of one record, on its way.
///
/// Awaiting it gives the record's place in the log, or the reason why it is not known to be there.
/// It is 16 bytes and shares everything else with the records of its batch. Dropping it is free and
/// changes nothing: the record is delivered all the same.
///
/// # Errors
/// See [`Error::possibly_written`] for what a failure means: when it is false the record is certainly
/// not in the log, and sending it again makes no duplicate.
///
/// # Cancel safety
/// Nothing is lost by a drop.
#[must_use = "whether the record was written is known only to who awaits this; `drop` it if that does not matter"]
pub struct Delivery {
    outcome: Arc<Outcome>,
    index: u32,
    /// Where this delivery's waker is kept in the outcome.
    slot: u32,
}

const NO_SLOT: u32 = u32::MAX;

impl Delivery {
    pub(crate) fn new(outcome: Arc<Outcome>, index: u32) -> Self {
        Self {
            outcome,
            index,
            slot: NO_SLOT,
        }
    }

    /// The result, if there is one already.
    pub fn try_result(&self) -> Option<Result<RecordMetadata>> {
        let (mut outcome, mut index) = (&self.outcome, self.index);
        loop {
            match outcome.fate.get()? {
                Fate::Written(written) => return Some(Ok(written.metadata(index))),
                Fate::Failed(error) => return Some(Err(error.clone())),
                Fate::Moved(places) => (outcome, index) = place_of(places, index)?,
            }
        }
    }
}

impl Future for Delivery {
    type Output = Result<RecordMetadata>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            let moved = match this.outcome.fate.get() {
                Some(Fate::Written(written)) => {
                    return Poll::Ready(Ok(written.metadata(this.index)));
                }
                Some(Fate::Failed(error)) => return Poll::Ready(Err(error.clone())),
                Some(Fate::Moved(places)) => place_of(places, this.index),
                None if this.outcome.wait(&mut this.slot, cx.waker()) => return Poll::Pending,
                None => continue,
            };
            let Some((outcome, index)) = moved else {
                return Poll::Pending;
            };
            *this = Self::new(outcome.clone(), index);
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Delivery");
        out.field("result", &self.try_result());
        out.finish_non_exhaustive()
    }
}

/// The fate of one batch, or of a record that has none yet, shared by the deliveries of its records.
///
/// Whoever reads what was decided takes no lock: that happens for every record, and deciding for every batch.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    fate: OnceLock<Fate>,
    /// Decided while it is locked, so that nobody joins those who wait too late to be woken.
    waiting: Mutex<Vec<Waker>>,
}

#[derive(Debug)]
enum Fate {
    Written(Written),
    Failed(Error),
    /// The records are in other batches now: from which index on, and where the record of that index is.
    Moved(Vec<(u32, Delivery)>),
}

/// Where a batch was written.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) partition: TopicPartition,
    /// The first record's offset, where the broker told it.
    pub(crate) base_offset: Option<i64>,
    pub(crate) timestamps: Timestamps,
}

/// The timestamps of a batch's records, in milliseconds since 1970.
#[derive(Clone, Debug)]
pub(crate) enum Timestamps {
    All(i64),
    Each(Vec<i64>),
}

impl Timestamps {
    fn of(&self, index: u32) -> i64 {
        match self {
            Self::All(timestamp) => *timestamp,
            Self::Each(all) => all.get(index as usize).copied().unwrap_or(-1),
        }
    }

    /// Takes note of the next record's timestamp, the one at `index`.
    pub(crate) fn push(&mut self, index: u32, timestamp: i64) {
        match self {
            Self::All(all) if *all == timestamp => {}
            Self::All(all) => {
                let mut each = vec![*all; index as usize];
                each.push(timestamp);
                *self = Self::Each(each);
            }
            Self::Each(each) => each.push(timestamp),
        }
    }

    /// Those of the records in `range`.
    pub(crate) fn slice(&self, range: std::ops::Range<u32>) -> Self {
        match self {
            Self::All(all) => Self::All(*all),
            Self::Each(each) => {
                let range = range.start as usize..range.end as usize;
                Self::Each(each.get(range).unwrap_or_default().to_vec())
            }
        }
    }
}

impl Written {
    fn metadata(&self, index: u32) -> RecordMetadata {
        RecordMetadata {
            partition: self.partition.clone(),
            offset: self.base_offset.map(|base| base + i64::from(index)),
            timestamp: self.timestamps.of(index),
        }
    }
}

impl Outcome {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Whether anybody holds a delivery of it.
    pub(crate) fn is_followed(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1
    }

    /// Has a waker woken by the decision; false if that has been made. `slot` is the waker's place from then on.
    fn wait(&self, slot: &mut u32, waker: &Waker) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if self.fate.get().is_some() {
            return false;
        }
        match waiting.get_mut(*slot as usize) {
            Some(known) => known.clone_from(waker),
            None => {
                *slot = u32::try_from(waiting.len()).unwrap_or(NO_SLOT);
                waiting.push(waker.clone());
            }
        }
        true
    }

    /// Decides the outcome. The wakers are for the caller to wake, when it holds no lock any more.
    pub(crate) fn written(&self, written: Written, wakers: &mut Vec<Waker>) {
        self.decide(Fate::Written(written), wakers);
    }

    pub(crate) fn failed(&self, error: Error, wakers: &mut Vec<Waker>) {
        self.decide(Fate::Failed(error), wakers);
    }

    /// Leads every record to where it is now: those from each index on follow the one of that index.
    pub(crate) fn moved(&self, places: Vec<(u32, Delivery)>, wakers: &mut Vec<Waker>) {
        self.decide(Fate::Moved(places), wakers);
    }

    fn decide(&self, decided: Fate, wakers: &mut Vec<Waker>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if self.fate.set(decided).is_ok() {
            wakers.append(&mut waiting);
        }
    }
}

/// Where the record of an index has gone: to which outcome, and which index of that.
fn place_of(places: &[(u32, Delivery)], index: u32) -> Option<(&Arc<Outcome>, u32)> {
    let after = places.partition_point(|(first, _)| *first <= index);
    let (first, place) = places.get(after.checked_sub(1)?)?;
    Some((&place.outcome, place.index + (index - first)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn poll(delivery: &mut Delivery, count: &Arc<Count>) -> Poll<Result<RecordMetadata>> {
        let waker = Waker::from(count.clone());
        Pin::new(delivery).poll(&mut Context::from_waker(&waker))
    }

    fn written(base_offset: i64) -> Written {
        Written {
            partition: ("t", 3).into(),
            base_offset: Some(base_offset),
            timestamps: Timestamps::All(7),
        }
    }

    fn decide(outcome: &Outcome, written: Written) {
        let mut wakers = Vec::new();
        outcome.written(written, &mut wakers);
        wakers.into_iter().for_each(Waker::wake);
    }

    #[test]
    fn a_delivery_is_sixteen_bytes() {
        assert_eq!(size_of::<Delivery>(), 16);
    }

    #[test]
    fn every_record_learns_its_own_offset() {
        let outcome = Outcome::new();
        let count = Arc::new(Count::default());
        let mut deliveries: Vec<_> = (0..3).map(|i| Delivery::new(outcome.clone(), i)).collect();
        for delivery in &mut deliveries {
            assert!(poll(delivery, &count).is_pending());
            assert!(poll(delivery, &count).is_pending());
        }
        decide(&outcome, written(40));
        assert_eq!(count.0.load(Ordering::Relaxed), 3);
        for (delivery, offset) in deliveries.iter_mut().zip(40..) {
            let Poll::Ready(Ok(metadata)) = poll(delivery, &count) else {
                panic!("no outcome");
            };
            assert_eq!((metadata.offset, metadata.timestamp), (Some(offset), 7));
        }
    }

    #[test]
    fn a_move_leads_every_record_to_its_place() {
        let outcome = Outcome::new();
        let count = Arc::new(Count::default());
        let mut deliveries: Vec<_> = (0..4).map(|i| Delivery::new(outcome.clone(), i)).collect();
        for delivery in &mut deliveries {
            assert!(poll(delivery, &count).is_pending());
        }
        let (head, tail) = (Outcome::new(), Outcome::new());
        let mut wakers = Vec::new();
        // The last one is behind two others there.
        let places = [(0, &head, 0), (3, &tail, 2)];
        let places = places.map(|(first, to, at)| (first, Delivery::new(to.clone(), at)));
        outcome.moved(places.into(), &mut wakers);
        assert_eq!(wakers.len(), 4);
        for delivery in &mut deliveries {
            assert!(poll(delivery, &count).is_pending());
        }
        decide(&head, written(100));
        decide(&tail, written(200));
        assert_eq!(count.0.load(Ordering::Relaxed), 4);
        for (delivery, offset) in deliveries.iter().zip([100, 101, 102, 202]) {
            let metadata = delivery.try_result().unwrap().unwrap();
            assert_eq!(metadata.offset, Some(offset));
        }
    }

    #[test]
    fn timestamps_are_kept_one_by_one_only_where_they_differ() {
        let mut timestamps = Timestamps::All(5);
        timestamps.push(0, 5);
        timestamps.push(1, 5);
        assert!(matches!(timestamps, Timestamps::All(5)));
        timestamps.push(2, 9);
        timestamps.push(3, 5);
        let of: Vec<i64> = (0..4).map(|index| timestamps.of(index)).collect();
        assert_eq!(of, [5, 5, 9, 5]);
        assert_eq!(timestamps.slice(2..4).of(0), 9);
    }

    #[test]
    fn nobody_begins_to_wait_for_what_is_decided() {
        let outcome = Outcome::default();
        let mut slot = NO_SLOT;
        assert!(outcome.wait(&mut slot, Waker::noop()));
        decide(&outcome, written(1));
        assert!(!outcome.wait(&mut slot, Waker::noop()));
    }

    #[test]
    fn an_outcome_is_decided_once() {
        let outcome = Outcome::new();
        decide(&outcome, written(1));
        outcome.failed(Error::invalid_argument("late"), &mut Vec::new());
        let delivery = Delivery::new(outcome, 0);
        assert_eq!(delivery.try_result().unwrap().unwrap().offset, Some(1));
    }
}
