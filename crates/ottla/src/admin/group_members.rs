//! Taking members out of their group.
//!
//! # References
//! - KIP-345 (by instance id), KIP-800 (why)

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_codec::messages::leave_group::{LeaveGroupRequest, MemberIdentity, MemberResponse};
use ottla_codec::{ErrorCode, Message};
use ottla_coordinator::membership::{SEVERAL_MEMBERS, shortened};

use super::Admin;
use super::coordinators::Asked;
use crate::error::{Error, Result};

impl Admin {
    /// Takes static members out of their group, so that it rebalances at once instead of when their sessions
    /// end; each has its own result. `reason` is for the coordinator's log, from 3.2 on. Needs brokers from
    /// 2.4 on.
    ///
    /// A member that is still running joins again.
    ///
    /// # Errors
    ///
    /// When the coordinator could not be reached in time or refuses; [`ErrorKind::Unsupported`]. An instance
    /// id that no member has is in its own result.
    ///
    /// # Cancel safety
    ///
    /// After a drop the members may or may not be in the group.
    ///
    /// [`ErrorKind::Unsupported`]: crate::ErrorKind::Unsupported
    #[doc(alias = "removeMembersFromConsumerGroup")]
    pub async fn remove_members(
        &self,
        group: &str,
        instance_ids: impl IntoIterator<Item = impl Into<String>>,
        reason: &str,
    ) -> Result<BTreeMap<String, Result<()>>> {
        let members = instance_ids.into_iter().map(|instance| MemberIdentity {
            group_instance_id: Some(instance.into()),
            ..Default::default()
        });
        let outcomes = self.leave(group, members.collect(), reason).await?;
        let by_instance = |(member, outcome): (MemberResponse, Result<()>)| {
            (member.group_instance_id.unwrap_or_default(), outcome)
        };
        Ok(outcomes.into_iter().map(by_instance).collect())
    }

    /// Takes every member out of a group, static or not; each has its own result, under its member id.
    /// `reason` is for the coordinator's log, from 3.2 on. Needs brokers from 2.4 on.
    ///
    /// Members that are still running join again.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownGroup`], [`ErrorKind::Unsupported`], or the coordinator could not be reached in
    /// time.
    ///
    /// # Cancel safety
    ///
    /// After a drop the members may or may not be in the group.
    ///
    /// [`ErrorKind::UnknownGroup`]: crate::ErrorKind::UnknownGroup
    /// [`ErrorKind::Unsupported`]: crate::ErrorKind::Unsupported
    #[doc(alias = "removeMembersFromConsumerGroup")]
    pub async fn remove_all_members(
        &self,
        group: &str,
        reason: &str,
    ) -> Result<BTreeMap<String, Result<()>>> {
        let members = self.describe_group(group).await?.members;
        let members = members.into_iter().map(|member| MemberIdentity {
            member_id: member.member_id,
            group_instance_id: member.instance_id,
            ..Default::default()
        });
        let outcomes = self.leave(group, members.collect(), reason).await?;
        let by_id = |(member, outcome): (MemberResponse, Result<()>)| {
            // One that has left by itself meanwhile is out as well.
            let gone = member.error_code == ErrorCode::UnknownMemberId.code();
            (member.member_id, if gone { Ok(()) } else { outcome })
        };
        Ok(outcomes.into_iter().map(by_id).collect())
    }

    async fn leave(
        &self,
        group: &str,
        mut members: Vec<MemberIdentity>,
        reason: &str,
    ) -> Result<Vec<(MemberResponse, Result<()>)>> {
        if members.is_empty() {
            return Ok(Vec::new());
        }
        let reason = shortened(reason);
        for member in &mut members {
            member.reason = Some(reason.clone()).filter(|reason| !reason.is_empty());
        }
        let request = Arc::new(LeaveGroupRequest {
            group_id: group.to_owned(),
            members,
            ..Default::default()
        });
        let ask = move |asked| leave(asked, request.clone());
        self.ask_coordinator("removing members", group, ask).await
    }
}

async fn leave(
    asked: Asked,
    request: Arc<LeaveGroupRequest>,
) -> Result<Vec<(MemberResponse, Result<()>)>> {
    let mut own = LeaveGroupRequest::VERSIONS;
    // Before it, a member can only leave by itself.
    own.min = SEVERAL_MEMBERS;
    let picked = asked.connection.versions().pick::<LeaveGroupRequest>(own);
    let version = picked.map_err(|error| Error::unsupported("removing members", &error))?;
    let response = asked.connection.request(&*request, version, asked.deadline);
    let response = response.await?;
    let group = &request.group_id;
    let outcome = |code| match ErrorCode::from_code(code) {
        ErrorCode::None => Ok(()),
        code => Err(Error::about_group("LeaveGroup", code, group)),
    };
    outcome(response.error_code)?;
    let members = response.members.into_iter();
    Ok(members
        .map(|member| {
            let outcome = outcome(member.error_code);
            (member, outcome)
        })
        .collect())
}
