//! Assigning partitions by hand.

use std::collections::{BTreeMap, BTreeSet};

use ottla_cluster::TopicPartition;

use super::ConsumerHandle;
use crate::consumer::assignment::not_assigned;
use crate::consumer::positions::{Position, Start};
use crate::consumer::reset::ResetTo;
use crate::consumer::standing::Mode;
use crate::error::{Error, Result};

/// Where to begin reading a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartFrom {
    /// At the log's first record.
    Beginning,
    /// Behind the log's last record, as it is when the partition's leader is asked.
    End,
    /// At this offset.
    Offset(i64),
    /// At the first record with this timestamp (milliseconds since 1970) or a later one; behind the last
    /// record if there is none.
    Timestamp(i64),
    /// Where the group has committed; if it has not, where the reset policy says. Needs a group id.
    Committed,
}

impl ConsumerHandle {
    /// Assigns exactly these partitions, each starting where it says; a partition that was assigned
    /// before starts anew. Records of others are not handed out after this returns.
    ///
    /// # Errors
    ///
    /// The consumer is closed, or [subscribed](Self::subscribe); a partition is negative; a committed position is asked for and there is no
    /// group id. A partition that does not exist is an error of
    /// [`Consumer::next`](crate::Consumer::next), because it may appear.
    pub fn assign(
        &self,
        partitions: impl IntoIterator<Item = (TopicPartition, StartFrom)>,
    ) -> Result<()> {
        let partitions = self.starts(partitions)?;
        self.change(|assignment| {
            assignment.standing.enter(Mode::Assigned)?;
            assignment.replace(partitions);
            Ok(())
        })
    }

    /// Assigns these partitions beside those that are assigned already.
    ///
    /// # Errors
    ///
    /// As [`assign`](Self::assign).
    pub fn incremental_assign(
        &self,
        partitions: impl IntoIterator<Item = (TopicPartition, StartFrom)>,
    ) -> Result<()> {
        let partitions = self.starts(partitions)?;
        self.change(|assignment| {
            assignment.standing.enter(Mode::Assigned)?;
            for (name, start) in partitions {
                assignment.add(name, start);
            }
            Ok(())
        })
    }

    /// Takes these partitions out of the assignment. Records of them are not handed out after this
    /// returns.
    ///
    /// # Errors
    ///
    /// The consumer is closed, or subscribed; a partition is not assigned (the others are taken out all the same).
    pub fn incremental_unassign<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) -> Result<()> {
        self.change(|assignment| {
            assignment.standing.enter(Mode::Assigned)?;
            let mut outcome = Ok(());
            for name in partitions {
                if !assignment.revoke(name) {
                    outcome = Err(not_assigned(name));
                }
            }
            outcome
        })
    }

    /// Takes all partitions out of the assignment. Those of a group are the group's: nothing happens to them.
    pub fn unassign(&self) {
        self.shared.with(|assignment| {
            if assignment.standing.mode() == Mode::Assigned {
                assignment.replace(BTreeMap::new());
                assignment.standing.reset();
            }
        });
    }

    /// The assigned partitions, with those that the group has revoked and that are not given up yet.
    pub fn assignment(&self) -> BTreeSet<TopicPartition> {
        self.shared.with(|assignment| {
            assignment
                .partitions()
                .map(|(name, _)| name.clone())
                .collect()
        })
    }

    fn starts(
        &self,
        partitions: impl IntoIterator<Item = (TopicPartition, StartFrom)>,
    ) -> Result<BTreeMap<TopicPartition, Start>> {
        partitions
            .into_iter()
            .map(|(name, from)| {
                if name.partition < 0 {
                    return Err(Error::invalid_argument(format!(
                        "partition {} is negative",
                        name.partition
                    )));
                }
                Ok((name, self.start(from)?))
            })
            .collect()
    }

    pub(super) fn start(&self, from: StartFrom) -> Result<Start> {
        Ok(match from {
            StartFrom::Beginning => Start::Reset(ResetTo::Earliest),
            StartFrom::End => Start::Reset(ResetTo::Latest),
            StartFrom::Offset(offset) if offset < 0 => {
                return Err(Error::invalid_argument(format!(
                    "offset {offset} is negative"
                )));
            }
            StartFrom::Offset(offset) => Start::At(Position::at(offset)),
            StartFrom::Timestamp(timestamp) if timestamp < 0 => {
                return Err(Error::invalid_argument(format!(
                    "timestamp {timestamp} is negative"
                )));
            }
            StartFrom::Timestamp(timestamp) => Start::Reset(ResetTo::Timestamp(timestamp)),
            StartFrom::Committed => {
                self.coordinator.group()?;
                Start::Committed
            }
        })
    }
}
