//! The command line of a client's program.

use std::env;
use std::str::FromStr;
use std::time::Duration;

use crate::records::{self, Record};
use crate::{Load, Readings, Result};

const USAGE: &str = "usage: version | write BROKERS TOPIC PARTITION:CODEC:LEVEL:SET… | \
    read BROKERS TOPIC PARTITION:COUNT… | produce BROKERS TOPIC RECORDS SIZE CODEC LINGER_MS BATCH_BYTES | \
    spread BROKERS TOPIC RECORDS SIZE CODEC LINGER_MS BATCH_BYTES PARTITIONS | \
    tasks BROKERS TOPIC RECORDS SIZE CODEC LINGER_MS BATCH_BYTES TASKS here|spawned cold|warm | \
    consume BROKERS TOPIC PARTITIONS RECORDS | stream BROKERS TOPIC PARTITIONS RECORDS | \
    latency BROKERS TOPIC RECORDS SIZE";

pub(crate) enum Task {
    Version,
    Write {
        brokers: String,
        topic: String,
        batches: Vec<Batch>,
    },
    Read {
        brokers: String,
        topic: String,
        readings: Readings,
    },
    Produce(Load),
    Tasks(Load, Tasks),
    Consume {
        brokers: String,
        topic: String,
        partitions: i32,
        records: usize,
        as_stream: bool,
    },
    Latency(Load),
}

impl Task {
    pub(crate) fn from_args() -> Result<Self> {
        let mut args = env::args().skip(1);
        let mut word = || args.next().ok_or(USAGE);
        let command = word()?;
        if command == "version" {
            return Ok(Self::Version);
        }
        let (brokers, topic) = (word()?, word()?);
        match command.as_str() {
            "write" => Ok(Self::Write {
                brokers,
                topic,
                batches: args.map(|arg| arg.parse()).collect::<Result<_>>()?,
            }),
            "read" => Ok(Self::Read {
                brokers,
                topic,
                readings: Readings::parse(args)?,
            }),
            "produce" | "spread" | "tasks" | "latency" => {
                let (records, size) = (word()?.parse()?, word()?.parse()?);
                let mut load = Load::new(brokers, topic, records, size);
                if command == "latency" {
                    return Ok(Self::Latency(load));
                }
                load.codec = word()?.parse()?;
                load.linger = Duration::from_millis(word()?.parse()?);
                load.batch_bytes = word()?.parse()?;
                if command == "spread" {
                    load.spread = Some(word()?.parse()?);
                }
                if command == "tasks" {
                    let tasks = Tasks {
                        count: word()?.parse()?,
                        spawned: word()? == "spawned",
                        warm: word()? == "warm",
                    };
                    return Ok(Self::Tasks(load, tasks));
                }
                Ok(Self::Produce(load))
            }
            "consume" | "stream" => Ok(Self::Consume {
                brokers,
                topic,
                partitions: word()?.parse()?,
                records: word()?.parse()?,
                as_stream: command == "stream",
            }),
            _ => Err(USAGE.into()),
        }
    }
}

/// Who sends a load with one producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tasks {
    pub count: usize,
    /// Whether they are tasks of the runtime, or futures in its `block_on`.
    pub spawned: bool,
    /// Whether the topic is known before they begin, by a first record.
    pub warm: bool,
}

/// The codecs, by their names in Kafka's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Codec {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// As in `compression.type`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl FromStr for Codec {
    type Err = Box<dyn std::error::Error + Send + Sync>;

    fn from_str(name: &str) -> Result<Self> {
        let codec = Self::ALL.into_iter().find(|codec| codec.name() == name);
        codec.ok_or_else(|| format!("no codec {name:?}").into())
    }
}

/// What to write to a partition, and how: `PARTITION:CODEC:LEVEL:SET`, with `-` for a codec's own default level.
#[derive(Clone, Debug)]
pub struct Batch {
    pub partition: i32,
    pub codec: Codec,
    /// In the client's own numbers.
    pub level: Option<i32>,
    /// The name of a set of records.
    pub set: String,
}

impl Batch {
    /// The set's records.
    ///
    /// # Errors
    /// There is no such set.
    pub fn records(&self) -> Result<Vec<Record>> {
        records::of(&self.set).ok_or_else(|| format!("no set {:?}", self.set).into())
    }
}

impl FromStr for Batch {
    type Err = Box<dyn std::error::Error + Send + Sync>;

    fn from_str(text: &str) -> Result<Self> {
        let words: Vec<&str> = text.split(':').collect();
        let [partition, codec, level, set] = words[..] else {
            return Err(USAGE.into());
        };
        Ok(Self {
            partition: partition.parse()?,
            codec: codec.parse()?,
            level: match level {
                "-" => None,
                level => Some(level.parse()?),
            },
            set: set.to_owned(),
        })
    }
}

impl std::fmt::Display for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let level = self.level.map_or("-".to_owned(), |level| level.to_string());
        let (partition, codec, set) = (self.partition, self.codec.name(), &self.set);
        write!(f, "{partition}:{codec}:{level}:{set}")
    }
}
