//! The question in numbers: topics, members and partitions become indices, so that no algorithm compares strings.

use std::collections::{BTreeSet, HashMap};

use crate::{Assignment, Member, Topic, Topics, order};

/// An index into the members, as the caller listed them.
pub(crate) type MemberIndex = u32;

/// A partition's owner, for every partition of the group ([`Group::partitions`]).
pub(crate) type Owners = Vec<Option<MemberIndex>>;

/// A group's members and the topics they subscribe to, as far as those have partitions.
///
/// The partitions of all topics are numbered through, in the order of topic names: those of one topic are
/// consecutive.
#[derive(Debug, Clone)]
pub(crate) struct Group<'a> {
    members: &'a [Member],
    /// Topics with partitions and at least one subscriber, by name in Java's order.
    topics: Vec<(&'a str, &'a Topic)>,
    /// The first partition of every topic, and the number of all partitions at the end.
    first: Vec<usize>,
    /// Every topic's subscribers, ascending.
    subscribers: Vec<Vec<MemberIndex>>,
    /// How often every topic is named.
    mentions: Vec<usize>,
    all_alike: bool,
}

impl<'a> Group<'a> {
    pub(crate) fn new(topics: &'a Topics, members: &'a [Member]) -> Self {
        let mut known: Vec<(&str, &Topic)> = topics
            .iter()
            .filter(|(_, topic)| topic.partition_count() > 0)
            .collect();
        known.sort_by(|(a, _), (b, _)| order::utf16(a, b));
        let index: HashMap<&str, usize> = known
            .iter()
            .enumerate()
            .map(|(topic, &(name, _))| (name, topic))
            .collect();

        let mut subscribers: Vec<Vec<MemberIndex>> = vec![Vec::new(); known.len()];
        let mut mentions = vec![0; known.len()];
        let mut all_alike = true;
        let mut from: MemberIndex = 0;
        // Members mostly subscribe to the same topics in the same order, and then nothing is looked up again.
        for alike in members.chunk_by(|a, b| a.topics == b.topics) {
            let set = |member: &'a Member| member.topics.iter().collect::<BTreeSet<_>>();
            all_alike = all_alike && {
                let topics = set(&alike[0]);
                topics.len() == alike[0].topics.len() && topics == set(&members[0])
            };
            let numbers = from..from + alike.len() as MemberIndex;
            from = numbers.end;
            let subscription = alike[0].topics.iter();
            let mut subscription: Vec<usize> = subscription
                .filter_map(|name| index.get(name.as_str()).copied())
                .collect();
            for &topic in &subscription {
                mentions[topic] += alike.len();
            }
            subscription.sort_unstable();
            subscription.dedup();
            for topic in subscription {
                subscribers[topic].extend(numbers.clone());
            }
        }

        let mut subscribed = subscribers
            .iter()
            .map(|subscribers| !subscribers.is_empty());
        known.retain(|_| subscribed.next() == Some(true));
        subscribers.retain(|subscribers| !subscribers.is_empty());
        mentions.retain(|&mentions| mentions > 0);
        let mut first = vec![0];
        first.extend(known.iter().scan(0, |sum, (_, topic)| {
            *sum += topic.partition_count() as usize;
            Some(*sum)
        }));
        Self {
            members,
            topics: known,
            first,
            subscribers,
            mentions,
            all_alike,
        }
    }

    pub(crate) fn members(&self) -> &'a [Member] {
        self.members
    }

    /// All members in an order.
    pub(crate) fn sorted_members(
        &self,
        order: fn(&Member, &Member) -> std::cmp::Ordering,
    ) -> Vec<MemberIndex> {
        let mut sorted: Vec<MemberIndex> = self
            .members
            .iter()
            .zip(0..)
            .map(|(_, member)| member)
            .collect();
        sorted.sort_by(|&a, &b| order(&self.members[a as usize], &self.members[b as usize]));
        sorted
    }

    pub(crate) fn topic_count(&self) -> usize {
        self.topics.len()
    }

    pub(crate) fn topic(&self, topic: usize) -> &'a Topic {
        self.topics[topic].1
    }

    /// The number of partitions of all topics.
    pub(crate) fn partition_count(&self) -> usize {
        self.first.last().copied().unwrap_or(0)
    }

    /// A topic's partitions.
    pub(crate) fn partitions(&self, topic: usize) -> std::ops::Range<usize> {
        self.first[topic]..self.first[topic + 1]
    }

    /// The partitions of several topics, in their order.
    pub(crate) fn partitions_of(&self, topics: &[usize]) -> impl Iterator<Item = usize> {
        topics.iter().flat_map(|&topic| self.partitions(topic))
    }

    /// The topic of an existing partition.
    pub(crate) fn topic_of(&self, partition: usize) -> usize {
        self.first.partition_point(|&first| first <= partition) - 1
    }

    /// A topic's subscribers, ascending.
    pub(crate) fn subscribers(&self, topic: usize) -> &[MemberIndex] {
        &self.subscribers[topic]
    }

    /// Whether a member subscribes to a topic.
    pub(crate) fn subscribes(&self, member: MemberIndex, topic: usize) -> bool {
        self.subscribers[topic].binary_search(&member).is_ok()
    }

    /// How often members name a topic: as often as it has subscribers, unless one of them repeats it.
    pub(crate) fn mentions(&self, topic: usize) -> usize {
        self.mentions[topic]
    }

    /// Whether all members subscribe to the same topics, those without partitions or metadata included. As in Java,
    /// a member that repeats a topic is like no other.
    pub(crate) fn subscriptions_are_equal(&self) -> bool {
        self.all_alike
    }

    /// The topics' indices by name.
    pub(crate) fn topic_indices(&self) -> HashMap<&'a str, usize> {
        self.topics
            .iter()
            .enumerate()
            .map(|(topic, &(name, _))| (name, topic))
            .collect()
    }

    /// An answer in numbers as an answer in names.
    pub(crate) fn assignments(&self, owners: &Owners) -> Vec<Assignment> {
        let mut assignments = vec![Assignment::default(); self.members.len()];
        for (topic, (name, _)) in self.topics.iter().enumerate() {
            for (owner, partition) in owners[self.partitions(topic)].iter().zip(0..) {
                let Some(owner) = owner else { continue };
                let partitions = &mut assignments[*owner as usize].partitions;
                match partitions.get_mut(*name) {
                    Some(partitions) => partitions.push(partition),
                    None => {
                        partitions.insert((*name).to_owned(), vec![partition]);
                    }
                }
            }
        }
        assignments
    }
}
