//! What can go wrong, in one type.
//!
//! [`Error`] is cheap to clone, because the fate of a batch is the fate of each of its records. What
//! happened is its [`kind`](Error::kind), with the facts in it; what to do about it is in the predicates.

mod connection;

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ottla_cluster::TopicPartition;
use ottla_codec::ErrorCode;
use snafu::Snafu;

/// A shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate.
///
/// Match on [`kind`](Self::kind) for the facts; ask [`is_retriable`](Self::is_retriable),
/// [`is_fatal`](Self::is_fatal), [`requires_abort`](Self::requires_abort) and
/// [`possibly_written`](Self::possibly_written) for what follows from them.
#[derive(Clone)]
pub struct Error {
    repr: Arc<Repr>,
}

#[derive(Debug)]
struct Repr {
    kind: ErrorKind,
    possibly_written: bool,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Snafu)]
#[snafu(visibility(pub(crate)), context(suffix(false)))]
#[non_exhaustive]
pub enum ErrorKind {
    /// The group's partitions could not be assigned, by this member as the group's leader or to it: an
    /// assignor failed, or somebody's bytes cannot be read. The next call for records tries again.
    #[snafu(display("the group's partitions could not be assigned: {reason}"))]
    AssignmentFailed {
        /// What went wrong, and with whom.
        reason: String,
    },
    /// The broker refused, for a reason that has no kind of its own here.
    #[snafu(display("{api}{} was refused: {}",
        partition.as_ref().map(|p| format!(" for {p}")).unwrap_or_default(),
        code.with_message(message.as_deref())))]
    Broker {
        /// The request that was refused, by Kafka's name for it.
        api: &'static str,
        /// The broker's answer.
        code: BrokerError,
        /// The partition it was about, if it was about one.
        partition: Option<TopicPartition>,
        /// The broker's own words, if it sent any.
        message: Option<String>,
    },
    /// The handle was closed.
    #[snafu(display("the {what} is closed"))]
    Closed {
        /// What was closed.
        what: &'static str,
    },
    /// A connection could not be made, or failed with a request under way.
    #[snafu(display("{message}"))]
    Connection {
        /// What is the matter with it.
        fault: ConnectionFault,
        /// Which broker, which request, and what exactly happened.
        message: String,
    },
    /// Bytes from the broker that are no valid record batch.
    #[snafu(display(
        "corrupt batch in {partition} at offset {offset}; seek past it to go on without it"
    ))]
    CorruptBatch {
        /// The partition.
        partition: TopicPartition,
        /// The position at which the bad batch was met.
        offset: i64,
    },
    /// The producer's id is now used by another producer, or was.
    #[snafu(display("the producer was fenced by a newer one"))]
    Fenced,
    /// Another member with the same instance id has taken this one's place in the group (KIP-345).
    #[snafu(display("instance {instance_id:?} was fenced: another member has its id"))]
    FencedInstance {
        /// The instance id (`group.instance.id`).
        instance_id: String,
    },
    /// The group has members, and what was asked for can only be done to one that has none.
    #[snafu(display(
        "group {group} has members; one that was killed counts until its session times out"
    ))]
    GroupNotEmpty {
        /// The group.
        group: String,
    },
    /// The group works with assignors that this consumer does not have.
    #[snafu(display("the group works with {}, this consumer offers {} (partition.assignment.strategy)",
        chosen.as_deref().unwrap_or("other assignors"), offered.join(", ")))]
    InconsistentGroup {
        /// The assignors of this consumer, by their names in the protocol.
        offered: Vec<String>,
        /// What the group has chosen, where known.
        chosen: Option<String>,
    },
    /// An argument that cannot work.
    #[snafu(display("invalid argument: {reason}"))]
    InvalidArgument {
        /// What is wrong with it.
        reason: String,
    },
    /// A setting that cannot work, alone or beside the others.
    #[snafu(display("invalid configuration of {property}: {reason}"))]
    InvalidConfig {
        /// The property, by its Java name.
        property: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The log was truncated below the position: records that were read here have been lost by the
    /// cluster, after an unclean leader election for instance.
    #[snafu(display("{partition} was truncated: position {position}, but the log now diverges at {}",
        diverging_offset.map_or_else(|| "an unknown offset".to_owned(), |o| o.to_string())))]
    LogTruncated {
        /// The partition.
        partition: TopicPartition,
        /// The position before the truncation was noticed.
        position: i64,
        /// The first offset at which the log is not what it was, if the broker could tell.
        diverging_offset: Option<i64>,
    },
    /// The caller stayed away for longer than `max.poll.interval.ms`: the consumer has left its group, and
    /// others have its partitions. The next call for records brings it back.
    #[snafu(display("{} within {interval:?} (max.poll.interval.ms): the consumer has left its group, \
        and returns to it with the next call",
        if *by_listener { "an assignment was not acknowledged by its listener" } else { "no call for records" }))]
    MaxPollExceeded {
        /// How long the caller may stay away.
        interval: Duration,
        /// Whether it was the [listener](crate::ConsumerHandle::rebalances), which did not acknowledge an
        /// assignment, so that the caller could be given nothing.
        by_listener: bool,
    },
    /// There is no room in the producer's memory right now. Only for calls that do not wait.
    #[snafu(display("the producer's memory is full"))]
    MemoryFull,
    /// A consumer's partitions come either from its group or from the caller, not from both.
    #[snafu(display(
        "a consumer is either subscribed or has its partitions assigned, not both; \
        unsubscribe or unassign first"
    ))]
    MixedAssignment,
    /// Nothing was committed for a partition and the reset policy is "none".
    #[snafu(display("{partition} has no committed offset and no reset policy"))]
    NoOffset {
        /// The partition.
        partition: TopicPartition,
    },
    /// A partition that is not assigned to the consumer, or that its group has given to another by now.
    #[snafu(display("{partition} is not assigned to this consumer, or not any more"))]
    NotAssigned {
        /// The partition.
        partition: TopicPartition,
    },
    /// Access was denied.
    #[snafu(display("not authorised: {code}{}", resource.as_ref().map(|r| format!(" ({r})")).unwrap_or_default()))]
    NotAuthorized {
        /// The broker's answer.
        code: BrokerError,
        /// What access was denied to, where known.
        resource: Option<String>,
    },
    /// The position is outside of the log and the reset policy is "none".
    #[snafu(display(
        "position {position} of {partition} is out of range: the log holds {log_start} to {log_end}"
    ))]
    OffsetOutOfRange {
        /// The partition.
        partition: TopicPartition,
        /// The position that is out of range.
        position: i64,
        /// The first offset that the log holds.
        log_start: i64,
        /// The offset that the log's next record gets.
        log_end: i64,
    },
    /// A record that no setting lets through.
    #[snafu(display("the record takes {size} bytes, more than {limit} ({limit_name})"))]
    RecordTooLarge {
        /// The record's size with its framing, in bytes.
        size: usize,
        /// The limit it is over, in bytes.
        limit: usize,
        /// The limit's name.
        limit_name: &'static str,
    },
    /// A partition was given up to the group before its offset could be committed. Whoever has it now starts
    /// at an earlier commit.
    #[snafu(display("{partition} was given up to the group before its offset could be committed"))]
    Revoked {
        /// The partition.
        partition: TopicPartition,
    },
    /// Time is up.
    #[snafu(display("{operation} did not finish within {:?}", rounded(*after)))]
    Timeout {
        /// What was being done.
        operation: &'static str,
        /// The time it had.
        after: Duration,
    },
    /// A topic was deleted and created again. Offsets and sequences of the old one mean nothing in the new.
    #[snafu(display("topic {topic} was deleted and created again"))]
    TopicRecreated {
        /// The topic.
        topic: String,
    },
    /// No such group.
    #[snafu(display("the cluster has no group {group}"))]
    UnknownGroup {
        /// The group.
        group: String,
    },
    /// No such partition.
    #[snafu(display("topic {topic} has {count} partition{}, there is no partition {partition}",
        if *count == 1 { "" } else { "s" }))]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// The partition that was asked for.
        partition: i32,
        /// How many partitions the topic has.
        count: usize,
    },
    /// A property that nobody knows.
    #[snafu(display("unknown property {name}{}", nearest.map(|n| format!(", did you mean {n}?")).unwrap_or_default()))]
    UnknownProperty {
        /// The property.
        name: String,
        /// The known property that is nearest to it.
        nearest: Option<&'static str>,
    },
    /// No such topic.
    #[snafu(display("the cluster has no topic {topic}"))]
    UnknownTopic {
        /// The topic.
        topic: String,
    },
    /// The broker is too old, or too new, for what was asked.
    #[snafu(display("{feature} needs {needed}, the broker offers {offered}"))]
    Unsupported {
        /// What was asked for.
        feature: String,
        /// The versions it needs.
        needed: String,
        /// The versions the broker offers.
        offered: String,
    },
}

