//! Questions to partitions' leaders: which offset belongs to a timestamp, and where an epoch ends.
//!
//! Owns the two requests, for many partitions of one broker at a time, and the reading of their answers.
//! What an answer means for a position is decided elsewhere.
//!
//! # References
//! - KIP-79, KIP-207: ListOffsets
//! - KIP-320: OffsetForLeaderEpoch

use std::collections::BTreeMap;

use ottla_cluster::{NodeId, TopicPartition};
use ottla_codec::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use ottla_codec::messages::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use ottla_codec::{ErrorCode, Message, VersionRange};
use ottla_connection::ConnectionGroup;
use tokio::time::Instant;

use super::answers::{EpochEnd, position};
use super::positions::Position;
use super::reset::ResetTo;
use crate::client::{Core, Target};
use crate::error::{Error, Result};

/// ListOffsets' timestamp that stands for the end of the log.
pub(crate) const LATEST: i64 = -1;
/// ListOffsets' timestamp that stands for the log's first offset.
pub(crate) const EARLIEST: i64 = -2;

/// From this version on, ListOffsets knows isolation levels.
const ISOLATION: i16 = 2;
/// Below this version, OffsetForLeaderEpoch takes rights on the whole cluster, which consumers seldom have.
const CONSUMERS_MAY_ASK: i16 = 3;
/// The replica id of a consumer.
const CONSUMER: i32 = -1;

/// An offset to look up at a leader.
#[derive(Debug, Clone)]
pub(crate) struct OffsetQuery {
    pub(crate) partition: TopicPartition,
    /// The leader epoch the asker believes in.
    pub(crate) leader_epoch: Option<i32>,
    pub(crate) timestamp: i64,
}

/// What a leader says to an [`OffsetQuery`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OffsetFound {
    /// Nothing if no record has that timestamp or a later one.
    pub(crate) position: Option<Position>,
    /// The timestamp of the record found, if the question was for one.
    pub(crate) timestamp: i64,
}

/// Answers by partition; a partition that the answer leaves out is missing here too.
pub(crate) type Found<T> = BTreeMap<TopicPartition, std::result::Result<T, ErrorCode>>;

impl ResetTo {
    /// How ListOffsets puts it.
    pub(crate) fn timestamp(self) -> i64 {
        match self {
            Self::Earliest => EARLIEST,
            Self::Latest => LATEST,
            Self::Timestamp(timestamp) => timestamp,
        }
    }
}

/// Asks one broker for offsets of partitions it leads.
pub(crate) async fn list_offsets(
    core: &Core,
    group: ConnectionGroup,
    leader: NodeId,
    queries: &[OffsetQuery],
    read_committed: bool,
    deadline: Instant,
) -> Result<Found<OffsetFound>> {
    let connection = Target::Node(leader.0)
        .connection(&core.pool, group, deadline)
        .await?;
    // Without isolation levels the end would be another one than asked for.
    let own = VersionRange {
        min: match read_committed {
            true => ISOLATION,
            false => ListOffsetsRequest::VERSIONS.min,
        },
        ..ListOffsetsRequest::VERSIONS
    };
    let picked = connection.versions().pick::<ListOffsetsRequest>(own);
    let version = picked.map_err(|error| match read_committed {
        true => Error::unsupported("read_committed", &error),
        false => error.into(),
    })?;
    let mut topics: Vec<ListOffsetsTopic> = Vec::new();
    for query in queries {
        let partition = ListOffsetsPartition {
            partition_index: query.partition.partition,
            current_leader_epoch: query.leader_epoch.unwrap_or(-1),
            timestamp: query.timestamp,
            ..ListOffsetsPartition::default()
        };
        match topics.last_mut() {
            Some(topic) if *topic.name == *query.partition.topic => {
                topic.partitions.push(partition);
            }
            _ => topics.push(ListOffsetsTopic {
                name: query.partition.topic.to_string(),
                partitions: vec![partition],
                ..ListOffsetsTopic::default()
            }),
        }
    }
    let timeout = deadline.saturating_duration_since(Instant::now());
    let request = ListOffsetsRequest {
        replica_id: CONSUMER,
        isolation_level: i8::from(read_committed),
        topics,
        timeout_ms: i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX),
        ..ListOffsetsRequest::default()
    };
    let response = connection.request(&request, version, deadline).await?;
    let mut found = BTreeMap::new();
    for topic in response.topics {
        for answer in topic.partitions {
            let partition = TopicPartition::new(topic.name.as_str(), answer.partition_index);
            let outcome = match ErrorCode::from_code(answer.error_code) {
                ErrorCode::None => Ok(OffsetFound {
                    position: position(answer.offset, answer.leader_epoch),
                    timestamp: answer.timestamp,
                }),
                code => Err(code),
            };
            found.insert(partition, outcome);
        }
    }
    Ok(found)
}

/// An epoch to look up at a leader.
#[derive(Debug, Clone)]
pub(crate) struct EpochQuery {
    pub(crate) partition: TopicPartition,
    /// The leader epoch the asker believes in.
    pub(crate) leader_epoch: Option<i32>,
    /// The epoch whose end is asked for.
    pub(crate) epoch: i32,
}

/// Asks one broker where epochs end in partitions it leads; `None` if it cannot be asked that.
pub(crate) async fn epoch_ends(
    core: &Core,
    group: ConnectionGroup,
    leader: NodeId,
    queries: &[EpochQuery],
    deadline: Instant,
) -> Result<Option<Found<EpochEnd>>> {
    let connection = Target::Node(leader.0)
        .connection(&core.pool, group, deadline)
        .await?;
    let own = OffsetForLeaderEpochRequest::VERSIONS;
    let versions = connection.versions();
    let Ok(version) = versions.pick::<OffsetForLeaderEpochRequest>(own) else {
        return Ok(None);
    };
    let mut topics: Vec<OffsetForLeaderTopic> = Vec::new();
    for query in queries {
        let partition = OffsetForLeaderPartition {
            partition: query.partition.partition,
            current_leader_epoch: query.leader_epoch.unwrap_or(-1),
            leader_epoch: query.epoch,
            ..OffsetForLeaderPartition::default()
        };
        match topics.last_mut() {
            Some(topic) if *topic.topic == *query.partition.topic => {
                topic.partitions.push(partition);
            }
            _ => topics.push(OffsetForLeaderTopic {
                topic: query.partition.topic.to_string(),
                partitions: vec![partition],
                ..OffsetForLeaderTopic::default()
            }),
        }
    }
    let request = OffsetForLeaderEpochRequest {
        replica_id: CONSUMER,
        topics,
        ..OffsetForLeaderEpochRequest::default()
    };
    let response = connection.request(&request, version, deadline).await?;
    let mut found = BTreeMap::new();
    for topic in response.topics {
        for answer in topic.partitions {
            let partition = TopicPartition::new(topic.topic.as_str(), answer.partition);
            let outcome = match ErrorCode::from_code(answer.error_code) {
                ErrorCode::None => Ok(position(answer.end_offset, answer.leader_epoch)),
                ErrorCode::ClusterAuthorizationFailed if version < CONSUMERS_MAY_ASK => {
                    return Ok(None);
                }
                code => Err(code),
            };
            found.insert(partition, outcome);
        }
    }
    Ok(Some(found))
}
