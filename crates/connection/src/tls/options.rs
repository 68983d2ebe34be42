//! What people choose about TLS, before any file of it was read.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use zeroize::Zeroizing;

/// How connections are encrypted, whom they trust, and who this client is.
///
/// By default: TLS 1.3 or 1.2, the certificate authorities that the system trusts, the broker's certificate checked
/// against the name that was dialled, and no certificate of one's own.
///
/// ```
/// use ottla_connection::Tls;
///
/// let tls = Tls::new().ca_file("ca.pem").certificate_files("client.pem", "client.key");
/// # drop(tls);
/// ```
///
/// Files are read when the client is made. Neither they nor keys are part of `Debug`.
#[derive(Clone)]
#[must_use]
pub struct Tls(pub(super) Choice);

#[derive(Clone)]
pub(super) enum Choice {
    /// Made here, from certificates.
    Made(Made),
    /// Somebody's own.
    Own(Arc<ClientConfig>),
}

#[derive(Clone)]
pub(super) struct Made {
    pub(super) roots: Option<Pem>,
    pub(super) identity: Option<Identity>,
    pub(super) verify_hostname: bool,
    pub(super) versions: Vec<TlsVersion>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// Who this client is.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) chain: Pem,
    pub(super) key: Pem,
}

/// Where a certificate or a key is, in PEM.
#[derive(Clone)]
#[non_exhaustive]
pub enum Pem {
    /// In a file, which is read when the client is made.
    File(PathBuf),
    /// Here. Overwritten when it is dropped, because it may be a key.
    Text(Zeroizing<String>),
}

impl Pem {
    /// A file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::File(path.into())
    }

    /// The text itself.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(Zeroizing::new(text.into()))
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Text(_) => f.write_str("Text"),
        }
    }
}

impl Tls {
    /// The defaults.
    pub fn new() -> Self {
        Self(Choice::Made(Made {
            roots: None,
            identity: None,
            verify_hostname: true,
            versions: vec![TlsVersion::V1_2, TlsVersion::V1_3],
        }))
    }

    /// Takes a configuration of one's own as it is: other roots, other ciphers, keys in hardware.
    ///
    /// The other settings of this type do nothing then. Its version of rustls is part of this crate's interface
    /// in this one place.
    pub fn from_rustls(config: Arc<ClientConfig>) -> Self {
        Self(Choice::Own(config))
    }

    /// Trusts the certificate authorities in a PEM file, instead of the system's.
    #[doc(alias = "ssl.ca.location")]
    #[doc(alias = "ssl.truststore.location")]
    pub fn ca_file(self, path: impl Into<PathBuf>) -> Self {
        self.ca(Pem::file(path))
    }

    /// Trusts the certificate authorities in this PEM text, instead of the system's.
    #[doc(alias = "ssl.ca.pem")]
    #[doc(alias = "ssl.truststore.certificates")]
    pub fn ca_pem(self, text: impl Into<String>) -> Self {
        self.ca(Pem::text(text))
    }

    /// Trusts these certificate authorities, instead of the system's.
    pub fn ca(mut self, pem: Pem) -> Self {
        self.made(|made| made.roots = Some(pem));
        self
    }

    /// Proves to brokers who this client is, by a certificate (its own first, then the intermediate ones) and its
    /// private key, each in a PEM file. Default: none.
    #[doc(alias = "ssl.certificate.location")]
    #[doc(alias = "ssl.key.location")]
    #[doc(alias = "ssl.keystore.location")]
    pub fn certificate_files(self, chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.certificate(Pem::file(chain), Pem::file(key))
    }

    /// The same, in PEM text.
    #[doc(alias = "ssl.certificate.pem")]
    #[doc(alias = "ssl.key.pem")]
    #[doc(alias = "ssl.keystore.certificate.chain")]
    #[doc(alias = "ssl.keystore.key")]
    pub fn certificate_pem(self, chain: impl Into<String>, key: impl Into<String>) -> Self {
        self.certificate(Pem::text(chain), Pem::text(key))
    }

    /// The same, from wherever they are.
    pub fn certificate(mut self, chain: Pem, key: Pem) -> Self {
        self.made(|made| made.identity = Some(Identity { chain, key }));
        self
    }

    /// Whether the broker's certificate must be for the name or address that was dialled. Default: yes.
    ///
    /// Without it every certificate of the trusted authorities is good for every broker. So it can only be left out
    /// with authorities of one's own: those of the system sign certificates for anybody.
    #[doc(alias = "ssl.endpoint.identification.algorithm")]
    pub fn verify_hostname(mut self, verify: bool) -> Self {
        self.made(|made| made.verify_hostname = verify);
        self
    }

    /// The versions of TLS to speak; both sides choose the newest they have in common. Default: 1.2 and 1.3.
    #[doc(alias = "ssl.enabled.protocols")]
    pub fn versions(mut self, allowed: impl IntoIterator<Item = TlsVersion>) -> Self {
        self.made(|made| made.versions = allowed.into_iter().collect());
        self
    }

    fn made(&mut self, set: impl FnOnce(&mut Made)) {
        if let Choice::Made(made) = &mut self.0 {
            set(made);
        }
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Tls");
        match &self.0 {
            Choice::Own(_) => out.field("own", &true),
            Choice::Made(Made {
                roots,
                identity,
                verify_hostname,
                versions,
            }) => out
                .field("versions", versions)
                .field("ca", roots)
                .field("certificate", identity)
                .field("verify_hostname", verify_hostname),
        }
        .finish()
    }
}
