//! Deleting what a group has committed.

use std::collections::BTreeMap;

use ottla::TopicPartition;
use serde_json::{Value, json};
use snafu::ResultExt;

use super::args::Which;
use super::reset::committed;
use super::run::Reached;
use crate::diagnostics::complain;
use crate::failure::{DoingSnafu, Failure, Result, chain};
use crate::table::{Table, line, print};

pub(super) async fn run(
    reached: &Reached,
    group: &str,
    topics: &[Which],
    json: bool,
) -> Result<()> {
    let admin = reached.client.admin();
    let before = committed(&admin, group).await?;
    // A topic may be gone, and what was committed for it not.
    let wanted = |name: &TopicPartition| {
        topics.iter().any(|which| {
            let some = &which.partitions;
            *which.topic == *name.topic && (some.is_empty() || some.contains(&name.partition))
        })
    };
    let found: BTreeMap<_, _> = before
        .into_iter()
        .filter(|(name, _)| wanted(name))
        .collect();
    let doing = || format!("cannot delete offsets of group {group}");
    let outcomes = admin.delete_group_offsets(group, found.keys().cloned());
    let outcomes = outcomes.await;
    let outcomes = outcomes.with_context(|_| DoingSnafu { doing: doing() })?;
    let mut deleted = Vec::new();
    let mut status = Ok(());
    for (partition, offset) in found {
        if let Some(Err(error)) = outcomes.get(&partition) {
            complain(format_args!("{}: {}", doing(), chain(error)));
            status = Err(Failure::Partial);
            continue;
        }
        deleted.push((partition, offset));
    }
    print(&match json {
        true => line(&json!({
            "group": group,
            "deleted": deleted.iter().map(value).collect::<Value>(),
        })),
        false => table(&deleted),
    })?;
    status
}

fn table(deleted: &[(TopicPartition, i64)]) -> String {
    let mut table = Table::new(["TOPIC", ">PARTITION", ">DELETED"]);
    for (partition, offset) in deleted {
        table.row([
            partition.topic.to_string(),
            partition.partition.to_string(),
            offset.to_string(),
        ]);
    }
    table.to_string()
}

fn value((partition, offset): &(TopicPartition, i64)) -> Value {
    json!({
        "topic": &*partition.topic,
        "partition": partition.partition,
        "offset": offset,
    })
}
