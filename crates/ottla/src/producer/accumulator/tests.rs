use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ottla_cluster::Cluster;
use ottla_codec::messages::metadata::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use ottla_connection::Backoff;
use tokio::time::Instant;

use super::{Accumulator, Admission, Lane, Limits, Now, Parcel, Reply};
use crate::error::ErrorKind;
use crate::producer::compression::{Compression, Sealer};
use crate::producer::delivery::Delivery;
use crate::producer::sequences::Identity;
use crate::producer::window::{Answer, Cause, Route};
use crate::record::{Record, RecordMetadata};

const MAIN: Lane = Lane {
    node: 1,
    aside: false,
};

/// An accumulator for a topic "t" whose partitions are led by brokers 1, 2, 1, 2, ...
pub(super) struct Rig {
    pub(super) accumulator: Accumulator,
    sealer: Sealer,
    pub(super) now: Instant,
}

pub(super) fn limits() -> Limits {
    Limits {
        batch_size: 1000,
        linger: Duration::from_millis(5),
        delivery_timeout: Duration::from_secs(120),
        unknown_topic_timeout: Duration::from_secs(10),
        memory: 1 << 20,
        max_request_size: 10_000,
        max_in_flight: 5,
        idempotent: true,
        retry_backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(1)),
    }
}

pub(super) fn cluster(leaders: &[i32], epoch: i32) -> Cluster {
    let brokers = [1, 2].map(|node_id| MetadataResponseBroker {
        node_id,
        host: "h".into(),
        port: 9092,
        ..Default::default()
    });
    let partitions = leaders
        .iter()
        .zip(0..)
        .map(|(leader, index)| MetadataResponsePartition {
            partition_index: index,
            leader_id: *leader,
            leader_epoch: epoch,
            ..Default::default()
        });
    let topic = MetadataResponseTopic {
        name: Some("t".into()),
        partitions: partitions.collect(),
        ..Default::default()
    };
    let response = MetadataResponse {
        brokers: brokers.to_vec(),
        topics: vec![topic],
        ..Default::default()
    };
    Cluster::new().merge(&response).cluster
}

impl Rig {
    pub(super) fn new(limits: Limits, leaders: &[i32]) -> Self {
        let mut rig = Self::without_topic(limits);
        let topic = Arc::from("t");
        assert!(rig.accumulator.add_topic(&topic, &cluster(leaders, 0)));
        rig
    }

    /// An accumulator that knows no topic.
    pub(super) fn without_topic(limits: Limits) -> Self {
        let mut accumulator = Accumulator::new(limits, fastrand::Rng::with_seed(1));
        accumulator.identify(Identity { id: 7, epoch: 0 });
        Self {
            accumulator,
            sealer: Sealer::new(Compression::None, None).unwrap(),
            now: Instant::now(),
        }
    }

    pub(super) fn append(&mut self, record: Record<'_>) -> Admission {
        let now = Now {
            instant: self.now,
            wall_ms: 1_000,
        };
        let accumulator = &mut self.accumulator;
        accumulator.append(&record, None, None, || now).unwrap()
    }

    pub(super) fn send(&mut self, partition: i32, size: usize) -> Delivery {
        let value = vec![0; size];
        let record = Record::to("t").partition(partition).value(&value);
        match self.append(record) {
            Admission::Admitted(delivery) => delivery,
            other => panic!("{other:?}"),
        }
    }

    /// What goes to a broker now, in one request or more: seals as a sender does.
    pub(super) fn collect(&mut self, node: i32) -> Vec<Parcel> {
        self.collect_over(Lane::main(node))
    }

    pub(super) fn collect_over(&mut self, lane: Lane) -> Vec<Parcel> {
        let route = Route {
            node: lane.node,
            connection: 1 + u64::from(lane.aside),
        };
        let mut parcels = Vec::new();
        loop {
            let haul = self.accumulator.collect(lane, route, self.now);
            if haul.jobs.is_empty() && haul.parcels.is_empty() {
                return parcels;
            }
            parcels.extend(haul.parcels);
            for job in haul.jobs {
                let sealed = self.sealer.seal(job.builder);
                self.accumulator.sealed(job.partition, job.serial, sealed);
            }
        }
    }

    pub(super) fn reply(&mut self, parcel: &Parcel, answer: Answer, base_offset: i64) {
        let reply = Reply {
            answer,
            base_offset: Some(base_offset),
            ..Reply::written()
        };
        self.accumulator
            .answered(parcel.partition, parcel.serial, reply, self.now);
    }

    pub(super) fn used(&self) -> usize {
        self.accumulator.metrics().buffered_bytes
    }
}

