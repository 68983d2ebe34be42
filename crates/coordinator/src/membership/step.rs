//! What a member says is to be done, and what it is told in return.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use ottla_codec::VersionRange;
use ottla_codec::messages::heartbeat::HeartbeatRequest;
use ottla_codec::messages::join_group::JoinGroupRequest;
use ottla_codec::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use ottla_codec::messages::sync_group::SyncGroupRequest;

use super::{Failure, Planning};

/// From this version on, a LeaveGroup names members, several if need be (KIP-345).
pub const SEVERAL_MEMBERS: i16 = 3;
/// How many characters of a reason are sent (KIP-800): brokers cut the rest off.
const LONGEST_REASON: usize = 255;

/// Topics and partition numbers.
pub type Partitions = BTreeSet<(String, i32)>;

/// What is to be done next. Each is said once.
#[derive(Debug)]
pub enum Step {
    /// Ask any broker who the group's coordinator is; see [`lookup`](crate::lookup). The answer goes to
    /// [`coordinator_found`](super::Membership::coordinator_found).
    FindCoordinator {
        /// To be handed back.
        token: Token,
        /// When the answer is no longer waited for.
        deadline: Instant,
    },
    /// Send a JoinGroup over the connection for joins. The answer goes to
    /// [`joined`](super::Membership::joined).
    ///
    /// If an earlier join or sync of this member still lacks its answer on that connection, a new
    /// connection is needed: a broker serves one request of a connection at a time, and that one may be
    /// parked.
    Join(Box<Call<JoinGroupRequest>>),
    /// Send a SyncGroup over the connection for joins; the same holds. The answer goes to
    /// [`synced`](super::Membership::synced).
    Sync(Box<Call<SyncGroupRequest>>),
    /// Send a Heartbeat over another connection than joins. The answer goes to
    /// [`heartbeat_answered`](super::Membership::heartbeat_answered).
    Heartbeat(Box<Call<HeartbeatRequest>>),
    /// Send a LeaveGroup, over the heartbeats' connection. The answer goes to
    /// [`left`](super::Membership::left).
    Leave(Box<Call<LeaveCall>>),
    /// This member leads: find out about [`Planning::topics`], [run](Planning::run) the assignor where it
    /// holds nobody up, and hand the outcome to [`planned`](super::Membership::planned).
    Plan {
        /// To be handed back.
        token: Token,
        /// What is to be decided.
        planning: Planning,
    },
    /// Stop work on these partitions at once; they can still be committed. When that is done:
    /// [`revoked`](super::Membership::revoked).
    Revoke(Revocation),
    /// The member is in a new generation. Said after every rebalance, also if nothing has changed.
    Assigned {
        /// What it did not have before: work on it may begin.
        added: Partitions,
        /// All that it has from now on. What it has to give up is not in it; there is a
        /// [`Step::Revoke`] for that.
        all: Partitions,
        /// The generation.
        generation: i32,
    },
    /// These are no longer this member's and others may have them already: stop at once, commit nothing.
    /// A revocation that is under way is over for them.
    Lost {
        /// The partitions; never none.
        partitions: Partitions,
        /// Why.
        why: Loss,
    },
    /// It cannot go on by itself, and holds nothing. It rests (a LeaveGroup may follow) until
    /// [`resume`](super::Membership::resume) or [`subscribe`](super::Membership::subscribe).
    Failed(Failure),
    /// What [`leave`](super::Membership::leave) or [`quit`](super::Membership::quit) asked for is done, or
    /// its deadline has passed.
    Left,
    /// Nothing to do before that time, unless something happens.
    Wait {
        /// When to ask again; none if only events matter.
        until: Option<Instant>,
    },
}

/// A request to the coordinator.
#[derive(Clone, Debug, PartialEq)]
pub struct Call<R> {
    /// To be handed back with the answer.
    pub token: Token,
    /// The coordinator.
    pub node: i32,
    /// What to send.
    pub request: R,
    /// The versions that can say it: a static member needs newer ones.
    pub versions: VersionRange,
    /// When the answer is no longer waited for.
    pub deadline: Instant,
}

