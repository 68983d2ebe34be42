//! Joining, syncing, giving up and taking up.

use std::sync::Arc;
use std::time::Instant;

use ottla_assignor::{Assignor, CooperativeStickyAssignor, RangeAssignor, RebalanceProtocol};
use ottla_codec::ErrorCode;
use ottla_codec::messages::join_group::JoinGroupResponse;
use ottla_codec::messages::sync_group::SyncGroupResponse;
use rstest::rstest;

use super::rig::*;
use crate::membership::{Failure, InvalidAssignors, Loss, Membership, State, Step};

#[test]
fn a_member_finds_joins_syncs_and_is_stable() {
    let mut rig = Rig::new(config(), range());
    assert_eq!(rig.quiet(), None);
    assert_eq!(rig.member.state().0, State::Resting);
    rig.subscribe(&["t"]);
    assert_eq!(rig.member.state(), (State::FindingCoordinator, rig.now));
    rig.find(1);

    let join = rig.join();
    assert_eq!(rig.member.state().0, State::Joining);
    assert_eq!((join.node, join.request.member_id.as_str()), (1, ""));
    assert_eq!(join.request.session_timeout_ms, 45_000);
    assert_eq!(join.request.rebalance_timeout_ms, 300_000);
    assert_eq!(join.deadline, rig.now + REBALANCE + 5 * SECOND);
    assert_eq!(said(&join).topics, ["t"]);
    rig.quiet();
    assert_eq!(rig.member.identity(), None);
    let answer = rig.follower(7);
    rig.joined(&join, &answer);

    let sync = rig.syncing();
    assert_eq!(rig.member.state().0, State::Syncing);
    assert_eq!(sync.request.generation_id, 7);
    assert_eq!(sync.request.assignments, []);
    rig.pass(SECOND);
    let answer = SyncGroupResponse {
        assignment: assignment(&[0, 2]),
        ..Default::default()
    };
    rig.member.synced(sync.token, &answer, rig.now);
    rig.assigned(&[0, 2], &[0, 2]);
    assert_eq!(rig.member.state(), (State::Stable, rig.now));
    let identity = rig.member.identity().unwrap();
    assert_eq!((identity.member_id.as_str(), identity.generation), ("m", 7));
    assert_eq!(*rig.member.owned(), of_t(&[0, 2]));
}

#[test]
fn a_member_id_that_is_required_is_no_failure() {
    let mut rig = Rig::new(config(), range());
    rig.subscribe(&["t"]);
    rig.find(1);
    let join = rig.join();
    let answer = JoinGroupResponse {
        error_code: ErrorCode::MemberIdRequired.code(),
        member_id: "m".to_owned(),
        ..Default::default()
    };
    rig.joined(&join, &answer);
    let again = rig.join();
    assert_eq!(again.request.member_id, "m");
    assert_eq!(again.request.reason, join.request.reason);
}

#[test]
fn an_eager_member_gives_up_everything_before_it_joins() {
    let mut rig = Rig::holding(config(), range(), &[0, 1]);
    rig.next_beat(ErrorCode::RebalanceInProgress);
    let revocation = rig.revocation();
    assert_eq!(revocation.partitions, of_t(&[0, 1]));
    assert_eq!(rig.member.state().0, State::Revoking);
    // What is being given up can still be committed, and heartbeats go on.
    assert_eq!(*rig.member.owned(), of_t(&[0, 1]));
    rig.next_beat(ErrorCode::RebalanceInProgress);
    rig.member.revoked(revocation.token, rig.now);
    let join = rig.join_as_follower(2);
    assert_eq!(join.request.member_id, "m");
    assert_eq!(claimed(&join), (vec![], 1));
    rig.sync(&[1]);
    rig.assigned(&[1], &[1]);
}

#[test]
fn a_cooperative_member_gives_up_what_others_wait_for_and_joins_again() {
    let mut rig = Rig::holding(config(), cooperative(), &[0, 1]);
    rig.next_beat(ErrorCode::RebalanceInProgress);
    let join = rig.join_as_follower(2);
    assert_eq!(claimed(&join), (vec![0, 1], 1));
    rig.sync(&[1, 2]);
    let revocation = rig.revocation();
    assert_eq!(revocation.partitions, of_t(&[0]));
    rig.assigned(&[2], &[1, 2]);
    rig.quiet();
    rig.member.revoked(revocation.token, rig.now);
    assert_eq!(claimed(&rig.join_as_follower(3)), (vec![1, 2], 2));
    rig.sync(&[1, 2]);
    rig.assigned(&[], &[1, 2]);
    assert_eq!(rig.member.state().0, State::Stable);
}

