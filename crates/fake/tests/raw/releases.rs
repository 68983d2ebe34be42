//! Older releases: what they serve, and what they do otherwise.

use ottla_codec::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use ottla_codec::messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use ottla_codec::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use ottla_codec::messages::delete_topics::DeleteTopicsRequest;
use ottla_codec::messages::describe_cluster::DescribeClusterRequest;
use ottla_codec::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use ottla_codec::{ApiKey, ErrorCode};
use ottla_fake::{FakeCluster, Release, Violation};

use crate::client::{Client, batch, fetch, produce, sequenced};

const OLD: [Release; 3] = [Release::V2_1, Release::V2_4, Release::V3_0];

async fn cluster(release: Release) -> FakeCluster {
    let builder = FakeCluster::builder().release(release).brokers(2);
    let builder = builder.topic("t", 1).auto_create_topics(true);
    builder.start_in_memory().await.unwrap()
}

fn range(answer: &ApiVersionsResponse, api: ApiKey) -> Option<(i16, i16)> {
    let mut keys = answer.api_keys.iter();
    let key = keys.find(|key| key.api_key == api as i16)?;
    Some((key.min_version, key.max_version))
}

async fn versions(cluster: &FakeCluster) -> ApiVersionsResponse {
    let mut client = Client::connect(cluster, 1).await;
    client.call(&ApiVersionsRequest::default(), 2).await
}

