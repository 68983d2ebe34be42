//! Which partitions are consumed, and from where.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ottla::{Admin, Consumer, ErrorKind, StartFrom, TopicPartition};
use regex::Regex;
use tokio::time::{Instant, sleep};

use super::start::Start;
use super::wanted::Wanted;
use crate::failure::{Failure, Result};

/// How long a topic that was created just now may take to be known to the broker that is asked.
const PROPAGATION: Duration = Duration::from_secs(1);

/// The partitions of the topics that are wanted, or one of each.
///
/// # Errors
///
/// A topic that does not exist, a topic without that partition, a pattern that no topic matches.
pub(crate) async fn find(
    admin: &Admin,
    wanted: &[Wanted],
    partition: Option<i32>,
) -> Result<Vec<TopicPartition>> {
    let mut names = BTreeSet::new();
    for wanted in wanted {
        match wanted {
            Wanted::Names(some) => names.extend(some.iter().cloned()),
            Wanted::Pattern(pattern) => names.extend(matching(admin, pattern).await?),
        }
    }
    let names = names.into_iter().collect();
    let mut found = Vec::new();
    for (topic, count) in partition_counts(admin, names).await? {
        match partition {
            None => found.extend((0..count).map(|partition| (&*topic, partition).into())),
            Some(partition) if partition < count => found.push((&*topic, partition).into()),
            Some(partition) => {
                let count = count as usize;
                let kind = ErrorKind::UnknownPartition {
                    topic,
                    partition,
                    count,
                };
                return Err(ottla::Error::from(kind).into());
            }
        }
    }
    Ok(found)
}

/// Makes sure that the logs reach up to an offset. Where nothing is fetched, because the end is reached
/// before it begins, nobody else would notice. `all` sees the records of open transactions.
///
/// # Errors
///
/// A log that ends before the offset, or no broker tells.
pub(crate) async fn reach(
    all: &Consumer,
    partitions: &[TopicPartition],
    position: i64,
) -> Result<()> {
    let ends = all.end_offsets(partitions.iter().cloned()).await?;
    let Some((partition, log_end)) = ends.into_iter().find(|(_, end)| position > *end) else {
        return Ok(());
    };
    let starts = all.beginning_offsets([partition.clone()]).await?;
    let kind = ErrorKind::OffsetOutOfRange {
        log_start: starts.get(&partition).copied().unwrap_or(0),
        partition,
        position,
        log_end,
    };
    Err(ottla::Error::from(kind).into())
}

/// Where to start in each of the partitions.
///
/// # Errors
///
/// When the first offsets are needed and no broker tells them.
pub(crate) async fn starts(
    consumer: &Consumer,
    partitions: &[TopicPartition],
    start: Start,
) -> Result<BTreeMap<TopicPartition, StartFrom>> {
    let all = |from: StartFrom| {
        partitions
            .iter()
            .cloned()
            .map(|name| (name, from))
            .collect()
    };
    Ok(match start {
        Start::Beginning => all(StartFrom::Beginning),
        Start::End => all(StartFrom::End),
        Start::Stored => all(StartFrom::Committed),
        Start::Offset(offset) => all(StartFrom::Offset(offset)),
        Start::Timestamp(millis) => all(StartFrom::Timestamp(millis)),
        Start::BeforeEnd(count) => {
            let first = consumer
                .beginning_offsets(partitions.iter().cloned())
                .await?;
            let ends = consumer.end_offsets(partitions.iter().cloned()).await?;
            let before = |(name, end): (TopicPartition, i64)| {
                let first = first.get(&name).copied().unwrap_or(0);
                (
                    name,
                    StartFrom::Offset(end.saturating_sub(count).max(first)),
                )
            };
            ends.into_iter().map(before).collect()
        }
    })
}

async fn matching(admin: &Admin, pattern: &Regex) -> Result<Vec<String>> {
    let topics = admin.list_topics().await?.into_iter();
    let names = topics.filter(|topic| !topic.internal && pattern.is_match(&topic.name));
    let names: Vec<_> = names.map(|topic| topic.name).collect();
    if names.is_empty() {
        return Err(Failure::Refused {
            message: format!("no topic matches {pattern}"),
        });
    }
    Ok(names)
}

async fn partition_counts(admin: &Admin, names: Vec<String>) -> Result<BTreeMap<String, i32>> {
    let deadline = Instant::now() + PROPAGATION;
    loop {
        let described = admin.describe_topics(names.clone()).await?;
        let counts: ottla::Result<BTreeMap<_, _>> = described
            .into_iter()
            .map(|(name, topic)| Ok((name, topic?.partitions.len() as i32)))
            .collect();
        match counts {
            Err(error)
                if matches!(error.kind(), ErrorKind::UnknownTopic { .. })
                    && Instant::now() < deadline =>
            {
                sleep(Duration::from_millis(100)).await;
            }
            other => return Ok(other?),
        }
    }
}
