//! Groups at work, whose coordinators are restarted, and killed.

use std::sync::Arc;
use std::time::Duration;

use ottla::{AutoOffsetReset, Consumer, TopicPartition};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::load::Writer;
use super::trio::{ALL_ORDERS, TOPIC, Trio};
use crate::groups::history::{Counts, History};
use crate::support::{PATIENCE, comes_true, eventually, long_runs};

const PARTITIONS: i32 = 6;
const GROUP: &str = "g";
const SESSION: Duration = Duration::from_secs(30);
/// How often each member commits, at the most.
const COMMIT: Duration = Duration::from_millis(100);

/// Members that read and commit.
struct Members {
    history: Arc<History>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<Duration>>,
}

impl Members {
    async fn start(kafka: &Trio, count: usize, strategy: &str) -> Self {
        let history = Arc::new(History::default());
        let (stop, stopped) = watch::channel(false);
        let mut tasks = Vec::new();
        for id in 0..count {
            // Nobody profits from what another was told.
            let builder = kafka.client().consumer().group_id(GROUP);
            let builder = builder
                .properties([("partition.assignment.strategy", strategy)])
                .expect("assignors")
                .auto_offset_reset(AutoOffsetReset::Earliest)
                .session_timeout(SESSION)
                .heartbeat_interval(Duration::from_secs(1))
                .auto_commit(false);
            let consumer = builder.build().expect("a consumer");
            consumer.subscribe([TOPIC]).expect("a subscription");
            history.begins(id, consumer.handle());
            let reading = read(id, consumer, history.clone(), stopped.clone());
            tasks.push(tokio::spawn(reading));
        }
        let members = Self {
            history,
            stop,
            tasks,
        };
        members.settle(kafka, count).await;
        members
    }

    /// Waits until each has partitions, and together they have all.
    async fn settle(&self, kafka: &Trio, count: usize) {
        let is_shared_out = comes_true(async || {
            let held = self.history.running().into_iter();
            let held: Vec<usize> = held.map(|(_, handle)| handle.assignment().len()).collect();
            held.iter().all(|&held| held > 0)
                && held.len() == count
                && self.history.held().len() == PARTITIONS as usize
        });
        if is_shared_out.await {
            return;
        }
        for (id, member) in self.history.running() {
            eprintln!("{id}: {:?} {:#?}", member.assignment(), member.health());
        }
        eprintln!("{:#?}", kafka.admin().describe_group(GROUP).await);
        panic!("the partitions are not shared out");
    }

    /// Waits until this many of each partition were read, and no more; the longest time that anybody who had
    /// partitions waited for a record.
    async fn finish(self, written: u64) -> Duration {
        let each = i64::try_from(written).expect("in range") / i64::from(PARTITIONS);
        let rest = i64::try_from(written).expect("in range") % i64::from(PARTITIONS);
        let all = (0..PARTITIONS).flat_map(|partition| {
            let count = each + i64::from(i64::from(partition) < rest);
            (0..count).map(move |offset| (TopicPartition::new(TOPIC, partition), offset))
        });
        let all: Vec<_> = all.collect();
        eventually("everything is read", async || {
            self.history.counts().records >= all.len()
        })
        .await;
        assert_eq!(self.history.missing(all.iter().cloned()), []);
        self.stop.send_replace(true);
        let mut longest = Duration::ZERO;
        for task in self.tasks {
            longest = longest.max(task.await.expect("no panic"));
        }
        let Counts {
            records,
            again,
            commits,
        } = self.history.counts();
        println!(
            "{records} records, {again} times one again, {commits} commits; \
             without a record for {longest:?} at the most"
        );
        assert_eq!(records, all.len());
        longest
    }
}

/// Reads until it is stopped; the longest time without a record.
async fn read(
    id: usize,
    mut consumer: Consumer,
    history: Arc<History>,
    mut stopped: watch::Receiver<bool>,
) -> Duration {
    let mut last: Option<Instant> = None;
    let mut committed = Instant::now();
    let mut longest = Duration::ZERO;
    while !*stopped.borrow_and_update() {
        let batch = tokio::select! {
            biased;
            _ = stopped.changed() => break,
            batch = timeout(PATIENCE, consumer.next()) => batch.expect("no stall"),
        };
        let batch = batch.expect("no error").expect("an open consumer");
        let waited = last.map_or(Duration::ZERO, |last| last.elapsed());
        longest = longest.max(waited);
        let partition = batch.partition().clone();
        let records = batch.records();
        let offsets = records.map(|record| record.expect("a record").offset());
        history.handed_out(id, &partition, offsets.collect::<Vec<_>>());
        let next = batch.next_offset();
        drop(batch);
        last = Some(Instant::now());
        if committed.elapsed() < COMMIT {
            continue;
        }
        committed = Instant::now();
        // Refused where a rebalance has taken the partition meanwhile: then it is read again elsewhere.
        if consumer.commit([(partition.clone(), next)]).await.is_ok() {
            history.committed(id, &partition, next);
        }
    }
    history.ends(id);
    consumer.close(PATIENCE).await;
    longest
}

async fn start(strategy: &str) -> (Trio, Writer, Members) {
    let kafka = Trio::start(|builder| builder.set("min.insync.replicas", "2")).await;
    kafka.create_topic(&ALL_ORDERS, &[]).await;
    let writer = Writer::start(&kafka.client(), PARTITIONS as u64, 100);
    let members = Members::start(&kafka, 5, strategy).await;
    (kafka, writer, members)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka brokers: cargo xtask test"]
async fn a_group_reads_on_through_a_rolling_restart() {
    let (kafka, writer, members) = start("cooperative-sticky").await;
    for _ in 0..if long_runs() { 5 } else { 1 } {
        for id in 1..=3 {
            kafka.control(move |kafka| kafka.restart(id).unwrap()).await;
            kafka.in_sync().await;
            writer.advance(500).await;
        }
    }
    members.settle(&kafka, 5).await;
    let longest = members.finish(writer.finish().await).await;
    assert!(longest < SESSION, "a stall of {longest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Kafka brokers: cargo xtask test"]
async fn a_group_recovers_from_its_coordinators_sudden_death() {
    let (kafka, writer, members) = start("range").await;
    for _ in 0..if long_runs() { 5 } else { 1 } {
        let group = kafka.admin().describe_group(GROUP).await.unwrap();
        let coordinator = group.coordinator;
        kafka
            .control(move |kafka| kafka.kill(coordinator).unwrap())
            .await;
        writer.advance(2_000).await;
        eventually("another takes over", async || {
            let group = kafka.admin().describe_group(GROUP).await;
            group.is_ok_and(|group| group.coordinator != coordinator)
        })
        .await;
        members.settle(&kafka, 5).await;
        kafka
            .control(move |kafka| kafka.restart(coordinator).unwrap())
            .await;
        kafka.in_sync().await;
    }
    members.finish(writer.finish().await).await;
}
