//! Looking offsets up, and committing them for a group without members.

use std::time::Duration;

use ottla::{AutoOffsetReset, ErrorKind, OffsetAndMetadata, StartFrom};
use ottla_codec::messages::find_coordinator::FindCoordinatorRequest;
use ottla_codec::messages::list_offsets::ListOffsetsRequest;
use ottla_codec::messages::offset_commit::OffsetCommitRequest;
use ottla_codec::messages::offset_fetch::OffsetFetchRequest;
use ottla_codec::{ApiKey, ErrorCode};
use ottla_fake::{FakeClusterBuilder, Record};

use super::{Fixture, assert_silent, next, next_error, offsets, read_to, tp};

fn in_group(fixture: &Fixture) -> ottla::Consumer {
    fixture.consumer(|settings| settings.group_id("g"))
}

#[tokio::test(start_paused = true)]
async fn beginning_end_and_times_are_looked_up_at_every_leader() {
    let fixture = Fixture::new(6).await;
    for partition in 0..6 {
        for offset in 0..10_i64 {
            let record = Record::of("v").timestamp(1_000 + offset * 10);
            fixture
                .cluster
                .append("t", partition, [record])
                .await
                .unwrap();
        }
        fixture
            .cluster
            .delete_records("t", partition, i64::from(partition))
            .await
            .unwrap();
    }
    // One leader cannot answer at first.
    let busy = ErrorCode::NotLeaderOrFollower;
    fixture
        .cluster
        .on::<ListOffsetsRequest>()
        .broker(2)
        .times(2)
        .error(busy);
    let consumer = fixture.consumer(|settings| settings);
    let all = || (0..6).map(tp);
    let beginnings = consumer.beginning_offsets(all()).await.unwrap();
    let ends = consumer.end_offsets(all()).await.unwrap();
    let times = all().map(|partition| (partition, 1_055));
    let times = consumer.offsets_for_times(times).await.unwrap();
    for partition in 0..6 {
        assert_eq!(beginnings[&tp(partition)], i64::from(partition));
        assert_eq!(ends[&tp(partition)], 10);
        let found = times[&tp(partition)].unwrap();
        assert_eq!((found.offset, found.timestamp), (6, 1_060));
    }
    let none = consumer.offsets_for_times([(tp(0), 9_999)]).await.unwrap();
    assert_eq!(none[&tp(0)], None);
    fixture.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn looking_up_what_does_not_exist_fails_in_time() {
    let fixture = Fixture::with(|c| c.brokers(1).topic("t", 1).auto_create_topics(false)).await;
    let consumer = fixture.consumer(|settings| settings.api_timeout(Duration::from_secs(5)));
    let began = tokio::time::Instant::now();
    let error = consumer
        .end_offsets([("nowhere", 0).into()])
        .await
        .unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::UnknownTopic { .. }),
        "{error:?}"
    );
    assert!(began.elapsed() <= Duration::from_secs(6));
    let error = consumer.end_offsets([tp(3)]).await.unwrap_err();
    assert!(matches!(
        error.kind(),
        ErrorKind::UnknownPartition { partition: 3, .. }
    ));
    let error = consumer.offsets_for_times([(tp(0), -1)]).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidArgument { .. }));
}

