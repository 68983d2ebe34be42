use std::sync::Arc;

use ottla_coordinator::membership::Identity;

use super::*;
use crate::consumer::assignment::Limits;
use crate::consumer::group::MemberHealth;
use crate::consumer::positions::Position;
use crate::consumer::reset::AutoOffsetReset;
use crate::consumer::stream::Progress;
use crate::error::ErrorKind;

fn tp(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

fn at(offset: i64) -> Position {
    Position::at(offset)
}

fn member(generation: i32) -> Identity {
    Identity {
        member_id: "m".to_owned(),
        generation,
        instance_id: None,
    }
}

/// A subscribed member of generation 1 that owns partitions 0 and 1, both at offset 10.
fn subscribed() -> Assignment {
    let limits = Limits {
        budget: 1 << 20,
        partition: 1 << 10,
    };
    let mut assignment = Assignment::new(AutoOffsetReset::Earliest, limits);
    assignment.standing.enter(Mode::Subscribed).unwrap();
    enter(&mut assignment, Some(member(1)), false);
    assignment.adopt([tp(0), tp(1)], false);
    for partition in [0, 1] {
        assignment.seek(&tp(partition), Start::At(at(10))).unwrap();
    }
    assignment
}

fn enter(assignment: &mut Assignment, identity: Option<Identity>, commits_wait: bool) {
    let health = MemberHealth {
        identity,
        ..MemberHealth::default()
    };
    assignment.standing.publish(health, commits_wait);
}

fn offsets(pairs: &[(i32, i64)]) -> Offsets {
    pairs
        .iter()
        .map(|&(partition, offset)| (tp(partition), offset.into()))
        .collect()
}

/// Hands out what goes up to that offset of partition 0, as a batch would.
fn hand(assignment: &mut Assignment, end: i64) {
    let before = assignment.partition(&tp(0)).unwrap().position().unwrap();
    let lineage = assignment.partition(&tp(0)).unwrap().lineage();
    assignment.presence.hand(&tp(0), before);
    assignment.presence.leave(Instant::now());
    let found = assignment.positions.partition_mut(&tp(0)).unwrap();
    found.buffered_to(at(end), false);
    assignment.consume(&tp(0), lineage, at(end), 0);
}

#[test]
fn a_commit_is_good_for_the_ownership_under_which_it_was_asked_for() {
    let mut assignment = subscribed();
    let claim = assignment.claim(&offsets(&[(0, 5)])).unwrap();
    assert_eq!(
        assignment.clear(&claim),
        Clearance::Granted(Some(member(1)))
    );
    // A later generation, the same ownership.
    enter(&mut assignment, Some(member(2)), false);
    assert_eq!(
        assignment.clear(&claim),
        Clearance::Granted(Some(member(2)))
    );
    // While it is being given up it is still owned.
    assignment.retire(&[tp(0)]);
    assert_eq!(
        assignment.clear(&claim),
        Clearance::Granted(Some(member(2)))
    );
    // It goes, and it comes back.
    assignment.revoke(&tp(0));
    assert_eq!(assignment.clear(&claim), Clearance::Ended(tp(0)));
    let error = assignment.claim(&offsets(&[(0, 5)])).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotAssigned { .. }));
    assignment.adopt([tp(0)], false);
    assert_eq!(assignment.clear(&claim), Clearance::Ended(tp(0)));
    let again = assignment.claim(&offsets(&[(0, 5)])).unwrap();
    assert_eq!(
        assignment.clear(&again),
        Clearance::Granted(Some(member(2)))
    );
}

#[test]
fn f24_a_commit_waits_from_the_joins_answer_to_the_syncs() {
    let mut assignment = subscribed();
    let claim = assignment.claim(&offsets(&[(0, 5), (1, 6)])).unwrap();
    enter(&mut assignment, Some(member(2)), true);
    assert_eq!(assignment.clear(&claim), Clearance::Wait);
    enter(&mut assignment, Some(member(2)), false);
    assert_eq!(
        assignment.clear(&claim),
        Clearance::Granted(Some(member(2)))
    );
    enter(&mut assignment, None, false);
    assert_eq!(assignment.clear(&claim), Clearance::Wait);
}

#[test]
fn one_who_is_no_member_commits_what_it_likes() {
    let limits = Limits {
        budget: 1,
        partition: 1,
    };
    let assignment = Assignment::new(AutoOffsetReset::Earliest, limits);
    let claim = assignment.claim(&offsets(&[(7, 5)])).unwrap();
    assert_eq!(assignment.clear(&claim), Clearance::Granted(None));
}

#[test]
fn what_the_caller_has_committed_itself_is_not_taken_back() {
    let mut assignment = subscribed();
    let claim = assignment.claim(&offsets(&[(0, 10), (1, 10)])).unwrap();
    assignment.note_committed(&claim, &offsets(&[(0, 10), (1, 10)]));
    // It is not back from the batch, but has committed a part of it, and then all.
    hand(&mut assignment, 20);
    for done in [15, 20] {
        assignment.note_committed(&claim, &offsets(&[(0, done)]));
        assert_eq!(assignment.uncommitted(|_| true), offsets(&[]));
    }
    // It goes back on purpose.
    assignment.seek(&tp(0), Start::At(at(3))).unwrap();
    assert_eq!(assignment.uncommitted(|_| true), offsets(&[(0, 3)]));
}

