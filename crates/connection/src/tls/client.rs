//! TLS as it was chosen, read and checked: what secures streams.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, SupportedProtocolVersion};
use rustls_platform_verifier::Verifier;
use tokio_rustls::TlsConnector;
use tracing::debug;

use super::fault::TlsFault;
use super::material::{self, TlsConfigError};
use super::options::{Choice, Made, Tls, TlsVersion};
use super::unnamed::Unnamed;
use crate::error::{DialError, StreamFault};
use crate::transport::BoxStream;

/// Secures streams. Cloning is cheap, and clones share the tickets with which sessions are resumed.
#[derive(Clone)]
pub struct TlsClient {
    connector: TlsConnector,
}

impl Tls {
    /// Reads the certificates and keys there are, and checks that they can be used.
    ///
    /// Reads files, without waiting for anything else.
    ///
    /// # Errors
    ///
    /// [`TlsConfigError`] says what is wrong with which file.
    pub fn load(&self) -> Result<TlsClient, TlsConfigError> {
        let config = match &self.0 {
            Choice::Own(config) => config.clone(),
            Choice::Made(made) => Arc::new(made.config()?),
        };
        Ok(TlsClient {
            connector: TlsConnector::from(config),
        })
    }
}

impl Made {
    fn config(&self) -> Result<ClientConfig, TlsConfigError> {
        let provider = Arc::new(ring::default_provider());
        let versions: Vec<_> = self.versions.iter().copied().map(supported).collect();
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&versions)
            .map_err(|error| material::unusable("the choice of versions", &error))?;
        let roots = self.roots.as_ref().map(material::roots).transpose()?;
        let config = match roots {
            Some(roots) if self.verify_hostname => config.with_root_certificates(roots),
            roots => {
                let verifier: Arc<dyn ServerCertVerifier> = match roots {
                    Some(roots) => Arc::new(Unnamed { roots, provider }),
                    None if self.verify_hostname => Arc::new(system(provider)?),
                    None => return Err(TlsConfigError::HostnameUnverified),
                };
                config
                    .dangerous()
                    .with_custom_certificate_verifier(verifier)
            }
        };
        let Some(identity) = &self.identity else {
            return Ok(config.with_no_client_auth());
        };
        let (chain, key) = material::identity(identity)?;
        config
            .with_client_auth_cert(chain, key)
            .map_err(|error| material::unusable(material::IDENTITY, &error))
    }
}

fn supported(version: TlsVersion) -> &'static SupportedProtocolVersion {
    match version {
        TlsVersion::V1_2 => &TLS12,
        TlsVersion::V1_3 => &TLS13,
    }
}

/// The certificate authorities that the operating system trusts.
fn system(provider: Arc<CryptoProvider>) -> Result<Verifier, TlsConfigError> {
    Verifier::new(provider).map_err(|error| TlsConfigError::SystemRoots {
        reason: error.to_string(),
    })
}

impl TlsClient {
    /// Secures a stream to `host`, an IPv6 address without brackets.
    ///
    /// # Errors
    ///
    /// [`StreamFault::Tls`], or what else happened to the stream.
    ///
    /// # Cancel safety
    ///
    /// Dropping it closes the stream.
    pub(crate) async fn secure(
        &self,
        stream: BoxStream,
        host: &str,
    ) -> Result<BoxStream, DialError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| TlsFault::Protocol {
            reason: format!("{host:?} is neither a host name nor an address"),
        });
        let name = name.map_err(|fault| StreamFault::Tls { fault })?;
        match self.connector.connect(name, stream).await {
            Ok(stream) => {
                let (_, session) = stream.get_ref();
                debug!(
                    version = ?session.protocol_version(),
                    cipher = ?session.negotiated_cipher_suite().map(|suite| suite.suite()),
                    "secured"
                );
                Ok(Box::new(stream))
            }
            Err(error) if ended(&error) => Err(StreamFault::Tls {
                fault: TlsFault::Ended,
            }
            .into()),
            Err(error) => Err(self.explain(StreamFault::from(error).into())),
        }
    }

    /// Tells a certificate that the broker refuses from one that it never got.
    ///
    /// With TLS 1.3 this client is done with the handshake before the broker has seen its certificate, so the alert
    /// comes as the answer to the first request.
    pub(crate) fn explain(&self, error: DialError) -> DialError {
        let certain = self
            .connector
            .config()
            .client_auth_cert_resolver
            .has_certs();
        match error {
            DialError::Handshake {
                fault:
                    StreamFault::Tls {
                        fault: TlsFault::ClientCertificateRefused { alert },
                    },
            } if !certain => StreamFault::Tls {
                fault: TlsFault::ClientCertificateMissing { alert },
            }
            .into(),
            other => other,
        }
    }
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsClient")
    }
}

/// Whether the peer hung up instead of answering.
fn ended(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
    )
}
