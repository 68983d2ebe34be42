//! A Kafka client for Rust.
