//! A Kafka client for Rust: lossless, bounded in memory, close to the hardware.
//!
//! A [`Client`] is the way into one cluster. Everything else is made from it and shares its connections
//! and its view of the cluster.
//!
//! # Errors
//!
//! Everything that can fail gives an [`Error`]. Its [`kind`](Error::kind) has the facts;
//! [`is_retriable`](Error::is_retriable), [`is_fatal`](Error::is_fatal) and
//! [`possibly_written`](Error::possibly_written) say what follows.
//!
//! # Time
//!
//! Deadlines and waits go by tokio's clock, so a test can pause it. The system's clock is read once, when a client is
//! made; [`ClientBuilder::wall_clock`] pins that too.

#![deny(clippy::unwrap_used)]

mod admin;
mod client;
mod config;
mod consumer;
mod env;
mod error;
mod metadata;
mod processing;
mod producer;
mod raw;
mod record;
mod watch;

pub use admin::{
    Admin, BrokerDescription, ClusterDescription, GroupDescription, GroupListing, GroupListings,
    GroupState, GroupType, ListGroups, MemberDescription, NewTopic, OffsetsOf,
    PartitionDescription, TopicDescription, TopicListing,
};
pub use client::{Client, ClientBuilder, ClientMetrics};
pub use config::parse_properties;
pub use consumer::{
    AutoOffsetReset, CloseMode, ConsumedHeader, ConsumedRecord, Consumer, ConsumerBuilder,
    ConsumerHandle, ConsumerHealth, ConsumerMetrics, GroupMetadata, HeaderView, Headers,
    IntoRecords, IsolationLevel, MemberState, OffsetAndMetadata, OffsetAndTimestamp, PendingCommit,
    Rebalance, RebalanceKind, Rebalances, RecordBatch, RecordStream, RecordView, Records,
    StartFrom,
};
pub use env::CpuWork;
pub use error::{BrokerError, ConnectionFault, Error, ErrorKind, Result};
/// Who gets which partition: the strategies there are, and what one of your own needs.
pub use ottla_assignor as assignor;
pub use ottla_cluster::TopicPartition;
pub use ottla_connection::{
    BoxFuture, BoxStream, Connector, Pem, Sasl, SaslMechanism, TcpConnector, Tls, TlsVersion,
};
pub use processing::{
    DeadLetters, Failure, FailureCause, ProcessingOrder, Processor, ProcessorEvent,
    ProcessorHandle, ProcessorMetrics, StopReason, Verdict,
};
pub use producer::{
    Acks, Compression, Delivery, Partitioner, Producer, ProducerBuilder, ProducerMetrics,
};
pub use record::{Header, Record, RecordMetadata};

/// The examples in the readmes, the workspace's and this crate's, as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
#[doc = include_str!("../README.md")]
struct Readme;
