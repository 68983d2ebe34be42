//! Two consumers of a client under random faults and with restless callers: what each hands out is exactly the
//! log's live records, in order, once, and what it commits passes over none of them. A seed is a run, and a run can be repeated: `OTTLA_TEST_SEED` runs one seed
//! alone, `OTTLA_TEST_LONG` 10,000 of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use futures_core::Stream;
use ottla::{AutoOffsetReset, Consumer, IsolationLevel, StartFrom};
use ottla_codec::ErrorCode;
use ottla_codec::messages::fetch::FetchRequest;
use ottla_codec::messages::list_offsets::ListOffsetsRequest;
use ottla_codec::messages::metadata::MetadataRequest;
use ottla_codec::messages::offset_commit::OffsetCommitRequest;
use ottla_codec::messages::offset_for_leader_epoch::OffsetForLeaderEpochRequest;
use ottla_fake::{FakeCluster, LoggedRequest, Record};
use tokio::time::{sleep, timeout};

use super::{Fixture, tp};
use crate::support::{PATIENCE, seeds};

const PARTITIONS: i32 = 4;
const STEPS: usize = 120;
/// Of the two consumers.
const GROUPS: [&str; 2] = ["one", "two"];

/// The caller's side of a run: what it may expect of each partition.
struct Caller<'a> {
    cluster: &'a FakeCluster,
    consumer: Consumer,
    rng: fastrand::Rng,
    read_committed: bool,
    /// By partition, the offset from which on nothing was handed out yet.
    next: BTreeMap<i32, i64>,
    paused: BTreeSet<i32>,
    /// Offsets of aborted records.
    aborted: Rc<RefCell<BTreeSet<(i32, i64)>>>,
    /// Whether it writes what both read.
    writes: bool,
    group: &'static str,
    delivered: usize,
    committed: usize,
}

