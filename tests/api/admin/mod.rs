//! Administration of groups: what holds on the fake cluster and on a real Kafka, and what only faults show.

mod fake;
mod faults;
pub(crate) mod groups;
pub(crate) mod members;
