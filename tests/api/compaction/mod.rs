//! Compacted logs: what a consumer sees of them, on the fake cluster and on a real Kafka.
//!
//! `cargo xtask compaction` runs the functions of `fake` and `real` and tabulates the lines they print.

mod fake;
mod reading;
mod real;
mod report;
mod scenario;
mod subject;
