//! Answers to joins and syncs, given at once or when the group has come so far.

use ottla_codec::ErrorCode;
use ottla_codec::messages::join_group::JoinGroupResponse;
use ottla_codec::messages::sync_group::SyncGroupResponse;

use super::group::Group;

/// Stands for a request that a group has still to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(pub(crate) u64);

/// What a ticket's request is answered with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Join(JoinGroupResponse),
    Sync(SyncGroupResponse),
}

impl Group {
    /// The answers that have become due since this was last asked.
    pub(crate) fn take_answers(&mut self) -> Vec<(Ticket, Answer)> {
        std::mem::take(&mut self.answers)
    }

    /// The present generation, as `member_id` learns it by joining; the members only if it is to assign them.
    pub(super) fn join_answer(&self, member_id: &str) -> JoinGroupResponse {
        let mut answer = JoinGroupResponse {
            generation_id: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            member_id: member_id.to_owned(),
            ..Default::default()
        };
        if self.is_leader(member_id) {
            answer.members = self.joined_members();
        }
        answer
    }

    pub(super) fn answer_join(&mut self, ticket: Ticket, answer: JoinGroupResponse) {
        self.answers.push((ticket, Answer::Join(answer)));
    }

    pub(super) fn refuse_join(&mut self, ticket: Ticket, member_id: &str, error: ErrorCode) {
        self.answer_join(ticket, refused_join(member_id, error));
    }

    pub(super) fn answer_sync(&mut self, ticket: Ticket, answer: SyncGroupResponse) {
        self.answers.push((ticket, Answer::Sync(answer)));
    }

    pub(super) fn refuse_sync(&mut self, ticket: Ticket, error: ErrorCode) {
        self.answer_sync(ticket, refused_sync(error));
    }

    /// Answers whatever waits with an error: the coordinator is another from now on.
    pub(crate) fn refuse_waiting(&mut self, error: ErrorCode) {
        let mut refused = Vec::new();
        for member in self.members.values_mut() {
            if let Some(ticket) = member.awaiting_join.take() {
                refused.push((ticket, Answer::Join(refused_join(&member.id, error))));
            }
            if let Some(ticket) = member.awaiting_sync.take() {
                refused.push((ticket, Answer::Sync(refused_sync(error))));
            }
        }
        self.answers.append(&mut refused);
    }
}

pub(crate) fn refused_join(member_id: &str, error: ErrorCode) -> JoinGroupResponse {
    JoinGroupResponse {
        error_code: error.code(),
        member_id: member_id.to_owned(),
        protocol_name: None,
        ..Default::default()
    }
}

pub(crate) fn refused_sync(error: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse {
        error_code: error.code(),
        ..Default::default()
    }
}
