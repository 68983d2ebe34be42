//! A group of processors under random faults: whatever breaks, each record is handled, in the order of its key, and no
//! commit passes one that is not done. A seed is a run, and a run can be repeated: `OTTLA_TEST_SEED` runs one seed alone,
//! `OTTLA_TEST_LONG` 2,000 of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use ottla::{
    AutoOffsetReset, Client, ConsumedRecord, ConsumerHandle, DeadLetters, ProcessingOrder,
    Processor, ProcessorEvent, ProcessorHandle, ProcessorMetrics, Result, Verdict,
};
use ottla_codec::Request;
use ottla_codec::messages::heartbeat::HeartbeatRequest;
use ottla_codec::messages::join_group::JoinGroupRequest;
use ottla_codec::messages::offset_commit::OffsetCommitRequest;
use ottla_codec::messages::produce::ProduceRequest;
use ottla_codec::messages::sync_group::SyncGroupRequest;
use ottla_fake::{FakeCluster, LoggedRequest, Record};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::world::{Broken, MAX_POLL, SESSION};
use crate::support::{fake, seeds};

const START_MS: u64 = 1_700_000_000_000;
const STEPS: usize = 30;
const MOST_MEMBERS: usize = 4;
/// The slowest handler, a rebalance that waits for it, and sessions of those that crashed.
const SETTLES_WITHIN: Duration = Duration::from_secs(180);

type Place = (i32, i64);

/// What was handled, and whether it could have been.
#[derive(Default)]
struct History {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// The key of each record that was written.
    written: BTreeMap<Place, Option<String>>,
    done: BTreeSet<Place>,
    /// What is being handled, and how often at a time.
    at_work: BTreeMap<Place, usize>,
    handled: usize,
    /// What must not be. A handler cannot say so itself: its panics are caught.
    violations: Vec<String>,
}

impl History {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A handler begins: all that has to come before it is done, and nothing of its lane is at work.
    fn begins(&self, place: Place, order: ProcessingOrder) {
        let mut inner = self.inner();
        let mut violations = Vec::new();
        let key = inner
            .written
            .get(&place)
            .expect("a record that was written");
        let is_before = |other: &Place, of: &Option<String>| match order {
            ProcessingOrder::Key => key.is_some() && of == key && other.1 < place.1,
            ProcessingOrder::Partition => other.1 < place.1,
            _ => false,
        };
        let partition = inner.written.range((place.0, 0)..place);
        for (other, of) in partition {
            if !is_before(other, of) {
                continue;
            }
            if !inner.done.contains(other) {
                violations.push(format!("{place:?} begins before {other:?} is done"));
            }
            if inner.at_work.contains_key(other) {
                violations.push(format!("{place:?} begins beside {other:?}"));
            }
        }
        inner.violations.extend(violations);
        inner.handled += 1;
        *inner.at_work.entry(place).or_default() += 1;
    }

    fn ends(&self, place: Place, done: bool) {
        let mut inner = self.inner();
        if done {
            inner.done.insert(place);
        }
        let at_work = inner.at_work.get_mut(&place).expect("it began");
        *at_work -= 1;
        if *at_work == 0 {
            inner.at_work.remove(&place);
        }
    }

    /// Nothing below what is committed is unfinished.
    fn check_commits(&self, committed: &BTreeMap<i32, i64>) {
        let inner = self.inner();
        assert!(inner.violations.is_empty(), "{:#?}", inner.violations);
        for place in inner.written.keys() {
            let is_below = committed.get(&place.0).is_some_and(|at| place.1 < *at);
            assert!(
                !is_below || inner.done.contains(place),
                "{place:?} is not done, and {} is committed",
                committed[&place.0]
            );
        }
    }
}

/// A record at work; dropped, it ends undone.
struct AtWork {
    history: Arc<History>,
    place: Place,
    done: bool,
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.history.ends(self.place, self.done);
    }
}

/// What all members share.
#[derive(Clone)]
struct Shop {
    cluster: FakeCluster,
    history: Arc<History>,
    order: ProcessingOrder,
    rng: Arc<Mutex<fastrand::Rng>>,
    hurries: Arc<AtomicBool>,
}

