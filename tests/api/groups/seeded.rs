//! A group of two to six under random faults: whatever breaks, no partition has two owners, nothing below a commit
//! comes again, everything is handed out, and every member ends with its share and reads. A seed is a run, and a run
//! can be repeated: `OTTLA_TEST_SEED` runs one seed alone, or those of a range like 0..100, `OTTLA_TEST_LONG` 10,000.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use ottla::{
    AutoOffsetReset, Client, Consumer, ErrorKind, MemberState, RecordBatch, TopicPartition,
};
use ottla_fake::{FakeCluster, LoggedRequest, Record, Release};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::chaos::break_things;
use super::history::{Counts, History, Id};
use super::subject::{MAX_POLL, SESSION, with_strategy};
use crate::support::{fake, seeds};

/// The fake's wall clock, which requests carry.
const START_MS: u64 = 1_700_000_000_000;
const STEPS: usize = 40;
const MOST_MEMBERS: usize = 6;
const STRATEGIES: &[&str] = &[
    "range",
    "roundrobin",
    "sticky",
    "cooperative-sticky",
    "range,cooperative-sticky",
];
/// What is left of the faults takes this long at most: the slowest handler, a rebalance that waits for it, the
/// sessions of those that crashed, and some requests that nobody answers.
const SETTLES_WITHIN: Duration = Duration::from_secs(120);

/// A member that runs.
struct Member {
    id: Id,
    /// Its place in the group; a static one's name.
    place: usize,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Consumer>,
}

/// How a member reads and commits.
struct Reader {
    id: Id,
    consumer: Consumer,
    rng: fastrand::Rng,
    history: Arc<History>,
    cluster: FakeCluster,
    /// It dawdles no more.
    hurries: Arc<AtomicBool>,
}

impl Reader {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) -> Consumer {
        loop {
            tokio::select! {
                biased;
                _ = &mut stopped => return self.consumer,
                () = self.turn() => {}
            }
        }
    }

    async fn turn(&mut self) {
        // Now and then it changes its mind while it waits.
        let patience = match self.rng.u8(..10) {
            0 => Duration::from_millis(self.rng.u64(0..20)),
            _ => Duration::from_secs(2),
        };
        match timeout(patience, self.consumer.next()).await {
            Err(_) => {}
            Ok(Ok(batch)) => self.read(&batch.expect("it is open")).await,
            // Its own fault; the next call brings it back.
            Ok(Err(error)) if matches!(error.kind(), ErrorKind::MaxPollExceeded { .. }) => {}
            Ok(Err(error)) => panic!("{}: {error}", self.id),
        }
    }

    async fn read(&mut self, batch: &RecordBatch) {
        let partition = batch.partition().clone();
        let offsets = batch
            .records()
            .map(|record| record.expect("a record").offset());
        self.history.handed_out(self.id, &partition, offsets);
        // Also by those that commit unasked, or never heard that they did.
        let first = batch
            .records()
            .next()
            .map(|record| record.expect("a record").offset());
        let committed = self.cluster.committed("g").await.expect("a cluster");
        let key = (partition.topic.to_string(), partition.partition);
        if let (Some(first), Some(committed)) = (first, committed.get(&key)) {
            let committed = committed.offset;
            assert!(
                first >= committed || self.history.is_zombie(self.id),
                "{partition}: {first} is below {committed}, which is committed"
            );
        }
        let handling = match self.rng.u32(..400) {
            0 => self.rng.u64(20_000..30_000),
            1..12 => self.rng.u64(0..4000),
            12..200 => self.rng.u64(0..20),
            _ => 0,
        };
        if handling > 0 && !self.hurries.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(handling)).await;
        }
        if self.rng.u8(..3) == 0 {
            self.commit(&partition, batch.next_offset()).await;
        }
    }

    async fn commit(&mut self, partition: &TopicPartition, next: i64) {
        let pending = self.consumer.commit([(partition.clone(), next)]);
        if self.rng.u8(..4) == 0 {
            // It does not want to know.
            return;
        }
        match pending.await {
            Ok(()) => self.history.committed(self.id, partition, next),
            Err(error) => {
                let is_possible = matches!(
                    error.kind(),
                    ErrorKind::Revoked { .. }
                        | ErrorKind::NotAssigned { .. }
                        | ErrorKind::Timeout { .. }
                );
                assert!(is_possible, "{}: {error}", self.id);
            }
        }
    }
}

/// The group, and whoever writes and decides who comes and goes.
struct World {
    cluster: FakeCluster,
    history: Arc<History>,
    rng: fastrand::Rng,
    strategy: &'static str,
    is_static: bool,
    auto_commit: bool,
    members: Vec<Member>,
    begun: usize,
    hurry: Arc<AtomicBool>,
    partitions: i32,
    /// Writes topics, not records.
    client: Client,
}

