//! What a consumer says of its membership.

use std::collections::BTreeSet;

use tokio::time::Instant;

use ottla_coordinator::membership::{Identity, State};

/// What a consumer is doing in its group, and whether anything keeps records from its caller.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ConsumerHealth {
    /// What the member is doing.
    pub state: MemberState,
    /// Since when; `None` if it was never anything else than unsubscribed.
    pub since: Option<Instant>,
    /// The id that the coordinator gave the member.
    pub member_id: Option<String>,
    /// The group's generation that it is in.
    pub generation: Option<i32>,
    /// When the last request was sent that the coordinator has confirmed.
    pub last_confirmed: Option<Instant>,
    /// Since when the caller has been away from [`next`](crate::Consumer::next); `None` while it waits in
    /// it.
    pub away_since: Option<Instant>,
    /// Since when the [listener](crate::ConsumerHandle::rebalances) has had an assignment that it has not
    /// acknowledged: until then none of its records are handed out.
    pub unacknowledged_since: Option<Instant>,
    /// Subscribed topics that the cluster does not have, or not for this client.
    pub missing_topics: BTreeSet<String>,
    /// Whether the batches that the caller holds take all of the consumer's memory, so that nothing can be
    /// fetched and nothing else waits: dropping or detaching some is the way out.
    pub is_starved: bool,
}

/// What a group's member is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MemberState {
    /// Nothing: not subscribed, or stopped by an error that [`next`](crate::Consumer::next) tells of.
    #[default]
    Unsubscribed,
    /// Looking for the group's coordinator, or waiting to try again.
    FindingCoordinator,
    /// Waiting for partitions to be given up, so that it can join.
    Revoking,
    /// Waiting for the group's other members to join.
    Joining,
    /// Deciding, as the group's leader, who gets what.
    Planning,
    /// Waiting for the leader's decision.
    Syncing,
    /// In the group, with everything that its leader gives it, which may be nothing.
    Stable,
    /// Leaving the group.
    Leaving,
    /// Out of the group because its caller stayed away for too long; the caller's next call brings it back.
    Away,
}

/// Who a consumer is in its group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupMetadata {
    /// The group.
    pub group_id: String,
    /// The group's generation.
    pub generation: i32,
    /// The id that the coordinator gave the member.
    pub member_id: String,
    /// The member's lasting name, if it is a static one (KIP-345).
    pub instance_id: Option<String>,
}

/// The part of it that the member's task knows.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct MemberHealth {
    pub(crate) state: MemberState,
    pub(crate) since: Option<Instant>,
    pub(crate) identity: Option<Identity>,
    pub(crate) last_confirmed: Option<Instant>,
    pub(crate) unacknowledged_since: Option<Instant>,
    pub(crate) missing_topics: BTreeSet<String>,
}

impl MemberState {
    pub(crate) fn of(state: State, is_expelled: bool) -> Self {
        match state {
            State::Resting if is_expelled => Self::Away,
            State::FindingCoordinator => Self::FindingCoordinator,
            State::Revoking => Self::Revoking,
            State::Joining => Self::Joining,
            State::Planning => Self::Planning,
            State::Syncing => Self::Syncing,
            State::Stable => Self::Stable,
            State::Leaving => Self::Leaving,
            _ => Self::Unsubscribed,
        }
    }
}
