//! Leaving, in order and in a hurry.

use ottla_codec::ErrorCode;
use ottla_codec::messages::leave_group::LeaveGroupResponse;
use rstest::rstest;

use super::rig::*;
use crate::membership::{Call, Config, LeaveCall, Loss, State, Stay, Step};

fn farewell(rig: &mut Rig) -> Box<Call<LeaveCall>> {
    match rig.step() {
        Step::Leave(call) => call,
        other => panic!("{other:?}"),
    }
}

fn answer(rig: &mut Rig, call: &Call<LeaveCall>, code: ErrorCode) {
    let answer = LeaveGroupResponse {
        error_code: code.code(),
        ..Default::default()
    };
    rig.member.left(call.token, &answer, rig.now);
}

#[test]
fn a_member_gives_everything_up_before_it_leaves() {
    let mut rig = Rig::holding(config(), cooperative(), &[0, 1]);
    let departure = rig.departure(Stay::IfStatic);
    rig.member.leave(departure, rig.now);
    let revocation = rig.revocation();
    assert_eq!(revocation.partitions, of_t(&[0, 1]));
    assert_eq!(rig.member.state().0, State::Leaving);
    // Meanwhile it is a member like any other, which can commit.
    rig.next_beat(ErrorCode::None);
    assert!(rig.member.identity().is_some());
    rig.member.revoked(revocation.token, rig.now);

    let call = farewell(&mut rig);
    assert_eq!(rig.member.identity(), None);
    let old = call.request.request(2);
    assert_eq!((old.member_id.as_str(), old.members.len()), ("m", 0));
    let new = call.request.request(5);
    assert_eq!((new.member_id.as_str(), new.members.len()), ("", 1));
    assert_eq!(new.members[0].member_id, "m");
    assert_eq!(new.members[0].reason.as_deref(), Some("closing"));
    answer(&mut rig, &call, ErrorCode::None);
    rig.left();
    assert_eq!(rig.quiet(), None);
    assert_eq!(rig.member.state().0, State::Resting);
}

#[rstest]
#[case::dynamic(config(), Stay::IfStatic, true)]
#[case::dynamic_that_stays(config(), Stay::Always, false)]
#[case::fixed(static_config(), Stay::IfStatic, false)]
#[case::fixed_that_leaves(static_config(), Stay::Never, true)]
fn who_leaves_and_who_stays(#[case] config: Config, #[case] stay: Stay, #[case] leaves: bool) {
    let mut rig = Rig::holding(config, range(), &[0]);
    let departure = rig.departure(stay);
    rig.member.leave(departure, rig.now);
    let revocation = rig.revocation();
    rig.member.revoked(revocation.token, rig.now);
    if leaves {
        let call = farewell(&mut rig);
        answer(&mut rig, &call, ErrorCode::None);
    }
    rig.left();
    assert_eq!(rig.quiet(), None);
}

#[test]
fn a_member_of_no_generation_yet_leaves_as_well() {
    let mut rig = Rig::new(config(), range());
    rig.subscribe(&["t"]);
    rig.find(1);
    let join = rig.join();
    let required = ottla_codec::messages::join_group::JoinGroupResponse {
        error_code: ErrorCode::MemberIdRequired.code(),
        member_id: "m".to_owned(),
        ..Default::default()
    };
    rig.joined(&join, &required);
    rig.join();
    let departure = rig.departure(Stay::IfStatic);
    rig.member.leave(departure, rig.now);
    // The coordinator may be waiting for it by now.
    assert_eq!(farewell(&mut rig).request.request(0).member_id, "m");
}

#[test]
fn a_farewell_follows_the_coordinator() {
    let mut rig = Rig::holding(config(), range(), &[]);
    let departure = rig.departure(Stay::IfStatic);
    rig.member.leave(departure, rig.now);
    let call = farewell(&mut rig);
    answer(&mut rig, &call, ErrorCode::NotCoordinator);
    rig.find(2);
    let call = farewell(&mut rig);
    assert_eq!(call.node, 2);
    answer(&mut rig, &call, ErrorCode::UnknownMemberId);
    rig.left();
}

