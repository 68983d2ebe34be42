//! Fetch sessions over the wire.

use ottla_codec::ErrorCode;
use ottla_codec::messages::fetch::{FetchRequest, ForgottenTopic};
use ottla_fake::{FakeCluster, Record};

use crate::client::{Client, fetch, wanted};

async fn opened() -> (FakeCluster, Client, i32) {
    let cluster = FakeCluster::builder()
        .topic("t", 2)
        .topic("u", 1)
        .start_in_memory()
        .await
        .unwrap();
    let mut client = Client::connect(&cluster, 1).await;
    let mut request = fetch("t", 0, 0);
    request.topics[0].partitions.push(wanted(1, 0));
    request.session_epoch = 0;
    let answer = client.call(&request, 12).await;
    assert_eq!(
        (answer.error_code, answer.responses[0].partitions.len()),
        (0, 2)
    );
    assert_eq!(
        cluster.fetch_sessions(1).await.unwrap(),
        [answer.session_id]
    );
    (cluster, client, answer.session_id)
}

fn incremental(session_id: i32, session_epoch: i32) -> FetchRequest {
    FetchRequest {
        session_id,
        session_epoch,
        topics: Vec::new(),
        ..fetch("t", 0, 0)
    }
}

#[tokio::test(start_paused = true)]
async fn an_incremental_fetch_hears_only_of_news() {
    let (cluster, mut client, id) = opened().await;
    let answer = client.call(&incremental(id, 1), 12).await;
    assert_eq!(
        (answer.error_code, answer.session_id, answer.responses.len()),
        (0, id, 0)
    );
    cluster.append("t", 1, [Record::of("a")]).await.unwrap();
    let answer = client.call(&incremental(id, 2), 12).await;
    assert_eq!(answer.responses[0].partitions.len(), 1);
    assert_eq!(
        (
            answer.responses[0].partitions[0].partition_index,
            answer.responses[0].partitions[0].high_watermark
        ),
        (1, 1)
    );
    let mut request = incremental(id, 3);
    request.topics = fetch("t", 1, 1).topics;
    request.forgotten_topics_data = vec![ForgottenTopic {
        topic: "t".to_owned(),
        partitions: vec![0],
        ..Default::default()
    }];
    assert_eq!(client.call(&request, 12).await.responses, []);
    cluster
        .append("t", 0, [Record::of("forgotten")])
        .await
        .unwrap();
    assert_eq!(client.call(&incremental(id, 4), 12).await.responses, []);
    cluster.delete_topic("t").await.unwrap();
    let answer = client.call(&incremental(id, 5), 12).await;
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    assert_eq!(answer.responses[0].partitions[0].error_code, unknown);
    let again = client.call(&incremental(id, 6), 12).await;
    assert_eq!(
        again.responses[0].partitions[0].error_code, unknown,
        "errors are news each time"
    );
}

#[tokio::test(start_paused = true)]
async fn session_errors() {
    let (cluster, mut client, id) = opened().await;
    let wrong_epoch = client.call(&incremental(id, 7), 12).await;
    assert_eq!(
        wrong_epoch.error_code,
        ErrorCode::InvalidFetchSessionEpoch.code()
    );
    assert_eq!(wrong_epoch.responses, []);
    let by_id = client.call(&incremental(id, 1), 13).await;
    assert_eq!(by_id.error_code, ErrorCode::FetchSessionTopicIdError.code());
    assert_eq!(
        client.call(&incremental(id, 1), 12).await.error_code,
        0,
        "errors leave the session as it was"
    );
    assert_eq!(cluster.evict_fetch_sessions(1).await.unwrap(), 1);
    let evicted = client.call(&incremental(id, 2), 12).await;
    assert_eq!(evicted.error_code, ErrorCode::FetchSessionIdNotFound.code());
}

#[tokio::test(start_paused = true)]
async fn full_fetches_close_sessions_and_slots_run_out() {
    let (cluster, mut client, id) = opened().await;
    let close = FetchRequest {
        session_id: id,
        session_epoch: -1,
        ..fetch("t", 0, 0)
    };
    let answer = client.call(&close, 12).await;
    assert_eq!((answer.error_code, answer.session_id), (0, 0));
    assert_eq!(cluster.fetch_sessions(1).await.unwrap(), []);
    cluster.set_fetch_session_slots(1, 0).await.unwrap();
    let open = FetchRequest {
        session_epoch: 0,
        ..fetch("t", 0, 0)
    };
    assert_eq!(client.call(&open, 12).await.session_id, 0);
}

#[tokio::test(start_paused = true)]
async fn sessions_die_with_their_broker() {
    let (cluster, _client, id) = opened().await;
    cluster.kill_broker(1).await.unwrap();
    cluster.start_broker(1).await.unwrap();
    let mut client = Client::connect(&cluster, 1).await;
    let answer = client.call(&incremental(id, 1), 12).await;
    assert_eq!(answer.error_code, ErrorCode::FetchSessionIdNotFound.code());
}
