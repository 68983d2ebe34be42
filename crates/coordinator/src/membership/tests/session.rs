//! Signs of life, coordinators that move or die, and answers that come late or never.

use ottla_codec::ErrorCode;
use ottla_codec::messages::join_group::JoinGroupResponse;
use ottla_codec::messages::sync_group::SyncGroupResponse;
use rstest::rstest;

use super::rig::*;
use crate::Refusal;
use crate::membership::{Failure, Loss, State, Stay, Step};

#[test]
fn a_member_shows_signs_of_life() {
    let mut rig = Rig::holding(config(), range(), &[0]);
    for _ in 0..30 {
        assert_eq!(rig.quiet(), Some(rig.now + HEARTBEAT));
        rig.next_beat(ErrorCode::None);
    }
    assert_eq!(rig.member.last_confirmed(), Some(rig.now));
    assert_eq!(*rig.member.owned(), of_t(&[0]));
}

#[rstest]
#[case::unknown(ErrorCode::UnknownMemberId, Loss::UnknownMember, "")]
#[case::illegal(ErrorCode::IllegalGeneration, Loss::IllegalGeneration, "m")]
fn a_member_that_is_not_one_any_more_joins_anew(
    #[case] code: ErrorCode,
    #[case] why: Loss,
    #[case] member_id: &str,
) {
    let mut rig = Rig::holding(config(), cooperative(), &[0]);
    rig.next_beat(code);
    rig.lost(&[0], why);
    let join = rig.join();
    assert_eq!(join.request.member_id, member_id);
    assert_eq!(claimed(&join), (vec![], -1));
}

#[test]
fn the_session_counts_from_the_sending_of_what_was_confirmed() {
    let mut rig = Rig::holding(config(), range(), &[0]);
    rig.pass(HEARTBEAT);
    let sent = rig.now;
    let call = rig.beat();
    rig.pass(10 * SECOND);
    rig.answer_beat(&call, ErrorCode::None);
    // From here on the coordinator is dead.
    while rig.now < sent + SESSION {
        match rig.step() {
            Step::Heartbeat(call) => rig.member.unanswered(call.token, rig.now),
            Step::FindCoordinator { token, .. } => rig.member.unanswered(token, rig.now),
            Step::Wait { until } => rig.now = until.unwrap(),
            other => panic!("{other:?}"),
        }
        assert_eq!(*rig.member.owned(), of_t(&[0]));
    }
    assert_eq!(rig.now, sent + SESSION);
    rig.lost(&[0], Loss::SessionExpired);
    assert_eq!(rig.member.identity(), None);
}

#[test]
fn a_member_whose_join_does_not_arrive_in_time_loses_everything() {
    let mut rig = Rig::holding(config(), cooperative(), &[0]);
    let settled = rig.now;
    rig.next_beat(ErrorCode::RebalanceInProgress);
    let join = rig.join();
    while rig.now + HEARTBEAT < settled + REBALANCE {
        rig.next_beat(ErrorCode::RebalanceInProgress);
    }
    // Signs of life are no help: the coordinator waits for a join, and no longer than this.
    rig.pass(HEARTBEAT);
    rig.lost(&[0], Loss::RebalanceExpired);
    // If it is answered after all, the member takes what it gets.
    let answer = rig.follower(2);
    rig.joined(&join, &answer);
    let call = rig.beat();
    rig.answer_beat(&call, ErrorCode::None);
    rig.sync(&[0]);
    rig.assigned(&[0], &[0]);
}

