//! What can go wrong with the cluster itself, as opposed to what it answers to clients.

use std::io;

use snafu::Snafu;

/// A failure of the test handle or of starting a cluster.
#[derive(Debug, Snafu)]
#[snafu(visibility(pub(crate)))]
#[non_exhaustive]
pub enum FakeError {
    /// The cluster has been shut down.
    #[snafu(display("the cluster has been shut down"))]
    Stopped,
    /// There is no such topic.
    #[snafu(display("no topic {topic:?}"))]
    UnknownTopic {
        /// The topic asked for.
        topic: String,
    },
    /// The topic has no such partition.
    #[snafu(display("topic {topic:?} has no partition {partition}"))]
    UnknownPartition {
        /// The topic asked for.
        topic: String,
        /// The partition asked for.
        partition: i32,
    },
    /// There is no such broker.
    #[snafu(display("no broker {broker}"))]
    UnknownBroker {
        /// The broker asked for.
        broker: i32,
    },
    /// The broker is not running.
    #[snafu(display("broker {broker} is not running"))]
    BrokerDown {
        /// The broker asked for.
        broker: i32,
    },
    /// A topic exists already.
    #[snafu(display("topic {topic:?} exists already"))]
    TopicExists {
        /// The topic.
        topic: String,
    },
    /// A topic's name, number of partitions, replication factor or setting is one that Kafka refuses.
    #[snafu(display("topic {topic:?} cannot be created: {reason}"))]
    InvalidTopic {
        /// The topic.
        topic: String,
        /// What is wrong, in Kafka's words.
        reason: String,
    },
    /// There is no such group.
    #[snafu(display("no group {group:?}"))]
    UnknownGroup {
        /// The group asked for.
        group: String,
    },
    /// The group has no such member.
    #[snafu(display("group {group:?} has no member {member:?}"))]
    UnknownMember {
        /// The group asked for.
        group: String,
        /// The member asked for.
        member: String,
    },
    /// The brokers' certificate cannot be used.
    #[snafu(display("the brokers' certificate cannot be used: {reason}"))]
    Certificate {
        /// The reason.
        reason: String,
    },
    /// The builder asked for no broker at all.
    #[snafu(display("a cluster needs at least one broker"))]
    NoBrokers,
    /// A listener could not be opened.
    #[snafu(display("cannot listen on 127.0.0.1:{port}"))]
    Listen {
        /// The port; 0 when any would have done.
        port: u16,
        /// What the operating system said.
        source: io::Error,
    },
    /// A compressed batch could not be read or written.
    #[snafu(display("a stored batch of {topic:?}-{partition} at offset {offset} cannot be read"))]
    Unreadable {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The batch's base offset.
        offset: i64,
    },
}
