//! One group: what it is, and what its parts share.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use ottla_codec::ErrorCode;
use ottla_codec::messages::join_group::JoinGroupResponseMember;
use tokio::time::Instant;

use super::answers::{Answer, Ticket};
use super::assignment;
use super::deadlines::JoinPhase;
use super::member::Member;
use super::stored::Stored;
use crate::release::Release;

/// How far a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum GroupState {
    /// It has no members; there may be committed offsets.
    Empty,
    /// It waits for its members to join.
    PreparingRebalance,
    /// It waits for its leader to say who gets what.
    CompletingRebalance,
    /// Every member has or can have its assignment.
    Stable,
}

impl GroupState {
    /// The name that Kafka's tools show.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

impl fmt::Display for GroupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a coordinator is set to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupOptions {
    pub(crate) release: Release,
    pub(crate) initial_rebalance_delay: Duration,
    pub(crate) min_session_timeout: Duration,
    pub(crate) max_session_timeout: Duration,
    pub(crate) max_size: usize,
    pub(crate) load_time: Duration,
}

impl Default for GroupOptions {
    fn default() -> Self {
        Self {
            release: Release::default(),
            initial_rebalance_delay: Duration::from_secs(3),
            min_session_timeout: Duration::from_secs(6),
            max_session_timeout: Duration::from_secs(30 * 60),
            max_size: usize::MAX,
            load_time: Duration::ZERO,
        }
    }
}

/// A group. All times come from outside.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(super) options: GroupOptions,
    pub(crate) state: GroupState,
    /// Whether the rebalance that is being prepared began without members.
    pub(super) is_initial: bool,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) leader: Option<String>,
    pub(crate) members: BTreeMap<String, Member>,
    /// Member ids by instance id.
    pub(super) static_members: BTreeMap<String, String>,
    /// Member ids that were given out and not used yet, with when they expire.
    pub(super) pending_joins: BTreeMap<String, Instant>,
    /// Members that have not asked for their assignment yet.
    pub(super) pending_syncs: BTreeSet<String>,
    pub(super) subscribed: Option<BTreeSet<String>>,
    pub(super) join_phase: Option<JoinPhase>,
    pub(super) sync_end: Option<Instant>,
    /// What the log has of the group; `None` for one that only committed offsets have made.
    pub(super) stored: Option<Stored>,
    pub(super) answers: Vec<(Ticket, Answer)>,
}

impl Group {
    pub(crate) fn new(options: GroupOptions) -> Self {
        Self {
            options,
            state: GroupState::Empty,
            is_initial: false,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_joins: BTreeMap::new(),
            pending_syncs: BTreeSet::new(),
            subscribed: None,
            join_phase: None,
            sync_end: None,
            stored: None,
            answers: Vec::new(),
        }
    }

    /// Refuses whoever is not that member: an instance id that another member has taken over fences.
    pub(super) fn validate_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(), ErrorCode> {
        if let Some(instance_id) = instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(known) if known != member_id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        match self.members.contains_key(member_id) {
            true => Ok(()),
            false => Err(ErrorCode::UnknownMemberId),
        }
    }

    /// Refuses a commit that is not by a member in its generation, or by nobody to a group of nobody.
    pub(crate) fn validate_commit(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), ErrorCode> {
        let is_empty = self.state == GroupState::Empty;
        if generation < 0 && is_empty {
            return Ok(());
        }
        if generation >= 0 || !member_id.is_empty() || instance_id.is_some() {
            self.validate_member(member_id, instance_id)?;
            self.validate_generation(generation)?;
        } else if !is_empty {
            return Err(ErrorCode::UnknownMemberId);
        }
        match self.state {
            GroupState::CompletingRebalance => Err(ErrorCode::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    pub(super) fn validate_generation(&self, generation: i32) -> Result<(), ErrorCode> {
        match generation == self.generation {
            true => Ok(()),
            false => Err(ErrorCode::IllegalGeneration),
        }
    }

    /// A member's sign of life.
    pub(crate) fn touch(&mut self, member_id: &str, now: Instant) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.expect_heartbeat(now);
        }
    }

    pub(crate) fn is_leader(&self, member_id: &str) -> bool {
        self.leader.as_deref() == Some(member_id)
    }

    /// Whether members of such a kind can take part.
    pub(super) fn supports(&self, protocol_type: &str, protocols: &[&str]) -> bool {
        if self.state == GroupState::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let everybody_supports =
            |protocol: &&str| self.members.values().all(|m| m.supports(protocol));
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(everybody_supports)
    }

    /// What most members like best of what all of them support; of equals the first by name.
    pub(super) fn select_protocol(&self) -> Option<String> {
        let names = self.members.values().flat_map(|m| m.protocols.iter());
        let candidates: BTreeSet<&str> = names
            .map(|(name, _)| name.as_str())
            .filter(|name| self.members.values().all(|member| member.supports(name)))
            .collect();
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for vote in self.members.values().filter_map(|m| m.vote(&candidates)) {
            *votes.entry(vote).or_default() += 1;
        }
        let most = votes.values().copied().max()?;
        let mut winners = votes.into_iter().filter(|&(_, count)| count == most);
        winners.next().map(|(name, _)| name.to_owned())
    }

    /// Whether consumers of the group read the topic, as far as it can be known.
    pub(crate) fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.is_of_consumers(),
        }
    }

    pub(crate) fn is_of_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some(assignment::PROTOCOL_TYPE)
    }

    pub(super) fn note_subscribed(&mut self) {
        self.subscribed = match (&self.protocol, self.is_of_consumers()) {
            (_, false) => None,
            (_, true) if self.members.is_empty() => Some(BTreeSet::new()),
            (None, true) => None,
            (Some(protocol), true) => {
                let members = self.members.values();
                let topics = members.map(|m| assignment::subscribed_topics(&m.metadata(protocol)));
                topics
                    .collect::<Option<Vec<_>>>()
                    .map(|topics| topics.into_iter().flatten().collect())
            }
        };
    }

    pub(super) fn joined_members(&self) -> Vec<JoinGroupResponseMember> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = self.members.values();
        members
            .map(|member| JoinGroupResponseMember {
                member_id: member.id.clone(),
                group_instance_id: member.instance_id.clone(),
                metadata: member.metadata(protocol),
                ..Default::default()
            })
            .collect()
    }

    /// The longest any member wants to be waited for.
    pub(super) fn rebalance_timeout(&self) -> Duration {
        let timeouts = self.members.values().map(|member| member.rebalance_timeout);
        timeouts.max().unwrap_or_default()
    }

    pub(super) fn have_all_joined(&self) -> bool {
        self.pending_joins.is_empty() && self.members.values().all(|m| m.awaiting_join.is_some())
    }

    /// Takes a member, or one to be, out of the group; whoever comes next leads.
    pub(super) fn remove(&mut self, member_id: &str) {
        if let Some(removed) = self.members.remove(member_id)
            && let Some(instance_id) = &removed.instance_id
        {
            self.static_members.remove(instance_id);
        }
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        self.pending_joins.remove(member_id);
        self.pending_syncs.remove(member_id);
    }
}
