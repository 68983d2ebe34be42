//! The cluster, spoken to with raw requests over in-memory pipes: each of its semantics at least once.

mod admin;
mod basics;
mod brokers;
mod client;
mod compaction;
mod faults;
mod fetch;
mod groups;
mod offsets;
mod produce;
mod releases;
mod replay;
mod sessions;
mod sink;