pub(super) fn result(delivery: &Delivery) -> RecordMetadata {
    delivery.try_result().unwrap().unwrap()
}

#[test]
fn a_batch_waits_for_the_linger_and_no_longer() {
    let mut rig = Rig::new(limits(), &[1]);
    let deliveries = [rig.send(0, 10), rig.send(0, 10)];
    rig.now += Duration::from_millis(4);
    assert!(rig.collect(1).is_empty());
    let route = Route {
        node: 1,
        connection: 1,
    };
    let wake_at = rig.accumulator.collect(MAIN, route, rig.now).wake_at;
    assert_eq!(wake_at, Some(rig.now + Duration::from_millis(1)));
    rig.now += Duration::from_millis(1);
    let parcels = rig.collect(1);
    assert_eq!(parcels.len(), 1);
    assert_eq!(parcels[0].batch.record_count(), 2);
    rig.reply(&parcels[0], Answer::Written, 40);
    assert_eq!(
        deliveries.each_ref().map(|d| result(d).offset),
        [Some(40), Some(41)]
    );
    assert_eq!(result(&deliveries[0]).timestamp, 1_000);
    assert_eq!(rig.used(), 0);
}

#[test]
fn a_full_batch_goes_at_once() {
    let mut rig = Rig::new(limits(), &[1]);
    for _ in 0..4 {
        drop(rig.send(0, 300));
    }
    let parcels = rig.collect(1);
    assert_eq!(parcels.len(), 1);
    assert!(parcels[0].batch.size_bytes() <= 1000);
}

#[test]
fn without_linger_a_record_goes_at_once() {
    let mut rig = Rig::new(
        Limits {
            linger: Duration::ZERO,
            ..limits()
        },
        &[1],
    );
    drop(rig.send(0, 10));
    assert_eq!(rig.collect(1).len(), 1);
}

#[test]
fn what_comes_while_the_partition_is_busy_shares_a_batch() {
    let mut rig = Rig::new(
        Limits {
            linger: Duration::ZERO,
            ..limits()
        },
        &[1],
    );
    drop(rig.send(0, 10));
    let first = rig.collect(1);
    for _ in 0..3 {
        drop(rig.send(0, 10));
        assert!(rig.collect(1).is_empty());
    }
    rig.reply(&first[0], Answer::Written, 0);
    assert_eq!(rig.collect(1)[0].batch.record_count(), 3);
}

#[test]
fn each_broker_gets_its_own_partitions_in_one_request() {
    let mut rig = Rig::new(limits(), &[1, 2, 1]);
    for partition in [0, 1, 2] {
        drop(rig.send(partition, 10));
    }
    rig.accumulator.flush();
    let indexes = |parcels: Vec<Parcel>| parcels.iter().map(|p| p.index).collect::<Vec<_>>();
    assert_eq!(indexes(rig.collect(1)), [0, 2]);
    assert_eq!(indexes(rig.collect(2)), [1]);
}

#[test]
fn batches_are_sealed_before_their_turn_comes() {
    let mut rig = Rig::new(limits(), &[1]);
    for _ in 0..20 {
        drop(rig.send(0, 900));
    }
    let route = Route {
        node: 1,
        connection: 1,
    };
    let haul = rig.accumulator.collect(MAIN, route, rig.now);
    assert_eq!(haul.jobs.len(), 8);
    assert!(
        rig.accumulator
            .collect(MAIN, route, rig.now)
            .jobs
            .is_empty()
    );
    // Whichever is sealed first, the oldest goes first.
    for job in haul.jobs.into_iter().rev() {
        assert!(
            rig.accumulator
                .collect(MAIN, route, rig.now)
                .parcels
                .is_empty()
        );
        let sealed = rig.sealer.seal(job.builder);
        rig.accumulator.sealed(job.partition, job.serial, sealed);
    }
    assert_eq!(
        rig.accumulator.collect(MAIN, route, rig.now).parcels[0].serial,
        0
    );
}

#[test]
fn a_request_holds_no_more_than_its_size() {
    let mut rig = Rig::new(
        Limits {
            max_request_size: 1200,
            ..limits()
        },
        &[1, 1, 1],
    );
    for partition in [0, 1, 2] {
        drop(rig.send(partition, 500));
    }
    rig.accumulator.flush();
    let route = Route {
        node: 1,
        connection: 1,
    };
    for job in rig.accumulator.collect(MAIN, route, rig.now).jobs {
        let sealed = rig.sealer.seal(job.builder);
        rig.accumulator.sealed(job.partition, job.serial, sealed);
    }
    let sizes: Vec<usize> = (0..3)
        .map(|_| rig.accumulator.collect(MAIN, route, rig.now).parcels.len())
        .collect();
    assert_eq!(sizes, [2, 1, 0]);
}

