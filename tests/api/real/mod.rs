//! Tests on a real Kafka, started by `cargo xtask test`.

mod admin;
mod java;
mod own;
mod program;
