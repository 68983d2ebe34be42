//! A member with a clock that stands still, and the answers it gets.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ottla_assignor::{Assignment, Assignor, CooperativeStickyAssignor, RangeAssignor};
use ottla_codec::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use ottla_codec::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use ottla_codec::messages::join_group::{
    JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember,
};
use ottla_codec::messages::sync_group::{SyncGroupRequest, SyncGroupResponse};
use ottla_codec::{ErrorCode, decode_prefixed, encode_prefixed};

use crate::membership::{
    Call, Config, Departure, Loss, Membership, Partitions, Revocation, Stay, Step, envelope,
};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const SESSION: Duration = Duration::from_secs(45);
pub(super) const REBALANCE: Duration = Duration::from_secs(300);
pub(super) const HEARTBEAT: Duration = Duration::from_secs(3);

pub(super) struct Rig {
    pub member: Membership,
    pub now: Instant,
}

pub(super) fn range() -> Vec<Arc<dyn Assignor>> {
    vec![Arc::new(RangeAssignor::new())]
}

pub(super) fn cooperative() -> Vec<Arc<dyn Assignor>> {
    vec![Arc::new(CooperativeStickyAssignor::new())]
}

pub(super) fn config() -> Config {
    Config {
        group_id: "g".to_owned(),
        instance_id: None,
        rack: None,
        session_timeout: SESSION,
        rebalance_timeout: REBALANCE,
        heartbeat_interval: HEARTBEAT,
        request_timeout: 30 * SECOND,
    }
}

pub(super) fn static_config() -> Config {
    Config {
        instance_id: Some("i".to_owned()),
        ..config()
    }
}

