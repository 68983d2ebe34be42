//! The fake cluster beside a real Kafka: the same raw requests must get the same answers.
//!
//! Each chapter is a script of requests, and `expected/<chapter>.txt` what 4.3.0 answers to them, a line per step. The
//! fake is compared with it in every run of the tests, a real broker in those under `real`. With
//! `OTTLA_TEST_RECORD=1` a real broker's answers are written down instead. The chapter that restarts its broker is in
//! `real::own` there.

pub(crate) mod chapter;
mod describing;
mod fake;
mod fetching;
mod groups;
mod idempotence;
mod lookups;
mod members;
mod outcome;
mod producing;
mod real;
mod run;
mod sessions;
mod topics;
