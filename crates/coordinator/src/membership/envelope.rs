//! What members tell each other through the coordinator, in Kafka's bytes and in the assignors' types.

use std::collections::BTreeSet;

use bytes::Bytes;
use ottla_assignor::{Assignment, Assignor, Member, TopicPartitions};
use ottla_codec::messages::consumer_protocol_assignment::{
    self as assignment, ConsumerProtocolAssignment,
};
use ottla_codec::messages::consumer_protocol_subscription::{
    self as subscription, ConsumerProtocolSubscription,
};
use ottla_codec::messages::join_group::JoinGroupResponseMember;
use ottla_codec::{DecodeError, EncodeError, Message, decode_prefixed, encode_prefixed};

use super::asking::ask;
use super::{Failure, Partitions};

/// What a member that says no generation sends.
const NO_GENERATION: i32 = -1;

/// What a member says of itself when it joins.
pub(super) struct Subscription<'a> {
    pub topics: &'a BTreeSet<String>,
    pub owned: &'a Partitions,
    pub generation: Option<i32>,
    pub rack: Option<&'a str>,
}

/// The subscription as it is sent for the sake of one assignor.
pub(super) fn encode_subscription(
    of: &Subscription<'_>,
    assignor: &dyn Assignor,
) -> Result<Bytes, Failure> {
    let topics: Vec<String> = of.topics.iter().cloned().collect();
    let user_data = ask(assignor, |assignor| assignor.user_data(&topics))?;
    let owned = by_topic(of.owned).into_iter();
    let message = ConsumerProtocolSubscription {
        user_data: user_data.map(Bytes::from),
        topics,
        owned_partitions: owned
            .map(|(topic, partitions)| subscription::TopicPartition { topic, partitions })
            .collect(),
        generation_id: of.generation.unwrap_or(NO_GENERATION),
        rack_id: of.rack.map(str::to_owned),
    };
    encode_prefixed(&message, ConsumerProtocolSubscription::VERSIONS.max)
        .map_err(|source| Failure::Encode { source })
}

/// A member as the leader hears of it.
pub(super) fn decode_member(member: &JoinGroupResponseMember) -> Result<Member, DecodeError> {
    let said: ConsumerProtocolSubscription = decode_prefixed(&member.metadata)?;
    let mut owned = TopicPartitions::new();
    for topic in said.owned_partitions {
        owned
            .entry(topic.topic)
            .or_default()
            .extend(topic.partitions);
    }
    let topics: BTreeSet<String> = said.topics.into_iter().collect();
    Ok(Member {
        id: member.member_id.clone(),
        instance_id: member.group_instance_id.clone(),
        rack: said.rack_id,
        topics: topics.into_iter().collect(),
        owned,
        generation: (said.generation_id > NO_GENERATION).then_some(said.generation_id),
        user_data: said.user_data.map(Vec::from),
    })
}

/// What the leader has for one member.
pub(super) fn encode_assignment(of: &Assignment) -> Result<Bytes, EncodeError> {
    let message = ConsumerProtocolAssignment {
        assigned_partitions: of
            .partitions
            .iter()
            .map(|(topic, partitions)| assignment::TopicPartition {
                topic: topic.clone(),
                partitions: partitions.clone(),
            })
            .collect(),
        user_data: of.user_data.clone().map(Bytes::from),
    };
    encode_prefixed(&message, ConsumerProtocolAssignment::VERSIONS.max)
}

/// What the leader of a group of consumers has for a member. No bytes at all are what a coordinator has for one that the
/// leader did not mention: nothing.
///
/// # Errors
///
/// It is something else.
pub fn decode_assignment(bytes: &Bytes) -> Result<Assignment, DecodeError> {
    if bytes.is_empty() {
        return Ok(Assignment::default());
    }
    let said: ConsumerProtocolAssignment = decode_prefixed(bytes)?;
    let mut partitions = TopicPartitions::new();
    for topic in said.assigned_partitions {
        partitions
            .entry(topic.topic)
            .or_default()
            .extend(topic.partitions);
    }
    Ok(Assignment {
        partitions,
        user_data: said.user_data.map(Vec::from),
    })
}

fn by_topic(partitions: &Partitions) -> TopicPartitions {
    let mut topics = TopicPartitions::new();
    for (topic, partition) in partitions {
        topics.entry(topic.clone()).or_default().push(*partition);
    }
    topics
}
