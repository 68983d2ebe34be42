//! A small coordinator of one group: Kafka's states and timers, and nothing else.
//!
//! Answers come out with the address they are for. It forgets, when it moves, what Kafka does not write down.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ottla_codec::ErrorCode;
use ottla_codec::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use ottla_codec::messages::join_group::{
    JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse, JoinGroupResponseMember,
};
use ottla_codec::messages::leave_group::{LeaveGroupRequest, LeaveGroupResponse};
use ottla_codec::messages::sync_group::{SyncGroupRequest, SyncGroupResponse};

use crate::membership::Token;

/// Who asked: the number of a client, and its token.
pub(super) type Address = (usize, Token);

#[derive(Debug, Clone)]
pub(super) enum Asked {
    Join(JoinGroupRequest),
    Sync(SyncGroupRequest),
    Heartbeat(HeartbeatRequest),
    Leave(LeaveGroupRequest),
}

#[derive(Debug, Clone)]
pub(super) enum Answer {
    Join(JoinGroupResponse),
    Sync(SyncGroupResponse),
    Heartbeat(HeartbeatResponse),
    Leave(LeaveGroupResponse),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Empty,
    Preparing,
    Completing,
    Stable,
}

#[derive(Debug, Clone)]
struct Member {
    protocols: Vec<JoinGroupRequestProtocol>,
    session: Duration,
    patience: Duration,
    expires: Instant,
    joining: Option<Address>,
    syncing: Option<Address>,
    synced: bool,
    assignment: Bytes,
}

#[derive(Debug, Clone)]
struct Group {
    phase: Phase,
    generation: i32,
    leader: String,
    members: BTreeMap<String, Member>,
    /// When whoever has not joined, or not synced, is given up.
    until: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Coordinator {
    pub node: i32,
    loaded_at: Instant,
    group: Group,
    written: Group,
    required: BTreeSet<String>,
    ids: u32,
    pub answers: Vec<(Address, Answer)>,
}

impl Coordinator {
    pub(super) fn new(now: Instant) -> Self {
        let group = Group {
            phase: Phase::Empty,
            generation: 0,
            leader: String::new(),
            members: BTreeMap::new(),
            until: None,
        };
        Self {
            node: 1,
            loaded_at: now,
            written: group.clone(),
            group,
            required: BTreeSet::new(),
            ids: 0,
            answers: Vec::new(),
        }
    }

    /// Another broker takes over, with what was written down.
    pub(super) fn move_to(&mut self, node: i32, loading: Duration, now: Instant) {
        let parked: Vec<(Address, bool)> = self
            .group
            .members
            .values_mut()
            .flat_map(|m| {
                [
                    m.joining.take().map(|a| (a, true)),
                    m.syncing.take().map(|a| (a, false)),
                ]
            })
            .flatten()
            .collect();
        for (address, is_join) in parked {
            let code = ErrorCode::NotCoordinator;
            let answer = if is_join {
                join_error(code)
            } else {
                sync_error(code)
            };
            self.answers.push((address, answer));
        }
        self.node = node;
        self.loaded_at = now + loading;
        self.group = self.written.clone();
        self.required.clear();
        for member in self.group.members.values_mut() {
            member.expires = self.loaded_at + member.session;
        }
    }

    pub(super) fn ask(&mut self, node: i32, from: Address, asked: Asked, now: Instant) {
        let code = if node != self.node {
            ErrorCode::NotCoordinator
        } else if now < self.loaded_at {
            ErrorCode::CoordinatorLoadInProgress
        } else {
            match asked {
                Asked::Join(request) => return self.join(from, request, now),
                Asked::Sync(request) => return self.sync(from, &request, now),
                Asked::Heartbeat(request) => {
                    let code = self.heartbeat(&request, now);
                    return self.answers.push((from, heartbeat(code)));
                }
                Asked::Leave(request) => {
                    for member in request.members {
                        self.required.remove(&member.member_id);
                        self.remove(&member.member_id, now);
                    }
                    return self.answers.push((from, leave(ErrorCode::None)));
                }
            }
        };
        let answer = match asked {
            Asked::Join(_) => join_error(code),
            Asked::Sync(_) => sync_error(code),
            Asked::Heartbeat(_) => heartbeat(code),
            Asked::Leave(_) => leave(code),
        };
        self.answers.push((from, answer));
    }

