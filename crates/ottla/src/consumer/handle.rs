//! Everything that can be asked of a consumer besides records.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::{Arc, PoisonError};

use ottla_cluster::{NodeId, TopicPartition};
use ottla_codec::ErrorCode;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::assignment::not_assigned;
use super::config::IsolationLevel;
use super::group_offsets::{GroupOffsets, OffsetAndMetadata};
use super::lookups::{EARLIEST, LATEST, OffsetFound, OffsetQuery, list_offsets};
use super::metrics::ConsumerMetrics;
use super::positions::{Position, Start};
use super::reset::ResetTo;
use super::shared::{Shared, closed};
use crate::error::{Error, ErrorKind, Result};

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

/// The offset of the first record with a timestamp or a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct OffsetAndTimestamp {
    /// The record's offset.
    pub offset: i64,
    /// The record's timestamp in milliseconds since 1970.
    pub timestamp: i64,
    /// The leader epoch under which it was written (KIP-320), where known.
    pub leader_epoch: Option<i32>,
}

/// Controls a [`Consumer`](crate::Consumer), from any task.
///
/// Cheap to clone. It does not keep the consumer alive: once that is dropped, calls fail as
/// [closed](crate::ErrorKind::Closed).
#[derive(Debug, Clone)]
pub struct ConsumerHandle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) offsets: GroupOffsets,
}

