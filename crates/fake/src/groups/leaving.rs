//! Heartbeat and LeaveGroup: members that stay, and members that go.

use ottla_codec::ErrorCode;
use ottla_codec::messages::heartbeat::HeartbeatRequest;
use ottla_codec::messages::leave_group::MemberIdentity;
use tokio::time::Instant;

use super::group::{Group, GroupState};

impl Group {
    /// A sign of life; an error says what the member has to do, or that it is none.
    pub(crate) fn heartbeat(
        &mut self,
        request: &HeartbeatRequest,
        now: Instant,
    ) -> Result<(), ErrorCode> {
        self.validate_member(&request.member_id, request.group_instance_id.as_deref())?;
        self.validate_generation(request.generation_id)?;
        if self.state == GroupState::CompletingRebalance
            && !self.options.release.takes_heartbeats_before_syncs()
        {
            return Err(ErrorCode::RebalanceInProgress);
        }
        self.touch(&request.member_id, now);
        match self.state {
            GroupState::PreparingRebalance => Err(ErrorCode::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    /// Lets members go, each with its own result.
    pub(crate) fn leave(
        &mut self,
        leaving: &[MemberIdentity],
        now: Instant,
    ) -> Vec<Result<(), ErrorCode>> {
        let results: Vec<_> = leaving.iter().map(|one| self.let_go(one)).collect();
        if results.iter().any(Result::is_ok) {
            match self.state {
                GroupState::Empty => {}
                _ => self.rebalance_or_complete(now),
            }
        }
        results
    }

    fn let_go(&mut self, leaving: &MemberIdentity) -> Result<(), ErrorCode> {
        let instance_id = leaving.group_instance_id.as_deref();
        let member_id = if leaving.member_id.is_empty() {
            // An administrator knows static members by their instance ids only.
            let known = instance_id.and_then(|id| self.static_members.get(id));
            known.cloned().ok_or(ErrorCode::UnknownMemberId)?
        } else if self.pending_joins.contains_key(&leaving.member_id) {
            leaving.member_id.clone()
        } else {
            self.validate_member(&leaving.member_id, instance_id)?;
            leaving.member_id.clone()
        };
        self.dismiss(&member_id);
        Ok(())
    }

    /// Removes a member; a join of its that waits is answered, so that whoever is still there begins anew.
    fn dismiss(&mut self, member_id: &str) {
        let member = self.members.get_mut(member_id);
        if let Some(ticket) = member.and_then(|member| member.awaiting_join.take()) {
            self.refuse_join(ticket, "", ErrorCode::UnknownMemberId);
        }
        self.remove(member_id);
    }

    /// Takes a member for dead, or the id of one that never came back for void.
    pub(crate) fn expire(&mut self, member_id: &str, now: Instant) {
        let was_member = self.members.contains_key(member_id);
        self.dismiss(member_id);
        match self.state {
            GroupState::PreparingRebalance if self.have_all_joined() => self.complete_join(now),
            GroupState::CompletingRebalance | GroupState::Stable if was_member => {
                self.prepare_rebalance(now);
            }
            _ => {}
        }
    }
}
