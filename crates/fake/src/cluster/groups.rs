//! Consumer groups, looked at and disturbed.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::api::KeyType;
use crate::cluster::FakeCluster;
use crate::error::FakeError;
use crate::groups::{CommittedOffset, GroupState, Hosted, Member, assigned_partitions};
use crate::state::State;

/// A group as its coordinator has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupInfo {
    /// How far it is.
    pub state: GroupState,
    /// Counts its rebalances.
    pub generation: i32,
    /// What kind of group it is: `consumer` for consumers; `None` if nobody has joined yet.
    pub protocol_type: Option<String>,
    /// What its members have agreed on, the assignor's name for consumers.
    pub protocol: Option<String>,
    /// The id of the member that assigns.
    pub leader: Option<String>,
    /// Its coordinator; `None` while no broker could be.
    pub coordinator: Option<i32>,
    /// Whether its coordinator is still loading it.
    pub is_loading: bool,
    /// Its members by member id.
    pub members: BTreeMap<String, GroupMember>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupMember {
    /// What makes it a static member.
    pub instance_id: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// The protocols that it supports, what it likes best first.
    pub protocols: Vec<String>,
    /// What its leader has assigned to it, as it was sent; empty while there is nothing.
    pub assignment: Bytes,
    /// The partitions in the assignment, if it is one for consumers.
    pub partitions: Vec<(String, i32)>,
    /// Whether its join waits for the others.
    pub is_joining: bool,
    /// Whether its sync waits for the leader.
    pub is_syncing: bool,
}

impl GroupInfo {
    fn of(hosted: &Hosted) -> Self {
        let group = &hosted.group;
        let members = group.members.iter();
        Self {
            state: group.state,
            generation: group.generation,
            protocol_type: group.protocol_type.clone(),
            protocol: group.protocol.clone(),
            leader: group.leader.clone(),
            coordinator: hosted.coordinator,
            is_loading: hosted.loading.is_some(),
            members: members
                .map(|(id, member)| (id.clone(), GroupMember::of(member, group.is_of_consumers())))
                .collect(),
        }
    }
}

impl GroupMember {
    fn of(member: &Member, is_consumer: bool) -> Self {
        let protocols = member.protocols.iter();
        let partitions = assigned_partitions(&member.assignment).filter(|_| is_consumer);
        Self {
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            protocols: protocols.map(|(name, _)| name.clone()).collect(),
            assignment: member.assignment.clone(),
            partitions: partitions.unwrap_or_default(),
            is_joining: member.awaiting_join.is_some(),
            is_syncing: member.awaiting_sync.is_some(),
        }
    }
}

/// # Groups
///
/// The errors are those of an unknown group, member or broker, or of a cluster that is gone. A command that was sent is
/// carried out even if its future is dropped.
impl FakeCluster {
    /// A group as it is now, if there is one: made by its first member or by a commit.
    ///
    /// # Errors
    /// When the cluster is gone.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn group(&self, group: &str) -> Result<Option<GroupInfo>, FakeError> {
        let group = group.to_owned();
        self.handle
            .admin(move |state| state.groups.hosted.get(&group).map(GroupInfo::of))
            .await
    }

    /// What a group has committed, by topic and partition.
    ///
    /// # Errors
    /// When the cluster is gone.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn committed(
        &self,
        group: &str,
    ) -> Result<BTreeMap<(String, i32), CommittedOffset>, FakeError> {
        let group = group.to_owned();
        self.handle
            .admin(move |state| {
                let committed = state.groups.offsets.get(&group);
                committed.cloned().unwrap_or_default()
            })
            .await
    }

    /// Has another broker coordinate a group; the one before answers NOT_COORDINATOR from now on.
    ///
    /// Joins and syncs that wait are answered so as well. The new coordinator knows the group as it was last written
    /// to the log, that is when its assignments were last made: a generation that was not assigned yet is taken back.
    /// Every member's session begins anew.
    ///
    /// # Errors
    /// When there is no such broker.
    ///
    /// # Cancel safety
    /// It happens even if the future is dropped.
    pub async fn move_coordinator(&self, group: &str, broker: i32) -> Result<(), FakeError> {
        self.move_coordinator_slowly(group, broker, Duration::ZERO)
            .await
    }

    /// [`move_coordinator`](Self::move_coordinator), but the new coordinator takes `load_time` to load the group:
    /// FindCoordinator names it, and it answers COORDINATOR_LOAD_IN_PROGRESS, and no error to heartbeats.
    ///
    /// A group that does not exist takes no time.
    ///
    /// # Errors
    /// When there is no such broker.
    ///
    /// # Cancel safety
    /// It happens even if the future is dropped.
    pub async fn move_coordinator_slowly(
        &self,
        group: &str,
        broker: i32,
        load_time: Duration,
    ) -> Result<(), FakeError> {
        let key = (KeyType::Group, group.to_owned());
        let place = move |state: &mut State| {
            state.find_broker(broker)?;
            state.groups.placed.insert(key, broker);
            state.move_groups(load_time);
            Ok(())
        };
        self.handle.try_admin(place).await
    }

    /// Takes a member for dead, as when nothing was heard of it for its session timeout.
    ///
    /// # Errors
    /// When there is no such group or member.
    ///
    /// # Cancel safety
    /// It happens even if the future is dropped.
    pub async fn expire_member(&self, group: &str, member_id: &str) -> Result<(), FakeError> {
        let (group, member) = (group.to_owned(), member_id.to_owned());
        let expire = move |state: &mut State| {
            let Some(known) = state.groups.group(&group) else {
                return Err(FakeError::UnknownGroup { group });
            };
            if !known.members.contains_key(&member) {
                return Err(FakeError::UnknownMember { group, member });
            }
            state.change_group(&group, |group, now| group.expire(&member, now));
            Ok(())
        };
        self.handle.try_admin(expire).await
    }
}
