//! A client's proof of who it is, carried over one connection.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use ottla_codec::messages::sasl_authenticate::SaslAuthenticateRequest;
use ottla_codec::messages::sasl_handshake::SaslHandshakeRequest;
use ottla_codec::{ErrorCode, Message as _, Request, VersionRange, frame};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tracing::debug;

use super::conversation::{Conversation, Next};
use super::fault::SaslFault;
use super::options::Sasl;
use crate::config::ConnectionConfig;
use crate::error::{DialError, StreamFault};
use crate::handshake::Exchange;
use crate::versions::Versions;

/// Version 0 of the handshake leaves what follows without frames, and no broker since 1.0 needs it.
const HANDSHAKE: VersionRange = VersionRange::new(1, SaslHandshakeRequest::VERSIONS.max);

/// Who this client is, and what it takes to say so over one connection, now and again later.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) sasl: Sasl,
    pub(crate) config: Arc<ConnectionConfig>,
    pub(crate) versions: Versions,
    /// How long proving it may take.
    pub(crate) timeout: Duration,
    /// Decides how early it is proven again, so that a broker's clients do not all come at once.
    pub(crate) rng: fastrand::Rng,
}

impl Identity {
    /// Proves it, and returns when it is to be proven again, if the broker wants that: after 85 to 95 % of the session's
    /// lifetime (KIP-368).
    ///
    /// # Errors
    ///
    /// [`DialError::Sasl`] says who does not believe whom, and why.
    ///
    /// # Cancel safety
    ///
    /// The connection is of no more use after a drop.
    pub(crate) async fn prove<S>(
        &mut self,
        exchange: &mut Exchange<'_, S>,
    ) -> Result<Option<Instant>, DialError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.shake_hands(exchange).await?;
        let (mut conversation, mut message) = Conversation::begin(&self.sasl, nonce()?);
        let version = self.pick::<SaslAuthenticateRequest>(SaslAuthenticateRequest::VERSIONS)?;
        loop {
            let request = SaslAuthenticateRequest {
                // The message is overwritten when the last user of these bytes is gone.
                auth_bytes: Bytes::from_owner(message),
                ..Default::default()
            };
            let response = self.ask(exchange, &request, version).await?;
            let code = ErrorCode::from_code(response.error_code);
            let message_of_broker = response.error_message.unwrap_or_default();
            let mechanism = self.sasl.mechanism;
            match code {
                ErrorCode::None => {}
                ErrorCode::SaslAuthenticationFailed => {
                    return Err(SaslFault::Denied {
                        mechanism,
                        message: message_of_broker,
                    }
                    .into());
                }
                code => {
                    return Err(SaslFault::Refused {
                        mechanism,
                        code,
                        message: message_of_broker,
                    }
                    .into());
                }
            }
            match conversation.received(&response.auth_bytes)? {
                Next::Done => {
                    debug!(%mechanism, lifetime_ms = response.session_lifetime_ms, "authenticated");
                    return Ok(self.again_at(response.session_lifetime_ms));
                }
                Next::Derive(derivation) => {
                    let derived = spawn_blocking(|| derivation.run()).await;
                    // It only fails together with the runtime.
                    message = conversation.derived(derived.map_err(|_| DialError::Interrupted)?);
                }
            }
        }
    }

    async fn shake_hands<S>(&self, exchange: &mut Exchange<'_, S>) -> Result<(), DialError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let version = self.pick::<SaslHandshakeRequest>(HANDSHAKE)?;
        let mechanism = self.sasl.mechanism;
        let request = SaslHandshakeRequest {
            mechanism: mechanism.name().to_owned(),
        };
        let response = self.ask(exchange, &request, version).await?;
        match ErrorCode::from_code(response.error_code) {
            ErrorCode::None => Ok(()),
            ErrorCode::UnsupportedSaslMechanism => Err(SaslFault::MechanismUnsupported {
                mechanism,
                offered: response.mechanisms,
            }
            .into()),
            code => Err(SaslFault::Refused {
                mechanism,
                code,
                message: String::new(),
            }
            .into()),
        }
    }

    async fn ask<S, R: Request>(
        &self,
        exchange: &mut Exchange<'_, S>,
        request: &R,
        version: i16,
    ) -> Result<R::Response, DialError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let answer = exchange.call(&self.config, request, version).await?;
        let (_, response) = frame::decode_response::<R>(&answer, version).map_err(|source| {
            StreamFault::Undecodable {
                api: R::KEY,
                source,
            }
        })?;
        Ok(response)
    }

    fn pick<R: Request>(&self, own: VersionRange) -> Result<i16, DialError> {
        self.versions
            .pick::<R>(own)
            .map_err(|source| DialError::Unsupported { source })
    }

    fn again_at(&mut self, lifetime_ms: i64) -> Option<Instant> {
        let lifetime_ms = u64::try_from(lifetime_ms).ok().filter(|&ms| ms > 0)?;
        let part = 0.85 + 0.1 * self.rng.f64();
        let lifetime = Duration::from_millis((lifetime_ms as f64 * part) as u64);
        Instant::now().checked_add(lifetime)
    }
}

/// Text that nobody can guess. The system's random numbers, and not a seed's: a proof must not be repeated.
fn nonce() -> Result<String, DialError> {
    let mut bytes = [0; 24];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| DialError::Interrupted)?;
    Ok(STANDARD_NO_PAD.encode(bytes))
}
