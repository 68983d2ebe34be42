//! What groups have committed: reading it, setting it, deleting it.
//!
//! # References
//! - KIP-709 (several groups in one request), KIP-496 (deleting offsets)

use std::collections::BTreeMap;
use std::sync::Arc;

use ottla_cluster::TopicPartition;
use ottla_codec::messages::offset_commit::OffsetCommitRequest;
use ottla_codec::messages::offset_fetch::{OffsetFetchRequest, OffsetFetchResponse};
use ottla_codec::{ErrorCode, VersionRange};
use ottla_coordinator::Refusal;
use ottla_coordinator::offsets::{self, ALL_OFFSETS, Outcomes, Query, SEVERAL_GROUPS};

use super::Admin;
use super::coordinators::{Answers, Asked};
use crate::consumer::OffsetAndMetadata;
use crate::error::{Error, ErrorKind, Result};

/// Whose committed offsets to list: a group's, of all partitions or of some.
///
/// A group's name by itself stands for all of its offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetsOf {
    group: String,
    partitions: Option<Vec<TopicPartition>>,
}

impl OffsetsOf {
    /// All offsets that a group has committed.
    pub fn group(group: impl Into<String>) -> Self {
        Self {
            group: group.into(),
            partitions: None,
        }
    }

    /// Only those of these partitions. Default: of all.
    #[must_use]
    pub fn partitions(
        self,
        partitions: impl IntoIterator<Item = impl Into<TopicPartition>>,
    ) -> Self {
        Self {
            partitions: Some(partitions.into_iter().map(Into::into).collect()),
            ..self
        }
    }

    fn query(self) -> Query {
        let name = |partition: TopicPartition| (partition.topic.to_string(), partition.partition);
        Query {
            group: self.group,
            partitions: self
                .partitions
                .map(|all| all.into_iter().map(name).collect()),
        }
    }
}

impl<T: Into<String>> From<T> for OffsetsOf {
    fn from(group: T) -> Self {
        Self::group(group)
    }
}

impl Admin {
    /// Lists what groups have committed; each group has its own result. Partitions for which a group has
    /// nothing are left out, and a group that does not exist has nothing.
    ///
    /// A transaction that is still open does not hold them back, as it does for a consumer that is about to
    /// begin from them.
    ///
    /// # Errors
    ///
    /// Only in the results of single groups: a coordinator that could not be reached in time, or refuses.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by a drop.
    #[doc(alias = "listConsumerGroupOffsets")]
    pub async fn list_group_offsets(
        &self,
        of: impl IntoIterator<Item = impl Into<OffsetsOf>>,
    ) -> BTreeMap<String, Result<BTreeMap<TopicPartition, OffsetAndMetadata>>> {
        let of = of.into_iter().map(|of| of.into().query());
        let queries: BTreeMap<String, Query> = of.map(|of| (of.group.clone(), of)).collect();
        let groups: Vec<String> = queries.keys().cloned().collect();
        let queries = Arc::new(queries);
        let ask = move |asked| fetch(asked, queries.clone());
        self.ask_coordinators("listing committed offsets", groups, ask)
            .await
    }

    /// Sets what a group has committed, as long as the group has no members; each partition has its own
    /// result. A group that does not exist comes into being.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::GroupNotEmpty`], or the coordinator could not be reached in time or refuses all of
    /// them.
    ///
    /// # Cancel safety
    ///
    /// After a drop the offsets may or may not be set.
    #[doc(alias = "alterConsumerGroupOffsets")]
    pub async fn alter_group_offsets(
        &self,
        group: &str,
        offsets: impl IntoIterator<Item = (TopicPartition, impl Into<OffsetAndMetadata>)>,
    ) -> Result<BTreeMap<TopicPartition, Result<()>>> {
        let offsets = offsets.into_iter().map(|(partition, offset)| {
            let name = (partition.topic.to_string(), partition.partition);
            (name, offset.into().into())
        });
        let offsets: Arc<offsets::Offsets> = Arc::new(offsets.collect());
        let group_id: Arc<str> = group.into();
        let ask = move |asked| commit(asked, group_id.clone(), offsets.clone());
        self.ask_coordinator("setting committed offsets", group, ask)
            .await
    }

    /// Deletes what a group has committed for these partitions; each has its own result. Of a group with
    /// members only partitions of topics that none of them is subscribed to. Needs brokers from 2.4 on.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownGroup`], [`ErrorKind::GroupNotEmpty`] for a group of others than consumers,
    /// [`ErrorKind::Unsupported`], or the coordinator could not be reached in time.
    ///
    /// # Cancel safety
    ///
    /// After a drop the offsets may or may not be deleted.
    #[doc(alias = "deleteConsumerGroupOffsets")]
    pub async fn delete_group_offsets(
        &self,
        group: &str,
        partitions: impl IntoIterator<Item = impl Into<TopicPartition>>,
    ) -> Result<BTreeMap<TopicPartition, Result<()>>> {
        let partitions = partitions.into_iter().map(Into::into);
        let partitions: Arc<[(String, i32)]> = partitions
            .map(|partition| (partition.topic.to_string(), partition.partition))
            .collect();
        let group_id: Arc<str> = group.into();
        let ask = move |asked| delete(asked, group_id.clone(), partitions.clone());
        self.ask_coordinator("deleting committed offsets", group, ask)
            .await
    }
}

