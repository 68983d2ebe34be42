use super::*;
use crate::consumer::aborted::AbortedTransaction;
use crate::consumer::testing::{batch, bytes, compacted, damaged, marker, transactional};

fn at(offset: i64) -> Position {
    Position {
        offset,
        leader_epoch: Some(0),
    }
}

/// What a scan comes down to: "b10-20" a batch from 10 up to 20, "p20" a pass to 20, "!" corrupt.
fn summary(scan: &Scan) -> Vec<String> {
    let one = |piece: &Piece| match piece {
        Piece::Batch { start, end, .. } => format!("b{start}-{}", end.offset),
        Piece::Pass { end } => format!("p{}", end.offset),
        Piece::Corrupt(_) => "!".to_owned(),
    };
    scan.pieces.iter().map(one).collect()
}

fn committed(list: &[(i64, i64)]) -> Option<AbortedTransactions> {
    let one = |&(producer_id, first_offset)| AbortedTransaction {
        producer_id,
        first_offset,
    };
    Some(AbortedTransactions::new(list.iter().map(one).collect()))
}

#[test]
fn batches_follow_on_from_each_other() {
    let scan = scan(bytes(&[batch(10, 5), batch(15, 5)]), at(10), None);
    assert_eq!(summary(&scan), ["b10-15", "b15-20"]);
    assert_eq!(scan.end, Some(at(20)));
}

#[test]
fn a_response_begins_before_the_position() {
    let scan = scan(bytes(&[batch(0, 5), batch(5, 5)]), at(7), None);
    assert_eq!(summary(&scan), ["b7-10"]);
    assert_eq!(scan.end, Some(at(10)));
}

#[test]
fn compaction_holes_never_stall_the_position() {
    // A hole inside a batch, a batch whose tail is gone, an emptied batch, and a gap between batches.
    let log = [
        compacted(&batch(0, 10), |offset| offset != 4),
        compacted(&batch(10, 10), |offset| offset < 13),
        compacted(&batch(20, 10), |_| false),
        batch(50, 5),
    ];
    let scan = scan(bytes(&log), at(0), None);
    assert_eq!(summary(&scan), ["b0-10", "b10-20", "p30", "b30-55"]);
    assert_eq!(scan.end, Some(at(55)));
}

#[test]
fn an_emptied_batch_alone_still_moves_on() {
    let log = [compacted(&batch(20, 10), |_| false)];
    let scan = scan(bytes(&log), at(20), None);
    assert_eq!(summary(&scan), ["p30"]);
    assert_eq!(scan.end, Some(at(30)));
}

#[test]
fn neighbouring_passes_become_one() {
    let empty = |base| compacted(&batch(base, 10), |_| false);
    let scan = scan(bytes(&[empty(0), empty(10), empty(20)]), at(0), None);
    assert_eq!(summary(&scan), ["p30"]);
}

#[test]
fn control_batches_are_never_for_the_caller() {
    let log = [transactional(0, 5, 7), marker(5, 7, false), batch(6, 1)];
    let scan = scan(bytes(&log), at(0), None);
    assert_eq!(summary(&scan), ["b0-5", "p6", "b6-7"]);
}

#[test]
fn aborted_records_are_passed_over_and_committed_ones_are_not() {
    let log = [
        transactional(0, 5, 7),
        transactional(5, 5, 8),
        marker(10, 7, false),
        transactional(11, 4, 7),
        marker(15, 8, true),
        marker(16, 7, true),
    ];
    let scan = scan(bytes(&log), at(0), committed(&[(7, 0)]));
    assert_eq!(summary(&scan), ["p5", "b5-10", "p11", "b11-15", "p17"]);
    assert_eq!(scan.end, Some(at(17)));
}

#[test]
fn f04_an_unsorted_list_covers_all_its_transactions() {
    let log = [
        transactional(0, 5, 7),
        marker(5, 7, false),
        transactional(6, 4, 8),
        marker(10, 8, false),
        batch(11, 1),
    ];
    let scan = scan(bytes(&log), at(0), committed(&[(8, 6), (7, 0)]));
    assert_eq!(summary(&scan), ["p11", "b11-12"]);
}

#[test]
fn o12_an_empty_aborted_transaction_drops_nothing_behind_it() {
    let log = [
        marker(5, 7, false),
        transactional(6, 4, 7),
        marker(10, 7, true),
    ];
    let scan = scan(bytes(&log), at(5), committed(&[(7, 5)]));
    assert_eq!(summary(&scan), ["p6", "b6-10", "p11"]);
}

#[test]
fn an_incomplete_first_batch_says_how_large_it_is() {
    let whole = bytes(&[batch(0, 100)]);
    let scan = scan(whole.slice(..80), at(0), None);
    assert!(scan.pieces.is_empty());
    assert_eq!(scan.end, None);
    assert_eq!(scan.needs_bytes, Some(whole.len()));
}

#[test]
fn an_incomplete_tail_is_left_for_the_next_fetch() {
    let log = bytes(&[batch(0, 5), batch(5, 5)]);
    let scan = scan(log.slice(..log.len() - 1), at(0), None);
    assert_eq!(summary(&scan), ["b0-5"]);
    assert_eq!(scan.end, Some(at(5)));
    assert_eq!(scan.needs_bytes, None);
}

#[test]
fn a_broken_header_ends_the_walk_where_it_stands() {
    let mut log = bytes(&[batch(0, 5), batch(5, 5)]).to_vec();
    let second = bytes(&[batch(0, 5)]).len();
    log[second + 16] = 9;
    let scan = scan(Bytes::from(log), at(0), None);
    assert_eq!(summary(&scan), ["b0-5", "!"]);
    assert_eq!(scan.end, Some(at(5)));
}

#[test]
fn a_damaged_marker_is_not_taken_at_its_word() {
    let log = damaged(&[transactional(0, 5, 7), marker(5, 7, false)]);
    let scan = scan(log, at(0), committed(&[(7, 0)]));
    assert_eq!(summary(&scan), ["p5", "!"]);
}

#[test]
fn nothing_is_nothing() {
    let scan = scan(Bytes::new(), at(3), None);
    assert!(scan.pieces.is_empty());
    assert_eq!((scan.end, scan.needs_bytes), (None, None));
}