impl Caller<'_> {
    /// The offsets of the records that a reader can get of a partition now.
    async fn live(&self, partition: i32) -> Vec<i64> {
        let log = self.cluster.log("t", partition).await.unwrap();
        let end = self.end(partition).await;
        log.iter()
            .filter(|record| record.control.is_none() && record.offset < end)
            .map(|record| record.offset)
            .filter(|&at| !(self.read_committed && self.is_aborted(partition, at)))
            .collect()
    }

    fn is_aborted(&self, partition: i32, offset: i64) -> bool {
        self.aborted.borrow().contains(&(partition, offset))
    }

    async fn end(&self, partition: i32) -> i64 {
        let info = self.cluster.partition("t", partition).await.unwrap();
        match self.read_committed {
            true => info.last_stable_offset,
            false => info.high_watermark,
        }
    }

    /// A record was handed out.
    async fn got(&mut self, partition: i32, offset: i64, value: &[u8]) {
        let expected = format!("{partition}:{offset}");
        assert_eq!(value, expected.as_bytes(), "another record's value");
        assert!(
            !self.paused.contains(&partition),
            "{expected}: it is paused"
        );
        let aborted = self.is_aborted(partition, offset);
        assert!(
            !(self.read_committed && aborted),
            "{expected}: it is aborted"
        );
        let next = *self.next.get(&partition).expect("it is not assigned");
        assert!(
            offset >= next,
            "{expected}: again, or out of order; {next} is next"
        );
        // Whatever was passed over must be gone from the log.
        let live = self.live(partition).await;
        let lost: Vec<_> = live
            .iter()
            .filter(|&&at| at >= next && at < offset)
            .collect();
        assert!(lost.is_empty(), "{expected}: {lost:?} passed over");
        self.next.insert(partition, offset + 1);
        self.delivered += 1;
    }

    /// Reads for a while, in one of the ways there are.
    async fn read(&mut self, time: Duration) {
        let mut records = Vec::new();
        if self.rng.bool() {
            let Ok(next) = timeout(time, self.consumer.next()).await else {
                return;
            };
            let batch = next.expect("no error").expect("it is open");
            let partition = batch.partition().partition;
            for record in &batch {
                let record = record.expect("a record");
                records.push((partition, record.offset(), record.value().unwrap().to_vec()));
            }
            assert!(!records.is_empty(), "an empty batch");
        } else {
            let mut left = self.rng.usize(1..6);
            let mut stream = self.consumer.records();
            while left > 0 {
                let next = poll_fn(|context| Pin::new(&mut stream).poll_next(context));
                let Ok(next) = timeout(time, next).await else {
                    break;
                };
                let record = next.expect("it is open").expect("no error");
                let value = record.value.unwrap().to_vec();
                records.push((record.partition.partition, record.offset, value));
                left -= 1;
            }
        }
        for (partition, offset, value) in records {
            self.got(partition, offset, &value).await;
        }
    }

    /// Writes something, or takes something away.
    async fn write(&mut self) {
        let partition = self.rng.i32(0..PARTITIONS);
        let info = self.cluster.partition("t", partition).await.unwrap();
        let count = self.rng.i64(1..6);
        let keys: Vec<u8> = (0..count).map(|_| self.rng.u8(b'a'..b'h')).collect();
        let record =
            |(key, offset): (u8, i64)| Record::new(vec![key], format!("{partition}:{offset}"));
        let records: Vec<_> = keys.into_iter().zip(info.log_end..).map(record).collect();
        match self.rng.u32(..12) {
            0 => {
                let before = self.rng.i64(info.log_start..=info.high_watermark);
                self.cluster
                    .delete_records("t", partition, before)
                    .await
                    .unwrap();
            }
            1 => drop(self.cluster.compact("t").await.unwrap()),
            2 | 3 => {
                let commit = self.rng.bool();
                if !commit {
                    let offsets = info.log_end..info.log_end + count;
                    let mut aborted = self.aborted.borrow_mut();
                    aborted.extend(offsets.map(|offset| (partition, offset)));
                }
                let written = self
                    .cluster
                    .append_transaction("t", partition, records, commit);
                written.await.unwrap();
            }
            _ => drop(self.cluster.append("t", partition, records).await.unwrap()),
        }
    }

    /// Moves about.
    async fn meddle(&mut self) {
        let partition = self.rng.i32(0..PARTITIONS);
        let name = tp(partition);
        if !self.next.contains_key(&partition) {
            let from = self.rng.i64(0..=self.end(partition).await);
            let start = [(name, StartFrom::Offset(from))];
            self.consumer.incremental_assign(start).unwrap();
            self.next.insert(partition, from);
            return;
        }
        match self.rng.u32(..10) {
            0..3 => {
                let to = self.rng.i64(0..=self.end(partition).await);
                self.consumer.seek(&name, to).unwrap();
                self.next.insert(partition, to);
            }
            3 => {
                self.consumer.seek_to_beginning([&name]).unwrap();
                self.next.insert(partition, 0);
            }
            4 => {
                self.consumer.seek_to_end([&name]).unwrap();
                let at = self.consumer.position(&name).await.unwrap();
                self.next.insert(partition, at);
            }
            5 => {
                self.consumer.incremental_unassign([&name]).unwrap();
                self.next.remove(&partition);
                self.paused.remove(&partition);
            }
            6..8 => {
                self.consumer.pause([&name]).unwrap();
                self.paused.insert(partition);
            }
            _ => {
                self.consumer.resume([&name]).unwrap();
                self.paused.remove(&partition);
            }
        }
    }

    /// Commits where it is.
    async fn commit(&mut self) {
        let positions = self.consumer.positions();
        let given_up = |consumer: &Consumer| {
            let metrics = consumer.metrics();
            (metrics.resets, metrics.truncations)
        };
        let before = given_up(&self.consumer);
        let commit = self.consumer.commit_positions();
        for (name, at) in &positions {
            let next = self.next[&name.partition];
            assert!(at.offset >= next, "{name}: {} and not {next}", at.offset);
            let live = self.live(name.partition).await;
            let lost: Vec<_> = live
                .iter()
                .filter(|&&live| live >= next && live < at.offset)
                .collect();
            assert!(lost.is_empty(), "{name}: {lost:?} passed over by a commit");
        }
        // Its coordinator may be gone for longer than the commit may take, and a position that is given up meanwhile is
        // left out.
        if commit.await.is_ok() && given_up(&self.consumer) == before {
            let committed = self.cluster.committed(self.group).await.unwrap();
            for (name, at) in positions {
                let key = (name.topic.to_string(), name.partition);
                assert_eq!(committed[&key].offset, at.offset, "{name}");
                self.committed += 1;
            }
        }
    }

    async fn act(&mut self) {
        for _ in 0..STEPS {
            match self.rng.u32(..12) {
                0..4 if self.writes => self.write().await,
                4..6 => self.meddle().await,
                6 => self.commit().await,
                _ => {
                    let time = Duration::from_millis(self.rng.u64(0..300));
                    self.read(time).await;
                }
            }
        }
    }

    /// Reads everything that is left.
    async fn drain(&mut self) {
        for partition in self.paused.clone() {
            self.consumer.resume([&tp(partition)]).unwrap();
        }
        self.paused.clear();
        for partition in self.next.keys().copied().collect::<Vec<_>>() {
            let began = tokio::time::Instant::now();
            while let live = self.live(partition).await
                && live
                    .last()
                    .is_some_and(|last| self.next[&partition] <= *last)
            {
                assert!(
                    began.elapsed() < PATIENCE,
                    "{partition}: {live:?} not all handed out"
                );
                self.read(Duration::from_secs(5)).await;
            }
        }
        // What comes beyond that was fetched before it was deleted.
        loop {
            let before = self.delivered;
            self.read(Duration::from_secs(5)).await;
            if self.delivered == before {
                return;
            }
        }
    }
}

