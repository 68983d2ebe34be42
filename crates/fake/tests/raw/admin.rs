//! Topics, partitions, settings and brokers by request.

use ottla_codec::messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use ottla_codec::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use ottla_codec::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use ottla_codec::messages::describe_cluster::DescribeClusterRequest;
use ottla_codec::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use ottla_codec::messages::describe_topic_partitions::{Cursor, DescribeTopicPartitionsRequest};
use ottla_codec::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use ottla_codec::{ErrorCode, Uuid};
use ottla_fake::{FakeCluster, TopicSpec};

use crate::client::{Client, cluster};

#[tokio::test(start_paused = true)]
async fn topics_with_assignments_settings_and_mistakes() {
    let (cluster, mut client) = cluster().await;
    let assigned = |broker_ids: &[&[i32]]| {
        let assignments =
            (0..)
                .zip(broker_ids)
                .map(|(partition_index, ids)| CreatableReplicaAssignment {
                    partition_index,
                    broker_ids: ids.to_vec(),
                    ..Default::default()
                });
        CreatableTopic {
            name: "new".to_owned(),
            num_partitions: -1,
            replication_factor: -1,
            assignments: assignments.collect(),
            ..Default::default()
        }
    };
    let configured = |name: &str, value: &str| {
        let config = CreatableTopicConfig {
            name: name.to_owned(),
            value: Some(value.to_owned()),
            ..Default::default()
        };
        CreatableTopic {
            configs: vec![config],
            num_partitions: 1,
            replication_factor: 1,
            ..assigned(&[])
        }
    };
    let mut create = async |topic: CreatableTopic, validate_only| {
        let request = CreateTopicsRequest {
            topics: vec![topic],
            validate_only,
            ..Default::default()
        };
        client.ask(&request).await.topics[0].clone()
    };
    for bad in [
        &[&[1, 1][..]][..],
        &[&[1, 9][..]],
        &[&[1][..], &[1, 2][..]],
        &[&[][..]],
    ] {
        let code = create(assigned(bad), false).await.error_code;
        assert_eq!(code, ErrorCode::InvalidReplicaAssignment.code(), "{bad:?}");
    }
    let both = CreatableTopic {
        num_partitions: 2,
        ..assigned(&[&[1]])
    };
    assert_eq!(
        create(both, false).await.error_code,
        ErrorCode::InvalidRequest.code()
    );
    let many = CreatableTopic {
        num_partitions: 1,
        replication_factor: 4,
        ..assigned(&[])
    };
    assert_eq!(
        create(many, false).await.error_code,
        ErrorCode::InvalidReplicationFactor.code()
    );
    assert_eq!(
        create(configured("no.such", "1"), false).await.error_code,
        ErrorCode::InvalidConfig.code()
    );
    let planned = create(configured("retention.ms", "5"), true).await;
    assert_eq!(
        (
            planned.error_code,
            planned.num_partitions,
            planned.replication_factor
        ),
        (0, 1, 1)
    );
    assert!(cluster.partition("new", 0).await.is_err(), "validate only");
    assert_eq!(
        create(assigned(&[&[3, 1], &[2, 3]]), false)
            .await
            .error_code,
        0
    );
    assert_eq!(cluster.partition("new", 1).await.unwrap().replicas, [2, 3]);
    assert_eq!(cluster.partition("new", 0).await.unwrap().leader, Some(3));
}

