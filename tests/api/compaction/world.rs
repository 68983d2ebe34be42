//! Where a scenario takes place: on the fake cluster, once with each codec, or on a real Kafka.

use std::time::{SystemTime, UNIX_EPOCH};

use ottla::{Client, IsolationLevel};
use ottla_codec::records::Compression;
use ottla_fake::{FakeCluster, TopicSpec};

use super::log::{Held, Log};
use super::report::Report;
use crate::support::raw::Broker;
use crate::support::{fake, real};

/// A cluster with a client, and where to count requests.
pub(crate) struct World {
    pub(crate) broker: Broker,
    pub(crate) client: Client,
    /// How what is written is compressed.
    pub(crate) codec: Compression,
    pub(crate) report: Report,
    scenario: &'static str,
}

/// A segment of a real log ends when a record comes that is this much later than its first; the open one is never
/// compacted. Longer than any scenario takes, because transaction markers have the broker's own time.
pub(crate) const SEGMENT_MS: i64 = 60_000;

pub(crate) const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

pub(crate) async fn on_fake(scenario: &'static str, run: impl AsyncFn(&World)) {
    let mut report = Report::begin(scenario, "fake");
    for codec in CODECS {
        let cluster = FakeCluster::builder().start_in_memory().await.unwrap();
        let world = World {
            client: fake::client_of(&cluster).build().unwrap(),
            broker: Broker::Fake(cluster.clone()),
            codec,
            report,
            scenario,
        };
        run(&world).await;
        assert_eq!(cluster.violations().await.unwrap(), []);
        report = world.report;
    }
    report.ok();
}

pub(crate) async fn on_real(scenario: &'static str, run: impl AsyncFn(&World)) {
    let world = World {
        broker: Broker::Real(real::brokers()),
        client: real::client(),
        codec: Compression::Lz4,
        report: Report::begin(scenario, real::version().as_str()),
        scenario,
    };
    run(&world).await;
    world.report.ok();
}

impl World {
    /// A topic with one partition that is compacted, with tombstones that go at the second compaction.
    pub(crate) async fn compacted_log(&self) -> Log {
        self.log(&[("cleanup.policy", "compact"), ("delete.retention.ms", "0")])
            .await
    }

    /// A topic with one partition that is compacted, and whose log start moves, but not by itself.
    pub(crate) async fn compacted_and_deleted_log(&self) -> Log {
        self.log(&[("cleanup.policy", "compact,delete"), ("retention.ms", "-1")])
            .await
    }

    pub(crate) async fn log(&self, configs: &[(&str, &str)]) -> Log {
        let topic = match &self.broker {
            Broker::Fake(cluster) => {
                let spec = configs
                    .iter()
                    .fold(TopicSpec::new(self.scenario, 1), |spec, (name, value)| {
                        spec.config(*name, *value)
                    });
                cluster.create_topic(spec).await.unwrap();
                self.scenario.to_owned()
            }
            Broker::Real(_) => {
                let segment = SEGMENT_MS.to_string();
                let mut all = vec![
                    ("min.cleanable.dirty.ratio", "0.001"),
                    ("segment.ms", segment.as_str()),
                ];
                all.retain(|(name, _)| configs.iter().all(|(own, _)| own != name));
                all.extend(configs);
                real::topic(&self.client, self.scenario, 1, &all).await
            }
        };
        Log::new(&self.broker, &topic, self.codec).await
    }

    /// The log as somebody else reads it: Java's console consumer, or the fake itself. Its last record must be the
    /// last one expected, so that what comes too much shows.
    pub(crate) async fn read_by_another(
        &self,
        log: &Log,
        level: IsolationLevel,
        expected: &[Held],
    ) -> Vec<Held> {
        let topic = &log.topic.name;
        match &self.broker {
            Broker::Fake(cluster) => {
                let records = cluster.log(topic, 0).await.unwrap().into_iter();
                let data = records.filter(|record| record.control.is_none());
                let held = data.map(|record| {
                    let (key, value) = (record.key.as_deref(), record.value.as_deref());
                    Held::new(record.offset, key, value)
                });
                let held = held.filter(|held| match level {
                    IsolationLevel::ReadCommitted => log.aborted.iter().all(|gone| gone != held),
                    IsolationLevel::ReadUncommitted => true,
                });
                held.collect()
            }
            Broker::Real(_) => {
                let level = match level {
                    IsolationLevel::ReadCommitted => "read_committed",
                    IsolationLevel::ReadUncommitted => "read_uncommitted",
                };
                let more = ["--isolation-level", level];
                let lines = real::console_consume(topic, expected.len(), &more).await;
                lines.iter().map(|line| printed(line)).collect()
            }
        }
    }
}

/// A line of timestamp, offset, headers, key and value.
fn printed(line: &str) -> Held {
    let fields: Vec<&str> = line.split('\t').collect();
    let [_, offset, _, key, value] = fields[..] else {
        panic!("not five fields: {line}");
    };
    let offset = offset.strip_prefix("Offset:").expect("an offset");
    Held {
        offset: offset.parse().expect("a number"),
        key: key.to_owned(),
        value: (value != "null").then(|| value.to_owned()),
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(elapsed.expect("after 1970").as_millis()).expect("before the year 292 million")
}
