//! A group's members, their partitions, and how far each partition is.

use std::collections::{BTreeMap, BTreeSet};

use ottla::{Client, GroupDescription, MemberDescription, OffsetAndMetadata, TopicPartition};
use serde_json::{Value, json};

use super::run::{Reached, or_dash};
use crate::diagnostics::{complain, say};
use crate::failure::{Failure, Result, chain};
use crate::table::{Table, line, print};
use crate::text::counted;

/// A partition that a member has, or that the group has committed for.
struct Row<'a> {
    partition: TopicPartition,
    member: Option<&'a MemberDescription>,
    committed: Option<i64>,
    end: Option<i64>,
}

impl Row<'_> {
    /// How many offsets there are between what is committed and the end.
    fn lag(&self) -> Option<i64> {
        // What is committed may lie behind the end of a log that was made anew.
        Some((self.end? - self.committed?).max(0))
    }
}

pub(super) async fn run(reached: &Reached, group: &str, json: bool) -> Result<()> {
    let admin = reached.client.admin();
    let description = admin.describe_group(group).await?;
    let mut committed = admin.list_group_offsets([group]).await;
    let committed = committed
        .remove(group)
        .unwrap_or_else(|| Ok(BTreeMap::new()))?;
    let mut rows = rows(&description, committed);
    let ends = ends(reached, &rows).await;
    let ends = ends.inspect_err(|error| {
        let why = chain(error);
        complain(format_args!("cannot tell where the partitions end: {why}"));
    });
    for row in &mut rows {
        row.end = ends
            .as_ref()
            .ok()
            .and_then(|ends| ends.get(&row.partition).copied());
    }
    if !reached.quiet {
        summarise(&description);
    }
    print(&match json {
        true => line(&value(&description, &rows)),
        false => table(&description, &rows),
    })?;
    ends.map(drop).map_err(|_| Failure::Partial)
}

fn rows(
    group: &GroupDescription,
    mut committed: BTreeMap<TopicPartition, OffsetAndMetadata>,
) -> Vec<Row<'_>> {
    let mut members = BTreeMap::new();
    for member in &group.members {
        let assigned = member.assignment.iter().flatten();
        members.extend(assigned.map(|partition| (partition.clone(), member)));
    }
    let partitions: BTreeSet<_> = members.keys().chain(committed.keys()).cloned().collect();
    let row = |partition: TopicPartition| Row {
        member: members.get(&partition).copied(),
        committed: committed
            .remove(&partition)
            .map(|committed| committed.offset),
        end: None,
        partition,
    };
    partitions.into_iter().map(row).collect()
}

/// The ends of those partitions that exist; a group may have committed for topics that are gone.
async fn ends(reached: &Reached, rows: &[Row<'_>]) -> Result<BTreeMap<TopicPartition, i64>> {
    let Reached {
        client, settings, ..
    } = reached;
    let existing = existing(client, rows).await?;
    if existing.is_empty() {
        return Ok(BTreeMap::new());
    }
    let consumer = client.consumer().properties(settings.iter())?.build()?;
    Ok(consumer.end_offsets(existing).await?)
}

async fn existing(client: &Client, rows: &[Row<'_>]) -> Result<Vec<TopicPartition>> {
    let topics: BTreeSet<&str> = rows.iter().map(|row| &*row.partition.topic).collect();
    let described = client.admin().describe_topics(topics).await?;
    let topics = described.into_values().filter_map(ottla::Result::ok);
    let existing: BTreeSet<_> = topics
        .flat_map(|topic| topic.topic_partitions().collect::<Vec<_>>())
        .collect();
    let partitions = rows.iter().map(|row| &row.partition);
    Ok(partitions
        .filter(|name| existing.contains(name))
        .cloned()
        .collect())
}

/// Says what the table does not.
fn summarise(group: &GroupDescription) {
    let members = counted(group.members.len() as u64, "member");
    say(format_args!(
        "{}: {}, {members}, {} ({}), coordinator {}",
        group.group_id,
        group.state,
        or_dash(&group.protocol),
        group.group_type,
        group.coordinator
    ));
}

fn table(group: &GroupDescription, rows: &[Row<'_>]) -> String {
    let mut table = Table::new([
        "MEMBER",
        "CLIENT",
        "TOPIC",
        ">PARTITION",
        ">COMMITTED",
        ">END",
        ">LAG",
    ]);
    let number = |number: Option<i64>| number.map_or("-".to_owned(), |n| n.to_string());
    for row in rows {
        table.row([
            row.member.map_or("-", |member| &member.member_id),
            row.member.map_or("-", |member| or_dash(&member.client_id)),
            &row.partition.topic,
            &row.partition.partition.to_string(),
            &number(row.committed),
            &number(row.end),
            &number(row.lag()),
        ]);
    }
    let idle = |member: &&MemberDescription| member.assignment.iter().flatten().count() == 0;
    for member in group.members.iter().filter(idle) {
        let client = or_dash(&member.client_id);
        table.row([&*member.member_id, client, "-", "-", "-", "-", "-"]);
    }
    table.to_string()
}

fn value(group: &GroupDescription, rows: &[Row<'_>]) -> Value {
    let member = |member: &MemberDescription| {
        json!({
            "member": member.member_id,
            "instance": member.instance_id,
            "client": member.client_id,
            "host": member.host,
        })
    };
    let partition = |row: &Row<'_>| {
        json!({
            "topic": &*row.partition.topic,
            "partition": row.partition.partition,
            "member": row.member.map(|member| &member.member_id),
            "committed": row.committed,
            "end": row.end,
            "lag": row.lag(),
        })
    };
    json!({
        "group": group.group_id,
        "state": group.state.name(),
        "type": group.group_type.name(),
        "protocol_type": group.protocol_type,
        "protocol": group.protocol,
        "coordinator": group.coordinator,
        "members": group.members.iter().map(member).collect::<Value>(),
        "partitions": rows.iter().map(partition).collect::<Value>(),
    })
}