#[tokio::test(start_paused = true)]
async fn topics_are_deleted_by_name_and_by_id() {
    let (cluster, mut client) = cluster().await;
    cluster.create_topic(TopicSpec::new("u", 1)).await.unwrap();
    let metadata = client
        .ask(&MetadataRequest {
            topics: None,
            ..Default::default()
        })
        .await;
    let id = metadata
        .topics
        .iter()
        .find(|topic| topic.name.as_deref() == Some("u"))
        .unwrap()
        .topic_id;
    let mut delete = async |name: Option<&str>, topic_id| {
        let state = DeleteTopicState {
            name: name.map(str::to_owned),
            topic_id,
            ..Default::default()
        };
        let request = DeleteTopicsRequest {
            topics: vec![state],
            ..Default::default()
        };
        client.ask(&request).await.responses[0].clone()
    };
    let deleted = delete(None, id).await;
    assert_eq!(
        (deleted.error_code, deleted.name.as_deref()),
        (0, Some("u"))
    );
    assert_eq!(
        delete(None, id).await.error_code,
        ErrorCode::UnknownTopicId.code()
    );
    assert_eq!(delete(Some("t"), Uuid::ZERO).await.error_code, 0);
    assert_eq!(
        delete(Some("t"), Uuid::ZERO).await.error_code,
        ErrorCode::UnknownTopicOrPartition.code()
    );
    assert_eq!(
        delete(None, Uuid::ZERO).await.error_code,
        ErrorCode::InvalidRequest.code()
    );
}

#[tokio::test(start_paused = true)]
async fn partitions_only_grow() {
    let (cluster, mut client) = cluster().await;
    let mut grow = async |name: &str, count| {
        let topic = CreatePartitionsTopic {
            name: name.to_owned(),
            count,
            assignments: None,
            ..Default::default()
        };
        let request = CreatePartitionsRequest {
            topics: vec![topic],
            ..Default::default()
        };
        client.ask(&request).await.results[0].error_code
    };
    assert_eq!(grow("t", 3).await, ErrorCode::InvalidPartitions.code());
    assert_eq!(grow("t", 2).await, ErrorCode::InvalidPartitions.code());
    assert_eq!(
        grow("nope", 2).await,
        ErrorCode::UnknownTopicOrPartition.code()
    );
    assert_eq!(grow("t", 5).await, 0);
    assert_eq!(cluster.partition("t", 4).await.unwrap().replicas, [2, 3, 1]);
}

#[tokio::test(start_paused = true)]
async fn settings_are_described() {
    let cluster = FakeCluster::builder()
        .topic_spec(TopicSpec::new("t", 1).config("cleanup.policy", "compact"))
        .start_in_memory()
        .await
        .unwrap();
    let mut client = Client::connect(&cluster, 1).await;
    let mut describe = async |resource_type, name: &str, keys: Option<&[&str]>| {
        let resource = DescribeConfigsResource {
            resource_type,
            resource_name: name.to_owned(),
            configuration_keys: keys.map(|keys| keys.iter().map(|&key| key.to_owned()).collect()),
            ..Default::default()
        };
        let request = DescribeConfigsRequest {
            resources: vec![resource],
            ..Default::default()
        };
        client.ask(&request).await.results[0].clone()
    };
    let one = describe(2, "t", Some(&["cleanup.policy", "retention.ms"])).await;
    let found: Vec<_> = one
        .configs
        .iter()
        .map(|c| (c.name.as_str(), c.value.as_deref(), c.config_source))
        .collect();
    assert_eq!(
        found,
        [
            ("cleanup.policy", Some("compact"), 1),
            ("retention.ms", Some("604800000"), 5)
        ]
    );
    assert!(describe(2, "t", None).await.configs.len() > 5);
    assert_eq!(
        describe(2, "nope", None).await.error_code,
        ErrorCode::UnknownTopicOrPartition.code()
    );
    assert_eq!(
        describe(4, "1", None).await.error_code,
        ErrorCode::InvalidRequest.code()
    );
}

#[tokio::test(start_paused = true)]
async fn the_cluster_is_described() {
    let (cluster, mut client) = cluster().await;
    cluster.stop_broker(3).await.unwrap();
    let request = DescribeClusterRequest {
        endpoint_type: 1,
        ..Default::default()
    };
    let alive = client.ask(&request).await;
    assert_eq!(
        alive
            .brokers
            .iter()
            .map(|broker| broker.broker_id)
            .collect::<Vec<_>>(),
        [1, 2]
    );
    assert_eq!((alive.controller_id, alive.cluster_id.len()), (1, 22));
    let all = client
        .ask(&DescribeClusterRequest {
            include_fenced_brokers: true,
            ..request.clone()
        })
        .await;
    assert_eq!(
        all.brokers
            .iter()
            .map(|broker| broker.is_fenced)
            .collect::<Vec<_>>(),
        [false, false, true]
    );
    let controllers = client
        .ask(&DescribeClusterRequest {
            endpoint_type: 2,
            ..request
        })
        .await;
    assert_eq!(
        controllers.error_code,
        ErrorCode::MismatchedEndpointType.code()
    );
}

