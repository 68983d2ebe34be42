//! Whether an assignor's answer is one that a group can live with.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;

use crate::{Assignment, Member, Topics};

/// Finds what must never reach a group in an answer to `topics` and `members`: the first partition, in the order of
/// members and topics, that does not exist, that goes to a member not subscribed to its topic, or that has two owners.
///
/// A leader asks before it sends an answer, a test of an assignor after every call. Partitions without an owner are
/// not an error: the cooperative protocol withholds them for one rebalance.
///
/// ```
/// use ottla_assignor::{Assignment, Member, TopicPartitions, Topics, check};
///
/// let topics = Topics::new().with("orders", 2);
/// let members = [Member::new("a", ["orders"]), Member::new("b", ["orders"])];
/// let both = Assignment::from(TopicPartitions::from([("orders".to_owned(), vec![0])]));
/// let wrong = check(&topics, &members, &[both.clone(), both]).unwrap_err();
/// assert_eq!(wrong.to_string(), "orders-0 is given to a and to b");
/// ```
///
/// # Errors
///
/// What was found.
pub fn check(
    topics: &Topics,
    members: &[Member],
    assignments: &[Assignment],
) -> Result<(), InvalidAssignment> {
    if members.len() != assignments.len() {
        return Err(InvalidAssignment::Count {
            members: members.len(),
            assignments: assignments.len(),
        });
    }
    let mut owners: BTreeMap<(&str, i32), &str> = BTreeMap::new();
    for (member, assignment) in members.iter().zip(assignments) {
        for (topic, partitions) in &assignment.partitions {
            if !partitions.is_empty() && !member.topics.contains(topic) {
                return Err(InvalidAssignment::NotSubscribed {
                    member: member.id.clone(),
                    topic: topic.clone(),
                });
            }
            let count = topics.partition_count(topic).unwrap_or(0);
            for &partition in partitions {
                if u32::try_from(partition).is_ok_and(|partition| partition < count) {
                    if let Some(first) = owners.insert((topic, partition), &member.id) {
                        return Err(InvalidAssignment::TwoOwners {
                            topic: topic.clone(),
                            partition,
                            members: [first.to_owned(), member.id.clone()],
                        });
                    }
                } else {
                    return Err(InvalidAssignment::NoSuchPartition {
                        member: member.id.clone(),
                        topic: topic.clone(),
                        partition,
                    });
                }
            }
        }
    }
    Ok(())
}

/// What is wrong with an assignor's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidAssignment {
    /// There is not one assignment for each member.
    Count {
        /// How many members there are.
        members: usize,
        /// How many assignments.
        assignments: usize,
    },
    /// A member is given a topic it does not subscribe to.
    NotSubscribed {
        /// The member's id.
        member: String,
        /// The topic.
        topic: String,
    },
    /// A member is given a partition that the topic does not have, or one of a topic without metadata.
    NoSuchPartition {
        /// The member's id.
        member: String,
        /// The topic.
        topic: String,
        /// The partition's number.
        partition: i32,
    },
    /// A partition is given away twice, to two members or to one.
    TwoOwners {
        /// The topic.
        topic: String,
        /// The partition's number.
        partition: i32,
        /// The members' ids.
        members: [String; 2],
    },
}

impl fmt::Display for InvalidAssignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count {
                members,
                assignments,
            } => write!(f, "{assignments} assignments for {members} members"),
            Self::NotSubscribed { member, topic } => {
                write!(
                    f,
                    "{member} is given {topic}, which it does not subscribe to"
                )
            }
            Self::NoSuchPartition {
                member,
                topic,
                partition,
            } => write!(
                f,
                "{member} is given {topic}-{partition}, which is not known"
            ),
            Self::TwoOwners {
                topic,
                partition,
                members: [first, second],
            } => write!(f, "{topic}-{partition} is given to {first} and to {second}"),
        }
    }
}

impl Error for InvalidAssignment {}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn given(topic: &str, partitions: &[i32]) -> Assignment {
        Assignment::from(BTreeMap::from([(topic.to_owned(), partitions.to_vec())]))
    }

    #[rstest]
    #[case::as_it_should_be(given("t", &[0]), given("t", &[1]), "")]
    #[case::withheld(given("t", &[0]), Assignment::default(), "")]
    #[case::an_empty_list(given("u", &[]), Assignment::default(), "")]
    #[case::to_two(given("t", &[0, 1]), given("t", &[1]), "t-1 is given to a and to b")]
    #[case::twice(given("t", &[0, 0]), given("t", &[1]), "t-0 is given to a and to a")]
    #[case::beyond(given("t", &[2]), given("t", &[1]), "a is given t-2, which is not known")]
    #[case::negative(given("t", &[-1]), given("t", &[1]), "a is given t--1, which is not known")]
    #[case::without_metadata(given("v", &[0]), given("t", &[1]), "a is given v-0, which is not known")]
    #[case::nobodys(given("u", &[0]), given("t", &[1]), "a is given u, which it does not subscribe to")]
    fn finds_what_is_wrong(#[case] a: Assignment, #[case] b: Assignment, #[case] expected: &str) {
        let topics = Topics::new().with("t", 2).with("u", 2);
        let members = [Member::new("a", ["t", "v"]), Member::new("b", ["t"])];
        let found = check(&topics, &members, &[a, b]);
        assert_eq!(
            found.err().map_or(String::new(), |wrong| wrong.to_string()),
            expected
        );
    }

    #[test]
    fn counts() {
        let wrong = check(&Topics::new(), &[Member::new("a", ["t"])], &[]).unwrap_err();
        assert_eq!(wrong.to_string(), "0 assignments for 1 members");
    }
}
