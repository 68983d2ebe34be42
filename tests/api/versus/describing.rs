//! What brokers say of the cluster and of themselves: ApiVersions, Metadata, DescribeCluster, DescribeTopicPartitions.

use bytes::{BufMut, BytesMut};
use ottla_codec::messages::api_versions::ApiVersionsRequest;
use ottla_codec::messages::describe_cluster::DescribeClusterRequest;
use ottla_codec::messages::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, TopicRequest,
};
use ottla_codec::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use ottla_codec::{Uuid, frame};

use super::outcome::Outcome;
use super::run::Run;
use crate::support::raw::TopicRef;

pub(super) async fn script(run: &mut Run) {
    versions(run).await;
    let topic = run.topic("t", 3, &[]).await;
    metadata(run, &topic).await;
    clusters(run).await;
    pages(run, &topic).await;
}

async fn versions(run: &mut Run) {
    let request = |name: &str, version: &str| ApiVersionsRequest {
        client_software_name: name.to_owned(),
        client_software_version: version.to_owned(),
        ..Default::default()
    };
    for version in 0..=4 {
        run.step("by somebody", version, &request("some.body-1", "1.0"))
            .await;
    }
    for (name, version) in [
        ("", "1"),
        ("a", ""),
        ("-a", "1"),
        ("a b", "1"),
        ("a", "1-"),
        ("ä", "1"),
    ] {
        let step = format!("by {name:?} {version:?}");
        run.step(&step, 3, &request(name, version)).await;
    }
    for version in [5, 99, -1] {
        let mut bytes = BytesMut::new();
        bytes.put_i16(18);
        bytes.put_i16(version);
        bytes.put_i32(1);
        bytes.put_i16(-1);
        bytes.put_slice(&[0, 2, b'a', 2, b'1', 0]);
        run.client.send_frame(&bytes).await;
        let outcome = match run.client.frame().await {
            Ok(answer) => {
                let (_, answer) = frame::decode_response::<ApiVersionsRequest>(&answer, 0)
                    .expect("an answer in version 0");
                answer.outcome(0, &run.names)
            }
            Err(_) => "the connection is closed".to_owned(),
        };
        run.note(format!("ApiVersions v{version}"), outcome);
        run.client = run.connect().await;
    }
}

