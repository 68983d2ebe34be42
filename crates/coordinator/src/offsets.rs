//! Committing offsets, reading committed ones, and deleting them.
//!
//! Topics go by name: the versions that take topic ids are left alone, because an id that the
//! coordinator does not know yet would refuse a commit that its name carries.

use std::collections::BTreeMap;

use ottla_codec::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
    OffsetCommitResponse,
};
use ottla_codec::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
    OffsetDeleteResponse,
};
use ottla_codec::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    OffsetFetchResponse,
};
use ottla_codec::{ErrorCode, Message, VersionRange};

use crate::Refusal;
use crate::membership::Identity;

/// The last version of OffsetCommit and OffsetFetch that names topics.
const LAST_BY_NAME: i16 = 9;
/// From this version on, OffsetCommit names static members (KIP-345).
const INSTANCE_ID: i16 = 7;
/// From this version on, OffsetFetch takes several groups (KIP-709).
pub const SEVERAL_GROUPS: i16 = 8;
/// From this version on, OffsetFetch can be asked for all that a group has.
pub const ALL_OFFSETS: i16 = 2;
/// From this version on, OffsetFetch can wait for the commits of open transactions (KIP-447).
const REQUIRE_STABLE: i16 = 7;

/// The versions of OffsetCommit that [`commit`] is for: a static member needs newer ones (KIP-345).
pub fn commit_versions(member: Option<&Identity>) -> VersionRange {
    let is_static = member.is_some_and(|member| member.instance_id.is_some());
    VersionRange {
        min: if is_static {
            INSTANCE_ID
        } else {
            OffsetCommitRequest::VERSIONS.min
        },
        max: LAST_BY_NAME,
    }
}

/// The versions of OffsetFetch that [`fetch`] is for.
pub const FETCH_VERSIONS: VersionRange = VersionRange {
    min: OffsetFetchRequest::VERSIONS.min,
    max: LAST_BY_NAME,
};

/// An offset with what is kept beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// The offset of the next record to be read.
    pub offset: i64,
    /// The leader epoch of the last record read, where known (KIP-320).
    pub leader_epoch: Option<i32>,
    /// Whatever the committer keeps with it.
    pub metadata: String,
}

/// Offsets by topic and partition.
pub type Offsets = BTreeMap<(String, i32), Committed>;

/// What became of each of several partitions.
pub type Outcomes = BTreeMap<(String, i32), Result<(), Refusal>>;

/// Whose committed offsets are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The group.
    pub group: String,
    /// The partitions; `None` for all that the group has offsets of.
    pub partitions: Option<Vec<(String, i32)>>,
}

/// The request that commits offsets as that member; or as one who is none, which a coordinator accepts
/// while the group has no members.
pub fn commit(group: &str, member: Option<&Identity>, offsets: &Offsets) -> OffsetCommitRequest {
    let mut topics: Vec<OffsetCommitRequestTopic> = Vec::new();
    for ((topic, partition_index), committed) in offsets {
        let partition = OffsetCommitRequestPartition {
            partition_index: *partition_index,
            committed_offset: committed.offset,
            committed_leader_epoch: committed.leader_epoch.unwrap_or(-1),
            committed_metadata: Some(committed.metadata.clone()),
            ..Default::default()
        };
        match topics.last_mut() {
            Some(last) if last.name == *topic => last.partitions.push(partition),
            _ => topics.push(OffsetCommitRequestTopic {
                name: topic.clone(),
                partitions: vec![partition],
                ..Default::default()
            }),
        }
    }
    let request = OffsetCommitRequest {
        group_id: group.to_owned(),
        topics,
        ..Default::default()
    };
    match member {
        Some(member) => OffsetCommitRequest {
            generation_id_or_member_epoch: member.generation,
            member_id: member.member_id.clone(),
            group_instance_id: member.instance_id.clone(),
            ..request
        },
        None => request,
    }
}

/// Whether a commit was refused because of who sent it, and not because of what it says: the
/// membership is to be [told](crate::membership::Membership::commit_refused).
pub fn concerns_membership(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::UnknownMemberId
            | ErrorCode::IllegalGeneration
            | ErrorCode::RebalanceInProgress
            | ErrorCode::FencedInstanceId
    )
}

