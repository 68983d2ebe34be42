//! Whom a request is for.

use ottla_connection::{Connection, ConnectionError, ConnectionGroup, Pool};
use tokio::time::Instant;

/// A broker by its id, or whichever bootstrap server answers first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Bootstrap,
    Node(i32),
}

impl Target {
    /// A connection to it, from the pool.
    pub(crate) async fn connection(
        self,
        pool: &Pool,
        group: ConnectionGroup,
        deadline: Instant,
    ) -> Result<Connection, ConnectionError> {
        match self {
            Self::Bootstrap => pool.bootstrap(group, deadline).await,
            Self::Node(id) => pool.connection(id, group, deadline).await,
        }
    }
}
