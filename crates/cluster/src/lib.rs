//! An immutable view of a Kafka cluster, and the rules by which metadata changes it.
