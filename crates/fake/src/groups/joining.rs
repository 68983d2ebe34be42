//! JoinGroup, and the rebalance that it begins and ends.

use std::time::Duration;

use bytes::Bytes;
use ottla_codec::ErrorCode;
use ottla_codec::messages::join_group::JoinGroupRequest;
use tokio::time::Instant;

use super::answers::Ticket;
use super::deadlines::JoinPhase;
use super::group::{Group, GroupState};
use super::member::{Member, millis};

/// How long a new member's join waits at most: it cannot heartbeat before it knows its id.
const NEW_MEMBER_JOIN_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// A JoinGroup request with what came beside it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Joining<'a> {
    pub(crate) request: &'a JoinGroupRequest,
    pub(crate) version: i16,
    pub(crate) client_id: &'a str,
    pub(crate) ticket: Ticket,
    /// What a new member is to be called, should this be one.
    pub(crate) new_id: &'a str,
}

impl Group {
    /// Takes a join in. Its answer may be there at once, or only when everybody has joined.
    pub(crate) fn join(&mut self, joining: Joining<'_>, now: Instant) {
        let Joining {
            request, ticket, ..
        } = joining;
        let member_id = request.member_id.as_str();
        let names: Vec<&str> = request.protocols.iter().map(|p| p.name.as_str()).collect();
        if !self.has_room_for(member_id) {
            self.remove(member_id);
            self.refuse_join(ticket, "", ErrorCode::GroupMaxSizeReached);
        } else if !self.supports(&request.protocol_type, &names) {
            self.refuse_join(ticket, member_id, ErrorCode::InconsistentGroupProtocol);
        } else if member_id.is_empty() {
            self.join_new(joining, now);
        } else if self.pending_joins.contains_key(member_id) {
            self.add_member(joining, member_id, now);
        } else {
            match self.validate_member(member_id, request.group_instance_id.as_deref()) {
                Ok(()) => self.rejoin(joining, now),
                Err(error) => self.refuse_join(ticket, member_id, error),
            }
        }
    }

    fn has_room_for(&self, member_id: &str) -> bool {
        let max = self.options.max_size;
        match self.state {
            GroupState::Empty => true,
            // Whoever is waiting already stays; of the others those that come first get in.
            GroupState::PreparingRebalance => {
                let mut waiting = self.members.values().filter(|m| m.awaiting_join.is_some());
                waiting.clone().any(|member| member.id == member_id)
                    || waiting.by_ref().count() < max
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                self.members.contains_key(member_id) || self.members.len() < max
            }
        }
    }

    fn join_new(&mut self, joining: Joining<'_>, now: Instant) {
        let Joining {
            request,
            version,
            ticket,
            new_id,
            ..
        } = joining;
        if let Some(instance_id) = &request.group_instance_id {
            match self.static_members.get(instance_id).cloned() {
                Some(known) => self.replace_static(joining, &known, now),
                None => self.add_member(joining, new_id, now),
            }
        } else if version >= 4 {
            let expires = now + millis(request.session_timeout_ms);
            self.pending_joins.insert(new_id.to_owned(), expires);
            self.refuse_join(ticket, new_id, ErrorCode::MemberIdRequired);
        } else {
            self.add_member(joining, new_id, now);
        }
    }