#[test]
fn only_what_the_caller_has_come_back_from_is_due() {
    let mut assignment = subscribed();
    let claim = assignment.claim(&offsets(&[(0, 10), (1, 10)])).unwrap();
    // Positions that nobody has committed yet are due, or a quiet partition would start anywhere.
    assert_eq!(
        assignment.uncommitted(|_| true),
        offsets(&[(0, 10), (1, 10)])
    );
    assignment.note_committed(&claim, &offsets(&[(0, 10), (1, 10)]));
    assert_eq!(assignment.uncommitted(|_| true), offsets(&[]));

    hand(&mut assignment, 20);
    assert_eq!(assignment.position(&tp(0)).unwrap(), Some(at(20)));
    assert_eq!(assignment.uncommitted(|_| true), offsets(&[]));
    assignment.attend();
    assert_eq!(assignment.uncommitted(|_| true), offsets(&[(0, 20)]));
    assert_eq!(assignment.uncommitted(|name| *name == tp(1)), offsets(&[]));

    // What it holds of a partition says nothing once that was moved.
    hand(&mut assignment, 30);
    assignment.seek(&tp(0), Start::At(at(3))).unwrap();
    assert_eq!(assignment.uncommitted(|_| true), offsets(&[(0, 3)]));
}

#[test]
fn a_revocation_neither_loses_nor_adds_to_what_the_caller_has_come_back_from() {
    let mut assignment = subscribed();
    hand(&mut assignment, 20);
    assignment.retire(&[tp(0)]);
    assert!(!assignment.reader_has_called());
    assert_eq!(assignment.returned(&tp(0)), Some(at(10)));
    assignment.attend();
    assert!(assignment.reader_has_called());
    assert_eq!(assignment.returned(&tp(0)), Some(at(20)));
}

#[test]
fn o03_what_was_held_when_a_partition_went_says_nothing_when_it_is_back() {
    let mut assignment = subscribed();
    hand(&mut assignment, 20);
    assignment.retire(&[tp(0)]);
    assignment.revoke(&tp(0));
    assignment.adopt([tp(0)], false);
    assignment
        .positions
        .partition_mut(&tp(0))
        .unwrap()
        .start_at(at(50));
    assert_eq!(assignment.returned(&tp(0)), Some(at(50)));
}

#[test]
fn within_a_batch_a_stream_comes_back_record_by_record() {
    let mut assignment = subscribed();
    assignment.attend();
    let lineage = assignment.partition(&tp(0)).unwrap().lineage();
    let progress = Arc::new(Progress::at(10));
    assert!(assignment.begin_stream(&tp(0), lineage, &progress, 5));
    progress.advance(11);
    assert_eq!(assignment.position(&tp(0)).unwrap(), Some(at(11)));
    assert_eq!(assignment.returned(&tp(0)), Some(at(10)));
    progress.advance(12);
    assert_eq!(assignment.returned(&tp(0)), Some(at(11)));
    // What the caller has in hand stays in its hand when the rest is taken from it.
    assignment.presence.leave(Instant::now());
    assignment.retire(&[tp(0)]);
    assert_eq!(assignment.position(&tp(0)).unwrap(), Some(at(12)));
    assert_eq!(assignment.returned(&tp(0)), Some(at(11)));
    assert!(!assignment.reader_has_called());
}

#[test]
fn a_reader_that_waits_or_never_was_there_is_not_waited_for() {
    let mut assignment = subscribed();
    assignment.retire(&[tp(0)]);
    assert!(assignment.reader_has_called());
    assignment.attend();
    assignment.retire(&[tp(1)]);
    assert!(assignment.reader_has_called());
    assignment.abandon(Instant::now());
    assignment.retire(&[tp(1)]);
    assert!(!assignment.reader_has_called());
}

#[test]
fn held_partitions_open_for_their_own_ownership_only() {
    let mut assignment = subscribed();
    let held = assignment.adopt([tp(2)], true);
    assert!(!assignment.partition(&tp(2)).unwrap().is_open());
    assignment.revoke(&tp(2));
    assignment.adopt([tp(2)], true);
    assignment.open(&held);
    assert!(!assignment.partition(&tp(2)).unwrap().is_open());
}

#[test]
fn what_the_listener_has_not_heard_of_it_cannot_commit() {
    let mut assignment = subscribed();
    let owned = assignment.adopt([tp(2)], true);
    assert!(assignment.claim(&offsets(&[(2, 5)])).is_err());
    assert_eq!(assignment.uncommitted(|name| *name == tp(2)), offsets(&[]));
    assignment.make_known(&owned);
    assert!(assignment.claim(&offsets(&[(2, 5)])).is_ok());
}

#[test]
fn a_pause_lasts_as_long_as_the_ownership() {
    let mut assignment = subscribed();
    assignment.set_paused(&tp(0), true).unwrap();
    enter(&mut assignment, Some(member(2)), false);
    assert!(assignment.partition(&tp(0)).unwrap().is_paused());
    assignment.revoke(&tp(0));
    assignment.adopt([tp(0)], false);
    assert!(!assignment.partition(&tp(0)).unwrap().is_paused());
}

#[test]
fn o03_a_reader_that_is_busy_cannot_mean_what_has_come_meanwhile() {
    let mut assignment = subscribed();
    hand(&mut assignment, 20);
    assignment.revoke(&tp(0));
    assignment.adopt([tp(0)], false);
    assert!(assignment.claim(&offsets(&[(0, 20)])).is_err());
    assert!(assignment.claim(&offsets(&[(1, 20)])).is_ok());
    assignment.attend();
    assert!(assignment.claim(&offsets(&[(0, 20)])).is_ok());
}
