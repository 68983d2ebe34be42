//! What is said to a group's coordinator, and what its answers mean: without sockets, tasks or clocks.
//!
//! [`lookup`] finds the coordinator and knows when to look again; [`membership`] is a member of a group;
//! [`offsets`] commits offsets and reads committed ones. Requests come out, in the form that the negotiated
//! version wants; answers go in, and come back as facts or as a [`Refusal`].
//!
//! The crate knows Kafka's group messages and nothing of who sends them. Where time matters it is passed in.
//!
//! # References
//! - KIP-699 (several coordinators in one look-up), KIP-709 (several groups in one OffsetFetch)
//! - KIP-320 (leader epochs beside committed offsets), KIP-447 (stable offsets)

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

pub mod lookup;
pub mod membership;
pub mod offsets;

use std::fmt;

use ottla_codec::ErrorCode;

/// A coordinator's "no".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub code: ErrorCode,
    /// The topic and partition it is about, if it is about one.
    pub partition: Option<(String, i32)>,
}

impl Refusal {
    fn check(code: i16, partition: Option<(&str, i32)>) -> Result<(), Self> {
        match ErrorCode::from_code(code) {
            ErrorCode::None => Ok(()),
            code => Err(Self {
                code,
                partition: partition.map(|(topic, partition)| (topic.to_owned(), partition)),
            }),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.code.fmt(f)?;
        match &self.partition {
            Some((topic, partition)) => write!(f, " for {topic}-{partition}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Refusal {}
