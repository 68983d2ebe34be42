//! Rules, holds and cuts.

use std::time::Duration;

use ottla_codec::messages::metadata::MetadataRequest;
use ottla_codec::messages::produce::ProduceRequest;
use ottla_codec::messages::share_group_heartbeat::{
    ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse,
};
use ottla_codec::{ApiKey, ErrorCode};
use ottla_fake::{DialFault, FakeCluster, Violation};
use tokio::time::{Instant, timeout};

use crate::client::{Client, batch, produce};

async fn cluster() -> (FakeCluster, Client) {
    let cluster = FakeCluster::builder()
        .brokers(2)
        .topic("t", 2)
        .start_in_memory()
        .await
        .unwrap();
    let client = Client::connect(&cluster, 1).await;
    (cluster, client)
}

async fn log_len(cluster: &FakeCluster) -> usize {
    cluster.log("t", 0).await.unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn errors_apply_nothing_and_are_counted() {
    let (cluster, mut client) = cluster().await;
    let rule = cluster
        .on::<ProduceRequest>()
        .skip(1)
        .times(2)
        .error(ErrorCode::NotEnoughReplicas);
    let mut codes = Vec::new();
    for _ in 0..4 {
        codes.push(client.produce("t", 0, batch(&["a"])).await.error_code);
    }
    let refused = ErrorCode::NotEnoughReplicas.code();
    assert_eq!(codes, [0, refused, refused, 0]);
    assert_eq!((rule.hits(), log_len(&cluster).await), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn conditions() {
    let (cluster, mut client) = cluster().await;
    let large = cluster.on::<ProduceRequest>().always().when(|request| {
        request.topic_data[0].partition_data[0]
            .records
            .as_ref()
            .is_some_and(|records| records.len() > 100)
    });
    let large = large.error(ErrorCode::MessageTooLarge);
    let elsewhere = cluster
        .on::<ProduceRequest>()
        .broker(2)
        .error(ErrorCode::InvalidRecord);
    let other_client = cluster
        .on::<ProduceRequest>()
        .client_id("other")
        .error(ErrorCode::InvalidRecord);
    let old = cluster
        .on::<ProduceRequest>()
        .versions(3..=8)
        .error(ErrorCode::InvalidRecord);
    assert_eq!(
        client.produce("t", 0, batch(&["small"])).await.error_code,
        0
    );
    let big = "x".repeat(100);
    assert_eq!(
        client.produce("t", 0, batch(&[&big])).await.error_code,
        ErrorCode::MessageTooLarge.code()
    );
    assert_eq!(
        [
            large.hits(),
            elsewhere.hits(),
            other_client.hits(),
            old.hits()
        ],
        [1, 0, 0, 0]
    );
    large.remove();
    assert_eq!(client.produce("t", 0, batch(&[&big])).await.error_code, 0);
    cluster.on_any().always().close();
    cluster.clear_rules();
    assert_eq!(client.produce("t", 0, batch(&["a"])).await.error_code, 0);
}

#[tokio::test(start_paused = true)]
async fn replies_and_edits() {
    let (cluster, mut client) = cluster().await;
    cluster.on::<ProduceRequest>().edit(|request, response| {
        assert_eq!(request.acks, -1);
        response.responses[0].partition_responses[0].error_code = ErrorCode::RequestTimedOut.code();
    });
    let answer = client.produce("t", 0, batch(&["a"])).await;
    assert_eq!(
        (answer.error_code, answer.base_offset),
        (ErrorCode::RequestTimedOut.code(), 0)
    );
    assert_eq!(log_len(&cluster).await, 1, "an edit applies");
    cluster
        .on::<ShareGroupHeartbeatRequest>()
        .reply(|request| ShareGroupHeartbeatResponse {
            error_code: i16::try_from(request.member_epoch).unwrap(),
            ..Default::default()
        });
    let request = ShareGroupHeartbeatRequest {
        member_epoch: 42,
        ..Default::default()
    };
    assert_eq!(
        client.ask(&request).await.error_code,
        42,
        "an API that the cluster does not serve"
    );
    assert_eq!(
        client.ask(&request).await.error_code,
        ErrorCode::UnsupportedVersion.code()
    );
    let not_served = Violation::NotServed {
        api: ApiKey::ShareGroupHeartbeat,
        version: 1,
    };
    assert_eq!(cluster.violations().await.unwrap(), [not_served]);
}

#[tokio::test(start_paused = true)]
async fn closing_before_and_after_applying() {
    let (cluster, mut client) = cluster().await;
    let request = produce("t", 0, -1, batch(&["a"]));
    cluster.on::<ProduceRequest>().close();
    assert!(client.try_call(&request, 12).await.is_err());
    assert_eq!(log_len(&cluster).await, 0);
    let mut client = Client::connect(&cluster, 1).await;
    cluster.on::<ProduceRequest>().apply_then_close();
    assert!(client.try_call(&request, 12).await.is_err());
    assert_eq!(log_len(&cluster).await, 1);
}

#[tokio::test(start_paused = true)]
async fn lost_requests_and_lost_answers_mute_the_connection() {
    let (cluster, mut client) = cluster().await;
    cluster.on::<ProduceRequest>().apply_then_drop_response();
    client.send(&produce("t", 0, -1, batch(&["a"])), 12).await;
    client.send(&MetadataRequest::default(), 12).await;
    assert!(
        timeout(Duration::from_secs(3600), client.frame())
            .await
            .is_err()
    );
    assert_eq!(
        (
            log_len(&cluster).await,
            cluster.requests().await.unwrap().len()
        ),
        (1, 1)
    );
    let mut client = Client::connect(&cluster, 1).await;
    cluster.on::<ProduceRequest>().drop_request();
    client.send(&produce("t", 0, -1, batch(&["a"])), 12).await;
    assert!(
        timeout(Duration::from_secs(3600), client.frame())
            .await
            .is_err()
    );
    assert_eq!(log_len(&cluster).await, 1);
}

#[tokio::test(start_paused = true)]
async fn answers_are_cut_where_the_rule_says() {
    let (cluster, _) = cluster().await;
    for at in [0, 3, 4, 10] {
        let mut client = Client::connect(&cluster, 1).await;
        cluster.on::<ProduceRequest>().cut_response_at(at);
        client.send(&produce("t", 0, -1, batch(&["a"])), 12).await;
        let mut all = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut client.stream, &mut all)
            .await
            .unwrap();
        assert_eq!(all.len(), at);
    }
    assert_eq!(log_len(&cluster).await, 4);
}

#[tokio::test(start_paused = true)]
async fn requests_are_cut_where_the_rule_says() {
    let cluster = FakeCluster::builder()
        .pipe_capacity(16)
        .topic("t", 1)
        .start_in_memory()
        .await
        .unwrap();
    let mut client = Client::connect(&cluster, 1).await;
    let rule = cluster.on::<ProduceRequest>().cut_request_at(50);
    let request = produce("t", 0, -1, batch(&["a"]));
    let frame = ottla_codec::frame::encode_request(1, None, &request, 12)
        .unwrap()
        .to_bytes();
    let mut written = 0;
    let error = loop {
        match tokio::io::AsyncWriteExt::write(&mut client.stream, &frame[written..]).await {
            Ok(bytes) => written += bytes,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    assert!((50..=66).contains(&written), "{written} bytes were written");
    assert_eq!((rule.hits(), log_len(&cluster).await), (1, 0));
    assert_eq!(cluster.requests().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn delays_and_throttles() {
    let (cluster, mut client) = cluster().await;
    cluster.on::<ProduceRequest>().delay(Duration::from_secs(3));
    let start = Instant::now();
    client.produce("t", 0, batch(&["a"])).await;
    assert_eq!(start.elapsed(), Duration::from_secs(3));

    cluster
        .on::<ProduceRequest>()
        .throttle(Duration::from_secs(2));
    let start = Instant::now();
    let answer = client.call(&produce("t", 0, -1, batch(&["a"])), 12).await;
    assert_eq!(
        (answer.throttle_time_ms, start.elapsed()),
        (2000, Duration::ZERO)
    );
    client.produce("t", 0, batch(&["a"])).await;
    assert_eq!(
        start.elapsed(),
        Duration::from_secs(2),
        "the connection was muted"
    );

    // A request that is delayed is applied although its client has gone.
    cluster.on::<ProduceRequest>().delay(Duration::from_secs(5));
    client
        .send(&produce("t", 0, -1, batch(&["late"])), 12)
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(client);
    assert_eq!(log_len(&cluster).await, 3);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(log_len(&cluster).await, 4);
}

#[tokio::test(start_paused = true)]
async fn held_requests_wait_for_the_test() {
    let (cluster, mut client) = cluster().await;
    let hold = cluster.on::<ProduceRequest>().hold();
    client.send(&produce("t", 0, -1, batch(&["a"])), 12).await;
    hold.arrived().await.unwrap();
    let mut other = Client::connect(&cluster, 1).await;
    assert_eq!(
        other.produce("t", 0, batch(&["first"])).await.base_offset,
        0
    );
    assert!(hold.release().await.unwrap());
    let (_, answer) = client.receive::<ProduceRequest>(12).await.unwrap();
    assert_eq!(answer.responses[0].partition_responses[0].base_offset, 1);
    assert!(!hold.release().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn chance_is_seeded() {
    let mut runs = Vec::new();
    for seed in [1, 1, 2] {
        let cluster = FakeCluster::builder()
            .seed(seed)
            .topic("t", 1)
            .start_in_memory()
            .await
            .unwrap();
        let mut client = Client::connect(&cluster, 1).await;
        cluster
            .on::<ProduceRequest>()
            .always()
            .chance(0.5)
            .error(ErrorCode::NotEnoughReplicas);
        let mut codes = Vec::new();
        for _ in 0..64 {
            codes.push(client.produce("t", 0, batch(&["a"])).await.error_code);
        }
        assert!((10..=54).contains(&codes.iter().filter(|code| **code == 0).count()));
        runs.push(codes);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
}

#[tokio::test(start_paused = true)]
async fn dials_fail_as_asked() {
    let (cluster, _) = cluster().await;
    let (host, port) = cluster.address(1).unwrap();
    cluster.fail_dials(1, DialFault::Refuse, 1).await.unwrap();
    cluster.fail_dials(1, DialFault::Hang, 1).await.unwrap();
    cluster
        .fail_dials(1, DialFault::CloseAtOnce, 1)
        .await
        .unwrap();
    let refused = cluster.connect(host, port).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(
        timeout(Duration::from_secs(3600), cluster.connect(host, port))
            .await
            .is_err()
    );
    let mut closed = cluster.connect(host, port).await.unwrap();
    assert_eq!(
        tokio::io::AsyncReadExt::read(&mut closed, &mut [0; 1])
            .await
            .unwrap(),
        0
    );
    assert!(cluster.connect(host, port).await.is_ok());
    let nobody = cluster.connect("elsewhere", 1).await.unwrap_err();
    assert_eq!(nobody.kind(), std::io::ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn requests_of_one_connection_are_served_in_turn() {
    let (cluster, mut client) = cluster().await;
    let poll = ottla_codec::messages::fetch::FetchRequest {
        max_wait_ms: 300,
        min_bytes: 1,
        ..crate::client::fetch("t", 0, 0)
    };
    let first = client.send(&poll, 12).await;
    let second = client.send(&MetadataRequest::default(), 12).await;
    let start = Instant::now();
    let frame = client.frame().await.unwrap();
    assert_eq!(
        ottla_codec::frame::response_correlation_id(&frame).unwrap(),
        first
    );
    assert_eq!(start.elapsed(), Duration::from_millis(300));
    let frame = client.frame().await.unwrap();
    assert_eq!(
        ottla_codec::frame::response_correlation_id(&frame).unwrap(),
        second
    );
    assert_eq!(cluster.connections(1).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_is_noticed_while_its_request_waits() {
    let (cluster, mut client) = cluster().await;
    let seen = cluster.on_any().observe();
    let poll = ottla_codec::messages::fetch::FetchRequest {
        max_wait_ms: 300_000,
        min_bytes: 1,
        ..crate::client::fetch("t", 0, 0)
    };
    client.send(&poll, 12).await;
    seen.wait_for_hits(1).await;
    assert_eq!(
        (
            cluster.waiting_fetches(1).await.unwrap(),
            cluster.connections(1).await.unwrap()
        ),
        (1, 1)
    );
    drop(client);
    let start = Instant::now();
    while cluster.connections(1).await.unwrap() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        (cluster.waiting_fetches(1).await.unwrap(), start.elapsed()),
        (0, Duration::ZERO)
    );
}