#[tokio::test(start_paused = true)]
async fn partitions_come_page_by_page() {
    let (cluster, mut client) = cluster().await;
    cluster.create_topic(TopicSpec::new("a", 2)).await.unwrap();
    let mut cursor = None;
    let mut seen = Vec::new();
    loop {
        let request = DescribeTopicPartitionsRequest {
            response_partition_limit: 2,
            cursor: cursor.take(),
            ..Default::default()
        };
        let answer = client.ask(&request).await;
        for topic in &answer.topics {
            seen.extend(
                topic
                    .partitions
                    .iter()
                    .map(|p| (topic.name.clone().unwrap(), p.partition_index)),
            );
        }
        let Some(next) = answer.next_cursor else {
            break;
        };
        cursor = Some(Cursor {
            topic_name: next.topic_name,
            partition_index: next.partition_index,
            ..Default::default()
        });
    }
    let expected = [("a", 0), ("a", 1), ("t", 0), ("t", 1), ("t", 2)];
    assert_eq!(seen, expected.map(|(name, index)| (name.to_owned(), index)));
}

#[tokio::test(start_paused = true)]
async fn metadata_by_name_by_id_and_for_topics_that_are_not_there() {
    let (cluster, mut client) = cluster().await;
    let by_name = |name: &str| MetadataRequestTopic {
        name: Some(name.to_owned()),
        ..Default::default()
    };
    let mut ask = async |topics: Vec<MetadataRequestTopic>, version| {
        let request = MetadataRequest {
            topics: Some(topics),
            ..Default::default()
        };
        client.call(&request, version).await.topics
    };
    let topics = ask(vec![by_name("t"), by_name("nope"), by_name("no/good")], 12).await;
    let codes: Vec<_> = topics.iter().map(|topic| topic.error_code).collect();
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    assert_eq!(codes, [0, unknown, ErrorCode::InvalidTopicException.code()]);
    let by_id = |topic_id| MetadataRequestTopic {
        name: None,
        topic_id,
        ..Default::default()
    };
    let topics = ask(vec![by_id(topics[0].topic_id), by_id(Uuid([1; 16]))], 12).await;
    assert_eq!(
        (topics[0].name.as_deref(), topics[0].partitions.len()),
        (Some("t"), 3)
    );
    assert_eq!(
        (topics[1].error_code, &topics[1].name),
        (ErrorCode::UnknownTopicId.code(), &None)
    );
    assert_eq!(ask(vec![], 12).await, [], "none is not all");
    assert_eq!(ask(vec![], 0).await.len(), 1, "except in v0");
    assert!(
        cluster.partition("nope", 0).await.is_err(),
        "nothing is created unless the cluster was built to"
    );
}

#[tokio::test(start_paused = true)]
async fn topics_are_created_on_demand_if_wanted() {
    let cluster = FakeCluster::builder()
        .auto_create_topics(true)
        .default_partitions(2)
        .start_in_memory()
        .await
        .unwrap();
    let mut client = Client::connect(&cluster, 1).await;
    let request = |allow_auto_topic_creation| MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some("new".to_owned()),
            ..Default::default()
        }]),
        allow_auto_topic_creation,
        ..Default::default()
    };
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    assert_eq!(
        client.ask(&request(false)).await.topics[0].error_code,
        unknown
    );
    assert_eq!(
        client.ask(&request(true)).await.topics[0].error_code,
        unknown,
        "it is being created"
    );
    let created = client.ask(&request(true)).await;
    assert_eq!(
        (
            created.topics[0].error_code,
            created.topics[0].partitions.len()
        ),
        (0, 2)
    );
}
