use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use ottla_codec::Uuid;
use ottla_codec::messages::fetch::{EpochEndOffset, PartitionData};
use ottla_codec::records::RecordBatch;

use super::*;
use crate::consumer::assignment::{HandOut, Limits};
use crate::consumer::budget::Budget;
use crate::consumer::decoder::Decoder;
use crate::consumer::lane::Lane;
use crate::consumer::positions::{Ask, Leader, Start};
use crate::consumer::reset::AutoOffsetReset;
use crate::consumer::testing::{batch, bytes, damaged};

const LEADER: NodeId = NodeId(1);
const FOLLOWER: NodeId = NodeId(2);
const LIMIT: i32 = 1 << 20;

/// An assignment with its surroundings, as a fetcher and a reader would use it.
struct World {
    assignment: Assignment,
    budget: Budget,
    decoder: Decoder,
}

fn tp() -> TopicPartition {
    TopicPartition::new("t", 0)
}

impl World {
    fn new(policy: AutoOffsetReset, start: Start) -> Self {
        let limits = Limits {
            budget: 1 << 20,
            partition: 1 << 10,
        };
        let budget = Budget::new(limits.budget);
        let mut world = Self {
            assignment: Assignment::new(policy, limits),
            decoder: Decoder::new(budget.clone(), true, 1 << 20),
            budget,
        };
        world.assignment.add(tp(), start);
        world.lead(LEADER, 0);
        world
    }

    fn lead(&mut self, node: NodeId, epoch: i32) {
        let leader = Leader {
            node,
            epoch: Some(epoch),
        };
        self.assignment
            .positions
            .follow(&tp(), Some(leader), Uuid([1; 16]));
    }

