//! Error answers made out of requests: the same error for every item that was asked about.

use ottla_codec::messages::{
    api_versions::{ApiVersionsRequest, ApiVersionsResponse},
    create_partitions::{
        CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopicResult,
    },
    create_topics::{CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse},
    delete_records::{
        DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
        DeleteRecordsTopicResult,
    },
    delete_topics::{DeletableTopicResult, DeleteTopicsRequest, DeleteTopicsResponse},
    describe_cluster::{DescribeClusterRequest, DescribeClusterResponse},
    describe_configs::{DescribeConfigsRequest, DescribeConfigsResponse, DescribeConfigsResult},
    describe_topic_partitions::{
        DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
        DescribeTopicPartitionsResponseTopic,
    },
    fetch::{FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData},
    find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse},
    init_producer_id::{InitProducerIdRequest, InitProducerIdResponse},
    list_offsets::{
        ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
        ListOffsetsTopicResponse,
    },
    metadata::{MetadataRequest, MetadataResponse, MetadataResponseTopic},
    offset_commit::{
        OffsetCommitRequest, OffsetCommitResponse, OffsetCommitResponsePartition,
        OffsetCommitResponseTopic,
    },
    offset_fetch::{
        OffsetFetchRequest, OffsetFetchResponse, OffsetFetchResponseGroup,
        OffsetFetchResponsePartition, OffsetFetchResponseTopic,
    },
    offset_for_leader_epoch::{
        EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
        OffsetForLeaderTopicResult,
    },
    produce::{PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceResponse},
};
use ottla_codec::{ErrorCode, Records, Request};

/// Requests that can be refused as a whole: every served API's.
///
/// The answer carries the error for each topic, partition or other item of the request (for Fetch only those named in
/// this request, which within a session need not be all), and at the top where the response has only that.
pub trait FailWith: Request {
    /// The answer that says `error` to all of it.
    fn fail_with(&self, error: ErrorCode) -> Self::Response;

    /// Sets the answer's throttle time, in milliseconds.
    fn set_throttle(response: &mut Self::Response, throttle_ms: i32);
}

macro_rules! fail_with {
    ($($request:ident => $response:ident |$this:ident, $error:ident| $make:expr;)*) => {$(
        impl FailWith for $request {
            fn fail_with(&self, error: ErrorCode) -> $response {
                let ($this, $error) = (self, error.code());
                $make
            }

            fn set_throttle(response: &mut $response, throttle_ms: i32) {
                response.throttle_time_ms = throttle_ms;
            }
        }
    )*};
}

/// One result per item, in a response's list.
fn each<T, U>(items: &[T], make: impl FnMut(&T) -> U) -> Vec<U> {
    items.iter().map(make).collect()
}

