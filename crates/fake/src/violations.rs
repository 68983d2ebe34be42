//! What the cluster noticed by itself that a correct client does not do.

use ottla_codec::{ApiKey, DecodeError, EncodeError};
use snafu::Snafu;

/// Something a correct client does not send.
///
/// A violation is a finding, not a failure: the request was answered as Kafka answers it. A test that provokes one on
/// purpose expects it in [`FakeCluster::violations`](crate::FakeCluster::violations).
#[derive(Clone, Debug, PartialEq, Eq, Snafu)]
#[non_exhaustive]
pub enum Violation {
    /// A frame whose header cannot be read; the connection was closed.
    #[snafu(display("broker {broker}: unreadable request: {error}"))]
    Unreadable {
        /// The broker.
        broker: i32,
        /// What is wrong.
        error: DecodeError,
    },
    /// A request whose body cannot be read; the connection was closed.
    #[snafu(display("{api:?} v{version} cannot be read: {error}"))]
    Undecodable {
        /// The API.
        api: ApiKey,
        /// The version.
        version: i16,
        /// What is wrong.
        error: DecodeError,
    },
    /// Bytes behind a request's body; it was answered nevertheless, as brokers do.
    #[snafu(display("{extra} bytes behind {api:?} v{version}"))]
    TrailingBytes {
        /// The API.
        api: ApiKey,
        /// The version.
        version: i16,
        /// How many.
        extra: usize,
    },
    /// A response (a rule's, as a rule) that its version cannot express; the connection was closed.
    #[snafu(display("the answer to {api:?} v{version} cannot be written: {error}"))]
    Unanswerable {
        /// The API.
        api: ApiKey,
        /// The version.
        version: i16,
        /// What is wrong.
        error: EncodeError,
    },
    /// An API or version that was not advertised.
    #[snafu(display("{api:?} v{version} is not served"))]
    NotServed {
        /// The API.
        api: ApiKey,
        /// The version.
        version: i16,
    },
    /// A request before the client has said who it is, or after the broker wanted to know it again.
    #[snafu(display("{api:?} at broker {broker} of a client that is not authenticated"))]
    Unauthenticated {
        /// The broker.
        broker: i32,
        /// The API.
        api: ApiKey,
    },
    /// More or fewer than one record batch for a partition in one Produce request.
    #[snafu(display("{topic}-{partition}: not exactly one batch"))]
    NotOneBatch {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// A batch that a broker refuses: checksum, counts, offsets or records are wrong.
    #[snafu(display("{topic}-{partition}: invalid batch: {reason:?}"))]
    InvalidBatch {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// What is wrong.
        reason: InvalidBatch,
    },
    /// A batch that leaves out sequences, or repeats some that are not a remembered batch; it was refused.
    #[snafu(display(
        "{topic}-{partition}: producer {producer_id} epoch {epoch} sent sequence {sequence}, expected {expected}"
    ))]
    OutOfOrderSequence {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The producer.
        producer_id: i64,
        /// Its epoch.
        epoch: i16,
        /// The batch's first sequence.
        sequence: i32,
        /// The only one that would have been accepted.
        expected: i32,
    },
    /// A producer that is new to the partition did not begin with sequence 0. Brokers accept that, so whatever came
    /// before is lost or will be out of order.
    #[snafu(display(
        "{topic}-{partition}: new producer {producer_id} begins with sequence {sequence}"
    ))]
    FirstSequenceNotZero {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The producer.
        producer_id: i64,
        /// The batch's first sequence.
        sequence: i32,
    },
    /// A retry under a remembered batch's sequences whose records are not the same bytes: the broker reports success
    /// for records that it never stored.
    #[snafu(display(
        "{topic}-{partition}: producer {producer_id} retried sequence {sequence} with other records"
    ))]
    RetryDiffers {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The producer.
        producer_id: i64,
        /// The batch's first sequence.
        sequence: i32,
    },
    /// An epoch older than the producer's newest.
    #[snafu(display(
        "{topic}-{partition}: producer {producer_id} sent epoch {epoch}, newest is {newest}"
    ))]
    StaleProducerEpoch {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The producer.
        producer_id: i64,
        /// The epoch sent.
        epoch: i16,
        /// The newest epoch seen in the partition.
        newest: i16,
    },
    /// A producer id that this cluster never gave out.
    #[snafu(display("{topic}-{partition}: producer id {producer_id} was never assigned"))]
    UnassignedProducerId {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The producer.
        producer_id: i64,
    },
    /// A leader has assigned one partition to two members.
    #[snafu(display(
        "group {group:?}, generation {generation}: {topic}-{partition} is assigned to both {} and {}", members[0], members[1]
    ))]
    AssignedTwice {
        /// The group.
        group: String,
        /// The generation.
        generation: i32,
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The members' ids.
        members: [String; 2],
    },
    /// A leader has assigned a partition to a member while another still had it, by what that one said when it joined.
    #[snafu(display(
        "group {group:?}, generation {generation}: {topic}-{partition} is assigned to {member} while {owner} has it"
    ))]
    AssignedWhileOwned {
        /// The group.
        group: String,
        /// The generation.
        generation: i32,
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The member that had it in the generation before.
        owner: String,
        /// The member that was assigned it.
        member: String,
    },
    /// A member of a group of consumers has committed an offset of a partition that it has not; it was stored.
    #[snafu(display("group {group:?}: {member} commits {topic}-{partition}, which it has not"))]
    CommitOfOthers {
        /// The group.
        group: String,
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The member's id.
        member: String,
    },
}

/// What makes a batch invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidBatch {
    /// The length or the magic byte cannot be right.
    Malformed,
    /// An older format than v2.
    OldMagic,
    /// The checksum does not match.
    Checksum,
    /// The base offset is not 0.
    BaseOffset,
    /// The record count is not what the offsets say, or is not positive.
    Count,
    /// A control batch.
    Control,
    /// A producer id without a sequence.
    MissingSequence,
    /// Records that cannot be decompressed or read, or not in the number the header says.
    Records,
    /// The timestamp type is the broker's to set.
    TimestampType,
    /// The largest timestamp in the header is not that of the records.
    MaxTimestamp,
}