    fn around<T>(&mut self, step: impl FnOnce(&mut Assignment, &mut Circumstances<'_>) -> T) -> T {
        let mut pause = |_| Duration::from_millis(100);
        let mut around = Circumstances {
            now: Instant::now(),
            wall_ms: 1_000_000,
            read_committed: false,
            replica_ttl: Duration::from_secs(300),
            pause: &mut pause,
        };
        step(&mut self.assignment, &mut around)
    }

    /// What would be fetched from a broker now.
    fn fetch(&mut self, node: NodeId) -> Option<FetchTarget> {
        let now = Instant::now();
        self.assignment.fetch_from(node, Lane::Main, now).pop()
    }

    /// Answers a fetch, up to the point where its batches are not decoded yet.
    fn answer(&mut self, target: &FetchTarget, data: PartitionData) -> Vec<Piece> {
        self.around(|assignment, around| assignment.absorb(target, LIMIT, data, around))
            .pieces
    }

    /// Decodes what an answer brought and puts it into the buffer.
    fn deliver(&mut self, target: &FetchTarget, pieces: Vec<Piece>) {
        let response = Arc::new(self.budget.take(100));
        let mut pieces = VecDeque::from(pieces);
        while !pieces.is_empty() {
            let run = self.decoder.next_run(&mut pieces);
            let (steps, rest) = self.decoder.decode_ahead(run, &response);
            pieces = rest.into_iter().chain(pieces).collect();
            if !self.assignment.push_all(&tp(), target.generation, steps) {
                break;
            }
        }
    }

    /// Fetches and answers with these batches.
    fn serve(&mut self, batches: &[RecordBatch]) {
        let target = self.fetch(LEADER).unwrap();
        let pieces = self.answer(&target, records(bytes(batches)));
        self.deliver(&target, pieces);
    }

    /// The next batch's first and next offset, or the error.
    fn next(&mut self) -> Option<Result<(i64, i64), ErrorKind>> {
        match self.assignment.hand_out(Instant::now()) {
            HandOut::Nothing => None,
            HandOut::Error(error) => Some(Err(error.kind().clone())),
            HandOut::Batch {
                partition,
                lineage,
                fetched,
            } => {
                let accepted = self.assignment.accept(&partition, lineage, fetched)?;
                Some(Ok((accepted.start, accepted.end.offset)))
            }
        }
    }

    fn position(&self) -> Option<i64> {
        self.assignment.position(&tp()).unwrap().map(|at| at.offset)
    }

    fn question(&mut self) -> Question {
        self.assignment.questions(Instant::now()).pop().unwrap()
    }
}

fn from(offset: i64) -> Start {
    Start::At(Position::at(offset))
}

fn at(offset: i64, epoch: i32) -> Position {
    Position {
        offset,
        leader_epoch: Some(epoch),
    }
}

fn records(bytes: bytes::Bytes) -> PartitionData {
    PartitionData {
        high_watermark: 100,
        last_stable_offset: 100,
        log_start_offset: 0,
        records: Some(bytes.into()),
        ..PartitionData::default()
    }
}

fn refused(code: ErrorCode) -> PartitionData {
    PartitionData {
        error_code: code.code(),
        ..PartitionData::default()
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_fetch_does_not_wait_for_the_caller_and_nothing_is_fetched_twice() {
    let mut world = World::new(AutoOffsetReset::None, from(0));
    let mut offsets = Vec::new();
    for base in [0, 10, 20] {
        let target = world.fetch(LEADER).unwrap();
        offsets.push(target.position.offset);
        let pieces = world.answer(&target, records(bytes(&[batch(base, 10)])));
        // P05: the position has moved before anything is decoded or handed out.
        assert_eq!(world.position(), Some(0));
        world.deliver(&target, pieces);
    }
    assert_eq!(offsets, [0, 10, 20]);
    assert_eq!(world.next(), Some(Ok((0, 10))));
    assert_eq!(world.position(), Some(10));
    assert_eq!(world.next(), Some(Ok((10, 20))));
    assert_eq!(world.next(), Some(Ok((20, 30))));
    assert_eq!(world.next(), None);
}

#[tokio::test(start_paused = true)]
async fn a_seek_during_a_fetch_drops_its_answer() {
    let mut world = World::new(AutoOffsetReset::None, from(0));
    let target = world.fetch(LEADER).unwrap();
    world.assignment.seek(&tp(), from(50)).unwrap();
    assert!(
        world
            .answer(&target, records(bytes(&[batch(0, 10)])))
            .is_empty()
    );
    assert_eq!(world.position(), Some(50));
    assert_eq!(world.fetch(LEADER).unwrap().position.offset, 50);
}

#[tokio::test(start_paused = true)]
async fn a_seek_while_an_answer_is_decoded_drops_what_comes_of_it() {
    let mut world = World::new(AutoOffsetReset::None, from(0));
    let target = world.fetch(LEADER).unwrap();
    let pieces = world.answer(&target, records(bytes(&[batch(0, 10)])));
    world.assignment.seek(&tp(), from(50)).unwrap();
    world.deliver(&target, pieces);
    assert_eq!(world.next(), None);
    assert_eq!(world.position(), Some(50));
}

#[tokio::test(start_paused = true)]
async fn a_seek_between_two_hand_outs_drops_the_buffer() {
    let mut world = World::new(AutoOffsetReset::None, from(0));
    world.serve(&[batch(0, 10), batch(10, 10)]);
    assert_eq!(world.next(), Some(Ok((0, 10))));
    world.assignment.seek(&tp(), from(3)).unwrap();
    assert_eq!(world.next(), None);
    world.serve(&[batch(0, 10)]);
    assert_eq!(world.next(), Some(Ok((3, 10))));
}

#[tokio::test(start_paused = true)]
async fn a_seek_while_a_batch_is_between_buffer_and_caller_keeps_it_from_both() {
    let mut world = World::new(AutoOffsetReset::None, from(0));
    world.serve(&[batch(0, 10)]);
    let HandOut::Batch {
        partition,
        lineage,
        fetched,
    } = world.assignment.hand_out(Instant::now())
    else {
        panic!("nothing to hand out");
    };
    world.assignment.seek(&tp(), from(5)).unwrap();
    assert!(
        world
            .assignment
            .accept(&partition, lineage, fetched)
            .is_none()
    );
    assert_eq!(world.position(), Some(5));
}

#[tokio::test(start_paused = true)]
async fn a_leader_change_while_a_batch_is_between_buffer_and_caller_loses_nothing() {
    let mut world = World::new(AutoOffsetReset::None, from(0));
    world.serve(&[batch(0, 10)]);
    let HandOut::Batch {
        partition,
        lineage,
        fetched,
    } = world.assignment.hand_out(Instant::now())
    else {
        panic!("nothing to hand out");
    };
    world.lead(FOLLOWER, 1);
    assert!(
        world
            .assignment
            .accept(&partition, lineage, fetched)
            .is_some()
    );
    assert_eq!(world.position(), Some(10));
}

#[tokio::test(start_paused = true)]
async fn a_pause_keeps_the_buffer_for_later() {
    let mut world = World::new(AutoOffsetReset::None, from(0));
    world.serve(&[batch(0, 10)]);
    world.assignment.set_paused(&tp(), true).unwrap();
    assert_eq!(world.next(), None);
    assert!(world.fetch(LEADER).is_none());
    world.assignment.set_paused(&tp(), false).unwrap();
    assert_eq!(world.next(), Some(Ok((0, 10))));
    assert_eq!(world.fetch(LEADER).unwrap().position.offset, 10);
}

#[tokio::test(start_paused = true)]
async fn a_pause_while_an_answer_is_under_way_has_nothing_fetched_again() {
    let mut world = World::new(AutoOffsetReset::None, from(0));
    world.serve(&[batch(0, 10)]);
    let target = world.fetch(LEADER).unwrap();
    world.assignment.set_paused(&tp(), true).unwrap();
    let pieces = world.answer(&target, records(bytes(&[batch(10, 10)])));
    world.assignment.set_reader(Waker::noop());
    world.deliver(&target, pieces);
    // It may have taken the room that somebody waits for, and the reader is who gives it back.
    assert!(world.assignment.take_wakes().reader.is_some());
    assert_eq!(world.next(), None);
    world.assignment.set_paused(&tp(), false).unwrap();
    assert_eq!(world.next(), Some(Ok((0, 10))));
    assert_eq!(world.next(), Some(Ok((10, 20))));
    assert_eq!(world.fetch(LEADER).unwrap().position.offset, 20);
}

#[tokio::test(start_paused = true)]
async fn paused_partitions_give_way_when_there_is_no_room() {
    let mut world = World::new(AutoOffsetReset::None, from(0));
    world.serve(&[batch(0, 10), batch(10, 10)]);
    assert_eq!(world.next(), Some(Ok((0, 10))));
    world.assignment.make_room();
    assert_eq!(
        world.assignment.buffered_bytes(),
        batch(10, 10).bytes().len() - 61
    );
    world.assignment.set_paused(&tp(), true).unwrap();
    world.assignment.make_room();
    assert_eq!(
        (world.assignment.buffered_bytes(), world.budget.used()),
        (0, 0)
    );
    world.assignment.set_paused(&tp(), false).unwrap();
    assert_eq!(world.fetch(LEADER).unwrap().position.offset, 10);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_stops_its_partition_until_there_is_room() {
    let mut world = World::new(AutoOffsetReset::None, from(0));
    world.assignment.positions.len();
    let large = |base| batch(base, 60_000);
    world.serve(&[large(0)]);
    assert!(world.fetch(LEADER).is_none());
    world.assignment.take_wakes();
    assert_eq!(world.next(), Some(Ok((0, 60_000))));
    // P07: whoever fetches is told at once.
    assert!(world.assignment.take_wakes().work);
    assert!(world.fetch(LEADER).is_some());
}

#[tokio::test(start_paused = true)]
async fn out_of_range_is_reset_by_policy_once_everything_was_handed_out() {
    let mut world = World::new(AutoOffsetReset::Earliest, from(0));
    world.serve(&[batch(0, 10)]);
    let target = world.fetch(LEADER).unwrap();
    world.answer(&target, refused(ErrorCode::OffsetOutOfRange));
    assert!(world.fetch(LEADER).is_none());
    assert_eq!(world.next(), Some(Ok((0, 10))));
    let target = world.fetch(LEADER).unwrap();
    world.answer(&target, refused(ErrorCode::OffsetOutOfRange));
    // Until the leader has answered there is no position to commit, and nothing is fetched.
    assert_eq!(world.position(), None);
    assert!(world.fetch(LEADER).is_none());
    let question = world.question();
    assert_eq!(question.ask, Ask::Offset(ResetTo::Earliest));
    world
        .assignment
        .answer_offset(&question, ResetTo::Earliest, Some(at(70, 0)));
    assert_eq!(world.position(), Some(70));
    assert_eq!(world.fetch(LEADER).unwrap().position.offset, 70);
}

#[tokio::test(start_paused = true)]
async fn a_reset_answers_only_the_strategy_it_was_asked_for() {
    let mut world = World::new(AutoOffsetReset::None, Start::Reset(ResetTo::Earliest));
    let question = world.question();
    world
        .assignment
        .seek(&tp(), Start::Reset(ResetTo::Latest))
        .unwrap();
    world
        .assignment
        .answer_offset(&question, ResetTo::Earliest, Some(at(0, 0)));
    assert_eq!(world.position(), None);
    let question = world.question();
    world
        .assignment
        .answer_offset(&question, ResetTo::Latest, Some(at(90, 0)));
    assert_eq!(world.position(), Some(90));
}

#[tokio::test(start_paused = true)]
async fn a_timestamp_behind_the_last_record_leads_to_the_end() {
    let policy = AutoOffsetReset::ByDuration(Duration::from_secs(1));
    let to = policy.reset(1_000_000).unwrap();
    let mut world = World::new(policy, Start::Reset(to));
    let question = world.question();
    world.assignment.answer_offset(&question, to, None);
    assert_eq!(world.question().ask, Ask::Offset(ResetTo::Latest));
}

#[tokio::test(start_paused = true)]
async fn without_a_policy_out_of_range_is_an_error_that_names_the_log() {
    let mut world = World::new(AutoOffsetReset::None, from(500));
    let target = world.fetch(LEADER).unwrap();
    world.answer(&target, refused(ErrorCode::OffsetOutOfRange));
    let question = world.question();
    assert_eq!(question.ask, Ask::Range);
    world.assignment.answer_range(&question, 20, 100);
    let error = ErrorKind::OffsetOutOfRange {
        partition: tp(),
        position: 500,
        log_start: 20,
        log_end: 100,
    };
    assert_eq!(world.next(), Some(Err(error.clone())));
    assert_eq!(world.next(), None);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(world.next(), Some(Err(error)));
    assert!(world.fetch(LEADER).is_none());
    world.assignment.seek(&tp(), from(20)).unwrap();
    assert_eq!(world.next(), None);
    assert_eq!(world.fetch(LEADER).unwrap().position.offset, 20);
}

#[tokio::test(start_paused = true)]
async fn a_position_that_is_in_range_after_all_is_read_from() {
    let mut world = World::new(AutoOffsetReset::None, from(50));
    let target = world.fetch(LEADER).unwrap();
    world.answer(&target, refused(ErrorCode::OffsetOutOfRange));
    let question = world.question();
    world.assignment.answer_range(&question, 20, 100);
    assert_eq!(world.next(), None);
    assert_eq!(world.fetch(LEADER).unwrap().position.offset, 50);
}

#[tokio::test(start_paused = true)]
async fn f19_a_followers_out_of_range_goes_to_the_leader_first() {
    let mut world = World::new(AutoOffsetReset::Earliest, from(50));
    let target = world.fetch(LEADER).unwrap();
    let redirect = PartitionData {
        preferred_read_replica: FOLLOWER.0,
        ..records(bytes::Bytes::new())
    };
    world.answer(&target, redirect);
    assert!(world.fetch(LEADER).is_none());
    let target = world.fetch(FOLLOWER).unwrap();
    assert!(!target.from_leader);
    world.answer(&target, refused(ErrorCode::OffsetOutOfRange));
    assert_eq!(world.position(), Some(50));
    let target = world.fetch(LEADER).unwrap();
    assert_eq!((target.position.offset, target.from_leader), (50, true));
}

#[tokio::test(start_paused = true)]
async fn o11_no_transient_error_resets_a_position() {
    let transient = [
        ErrorCode::NotLeaderOrFollower,
        ErrorCode::LeaderNotAvailable,
        ErrorCode::ReplicaNotAvailable,
        ErrorCode::KafkaStorageError,
        ErrorCode::FencedLeaderEpoch,
        ErrorCode::UnknownLeaderEpoch,
        ErrorCode::OffsetNotAvailable,
        ErrorCode::UnknownTopicOrPartition,
        ErrorCode::UnknownTopicId,
        ErrorCode::InconsistentTopicId,
        ErrorCode::RequestTimedOut,
    ];
    for code in transient {
        let mut world = World::new(AutoOffsetReset::Latest, from(50));
        let target = world.fetch(LEADER).unwrap();
        world.answer(&target, refused(code));
        assert_eq!(world.position(), Some(50), "{code}");
        assert_eq!(world.next(), None, "{code}");
        assert!(
            world.fetch(LEADER).is_none(),
            "{code} is not retried in a spin"
        );
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(world.fetch(LEADER).unwrap().position.offset, 50, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_caller_must_know_is_told_and_retried() {
    let mut world = World::new(AutoOffsetReset::Latest, from(50));
    let target = world.fetch(LEADER).unwrap();
    world.answer(&target, refused(ErrorCode::TopicAuthorizationFailed));
    assert!(matches!(
        world.next(),
        Some(Err(ErrorKind::NotAuthorized { .. }))
    ));
    assert_eq!(world.next(), None);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(world.fetch(LEADER).is_some());
}

#[tokio::test(start_paused = true)]
async fn f20_a_corrupt_batch_stops_its_partition_at_its_offset() {
    let mut world = World::new(AutoOffsetReset::Latest, from(0));
    let target = world.fetch(LEADER).unwrap();
    let pieces = world.answer(&target, records(damaged(&[batch(0, 10), batch(10, 10)])));
    world.deliver(&target, pieces);
    assert_eq!(world.next(), Some(Ok((0, 10))));
    let error = ErrorKind::CorruptBatch {
        partition: tp(),
        offset: 10,
    };
    assert_eq!(world.next(), Some(Err(error)));
    assert_eq!(world.next(), None);
    assert_eq!(world.position(), Some(10));
    assert!(world.fetch(LEADER).is_none());
    world.assignment.seek(&tp(), from(20)).unwrap();
    assert_eq!(world.fetch(LEADER).unwrap().position.offset, 20);
}

#[tokio::test(start_paused = true)]
async fn a_batch_larger_than_the_limit_is_fetched_with_a_larger_one() {
    let mut world = World::new(AutoOffsetReset::Latest, from(0));
    let whole = bytes(&[batch(0, 200_000)]);
    assert!(whole.len() > LIMIT as usize);
    let target = world.fetch(LEADER).unwrap();
    world.answer(&target, records(whole.slice(..LIMIT as usize)));
    let target = world.fetch(LEADER).unwrap();
    assert_eq!(target.needs_bytes, Some(whole.len() as i32));
    let pieces = world.answer(&target, records(whole));
    world.deliver(&target, pieces);
    assert_eq!(world.next(), Some(Ok((0, 200_000))));
    assert!(
        world
            .fetch(LEADER)
            .is_none_or(|target| target.needs_bytes.is_none())
    );
}

#[tokio::test(start_paused = true)]
async fn bytes_without_progress_do_not_make_a_spin() {
    let mut world = World::new(AutoOffsetReset::Latest, from(50));
    let target = world.fetch(LEADER).unwrap();
    // Only what lies before the position.
    world.answer(&target, records(bytes(&[batch(0, 10)])));
    assert!(world.fetch(LEADER).is_none());
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(world.fetch(LEADER).is_some());
}

#[tokio::test(start_paused = true)]
async fn o10_an_answer_that_comes_during_validation_is_dropped() {
    let mut world = World::new(AutoOffsetReset::Latest, from(0));
    world.serve(&[batch(0, 10)]);
    let target = world.fetch(LEADER).unwrap();
    world.lead(FOLLOWER, 1);
    assert!(
        world
            .answer(&target, records(bytes(&[batch(10, 10)])))
            .is_empty()
    );
    let question = world.question();
    assert_eq!(question.ask, Ask::EpochEnd(at(10, 0)));
    world.around(|assignment, around| {
        assignment.answer_epoch_end(&question, at(10, 0), Some(at(10, 0)), around);
    });
    assert_eq!(world.next(), Some(Ok((0, 10))));
    assert_eq!(world.fetch(FOLLOWER).unwrap().position, at(10, 0));
}

fn diverging(end: Position) -> PartitionData {
    PartitionData {
        diverging_epoch: EpochEndOffset {
            epoch: end.leader_epoch.unwrap_or(-1),
            end_offset: end.offset,
            ..EpochEndOffset::default()
        },
        ..records(bytes::Bytes::new())
    }
}

#[tokio::test(start_paused = true)]
async fn a_truncated_log_is_an_error_without_a_policy() {
    let mut world = World::new(AutoOffsetReset::None, from(0));
    world.serve(&[batch(0, 10)]);
    assert_eq!(world.next(), Some(Ok((0, 10))));
    let target = world.fetch(LEADER).unwrap();
    world.answer(&target, diverging(at(6, 0)));
    let error = ErrorKind::LogTruncated {
        partition: tp(),
        position: 10,
        diverging_offset: Some(6),
    };
    assert_eq!(world.next(), Some(Err(error)));
    assert!(world.fetch(LEADER).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_truncated_log_goes_on_where_it_diverges_with_a_policy() {
    let mut world = World::new(AutoOffsetReset::Latest, from(0));
    world.serve(&[batch(0, 10)]);
    assert_eq!(world.next(), Some(Ok((0, 10))));
    let target = world.fetch(LEADER).unwrap();
    world.answer(&target, diverging(at(6, 0)));
    assert_eq!(world.position(), Some(6));
    assert_eq!(world.fetch(LEADER).unwrap().position, at(6, 0));
}

#[tokio::test(start_paused = true)]
async fn what_was_truncated_before_anyone_saw_it_is_fetched_again() {
    let mut world = World::new(AutoOffsetReset::None, from(0));
    world.serve(&[batch(0, 10), batch(10, 10)]);
    assert_eq!(world.next(), Some(Ok((0, 10))));
    let target = world.fetch(LEADER).unwrap();
    world.answer(&target, diverging(at(15, 0)));
    assert_eq!(world.next(), None);
    let question = world.question();
    assert_eq!(question.ask, Ask::EpochEnd(at(10, 0)));
    world.assignment.skip_validation(&question);
    assert_eq!(world.fetch(LEADER).unwrap().position.offset, 10);
}

#[tokio::test(start_paused = true)]
async fn a_committed_offset_is_validated_and_a_missing_one_is_reset() {
    let mut world = World::new(AutoOffsetReset::Earliest, Start::Committed);
    let question = world.question();
    assert_eq!(question.ask, Ask::Committed);
    world.around(|assignment, around| {
        assignment.answer_committed(&question, Some(at(30, 0)), around);
    });
    assert_eq!(world.position(), Some(30));
    assert_eq!(world.question().ask, Ask::EpochEnd(at(30, 0)));

    for (policy, strict) in [
        (AutoOffsetReset::Earliest, false),
        (AutoOffsetReset::None, true),
    ] {
        let mut world = World::new(policy, Start::Committed);
        let question = world.question();
        world.around(|assignment, around| assignment.answer_committed(&question, None, around));
        let error = matches!(world.next(), Some(Err(ErrorKind::NoOffset { .. })));
        assert_eq!(error, strict);
    }
}

#[tokio::test(start_paused = true)]
async fn a_partition_taken_away_hands_out_nothing_more() {
    let mut world = World::new(AutoOffsetReset::Latest, from(0));
    world.serve(&[batch(0, 10)]);
    let target = world.fetch(LEADER).unwrap();
    assert!(world.assignment.revoke(&tp()));
    assert!(
        world
            .answer(&target, records(bytes(&[batch(10, 10)])))
            .is_empty()
    );
    assert_eq!(world.next(), None);
    assert!(!world.assignment.revoke(&tp()));
}

#[tokio::test(start_paused = true)]
async fn the_side_lane_takes_what_became_ready_while_the_main_lane_waits() {
    let mut world = World::new(AutoOffsetReset::Latest, from(0));
    let now = Instant::now();
    let side = |world: &mut World| world.assignment.fetch_from(LEADER, Lane::Side, now);
    assert!(side(&mut world).is_empty());
    let first = world.fetch(LEADER).unwrap();
    world.assignment.set_waiting_at(LEADER, true);
    assert!(side(&mut world).is_empty());
    world.assignment.seek(&tp(), from(50)).unwrap();
    let target = side(&mut world).pop().unwrap();
    assert_eq!(target.position.offset, 50);
    // Once it has caught up, the main lane's long poll is the better way.
    world.answer(&target, records(bytes::Bytes::new()));
    assert!(side(&mut world).is_empty());
    world.answer(&first, records(bytes::Bytes::new()));
    world.assignment.set_waiting_at(LEADER, false);
    assert!(world.fetch(LEADER).is_some());
}

#[tokio::test(start_paused = true)]
async fn no_lane_overtakes_what_another_is_still_decompressing() {
    let mut world = World::new(AutoOffsetReset::Latest, from(0));
    let first = world.fetch(LEADER).unwrap();
    let pieces = world.answer(&first, records(bytes(&[batch(0, 10)])));
    // The main lane goes on with other partitions and waits for them.
    world.assignment.set_waiting_at(LEADER, true);
    let now = Instant::now();
    let side = |world: &mut World| world.assignment.fetch_from(LEADER, Lane::Side, now).pop();
    assert_eq!(side(&mut world), None);
    // The lane that brought it may go on: what it brings next is decompressed next.
    assert!(world.assignment.has_fetch_from(LEADER, Lane::Main, now));
    world.assignment.take_wakes();
    world.deliver(&first, pieces);
    assert!(world.assignment.take_wakes().work, "the side lane is told");
    let second = side(&mut world).unwrap();
    assert_eq!(second.position.offset, 10);
    let pieces = world.answer(&second, records(bytes(&[batch(10, 10)])));
    world.deliver(&second, pieces);
    assert_eq!(world.next(), Some(Ok((0, 10))));
    assert_eq!(world.next(), Some(Ok((10, 20))));
}
