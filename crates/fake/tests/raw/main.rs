//! The cluster, spoken to with raw requests over in-memory pipes: each of its semantics at least once.

mod basics;
mod client;
mod produce;
