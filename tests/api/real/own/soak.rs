//! A producer and a group for long, while brokers are restarted and members come and go: nothing is lost, nothing is
//! read again that was committed, and neither memory nor sockets nor tasks grow.
//!
//! `cargo xtask soak` runs it for half an hour, optimised.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ottla::{AutoOffsetReset, Client, Consumer, RecordBatch};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::load::{Pace, Writer};
use super::trio::{ALL_ORDERS, TOPIC, Trio};
use super::vitals::Vitals;
use crate::support::{PATIENCE, eventually, long_runs};

const PARTITIONS: usize = ALL_ORDERS.len();
const GROUP: &str = "g";
const MEMBERS: usize = 3;
const COMMIT: Duration = Duration::from_secs(1);

/// How long, how often a broker goes, and how long the most that can be written is looked for.
struct Length {
    whole: Duration,
    restart_every: Duration,
    calibration: Duration,
}

impl Length {
    /// As many minutes as `OTTLA_TEST_MINUTES` says, with a restart every two.
    fn wanted() -> Self {
        let minutes = std::env::var("OTTLA_TEST_MINUTES").ok();
        let minutes =
            minutes.map(|minutes| minutes.parse().expect("OTTLA_TEST_MINUTES is a number"));
        match minutes.or(long_runs().then_some(6)) {
            Some(minutes) => Self {
                whole: Duration::from_secs(60 * minutes),
                restart_every: Duration::from_secs(120),
                calibration: Duration::from_secs(10),
            },
            None => Self {
                whole: Duration::from_secs(20),
                restart_every: Duration::from_secs(10),
                calibration: Duration::from_secs(2),
            },
        }
    }
}

/// How far the group is, in each partition.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// Everything below it was handed out.
    read: u64,
    /// Below it nothing may come again.
    committed: u64,
}

/// What the group has read between them.
#[derive(Debug, Default)]
struct Read {
    places: [Place; PARTITIONS],
    again: u64,
}

/// A group at work.
struct Group {
    client: Client,
    read: Arc<Mutex<Read>>,
    members: VecDeque<Member>,
}

struct Member {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

fn lock(read: &Mutex<Read>) -> MutexGuard<'_, Read> {
    read.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Group {
    fn start(client: Client) -> Self {
        let mut group = Self {
            client,
            read: Arc::default(),
            members: VecDeque::new(),
        };
        (0..MEMBERS).for_each(|_| group.join());
        group
    }

    fn join(&mut self) {
        let consumer = self.client.consumer().group_id(GROUP);
        let consumer = consumer
            .properties([("partition.assignment.strategy", "cooperative-sticky")])
            .expect("an assignor")
            .auto_offset_reset(AutoOffsetReset::Earliest)
            .auto_commit(false)
            .build()
            .expect("a consumer");
        consumer.subscribe([TOPIC]).expect("a subscription");
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(read(consumer, self.read.clone(), stopped));
        self.members.push_back(Member { stop, task });
    }

    /// The one that has been there the longest leaves, and another comes.
    async fn relieve_one(&mut self) {
        self.join();
        if let Some(oldest) = self.members.pop_front() {
            oldest.leave().await;
        }
    }

    /// Waits until all of it is read.
    async fn finish(self, written: u64) -> u64 {
        eventually("everything is read", async || {
            let read = lock(&self.read);
            read.places.iter().map(|place| place.read).sum::<u64>() == written
        })
        .await;
        for member in self.members {
            member.leave().await;
        }
        lock(&self.read).again
    }
}

impl Member {
    async fn leave(self) {
        self.stop.send_replace(true);
        self.task.await.expect("no panic");
    }
}

async fn read(mut consumer: Consumer, read: Arc<Mutex<Read>>, mut stopped: watch::Receiver<bool>) {
    let mut committed = [Instant::now(); PARTITIONS];
    loop {
        let batch = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => break,
            batch = timeout(PATIENCE, consumer.next()) => batch.expect("no stall"),
        };
        let batch = batch.expect("no error").expect("an open consumer");
        let partition = usize::try_from(batch.partition().partition).expect("an index");
        lock(&read).check(partition, &batch);
        let (name, next) = (batch.partition().clone(), batch.next_offset());
        drop(batch);
        if committed[partition].elapsed() < COMMIT {
            continue;
        }
        committed[partition] = Instant::now();
        // Refused where a rebalance has taken the partition meanwhile: then it is read again elsewhere.
        if consumer.commit([(name, next)]).await.is_ok() {
            let committed = &mut lock(&read).places[partition].committed;
            *committed = (*committed).max(next.try_into().expect("an offset"));
        }
    }
    consumer.close(PATIENCE).await;
}

