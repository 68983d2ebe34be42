//! The whole chain, and what must have come of it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ottla::{Client, Record, StartFrom, TopicPartition};
use tokio::time::{Instant, interval, timeout};

use super::super::history::Counts;
use super::crew::{Clients, Crew};
use super::level::{Level, key_of, value_of};
use crate::support::{PATIENCE, long_runs};

/// Group by group.
const HOPS: usize = 3;

/// A way of sharing partitions out: its assignor, and whether members have lasting names.
pub(in super::super) const STRATEGIES: [(&str, bool); 6] = [
    ("range", false),
    ("cooperative-sticky", false),
    ("roundrobin", false),
    ("sticky", false),
    ("range,cooperative-sticky", true),
    ("cooperative-sticky", true),
];

/// What is to be gone through.
pub(in super::super) struct Chain {
    /// The topics with how many partitions each has, first to last.
    pub(in super::super) topics: [(String, i32); HOPS + 1],
    /// The groups between them.
    pub(in super::super) groups: [String; HOPS],
    pub(in super::super) strategy: &'static str,
    pub(in super::super) is_static: bool,
    /// Whether it is one of the strategies that short runs go through at length.
    pub(in super::super) at_length: bool,
    pub(in super::super) clients: Clients,
    pub(in super::super) seed: u64,
    /// What nothing that goes on takes.
    pub(in super::super) stalls_after: Duration,
}

impl Chain {
    fn records(&self) -> usize {
        match (long_runs(), self.at_length) {
            (true, _) => 500_000,
            (false, true) => 50_000,
            (false, false) => 5_000,
        }
    }

    /// How often somebody comes or goes, in each group.
    fn changes(&self) -> usize {
        match (long_runs(), self.at_length) {
            (true, _) => 32,
            (false, true) => 12,
            (false, false) => 4,
        }
    }
}

/// Has the records go through the chain.
pub(in super::super) async fn pass_along(chain: Chain) {
    let (records, changes) = (chain.records(), chain.changes());
    let mut rng = fastrand::Rng::with_seed(chain.seed);
    let began = Instant::now();
    let onlooker = (chain.clients)("onlooker".to_owned(), rng.u64(..));
    fill(&onlooker, &chain.topics[0].0, records).await;
    let levels: Vec<Arc<Level>> = (0..HOPS)
        .map(|hop| {
            let topics = (&*chain.topics[hop].0, &*chain.topics[hop + 1].0);
            let group = &chain.groups[hop];
            Arc::new(Level::new(topics, group, chain.strategy, records))
        })
        .collect();
    let mut crew = |level: &Arc<Level>| {
        let clients = chain.clients.clone();
        // Some 250 turns, whatever there is to do.
        Crew::new(
            level.clone(),
            clients,
            chain.is_static,
            records / 250,
            rng.fork(),
        )
    };
    let crews: Vec<Crew> = levels.iter().map(&mut crew).collect();
    let work = async {
        let [mut a, mut b, mut c] = <[Crew; HOPS]>::try_from(crews).ok().expect("three hops");
        tokio::join!(
            a.change(changes, records),
            b.change(changes, records),
            c.change(changes, records)
        );
        let crews = [a, b, c];
        read_to_the_end(&onlooker, &chain.topics, &levels, &crews).await;
        crews
    };
    let [a, b, c] = tokio::select! {
        biased;
        crews = work => crews,
        never = watch(&levels, chain.stalls_after) => match never {},
    };
    tokio::join!(a.leave(), b.leave(), c.leave());
    let mut totals = Counts::default();
    for level in &levels {
        totals.add(level.history.counts());
    }
    for (topic, partitions) in &chain.topics[1..] {
        has_each_key(&onlooker, topic, *partitions, records).await;
    }
    eprintln!(
        "{}: {records} keys through {HOPS} groups, {changes} changes in each: {totals:?}, {:?}",
        chain.strategy,
        began.elapsed()
    );
    // Those that quit and died had something in hand.
    assert!(totals.again > 0, "{totals:?}");
}

async fn fill(client: &Client, topic: &str, records: usize) {
    let producer = client.producer().batch_size(4096).build();
    let producer = producer.expect("a producer");
    let mut deliveries = Vec::new();
    for key in 0..records {
        let (key, value) = (key.to_string(), value_of(key));
        let record = Record::to(topic).key(&key).value(&value);
        deliveries.push(producer.send(record).await.expect("room"));
    }
    for delivery in deliveries {
        delivery.await.expect("a delivery");
    }
    producer.close(PATIENCE).await.expect("nothing left");
}

/// Looks on until it is dropped: nobody shares, and nothing stalls.
async fn watch(levels: &[Arc<Level>], stalls_after: Duration) -> Infallible {
    let mut tick = interval(Duration::from_millis(20));
    let (mut progress, mut since) = (0, Instant::now());
    loop {
        tick.tick().await;
        let mut sum = 0;
        for level in levels {
            level.history.check_owners();
            let counts = level.history.counts();
            sum += level.passed() + counts.records + counts.commits;
        }
        if sum != progress {
            (progress, since) = (sum, Instant::now());
        }
        if since.elapsed() > stalls_after {
            for level in levels {
                eprintln!("{}: {} keys passed", level.group, level.passed());
                for (id, member) in level.history.running() {
                    eprintln!("{id}: {:?} {:?}", member.assignment(), member.health());
                }
            }
            panic!("it stalls");
        }
    }
}

fn partitions((topic, partitions): &(String, i32)) -> Vec<TopicPartition> {
    let numbers = 0..*partitions;
    numbers
        .map(|partition| TopicPartition::new(topic.as_str(), partition))
        .collect()
}

/// Waits until everything that there is has been handed out, at every level.
async fn read_to_the_end(
    client: &Client,
    topics: &[(String, i32)],
    levels: &[Arc<Level>],
    crews: &[Crew],
) {
    let consumer = client.consumer().build().expect("a consumer");
    for (topic, level) in topics.iter().zip(levels) {
        loop {
            crews.iter().for_each(Crew::check);
            let ends = consumer.end_offsets(partitions(topic)).await;
            let ends: i64 = ends.expect("an answer").values().sum();
            if level.history.counts().records as i64 == ends {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// The topic has every key, with its value, and each in one partition.
async fn has_each_key(client: &Client, topic: &str, count: i32, records: usize) {
    let mut consumer = client.consumer().build().expect("a consumer");
    let all = partitions(&(topic.to_owned(), count));
    let mut ends = consumer.end_offsets(all.clone()).await.expect("an answer");
    ends.retain(|_, end| *end > 0);
    let from_the_first = all.into_iter().map(|name| (name, StartFrom::Beginning));
    consumer.assign(from_the_first).expect("an assignment");
    let mut found: BTreeMap<usize, i32> = BTreeMap::new();
    while !ends.is_empty() {
        let next = timeout(PATIENCE, consumer.next()).await;
        let batch = next.expect("something comes").expect("no error");
        let batch = batch.expect("it is open");
        for record in batch.records() {
            let record = record.expect("a record");
            let key = key_of(record.key(), record.value());
            let partition = batch.partition().partition;
            assert_eq!(*found.entry(key).or_insert(partition), partition, "{key}");
        }
        if ends
            .get(batch.partition())
            .is_some_and(|end| batch.next_offset() >= *end)
        {
            ends.remove(batch.partition());
        }
    }
    let missing: Vec<usize> = (0..records)
        .filter(|key| !found.contains_key(key))
        .collect();
    assert_eq!(missing, [0_usize; 0], "missing in {topic}");
}
