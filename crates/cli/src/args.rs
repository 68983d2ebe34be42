//! The command line: what can be asked for, and nothing about how it is done.
//!
//! Flags are kcat's where kcat has them.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{NonEmptyStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum, value_parser};
use ottla_fake::Release;

use crate::consume::{Start, Wanted};
use crate::groups::Groups;
use crate::text::Text;
use crate::verifiable::{VerifiableConsumer, VerifiableProducer};

/// Produce, consume and look after Kafka from a terminal.
///
/// Data goes to stdout, everything else to stderr. Exit status 0 means that all of it worked, 1 that
/// not, 2 that the command line makes no sense, 130 or 143 that SIGINT or SIGTERM came before it was
/// done.
#[derive(Debug, Parser)]
#[command(name = "ottla", version, max_term_width = 100, verbatim_doc_comment)]
pub(crate) struct CommandLine {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Produce one record a line, from files or from stdin
    ///
    /// A record that is too large is an error, and the others go on; after any other failure nothing
    /// more is sent. SIGINT or SIGTERM ends the input where it is; a line that has not come to its end
    /// by then is not sent. What was taken in is waited for; a second signal gives up on that.
    #[command(verbatim_doc_comment)]
    Produce(Produce),
    /// Consume records and print them
    ///
    /// Without -c and -e it ends with SIGINT or SIGTERM, and that is no failure.
    Consume(Consume),
    /// List, describe, create and delete topics
    #[command(subcommand)]
    Topics(Topics),
    /// List, describe and delete groups, and set where they go on
    #[command(subcommand)]
    Groups(Groups),
    /// Run a fake cluster on 127.0.0.1, for tests; it ends on SIGINT or SIGTERM
    Fake(Fake),
    /// Produce and consume on a cluster inside this process, faults included, and check the outcome
    Demo(Demo),
    /// Measure a cluster and this client; prints one line of JSON
    #[command(subcommand)]
    Bench(Bench),
    /// Produce numbers and report each as an event, as Kafka's system tests expect it of a producer
    VerifiableProducer(VerifiableProducer),
    /// Consume as a member of a group and report it as events, as Kafka's system tests expect it of a consumer
    VerifiableConsumer(VerifiableConsumer),
}

/// How to reach a cluster.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Common {
    /// Brokers to begin with: HOST:PORT, several separated by commas [env: OTTLA_BROKERS]
    #[arg(short, long, value_name = "HOST:PORT,…")]
    pub(crate) brokers: Option<String>,
    /// Set a client property, by its name in Java or librdkafka; repeatable
    #[arg(short = 'X', long = "property", value_name = "NAME=VALUE")]
    pub(crate) properties: Vec<Pair>,
    /// Read client properties from a file [env: OTTLA_CONFIG]
    #[arg(short = 'F', long = "properties-file", value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

/// How much is said on stderr.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Verbosity {
    /// Log what the client does, to stderr; twice for more
    #[arg(short, long, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Nothing but errors on stderr: no progress, no warnings, no summary
    #[arg(short, long, overrides_with = "quiet")]
    pub(crate) quiet: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Produce {
    /// The topic to produce to
    #[arg(short, long, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) topic: String,
    /// Files to read; stdin if none is given, or for `-`
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The partition for all records, instead of the partitioner's choice
    #[arg(short, long, value_name = "N", value_parser = value_parser!(i32).range(0..), allow_negative_numbers = true)]
    pub(crate) partition: Option<i32>,
    /// What stands between key and value; a record without it has no key. Knows \n, \t, \xNN
    #[arg(short = 'K', long, value_name = "DELIM", value_parser = Text::nonempty)]
    pub(crate) key_delimiter: Option<Text>,
    /// One key for all records
    #[arg(short = 'k', long, conflicts_with = "key_delimiter")]
    pub(crate) key: Option<String>,
    /// Make empty values, and with -K empty keys, null
    #[arg(short = 'Z', long, overrides_with = "null")]
    pub(crate) null: bool,
    /// Add a header to every record; repeatable. Without `=` its value is null
    #[arg(short = 'H', long = "header", value_name = "NAME=VALUE")]
    pub(crate) headers: Vec<String>,
    /// What ends a record
    #[arg(short = 'D', long, value_name = "DELIM", default_value = "\\n", value_parser = Text::nonempty)]
    pub(crate) delimiter: Text,
    /// How batches are compressed
    #[arg(short = 'z', long, value_name = "CODEC")]
    pub(crate) compression: Option<Codec>,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Args, Debug)]