impl Shop {
    fn rng(&self) -> MutexGuard<'_, fastrand::Rng> {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn committed(&self) -> BTreeMap<i32, i64> {
        let committed = self.cluster.committed("g").await.expect("a cluster");
        let of_topic = committed.into_iter().filter(|((topic, _), _)| topic == "t");
        of_topic
            .map(|((_, partition), at)| (partition, at.offset))
            .collect()
    }

    async fn handle(self, record: ConsumedRecord) -> Result<(), Broken> {
        let place = (record.partition.partition, record.offset);
        self.history.begins(place, self.order);
        let mut at_work = AtWork {
            history: self.history.clone(),
            place,
            done: false,
        };
        if let Some(committed) = self.committed().await.get(&place.0)
            && place.1 < *committed
        {
            let violation = format!("{place:?} again, and {committed} is committed");
            self.history.inner().violations.push(violation);
        }
        let (time, fate) = {
            let mut rng = self.rng();
            let time = match rng.u32(..200) {
                0 => rng.u64(20_000..40_000),
                1..8 => rng.u64(0..8000),
                8..100 => rng.u64(0..200),
                _ => 0,
            };
            (time, rng.u8(..30))
        };
        if time > 0 && !self.hurries.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(time)).await;
        }
        match fate {
            0 => return Err("not today".into()),
            1 => panic!("not at all"),
            _ => {}
        }
        at_work.done = true;
        Ok(())
    }
}

struct Member {
    handles: (ConsumerHandle, ProcessorHandle),
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<ProcessorMetrics>>,
}

struct World {
    shop: Shop,
    rng: fastrand::Rng,
    strategy: &'static str,
    members: Vec<Member>,
    begun: usize,
    partitions: i32,
    /// Of members that ended in order.
    totals: ProcessorMetrics,
}

