//! ListOffsets: where a log begins and ends, and what lies where in time.
//!
//! # References
//! - KIP-79 (by timestamp), KIP-734 (largest timestamp), KIP-405 (tiered offsets: there is no tier here)

use std::collections::BTreeSet;

use ottla_codec::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse,
};
use ottla_codec::{ErrorCode, Uuid};

use super::Outcome;
use crate::log::{by_timestamp, largest_timestamp};
use crate::state::{RequestContext, State};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const LARGEST_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// (timestamp, offset, leader epoch); -1 each when nothing was found.
type Answer = (i64, i64, i32);

const NOTHING: Answer = (-1, -1, -1);

pub(super) fn handle(
    state: &mut State,
    context: &RequestContext,
    request: ListOffsetsRequest,
) -> Outcome {
    let mut asked: Vec<(&str, i32)> = request
        .topics
        .iter()
        .flat_map(|topic| {
            topic
                .partitions
                .iter()
                .map(|partition| (topic.name.as_str(), partition.partition_index))
        })
        .collect();
    asked.sort_unstable();
    let repeated = |topic: &str, partition| {
        let from = asked.partition_point(|&entry| entry < (topic, partition));
        asked.get(from + 1) == Some(&(topic, partition))
    };
    let topics = request.topics.iter().map(|topic| {
        // A partition that is asked for twice is refused once.
        let mut seen = BTreeSet::new();
        let asked_once = topic.partitions.iter();
        let asked_once = asked_once.filter(|partition| seen.insert(partition.partition_index));
        let partitions = asked_once.map(|partition| {
            let answer = if repeated(&topic.name, partition.partition_index) {
                Err(ErrorCode::InvalidRequest)
            } else {
                look_up(
                    state,
                    context,
                    &topic.name,
                    partition,
                    (request.replica_id, request.isolation_level),
                )
            };
            response(context, partition.partition_index, answer)
        });
        ListOffsetsTopicResponse {
            name: topic.name.clone(),
            partitions: partitions.collect(),
            ..Default::default()
        }
    });
    Outcome::respond(ListOffsetsResponse {
        topics: topics.collect(),
        ..Default::default()
    })
}

fn look_up(
    state: &State,
    context: &RequestContext,
    topic: &str,
    asked: &ListOffsetsPartition,
    (replica_id, isolation_level): (i32, i8),
) -> Result<Answer, ErrorCode> {
    if !is_supported(asked.timestamp, context.version) {
        return Err(ErrorCode::UnsupportedVersion);
    }
    let topic = state.resolve_topic(topic, Uuid::ZERO)?;
    let partition = topic
        .partition(asked.partition_index)
        .ok_or(ErrorCode::UnknownTopicOrPartition)?;
    // -2 is the debugging replica, which may ask followers.
    partition.check_read(context.broker, asked.current_leader_epoch, replica_id != -2)?;
    let log = &partition.log;
    let is_client = replica_id == -1;
    let last_fetchable = match (is_client, isolation_level) {
        (false, _) => log.log_end,
        (true, 1) => log.last_stable_offset(),
        (true, _) => log.high_watermark(),
    };
    // A new leader does not know yet how much of the log is replicated.
    let available = !is_client || partition.epoch_start <= log.high_watermark();
    let unavailable = if context.version >= 5 {
        ErrorCode::OffsetNotAvailable
    } else {
        ErrorCode::LeaderNotAvailable
    };
    let found = match asked.timestamp {
        LATEST if available => return Ok((-1, last_fetchable, partition.leader_epoch)),
        LATEST => return Err(unavailable),
        EARLIEST | EARLIEST_LOCAL => {
            return Ok((
                -1,
                log.log_start,
                log.epochs.earliest(log.log_start).unwrap_or(-1),
            ));
        }
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => return Ok(NOTHING),
        LARGEST_TIMESTAMP => largest_timestamp(log),
        timestamp => by_timestamp(log, timestamp),
    };
    match found {
        Some(found) if found.offset < last_fetchable => {
            Ok((found.timestamp, found.offset, found.leader_epoch))
        }
        _ if available => Ok(NOTHING),
        _ => Err(unavailable),
    }
}

fn is_supported(timestamp: i64, version: i16) -> bool {
    match timestamp {
        LARGEST_TIMESTAMP => version >= 7,
        EARLIEST_LOCAL => version >= 8,
        LATEST_TIERED => version >= 9,
        EARLIEST_PENDING_UPLOAD => version >= 11,
        other => other >= EARLIEST,
    }
}

fn response(
    context: &RequestContext,
    partition_index: i32,
    answer: Result<Answer, ErrorCode>,
) -> ListOffsetsPartitionResponse {
    let error_code = answer.err().unwrap_or(ErrorCode::None).code();
    let (timestamp, offset, leader_epoch) = answer.unwrap_or(NOTHING);
    let leader_epoch = if context.version >= 4 {
        leader_epoch
    } else {
        -1
    };
    ListOffsetsPartitionResponse {
        partition_index,
        error_code,
        timestamp,
        offset,
        leader_epoch,
        ..Default::default()
    }
}