pub(crate) struct Consume {
    /// Topics, separated by commas; or a pattern that begins with ^, matched once at the start, or with -G
    /// again and again; repeatable
    #[arg(short, long = "topic", value_name = "TOPIC,…", required = true)]
    pub(crate) topics: Vec<Wanted>,
    /// Consume as a member of this group, which shares the partitions out among its members. What is
    /// printed is committed: every 5 seconds, before a partition goes to another member, and at the end;
    /// not at all with -X enable.auto.commit=false. Without -G, nothing ever is
    #[arg(short = 'G', long, value_name = "GROUP", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) group: Option<String>,
    /// One partition only
    #[arg(short, long, value_name = "N", value_parser = value_parser!(i32).range(0..), allow_negative_numbers = true, conflicts_with = "group")]
    pub(crate) partition: Option<i32>,
    /// Where to start: beginning, end, stored (what -X group.id=… has committed), an offset N, -N records
    /// before the end, or s@MILLIS for the first record at or after a time. With -G: beginning or end, for
    /// partitions of which the group has committed nothing, or stored, which is an error for those
    #[arg(
        short,
        long,
        value_name = "WHERE",
        default_value = "beginning",
        allow_hyphen_values = true
    )]
    pub(crate) offset: Start,
    /// Stop after this many records
    #[arg(short, long, value_name = "N", value_parser = natural(), allow_negative_numbers = true)]
    pub(crate) count: Option<u64>,
    /// Stop at the end of the partitions as it was at the start
    #[arg(short = 'e', long, overrides_with = "exit")]
    pub(crate) exit: bool,
    /// What is printed of each record: %t topic, %p partition, %o offset, %k key, %K its length, %s value,
    /// %S its length (-1: null), %R the same as 4 bytes, %T timestamp in ms, %h headers, %% a percent sign,
    /// \n, \r, \t, \\, \xNN
    #[arg(short, long, default_value = "%s\\n", conflicts_with = "json")]
    pub(crate) format: crate::consume::Format,
    /// Print one JSON object a line: topic, partition, offset, tstype, ts, headers, key, payload. Bytes that
    /// are not UTF-8 appear as {"base64":"…"} where a string would stand
    #[arg(short = 'J', long, overrides_with = "json")]
    pub(crate) json: bool,
    /// Whether records of transactions that are not committed are seen
    #[arg(long, value_name = "LEVEL")]
    pub(crate) isolation: Option<Isolation>,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Topics {
    /// List the topics
    List {
        #[command(flatten)]
        common: Common,
        /// Print JSON
        #[arg(long, overrides_with = "json")]
        json: bool,
    },
    /// Describe topics and their partitions; all topics if none is named
    Describe {
        /// Topics
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        #[command(flatten)]
        common: Common,
        /// Print JSON
        #[arg(long, overrides_with = "json")]
        json: bool,
    },
    /// Create a topic
    Create {
        /// The topic
        #[arg(value_name = "NAME")]
        name: String,
        /// How many partitions; the brokers' default if left out
        #[arg(long, value_name = "N", value_parser = value_parser!(i32).range(1..), allow_negative_numbers = true)]
        partitions: Option<i32>,
        /// How many replicas each partition has; the brokers' default if left out
        #[arg(long, value_name = "R", value_parser = value_parser!(i16).range(1..), allow_negative_numbers = true)]
        replication_factor: Option<i16>,
        /// Set one of the topic's configs; repeatable
        #[arg(long = "config", value_name = "NAME=VALUE")]
        configs: Vec<Pair>,
        #[command(flatten)]
        common: Common,
        /// Print JSON
        #[arg(long, overrides_with = "json")]
        json: bool,
    },
    /// Delete topics with all their records
    Delete {
        /// Topics
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
        #[command(flatten)]
        common: Common,
        /// Print JSON
        #[arg(long, overrides_with = "json")]
        json: bool,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Fake {
    /// How many brokers
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u16).range(1..=100), allow_negative_numbers = true)]
    pub(crate) brokers: u16,
    /// The first broker's port; the others take the next ones. 0: any free ports
    #[arg(
        long,
        value_name = "P",
        default_value_t = 9092,
        allow_negative_numbers = true
    )]
    pub(crate) port: u16,
    /// Create a topic; repeatable
    #[arg(long = "topic", value_name = "NAME:PARTITIONS")]
    pub(crate) topics: Vec<TopicPartitions>,
    /// Acknowledge what is produced without keeping it, to measure clients and not the cluster
    #[arg(long, overrides_with = "sink")]
    pub(crate) sink: bool,
    /// Put so many records into each topic, to be consumed
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = natural(), allow_negative_numbers = true)]
    pub(crate) records: u64,
    /// The size of such a record's value
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = value_parser!(u32).range(..=1_000_000), allow_negative_numbers = true)]
    pub(crate) size: u32,
    /// How batches of such records are compressed
    #[arg(short = 'z', long, value_name = "CODEC")]
    pub(crate) compression: Option<Codec>,
    /// Serve what the brokers of a release serve: 2.1, 2.4, 3.0 or 4.3
    #[arg(long, value_name = "V", default_value_t)]
    pub(crate) release: Release,
    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// The file whose lines to send, stdin for `-`; generated text if left out
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) verbosity: Verbosity,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Produce records as fast as they are acknowledged
    Produce {
        #[command(flatten)]
        load: Load,
        /// How batches are compressed
        #[arg(short = 'z', long, value_name = "CODEC")]
        compression: Option<Codec>,
        /// How long a batch waits for more records, in milliseconds
        #[arg(long, value_name = "MS", value_parser = natural(), allow_negative_numbers = true)]
        linger: Option<u64>,
        /// How large a batch grows, in bytes
        #[arg(long, value_name = "BYTES", value_parser = natural(), allow_negative_numbers = true)]
        batch: Option<u64>,
    },
    /// Consume records from the beginning
    Consume {
        #[command(flatten)]
        load: Load,
        /// Accepted for symmetry; the records are as they were produced
        #[arg(short = 'z', long, value_name = "CODEC", hide = true)]
        compression: Option<Codec>,
    },
    /// Send one record at a time, each acknowledged before the next
    Latency {
        #[command(flatten)]
        load: Load,
    },
}

