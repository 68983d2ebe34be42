//! `server.properties` of a test broker: quick to start, quick to clean, nothing created by itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::Version;
use super::security::Security;

/// What distinguishes one node of a cluster from the others.
#[derive(Debug)]
pub(crate) struct NodeConfig<'a> {
    pub(crate) id: i32,
    pub(crate) port: u16,
    /// The port where brokers talk to each other; the same, unless clients have to use [`Security`].
    pub(crate) internal_port: u16,
    /// The port of its KRaft controller; unused with ZooKeeper.
    pub(crate) controller_port: u16,
    pub(crate) data: &'a Path,
}

/// What the nodes of a cluster have in common.
#[derive(Debug)]
pub(crate) struct ClusterConfig<'a> {
    pub(crate) version: Version,
    pub(crate) nodes: usize,
    /// `id@host:port` of every controller, or the address of ZooKeeper.
    pub(crate) quorum: &'a str,
    pub(crate) overrides: &'a BTreeMap<String, String>,
    pub(crate) security: &'a Security,
    /// Where certificates are.
    pub(crate) conf: &'a Path,
}

/// The properties of one node; what the caller has set comes last and wins.
pub(crate) fn server_properties(cluster: &ClusterConfig<'_>, node: &NodeConfig<'_>) -> String {
    let mut all: BTreeMap<&str, String> = BTreeMap::new();
    for (key, value) in COMMON {
        all.insert(key, (*value).to_owned());
    }
    let replication = cluster.nodes.min(3).to_string();
    let min_isr = cluster.nodes.min(2).to_string();
    for key in [
        "offsets.topic.replication.factor",
        "transaction.state.log.replication.factor",
        "share.coordinator.state.topic.replication.factor",
    ] {
        all.insert(key, replication.clone());
    }
    all.insert("default.replication.factor", replication);
    all.insert("transaction.state.log.min.isr", min_isr.clone());
    all.insert("share.coordinator.state.topic.min.isr", min_isr);
    all.insert("log.dirs", node.data.display().to_string());
    all.insert("broker.rack", format!("rack-{}", node.id));
    let mut clients = format!("PLAINTEXT://127.0.0.1:{}", node.internal_port);
    if let Some(protocol) = cluster.security.protocol() {
        clients = format!("CLIENT://127.0.0.1:{},{clients}", node.port);
        let map = format!("CLIENT:{protocol},PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT");
        all.insert("listener.security.protocol.map", map);
        all.insert("inter.broker.listener.name", "PLAINTEXT".into());
        all.extend(cluster.security.broker_properties(cluster.conf));
    }
    all.insert("advertised.listeners", clients.clone());
    if cluster.version.needs_zookeeper() {
        all.insert("broker.id", node.id.to_string());
        all.insert("zookeeper.connect", cluster.quorum.to_owned());
        all.insert("zookeeper.session.timeout.ms", "6000".into());
        all.insert("listeners", clients);
    } else {
        all.insert("node.id", node.id.to_string());
        all.insert("process.roles", "broker,controller".into());
        all.insert("controller.listener.names", "CONTROLLER".into());
        all.insert("controller.quorum.voters", cluster.quorum.to_owned());
        all.insert("inter.broker.listener.name", "PLAINTEXT".into());
        all.insert(
            "listeners",
            format!("{clients},CONTROLLER://127.0.0.1:{}", node.controller_port),
        );
        all.insert("broker.session.timeout.ms", "6000".into());
        all.insert("broker.heartbeat.interval.ms", "500".into());
    }
    for (key, value) in cluster.overrides {
        all.insert(key, value.replace("{node}", &node.id.to_string()));
    }
    let mut text = String::new();
    for (key, value) in all {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{key}={value}");
    }
    text
}

/// ZooKeeper's own properties.
pub(crate) fn zookeeper_properties(port: u16, data: &Path) -> String {
    format!(
        "dataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\ntickTime=1000\nmaxClientCnxns=0\nadmin.enableServer=false\n",
        data.display()
    )
}

const COMMON: &[(&str, &str)] = &[
    ("auto.create.topics.enable", "false"),
    ("background.threads", "2"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("group.min.session.timeout.ms", "500"),
    // Compaction within seconds of a segment's end, in a heap that is small.
    ("log.cleaner.backoff.ms", "200"),
    ("log.cleaner.dedupe.buffer.size", "4194304"),
    ("log.cleaner.min.cleanable.ratio", "0.01"),
    ("log.cleaner.threads", "1"),
    ("log.retention.check.interval.ms", "500"),
    ("log.initial.task.delay.ms", "500"),
    ("log.segment.delete.delay.ms", "500"),
    ("num.io.threads", "4"),
    ("num.network.threads", "2"),
    ("num.partitions", "1"),
    ("offsets.topic.num.partitions", "4"),
    ("share.coordinator.state.topic.num.partitions", "4"),
    ("transaction.state.log.num.partitions", "4"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(version: Version, nodes: usize, overrides: &[(&str, &str)]) -> Vec<String> {
        let overrides = overrides
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let cluster = ClusterConfig {
            version,
            nodes,
            quorum: "1@127.0.0.1:2",
            overrides: &overrides,
            security: &Security::Plaintext,
            conf: Path::new("/conf"),
        };
        let node = NodeConfig {
            id: 2,
            port: 1,
            internal_port: 1,
            controller_port: 2,
            data: Path::new("/data"),
        };
        server_properties(&cluster, &node)
            .lines()
            .map(String::from)
            .collect()
    }

    #[test]
    fn factors_follow_the_number_of_nodes() {
        let one = properties(Version::V4_3, 1, &[]);
        assert!(one.contains(&"offsets.topic.replication.factor=1".into()));
        assert!(one.contains(&"transaction.state.log.min.isr=1".into()));
        let three = properties(Version::V4_3, 3, &[]);
        assert!(three.contains(&"offsets.topic.replication.factor=3".into()));
        assert!(three.contains(&"transaction.state.log.min.isr=2".into()));
    }

    #[test]
    fn what_the_caller_sets_wins() {
        let set = properties(
            Version::V4_3,
            1,
            &[
                ("auto.create.topics.enable", "true"),
                ("broker.rack", "r{node}"),
                ("x", "y"),
            ],
        );
        assert!(set.contains(&"auto.create.topics.enable=true".into()));
        assert!(!set.contains(&"auto.create.topics.enable=false".into()));
        assert!(set.contains(&"broker.rack=r2".into()));
        assert!(set.contains(&"x=y".into()));
    }

    #[test]
    fn old_brokers_get_zookeeper_and_new_ones_a_controller() {
        let old = properties(Version::V2_8, 1, &[]);
        assert!(old.contains(&"zookeeper.connect=1@127.0.0.1:2".into()));
        assert!(!old.iter().any(|line| line.starts_with("process.roles")));
        let new = properties(Version::V3_9, 1, &[]);
        assert!(new.contains(&"controller.quorum.voters=1@127.0.0.1:2".into()));
        assert!(!new.iter().any(|line| line.starts_with("zookeeper")));
    }
}
