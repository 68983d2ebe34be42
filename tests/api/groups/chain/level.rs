//! One hop of the chain: from a topic through a group to the next topic.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ottla::{AutoOffsetReset, Client, Consumer};

use super::super::history::History;
use super::super::subject::{MAX_POLL, SESSION, with_strategy};

/// What the members of a hop share.
pub(super) struct Level {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) group: String,
    pub(super) strategy: &'static str,
    pub(super) history: History,
    passed: Mutex<Passed>,
}

/// The keys that the next topic has for certain.
struct Passed {
    keys: Vec<bool>,
    count: usize,
}

impl Level {
    pub(super) fn new(
        (from, to): (&str, &str),
        group: &str,
        strategy: &'static str,
        records: usize,
    ) -> Self {
        Self {
            from: from.to_owned(),
            to: to.to_owned(),
            group: group.to_owned(),
            strategy,
            history: History::default(),
            passed: Mutex::new(Passed {
                keys: vec![false; records],
                count: 0,
            }),
        }
    }

    /// The next topic has taken these keys.
    pub(super) fn pass(&self, keys: impl IntoIterator<Item = usize>) {
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            if !std::mem::replace(&mut passed.keys[key], true) {
                passed.count += 1;
            }
        }
    }

    /// How many keys the next topic has.
    pub(super) fn passed(&self) -> usize {
        let passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        passed.count
    }

    /// A member of the group, by its lasting name if it has one.
    pub(super) fn member(&self, client: &Client, instance: Option<&str>) -> Consumer {
        let settings = client
            .consumer()
            .group_id(&self.group)
            .auto_offset_reset(AutoOffsetReset::Earliest)
            .session_timeout(SESSION)
            .heartbeat_interval(Duration::from_secs(1))
            .max_poll_interval(MAX_POLL)
            .auto_commit(false);
        let settings = match instance {
            Some(instance) => settings.group_instance_id(instance),
            None => settings,
        };
        let consumer = with_strategy(settings, self.strategy).build();
        let consumer = consumer.expect("a consumer");
        consumer.subscribe([&self.from]).expect("a subscription");
        consumer
    }
}

/// What a key's record carries.
pub(super) fn value_of(key: usize) -> String {
    format!("the value of {key}")
}

/// The key of a record, whose value must be that of the key.
pub(super) fn key_of(key: Option<&[u8]>, value: Option<&[u8]>) -> usize {
    let key = std::str::from_utf8(key.expect("a key")).expect("text");
    let key = key.parse().expect("a number");
    assert_eq!(value, Some(value_of(key).as_bytes()), "of {key}");
    key
}