    /// When something happens by itself.
    pub(super) fn next_event(&self) -> Option<Instant> {
        let waits = |m: &&Member| m.joining.is_none() && m.syncing.is_none();
        let sessions = self.group.members.values().filter(waits).map(|m| m.expires);
        sessions.chain(self.group.until).min()
    }

    pub(super) fn pass(&mut self, now: Instant) {
        let silent =
            self.expired(|m| m.joining.is_none() && m.syncing.is_none() && m.expires <= now);
        for id in silent {
            self.remove(&id, now);
        }
        if self.group.until.is_some_and(|until| until <= now) {
            self.group.until = None;
            match self.group.phase {
                Phase::Preparing => {
                    self.required.clear();
                    for id in self.expired(|m| m.joining.is_none()) {
                        self.group.members.remove(&id);
                    }
                    self.complete(now);
                }
                Phase::Completing => {
                    for id in self.expired(|m| !m.synced) {
                        self.remove(&id, now);
                    }
                }
                Phase::Empty | Phase::Stable => {}
            }
        }
    }

    fn expired(&self, is: impl Fn(&Member) -> bool) -> Vec<String> {
        let members = self.group.members.iter();
        members
            .filter(|(_, m)| is(m))
            .map(|(id, _)| id.clone())
            .collect()
    }

    fn join(&mut self, from: Address, request: JoinGroupRequest, now: Instant) {
        let mut id = request.member_id;
        if id.is_empty() {
            self.ids += 1;
            id = format!("m{}", self.ids);
            self.required.insert(id.clone());
            let answer = JoinGroupResponse {
                member_id: id,
                error_code: ErrorCode::MemberIdRequired.code(),
                ..Default::default()
            };
            return self.answers.push((from, Answer::Join(answer)));
        }
        if !self.required.remove(&id) && !self.group.members.contains_key(&id) {
            return self
                .answers
                .push((from, join_error(ErrorCode::UnknownMemberId)));
        }
        let known = self.group.members.get(&id);
        let is_same = known.is_some_and(|m| m.protocols == request.protocols);
        if self.group.phase == Phase::Stable && is_same && self.group.leader != id {
            let answer = self.generation_of(&id);
            return self.answers.push((from, Answer::Join(answer)));
        }
        let session = millis(request.session_timeout_ms);
        let (assignment, synced) =
            known.map_or((Bytes::new(), false), |m| (m.assignment.clone(), m.synced));
        let member = Member {
            protocols: request.protocols,
            session,
            patience: millis(request.rebalance_timeout_ms),
            expires: now + session,
            joining: Some(from),
            syncing: None,
            synced,
            assignment,
        };
        self.group.members.insert(id, member);
        self.prepare(now);
    }

    fn prepare(&mut self, now: Instant) {
        if self.group.phase != Phase::Preparing {
            self.group.phase = Phase::Preparing;
            for member in self.group.members.values_mut() {
                if let Some(address) = member.syncing.take() {
                    member.expires = now + member.session;
                    let answer = sync_error(ErrorCode::RebalanceInProgress);
                    self.answers.push((address, answer));
                }
            }
            let patience = self.group.members.values().map(|m| m.patience).max();
            self.group.until = Some(now + patience.unwrap_or_default());
        }
        if self.required.is_empty() && self.group.members.values().all(|m| m.joining.is_some()) {
            self.complete(now);
        }
    }

    fn complete(&mut self, now: Instant) {
        let group = &mut self.group;
        group.generation += 1;
        group.until = None;
        let Some(first) = group.members.keys().next() else {
            group.phase = Phase::Empty;
            self.written = group.clone();
            return;
        };
        if !group.members.contains_key(&group.leader) {
            group.leader.clone_from(first);
        }
        group.phase = Phase::Completing;
        let patience = group.members.values().map(|m| m.patience).max();
        group.until = Some(now + patience.unwrap_or_default());
        for member in group.members.values_mut() {
            member.synced = false;
            member.expires = now + member.session;
        }
        let ids: Vec<String> = group.members.keys().cloned().collect();
        for id in ids {
            let answer = self.generation_of(&id);
            let address = self
                .group
                .members
                .get_mut(&id)
                .and_then(|m| m.joining.take());
            if let Some(address) = address {
                self.answers.push((address, Answer::Join(answer)));
            }
        }
    }