/// What can be the matter with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionFault {
    /// The broker does not accept who this client says it is.
    Authentication,
    /// The broker's certificate has expired.
    CertificateExpired,
    /// The broker's certificate is not accepted, for another reason than those that are named here.
    CertificateInvalid,
    /// The broker's certificate is for other names than the one that was dialled.
    CertificateName,
    /// The broker's certificate is of an authority that is not trusted.
    CertificateUnknownIssuer,
    /// The broker wants a certificate of this client, and none was chosen.
    ClientCertificateMissing,
    /// The broker does not accept this client's certificate.
    ClientCertificateRefused,
    /// The connection closed while an answer was due.
    Closed,
    /// What answers is not a Kafka broker, or garbles its answers.
    NotKafka,
    /// TLS was spoken to a port that does not speak it, or that hangs up on it.
    PlaintextExpected,
    /// Neither a connection nor an answer in time.
    TimedOut,
    /// The broker expects TLS on this port.
    TlsExpected,
    /// Broker and client have no TLS in common, or do not understand each other's.
    TlsFailed,
    /// Nobody could be connected to: no such host, nothing listening, no route.
    Unreachable,
}

impl ConnectionFault {
    /// Whether one side does not accept who the other is, which only somebody can change.
    pub fn is_authentication(self) -> bool {
        match self {
            Self::Authentication
            | Self::CertificateExpired
            | Self::CertificateInvalid
            | Self::CertificateName
            | Self::CertificateUnknownIssuer
            | Self::ClientCertificateMissing
            | Self::ClientCertificateRefused => true,
            Self::Closed
            | Self::NotKafka
            | Self::PlaintextExpected
            | Self::TimedOut
            | Self::TlsExpected
            | Self::TlsFailed
            | Self::Unreachable => false,
        }
    }
}