impl Read {
    fn check(&mut self, partition: usize, batch: &RecordBatch) {
        let place = &mut self.places[partition];
        for record in batch.records() {
            let record = record.expect("a record");
            let offset = u64::try_from(record.offset()).expect("an offset");
            let value = str::from_utf8(record.value().expect("a value")).expect("text");
            let number: u64 = value.trim().parse().expect("a number");
            assert_eq!(number, offset * PARTITIONS as u64 + partition as u64);
            assert!(
                offset >= place.committed,
                "{offset} of {partition}: {place:?}"
            );
            assert!(
                offset <= place.read,
                "a gap before {offset} of {partition}: {place:?}"
            );
            self.again += u64::from(offset < place.read);
            place.read = place.read.max(offset + 1);
        }
    }
}

/// The most that is written in a second.
async fn most(writer: &Writer, length: &Length) -> u64 {
    writer.pace(Pace::FULL);
    writer.advance(100_000).await;
    let (before, since) = (writer.acknowledged(), Instant::now());
    sleep(length.calibration).await;
    let written = (writer.acknowledged() - before) as f64;
    (written / since.elapsed().as_secs_f64()) as u64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka brokers: cargo xtask test"]
async fn nothing_is_lost_and_nothing_grows_for_as_long_as_it_runs() {
    let length = Length::wanted();
    let configure = |builder: xtask::kafka::ClusterBuilder| {
        builder
            .set("min.insync.replicas", "2")
            // What was read long ago need not fill the disk.
            .set("log.retention.bytes", "268435456")
            .set("log.segment.bytes", "67108864")
    };
    let kafka = Trio::start(configure).await;
    kafka.create_topic(&ALL_ORDERS, &[]).await;
    let before = Vitals::now();

    let client = kafka.client();
    let writer = Writer::start(&client, PARTITIONS as u64, 100);
    let mut group = Group::start(client.clone());
    let rate = most(&writer, &length).await / 2;
    writer.pace(Pace::per_second(rate));
    println!("{rate} records a second, half of the most");

    let (began, mut looks) = (Instant::now(), Vec::new());
    for round in 0.. {
        let due = began + length.restart_every * (round + 1);
        if due > began + length.whole {
            break;
        }
        // The pause between two restarts is what the test is about.
        sleep_until(due).await;
        if let Some(vitals) = Vitals::now() {
            println!("{:4} s: {vitals:?}", began.elapsed().as_secs());
            looks.push(vitals);
        }
        let id = i32::try_from(round % 3).expect("an id") + 1;
        kafka.control(move |kafka| kafka.restart(id).unwrap()).await;
        kafka.in_sync().await;
        group.relieve_one().await;
        writer.advance(rate).await;
    }
    let written = writer.finish().await;
    let again = group.finish(written).await;
    println!("{written} records, {again} times one again");
    nothing_grows(&looks);
    client.close(PATIENCE).await;
    eventually("its sockets and tasks are gone", async || {
        let now = Vitals::now().zip(before);
        now.is_none_or(|(now, before)| now.sockets <= before.sockets && now.tasks <= before.tasks)
    })
    .await;
}

/// What was taken in the last quarter against the second: the first is a process that warms up.
fn nothing_grows(looks: &[Vitals]) {
    let quarter = looks.len() / 4;
    if quarter == 0 {
        return;
    }
    let early = &looks[quarter..2 * quarter];
    let late = &looks[looks.len() - quarter..];
    let grows = |what: &str, of: fn(&Vitals) -> u64, leeway: u64| {
        let [early, late] = [early, late].map(|looks| looks.iter().map(of).max());
        let allowed = early.map(|early| early + early / 10 + leeway);
        assert!(late <= allowed, "{what}: {early:?}, then {late:?}");
    };
    grows("KiB resident", |vitals| vitals.resident, 8 * 1024);
    grows("sockets", |vitals| vitals.sockets as u64, 6);
    grows("tasks", |vitals| vitals.tasks as u64, 6);
}
