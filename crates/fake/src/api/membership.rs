//! JoinGroup, SyncGroup, Heartbeat and LeaveGroup.
//!
//! # References
//! - The protocol guide's group membership APIs; what the groups do is in [`groups`](crate::groups)

use ottla_codec::ErrorCode;
use ottla_codec::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use ottla_codec::messages::join_group::{JoinGroupRequest, JoinGroupResponse};
use ottla_codec::messages::leave_group::{
    LeaveGroupRequest, LeaveGroupResponse, MemberIdentity, MemberResponse,
};
use ottla_codec::messages::sync_group::SyncGroupRequest;

use super::coordinators::coordinates;
use super::{Outcome, code};
use crate::groups::{Group, Joining, refused_join, refused_sync};
use crate::state::{RequestContext, State};

pub(super) fn handle_join(
    state: &mut State,
    context: &RequestContext,
    request: JoinGroupRequest,
) -> Outcome {
    if let Err(error) = may_join(state, context, &request) {
        let answer = refused_join(&request.member_id, error);
        return Outcome::respond(worded(answer, context.version));
    }
    let client_id = context.client_id.as_deref().unwrap_or_default();
    let named = request.group_instance_id.as_deref().unwrap_or(client_id);
    let new_id = format!("{named}-{}", state.random_uuid_text());
    let ticket = state.groups.issue(context);
    let joining = Joining {
        request: &request,
        version: context.version,
        client_id,
        ticket,
        new_id: &new_id,
    };
    state.groups.obtain(&request.group_id, context.broker);
    state.change_group(&request.group_id, |group, now| group.join(joining, now));
    Outcome::Deferred
}

fn may_join(
    state: &State,
    context: &RequestContext,
    request: &JoinGroupRequest,
) -> Result<(), ErrorCode> {
    refuse_nameless(&request.group_id)?;
    let options = &state.groups.options;
    let timeout = u128::try_from(request.session_timeout_ms).unwrap_or_default();
    if timeout < options.min_session_timeout.as_millis()
        || timeout > options.max_session_timeout.as_millis()
    {
        return Err(ErrorCode::InvalidSessionTimeout);
    }
    coordinates(state, context, &request.group_id)?;
    let is_known = state.groups.group(&request.group_id).is_some();
    match is_known || request.member_id.is_empty() {
        true => Ok(()),
        false => Err(ErrorCode::UnknownMemberId),
    }
}

/// A join's answer as the version has it: before v7 the empty text stands for no protocol.
pub(super) fn worded(mut answer: JoinGroupResponse, version: i16) -> JoinGroupResponse {
    if version < 7 {
        answer.protocol_name.get_or_insert_default();
    }
    answer
}

pub(super) fn handle_sync(
    state: &mut State,
    context: &RequestContext,
    request: SyncGroupRequest,
) -> Outcome {
    if let Err(error) = may_sync(state, context, &request) {
        let error = match error {
            ErrorCode::CoordinatorLoadInProgress
                if !state.options.release.tells_syncs_of_loading() =>
            {
                ErrorCode::RebalanceInProgress
            }
            error => error,
        };
        return Outcome::respond(refused_sync(error));
    }
    let ticket = state.groups.issue(context);
    let is_leaders = state.change_group(&request.group_id, |group, now| {
        group.sync(&request, ticket, now)
    });
    if is_leaders == Some(true) {
        state.report_conflicts(&request.group_id);
    }
    Outcome::Deferred
}

fn may_sync(
    state: &State,
    context: &RequestContext,
    request: &SyncGroupRequest,
) -> Result<(), ErrorCode> {
    let says_protocol = request.protocol_type.is_some() && request.protocol_name.is_some();
    if context.version >= 5 && !says_protocol {
        return Err(ErrorCode::InconsistentGroupProtocol);
    }
    refuse_nameless(&request.group_id)?;
    coordinates(state, context, &request.group_id)?;
    let group = state.groups.group(&request.group_id);
    group.map(|_| ()).ok_or(ErrorCode::UnknownMemberId)
}

pub(super) fn handle_heartbeat(
    state: &mut State,
    context: &RequestContext,
    request: HeartbeatRequest,
) -> Outcome {
    let result = refuse_nameless(&request.group_id)
        .and_then(|()| coordinates(state, context, &request.group_id))
        .and_then(|()| {
            let beat = |group: &mut Group, now| group.heartbeat(&request, now);
            let result = state.change_group(&request.group_id, beat);
            result.unwrap_or(Err(ErrorCode::UnknownMemberId))
        });
    let result = match result {
        // Whether it is a member is not known yet, so nobody is alarmed.
        Err(ErrorCode::CoordinatorLoadInProgress) => Ok(()),
        result => result,
    };
    Outcome::respond(HeartbeatResponse {
        error_code: code(result),
        ..Default::default()
    })
}

pub(super) fn handle_leave(
    state: &mut State,
    context: &RequestContext,
    mut request: LeaveGroupRequest,
) -> Outcome {
    if context.version < 3 {
        request.members = vec![MemberIdentity {
            member_id: request.member_id,
            ..Default::default()
        }];
    }
    let refused = refuse_nameless(&request.group_id)
        .and_then(|()| coordinates(state, context, &request.group_id));
    if refused.is_err() {
        return Outcome::respond(LeaveGroupResponse {
            error_code: code(refused),
            ..Default::default()
        });
    }
    let leave = |group: &mut Group, now| group.leave(&request.members, now);
    let results = state.change_group(&request.group_id, leave);
    let unknown = || vec![Err(ErrorCode::UnknownMemberId); request.members.len()];
    let results = results.unwrap_or_else(unknown);
    if context.version < 3 {
        let result = results.into_iter().collect();
        return Outcome::respond(LeaveGroupResponse {
            error_code: code(result),
            ..Default::default()
        });
    }
    let members = request.members.into_iter().zip(results);
    let members = members.map(|(member, result)| MemberResponse {
        member_id: member.member_id,
        group_instance_id: member.group_instance_id,
        error_code: code(result),
        ..Default::default()
    });
    Outcome::respond(LeaveGroupResponse {
        members: members.collect(),
        ..Default::default()
    })
}

pub(super) fn refuse_nameless(group: &str) -> Result<(), ErrorCode> {
    match group.is_empty() {
        true => Err(ErrorCode::InvalidGroupId),
        false => Ok(()),
    }
}