/// What a measurement is made with.
#[derive(Args, Debug)]
pub(crate) struct Load {
    /// The topic
    #[arg(short, long, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) topic: String,
    /// How many records
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = natural(), allow_negative_numbers = true)]
    pub(crate) records: u64,
    /// The size of a record's value
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = natural(), allow_negative_numbers = true)]
    pub(crate) size: u64,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// A `name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// A `NAME:PARTITIONS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicPartitions {
    pub(crate) name: String,
    pub(crate) partitions: i32,
}

/// How batches are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// Which records of transactions are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Isolation {
    #[value(name = "read_uncommitted", alias = "read-uncommitted")]
    ReadUncommitted,
    #[value(name = "read_committed", alias = "read-committed")]
    ReadCommitted,
}

impl CommandLine {
    /// What this process was called with.
    ///
    /// # Errors
    ///
    /// The help and the version, if that is what was asked for; and what makes no sense.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        Self::of(std::env::args_os())
    }

    fn of(
        arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> Result<Self, clap::Error> {
        let line = Self::try_parse_from(arguments)?;
        if let Command::Fake(fake) = &line.command
            && fake.port.checked_add(fake.brokers - 1).is_none()
        {
            let text = format!(
                "{} brokers from port {} on: there is no port above {}",
                fake.brokers,
                fake.port,
                u16::MAX
            );
            return Err(Self::command().error(ErrorKind::ValueValidation, text));
        }
        if let Command::Consume(consume) = &line.command
            && consume.group.is_some()
            && !matches!(
                consume.offset,
                Start::Beginning | Start::End | Start::Stored
            )
        {
            let text =
                "with -G, -o takes beginning, end or stored: `groups reset-offsets` sets offsets";
            return Err(Self::command().error(ErrorKind::ArgumentConflict, text));
        }
        Ok(line)
    }

    /// How much is to be said, wherever that was asked for.
    pub(crate) fn verbosity(&self) -> Verbosity {
        let later = match &self.command {
            Command::Produce(produce) => produce.common.verbosity,
            Command::Consume(consume) => consume.common.verbosity,
            Command::Topics(topics) => topics.common().verbosity,
            Command::Groups(groups) => groups.common().verbosity,
            Command::Fake(fake) => fake.verbosity,
            Command::Demo(demo) => demo.verbosity,
            Command::Bench(bench) => bench.load().common.verbosity,
            Command::VerifiableProducer(producer) => producer.tool.verbosity(),
            Command::VerifiableConsumer(consumer) => consumer.tool.verbosity(),
        };
        self.common.verbosity.merge(later)
    }
}

impl Topics {
    fn common(&self) -> &Common {
        match self {
            Self::List { common, .. }
            | Self::Describe { common, .. }
            | Self::Create { common, .. }
            | Self::Delete { common, .. } => common,
        }
    }
}