#[test]
fn a_join_parked_for_long_outlives_the_session_by_heartbeats() {
    let mut rig = Rig::holding(config(), cooperative(), &[0]);
    rig.next_beat(ErrorCode::RebalanceInProgress);
    let join = rig.join();
    for _ in 0..90 {
        rig.next_beat(ErrorCode::RebalanceInProgress);
    }
    let answer = rig.follower(2);
    rig.joined(&join, &answer);
    // The sync is parked as well. Nothing is waited for longer than a request may take, and asking again costs
    // nothing.
    let sync = rig.syncing();
    while rig.now + HEARTBEAT < sync.deadline {
        rig.next_beat(ErrorCode::None);
    }
    rig.now = sync.deadline;
    rig.find(1);
    let beat = rig.beat();
    rig.answer_beat(&beat, ErrorCode::None);
    let again = rig.sync(&[0]);
    assert_eq!(again.request, sync.request);
    rig.assigned(&[], &[0]);
}

#[test]
fn a_sync_whose_answer_is_lost_is_repeated_and_not_the_rebalance() {
    let mut rig = Rig::new(config(), range());
    rig.subscribe(&["t"]);
    rig.find(1);
    rig.join_as_follower(1);
    let lost = rig.syncing();
    rig.member.unanswered(lost.token, rig.now);
    rig.find(1);
    let again = rig.sync(&[0]);
    assert_eq!(again.request, lost.request);
    rig.assigned(&[0], &[0]);
    // The first answer turns up after all.
    let late = SyncGroupResponse {
        assignment: assignment(&[5]),
        ..Default::default()
    };
    rig.member.synced(lost.token, &late, rig.now);
    rig.quiet();
    assert_eq!(*rig.member.owned(), of_t(&[0]));
}

#[test]
fn an_assignment_is_not_taken_up_before_a_sign_of_life_is_confirmed() {
    let mut rig = Rig::new(config(), range());
    rig.subscribe(&["t"]);
    rig.find(1);
    let join = rig.join();
    // Others were slow to join; or the answer was slow to come, and the session is over.
    rig.pass(SESSION);
    let answer = rig.follower(1);
    rig.joined(&join, &answer);
    let beat = rig.beat();
    let sync = rig.syncing();
    let answer = SyncGroupResponse {
        assignment: assignment(&[0]),
        ..Default::default()
    };
    rig.member.synced(sync.token, &answer, rig.now);
    rig.quiet();
    assert!(rig.member.owned().is_empty());
    rig.answer_beat(&beat, ErrorCode::None);
    rig.sync(&[0]);
    rig.assigned(&[0], &[0]);
}

#[test]
fn who_waits_for_a_sign_of_life_to_take_up_an_assignment_follows_a_rebalance() {
    let mut rig = Rig::new(config(), range());
    rig.subscribe(&["t"]);
    rig.find(1);
    let join = rig.join();
    rig.pass(SESSION);
    let answer = rig.follower(1);
    rig.joined(&join, &answer);
    let beat = rig.beat();
    rig.sync(&[0]);
    rig.quiet();
    // No answer is awaited that would say so.
    rig.answer_beat(&beat, ErrorCode::RebalanceInProgress);
    rig.join_as_follower(2);
    rig.sync(&[0]);
    rig.assigned(&[0], &[0]);
}

#[test]
fn an_answer_to_a_join_or_a_sync_is_no_sign_of_life() {
    let mut rig = Rig::holding(config(), cooperative(), &[0]);
    let confirmed = rig.member.last_confirmed();
    rig.pass(SECOND);
    rig.member.rejoin("enforced", rig.now);
    // A coordinator answers a follower that has nothing new to say at once, and counts on.
    rig.join_as_follower(1);
    rig.pass(SECOND);
    rig.sync(&[0]);
    rig.assigned(&[], &[0]);
    assert_eq!(rig.member.last_confirmed(), confirmed);
}

#[test]
fn a_join_whose_answer_was_missed_is_found_out_by_heartbeats() {
    let mut rig = Rig::holding(config(), cooperative(), &[0]);
    rig.next_beat(ErrorCode::RebalanceInProgress);
    let lost = rig.join();
    // One may be ahead of the join's answer.
    for _ in 0..5 {
        rig.next_beat(ErrorCode::IllegalGeneration);
        rig.quiet();
        assert_eq!(*rig.member.owned(), of_t(&[0]));
    }
    rig.next_beat(ErrorCode::IllegalGeneration);
    rig.lost(&[0], Loss::IllegalGeneration);
    let again = rig.join();
    assert_eq!(again.request.member_id, "m");
    assert_ne!(again.token, lost.token);
    let late = rig.follower(2);
    rig.joined(&lost, &late);
    rig.quiet();
    assert_eq!(rig.member.identity(), None);
}

