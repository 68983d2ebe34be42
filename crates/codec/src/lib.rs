//! Kafka bytes to Rust values and back, without any I/O.
