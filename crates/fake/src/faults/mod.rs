//! Faults: rules that act on requests before, while or instead of what the cluster would do.
//!
//! `filter` says which requests, `rules` what happens and keeps the armed ones in order, `matcher` is the typed
//! builder that tests use, `hold` parks requests until the test lets them go, `cuts` breaks connections inside a
//! request, `stall` keeps a broker busy, `replies` makes error answers out of requests.

pub(crate) mod cuts;
pub(crate) mod filter;
mod hold;
mod matcher;
mod replies;
pub(crate) mod rules;
pub(crate) mod stall;

pub use hold::Hold;
pub use matcher::{Interception, RuleBuilder};
pub use replies::FailWith;
