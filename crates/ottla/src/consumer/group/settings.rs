//! The settings of a group's member.

use std::fmt;
use std::sync::Arc;

use ottla_assignor::{
    Assignor, CooperativeStickyAssignor, RangeAssignor, RoundRobinAssignor, StickyAssignor,
};
use tokio::time::Duration;

/// How to be a member.
#[derive(Clone)]
pub(crate) struct GroupConfig {
    pub(crate) instance_id: Option<String>,
    pub(crate) session_timeout: Duration,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) max_poll_interval: Duration,
    pub(crate) auto_commit: bool,
    pub(crate) auto_commit_interval: Duration,
    /// In order of preference.
    pub(crate) assignors: Vec<Offer>,
}

/// An assignor to offer.
#[derive(Clone)]
pub(crate) enum Offer {
    /// A built-in one. They remember things, so that each consumer gets one of its own.
    New(fn() -> Arc<dyn Assignor>),
    /// The caller's.
    Given(Arc<dyn Assignor>),
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            instance_id: None,
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            max_poll_interval: Duration::from_secs(300),
            auto_commit: true,
            auto_commit_interval: Duration::from_secs(5),
            assignors: vec![Offer::New(range), Offer::New(cooperative_sticky)],
        }
    }
}

impl GroupConfig {
    /// The assignors to offer.
    pub(crate) fn assignors(&self) -> Vec<Arc<dyn Assignor>> {
        let make = |offer: &Offer| match offer {
            Offer::New(make) => make(),
            Offer::Given(assignor) => assignor.clone(),
        };
        self.assignors.iter().map(make).collect()
    }
}

fn range() -> Arc<dyn Assignor> {
    Arc::new(RangeAssignor::new())
}

fn round_robin() -> Arc<dyn Assignor> {
    Arc::new(RoundRobinAssignor::new())
}

fn sticky() -> Arc<dyn Assignor> {
    Arc::new(StickyAssignor::new())
}

fn cooperative_sticky() -> Arc<dyn Assignor> {
    Arc::new(CooperativeStickyAssignor::new())
}

/// Built-in assignors, as a property lists them: by their names, or by those of Java's classes.
pub(crate) fn assignors(value: &str) -> Result<Vec<Offer>, String> {
    let names = value
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    let offer = |name: &str| {
        let class = name.strip_prefix("org.apache.kafka.clients.consumer.");
        Ok(Offer::New(match class.unwrap_or(name) {
            "range" | "RangeAssignor" => range,
            "roundrobin" | "RoundRobinAssignor" => round_robin,
            "sticky" | "StickyAssignor" => sticky,
            "cooperative-sticky" | "CooperativeStickyAssignor" => cooperative_sticky,
            _ => return Err(format!("{name:?} is no built-in assignor")),
        }))
    };
    let offers = names.map(offer).collect::<Result<Vec<_>, _>>()?;
    match offers.is_empty() {
        true => Err("it names no assignor".to_owned()),
        false => Ok(offers),
    }
}

impl fmt::Debug for GroupConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let assignors = self.assignors();
        let names: Vec<_> = assignors.iter().map(|assignor| assignor.name()).collect();
        f.debug_struct("GroupConfig")
            .field("instance_id", &self.instance_id)
            .field("session_timeout", &self.session_timeout)
            .field("heartbeat_interval", &self.heartbeat_interval)
            .field("max_poll_interval", &self.max_poll_interval)
            .field("auto_commit", &self.auto_commit)
            .field("auto_commit_interval", &self.auto_commit_interval)
            .field("assignors", &names)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(value: &str) -> Vec<String> {
        let config = GroupConfig {
            assignors: assignors(value).unwrap(),
            ..GroupConfig::default()
        };
        config
            .assignors()
            .iter()
            .map(|one| one.name().to_owned())
            .collect()
    }

    #[test]
    fn assignors_are_known_by_both_their_names() {
        assert_eq!(
            names("range, org.apache.kafka.clients.consumer.CooperativeStickyAssignor"),
            ["range", "cooperative-sticky"]
        );
        assert_eq!(
            names("StickyAssignor,roundrobin,"),
            ["sticky", "roundrobin"]
        );
        assert!(assignors("").is_err());
        assert_eq!(
            assignors("range,mine").err().as_deref(),
            Some("\"mine\" is no built-in assignor")
        );
        let offered = GroupConfig::default().assignors();
        assert_eq!(
            offered.iter().map(|one| one.name()).collect::<Vec<_>>(),
            ["range", "cooperative-sticky"]
        );
    }
}