/// Whether all of `offsets` were committed.
///
/// # Errors
///
/// A refusal, of many that of the first partition.
pub fn committed(response: &OffsetCommitResponse, offsets: &Offsets) -> Result<(), Refusal> {
    outcomes(response, offsets).into_values().collect()
}

/// Which of `offsets` were committed. A partition that the answer leaves out counts as
/// `UNKNOWN_SERVER_ERROR`: what was not confirmed is not committed.
pub fn outcomes(response: &OffsetCommitResponse, offsets: &Offsets) -> Outcomes {
    let answers = response.topics.iter().flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.map(|p| (topic.name.as_str(), p.partition_index, p.error_code))
    });
    by_partition(answers, offsets.keys())
}

/// The outcome of each partition that was asked about.
fn by_partition<'a, 'b>(
    answers: impl Iterator<Item = (&'a str, i32, i16)>,
    asked: impl IntoIterator<Item = &'b (String, i32)>,
) -> Outcomes {
    let answers: BTreeMap<(&str, i32), i16> = answers
        .map(|(topic, partition, code)| ((topic, partition), code))
        .collect();
    let unanswered = ErrorCode::UnknownServerError.code();
    asked
        .into_iter()
        .map(|(topic, partition)| {
            let name = (topic.as_str(), *partition);
            let code = answers.get(&name).copied().unwrap_or(unanswered);
            (
                (topic.clone(), *partition),
                Refusal::check(code, Some(name)),
            )
        })
        .collect()
}

/// The request that reads what a group has committed for these partitions, once it is stable.
pub fn fetch<'a>(
    group: &str,
    partitions: impl IntoIterator<Item = (&'a str, i32)>,
    version: i16,
) -> OffsetFetchRequest {
    let partitions = partitions.into_iter();
    let query = Query {
        group: group.to_owned(),
        partitions: Some(partitions.map(|(topic, p)| (topic.to_owned(), p)).collect()),
    };
    OffsetFetchRequest {
        require_stable: version >= REQUIRE_STABLE,
        ..match version < SEVERAL_GROUPS {
            true => query.alone(),
            false => fetch_several([query]),
        }
    }
}

/// The request that reads what groups have committed, from version [`SEVERAL_GROUPS`] on.
pub fn fetch_several(queries: impl IntoIterator<Item = Query>) -> OffsetFetchRequest {
    let topic = |(name, partition_indexes)| OffsetFetchRequestTopics {
        name,
        partition_indexes,
        ..Default::default()
    };
    let group = |query: Query| OffsetFetchRequestGroup {
        topics: query.by_topic(topic),
        group_id: query.group,
        ..Default::default()
    };
    OffsetFetchRequest {
        groups: queries.into_iter().map(group).collect(),
        ..Default::default()
    }
}

impl Query {
    /// The request that reads what this group alone has committed, below version [`SEVERAL_GROUPS`].
    pub fn alone(self) -> OffsetFetchRequest {
        OffsetFetchRequest {
            topics: self.by_topic(|(name, partition_indexes)| OffsetFetchRequestTopic {
                name,
                partition_indexes,
                ..Default::default()
            }),
            group_id: self.group,
            ..Default::default()
        }
    }

    fn by_topic<T>(&self, topic: impl Fn((String, Vec<i32>)) -> T) -> Option<Vec<T>> {
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for (name, partition) in self.partitions.as_ref()? {
            topics.entry(name).or_default().push(*partition);
        }
        let topics = topics.into_iter();
        Some(
            topics
                .map(|(name, all)| topic((name.to_owned(), all)))
                .collect(),
        )
    }
}

/// What a group has committed; partitions without an offset are left out.
///
/// # Errors
///
/// The first refusal.
pub fn fetched(
    response: &OffsetFetchResponse,
    group: &str,
    version: i16,
) -> Result<Offsets, Refusal> {
    let mut offsets = Offsets::new();
    let mut take = |topic: &str, partition, code, offset, epoch, metadata: &Option<String>| {
        Refusal::check(code, Some((topic, partition)))?;
        if offset >= 0 {
            let committed = Committed {
                offset,
                leader_epoch: (epoch >= 0).then_some(epoch),
                metadata: metadata.clone().unwrap_or_default(),
            };
            offsets.insert((topic.to_owned(), partition), committed);
        }
        Ok::<(), Refusal>(())
    };
    if version < SEVERAL_GROUPS {
        Refusal::check(response.error_code, None)?;
        for topic in &response.topics {
            for p in &topic.partitions {
                let (offset, epoch) = (p.committed_offset, p.committed_leader_epoch);
                take(
                    &topic.name,
                    p.partition_index,
                    p.error_code,
                    offset,
                    epoch,
                    &p.metadata,
                )?;
            }
        }
    } else {
        for answer in response
            .groups
            .iter()
            .filter(|answer| answer.group_id == group)
        {
            Refusal::check(answer.error_code, None)?;
            for topic in &answer.topics {
                for p in &topic.partitions {
                    let (offset, epoch) = (p.committed_offset, p.committed_leader_epoch);
                    take(
                        &topic.name,
                        p.partition_index,
                        p.error_code,
                        offset,
                        epoch,
                        &p.metadata,
                    )?;
                }
            }
        }
    }
    Ok(offsets)
}

/// The request that deletes a group's offsets of these partitions.
pub fn delete<'a>(
    group: &str,
    partitions: impl IntoIterator<Item = &'a (String, i32)>,
) -> OffsetDeleteRequest {
    let mut topics: BTreeMap<&str, Vec<OffsetDeleteRequestPartition>> = BTreeMap::new();
    for (topic, partition_index) in partitions {
        let partition = OffsetDeleteRequestPartition {
            partition_index: *partition_index,
        };
        topics.entry(topic).or_default().push(partition);
    }
    let topic = |(name, partitions): (&str, _)| OffsetDeleteRequestTopic {
        name: name.to_owned(),
        partitions,
    };
    OffsetDeleteRequest {
        group_id: group.to_owned(),
        topics: topics.into_iter().map(topic).collect(),
    }
}

