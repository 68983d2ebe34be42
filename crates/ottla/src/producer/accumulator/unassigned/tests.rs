use std::task::Waker;
use std::time::Duration;

use super::super::tests::{Rig, cluster, limits, result};
use super::*;
use crate::producer::window::{Answer, Cause};

const SECOND: Duration = Duration::from_secs(1);

fn rig() -> Rig {
    Rig::without_topic(limits())
}

impl Rig {
    fn put_aside(&mut self, record: Record<'_>, ticket: Option<Ticket>) -> Option<Admission> {
        let now = Now {
            instant: self.now,
            wall_ms: 1_000,
        };
        let accumulator = &mut self.accumulator;
        accumulator.put_aside(&record, ticket, now).unwrap()
    }

    fn wait(&mut self, record: Record<'_>) -> Delivery {
        match self.put_aside(record, None) {
            Some(Admission::Admitted(delivery)) => delivery,
            other => panic!("{other:?}"),
        }
    }

    /// Moves a slice of what waits for "t", whose partitions are led as it says. Whether there is more.
    fn assign(&mut self, leaders: &[i32]) -> bool {
        let records = self.accumulator.unassigned("t");
        let chosen = records.into_iter().map(|record| (record, Ok(None)));
        let topic = Arc::from("t");
        self.accumulator
            .assign(&topic, &cluster(leaders, 0), chosen.collect())
    }

    fn absent(&mut self, absence: Absence) {
        self.accumulator.topic_absent("t", absence, self.now);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.accumulator.expire(self.now);
    }
}

fn failure(delivery: &Delivery) -> Error {
    let error = delivery.try_result().unwrap().unwrap_err();
    assert!(!error.possibly_written());
    error
}

fn is_unknown_topic(delivery: &Delivery) -> bool {
    matches!(failure(delivery).kind(), ErrorKind::UnknownTopic { topic } if topic == "t")
}

fn is_timeout(delivery: &Delivery) -> bool {
    matches!(failure(delivery).kind(), ErrorKind::Timeout { .. })
}

#[test]
fn what_waits_goes_first_and_in_order() {
    let mut rig = rig();
    let to = |partition| Record::to("t").partition(partition).value("v");
    let mut deliveries = vec![rig.wait(to(0)), rig.wait(to(1))];
    // By its key this is for partition 0 as well.
    deliveries.push(rig.wait(Record::to("t").key("21").value("v")));
    assert!(matches!(rig.append(to(0)), Admission::TopicUnknown));
    assert!(!rig.assign(&[1, 1, 1, 1, 1]));
    assert!(rig.put_aside(to(0), None).is_none());
    let Admission::Admitted(later) = rig.append(to(0)) else {
        panic!("the topic is known");
    };
    deliveries.push(later);
    rig.accumulator.flush();
    for base in [40, 50] {
        for parcel in rig.collect(1) {
            rig.reply(
                &parcel,
                Answer::Written,
                base + i64::from(parcel.index) * 100,
            );
        }
    }
    let places = deliveries.iter().map(result);
    let places = places.map(|m| (m.partition.partition, m.offset.unwrap()));
    assert_eq!(
        places.collect::<Vec<_>>(),
        [(0, 40), (1, 140), (0, 41), (0, 50)]
    );
    assert_eq!(rig.used(), 0);
    assert_eq!(rig.accumulator.metrics().records_sent, 4);
}

#[test]
fn a_record_is_kept_as_it_was_sent() {
    let mut rig = rig();
    let headers = [Header::new("a", "1"), Header::null("b")];
    let record = Record::to("t").key("k").headers(&headers);
    drop(rig.wait(record));
    drop(rig.wait(record.value("v").partition(3).timestamp(7)));
    let kept = rig.accumulator.unassigned("t");
    // One that brings no timestamp has that of its admission.
    kept[0].view("t", |kept| assert_eq!(*kept, record.timestamp(1_000)));
    kept[1].view("t", |kept| {
        assert_eq!(*kept, record.value("v").partition(3).timestamp(7));
    });
}

