//! Coordinators and leaders that answer nonsense: no member believes it, and none stops for good.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use ottla::{Consumer, ErrorKind};
use ottla_codec::ErrorCode;
use ottla_codec::messages::consumer_protocol_assignment::{
    ConsumerProtocolAssignment, TopicPartition,
};
use ottla_codec::messages::find_coordinator::FindCoordinatorRequest;
use ottla_codec::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use ottla_codec::messages::join_group::{JoinGroupRequest, JoinGroupResponse};
use ottla_codec::messages::leave_group::{LeaveGroupRequest, LeaveGroupResponse};
use ottla_codec::messages::offset_commit::OffsetCommitRequest;
use ottla_codec::messages::offset_fetch::OffsetFetchRequest;
use ottla_codec::messages::sync_group::{SyncGroupRequest, SyncGroupResponse};
use rstest::rstest;
use tokio::time::{Instant, timeout};

use super::subject::{SESSION, Subject, try_next};
use crate::support::PATIENCE;

/// Reads all, whatever errors come in between; how many came.
async fn read_on(subject: &Subject, consumer: &mut Consumer, all: usize) -> usize {
    let (mut seen, mut errors) = (BTreeSet::new(), 0);
    let deadline = Instant::now() + SESSION * 20;
    while seen.len() < all {
        assert!(Instant::now() < deadline, "it stalls at {seen:?}");
        let Ok(next) = timeout(PATIENCE, consumer.next()).await else {
            continue;
        };
        match next {
            Ok(batch) => {
                let batch = batch.expect("an open consumer");
                let partition = batch.partition().partition;
                for record in batch.records() {
                    seen.insert((partition, record.expect("a record").offset()));
                }
            }
            Err(error) => {
                errors += 1;
                assert!(errors < 100, "{error}");
                // What is for good is over with another subscription.
                if !error.is_retriable() {
                    consumer.subscribe([&subject.topic]).expect("subscribed");
                }
            }
        }
    }
    errors
}

#[rstest]
#[case::nobody(JoinGroupResponse { generation_id: 3, protocol_name: Some("range".into()), ..Default::default() })]
#[case::no_protocol(JoinGroupResponse { generation_id: 3, member_id: "m".into(), leader: "m".into(), ..Default::default() })]
#[case::a_leader_of_nobody(JoinGroupResponse {
    generation_id: 3,
    protocol_type: Some("consumer".into()),
    protocol_name: Some("range".into()),
    leader: "m".into(),
    member_id: "m".into(),
    ..Default::default()
})]
#[case::no_generation(JoinGroupResponse {
    generation_id: -1,
    protocol_type: Some("consumer".into()),
    protocol_name: Some("range".into()),
    leader: "l".into(),
    member_id: "m".into(),
    ..Default::default()
})]
#[case::another_protocol(JoinGroupResponse {
    generation_id: 3,
    protocol_type: Some("connect".into()),
    protocol_name: Some("range".into()),
    leader: "l".into(),
    member_id: "m".into(),
    ..Default::default()
})]
#[tokio::test(start_paused = true)]
async fn joins_that_make_no_sense_are_got_over(#[case] answer: JoinGroupResponse) {
    let subject = Subject::fake(2).await;
    subject.fill(2, 3).await;
    let joins = subject.cluster().on::<JoinGroupRequest>();
    let rule = joins.times(2).reply(move |_| answer.clone());
    let mut consumer = subject.member("range");
    read_on(&subject, &mut consumer, 6).await;
    assert_eq!(rule.hits(), 2);
    consumer.close(PATIENCE).await;
}

/// A leader cannot read what a member wants: it says so, and the group is not left hanging.
#[tokio::test(start_paused = true)]
async fn members_that_make_no_sense_are_a_typed_error() {
    let subject = Subject::fake(2).await;
    subject.fill(2, 3).await;
    let joins = subject.cluster().on::<JoinGroupRequest>();
    let mut whole = true;
    joins.always().edit(move |_, answer| {
        // A first answer may only bring a member id (KIP-394).
        for member in answer.members.iter_mut().filter(|_| whole) {
            member.metadata = Bytes::from_static(b"\0\x01nonsense");
        }
        whole &= answer.members.is_empty();
    });
    let mut consumer = subject.member("range");
    let error = try_next(&mut consumer).await.expect_err("nonsense");
    assert!(
        matches!(error.kind(), ErrorKind::AssignmentFailed { .. }),
        "{error}"
    );
    read_on(&subject, &mut consumer, 6).await;
}

fn assignment(topic: &str, partitions: Vec<i32>) -> Bytes {
    let topic = topic.to_owned();
    let message = ConsumerProtocolAssignment {
        assigned_partitions: vec![TopicPartition { topic, partitions }],
        user_data: None,
    };
    ottla_codec::encode_prefixed(&message, 0).expect("it fits")
}

