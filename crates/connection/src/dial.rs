//! One try to reach a broker, from its name to a connection that is ready for requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::time::Instant;
use tracing::debug;

use crate::config::ConnectionConfig;
use crate::connection::Connection;
use crate::driver::Driver;
use crate::error::DialError;
use crate::handshake::{Exchange, MAX_HANDSHAKE_FRAME, Negotiated, Negotiation, is_cut};
use crate::peer::{ConnectionGroup, Peer};
use crate::reader::FrameReader;
use crate::session::Session;
use crate::stats::Counters;
use crate::transport::{BoxStream, Connector};

/// Everything a try needs to know.
pub(crate) struct Dial {
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) config: Arc<ConnectionConfig>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) id: u64,
    pub(crate) peer: Peer,
    pub(crate) group: ConnectionGroup,
    /// Whether the connector has succeeded once.
    pub(crate) connected: AtomicBool,
}

impl Dial {
    /// Connects, encrypts, negotiates, and splits the connection into its handle and the part that has to
    /// run.
    ///
    /// # Cancel safety
    ///
    /// Dropping it closes whatever was open.
    pub(crate) async fn establish(&self) -> Result<(Connection, Driver<BoxStream>), DialError> {
        let (exchange, negotiated) = match self.open(Negotiation::newest()).await {
            Err(error) if is_cut(&error) => {
                debug!(%error, "asking for versions again in the oldest way");
                self.open(Negotiation::oldest()).await?
            }
            other => other?,
        };
        // Whoever has to prove who they are does it here, over the exchange.
        let Exchange {
            stream, mut reader, ..
        } = exchange;
        reader.accept_up_to(self.config.max_response_bytes);
        let now = Instant::now();
        let mut session = Session::new(
            self.peer.clone(),
            self.config.idle_timeout,
            self.counters.clone(),
            now,
        );
        if let Some(silence) = negotiated.silence {
            session.mute(silence, now);
        }
        let (connection, orders) = Connection::new(
            self.id,
            self.peer.clone(),
            self.group,
            negotiated.versions,
            self.config.clone(),
        );
        let ending = connection.ending();
        Ok((
            connection,
            Driver {
                stream,
                reader,
                session,
                orders,
                ending,
            },
        ))
    }

    async fn open(
        &self,
        negotiation: Negotiation,
    ) -> Result<(Exchange<BoxStream>, Negotiated), DialError> {
        let address = self.peer.address();
        let stream = self
            .connector
            .connect(address.host(), address.port())
            .await
            .map_err(|error| DialError::Connect {
                source: Arc::new(error),
            })?;
        self.connected.store(true, Relaxed);
        let tls = self.config.tls.as_ref();
        let stream = match tls {
            Some(tls) => tls.secure(stream, address.host()).await?,
            None => stream,
        };
        let max_frame = MAX_HANDSHAKE_FRAME.min(self.config.max_response_bytes);
        let mut exchange =
            Exchange::new(stream, FrameReader::new(max_frame, self.counters.clone()));
        let negotiated = exchange.negotiate(&self.config, negotiation).await;
        let negotiated = negotiated.map_err(|error| match tls {
            Some(tls) => tls.explain(error),
            None => error,
        })?;
        Ok((exchange, negotiated))
    }
}

#[cfg(test)]
mod tests;