impl World {
    async fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let partitions = rng.i32(1..6);
        let cluster = fake::cluster()
            .seed(seed)
            .wall_clock_start_ms(START_MS as i64)
            .brokers(3)
            .topic("t", partitions)
            .topic("dead", 1)
            .initial_rebalance_delay(Duration::ZERO)
            .keep_frames(true)
            .start_in_memory()
            .await
            .expect("a cluster");
        let orders = [
            ProcessingOrder::Key,
            ProcessingOrder::Partition,
            ProcessingOrder::Unordered,
        ];
        let strategies = ["range", "cooperative-sticky"];
        let mut world = Self {
            shop: Shop {
                cluster,
                history: Arc::default(),
                order: *rng.choice(&orders).expect("some"),
                rng: Arc::new(Mutex::new(rng.fork())),
                hurries: Arc::default(),
            },
            strategy: rng.choice(&strategies).expect("some"),
            members: Vec::new(),
            begun: 0,
            partitions,
            totals: ProcessorMetrics::default(),
            rng,
        };
        for _ in 0..world.rng.usize(1..3) {
            world.begin();
        }
        world
    }

    fn begin(&mut self) {
        self.begun += 1;
        let client = client(&self.shop.cluster, self.begun, self.rng.u64(..));
        let consumer = client
            .consumer()
            .group_id("g")
            .auto_offset_reset(AutoOffsetReset::Earliest)
            .session_timeout(SESSION)
            .heartbeat_interval(Duration::from_secs(1))
            .max_poll_interval(MAX_POLL)
            .auto_commit(false)
            .properties([("partition.assignment.strategy", self.strategy)])
            .expect("assignors");
        let consumer = consumer.build().expect("a consumer");
        consumer.subscribe(["t"]).expect("a subscription");
        let letters = DeadLetters::to(client.producer().build().expect("a producer"), "dead");
        let (judge, history) = (self.shop.clone(), self.shop.history.clone());
        let (handle, looker) = (consumer.handle(), consumer.handle());
        let processor = Processor::new()
            .order(self.shop.order)
            .concurrency(self.rng.usize(1..20))
            .window(self.rng.usize(1..40))
            .commit_interval(Duration::from_millis(self.rng.u64(100..3000)))
            .shutdown_timeout(Duration::from_secs(self.rng.u64(1..30)))
            .on_failure(move |failure| match judge.rng().u8(..10) {
                0 => Verdict::Skip,
                1 => Verdict::DeadLetter(letters.clone()),
                2 if failure.attempts > 1 => Verdict::Stop,
                _ => Verdict::Retry,
            })
            .on_event(move |event| match event {
                ProcessorEvent::Skipped(failure) | ProcessorEvent::DeadLettered { failure, .. } => {
                    let record = failure.record;
                    let place = (record.partition.partition, record.offset);
                    history.inner().done.insert(place);
                }
                // Somebody looks at it, and has it go on.
                ProcessorEvent::Stopped { partition, .. } => {
                    let handle = handle.clone();
                    tokio::spawn(async move {
                        sleep(Duration::from_secs(2)).await;
                        // It may be gone.
                        drop(handle.resume([&partition]));
                    });
                }
                _ => {}
            });
        let handles = (looker, processor.handle());
        let (stop, stopped) = oneshot::channel();
        let shop = self.shop.clone();
        let task = tokio::spawn(async move {
            let handler = move |record| shop.clone().handle(record);
            let shutdown = async move { drop(stopped.await) };
            processor.run(consumer, handler, shutdown).await
        });
        self.members.push(Member {
            handles,
            stop,
            task,
        });
    }

    fn take_member(&mut self) -> Member {
        let index = self.rng.usize(..self.members.len());
        self.members.swap_remove(index)
    }

    async fn end(&mut self, member: Member) {
        drop(member.stop);
        let metrics = member.task.await.expect("no panic").expect("no error");
        self.totals.processed += metrics.processed;
        self.totals.commits += metrics.commits;
        self.totals.abandoned += metrics.abandoned;
        self.totals.dead_lettered += metrics.dead_lettered;
    }

    async fn write(&mut self) {
        for partition in 0..self.partitions {
            let info = self.shop.cluster.partition("t", partition).await;
            let end = info.expect("a partition").log_end;
            for n in 0..self.rng.i64(0..8) {
                let keys = [None, Some("a"), Some("b"), Some("c")];
                let key = *self.rng.choice(&keys).expect("some");
                let mut record = Record::of("value");
                record.key = key.map(|key| key.as_bytes().into());
                let place = (partition, end + n);
                let key = key.map(str::to_owned);
                self.shop.history.inner().written.insert(place, key);
                let appended = self.shop.cluster.append("t", partition, [record]).await;
                if appended.is_err() {
                    // Its leader is down.
                    self.shop.history.inner().written.remove(&place);
                    break;
                }
            }
        }
    }

    async fn act(&mut self) {
        for _ in 0..STEPS {
            sleep(Duration::from_millis(self.rng.u64(0..2000))).await;
            self.write().await;
            self.shop
                .history
                .check_commits(&self.shop.committed().await);
            match self.rng.u32(..12) {
                0 | 1 if self.members.len() < MOST_MEMBERS => self.begin(),
                2 if self.members.len() > 1 => {
                    let member = self.take_member();
                    self.end(member).await;
                }
                3 if self.members.len() > 1 => {
                    let member = self.take_member();
                    member.task.abort();
                    assert!(member.task.await.is_err_and(|error| error.is_cancelled()));
                }
                _ => {}
            }
        }
    }

    /// Once the faults are over, everything is done, and committed.
    async fn settle(&mut self) {
        self.shop.hurries.store(true, Ordering::Relaxed);
        let mut ends = BTreeMap::new();
        for (partition, offset) in self.shop.history.inner().written.keys() {
            ends.insert(*partition, offset + 1);
        }
        let began = Instant::now();
        loop {
            let committed = self.shop.committed().await;
            self.shop.history.check_commits(&committed);
            if ends == committed {
                break;
            }
            let looks = self.members.iter().map(|member| {
                let (consumer, processor) = &member.handles;
                let health = (consumer.health(), consumer.positions(), consumer.paused());
                (health, processor.metrics())
            });
            assert!(
                began.elapsed() < SETTLES_WITHIN,
                "{committed:?} is committed of {ends:?}: {:#?}",
                looks.collect::<Vec<_>>()
            );
            sleep(Duration::from_millis(100)).await;
        }
        while let Some(member) = self.members.pop() {
            self.end(member).await;
        }
    }
}