impl Bench {
    fn load(&self) -> &Load {
        match self {
            Self::Produce { load, .. }
            | Self::Consume { load, .. }
            | Self::Latency { load, .. } => load,
        }
    }
}

impl Common {
    /// What was said before the command and what was said after it, as one; the latter wins.
    pub(crate) fn merge(mut self, later: Self) -> Self {
        self.properties.extend(later.properties);
        Self {
            brokers: later.brokers.or(self.brokers),
            properties: self.properties,
            file: later.file.or(self.file),
            verbosity: self.verbosity.merge(later.verbosity),
        }
    }
}

impl Verbosity {
    pub(crate) fn merge(self, later: Self) -> Self {
        Self {
            verbose: self.verbose.saturating_add(later.verbose),
            quiet: self.quiet || later.quiet,
        }
    }
}

impl Codec {
    /// The codec's name as the value of `compression.type`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl Isolation {
    /// The level's name as the value of `isolation.level`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ReadUncommitted => "read_uncommitted",
            Self::ReadCommitted => "read_committed",
        }
    }
}

/// A number that is not negative, and that is called out of range if it is.
fn natural() -> impl TypedValueParser<Value = u64> {
    value_parser!(i64).range(0..).map(i64::unsigned_abs)
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => Ok(Self {
                name: name.trim().to_owned(),
                value: value.to_owned(),
            }),
            _ => Err("expected NAME=VALUE".to_owned()),
        }
    }
}

impl FromStr for TopicPartitions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, partitions) = text.rsplit_once(':').unwrap_or((text, "1"));
        let partitions = partitions
            .parse()
            .ok()
            .filter(|count| (1..=10_000).contains(count));
        match partitions {
            Some(partitions) if !name.is_empty() => Ok(Self {
                name: name.to_owned(),
                partitions,
            }),
            _ => Err("expected NAME:PARTITIONS with 1 to 10000 partitions".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<CommandLine, clap::Error> {
        CommandLine::of(line.split(' '))
    }

    #[test]
    fn the_definition_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn common_options_stand_before_or_after_the_command() {
        let line = parse("ottla -b a:1 -X x=1 -v produce -b b:2 -X y=2=3 -vq -t t f g").unwrap();
        let Command::Produce(produce) = line.command else {
            panic!("not produce")
        };
        let common = line.common.merge(produce.common);
        assert_eq!(common.brokers.as_deref(), Some("b:2"));
        let pairs: Vec<_> = common
            .properties
            .iter()
            .map(|p| (&*p.name, &*p.value))
            .collect();
        assert_eq!(pairs, [("x", "1"), ("y", "2=3")]);
        assert_eq!(
            (common.verbosity.verbose, common.verbosity.quiet),
            (2, true)
        );
        assert_eq!(produce.files, [PathBuf::from("f"), PathBuf::from("g")]);
    }

    #[test]
    fn an_offset_may_be_negative() {
        let line = parse("ottla consume -t t -o -10 -c 3 -e").unwrap();
        let Command::Consume(consume) = line.command else {
            panic!("not consume")
        };
        assert_eq!(consume.offset, Start::BeforeEnd(10));
        assert_eq!((consume.count, consume.exit), (Some(3), true));
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "ottla",
            "ottla produce",
            "ottla produce -t t -p -1",
            "ottla produce -t t -X nonsense",
            "ottla produce -t t -z brotli",
            "ottla produce -t t -k a -K :",
            "ottla consume -t t -J -f %s",
            "ottla consume -t t -o sometime",
            "ottla consume -t ,",
            "ottla consume -t t -t ^(",
            "ottla consume -t t -G g -o 5",
            "ottla consume -t t -G g -p 0",
            "ottla fake --brokers 0",
            "ottla fake --port 65535 --brokers 2",
            "ottla fake --topic t:0",
            "ottla topics delete",
            "ottla groups delete",
            "ottla groups list --state Happy",
            "ottla groups reset-offsets g -t t",
            "ottla groups reset-offsets g --to latest",
            "ottla groups reset-offsets g -t t: --to latest",
            "ottla groups reset-offsets g -t t --to --1",
            "ottla groups delete-offsets g",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn the_last_port_is_one() {
        for line in [
            "ottla fake --port 65535",
            "ottla fake --port 65534 --brokers 2",
        ] {
            assert!(parse(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn a_topic_may_leave_its_partitions_out() {
        let topic: TopicPartitions = "t".parse().unwrap();
        assert_eq!(
            topic,
            TopicPartitions {
                name: "t".into(),
                partitions: 1
            }
        );
    }
}
