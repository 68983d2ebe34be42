//! Setting where a group goes on.

use std::collections::{BTreeMap, BTreeSet};

use ottla::{Admin, Consumer, ErrorKind, OffsetAndMetadata, TopicPartition};
use serde_json::{Value, json};
use snafu::ResultExt;

use super::args::{To, Which};
use super::run::Reached;
use crate::consume::{Wanted, partitions};
use crate::diagnostics::complain;
use crate::failure::{DoingSnafu, Failure, Result, chain};
use crate::table::{Table, line, print};

/// Where a partition's committed offset has gone.
struct Moved {
    partition: TopicPartition,
    from: Option<i64>,
    to: i64,
}

pub(super) async fn run(
    reached: &Reached,
    group: &str,
    topics: &[Which],
    to: To,
    is_dry: bool,
    json: bool,
) -> Result<()> {
    let Reached {
        client, settings, ..
    } = reached;
    let admin = client.admin();
    let found = find(&admin, topics).await?;
    let consumer = client.consumer().properties(settings.iter())?.build()?;
    let before = committed(&admin, group).await?;
    let targets = targets(&consumer, found, to, &before).await?;
    let doing = || format!("cannot reset the offsets of group {group}");
    let set = match is_dry {
        true => BTreeMap::new(),
        false => {
            let offsets = targets.iter().map(|(name, offset)| (name.clone(), *offset));
            let set = admin.alter_group_offsets(group, offsets).await;
            set.with_context(|_| DoingSnafu { doing: doing() })?
        }
    };
    let mut moved = Vec::new();
    let mut status = Ok(());
    for (partition, to) in targets {
        if let Some(Err(error)) = set.get(&partition) {
            complain(format_args!("{}: {}", doing(), chain(error)));
            status = Err(Failure::Partial);
            continue;
        }
        let from = before.get(&partition).copied();
        moved.push(Moved {
            partition,
            from,
            to,
        });
    }
    print(&match json {
        true => line(&json!({
            "group": group,
            "offsets": moved.iter().map(value).collect::<Value>(),
        })),
        false => table(&moved),
    })?;
    status
}

async fn find(admin: &Admin, topics: &[Which]) -> Result<BTreeSet<TopicPartition>> {
    let mut found = BTreeSet::new();
    for Which { topic, partitions } in topics {
        let wanted = [Wanted::Names(vec![topic.clone()])];
        if partitions.is_empty() {
            found.extend(partitions::find(admin, &wanted, None).await?);
        }
        for &partition in partitions {
            found.extend(partitions::find(admin, &wanted, Some(partition)).await?);
        }
    }
    Ok(found)
}

/// Offsets by partition.
type Offsets = BTreeMap<TopicPartition, i64>;

/// Where a group is.
pub(super) async fn committed(admin: &Admin, group: &str) -> Result<Offsets> {
    let mut found = admin.list_group_offsets([group]).await;
    let found = found.remove(group).unwrap_or_else(|| Ok(BTreeMap::new()))?;
    let offset = |(name, committed): (TopicPartition, OffsetAndMetadata)| (name, committed.offset);
    Ok(found.into_iter().map(offset).collect())
}

/// The first and the next offset of each log.
async fn logs(
    consumer: &Consumer,
    partitions: &BTreeSet<TopicPartition>,
) -> Result<BTreeMap<TopicPartition, (i64, i64)>> {
    let starts = consumer.beginning_offsets(partitions.iter().cloned());
    let starts = starts.await?;
    let ends = consumer.end_offsets(partitions.iter().cloned()).await?;
    let both = starts.into_iter().map(|(partition, start)| {
        let end = ends.get(&partition).copied().unwrap_or(start);
        (partition, (start, end))
    });
    Ok(both.collect())
}

async fn targets(
    consumer: &Consumer,
    found: BTreeSet<TopicPartition>,
    to: To,
    before: &Offsets,
) -> Result<Offsets> {
    match to {
        To::Earliest => Ok(consumer.beginning_offsets(found).await?),
        To::Latest => Ok(consumer.end_offsets(found).await?),
        To::Current => {
            let is_known = |name: &TopicPartition| before.contains_key(name);
            let (known, new): (Vec<_>, Vec<_>) = found.into_iter().partition(is_known);
            let mut targets = match new.is_empty() {
                true => Offsets::new(),
                false => consumer.end_offsets(new).await?,
            };
            let known = known.into_iter();
            targets
                .extend(known.filter_map(|name| before.get(&name).map(|at| (name.clone(), *at))));
            Ok(targets)
        }
        To::By(count) => {
            let mut targets = Offsets::new();
            for (partition, (start, end)) in logs(consumer, &found).await? {
                let Some(from) = before.get(&partition) else {
                    let kind = ErrorKind::NoOffset { partition };
                    return Err(ottla::Error::from(kind).into());
                };
                targets.insert(partition, from.saturating_add(count).clamp(start, end));
            }
            Ok(targets)
        }
        To::Offset(offset) => {
            for (partition, (log_start, log_end)) in logs(consumer, &found).await? {
                // Whoever goes on there would be sent elsewhere by their reset policy.
                if !(log_start..=log_end).contains(&offset) {
                    let kind = ErrorKind::OffsetOutOfRange {
                        partition: partition.clone(),
                        position: offset,
                        log_start,
                        log_end,
                    };
                    return Err(ottla::Error::from(kind).into());
                }
            }
            Ok(found
                .into_iter()
                .map(|partition| (partition, offset))
                .collect())
        }
        To::Timestamp(millis) => {
            let times = found.into_iter().map(|partition| (partition, millis));
            let found = consumer.offsets_for_times(times).await?;
            let late = found.iter().filter(|(_, found)| found.is_none());
            let late: Vec<_> = late.map(|(partition, _)| partition.clone()).collect();
            let mut targets = match late.is_empty() {
                true => BTreeMap::new(),
                false => consumer.end_offsets(late).await?,
            };
            let early = found.into_iter();
            targets.extend(early.filter_map(|(name, found)| Some((name, found?.offset))));
            Ok(targets)
        }
    }
}

fn table(moved: &[Moved]) -> String {
    let mut table = Table::new(["TOPIC", ">PARTITION", ">FROM", ">TO"]);
    for Moved {
        partition,
        from,
        to,
    } in moved
    {
        table.row([
            partition.topic.to_string(),
            partition.partition.to_string(),
            from.map_or("-".to_owned(), |from| from.to_string()),
            to.to_string(),
        ]);
    }
    table.to_string()
}

fn value(moved: &Moved) -> Value {
    json!({
        "topic": &*moved.partition.topic,
        "partition": moved.partition.partition,
        "from": moved.from,
        "to": moved.to,
    })
}
