//! The producer under random faults: a seed is a run, and a run can be repeated: `OTTLA_TEST_SEED` runs one seed
//! alone, `OTTLA_TEST_LONG` 10,000 of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ottla::{Compression, Delivery, Producer, Record};
use ottla_codec::ErrorCode;
use ottla_codec::messages::metadata::MetadataRequest;
use ottla_codec::messages::produce::ProduceRequest;
use ottla_fake::{FakeCluster, FakeClusterBuilder, LoggedRequest, TopicSpec, Violation};
use tokio::time::Instant;

use super::world::{World, client_of, text};
use crate::support::{fake, seeds};

const RECORDS: u32 = 200;
/// Two for each broker.
const PARTITIONS: i32 = 6;

/// What became of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Written { offset: Option<i64> },
    Failed { possibly_written: bool },
}

/// What a run leaves behind.
struct Traces {
    /// By partition, in the order of sending.
    fates: BTreeMap<i32, Vec<(String, Fate)>>,
    logs: BTreeMap<i32, Vec<(i64, String)>>,
    requests: Vec<LoggedRequest>,
    violations: Vec<Violation>,
}

/// How a run begins.
#[derive(Clone, Copy, Debug)]
enum Beginning {
    Ordinary,
    /// No broker can be reached.
    Unreachable,
    /// The topic is not created yet.
    Uncreated,
}

impl Beginning {
    /// Half of the runs are ordinary ones.
    fn of(rng: &mut fastrand::Rng) -> Self {
        let all = [Self::Ordinary, Self::Unreachable, Self::Uncreated];
        all[rng.usize(..4) % all.len()]
    }

    fn cluster(self) -> FakeClusterBuilder {
        let cluster = fake::cluster().brokers(3);
        match self {
            Self::Ordinary | Self::Unreachable => cluster.topic("t", PARTITIONS),
            Self::Uncreated => cluster,
        }
    }

    /// After some time everything is there.
    async fn pass(self, cluster: &FakeCluster, rng: &mut fastrand::Rng) {
        let time = Duration::from_millis(rng.u64(..4000));
        match self {
            Self::Ordinary => {}
            Self::Unreachable => {
                tokio::time::sleep(time).await;
                for broker in 1..=3 {
                    cluster.start_broker(broker).await.unwrap();
                }
            }
            Self::Uncreated => {
                tokio::time::sleep(time).await;
                let topic = TopicSpec::new("t", PARTITIONS);
                cluster.create_topic(topic).await.unwrap();
            }
        }
    }
}

/// Breaks things now and then, until it is dropped.
async fn break_things(cluster: &FakeCluster, rng: &mut fastrand::Rng) {
    let mut down: Option<i32> = None;
    loop {
        tokio::time::sleep(Duration::from_millis(rng.u64(1..400))).await;
        let broker = rng.i32(1..=3);
        let partition = rng.i32(0..PARTITIONS);
        let skip = rng.u64(0..3);
        let produce = || cluster.on::<ProduceRequest>().skip(skip);
        match rng.u32(..18) {
            0 => cluster.cut_connections(broker).await.unwrap(),
            1 => drop(produce().apply_then_close()),
            2 => drop(produce().apply_then_drop_response()),
            3 => drop(produce().close()),
            4 => drop(produce().drop_request()),
            5 => drop(produce().cut_request_anywhere()),
            6 => drop(produce().cut_response_anywhere()),
            7 => drop(produce().delay(Duration::from_millis(rng.u64(1..3000)))),
            8 => drop(produce().throttle(Duration::from_millis(rng.u64(1..500)))),
            9 | 10 => {
                let error = *rng.choice(REFUSALS).unwrap();
                drop(produce().times(rng.u64(1..3)).error(error));
            }
            11 => {
                let not_ready = Duration::from_millis(rng.u64(0..500));
                // The broker may be down: then nothing moves.
                drop(
                    cluster
                        .move_leader_slowly("t", partition, broker, not_ready)
                        .await,
                );
            }
            12 => match down.take() {
                Some(broker) => cluster.start_broker(broker).await.unwrap(),
                None => {
                    cluster.kill_broker(broker).await.unwrap();
                    down = Some(broker);
                }
            },
            13 => drop(cluster.on::<MetadataRequest>().close()),
            14 => cluster.freeze_metadata(broker).await.unwrap(),
            // The topic may not be there yet.
            15 => drop(cluster.hold_replication("t", partition).await),
            16 => drop(cluster.release_replication("t", partition).await),
            _ => cluster.thaw_metadata(broker).await.unwrap(),
        }
    }
}

const REFUSALS: &[ErrorCode] = &[
    ErrorCode::NotEnoughReplicas,
    ErrorCode::NotLeaderOrFollower,
    ErrorCode::UnknownTopicOrPartition,
    ErrorCode::InvalidRecord,
    ErrorCode::CorruptMessage,
    ErrorCode::KafkaStorageError,
    ErrorCode::OutOfOrderSequenceNumber,
    ErrorCode::MessageTooLarge,
];