impl ConsumerHandle {
    /// Assigns exactly these partitions, each starting where it says; a partition that was assigned
    /// before starts anew. Records of others are not handed out after this returns.
    ///
    /// # Errors
    ///
    /// The consumer is closed; a partition is negative; a committed position is asked for and there is no
    /// group id. A partition that does not exist is an error of
    /// [`Consumer::next`](crate::Consumer::next), because it may appear.
    pub fn assign(
        &self,
        partitions: impl IntoIterator<Item = (TopicPartition, StartFrom)>,
    ) -> Result<()> {
        let partitions = self.starts(partitions)?;
        self.change(|assignment| {
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
    /// The consumer is closed; a partition is not assigned (the others are taken out all the same).
    pub fn incremental_unassign<'a>(
        &self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
    ) -> Result<()> {
        self.change(|assignment| {
            let mut outcome = Ok(());
            for name in partitions {
                if !assignment.revoke(name) {
                    outcome = Err(not_assigned(name));
                }
            }
            outcome
        })
    }

    /// Takes all partitions out of the assignment.
    pub fn unassign(&self) {
        self.shared
            .with(|assignment| assignment.replace(BTreeMap::new()));
    }

    /// The assigned partitions.
    pub fn assignment(&self) -> BTreeSet<TopicPartition> {
        self.shared.with(|assignment| {
            assignment
                .partitions()
                .map(|(name, _)| name.clone())
                .collect()
        })
    }

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

    /// Stops handing out and fetching partitions. What is buffered of them stays, unless the room is
    /// needed for others.
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
        self.shared.with(|assignment| {
            let positions = assignment.partitions().filter_map(|(name, _)| {
                let position = assignment.position(name).ok()??;
                let committed = OffsetAndMetadata {
                    offset: position.offset,
                    leader_epoch: position.leader_epoch,
                    metadata: String::new(),
                };
                Some((name.clone(), committed))
            });
            positions.collect()
        })
    }

    /// How many records lie between a partition's position and the end of what can be read of its log, as
    /// far as answers to fetches have told; `None` before the first of them.
    pub fn lag(&self, partition: &TopicPartition) -> Option<i64> {
        self.shared
            .with(|assignment| self.lag_in(assignment, partition))
    }

    /// The first offset of each partition's log.
    ///
    /// # Errors
    ///
    /// An unknown topic or partition; access denied; a timeout after `default.api.timeout.ms`.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by a drop.
    pub async fn beginning_offsets(
        &self,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        let wanted = partitions.into_iter().map(|name| (name, EARLIEST));
        let found = self.look_up("finding beginning offsets", wanted).await?;
        Ok(offsets_of(found))
    }

    /// The offset behind the last record that can be read of each partition: under read_committed, the
    /// first record of an open transaction is such an end.
    ///
    /// # Errors
    ///
    /// An unknown topic or partition; access denied; a timeout after `default.api.timeout.ms`.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by a drop.
    pub async fn end_offsets(
        &self,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        let wanted = partitions.into_iter().map(|name| (name, LATEST));
        let found = self.look_up("finding end offsets", wanted).await?;
        Ok(offsets_of(found))
    }

    /// The first record of each partition with the given timestamp (milliseconds since 1970) or a later
    /// one; `None` where there is none.
    ///
    /// # Errors
    ///
    /// A negative timestamp; an unknown topic or partition; access denied; a timeout after
    /// `default.api.timeout.ms`.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by a drop.
    pub async fn offsets_for_times(
        &self,
        timestamps: impl IntoIterator<Item = (TopicPartition, i64)>,
    ) -> Result<BTreeMap<TopicPartition, Option<OffsetAndTimestamp>>> {
        let wanted: BTreeMap<_, _> = timestamps.into_iter().collect();
        if wanted.values().any(|&timestamp| timestamp < 0) {
            return Err(Error::invalid_argument("a timestamp is negative"));
        }
        let found = self.look_up("finding offsets for times", wanted).await?;
        let one = |(name, found): (TopicPartition, OffsetFound)| {
            let at = found.position.map(|position| OffsetAndTimestamp {
                offset: position.offset,
                timestamp: found.timestamp,
                leader_epoch: position.leader_epoch,
            });
            (name, at)
        };
        Ok(found.into_iter().map(one).collect())
    }

    /// The group's committed offsets; partitions without one are left out.
    ///
    /// # Errors
    ///
    /// There is no group id; access denied; a timeout after `default.api.timeout.ms`.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by a drop.
    pub async fn committed(
        &self,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, OffsetAndMetadata>> {
        self.needs_group()?;
        let partitions = partitions.into_iter().collect();
        self.offsets
            .committed(partitions, self.shared.api_deadline())
            .await
    }

    /// Commits offsets for the group: for each partition the offset of the next record to be read.
    ///
    /// Commits take effect in the order in which they were asked for. The group must have no members: a
    /// coordinator refuses commits from outside a group that has some.
    ///
    /// # Errors
    ///
    /// There is no group id; the coordinator refuses; a timeout after `default.api.timeout.ms`, and then
    /// the commit may have taken effect or not.
    ///
    /// # Cancel safety
    ///
    /// A commit that was begun goes on when the future is dropped; only its outcome is lost.
    pub async fn commit<O: Into<OffsetAndMetadata>>(
        &self,
        offsets: impl IntoIterator<Item = (TopicPartition, O)>,
    ) -> Result<()> {
        self.needs_group()?;
        let offsets: BTreeMap<_, OffsetAndMetadata> = offsets
            .into_iter()
            .map(|(name, at)| (name, at.into()))
            .collect();
        if offsets.values().any(|at| at.offset < 0) {
            return Err(Error::invalid_argument("an offset is negative"));
        }
        if offsets.is_empty() {
            return Ok(());
        }
        self.offsets
            .commit(offsets, self.shared.api_deadline())
            .await
    }

    /// Commits the [positions](Self::positions) of all assigned partitions, as they are now.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit).
    ///
    /// # Cancel safety
    ///
    /// As [`commit`](Self::commit).
    pub async fn commit_positions(&self) -> Result<()> {
        self.commit(self.positions()).await
    }

    /// What the consumer has done and holds, at this moment.
    pub fn metrics(&self) -> ConsumerMetrics {
        self.shared.with(|assignment| {
            let counters = assignment.counters();
            let lags = assignment.partitions().filter_map(|(name, _)| {
                let lag = self.lag_in(assignment, name)?;
                Some((name.clone(), lag))
            });
            ConsumerMetrics {
                records: counters.records,
                batches: counters.batches,
                bytes: counters.bytes,
                fetches: counters.fetches,
                empty_fetches: counters.empty_fetches,
                resets: counters.resets,
                truncations: counters.truncations,
                buffered_bytes: assignment.buffered_bytes(),
                memory_used: self.shared.budget.used(),
                memory_limit: self.shared.budget.capacity(),
                lag: lags.collect(),
            }
        })
    }

    /// Ends the consumer: its reader gets `None`, background work stops.
    pub fn shut_down(&self) {
        self.shared.shutdown.cancel();
        self.shared.with(super::assignment::Assignment::close);
    }

    fn lag_in(
        &self,
        assignment: &super::assignment::Assignment,
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

    fn change<T>(
        &self,
        change: impl FnOnce(&mut super::assignment::Assignment) -> Result<T>,
    ) -> Result<T> {
        self.shared.with(|assignment| {
            if assignment.is_closed() {
                return Err(closed());
            }
            change(assignment)
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

    fn start(&self, from: StartFrom) -> Result<Start> {
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
                self.needs_group()?;
                Start::Committed
            }
        })
    }

    fn needs_group(&self) -> Result<()> {
        match self.shared.config.group_id {
            Some(_) => Ok(()),
            None => Err(ErrorKind::InvalidConfig {
                property: "group.id".to_owned(),
                reason: "offsets are committed for a group, and none is set".to_owned(),
            }
            .into()),
        }
    }

    /// Asks partitions' leaders for offsets until all of them have answered.
    async fn look_up(
        &self,
        operation: &'static str,
        wanted: impl IntoIterator<Item = (TopicPartition, i64)>,
    ) -> Result<BTreeMap<TopicPartition, OffsetFound>> {
        let wanted: BTreeMap<TopicPartition, i64> = wanted.into_iter().collect();
        let deadline = self.shared.api_deadline();
        let core = &self.shared.core;
        let topics: BTreeSet<_> = wanted.keys().map(|name| name.topic.clone()).collect();
        let held: Vec<_> = topics
            .iter()
            .map(|topic| core.metadata.hold(topic))
            .collect();
        for topic in &topics {
            let topic = core.metadata.topic(topic, deadline).await?;
            let count = topic.partitions().len();
            let own = wanted.keys().filter(|name| *name.topic == **topic.name());
            for name in own {
                if topic.partition(name.partition).is_none() {
                    return Err(ErrorKind::UnknownPartition {
                        topic: name.topic.to_string(),
                        partition: name.partition,
                        count,
                    }
                    .into());
                }
            }
        }
        let found = Mutex::new(BTreeMap::new());
        core.retrying(operation, deadline, || {
            self.look_up_missing(&wanted, &found, deadline)
        })
        .await?;
        drop(held);
        Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// One round: asks for everything that is still missing, each leader once.
    async fn look_up_missing(
        &self,
        wanted: &BTreeMap<TopicPartition, i64>,
        found: &Mutex<BTreeMap<TopicPartition, OffsetFound>>,
        deadline: Instant,
    ) -> Result<()> {
        let core = &self.shared.core;
        let cluster = core.metadata.cluster();
        let mut failure = None;
        let mut by_leader: BTreeMap<NodeId, Vec<OffsetQuery>> = BTreeMap::new();
        {
            let found = found.lock().unwrap_or_else(PoisonError::into_inner);
            let missing = wanted.iter().filter(|(name, _)| !found.contains_key(name));
            for (name, &timestamp) in missing {
                let Some((leader, leader_epoch)) = cluster.leader(name) else {
                    failure = Some(refused(ErrorCode::LeaderNotAvailable, name));
                    continue;
                };
                by_leader.entry(leader).or_default().push(OffsetQuery {
                    partition: name.clone(),
                    leader_epoch,
                    timestamp,
                });
            }
        }
        let read_committed = self.shared.config.isolation_level == IsolationLevel::ReadCommitted;
        let deadline = deadline.min(self.shared.request_deadline());
        let mut asks = JoinSet::new();
        for (leader, queries) in by_leader {
            let core = core.clone();
            asks.spawn(async move {
                let answer = list_offsets(&core, leader, &queries, read_committed, deadline).await;
                (queries, answer)
            });
        }
        while let Some(asked) = asks.join_next().await {
            // A panic in there is a bug of ours, and shows as a missing answer.
            let Ok((queries, answer)) = asked else {
                continue;
            };
            let mut answers = match answer {
                Ok(answers) => answers,
                Err(error) => {
                    failure = Some(error);
                    continue;
                }
            };
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            for query in queries {
                match answers.remove(&query.partition) {
                    Some(Ok(offset)) => {
                        found.insert(query.partition, offset);
                    }
                    Some(Err(code)) => failure = Some(refused(code, &query.partition)),
                    None => {
                        failure = Some(refused(ErrorCode::UnknownServerError, &query.partition));
                    }
                }
            }
        }
        failure.map_or(Ok(()), Err)
    }
}

fn refused(code: ErrorCode, partition: &TopicPartition) -> Error {
    Error::broker("ListOffsets", code, Some(partition.clone()))
}

fn offsets_of(found: BTreeMap<TopicPartition, OffsetFound>) -> BTreeMap<TopicPartition, i64> {
    let one = |(name, found): (TopicPartition, OffsetFound)| {
        (name, found.position.map_or(0, |position| position.offset))
    };
    found.into_iter().map(one).collect()
}
