//! SyncGroup: the leader's assignments, handed to everybody.

use std::collections::BTreeMap;

use bytes::Bytes;
use ottla_codec::ErrorCode;
use ottla_codec::messages::sync_group::{SyncGroupRequest, SyncGroupResponse};
use tokio::time::Instant;

use super::answers::Ticket;
use super::group::{Group, GroupState};

impl Group {
    /// Takes a sync in. A follower's answer waits for the leader's sync; whether this was that one is what is returned.
    pub(crate) fn sync(
        &mut self,
        request: &SyncGroupRequest,
        ticket: Ticket,
        now: Instant,
    ) -> bool {
        let member_id = request.member_id.as_str();
        if let Err(error) = self.validate_sync(request) {
            self.refuse_sync(ticket, error);
            return false;
        }
        self.pending_syncs.remove(member_id);
        if self.pending_syncs.is_empty() {
            self.sync_end = None;
        }
        if self.state == GroupState::Stable {
            let answer = self.sync_answer(member_id);
            self.answer_sync(ticket, answer);
            return false;
        }
        if let Some(member) = self.members.get_mut(member_id) {
            member.awaiting_sync = Some(ticket);
        }
        let is_leaders = self.is_leader(member_id);
        if is_leaders {
            self.assign(request, now);
        }
        is_leaders
    }

    fn validate_sync(&self, request: &SyncGroupRequest) -> Result<(), ErrorCode> {
        self.validate_member(&request.member_id, request.group_instance_id.as_deref())?;
        self.validate_generation(request.generation_id)?;
        let differs = |said: &Option<String>, known: &Option<String>| matches!((said, known), (Some(said), Some(known)) if said != known);
        if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol_name, &self.protocol)
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        match self.state {
            GroupState::Empty => Err(ErrorCode::UnknownMemberId),
            GroupState::PreparingRebalance => Err(ErrorCode::RebalanceInProgress),
            GroupState::CompletingRebalance | GroupState::Stable => Ok(()),
        }
    }

    fn assign(&mut self, request: &SyncGroupRequest, now: Instant) {
        let assignments = request.assignments.iter();
        let assignments: BTreeMap<&str, &Bytes> = assignments
            .map(|one| (one.member_id.as_str(), &one.assignment))
            .collect();
        for member in self.members.values_mut() {
            let assigned = assignments.get(member.id.as_str()).copied();
            member.assignment = assigned.cloned().unwrap_or_default();
        }
        self.state = GroupState::Stable;
        self.store();
        for (ticket, member_id) in self.take_waiting_syncs(now) {
            let answer = self.sync_answer(&member_id);
            self.answer_sync(ticket, answer);
        }
    }

    /// A rebalance that begins before the assignments are there: who waits for them has to join again.
    pub(super) fn forget_assignments(&mut self, now: Instant) {
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
        }
        for (ticket, _) in self.take_waiting_syncs(now) {
            self.refuse_sync(ticket, ErrorCode::RebalanceInProgress);
        }
    }

    fn take_waiting_syncs(&mut self, now: Instant) -> Vec<(Ticket, String)> {
        let mut waiting = Vec::new();
        for member in self.members.values_mut() {
            if let Some(ticket) = member.awaiting_sync.take() {
                member.expect_heartbeat(now);
                waiting.push((ticket, member.id.clone()));
            }
        }
        waiting
    }

    fn sync_answer(&self, member_id: &str) -> SyncGroupResponse {
        let member = self.members.get(member_id);
        SyncGroupResponse {
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            assignment: member.map(|m| m.assignment.clone()).unwrap_or_default(),
            ..Default::default()
        }
    }
}