pub(super) fn topics(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// Partitions of the topic "t".
pub(super) fn of_t(numbers: &[i32]) -> Partitions {
    numbers.iter().map(|&n| ("t".to_owned(), n)).collect()
}

pub(super) fn assignment(partitions: &[i32]) -> Bytes {
    let given = Assignment {
        partitions: [("t".to_owned(), partitions.to_vec())].into(),
        user_data: None,
    };
    envelope::encode_assignment(&given).unwrap()
}

pub(super) fn subscribed(member_id: &str, topics: &[&str]) -> JoinGroupResponseMember {
    let subscription = ConsumerProtocolSubscription {
        topics: topics.iter().map(|&name| name.to_owned()).collect(),
        ..Default::default()
    };
    JoinGroupResponseMember {
        member_id: member_id.to_owned(),
        metadata: encode_prefixed(&subscription, 3).unwrap(),
        ..Default::default()
    }
}

pub(super) fn said(call: &Call<JoinGroupRequest>) -> ConsumerProtocolSubscription {
    decode_prefixed(&call.request.protocols[0].metadata).unwrap()
}

/// What a member claims to own of the topic "t", and as of when.
pub(super) fn claimed(call: &Call<JoinGroupRequest>) -> (Vec<i32>, i32) {
    let said = said(call);
    let owned = said.owned_partitions;
    let numbers = owned.into_iter().flat_map(|topic| topic.partitions);
    (numbers.collect(), said.generation_id)
}

impl Rig {
    pub(super) fn new(config: Config, assignors: Vec<Arc<dyn Assignor>>) -> Self {
        let now = Instant::now();
        let backoff = Box::new(|failures| failures * SECOND);
        let member = Membership::new(config, assignors, backoff, now).unwrap();
        Self { member, now }
    }

    /// A member of "t" that holds these partitions in generation 1, as "m", a follower.
    pub(super) fn holding(
        config: Config,
        assignors: Vec<Arc<dyn Assignor>>,
        partitions: &[i32],
    ) -> Self {
        let mut rig = Self::new(config, assignors);
        rig.subscribe(&["t"]);
        rig.find(1);
        rig.join_as_follower(1);
        rig.sync(partitions);
        match rig.step() {
            Step::Assigned { all, .. } => assert_eq!(all, of_t(partitions)),
            other => panic!("{other:?}"),
        }
        rig.quiet();
        rig
    }

    pub(super) fn subscribe(&mut self, names: &[&str]) {
        self.member.subscribe(topics(names), self.now);
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    pub(super) fn step(&mut self) -> Step {
        self.member.step(self.now)
    }

    /// Asserts that there is nothing to do, and that it does not ask to be called at once.
    pub(super) fn quiet(&mut self) -> Option<Instant> {
        match self.step() {
            Step::Wait { until } => {
                assert!(until.is_none_or(|until| until > self.now), "busy");
                until
            }
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn find(&mut self, node: i32) {
        match self.step() {
            Step::FindCoordinator { token, .. } => {
                self.member.coordinator_found(token, Ok(node), self.now);
            }
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn join(&mut self) -> Box<Call<JoinGroupRequest>> {
        match self.step() {
            Step::Join(call) => call,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn joined(&mut self, call: &Call<JoinGroupRequest>, answer: &JoinGroupResponse) {
        self.member.joined(call.token, answer, self.now);
    }

    pub(super) fn join_refused(&mut self, code: ErrorCode) {
        let call = self.join();
        self.joined(
            &call,
            &JoinGroupResponse {
                error_code: code.code(),
                ..Default::default()
            },
        );
    }

    /// The answer to a member "m" that does not lead.
    pub(super) fn follower(&self, generation_id: i32) -> JoinGroupResponse {
        JoinGroupResponse {
            generation_id,
            protocol_name: Some(self.member.assignors[0].name().to_owned()),
            leader: "another".to_owned(),
            member_id: "m".to_owned(),
            ..Default::default()
        }
    }

    pub(super) fn join_as_follower(&mut self, generation: i32) -> Box<Call<JoinGroupRequest>> {
        let call = self.join();
        self.joined(&call, &self.follower(generation));
        call
    }

    /// Joins as the leader "m" of those members, and returns what is to be planned.
    pub(super) fn join_as_leader(
        &mut self,
        generation: i32,
        members: Vec<JoinGroupResponseMember>,
    ) -> Step {
        let call = self.join();
        let answer = JoinGroupResponse {
            leader: "m".to_owned(),
            members,
            ..self.follower(generation)
        };
        self.joined(&call, &answer);
        self.step()
    }

    pub(super) fn syncing(&mut self) -> Box<Call<SyncGroupRequest>> {
        let mut step = self.step();
        if let Step::Heartbeat(call) = step {
            self.answer_beat(&call, ErrorCode::None);
            step = self.step();
        }
        match step {
            Step::Sync(call) => call,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn sync(&mut self, partitions: &[i32]) -> Box<Call<SyncGroupRequest>> {
        let call = self.syncing();
        let answer = SyncGroupResponse {
            assignment: assignment(partitions),
            ..Default::default()
        };
        self.member.synced(call.token, &answer, self.now);
        call
    }

    pub(super) fn sync_refused(&mut self, code: ErrorCode) {
        let call = self.syncing();
        let answer = SyncGroupResponse {
            error_code: code.code(),
            ..Default::default()
        };
        self.member.synced(call.token, &answer, self.now);
    }

    pub(super) fn beat(&mut self) -> Box<Call<HeartbeatRequest>> {
        match self.step() {
            Step::Heartbeat(call) => call,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn answer_beat(&mut self, call: &Call<HeartbeatRequest>, code: ErrorCode) {
        let answer = HeartbeatResponse {
            error_code: code.code(),
            ..Default::default()
        };
        self.member
            .heartbeat_answered(call.token, &answer, self.now);
    }

    /// The next heartbeat, in time, and its answer.
    pub(super) fn next_beat(&mut self, code: ErrorCode) {
        self.pass(HEARTBEAT);
        let call = self.beat();
        self.answer_beat(&call, code);
    }

    pub(super) fn revocation(&mut self) -> Revocation {
        match self.step() {
            Step::Revoke(revocation) => revocation,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn assigned(&mut self, expected_added: &[i32], expected_all: &[i32]) {
        match self.step() {
            Step::Assigned { added, all, .. } => {
                assert_eq!((added, all), (of_t(expected_added), of_t(expected_all)));
            }
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn lost(&mut self, expected: &[i32], reason: Loss) {
        match self.step() {
            Step::Lost { partitions, why } => {
                assert_eq!((partitions, why), (of_t(expected), reason));
            }
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn left(&mut self) {
        assert!(matches!(self.step(), Step::Left));
    }

    pub(super) fn departure(&self, stay: Stay) -> Departure {
        Departure {
            reason: "closing".to_owned(),
            stay,
            deadline: self.now + 20 * SECOND,
        }
    }
}
