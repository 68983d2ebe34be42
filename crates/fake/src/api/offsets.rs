//! OffsetCommit and OffsetFetch for groups without members.
//!
//! # References
//! - KIP-211 (groups without members), KIP-709 (several groups, v8), KIP-848 (topic ids, v10)

use ottla_codec::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitResponse,
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use ottla_codec::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchResponse, OffsetFetchResponseGroup,
    OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use ottla_codec::{ErrorCode, Uuid};

use super::{KeyType, Outcome, coordinator_of};
use crate::groups::CommittedOffset;
use crate::state::{RequestContext, State};

/// `offset.metadata.max.bytes` of Kafka.
const MAX_METADATA_BYTES: usize = 4096;

/// A topic of a fetch: name, id and partitions.
type Asked = (String, Uuid, Vec<i32>);

pub(super) fn handle_commit(
    state: &mut State,
    context: &RequestContext,
    request: OffsetCommitRequest,
) -> Outcome {
    let refused = commit_refusal(state, context, &request);
    let topics = request.topics.into_iter().map(|topic| {
        let by_id = context.version >= 10;
        let resolved = resolve(state, &topic.name, topic.topic_id, by_id);
        let partitions = topic.partitions.into_iter().map(|partition| {
            let partition_index = partition.partition_index;
            let committed = match (refused, &resolved) {
                // Unknown topics are answered before the coordinator is asked.
                (_, &Err(error)) | (Some(error), Ok(_)) => Err(error),
                (None, Ok(name)) => commit(state, &request.group_id, name, partition),
            };
            OffsetCommitResponsePartition {
                partition_index,
                error_code: super::code(committed),
                ..Default::default()
            }
        });
        let partitions = partitions.collect();
        OffsetCommitResponseTopic {
            name: topic.name,
            topic_id: topic.topic_id,
            partitions,
            ..Default::default()
        }
    });
    let topics = topics.collect();
    Outcome::respond(OffsetCommitResponse {
        topics,
        ..Default::default()
    })
}

pub(super) fn handle_fetch(
    state: &mut State,
    context: &RequestContext,
    request: OffsetFetchRequest,
) -> Outcome {
    if context.version < 8 {
        let topics = request.topics.map(|topics| {
            topics
                .into_iter()
                .map(|topic| (topic.name, Uuid::ZERO, topic.partition_indexes))
                .collect()
        });
        let group = fetch_group(state, context, request.group_id, topics);
        let topics = group
            .topics
            .into_iter()
            .map(|topic| OffsetFetchResponseTopic {
                name: topic.name,
                partitions: topic
                    .partitions
                    .into_iter()
                    .map(|partition| single(partition, group.error_code))
                    .collect(),
                ..Default::default()
            });
        let topics = topics.collect();
        return Outcome::respond(OffsetFetchResponse {
            topics,
            error_code: group.error_code,
            ..Default::default()
        });
    }
    let groups = request.groups.into_iter().map(|group| {
        let topics = group.topics.map(|topics| {
            topics
                .into_iter()
                .map(|topic| (topic.name, topic.topic_id, topic.partition_indexes))
                .collect()
        });
        fetch_group(state, context, group.group_id, topics)
    });
    let groups = groups.collect();
    Outcome::respond(OffsetFetchResponse {
        groups,
        ..Default::default()
    })
}

/// Why a commit is refused as a whole: a wrong broker, or a member of a group that has none.
fn commit_refusal(
    state: &State,
    context: &RequestContext,
    request: &OffsetCommitRequest,
) -> Option<ErrorCode> {
    if coordinator_of(state, KeyType::Group, &request.group_id) != Some(context.broker) {
        return Some(ErrorCode::NotCoordinator);
    }
    if request.generation_id_or_member_epoch < 0 {
        return None;
    }
    // No member is known here, so a commit in a generation is from nobody.
    Some(if state.groups.offsets.contains_key(&request.group_id) {
        ErrorCode::UnknownMemberId
    } else if context.version >= 9 {
        ErrorCode::GroupIdNotFound
    } else {
        ErrorCode::IllegalGeneration
    })
}

