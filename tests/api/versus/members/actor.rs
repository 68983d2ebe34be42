//! A member in a script, with a connection of its own.

use bytes::{BufMut, Bytes, BytesMut};
use ottla_codec::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use ottla_codec::messages::describe_groups::DescribeGroupsRequest;
use ottla_codec::messages::find_coordinator::FindCoordinatorRequest;
use ottla_codec::messages::heartbeat::HeartbeatRequest;
use ottla_codec::messages::join_group::{
    JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
};
use ottla_codec::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use ottla_codec::messages::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup};
use ottla_codec::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use ottla_codec::{ErrorCode, Request, encode_message};

use crate::support::eventually;
use crate::support::raw::Raw;
use crate::versus::outcome::Outcome;
use crate::versus::run::Run;

pub(super) const JOIN: i16 = 9;
pub(super) const SYNC: i16 = 5;
pub(super) const HEARTBEAT: i16 = 4;
pub(super) const LEAVE: i16 = 5;

pub(super) struct Actor {
    /// What the transcript calls it.
    pub(super) name: &'static str,
    client: Raw,
    pub(super) group: String,
    pub(super) id: String,
    pub(super) instance_id: Option<String>,
    pub(super) generation: i32,
    pub(super) protocol_type: &'static str,
    pub(super) protocols: Vec<(&'static str, Bytes)>,
    pub(super) protocol: Option<String>,
    pub(super) session_timeout_ms: i32,
    pub(super) rebalance_timeout_ms: i32,
}

impl Actor {
    pub(super) async fn new(run: &Run, group: &str, name: &'static str) -> Self {
        Self {
            name,
            client: run.connect().await,
            group: group.to_owned(),
            id: String::new(),
            instance_id: None,
            generation: -1,
            protocol_type: "consumer",
            protocols: vec![("range", subscription(&["nothing"]))],
            protocol: None,
            session_timeout_ms: 60_000,
            rebalance_timeout_ms: 60_000,
        }
    }

    pub(super) async fn fixed(
        run: &Run,
        group: &str,
        name: &'static str,
        instance_id: &str,
    ) -> Self {
        Self {
            instance_id: Some(instance_id.to_owned()),
            ..Self::new(run, group, name).await
        }
    }

    pub(super) async fn reconnect(&mut self, run: &Run) {
        self.client = run.connect().await;
    }

    /// A step on this member's connection.
    pub(super) async fn step<R: Request>(
        &mut self,
        run: &mut Run,
        step: &str,
        version: i16,
        request: &R,
    ) -> Option<R::Response>
    where
        R::Response: Outcome,
    {
        std::mem::swap(&mut run.client, &mut self.client);
        let answer = run.step(step, version, request).await;
        std::mem::swap(&mut run.client, &mut self.client);
        answer
    }

    /// Sends, and writes down that nothing comes of it yet.
    pub(super) async fn parks<R: Request>(
        &mut self,
        run: &mut Run,
        step: &str,
        version: i16,
        request: &R,
    ) where
        R::Response: Outcome,
    {
        self.client.send(request, version).await;
        std::mem::swap(&mut run.client, &mut self.client);
        run.waits::<R>(step, version).await;
        std::mem::swap(&mut run.client, &mut self.client);
    }

    /// Writes down that what was sent last is still not answered.
    pub(super) async fn is_silent<R: Request>(&mut self, run: &mut Run, step: &str, version: i16)
    where
        R::Response: Outcome,
    {
        std::mem::swap(&mut run.client, &mut self.client);
        run.waits::<R>(step, version).await;
        std::mem::swap(&mut run.client, &mut self.client);
    }

    /// Writes down the answer to what was sent last.
    pub(super) async fn answer<R: Request>(
        &mut self,
        run: &mut Run,
        step: &str,
        version: i16,
    ) -> Option<R::Response>
    where
        R::Response: Outcome,
    {
        std::mem::swap(&mut run.client, &mut self.client);
        let answer = run.answer::<R>(step, version).await;
        std::mem::swap(&mut run.client, &mut self.client);
        answer
    }

