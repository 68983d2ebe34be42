//! Setting where a group goes on.

use std::collections::{BTreeMap, BTreeSet};

use ottla::{Admin, Consumer, ErrorKind, TopicPartition};
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
    json: bool,
) -> Result<()> {
    let Reached {
        client, settings, ..
    } = reached;
    let admin = client.admin();
    let found = find(&admin, topics).await?;
    let consumer = client.consumer().properties(settings.iter())?.build()?;
    let targets = targets(&consumer, found, to).await?;
    let mut before = admin.list_group_offsets([group]).await;
    let before = before
        .remove(group)
        .unwrap_or_else(|| Ok(BTreeMap::new()))?;
    let doing = || format!("cannot reset the offsets of group {group}");
    let offsets = targets.iter().map(|(name, offset)| (name.clone(), *offset));
    let set = admin.alter_group_offsets(group, offsets).await;
    let set = set.with_context(|_| DoingSnafu { doing: doing() })?;
    let mut moved = Vec::new();
    let mut status = Ok(());
    for (partition, to) in targets {
        if let Some(Err(error)) = set.get(&partition) {
            complain(format_args!("{}: {}", doing(), chain(error)));
            status = Err(Failure::Partial);
            continue;
        }
        let from = before.get(&partition).map(|committed| committed.offset);
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

async fn targets(
    consumer: &Consumer,
    found: BTreeSet<TopicPartition>,
    to: To,
) -> Result<BTreeMap<TopicPartition, i64>> {
    match to {
        To::Earliest => Ok(consumer.beginning_offsets(found).await?),
        To::Latest => Ok(consumer.end_offsets(found).await?),
        To::Offset(offset) => {
            let starts = consumer.beginning_offsets(found.iter().cloned()).await?;
            let ends = consumer.end_offsets(found.iter().cloned()).await?;
            for partition in &found {
                let (start, end) = (starts.get(partition), ends.get(partition));
                let (log_start, log_end) = (start.copied().unwrap_or(0), end.copied().unwrap_or(0));
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
