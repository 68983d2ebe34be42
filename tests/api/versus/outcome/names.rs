//! The names of things, and how lines are put together.

use std::collections::BTreeMap;
use std::fmt::Display;

use ottla_codec::{ErrorCode, Uuid};

/// What the script calls the things whose names differ from run to run.
#[derive(Debug, Default)]
pub(crate) struct Names {
    names: BTreeMap<String, &'static str>,
    ids: BTreeMap<Uuid, &'static str>,
    pub(crate) sessions: BTreeMap<i32, &'static str>,
}

impl Names {
    pub(crate) fn add(&mut self, name: &str, stem: &'static str) {
        self.names.insert(name.to_owned(), stem);
    }

    pub(crate) fn add_id(&mut self, id: Uuid, stem: &'static str) {
        self.ids.insert(id, stem);
    }

    pub(crate) fn name(&self, name: &str) -> String {
        match self.names.get(name) {
            Some(stem) => (*stem).to_owned(),
            None => format!("{name:?}"),
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// A member's id: those that the broker has just made end in a UUID.
    pub(crate) fn member(&self, id: &str) -> String {
        let made = id.split_at_checked(id.len().wrapping_sub(36));
        match made {
            Some((stem, uuid)) if !self.has(id) && uuid.split('-').count() == 5 => {
                format!("{stem}…")
            }
            _ => self.name(id),
        }
    }

    pub(crate) fn id(&self, id: Uuid) -> String {
        match self.ids.get(&id) {
            Some(stem) => format!("<{stem}>"),
            None if id.is_zero() => String::new(),
            None => "<?>".to_owned(),
        }
    }

    /// A topic by name or id, whichever the answer has.
    pub(crate) fn topic(&self, name: &str, id: Uuid) -> String {
        if name.is_empty() && !id.is_zero() {
            self.id(id)
        } else {
            format!("{}{}", self.name(name), self.id(id))
        }
    }
}

/// A response as a line.
pub(crate) trait Outcome {
    fn outcome(&self, version: i16, names: &Names) -> String;
}

/// `ok`, or Kafka's name of the error.
pub(crate) fn code(code: i16) -> String {
    match ErrorCode::from_code(code) {
        ErrorCode::None => "ok".to_owned(),
        error => error.name().to_owned(),
    }
}

/// A timestamp: those of the script are small, others are the broker's clock.
pub(crate) fn time(timestamp: i64) -> String {
    if timestamp > 1_000_000_000_000 {
        "now".to_owned()
    } else {
        timestamp.to_string()
    }
}

pub(crate) fn join(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<String> = items.into_iter().collect();
    if items.is_empty() {
        "nothing".to_owned()
    } else {
        items.join("; ")
    }
}

/// Where brokers answer in the order of a hash map.
pub(crate) fn sorted(items: impl IntoIterator<Item = String>) -> String {
    let mut items: Vec<String> = items.into_iter().collect();
    items.sort();
    join(items)
}

/// ` name=value` unless it is what the protocol says when there is nothing to say.
pub(crate) fn unless<T: PartialEq + Display>(name: &str, value: T, nothing: T) -> String {
    if value == nothing {
        String::new()
    } else {
        format!(" {name}={value}")
    }
}
