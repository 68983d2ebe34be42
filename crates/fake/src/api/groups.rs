//! DescribeGroups, ListGroups, DeleteGroups and OffsetDelete.
//!
//! # References
//! - KIP-229 (delete groups), KIP-496 (delete offsets), KIP-518 (list by state), KIP-848 (list by type),
//!   KIP-1043 (describe tells which group is not there)

use ottla_codec::ErrorCode;
use ottla_codec::messages::delete_groups::{
    DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse,
};
use ottla_codec::messages::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use ottla_codec::messages::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};
use ottla_codec::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestTopic, OffsetDeleteResponse,
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};

use super::coordinators::coordinates;
use super::membership::refuse_nameless;
use super::{Outcome, code, operations};
use crate::groups::{Group, GroupState};
use crate::state::{RequestContext, State};

/// What is said of a group that does not exist.
const DEAD: &str = "Dead";
/// Where clients are, as Java writes addresses.
const CLIENT_HOST: &str = "/127.0.0.1";

pub(super) fn handle_describe(
    state: &mut State,
    context: &RequestContext,
    request: DescribeGroupsRequest,
) -> Outcome {
    let asked = request.include_authorized_operations;
    let groups = request.groups.into_iter();
    let groups = groups.map(|id| match coordinates(state, context, &id) {
        Ok(()) => describe(state, context, id, asked),
        Err(error) => DescribedGroup {
            error_code: error.code(),
            group_id: id,
            ..Default::default()
        },
    });
    Outcome::respond(DescribeGroupsResponse {
        groups: groups.collect(),
        ..Default::default()
    })
}

fn describe(state: &State, context: &RequestContext, id: String, asked: bool) -> DescribedGroup {
    let authorized_operations = operations::of_group(asked);
    let Some(group) = state.groups.group(&id) else {
        // Since v6 it is an error that there is no such group.
        let tells = context.version >= 6;
        let error = if tells {
            ErrorCode::GroupIdNotFound
        } else {
            ErrorCode::None
        };
        return DescribedGroup {
            error_code: error.code(),
            error_message: tells.then(|| format!("there is no group {id}")),
            group_id: id,
            group_state: DEAD.to_owned(),
            authorized_operations: operations::of_group(asked && !tells),
            ..Default::default()
        };
    };
    // The protocol and what members said for it are shown once they are settled.
    let settled = group
        .protocol
        .as_deref()
        .filter(|_| group.state == GroupState::Stable);
    let members = group.members.values().map(|member| DescribedGroupMember {
        member_id: member.id.clone(),
        group_instance_id: member.instance_id.clone(),
        client_id: member.client_id.clone(),
        client_host: CLIENT_HOST.to_owned(),
        member_metadata: settled
            .map(|name| member.metadata(name))
            .unwrap_or_default(),
        member_assignment: member.assignment.clone(),
        ..Default::default()
    });
    DescribedGroup {
        group_state: group.state.to_string(),
        protocol_type: group.protocol_type.clone().unwrap_or_default(),
        protocol_data: settled.unwrap_or_default().to_owned(),
        members: members.collect(),
        group_id: id,
        authorized_operations,
        ..Default::default()
    }
}

pub(super) fn handle_list(
    state: &mut State,
    context: &RequestContext,
    request: ListGroupsRequest,
) -> Outcome {
    let here = state.groups.hosted.iter();
    let mut here = here.filter(|(_, hosted)| hosted.coordinator == Some(context.broker));
    if here.clone().any(|(_, hosted)| hosted.loading.is_some()) {
        return Outcome::respond(ListGroupsResponse {
            error_code: ErrorCode::CoordinatorLoadInProgress.code(),
            ..Default::default()
        });
    }
    let is_wanted = |wanted: &[String], text: &str| {
        wanted.is_empty() || wanted.iter().any(|one| one.eq_ignore_ascii_case(text))
    };
    let groups = here
        .by_ref()
        .map(|(id, hosted)| listed(id, &hosted.group))
        .filter(|group| is_wanted(&request.states_filter, &group.group_state))
        .filter(|group| is_wanted(&request.types_filter, &group.group_type));
    Outcome::respond(ListGroupsResponse {
        groups: groups.collect(),
        ..Default::default()
    })
}

fn listed(id: &str, group: &Group) -> ListedGroup {
    ListedGroup {
        group_id: id.to_owned(),
        protocol_type: group.protocol_type.clone().unwrap_or_default(),
        group_state: group.state.to_string(),
        group_type: "classic".to_owned(),
        ..Default::default()
    }
}

pub(super) fn handle_delete(
    state: &mut State,
    context: &RequestContext,
    request: DeleteGroupsRequest,
) -> Outcome {
    let mut ids = request.groups_names;
    let mut seen = std::collections::BTreeSet::new();
    ids.retain(|id| seen.insert(id.clone()));
    let results = ids.into_iter().map(|group_id| DeletableGroupResult {
        error_code: code(delete(state, context, &group_id)),
        group_id,
        ..Default::default()
    });
    let results = results.collect();
    Outcome::respond(DeleteGroupsResponse {
        results,
        ..Default::default()
    })
}

fn delete(state: &mut State, context: &RequestContext, id: &str) -> Result<(), ErrorCode> {
    coordinates(state, context, id)?;
    let group = state.groups.group(id).ok_or(ErrorCode::GroupIdNotFound)?;
    match group.state {
        GroupState::Empty => {
            state.remove_group(id);
            Ok(())
        }
        _ => Err(ErrorCode::NonEmptyGroup),
    }
}

pub(super) fn handle_delete_offsets(
    state: &mut State,
    context: &RequestContext,
    request: OffsetDeleteRequest,
) -> Outcome {
    let id = &request.group_id;
    if let Err(error) = may_delete_offsets(state, context, id) {
        return Outcome::respond(OffsetDeleteResponse {
            error_code: error.code(),
            ..Default::default()
        });
    }
    let topics = request
        .topics
        .iter()
        .map(|topic| OffsetDeleteResponseTopic {
            name: topic.name.clone(),
            partitions: delete_offsets(state, id, topic),
        });
    let topics = topics.collect();
    Outcome::respond(OffsetDeleteResponse {
        topics,
        ..Default::default()
    })
}

fn may_delete_offsets(state: &State, context: &RequestContext, id: &str) -> Result<(), ErrorCode> {
    refuse_nameless(id)?;
    coordinates(state, context, id)?;
    let group = state.groups.group(id).ok_or(ErrorCode::GroupIdNotFound)?;
    // Of other kinds of members it is not known what they use.
    match group.state == GroupState::Empty || group.is_of_consumers() {
        true => Ok(()),
        false => Err(ErrorCode::NonEmptyGroup),
    }
}

fn delete_offsets(
    state: &mut State,
    id: &str,
    topic: &OffsetDeleteRequestTopic,
) -> Vec<OffsetDeleteResponsePartition> {
    let group = state.groups.group(id);
    let is_used = group.is_some_and(|group| group.is_subscribed_to(&topic.name));
    let partitions = topic.partitions.iter().map(|partition| {
        let index = partition.partition_index;
        let result = if state.partition(&topic.name, index).is_none() {
            Err(ErrorCode::UnknownTopicOrPartition)
        } else if is_used {
            Err(ErrorCode::GroupSubscribedToTopic)
        } else {
            if let Some(offsets) = state.groups.offsets.get_mut(id) {
                offsets.remove(&(topic.name.clone(), index));
            }
            Ok(())
        };
        OffsetDeleteResponsePartition {
            partition_index: index,
            error_code: code(result),
        }
    });
    partitions.collect()
}
