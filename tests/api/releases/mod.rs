//! Older releases, as the fake plays them: what works on each, and how that is told which does not. The clients' other
//! tests run on them too: `cargo xtask test`.

mod lacking;
mod whole;

use ottla::TopicPartition;

/// Partition 0 of topic "t".
fn t0() -> TopicPartition {
    TopicPartition::new("t", 0)
}