#[test]
fn o07_a_cooperative_member_that_gave_nothing_up_does_not_join_again() {
    let mut rig = Rig::holding(config(), cooperative(), &[0, 1]);
    rig.next_beat(ErrorCode::RebalanceInProgress);
    rig.join_as_follower(2);
    rig.sync(&[0, 1, 2]);
    rig.assigned(&[2], &[0, 1, 2]);
    rig.quiet();
    assert_eq!(rig.member.state().0, State::Stable);
}

#[test]
fn f26_a_member_that_may_have_to_work_eagerly_always_does() {
    let both: Vec<Arc<dyn Assignor>> = vec![
        Arc::new(CooperativeStickyAssignor::new()),
        Arc::new(RangeAssignor::new()),
    ];
    // The group works with the cooperative one: half of its members are on their way there, or back.
    let mut rig = Rig::holding(config(), both, &[0, 1]);
    assert_eq!(rig.member.protocol(), RebalanceProtocol::Eager);
    rig.next_beat(ErrorCode::RebalanceInProgress);
    let revocation = rig.revocation();
    assert_eq!(revocation.partitions, of_t(&[0, 1]));
    rig.member.revoked(revocation.token, rig.now);
    let join = rig.join();
    let names: Vec<_> = join
        .request
        .protocols
        .iter()
        .map(|p| p.name.as_str())
        .collect();
    assert_eq!(names, ["cooperative-sticky", "range"]);
    assert_eq!(claimed(&join).0, []);
}

#[test]
fn a_changed_subscription_joins_again() {
    let mut rig = Rig::holding(config(), cooperative(), &[0]);
    rig.subscribe(&["t"]);
    rig.quiet();
    rig.subscribe(&["u"]);
    // Nobody keeps what it does not subscribe to, whatever the protocol.
    let revocation = rig.revocation();
    assert_eq!(revocation.partitions, of_t(&[0]));
    rig.member.revoked(revocation.token, rig.now);
    assert_eq!(said(&rig.join()).topics, ["u"]);
}

#[test]
fn a_subscription_that_changes_while_a_join_is_parked_takes_another_round() {
    let mut rig = Rig::new(config(), range());
    rig.subscribe(&["t"]);
    rig.find(1);
    let join = rig.join();
    rig.subscribe(&["t", "u"]);
    rig.quiet();
    let answer = rig.follower(1);
    rig.joined(&join, &answer);
    rig.sync(&[0]);
    // What would have to be given up at once is not handed out.
    assert_eq!(said(&rig.join_as_follower(2)).topics, ["t", "u"]);
    rig.sync(&[0]);
    rig.assigned(&[0], &[0]);
}

#[test]
fn f24_commits_wait_from_the_joins_answer_to_the_syncs() {
    let mut rig = Rig::holding(config(), cooperative(), &[0]);
    rig.next_beat(ErrorCode::RebalanceInProgress);
    let join = rig.join();
    assert!(!rig.member.commits_wait());
    assert_eq!(rig.member.identity().unwrap().generation, 1);
    let answer = rig.follower(2);
    rig.joined(&join, &answer);
    assert!(rig.member.commits_wait());
    assert_eq!(rig.member.identity().unwrap().generation, 2);
    rig.sync(&[0]);
    assert!(!rig.member.commits_wait());
}

#[test]
fn o06_a_commit_that_a_rebalance_overtakes_costs_nothing() {
    let mut rig = Rig::holding(config(), cooperative(), &[0]);
    let before = rig.member.identity().unwrap();
    rig.next_beat(ErrorCode::RebalanceInProgress);
    let join = rig.join();
    // The generation is complete, and the answer to the join on its way.
    let again = rig
        .member
        .commit_refused(&before, ErrorCode::IllegalGeneration, rig.now);
    assert!(again);
    rig.quiet();
    let answer = rig.follower(2);
    rig.joined(&join, &answer);
    // One more refusal of the same kind comes late.
    let again = rig
        .member
        .commit_refused(&before, ErrorCode::IllegalGeneration, rig.now);
    assert!(again);
    rig.sync(&[0]);
    rig.assigned(&[], &[0]);
    assert_eq!(*rig.member.owned(), of_t(&[0]));
}