/// An error code as brokers send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BrokerError(ErrorCode);

impl BrokerError {
    /// The code's number in Kafka's protocol.
    pub fn code(self) -> i16 {
        self.0.code()
    }

    /// Kafka's name for it, `TOPIC_ALREADY_EXISTS` for instance; `UNKNOWN_SERVER_ERROR` for a code that
    /// is newer than this crate.
    ///
    /// # References
    /// <https://kafka.apache.org/protocol#protocol_error_codes>
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// Whether the same request may succeed later.
    pub fn is_retriable(self) -> bool {
        self.0.is_retriable()
    }

    pub(crate) fn error_code(self) -> ErrorCode {
        self.0
    }

    fn with_message(self, message: Option<&str>) -> String {
        match message {
            Some(message) => format!("{self}: {message}"),
            None => self.to_string(),
        }
    }
}

impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<ErrorCode> for BrokerError {
    fn from(code: ErrorCode) -> Self {
        Self(code)
    }
}

impl Error {
    /// What happened.
    pub fn kind(&self) -> &ErrorKind {
        &self.repr.kind
    }

    /// Whether the same call may succeed later without anybody changing anything.
    pub fn is_retriable(&self) -> bool {
        match &self.repr.kind {
            ErrorKind::Broker { code, .. } => code.is_retriable(),
            ErrorKind::Connection { fault, .. } => !fault.is_authentication(),
            ErrorKind::AssignmentFailed { .. }
            | ErrorKind::MaxPollExceeded { .. }
            | ErrorKind::MemoryFull
            | ErrorKind::Timeout { .. } => true,
            _ => false,
        }
    }

    /// Whether the handle that gave this error is of no further use.
    pub fn is_fatal(&self) -> bool {
        matches!(
            self.repr.kind,
            ErrorKind::Closed { .. } | ErrorKind::Fenced | ErrorKind::FencedInstance { .. }
        )
    }

    /// Whether the group has taken partitions from this consumer: what was not committed comes again to whoever has
    /// them now, and going on is all there is to do.
    ///
    /// True of [`Revoked`](ErrorKind::Revoked), of [`NotAssigned`](ErrorKind::NotAssigned), which is what a commit
    /// meets that is later still, and of [`MaxPollExceeded`](ErrorKind::MaxPollExceeded).
    pub fn is_rebalance(&self) -> bool {
        matches!(
            self.repr.kind,
            ErrorKind::Revoked { .. }
                | ErrorKind::NotAssigned { .. }
                | ErrorKind::MaxPollExceeded { .. }
        )
    }

    /// Whether the transaction that this error fell into can only be aborted.
    pub fn requires_abort(&self) -> bool {
        matches!(&self.repr.kind, ErrorKind::Broker { code, .. }
            if code.error_code() == ErrorCode::TransactionAbortable)
    }

