//! Control of real Kafka brokers, for `cargo xtask kafka` and for the tests.