#[test]
fn what_waits_leaves_memory_to_nobody_else() {
    let limits = Limits {
        memory: 20_000,
        ..limits()
    };
    let mut rig = Rig::without_topic(limits);
    let mut deliveries = Vec::new();
    let value = [0; 100];
    loop {
        let partition = i32::try_from(deliveries.len() % 4).unwrap();
        let record = Record::to("t").partition(partition).value(&value);
        match rig.put_aside(record, None) {
            Some(Admission::Admitted(delivery)) => deliveries.push(delivery),
            full => {
                assert!(matches!(full, Some(Admission::Full)));
                break;
            }
        }
    }
    let full = rig.used();
    assert!(full <= 20_000 && full > 19_000, "{full}");
    let record = Record::to("t").value(&value);
    let ticket = rig.accumulator.wait_in_line(None, Waker::noop());
    assert!(matches!(
        rig.put_aside(record, Some(ticket)),
        Some(Admission::Full)
    ));
    assert!(!rig.assign(&[1, 1, 1, 1]));
    assert!(rig.used() <= full, "{} of {full}", rig.used());
    assert!(!rig.accumulator.take_wakers().is_empty());
    assert_eq!(rig.accumulator.metrics().unassigned_records, 0);
    while deliveries.iter().any(|d| d.try_result().is_none()) {
        let parcels = rig.collect(1);
        assert!(!parcels.is_empty());
        for parcel in parcels {
            rig.reply(&parcel, Answer::Written, 0);
        }
    }
    assert_eq!(rig.used(), 0);
}

#[test]
fn where_memory_is_full_to_the_last_byte_records_still_find_room() {
    // All of it is held by records that wait, and each has to open a batch.
    let value = [0; 500];
    let record = |partition| Record::to("t").partition(partition).value(&value);
    let mut rig = rig();
    drop(rig.wait(record(0)));
    let limits = Limits {
        memory: rig.used() * 8,
        batch_size: 600,
        ..limits()
    };
    let mut rig = Rig::without_topic(limits.clone());
    let deliveries: Vec<_> = (0..8)
        .map(|partition| rig.wait(record(partition)))
        .collect();
    assert_eq!(rig.used(), limits.memory);
    assert!(!rig.assign(&[1; 8]));
    assert!(rig.used() <= limits.memory);
    for parcel in rig.collect(1) {
        rig.reply(&parcel, Answer::Written, 0);
    }
    assert!(deliveries.iter().all(|d| d.try_result().unwrap().is_ok()));
}

#[test]
fn who_waits_for_memory_is_not_overtaken_by_a_record_of_an_unknown_topic() {
    let limits = Limits {
        memory: 3_000,
        ..limits()
    };
    let mut rig = Rig::without_topic(limits);
    drop(rig.wait(Record::to("t").value(&[0; 2_000])));
    let big = Record::to("t").value(&[0; 2_000]);
    assert!(matches!(rig.put_aside(big, None), Some(Admission::Full)));
    let ticket = rig.accumulator.wait_in_line(None, Waker::noop());
    let small = Record::to("other").value("v");
    assert!(matches!(rig.put_aside(small, None), Some(Admission::Full)));
    rig.pass(120 * SECOND);
    let admitted = rig.put_aside(big, Some(ticket));
    assert!(matches!(admitted, Some(Admission::Admitted(_))));
    assert_eq!(rig.accumulator.metrics().waiting_sends, 0);
}

#[test]
fn with_nobody_reachable_each_record_has_its_own_deadline() {
    let mut rig = rig();
    let first = rig.wait(Record::to("t").value("a"));
    rig.now += 50 * SECOND;
    let second = rig.wait(Record::to("t").value("b"));
    let reason = Error::invalid_argument("no such host");
    rig.absent(Absence::Unanswered(Some(reason)));
    // A view without a reason does not make it forgotten.
    rig.absent(Absence::Unanswered(None));
    assert_eq!(rig.accumulator.next_expiry(), Some(rig.now + 70 * SECOND));
    rig.pass(70 * SECOND);
    assert!(is_timeout(&first) && second.try_result().is_none());
    let source = std::error::Error::source(&failure(&first)).map(ToString::to_string);
    assert_eq!(source.unwrap(), "invalid argument: no such host");
    assert_eq!(rig.accumulator.next_expiry(), Some(rig.now + 50 * SECOND));
    rig.pass(50 * SECOND);
    assert!(is_timeout(&second));
    assert_eq!(rig.used(), 0);
    assert_eq!(rig.accumulator.next_expiry(), None);
    assert_eq!(rig.accumulator.metrics().records_failed, 2);
}

