//! Producer ids, epochs and sequence numbers: plain arithmetic.
//!
//! Owns the rule how a partition's numbering goes on after a hole. Knows neither batches nor brokers.
//!
//! An idempotent producer has one producer id, and every partition counts its own epoch. Brokers keep
//! the producer's state per partition, so a partition may raise its epoch without asking anyone and
//! without disturbing the others (KIP-360 lets a producer without a transactional id do this locally).
//! A transactional producer must not: its epochs come from the transaction coordinator.
//!
//! # References
//! - KIP-98 (idempotent producer), KIP-360 (epoch bump), KIP-679 (idempotence by default)

use ottla_codec::records::add_sequence;

/// The last epoch a producer id is used with, one below the largest, as in Kafka's own clients.
const LAST_EPOCH: i16 = i16::MAX - 1;

/// A producer id with the epoch it is used at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
}

impl Identity {
    /// The same producer at its next epoch; `None` when the epochs of this id are used up.
    fn bumped(self) -> Option<Self> {
        (self.epoch < LAST_EPOCH).then(|| Self {
            id: self.id,
            epoch: self.epoch + 1,
        })
    }
}

/// What the header of a numbered batch carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) identity: Identity,
    pub(crate) base_sequence: i32,
}

impl Stamp {
    /// The stamp of the records that follow the first `records` of this batch.
    pub(crate) fn after(self, records: u32) -> Self {
        Self {
            base_sequence: add_sequence(self.base_sequence, records),
            ..self
        }
    }
}

/// The numbering of one partition.
#[derive(Debug, Default)]
pub(crate) struct Sequences {
    identity: Option<Identity>,
    /// A producer id this partition must not take up again: its epochs are used up or the broker
    /// refused it.
    retired: Option<i64>,
    next: i32,
}

impl Sequences {
    /// Numbers a batch of `records` records.
    ///
    /// `current` is the producer's identity, taken up when the partition has none yet.
    ///
    /// # Errors
    /// The producer id that has to be replaced first, or `None` when there is none at all.
    pub(crate) fn number(
        &mut self,
        records: u32,
        current: Option<Identity>,
    ) -> Result<Stamp, Option<i64>> {
        let identity = match (self.identity, current) {
            (Some(identity), _) => identity,
            (None, Some(current)) if self.retired != Some(current.id) => {
                self.identity = Some(current);
                self.next = 0;
                current
            }
            (None, _) => return Err(self.retired),
        };
        let stamp = Stamp {
            identity,
            base_sequence: self.next,
        };
        self.next = add_sequence(self.next, records);
        Ok(stamp)
    }

    /// Goes on at sequence 0 of the next epoch, or of the next producer id.
    pub(crate) fn bump(&mut self) {
        if let Some(identity) = self.identity {
            self.identity = identity.bumped();
            if self.identity.is_none() {
                self.retired = Some(identity.id);
            }
        }
        self.next = 0;
    }

    /// Goes on at sequence 0 of another producer id: this one is no longer ours.
    pub(crate) fn retire(&mut self) {
        if let Some(identity) = self.identity.take() {
            self.retired = Some(identity.id);
        }
        self.next = 0;
    }

    /// Starts the numbering elsewhere than at 0, so that a test reaches the wrap in finite time.
    #[cfg(test)]
    pub(crate) fn start_at(&mut self, identity: Identity, next: i32) {
        self.identity = Some(identity);
        self.next = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Identity = Identity { id: 7, epoch: 0 };

    #[test]
    fn f27_sequences_wrap_to_zero() {
        let stamp = Stamp {
            identity: FIRST,
            base_sequence: i32::MAX,
        };
        assert_eq!(stamp.after(3).base_sequence, 2);
        let mut sequences = Sequences::default();
        sequences.start_at(FIRST, i32::MAX - 1);
        let numbers = [3, 1].map(|records| sequences.number(records, None).unwrap());
        assert_eq!(numbers.map(|stamp| stamp.base_sequence), [i32::MAX - 1, 1]);
    }

    #[test]
    fn numbers_follow_each_other() {
        let mut sequences = Sequences::default();
        assert_eq!(sequences.number(3, None), Err(None));
        let stamp = sequences.number(3, Some(FIRST)).unwrap();
        assert_eq!((stamp.identity, stamp.base_sequence), (FIRST, 0));
        let later = Some(Identity { id: 9, epoch: 4 });
        let stamp = sequences.number(1, later).unwrap();
        assert_eq!((stamp.identity, stamp.base_sequence), (FIRST, 3));
    }

    #[test]
    fn a_bump_starts_at_zero_of_the_next_epoch() {
        let mut sequences = Sequences::default();
        sequences.number(3, Some(FIRST)).unwrap();
        sequences.bump();
        let stamp = sequences.number(1, Some(FIRST)).unwrap();
        assert_eq!(stamp.identity, Identity { id: 7, epoch: 1 });
        assert_eq!(stamp.base_sequence, 0);
    }

    #[test]
    fn o19_used_up_epochs_ask_for_another_producer_id() {
        let mut sequences = Sequences::default();
        let last = Identity {
            id: 7,
            epoch: LAST_EPOCH,
        };
        sequences.number(3, Some(last)).unwrap();
        sequences.bump();
        assert_eq!(sequences.number(1, Some(last)), Err(Some(7)));
        let fresh = Identity { id: 8, epoch: 0 };
        assert_eq!(sequences.number(1, Some(fresh)).unwrap().identity, fresh);
    }

    #[test]
    fn a_retired_id_is_not_taken_up_again() {
        let mut sequences = Sequences::default();
        sequences.number(3, Some(FIRST)).unwrap();
        sequences.retire();
        assert_eq!(sequences.number(1, Some(FIRST)), Err(Some(7)));
    }
}
