//! What is measured: the only table of it.

use std::fmt;

use ottla_peers::Codec;

/// How many partitions a topic has, where their number is not what is measured.
pub(crate) const PARTITIONS: i32 = 6;

/// Everybody's settings for what is not about the latency of single records.
pub(crate) const LINGER_MS: u32 = 5;
pub(crate) const BATCH_BYTES: u32 = 128 << 10;

/// The clients, in the order of the first round.
pub(crate) const CLIENTS: [&str; 8] = [
    "ottla",
    "franz-go",
    "librdkafka",
    "confluent-kafka",
    "kacrab",
    "krafka",
    "rskafka",
    "java",
];

/// Those that are in Rust altogether.
const IN_RUST: [&str; 5] = ["ottla", "confluent-kafka", "kacrab", "krafka", "rskafka"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// As fast as can be; the client chooses the partitions.
    Produce,
    /// The same, each record to the next partition.
    Spread,
    /// From the beginning to the end.
    Consume,
    /// One record after another.
    Latency,
    /// As fast as can be, by tasks that share a producer: ottla's own ways only.
    Tasks,
    /// Waiting for records that do not come.
    Idle,
    /// Compiling the least that produces and consumes.
    Build,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Produce => "produce",
            Self::Spread => "spread",
            Self::Consume => "consume",
            Self::Latency => "latency",
            Self::Tasks => "tasks",
            Self::Idle => "idle",
            Self::Build => "build",
        }
    }
}

/// What the clients talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Against {
    /// They are not even started.
    Nothing,
    Broker,
    /// So many brokers that keep nothing, and hand out what was there from the beginning.
    Sink(u32),
}

impl fmt::Display for Against {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Broker => f.write_str("a broker"),
            Self::Sink(1) => f.write_str("the sink"),
            Self::Sink(brokers) => write!(f, "a sink of {brokers} brokers"),
        }
    }
}

/// A thing that every client does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub(crate) kind: Kind,
    /// Bytes of each value; there is no key.
    pub(crate) size: usize,
    pub(crate) codec: Codec,
    pub(crate) records: usize,
    pub(crate) partitions: i32,
    pub(crate) against: Against,
}

const fn work(kind: Kind, size: usize, codec: Codec, records: usize) -> Work {
    Work {
        kind,
        size,
        codec,
        records,
        partitions: PARTITIONS,
        against: Against::Broker,
    }
}

const fn sink(kind: Kind, records: usize) -> Work {
    Work {
        against: Against::Sink(1),
        ..work(kind, 100, Codec::None, records)
    }
}

const fn many(kind: Kind, partitions: i32, records: usize) -> Work {
    Work {
        partitions,
        against: Against::Sink(3),
        ..work(kind, 100, Codec::None, records)
    }
}

pub(crate) const WORKS: [Work; 21] = [
    work(Kind::Produce, 100, Codec::None, 1_000_000),
    work(Kind::Consume, 100, Codec::None, 1_000_000),
    work(Kind::Latency, 100, Codec::None, 5_000),
    sink(Kind::Produce, 2_000_000),
    sink(Kind::Consume, 2_000_000),
    sink(Kind::Latency, 5_000),
    sink(Kind::Tasks, 2_000_000),
    work(Kind::Produce, 1024, Codec::Lz4, 200_000),
    work(Kind::Consume, 1024, Codec::Lz4, 200_000),
    work(Kind::Produce, 1024, Codec::Zstd, 200_000),
    work(Kind::Consume, 1024, Codec::Zstd, 200_000),
    work(Kind::Produce, 1024, Codec::Snappy, 200_000),
    work(Kind::Consume, 1024, Codec::Snappy, 200_000),
    work(Kind::Produce, 1024, Codec::Gzip, 200_000),
    work(Kind::Consume, 1024, Codec::Gzip, 200_000),
    many(Kind::Spread, 1_000, 500_000),
    many(Kind::Spread, 10_000, 200_000),
    many(Kind::Consume, 1_000, 500_000),
    many(Kind::Consume, 10_000, 500_000),
    many(Kind::Idle, 10_000, 0),
    Work {
        against: Against::Nothing,
        ..work(Kind::Build, 0, Codec::None, 0)
    },
];

