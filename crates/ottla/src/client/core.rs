//! What a client's handles share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ottla_cluster::{Broker, LeaderHint};
use ottla_codec::messages::metadata::MetadataResponse;
use ottla_connection::{Backoff, ConnectionConfig, Connector, HostPort, Pool, PoolConfig};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ClientConfig;
use crate::env::Env;
use crate::metadata::{Metadata, Refresher, update_nodes};

/// The shared parts of a client. Alive while the client or anything made from it is.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) pool: Pool,
    pub(crate) metadata: Metadata,
    pub(crate) env: Env,
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the client goes: every task of it ends then.
    pub(crate) shutdown: CancellationToken,
    next_owner: AtomicU64,
}

impl Core {
    pub(crate) fn start(config: ClientConfig, connector: Arc<dyn Connector>) -> Arc<Self> {
        let config = Arc::new(config);
        let env = Env::new(config.seed, config.wall_clock, config.cpu_work);
        let (first, longest) = config.reconnect_backoff;
        let pool = Pool::new(
            PoolConfig {
                bootstrap: config.bootstrap.clone(),
                connection: ConnectionConfig {
                    client_id: Some(config.client_id.clone()),
                    max_response_bytes: config.max_response_bytes,
                    idle_timeout: config.connections_max_idle,
                    tls: config.tls.clone(),
                    sasl: config.sasl.clone(),
                    ..ConnectionConfig::default()
                },
                reconnect_backoff: Backoff::new(first, longest),
                setup_timeout: Backoff::new(
                    config.connect_timeout,
                    config.connect_timeout.saturating_mul(3),
                ),
                ..PoolConfig::default()
            },
            connector,
            env.fork_rng(),
        );
        let core = Arc::new(Self {
            metadata: Metadata::new(),
            tasks: TaskTracker::new(),
            shutdown: CancellationToken::new(),
            next_owner: AtomicU64::new(1),
            pool,
            env,
            config,
        });
        core.tasks.spawn(
            Refresher {
                metadata: core.metadata.clone(),
                pool: core.pool.clone(),
                config: core.config.clone(),
                rng: core.env.fork_rng(),
                shutdown: core.shutdown.clone(),
            }
            .run(),
        );
        core
    }

    /// Takes in what error responses said about leaders, and where those listen (KIP-951).
    pub(crate) fn apply_hints(
        &self,
        hints: impl IntoIterator<Item = LeaderHint>,
        endpoints: impl IntoIterator<Item = Broker>,
    ) {
        let endpoints: Vec<Broker> = endpoints.into_iter().collect();
        // First the addresses: whoever sees the new leader may dial it at once.
        self.pool.learn_nodes(
            endpoints
                .iter()
                .map(|broker| (broker.id.0, HostPort::new(&broker.host, broker.port))),
        );
        self.metadata.apply_hints(hints, endpoints);
    }

    /// Takes in which brokers there are, and where they listen, from an answer that somebody asked for on
    /// their own. Who looks at a cluster from time to time then finds it again after all of it has moved.
    pub(crate) fn learn_brokers(&self, response: &MetadataResponse) {
        self.metadata.learn_brokers(response);
        update_nodes(&self.pool, &self.metadata.cluster());
    }

    /// An id for a handle that owns connections of its own.
    pub(crate) fn next_owner_id(&self) -> u64 {
        self.next_owner.fetch_add(1, Ordering::Relaxed)
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}
