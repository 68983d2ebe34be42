//! Metadata: brokers, topics and who leads their partitions.
//!
//! # References
//! - KIP-516 (topic ids)

use ottla_codec::messages::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic,
};
use ottla_codec::{ErrorCode, Uuid};

use super::{NewTopic, Outcome, operations};
use crate::metadata_view::{MetadataView, PartitionView, TopicView};
use crate::state::{RequestContext, State};
use crate::topic::Topic;

pub(super) fn handle(
    state: &mut State,
    context: &RequestContext,
    request: MetadataRequest,
) -> Outcome {
    let view = state.metadata_of(context.broker);
    let all = match &request.topics {
        None => true,
        Some(topics) => topics.is_empty() && context.version == 0,
    };
    let mut topics = Vec::new();
    if all {
        topics.extend(
            view.topics
                .iter()
                .map(|(name, topic)| found(context, name, topic)),
        );
    }
    let asked = if all {
        Vec::new()
    } else {
        request.topics.unwrap_or_default()
    };
    let by_id = asked.iter().any(|topic| !topic.topic_id.is_zero());
    let has_nameless = asked.iter().any(|topic| topic.name.is_none());
    if context.version < 12 && (by_id || has_nameless) {
        // Topic ids in requests came with v12.
        return refused(context, asked, ErrorCode::InvalidRequest);
    } else if has_nameless && !by_id {
        return refused(context, asked, ErrorCode::UnknownServerError);
    } else if by_id {
        // Names beside ids are not looked at.
        topics.extend(
            asked
                .iter()
                .filter(|topic| !topic.topic_id.is_zero())
                .map(|topic| match view.name_of(topic.topic_id) {
                    Some(name) => view.topics.get(name).map_or_else(
                        || failed_id(topic.topic_id),
                        |found_topic| found(context, name, found_topic),
                    ),
                    None => failed_id(topic.topic_id),
                }),
        );
    } else {
        let mut seen = std::collections::BTreeSet::new();
        for topic in asked {
            let name = topic.name.unwrap_or_default();
            if seen.insert(name.clone()) {
                topics.push(by_name(
                    state,
                    context,
                    &view,
                    name,
                    request.allow_auto_topic_creation,
                ));
            }
        }
    }
    if request.include_topic_authorized_operations {
        for topic in &mut topics {
            topic.topic_authorized_operations = operations::of_topic(true);
        }
    }
    let brokers = view
        .brokers
        .iter()
        .filter(|broker| broker.running)
        .map(|broker| MetadataResponseBroker {
            node_id: broker.id,
            host: broker.host.clone(),
            port: broker.port,
            rack: broker.rack.clone(),
            ..Default::default()
        });
    Outcome::respond(MetadataResponse {
        brokers: brokers.collect(),
        cluster_id: Some(state.cluster_id.clone()),
        controller_id: view.controller,
        topics,
        cluster_authorized_operations: operations::of_cluster(
            request.include_cluster_authorized_operations,
        ),
        ..Default::default()
    })
}

/// The answer to a request that is refused as a whole.
fn refused(
    context: &RequestContext,
    asked: Vec<MetadataRequestTopic>,
    error: ErrorCode,
) -> Outcome {
    let topics = asked.into_iter().map(|topic| MetadataResponseTopic {
        is_internal: false,
        ..failed(topic.name.unwrap_or_default(), topic.topic_id, error)
    });
    let topics = topics.collect();
    let error = if context.version >= 13 {
        error
    } else {
        ErrorCode::None
    };
    Outcome::respond(MetadataResponse {
        error_code: error.code(),
        controller_id: -1,
        topics,
        ..Default::default()
    })
}

fn by_name(
    state: &mut State,
    context: &RequestContext,
    view: &MetadataView,
    name: String,
    may_create: bool,
) -> MetadataResponseTopic {
    if let Some(topic) = view.topics.get(&name) {
        return found(context, &name, topic);
    }
    if !Topic::is_valid_name(&name) {
        return failed(name, Uuid::ZERO, ErrorCode::InvalidTopicException);
    }
    // Before v4 a client could not say that it wants no topic created.
    let may_create = may_create || context.version < 4;
    if may_create && state.options.auto_create_topics && !state.topics.contains_key(&name) {
        // The broker that was asked answers before the controller has created the topic.
        let created = NewTopic::named(&name).create(state);
        let error = match created {
            Err(_) => ErrorCode::InvalidReplicationFactor,
            Ok(_) if state.options.release.creates_unknown_topics() => {
                ErrorCode::UnknownTopicOrPartition
            }
            Ok(_) => ErrorCode::LeaderNotAvailable,
        };
        return failed(name, Uuid::ZERO, error);
    }
    failed(name, Uuid::ZERO, ErrorCode::UnknownTopicOrPartition)
}

fn found(context: &RequestContext, name: &str, topic: &TopicView) -> MetadataResponseTopic {
    MetadataResponseTopic {
        name: Some(name.to_owned()),
        topic_id: topic.id,
        is_internal: Topic::is_internal(name),
        partitions: topic
            .partitions
            .iter()
            .map(|partition| partition_of(context, partition))
            .collect(),
        ..Default::default()
    }
}

fn partition_of(context: &RequestContext, partition: &PartitionView) -> MetadataResponsePartition {
    // Since v1 replicas that are down are listed and no longer an error.
    let available = partition.leader.is_some();
    let error = match (available, context.version) {
        (false, _) => ErrorCode::LeaderNotAvailable,
        (true, 0) if !partition.offline.is_empty() => ErrorCode::ReplicaNotAvailable,
        (true, _) => ErrorCode::None,
    };
    MetadataResponsePartition {
        error_code: error.code(),
        partition_index: partition.index,
        leader_id: partition.leader.unwrap_or(-1),
        leader_epoch: partition.leader_epoch,
        replica_nodes: partition.replicas.as_slice().into(),
        isr_nodes: partition.isr.as_slice().into(),
        offline_replicas: partition.offline.as_slice().into(),
        ..Default::default()
    }
}

fn failed(name: String, topic_id: Uuid, error: ErrorCode) -> MetadataResponseTopic {
    let is_internal = Topic::is_internal(&name);
    MetadataResponseTopic {
        error_code: error.code(),
        name: Some(name),
        topic_id,
        is_internal,
        ..Default::default()
    }
}

fn failed_id(topic_id: Uuid) -> MetadataResponseTopic {
    let error_code = ErrorCode::UnknownTopicId.code();
    MetadataResponseTopic {
        error_code,
        name: None,
        topic_id,
        ..Default::default()
    }
}
