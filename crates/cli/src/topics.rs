//! `ottla topics`: what there is, and making and deleting it.

use std::collections::BTreeMap;

use ottla::{Admin, ErrorKind, NewTopic, PartitionDescription, TopicDescription, TopicListing};
use serde_json::{Value, json};
use snafu::ResultExt;

use crate::args::{Common, Pair, Topics};
use crate::diagnostics::complain;
use crate::failure::{DoingSnafu, Failure, Result, chain};
use crate::settings::{Environment, Settings};
use crate::table::{Table, line, print};

pub(crate) async fn run(command: Topics, common: Common, environment: &Environment) -> Result<()> {
    let connect = |later: Common| async move {
        let settings = Settings::of(&common.merge(later), environment)?;
        let client = settings.client()?;
        settings.reach(&client).await?;
        Ok::<_, Failure>(client.admin())
    };
    match command {
        Topics::List { common, json } => list(&connect(common).await?, json).await,
        Topics::Describe {
            names,
            common,
            json,
        } => describe(&connect(common).await?, names, json).await,
        Topics::Create {
            name,
            partitions,
            replication_factor,
            configs,
            common,
            json,
        } => {
            let topic = new_topic(&name, partitions, replication_factor, configs);
            let admin = connect(common).await?;
            admin.create_topic(topic).await.context(DoingSnafu {
                doing: format!("cannot create topic {name}"),
            })?;
            print(&match json {
                true => line(&json!({ "created": [name] })),
                false => format!("created {name}\n"),
            })
        }
        Topics::Delete {
            names,
            common,
            json,
        } => delete(&connect(common).await?, names, json).await,
    }
}

async fn list(admin: &Admin, json: bool) -> Result<()> {
    let topics = admin.list_topics().await?;
    print(&if json {
        line(&topics.iter().map(listing).collect())
    } else {
        listings(&topics)
    })
}

async fn describe(admin: &Admin, mut names: Vec<String>, json: bool) -> Result<()> {
    if names.is_empty() {
        names = admin
            .list_topics()
            .await?
            .into_iter()
            .map(|topic| topic.name)
            .collect();
    }
    let (topics, failed) = separate(admin.describe_topics(names).await?);
    let topics: Vec<_> = topics.into_values().collect();
    print(&if json {
        line(&topics.iter().map(description).collect())
    } else {
        tables(&topics)
    })?;
    partial(&failed, "describe")
}

async fn delete(admin: &Admin, mut names: Vec<String>, json: bool) -> Result<()> {
    // Brokers refuse a name that is there twice.
    names.sort_unstable();
    names.dedup();
    let (deleted, failed) = separate(admin.delete_topics(names).await?);
    let names: Vec<&String> = deleted.keys().collect();
    print(&match json {
        true => line(&json!({ "deleted": names })),
        false => names
            .iter()
            .map(|name| format!("deleted {name}\n"))
            .collect(),
    })?;
    partial(&failed, "delete")
}

fn new_topic(
    name: &str,
    partitions: Option<i32>,
    replication_factor: Option<i16>,
    configs: Vec<Pair>,
) -> NewTopic {
    let mut topic = NewTopic::new(name);
    if let Some(partitions) = partitions {
        topic = topic.partitions(partitions);
    }
    if let Some(replicas) = replication_factor {
        topic = topic.replication_factor(replicas);
    }
    configs
        .into_iter()
        .fold(topic, |topic, pair| topic.config(pair.name, pair.value))
}

/// What worked and what did not.
fn separate<T>(
    results: BTreeMap<String, ottla::Result<T>>,
) -> (BTreeMap<String, T>, Vec<(String, ottla::Error)>) {
    let (mut good, mut bad) = (BTreeMap::new(), Vec::new());
    for (name, result) in results {
        match result {
            Ok(value) => drop(good.insert(name, value)),
            Err(error) => bad.push((name, error)),
        }
    }
    (good, bad)
}

fn partial(failed: &[(String, ottla::Error)], verb: &str) -> Result<()> {
    for (name, error) in failed {
        match error.kind() {
            ErrorKind::UnknownTopic { .. } => complain(format_args!("{}", chain(error))),
            _ => {
                let why = chain(error);
                complain(format_args!("cannot {verb} topic {name}: {why}"));
            }
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::Partial)
    }
}

fn listings(topics: &[TopicListing]) -> String {
    let mut table = Table::new(["TOPIC", ">PARTITIONS", "ID"]);
    for topic in topics {
        let partitions = topic.partitions.to_string();
        table.row([
            &*topic.name,
            &partitions,
            topic.id.as_deref().unwrap_or("-"),
        ]);
    }
    table.to_string()
}

fn tables(topics: &[TopicDescription]) -> String {
    let mut table = Table::new([
        "TOPIC",
        ">PARTITION",
        ">LEADER",
        ">EPOCH",
        "REPLICAS",
        "IN SYNC",
        "OFFLINE",
    ]);
    for topic in topics {
        for partition in &topic.partitions {
            let number = |number: Option<i32>| number.map_or("-".to_owned(), |n| n.to_string());
            table.row([
                topic.name.clone(),
                partition.partition.to_string(),
                number(partition.leader),
                number(partition.leader_epoch),
                brokers(&partition.replicas),
                brokers(&partition.isr),
                brokers(&partition.offline),
            ]);
        }
    }
    table.to_string()
}

fn brokers(ids: &[i32]) -> String {
    match ids {
        [] => "-".to_owned(),
        _ => ids.iter().map(i32::to_string).collect::<Vec<_>>().join(","),
    }
}

fn listing(topic: &TopicListing) -> Value {
    json!({
        "name": topic.name,
        "id": topic.id,
        "internal": topic.internal,
        "partitions": topic.partitions,
    })
}

fn description(topic: &TopicDescription) -> Value {
    json!({
        "name": topic.name,
        "id": topic.id,
        "internal": topic.internal,
        "partitions": topic.partitions.iter().map(partition).collect::<Value>(),
    })
}

fn partition(partition: &PartitionDescription) -> Value {
    json!({
        "partition": partition.partition,
        "leader": partition.leader,
        "leader_epoch": partition.leader_epoch,
        "replicas": partition.replicas,
        "isr": partition.isr,
        "offline": partition.offline,
    })
}
