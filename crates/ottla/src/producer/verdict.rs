//! What a broker's error code means for the batch it is about.
//!
//! The one table of it. `certain` is about this attempt alone: whether it certainly wrote nothing.
//! Brokers check everything they can before they append, but some codes also come from what happens
//! after the append, while the leader waits for its followers.
//!
//! # References
//! - `org.apache.kafka.common.protocol.Errors`, `kafka.server.DelayedProduce`

use ottla_codec::ErrorCode;

use super::window::Answer;

/// What to do about an error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) answer: Answer,
    /// The client's idea of the partition or its leader is out of date.
    pub(crate) stale_metadata: bool,
    /// The producer as a whole is of no further use.
    pub(crate) fatal: bool,
}

impl Verdict {
    const fn new(answer: Answer) -> Self {
        Self {
            answer,
            stale_metadata: false,
            fatal: false,
        }
    }

    const fn stale(certain: bool) -> Self {
        Self {
            answer: Answer::Retry { certain },
            stale_metadata: true,
            fatal: false,
        }
    }

    /// Judges a partition's error code in an answer to Produce.
    pub(crate) fn of(code: ErrorCode) -> Self {
        use ErrorCode as E;
        match code {
            // The broker has it already, and forgot where.
            E::None | E::DuplicateSequenceNumber => Self::new(Answer::Written),
            E::OutOfOrderSequenceNumber | E::UnknownProducerId => Self::new(Answer::Gap),
            E::InvalidProducerEpoch | E::InvalidProducerIdMapping => Self::new(Answer::Disowned),
            E::MessageTooLarge | E::RecordListTooLarge => Self::new(Answer::TooLarge),
            // A leader that loses its office while it waits for followers says this about a batch
            // it has appended, and the next leader may have it.
            E::NotLeaderOrFollower | E::KafkaStorageError => Self::stale(false),
            E::UnknownTopicOrPartition
            | E::UnknownTopicId
            | E::LeaderNotAvailable
            | E::FencedLeaderEpoch
            | E::UnknownLeaderEpoch
            | E::InconsistentTopicId
            | E::ReplicaNotAvailable
            | E::ListenerNotFound => Self::stale(true),
            E::NetworkException | E::NotEnoughReplicasAfterAppend | E::RequestTimedOut => {
                Self::new(Answer::Retry { certain: false })
            }
            E::ProducerFenced => Self {
                fatal: true,
                ..Self::new(Answer::Refused { certain: true })
            },
            E::ClusterAuthorizationFailed
            | E::InvalidRecord
            | E::InvalidRequiredAcks
            | E::InvalidTimestamp
            | E::InvalidTopicException
            | E::InvalidTxnState
            | E::InvalidRequest
            | E::PolicyViolation
            | E::SecurityDisabled
            | E::TopicAuthorizationFailed
            | E::TransactionAbortable
            | E::TransactionalIdAuthorizationFailed
            | E::UnsupportedCompressionType
            | E::UnsupportedForMessageFormat
            | E::UnsupportedVersion => Self::new(Answer::Refused { certain: true }),
            code if code.is_retriable() => Self::new(Answer::Retry { certain: true }),
            // Whatever it means, it is no promise that nothing was written.
            _ => Self::new(Answer::Refused { certain: false }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_to_be_unwritten_that_may_have_been_appended() {
        for code in [
            ErrorCode::RequestTimedOut,
            ErrorCode::NotEnoughReplicasAfterAppend,
            ErrorCode::NotLeaderOrFollower,
            ErrorCode::KafkaStorageError,
        ] {
            let answer = Verdict::of(code).answer;
            assert_eq!(answer, Answer::Retry { certain: false }, "{code}");
        }
        for code in [ErrorCode::UnknownServerError, ErrorCode::Unknown(999)] {
            let answer = Verdict::of(code).answer;
            assert_eq!(answer, Answer::Refused { certain: false }, "{code}");
        }
    }

    #[test]
    fn a_refusal_before_the_append_is_certain() {
        let refused = Answer::Refused { certain: true };
        assert_eq!(Verdict::of(ErrorCode::InvalidRecord).answer, refused);
        assert_eq!(
            Verdict::of(ErrorCode::TopicAuthorizationFailed).answer,
            refused
        );
        let later = Answer::Retry { certain: true };
        assert_eq!(Verdict::of(ErrorCode::NotEnoughReplicas).answer, later);
        assert_eq!(Verdict::of(ErrorCode::CorruptMessage).answer, later);
        let unknown = Verdict::of(ErrorCode::UnknownTopicOrPartition);
        assert!(unknown.stale_metadata && unknown.answer == later);
    }

    #[test]
    fn a_duplicate_is_a_success() {
        let duplicate = Verdict::of(ErrorCode::DuplicateSequenceNumber);
        assert_eq!(duplicate.answer, Answer::Written);
    }
}
