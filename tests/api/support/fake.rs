//! Fake clusters and clients of theirs.

use std::env;

use ottla::{Client, ClientBuilder, CpuWork};
use ottla_fake::{FakeCluster, FakeClusterBuilder, Release};

/// A cluster in the making, of the release that `cargo xtask test` asks for.
pub(crate) fn cluster() -> FakeClusterBuilder {
    FakeCluster::builder().release(release())
}

/// The release that the clusters play.
pub(crate) fn release() -> Release {
    match env::var("OTTLA_TEST_FAKE_RELEASE") {
        Ok(release) => release.parse().expect("a release that the fake plays"),
        Err(_) => Release::default(),
    }
}

/// Half of all seeds are of a busy machine, where checksums and compression take their time.
pub(crate) fn cpu_work(seed: u64) -> CpuWork {
    match seed % 2 {
        0 => CpuWork::Delayed,
        _ => CpuWork::Inline,
    }
}

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
