//! Static members: they come back, are fenced, and are removed by name.

use std::time::Duration;

use bytes::Bytes;
use ottla_codec::ErrorCode;
use ottla_codec::messages::join_group::JoinGroupRequest;
use ottla_codec::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use ottla_fake::GroupState;
use tokio::time::{Instant, advance, timeout};

use super::member::{Member, SESSION, assignment, cluster, stabilize};

#[tokio::test(start_paused = true)]
async fn they_come_back_without_a_rebalance() {
    let cluster = cluster().await;
    let mut leader = Member::fixed(&cluster, "one").await;
    stabilize(&mut [(&mut leader, &[0])]).await;
    assert!(leader.id.starts_with("one-"));
    let mut follower = Member::fixed(&cluster, "two").await;
    follower.send_join().await;
    leader.join().await;
    follower.joined().await;
    let (first, second) = (leader.id.clone(), follower.id.clone());
    follower.send_sync(&[]).await;
    let given = [(&*first, assignment(&[0])), (&*second, assignment(&[1]))];
    leader.sync(&given).await;
    follower.synced().await;

    let mut again = Member::fixed(&cluster, "two").await;
    let joined = again.join().await;
    assert_eq!((joined.error_code, joined.generation_id), (0, 2));
    assert!(!joined.skip_assignment && joined.members.is_empty());
    assert_ne!(again.id, second);
    assert_eq!(again.sync(&[]).await.assignment, assignment(&[1]));
    assert_eq!(leader.heartbeat().await, ErrorCode::None);
    assert_eq!(follower.heartbeat().await, ErrorCode::FencedInstanceId);
    assert_eq!(follower.commit(1, 1).await, ErrorCode::FencedInstanceId);
    assert_eq!(follower.leave().await, ErrorCode::FencedInstanceId);
    let joined = follower.join().await;
    assert_eq!(joined.error_code, ErrorCode::FencedInstanceId.code());
    follower.instance_id = None;
    assert_eq!(follower.heartbeat().await, ErrorCode::UnknownMemberId);

    // A leader that comes back learns the members, and that it has nothing to assign.
    let mut again = Member::fixed(&cluster, "one").await;
    let joined = again.join().await;
    assert!(joined.skip_assignment && again.leads);
    assert_eq!(joined.members.len(), 2);
    assert_eq!(again.sync(&[]).await.assignment, assignment(&[0]));
    // In an older version it cannot be told that, so it is not told that it leads.
    let mut older = Member::fixed(&cluster, "one").await;
    let request = older.join_request();
    let joined = older.client.call(&request, 8).await;
    assert_eq!((joined.leader, joined.members), (again.id, Vec::new()));
    assert_eq!(cluster.violations().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn another_protocol_is_a_rebalance() {
    let cluster = cluster().await;
    let mut member = Member::fixed(&cluster, "one").await;
    stabilize(&mut [(&mut member, &[0])]).await;
    let mut again = Member::fixed(&cluster, "one").await;
    again.protocols = vec![("sticky", Bytes::new()), ("range", Bytes::new())];
    let joined = again.join().await;
    assert_eq!((joined.generation_id, joined.members.len()), (2, 1));
    assert_eq!(joined.protocol_name.as_deref(), Some("sticky"));
}

#[tokio::test(start_paused = true)]
async fn a_waiting_member_is_fenced_where_it_waits() {
    let cluster = cluster().await;
    let (mut one, mut two) = (
        Member::fixed(&cluster, "one").await,
        Member::fixed(&cluster, "two").await,
    );
    stabilize(&mut [(&mut one, &[0])]).await;
    two.send_join().await;
    assert!(timeout(SESSION / 2, two.joined()).await.is_err());
    let mut again = Member::fixed(&cluster, "two").await;
    again.send_join().await;
    let fenced = two.joined().await;
    assert_eq!(fenced.error_code, ErrorCode::FencedInstanceId.code());
    one.join().await;
    again.joined().await;
    again.send_sync(&[]).await;
    assert!(timeout(SESSION / 2, again.synced()).await.is_err());
    // The leader knows the old id only, so everybody joins again.
    let mut third = Member::fixed(&cluster, "two").await;
    third.send_join().await;
    let fenced = again.synced().await;
    assert_eq!(fenced.error_code, ErrorCode::FencedInstanceId.code());
    assert_eq!(one.heartbeat().await, ErrorCode::RebalanceInProgress);
    let joined = one.join().await;
    assert_eq!((joined.generation_id, joined.members.len()), (3, 2));
    assert_eq!(third.joined().await.generation_id, 3);
}

#[tokio::test(start_paused = true)]
async fn a_missing_one_is_waited_for_and_kept() {
    let cluster = cluster().await;
    let (mut fixed, mut dynamic) = (
        Member::fixed(&cluster, "one").await,
        Member::new(&cluster).await,
    );
    stabilize(&mut [(&mut fixed, &[0])]).await;
    let begin = Instant::now();
    dynamic.send_join().await;
    let joined = dynamic.joined().await;
    assert_eq!(
        begin.elapsed(),
        SESSION,
        "its session ends before the rebalance timeout"
    );
    assert_eq!(joined.members.len(), 1);
    // One that lives stays a member of the next generation without having joined it.
    let mut fixed = Member::fixed(&cluster, "one").await;
    fixed.send_join().await;
    dynamic.join().await;
    fixed.joined().await;
    dynamic.sync(&[]).await;
    let begin = Instant::now();
    dynamic.send_join().await;
    while timeout(SESSION / 2, std::future::pending::<()>())
        .await
        .is_err()
        && begin.elapsed() <= 2 * SESSION
    {
        fixed.heartbeat().await;
    }
    assert_eq!(dynamic.joined().await.members.len(), 2);
    assert_eq!(fixed.heartbeat().await, ErrorCode::IllegalGeneration);
}

#[tokio::test(start_paused = true)]
async fn an_administrator_removes_them_by_name() {
    let cluster = cluster().await;
    let mut member = Member::fixed(&cluster, "one").await;
    stabilize(&mut [(&mut member, &[0])]).await;
    let identity = |instance_id: &str| MemberIdentity {
        group_instance_id: Some(instance_id.to_owned()),
        ..Default::default()
    };
    let request = LeaveGroupRequest {
        group_id: "g".to_owned(),
        members: vec![identity("two"), identity("one")],
        ..Default::default()
    };
    let answer = member.client.ask(&request).await;
    let codes: Vec<i16> = answer.members.iter().map(|one| one.error_code).collect();
    assert_eq!(codes, [ErrorCode::UnknownMemberId.code(), 0]);
    let group = cluster.group("g").await.unwrap().unwrap();
    assert_eq!(group.state, GroupState::Empty);
    assert_eq!(member.heartbeat().await, ErrorCode::UnknownMemberId);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_name_with_an_id_is_unknown() {
    let cluster = cluster().await;
    let mut member = Member::fixed(&cluster, "one").await;
    stabilize(&mut [(&mut member, &[0])]).await;
    member.instance_id = Some("other".to_owned());
    assert_eq!(member.heartbeat().await, ErrorCode::UnknownMemberId);
    let request: JoinGroupRequest = member.join_request();
    let answer = member.client.ask(&request).await;
    assert_eq!(answer.error_code, ErrorCode::UnknownMemberId.code());
    advance(Duration::from_millis(1)).await;
}
