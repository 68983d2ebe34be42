//! Asking partitions' leaders for offsets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use ottla_cluster::{NodeId, TopicPartition};
use ottla_codec::ErrorCode;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::ConsumerHandle;
use crate::consumer::config::IsolationLevel;
use crate::consumer::lookups::{EARLIEST, LATEST, OffsetFound, OffsetQuery, list_offsets};
use crate::error::{Error, ErrorKind, Result};

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

impl ConsumerHandle {
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
            let (core, group) = (core.clone(), self.shared.look_ups());
            asks.spawn(async move {
                let answer =
                    list_offsets(&core, group, leader, &queries, read_committed, deadline).await;
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