#[rstest]
#[case::unknown(ErrorCode::UnknownMemberId, Loss::UnknownMember, "")]
#[case::illegal(ErrorCode::IllegalGeneration, Loss::IllegalGeneration, "m")]
fn f11_a_refused_commit_ends_a_zombie(
    #[case] code: ErrorCode,
    #[case] why: Loss,
    #[case] member_id: &str,
) {
    let mut rig = Rig::holding(config(), cooperative(), &[0, 1]);
    let identity = rig.member.identity().unwrap();
    assert!(!rig.member.commit_refused(&identity, code, rig.now));
    rig.lost(&[0, 1], why);
    assert_eq!(rig.member.identity(), None);
    let join = rig.join();
    assert_eq!(join.request.member_id, member_id);
    assert_eq!(claimed(&join), (vec![], -1));
}

#[rstest]
#[case::unknown(ErrorCode::UnknownMemberId, Loss::UnknownMember, "")]
#[case::illegal(ErrorCode::IllegalGeneration, Loss::IllegalGeneration, "m")]
fn a_refused_sync_loses_everything(
    #[case] code: ErrorCode,
    #[case] why: Loss,
    #[case] member_id: &str,
) {
    let mut rig = Rig::holding(config(), cooperative(), &[0, 1]);
    rig.next_beat(ErrorCode::RebalanceInProgress);
    rig.join_as_follower(2);
    rig.sync_refused(code);
    rig.lost(&[0, 1], why);
    assert_eq!(rig.join().request.member_id, member_id);
}

#[test]
fn a_sync_that_a_new_rebalance_overtakes_loses_nothing() {
    let mut rig = Rig::holding(config(), cooperative(), &[0, 1]);
    rig.next_beat(ErrorCode::RebalanceInProgress);
    rig.join_as_follower(2);
    rig.sync_refused(ErrorCode::RebalanceInProgress);
    // Its claims were known to the leader of generation 2: as of then they are good.
    assert_eq!(claimed(&rig.join()), (vec![0, 1], 2));
}

#[test]
fn coordinators_that_refuse_heartbeats_until_the_sync_make_nobody_begin_again() {
    let mut rig = Rig::holding(config(), range(), &[0]);
    rig.next_beat(ErrorCode::RebalanceInProgress);
    let revocation = rig.revocation();
    rig.member.revoked(revocation.token, rig.now);
    rig.join_as_follower(2);
    let parked = rig.syncing();
    let confirmed = rig.member.last_confirmed();
    rig.next_beat(ErrorCode::RebalanceInProgress);
    rig.quiet();
    // Such a coordinator counts it as no sign of life.
    assert_eq!(rig.member.last_confirmed(), confirmed);
    let answer = SyncGroupResponse {
        assignment: assignment(&[0, 1]),
        ..Default::default()
    };
    rig.member.synced(parked.token, &answer, rig.now);
    rig.assigned(&[0, 1], &[0, 1]);
    rig.quiet();
    assert_eq!(rig.member.state().0, State::Stable);
}

#[test]
fn rounds_that_fail_in_a_row_are_slowed_down() {
    let mut rig = Rig::new(config(), range());
    rig.subscribe(&["t"]);
    rig.find(1);
    rig.join_refused(ErrorCode::UnknownMemberId);
    rig.join_refused(ErrorCode::UnknownMemberId);
    assert_eq!(rig.quiet(), Some(rig.now + SECOND));
    rig.pass(SECOND);
    rig.join_refused(ErrorCode::UnknownMemberId);
    assert_eq!(rig.quiet(), Some(rig.now + 2 * SECOND));
    rig.pass(2 * SECOND);
    rig.join_as_follower(1);
    rig.sync(&[]);
    rig.assigned(&[], &[]);
    rig.member.rejoin("enforced", rig.now);
    assert_eq!(rig.join().request.reason.as_deref(), Some("enforced"));
}

#[test]
fn a_fenced_member_stops_at_once_and_for_good() {
    let mut rig = Rig::holding(static_config(), range(), &[0]);
    rig.next_beat(ErrorCode::FencedInstanceId);
    rig.lost(&[0], Loss::Fenced);
    match rig.step() {
        Step::Failed(failure @ Failure::Fenced { .. }) => assert!(failure.is_fatal()),
        other => panic!("{other:?}"),
    }
    // It says no more: that would be in its successor's name.
    assert_eq!(rig.quiet(), None);
    assert_eq!(rig.member.state().0, State::Resting);
}

