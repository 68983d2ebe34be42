//! What a broker lacks is an error that says what was wanted, what that needs and what there is; or it is done without.

use std::time::Duration;

use ottla::{
    AutoOffsetReset, Client, Compression, Error, ErrorKind, GroupState, GroupType, IsolationLevel,
    ListGroups, NewTopic, Producer, Record, StartFrom,
};
use ottla_codec::messages::describe_cluster::DescribeClusterRequest;
use ottla_codec::messages::offset_for_leader_epoch::OffsetForLeaderEpochRequest;
use ottla_codec::messages::produce::ProduceRequest;
use ottla_codec::{ApiKey, ErrorCode};
use ottla_fake::{FakeCluster, FakeClusterBuilder, Release};
use tokio::time::{Instant, timeout};

use super::t0;
use crate::support::PATIENCE;
use crate::support::fake::client_of;

async fn world(
    configure: impl FnOnce(FakeClusterBuilder) -> FakeClusterBuilder,
) -> (FakeCluster, Client) {
    let cluster = FakeCluster::builder().release(Release::V2_1).brokers(3);
    let cluster = configure(cluster.topic("t", 1));
    let cluster = cluster.start_in_memory().await.unwrap();
    let client = client_of(&cluster).build().unwrap();
    (cluster, client)
}

#[track_caller]
fn assert_unsupported(error: &Error, feature: &str, needed: &str, offered: &str) {
    let expected = ErrorKind::Unsupported {
        feature: feature.to_owned(),
        needed: needed.to_owned(),
        offered: offered.to_owned(),
    };
    assert_eq!(*error.kind(), expected);
    assert!(!error.is_retriable());
    let said = format!("{feature} needs {needed}, the broker offers {offered}");
    assert_eq!(error.to_string(), said);
}

async fn refusal(producer: &Producer) -> Error {
    let began = Instant::now();
    let record = Record::to("t").partition(0).value("v");
    let error = producer.send(record).await.unwrap().await.unwrap_err();
    // At once, and not when the delivery's time is up.
    assert!(began.elapsed() < Duration::from_secs(5), "{error}");
    assert!(!error.possibly_written());
    error
}

