//! Whether the caller waits for records or is busy with those it has, and what it has come back from.
//!
//! Owns two facts about the one reader. Where it is: inside a `next()` it is never away, except once it
//! was woken and has not looked; otherwise it is away since its last `next()` ended. And what it holds:
//! one slot for what was handed out last, because asking for more is how a caller says that it is done
//! with that.
//!
//! Costs something per batch and nothing per record: within a batch, a stream's own
//! [`Progress`](super::stream::Progress) tells.

use ottla_cluster::TopicPartition;
use tokio::time::Instant;

use super::positions::Position;

/// What is known of the reader.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    place: Place,
    /// What was handed out last: its partition, and the position before it unless that was given up since.
    in_hand: Option<(TopicPartition, Option<Position>)>,
    /// How far a stream had come when somebody last looked.
    streamed: Option<i64>,
}

#[derive(Debug, Default, Clone, Copy)]
enum Place {
    /// Nobody has asked for records yet, nor was expected to.
    #[default]
    Unknown,
    /// Nobody has asked for records yet, and somebody should since then.
    Expected(Instant),
    /// Inside a `next()`, with nothing to be had.
    Waiting,
    /// Inside a `next()`, and told that there is something.
    Woken(Instant),
    /// Busy elsewhere.
    Away(Instant),
}

impl Presence {
    /// The reader asks for records: it has come back from all it was handed.
    pub(crate) fn arrive(&mut self) {
        self.place = Place::Waiting;
        self.in_hand = None;
        self.streamed = None;
    }

    /// The reader's `next()` has ended.
    pub(crate) fn leave(&mut self, now: Instant) {
        self.place = Place::Away(now);
    }

    /// The reader's `next()` was given up, if it was in one.
    pub(crate) fn abandon(&mut self, now: Instant) {
        if matches!(self.place, Place::Waiting | Place::Woken(_)) {
            self.place = Place::Away(now);
        }
    }

    /// The reader was told that there is something for it.
    pub(crate) fn wake(&mut self, now: Instant) {
        if matches!(self.place, Place::Waiting) {
            self.place = Place::Woken(now);
        }
    }

    /// Time counts from here on for a reader that is not asking for records.
    pub(crate) fn expect(&mut self, now: Instant) {
        match self.place {
            Place::Unknown | Place::Expected(_) => self.place = Place::Expected(now),
            Place::Away(_) => self.place = Place::Away(now),
            Place::Waiting | Place::Woken(_) => {}
        }
    }

    /// Whether it was handed something, or is about to be, and has not asked for more since.
    pub(crate) fn is_elsewhere(&self) -> bool {
        matches!(self.place, Place::Woken(_) | Place::Away(_))
    }

    /// Since when the reader has been away; `None` while it is not. A stream that has come further since
    /// this was last asked has been here a moment ago.
    pub(crate) fn away_since(&mut self, streamed: Option<i64>, now: Instant) -> Option<Instant> {
        let since = match self.place {
            Place::Unknown | Place::Waiting => return None,
            Place::Expected(since) | Place::Woken(since) | Place::Away(since) => since,
        };
        if streamed.is_some() && std::mem::replace(&mut self.streamed, streamed) != streamed {
            self.place = Place::Away(now);
            return Some(now);
        }
        Some(since)
    }

    /// The reader was handed something of this partition, whose position was `before`.
    pub(crate) fn hand(&mut self, partition: &TopicPartition, before: Position) {
        self.in_hand = Some((partition.clone(), Some(before)));
    }

    /// The position before what the reader holds of this partition, if it holds something of it: none, if that was
    /// given up since.
    pub(crate) fn in_hand(&self, partition: &TopicPartition) -> Option<Option<Position>> {
        let (held, before) = self.in_hand.as_ref()?;
        (held == partition).then_some(*before)
    }

    /// The log no longer holds the position before what the reader holds of this partition.
    pub(crate) fn outdate(&mut self, partition: &TopicPartition) {
        if let Some((held, before)) = &mut self.in_hand
            && held == partition
        {
            *before = None;
        }
    }

    /// The partition was moved: what the reader holds of it no longer says anything of its position.
    pub(crate) fn forget(&mut self, partition: &TopicPartition) {
        if self.in_hand(partition).is_some() {
            self.in_hand = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reader_is_away_only_between_two_calls_or_when_it_does_not_follow_a_wake_up() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut reader = Presence::default();
        assert_eq!(reader.away_since(None, at(1)), None);
        reader.expect(at(1));
        assert_eq!(reader.away_since(None, at(3)), Some(at(1)));
        assert!(!reader.is_elsewhere());
        reader.arrive();
        reader.expect(at(4));
        assert!(!reader.is_elsewhere());
        assert_eq!(reader.away_since(None, at(1000)), None);
        reader.wake(at(1001));
        reader.wake(at(1002));
        assert_eq!(reader.away_since(None, at(1003)), Some(at(1001)));
        reader.arrive();
        reader.leave(at(1004));
        reader.wake(at(1005));
        assert_eq!(reader.away_since(None, at(1006)), Some(at(1004)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_moves_on_was_here() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut reader = Presence::default();
        reader.arrive();
        reader.leave(at(0));
        assert_eq!(reader.away_since(Some(7), at(5)), Some(at(5)));
        assert_eq!(reader.away_since(Some(7), at(9)), Some(at(5)));
        assert_eq!(reader.away_since(Some(8), at(12)), Some(at(12)));
    }

    #[test]
    fn asking_for_more_is_coming_back() {
        let mut reader = Presence::default();
        let (one, two) = (("t", 1).into(), ("t", 2).into());
        reader.hand(&one, Position::at(4));
        assert_eq!(reader.in_hand(&one), Some(Some(Position::at(4))));
        assert_eq!(reader.in_hand(&two), None);
        reader.forget(&two);
        reader.outdate(&two);
        assert_eq!(reader.in_hand(&one), Some(Some(Position::at(4))));
        reader.outdate(&one);
        assert_eq!(reader.in_hand(&one), Some(None));
        reader.arrive();
        assert_eq!(reader.in_hand(&one), None);
    }
}
