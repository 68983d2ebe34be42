//! Where partitions stand: moving them, stopping them, asking for it.

use std::collections::{BTreeMap, BTreeSet};

use ottla_cluster::TopicPartition;

use super::{ConsumerHandle, StartFrom};
use crate::consumer::assignment::Assignment;
use crate::consumer::config::IsolationLevel;
use crate::consumer::offsets::{OffsetAndMetadata, Offsets};
use crate::consumer::partition::Partition;
use crate::consumer::positions::Start;
use crate::consumer::reset::ResetTo;
use crate::error::Result;

impl ConsumerHandle {
    /// Moves a partition's position. Records from before the seek are not handed out after this returns,
    /// and what failed there is forgotten.
    ///
    /// # Errors
    ///
    /// The consumer is closed; the partition is not assigned; the offset is negative.
    pub fn seek(&self, partition: &TopicPartition, offset: i64) -> Result<()> {
        self.seek_to(partition, StartFrom::Offset(offset))
    }

    /// Moves a partition's position to where `to` says.
    ///
    /// # Errors
    ///
    /// As [`seek`](Self::seek); and a committed position is asked for and there is no group id.
    pub fn seek_to(&self, partition: &TopicPartition, to: StartFrom) -> Result<()> {
        let start = self.start(to)?;
        self.change(|assignment| assignment.seek(partition, start))
    }

    /// Moves partitions to the first record of their logs; the broker is asked in the background.
    ///
    /// # Errors
    ///
    /// As [`seek`](Self::seek), at the first partition that cannot be moved.
    pub fn seek_to_beginning<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) -> Result<()> {
        self.change(|assignment| {
            let mut partitions = partitions.into_iter();
            partitions.try_for_each(|name| assignment.seek(name, Start::Reset(ResetTo::Earliest)))
        })
    }

    /// Moves partitions behind the last record of their logs; the broker is asked in the background.
    ///
    /// # Errors
    ///
    /// As [`seek`](Self::seek), at the first partition that cannot be moved.
    pub fn seek_to_end<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) -> Result<()> {
        self.change(|assignment| {
            let mut partitions = partitions.into_iter();
            partitions.try_for_each(|name| assignment.seek(name, Start::Reset(ResetTo::Latest)))
        })
    }

    /// Stops handing out and fetching partitions. What is buffered of them stays, and what is on its way
    /// still comes to that, unless the room is needed for others.
    ///
    /// # Errors
    ///
    /// The consumer is closed; a partition is not assigned.
    pub fn pause<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) -> Result<()> {
        self.set_paused(partitions, true)
    }

    /// Goes on with paused partitions.
    ///
    /// # Errors
    ///
    /// The consumer is closed; a partition is not assigned.
    pub fn resume<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) -> Result<()> {
        self.set_paused(partitions, false)
    }

    /// The paused partitions.
    pub fn paused(&self) -> BTreeSet<TopicPartition> {
        self.shared.with(|assignment| {
            let paused = assignment
                .partitions()
                .filter(|(_, found)| found.is_paused());
            paused.map(|(name, _)| name.clone()).collect()
        })
    }

    /// The offset of the next record to be handed out. Waits while the position is not known, because
    /// the group's committed offset or the outcome of a reset is still to come.
    ///
    /// # Errors
    ///
    /// The consumer is closed; the partition is not assigned; the position is not known within
    /// `default.api.timeout.ms`.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by a drop.
    pub async fn position(&self, partition: &TopicPartition) -> Result<i64> {
        let timeout = self.shared.config.api_timeout;
        self.shared
            .wait_for("finding a position", timeout, |assignment| {
                let position = assignment.position(partition)?;
                Ok(position.map(|position| position.offset))
            })
            .await
    }

    /// The positions of all assigned partitions that have one, as they would be committed. A partition
    /// whose position is being reset has none.
    pub fn positions(&self) -> BTreeMap<TopicPartition, OffsetAndMetadata> {
        self.shared
            .with(|assignment| positions(assignment, |_| true))
    }

    /// How many records lie between a partition's position and the end of what can be read of its log, as
    /// far as answers to fetches have told; `None` before the first of them.
    pub fn lag(&self, partition: &TopicPartition) -> Option<i64> {
        self.shared
            .with(|assignment| self.lag_in(assignment, partition))
    }

    pub(super) fn lag_in(
        &self,
        assignment: &Assignment,
        partition: &TopicPartition,
    ) -> Option<i64> {
        let position = assignment.position(partition).ok()??;
        let log = assignment.log(partition)?;
        let end = match self.shared.config.isolation_level {
            IsolationLevel::ReadUncommitted => log.high_watermark,
            IsolationLevel::ReadCommitted => log.last_stable,
        };
        Some(end?.saturating_sub(position.offset).max(0))
    }

    fn set_paused<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
        paused: bool,
    ) -> Result<()> {
        self.change(|assignment| {
            let mut partitions = partitions.into_iter();
            partitions.try_for_each(|name| assignment.set_paused(name, paused))
        })
    }
}

/// The positions of all partitions that have one, and that are wanted.
pub(super) fn positions(assignment: &Assignment, wanted: impl Fn(&Partition) -> bool) -> Offsets {
    let positions = assignment.partitions().filter_map(|(name, found)| {
        let position = assignment.position(name).ok()?.filter(|_| wanted(found))?;
        Some((name.clone(), position.into()))
    });
    positions.collect()
}
