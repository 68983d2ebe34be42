//! ListOffsets, OffsetForLeaderEpoch, DeleteRecords, and offsets of groups without members.

use ottla_codec::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use ottla_codec::messages::find_coordinator::FindCoordinatorRequest;
use ottla_codec::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use ottla_codec::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_codec::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use ottla_codec::messages::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use ottla_codec::{ErrorCode, Uuid};
use ottla_fake::{FakeCluster, Record, TopicSpec};

use crate::client::{Client, cluster};

/// (error, timestamp, offset, leader epoch)
async fn list(
    client: &mut Client,
    version: i16,
    isolation_level: i8,
    timestamp: i64,
) -> (i16, i64, i64, i32) {
    let partition = ListOffsetsPartition {
        timestamp,
        current_leader_epoch: -1,
        ..Default::default()
    };
    let topic = ListOffsetsTopic {
        name: "t".to_owned(),
        partitions: vec![partition],
        ..Default::default()
    };
    let request = ListOffsetsRequest {
        replica_id: -1,
        isolation_level,
        topics: vec![topic],
        ..Default::default()
    };
    let answer = client.call(&request, version).await;
    let found = &answer.topics[0].partitions[0];
    (
        found.error_code,
        found.timestamp,
        found.offset,
        found.leader_epoch,
    )
}

