//! Produce: what is stored, what is refused, and how producers are told apart.

use std::time::Duration;

use bytes::Bytes;
use ottla_codec::messages::fetch::FetchRequest;
use ottla_codec::messages::init_producer_id::InitProducerIdRequest;
use ottla_codec::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use ottla_codec::messages::produce::ProduceRequest;
use ottla_codec::records::{BatchFields, Compression};
use ottla_codec::{ErrorCode, Uuid};
use ottla_fake::{FakeCluster, InvalidBatch, TopicSpec, Violation};

use crate::client::{Client, batch, batch_of, cluster, fetch, produce, sequenced};

#[tokio::test(start_paused = true)]
async fn repeats_within_five_batches_succeed_with_their_first_offset() {
    let (cluster, mut client) = cluster().await;
    let id = client.producer_id().await;
    for sequence in 0..6 {
        let produced = client
            .produce("t", 0, sequenced(&["v"], id, 0, sequence))
            .await;
        assert_eq!(
            (produced.error_code, produced.base_offset),
            (0, i64::from(sequence))
        );
    }
    let repeated = client.produce("t", 0, sequenced(&["v"], id, 0, 1)).await;
    assert_eq!((repeated.error_code, repeated.base_offset), (0, 1));
    // The sixth batch back is forgotten, and then it is only out of order.
    let forgotten = client.produce("t", 0, sequenced(&["v"], id, 0, 0)).await;
    assert_eq!(
        forgotten.error_code,
        ErrorCode::OutOfOrderSequenceNumber.code()
    );
    assert_eq!((forgotten.base_offset, forgotten.log_start_offset), (-1, 0));
    assert_eq!(cluster.log("t", 0).await.unwrap().len(), 6);
    let sequences: Vec<_> = cluster
        .log("t", 0)
        .await
        .unwrap()
        .iter()
        .map(|record| record.sequence)
        .collect();
    assert_eq!(sequences, [0, 1, 2, 3, 4, 5]);
    assert!(matches!(
        cluster.violations().await.unwrap()[..],
        [Violation::OutOfOrderSequence { expected: 6, .. }]
    ));
}

#[tokio::test(start_paused = true)]
async fn a_retry_with_other_records_is_noticed() {
    let (cluster, mut client) = cluster().await;
    let id = client.producer_id().await;
    client.produce("t", 0, sequenced(&["one"], id, 0, 0)).await;
    let repeated = client.produce("t", 0, sequenced(&["two"], id, 0, 0)).await;
    assert_eq!(
        (repeated.error_code, repeated.base_offset),
        (0, 0),
        "brokers do not notice"
    );
    assert!(matches!(
        cluster.violations().await.unwrap()[..],
        [Violation::RetryDiffers { sequence: 0, .. }]
    ));
}

