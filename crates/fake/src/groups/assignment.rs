//! What consumers say to each other inside of joins and assignments, and whether it can be true.
//!
//! A coordinator does not look into it, but for the topics. Here it tells when two members would own one partition.
//!
//! # References
//! - KIP-429 (owned partitions), KIP-792 (the generation they are of)

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use ottla_codec::Message;
use ottla_codec::messages::consumer_protocol_assignment::ConsumerProtocolAssignment;
use ottla_codec::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use ottla_codec::wire::Input;

use super::group::Group;

/// The protocol type of consumers.
pub(super) const PROTOCOL_TYPE: &str = "consumer";

/// A topic and a partition.
type Place = (String, i32);

/// A partition that a leader gives to a member although another has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// Two members are assigned it in the same generation.
    AssignedTwice { place: Place, members: [String; 2] },
    /// A member joined with it, and has not given it up yet.
    StillOwned { place: Place, members: [String; 2] },
}

impl Group {
    /// Partitions that two members own by the present assignments, or one by them and another still.
    pub(crate) fn conflicts(&self) -> Vec<Ownership> {
        if !self.is_of_consumers() {
            return Vec::new();
        }
        let owners = self.owners_before();
        let mut assigned: BTreeMap<Place, &str> = BTreeMap::new();
        let mut conflicts = Vec::new();
        for member in self.members.values() {
            for place in assigned_partitions(&member.assignment).unwrap_or_default() {
                if let Some(owner) = owners.get(&place).filter(|&&owner| owner != member.id) {
                    conflicts.push(Ownership::StillOwned {
                        place: place.clone(),
                        members: [(*owner).to_owned(), member.id.clone()],
                    });
                }
                if let Some(other) = assigned.insert(place.clone(), &member.id) {
                    conflicts.push(Ownership::AssignedTwice {
                        place,
                        members: [other.to_owned(), member.id.clone()],
                    });
                }
            }
        }
        conflicts
    }

    /// Whether a member has a partition, by its assignment or because it has yet to give it up.
    ///
    /// What cannot be read counts as having it.
    pub(crate) fn may_have(&self, member_id: &str, place: &Place) -> bool {
        let Some(member) = self
            .members
            .get(member_id)
            .filter(|_| self.is_of_consumers())
        else {
            return true;
        };
        let assigned = assigned_partitions(&member.assignment);
        let owned = self.protocol.as_ref().and_then(|protocol| {
            let (_, owned) = owned_partitions(&member.metadata(protocol))?;
            Some(owned)
        });
        match (assigned, owned) {
            (Some(assigned), Some(owned)) => assigned.contains(place) || owned.contains(place),
            _ => true,
        }
    }

    /// Who joined this generation with what, of those that own by the generation before and alone.
    fn owners_before(&self) -> BTreeMap<Place, &str> {
        let Some(protocol) = &self.protocol else {
            return BTreeMap::new();
        };
        let mut owners = BTreeMap::new();
        let mut disputed = BTreeSet::new();
        for member in self.members.values() {
            let Some((generation, owned)) = owned_partitions(&member.metadata(protocol)) else {
                continue;
            };
            if generation != self.generation - 1 {
                continue;
            }
            for place in owned {
                if owners.insert(place.clone(), member.id.as_str()).is_some() {
                    disputed.insert(place);
                }
            }
        }
        owners.retain(|place, _| !disputed.contains(place));
        owners
    }
}

/// The partitions of an assignment; none if it is empty, as a member's is that was left out.
pub(crate) fn assigned_partitions(assignment: &Bytes) -> Option<Vec<Place>> {
    if assignment.is_empty() {
        return Some(Vec::new());
    }
    let assignment: ConsumerProtocolAssignment = decode(assignment, None)?;
    let topics = assignment.assigned_partitions.into_iter();
    Some(topics.flat_map(|t| places(t.topic, t.partitions)).collect())
}

/// The topics of a subscription, read as its first version, as every later one begins.
pub(super) fn subscribed_topics(metadata: &Bytes) -> Option<Vec<String>> {
    let subscription: ConsumerProtocolSubscription = decode(metadata, Some(0))?;
    Some(subscription.topics)
}

fn owned_partitions(metadata: &Bytes) -> Option<(i32, Vec<Place>)> {
    let subscription: ConsumerProtocolSubscription = decode(metadata, None)?;
    let topics = subscription.owned_partitions.into_iter();
    let owned = topics.flat_map(|t| places(t.topic, t.partitions)).collect();
    Some((subscription.generation_id, owned))
}

fn places(topic: String, partitions: Vec<i32>) -> impl Iterator<Item = Place> {
    partitions
        .into_iter()
        .map(move |partition| (topic.clone(), partition))
}

/// Reads a message behind its version, as `version` or as the newest known of it; what follows is a later version's.
fn decode<M: Message>(bytes: &Bytes, version: Option<i16>) -> Option<M> {
    let (head, _) = bytes.split_first_chunk::<2>()?;
    let version = version.unwrap_or(i16::from_be_bytes(*head).min(M::VERSIONS.max));
    if !M::VERSIONS.contains(version) {
        return None;
    }
    let body = bytes.slice(2..);
    let (_, message) = M::decode(Input::new(&body), version).ok()?;
    Some(message)
}
