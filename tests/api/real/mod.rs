//! Tests on a real Kafka, started by `cargo xtask test`.

mod admin;
mod group_tool;
mod groups;
mod java;
mod java_on_fake;
mod mixed;
mod old_formats;
mod own;
mod program;
mod verifiable;
