//! A Kafka cluster inside your process, for tests: the real protocol, Kafka 4.3's semantics, injectable faults.
//!
//! Clients reach it over TCP on 127.0.0.1, whatever language they are written in, or over in-memory pipes, where
//! tokio's paused clock works and a run repeats itself exactly. What is in the logs, which requests arrived, and what
//! a correct client would not have sent, can be read without trusting any client.
//!
//! ```
//! use ottla_codec::messages::{produce::ProduceRequest, fetch::FetchRequest};
//! use ottla_codec::ErrorCode;
//! use ottla_fake::{FakeCluster, Record};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), ottla_fake::FakeError> {
//! let cluster = FakeCluster::builder().brokers(3).topic("orders", 6).start().await?;
//! println!("bootstrap.servers={}", cluster.bootstrap_servers());
//!
//! // Records that are there before any client comes.
//! cluster.append("orders", 0, [Record::new("k", "v")]).await?;
//! assert_eq!(cluster.log("orders", 0).await?[0].offset, 0);
//!
//! // The next two produces are applied, but their answers are lost with the connection.
//! cluster.on::<ProduceRequest>().times(2).apply_then_close();
//! // Broker 2 refuses one fetch.
//! cluster.on::<FetchRequest>().broker(2).error(ErrorCode::NotLeaderOrFollower);
//! // Partition 0 gets another leader, which needs a moment to notice.
//! cluster.move_leader_slowly("orders", 0, 2, std::time::Duration::from_millis(200)).await?;
//!
//! // … run the client under test …
//!
//! assert_eq!(cluster.violations().await?, []);
//! # Ok(())
//! # }
//! ```
//!
//! # What it is
//! One task owns all state; connections are dumb, and each is served one request at a time, as brokers do. One log per
//! partition stands for all replicas, so replication is instant unless a test holds it back. Nothing is written to
//! disk. Brokers speak [TLS](FakeClusterBuilder::tls) and ask for
//! [passwords](FakeClusterBuilder::sasl_user) if they are told to; there are no ACLs and no quota, and there is no transaction coordinator yet. Groups are classic ones; their
//! timers are Kafka's, the three seconds before a group's first generation included, unless the builder sets others.
//!
//! # Where it differs
//! Codes, offsets, epochs, the order of answers, and when they come, are compared with a 4.3.0 broker's by scripts of
//! raw requests. What is left:
//! - a Produce without any record bytes is refused with INVALID_RECORD; 4.3.0 never answers it;
//! - a log is one segment: a fetch may answer with more batches than a broker's, which ends where a segment ends, and
//!   the largest timestamp is that of the records that are left, where a broker may still name one below the log start;
//! - [`compact`](FakeCluster::compact) and [`apply_retention`](FakeCluster::apply_retention) act when they are called,
//!   on single batches; a broker acts in its own time, on whole segments, and spares the active one;
//! - when fetch sessions run out, the one used longest ago goes if it is smaller than the new one, however young it is;
//! - where a broker takes the next of a hash map (a new leader, a protocol among those with as many votes), the first by
//!   name is taken here;
//! - a consumer's subscription that cannot be read is taken as it is; a broker never answers those that join with it;
//! - a broker that comes back coordinates the groups again that it had before; committed offsets and empty groups do not
//!   expire;
//! - features of what is not served here (share groups, streams groups) are not among those of ApiVersions;
//! - texts of error messages are not Kafka's.
//!
//! # Older brokers
//! With [`release`](FakeClusterBuilder::release) the cluster plays an older [`Release`]: of the APIs and versions below
//! it serves those that the release has, and closes the connection on others, as its brokers do. Where a release
//! behaves otherwise at the same version, it does so too:
//! - before 4.3 only the controller creates, grows and deletes topics (NOT_CONTROLLER elsewhere), ApiVersions tells no
//!   features, and a sync while its group is being loaded gets REBALANCE_IN_PROGRESS;
//! - before 3.0 heartbeats between a join and the sync get REBALANCE_IN_PROGRESS, members that never sync stay, and
//!   static members come back without a rebalance at any time, which is not written to the log; a producer that a
//!   partition does not know must start with sequence 0 (UNKNOWN_PRODUCER_ID), and a topic that Metadata has just
//!   created has no leader rather than being unknown;
//! - before 2.4 the join of a new member waits without end, even if its client has gone; an unknown version of
//!   ApiVersions is refused without a range, refused records are CORRUPT_MESSAGE, and -1 does not stand for a default
//!   number of partitions or replicas.
//!
//! # Replay
//! With [`start_in_memory`](FakeClusterBuilder::start_in_memory), a current-thread runtime, a paused clock, a set
//! [`wall_clock_start_ms`](FakeClusterBuilder::wall_clock_start_ms) and the same
//! [`seed`](FakeClusterBuilder::seed), the same client does the same: [`FakeCluster::requests`] of two runs are equal.
//!
//! # What is served
//! Anything else is answered with UNSUPPORTED_VERSION where its response has one place for an error, and by closing
//! the connection, as brokers do, where it has not; either way it is a [`Violation::NotServed`].
//!
#![doc = include_str!("served.md")]
#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod api;
mod broker;
mod builder;
mod cluster;
mod connection;
mod error;
mod event_loop;
mod faults;
mod groups;
mod handle;
mod log;
mod metadata_view;
mod producers;
mod release;
mod requests;
mod security;
mod state;
mod timers;
mod topic;
mod topic_config;
mod transport;
mod violations;

/// The messages that requests are intercepted by and answered with.
pub use ottla_codec as codec;

pub use broker::DialFault;
pub use builder::{FakeClusterBuilder, TopicSpec};
pub use cluster::{FakeCluster, GroupInfo, GroupMember, OpenTransaction, PartitionInfo};
pub use error::FakeError;
pub use faults::{FailWith, Hold, Interception, RuleBuilder};
pub use groups::{CommittedOffset, GroupState};
pub use log::{Compaction, ControlMarker, LoggedRecord, Record};
pub use release::{Release, UnknownRelease};
pub use requests::LoggedRequest;
pub use security::{Authority, Certificate};
pub use violations::{InvalidBatch, Violation};

/// The examples in the readme, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