    /// Whether the record that was being sent may be in the log all the same.
    ///
    /// False means that it certainly is not: sending it again makes no duplicate.
    pub fn possibly_written(&self) -> bool {
        self.repr.possibly_written
    }

    pub(crate) fn new(kind: ErrorKind) -> Self {
        Self {
            repr: Arc::new(Repr {
                kind,
                possibly_written: false,
                source: None,
            }),
        }
    }

    /// The same error with the error below it.
    #[must_use]
    pub(crate) fn with_source(self, source: impl StdError + Send + Sync + 'static) -> Self {
        let (kind, possibly_written) = (self.repr.kind.clone(), self.repr.possibly_written);
        Self {
            repr: Arc::new(Repr {
                kind,
                possibly_written,
                source: Some(Arc::new(source)),
            }),
        }
    }

    /// The same error, certain or not about whether the record was written.
    #[must_use]
    pub(crate) fn with_possibly_written(self, possibly_written: bool) -> Self {
        if self.repr.possibly_written == possibly_written {
            return self;
        }
        let (kind, source) = (self.repr.kind.clone(), self.repr.source.clone());
        Self {
            repr: Arc::new(Repr {
                kind,
                possibly_written,
                source,
            }),
        }
    }

    /// What a broker's refusal means.
    pub(crate) fn broker(
        api: &'static str,
        code: ErrorCode,
        partition: Option<TopicPartition>,
    ) -> Self {
        Self::new(refusal(api, code, partition))
    }

    /// What a broker's refusal of a topic means.
    pub(crate) fn about_topic(api: &'static str, code: ErrorCode, topic: &str) -> Self {
        Self::about(api, code, "topic", topic)
    }

    /// What a broker's refusal of a group means.
    pub(crate) fn about_group(api: &'static str, code: ErrorCode, group: &str) -> Self {
        let group = group.to_owned();
        match code {
            ErrorCode::GroupIdNotFound => Self::new(ErrorKind::UnknownGroup { group }),
            ErrorCode::NonEmptyGroup => Self::new(ErrorKind::GroupNotEmpty { group }),
            _ => Self::about(api, code, "group", &group),
        }
    }

    fn about(api: &'static str, code: ErrorCode, noun: &str, name: &str) -> Self {
        let mut kind = refusal(api, code, None);
        match &mut kind {
            ErrorKind::NotAuthorized { resource, .. } => *resource = Some(name.to_owned()),
            ErrorKind::Broker { message, .. } => *message = Some(format!("{noun} {name:?}")),
            _ => {}
        }
        Self::new(kind)
    }

    /// The same error with the broker's own words.
    #[must_use]
    pub(crate) fn with_broker_message(self, words: Option<String>) -> Self {
        let mut kind = self.repr.kind.clone();
        if let (ErrorKind::Broker { message, .. }, Some(words)) = (&mut kind, words) {
            *message = Some(words).filter(|words| !words.is_empty());
            return Self::new(kind);
        }
        self
    }

    pub(crate) fn invalid_argument(reason: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument {
            reason: reason.into(),
        })
    }

    pub(crate) fn timeout(operation: &'static str, after: Duration) -> Self {
        Self::new(ErrorKind::Timeout { operation, after })
    }
}

fn refusal(api: &'static str, code: ErrorCode, partition: Option<TopicPartition>) -> ErrorKind {
    match code {
        ErrorCode::TopicAuthorizationFailed
        | ErrorCode::GroupAuthorizationFailed
        | ErrorCode::ClusterAuthorizationFailed
        | ErrorCode::TransactionalIdAuthorizationFailed
        | ErrorCode::DelegationTokenAuthorizationFailed => ErrorKind::NotAuthorized {
            code: code.into(),
            resource: partition.map(|partition| partition.topic.to_string()),
        },
        ErrorCode::ProducerFenced => ErrorKind::Fenced,
        _ => ErrorKind::Broker {
            api,
            code: code.into(),
            partition,
            message: None,
        },
    }
}

/// What is left of a deadline reads better without its nanoseconds.
fn rounded(time: Duration) -> Duration {
    if time < Duration::from_millis(10) {
        return time;
    }
    let millis = (time.as_micros() + 500) / 1000;
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self::new(kind)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Error");
        out.field("kind", &self.repr.kind)
            .field("possibly_written", &self.repr.possibly_written);
        if let Some(source) = &self.repr.source {
            out.field("source", source);
        }
        out.finish()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.repr.kind.fmt(f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.repr
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}