/// Of which partitions the offsets were deleted. One that the answer leaves out counts as
/// `UNKNOWN_SERVER_ERROR`.
///
/// # Errors
///
/// The refusal of the whole.
pub fn deleted<'a>(
    response: &OffsetDeleteResponse,
    partitions: impl IntoIterator<Item = &'a (String, i32)>,
) -> Result<Outcomes, Refusal> {
    Refusal::check(response.error_code, None)?;
    let answers = response.topics.iter().flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.map(|p| (topic.name.as_str(), p.partition_index, p.error_code))
    });
    Ok(by_partition(answers, partitions))
}

#[cfg(test)]
mod tests {
    use ottla_codec::messages::offset_commit::{
        OffsetCommitResponsePartition, OffsetCommitResponseTopic,
    };
    use ottla_codec::messages::offset_fetch::{
        OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
        OffsetFetchResponseTopic, OffsetFetchResponseTopics,
    };

    use super::*;

    fn offsets() -> Offsets {
        let committed = |offset, leader_epoch| Committed {
            offset,
            leader_epoch,
            metadata: format!("at {offset}"),
        };
        Offsets::from([
            (("a".into(), 0), committed(1, Some(4))),
            (("a".into(), 1), committed(2, None)),
            (("b".into(), 0), committed(3, None)),
        ])
    }