#[test]
fn a_leader_move_takes_the_batches_along() {
    let mut rig = Rig::new(limits(), &[1]);
    drop(rig.send(0, 10));
    rig.accumulator.flush();
    rig.accumulator.update_cluster(&cluster(&[2], 1));
    assert_eq!(rig.accumulator.peek(Lane::main(1), rig.now), None);
    assert!(rig.collect(1).is_empty());
    assert_eq!(rig.accumulator.peek(Lane::main(2), rig.now), Some(rig.now));
    assert_eq!(rig.collect(2).len(), 1);
}

#[test]
fn a_request_never_has_two_batches_of_a_partition() {
    let mut rig = Rig::new(limits(), &[1]);
    drop(rig.send(0, 10));
    rig.accumulator.flush();
    let warm = rig.collect(1);
    rig.reply(&warm[0], Answer::Written, 0);
    for _ in 0..3 {
        drop(rig.send(0, 900));
    }
    rig.accumulator.flush();
    let first_attempts = rig.collect(1);
    assert_eq!(first_attempts.len(), 3);
    for parcel in &first_attempts {
        rig.reply(parcel, Answer::Retry { certain: true }, -1);
    }
    rig.now += Duration::from_secs(2);
    let again = rig.collect(1);
    assert_eq!(again.len(), 1);
    rig.reply(&again[0], Answer::Written, 1);
    // Now two sealed batches may go, and the partition is in the queue more than once.
    rig.accumulator.update_cluster(&cluster(&[2], 1));
    rig.accumulator.update_cluster(&cluster(&[1], 2));
    let route = Route {
        node: 1,
        connection: 1,
    };
    for parcels in [1, 1, 0] {
        let haul = rig.accumulator.collect(MAIN, route, rig.now);
        assert_eq!(haul.parcels.len(), parcels);
    }
}

#[test]
fn o01_a_topic_that_metadata_lacks_keeps_its_state() {
    let mut rig = Rig::new(limits(), &[1]);
    drop(rig.send(0, 10));
    rig.accumulator.flush();
    let parcels = rig.collect(1);
    rig.reply(&parcels[0], Answer::Written, 0);
    rig.accumulator.update_cluster(&Cluster::new());
    drop(rig.send(0, 10));
    rig.accumulator.flush();
    let parcels = rig.collect(1);
    assert_eq!(parcels[0].batch.base_sequence(), 1);
}

#[test]
fn a_partition_out_of_range_is_refused_at_once() {
    let mut rig = Rig::new(limits(), &[1, 2]);
    let now = Now {
        instant: rig.now,
        wall_ms: 0,
    };
    for partition in [2, -1] {
        let record = Record::to("t").partition(partition).value("v");
        let error = rig
            .accumulator
            .append(&record, None, None, || now)
            .unwrap_err();
        assert!(matches!(
            error.kind(),
            ErrorKind::UnknownPartition { count: 2, .. }
        ));
    }
}

#[test]
fn a_record_over_the_limit_is_refused_and_takes_no_memory() {
    let mut rig = Rig::new(limits(), &[1]);
    let now = Now {
        instant: rig.now,
        wall_ms: 0,
    };
    let value = vec![0; 10_000];
    let record = Record::to("t").value(&value);
    let error = rig
        .accumulator
        .append(&record, None, None, || now)
        .unwrap_err();
    assert!(matches!(
        error.kind(),
        ErrorKind::RecordTooLarge { limit: 10_000, .. }
    ));
    assert!(!error.possibly_written());
    assert_eq!(rig.used(), 0);
}

#[test]
fn a_record_larger_than_a_batch_goes_alone() {
    let mut rig = Rig::new(limits(), &[1]);
    drop(rig.send(0, 10));
    drop(rig.send(0, 5000));
    let first = rig.collect(1);
    rig.reply(&first[0], Answer::Written, 0);
    let second = rig.collect(1);
    assert_eq!(
        [
            first[0].batch.record_count(),
            second[0].batch.record_count()
        ],
        [1, 1]
    );
}

#[test]
fn records_without_a_key_stay_together_until_the_share_is_used_up() {
    let mut rig = Rig::new(limits(), &[1, 1, 1, 1]);
    let value = [0; 100];
    for _ in 0..30 {
        assert!(matches!(
            rig.append(Record::to("t").value(&value)),
            Admission::Admitted(_)
        ));
    }
    let metrics = rig.accumulator.metrics();
    assert!(
        (3..=5).contains(&metrics.undelivered_batches),
        "{metrics:?}"
    );
}