#[tokio::test(start_paused = true)]
async fn zstd_is_refused_below_produce_7() {
    let (cluster, client) = world(|cluster| cluster.advertise(ApiKey::Produce, 3, 6)).await;
    let zstd = client.producer().compression(Compression::Zstd);
    let error = refusal(&zstd.build().unwrap()).await;
    assert_unsupported(&error, "zstd", "Produce version 7-12", "3-6");
    assert_eq!(cluster.log("t", 0).await.unwrap(), []);
    let lz4 = client.producer().compression(Compression::Lz4);
    let record = Record::to("t").value("v");
    let lz4 = lz4.build().unwrap();
    lz4.send(record).await.unwrap().await.unwrap();
    assert_eq!(cluster.violations().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_broker_too_old_to_produce_to_or_to_fetch_from_is_told() {
    let too_old = |cluster: FakeClusterBuilder| {
        let cluster = cluster.advertise(ApiKey::Produce, 0, 2);
        cluster.advertise(ApiKey::Fetch, 0, 3)
    };
    let (_cluster, client) = world(too_old).await;
    let producer = client.producer().idempotence(false).build().unwrap();
    let error = refusal(&producer).await;
    assert_unsupported(&error, "Produce", "version 3-12", "0-2");
    let mut consumer = client.consumer().build().unwrap();
    consumer.assign([(t0(), StartFrom::Beginning)]).unwrap();
    let next = timeout(PATIENCE, consumer.next()).await.expect("an error");
    assert_unsupported(&next.unwrap_err(), "Fetch", "version 4-12", "0-3");
}

#[tokio::test(start_paused = true)]
async fn idempotence_needs_producer_ids() {
    let (cluster, client) = world(|cluster| cluster.without(ApiKey::InitProducerId)).await;
    let error = refusal(&client.producer().build().unwrap()).await;
    assert_unsupported(&error, "InitProducerId", "version 0-5", "none");
    let plain = client.producer().idempotence(false).build().unwrap();
    let record = Record::to("t").value("v");
    plain.send(record).await.unwrap().await.unwrap();
    assert_eq!(cluster.log("t", 0).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn idempotence_needs_a_topic_of_a_new_format() {
    let (cluster, client) = world(|cluster| cluster).await;
    let old_format = ErrorCode::UnsupportedForMessageFormat;
    cluster.on::<ProduceRequest>().times(1).error(old_format);
    let producer = client.producer().build().unwrap();
    let error = refusal(&producer).await;
    let needed = "message.format.version 0.11 or newer (or turn it off: enable.idempotence=false)";
    assert_unsupported(&error, "idempotence", needed, "an older one for t-0");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        source.contains("UNSUPPORTED_FOR_MESSAGE_FORMAT (43)"),
        "{source}"
    );
    // Refused for itself alone: the next record is as good as any.
    let record = Record::to("t").partition(0).value("v");
    producer.send(record).await.unwrap().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn default_counts_of_topics_need_2_4() {
    let (_cluster, client) = world(|cluster| cluster).await;
    let admin = client.admin();
    let feature = "a topic with the brokers' default counts";
    for topic in [
        NewTopic::new("new"),
        NewTopic::new("new").partitions(1),
        NewTopic::new("new").replication_factor(1),
    ] {
        let error = admin.create_topic(topic).await.unwrap_err();
        assert_unsupported(&error, feature, "CreateTopics version 4-7", "2-3");
    }
    let assigned = NewTopic::new("assigned").assignments(vec![vec![1]]);
    admin.create_topic(assigned).await.unwrap();
    let described = admin.describe_topics(["assigned"]).await.unwrap();
    let described = described["assigned"].as_ref().unwrap();
    assert_eq!(described.id, None, "topics have ids since 2.8");
    assert!(described.partitions[0].leader_epoch.is_some());
}

#[tokio::test(start_paused = true)]
async fn an_api_that_is_not_there_is_named() {
    let lacking = [
        ApiKey::CreateTopics,
        ApiKey::DeleteTopics,
        ApiKey::CreatePartitions,
        ApiKey::DeleteRecords,
        ApiKey::OffsetCommit,
        ApiKey::OffsetFetch,
        ApiKey::ListOffsets,
    ];
    let (_cluster, client) = world(|cluster| {
        let lacking = lacking.into_iter();
        lacking.fold(cluster, FakeClusterBuilder::without)
    })
    .await;
    let admin = client.admin();
    let topic = NewTopic::new("new").partitions(1).replication_factor(1);
    let error = admin.create_topic(topic).await.unwrap_err();
    assert_unsupported(&error, "CreateTopics", "version 2-7", "none");
    let error = admin.delete_topics(["t"]).await.unwrap_err();
    assert_unsupported(&error, "DeleteTopics", "version 1-6", "none");
    let error = admin.create_partitions([("t", 2)]).await.unwrap_err();
    assert_unsupported(&error, "CreatePartitions", "version 0-3", "none");
    let deleted = admin.delete_records([(t0(), -1)]).await;
    let error = deleted[&t0()].as_ref().unwrap_err();
    assert_unsupported(error, "DeleteRecords", "version 0-2", "none");
    let request = DescribeClusterRequest::default();
    let error = admin.raw_request(None, &request).await.unwrap_err();
    assert_unsupported(&error, "DescribeCluster", "version 0-2", "none");

    let consumer = client.consumer().group_id("g").build().unwrap();
    consumer.assign([(t0(), StartFrom::Offset(0))]).unwrap();
    let error = consumer.commit([(t0(), 0)]).await.unwrap_err();
    assert_unsupported(&error, "OffsetCommit", "version 2-9", "none");
    let error = consumer.committed([t0()]).await.unwrap_err();
    assert_unsupported(&error, "OffsetFetch", "version 1-9", "none");
    let error = consumer.end_offsets([t0()]).await.unwrap_err();
    assert_unsupported(&error, "ListOffsets", "version 1-11", "none");
    let error = consumer.offsets_for_times([(t0(), 0)]).await.unwrap_err();
    assert_unsupported(&error, "ListOffsets", "version 1-11", "none");
}

#[tokio::test(start_paused = true)]
async fn read_committed_needs_isolation_levels() {
    let (_cluster, client) = world(|cluster| cluster.advertise(ApiKey::ListOffsets, 1, 1)).await;
    let consumer = client.consumer();
    let consumer = consumer.isolation_level(IsolationLevel::ReadCommitted);
    let mut consumer = consumer.build().unwrap();
    let error = consumer.end_offsets([t0()]).await.unwrap_err();
    let needed = "ListOffsets version 2-11";
    assert_unsupported(&error, "read_committed", needed, "1");
    consumer.assign([(t0(), StartFrom::End)]).unwrap();
    let next = timeout(PATIENCE, consumer.next()).await.expect("an error");
    assert_unsupported(&next.unwrap_err(), "read_committed", needed, "1");
}

#[tokio::test(start_paused = true)]
async fn what_admins_may_not_do_to_groups_is_told() {
    let (_cluster, client) = world(|cluster| cluster).await;
    let admin = client.admin();
    let set = admin.alter_group_offsets("g", [(t0(), 0)]).await.unwrap();
    set[&t0()].as_ref().unwrap();
    let by_state = ListGroups::new().states([GroupState::Empty]);
    let error = admin.list_groups(by_state).await.unwrap_err();
    let needed = "ListGroups version 4-5";
    assert_unsupported(&error, "listing groups by state", needed, "0-2");
    let error = admin.remove_members("g", ["i"], "").await.unwrap_err();
    assert_unsupported(&error, "removing members", "LeaveGroup version 3-5", "0-2");
    let error = admin.delete_group_offsets("g", [t0()]).await.unwrap_err();
    assert_unsupported(&error, "OffsetDelete", "version 0", "none");

    // Of groups without types, all are classic.
    let listed = async |of| {
        let listed = admin.list_groups(ListGroups::new().types([of])).await;
        listed.unwrap().complete().unwrap()
    };
    let classic = listed(GroupType::Classic).await;
    assert_eq!(classic[0].group_id, "g");
    assert_eq!((classic.len(), classic[0].state), (1, GroupState::Unknown));
    assert_eq!(listed(GroupType::Consumer).await, []);
}

/// Without the right to ask where epochs end, which until 2.3 took a right on the whole cluster, a consumer goes on
/// where it is.
#[tokio::test(start_paused = true)]
async fn a_consumer_that_may_not_ask_for_epochs_does_without() {
    let (cluster, client) = world(|cluster| cluster).await;
    let denied = ErrorCode::ClusterAuthorizationFailed;
    cluster
        .on::<OffsetForLeaderEpochRequest>()
        .always()
        .error(denied);
    let values = |range: std::ops::Range<i64>| {
        range.map(|offset| ottla_fake::Record::of(offset.to_string()))
    };
    cluster.append("t", 0, values(0..10)).await.unwrap();
    let consumer = client.consumer().auto_offset_reset(AutoOffsetReset::None);
    let mut consumer = consumer.build().unwrap();
    consumer.assign([(t0(), StartFrom::Beginning)]).unwrap();
    for (round, end) in [10, 20, 30].into_iter().enumerate() {
        while consumer.position(&t0()).await.unwrap() < end {
            let batch = timeout(PATIENCE, consumer.next()).await.expect("records");
            assert!(batch.unwrap().unwrap().record_count() > 0);
        }
        let leader = cluster.partition("t", 0).await.unwrap().leader.unwrap();
        cluster.move_leader("t", 0, leader % 3 + 1).await.unwrap();
        if round < 2 {
            cluster.append("t", 0, values(end..end + 10)).await.unwrap();
        }
    }
    let requests = cluster.requests().await.unwrap();
    let asked = |request: &&ottla_fake::LoggedRequest| request.api == ApiKey::OffsetForLeaderEpoch;
    assert!(requests.iter().any(|request| asked(&request)));
}

/// Static members need brokers from 2.3 on; any other member does not.
#[tokio::test(start_paused = true)]
async fn static_members_are_refused_by_brokers_that_know_none() {
    let (_cluster, client) = world(|cluster| cluster).await;
    let consumer = || client.consumer().group_id("g");
    let mut fixed = consumer().group_instance_id("one").build().unwrap();
    fixed.subscribe(["t"]).unwrap();
    let next = timeout(PATIENCE, fixed.next()).await.expect("an error");
    assert_unsupported(&next.unwrap_err(), "JoinGroup", "version 5-9", "0-3");

    let mut usual = consumer().build().unwrap();
    let mut rebalances = usual.rebalances();
    usual.subscribe(["t"]).unwrap();
    tokio::select! {
        biased;
        assigned = rebalances.next() => assert_eq!(assigned.unwrap().partitions().len(), 1),
        next = usual.next() => panic!("{next:?}"),
    }
}
