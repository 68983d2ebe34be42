//! Clients of a fake cluster in memory.

use ottla::{Client, ClientBuilder, CpuWork};
use ottla_fake::FakeCluster;

/// A client in the making that reaches the cluster through pipes and repeats itself.
pub(crate) fn client_of(cluster: &FakeCluster) -> ClientBuilder {
    let brokers = cluster.clone();
    Client::builder()
        .bootstrap_servers(cluster.bootstrap_servers())
        .connector(move |host: String, port: u16| {
            let brokers = brokers.clone();
            async move { brokers.connect(&host, port).await }
        })
        .cpu_work(CpuWork::Inline)
        .seed(1)
}
