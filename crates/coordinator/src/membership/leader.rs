//! What the group's leader decides, for all members, and what it decided on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use ottla_assignor::{Assignment, Assignor, Member, RebalanceProtocol, Topic, Topics, check};
use ottla_codec::messages::join_group::JoinGroupResponseMember;
use ottla_codec::messages::sync_group::SyncGroupRequestAssignment;

use super::asking::ask;
use super::error::failure::HandedOverSnafu;
use super::{Failure, envelope};

/// Kafka's own cooperative assignor. It hands over what an old memory claims, and rightly so.
const COOPERATIVE_STICKY: &str = "cooperative-sticky";

/// A decision to be made: which member gets what.
pub struct Planning {
    assignor: Arc<dyn Assignor>,
    protocol: RebalanceProtocol,
    members: Vec<Member>,
    topics: BTreeSet<String>,
}

/// A decision made.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub(super) assignments: Vec<SyncGroupRequestAssignment>,
    pub(super) topics: Topics,
}

impl Planning {
    pub(super) fn new(
        assignor: Arc<dyn Assignor>,
        protocol: RebalanceProtocol,
        members: &[JoinGroupResponseMember],
    ) -> Result<Self, Failure> {
        let members: Vec<Member> = members
            .iter()
            .map(|member| {
                envelope::decode_member(member).map_err(|source| Failure::Subscription {
                    member: member.member_id.clone(),
                    source,
                })
            })
            .collect::<Result<_, _>>()?;
        let topics = members.iter().flat_map(|member| &member.topics);
        Ok(Self {
            assignor,
            protocol,
            topics: topics.cloned().collect(),
            members,
        })
    }

    /// The topics that members subscribe to, by name. Their metadata is needed, as fresh as possible.
    pub fn topics(&self) -> &BTreeSet<String> {
        &self.topics
    }

    /// The members, as they described themselves.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Asks the assignor. Topics that do not exist are left out of `topics`.
    ///
    /// # Errors
    ///
    /// The assignor's own, and what is wrong with its answer.
    pub fn run(&self, topics: Topics) -> Result<Plan, Failure> {
        let assignor = || self.assignor.name().to_owned();
        let given = ask(&*self.assignor, |assignor| {
            assignor.assign(&topics, &self.members)
        })?
        .map_err(|source| Failure::Assign {
            assignor: assignor(),
            source,
        })?;
        check(&topics, &self.members, &given).map_err(|source| Failure::InvalidPlan {
            assignor: assignor(),
            source,
        })?;
        self.check_handed_over(&given)?;
        let assignments = self
            .members
            .iter()
            .zip(&given)
            .map(|(member, assignment)| {
                Ok(SyncGroupRequestAssignment {
                    member_id: member.id.clone(),
                    assignment: envelope::encode_assignment(assignment)
                        .map_err(|source| Failure::Encode { source })?,
                    ..Default::default()
                })
            })
            .collect::<Result<_, Failure>>()?;
        Ok(Plan {
            assignments,
            topics,
        })
    }

    /// With the cooperative protocol a partition goes to nobody before its owner has given it up. As in Java, the
    /// built-in assignor is trusted with that.
    fn check_handed_over(&self, given: &[Assignment]) -> Result<(), Failure> {
        if self.protocol != RebalanceProtocol::Cooperative
            || self.assignor.name() == COOPERATIVE_STICKY
        {
            return Ok(());
        }
        // An older claim is a memory, not a possession.
        let newest = self.members.iter().map(|member| member.generation).max();
        let mut owners: BTreeMap<(&str, i32), &str> = BTreeMap::new();
        for member in &self.members {
            if Some(member.generation) == newest {
                for (topic, partition) in pairs(&member.owned) {
                    owners.insert((topic, partition), &member.id);
                }
            }
        }
        for (member, assignment) in self.members.iter().zip(given) {
            for (topic, partition) in pairs(&assignment.partitions) {
                if let Some(&from) = owners.get(&(topic, partition))
                    && from != member.id
                {
                    return HandedOverSnafu {
                        assignor: self.assignor.name(),
                        topic,
                        partition,
                        from,
                        to: member.id.clone(),
                    }
                    .fail();
                }
            }
        }
        Ok(())
    }
}

fn pairs(partitions: &BTreeMap<String, Vec<i32>>) -> impl Iterator<Item = (&str, i32)> {
    partitions.iter().flat_map(|(topic, partitions)| {
        partitions
            .iter()
            .map(move |&partition| (topic.as_str(), partition))
    })
}

impl fmt::Debug for Planning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Planning")
            .field("assignor", &self.assignor.name())
            .field("members", &self.members)
            .field("topics", &self.topics)
            .finish()
    }
}

/// What the leader has its eye on: the topics it decided on.
#[derive(Debug)]
pub(super) struct Watch {
    topics: BTreeSet<String>,
    /// What the decision was made with, once it was made.
    planned: Option<Topics>,
    latest: Option<Topics>,
}

impl Watch {
    pub(super) fn new(topics: BTreeSet<String>) -> Self {
        Self {
            topics,
            planned: None,
            latest: None,
        }
    }

    pub(super) fn topics(&self) -> &BTreeSet<String> {
        &self.topics
    }

    pub(super) fn planned_with(&mut self, topics: Topics) {
        self.planned = Some(topics);
    }

    /// What is known now.
    pub(super) fn observe(&mut self, topics: &Topics) {
        let known = self.topics.iter();
        let known = known.filter_map(|name| Some((name.clone(), topics.topic(name)?.clone())));
        self.latest = Some(known.collect());
    }

    /// The first topic that differs from what was decided on; racks count if the leader has one, as in Java.
    pub(super) fn changed(&self, racks: bool) -> Option<&str> {
        let (planned, latest) = (self.planned.as_ref()?, self.latest.as_ref()?);
        let mut topics = self.topics.iter().map(String::as_str);
        topics.find(|name| !same(planned.topic(name), latest.topic(name), racks))
    }
}

fn same(a: Option<&Topic>, b: Option<&Topic>, racks: bool) -> bool {
    let (Some(a), Some(b)) = (a, b) else {
        return a.is_none() && b.is_none();
    };
    let of = |topic: &Topic, partition| -> BTreeSet<String> {
        topic.replica_racks(partition).iter().cloned().collect()
    };
    a.partition_count() == b.partition_count()
        && (!racks || (0..a.partition_count()).all(|p| of(a, p) == of(b, p)))
}