async fn fetch(
    asked: Asked,
    queries: Arc<BTreeMap<String, Query>>,
) -> Result<Answers<BTreeMap<TopicPartition, OffsetAndMetadata>>> {
    let queries: Vec<&Query> = asked.groups.iter().filter_map(|g| queries.get(g)).collect();
    let all = queries.iter().any(|query| query.partitions.is_none());
    let own = VersionRange {
        min: match all {
            true => ALL_OFFSETS,
            false => offsets::FETCH_VERSIONS.min,
        },
        ..offsets::FETCH_VERSIONS
    };
    let picked = asked.connection.versions().pick::<OffsetFetchRequest>(own);
    let version = picked.map_err(|error| match all {
        true => Error::unsupported("listing all offsets of a group", &error),
        false => error.into(),
    })?;
    let submit = |request| asked.connection.submit(&request, version, asked.deadline);
    if version >= SEVERAL_GROUPS {
        let response = submit(offsets::fetch_several(queries.into_iter().cloned())).await?;
        let groups = response.groups.iter().map(|answer| &answer.group_id);
        return Ok(groups
            .map(|group| (group.clone(), fetched(&response, group, version)))
            .collect());
    }
    // All are under way before the first answer is waited for.
    let pending: Vec<_> = queries
        .into_iter()
        .map(|query| (&query.group, submit(query.clone().alone())))
        .collect();
    let mut answers = Answers::new();
    for (group, pending) in pending {
        answers.insert(group.clone(), fetched(&pending.await?, group, version));
    }
    Ok(answers)
}

fn fetched(
    response: &OffsetFetchResponse,
    group: &str,
    version: i16,
) -> Result<BTreeMap<TopicPartition, OffsetAndMetadata>> {
    let fetched = offsets::fetched(response, group, version).map_err(|refusal| {
        let Refusal { code, partition } = refusal;
        match partition {
            Some(name) => Error::broker("OffsetFetch", code, Some(name.into())),
            None => Error::about_group("OffsetFetch", code, group),
        }
    })?;
    let named = |((topic, partition), offset): ((String, i32), offsets::Committed)| {
        (TopicPartition::new(topic, partition), offset.into())
    };
    Ok(fetched.into_iter().map(named).collect())
}

async fn commit(
    asked: Asked,
    group: Arc<str>,
    offsets: Arc<offsets::Offsets>,
) -> Result<BTreeMap<TopicPartition, Result<()>>> {
    let versions = asked.connection.versions();
    let version = versions.pick::<OffsetCommitRequest>(offsets::commit_versions(None))?;
    let request = offsets::commit(&group, None, &offsets);
    let response = asked.connection.request(&request, version, asked.deadline);
    by_partition(
        "OffsetCommit",
        &group,
        offsets::outcomes(&response.await?, &offsets),
    )
}

async fn delete(
    asked: Asked,
    group: Arc<str>,
    partitions: Arc<[(String, i32)]>,
) -> Result<BTreeMap<TopicPartition, Result<()>>> {
    let request = offsets::delete(&group, partitions.iter());
    let response = asked.call(&request).await?;
    match offsets::deleted(&response, partitions.iter()) {
        Ok(outcomes) => by_partition("OffsetDelete", &group, outcomes),
        Err(refusal) => Err(Error::about_group("OffsetDelete", refusal.code, &group)),
    }
}

/// Each partition's outcome. Coordinators have no place for a refusal of a whole commit but its partitions.
fn by_partition(
    api: &'static str,
    group: &str,
    outcomes: Outcomes,
) -> Result<BTreeMap<TopicPartition, Result<()>>> {
    let mut results = BTreeMap::new();
    for (name, outcome) in outcomes {
        let partition = TopicPartition::from(name);
        let result = match outcome {
            Err(Refusal { code, .. }) => match code {
                ErrorCode::NotCoordinator
                | ErrorCode::CoordinatorNotAvailable
                | ErrorCode::CoordinatorLoadInProgress
                | ErrorCode::GroupAuthorizationFailed
                | ErrorCode::GroupIdNotFound
                | ErrorCode::InvalidGroupId => return Err(Error::about_group(api, code, group)),
                // To one who is no member, these say that there are members.
                ErrorCode::UnknownMemberId
                | ErrorCode::IllegalGeneration
                | ErrorCode::RebalanceInProgress => {
                    let group = group.to_owned();
                    return Err(ErrorKind::GroupNotEmpty { group }.into());
                }
                code => Err(Error::broker(api, code, Some(partition.clone()))),
            },
            Ok(()) => Ok(()),
        };
        results.insert(partition, result);
    }
    Ok(results)
}
