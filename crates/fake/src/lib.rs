//! A Kafka cluster inside your process.
