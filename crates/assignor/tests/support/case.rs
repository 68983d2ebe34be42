//! Cases as the vector files hold them; `tests/vectors/README.md` explains the fields.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use ottla_assignor::{Member, Topic, Topics};
use serde_json::Value;

use super::measure::{Claim, Owners};

/// Where the vector files are. A relative name counts from the workspace's root, where people are when they run
/// tests, and not from the crate, where cargo runs them.
pub fn directory() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    match env::var_os("OTTLA_ASSIGNOR_VECTORS") {
        Some(named) => here.join("../..").join(named),
        None => here.join("tests/vectors"),
    }
}

/// One vector file.
pub fn read(file: &str) -> Value {
    let path = directory().join(file);
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let value: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(value["schema"], 1, "{}", path.display());
    value
}

/// All single calls of a file, the rounds of scenarios included.
pub fn cases(file: &str) -> Vec<Case> {
    let file = read(file);
    let mut cases: Vec<Case> = array(&file["cases"])
        .iter()
        .map(|case| Case::new(text(&case["name"]), case))
        .collect();
    for scenario in array(&file["scenarios"]) {
        for (number, round) in array(&scenario["rounds"]).iter().enumerate() {
            let (name, track) = (text(&scenario["name"]), text(&scenario["track"]));
            cases.push(Case::new(
                &format!("{name}/{track}/{number}: {}", text(&round["event"])),
                round,
            ));
        }
    }
    cases
}

pub struct Case {
    pub name: String,
    /// In files that hold cases of several assignors.
    pub assignor: Option<String>,
    pub topics: Topics,
    /// Topics that the metadata marks as internal.
    pub internal: Vec<String>,
    /// Without claims: where those go depends on the assignor.
    pub members: Vec<Member>,
    /// None for a member that never had anything, or whose claim is raw user data.
    pub claims: Vec<Option<Claim>>,
    /// The version of the subscription each member wrote.
    pub versions: Vec<i64>,
    pub java: Option<Expected>,
    pub aiokafka: Option<Expected>,
}

/// What a reference answered.
pub enum Expected {
    Error,
    Answer(Answer),
}

pub struct Answer {
    pub owners: Owners,
    pub target: Owners,
    pub exact: bool,
    /// The sticky assignors' only.
    pub measures: Option<Measures>,
    pub unwithheld: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Measures {
    pub valid: bool,
    pub balanced: bool,
    pub score: usize,
    pub kept_and_moved: Option<(usize, usize)>,
}

impl Case {
    fn new(name: &str, value: &Value) -> Self {
        let names: Vec<&str> = array(&value["topics"])
            .iter()
            .map(|topic| text(&topic[0]))
            .collect();
        let topics = array(&value["topics"]).iter().filter_map(|topic| {
            let count = u32::try_from(topic[1].as_u64()?).unwrap();
            let name = text(&topic[0]);
            let topic = match &value["racks"][name] {
                Value::Null => Topic::new(count),
                racks => Topic::with_racks(
                    array(racks)
                        .iter()
                        .map(|replicas| array(replicas).iter().filter_map(Value::as_str)),
                ),
            };
            assert_eq!(topic.partition_count(), count);
            Some((name, topic))
        });
        let members = array(&value["members"]);
        Self {
            name: name.to_owned(),
            assignor: value["assignor"].as_str().map(str::to_owned),
            topics: topics.collect(),
            internal: array(&value["internal"])
                .iter()
                .map(|topic| text(topic).to_owned())
                .collect(),
            members: members
                .iter()
                .map(|member| read_member(member, &names))
                .collect(),
            claims: members.iter().map(read_claim).collect(),
            versions: members.iter().map(version).collect(),
            java: read_expected(&value["expect"]["java"]),
            aiokafka: read_expected(&value["expect"]["aiokafka"]),
        }
    }
}

fn read_member(value: &Value, all: &[&str]) -> Member {
    let string = |key: &str| value[key].as_str().map(str::to_owned);
    let topics = match &value["sub"] {
        Value::String(_) => all.iter().map(|&name| name.to_owned()).collect(),
        topics => array(topics)
            .iter()
            .map(|topic| text(topic).to_owned())
            .collect(),
    };
    Member {
        id: text(&value["id"]).to_owned(),
        instance_id: string("inst"),
        // Older versions of the subscription do not carry it.
        rack: string("rack").filter(|_| version(value) >= 3),
        topics,
        user_data: value["user_data"].as_str().map(bytes),
        ..Member::default()
    }
}

fn version(member: &Value) -> i64 {
    member["subver"].as_i64().unwrap_or(3)
}

fn read_claim(value: &Value) -> Option<Claim> {
    Some(Claim {
        owned: owned(value["owned"].as_object()?),
        generation: value["gen"]
            .as_i64()
            .map(|generation| i32::try_from(generation).unwrap()),
    })
}

fn read_expected(value: &Value) -> Option<Expected> {
    if value.is_null() {
        return None;
    }
    if value.get("error").is_some() {
        return Some(Expected::Error);
    }
    let owners = read_owners(&value["owners"]);
    Some(Expected::Answer(Answer {
        target: if value["target"].is_null() {
            owners.clone()
        } else {
            read_owners(&value["target"])
        },
        owners,
        exact: value["exact"].as_bool().unwrap(),
        unwithheld: value
            .get("unwithheld")
            .is_some_and(|unwithheld| *unwithheld != Value::Bool(false)),
        measures: value["valid"].as_bool().map(|valid| Measures {
            valid,
            balanced: value["balanced"].as_bool().unwrap(),
            score: number(&value["score"]),
            kept_and_moved: (!value["moved"].is_null())
                .then(|| (number(&value["kept"]), number(&value["moved"]))),
        }),
    }))
}

fn read_owners(value: &Value) -> Owners {
    let slot = |owner: &Value| match owner {
        Value::Null => Vec::new(),
        Value::Array(owners) => owners.iter().map(number).collect(),
        owner => vec![number(owner)],
    };
    let topics = value.as_object().unwrap().iter();
    topics
        .map(|(topic, slots)| (topic.clone(), array(slots).iter().map(slot).collect()))
        .collect()
}

/// Partitions by topic.
pub fn owned(value: &serde_json::Map<String, Value>) -> BTreeMap<String, Vec<i32>> {
    let partition = |value: &Value| i32::try_from(value.as_i64().unwrap()).unwrap();
    value
        .iter()
        .map(|(topic, list)| (topic.clone(), array(list).iter().map(partition).collect()))
        .collect()
}

pub fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn number(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

/// Bytes written in hexadecimal.
pub fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}