#[tokio::test(start_paused = true)]
async fn offsets_by_place_and_by_time() {
    let (cluster, mut client) = cluster().await;
    assert_eq!(
        list(&mut client, 7, 0, -3).await,
        (0, -1, -1, -1),
        "an empty log has no largest timestamp"
    );
    let at = |value: &'static str, timestamp| Record::of(value).timestamp(timestamp);
    cluster
        .append("t", 0, [at("a", 100), at("b", 300), at("c", 200)])
        .await
        .unwrap();
    cluster.move_leader("t", 0, 2).await.unwrap();
    cluster.move_leader("t", 0, 1).await.unwrap();
    cluster
        .append("t", 0, [at("d", 250), at("e", 400)])
        .await
        .unwrap();
    let cases = [
        (-2, (0, -1, 0, 0)),
        (-1, (0, -1, 5, 2)),
        (-3, (0, 400, 4, 2)),
        (0, (0, 100, 0, 0)),
        (101, (0, 300, 1, 0)),
        (301, (0, 400, 4, 2)),
        (401, (0, -1, -1, -1)),
    ];
    for (timestamp, expected) in cases {
        assert_eq!(
            list(&mut client, 7, 0, timestamp).await,
            expected,
            "timestamp {timestamp}"
        );
    }
    assert_eq!(list(&mut client, 8, 0, -4).await, (0, -1, 0, 0));
    assert_eq!(list(&mut client, 9, 0, -5).await, (0, -1, -1, -1));
    let unsupported = ErrorCode::UnsupportedVersion.code();
    assert_eq!(list(&mut client, 6, 0, -3).await.0, unsupported);
    assert_eq!(list(&mut client, 11, 0, -99).await.0, unsupported);
    cluster.delete_records("t", 0, 2).await.unwrap();
    assert_eq!(list(&mut client, 7, 0, -2).await, (0, -1, 2, 0));
    assert_eq!(list(&mut client, 7, 0, 0).await, (0, 200, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn the_end_depends_on_isolation_and_replication() {
    let (cluster, mut client) = cluster().await;
    cluster.append("t", 0, [Record::of("a")]).await.unwrap();
    let mut open = cluster.begin_transaction().await.unwrap();
    open.append("t", 0, [Record::of("b").timestamp(9_000_000_000_000)])
        .await
        .unwrap();
    assert_eq!(list(&mut client, 7, 0, -1).await.2, 2);
    assert_eq!(list(&mut client, 7, 1, -1).await.2, 1);
    assert_eq!(
        list(&mut client, 7, 1, 9_000_000_000_000).await.2,
        -1,
        "not stable yet"
    );
    open.commit().await.unwrap();
    assert_eq!(list(&mut client, 7, 1, -1).await.2, 3);
    // A new leader whose high watermark lags does not know where the end is.
    cluster.hold_replication("t", 0).await.unwrap();
    cluster.append("t", 0, [Record::of("c")]).await.unwrap();
    assert_eq!(list(&mut client, 7, 0, -1).await.2, 3);
    cluster.move_leader("t", 0, 2).await.unwrap();
    let mut leader = Client::connect(&cluster, 2).await;
    assert_eq!(
        list(&mut leader, 5, 0, -1).await.0,
        ErrorCode::OffsetNotAvailable.code()
    );
    assert_eq!(
        list(&mut leader, 4, 0, -1).await.0,
        ErrorCode::LeaderNotAvailable.code()
    );
    assert_eq!(
        list(&mut client, 5, 0, -1).await.0,
        ErrorCode::NotLeaderOrFollower.code()
    );
    cluster.release_replication("t", 0).await.unwrap();
    assert_eq!(list(&mut leader, 5, 0, -1).await.2, 4);
}

#[tokio::test(start_paused = true)]
async fn epochs_end_where_the_next_begins() {
    let (cluster, mut client) = cluster().await;
    cluster
        .append("t", 0, [Record::of("a"), Record::of("b")])
        .await
        .unwrap();
    cluster.move_leader("t", 0, 2).await.unwrap();
    cluster.append("t", 0, [Record::of("c")]).await.unwrap();
    cluster.move_leader("t", 0, 1).await.unwrap();
    let mut end_of = async |current_leader_epoch, leader_epoch| {
        let asked = OffsetForLeaderPartition {
            current_leader_epoch,
            leader_epoch,
            ..Default::default()
        };
        let topic = OffsetForLeaderTopic {
            topic: "t".to_owned(),
            partitions: vec![asked],
            ..Default::default()
        };
        let request = OffsetForLeaderEpochRequest {
            replica_id: -1,
            topics: vec![topic],
            ..Default::default()
        };
        let answer = client.ask(&request).await;
        let found = &answer.topics[0].partitions[0];
        (found.error_code, found.leader_epoch, found.end_offset)
    };
    assert_eq!(end_of(-1, 0).await, (0, 0, 2));
    assert_eq!(end_of(2, 1).await, (0, 1, 3));
    assert_eq!(end_of(2, 2).await, (0, 2, 3));
    assert_eq!(end_of(2, 3).await, (0, -1, -1));
    assert_eq!(
        end_of(1, 0).await,
        (ErrorCode::FencedLeaderEpoch.code(), -1, -1)
    );
    assert_eq!(
        end_of(3, 0).await,
        (ErrorCode::UnknownLeaderEpoch.code(), -1, -1)
    );
}

#[tokio::test(start_paused = true)]
async fn records_are_deleted_up_to_an_offset() {
    let (cluster, mut client) = cluster().await;
    cluster
        .create_topic(TopicSpec::new("c", 1).config("cleanup.policy", "compact"))
        .await
        .unwrap();
    for value in ["a", "b", "c"] {
        cluster.append("t", 0, [Record::of(value)]).await.unwrap();
    }
    let mut delete = async |topic: &str, partition_index, offset| {
        let partition = DeleteRecordsPartition {
            partition_index,
            offset,
            ..Default::default()
        };
        let topic = DeleteRecordsTopic {
            name: topic.to_owned(),
            partitions: vec![partition],
            ..Default::default()
        };
        let answer = client
            .ask(&DeleteRecordsRequest {
                topics: vec![topic],
                ..Default::default()
            })
            .await;
        let done = &answer.topics[0].partitions[0];
        (done.error_code, done.low_watermark)
    };
    assert_eq!(delete("t", 0, 2).await, (0, 2));
    assert_eq!(
        delete("t", 0, 4).await,
        (ErrorCode::OffsetOutOfRange.code(), -1)
    );
    assert_eq!(delete("t", 0, 1).await, (0, 2));
    assert_eq!(delete("t", 0, -1).await, (0, 3));
    assert_eq!(
        delete("t", 1, -1).await.0,
        ErrorCode::NotLeaderOrFollower.code()
    );
    assert_eq!(
        delete("t", 7, -1).await.0,
        ErrorCode::UnknownTopicOrPartition.code()
    );
    assert_eq!(
        delete("c", 0, -1).await.0,
        ErrorCode::PolicyViolation.code()
    );
}

fn commit(group: &str, topic: &str, partition_index: i32, offset: i64) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition {
        partition_index,
        committed_offset: offset,
        committed_leader_epoch: 4,
        committed_metadata: Some("note".to_owned()),
        ..Default::default()
    };
    OffsetCommitRequest {
        group_id: group.to_owned(),
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: topic.to_owned(),
            partitions: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    }
}

async fn coordinator(cluster: &FakeCluster, client: &mut Client, group: &str) -> Client {
    let request = FindCoordinatorRequest {
        coordinator_keys: vec![group.to_owned()],
        ..Default::default()
    };
    let found = client.ask(&request).await.coordinators[0].clone();
    assert_eq!((found.error_code, found.key.as_str()), (0, group));
    let older = FindCoordinatorRequest {
        key: group.to_owned(),
        ..Default::default()
    };
    let older = client.call(&older, 3).await;
    assert_eq!(
        (older.node_id, older.host, older.port),
        (found.node_id, found.host, found.port)
    );
    Client::connect(cluster, found.node_id).await
}

#[tokio::test(start_paused = true)]
async fn simple_groups_commit_and_fetch() {
    let (cluster, mut client) = cluster().await;
    let mut coordinator = coordinator(&cluster, &mut client, "g").await;
    let code = |answer: ottla_codec::messages::offset_commit::OffsetCommitResponse| {
        answer.topics[0].partitions[0].error_code
    };
    assert_eq!(code(coordinator.call(&commit("g", "t", 1, 17), 9).await), 0);
    let committed = cluster.committed("g").await.unwrap();
    let one = &committed[&("t".to_owned(), 1)];
    assert_eq!(
        (one.offset, one.leader_epoch, one.metadata.as_str()),
        (17, Some(4), "note")
    );

    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    assert_eq!(
        code(coordinator.call(&commit("g", "nope", 0, 1), 9).await),
        unknown
    );
    assert_eq!(
        code(coordinator.call(&commit("g", "t", 9, 1), 9).await),
        unknown
    );
    assert_eq!(
        code(coordinator.call(&commit("g", "", 0, 1), 10).await),
        ErrorCode::UnknownTopicId.code()
    );
    let member = OffsetCommitRequest {
        generation_id_or_member_epoch: 3,
        ..commit("new", "t", 0, 1)
    };
    let mut codes = Vec::new();
    for broker in 1..=3 {
        codes.push(code(
            Client::connect(&cluster, broker)
                .await
                .call(&member, 9)
                .await,
        ));
    }
    codes.sort_unstable();
    let (not_coordinator, not_found) = (
        ErrorCode::NotCoordinator.code(),
        ErrorCode::GroupIdNotFound.code(),
    );
    assert_eq!(codes, [not_coordinator, not_coordinator, not_found]);
    let mut long = commit("g", "t", 0, 1);
    long.topics[0].partitions[0].committed_metadata = Some("x".repeat(4097));
    assert_eq!(
        code(coordinator.call(&long, 9).await),
        ErrorCode::OffsetMetadataTooLarge.code()
    );

    let topic = OffsetFetchRequestTopic {
        name: "t".to_owned(),
        partition_indexes: vec![0, 1],
        ..Default::default()
    };
    let old = OffsetFetchRequest {
        group_id: "g".to_owned(),
        topics: Some(vec![topic]),
        ..Default::default()
    };
    let answer = coordinator.call(&old, 7).await;
    let found: Vec<_> = answer.topics[0]
        .partitions
        .iter()
        .map(|p| {
            (
                p.partition_index,
                p.committed_offset,
                p.committed_leader_epoch,
                p.metadata.clone().unwrap(),
                p.error_code,
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            (0, -1, -1, String::new(), 0),
            (1, 17, 4, "note".to_owned(), 0)
        ]
    );

    let group = |topics| OffsetFetchRequestGroup {
        group_id: "g".to_owned(),
        topics,
        member_epoch: -1,
        ..Default::default()
    };
    let all = OffsetFetchRequest {
        groups: vec![group(None)],
        ..Default::default()
    };
    let answer = coordinator.call(&all, 9).await;
    assert_eq!(
        answer.groups[0].topics[0].partitions[0].committed_offset,
        17
    );
    let unknown_id = OffsetFetchRequestTopics {
        topic_id: Uuid([7; 16]),
        partition_indexes: vec![0],
        ..Default::default()
    };
    let answer = coordinator
        .call(
            &OffsetFetchRequest {
                groups: vec![group(Some(vec![unknown_id]))],
                ..Default::default()
            },
            10,
        )
        .await;
    assert_eq!(
        answer.groups[0].topics[0].partitions[0].error_code,
        ErrorCode::UnknownTopicId.code()
    );

    cluster.delete_topic("t").await.unwrap();
    assert_eq!(
        cluster.committed("g").await.unwrap().len(),
        0,
        "a topic takes its offsets with it"
    );
}

#[tokio::test(start_paused = true)]
async fn coordinators_move() {
    let (cluster, mut client) = cluster().await;
    for broker in [2, 3] {
        cluster.move_coordinator("g", broker).await.unwrap();
        let mut there = coordinator(&cluster, &mut client, "g").await;
        let answer = there.call(&commit("g", "t", 0, 1), 9).await;
        assert_eq!(answer.topics[0].partitions[0].error_code, 0);
    }
    let mut before = Client::connect(&cluster, 2).await;
    let answer = before.call(&commit("g", "t", 0, 2), 9).await;
    assert_eq!(
        answer.topics[0].partitions[0].error_code,
        ErrorCode::NotCoordinator.code()
    );
    cluster.stop_broker(3).await.unwrap();
    let request = FindCoordinatorRequest {
        coordinator_keys: vec!["g".to_owned()],
        ..Default::default()
    };
    let gone = client.ask(&request).await;
    assert_eq!(
        gone.coordinators[0].error_code,
        ErrorCode::CoordinatorNotAvailable.code()
    );
}