/// Ties an answer to its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub(super) u64);

/// A LeaveGroup before its version is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaveCall {
    pub(super) group_id: String,
    pub(super) member_id: String,
    pub(super) instance_id: Option<String>,
    pub(super) reason: String,
}

impl LeaveCall {
    /// The request in that version.
    pub fn request(&self, version: i16) -> LeaveGroupRequest {
        let request = LeaveGroupRequest {
            group_id: self.group_id.clone(),
            ..Default::default()
        };
        if version < SEVERAL_MEMBERS {
            return LeaveGroupRequest {
                member_id: self.member_id.clone(),
                ..request
            };
        }
        let member = MemberIdentity {
            member_id: self.member_id.clone(),
            group_instance_id: self.instance_id.clone(),
            reason: Some(self.reason.clone()),
            ..Default::default()
        };
        LeaveGroupRequest {
            members: vec![member],
            ..request
        }
    }
}

/// Partitions to be given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Which revocation it is, for [`revoked`](super::Membership::revoked).
    pub token: Token,
    /// The partitions; never none.
    pub partitions: Partitions,
    /// Until when they can still be worked on, if nothing else intervenes. What has not been
    /// acknowledged by then is [lost](Loss::Overrun).
    pub deadline: Instant,
}

/// How to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// Why, for the coordinator's log (KIP-800).
    pub reason: String,
    /// Whether to tell the coordinator.
    pub stay: Stay,
    /// By when it must be done, the revocation included.
    pub deadline: Instant,
}

/// Whether a consumer that goes away remains a member of its group until its session expires (KIP-1092).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stay {
    /// Static members do, so that they find their partitions again when they come back; others do not.
    #[default]
    IfStatic,
    /// It does.
    Always,
    /// It does not.
    Never,
}

/// Why partitions are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Loss {
    /// No heartbeat was confirmed within the session timeout.
    SessionExpired,
    /// The group rebalanced and this member could not join it in time.
    RebalanceExpired,
    /// A revocation was not acknowledged by its deadline.
    Overrun,
    /// The coordinator does not know the member (any more).
    UnknownMember,
    /// The group has moved on to another generation without this member.
    IllegalGeneration,
    /// Another member took over the instance id.
    Fenced,
    /// The member left without giving them up first.
    Quit,
    /// The member [failed](Step::Failed).
    Failed,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SessionExpired => "nothing was confirmed within the session timeout",
            Self::RebalanceExpired => "the group may have rebalanced without this member",
            Self::Overrun => "the revocation was not acknowledged in time",
            Self::UnknownMember => "the coordinator does not know the member",
            Self::IllegalGeneration => "the group is in another generation",
            Self::Fenced => "another member has taken over the instance id",
            Self::Quit => "the member has left",
            Self::Failed => "the member has failed",
        })
    }
}

/// Who commits, as of which generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The id the coordinator gave.
    pub member_id: String,
    /// The generation.
    pub generation: i32,
    /// The member's lasting name, if it has one.
    pub instance_id: Option<String>,
}

/// What a member is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum State {
    /// Nothing: not subscribed, left, failed, or quit and not resumed.
    Resting,
    /// Looking for the coordinator, or waiting to try again.
    FindingCoordinator,
    /// Waiting for partitions to be given up.
    Revoking,
    /// Waiting for the others to join.
    Joining,
    /// Deciding, as leader, who gets what.
    Planning,
    /// Waiting for the leader's decision.
    Syncing,
    /// A member that has what it gets.
    Stable,
    /// Leaving the group.
    Leaving,
}

pub(super) fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

/// As much of a reason as is sent (KIP-800).
pub fn shortened(reason: &str) -> String {
    reason.chars().take(LONGEST_REASON).collect()
}