    pub(super) fn join(&self) -> JoinGroupRequest {
        let protocols = self.protocols.iter();
        JoinGroupRequest {
            group_id: self.group.clone(),
            session_timeout_ms: self.session_timeout_ms,
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
            protocol_type: self.protocol_type.to_owned(),
            protocols: protocols
                .map(|(name, metadata)| JoinGroupRequestProtocol {
                    name: (*name).to_owned(),
                    metadata: metadata.clone(),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }
    }

    /// Asks for an id; not a step.
    pub(super) async fn get_id(&mut self, run: &mut Run) {
        let answer = self.client.call(&self.join(), JOIN).await;
        let required = ErrorCode::MemberIdRequired.code();
        assert_eq!(answer.error_code, required, "{answer:?}");
        self.is_called(run, answer.member_id);
    }

    pub(super) fn is_called(&mut self, run: &mut Run, id: String) {
        run.names.add(&id, self.name);
        self.id = id;
    }

    /// Sends a join, with an id if it needs one; not a step.
    pub(super) async fn send_join(&mut self, run: &mut Run) {
        if self.id.is_empty() && self.instance_id.is_none() {
            self.get_id(run).await;
        }
        self.client.send(&self.join(), JOIN).await;
    }

    /// Takes the answer to a join in; not a step.
    pub(super) async fn joined(&mut self, run: &mut Run) {
        let received = self.client.receive::<JoinGroupRequest>(JOIN).await;
        let answer = received.expect("an answer");
        assert_eq!(answer.error_code, 0, "{answer:?}");
        self.note(run, &answer);
    }

    pub(super) fn note(&mut self, run: &mut Run, answer: &JoinGroupResponse) {
        self.is_called(run, answer.member_id.clone());
        self.generation = answer.generation_id;
        self.protocol.clone_from(&answer.protocol_name);
    }

    pub(super) fn sync(&self, assignments: &[(&str, &'static str)]) -> SyncGroupRequest {
        let assignments = assignments.iter();
        SyncGroupRequest {
            group_id: self.group.clone(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
            protocol_type: Some(self.protocol_type.to_owned()),
            protocol_name: self.protocol.clone().filter(|name| !name.is_empty()),
            assignments: assignments
                .map(|(member_id, assignment)| SyncGroupRequestAssignment {
                    member_id: (*member_id).to_owned(),
                    assignment: Bytes::from_static(assignment.as_bytes()),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }
    }

    pub(super) async fn send_sync(&mut self, assignments: &[(&str, &'static str)]) {
        self.client.send(&self.sync(assignments), SYNC).await;
    }

    pub(super) async fn synced(&mut self) {
        let received = self.client.receive::<SyncGroupRequest>(SYNC).await;
        let answer = received.expect("an answer");
        assert_eq!(answer.error_code, 0, "{answer:?}");
    }

    pub(super) fn heartbeat(&self) -> HeartbeatRequest {
        HeartbeatRequest {
            group_id: self.group.clone(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
            ..Default::default()
        }
    }

    pub(super) fn identity(&self) -> MemberIdentity {
        MemberIdentity {
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
            ..Default::default()
        }
    }

    pub(super) fn leave(&self) -> LeaveGroupRequest {
        LeaveGroupRequest {
            group_id: self.group.clone(),
            members: vec![self.identity()],
            ..Default::default()
        }
    }

    /// Heartbeats until the answer is this; not a step.
    pub(super) async fn beats_until(&mut self, error: ErrorCode) {
        let request = self.heartbeat();
        let client = &mut self.client;
        eventually("a heartbeat's answer", async || {
            client.ask(&request).await.error_code == error.code()
        })
        .await;
    }
}

/// Brings members into one generation, and has the first assign to each its name; not a step.
pub(super) async fn join_all(run: &mut Run, members: &mut [&mut Actor]) {
    for index in 0..members.len() {
        members[index].send_join(run).await;
        let group = members[index].group.clone();
        // Who comes first leads.
        await_members(run, &group, index + 1).await;
        if index == 0 && members.len() > 1 {
            members[0].joined(run).await;
            continue;
        }
    }
    if members.len() > 1 {
        members[0].send_join(run).await;
    }
    for member in members.iter_mut() {
        member.joined(run).await;
    }
}

/// Has everybody sync, the first assigning to each its name; not a step.
pub(super) async fn sync_all(members: &mut [&mut Actor]) {
    let assignments: Vec<(String, &'static str)> = members
        .iter()
        .map(|member| (member.id.clone(), member.name))
        .collect();
    let assignments: Vec<(&str, &'static str)> = assignments
        .iter()
        .map(|(id, name)| (id.as_str(), *name))
        .collect();
    for (index, member) in members.iter_mut().enumerate() {
        let given = if index == 0 { &*assignments } else { &[] };
        member.send_sync(given).await;
    }
    for member in members.iter_mut() {
        member.synced().await;
    }
}

pub(super) async fn await_members(run: &mut Run, group: &str, count: usize) {
    let request = describe(group);
    let client = &mut run.client;
    eventually("the members are there", async || {
        client.call(&request, 5).await.groups[0].members.len() == count
    })
    .await;
}

pub(super) async fn await_state(run: &mut Run, group: &str, state: &str) {
    let request = describe(group);
    let client = &mut run.client;
    eventually("the group has come so far", async || {
        client.call(&request, 5).await.groups[0].group_state == state
    })
    .await;
}

pub(super) fn describe(group: &str) -> DescribeGroupsRequest {
    DescribeGroupsRequest {
        groups: vec![group.to_owned()],
        ..Default::default()
    }
}

/// Waits until what the group was told before can be described: brokers answer joins before they have written them.
pub(super) async fn written(run: &mut Run, group: &str) {
    let request = HeartbeatRequest {
        group_id: group.to_owned(),
        ..Default::default()
    };
    run.client.ask(&request).await;
}

/// A new group, whose coordinator is ready.
pub(super) async fn group(run: &mut Run, stem: &'static str) -> String {
    let group = run.unique(stem);
    loaded(run, &group).await;
    group
}

/// Waits until the group's coordinator is ready.
pub(super) async fn loaded(run: &mut Run, group: &str) {
    let find = FindCoordinatorRequest {
        coordinator_keys: vec![group.to_owned()],
        ..Default::default()
    };
    let fetch = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: group.to_owned(),
            topics: None,
            ..Default::default()
        }],
        ..Default::default()
    };
    let client = &mut run.client;
    eventually("the coordinator has loaded", async || {
        client.ask(&find).await.coordinators[0].error_code == 0
            && client.ask(&fetch).await.groups[0].error_code == 0
    })
    .await;
}

/// What a consumer of these topics joins with.
pub(super) fn subscription(topics: &[&str]) -> Bytes {
    let message = ConsumerProtocolSubscription {
        topics: topics.iter().map(|&topic| topic.to_owned()).collect(),
        ..Default::default()
    };
    let mut bytes = BytesMut::new();
    bytes.put_i16(3);
    bytes.put(encode_message(&message, 3).expect("a subscription"));
    bytes.freeze()
}
