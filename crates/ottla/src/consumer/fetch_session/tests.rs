use super::*;

const ID: Uuid = Uuid([7; 16]);
const OTHER_ID: Uuid = Uuid([8; 16]);

fn tp(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

fn at(offset: i64) -> FetchPartition {
    FetchPartition {
        topic_id: ID,
        offset,
        current_leader_epoch: Some(3),
        last_fetched_epoch: None,
        max_bytes: 1 << 20,
    }
}

fn wanted(partitions: &[(i32, i64)]) -> Vec<(TopicPartition, FetchPartition)> {
    let one = |&(partition, offset)| (tp("t", partition), at(offset));
    partitions.iter().map(one).collect()
}

fn named(request: &SessionRequest) -> Vec<(i32, i64)> {
    let one = |(tp, at): &(TopicPartition, FetchPartition)| (tp.partition, at.offset);
    request.partitions.iter().map(one).collect()
}

/// A session with id 9 that holds partitions 0 to 2 at offset 0.
fn opened() -> FetchSession {
    let mut session = FetchSession::default();
    session.request(wanted(&[(0, 0), (1, 0), (2, 0)]), true);
    session.acknowledge(9);
    session
}

#[test]
fn the_first_request_is_full_and_asks_for_a_session() {
    let mut session = FetchSession::default();
    let request = session.request(wanted(&[(1, 5), (0, 4)]), true);
    assert_eq!((request.session_id, request.session_epoch), (0, 0));
    assert_eq!(named(&request), [(1, 5), (0, 4)]);
    assert!(request.forgotten.is_empty());
}

#[test]
fn later_requests_name_only_what_changed() {
    let mut session = opened();
    let request = session.request(wanted(&[(0, 0), (1, 10), (2, 0)]), true);
    assert_eq!((request.session_id, request.session_epoch), (9, 1));
    assert_eq!(named(&request), [(1, 10)]);
    session.acknowledge(9);
    let request = session.request(wanted(&[(0, 0), (1, 10), (2, 0)]), true);
    assert_eq!((request.session_id, request.session_epoch), (9, 2));
    assert!(named(&request).is_empty());
}

#[test]
fn any_changed_field_is_a_change() {
    let changes: [fn(&mut FetchPartition); 4] = [
        |at| at.offset += 1,
        |at| at.current_leader_epoch = Some(4),
        |at| at.last_fetched_epoch = Some(3),
        |at| at.max_bytes *= 2,
    ];
    for change in changes {
        let mut session = opened();
        let mut all = wanted(&[(0, 0), (1, 0), (2, 0)]);
        change(&mut all[1].1);
        let request = session.request(all, true);
        assert_eq!(request.partitions.len(), 1);
        assert!(request.forgotten.is_empty());
    }
}

#[test]
fn f23_what_is_no_longer_wanted_is_forgotten_by_name_and_by_id() {
    let mut session = opened();
    let request = session.request(Vec::new(), true);
    assert!(request.partitions.is_empty());
    let gone = |partition| Forgotten {
        topic: "t".into(),
        topic_id: ID,
        partition,
    };
    assert_eq!(request.forgotten, [gone(0), gone(1), gone(2)]);
}

#[test]
fn a_recreated_topic_is_forgotten_by_its_old_id_and_named_by_its_new_one() {
    let mut session = opened();
    let mut all = wanted(&[(0, 0), (1, 0), (2, 0)]);
    all[0].1.topic_id = OTHER_ID;
    let request = session.request(all, true);
    assert_eq!(request.forgotten.len(), 1);
    assert_eq!(request.forgotten[0].topic_id, ID);
    assert_eq!(request.partitions[0].1.topic_id, OTHER_ID);
}

#[test]
fn a_request_that_was_not_acknowledged_leaves_no_trace_in_the_mirror() {
    let mut session = opened();
    session.request(wanted(&[(0, 100), (1, 0), (2, 0)]), true);
    session.lose();
    let request = session.request(wanted(&[(0, 100), (1, 0)]), true);
    // Full again, and the broker is told to close what it may still hold.
    assert_eq!((request.session_id, request.session_epoch), (9, 0));
    assert_eq!(named(&request), [(0, 100), (1, 0)]);
    assert!(request.forgotten.is_empty());
}

#[test]
fn an_evicted_session_is_opened_anew() {
    let mut session = opened();
    session.request(wanted(&[(0, 1)]), true);
    session.refuse(SessionRefusal::UnknownId);
    let request = session.request(wanted(&[(0, 1)]), true);
    assert_eq!((request.session_id, request.session_epoch), (0, 0));
    assert_eq!(named(&request), [(0, 1)]);
}

#[test]
fn a_session_out_of_step_is_closed_and_opened_anew() {
    let mut session = opened();
    session.request(wanted(&[(0, 1)]), true);
    session.refuse(SessionRefusal::OutOfStep);
    let request = session.request(wanted(&[(0, 1)]), true);
    assert_eq!((request.session_id, request.session_epoch), (9, 0));
    assert_eq!(named(&request), [(0, 1)]);
}

#[test]
fn f28_an_answer_without_a_session_is_followed_by_a_full_request() {
    let mut session = FetchSession::default();
    session.request(wanted(&[(0, 0)]), true);
    session.acknowledge(0);
    let request = session.request(wanted(&[(0, 0)]), true);
    assert_eq!(named(&request), [(0, 0)]);
    assert_eq!((request.session_id, request.session_epoch), (0, 0));
}

#[test]
fn a_broker_that_keeps_refusing_is_asked_no_more() {
    let mut session = FetchSession::default();
    for _ in 0..REFUSALS_BEFORE_GIVING_UP {
        assert!(!session.is_off());
        session.request(wanted(&[(0, 0)]), true);
        session.acknowledge(0);
    }
    assert!(session.is_off());
    let request = session.request(wanted(&[(0, 0)]), true);
    assert_eq!((request.session_id, request.session_epoch), (0, -1));
    assert_eq!(named(&request), [(0, 0)]);
    session.acknowledge(0);
    let request = session.request(wanted(&[(1, 0)]), true);
    assert!(request.forgotten.is_empty());
}

#[test]
fn a_served_session_forgives_earlier_refusals() {
    let mut session = FetchSession::default();
    for id in [0, 0, 5, 0, 0] {
        session.request(wanted(&[(0, 0)]), true);
        session.acknowledge(id);
    }
    assert!(!session.is_off());
}

#[test]
fn a_session_by_id_does_not_go_on_by_name() {
    let mut session = opened();
    let request = session.request(wanted(&[(0, 0), (1, 0), (2, 0)]), false);
    assert_eq!((request.session_id, request.session_epoch), (9, 0));
    assert_eq!(request.partitions.len(), 3);
}

#[test]
fn the_epoch_wraps_to_one() {
    assert_eq!(next_epoch(i32::MAX), 1);
    assert_eq!(next_epoch(0), 1);
}

#[test]
fn a_session_that_was_to_be_closed_is_not_gone_on_with() {
    let mut session = opened();
    session.request(wanted(&[(0, 1)]), true);
    session.lose();
    session.request(wanted(&[(0, 1)]), true);
    session.acknowledge(9);
    let request = session.request(wanted(&[(0, 1)]), true);
    assert_eq!((request.session_id, request.session_epoch), (0, 0));
    assert_eq!(named(&request), [(0, 1)]);
}