#[test]
fn a_static_member_is_not_fenced_by_its_former_self() {
    // The coordinator did not know it any more; another one, which took over before the new generation was complete,
    // still knows it by its former id.
    let mut rig = Rig::holding(static_config(), cooperative(), &[0]);
    rig.next_beat(ErrorCode::UnknownMemberId);
    rig.lost(&[0], Loss::UnknownMember);
    let join = rig.join();
    let answer = JoinGroupResponse {
        member_id: "n".to_owned(),
        ..rig.follower(2)
    };
    rig.joined(&join, &answer);
    rig.sync_refused(ErrorCode::FencedInstanceId);
    rig.pass(SECOND);
    let again = rig.join();
    assert_eq!(again.request.member_id, "");
    rig.joined(&again, &answer);
    rig.sync(&[0]);
    rig.assigned(&[0], &[0]);

    // From here on it is another member.
    rig.pass(HEARTBEAT);
    let call = rig.beat();
    rig.answer_beat(&call, ErrorCode::FencedInstanceId);
    rig.lost(&[0], Loss::Fenced);
    assert!(matches!(rig.step(), Step::Failed(Failure::Fenced { .. })));
}

#[test]
fn a_static_member_whose_join_is_served_late_joins_again() {
    let mut rig = Rig::new(static_config(), range());
    rig.subscribe(&["t"]);
    rig.find(1);
    let orphan = rig.join();
    rig.member.unanswered(orphan.token, rig.now);
    rig.find(1);
    rig.join_as_follower(1);
    rig.sync(&[0]);
    rig.assigned(&[0], &[0]);
    rig.next_beat(ErrorCode::FencedInstanceId);
    rig.lost(&[0], Loss::Fenced);
    assert_eq!(rig.join().request.member_id, "");
}

#[test]
fn a_static_member_that_is_fenced_again_and_again_gives_in() {
    let mut rig = Rig::new(static_config(), range());
    rig.subscribe(&["t"]);
    rig.find(1);
    for round in 0..4 {
        if round > 1 {
            rig.now = rig.quiet().unwrap();
        }
        rig.join_refused(ErrorCode::FencedInstanceId);
    }
    assert!(matches!(rig.step(), Step::Failed(Failure::Fenced { .. })));
}

#[test]
fn rounds_that_fail_otherwise_make_no_static_member_give_in() {
    let mut rig = Rig::new(static_config(), range());
    rig.subscribe(&["t"]);
    rig.find(1);
    for round in 0..5 {
        if round > 1 {
            rig.now = rig.quiet().unwrap();
        }
        rig.join_refused(ErrorCode::UnknownMemberId);
    }
    // Its coordinator moved before that was ever written down.
    rig.now = rig.quiet().unwrap();
    rig.join_refused(ErrorCode::FencedInstanceId);
    rig.now = rig.quiet().unwrap();
    rig.join_as_follower(1);
    rig.sync(&[0]);
    rig.assigned(&[0], &[0]);
}

#[test]
fn a_static_member_that_quits_while_it_gives_partitions_up_joins_again_once_it_is_back() {
    let mut rig = Rig::holding(static_config(), cooperative(), &[0, 1]);
    rig.next_beat(ErrorCode::RebalanceInProgress);
    rig.join_as_follower(2);
    rig.sync(&[0]);
    assert_eq!(rig.revocation().partitions, of_t(&[1]));
    rig.assigned(&[], &[0]);
    rig.member.quit("nobody reads", rig.now);
    rig.lost(&[0, 1], Loss::Quit);
    rig.left();
    rig.member.resume(rig.now);
    // The coordinator takes it back without a word to the others, and to what it had.
    rig.join_as_follower(2);
    rig.sync(&[0]);
    rig.assigned(&[0], &[0]);
    // The other partition waits for that.
    assert_eq!(claimed(&rig.join_as_follower(3)), (vec![0], 2));
    rig.sync(&[0]);
    rig.assigned(&[], &[0]);
    rig.quiet();
}

#[test]
fn a_static_member_needs_brokers_that_know_of_such() {
    let mut rig = Rig::new(static_config(), range());
    rig.subscribe(&["t"]);
    rig.find(1);
    let join = rig.join();
    assert_eq!(join.request.group_instance_id.as_deref(), Some("i"));
    assert_eq!(join.versions.min, 5);
    let answer = rig.follower(1);
    rig.joined(&join, &answer);
    assert_eq!(rig.sync(&[0]).versions.min, 3);
    rig.assigned(&[0], &[0]);
    rig.pass(HEARTBEAT);
    assert_eq!(rig.beat().versions.min, 3);
}

