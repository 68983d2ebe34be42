//! The chain test: keyed records go from topic to topic through three groups, whose members read, write to the next
//! topic, flush and commit. Meanwhile some join, some leave, some leave without committing what they did last, and some
//! die. Every topic ends with each key; what was committed never comes again; nobody shares a partition; nothing stalls.

mod chained;
mod crew;
mod fake;
mod level;
mod worker;

pub(super) use chained::{Chain, STRATEGIES, pass_along};