fn client(cluster: &FakeCluster, id: usize, seed: u64) -> Client {
    fake::client_of(cluster)
        .client_id(format!("m{id}"))
        .seed(seed)
        .wall_clock(UNIX_EPOCH + Duration::from_millis(START_MS))
        .request_timeout(Duration::from_secs(3))
        .build()
        .expect("a client")
}

async fn break_things(cluster: &FakeCluster, rng: &mut fastrand::Rng) {
    loop {
        sleep(Duration::from_millis(rng.u64(1..1500))).await;
        let broker = rng.i32(1..=3);
        match rng.u32(..12) {
            0 => cluster.cut_connections(broker).await.expect("a broker"),
            1 | 2 => {
                let load_time = Duration::from_millis(rng.u64(0..2000));
                let moved = cluster.move_coordinator_slowly("g", broker, load_time);
                moved.await.expect("a broker");
            }
            3 => {
                let not_ready = Duration::from_millis(rng.u64(0..500));
                let moved = cluster.move_leader_slowly("t", 0, broker, not_ready);
                moved.await.expect("a broker");
            }
            4 => disturb::<JoinGroupRequest>(cluster, rng),
            5 => disturb::<SyncGroupRequest>(cluster, rng),
            6 | 7 => disturb::<HeartbeatRequest>(cluster, rng),
            8 => disturb::<ProduceRequest>(cluster, rng),
            _ => disturb::<OffsetCommitRequest>(cluster, rng),
        }
    }
}

/// One of the next requests of that kind does not get through, or its answer does not.
fn disturb<R: Request>(cluster: &FakeCluster, rng: &mut fastrand::Rng) {
    let next = cluster.on::<R>().skip(rng.u64(0..3));
    drop(match rng.u32(..4) {
        0 => next.apply_then_close(),
        1 => next.apply_then_drop_response(),
        2 => next.close(),
        _ => next.drop_request(),
    });
}

/// What a run leaves behind.
struct Traces {
    records: usize,
    handled: usize,
    totals: ProcessorMetrics,
    requests: Vec<LoggedRequest>,
}

async fn run(seed: u64) -> Traces {
    let mut world = World::new(seed).await;
    let cluster = world.shop.cluster.clone();
    let mut chaos = world.rng.fork();
    tokio::select! {
        biased;
        () = world.act() => {}
        () = break_things(&cluster, &mut chaos) => unreachable!("it never ends"),
    }
    cluster.clear_rules();
    world.settle().await;
    assert_eq!(cluster.violations().await.expect("a cluster"), []);
    let requests = cluster.requests().await.expect("a cluster");
    let inner = world.shop.history.inner();
    Traces {
        records: inner.written.len(),
        handled: inner.handled,
        totals: world.totals.clone(),
        requests,
    }
}

fn run_alone(seed: u64) -> Traces {
    seeds::alone(run(seed))
}

#[test]
fn whatever_breaks_each_record_is_handled_in_order_before_it_is_committed() {
    // Handlers panic on purpose, thousands of times.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().downcast_ref() != Some(&"not at all") {
            hook(panic);
        }
    }));
    let (mut runs, mut records, mut handled, mut totals) = (0, 0, 0, ProcessorMetrics::default());
    for seed in seeds::chosen(40, 2000) {
        let traces = seeds::told(seed, run_alone);
        runs += 1;
        records += traces.records;
        handled += traces.handled;
        totals.commits += traces.totals.commits;
        totals.abandoned += traces.totals.abandoned;
        totals.dead_lettered += traces.totals.dead_lettered;
    }
    eprintln!(
        "{runs} runs: {records} records, handled {handled} times, {} dead letters, {} abandoned, {} commits",
        totals.dead_lettered, totals.abandoned, totals.commits
    );
    // One run may be a quiet one.
    let lively =
        runs < 40 || (records > runs * 100 && totals.commits > 200 && totals.abandoned > 5);
    assert!(lively, "{records} records, {totals:?} in {runs} runs");
}

#[test]
fn a_seed_repeats_a_run_exactly() {
    for seed in [3, 4] {
        let (first, second) = (run_alone(seed), run_alone(seed));
        assert!(first.requests.len() > 50);
        assert!(first.requests == second.requests, "two runs of seed {seed}");
    }
}