#[test]
fn a_group_that_works_otherwise_is_a_failure_that_names_the_assignors() {
    let mut rig = Rig::new(config(), range());
    rig.subscribe(&["t"]);
    rig.find(1);
    rig.join_refused(ErrorCode::InconsistentGroupProtocol);
    match rig.step() {
        Step::Failed(Failure::InconsistentProtocol { offered }) => assert_eq!(offered, ["range"]),
        other => panic!("{other:?}"),
    }
    assert_eq!(rig.quiet(), None);
    rig.member.resume(rig.now);
    rig.join();
}

#[test]
fn what_was_never_offered_is_a_failure() {
    let mut rig = Rig::new(config(), range());
    rig.subscribe(&["t"]);
    rig.find(1);
    let join = rig.join();
    let answer = JoinGroupResponse {
        protocol_name: Some("sticky".to_owned()),
        ..rig.follower(1)
    };
    rig.joined(&join, &answer);
    assert!(matches!(
        rig.step(),
        Step::Failed(Failure::UnknownAssignor { chosen, .. }) if chosen == "sticky"
    ));
}

#[test]
fn an_assignment_of_what_is_not_subscribed_to_is_a_failure() {
    let mut rig = Rig::new(config(), range());
    rig.subscribe(&["u"]);
    rig.find(1);
    rig.join_as_follower(1);
    rig.sync(&[0]);
    assert!(matches!(
        rig.step(),
        Step::Failed(Failure::NotSubscribed { topic }) if topic == "t"
    ));
    assert!(matches!(rig.step(), Step::Leave(_)));
}

#[rstest]
#[case::of_no_bytes(b"", true)]
#[case::that_cannot_be_read(b"\0", false)]
fn an_assignment(#[case] bytes: &'static [u8], #[case] is_fine: bool) {
    let mut rig = Rig::new(config(), range());
    rig.subscribe(&["t"]);
    rig.find(1);
    rig.join_as_follower(1);
    let call = rig.syncing();
    let answer = SyncGroupResponse {
        assignment: bytes.into(),
        ..Default::default()
    };
    rig.member.synced(call.token, &answer, rig.now);
    match rig.step() {
        Step::Assigned { all, .. } => assert!(is_fine && all.is_empty()),
        Step::Failed(Failure::Assignment { .. }) => assert!(!is_fine),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_too_long_for_kafka_is_a_failure() {
    let mut rig = Rig::new(config(), range());
    rig.subscribe(&[&"t".repeat(40_000)]);
    rig.find(1);
    assert!(matches!(rig.step(), Step::Failed(Failure::Encode { .. })));
    rig.quiet();
}

#[test]
fn assignors_must_go_together() {
    let refused = |assignors| {
        let backoff = Box::new(|_| SECOND);
        let member = Membership::new(config(), assignors, backoff, Instant::now());
        member.unwrap_err()
    };
    assert_eq!(refused(vec![]), InvalidAssignors::None);
    let twice = [range(), range()].concat();
    let name = "range".to_owned();
    assert_eq!(refused(twice), InvalidAssignors::Twice { name });
}

#[test]
fn an_overrun_revocation_is_lost_and_the_rebalance_goes_on() {
    let mut rig = Rig::holding(config(), range(), &[0, 1]);
    rig.next_beat(ErrorCode::RebalanceInProgress);
    let revocation = rig.revocation();
    while rig.now + HEARTBEAT < revocation.deadline {
        rig.next_beat(ErrorCode::RebalanceInProgress);
    }
    rig.now = revocation.deadline;
    rig.lost(&[0, 1], Loss::Overrun);
    rig.join_as_follower(2);
    rig.sync(&[3]);
    rig.assigned(&[3], &[3]);
    // Too late: it is another's revocation by now, or nobody's.
    rig.member.revoked(revocation.token, rig.now);
    assert_eq!(*rig.member.owned(), of_t(&[3]));
}

#[test]
fn a_revocation_ends_before_the_coordinator_loses_patience() {
    let mut rig = Rig::holding(config(), cooperative(), &[0, 1]);
    rig.member.rejoin("enforced", rig.now);
    rig.join_as_follower(2);
    rig.pass(SECOND);
    let synced = rig.now;
    rig.sync(&[1]);
    // Nobody counts yet: the others wait for these partitions, not for a join.
    assert_eq!(rig.revocation().deadline, synced + REBALANCE);
    rig.assigned(&[], &[1]);
    rig.pass(HEARTBEAT);
    let call = rig.beat();
    rig.answer_beat(&call, ErrorCode::RebalanceInProgress);
    // From the sending of the sync the coordinator may have begun to count.
    let patience = synced + REBALANCE - 5 * SECOND;
    assert_eq!(rig.member.revocation.as_ref().unwrap().deadline, patience);
}