impl Work {
    /// Whether it is done soon, if it has few records.
    pub(crate) fn is_small(&self) -> bool {
        !matches!(self.kind, Kind::Idle | Kind::Build) && self.partitions <= 1_000
    }

    /// As in `--work`: `produce-100-none`, `consume-100-none-10000-sink`.
    pub(crate) fn name(&self) -> String {
        if self.kind == Kind::Build {
            return self.kind.name().to_owned();
        }
        let mut name = format!("{}-{}-{}", self.kind.name(), self.size, self.codec.name());
        if self.partitions != PARTITIONS {
            name += &format!("-{}", self.partitions);
        }
        if self.against != Against::Broker {
            name += "-sink";
        }
        name
    }

    /// What it is, above its table.
    pub(crate) fn title(&self) -> String {
        let Self {
            size,
            records,
            partitions,
            against,
            ..
        } = self;
        let records = match self.codec {
            Codec::None => format!("{records} records of {size} bytes"),
            codec => format!("{records} records of {size} bytes, {}", codec.name()),
        };
        match self.kind {
            Kind::Produce => format!("Produce {records}, to {against}"),
            Kind::Spread => format!(
                "Produce {records}, each to the next of {partitions} partitions of {against}"
            ),
            Kind::Consume if *partitions != PARTITIONS => {
                format!("Consume {records}, from {partitions} partitions of {against}")
            }
            Kind::Consume => format!("Consume {records}, from {against}"),
            Kind::Latency => {
                format!("Produce {records}, each acknowledged before the next, to {against}")
            }
            Kind::Tasks => format!("Produce {records} with one producer, to {against}"),
            Kind::Build => {
                "Build the least that produces and consumes, TLS and all codecs included".to_owned()
            }
            Kind::Idle => format!("Consume nothing, from {partitions} partitions of {against}"),
        }
    }

    /// Who does it, in the order of the first round: ottla consumes in two ways. rskafka has one partition at a time,
    /// each with requests of its own, so nobody would use it for thousands.
    pub(crate) fn contenders(&self, clients: &[&'static str]) -> Vec<Contender> {
        let command = match self.kind {
            Kind::Idle => Kind::Consume.name(),
            kind => kind.name(),
        };
        if self.kind == Kind::Tasks {
            let ottla = clients.iter().filter(|client| **client == "ottla");
            let ways = ottla.flat_map(|&client| WAYS.iter().map(move |way| (client, way)));
            return ways
                .map(|(client, way)| Contender {
                    client,
                    command,
                    way: Some(*way),
                })
                .collect();
        }
        let mut contenders = Vec::new();
        for &client in clients {
            if self.kind == Kind::Build && !IN_RUST.contains(&client) {
                continue;
            }
            if client == "rskafka" && self.partitions != PARTITIONS {
                continue;
            }
            contenders.push(Contender::new(client, command));
            if client == "ottla" && self.kind == Kind::Consume {
                contenders.push(Contender::new(client, "stream"));
            }
        }
        contenders
    }

    /// The command line of a program that does it, behind the program's own words.
    pub(crate) fn args(&self, contender: &Contender, brokers: &str, topic: &str) -> Vec<String> {
        let mut args = vec![
            contender.command.to_owned(),
            brokers.to_owned(),
            topic.to_owned(),
        ];
        let (records, size) = (self.records.to_string(), self.size.to_string());
        let partitions = self.partitions.to_string();
        match self.kind {
            Kind::Produce | Kind::Spread | Kind::Tasks => args.extend([
                records,
                size,
                self.codec.name().to_owned(),
                LINGER_MS.to_string(),
                BATCH_BYTES.to_string(),
            ]),
            Kind::Consume => args.extend([partitions.clone(), records]),
            // It waits for one that never comes.
            Kind::Idle => args.extend([partitions.clone(), "1".to_owned()]),
            Kind::Latency => args.extend([records, size]),
            Kind::Build => args.clear(),
        }
        if self.kind == Kind::Spread {
            args.push(partitions);
        }
        if let Some(way) = &contender.way {
            args.extend(way.args());
        }
        args
    }

    /// What has to be sent before this can be consumed.
    pub(crate) fn filling(&self) -> Self {
        Self {
            kind: Kind::Produce,
            ..*self
        }
    }
}

/// A way to share a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    tasks: u32,
    /// Or in the runtime's `block_on`.
    spawned: bool,
    /// Whether the topic is known before.
    warm: bool,
    /// Of the runtime.
    pub(crate) threads: u32,
}

