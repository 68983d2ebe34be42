//! A member of the group `g`, one connection of its own.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use ottla_codec::messages::consumer_protocol_assignment::{
    ConsumerProtocolAssignment, TopicPartition as Assigned,
};
use ottla_codec::messages::consumer_protocol_subscription::{
    ConsumerProtocolSubscription, TopicPartition as Owned,
};
use ottla_codec::messages::heartbeat::HeartbeatRequest;
use ottla_codec::messages::join_group::{
    JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
};
use ottla_codec::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use ottla_codec::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_codec::messages::sync_group::{
    SyncGroupRequest, SyncGroupRequestAssignment, SyncGroupResponse,
};
use ottla_codec::{ErrorCode, Message, encode_message};
use ottla_fake::{FakeCluster, FakeClusterBuilder, Release};

use crate::client::Client;

pub(super) const SESSION: Duration = Duration::from_secs(10);
pub(super) const REBALANCE: Duration = Duration::from_secs(20);

/// A cluster whose first broker coordinates `g`, without the initial delay unless `builder` has one.
pub(super) async fn start(builder: FakeClusterBuilder) -> FakeCluster {
    let cluster = builder.brokers(3).topic("t", 3).start_in_memory().await;
    let cluster = cluster.unwrap();
    cluster.move_coordinator("g", 1).await.unwrap();
    cluster
}

pub(super) async fn cluster() -> FakeCluster {
    start(FakeCluster::builder().initial_rebalance_delay(Duration::ZERO)).await
}

/// A member with what it has been told.
pub(super) struct Member {
    pub(super) client: Client,
    pub(super) id: String,
    pub(super) instance_id: Option<String>,
    pub(super) generation: i32,
    pub(super) leads: bool,
    pub(super) protocols: Vec<(&'static str, Bytes)>,
    pub(super) rebalance_timeout: Duration,
    versions: Versions,
    joined: JoinGroupResponse,
}

/// Which versions a member speaks.
#[derive(Clone, Copy)]
struct Versions {
    join: i16,
    sync: i16,
    heartbeat: i16,
    leave: i16,
    commit: i16,
}

impl Versions {
    const NEWEST: Self = Self {
        join: JoinGroupRequest::VERSIONS.max,
        sync: SyncGroupRequest::VERSIONS.max,
        heartbeat: HeartbeatRequest::VERSIONS.max,
        leave: LeaveGroupRequest::VERSIONS.max,
        commit: 9,
    };

    /// The newest that a release has.
    fn of(release: Release) -> Self {
        let [join, sync, heartbeat, leave, commit] = match release {
            Release::V2_1 => [3, 2, 2, 2, 6],
            Release::V2_4 => [6, 4, 4, 4, 8],
            Release::V3_0 => [7, 5, 4, 4, 8],
            _ => return Self::NEWEST,
        };
        Self {
            join,
            sync,
            heartbeat,
            leave,
            commit,
        }
    }
}

impl Member {
    pub(super) async fn new(cluster: &FakeCluster) -> Self {
        Self {
            client: Client::connect(cluster, 1).await,
            id: String::new(),
            instance_id: None,
            generation: -1,
            leads: false,
            protocols: vec![("range", subscription(&[], -1))],
            rebalance_timeout: REBALANCE,
            versions: Versions::NEWEST,
            joined: JoinGroupResponse::default(),
        }
    }

    /// A member as clients of that release were.
    pub(super) fn of_release(mut self, release: Release) -> Self {
        self.versions = Versions::of(release);
        self
    }

    pub(super) async fn fixed(cluster: &FakeCluster, instance_id: &str) -> Self {
        Self {
            instance_id: Some(instance_id.to_owned()),
            ..Self::new(cluster).await
        }
    }

