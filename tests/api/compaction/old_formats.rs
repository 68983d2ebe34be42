//! Logs of the message formats from before 0.11, in which a compressed batch is a message that wraps others.
//!
//! The fake stores none: there, bytes that Kafka's own classes wrote are read. Brokers before 3.0 write them and
//! compact them.

use ottla::{StartFrom, TopicPartition};
use ottla_codec::records::Compression;
use ottla_fake::{FakeCluster, Record, TopicSpec};

use super::log::Writer::Plain;
use super::log::{Pair, newest};
use super::reading::{self, consumer};
use super::world::World;
use crate::consumer::old_formats::{OldLog, serve};
use crate::support::eventually;
use crate::support::raw::Broker;

/// Holds as many batches as the vectors have offsets.
const TOPIC: &str = "old";

pub(crate) async fn wrappers_of_format_0(world: &World) {
    wrappers(world, 0, "0.9.0").await;
}

pub(crate) async fn wrappers_of_format_1(world: &World) {
    wrappers(world, 1, "0.10.2").await;
}

async fn wrappers(world: &World, format: u8, version: &str) {
    match &world.broker {
        // There was no zstd then.
        Broker::Fake(_) if world.codec == Compression::Zstd => {}
        Broker::Fake(cluster) => {
            for what in ["hole", "tail-gone"] {
                let name = format!("v{format}-{}-{what}", world.codec.name());
                read_vectors(world, cluster, &name).await;
            }
        }
        Broker::Real(_) => {
            for codec in [Compression::None, Compression::Gzip, Compression::Lz4] {
                read_written(world, version, codec).await;
            }
        }
    }
}

/// Reads a log that Kafka's classes wrote, from each of its offsets.
async fn read_vectors(world: &World, cluster: &FakeCluster, name: &str) {
    let old = OldLog::read(name);
    let first = old.records[0].0;
    let end = old.end();
    if cluster.partition(TOPIC, 0).await.is_err() {
        cluster
            .create_topic(TopicSpec::new(TOPIC, 1))
            .await
            .unwrap();
    }
    while cluster.partition(TOPIC, 0).await.unwrap().log_end < end {
        let record = Record::of("in place of an old one");
        cluster.append(TOPIC, 0, [record]).await.unwrap();
    }
    let offsets: Vec<i64> = old.records.iter().map(|(offset, _)| *offset).collect();
    let served = serve(cluster, old, false);
    let partition = TopicPartition::new(TOPIC, 0);
    for from in first..end {
        let mut consumer = consumer(world, |settings| settings.group_id("old"));
        let start = [(partition.clone(), StartFrom::Offset(from))];
        consumer.assign(start).unwrap();
        let mut read = Vec::new();
        while consumer.position(&partition).await.unwrap() < end {
            let batch = consumer.next().await.unwrap().unwrap();
            read.extend(batch.records().map(|record| record.unwrap().offset()));
        }
        let rest = offsets.iter().filter(|offset| **offset >= from);
        assert!(read.iter().eq(rest), "{name} from {from}: {read:?}");
        reading::commit(&consumer, &partition, end).await;
        let fetches = consumer.metrics().fetches;
        assert!(fetches <= 6, "{fetches} fetches of {name} from {from}");
        world.report.add_requests(fetches);
    }
    served.remove();
}

/// Has a broker write and compact such a log.
async fn read_written(world: &World, version: &str, codec: Compression) {
    let configs = [
        ("cleanup.policy", "compact"),
        ("message.format.version", version),
        // Format 0 has no place for times: its segments end by the clock.
        ("segment.ms", "200"),
    ];
    let mut log = world.log(&configs).await;
    log.codec = codec;
    let keys: Vec<String> = (0..40).map(|key| key.to_string()).collect();
    let mut written: Vec<Pair<'_>> = Vec::new();
    // Every second and third key comes again: holes within wrappers, and at their ends.
    for (round, step) in [("0", 1), ("1", 2), ("2", 3)] {
        let pairs: Vec<Pair<'_>> = keys
            .iter()
            .step_by(step)
            .map(|key| (&**key, Some(round)))
            .collect();
        log.write(Plain, &pairs).await;
        written.extend(pairs);
    }
    let left = newest(written.iter().copied());
    // The open segment is never compacted, so more is written until it is another; nothing of that is ever replaced.
    let mut tail = 0;
    eventually("the log is compacted", async || {
        tail += 1;
        let key = format!("tail {tail}");
        log.roll();
        log.write(Plain, &[(&*key, Some("1"))]).await;
        let seen = log.look().await;
        let body = seen.records.iter();
        body.filter(|held| !held.key.starts_with("tail")).eq(&left)
    })
    .await;
    let seen = log.look().await;
    reading::check(world, &mut log, &seen).await;
}