#[test]
fn a_topic_that_brokers_go_on_denying_fails_all_that_waits() {
    let mut rig = rig();
    let first = rig.wait(Record::to("t").value("a"));
    rig.absent(Absence::Denied);
    rig.now += 9 * SECOND;
    let second = rig.wait(Record::to("t").value("b"));
    rig.absent(Absence::Denied);
    assert_eq!(rig.accumulator.next_expiry(), Some(rig.now + SECOND));
    rig.pass(SECOND);
    assert!(is_unknown_topic(&first) && is_unknown_topic(&second));
    assert!(!rig.accumulator.uses_topic("t"));
    // The next one has all the time again.
    let third = rig.wait(Record::to("t").value("c"));
    rig.absent(Absence::Denied);
    rig.pass(9 * SECOND);
    assert!(third.try_result().is_none());
    rig.pass(SECOND);
    assert!(is_unknown_topic(&third));
}

#[test]
fn a_topic_that_is_denied_no_more_has_all_the_time_again() {
    let mut rig = rig();
    let delivery = rig.wait(Record::to("t").value("a"));
    rig.absent(Absence::Denied);
    rig.pass(9 * SECOND);
    rig.absent(Absence::Unanswered(None));
    rig.pass(9 * SECOND);
    rig.absent(Absence::Denied);
    rig.pass(9 * SECOND);
    assert!(delivery.try_result().is_none());
    rig.pass(SECOND);
    assert!(is_unknown_topic(&delivery));
}

#[test]
fn a_refused_topic_fails_what_waits_at_once_and_no_other() {
    let mut rig = rig();
    let delivery = rig.wait(Record::to("t").value("a"));
    let other = rig.wait(Record::to("other").value("a"));
    let refusal = ErrorKind::Fenced;
    rig.absent(Absence::Refused(refusal.clone().into()));
    assert_eq!(failure(&delivery).kind(), &refusal);
    assert!(other.try_result().is_none());
    assert_eq!(rig.accumulator.unassigned_topics(), [Arc::from("other")]);
}

#[test]
fn a_partition_out_of_range_fails_its_own_record() {
    let mut rig = rig();
    let good = rig.wait(Record::to("t").partition(1).value("a"));
    let bad = rig.wait(Record::to("t").partition(2).value("b"));
    let after = rig.wait(Record::to("t").partition(0).value("c"));
    assert!(!rig.assign(&[1, 1]));
    assert!(matches!(
        failure(&bad).kind(),
        ErrorKind::UnknownPartition {
            partition: 2,
            count: 2,
            ..
        }
    ));
    for parcel in rig.collect(1) {
        rig.reply(&parcel, Answer::Written, 0);
    }
    assert_eq!(
        (result(&good).offset, result(&after).offset),
        (Some(0), Some(0))
    );
    assert_eq!(rig.used(), 0);
}

#[test]
fn a_record_too_large_is_refused_at_once() {
    let mut rig = rig();
    let value = vec![0; 10_000];
    let record = Record::to("t").value(&value);
    let now = Now {
        instant: rig.now,
        wall_ms: 0,
    };
    let refused = rig.accumulator.put_aside(&record, None, now).unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::RecordTooLarge { .. }));
    assert!(!rig.accumulator.uses_topic("t"));
}

#[test]
fn a_flush_covers_what_waits_and_what_becomes_of_it() {
    let mut rig = Rig::without_topic(Limits {
        linger: Duration::from_secs(60),
        ..limits()
    });
    let first = rig.wait(Record::to("t").partition(0).value("a"));
    let mark = rig.accumulator.flush();
    let second = rig.wait(Record::to("t").partition(1).value("b"));
    assert!(!rig.accumulator.is_flushed(mark));
    assert!(!rig.assign(&[1, 2]));
    assert!(!rig.accumulator.is_flushed(mark));
    // What has waited lingers no longer.
    let parcels = rig.collect(1);
    rig.reply(&parcels[0], Answer::Written, 0);
    assert!(rig.accumulator.is_flushed(mark));
    assert!(first.try_result().is_some() && second.try_result().is_none());
}

#[test]
fn an_end_fails_what_waits() {
    let mut rig = rig();
    let delivery = rig.wait(Record::to("t").value("a"));
    let mark = rig.accumulator.flush();
    assert_eq!(rig.accumulator.abort(Cause::Closed), 1);
    assert!(matches!(
        failure(&delivery).kind(),
        ErrorKind::Closed { .. }
    ));
    assert!(rig.accumulator.is_flushed(mark));
    let delivery = rig.wait(Record::to("t").value("a"));
    rig.accumulator.fail_for_good(ErrorKind::Fenced.into());
    assert_eq!(failure(&delivery).kind(), &ErrorKind::Fenced);
    let now = Now {
        instant: rig.now,
        wall_ms: 0,
    };
    let record = Record::to("t").value("a");
    let refused = rig.accumulator.put_aside(&record, None, now).unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::Fenced);
}