    fn generation_of(&self, id: &str) -> JoinGroupResponse {
        let members = self
            .group
            .members
            .iter()
            .map(|(id, m)| JoinGroupResponseMember {
                member_id: id.clone(),
                metadata: m.protocols[0].metadata.clone(),
                ..Default::default()
            });
        let leads = self.group.leader == id && self.group.phase == Phase::Completing;
        JoinGroupResponse {
            generation_id: self.group.generation,
            protocol_name: Some(self.group.members[id].protocols[0].name.clone()),
            leader: self.group.leader.clone(),
            member_id: id.to_owned(),
            members: if leads { members.collect() } else { Vec::new() },
            ..Default::default()
        }
    }

    fn sync(&mut self, from: Address, request: &SyncGroupRequest, now: Instant) {
        let refusal = self.refusal(&request.member_id, request.generation_id);
        let code = refusal.unwrap_or(match self.group.phase {
            Phase::Preparing => ErrorCode::RebalanceInProgress,
            _ => ErrorCode::None,
        });
        let Some(member) = self.group.members.get_mut(&request.member_id) else {
            return self.answers.push((from, sync_error(code)));
        };
        if code != ErrorCode::None {
            return self.answers.push((from, sync_error(code)));
        }
        member.synced = true;
        if self.group.phase == Phase::Stable {
            // No sign of life to a coordinator of Kafka 4.
            let answer = sync_answer(&member.assignment);
            return self.answers.push((from, answer));
        }
        member.syncing = Some(from);
        if self.group.leader != request.member_id {
            return;
        }
        for (id, member) in &mut self.group.members {
            let given = request.assignments.iter().find(|a| a.member_id == *id);
            member.assignment = given.map_or(Bytes::new(), |a| a.assignment.clone());
            member.expires = now + member.session;
            if let Some(address) = member.syncing.take() {
                self.answers
                    .push((address, sync_answer(&member.assignment)));
            }
        }
        self.group.phase = Phase::Stable;
        self.group.until = None;
        self.written = self.group.clone();
    }

    fn heartbeat(&mut self, request: &HeartbeatRequest, now: Instant) -> ErrorCode {
        if let Some(refusal) = self.refusal(&request.member_id, request.generation_id) {
            return refusal;
        }
        if let Some(member) = self.group.members.get_mut(&request.member_id) {
            member.expires = now + member.session;
        }
        match self.group.phase {
            Phase::Preparing => ErrorCode::RebalanceInProgress,
            _ => ErrorCode::None,
        }
    }

    fn refusal(&self, id: &str, generation: i32) -> Option<ErrorCode> {
        if !self.group.members.contains_key(id) {
            return Some(ErrorCode::UnknownMemberId);
        }
        (generation != self.group.generation).then_some(ErrorCode::IllegalGeneration)
    }

    fn remove(&mut self, id: &str, now: Instant) {
        let Some(member) = self.group.members.remove(id) else {
            return;
        };
        if let Some(address) = member.joining {
            self.answers
                .push((address, join_error(ErrorCode::UnknownMemberId)));
        }
        if let Some(address) = member.syncing {
            self.answers
                .push((address, sync_error(ErrorCode::UnknownMemberId)));
        }
        self.prepare(now);
    }
}

fn millis(millis: i32) -> Duration {
    Duration::from_millis(millis.try_into().unwrap_or(0))
}

fn join_error(code: ErrorCode) -> Answer {
    Answer::Join(JoinGroupResponse {
        error_code: code.code(),
        ..Default::default()
    })
}

fn sync_error(code: ErrorCode) -> Answer {
    Answer::Sync(SyncGroupResponse {
        error_code: code.code(),
        ..Default::default()
    })
}

fn sync_answer(assignment: &Bytes) -> Answer {
    Answer::Sync(SyncGroupResponse {
        assignment: assignment.clone(),
        ..Default::default()
    })
}

fn heartbeat(code: ErrorCode) -> Answer {
    Answer::Heartbeat(HeartbeatResponse {
        error_code: code.code(),
        ..Default::default()
    })
}

fn leave(code: ErrorCode) -> Answer {
    Answer::Leave(LeaveGroupResponse {
        error_code: code.code(),
        ..Default::default()
    })
}
