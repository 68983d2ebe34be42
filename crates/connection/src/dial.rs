//! One try to reach a broker, from its name to a connection that is ready for requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::time::{Duration, Instant};
use tracing::debug;

use crate::config::ConnectionConfig;
use crate::connection::Connection;
use crate::driver::Driver;
use crate::error::DialError;
use crate::handshake::{Exchange, MAX_HANDSHAKE_FRAME, Negotiated, Negotiation, is_cut};
use crate::peer::{ConnectionGroup, Peer};
use crate::reader::FrameReader;
use crate::sasl::Identity;
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
    /// The time that whoever runs this gives it.
    pub(crate) setup_timeout: Duration,
    /// Whether the connector has succeeded once.
    pub(crate) connected: AtomicBool,
}

impl Dial {
    /// Connects, encrypts, negotiates, proves who this client is, and splits the connection into its handle and the part that has to
    /// run.
    ///
    /// # Cancel safety
    ///
    /// Dropping it closes whatever was open.
    pub(crate) async fn establish(&self) -> Result<(Connection, Driver<BoxStream>), DialError> {
        let (mut stream, mut reader, negotiated) = match self.open(Negotiation::newest()).await {
            Err(error) if is_cut(&error) => {
                debug!(%error, "asking for versions again in the oldest way");
                self.open(Negotiation::oldest()).await?
            }
            other => other?,
        };
        let mut identity = self.config.sasl.clone().map(|sasl| Identity {
            sasl,
            config: self.config.clone(),
            versions: negotiated.versions.clone(),
            timeout: self.setup_timeout,
            rng: fastrand::Rng::with_seed(self.id),
        });
        let prove_again_at = match &mut identity {
            Some(identity) => {
                let mut exchange = Exchange::new(&mut stream, &mut reader);
                identity.prove(&mut exchange).await?
            }
            None => None,
        };
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
        session.authenticated(prove_again_at);
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
                identity,
            },
        ))
    }

    async fn open(
        &self,
        negotiation: Negotiation,
    ) -> Result<(BoxStream, FrameReader, Negotiated), DialError> {
        let address = self.peer.address();
        let mut stream = self
            .connector
            .connect(address.host(), address.port())
            .await
            .map_err(|error| DialError::Connect {
                source: Arc::new(error),
            })?;
        self.connected.store(true, Relaxed);
        let tls = self.config.tls.as_ref();
        if let Some(tls) = tls {
            stream = tls.secure(stream, address.host()).await?;
        }
        let max_frame = MAX_HANDSHAKE_FRAME.min(self.config.max_response_bytes);
        let mut reader = FrameReader::new(max_frame, self.counters.clone());
        let mut exchange = Exchange::new(&mut stream, &mut reader);
        let negotiated = exchange.negotiate(&self.config, negotiation).await;
        let negotiated = negotiated.map_err(|error| match tls {
            Some(tls) => tls.explain(error),
            None => error,
        })?;
        Ok((stream, reader, negotiated))
    }
}

#[cfg(test)]
mod tests;
