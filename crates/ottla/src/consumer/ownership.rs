//! What a group does to an assignment: partitions that come in steps and go in steps, and commits that
//! are good for one time of owning a partition only.
//!
//! A revoked partition is first *retired*: nothing more of it is handed out or fetched, while its position
//! can still be asked for and committed. A new one may be *held* until whoever listens has said that its
//! records may come.
//!
//! Knows nothing of requests; the group's task asks and tells.

use std::collections::BTreeMap;

use ottla_cluster::TopicPartition;
use ottla_coordinator::membership::Identity;
use tokio::time::Instant;

use super::assignment::{Assignment, not_assigned, recreated};
use super::offsets::Offsets;
use super::partition::{Partition, Tenure};
use super::positions::{Generation, Start};
use super::standing::Mode;
use crate::error::Error;

/// The right to commit certain partitions' offsets, as it was when the commit was asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claim {
    /// Whether the consumer was a member of its group, or wanted to be.
    as_member: bool,
    /// Under which ownership each partition was held.
    owned: BTreeMap<TopicPartition, Generation>,
    /// If it is the consumer's own positions that are committed, how often each had been given up by then.
    resets: BTreeMap<TopicPartition, u64>,
}

/// Whether a commit may be sent now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Clearance {
    /// As this member; as nobody's, if there is none.
    Granted(Option<Identity>),
    /// Not yet: a generation is just beginning.
    Wait,
    /// Never: this partition has been given up since.
    Ended(TopicPartition),
}

impl Assignment {
    /// Takes in partitions that the group has assigned. With a listener they are held back until they are
    /// [opened](Self::open). Nobody can mean them before the listener, or the reader that is busy with what it
    /// had before, has had word of them: see [`claim`](Self::claim). Returns them with the number of this
    /// ownership.
    pub(crate) fn adopt(
        &mut self,
        partitions: impl IntoIterator<Item = TopicPartition>,
        has_listener: bool,
    ) -> Vec<(TopicPartition, Generation)> {
        let is_known = !has_listener && !self.presence.is_elsewhere();
        self.standing.has_unknown |= !is_known;
        let adopt = |name: TopicPartition| {
            self.add(name.clone(), Start::Committed);
            let found = self.positions.partition_mut(&name)?;
            found.set_known(is_known);
            if has_listener {
                found.set_tenure(Tenure::Held);
            }
            Some((name, found.ownership()))
        };
        partitions.into_iter().filter_map(adopt).collect()
    }

    /// The listener has heard of these partitions.
    pub(crate) fn make_known(&mut self, owned: &[(TopicPartition, Generation)]) {
        for (name, ownership) in owned {
            if let Some(found) = self.owned_mut(name, *ownership) {
                found.set_known(true);
            }
        }
    }

    /// Whoever listens is ready for the records of these partitions, under that ownership.
    pub(crate) fn open(&mut self, owned: &[(TopicPartition, Generation)]) {
        self.make_known(owned);
        for (name, ownership) in owned {
            if let Some(found) = self.owned_mut(name, *ownership)
                && found.tenure() == Tenure::Held
            {
                found.set_tenure(Tenure::Active);
            }
        }
        self.wake_work();
        self.wake_reader();
    }

    fn owned_mut(
        &mut self,
        name: &TopicPartition,
        ownership: Generation,
    ) -> Option<&mut Partition> {
        let found = self.positions.partition_mut(name);
        found.filter(|found| found.ownership() == ownership)
    }

