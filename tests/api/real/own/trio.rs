//! Three brokers of the version under test, and what tests do to them.

use std::sync::{Arc, Mutex};

use ottla::{Admin, Client, ClientBuilder, NewTopic, PartitionDescription};
use ottla_codec::Request;
use ottla_codec::messages::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};
use ottla_codec::messages::elect_leaders::{ElectLeadersRequest, TopicPartitions};
use tokio::task::spawn_blocking;
use xtask::kafka::{Cluster, ClusterBuilder, Version};

use crate::support::tap::Tap;
use crate::support::{PATIENCE, eventually};

/// The topic that tests use: each has a cluster of its own.
pub(crate) const TOPIC: &str = "t";

/// Replicas of six partitions, one for each order of the brokers: each leads two.
pub(crate) const ALL_ORDERS: [&[i32]; 6] = [
    &[1, 2, 3],
    &[2, 3, 1],
    &[3, 1, 2],
    &[1, 3, 2],
    &[2, 1, 3],
    &[3, 2, 1],
];

/// The version under test.
pub(crate) fn version() -> Version {
    std::env::var("OTTLA_TEST_KAFKA_VERSION")
        .map_or(Version::DEFAULT, |version| version.parse().unwrap())
}

/// The brokers 1, 2 and 3, in the racks `rack-1`, `rack-2` and `rack-3`.
pub(crate) struct Trio {
    cluster: Arc<Mutex<Cluster>>,
    admin: Admin,
}

impl Trio {
    pub(crate) async fn start(
        configure: impl FnOnce(ClusterBuilder) -> ClusterBuilder + Send + 'static,
    ) -> Self {
        let start = || {
            let builder = Cluster::builder().version(version()).nodes(3);
            configure(builder).start().unwrap()
        };
        let cluster = spawn_blocking(start).await.unwrap();
        let client = client_of(&cluster.bootstrap_servers()).build().unwrap();
        Self {
            cluster: Arc::new(Mutex::new(cluster)),
            admin: client.admin().with_timeout(PATIENCE),
        }
    }

    /// Does something to the brokers, which may take its time.
    pub(crate) async fn control<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Cluster) -> T + Send + 'static,
    ) -> T {
        let cluster = self.cluster.clone();
        spawn_blocking(move || act(&mut cluster.lock().unwrap()))
            .await
            .unwrap()
    }

    pub(crate) fn bootstrap_servers(&self) -> String {
        self.cluster.lock().unwrap().bootstrap_servers()
    }

    pub(crate) fn address(&self, node: i32) -> String {
        self.cluster.lock().unwrap().address(node).unwrap()
    }

    /// A client of its own, which learns nothing from what others ask.
    pub(crate) fn client(&self) -> Client {
        client_of(&self.bootstrap_servers()).build().unwrap()
    }

    /// A client whose connections go through the tap.
    pub(crate) fn client_through(&self, tap: &Tap) -> Client {
        client_of(&self.bootstrap_servers())
            .connector(tap.connector())
            .build()
            .unwrap()
    }

    pub(crate) fn admin(&self) -> &Admin {
        &self.admin
    }

    /// Creates [`TOPIC`], each partition on these replicas, and waits for its leaders.
    pub(crate) async fn create_topic(&self, replicas: &[&[i32]], configs: &[(&str, &str)]) {
        let replicas = replicas.iter().map(|ids| ids.to_vec()).collect();
        let topic = configs.iter().fold(
            NewTopic::new(TOPIC).assignments(replicas),
            |topic, (key, value)| topic.config(*key, *value),
        );
        self.admin.create_topic(topic).await.unwrap();
        self.eventually("the partitions have leaders", |partitions| {
            partitions.iter().all(|p| p.leader.is_some())
        })
        .await;
    }

    /// Waits until each partition of [`TOPIC`] has all three replicas in sync: the next broker may go then.
    pub(crate) async fn in_sync(&self) {
        self.eventually("all replicas are in sync", |partitions| {
            partitions.iter().all(|p| p.isr.len() == 3)
        })
        .await;
    }

    /// Waits until the partitions of [`TOPIC`] are as wanted.
    pub(crate) async fn eventually(
        &self,
        what: &str,
        mut wanted: impl FnMut(&[PartitionDescription]) -> bool,
    ) {
        // Whoever only looks on now and then may find every address it knew gone.
        let client = self.client();
        let admin = client.admin().with_timeout(PATIENCE);
        eventually(what, async || {
            let described = admin.describe_topics([TOPIC]).await.unwrap();
            matches!(&described[TOPIC], Ok(topic) if wanted(&topic.partitions))
        })
        .await;
    }

    /// Gives each partition of [`TOPIC`] these replicas, and has the first of each lead it.
    pub(crate) async fn reassign(&self, replicas: &[Vec<i32>]) {
        let partition = |(index, ids): (i32, &Vec<i32>)| ReassignablePartition {
            partition_index: index,
            replicas: Some(ids.clone()),
            ..Default::default()
        };
        let request = AlterPartitionReassignmentsRequest {
            timeout_ms: 30_000,
            topics: vec![ReassignableTopic {
                name: TOPIC.into(),
                partitions: (0..).zip(replicas).map(partition).collect(),
                ..Default::default()
            }],
            ..Default::default()
        };
        self.ask_controller(&request, |answer| {
            let mut partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
            answer.error_code == 0 && partitions.all(|p| p.error_code == 0)
        })
        .await;
        self.eventually("the new replicas are in sync", |partitions| {
            partitions.iter().zip(replicas).all(|(partition, wanted)| {
                partition.replicas == *wanted && partition.isr.len() == wanted.len()
            })
        })
        .await;
        self.elect_preferred(replicas).await;
    }

    async fn elect_preferred(&self, replicas: &[Vec<i32>]) {
        let preferred = 0;
        let request = ElectLeadersRequest {
            election_type: preferred,
            topic_partitions: Some(vec![TopicPartitions {
                topic: TOPIC.into(),
                partitions: (0..).zip(replicas).map(|(index, _)| index).collect(),
                ..Default::default()
            }]),
            timeout_ms: 30_000,
            ..Default::default()
        };
        self.ask_controller(&request, |answer| answer.error_code == 0)
            .await;
        self.eventually("the preferred replicas lead", |partitions| {
            let mut partitions = partitions.iter().zip(replicas);
            partitions.all(|(partition, wanted)| partition.leader == wanted.first().copied())
        })
        .await;
    }

    /// Asks until the controller, which may just have moved, agrees.
    async fn ask_controller<R: Request>(&self, request: &R, agrees: impl Fn(&R::Response) -> bool) {
        eventually("the controller agrees", async || {
            let controller = self.admin.describe_cluster().await.unwrap().controller;
            let answer = self.admin.raw_request(controller, request).await;
            answer.is_ok_and(|answer| agrees(&answer))
        })
        .await;
    }
}

fn client_of(brokers: &str) -> ClientBuilder {
    Client::builder().bootstrap_servers(brokers)
}