#[tokio::test(start_paused = true)]
async fn they_advertise_what_they_and_the_fake_have() {
    let produce = [(3, 7), (3, 8), (3, 9)];
    let fetch = [(4, 10), (4, 11), (4, 12)];
    let describe_cluster = [None, None, Some((0, 0))];
    for (index, release) in OLD.into_iter().enumerate() {
        let cluster = cluster(release).await;
        let answer = versions(&cluster).await;
        assert_eq!(range(&answer, ApiKey::Produce), Some(produce[index]));
        assert_eq!(range(&answer, ApiKey::Fetch), Some(fetch[index]));
        let found = range(&answer, ApiKey::DescribeCluster);
        assert_eq!(found, describe_cluster[index], "{release}");
        // The release has it, the fake has not.
        assert_eq!(range(&answer, ApiKey::DescribeAcls), None);
        // Releases before 3.7 have no such API.
        assert_eq!(range(&answer, ApiKey::DescribeTopicPartitions), None);
        assert!(answer.finalized_features.is_empty());
        assert_eq!(answer.finalized_features_epoch, -1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_range_of_api_versions_is_told_since_2_4() {
    let told = [None, Some((0, 3)), Some((0, 3))];
    for (release, told) in OLD.into_iter().zip(told) {
        let cluster = cluster(release).await;
        let mut client = Client::connect(&cluster, 1).await;
        client.send(&ApiVersionsRequest::default(), 4).await;
        let (_, answer) = client.receive::<ApiVersionsRequest>(0).await.unwrap();
        let unsupported = ErrorCode::UnsupportedVersion.code();
        assert_eq!(answer.error_code, unsupported, "{release}");
        assert_eq!(range(&answer, ApiKey::ApiVersions), told, "{release}");
        assert_eq!(answer.api_keys.len(), usize::from(told.is_some()));
        // The connection lives on.
        client.call(&ApiVersionsRequest::default(), 0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn newer_versions_and_apis_are_closed_upon() {
    for (release, newer) in OLD.into_iter().zip([11, 12, 13]) {
        let cluster = cluster(release).await;
        let mut client = Client::connect(&cluster, 1).await;
        let answer = client.call(&fetch("t", 0, 0), newer - 1).await;
        assert_eq!(answer.responses[0].partitions[0].error_code, 0);
        let request = match newer {
            13 => Default::default(),
            _ => fetch("t", 0, 0),
        };
        assert!(client.try_call(&request, newer).await.is_err(), "{release}");
        let refused = Violation::NotServed {
            api: ApiKey::Fetch,
            version: newer,
        };
        assert_eq!(cluster.violations().await.unwrap(), [refused]);
    }
    let cluster = cluster(Release::V2_4).await;
    let mut client = Client::connect(&cluster, 1).await;
    let asked = client.try_call(&DescribeClusterRequest::default(), 0).await;
    assert!(asked.is_err());
}

#[tokio::test(start_paused = true)]
async fn only_the_controller_does_its_work() {
    let create = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: "new".to_owned(),
            num_partitions: 1,
            replication_factor: 1,
            ..Default::default()
        }],
        ..Default::default()
    };
    let grow = CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic {
            name: "new".to_owned(),
            count: 2,
            assignments: None,
            ..Default::default()
        }],
        ..Default::default()
    };
    let delete = DeleteTopicsRequest {
        topic_names: vec!["new".to_owned()],
        ..Default::default()
    };
    for release in Release::ALL {
        let cluster = cluster(release).await;
        let elsewhere = match release {
            Release::V4_3 => ErrorCode::None,
            _ => ErrorCode::NotController,
        };
        let mut client = Client::connect(&cluster, 1).await;
        let controller = client.call(&MetadataRequest::default(), 7).await;
        assert_eq!(controller.controller_id, 1);
        for broker in [2, 1] {
            let expected = match broker {
                1 => ErrorCode::None,
                _ => elsewhere,
            };
            let mut client = Client::connect(&cluster, broker).await;
            let created = client.call(&create, 3).await;
            assert_eq!(created.topics[0].error_code, expected.code(), "{release}");
            let grown = client.call(&grow, 1).await;
            assert_eq!(grown.results[0].error_code, expected.code(), "{release}");
            let deleted = client.call(&delete, 3).await;
            let deleted = deleted.responses[0].error_code;
            assert_eq!(deleted, expected.code(), "{release}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn default_counts_came_with_2_4() {
    for (release, refused) in OLD.into_iter().zip([true, false, false]) {
        let cluster = cluster(release).await;
        let mut client = Client::connect(&cluster, 1).await;
        let request = |num_partitions, replication_factor| CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: format!("{num_partitions}-{replication_factor}"),
                num_partitions,
                replication_factor,
                ..Default::default()
            }],
            ..Default::default()
        };
        let counts = [
            ((-1, 1), ErrorCode::InvalidPartitions),
            ((1, -1), ErrorCode::InvalidReplicationFactor),
        ];
        for ((partitions, replication), error) in counts {
            let request = request(partitions, replication);
            let created = client.call(&request, 3).await;
            let expected = if refused { error } else { ErrorCode::None };
            assert_eq!(created.topics[0].error_code, expected.code(), "{release}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn unknown_producers_begin_with_0_before_3_0() {
    let expected = [
        ErrorCode::UnknownProducerId,
        ErrorCode::UnknownProducerId,
        ErrorCode::None,
    ];
    for (release, expected) in OLD.into_iter().zip(expected) {
        let cluster = cluster(release).await;
        let mut client = Client::connect(&cluster, 1).await;
        let answer = client
            .call(&produce("t", 0, -1, sequenced(&["a"], 7, 0, 3)), 7)
            .await;
        let answer = &answer.responses[0].partition_responses[0];
        assert_eq!(answer.error_code, expected.code(), "{release}");
        let answer = client
            .call(&produce("t", 0, -1, sequenced(&["a"], 8, 0, 0)), 7)
            .await;
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_new_has_another_code() {
    let codes = [
        (ErrorCode::CorruptMessage, ErrorCode::LeaderNotAvailable),
        (ErrorCode::InvalidRecord, ErrorCode::LeaderNotAvailable),
        (ErrorCode::InvalidRecord, ErrorCode::UnknownTopicOrPartition),
    ];
    for (release, (refused, created)) in OLD.into_iter().zip(codes) {
        let cluster = cluster(release).await;
        let mut client = Client::connect(&cluster, 1).await;
        let two = [batch(&["a"]), batch(&["b"])].concat().into();
        let answer = client.call(&produce("t", 0, -1, two), 7).await;
        let answer = &answer.responses[0].partition_responses[0];
        assert_eq!(answer.error_code, refused.code(), "{release}");

        let request = MetadataRequest {
            topics: Some(vec![MetadataRequestTopic {
                name: Some("new".to_owned()),
                ..Default::default()
            }]),
            ..Default::default()
        };
        let answer = client.call(&request, 7).await;
        assert_eq!(answer.topics[0].error_code, created.code(), "{release}");
    }
}
