//! What is said of groups: FindCoordinator, OffsetCommit, OffsetFetch.

use ottla_codec::messages::find_coordinator::FindCoordinatorResponse;
use ottla_codec::messages::offset_commit::OffsetCommitResponse;
use ottla_codec::messages::offset_fetch::OffsetFetchResponse;

use super::names::{Names, Outcome, code, join, sorted, unless};

impl Outcome for FindCoordinatorResponse {
    fn outcome(&self, version: i16, names: &Names) -> String {
        let place = |error: i16, node: i32, port: i32| {
            let at = if port > 0 { "an address" } else { "no address" };
            format!("{} node={node} {at}", code(error))
        };
        if version < 4 {
            return place(self.error_code, self.node_id, self.port);
        }
        join(self.coordinators.iter().map(|found| {
            let place = place(found.error_code, found.node_id, found.port);
            format!("{} {place}", names.name(&found.key))
        }))
    }
}

impl Outcome for OffsetCommitResponse {
    fn outcome(&self, _version: i16, names: &Names) -> String {
        sorted(self.topics.iter().flat_map(|topic| {
            let name = names.topic(&topic.name, topic.topic_id);
            topic.partitions.iter().map(move |answer| {
                format!(
                    "{name}/{} {}",
                    answer.partition_index,
                    code(answer.error_code)
                )
            })
        }))
    }
}

impl Outcome for OffsetFetchResponse {
    fn outcome(&self, version: i16, names: &Names) -> String {
        let offset = |index, error, offset, epoch, metadata: Option<&str>| {
            let metadata = match metadata {
                None => " no metadata".to_owned(),
                Some("") => String::new(),
                Some(text) if text.len() < 10 => format!(" {text:?}"),
                Some(text) => format!(" {} bytes", text.len()),
            };
            format!(
                "{index} {} {offset}{}{metadata}",
                code(error),
                unless("epoch", epoch, -1)
            )
        };
        if version < 8 {
            let topics = self.topics.iter().flat_map(|topic| {
                let name = names.name(&topic.name);
                topic.partitions.iter().map(move |answer| {
                    let metadata = answer.metadata.as_deref();
                    let (committed, epoch) =
                        (answer.committed_offset, answer.committed_leader_epoch);
                    let index = answer.partition_index;
                    format!(
                        "{name}/{}",
                        offset(index, answer.error_code, committed, epoch, metadata)
                    )
                })
            });
            return format!("{} {}", code(self.error_code), sorted(topics));
        }
        join(self.groups.iter().map(|group| {
            let topics = group.topics.iter().flat_map(|topic| {
                let name = names.topic(&topic.name, topic.topic_id);
                topic.partitions.iter().map(move |answer| {
                    let metadata = answer.metadata.as_deref();
                    let (committed, epoch) =
                        (answer.committed_offset, answer.committed_leader_epoch);
                    let index = answer.partition_index;
                    format!(
                        "{name}/{}",
                        offset(index, answer.error_code, committed, epoch, metadata)
                    )
                })
            });
            format!(
                "group {} {} {}",
                names.name(&group.group_id),
                code(group.error_code),
                sorted(topics)
            )
        }))
    }
}