#[tokio::test(start_paused = true)]
async fn what_is_committed_is_read_back_and_started_from() {
    let fixture = Fixture::new(2).await;
    fixture.fill(0, 5, 10).await;
    let mut consumer = in_group(&fixture);
    consumer.assign([(tp(0), StartFrom::Beginning)]).unwrap();
    let batch = next(&mut consumer).await;
    let done = OffsetAndMetadata {
        offset: batch.next_offset(),
        leader_epoch: batch.leader_epoch(),
        metadata: "so far".to_owned(),
    };
    consumer.commit([(tp(0), done.clone())]).await.unwrap();
    let committed = consumer.committed([tp(0), tp(1)]).await.unwrap();
    assert_eq!(committed, [(tp(0), done)].into());
    consumer.close(Duration::from_secs(1)).await;

    let mut next_one = in_group(&fixture);
    next_one.assign([(tp(0), StartFrom::Committed)]).unwrap();
    assert_eq!(
        read_to(&mut next_one, 50).await,
        (10..50).collect::<Vec<_>>()
    );
    next_one.commit_positions().await.unwrap();
    let stored = fixture.cluster.committed("g").await.unwrap();
    let stored = &stored[&("t".to_owned(), 0)];
    assert_eq!(
        (stored.offset, stored.leader_epoch, stored.metadata.as_str()),
        (50, Some(0), "")
    );
    fixture.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_committed_offset_the_policy_decides() {
    let fixture = Fixture::new(1).await;
    fixture.fill(0, 5, 10).await;
    let start = |policy| {
        let consumer =
            fixture.consumer(|settings| settings.group_id("new").auto_offset_reset(policy));
        consumer.assign([(tp(0), StartFrom::Committed)]).unwrap();
        consumer
    };
    assert_eq!(
        offsets(&next(&mut start(AutoOffsetReset::Earliest)).await)[0],
        0
    );
    let latest = start(AutoOffsetReset::Latest);
    assert_eq!(latest.position(&tp(0)).await.unwrap(), 50);
    let error = next_error(&mut start(AutoOffsetReset::None)).await;
    assert_eq!(*error.kind(), ErrorKind::NoOffset { partition: tp(0) });
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_is_not_ready_moves_or_dies_is_found_again() {
    let fixture = Fixture::new(1).await;
    let consumer = in_group(&fixture);
    let cluster = &fixture.cluster;
    let find = || cluster.on::<FindCoordinatorRequest>();
    find().times(2).error(ErrorCode::CoordinatorNotAvailable);
    let commit = || cluster.on::<OffsetCommitRequest>();
    commit()
        .times(1)
        .error(ErrorCode::CoordinatorLoadInProgress);
    consumer.commit([(tp(0), 1)]).await.unwrap();
    commit().times(1).error(ErrorCode::NotCoordinator);
    consumer.commit([(tp(0), 2)]).await.unwrap();
    commit().times(1).close();
    consumer.commit([(tp(0), 3)]).await.unwrap();
    cluster
        .on::<OffsetFetchRequest>()
        .times(1)
        .error(ErrorCode::NotCoordinator);
    let committed = consumer.committed([tp(0)]).await.unwrap();
    assert_eq!(committed[&tp(0)].offset, 3);
    for broker in cluster.broker_ids() {
        cluster.move_coordinator("g", broker).await.unwrap();
        consumer
            .commit([(tp(0), i64::from(broker) * 10)])
            .await
            .unwrap();
        let committed = consumer.committed([tp(0)]).await.unwrap();
        assert_eq!(committed[&tp(0)].offset, i64::from(broker) * 10);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_commit_is_an_error_at_once() {
    let fixture = Fixture::new(1).await;
    let consumer = in_group(&fixture);
    let denied = ErrorCode::GroupAuthorizationFailed;
    fixture
        .cluster
        .on::<OffsetCommitRequest>()
        .times(1)
        .error(denied);
    let error = consumer.commit([(tp(0), 1)]).await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::NotAuthorized { .. }),
        "{error:?}"
    );
    let error = fixture.reader().commit([(tp(0), 1)]).await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::InvalidConfig { property, .. } if property == "group.id")
    );
    let error = consumer.commit([(tp(0), -1)]).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::InvalidArgument { .. }));
}

#[tokio::test(start_paused = true)]
async fn commits_take_effect_in_their_order_even_if_nobody_waits_for_them() {
    let fixture = Fixture::new(1).await;
    let consumer = in_group(&fixture);
    consumer.commit([(tp(0), 1)]).await.unwrap();
    // The first is slow, and its caller goes away.
    fixture
        .cluster
        .on::<OffsetCommitRequest>()
        .times(1)
        .delay(Duration::from_secs(2));
    let slow = tokio::time::timeout(Duration::from_millis(10), consumer.commit([(tp(0), 10)]));
    assert!(slow.await.is_err());
    consumer.commit([(tp(0), 20)]).await.unwrap();
    let committed = consumer.committed([tp(0)]).await.unwrap();
    assert_eq!(committed[&tp(0)].offset, 20);
    assert_eq!(fixture.count(ApiKey::OffsetCommit).await, 3);
}