#[test]
fn late_answers_of_an_older_generation_are_dropped() {
    let mut rig = Rig::holding(config(), cooperative(), &[0]);
    rig.member.rejoin("enforced", rig.now);
    let join = rig.join();
    rig.pass(HEARTBEAT);
    let beat = rig.beat();
    let answer = rig.follower(2);
    rig.joined(&join, &answer);
    let first = rig.beat();
    rig.answer_beat(&first, ErrorCode::None);
    rig.sync(&[0]);
    rig.assigned(&[], &[0]);
    for code in [
        ErrorCode::UnknownMemberId,
        ErrorCode::IllegalGeneration,
        ErrorCode::FencedInstanceId,
        ErrorCode::NotCoordinator,
    ] {
        rig.answer_beat(&beat, code);
        rig.quiet();
    }
    rig.member.unanswered(beat.token, rig.now);
    rig.joined(&join, &JoinGroupResponse::default());
    rig.quiet();
    assert_eq!(rig.member.state().0, State::Stable);
    assert_eq!(rig.member.identity().unwrap().generation, 2);
}

#[test]
fn a_joins_answer_after_leaving_makes_no_member() {
    let mut rig = Rig::new(config(), range());
    rig.subscribe(&["t"]);
    rig.find(1);
    let join = rig.join();
    let departure = rig.departure(Stay::IfStatic);
    rig.member.leave(departure, rig.now);
    rig.left();
    let answer = rig.follower(1);
    rig.joined(&join, &answer);
    assert_eq!(rig.quiet(), None);
    assert_eq!(rig.member.identity(), None);
}

#[test]
fn a_coordinator_that_moves_takes_the_generation_along() {
    let mut rig = Rig::holding(config(), range(), &[0]);
    rig.next_beat(ErrorCode::NotCoordinator);
    assert_eq!(rig.member.coordinator(), None);
    rig.find(2);
    let call = rig.beat();
    assert_eq!((call.node, call.request.generation_id), (2, 1));
    rig.answer_beat(&call, ErrorCode::CoordinatorLoadInProgress);
    // It is the right one, and needs a moment.
    assert_eq!(rig.quiet(), Some(rig.now + 2 * SECOND));
    rig.pass(2 * SECOND);
    let call = rig.beat();
    rig.answer_beat(&call, ErrorCode::None);
    rig.quiet();
    assert_eq!(*rig.member.owned(), of_t(&[0]));
}

#[test]
fn a_parked_join_moves_with_the_coordinator() {
    let mut rig = Rig::holding(config(), cooperative(), &[0]);
    rig.next_beat(ErrorCode::RebalanceInProgress);
    let parked = rig.join();
    rig.next_beat(ErrorCode::NotCoordinator);
    // The same broker again: it is still parked there.
    rig.find(1);
    let call = rig.beat();
    rig.quiet();
    rig.answer_beat(&call, ErrorCode::NotCoordinator);
    rig.pass(SECOND);
    rig.find(2);
    let call = rig.beat();
    assert_eq!(call.node, 2);
    let again = rig.join();
    assert_eq!((again.node, claimed(&again)), (2, (vec![0], 1)));
    let late = rig.follower(2);
    rig.joined(&parked, &late);
    assert_eq!(rig.member.state().0, State::Joining);
    rig.joined(&again, &late);
    rig.sync(&[0]);
    rig.assigned(&[], &[0]);
}