const fn way(tasks: u32, spawned: bool, warm: bool, threads: u32) -> Way {
    Way {
        tasks,
        spawned,
        warm,
        threads,
    }
}

/// The first is what the others are compared with.
const WAYS: [Way; 9] = [
    way(1, false, true, 2),
    way(1, true, true, 2),
    way(2, true, true, 2),
    way(8, true, true, 2),
    way(64, true, true, 2),
    way(64, false, true, 2),
    way(64, true, false, 2),
    way(1, false, false, 1),
    way(64, true, false, 1),
];

/// The name of the plain one.
pub(crate) fn plain_way() -> String {
    let [plain, ..] = &WAYS;
    format!("ottla, {plain}")
}

impl Way {
    fn args(&self) -> [String; 3] {
        let place = if self.spawned { "spawned" } else { "here" };
        let metadata = if self.warm { "warm" } else { "cold" };
        [
            self.tasks.to_string(),
            place.to_owned(),
            metadata.to_owned(),
        ]
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |number: u32| if number == 1 { "" } else { "s" };
        let place = if self.spawned {
            "spawned"
        } else {
            "in block_on"
        };
        let metadata = if self.warm { "warm" } else { "cold" };
        let (tasks, threads) = (self.tasks, self.threads);
        write!(
            f,
            "{tasks} task{} {place}, {threads} thread{}, {metadata}",
            plural(tasks),
            plural(threads)
        )
    }
}

/// A client, and the command of its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contender {
    pub(crate) client: &'static str,
    pub(crate) command: &'static str,
    /// In which of the ways that tasks can share a producer.
    pub(crate) way: Option<Way>,
}

impl Contender {
    pub(crate) fn new(client: &'static str, command: &'static str) -> Self {
        Self {
            client,
            command,
            way: None,
        }
    }

    pub(crate) fn name(&self) -> String {
        match (self.command, &self.way) {
            (_, Some(way)) => format!("{}, {way}", self.client),
            ("stream", None) => format!("{} (stream)", self.client),
            _ => self.client.to_owned(),
        }
    }

    /// Whether it gets its memory from the C library, so that its allocations can be counted.
    pub(crate) fn is_native(&self) -> bool {
        !["franz-go", "java"].contains(&self.client)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_works_have_the_same_name_or_title() {
        let names: BTreeSet<_> = WORKS.iter().map(Work::name).collect();
        let titles: BTreeSet<_> = WORKS.iter().map(Work::title).collect();
        assert_eq!((names.len(), titles.len()), (WORKS.len(), WORKS.len()));
        assert!(names.contains("produce-100-none"));
        assert!(names.contains("build"));
        assert!(names.contains("spread-100-none-10000-sink"));
    }

    #[test]
    fn a_program_is_told_what_its_usage_says() {
        let args = |kind| {
            let work = work(kind, 100, Codec::Lz4, 7);
            let contenders = work.contenders(&["ottla"]);
            work.args(&contenders[0], "b", "t").join(" ")
        };
        assert_eq!(args(Kind::Produce), "produce b t 7 100 lz4 5 131072");
        assert_eq!(args(Kind::Spread), "spread b t 7 100 lz4 5 131072 6");
        assert_eq!(args(Kind::Consume), "consume b t 6 7");
        assert_eq!(args(Kind::Latency), "latency b t 7 100");
        assert_eq!(
            args(Kind::Tasks),
            "tasks b t 7 100 lz4 5 131072 1 here warm"
        );
    }

    #[test]
    fn ottla_consumes_in_two_ways_and_rskafka_not_from_thousands() {
        let names = |work: Work| -> Vec<_> {
            let contenders = work.contenders(&["ottla", "rskafka"]);
            contenders.iter().map(Contender::name).collect()
        };
        assert_eq!(
            names(sink(Kind::Consume, 1)),
            ["ottla", "ottla (stream)", "rskafka"]
        );
        assert_eq!(names(many(Kind::Spread, 1_000, 1)), ["ottla"]);
        let ways = names(sink(Kind::Tasks, 1));
        assert_eq!((ways.len(), &ways[0]), (WAYS.len(), &plain_way()));
        assert!(ways.contains(&"ottla, 64 tasks spawned, 1 thread, cold".to_owned()));
    }
}