#[tokio::test(start_paused = true)]
async fn no_commit_carries_a_position_that_is_being_reset() {
    let fixture = Fixture::new(2).await;
    fixture.fill(0, 5, 10).await;
    fixture.fill(1, 5, 10).await;
    let mut consumer = fixture.consumer(|settings| {
        settings
            .group_id("g")
            .auto_offset_reset(AutoOffsetReset::Earliest)
    });
    let both = [(tp(0), StartFrom::Beginning), (tp(1), StartFrom::Beginning)];
    consumer.assign(both).unwrap();
    for _ in 0..10 {
        next(&mut consumer).await;
    }
    // The log ends before the position now, and the leader does not say where.
    let held = fixture.cluster.on::<ListOffsetsRequest>().times(1).hold();
    consumer.seek(&tp(0), 500).unwrap();
    held.arrived().await.unwrap();
    assert!(!consumer.positions().contains_key(&tp(0)));
    consumer.commit_positions().await.unwrap();
    let stored = fixture.cluster.committed("g").await.unwrap();
    assert_eq!(
        stored.keys().cloned().collect::<Vec<_>>(),
        [("t".to_owned(), 1)]
    );
    held.release().await.unwrap();
    assert_eq!(offsets(&next(&mut consumer).await)[0], 0);
}

#[tokio::test(start_paused = true)]
async fn a_committed_position_beyond_a_truncation_is_noticed() {
    let fixture = Fixture::new(1).await;
    fixture.fill(0, 10, 10).await;
    let at = OffsetAndMetadata {
        leader_epoch: Some(0),
        ..OffsetAndMetadata::new(100)
    };
    in_group(&fixture).commit([(tp(0), at)]).await.unwrap();
    let to = fixture.other_broker().await;
    fixture
        .cluster
        .elect_uncleanly("t", 0, to, 60)
        .await
        .unwrap();
    fixture.fill(0, 10, 10).await;
    let mut consumer = fixture.consumer(|settings| {
        settings
            .group_id("g")
            .auto_offset_reset(AutoOffsetReset::None)
    });
    consumer.assign([(tp(0), StartFrom::Committed)]).unwrap();
    let expected = ErrorKind::LogTruncated {
        partition: tp(0),
        position: 100,
        diverging_offset: Some(60),
    };
    assert_eq!(*next_error(&mut consumer).await.kind(), expected);
}

#[tokio::test(start_paused = true)]
async fn lag_is_the_distance_to_the_end() {
    let fixture = Fixture::new(1).await;
    fixture.fill(0, 5, 10).await;
    let mut consumer = fixture.reader();
    assert_eq!(consumer.lag(&tp(0)), None);
    next(&mut consumer).await;
    assert_eq!(consumer.lag(&tp(0)), Some(40));
    read_to(&mut consumer, 50).await;
    consumer.pause([&tp(0)]).unwrap();
    assert_silent(&mut consumer, Duration::from_secs(1)).await;
    assert_eq!(consumer.metrics().lag, [(tp(0), 0)].into());
}

#[tokio::test(start_paused = true)]
async fn old_brokers_keep_offsets_too() {
    for (commit, fetch, find) in [(2, 1, 0), (5, 5, 2), (7, 7, 3), (9, 9, 6)] {
        let old = |cluster: FakeClusterBuilder| {
            cluster
                .brokers(2)
                .topic("t", 1)
                .advertise(ApiKey::OffsetCommit, 2, commit)
                .advertise(ApiKey::OffsetFetch, 1, fetch)
                .advertise(ApiKey::FindCoordinator, 0, find)
        };
        let fixture = Fixture::with(old).await;
        let consumer = in_group(&fixture);
        assert_eq!(consumer.committed([tp(0)]).await.unwrap(), [].into());
        let at = OffsetAndMetadata::new(7).with_metadata("m");
        consumer.commit([(tp(0), at.clone())]).await.unwrap();
        assert_eq!(
            consumer.committed([tp(0)]).await.unwrap(),
            [(tp(0), at)].into()
        );
        fixture.assert_clean().await;
    }
}
