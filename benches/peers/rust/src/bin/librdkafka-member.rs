//! librdkafka as a member of a group, until it is told to leave, in the words of Kafka's verifiable consumer.
//!
//! ```text
//! librdkafka-member BROKERS TOPIC GROUP STRATEGY
//! ```

use std::collections::BTreeMap;
use std::env;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ottla_peers::Result;
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

/// How many records are reported and committed at once, at most.
const AT_ONCE: usize = 500;

/// What was read and is not reported: first and last offset of partitions.
#[derive(Default)]
struct Reports(Mutex<BTreeMap<i32, (i64, i64)>>);

impl ClientContext for Reports {}

impl ConsumerContext for Reports {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let (name, partitions) = match rebalance {
            Rebalance::Assign(partitions) => ("partitions_assigned", partitions),
            Rebalance::Revoke(partitions) => ("partitions_revoked", partitions),
            Rebalance::Error(error) => return eprintln!("{error}"),
        };
        self.report(consumer);
        let elements = partitions.elements();
        let named = elements
            .iter()
            .map(|of| json!({ "topic": of.topic(), "partition": of.partition() }));
        say(name, json!({ "partitions": named.collect::<Value>() }));
    }
}

impl Reports {
    fn read(&self) -> MutexGuard<'_, BTreeMap<i32, (i64, i64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports what was read, and commits it.
    fn report(&self, consumer: &BaseConsumer<Self>) {
        let read = std::mem::take(&mut *self.read());
        let Ok(subscribed) = consumer.subscription() else {
            return;
        };
        let elements = subscribed.elements();
        let (Some(topic), false) = (elements.first().map(|of| of.topic()), read.is_empty()) else {
            return;
        };
        let ranges = read.iter().map(|(partition, (first, last))| {
            json!({
                "topic": topic, "partition": partition, "count": last - first + 1,
                "minOffset": first, "maxOffset": last,
            })
        });
        say(
            "records_consumed",
            json!({ "partitions": ranges.collect::<Value>() }),
        );
        let mut offsets = TopicPartitionList::new();
        let mut named = Vec::new();
        for (partition, (_, last)) in read {
            let next = Offset::Offset(last + 1);
            if let Err(error) = offsets.add_partition_offset(topic, partition, next) {
                return eprintln!("{error}");
            }
            named.push(json!({ "topic": topic, "partition": partition, "offset": last + 1 }));
        }
        let outcome = consumer.commit(&offsets, CommitMode::Sync);
        let error = outcome.as_ref().err().map(ToString::to_string);
        let fields = json!({ "offsets": named, "success": outcome.is_ok(), "error": error });
        say("offsets_committed", fields);
    }
}

fn say(name: &str, mut fields: Value) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    fields["name"] = json!(name);
    fields["timestamp"] = json!(now.as_millis() as u64);
    println!("{fields}");
}

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [brokers, topic, group, strategy] = &args[..] else {
        return Err("usage: BROKERS TOPIC GROUP STRATEGY".into());
    };
    let mut leave = signal(SignalKind::terminate())?;
    let consumer: BaseConsumer<Reports> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", group)
        .set("partition.assignment.strategy", strategy)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .create_with_context(Reports::default())?;
    consumer.subscribe(&[topic])?;
    say("startup_complete", json!({}));
    let told = tokio::spawn(async move { leave.recv().await });
    while !told.is_finished() {
        for _ in 0..AT_ONCE {
            match consumer.poll(Duration::from_millis(100)) {
                Some(record) => {
                    let record = record?;
                    let (partition, offset) = (record.partition(), record.offset());
                    let mut read = consumer.context().read();
                    read.entry(partition).or_insert((offset, offset)).1 = offset;
                }
                None => break,
            }
        }
        consumer.context().report(&consumer);
    }
    // Its destructor leaves, and serves the rebalance that comes of it.
    drop(consumer);
    say("shutdown_complete", json!({}));
    Ok(())
}