/// Breaks things now and then, until it is dropped.
async fn break_things(cluster: &FakeCluster, rng: &mut fastrand::Rng) {
    let mut down: Option<i32> = None;
    loop {
        sleep(Duration::from_millis(rng.u64(1..500))).await;
        let broker = rng.i32(1..=3);
        let partition = rng.i32(0..PARTITIONS);
        let fetch = || cluster.on::<FetchRequest>().broker(broker);
        match rng.u32(..22) {
            0 => cluster.cut_connections(broker).await.unwrap(),
            1 => drop(fetch().apply_then_close()),
            2 => drop(fetch().apply_then_drop_response()),
            3 => drop(fetch().close()),
            4 => drop(fetch().drop_request()),
            5 => drop(fetch().cut_response_anywhere()),
            6 => drop(fetch().delay(Duration::from_millis(rng.u64(1..2000)))),
            7 => drop(fetch().throttle(Duration::from_millis(rng.u64(1..500)))),
            8 | 9 => {
                let error = *rng.choice(REFUSALS).unwrap();
                drop(fetch().times(rng.u64(1..3)).error(error));
            }
            10 => {
                let error = *rng.choice(REFUSALS).unwrap();
                drop(cluster.on::<ListOffsetsRequest>().error(error));
            }
            11 => drop(cluster.on::<OffsetForLeaderEpochRequest>().close()),
            12..15 => {
                let not_ready = Duration::from_millis(rng.u64(0..500));
                // The broker may be down: then nothing moves.
                drop(
                    cluster
                        .move_leader_slowly("t", partition, broker, not_ready)
                        .await,
                );
            }
            15 => drop(cluster.evict_fetch_sessions(broker).await.unwrap()),
            20 => {
                let group = *rng.choice(GROUPS.iter()).unwrap();
                cluster.move_coordinator(group, broker).await.unwrap();
            }
            21 => {
                let commit = cluster.on::<OffsetCommitRequest>();
                drop(match rng.u32(..4) {
                    0 => commit.close(),
                    1 => commit.apply_then_close(),
                    2 => commit.delay(Duration::from_millis(rng.u64(1..2000))),
                    _ => commit.error(ErrorCode::CoordinatorLoadInProgress),
                });
            }
            16 => match down.take() {
                Some(broker) => cluster.start_broker(broker).await.unwrap(),
                None => {
                    cluster.kill_broker(broker).await.unwrap();
                    down = Some(broker);
                }
            },
            17 => drop(cluster.on::<MetadataRequest>().close()),
            18 => cluster.freeze_metadata(broker).await.unwrap(),
            _ => cluster.thaw_metadata(broker).await.unwrap(),
        }
    }
}

