//! Tests against the public API, in one binary: on the fake cluster and, under `real`, on a real Kafka.

mod admin;
mod client;
mod compaction;
mod consumer;
mod groups;
mod lanes;
mod processing;
mod producer;
mod real;
mod releases;
mod security;
mod sockets;
mod support;
mod versus;