    fn confirmation(of: &[(&str, i32, ErrorCode)]) -> OffsetCommitResponse {
        OffsetCommitResponse {
            topics: of
                .iter()
                .map(|&(name, partition_index, code)| OffsetCommitResponseTopic {
                    name: name.into(),
                    partitions: vec![OffsetCommitResponsePartition {
                        partition_index,
                        error_code: code.code(),
                        ..Default::default()
                    }],
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }
    }

    #[test]
    fn a_commit_names_each_topic_once() {
        let request = commit("g", None, &offsets());
        assert_eq!(request.group_id, "g");
        let shape: Vec<_> = request
            .topics
            .iter()
            .map(|t| (t.name.as_str(), t.partitions.len()))
            .collect();
        assert_eq!(shape, [("a", 2), ("b", 1)]);
        assert_eq!(request.topics[0].partitions[0].committed_leader_epoch, 4);
        assert_eq!(request.topics[0].partitions[1].committed_leader_epoch, -1);
    }

    #[test]
    fn a_member_commits_as_what_it_is() {
        let nobody = commit("g", None, &offsets());
        assert_eq!(nobody.generation_id_or_member_epoch, -1);
        assert_eq!(commit_versions(None).min, 2);

        let mut member = Identity {
            member_id: "m".to_owned(),
            generation: 4,
            instance_id: None,
        };
        let request = commit("g", Some(&member), &offsets());
        assert_eq!(request.generation_id_or_member_epoch, 4);
        assert_eq!(request.member_id, "m");
        assert_eq!(request.group_instance_id, None);
        assert_eq!(commit_versions(Some(&member)).min, 2);

        member.instance_id = Some("i".to_owned());
        let request = commit("g", Some(&member), &offsets());
        assert_eq!(request.group_instance_id.as_deref(), Some("i"));
        assert_eq!(commit_versions(Some(&member)).min, 7);
    }

    #[test]
    fn only_what_is_confirmed_is_committed() {
        let none = ErrorCode::None;
        let all = [("a", 0, none), ("a", 1, none), ("b", 0, none)];
        assert_eq!(committed(&confirmation(&all), &offsets()), Ok(()));

        let code = ErrorCode::UnknownServerError;
        let partition = Some(("b".to_owned(), 0));
        let missing = Refusal { code, partition };
        assert_eq!(
            committed(&confirmation(&all[..2]), &offsets()),
            Err(missing)
        );

        let code = ErrorCode::OffsetMetadataTooLarge;
        let refused = [("a", 0, none), ("a", 1, code), ("b", 0, none)];
        let refusal = Refusal {
            code,
            partition: Some(("a".to_owned(), 1)),
        };
        assert_eq!(committed(&confirmation(&refused), &offsets()), Err(refusal));
    }

    #[test]
    fn all_of_a_group_is_another_question_than_nothing_of_it() {
        let query = |partitions| Query {
            group: "g".to_owned(),
            partitions,
        };
        for (partitions, topics) in [(None, None), (Some(Vec::new()), Some(0))] {
            let old = query(partitions.clone()).alone();
            assert_eq!(old.topics.map(|topics| topics.len()), topics);
            let new = fetch_several([query(partitions)]);
            assert_eq!(new.groups[0].topics.as_ref().map(Vec::len), topics);
        }
    }

    #[test]
    fn both_forms_of_a_fetch_ask_for_the_same() {
        let asked = [("b", 0), ("a", 0), ("a", 1)];
        let old = fetch("g", asked, 6);
        assert!(!old.require_stable);
        let topics = old.topics.unwrap();
        assert_eq!(
            (topics[0].name.as_str(), &*topics[0].partition_indexes),
            ("a", &[0, 1][..])
        );
        let new = fetch("g", asked, 8);
        assert!(new.require_stable);
        assert_eq!(new.groups[0].group_id, "g");
        assert_eq!(new.groups[0].topics.as_ref().unwrap()[1].name, "b");
    }

    #[test]
    fn both_forms_of_an_answer_are_read() {
        let old = OffsetFetchResponse {
            topics: vec![OffsetFetchResponseTopic {
                name: "a".into(),
                partitions: vec![
                    OffsetFetchResponsePartition {
                        committed_offset: 5,
                        committed_leader_epoch: 2,
                        metadata: Some("m".into()),
                        ..Default::default()
                    },
                    OffsetFetchResponsePartition {
                        partition_index: 1,
                        committed_offset: -1,
                        ..Default::default()
                    },
                ],
                ..Default::default()
            }],
            ..Default::default()
        };
        let new = OffsetFetchResponse {
            groups: vec![OffsetFetchResponseGroup {
                group_id: "g".into(),
                topics: vec![OffsetFetchResponseTopics {
                    name: "a".into(),
                    partitions: vec![OffsetFetchResponsePartitions {
                        committed_offset: 5,
                        committed_leader_epoch: 2,
                        metadata: Some("m".into()),
                        ..Default::default()
                    }],
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        let committed = Committed {
            offset: 5,
            leader_epoch: Some(2),
            metadata: "m".into(),
        };
        let expected = Offsets::from([(("a".to_owned(), 0), committed)]);
        assert_eq!(fetched(&old, "g", 7), Ok(expected.clone()));
        assert_eq!(fetched(&new, "g", 8), Ok(expected));
        assert_eq!(fetched(&new, "another", 8), Ok(Offsets::new()));
    }

    #[test]
    fn an_unstable_offset_is_a_refusal() {
        let code = ErrorCode::UnstableOffsetCommit;
        let response = OffsetFetchResponse {
            error_code: code.code(),
            ..Default::default()
        };
        assert_eq!(
            fetched(&response, "g", 7),
            Err(Refusal {
                code,
                partition: None
            })
        );
    }
}
