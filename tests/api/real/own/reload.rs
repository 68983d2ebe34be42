//! Groups of a broker that dies and comes back, beside the fake's.

use std::sync::{Arc, Mutex};

use tokio::task::spawn_blocking;
use xtask::kafka::Cluster;

use super::trio::version;
use crate::support::raw::Broker;
use crate::versus::chapter;

#[tokio::test]
#[ignore = "needs Kafka brokers: cargo xtask test"]
async fn groups_are_loaded_as_written_down() {
    let start = || Cluster::builder().version(version()).start().unwrap();
    let cluster = spawn_blocking(start).await.unwrap();
    let broker = Broker::Real(cluster.bootstrap_servers());
    let cluster = Arc::new(Mutex::new(cluster));
    let restart = move || {
        let cluster = cluster.clone();
        let restart = move || {
            let mut cluster = cluster.lock().unwrap();
            cluster.kill(1).unwrap();
            cluster.restart(1).unwrap();
        };
        let restarted = spawn_blocking(restart);
        Box::pin(async move { restarted.await.unwrap() }) as _
    };
    let chapter = chapter::RELOAD;
    chapter
        .check_restarting(broker, Some(Box::new(restart)))
        .await;
}