#[rstest]
#[case::bytes(Bytes::from_static(b"\0\0\xff\xff\xff\xff nonsense"), true)]
#[case::one_byte(Bytes::from_static(b"\0"), true)]
#[case::another_topic(assignment("elsewhere", vec![0]), true)]
#[case::no_such_partition(assignment("t", vec![77]), false)]
#[case::below_zero(assignment("t", vec![-1]), false)]
#[case::twice(assignment("t", vec![0, 0, 1, 1]), false)]
#[case::nothing(Bytes::new(), false)]
#[tokio::test(start_paused = true)]
async fn assignments_that_make_no_sense_are_got_over(
    #[case] assignment: Bytes,
    #[case] is_failure: bool,
) {
    let subject = Subject::fake(2).await;
    subject.fill(2, 3).await;
    let syncs = subject.cluster().on::<SyncGroupRequest>();
    // The first is asked again, as no heartbeat has said yet that this is a member.
    let rule = syncs
        .times(2)
        .edit(move |_, answer: &mut SyncGroupResponse| {
            answer.assignment = assignment.clone();
        });
    let mut consumer = subject.member("range");
    if is_failure {
        let error = try_next(&mut consumer).await.expect_err("nonsense");
        assert!(
            matches!(error.kind(), ErrorKind::AssignmentFailed { .. }),
            "{error}"
        );
    } else {
        drop(timeout(Duration::from_secs(5), consumer.next()).await);
        consumer.enforce_rebalance("to be told sense");
    }
    assert_eq!(rule.hits(), 2);
    read_on(&subject, &mut consumer, 6).await;
    consumer.close(PATIENCE).await;
}

/// Whatever error code any of a member's requests is refused with, it comes to an error or goes on: never to a stall.
#[rstest]
#[tokio::test(start_paused = true)]
async fn no_error_code_stops_a_member_for_good(
    #[values("find", "join", "sync", "heartbeat", "offsets", "commit", "leave")] of: &str,
) {
    let codes = (-1..130).filter(|code| *code != 0).chain([999, i16::MAX]);
    for code in codes.map(ErrorCode::from_code) {
        let subject = Subject::fake(2).await;
        subject.fill(2, 3).await;
        let cluster = subject.cluster();
        macro_rules! refused {
            ($request:ty, $response:ty) => {
                cluster.on::<$request>().times(1).reply(move |_| {
                    let mut answer = <$response>::default();
                    answer.error_code = code.code();
                    answer
                })
            };
        }
        let rule = match of {
            "find" => cluster.on::<FindCoordinatorRequest>().times(1).error(code),
            "join" => refused!(JoinGroupRequest, JoinGroupResponse),
            "sync" => refused!(SyncGroupRequest, SyncGroupResponse),
            "heartbeat" => refused!(HeartbeatRequest, HeartbeatResponse),
            "offsets" => cluster.on::<OffsetFetchRequest>().times(1).error(code),
            "commit" => cluster.on::<OffsetCommitRequest>().times(1).error(code),
            _ => refused!(LeaveGroupRequest, LeaveGroupResponse),
        };
        let mut consumer = subject.member("cooperative-sticky");
        read_on(&subject, &mut consumer, 6).await;
        if of == "heartbeat" {
            drop(timeout(SESSION, consumer.next()).await);
            subject.fill(2, 1).await;
            read_on(&subject, &mut consumer, 2).await;
        }
        let limit = Duration::from_secs(40);
        let committed = timeout(limit, consumer.commit_positions()).await;
        drop(committed.unwrap_or_else(|_| panic!("no outcome after {code:?}")));
        let began = Instant::now();
        consumer.close(Duration::from_secs(10)).await;
        assert!(began.elapsed() <= Duration::from_secs(10), "{code:?}");
        assert_eq!(rule.hits(), 1, "{code:?}");
    }
}

/// Answers that are cut off anywhere, one after another.
#[rstest]
#[tokio::test(start_paused = true)]
async fn answers_cut_anywhere_stop_nobody(
    #[values("find", "join", "sync", "heartbeat", "offsets")] of: &str,
) {
    let subject = Subject::fake(2).await;
    subject.fill(2, 3).await;
    let cluster = subject.cluster();
    match of {
        "find" => cluster
            .on::<FindCoordinatorRequest>()
            .times(3)
            .cut_response_anywhere(),
        "join" => cluster
            .on::<JoinGroupRequest>()
            .times(3)
            .cut_response_anywhere(),
        "sync" => cluster
            .on::<SyncGroupRequest>()
            .times(3)
            .cut_response_anywhere(),
        "heartbeat" => cluster
            .on::<HeartbeatRequest>()
            .times(3)
            .cut_response_anywhere(),
        _ => cluster
            .on::<OffsetFetchRequest>()
            .times(3)
            .cut_response_anywhere(),
    };
    let mut consumer = subject.member("cooperative-sticky");
    read_on(&subject, &mut consumer, 6).await;
    consumer.close(PATIENCE).await;
    subject.assert_clean().await;
}
