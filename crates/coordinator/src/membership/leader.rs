//! What the group's leader decides, for all members, and what it decided on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use ottla_assignor::{Assignment, Assignor, Member, RebalanceProtocol, Topic, Topics, check};
use ottla_codec::messages::join_group::JoinGroupResponseMember;
use ottla_codec::messages::sync_group::SyncGroupRequestAssignment;

use super::asking::ask;
use super::error::failure::HandedOverSnafu;
use super::machine::Phase;
use super::{Failure, Membership, Partitions, envelope};

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
    /// What nobody gets before static members have given it up.
    pub(super) withheld: Partitions,
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
            withheld: self.withheld(&topics, &given),
            topics,
        })
    }

    /// What static members hold, and nobody is given. Others that die on the way to giving it up are missed by the
    /// coordinator, and the group rebalances.
    fn withheld(&self, topics: &Topics, given: &[Assignment]) -> Partitions {
        if self.protocol != RebalanceProtocol::Cooperative {
            return Partitions::new();
        }
        let given = given.iter().flat_map(|given| pairs(&given.partitions));
        let given: BTreeSet<(&str, i32)> = given.collect();
        let exists = |topic: &str, partition: i32| {
            let count = topics.topic(topic).map_or(0, Topic::partition_count);
            self.topics.contains(topic) && u32::try_from(partition).is_ok_and(|p| p < count)
        };
        let fixed = self.members.iter().filter(|m| m.instance_id.is_some());
        fixed
            .flat_map(|member| pairs(&member.owned))
            .filter(|&(topic, p)| exists(topic, p) && !given.contains(&(topic, p)))
            .map(|(topic, partition)| (topic.to_owned(), partition))
            .collect()
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

impl Membership {
    /// Begins to wait for static members to give up what the plan has withheld for others.
    ///
    /// One that dies on the way and is back within its session is in the group as if nothing had been: it is given
    /// what the plan has for it, does not know that it had still to join again, and the partitions would be nobody's
    /// until the next rebalance. By the session timeout whoever has died is back, or has been missed; whoever is just
    /// slow joins the rebalance that this begins when it is done, as it would have by itself. What nobody has given up
    /// by then either is asked for once only: more would be rebalancing without end.
    pub(super) fn plan_recall(&mut self, now: Instant) {
        let Some(watch) = &mut self.watch else {
            return;
        };
        if watch.withheld.is_empty() {
            self.recalled.clear();
        } else if !watch.withheld.is_subset(&self.recalled) {
            watch.recall_at = Some(now + self.config.session_timeout);
        }
    }

    /// Joins again if what the plan has withheld may have been forgotten.
    pub(super) fn recall(&mut self, now: Instant) {
        let Some(watch) = &mut self.watch else {
            return;
        };
        let is_due = watch.recall_at.take_if(|at| *at <= now).is_some();
        // Else the group rebalances already.
        if is_due && matches!(self.phase, Phase::Between) {
            self.recalled.extend(watch.withheld.iter().cloned());
            self.need("what static members were to give up may be nobody's");
        }
    }
}

/// What the leader has its eye on: the topics it decided on.
#[derive(Debug)]
pub(super) struct Watch {
    topics: BTreeSet<String>,
    /// What the decision was made with, once it was made.
    planned: Option<Topics>,
    latest: Option<Topics>,
    /// What it has withheld until static members have given it up.
    withheld: Partitions,
    /// When to see to it that this is not forgotten.
    pub(super) recall_at: Option<Instant>,
}

impl Watch {
    pub(super) fn new(topics: BTreeSet<String>) -> Self {
        Self {
            topics,
            planned: None,
            latest: None,
            withheld: Partitions::new(),
            recall_at: None,
        }
    }

    pub(super) fn topics(&self) -> &BTreeSet<String> {
        &self.topics
    }

    pub(super) fn planned_with(&mut self, topics: Topics, withheld: Partitions) {
        self.planned = Some(topics);
        self.withheld = withheld;
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