impl World {
    async fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let partitions = rng.i32(1..8);
        let cluster = fake::cluster()
            .seed(seed)
            .wall_clock_start_ms(START_MS as i64)
            .brokers(3)
            .topic("t", partitions)
            .initial_rebalance_delay(Duration::from_millis(
                *rng.choice([0, 0, 1000].iter()).unwrap(),
            ))
            .keep_frames(true)
            .start_in_memory()
            .await
            .unwrap();
        let client = client(&cluster, "admin", rng.u64(..));
        let mut world = Self {
            cluster,
            history: Arc::default(),
            strategy: rng.choice(STRATEGIES).unwrap(),
            // Before KAFKA-9801 coordinators did not write down under which id a static member had come back: after the
            // next move they fenced it.
            is_static: rng.u8(..4) == 0 && fake::release() >= Release::V3_0,
            auto_commit: rng.u8(..3) == 0,
            members: Vec::new(),
            begun: 0,
            hurry: Arc::default(),
            partitions,
            client,
            rng,
        };
        for _ in 0..world.rng.usize(2..5) {
            world.begin();
        }
        world
    }

    fn begin(&mut self) {
        self.begun += 1;
        let id = self.begun;
        let place = (0..MOST_MEMBERS)
            .find(|place| self.members.iter().all(|member| member.place != *place))
            .expect("a place");
        let settings = client(&self.cluster, &format!("m{id}"), self.rng.u64(..))
            .consumer()
            .group_id("g")
            .auto_offset_reset(AutoOffsetReset::Earliest)
            .session_timeout(SESSION)
            .heartbeat_interval(Duration::from_secs(1))
            .max_poll_interval(MAX_POLL)
            .auto_commit(self.auto_commit)
            .auto_commit_interval(Duration::from_secs(1));
        let settings = match self.is_static {
            true => settings.group_instance_id(format!("i{place}")),
            false => settings,
        };
        let consumer = with_strategy(settings, self.strategy).build().unwrap();
        consumer.subscribe(["t"]).unwrap();
        self.history.begins(id, consumer.handle());
        let (stop, stopped) = oneshot::channel();
        let reader = Reader {
            id,
            consumer,
            rng: self.rng.fork(),
            history: self.history.clone(),
            cluster: self.cluster.clone(),
            hurries: self.hurry.clone(),
        };
        let task = tokio::spawn(reader.run(stopped));
        self.members.push(Member {
            id,
            place,
            stop,
            task,
        });
    }

    fn take_member(&mut self) -> Member {
        let index = self.rng.usize(..self.members.len());
        self.members.swap_remove(index)
    }

    async fn look_at_members(&self) {
        if let Some(group) = self.cluster.group("g").await.expect("a cluster") {
            let members = group.members.into_keys().collect();
            self.history.are_members(&members);
        }
    }

    async fn write(&mut self) {
        for partition in 0..self.partitions {
            let count = self.rng.usize(0..4);
            let records = (0..count).map(|n| Record::of(n.to_string()));
            drop(self.cluster.append("t", partition, records).await);
        }
    }

    async fn act(&mut self) {
        for _ in 0..STEPS {
            sleep(Duration::from_millis(self.rng.u64(0..2000))).await;
            self.look_at_members().await;
            self.history.check_owners();
            self.write().await;
            match self.rng.u32(..20) {
                0..4 if self.members.len() < MOST_MEMBERS => self.begin(),
                4 | 5 if self.members.len() > 1 => {
                    let Member { id, stop, task, .. } = self.take_member();
                    let _ = stop.send(());
                    let consumer = task.await.expect("no panic");
                    consumer.close(Duration::from_secs(5)).await;
                    self.history.ends(id);
                }
                6..8 if self.members.len() > 1 => {
                    let Member { id, task, .. } = self.take_member();
                    task.abort();
                    assert!(task.await.is_err_and(|error| error.is_cancelled()));
                    self.history.ends(id);
                }
                8 if self.partitions < 10 => {
                    let more = [("t", self.partitions + 1)];
                    let created = self.client.admin().create_partitions(more).await;
                    // It may have come through or not.
                    drop(created);
                    while self.cluster.partition("t", self.partitions).await.is_ok() {
                        self.partitions += 1;
                    }
                }
                9 => {
                    let running = self.history.running();
                    let (_, handle) = self.rng.choice(&running).unwrap();
                    handle.enforce_rebalance("for a change");
                }
                10 => {
                    let running = self.history.running();
                    let (id, _) = self.rng.choice(&running).unwrap();
                    if let Some(member) = self.history.expelled(*id) {
                        // It may have been given up already.
                        drop(self.cluster.expire_member("g", &member).await);
                    }
                }
                _ => {}
            }
        }
    }

    fn all(&self) -> Vec<TopicPartition> {
        (0..self.partitions)
            .map(|partition| TopicPartition::new("t", partition))
            .collect()
    }

    /// Once the faults are over, everybody has a share, and everything is read.
    async fn settle(&mut self) {
        self.hurry.store(true, Ordering::Relaxed);
        let began = Instant::now();
        loop {
            self.look_at_members().await;
            self.history.check_owners();
            let running = self.history.running();
            let health: BTreeMap<Id, _> = running.iter().map(|(id, c)| (*id, c.health())).collect();
            let stable = health
                .values()
                .all(|health| health.state == MemberState::Stable);
            let stable = stable && running.iter().all(|(id, _)| !self.history.is_zombie(*id));
            if stable && self.history.held().len() == self.all().len() {
                break;
            }
            assert!(
                began.elapsed() < SETTLES_WITHIN,
                "a member stalls: {health:#?}"
            );
            sleep(Duration::from_millis(100)).await;
        }
        let mut records = Vec::new();
        for name in self.all() {
            self.cluster
                .append("t", name.partition, [Record::of("last")])
                .await
                .unwrap();
            let log = self.cluster.log("t", name.partition).await.unwrap();
            records.extend(log.iter().map(|record| (name.clone(), record.offset)));
        }
        let began = Instant::now();
        while let missing = self.history.missing(records.clone())
            && !missing.is_empty()
        {
            let health: Vec<_> = self
                .history
                .running()
                .iter()
                .map(|(_, c)| c.health())
                .collect();
            assert!(
                began.elapsed() < SETTLES_WITHIN,
                "not handed out: {missing:?}; {health:#?}"
            );
            sleep(Duration::from_millis(100)).await;
        }
    }
}

