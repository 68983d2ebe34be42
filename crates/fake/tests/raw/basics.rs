//! The first things a client does.

use ottla_codec::messages::api_versions::ApiVersionsRequest;
use ottla_codec::messages::metadata::MetadataRequest;
use ottla_codec::{ApiKey, ErrorCode, frame};
use ottla_fake::FakeCluster;

use crate::client::{Client, batch, cluster};

#[tokio::test(start_paused = true)]
async fn a_record_goes_in_and_comes_out() {
    let (cluster, mut client) = cluster().await;
    let produced = client.produce("t", 0, batch(&["a", "b"])).await;
    assert_eq!(
        (
            produced.error_code,
            produced.base_offset,
            produced.log_append_time_ms
        ),
        (0, 0, -1)
    );
    let produced = client.produce("t", 0, batch(&["c"])).await;
    assert_eq!((produced.error_code, produced.base_offset), (0, 2));

    let fetched = client.fetch("t", 0, 0).await;
    assert_eq!(
        (
            fetched.error_code,
            fetched.high_watermark,
            fetched.log_start_offset
        ),
        (0, 3, 0)
    );
    assert_eq!(
        fetched.records.unwrap().len(),
        batch(&["a", "b"]).len() + batch(&["c"]).len()
    );

    let log = cluster.log("t", 0).await.unwrap();
    let values: Vec<_> = log
        .iter()
        .map(|record| (record.offset, record.value.clone().unwrap()))
        .collect();
    assert_eq!(values, [(0, "a".into()), (1, "b".into()), (2, "c".into())]);
    assert_eq!(cluster.violations().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn metadata_spreads_leaders() {
    let cluster = FakeCluster::builder()
        .brokers(3)
        .topic("t", 4)
        .start_in_memory()
        .await
        .unwrap();
    let mut client = Client::connect(&cluster, 2).await;
    let metadata = client
        .ask(&MetadataRequest {
            topics: None,
            ..Default::default()
        })
        .await;
    let brokers: Vec<_> = metadata
        .brokers
        .iter()
        .map(|b| (b.node_id, b.host.as_str(), b.port))
        .collect();
    assert_eq!(
        brokers,
        [
            (1, "broker-1", 9092),
            (2, "broker-2", 9092),
            (3, "broker-3", 9092)
        ]
    );
    let topic = &metadata.topics[0];
    assert_eq!(
        (topic.name.as_deref(), topic.topic_id.is_zero()),
        (Some("t"), false)
    );
    let leaders: Vec<_> = topic.partitions.iter().map(|p| p.leader_id).collect();
    assert_eq!(leaders, [1, 2, 3, 1]);
    assert_eq!(topic.partitions[1].replica_nodes, [2, 3, 1]);
}

#[tokio::test(start_paused = true)]
async fn api_versions_falls_back_to_v0_for_versions_of_the_future() {
    let cluster = FakeCluster::builder().start_in_memory().await.unwrap();
    let mut client = Client::connect(&cluster, 1).await;
    let request = ApiVersionsRequest {
        client_software_name: "raw".to_owned(),
        client_software_version: "1.0".to_owned(),
        ..Default::default()
    };
    let answer = client.ask(&request).await;
    let produce = answer
        .api_keys
        .iter()
        .find(|key| key.api_key == ApiKey::Produce as i16)
        .unwrap();
    assert_eq!((produce.min_version, produce.max_version), (0, 13));
    assert!(
        answer
            .finalized_features
            .iter()
            .any(|f| f.name == "transaction.version" && f.max_version_level == 2)
    );

    let mut future = frame::encode_request(9, None, &request, 4)
        .unwrap()
        .to_bytes()
        .to_vec();
    future[7] = 77;
    tokio::io::AsyncWriteExt::write_all(&mut client.stream, &future)
        .await
        .unwrap();
    let (_, answer) = client.receive::<ApiVersionsRequest>(0).await.unwrap();
    assert_eq!(answer.error_code, ErrorCode::UnsupportedVersion.code());
    assert_eq!(answer.api_keys.len(), 1);
    assert_eq!(
        (answer.api_keys[0].api_key, answer.api_keys[0].max_version),
        (18, 4)
    );
}

#[tokio::test]
async fn tcp_works_too() {
    let cluster = FakeCluster::builder()
        .brokers(2)
        .topic("t", 1)
        .start()
        .await
        .unwrap();
    let (host, port) = cluster.address(1).unwrap();
    assert_eq!(host, "127.0.0.1");
    let mut stream = tokio::net::TcpStream::connect((host, port)).await.unwrap();
    let request = MetadataRequest {
        topics: None,
        ..Default::default()
    };
    let mut frame = frame::encode_request(1, None, &request, 9).unwrap();
    tokio::io::AsyncWriteExt::write_all_buf(&mut stream, &mut frame)
        .await
        .unwrap();
    let length = tokio::io::AsyncReadExt::read_i32(&mut stream)
        .await
        .unwrap();
    let mut answer = vec![0; usize::try_from(length).unwrap()];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut answer)
        .await
        .unwrap();
    let (_, metadata) = frame::decode_response::<MetadataRequest>(&answer.into(), 9).unwrap();
    assert_eq!((metadata.brokers.len(), metadata.topics.len()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn topics_are_created_by_request() {
    let cluster = FakeCluster::builder()
        .brokers(3)
        .start_in_memory()
        .await
        .unwrap();
    let mut client = Client::connect(&cluster, 1).await;
    assert_eq!(client.create("new", 2).await, 0);
    assert_eq!(
        client.create("new", 2).await,
        ErrorCode::TopicAlreadyExists.code()
    );
    assert_eq!(
        client.create("no/good", 2).await,
        ErrorCode::InvalidTopicException.code()
    );
    assert_eq!(
        client.create("zero", 0).await,
        ErrorCode::InvalidPartitions.code()
    );
    assert_eq!(
        cluster.partition("new", 1).await.unwrap().replicas,
        [2, 3, 1]
    );
}
