//! OffsetForLeaderEpoch: where leader epochs end, for clients that check for truncation (KIP-320).

use ottla_codec::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition, OffsetForLeaderTopicResult,
};
use ottla_codec::{ErrorCode, Uuid};

use super::Outcome;
use crate::state::{RequestContext, State};

pub(super) fn handle(
    state: &mut State,
    context: &RequestContext,
    request: OffsetForLeaderEpochRequest,
) -> Outcome {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let found = end_offset(state, context.broker, &topic.topic, asked);
            let (leader_epoch, end_offset) = found.unwrap_or((-1, -1));
            EpochEndOffset {
                partition: asked.partition,
                error_code: found.err().unwrap_or(ErrorCode::None).code(),
                leader_epoch,
                end_offset,
                ..Default::default()
            }
        });
        let partitions = partitions.collect();
        OffsetForLeaderTopicResult {
            topic: topic.topic,
            partitions,
            ..Default::default()
        }
    });
    Outcome::respond(OffsetForLeaderEpochResponse {
        topics: topics.collect(),
        ..Default::default()
    })
}

fn end_offset(
    state: &State,
    broker: i32,
    topic: &str,
    asked: &OffsetForLeaderPartition,
) -> Result<(i32, i64), ErrorCode> {
    let topic = state.resolve_topic(topic, Uuid::ZERO)?;
    let partition = topic
        .partition(asked.partition)
        .ok_or(ErrorCode::UnknownTopicOrPartition)?;
    partition.check_read(broker, asked.current_leader_epoch, true)?;
    Ok(partition
        .log
        .epochs
        .end_offset_for(asked.leader_epoch, partition.log.log_end))
}
