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

#[derive(Args, Debug)]
pub(crate) struct VerifiableConsumer {
    /// The topic to consume
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) topic: String,
    /// The group to join
    #[arg(long, value_name = "GROUP", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) group_id: String,
    /// classic or consumer
    #[arg(long, value_name = "PROTOCOL", default_value = "classic")]
    group_protocol: String,
    /// The coordinator's assignor, for the protocol consumer
    #[arg(long, value_name = "NAME")]
    group_remote_assignor: Option<String>,
    /// The lasting id of a static member
    #[arg(long, value_name = "ID")]
    group_instance_id: Option<String>,
    /// How many records to consume; for ever if it is negative
    #[arg(
        long,
        value_name = "N",
        default_value_t = -1,
        allow_negative_numbers = true
    )]
    pub(crate) max_messages: i64,
    /// How long the coordinator waits for a sign of life, in milliseconds
    #[arg(long, value_name = "MILLIS", default_value_t = 30_000)]
    session_timeout: u32,
    /// Report each record
    #[arg(long)]
    pub(crate) verbose: bool,
    /// Have the client commit by itself, instead of after each batch
    #[arg(long)]
    pub(crate) enable_autocommit: bool,
    /// Where to start without a committed offset: earliest, latest, none
    #[arg(long, value_name = "POLICY", default_value = "earliest")]
    reset_policy: String,
    /// Assignors by the names of Java's classes, separated by commas
    #[arg(
        long,
        value_name = "CLASS,…",
        default_value = "org.apache.kafka.clients.consumer.RangeAssignor"
    )]
    assignment_strategy: String,
    /// Properties of the consumer; flags win over them
    #[arg(
        long = "command-config",
        alias = "consumer.config",
        value_name = "FILE"
    )]
    config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) tool: Tool,
}

impl VerifiableConsumer {
    pub(super) fn settings(&self, common: Common, environment: &Environment) -> Result<Settings> {
        let file = self.config.clone();
        let common = common.merge(Common {
            file,
            ..Common::default()
        });
        let mut settings = self.tool.settings(common, environment)?;
        settings.set("group.protocol", self.group_protocol.to_ascii_lowercase());
        if self.group_protocol.eq_ignore_ascii_case("classic") {
            settings.set("partition.assignment.strategy", &self.assignment_strategy);
        } else if let Some(assignor) = &self.group_remote_assignor {
            settings.set("group.remote.assignor", assignor);
        }
        settings.set("group.id", &self.group_id);
        if let Some(id) = &self.group_instance_id {
            settings.set("group.instance.id", id);
        }
        settings.set("session.timeout.ms", self.session_timeout);
        settings.set("enable.auto.commit", self.enable_autocommit);
        settings.set("auto.offset.reset", &self.reset_policy);
        Ok(settings)
    }
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
