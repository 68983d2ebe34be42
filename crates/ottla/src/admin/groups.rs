//! Groups: who is in them and what they were assigned; deleting those that nobody is in.
//!
//! # References
//! - KIP-345 (static members), KIP-848 (groups whose coordinator assigns), KIP-1043 (groups of other types)

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use ottla_cluster::TopicPartition;
use ottla_codec::messages::consumer_group_describe::{
    self, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse,
};
use ottla_codec::messages::delete_groups::DeleteGroupsRequest;
use ottla_codec::messages::describe_groups::{
    DescribeGroupsRequest, DescribedGroup, DescribedGroupMember,
};
use ottla_codec::{ErrorCode, Message};
use ottla_coordinator::membership::decode_assignment;

use super::Admin;
use super::coordinators::{Answers, Asked};
use super::group_listing::{GroupState, GroupType};
use crate::error::{Error, ErrorKind, Result};

/// What members of classic consumer groups speak among each other.
const CONSUMER: &str = "consumer";

/// A group and its members.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupDescription {
    /// The group's id.
    pub group_id: String,
    /// Its type.
    pub group_type: GroupType,
    /// What its members speak among each other: `consumer`, or `connect` for instance; empty if it never
    /// had a member.
    pub protocol_type: String,
    /// How partitions are assigned: the assignor's name, or what stands for that in another protocol.
    /// Empty while there is none.
    pub protocol: String,
    /// What it is doing.
    pub state: GroupState,
    /// The broker that coordinates it.
    pub coordinator: i32,
    /// Its members, in order of their ids.
    pub members: Vec<MemberDescription>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberDescription {
    /// The id that the coordinator knows it by.
    pub member_id: String,
    /// The id that a static member has given itself (`group.instance.id`).
    pub instance_id: Option<String>,
    /// The client's name (`client.id`).
    pub client_id: String,
    /// Where the coordinator sees it.
    pub host: String,
    /// The partitions that it was assigned, in order; none while the group rebalances. `None` if what it
    /// was assigned is not written as consumers do: Connect's workers have connectors and tasks.
    pub assignment: Option<Vec<TopicPartition>>,
}

impl Admin {
    /// Describes groups of classic consumers, of Connect's workers and the like, and those whose coordinator
    /// assigns; each has its own result.
    ///
    /// # Errors
    ///
    /// Only in the results of single groups: [`ErrorKind::UnknownGroup`], a coordinator that could not be
    /// reached in time.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by a drop.
    #[doc(alias = "describeConsumerGroups")]
    #[doc(alias = "describeClassicGroups")]
    pub async fn describe_groups(
        &self,
        groups: impl IntoIterator<Item = impl Into<String>>,
    ) -> BTreeMap<String, Result<GroupDescription>> {
        let groups = groups.into_iter().map(Into::into);
        self.ask_coordinators("describing groups", groups, describe)
            .await
    }

    /// Describes one group.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownGroup`], or the coordinator could not be reached in time.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by a drop.
    pub async fn describe_group(&self, group: &str) -> Result<GroupDescription> {
        let mut described = self.describe_groups([group]).await;
        described
            .remove(group)
            .unwrap_or_else(|| Err(unknown(group)))
    }

    /// Deletes groups that have no members, with the offsets they have committed; each has its own result.
    ///
    /// # Errors
    ///
    /// Only in the results of single groups: [`ErrorKind::GroupNotEmpty`], [`ErrorKind::UnknownGroup`],
    /// a coordinator that could not be reached in time.
    ///
    /// # Cancel safety
    ///
    /// After a drop the groups may or may not be deleted.
    #[doc(alias = "deleteConsumerGroups")]
    pub async fn delete_groups(
        &self,
        groups: impl IntoIterator<Item = impl Into<String>>,
    ) -> BTreeMap<String, Result<()>> {
        let groups = groups.into_iter().map(Into::into);
        self.ask_coordinators("deleting groups", groups, delete)
            .await
    }
}

async fn delete(asked: Asked) -> Result<Answers<()>> {
    let request = DeleteGroupsRequest {
        groups_names: asked.groups.clone(),
        ..Default::default()
    };
    let response = asked.call(&request).await?;
    let outcome = |code, group: &str| match ErrorCode::from_code(code) {
        ErrorCode::None => Ok(()),
        code => Err(Error::about_group("DeleteGroups", code, group)),
    };
    let results = response.results.into_iter();
    Ok(results
        .map(|result| {
            let outcome = outcome(result.error_code, &result.group_id);
            (result.group_id, outcome)
        })
        .collect())
}