#[test]
fn f15_a_coordinator_that_cannot_be_reached_is_looked_up_again_ever_more_slowly() {
    let mut rig = Rig::new(config(), range());
    rig.subscribe(&["t"]);
    let mut waits = Vec::new();
    for _ in 0..4 {
        rig.find(1);
        let call = rig.join();
        rig.member.unanswered(call.token, rig.now);
        if let Some(until) = match rig.member.coordinator() {
            None if waits.is_empty() => Some(rig.now),
            _ => rig.quiet(),
        } {
            waits.push(until - rig.now);
            rig.now = until;
        }
    }
    assert_eq!(waits, [0, 1, 2, 3].map(|seconds| seconds * SECOND));
    // Found at last, it begins anew.
    rig.find(1);
    rig.join_as_follower(1);
    let call = rig.syncing();
    rig.member.unanswered(call.token, rig.now);
    rig.find(1);
}

#[test]
fn several_requests_that_find_a_coordinator_dead_count_once() {
    let mut rig = Rig::holding(config(), cooperative(), &[0]);
    rig.next_beat(ErrorCode::RebalanceInProgress);
    let join = rig.join();
    rig.pass(HEARTBEAT);
    let beat = rig.beat();
    rig.member.unanswered(join.token, rig.now);
    rig.member.unanswered(beat.token, rig.now);
    rig.member.coordinator_lost(1, rig.now);
    rig.find(2);
    // News of the one before is old news.
    rig.member.coordinator_lost(1, rig.now);
    assert_eq!(rig.member.coordinator(), Some(2));
}

#[test]
fn whatever_is_never_answered_is_missed_at_its_deadline() {
    let mut rig = Rig::new(config(), range());
    rig.subscribe(&["t"]);
    let mut asked = Vec::new();
    let began = rig.now;
    while rig.now < began + 2 * REBALANCE {
        match rig.step() {
            Step::FindCoordinator { token, deadline } => {
                assert_eq!(deadline, rig.now + 30 * SECOND);
                // Every other look-up is answered.
                if asked.len() % 2 == 1 {
                    rig.member.coordinator_found(token, Ok(1), rig.now);
                }
                asked.push("find");
            }
            Step::Join(call) => {
                assert_eq!(call.deadline, rig.now + REBALANCE + 5 * SECOND);
                asked.push("join");
            }
            Step::Wait { until } => rig.now = until.unwrap(),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(asked, ["find", "find", "join", "find", "join"]);
}

#[test]
fn a_heartbeat_that_is_not_answered_leaves_time_for_more() {
    let mut rig = Rig::holding(config(), range(), &[0]);
    rig.pass(HEARTBEAT);
    let first = rig.beat();
    assert_eq!(rig.quiet(), Some(first.deadline));
    assert_eq!(first.deadline, rig.now + SESSION / 3);
    rig.now = first.deadline;
    rig.find(2);
    let second = rig.beat();
    rig.answer_beat(&second, ErrorCode::None);
    rig.quiet();
    assert_eq!(*rig.member.owned(), of_t(&[0]));
}

#[test]
fn who_may_not_use_the_group_is_told_so() {
    let mut rig = Rig::new(config(), range());
    rig.subscribe(&["t"]);
    match rig.step() {
        Step::FindCoordinator { token, .. } => {
            let refusal = Refusal {
                code: ErrorCode::GroupAuthorizationFailed,
                partition: None,
            };
            rig.member.coordinator_found(token, Err(refusal), rig.now);
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(
        rig.step(),
        Step::Failed(Failure::Refused {
            code: ErrorCode::GroupAuthorizationFailed
        })
    ));
    assert_eq!(rig.quiet(), None);
}

#[test]
fn a_member_that_is_abandoned_says_nothing() {
    let mut rig = Rig::holding(config(), range(), &[0]);
    rig.member.abandon(rig.now);
    rig.lost(&[0], Loss::Failed);
    assert_eq!(rig.quiet(), None);
    rig.member.resume(rig.now);
    rig.join();
}