fn client(cluster: &FakeCluster, id: &str, seed: u64) -> Client {
    fake::client_of(cluster)
        .client_id(id)
        .seed(seed)
        .wall_clock(UNIX_EPOCH + Duration::from_millis(START_MS))
        .request_timeout(Duration::from_secs(3))
        // New partitions are noticed by then.
        .metadata_max_age(Duration::from_secs(10))
        .build()
        .unwrap()
}

/// What a run leaves behind.
struct Traces {
    counts: Counts,
    requests: Vec<LoggedRequest>,
}

async fn run(seed: u64) -> Traces {
    let mut world = World::new(seed).await;
    let cluster = world.cluster.clone();
    let mut chaos = world.rng.fork();
    tokio::select! {
        biased;
        () = world.act() => {}
        () = break_things(&cluster, (&["t"], &["g"]), &mut chaos) => unreachable!("it never ends"),
    }
    cluster.clear_rules();
    for broker in 1..=3 {
        // It may be up already.
        drop(cluster.start_broker(broker).await);
    }
    world.settle().await;
    for Member { id, stop, task, .. } in std::mem::take(&mut world.members) {
        let _ = stop.send(());
        let consumer = task.await.expect("no panic");
        consumer.close(Duration::from_secs(10)).await;
        world.history.ends(id);
    }
    assert_eq!(cluster.violations().await.unwrap(), []);
    Traces {
        counts: world.history.counts(),
        requests: cluster.requests().await.unwrap(),
    }
}

fn run_alone(seed: u64) -> Traces {
    seeds::alone(run(seed))
}

/// What some runs came to.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    runs: usize,
    counts: Counts,
    requests: usize,
}

impl Totals {
    fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.counts.add(other.counts);
        self.requests += other.requests;
    }
}

/// Runs seeds, which other threads take from as well, until there are no more.
fn run_some(seeds: &Mutex<Range<u64>>) -> Totals {
    let mut totals = Totals::default();
    let next = || seeds.lock().expect("no panic").next();
    while let Some(seed) = next() {
        let traces = seeds::told(seed, run_alone);
        totals.add(Totals {
            runs: 1,
            counts: traces.counts,
            requests: traces.requests.len(),
        });
    }
    totals
}

#[test]
fn whatever_breaks_the_group_shares_its_partitions_and_reads_everything() {
    let began = std::time::Instant::now();
    let seeds = Mutex::new(seeds::chosen(50, 10_000));
    let mut totals = Totals::default();
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let runs: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| run_some(&seeds)))
            .collect();
        for run in runs {
            totals.add(run.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
    });
    let per_second = totals.runs as f64 / began.elapsed().as_secs_f64();
    eprintln!("{totals:?}, {per_second:.1} runs a second");
    let Totals { runs, counts, .. } = totals;
    // One run may be a quiet one.
    let is_lively = runs < 50 || (counts.commits > runs * 5 && counts.records > runs * 50);
    assert!(is_lively, "{totals:?}");
}

#[test]
fn a_seed_repeats_a_groups_run_exactly() {
    for seed in [3, 4] {
        let (first, second) = (run_alone(seed), run_alone(seed));
        assert!(first.requests.len() > 50);
        assert!(first.requests == second.requests, "two runs of seed {seed}");
    }
}
