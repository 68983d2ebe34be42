//! Java's flags.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, value_parser};

use crate::args::{Common, Verbosity};
use crate::failure::Result;
use crate::settings::{Environment, Settings};

#[derive(Args, Debug)]
pub(crate) struct VerifiableProducer {
    /// The topic to produce to
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) topic: String,
    /// How many records to send; all there are numbers for if it is negative
    #[arg(
        long,
        value_name = "N",
        default_value_t = -1,
        allow_negative_numbers = true
    )]
    pub(crate) max_messages: i64,
    /// How many records to send a second, about; as many as possible if it is negative
    #[arg(
        long,
        value_name = "N",
        default_value_t = -1,
        allow_negative_numbers = true
    )]
    pub(crate) throughput: i64,
    /// Which replicas acknowledge: -1 (all in sync), 1 (the leader), 0 (none)
    #[arg(
        long,
        value_name = "N",
        default_value_t = -1,
        value_parser = value_parser!(i16).range(-1..=1),
        allow_negative_numbers = true
    )]
    pub(crate) acks: i16,
    /// The first record's timestamp in milliseconds since 1970, later ones' further and further behind it;
    /// the time of sending if it is negative
    #[arg(
        long,
        value_name = "MILLIS",
        default_value_t = -1,
        allow_negative_numbers = true
    )]
    pub(crate) message_create_time: i64,
    /// A number that stands before each value, with a dot between them
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) value_prefix: Option<i32>,
    /// Give records the keys 0 to N-1, over and over; without it they have none
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub(crate) repeating_keys: Option<u64>,
    /// Properties of the producer; they win over flags
    #[arg(
        long = "command-config",
        alias = "producer.config",
        value_name = "FILE"
    )]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) tool: Tool,
}

/// What Java's tools have in common.
#[derive(Args, Clone, Debug)]
pub(crate) struct Tool {
    /// Brokers to begin with: HOST:PORT, several separated by commas
    #[arg(long, alias = "broker-list", value_name = "HOST:PORT,…")]
    bootstrap_server: Option<String>,
    /// Log what the client does, to stderr
    #[arg(long)]
    debug: bool,
}

impl Tool {
    pub(crate) fn verbosity(&self) -> Verbosity {
        Verbosity {
            verbose: if self.debug { 2 } else { 0 },
            quiet: false,
        }
    }

    pub(super) fn settings(&self, common: Common, environment: &Environment) -> Result<Settings> {
        let brokers = self.bootstrap_server.clone();
        let verbosity = self.verbosity();
        let later = Common {
            brokers,
            verbosity,
            ..Common::default()
        };
        Settings::of(&common.merge(later), environment)
    }
}