async fn metadata(run: &mut Run, topic: &TopicRef) {
    let named = |name: &str| MetadataRequestTopic {
        name: Some(name.to_owned()),
        ..Default::default()
    };
    let request = |topics: Vec<MetadataRequestTopic>| MetadataRequest {
        topics: Some(topics),
        ..Default::default()
    };
    let nobody = run.unique("nobody");
    let nothing = run.unknown_id();
    for version in [0, 1, 4, 5, 7, 8, 9, 10, 12, 13] {
        run.step("a topic", version, &request(vec![named(&topic.name)]))
            .await;
        run.step("an unknown topic", version, &request(vec![named(&nobody)]))
            .await;
        run.step("an impossible name", version, &request(vec![named("a b")]))
            .await;
        let several = vec![named(&nobody), named(&topic.name), named(".")];
        run.step("several", version, &request(several)).await;
        run.step(
            "a topic twice",
            version,
            &request(vec![named(&topic.name), named(&topic.name)]),
        )
        .await;
        if version > 0 {
            run.step("no topics", version, &request(Vec::new())).await;
        }
        run.step("an empty name", version, &request(vec![named("")]))
            .await;
    }
    let long = "x".repeat(250);
    for version in [1, 13] {
        run.step(
            "a name that is too long",
            version,
            &request(vec![named(&long)]),
        )
        .await;
    }
    for version in [4, 13] {
        let not_created = MetadataRequest {
            allow_auto_topic_creation: false,
            ..request(vec![named(&nobody)])
        };
        run.step("an unknown topic, not to be created", version, &not_created)
            .await;
    }
    for version in [8, 10] {
        let operations = MetadataRequest {
            include_cluster_authorized_operations: true,
            include_topic_authorized_operations: true,
            ..request(vec![named(&topic.name)])
        };
        run.step("with operations", version, &operations).await;
    }
    // A Metadata request for nothing, and three bytes more than it has.
    let mut tail = BytesMut::new();
    tail.put_slice(&[0, 3, 0, 13, 0, 0, 0, 1, 0xff, 0xff, 0]);
    tail.put_slice(&[1, 0, 0, 0, 0, 0, 0]);
    run.client.send_frame(&tail).await;
    let outcome = match run.client.frame().await {
        Ok(answer) => {
            let (_, answer) = frame::decode_response::<MetadataRequest>(&answer, 13)
                .expect("an answer in version 13");
            answer.outcome(13, &run.names)
        }
        Err(_) => "the connection is closed".to_owned(),
    };
    run.note("Metadata v13 with bytes left over", outcome);
    let by_id = |id| MetadataRequestTopic {
        topic_id: id,
        name: None,
        ..Default::default()
    };
    for version in [12, 13] {
        run.step("an id", version, &request(vec![by_id(topic.id)]))
            .await;
        run.step("an unknown id", version, &request(vec![by_id(nothing)]))
            .await;
        run.step("an id of zeros", version, &request(vec![by_id(Uuid::ZERO)]))
            .await;
        run.step(
            "several ids",
            version,
            &request(vec![by_id(nothing), by_id(topic.id)]),
        )
        .await;
        run.step(
            "a name and an id",
            version,
            &request(vec![named(&topic.name), by_id(topic.id)]),
        )
        .await;
        let both = MetadataRequestTopic {
            topic_id: topic.id,
            ..named(&topic.name)
        };
        run.step("a name with its id", version, &request(vec![both]))
            .await;
        let wrong = MetadataRequestTopic {
            topic_id: nothing,
            ..named(&topic.name)
        };
        run.step("a name with another's id", version, &request(vec![wrong]))
            .await;
    }
    for version in [10, 11] {
        run.step(
            "an id before ids",
            version,
            &request(vec![MetadataRequestTopic {
                topic_id: topic.id,
                ..named("")
            }]),
        )
        .await;
    }
}

async fn clusters(run: &mut Run) {
    for version in 0..=2 {
        for endpoint_type in [1, 2, 3, 0] {
            if version == 0 && endpoint_type != 1 {
                continue;
            }
            let request = DescribeClusterRequest {
                endpoint_type,
                include_cluster_authorized_operations: true,
                include_fenced_brokers: version >= 2,
                ..Default::default()
            };
            run.step(&format!("endpoint type {endpoint_type}"), version, &request)
                .await;
        }
    }
}

async fn pages(run: &mut Run, topic: &TopicRef) {
    let nobody = run.unique("nobody");
    let request =
        |names: &[&str], limit, cursor: Option<(&str, i32)>| DescribeTopicPartitionsRequest {
            topics: names
                .iter()
                .map(|name| TopicRequest {
                    name: (*name).to_owned(),
                    ..Default::default()
                })
                .collect(),
            response_partition_limit: limit,
            cursor: cursor.map(|(topic_name, partition_index)| Cursor {
                topic_name: topic_name.to_owned(),
                partition_index,
                ..Default::default()
            }),
            ..Default::default()
        };
    let t = &*topic.name;
    let cases = [
        ("a topic", request(&[t], 2000, None)),
        ("two of three partitions", request(&[t], 2, None)),
        ("all of three partitions", request(&[t], 3, None)),
        ("from the cursor on", request(&[t], 2, Some((t, 2)))),
        ("from beyond the end", request(&[t], 2, Some((t, 9)))),
        ("a negative cursor", request(&[t], 2, Some((t, -1)))),
        ("an unknown topic", request(&[&nobody], 10, None)),
        ("an impossible name", request(&["a b"], 10, None)),
        (
            "a topic and an unknown one",
            request(&[t, &nobody], 10, None),
        ),
        ("a topic twice", request(&[t, t], 10, None)),
        ("no partitions", request(&[t], 0, None)),
        (
            "a cursor at an unknown topic",
            request(&[t], 10, Some((&nobody, 0))),
        ),
        (
            "a cursor at the first letter",
            request(&[t], 10, Some(("a", 0))),
        ),
    ];
    for (step, request) in cases {
        run.step(step, 0, &request).await;
    }
}
