//! What is said of members and their groups.

use bytes::Bytes;
use ottla_codec::messages::delete_groups::DeleteGroupsResponse;
use ottla_codec::messages::describe_groups::DescribeGroupsResponse;
use ottla_codec::messages::heartbeat::HeartbeatResponse;
use ottla_codec::messages::join_group::JoinGroupResponse;
use ottla_codec::messages::leave_group::LeaveGroupResponse;
use ottla_codec::messages::list_groups::ListGroupsResponse;
use ottla_codec::messages::offset_delete::OffsetDeleteResponse;
use ottla_codec::messages::sync_group::SyncGroupResponse;

use super::names::{Names, Outcome, code, join, sorted, unless};

impl Outcome for JoinGroupResponse {
    fn outcome(&self, _version: i16, names: &Names) -> String {
        let members = self.members.iter().map(|member| {
            let instance = instance(member.group_instance_id.as_ref());
            let id = names.member(&member.member_id);
            format!("{id}{instance}={}", bytes(&member.metadata))
        });
        let skips = unless("skip", self.skip_assignment, false);
        let generation = unless("generation", self.generation_id, -1);
        format!(
            "{} id={} leader={}{generation} type={} protocol={}{skips} members={}",
            code(self.error_code),
            names.member(&self.member_id),
            names.member(&self.leader),
            text(self.protocol_type.as_ref()),
            text(self.protocol_name.as_ref()),
            sorted(members),
        )
    }
}

impl Outcome for SyncGroupResponse {
    fn outcome(&self, _version: i16, _names: &Names) -> String {
        format!(
            "{} type={} protocol={} assignment={}",
            code(self.error_code),
            text(self.protocol_type.as_ref()),
            text(self.protocol_name.as_ref()),
            bytes(&self.assignment)
        )
    }
}

impl Outcome for HeartbeatResponse {
    fn outcome(&self, _version: i16, _names: &Names) -> String {
        code(self.error_code)
    }
}

impl Outcome for LeaveGroupResponse {
    fn outcome(&self, _version: i16, names: &Names) -> String {
        let members = self.members.iter().map(|member| {
            let instance = instance(member.group_instance_id.as_ref());
            let id = names.member(&member.member_id);
            format!("{id}{instance} {}", code(member.error_code))
        });
        format!("{} {}", code(self.error_code), join(members))
    }
}

impl Outcome for DescribeGroupsResponse {
    fn outcome(&self, _version: i16, names: &Names) -> String {
        sorted(self.groups.iter().map(|group| {
            let members = group.members.iter().map(|member| {
                format!(
                    "{}{} of {} at {} {} -> {}",
                    names.member(&member.member_id),
                    instance(member.group_instance_id.as_ref()),
                    member.client_id,
                    member.client_host,
                    bytes(&member.member_metadata),
                    bytes(&member.member_assignment)
                )
            });
            let message = group.error_message.as_ref().map_or("", |_| " (a message)");
            format!(
                "{} {}{message} {:?} type={:?} data={:?}{} members=({})",
                names.name(&group.group_id),
                code(group.error_code),
                group.group_state,
                group.protocol_type,
                group.protocol_data,
                unless("operations", group.authorized_operations, i32::MIN),
                sorted(members)
            )
        }))
    }
}

/// Only the groups of the script: a broker may have others.
impl Outcome for ListGroupsResponse {
    fn outcome(&self, _version: i16, names: &Names) -> String {
        let own = self
            .groups
            .iter()
            .filter(|group| names.has(&group.group_id));
        let groups = own.map(|group| {
            format!(
                "{} type={:?} {:?} {:?}",
                names.name(&group.group_id),
                group.protocol_type,
                group.group_state,
                group.group_type
            )
        });
        format!("{} {}", code(self.error_code), sorted(groups))
    }
}

impl Outcome for DeleteGroupsResponse {
    fn outcome(&self, _version: i16, names: &Names) -> String {
        sorted(self.results.iter().map(|result| {
            format!(
                "{} {}",
                names.name(&result.group_id),
                code(result.error_code)
            )
        }))
    }
}

impl Outcome for OffsetDeleteResponse {
    fn outcome(&self, _version: i16, names: &Names) -> String {
        let partitions = self.topics.iter().flat_map(|topic| {
            let name = names.name(&topic.name);
            topic.partitions.iter().map(move |answer| {
                let index = answer.partition_index;
                format!("{name}/{index} {}", code(answer.error_code))
            })
        });
        format!("{} {}", code(self.error_code), sorted(partitions))
    }
}

fn instance(id: Option<&String>) -> String {
    id.map_or_else(String::new, |id| format!("[{id}]"))
}

fn text(text: Option<&String>) -> String {
    text.map_or_else(|| "none".to_owned(), |text| format!("{text:?}"))
}

/// What members say and get is short text in the scripts, but for subscriptions, which are as long as topics' names.
fn bytes(bytes: &Bytes) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => format!("{text:?}"),
        _ => "bytes".to_owned(),
    }
}