fn commit(
    state: &mut State,
    group: &str,
    topic: &str,
    partition: OffsetCommitRequestPartition,
) -> Result<(), ErrorCode> {
    let index = partition.partition_index;
    if state.partition(topic, index).is_none() {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    let metadata = partition.committed_metadata.unwrap_or_default();
    if metadata.len() > MAX_METADATA_BYTES {
        return Err(ErrorCode::OffsetMetadataTooLarge);
    }
    let leader_epoch =
        (partition.committed_leader_epoch >= 0).then_some(partition.committed_leader_epoch);
    let committed = CommittedOffset {
        offset: partition.committed_offset,
        leader_epoch,
        metadata,
    };
    state
        .groups
        .offsets
        .entry(group.to_owned())
        .or_default()
        .insert((topic.to_owned(), index), committed);
    Ok(())
}

fn fetch_group(
    state: &State,
    context: &RequestContext,
    group_id: String,
    topics: Option<Vec<Asked>>,
) -> OffsetFetchResponseGroup {
    if coordinator_of(state, KeyType::Group, &group_id) != Some(context.broker) {
        // Before v2 there is no error for the whole group, so each partition carries it.
        let error_code = ErrorCode::NotCoordinator.code();
        let topics = topics
            .unwrap_or_default()
            .into_iter()
            .map(|(name, topic_id, partitions)| {
                let partitions = partitions
                    .into_iter()
                    .map(|index| answer(index, None, ErrorCode::NotCoordinator));
                OffsetFetchResponseTopics {
                    name,
                    topic_id,
                    partitions: partitions.collect(),
                    ..Default::default()
                }
            });
        let topics = if context.version < 2 {
            topics.collect()
        } else {
            Vec::new()
        };
        return OffsetFetchResponseGroup {
            group_id,
            topics,
            error_code,
            ..Default::default()
        };
    }
    let committed = state.groups.offsets.get(&group_id);
    let topics = topics.unwrap_or_else(|| {
        let mut all: Vec<Asked> = Vec::new();
        for (topic, partition) in committed.into_iter().flat_map(|offsets| offsets.keys()) {
            match all.last_mut() {
                Some((name, _, partitions)) if name == topic => partitions.push(*partition),
                _ => {
                    let id = state.topics.get(topic).map_or(Uuid::ZERO, |topic| topic.id);
                    all.push((topic.clone(), id, vec![*partition]));
                }
            }
        }
        all
    });
    let topics = topics.into_iter().map(|(name, topic_id, partitions)| {
        let resolved = resolve_for_fetch(state, &name, topic_id, context.version >= 10);
        let partitions = partitions.into_iter().map(|index| match &resolved {
            Ok(name) => answer(
                index,
                committed.and_then(|offsets| offsets.get(&(name.clone(), index))),
                ErrorCode::None,
            ),
            Err(error) => answer(index, None, *error),
        });
        let partitions = partitions.collect();
        OffsetFetchResponseTopics {
            name,
            topic_id,
            partitions,
            ..Default::default()
        }
    });
    OffsetFetchResponseGroup {
        group_id,
        topics: topics.collect(),
        ..Default::default()
    }
}

fn resolve(state: &State, name: &str, id: Uuid, by_id: bool) -> Result<String, ErrorCode> {
    if by_id {
        state
            .topic_names
            .get(&id)
            .cloned()
            .ok_or(ErrorCode::UnknownTopicId)
    } else {
        state
            .topics
            .get(name)
            .map(|topic| topic.name.clone())
            .ok_or(ErrorCode::UnknownTopicOrPartition)
    }
}

/// A fetch by name does not mind whether the topic exists.
fn resolve_for_fetch(
    state: &State,
    name: &str,
    id: Uuid,
    by_id: bool,
) -> Result<String, ErrorCode> {
    if by_id {
        resolve(state, name, id, true)
    } else {
        Ok(name.to_owned())
    }
}

fn answer(
    index: i32,
    committed: Option<&CommittedOffset>,
    error: ErrorCode,
) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index: index,
        committed_offset: committed.map_or(-1, |committed| committed.offset),
        committed_leader_epoch: committed
            .and_then(|committed| committed.leader_epoch)
            .unwrap_or(-1),
        metadata: Some(committed.map_or_else(String::new, |committed| committed.metadata.clone())),
        error_code: error.code(),
        ..Default::default()
    }
}

fn single(
    partition: OffsetFetchResponsePartitions,
    error_code: i16,
) -> OffsetFetchResponsePartition {
    OffsetFetchResponsePartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        metadata: partition.metadata,
        error_code: if error_code == ErrorCode::None.code() {
            partition.error_code
        } else {
            error_code
        },
        ..Default::default()
    }
}