fail_with! {
    ApiVersionsRequest => ApiVersionsResponse |_request, error_code| {
        ApiVersionsResponse { error_code, ..Default::default() }
    };
    InitProducerIdRequest => InitProducerIdResponse |_request, error_code| {
        InitProducerIdResponse { error_code, producer_id: -1, producer_epoch: -1, ..Default::default() }
    };
    DescribeClusterRequest => DescribeClusterResponse |_request, error_code| {
        DescribeClusterResponse { error_code, ..Default::default() }
    };
    ProduceRequest => ProduceResponse |request, error_code| ProduceResponse {
        responses: each(&request.topic_data, |topic| TopicProduceResponse {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partition_responses: each(&topic.partition_data, |partition| PartitionProduceResponse {
                index: partition.index,
                error_code,
                base_offset: -1,
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    FetchRequest => FetchResponse |request, error_code| FetchResponse {
        session_id: request.session_id,
        responses: each(&request.topics, |topic| FetchableTopicResponse {
            topic: topic.topic.clone(),
            topic_id: topic.topic_id,
            partitions: each(&topic.partitions, |partition| PartitionData {
                partition_index: partition.partition,
                error_code,
                high_watermark: -1,
                aborted_transactions: None,
                records: Some(Records::default()),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    ListOffsetsRequest => ListOffsetsResponse |request, error_code| ListOffsetsResponse {
        topics: each(&request.topics, |topic| ListOffsetsTopicResponse {
            name: topic.name.clone(),
            partitions: each(&topic.partitions, |partition| ListOffsetsPartitionResponse {
                partition_index: partition.partition_index,
                error_code,
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    OffsetForLeaderEpochRequest => OffsetForLeaderEpochResponse |request, error_code| OffsetForLeaderEpochResponse {
        topics: each(&request.topics, |topic| OffsetForLeaderTopicResult {
            topic: topic.topic.clone(),
            partitions: each(&topic.partitions, |partition| EpochEndOffset {
                partition: partition.partition,
                error_code,
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    MetadataRequest => MetadataResponse |request, error_code| MetadataResponse {
        topics: each(request.topics.as_deref().unwrap_or_default(), |topic| MetadataResponseTopic {
            error_code,
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            ..Default::default()
        }),
        error_code,
        ..Default::default()
    };
    FindCoordinatorRequest => FindCoordinatorResponse |request, error_code| {
        // Several keys came with v4 and took the single one's place.
        let batched = !request.coordinator_keys.is_empty();
        FindCoordinatorResponse {
            error_code: if batched { 0 } else { error_code },
            node_id: if batched { 0 } else { -1 },
            coordinators: each(&request.coordinator_keys, |key| Coordinator {
                key: key.clone(),
                node_id: -1,
                port: -1,
                error_code,
                ..Default::default()
            }),
            ..Default::default()
        }
    };
    OffsetCommitRequest => OffsetCommitResponse |request, error_code| OffsetCommitResponse {
        topics: each(&request.topics, |topic| OffsetCommitResponseTopic {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partitions: each(&topic.partitions, |partition| OffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code,
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    OffsetFetchRequest => OffsetFetchResponse |request, error_code| OffsetFetchResponse {
        error_code: if request.groups.is_empty() { error_code } else { 0 },
        topics: each(request.topics.as_deref().unwrap_or_default(), |topic| OffsetFetchResponseTopic {
            name: topic.name.clone(),
            partitions: each(&topic.partition_indexes, |&partition_index| OffsetFetchResponsePartition {
                partition_index,
                committed_offset: -1,
                error_code,
                ..Default::default()
            }),
            ..Default::default()
        }),
        groups: each(&request.groups, |group| OffsetFetchResponseGroup {
            group_id: group.group_id.clone(),
            error_code,
            ..Default::default()
        }),
        ..Default::default()
    };
    CreateTopicsRequest => CreateTopicsResponse |request, error_code| CreateTopicsResponse {
        topics: each(&request.topics, |topic| CreatableTopicResult {
            name: topic.name.clone(),
            error_code,
            configs: Some(Vec::new()),
            ..Default::default()
        }),
        ..Default::default()
    };
    DeleteTopicsRequest => DeleteTopicsResponse |request, error_code| DeleteTopicsResponse {
        responses: {
            let by_name = each(&request.topic_names, |name| DeletableTopicResult {
                name: Some(name.clone()),
                error_code,
                ..Default::default()
            });
            let by_either = each(&request.topics, |topic| DeletableTopicResult {
                name: topic.name.clone(),
                topic_id: topic.topic_id,
                error_code,
                ..Default::default()
            });
            by_name.into_iter().chain(by_either).collect()
        },
        ..Default::default()
    };
    CreatePartitionsRequest => CreatePartitionsResponse |request, error_code| CreatePartitionsResponse {
        results: each(&request.topics, |topic| CreatePartitionsTopicResult {
            name: topic.name.clone(),
            error_code,
            ..Default::default()
        }),
        ..Default::default()
    };
    DeleteRecordsRequest => DeleteRecordsResponse |request, error_code| DeleteRecordsResponse {
        topics: each(&request.topics, |topic| DeleteRecordsTopicResult {
            name: topic.name.clone(),
            partitions: each(&topic.partitions, |partition| DeleteRecordsPartitionResult {
                partition_index: partition.partition_index,
                low_watermark: -1,
                error_code,
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    DescribeConfigsRequest => DescribeConfigsResponse |request, error_code| DescribeConfigsResponse {
        results: each(&request.resources, |resource| DescribeConfigsResult {
            error_code,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            ..Default::default()
        }),
        ..Default::default()
    };
    DescribeTopicPartitionsRequest => DescribeTopicPartitionsResponse |request, error_code| {
        DescribeTopicPartitionsResponse {
            topics: each(&request.topics, |topic| DescribeTopicPartitionsResponseTopic {
                error_code,
                name: Some(topic.name.clone()),
                ..Default::default()
            }),
            ..Default::default()
        }
    };
}