    /// Stops handing out and fetching these partitions; everything else that concerns them goes on until
    /// they are [revoked](Self::revoke). Records that wait are dropped.
    ///
    /// The reader has not called since, unless it waits in a call already.
    pub(crate) fn retire<'a>(&mut self, partitions: impl IntoIterator<Item = &'a TopicPartition>) {
        for name in partitions {
            self.rewind(name);
            if let Some(found) = self.positions.partition_mut(name) {
                found.set_tenure(Tenure::Retiring);
            }
        }
        // The rest of another partition's batch can wait; the word of its reader cannot.
        self.interrupt_streams();
        self.standing.waits_for_reader = self.presence.is_elsewhere();
        self.wake_work();
    }

    /// Whether the reader has called since the last [`retire`](Self::retire).
    pub(crate) fn reader_has_called(&self) -> bool {
        !self.standing.waits_for_reader
    }

    /// The reader asks for records.
    pub(crate) fn attend(&mut self) {
        self.presence.arrive();
        if self.standing.attend() {
            self.wake_group();
        }
        if std::mem::take(&mut self.standing.has_unknown) {
            for found in self.positions.partitions_mut() {
                // The others are the listener's.
                if found.tenure() == Tenure::Active {
                    found.set_known(true);
                }
            }
        }
    }

    /// From now on a reader is expected.
    pub(crate) fn expect_reader(&mut self, now: Instant) {
        self.presence.expect(now);
    }

    /// The reader's call was given up before there was anything for it.
    pub(crate) fn abandon(&mut self, now: Instant) {
        self.presence.abandon(now);
    }

    /// Since when the reader has been away; `None` while it is not.
    pub(crate) fn away_since(&mut self, now: Instant) -> Option<Instant> {
        let streamed = self.streamed();
        self.presence.away_since(streamed, now)
    }

    /// The right to commit these partitions.
    ///
    /// # Errors
    ///
    /// The group assigns this consumer's partitions, and one of these is not among them; or a topic was
    /// created again and the caller has not sought since.
    pub(crate) fn claim(&self, offsets: &Offsets) -> Result<Claim, Error> {
        let as_member = self.standing.mode() == Mode::Subscribed;
        let mut owned = BTreeMap::new();
        for name in offsets.keys() {
            // Who has had no word of it yet cannot mean it, but is late with what it had before.
            match self
                .positions
                .partition(name)
                .filter(|found| found.is_known())
            {
                // Whatever the caller read, it was not in this topic.
                Some(found) if found.is_outlived() => return Err(recreated(name)),
                Some(found) => {
                    owned.insert(name.clone(), found.ownership());
                }
                None if as_member => return Err(not_assigned(name)),
                None => {}
            }
        }
        Ok(Claim {
            as_member,
            owned,
            resets: BTreeMap::new(),
        })
    }

    /// The right to commit these partitions at their own positions, as long as they are not given up.
    ///
    /// # Errors
    ///
    /// As [`claim`](Self::claim).
    pub(crate) fn claim_positions(&self, positions: &Offsets) -> Result<Claim, Error> {
        let resets = positions.keys().filter_map(|name| {
            let found = self.positions.partition(name)?;
            Some((name.clone(), found.resets()))
        });
        Ok(Claim {
            resets: resets.collect(),
            ..self.claim(positions)?
        })
    }

    /// What is left to commit: positions that were given up since are not.
    pub(crate) fn still_true(&self, claim: &Claim, offsets: &Offsets) -> Offsets {
        let is_true = |name: &TopicPartition| {
            let found = self.positions.partition(name).map(Partition::resets);
            let then = claim.resets.get(name);
            found.is_none_or(|now| then.is_none_or(|&then| then == now))
        };
        let left = offsets.iter().filter(|(name, _)| is_true(name));
        left.map(|(name, offset)| (name.clone(), offset.clone()))
            .collect()
    }

    /// Whether a commit may be sent now, and as whom.
    pub(crate) fn clear(&self, claim: &Claim) -> Clearance {
        if !claim.as_member {
            return Clearance::Granted(None);
        }
        let ended = claim.owned.iter().find(|(name, ownership)| {
            let found = self.positions.partition(name);
            found.is_none_or(|found| found.ownership() != **ownership)
        });
        match (ended, &self.standing.health.identity) {
            (Some((name, _)), _) => Clearance::Ended(name.clone()),
            (None, Some(identity)) if !self.standing.commits_wait => {
                Clearance::Granted(Some(identity.clone()))
            }
            (None, _) => Clearance::Wait,
        }
    }

    /// These offsets were committed.
    pub(crate) fn note_committed(&mut self, claim: &Claim, offsets: &Offsets) {
        for (name, offset) in offsets {
            if let Some(found) = self.positions.partition_mut(name)
                && claim.owned.get(name) == Some(&found.ownership())
            {
                found.set_committed(offset.offset);
            }
        }
    }

    /// What the caller has come back from and is not committed yet, of the partitions that `wanted` names.
    pub(crate) fn uncommitted(&self, wanted: impl Fn(&TopicPartition) -> bool) -> Offsets {
        let partitions = self
            .positions
            .iter()
            .filter(|(name, found)| found.has_begun() && wanted(name));
        partitions
            .filter_map(|(name, found)| {
                let returned = self.returned(name)?;
                let handed_out = self.position(name).ok()??.offset;
                // What the caller has committed itself it is done with, even while it holds the batch.
                let is_done = |at| (returned.offset..=handed_out).contains(&at);
                (!found.committed().is_some_and(is_done)).then(|| (name.clone(), returned.into()))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
