//! Pipelined connections to Kafka brokers, and the pool that owns them.