#[test]
fn o21_leaving_ends_by_its_deadline_whoever_can_be_reached() {
    let mut rig = Rig::holding(config(), range(), &[0]);
    let departure = rig.departure(Stay::IfStatic);
    let deadline = departure.deadline;
    rig.member.leave(departure, rig.now);
    let revocation = rig.revocation();
    assert!(revocation.deadline < deadline);
    // Nobody gives anything up, and no broker answers.
    loop {
        match rig.step() {
            Step::Wait { until } => rig.now = until.unwrap(),
            Step::Lost { why, .. } => {
                assert_eq!((why, rig.now), (Loss::Overrun, revocation.deadline));
            }
            Step::Left => break,
            Step::Heartbeat(_) | Step::Leave(_) | Step::FindCoordinator { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(rig.now, deadline);
    assert_eq!(rig.quiet(), None);
}

#[test]
fn leaving_in_the_middle_of_a_rebalance_follows_it_so_that_commits_are_possible() {
    let mut rig = Rig::holding(config(), cooperative(), &[0, 1]);
    rig.next_beat(ErrorCode::RebalanceInProgress);
    rig.join_as_follower(2);
    let departure = rig.departure(Stay::IfStatic);
    rig.member.leave(departure, rig.now);
    let revocation = rig.revocation();
    assert!(rig.member.commits_wait());
    rig.sync(&[0, 1, 2]);
    assert!(!rig.member.commits_wait());
    assert_eq!(rig.member.identity().unwrap().generation, 2);
    // It takes nothing up any more.
    rig.quiet();
    assert_eq!(*rig.member.owned(), of_t(&[0, 1]));
    rig.member.revoked(revocation.token, rig.now);
    farewell(&mut rig);
}

#[test]
fn leaving_gives_up_the_rest_when_a_revocation_is_under_way() {
    let mut rig = Rig::holding(config(), cooperative(), &[0, 1]);
    rig.member.rejoin("enforced", rig.now);
    rig.join_as_follower(2);
    rig.sync(&[0]);
    let first = rig.revocation();
    rig.assigned(&[], &[0]);
    let departure = rig.departure(Stay::IfStatic);
    rig.member.leave(departure, rig.now);
    rig.quiet();
    rig.member.revoked(first.token, rig.now);
    let second = rig.revocation();
    assert_eq!(second.partitions, of_t(&[0]));
    rig.member.revoked(second.token, rig.now);
    farewell(&mut rig);
}

#[test]
fn a_member_that_quits_loses_everything_and_rests() {
    let mut rig = Rig::holding(config(), cooperative(), &[0]);
    rig.member.quit("too slow", rig.now);
    rig.lost(&[0], Loss::Quit);
    let call = farewell(&mut rig);
    // It comes back, and waits until it has left: the coordinator is to know it is another.
    rig.member.resume(rig.now);
    rig.quiet();
    answer(&mut rig, &call, ErrorCode::None);
    rig.left();
    let join = rig.join();
    assert_eq!(join.request.member_id, "");
    assert_eq!(said(&join).topics, ["t"]);
}

#[test]
fn who_quits_stays_away_until_asked() {
    let mut rig = Rig::holding(config(), cooperative(), &[0]);
    rig.member.quit("too slow", rig.now);
    rig.lost(&[0], Loss::Quit);
    let call = farewell(&mut rig);
    answer(&mut rig, &call, ErrorCode::None);
    rig.left();
    rig.member.rejoin("enforced", rig.now);
    assert_eq!(rig.quiet(), None);
    assert_eq!(rig.member.state().0, State::Resting);
    rig.subscribe(&["t"]);
    rig.join();
}

#[test]
fn a_static_member_that_quits_only_falls_silent() {
    let mut rig = Rig::holding(static_config(), range(), &[0]);
    rig.member.quit("too slow", rig.now);
    rig.lost(&[0], Loss::Quit);
    rig.left();
    assert_eq!(rig.quiet(), None);
}
