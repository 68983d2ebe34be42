//! The leader epochs of a partition's log: which epoch began at which offset.
//!
//! Owns the lookups of `OffsetForLeaderEpoch` and of the diverging epoch in Fetch (KIP-101, KIP-320).

/// `UNDEFINED_EPOCH` and `UNDEFINED_EPOCH_OFFSET` of the protocol.
pub(crate) const UNDEFINED: (i32, i64) = (-1, -1);

/// Epochs with their first offsets, both ascending.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeaderEpochs {
    entries: Vec<(i32, i64)>,
}

impl LeaderEpochs {
    /// Notes that `epoch` starts at `offset`; epochs that would begin at or behind it held no records.
    pub(crate) fn assign(&mut self, epoch: i32, offset: i64) {
        if self.latest().is_some_and(|latest| latest >= epoch) {
            return;
        }
        self.entries.retain(|&(_, start)| start < offset);
        self.entries.push((epoch, offset));
    }

    pub(crate) fn latest(&self) -> Option<i32> {
        self.entries.last().map(|&(epoch, _)| epoch)
    }

    /// The oldest epoch, if the log's start still lies in it.
    pub(crate) fn earliest(&self, log_start: i64) -> Option<i32> {
        self.entries
            .first()
            .filter(|&&(_, start)| start <= log_start)
            .map(|&(epoch, _)| epoch)
    }

    /// The end offset of the largest epoch not above `requested`, as (that epoch, end offset).
    pub(crate) fn end_offset_for(&self, requested: i32, log_end: i64) -> (i32, i64) {
        if requested == UNDEFINED.0 {
            return UNDEFINED;
        }
        if self.latest() == Some(requested) {
            return (requested, log_end);
        }
        let Some(higher) = self
            .entries
            .iter()
            .position(|&(epoch, _)| epoch > requested)
        else {
            return UNDEFINED;
        };
        let end = self.entries.get(higher).map_or(-1, |&(_, start)| start);
        match higher
            .checked_sub(1)
            .and_then(|floor| self.entries.get(floor))
        {
            Some(&(floor, _)) => (floor, end),
            None => (requested, end),
        }
    }

    /// Forgets what began at or behind `offset`: the log ends there now.
    pub(crate) fn truncate_from_end(&mut self, offset: i64) {
        self.entries.retain(|&(_, start)| start < offset);
    }

    /// Forgets epochs that ended before `offset`, the log's new start; the one in force there begins there.
    pub(crate) fn truncate_from_start(&mut self, offset: i64) {
        let in_force = self.entries.iter().rposition(|&(_, start)| start <= offset);
        if let Some(in_force) = in_force {
            self.entries.drain(..in_force);
            if let Some(first) = self.entries.first_mut() {
                first.1 = offset;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs() -> LeaderEpochs {
        let mut epochs = LeaderEpochs::default();
        for (epoch, start) in [(0, 0), (2, 10), (5, 30)] {
            epochs.assign(epoch, start);
        }
        epochs
    }

    #[test]
    fn end_offsets_follow_the_floor_epoch() {
        let epochs = epochs();
        assert_eq!(epochs.end_offset_for(0, 40), (0, 10));
        assert_eq!(epochs.end_offset_for(1, 40), (0, 10));
        assert_eq!(epochs.end_offset_for(2, 40), (2, 30));
        assert_eq!(epochs.end_offset_for(5, 40), (5, 40));
        assert_eq!(epochs.end_offset_for(6, 40), UNDEFINED);
        assert_eq!(epochs.end_offset_for(-1, 40), UNDEFINED);
    }

    #[test]
    fn an_epoch_without_records_is_replaced() {
        let mut epochs = epochs();
        epochs.assign(6, 30);
        assert_eq!(epochs.end_offset_for(5, 40), (2, 30));
        assert_eq!(epochs.end_offset_for(6, 40), (6, 40));
        epochs.assign(6, 35);
        assert_eq!(
            epochs.end_offset_for(2, 40),
            (2, 30),
            "an epoch is assigned once"
        );
    }

    #[test]
    fn truncation_at_both_ends() {
        let mut epochs = epochs();
        epochs.truncate_from_start(15);
        assert_eq!(epochs.earliest(15), Some(2));
        assert_eq!(epochs.end_offset_for(1, 40), (1, 15));
        epochs.truncate_from_end(30);
        assert_eq!(epochs.latest(), Some(2));
    }
}
