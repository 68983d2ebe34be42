//! What ends a membership, or keeps it from beginning.

use ottla_assignor::{AssignError, InvalidAssignment};
use ottla_codec::{DecodeError, EncodeError, ErrorCode};
use snafu::Snafu;

/// Why a member cannot go on by itself. Its text says all there is, so it has no source.
#[derive(Debug, Snafu)]
#[snafu(module, visibility(pub(crate)))]
#[non_exhaustive]
pub enum Failure {
    /// Another member took over this one's instance id. Joining again would fence that one.
    ///
    /// A member that has not yet been in a complete generation, or has given up a join without knowing what became
    /// of it, may be fenced by its own former self, and joins again by itself, up to three times.
    #[snafu(display("another member of the group has taken over the instance id {instance_id}"))]
    Fenced {
        /// The instance id.
        instance_id: String,
    },
    /// The group cannot work with any of this member's assignors, or is no consumer group.
    #[snafu(display("the group shares no assignor with this member, which offers {}", offered.join(", ")))]
    InconsistentProtocol {
        /// The names of this member's assignors.
        offered: Vec<String>,
    },
    /// The group has chosen something that this member never offered.
    #[snafu(display("the group works with {chosen}, this member offers {}", offered.join(", ")))]
    UnknownAssignor {
        /// What the group works with.
        chosen: String,
        /// The names of this member's assignors.
        offered: Vec<String>,
    },
    /// The coordinator refused for good.
    #[snafu(display("the group's coordinator refuses: {code}"))]
    Refused {
        /// Its reason.
        code: ErrorCode,
    },
    /// As leader: what a member said when it joined cannot be read.
    #[snafu(display("cannot read what the member {member} subscribes to: {source}"))]
    Subscription {
        /// The member's id.
        member: String,
        /// What is wrong with it.
        #[snafu(source(false))]
        source: DecodeError,
    },
    /// As leader: the assignor failed.
    #[snafu(display("assignor {assignor}: {source}"))]
    Assign {
        /// The assignor's name.
        assignor: String,
        /// Its error.
        #[snafu(source(false))]
        source: AssignError,
    },
    /// The assignor panicked.
    #[snafu(display("assignor {assignor} panicked"))]
    Panicked {
        /// The assignor's name.
        assignor: String,
    },
    /// As leader: the assignor's answer is one that no group can live with.
    #[snafu(display("assignor {assignor} answers that {source}"))]
    InvalidPlan {
        /// The assignor's name.
        assignor: String,
        /// What is wrong with its answer.
        #[snafu(source(false))]
        source: InvalidAssignment,
    },
    /// As leader: the assignor hands a partition over before its present owner has given it up, which the
    /// cooperative protocol forbids.
    #[snafu(display(
        "assignor {assignor} gives {topic}-{partition} to {to} while {from} still holds it"
    ))]
    HandedOver {
        /// The assignor's name.
        assignor: String,
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The present owner's member id.
        from: String,
        /// The new owner's member id.
        to: String,
    },
    /// What is to be said does not fit into Kafka's messages: a topic's name of 32 KiB, for example.
    #[snafu(display("cannot be expressed: {source}"))]
    Encode {
        /// What does not fit.
        #[snafu(source(false))]
        source: EncodeError,
    },
    /// What the leader assigned to this member cannot be read.
    #[snafu(display("cannot read the assignment: {source}"))]
    Assignment {
        /// What is wrong with it.
        #[snafu(source(false))]
        source: DecodeError,
    },
    /// The leader assigned a topic that this member does not subscribe to.
    #[snafu(display("assigned {topic}, which is not subscribed to"))]
    NotSubscribed {
        /// The topic.
        topic: String,
    },
}

impl Failure {
    /// Whether trying again would do harm, or is certain to fail: without a change to this member's or another
    /// one's settings there is no way back.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Fenced { .. })
    }
}

/// Why a member cannot work with these assignors.
#[derive(Clone, Debug, PartialEq, Eq, Snafu)]
#[snafu(module, visibility(pub(crate)))]
#[non_exhaustive]
pub enum InvalidAssignors {
    /// There are none.
    #[snafu(display("a member of a group needs an assignor"))]
    None,
    /// They have no rebalance protocol in common.
    #[snafu(display("the assignors {} have no rebalance protocol in common", names.join(", ")))]
    NothingInCommon {
        /// Their names.
        names: Vec<String>,
    },
    /// Two have the same name.
    #[snafu(display("two assignors are called {name}"))]
    Twice {
        /// The name.
        name: String,
    },
}