async fn run(seed: u64) -> Traces {
    let mut rng = fastrand::Rng::with_seed(seed);
    let beginning = Beginning::of(&mut rng);
    let mut world = World::seeded(beginning.cluster(), seed).await;
    if let Beginning::Unreachable = beginning {
        for broker in 1..=3 {
            world.cluster.kill_broker(broker).await.unwrap();
        }
    }
    let client = client_of(&world.cluster)
        .seed(seed)
        .cpu_work(fake::cpu_work(seed));
    world.client = client
        .request_timeout(Duration::from_secs(2))
        .build()
        .unwrap();
    let codecs = [Compression::None, Compression::Lz4];
    let producer = world
        .client
        .producer()
        .batch_size(*rng.choice([70, 300, 2000].iter()).unwrap())
        .linger(Duration::from_millis(rng.u64(0..10)))
        .delivery_timeout(Duration::from_secs(rng.u64(3..20)))
        .compression(*rng.choice(codecs.iter()).unwrap())
        .build()
        .unwrap();
    let mut chaos = rng.fork();
    let trouble = async {
        beginning.pass(&world.cluster, &mut chaos).await;
        break_things(&world.cluster, &mut chaos).await;
    };
    let sent = tokio::select! {
        biased;
        sent = produce(&producer, &mut rng) => sent,
        () = trouble => unreachable!("it never ends"),
    };
    // Every record gets its outcome while faults go on, or after they have ended.
    world.cluster.clear_rules();
    // It is there already, unless the run was over before its beginning.
    let topic = TopicSpec::new("t", PARTITIONS);
    drop(world.cluster.create_topic(topic).await);
    for broker in 1..=3 {
        world.cluster.thaw_metadata(broker).await.unwrap();
        // It may be up already.
        drop(world.cluster.start_broker(broker).await);
    }
    for partition in 0..PARTITIONS {
        let released = world.cluster.release_replication("t", partition);
        released.await.unwrap();
    }
    let began = Instant::now();
    producer.flush().await;
    assert!(
        began.elapsed() <= Duration::from_secs(25),
        "{:?}",
        began.elapsed()
    );
    traces(&world, sent).await
}

async fn produce(
    producer: &Producer,
    rng: &mut fastrand::Rng,
) -> BTreeMap<i32, Vec<(String, Delivery)>> {
    let mut sent: BTreeMap<i32, Vec<(String, Delivery)>> = BTreeMap::new();
    for number in 0..RECORDS {
        let partition = rng.i32(0..PARTITIONS);
        let value = format!("{number:04}");
        let record = Record::to("t").partition(partition).value(&value);
        let delivery = producer.send(record).await.unwrap();
        sent.entry(partition).or_default().push((value, delivery));
        if rng.u32(..4) == 0 {
            tokio::time::sleep(Duration::from_millis(rng.u64(0..200))).await;
        }
    }
    sent
}

async fn traces(world: &World, sent: BTreeMap<i32, Vec<(String, Delivery)>>) -> Traces {
    let mut fates = BTreeMap::new();
    for (partition, records) in sent {
        let of_partition: &mut Vec<_> = fates.entry(partition).or_default();
        for (value, delivery) in records {
            let result = delivery.try_result().expect("an outcome after the flush");
            let fate = match result {
                Ok(metadata) => Fate::Written {
                    offset: metadata.offset,
                },
                Err(error) => Fate::Failed {
                    possibly_written: error.possibly_written(),
                },
            };
            of_partition.push((value, fate));
        }
    }
    let mut logs = BTreeMap::new();
    for partition in 0..PARTITIONS {
        let log = world.cluster.log("t", partition).await.unwrap();
        let records = log
            .iter()
            .map(|r| (r.offset, text(r.value.as_ref().unwrap())));
        logs.insert(partition, records.collect());
    }
    Traces {
        fates,
        logs,
        requests: world.cluster.requests().await.unwrap(),
        violations: world.cluster.violations().await.unwrap(),
    }
}

fn check(traces: &Traces) {
    for violation in &traces.violations {
        // Behind a batch that was refused by a fault, those in flight leave out its sequences; what a broker works
        // off late has an epoch that is over; and a part of a batch that was split goes on under its own sequence,
        // even when the part before it was refused.
        let follows = matches!(
            violation,
            Violation::OutOfOrderSequence { .. }
                | Violation::StaleProducerEpoch { .. }
                | Violation::FirstSequenceNotZero { .. }
        );
        assert!(follows, "{violation}");
    }
    for (partition, records) in &traces.fates {
        let log = &traces.logs[partition];
        let values: Vec<&String> = log.iter().map(|(_, value)| value).collect();
        let distinct: BTreeSet<&String> = values.iter().copied().collect();
        assert_eq!(distinct.len(), values.len(), "written twice: {values:?}");
        assert!(values.is_sorted(), "out of order: {values:?}");
        for (value, fate) in records {
            let place = log.iter().find(|(_, logged)| logged == value);
            match fate {
                Fate::Written { offset } => {
                    let (at, _) = place.unwrap_or_else(|| panic!("{value} is lost"));
                    assert!(
                        offset.is_none_or(|offset| offset == *at),
                        "{value}: {offset:?}"
                    );
                }
                Fate::Failed { possibly_written } => {
                    let honest = *possibly_written || place.is_none();
                    assert!(honest, "{value} is written after all");
                }
            }
        }
    }
}

fn run_to_end(seed: u64) -> Traces {
    seeds::alone(run(seed))
}

#[test]
fn whatever_breaks_the_log_holds_what_was_promised() {
    let seeds = seeds::chosen(200, 10_000);
    let runs = seeds.end - seeds.start;
    let (mut written, mut failed, mut violations) = (0, 0, 0);
    for seed in seeds {
        let traces = seeds::told(seed, |seed| {
            let traces = run_to_end(seed);
            check(&traces);
            traces
        });
        let fates = traces.fates.values().flatten();
        let (good, bad): (Vec<_>, Vec<_>) =
            fates.partition(|(_, fate)| matches!(fate, Fate::Written { .. }));
        written += good.len();
        failed += bad.len();
        violations += traces.violations.len();
    }
    eprintln!("{runs} runs: {written} written, {failed} failed, {violations} violations");
    assert!(written > failed * 5, "{written} written, {failed} failed");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..10 {
        let (first, second) = (run_to_end(seed), run_to_end(seed));
        assert!(first.requests.len() > 50);
        assert_eq!(first.requests, second.requests);
    }
}
