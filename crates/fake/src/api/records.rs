//! DeleteRecords: moves log starts forward.
//!
//! # References
//! - KIP-107

use ottla_codec::messages::delete_records::{
    DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteRecordsTopicResult,
};
use ottla_codec::{ErrorCode, Uuid};

use super::Outcome;
use crate::state::{RequestContext, State};

/// "All that is replicated."
const HIGH_WATERMARK: i64 = -1;

pub(super) fn handle(
    state: &mut State,
    context: &RequestContext,
    request: DeleteRecordsRequest,
) -> Outcome {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let deleted = delete(
                state,
                context.broker,
                &topic.name,
                (partition.partition_index, partition.offset),
            );
            DeleteRecordsPartitionResult {
                partition_index: partition.partition_index,
                low_watermark: deleted.unwrap_or(-1),
                error_code: deleted.err().unwrap_or(ErrorCode::None).code(),
                ..Default::default()
            }
        });
        let partitions = partitions.collect();
        DeleteRecordsTopicResult {
            name: topic.name,
            partitions,
            ..Default::default()
        }
    });
    let topics = topics.collect();
    Outcome::respond(DeleteRecordsResponse {
        topics,
        ..Default::default()
    })
}

fn delete(
    state: &mut State,
    broker: i32,
    topic: &str,
    (index, offset): (i32, i64),
) -> Result<i64, ErrorCode> {
    let found = state.resolve_topic(topic, Uuid::ZERO)?;
    let deletable = found.config.is_deleted();
    let partition = state
        .partition_mut(topic, index)
        .ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if !partition.is_led_by(broker) {
        return Err(ErrorCode::NotLeaderOrFollower);
    }
    if !deletable {
        return Err(ErrorCode::PolicyViolation);
    }
    let log = &mut partition.log;
    let offset = if offset == HIGH_WATERMARK {
        log.high_watermark()
    } else {
        offset
    };
    if offset < 0 || !log.delete_records(offset) {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    let low_watermark = log.log_start;
    state.mark_changed(topic, index);
    Ok(low_watermark)
}
