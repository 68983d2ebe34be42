//! The brokers' side of TLS.

use std::fmt::{self, Display};
use std::io;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Authority, Certificate};
use crate::error::FakeError;

/// Accepts clients that speak TLS.
#[derive(Clone)]
pub(crate) struct Acceptor(TlsAcceptor);

/// An acceptor with a certificate, of clients that have one of `clients`, if that is set.
pub(crate) fn acceptor(
    certificate: &Certificate,
    clients: Option<&Authority>,
) -> Result<Acceptor, FakeError> {
    let provider = Arc::new(ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let config = match clients {
        None => config.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            let authority = CertificateDer::from_pem_slice(authority.pem().as_bytes());
            roots.add(authority.map_err(unusable)?).map_err(unusable)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(unusable)?;
            config.with_client_cert_verifier(verifier)
        }
    };
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(certificate.chain().as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(certificate.key().as_bytes()).map_err(unusable)?;
    let config = config
        .with_single_cert(chain.map_err(unusable)?, key)
        .map_err(unusable)?;
    Ok(Acceptor(TlsAcceptor::from(Arc::new(config))))
}

impl Acceptor {
    pub(crate) async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.0.accept(stream).await
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acceptor")
    }
}

fn unusable(reason: impl Display) -> FakeError {
    FakeError::Certificate {
        reason: reason.to_string(),
    }
}