async fn describe(asked: Asked) -> Result<Answers<GroupDescription>> {
    let request = DescribeGroupsRequest {
        groups: asked.groups.clone(),
        ..Default::default()
    };
    let response = asked.call(&request).await?;
    let groups = response.groups.into_iter();
    let mut described: Answers<_> = groups
        .map(|group| (group.group_id.clone(), classic(group, asked.coordinator)))
        .collect();
    let is_unknown = |answer: &Result<_>| {
        let kind = answer.as_ref().err().map(Error::kind);
        matches!(kind, Some(ErrorKind::UnknownGroup { .. }))
    };
    let others: Vec<String> = described
        .iter()
        .filter(|(_, answer)| is_unknown(answer))
        .map(|(group, _)| group.clone())
        .collect();
    let own = ConsumerGroupDescribeRequest::VERSIONS;
    let versions = asked.connection.versions();
    if others.is_empty() || versions.pick::<ConsumerGroupDescribeRequest>(own).is_err() {
        return Ok(described);
    }
    let request = ConsumerGroupDescribeRequest {
        group_ids: others,
        ..Default::default()
    };
    let ConsumerGroupDescribeResponse { groups, .. } = asked.call(&request).await?;
    // Brokers that offer this may still not do it: 3.9 has the protocol turned off.
    let off = ErrorCode::UnsupportedVersion.code();
    for group in groups.into_iter().filter(|group| group.error_code != off) {
        let name = group.group_id.clone();
        described.insert(name, assigned_by_the_coordinator(group, asked.coordinator));
    }
    Ok(described)
}

fn classic(group: DescribedGroup, coordinator: i32) -> Result<GroupDescription> {
    match ErrorCode::from_code(group.error_code) {
        ErrorCode::None => {}
        code => return Err(Error::about_group("DescribeGroups", code, &group.group_id)),
    }
    let state = GroupState::of(&group.group_state);
    // Brokers before 4.0 describe a group that is not there so.
    if state == GroupState::Dead {
        return Err(unknown(&group.group_id));
    }
    let of_consumers = group.protocol_type == CONSUMER;
    let members = group.members.into_iter();
    let mut members: Vec<_> = members
        .map(|member| classic_member(member, of_consumers))
        .collect();
    members.sort_by(|a, b| a.member_id.cmp(&b.member_id));
    Ok(GroupDescription {
        group_id: group.group_id,
        group_type: GroupType::Classic,
        protocol_type: group.protocol_type,
        protocol: group.protocol_data,
        state,
        coordinator,
        members,
    })
}

fn classic_member(member: DescribedGroupMember, of_consumers: bool) -> MemberDescription {
    MemberDescription {
        member_id: member.member_id,
        instance_id: member.group_instance_id,
        client_id: member.client_id,
        host: member.client_host,
        assignment: of_consumers
            .then(|| assignment(&member.member_assignment))
            .flatten(),
    }
}

/// What a leader has written for a consumer; nothing if it is not that.
fn assignment(bytes: &Bytes) -> Option<Vec<TopicPartition>> {
    let assignment = decode_assignment(bytes).ok()?;
    Some(in_order(assignment.partitions.into_iter()))
}

fn assigned_by_the_coordinator(
    group: consumer_group_describe::DescribedGroup,
    coordinator: i32,
) -> Result<GroupDescription> {
    match ErrorCode::from_code(group.error_code) {
        ErrorCode::None => {}
        code => {
            let api = "ConsumerGroupDescribe";
            return Err(Error::about_group(api, code, &group.group_id));
        }
    }
    let member = |member: consumer_group_describe::Member| MemberDescription {
        member_id: member.member_id,
        instance_id: member.instance_id,
        client_id: member.client_id,
        host: member.client_host,
        assignment: Some(in_order(
            member
                .assignment
                .topic_partitions
                .into_iter()
                .map(|topic| (topic.topic_name, topic.partitions)),
        )),
    };
    let mut members: Vec<_> = group.members.into_iter().map(member).collect();
    members.sort_by(|a, b| a.member_id.cmp(&b.member_id));
    Ok(GroupDescription {
        group_id: group.group_id,
        group_type: GroupType::Consumer,
        protocol_type: CONSUMER.to_owned(),
        protocol: group.assignor_name,
        state: GroupState::of(&group.group_state),
        coordinator,
        members,
    })
}

fn in_order(topics: impl Iterator<Item = (String, Vec<i32>)>) -> Vec<TopicPartition> {
    let mut partitions: Vec<TopicPartition> = topics
        .flat_map(|(topic, partitions)| {
            let topic: Arc<str> = topic.into();
            let partitions = partitions.into_iter();
            partitions.map(move |partition| TopicPartition::new(topic.clone(), partition))
        })
        .collect();
    partitions.sort();
    partitions
}

fn unknown(group: &str) -> Error {
    let group = group.to_owned();
    ErrorKind::UnknownGroup { group }.into()
}
