//! OffsetCommit and OffsetFetch.
//!
//! # References
//! - KIP-211 (groups without members), KIP-709 (several groups, v8), KIP-848 (topic ids, v10)

use ottla_codec::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use ottla_codec::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchResponse, OffsetFetchResponseGroup,
    OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use ottla_codec::{ErrorCode, Uuid};

use super::Outcome;
use super::coordinators::coordinates;
use crate::groups::{CommittedOffset, Group};
use crate::state::{RequestContext, State};
use crate::violations::Violation;

/// `offset.metadata.max.bytes` of Kafka.
const MAX_METADATA_BYTES: usize = 4096;

/// A topic of a fetch: name, id and partitions.
type Asked = (String, Uuid, Vec<i32>);

pub(super) fn handle_commit(
    state: &mut State,
    context: &RequestContext,
    request: OffsetCommitRequest,
) -> Outcome {
    let by_id = context.version >= 10;
    let mut topics = request.topics.iter();
    // What is not there is answered before the coordinator is asked.
    let asks = topics.any(|topic| {
        let mut partitions = topic.partitions.iter();
        partitions.any(|partition| find(state, topic, partition, by_id).is_ok())
    });
    let validated = match asks {
        true => may_commit(state, context, &request),
        false => Ok(()),
    };
    let by = (request.group_id, request.member_id);
    let topics = request.topics.into_iter().map(|mut topic| {
        let partitions = std::mem::take(&mut topic.partitions).into_iter();
        let partitions = partitions.map(|partition| {
            let partition_index = partition.partition_index;
            let committed = find(state, &topic, &partition, by_id).and_then(|name| {
                validated?;
                commit(state, &by, name, partition)
            });
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

/// Refuses a commit as a whole, or lets it prolong its member's session.
fn may_commit(
    state: &mut State,
    context: &RequestContext,
    request: &OffsetCommitRequest,
) -> Result<(), ErrorCode> {
    coordinates(state, context, &request.group_id)?;
    let generation = request.generation_id_or_member_epoch;
    if state.groups.group(&request.group_id).is_none() {
        if generation >= 0 {
            return Err(match context.version {
                ..9 => ErrorCode::IllegalGeneration,
                _ => ErrorCode::GroupIdNotFound,
            });
        }
        state.groups.obtain(&request.group_id, context.broker);
    }
    let validate = |group: &mut Group, now| {
        let instance_id = request.group_instance_id.as_deref();
        group.validate_commit(&request.member_id, instance_id, generation)?;
        group.touch(&request.member_id, now);
        Ok(())
    };
    let validated = state.change_group(&request.group_id, validate);
    validated.unwrap_or(Err(ErrorCode::UnknownMemberId))
}

/// The topic's name, if it has the partition.
fn find(
    state: &State,
    topic: &OffsetCommitRequestTopic,
    partition: &OffsetCommitRequestPartition,
    by_id: bool,
) -> Result<String, ErrorCode> {
    let name = resolve(state, &topic.name, topic.topic_id, by_id)?;
    match state.partition(&name, partition.partition_index) {
        Some(_) => Ok(name),
        None => Err(ErrorCode::UnknownTopicOrPartition),
    }
}

fn commit(
    state: &mut State,
    (group, member): &(String, String),
    topic: String,
    partition: OffsetCommitRequestPartition,
) -> Result<(), ErrorCode> {
    let metadata = partition.committed_metadata.unwrap_or_default();
    if metadata.len() > MAX_METADATA_BYTES {
        return Err(ErrorCode::OffsetMetadataTooLarge);
    }
    let place = (topic, partition.partition_index);
    let known = state.groups.group(group);
    if known.is_some_and(|known| !known.may_have(member, &place)) {
        let (topic, partition) = place.clone();
        state.report(Violation::CommitOfOthers {
            group: group.clone(),
            topic,
            partition,
            member: member.clone(),
        });
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
        .entry(group.clone())
        .or_default()
        .insert(place, committed);
    Ok(())
}

fn fetch_group(
    state: &State,
    context: &RequestContext,
    group_id: String,
    topics: Option<Vec<Asked>>,
) -> OffsetFetchResponseGroup {
    if let Err(error) = coordinates(state, context, &group_id) {
        // Before v2 there is no error for the whole group, so each partition carries it.
        let error_code = error.code();
        let topics = topics
            .unwrap_or_default()
            .into_iter()
            .map(|(name, topic_id, partitions)| {
                let partitions = partitions
                    .into_iter()
                    .map(|index| answer(index, None, error));
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