/// Passing troubles: none of them may show.
const REFUSALS: &[ErrorCode] = &[
    ErrorCode::NotLeaderOrFollower,
    ErrorCode::UnknownTopicOrPartition,
    ErrorCode::UnknownTopicId,
    ErrorCode::UnknownLeaderEpoch,
    ErrorCode::FencedLeaderEpoch,
    ErrorCode::KafkaStorageError,
    ErrorCode::OffsetNotAvailable,
    ErrorCode::ReplicaNotAvailable,
    ErrorCode::LeaderNotAvailable,
];

/// What a run leaves behind.
struct Traces {
    delivered: usize,
    committed: usize,
    requests: Vec<LoggedRequest>,
}

async fn run(seed: u64) -> Traces {
    let mut rng = fastrand::Rng::with_seed(seed);
    let slots = *rng.choice([1000, 1000, 2, 0].iter()).unwrap();
    let fixture = Fixture::seeded(seed, |cluster| {
        cluster
            .brokers(3)
            .topic("t", PARTITIONS)
            .fetch_session_slots(slots)
    })
    .await;
    let aborted = Rc::default();
    let mut callers = GROUPS.map(|group| {
        let mut rng = rng.fork();
        let read_committed = rng.bool();
        let isolation = match read_committed {
            true => IsolationLevel::ReadCommitted,
            false => IsolationLevel::ReadUncommitted,
        };
        let consumer = fixture.consumer(|settings| {
            settings
                .group_id(group)
                .auto_commit(false)
                .auto_offset_reset(AutoOffsetReset::Earliest)
                .isolation_level(isolation)
                .request_timeout(Duration::from_secs(2))
                .max_partition_fetch_bytes(*rng.choice([100, 500, 1 << 20].iter()).unwrap())
                .memory_limit(*rng.choice([300, 3000, 1 << 20].iter()).unwrap())
        });
        let starts = (0..PARTITIONS).map(|partition| (tp(partition), StartFrom::Offset(0)));
        consumer.assign(starts).unwrap();
        Caller {
            cluster: &fixture.cluster,
            consumer,
            rng,
            read_committed,
            next: (0..PARTITIONS).map(|partition| (partition, 0)).collect(),
            paused: BTreeSet::new(),
            aborted: Rc::clone(&aborted),
            writes: group == GROUPS[0],
            group,
            delivered: 0,
            committed: 0,
        }
    });
    let mut chaos = rng.fork();
    let [first, second] = &mut callers;
    tokio::select! {
        biased;
        _ = async { tokio::join!(first.act(), second.act()) } => {}
        () = break_things(&fixture.cluster, &mut chaos) => unreachable!("it never ends"),
    }
    // Everything is handed out while faults go on, or after they have ended.
    fixture.cluster.clear_rules();
    for broker in 1..=3 {
        fixture.cluster.thaw_metadata(broker).await.unwrap();
        // It may be up already.
        drop(fixture.cluster.start_broker(broker).await);
    }
    for caller in &mut callers {
        caller.drain().await;
    }
    let delivered = callers.iter().map(|caller| caller.delivered).sum();
    let committed = callers.iter().map(|caller| caller.committed).sum();
    drop(callers);
    fixture.assert_clean().await;
    Traces {
        delivered,
        committed,
        requests: fixture.cluster.requests().await.unwrap(),
    }
}

fn run_alone(seed: u64) -> Traces {
    seeds::alone(run(seed))
}

#[test]
fn what_is_handed_out_is_what_is_live_in_order_and_once() {
    let (mut runs, mut delivered, mut committed, mut requests) = (0, 0, 0, 0);
    for seed in seeds::chosen(100, 10_000) {
        let traces = seeds::told(seed, run_alone);
        runs += 1;
        delivered += traces.delivered;
        committed += traces.committed;
        requests += traces.requests.len();
    }
    eprintln!(
        "{runs} runs: {delivered} records handed out, {committed} offsets committed, {requests} requests"
    );
    // One run may be a quiet one.
    let lively = runs < 100 || delivered > runs * 50 && committed > runs * 10;
    assert!(lively, "{delivered} and {committed} in {runs} runs");
}

#[test]
fn a_seed_repeats_its_run_exactly() {
    for seed in [3, 4] {
        let (first, second) = (run_alone(seed), run_alone(seed));
        assert!(first.requests.len() > 50);
        assert!(first.requests == second.requests, "two runs of seed {seed}");
    }
}