#[test]
fn memory_is_taken_by_the_chunk_and_given_back() {
    let mut rig = Rig::new(
        Limits {
            batch_size: 100_000,
            max_request_size: 1 << 20,
            ..limits()
        },
        &[1],
    );
    drop(rig.send(0, 10));
    let first = rig.used();
    drop(rig.send(0, 10));
    assert_eq!(rig.used(), first);
    for _ in 0..500 {
        drop(rig.send(0, 100));
    }
    assert!(rig.used() >= 50_000 && rig.used() < 140_000);
    rig.accumulator.flush();
    let parcels = rig.collect(1);
    rig.reply(&parcels[0], Answer::Written, 0);
    assert_eq!(rig.used(), 0);
}

#[test]
fn a_batch_takes_at_once_what_the_one_before_came_to_and_never_more_than_it_may() {
    let batch_size = 100_000;
    let mut rig = Rig::new(
        Limits {
            batch_size,
            max_request_size: 1 << 20,
            ..limits()
        },
        &[1],
    );
    // What each batch held while it was open. Records of many sizes end it a little sooner or later.
    let mut held = vec![Vec::new()];
    for size in (300..400).cycle() {
        drop(rig.send(0, size));
        for parcel in rig.collect(1) {
            rig.reply(&parcel, Answer::Written, 0);
            held.push(Vec::new());
        }
        if held.len() > 5 {
            break;
        }
        let open = held.last_mut().unwrap();
        open.push(rig.used());
    }
    let most = held.iter().flatten().max();
    assert!(most.is_some_and(|most| *most <= batch_size), "{most:?}");
    for batch in &held[1..5] {
        assert!(batch.len() > 200);
        assert!(batch.iter().all(|bytes| *bytes == batch[0]), "it grew");
    }
}

#[test]
fn when_memory_is_full_what_lingers_is_sent() {
    let tight = Limits {
        memory: 6000,
        linger: Duration::from_secs(3600),
        ..limits()
    };
    let mut rig = Rig::new(tight, &[1, 1, 1, 1]);
    for partition in [0, 1] {
        drop(rig.send(partition, 10));
    }
    let value = [0; 5000];
    let big = Record::to("t").partition(2).value(&value);
    assert!(matches!(rig.append(big), Admission::Full));
    let parcels = rig.collect(1);
    assert_eq!(parcels.len(), 2);
    for parcel in &parcels {
        rig.reply(parcel, Answer::Written, 0);
    }
    assert!(matches!(rig.append(big), Admission::Admitted(_)));
}

#[test]
fn who_waits_is_not_overtaken() {
    let mut rig = Rig::new(
        Limits {
            memory: 3000,
            ..limits()
        },
        &[1, 1],
    );
    drop(rig.send(0, 10));
    let value = [0; 2000];
    let big = Record::to("t").partition(1).value(&value);
    assert!(matches!(rig.append(big), Admission::Full));
    let ticket = rig.accumulator.wait_in_line(None, Waker::noop());
    assert!(matches!(
        rig.append(Record::to("t").partition(0).value("v")),
        Admission::Full
    ));
    rig.accumulator.flush();
    let parcels = rig.collect(1);
    rig.reply(&parcels[0], Answer::Written, 0);
    assert_eq!(rig.accumulator.take_wakers().len(), 1);
    let now = Now {
        instant: rig.now,
        wall_ms: 0,
    };
    let admission = rig
        .accumulator
        .append(&big, None, Some(ticket), || now)
        .unwrap();
    assert!(matches!(admission, Admission::Admitted(_)));
    assert_eq!(rig.accumulator.metrics().waiting_sends, 0);
}

#[test]
fn p01_a_flush_is_done_when_the_last_delivery_is() {
    let mut rig = Rig::new(limits(), &[1, 1]);
    let mut deliveries = [rig.send(0, 10), rig.send(1, 10)];
    let mark = rig.accumulator.flush();
    drop(rig.send(0, 10));
    let parcels = rig.collect(1);
    rig.reply(&parcels[0], Answer::Written, 0);
    assert!(!rig.accumulator.is_flushed(mark));
    rig.reply(&parcels[1], Answer::Written, 0);
    assert!(rig.accumulator.is_flushed(mark));
    for delivery in &mut deliveries {
        let poll = Pin::new(delivery).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(poll, Poll::Ready(Ok(_))));
    }
}