    fn add_member(&mut self, joining: Joining<'_>, id: &str, now: Instant) {
        let Joining {
            request,
            version,
            client_id,
            ticket,
            ..
        } = joining;
        let mut member = Member {
            id: id.to_owned(),
            instance_id: request.group_instance_id.clone(),
            client_id: client_id.to_owned(),
            rebalance_timeout: Duration::ZERO,
            session_timeout: Duration::ZERO,
            protocols: Vec::new(),
            assignment: Bytes::new(),
            awaiting_join: Some(ticket),
            awaiting_sync: None,
            is_new: self.options.release.ends_new_joins(),
            session_end: Some(now + NEW_MEMBER_JOIN_TIMEOUT),
        };
        member.update(request, version);
        if let Some(JoinPhase::Initial { extend, .. }) = &mut self.join_phase {
            *extend = true;
        }
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type.clone());
        }
        self.leader.get_or_insert_with(|| id.to_owned());
        if let Some(instance_id) = &member.instance_id {
            self.static_members
                .insert(instance_id.clone(), id.to_owned());
        }
        self.pending_joins.remove(id);
        self.members.insert(id.to_owned(), member);
        self.rebalance_or_complete(now);
    }

    /// A join of a member that the group knows.
    fn rejoin(&mut self, joining: Joining<'_>, now: Instant) {
        let Joining {
            request,
            version,
            ticket,
            ..
        } = joining;
        let member_id = request.member_id.as_str();
        let is_leader = self.is_leader(member_id);
        let Some(member) = self.members.get_mut(member_id) else {
            return;
        };
        // The same again tells the present generation once more. A leader that joins a stable group wants a rebalance.
        let knows_all = member.matches(&request.protocols)
            && match self.state {
                GroupState::CompletingRebalance => true,
                GroupState::Stable => !is_leader,
                GroupState::Empty | GroupState::PreparingRebalance => false,
            };
        if knows_all {
            let answer = self.join_answer(member_id);
            self.answer_join(ticket, answer);
            return;
        }
        member.update(request, version);
        // A join that waited under the same id is never answered.
        member.awaiting_join = Some(ticket);
        self.rebalance_or_complete(now);
    }

    /// A static member has come back under a new id; whoever still uses the old one is fenced.
    fn replace_static(&mut self, joining: Joining<'_>, old_id: &str, now: Instant) {
        let Joining {
            request,
            version,
            ticket,
            new_id,
            ..
        } = joining;
        let Some(mut member) = self.members.remove(old_id) else {
            return;
        };
        if let Some(waiting) = member.awaiting_join.take() {
            self.refuse_join(waiting, old_id, ErrorCode::FencedInstanceId);
        }
        if let Some(waiting) = member.awaiting_sync.take() {
            self.refuse_sync(waiting, ErrorCode::FencedInstanceId);
        }
        let old_leader = self.leader.clone();
        if self.is_leader(old_id) {
            self.leader = Some(new_id.to_owned());
        }
        if let Some(instance_id) = &member.instance_id {
            self.static_members
                .insert(instance_id.clone(), new_id.to_owned());
        }
        member.id = new_id.to_owned();
        member.is_new = false;
        member.expect_heartbeat(now);
        member.update(request, version);
        member.awaiting_join = Some(ticket);
        self.members.insert(new_id.to_owned(), member);
        let settles = self.options.release.settles_new_static_ids();
        match self.state {
            GroupState::Stable | GroupState::CompletingRebalance if !settles => {
                self.readmit_static(joining, old_leader);
            }
            GroupState::Stable if self.select_protocol() == self.protocol => {
                self.store();
                self.readmit_static(joining, old_leader);
            }
            GroupState::Stable => self.rebalance_or_complete(now),
            // The leader may be assigning to the old id just now.
            GroupState::CompletingRebalance => self.prepare_rebalance(now),
            GroupState::Empty | GroupState::PreparingRebalance => self.maybe_complete_join(now),
        }
    }

    /// Nothing changes for the others, so the member just goes on with the assignment that it had.
    fn readmit_static(&mut self, joining: Joining<'_>, old_leader: Option<String>) {
        let Joining {
            version,
            ticket,
            new_id,
            ..
        } = joining;
        if let Some(member) = self.members.get_mut(new_id) {
            member.awaiting_join = None;
        }
        let mut answer = self.join_answer(new_id);
        if version >= 9 {
            answer.skip_assignment = self.is_leader(new_id);
        } else {
            // Such a client would assign, were it told that it leads.
            answer.leader = old_leader.unwrap_or_default();
            answer.members.clear();
        }
        self.answer_join(ticket, answer);
    }

    /// After a change of members: begins a rebalance, or ends the one that goes on if nobody is missing any more.
    pub(super) fn rebalance_or_complete(&mut self, now: Instant) {
        match self.state {
            GroupState::PreparingRebalance => self.maybe_complete_join(now),
            _ => self.prepare_rebalance(now),
        }
    }

    pub(super) fn maybe_complete_join(&mut self, now: Instant) {
        let is_preparing = self.state == GroupState::PreparingRebalance;
        if is_preparing && !self.is_initial && self.have_all_joined() {
            self.complete_join(now);
        }
    }

    pub(super) fn prepare_rebalance(&mut self, now: Instant) {
        if self.state == GroupState::CompletingRebalance {
            self.forget_assignments(now);
        }
        self.pending_syncs.clear();
        self.sync_end = None;
        self.is_initial = self.state == GroupState::Empty;
        self.state = GroupState::PreparingRebalance;
        if self.is_initial {
            let delay = self.options.initial_rebalance_delay;
            self.join_phase = Some(JoinPhase::Initial {
                end: now + delay,
                delay,
                remaining: self.rebalance_timeout().saturating_sub(delay),
                extend: false,
            });
        } else if self.have_all_joined() {
            self.complete_join(now);
        } else {
            self.await_joins(now);
        }
    }

    fn await_joins(&mut self, now: Instant) {
        let end = now + self.rebalance_timeout();
        self.join_phase = Some(JoinPhase::Others { end });
    }

    /// Ends the join phase: whoever has not come is out, and the others are a new generation.
    pub(super) fn complete_join(&mut self, now: Instant) {
        self.join_phase = None;
        let members = self.members.values();
        let missing = members.filter(|m| m.awaiting_join.is_none() && !m.is_static());
        let missing: Vec<String> = missing.map(|member| member.id.clone()).collect();
        for id in missing {
            self.remove(&id);
        }
        if !self.elect_joined_leader() && !self.members.is_empty() {
            // Only static members are left, and none of them has come; their sessions go on.
            self.await_joins(now);
            return;
        }
        self.generation += 1;
        self.pending_syncs.clear();
        if self.members.is_empty() {
            (self.protocol, self.state) = (None, GroupState::Empty);
            self.note_subscribed();
            self.store();
            return;
        }
        (self.protocol, self.state) = (self.select_protocol(), GroupState::CompletingRebalance);
        self.note_subscribed();
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let answer = self.join_answer(&id);
            let Some(member) = self.members.get_mut(&id) else {
                continue;
            };
            member.expect_heartbeat(now);
            member.is_new = false;
            if let Some(ticket) = member.awaiting_join.take() {
                self.answer_join(ticket, answer);
            }
            self.pending_syncs.insert(id);
        }
        if self.options.release.expects_syncs() {
            self.sync_end = Some(now + self.rebalance_timeout());
        }
    }

    /// Whether the leader has joined, or another that has can take its place.
    fn elect_joined_leader(&mut self) -> bool {
        let has_joined = |member: &&Member| member.awaiting_join.is_some();
        let leader = self.leader.as_ref().and_then(|id| self.members.get(id));
        if leader.filter(has_joined).is_some() {
            return true;
        }
        let next = self.members.values().find(has_joined);
        match next.map(|member| member.id.clone()) {
            Some(next) => {
                self.leader = Some(next);
                true
            }
            None => false,
        }
    }
}
