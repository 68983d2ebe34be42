//! `ottla consume`: records from partitions to stdout.

mod format;
mod json;
mod member;
pub(crate) mod partitions;
mod printer;
mod progress;
mod row;
mod run;
mod start;
mod wanted;

pub(crate) use format::Format;
pub(crate) use run::run;
pub(crate) use start::Start;
pub(crate) use wanted::Wanted;

/// Whether the client commits by itself, by the names of Java and librdkafka.
const AUTO_COMMIT: [&str; 2] = ["enable.auto.commit", "auto.commit.enable"];
