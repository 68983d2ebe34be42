//! What the log knows of a group: all that is left of it when another broker becomes its coordinator.
//!
//! A group is written when its assignments are there, when it has become empty, and when a static member has come
//! back without a rebalance. What happened since is unknown to the next coordinator: a generation that was joined but
//! not assigned is taken back, and whoever has left meanwhile is a member again, until it expires.

use ottla_codec::ErrorCode;
use tokio::time::Instant;

use super::group::{Group, GroupState};
use super::member::Member;

/// A group as it was last written.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    generation: i32,
    protocol_type: Option<String>,
    protocol: Option<String>,
    leader: Option<String>,
    members: Vec<Member>,
}

impl Group {
    /// Writes the group down as it is.
    pub(crate) fn store(&mut self) {
        let protocol = self.protocol.clone().unwrap_or_default();
        let members = self.members.values().map(|member| Member {
            // Only what was chosen is written, so that is all that the member supports for its next coordinator.
            protocols: vec![(protocol.clone(), member.metadata(&protocol))],
            awaiting_join: None,
            awaiting_sync: None,
            is_new: false,
            session_end: None,
            ..member.clone()
        });
        self.stored = Some(Stored {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            members: members.collect(),
        });
    }

    /// Leaves its coordinator: whoever waits is sent elsewhere, and what was not written is forgotten.
    pub(crate) fn unload(&mut self) {
        self.refuse_waiting(ErrorCode::NotCoordinator);
        let mut loaded = Self::new(self.options);
        loaded.answers = std::mem::take(&mut self.answers);
        if let Some(stored) = self.stored.take() {
            loaded.generation = stored.generation;
            loaded.protocol_type = stored.protocol_type.clone();
            loaded.protocol = stored.protocol.clone();
            loaded.leader = stored.leader.clone();
            for member in stored.members.iter().cloned() {
                if let Some(instance_id) = &member.instance_id {
                    let id = member.id.clone();
                    loaded.static_members.insert(instance_id.clone(), id);
                }
                loaded.members.insert(member.id.clone(), member);
            }
            if !loaded.members.is_empty() {
                loaded.state = GroupState::Stable;
            }
            loaded.note_subscribed();
            loaded.stored = Some(stored);
        }
        *self = loaded;
    }

    /// Has been loaded by its coordinator, for whom every member's session begins now.
    pub(crate) fn loaded(&mut self, now: Instant) {
        for member in self.members.values_mut() {
            member.expect_heartbeat(now);
        }
    }
}
