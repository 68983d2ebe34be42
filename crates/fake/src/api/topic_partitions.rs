//! DescribeTopicPartitions: topics page by page (KIP-966).

use ottla_codec::ErrorCode;
use ottla_codec::messages::describe_topic_partitions::{
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic, ResponseCursor,
};

use super::{Outcome, operations};
use crate::metadata_view::PartitionView;
use crate::state::{RequestContext, State};
use crate::topic::Topic;

pub(super) fn handle(
    state: &mut State,
    context: &RequestContext,
    request: DescribeTopicPartitionsRequest,
) -> Outcome {
    if let Some(cursor) = &request.cursor {
        let is_asked_for = request.topics.is_empty()
            || request
                .topics
                .iter()
                .any(|topic| topic.name == cursor.topic_name);
        if cursor.partition_index < 0 || !is_asked_for {
            return refused(request);
        }
    }
    let view = state.metadata_of(context.broker);
    let mut names: Vec<String> = if request.topics.is_empty() {
        view.topics.keys().cloned().collect()
    } else {
        request.topics.into_iter().map(|topic| topic.name).collect()
    };
    names.sort();
    names.dedup();
    let (from_topic, from_partition) = request.cursor.map_or((String::new(), 0), |cursor| {
        (cursor.topic_name, cursor.partition_index)
    });
    names.retain(|name| *name >= from_topic);
    let mut left = usize::try_from(request.response_partition_limit.clamp(1, 2000)).unwrap_or(1);
    let mut response = DescribeTopicPartitionsResponse::default();
    for name in names {
        let Some(topic) = view.topics.get(&name) else {
            let error = if Topic::is_valid_name(&name) {
                ErrorCode::UnknownTopicOrPartition
            } else {
                ErrorCode::InvalidTopicException
            };
            response.topics.push(DescribeTopicPartitionsResponseTopic {
                error_code: error.code(),
                name: Some(name),
                ..Default::default()
            });
            continue;
        };
        let first = if name == from_topic {
            from_partition
        } else {
            0
        };
        let rest: Vec<&PartitionView> = topic
            .partitions
            .iter()
            .filter(|partition| partition.index >= first)
            .collect();
        if left == 0 {
            response.next_cursor = Some(ResponseCursor {
                topic_name: name,
                partition_index: first,
                ..Default::default()
            });
            break;
        }
        let cut = rest.get(left).map(|partition| partition.index);
        let partitions: Vec<_> = rest
            .iter()
            .take(left)
            .map(|partition| describe(partition))
            .collect();
        left -= partitions.len();
        response.topics.push(DescribeTopicPartitionsResponseTopic {
            name: Some(name.clone()),
            topic_id: topic.id,
            is_internal: Topic::is_internal(&name),
            partitions,
            ..Default::default()
        });
        if let Some(partition_index) = cut {
            response.next_cursor = Some(ResponseCursor {
                topic_name: name,
                partition_index,
                ..Default::default()
            });
            break;
        }
    }
    for topic in &mut response.topics {
        topic.topic_authorized_operations = operations::of_topic(true);
    }
    Outcome::respond(response)
}

fn refused(request: DescribeTopicPartitionsRequest) -> Outcome {
    let topics = request.topics.into_iter();
    let topics = topics.map(|topic| DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::InvalidRequest.code(),
        name: Some(topic.name),
        ..Default::default()
    });
    Outcome::respond(DescribeTopicPartitionsResponse {
        topics: topics.collect(),
        ..Default::default()
    })
}

fn describe(partition: &PartitionView) -> DescribeTopicPartitionsResponsePartition {
    let error = if partition.leader.is_some() {
        ErrorCode::None
    } else {
        ErrorCode::LeaderNotAvailable
    };
    DescribeTopicPartitionsResponsePartition {
        error_code: error.code(),
        partition_index: partition.index,
        leader_id: partition.leader.unwrap_or(-1),
        leader_epoch: partition.leader_epoch,
        replica_nodes: partition.replicas.as_slice().into(),
        isr_nodes: partition.isr.as_slice().into(),
        eligible_leader_replicas: Some(Vec::new()),
        last_known_elr: Some(Vec::new()),
        offline_replicas: partition.offline.as_slice().into(),
        ..Default::default()
    }
}