    pub(super) fn join_request(&self) -> JoinGroupRequest {
        let protocols = self.protocols.iter();
        JoinGroupRequest {
            group_id: "g".to_owned(),
            session_timeout_ms: i32::try_from(SESSION.as_millis()).unwrap(),
            rebalance_timeout_ms: i32::try_from(self.rebalance_timeout.as_millis()).unwrap(),
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
            protocol_type: "consumer".to_owned(),
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

    /// Sends a join, with the id that the coordinator wants it to have.
    pub(super) async fn send_join(&mut self) {
        let version = self.versions.join;
        if version >= 4 && self.id.is_empty() && self.instance_id.is_none() {
            let request = self.join_request();
            let answer = self.client.call(&request, version).await;
            assert_eq!(answer.error_code, ErrorCode::MemberIdRequired.code());
            self.id = answer.member_id;
        }
        let request = self.join_request();
        self.client.send(&request, version).await;
    }

    pub(super) async fn joined(&mut self) -> JoinGroupResponse {
        let version = self.versions.join;
        let received = self.client.receive::<JoinGroupRequest>(version).await;
        let (_, answer) = received.unwrap();
        if answer.error_code == 0 {
            self.id.clone_from(&answer.member_id);
            self.generation = answer.generation_id;
            self.leads = answer.leader == answer.member_id;
            self.joined = answer.clone();
        }
        answer
    }

    pub(super) async fn join(&mut self) -> JoinGroupResponse {
        self.send_join().await;
        self.joined().await
    }

    pub(super) fn sync_request(&self, assignments: &[(&str, Bytes)]) -> SyncGroupRequest {
        let assignments = assignments.iter();
        SyncGroupRequest {
            group_id: "g".to_owned(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
            protocol_type: Some("consumer".to_owned()),
            protocol_name: self.joined.protocol_name.clone(),
            assignments: assignments
                .map(|(member_id, assignment)| SyncGroupRequestAssignment {
                    member_id: (*member_id).to_owned(),
                    assignment: assignment.clone(),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }
    }

    pub(super) async fn send_sync(&mut self, assignments: &[(&str, Bytes)]) {
        let request = self.sync_request(assignments);
        self.client.send(&request, self.versions.sync).await;
    }

    pub(super) async fn synced(&mut self) -> SyncGroupResponse {
        let version = self.versions.sync;
        let received = self.client.receive::<SyncGroupRequest>(version).await;
        received.unwrap().1
    }

    pub(super) async fn sync(&mut self, assignments: &[(&str, Bytes)]) -> SyncGroupResponse {
        self.send_sync(assignments).await;
        self.synced().await
    }

    pub(super) async fn heartbeat(&mut self) -> ErrorCode {
        let request = HeartbeatRequest {
            group_id: "g".to_owned(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
            ..Default::default()
        };
        let answer = self.client.call(&request, self.versions.heartbeat).await;
        ErrorCode::from_code(answer.error_code)
    }

    pub(super) async fn leave(&mut self) -> ErrorCode {
        let identity = MemberIdentity {
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
            ..Default::default()
        };
        let version = self.versions.leave;
        if version < 3 {
            let request = LeaveGroupRequest {
                group_id: "g".to_owned(),
                member_id: self.id.clone(),
                ..Default::default()
            };
            let answer = self.client.call(&request, version).await;
            return ErrorCode::from_code(answer.error_code);
        }
        let request = LeaveGroupRequest {
            group_id: "g".to_owned(),
            members: vec![identity],
            ..Default::default()
        };
        let answer = self.client.call(&request, version).await;
        assert_eq!(answer.error_code, 0);
        ErrorCode::from_code(answer.members[0].error_code)
    }

    pub(super) async fn commit(&mut self, partition_index: i32, offset: i64) -> ErrorCode {
        let partition = OffsetCommitRequestPartition {
            partition_index,
            committed_offset: offset,
            ..Default::default()
        };
        let request = OffsetCommitRequest {
            group_id: "g".to_owned(),
            generation_id_or_member_epoch: self.generation,
            member_id: self.id.clone(),
            group_instance_id: self.instance_id.clone(),
            topics: vec![OffsetCommitRequestTopic {
                name: "t".to_owned(),
                partitions: vec![partition],
                ..Default::default()
            }],
            ..Default::default()
        };
        let answer = self.client.call(&request, self.versions.commit).await;
        ErrorCode::from_code(answer.topics[0].partitions[0].error_code)
    }
}

/// Brings members into one generation, the first of them its leader, with the partitions that each is to have.
pub(super) async fn stabilize(members: &mut [(&mut Member, &[i32])]) {
    for (member, _) in members.iter_mut() {
        member.send_join().await;
    }
    for (member, _) in members.iter_mut() {
        assert_eq!(member.joined().await.error_code, 0);
    }
    let leader = members.iter().position(|(member, _)| member.leads).unwrap();
    let assignments: Vec<(String, Bytes)> = members
        .iter()
        .map(|(member, partitions)| (member.id.clone(), assignment(partitions)))
        .collect();
    let assignments: Vec<(&str, Bytes)> = assignments
        .iter()
        .map(|(id, assignment)| (id.as_str(), assignment.clone()))
        .collect();
    members[leader].0.send_sync(&assignments).await;
    for (index, (member, _)) in members.iter_mut().enumerate() {
        if index != leader {
            member.send_sync(&[]).await;
        }
    }
    for (member, partitions) in members.iter_mut() {
        let answer = member.synced().await;
        assert_eq!(answer.error_code, 0);
        assert_eq!(answer.assignment, assignment(partitions));
    }
}

/// A subscription to `t`, owning partitions of it since a generation.
pub(super) fn subscription(owned: &[i32], generation_id: i32) -> Bytes {
    let message = ConsumerProtocolSubscription {
        topics: vec!["t".to_owned()],
        owned_partitions: vec![Owned {
            topic: "t".to_owned(),
            partitions: owned.to_vec(),
        }],
        generation_id,
        ..Default::default()
    };
    versioned(&message, 3)
}

/// An assignment of partitions of `t`.
pub(super) fn assignment(partitions: &[i32]) -> Bytes {
    let message = ConsumerProtocolAssignment {
        assigned_partitions: vec![Assigned {
            topic: "t".to_owned(),
            partitions: partitions.to_vec(),
        }],
        ..Default::default()
    };
    versioned(&message, 3)
}

fn versioned(message: &impl Message, version: i16) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(version);
    bytes.put(encode_message(message, version).unwrap());
    bytes.freeze()
}
