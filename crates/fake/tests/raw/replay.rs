//! The same seed is the same run.

use std::time::Duration;

use ottla_codec::ApiKey;
use ottla_codec::messages::api_versions::ApiVersionsRequest;
use ottla_codec::messages::produce::ProduceRequest;
use ottla_fake::{FakeCluster, LoggedRequest};

use crate::client::{Client, batch, fetch, produce};

async fn run(seed: u64) -> (Vec<LoggedRequest>, Vec<i64>) {
    let cluster = FakeCluster::builder()
        .brokers(3)
        .topic("t", 3)
        .seed(seed)
        .wall_clock_start_ms(1)
        .keep_frames(true)
        .start_in_memory()
        .await
        .unwrap();
    cluster
        .on_any()
        .always()
        .delay_between(Duration::ZERO, Duration::from_millis(50));
    let mut clients = tokio::task::JoinSet::new();
    for broker in 1..=3 {
        let mut client = Client::connect(&cluster, broker).await;
        clients.spawn(async move {
            let mut session = 0;
            for offset in 0..20 {
                client.produce("t", broker - 1, batch(&["value"])).await;
                let mut request = fetch("t", broker - 1, offset);
                (request.session_id, request.session_epoch) = (session, 0);
                session = client.call(&request, 12).await.session_id;
            }
        });
    }
    clients.join_all().await;
    let log = cluster.log("t", 0).await.unwrap();
    (
        cluster.requests().await.unwrap(),
        log.iter().map(|record| record.timestamp).collect(),
    )
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_requests_byte_for_byte() {
    let (first, second, other) = (run(7).await, run(7).await, run(8).await);
    assert_eq!(first.0.len(), 120);
    assert_eq!(first, second);
    assert_ne!(first.0, other.0);
}

#[tokio::test(start_paused = true)]
async fn older_brokers_can_be_imitated() {
    let cluster = FakeCluster::builder()
        .topic("t", 1)
        .advertise(ApiKey::Produce, 0, 8)
        .advertise(ApiKey::Heartbeat, 0, 2)
        .without(ApiKey::DescribeCluster)
        .start_in_memory()
        .await
        .unwrap();
    let mut client = Client::connect(&cluster, 1).await;
    let request = ApiVersionsRequest {
        client_software_name: "raw".to_owned(),
        client_software_version: "1".to_owned(),
        ..Default::default()
    };
    let keys = client.ask(&request).await.api_keys;
    let range = |api: ApiKey| {
        keys.iter()
            .find(|key| key.api_key == api as i16)
            .map(|key| (key.min_version, key.max_version))
    };
    assert_eq!(range(ApiKey::Produce), Some((0, 8)));
    assert_eq!(range(ApiKey::Heartbeat), Some((0, 2)));
    assert_eq!(range(ApiKey::DescribeCluster), None);
    let answer = client
        .call::<ProduceRequest>(&produce("t", 0, -1, batch(&["a"])), 8)
        .await;
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    assert!(
        client
            .try_call(&produce("t", 0, -1, batch(&["a"])), 9)
            .await
            .is_err()
    );
}