#[test]
fn what_was_never_sent_expires_as_certainly_not_written() {
    let mut rig = Rig::new(limits(), &[1]);
    let delivery = rig.send(0, 10);
    let expiry = rig.accumulator.next_expiry().unwrap();
    rig.now = expiry;
    rig.accumulator.expire(rig.now);
    let error = delivery.try_result().unwrap().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Timeout { .. }));
    assert!(!error.possibly_written());
    assert_eq!(rig.used(), 0);
    assert_eq!(rig.accumulator.next_expiry(), None);
}

#[test]
fn what_is_on_the_wire_at_its_deadline_keeps_its_memory_until_it_comes_back() {
    let mut rig = Rig::new(limits(), &[1]);
    let delivery = rig.send(0, 10);
    rig.accumulator.flush();
    let parcels = rig.collect(1);
    rig.now = rig.accumulator.next_expiry().unwrap();
    rig.accumulator.expire(rig.now);
    assert!(
        delivery
            .try_result()
            .unwrap()
            .unwrap_err()
            .possibly_written()
    );
    assert!(rig.used() > 0);
    rig.reply(&parcels[0], Answer::Written, 0);
    assert_eq!(rig.used(), 0);
}

#[test]
fn a_batch_too_large_is_sent_in_parts() {
    let mut rig = Rig::new(limits(), &[1]);
    let deliveries: Vec<_> = (0..4).map(|_| rig.send(0, 200)).collect();
    let mark = rig.accumulator.flush();
    let whole = rig.collect(1);
    rig.reply(&whole[0], Answer::TooLarge, -1);
    for job in rig.accumulator.take_splits() {
        let parts = rig.sealer.split(&job.batch, job.target);
        rig.accumulator.split(job.partition, job.serial, parts);
    }
    let mut offset = 0;
    let mut sequence = 0;
    while !rig.accumulator.is_flushed(mark) {
        for parcel in rig.collect(1) {
            assert_eq!(parcel.batch.base_sequence(), sequence);
            rig.reply(&parcel, Answer::Written, offset);
            sequence += i32::try_from(parcel.batch.record_count()).unwrap();
            offset += 100;
        }
    }
    assert_eq!(sequence, 4);
    let offsets: Vec<_> = deliveries
        .iter()
        .map(|d| result(d).offset.unwrap())
        .collect();
    assert_eq!(offsets, [0, 1, 100, 101]);
    assert_eq!(rig.used(), 0);
    assert_eq!(rig.accumulator.metrics().batches_split, 1);
}

#[test]
fn a_single_record_too_large_is_refused() {
    let mut rig = Rig::new(limits(), &[1]);
    let delivery = rig.send(0, 2000);
    rig.accumulator.flush();
    let parcels = rig.collect(1);
    rig.reply(&parcels[0], Answer::TooLarge, -1);
    assert!(
        !delivery
            .try_result()
            .unwrap()
            .unwrap_err()
            .possibly_written()
    );
    assert!(rig.accumulator.take_splits().is_empty());
}

#[test]
fn a_recreated_topic_fails_what_was_meant_for_the_old_one() {
    let mut rig = Rig::new(limits(), &[1]);
    let delivery = rig.send(0, 10);
    rig.accumulator.abort(Cause::TopicGone);
    let error = delivery.try_result().unwrap().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TopicRecreated { .. }));
}

#[test]
fn a_failure_that_nobody_follows_is_a_warning() {
    let warnings = |followed: bool| {
        let log = tempfile::NamedTempFile::new().unwrap();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::WARN)
            .with_writer(log.reopen().unwrap())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let mut rig = Rig::new(limits(), &[1]);
            let delivery = followed.then_some(rig.send(0, 10));
            rig.accumulator.abort(Cause::TopicGone);
            drop(delivery);
        });
        std::fs::read_to_string(log.path()).unwrap()
    };
    assert_eq!(warnings(true), "");
    let warned = warnings(false);
    assert_eq!(warned.lines().count(), 1, "{warned}");
    assert!(
        warned.contains("t-0") && warned.contains("records=1"),
        "{warned}"
    );
}

#[test]
fn a_closed_producer_says_why() {
    let mut rig = Rig::new(limits(), &[1]);
    let delivery = rig.send(0, 10);
    rig.accumulator.fail_for_good(ErrorKind::Fenced.into());
    let error = delivery.try_result().unwrap().unwrap_err();
    assert!(error.is_fatal() && !error.possibly_written());
    let record = Record::to("t").value("v");
    let now = Now {
        instant: rig.now,
        wall_ms: 0,
    };
    let error = rig
        .accumulator
        .append(&record, None, None, || now)
        .unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Fenced);
}