#[test]
fn what_expires_while_its_partition_is_chosen_stays_failed() {
    let mut rig = rig();
    let late = rig.wait(Record::to("t").value("a"));
    rig.now += SECOND;
    let good = rig.wait(Record::to("t").value("b"));
    let chosen = rig.accumulator.unassigned("t");
    rig.pass(119 * SECOND);
    let chosen = chosen.into_iter().map(|record| (record, Ok(None)));
    let topic = Arc::from("t");
    let cluster = cluster(&[1], 0);
    assert!(!rig.accumulator.assign(&topic, &cluster, chosen.collect()));
    assert!(is_timeout(&late));
    let parcels = rig.collect(1);
    assert_eq!(parcels[0].batch.record_count(), 1);
    rig.reply(&parcels[0], Answer::Written, 0);
    assert_eq!(result(&good).offset, Some(0));
    assert_eq!(rig.used(), 0);
}

#[test]
fn a_partitioners_failure_is_the_records_own() {
    let mut rig = rig();
    let bad = rig.wait(Record::to("t").value("a"));
    let good = rig.wait(Record::to("t").value("b"));
    let choices = [Err(Error::invalid_argument("panicked")), Ok(Some(1))];
    let chosen = rig.accumulator.unassigned("t").into_iter().zip(choices);
    let topic = Arc::from("t");
    let cluster = cluster(&[1, 2], 0);
    rig.accumulator.assign(&topic, &cluster, chosen.collect());
    assert!(matches!(
        failure(&bad).kind(),
        ErrorKind::InvalidArgument { .. }
    ));
    assert_eq!(rig.collect(2).len(), 1);
    assert!(good.try_result().is_none());
}

/// More than one slice of records, the first of which has moved.
fn half_moved() -> (Rig, Vec<Delivery>) {
    let mut rig = rig();
    let value = [0; 5_000];
    let record = Record::to("t").partition(0).value(&value);
    let deliveries: Vec<_> = (0..20).map(|_| rig.wait(record)).collect();
    assert!(rig.assign(&[1]));
    (rig, deliveries)
}

#[test]
fn until_the_last_has_moved_later_ones_wait_behind() {
    let (mut rig, _deliveries) = half_moved();
    let record = Record::to("t").partition(0).value("later");
    assert!(matches!(rig.append(record), Admission::TopicUnknown));
    let topic = Arc::from("t");
    assert!(!rig.accumulator.add_topic(&topic, &cluster(&[1], 0)));
    let later = rig.wait(record);
    while rig.assign(&[1]) {}
    let mut offset = 0;
    while later.try_result().is_none() {
        for parcel in rig.collect(1) {
            rig.reply(&parcel, Answer::Written, offset);
            offset += i64::from(parcel.batch.record_count());
        }
    }
    assert_eq!(result(&later).offset, Some(20));
    assert_eq!(rig.used(), 0);
}

#[test]
fn where_the_rest_expires_the_topic_goes_on_with_what_has_moved() {
    let (mut rig, deliveries) = half_moved();
    let mut moved = 0;
    loop {
        let parcels = rig.collect(1);
        if parcels.is_empty() {
            break;
        }
        for parcel in parcels {
            rig.reply(&parcel, Answer::Written, i64::from(moved));
            moved += 1;
        }
    }
    rig.pass(120 * SECOND);
    let written = deliveries.iter().map(|d| d.try_result().unwrap());
    assert_eq!(written.filter(Result::is_ok).count(), moved as usize);
    let record = Record::to("t").partition(0).value("later");
    assert!(matches!(rig.append(record), Admission::Admitted(_)));
    rig.accumulator.flush();
    // Its sequence follows theirs: it is the same partition.
    assert_eq!(rig.collect(1)[0].batch.base_sequence(), moved);
}

#[test]
fn a_topic_that_appears_at_the_last_moment_is_unknown_no_more() {
    let mut rig = rig();
    let value = [0; 5_000];
    let record = Record::to("t").partition(0).value(&value);
    let deliveries: Vec<_> = (0..20).map(|_| rig.wait(record)).collect();
    rig.absent(Absence::Denied);
    rig.pass(9 * SECOND);
    assert!(rig.assign(&[1]));
    rig.pass(9 * SECOND);
    assert!(deliveries.iter().all(|d| d.try_result().is_none()));
    while rig.assign(&[1]) {}
    assert_eq!(rig.accumulator.metrics().unassigned_records, 0);
}
