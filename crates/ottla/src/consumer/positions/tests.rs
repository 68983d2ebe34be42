use super::*;
use crate::consumer::lane::Lane;
use crate::error::ErrorKind;

fn tp(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

fn leader(node: i32, epoch: i32) -> Option<Leader> {
    Some(Leader {
        node: NodeId(node),
        epoch: Some(epoch),
    })
}

fn at(offset: i64, epoch: i32) -> Position {
    Position {
        offset,
        leader_epoch: Some(epoch),
    }
}

fn via(node: i32) -> Via {
    Via {
        node: NodeId(node),
        lane: Lane::Main,
    }
}

const ID: Uuid = Uuid([1; 16]);

/// Partition 0 at offset 10, led by broker 1.
fn assigned() -> Positions {
    let mut positions = Positions::default();
    positions.insert(tp(0), Start::At(Position::at(10)));
    positions.follow(&tp(0), leader(1, 5), ID);
    positions
}

fn fetch(positions: &mut Positions, node: i32) -> Vec<FetchTarget> {
    positions.fetch_from(via(node), Instant::now(), |_, _| true)
}

fn offset(positions: &Positions) -> Option<i64> {
    positions
        .partition(&tp(0))
        .unwrap()
        .position()
        .map(|at| at.offset)
}

#[test]
fn a_partition_is_asked_of_its_leader_once_at_a_time() {
    let mut positions = assigned();
    assert!(fetch(&mut positions, 2).is_empty());
    let targets = fetch(&mut positions, 1);
    assert_eq!(targets.len(), 1);
    assert_eq!(targets[0].position, Position::at(10));
    assert_eq!(targets[0].leader_epoch, Some(5));
    assert!(fetch(&mut positions, 1).is_empty());
    assert!(positions.answered(&tp(0), targets[0].generation).is_some());
    assert_eq!(fetch(&mut positions, 1).len(), 1);
}

#[test]
fn every_event_that_changes_a_partition_outdates_what_was_asked() {
    let events: [fn(&mut Positions); 4] = [
        |p| assert!(p.seek(&tp(0), Start::At(Position::at(70)))),
        |p| assert_eq!(p.follow(&tp(0), leader(2, 6), ID), Followed::Moved),
        |p| p.rewind(&tp(0)),
        |p| p.insert(tp(0), Start::Reset(ResetTo::Latest)),
    ];
    for event in events {
        let mut positions = assigned();
        positions.insert(tp(1), Start::At(Position::at(0)));
        positions.follow(&tp(1), leader(1, 5), ID);
        let targets = fetch(&mut positions, 1);
        event(&mut positions);
        assert!(positions.answered(&tp(0), targets[0].generation).is_none());
        // The other partition goes on.
        assert!(positions.answered(&tp(1), targets[1].generation).is_some());
    }
}

#[test]
fn a_seek_does_not_wait_for_an_answer_that_no_longer_counts() {
    let mut positions = assigned();
    let old = fetch(&mut positions, 1).remove(0);
    positions.seek(&tp(0), Start::At(Position::at(70)));
    let new = fetch(&mut positions, 1).remove(0);
    assert_eq!(new.position, Position::at(70));
    // The old answer does not open the way for a second fetch of the same.
    assert!(positions.answered(&tp(0), old.generation).is_none());
    assert!(fetch(&mut positions, 1).is_empty());
}

#[test]
fn the_position_is_what_was_handed_out_not_what_was_fetched() {
    let mut positions = assigned();
    let generation = fetch(&mut positions, 1).remove(0).generation;
    let partition = positions.answered(&tp(0), generation).unwrap();
    partition.fetched_to(at(30, 5), via(1));
    partition.buffered_to(at(20, 5), false);
    partition.buffered_to(at(30, 5), false);
    assert_eq!(offset(&positions), Some(10));
    positions
        .partition_mut(&tp(0))
        .unwrap()
        .consumed_to(at(20, 5), false);
    assert_eq!(offset(&positions), Some(20));
}

#[test]
fn what_is_passed_over_moves_the_position_in_its_turn() {
    let mut positions = assigned();
    let partition = positions.partition_mut(&tp(0)).unwrap();
    partition.fetched_to(at(40, 5), via(1));
    // Nothing waits: a batch without live records moves the position by itself.
    partition.buffered_to(at(20, 5), true);
    assert_eq!(partition.position(), Some(at(20, 5)));
    // Behind a batch that waits, it moves it when that batch goes.
    partition.buffered_to(at(30, 5), false);
    partition.buffered_to(at(40, 5), false);
    assert_eq!(partition.position(), Some(at(20, 5)));
    partition.consumed_to(at(30, 5), true);
    assert_eq!(partition.position(), Some(at(40, 5)));
}

#[test]
fn a_pause_keeps_the_buffer_and_what_is_on_its_way_there() {
    let mut positions = assigned();
    let partition = positions.partition_mut(&tp(0)).unwrap();
    partition.fetched_to(at(40, 5), via(1));
    partition.buffered_to(at(30, 5), false);
    positions.set_paused(&tp(0), true);
    assert!(fetch(&mut positions, 1).is_empty());
    assert_eq!(positions.set_paused(&tp(0), false), Some(true));
    assert_eq!(positions.set_paused(&tp(0), false), Some(false));
    assert_eq!(fetch(&mut positions, 1)[0].position, at(40, 5));
    assert_eq!(offset(&positions), Some(10));
}

#[test]
fn o08_a_move_counts_whatever_the_epochs_say() {
    for epoch in [None, Some(5)] {
        let mut positions = assigned();
        let elsewhere = Leader {
            node: NodeId(2),
            epoch,
        };
        assert_eq!(
            positions.follow(&tp(0), Some(elsewhere), ID),
            Followed::Moved
        );
        assert_eq!(fetch(&mut positions, 2).len(), 1);
    }
}

#[test]
fn the_time_without_a_leader_changes_nothing() {
    let mut positions = assigned();
    assert_eq!(positions.follow(&tp(0), None, Uuid::ZERO), Followed::Same);
    assert_eq!(positions.follow(&tp(0), leader(1, 5), ID), Followed::Same);
    assert_eq!(fetch(&mut positions, 1).len(), 1);
}

#[test]
fn another_topic_under_the_same_name_is_noticed() {
    let mut positions = assigned();
    let followed = positions.follow(&tp(0), leader(1, 5), Uuid([2; 16]));
    assert_eq!(followed, Followed::Recreated);
}

#[test]
fn a_leader_change_asks_for_validation_where_the_epoch_is_known() {
    let mut positions = Positions::default();
    positions.insert(tp(0), Start::At(at(10, 4)));
    assert!(positions.questions(Instant::now()).is_empty());
    positions.follow(&tp(0), leader(1, 5), ID);
    let questions = positions.questions(Instant::now());
    assert_eq!(questions[0].ask, Ask::EpochEnd(at(10, 4)));
    assert!(fetch(&mut positions, 1).is_empty());
    // O09: the next change drops the question and asks the new leader.
    positions.follow(&tp(0), leader(2, 6), ID);
    assert!(
        positions
            .answered(&tp(0), questions[0].generation)
            .is_none()
    );
    let again = positions.questions(Instant::now());
    assert_eq!(again[0].leader, leader(2, 6));
    positions
        .answered(&tp(0), again[0].generation)
        .unwrap()
        .resume();
    assert_eq!(fetch(&mut positions, 2).len(), 1);
}

#[test]
fn a_position_that_is_being_reset_is_nobodys() {
    let mut positions = assigned();
    positions
        .partition_mut(&tp(0))
        .unwrap()
        .await_reset(ResetTo::Earliest);
    assert_eq!(offset(&positions), None);
    assert!(fetch(&mut positions, 1).is_empty());
    let question = positions.questions(Instant::now()).remove(0);
    assert_eq!(question.ask, Ask::Offset(ResetTo::Earliest));
    assert!(positions.questions(Instant::now()).is_empty());
    let partition = positions.answered(&tp(0), question.generation).unwrap();
    partition.resume_at(at(3, 5));
    assert_eq!(offset(&positions), Some(3));
    assert_eq!(fetch(&mut positions, 1)[0].position, at(3, 5));
}

#[test]
fn f03_a_late_answer_to_a_reset_does_not_undo_a_seek() {
    let mut positions = Positions::default();
    positions.insert(tp(0), Start::Reset(ResetTo::Latest));
    positions.follow(&tp(0), leader(1, 5), ID);
    let question = positions.questions(Instant::now()).remove(0);
    positions.seek(&tp(0), Start::At(Position::at(70)));
    assert!(positions.answered(&tp(0), question.generation).is_none());
    assert_eq!(offset(&positions), Some(70));
}

#[test]
fn a_partition_that_must_drain_is_fetched_again_when_it_has() {
    let mut positions = assigned();
    let partition = positions.partition_mut(&tp(0)).unwrap();
    assert!(!partition.drain_first());
    partition.fetched_to(at(30, 5), via(1));
    partition.buffered_to(at(30, 5), false);
    assert!(partition.drain_first());
    assert!(fetch(&mut positions, 1).is_empty());
    positions
        .partition_mut(&tp(0))
        .unwrap()
        .consumed_to(at(30, 5), true);
    assert_eq!(fetch(&mut positions, 1).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_during_a_pause_after_a_failure() {
    let mut positions = assigned();
    let now = Instant::now();
    let soon = now + Duration::from_millis(100);
    positions.partition_mut(&tp(0)).unwrap().retry_at(soon);
    assert!(fetch(&mut positions, 1).is_empty());
    assert_eq!(positions.next_retry(now), Some(soon));
    assert_eq!(positions.fetch_from(via(1), soon, |_, _| true).len(), 1);
    assert_eq!(positions.next_retry(soon), None);
}

#[tokio::test(start_paused = true)]
async fn a_follower_is_read_from_until_its_time_is_up() {
    let mut positions = assigned();
    let now = Instant::now();
    let until = now + Duration::from_secs(300);
    positions
        .partition_mut(&tp(0))
        .unwrap()
        .prefer(NodeId(3), until);
    assert_eq!(positions.sources(now), [NodeId(3)]);
    let target = fetch(&mut positions, 3).remove(0);
    assert!(!target.from_leader);
    let partition = positions.answered(&tp(0), target.generation).unwrap();
    partition.fetched_to(at(50, 5), via(1));
    partition.buffered_to(at(50, 5), true);
    // F18: back at the leader, reading goes on where the follower left off.
    let target = positions.fetch_from(via(1), until, |_, _| true).remove(0);
    assert!(target.from_leader);
    assert_eq!(target.position, at(50, 5));
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_raised_again_and_again_but_not_in_a_spin() {
    let mut positions = assigned();
    let error = Error::from(ErrorKind::NoOffset { partition: tp(0) });
    positions
        .partition_mut(&tp(0))
        .unwrap()
        .fetched_to(at(20, 5), via(1));
    positions
        .partition_mut(&tp(0))
        .unwrap()
        .buffered_to(at(20, 5), false);
    positions.fail(&tp(0), error);
    let now = Instant::now();
    // Not before the records in front of it.
    assert!(positions.raise(now).is_none());
    positions
        .partition_mut(&tp(0))
        .unwrap()
        .consumed_to(at(20, 5), true);
    assert!(positions.raise(now).is_some());
    assert!(positions.raise(now).is_none());
    let due = positions.next_raise(now).unwrap();
    assert_eq!(positions.next_raise(due), None);
    assert!(positions.raise(due).is_some());
    assert_eq!(offset(&positions), Some(20));
    positions.seek(&tp(0), Start::At(Position::at(21)));
    assert!(!positions.has_error());
}

#[tokio::test(start_paused = true)]
async fn a_report_is_raised_once_and_stops_nothing() {
    let mut positions = assigned();
    let error = Error::from(ErrorKind::NoOffset { partition: tp(0) });
    positions.partition_mut(&tp(0)).unwrap().report(error);
    assert_eq!(fetch(&mut positions, 1).len(), 1);
    assert!(positions.raise(Instant::now()).is_some());
    assert!(positions.raise(Instant::now()).is_none());
}

#[test]
fn going_back_to_a_position_without_an_epoch_leaves_nothing_to_validate() {
    let mut positions = assigned();
    let partition = positions.partition_mut(&tp(0)).unwrap();
    partition.fetched_to(at(40, 5), via(1));
    partition.buffered_to(at(40, 5), false);
    positions.follow(&tp(0), leader(2, 6), ID);
    positions.rewind(&tp(0));
    assert!(positions.questions(Instant::now()).is_empty());
    assert_eq!(fetch(&mut positions, 2)[0].position, Position::at(10));
}