#[tokio::test(start_paused = true)]
async fn gaps_stale_epochs_and_new_epochs() {
    let (cluster, mut client) = cluster().await;
    let id = client.producer_id().await;
    let mut send = async |epoch, sequence| {
        client
            .produce("t", 0, sequenced(&["a", "b"], id, epoch, sequence))
            .await
            .error_code
    };
    let out_of_order = ErrorCode::OutOfOrderSequenceNumber.code();
    assert_eq!(send(0, 0).await, 0);
    assert_eq!(send(0, 3).await, out_of_order);
    assert_eq!(send(0, 1).await, out_of_order, "an overlap is no repeat");
    assert_eq!(send(1, 2).await, out_of_order, "a new epoch begins with 0");
    assert_eq!(send(1, 0).await, 0);
    assert_eq!(send(0, 2).await, ErrorCode::InvalidProducerEpoch.code());
    assert_eq!(send(1, 2).await, 0);
    assert_eq!(cluster.violations().await.unwrap().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_producer_may_begin_anywhere_and_that_is_noticed() {
    let (cluster, mut client) = cluster().await;
    let id = client.producer_id().await;
    assert_eq!(
        client
            .produce("t", 0, sequenced(&["a"], id, 3, 17))
            .await
            .error_code,
        0
    );
    assert!(matches!(
        cluster.violations().await.unwrap()[..],
        [Violation::FirstSequenceNotZero { sequence: 17, .. }]
    ));
    assert!(cluster.expire_producer("t", 0, id).await.unwrap());
    assert_eq!(
        client
            .produce("t", 0, sequenced(&["a"], id, 0, 99))
            .await
            .error_code,
        0
    );
}

#[tokio::test(start_paused = true)]
async fn sequences_wrap() {
    let (cluster, mut client) = cluster().await;
    let id = client.producer_id().await;
    client
        .produce("t", 0, sequenced(&["a", "b"], id, 0, i32::MAX))
        .await;
    assert_eq!(
        client
            .produce("t", 0, sequenced(&["c"], id, 0, 1))
            .await
            .error_code,
        0
    );
    let sequences: Vec<_> = cluster
        .log("t", 0)
        .await
        .unwrap()
        .iter()
        .map(|record| record.sequence)
        .collect();
    assert_eq!(sequences, [i32::MAX, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn invalid_batches_are_refused_with_kafkas_codes() {
    let (cluster, mut client) = cluster().await;
    let good = batch(&["value"]);
    let changed = |at: usize, value: u8| {
        let mut bytes = good.to_vec();
        bytes[at] = value;
        Bytes::from(bytes)
    };
    let two = Bytes::from([good.clone(), good.clone()].concat());
    let cases = [
        (changed(70, 0x7f), ErrorCode::CorruptMessage),
        (changed(16, 1), ErrorCode::InvalidRecord),
        (changed(16, 9), ErrorCode::CorruptMessage),
        (changed(7, 1), ErrorCode::InvalidRecord),
        (two, ErrorCode::InvalidRecord),
        (Bytes::new(), ErrorCode::InvalidRecord),
        (good.slice(..good.len() - 1), ErrorCode::InvalidRecord),
    ];
    for (nth, (bytes, error)) in cases.into_iter().enumerate() {
        let produced = client.produce("t", 0, bytes).await;
        assert_eq!(
            (produced.error_code, produced.base_offset),
            (error.code(), -1),
            "case {nth}"
        );
    }
    assert_eq!(cluster.log("t", 0).await.unwrap(), []);
    let violations = cluster.violations().await.unwrap();
    assert_eq!(violations.len(), 7);
    assert!(violations.iter().any(|v| matches!(
        v,
        Violation::InvalidBatch {
            reason: InvalidBatch::Checksum,
            ..
        }
    )));
    assert_eq!(
        violations
            .iter()
            .filter(|v| matches!(v, Violation::NotOneBatch { .. }))
            .count(),
        3
    );
}

#[tokio::test(start_paused = true)]
async fn topic_settings_are_honoured() {
    let small = TopicSpec::new("small", 1).config("max.message.bytes", "100");
    let compacted = TopicSpec::new("compacted", 1).config("cleanup.policy", "compact");
    let stamped = TopicSpec::new("stamped", 1).config("message.timestamp.type", "LogAppendTime");
    let cluster = FakeCluster::builder()
        .wall_clock_start_ms(5_000)
        .topic_spec(small)
        .topic_spec(compacted)
        .topic_spec(stamped)
        .start_in_memory()
        .await
        .unwrap();
    let mut client = Client::connect(&cluster, 1).await;
    let large = client
        .produce("small", 0, batch(&["x".repeat(100).as_str()]))
        .await;
    assert_eq!(large.error_code, ErrorCode::MessageTooLarge.code());
    let keyless = client.produce("compacted", 0, batch(&["a", "b"])).await;
    assert_eq!(keyless.error_code, ErrorCode::InvalidRecord.code());
    assert_eq!(
        keyless
            .record_errors
            .iter()
            .map(|error| error.batch_index)
            .collect::<Vec<_>>(),
        [0, 1]
    );
    assert!(keyless.error_message.is_some());

    tokio::time::advance(Duration::from_millis(7)).await;
    let stamped = client.produce("stamped", 0, batch(&["a", "b"])).await;
    assert_eq!((stamped.error_code, stamped.log_append_time_ms), (0, 5_007));
    let log = cluster.log("stamped", 0).await.unwrap();
    assert_eq!(
        log.iter()
            .map(|record| record.timestamp)
            .collect::<Vec<_>>(),
        [5_007, 5_007]
    );
    cluster
        .set_topic_config("stamped", "message.timestamp.type", "CreateTime")
        .await
        .unwrap();
    cluster
        .set_topic_config("stamped", "message.timestamp.before.max.ms", "10")
        .await
        .unwrap();
    let old = client.produce("stamped", 0, batch(&["a"])).await;
    assert_eq!(old.error_code, ErrorCode::InvalidTimestamp.code());
    assert_eq!(
        cluster.violations().await.unwrap(),
        [],
        "these are up to the client's user"
    );
}

#[tokio::test(start_paused = true)]
async fn every_codec_is_stored_as_it_came() {
    let (cluster, mut client) = cluster().await;
    for (partition, codec) in [
        (0, Compression::Gzip),
        (0, Compression::Snappy),
        (0, Compression::Lz4),
        (0, Compression::Zstd),
    ] {
        let sent = batch_of(&["a", "b", "c"], codec, &BatchFields::default());
        let produced = client.produce("t", partition, sent.clone()).await;
        assert_eq!(produced.error_code, 0, "{codec}");
        let fetched = client
            .fetch("t", partition, produced.base_offset)
            .await
            .records
            .unwrap()
            .to_bytes();
        assert_eq!(
            fetched[16..],
            sent[16..],
            "only offset and leader epoch change"
        );
    }
    assert_eq!(cluster.log("t", 0).await.unwrap().len(), 12);
    let zstd = batch_of(&["a"], Compression::Zstd, &BatchFields::default());
    let old = client.call(&produce("t", 0, -1, zstd), 6).await;
    let code = old.responses[0].partition_responses[0].error_code;
    assert_eq!(code, ErrorCode::UnsupportedCompressionType.code());
}

#[tokio::test(start_paused = true)]
async fn the_wrong_broker_names_the_right_one() {
    let (_cluster, mut client) = cluster().await;
    let answer = client.call(&produce("t", 1, -1, batch(&["a"])), 12).await;
    let refused = &answer.responses[0].partition_responses[0];
    assert_eq!(refused.error_code, ErrorCode::NotLeaderOrFollower.code());
    assert_eq!(
        (
            refused.current_leader.leader_id,
            refused.current_leader.leader_epoch
        ),
        (2, 0)
    );
    assert_eq!(
        (
            answer.node_endpoints[0].node_id,
            answer.node_endpoints[0].host.as_str()
        ),
        (2, "broker-2")
    );
    let older = client.call(&produce("t", 1, -1, batch(&["a"])), 9).await;
    assert_eq!(older.node_endpoints, []);
    let unknown = client.produce("t", 9, batch(&["a"])).await;
    assert_eq!(
        unknown.error_code,
        ErrorCode::UnknownTopicOrPartition.code()
    );
    let unknown = client.produce("nope", 0, batch(&["a"])).await;
    assert_eq!(
        unknown.error_code,
        ErrorCode::UnknownTopicOrPartition.code()
    );
}

#[tokio::test(start_paused = true)]
async fn topic_ids_since_v13() {
    let (cluster, mut client) = cluster().await;
    let topics = vec![MetadataRequestTopic {
        name: Some("t".to_owned()),
        ..Default::default()
    }];
    let metadata = client
        .ask(&MetadataRequest {
            topics: Some(topics),
            ..Default::default()
        })
        .await;
    let mut request = produce("", 0, -1, batch(&["a"]));
    request.topic_data[0].topic_id = metadata.topics[0].topic_id;
    assert_eq!(
        client.call(&request, 13).await.responses[0].partition_responses[0].error_code,
        0
    );
    assert_eq!(cluster.log("t", 0).await.unwrap().len(), 1);
    cluster.recreate_topic("t").await.unwrap();
    let gone = client.call(&request, 13).await;
    assert_eq!(
        gone.responses[0].partition_responses[0].error_code,
        ErrorCode::UnknownTopicId.code()
    );
    assert_eq!(cluster.log("t", 0).await.unwrap(), []);
    request.topic_data[0].topic_id = Uuid::ZERO;
    let zero = client.call(&request, 13).await;
    assert_eq!(
        zero.responses[0].partition_responses[0].error_code,
        ErrorCode::UnknownTopicId.code()
    );
}

#[tokio::test(start_paused = true)]
async fn acks_zero_is_silent_or_closes() {
    let (cluster, mut client) = cluster().await;
    client.send(&produce("t", 0, 0, batch(&["a"])), 12).await;
    assert_eq!(
        client.fetch("t", 0, 0).await.high_watermark,
        1,
        "the next answer is the next request's"
    );
    client.send(&produce("t", 1, 0, batch(&["a"])), 12).await;
    assert!(
        client.frame().await.is_err(),
        "an error closes the connection"
    );
    let mut client = Client::connect(&cluster, 1).await;
    let bad = client.call(&produce("t", 0, 2, batch(&["a"])), 12).await;
    assert_eq!(
        bad.responses[0].partition_responses[0].error_code,
        ErrorCode::InvalidRequiredAcks.code()
    );
}

#[tokio::test(start_paused = true)]
async fn acks_all_waits_for_replication_until_its_timeout() {
    let (cluster, mut client) = cluster().await;
    cluster.hold_replication("t", 0).await.unwrap();
    let start = tokio::time::Instant::now();
    let answer = client.produce("t", 0, batch(&["a"])).await;
    assert_eq!(
        (answer.error_code, answer.base_offset),
        (ErrorCode::RequestTimedOut.code(), 0)
    );
    assert_eq!(start.elapsed(), Duration::from_secs(1));
    assert_eq!(
        cluster.log("t", 0).await.unwrap().len(),
        1,
        "it is appended nevertheless"
    );
    assert_eq!(
        client.call(&fetch("t", 0, 0), 12).await.responses[0].partitions[0].high_watermark,
        0
    );

    client.send(&produce("t", 0, -1, batch(&["b"])), 12).await;
    while cluster.log("t", 0).await.unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
    cluster.release_replication("t", 0).await.unwrap();
    let (_, answer) = client.receive::<ProduceRequest>(12).await.unwrap();
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
}

#[tokio::test(start_paused = true)]
async fn too_few_replicas() {
    let topic = TopicSpec::new("safe", 1).config("min.insync.replicas", "2");
    let cluster = FakeCluster::builder()
        .brokers(2)
        .topic_spec(topic)
        .start_in_memory()
        .await
        .unwrap();
    let mut client = Client::connect(&cluster, 1).await;
    cluster.stop_broker(2).await.unwrap();
    let refused = client.produce("safe", 0, batch(&["a"])).await;
    assert_eq!(refused.error_code, ErrorCode::NotEnoughReplicas.code());
    let leader_only = client.call(&produce("safe", 0, 1, batch(&["a"])), 12).await;
    assert_eq!(
        leader_only.responses[0].partition_responses[0].error_code,
        0
    );
    cluster.start_broker(2).await.unwrap();
    assert_eq!(client.produce("safe", 0, batch(&["a"])).await.error_code, 0);
}

#[tokio::test(start_paused = true)]
async fn versions_below_three_are_advertised_and_closed_upon() {
    let (cluster, mut client) = cluster().await;
    let mut frame =
        ottla_codec::frame::encode_request(1, None, &produce("t", 0, -1, batch(&["a"])), 3)
            .unwrap()
            .to_bytes()
            .to_vec();
    frame[7] = 2;
    tokio::io::AsyncWriteExt::write_all(&mut client.stream, &frame)
        .await
        .unwrap();
    assert!(client.frame().await.is_err());
    assert!(matches!(
        cluster.violations().await.unwrap()[..],
        [Violation::NotServed { version: 2, .. }]
    ));
}

#[tokio::test(start_paused = true)]
async fn transactional_batches_need_a_transaction() {
    let (_cluster, mut client) = cluster().await;
    let id = client.producer_id().await;
    let fields = BatchFields {
        producer_id: id,
        producer_epoch: 0,
        base_sequence: 0,
        is_transactional: true,
        ..Default::default()
    };
    let bytes = batch_of(&["a"], Compression::None, &fields);
    let mut request = produce("t", 0, -1, bytes);
    let without_id = client.call(&request, 12).await;
    let code = without_id.responses[0].partition_responses[0].error_code;
    assert_eq!(code, ErrorCode::TransactionalIdAuthorizationFailed.code());
    request.transactional_id = Some("tx".to_owned());
    let without_transaction = client.call(&request, 12).await;
    assert_eq!(
        without_transaction.responses[0].partition_responses[0].error_code,
        ErrorCode::InvalidTxnState.code()
    );
}

#[tokio::test(start_paused = true)]
async fn producer_ids() {
    let (cluster, mut client) = cluster().await;
    assert_eq!(client.producer_id().await, 0);
    assert_eq!(client.producer_id().await, 1);
    let request = InitProducerIdRequest {
        transactional_id: Some("tx".to_owned()),
        transaction_timeout_ms: 60_000,
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    };
    let mut epochs = Vec::new();
    for broker in 1..=3 {
        let mut client = Client::connect(&cluster, broker).await;
        for _ in 0..2 {
            let answer = client.ask(&request).await;
            epochs.push((answer.error_code, answer.producer_epoch));
        }
    }
    let not_coordinator = (ErrorCode::NotCoordinator.code(), -1);
    epochs.sort_unstable();
    assert_eq!(
        epochs,
        [
            (0, 0),
            (0, 1),
            not_coordinator,
            not_coordinator,
            not_coordinator,
            not_coordinator
        ]
    );
    let too_long = InitProducerIdRequest {
        transaction_timeout_ms: i32::MAX,
        ..request
    };
    let mut codes = Vec::new();
    for broker in 1..=3 {
        codes.push(
            Client::connect(&cluster, broker)
                .await
                .ask(&too_long)
                .await
                .error_code,
        );
    }
    assert_eq!(codes, [ErrorCode::InvalidTransactionTimeout.code(); 3]);
    let _ = client.call::<FetchRequest>(&fetch("t", 0, 0), 4).await;
}
