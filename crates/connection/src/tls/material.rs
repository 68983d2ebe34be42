//! Certificates and keys out of PEM.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use snafu::{Snafu, ensure};
use zeroize::Zeroizing;

use super::options::{Identity, Pem};

/// Why TLS cannot be set up as it was chosen.
#[derive(Debug, Snafu)]
#[snafu(module)]
#[non_exhaustive]
pub enum TlsConfigError {
    /// The private key is encrypted.
    #[snafu(display(
        "{place} is an encrypted private key, which cannot be read here; \
        `openssl pkey -in … -out …` writes it without a password"
    ))]
    Encrypted {
        /// Where it was found.
        place: Place,
    },
    /// The host name is not to be verified, and the certificate authorities are the system's.
    #[snafu(display(
        "without the host name in it, a certificate proves something only \
        if its authority is one's own: name that authority as well"
    ))]
    HostnameUnverified,
    /// It is no PEM, or damaged PEM.
    #[snafu(display("{place} is no PEM: {source}"))]
    Malformed {
        /// Where it was found.
        place: Place,
        /// What is wrong with it.
        #[snafu(source(false))]
        source: pem::Error,
    },
    /// There is none of what is needed.
    #[snafu(display("{place} holds no {wanted}"))]
    Missing {
        /// Where it should have been.
        place: Place,
        /// What should have been there.
        wanted: &'static str,
    },
    /// A file of the JDK's old format, or one that holds keys in PKCS#12.
    #[snafu(display(
        "{place} is a {format} store, which cannot be read here; \
        `keytool -exportcert -rfc` and `openssl pkcs12` write PEM"
    ))]
    NotPem {
        /// Where it was found.
        place: Place,
        /// Which format it has.
        format: &'static str,
    },
    /// The file cannot be read.
    #[snafu(display("{place} cannot be read: {source}"))]
    Read {
        /// The file.
        place: Place,
        /// The system's reason.
        #[snafu(source(false))]
        source: io::Error,
    },
    /// The system's certificate authorities cannot be read.
    #[snafu(display("the system's certificate authorities cannot be used: {reason}"))]
    SystemRoots {
        /// The reason.
        reason: String,
    },
    /// A certificate or key cannot be used: of an unknown kind, or one does not belong to the other.
    #[snafu(display("{what} cannot be used: {reason}"))]
    Unusable {
        /// Which of them.
        what: &'static str,
        /// The reason.
        reason: String,
    },
}

impl TlsConfigError {
    /// Whether it is about this client's own certificate or key, and not about those it trusts.
    pub fn is_identity(&self) -> bool {
        match self {
            Self::Encrypted { place }
            | Self::Missing { place, .. }
            | Self::Malformed { place, .. }
            | Self::NotPem { place, .. }
            | Self::Read { place, .. } => place.of_identity,
            Self::HostnameUnverified | Self::SystemRoots { .. } => false,
            Self::Unusable { what, .. } => *what == IDENTITY,
        }
    }
}

pub(super) const AUTHORITY: &str = "a certificate authority";
pub(super) const IDENTITY: &str = "the client's certificate and key";

/// A file, or text that was given as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    file: Option<PathBuf>,
    of_identity: bool,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(path) => path.display().fmt(f),
            None => f.write_str("the text"),
        }
    }
}

/// The certificate authorities in `pem`.
pub(super) fn roots(pem: &Pem) -> Result<RootCertStore, TlsConfigError> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(pem, false)? {
        let added = roots.add(authority);
        added.map_err(|error| unusable(AUTHORITY, &error))?;
    }
    Ok(roots)
}

/// The client's own certificates and their key.
pub(super) fn identity(
    identity: &Identity,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsConfigError> {
    let chain = certificates(&identity.chain, true)?;
    let (place, bytes) = open(&identity.key, true)?;
    ensure!(
        !contains(&bytes, ENCRYPTED_KEY) && !contains(&bytes, OLD_ENCRYPTION),
        tls_config_error::EncryptedSnafu { place }
    );
    match PrivateKeyDer::from_pem_slice(&bytes) {
        Ok(key) => Ok((chain, key)),
        Err(pem::Error::NoItemsFound) => tls_config_error::MissingSnafu {
            place,
            wanted: "private key",
        }
        .fail(),
        Err(source) => tls_config_error::MalformedSnafu { place, source }.fail(),
    }
}

pub(super) fn unusable(what: &'static str, error: &rustls::Error) -> TlsConfigError {
    TlsConfigError::Unusable {
        what,
        reason: error.to_string(),
    }
}

fn certificates(
    pem: &Pem,
    of_identity: bool,
) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
    let (place, bytes) = open(pem, of_identity)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if found.is_empty() => tls_config_error::MissingSnafu {
            place,
            wanted: "certificate",
        }
        .fail(),
        Ok(found) => Ok(found),
        Err(source) => tls_config_error::MalformedSnafu { place, source }.fail(),
    }
}

const ENCRYPTED_KEY: &[u8] = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
/// In the head of keys as OpenSSL encrypted them before it knew PKCS#8.
const OLD_ENCRYPTION: &[u8] = b"\nProc-Type: 4,ENCRYPTED";

/// The bytes of a file or a text, which are PEM and not one of the other formats that people have.
fn open(pem: &Pem, of_identity: bool) -> Result<(Place, Zeroizing<Vec<u8>>), TlsConfigError> {
    let path = match pem {
        Pem::Text(text) => {
            let place = Place {
                file: None,
                of_identity,
            };
            return Ok((place, unfolded(text)));
        }
        Pem::File(path) => path,
    };
    let place = Place {
        file: Some(path.clone()),
        of_identity,
    };
    let bytes = match fs::read(path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(source) => return tls_config_error::ReadSnafu { place, source }.fail(),
    };
    let format = match bytes.as_slice() {
        [0xFE, 0xED, 0xFE, 0xED, ..] => "JKS",
        // A sequence whose length takes two bytes, then version 3.
        [0x30, 0x82, _, _, 0x02, 0x01, 0x03, ..] => "PKCS#12",
        _ => return Ok((place, bytes)),
    };
    tls_config_error::NotPemSnafu { place, format }.fail()
}

/// PEM with its line breaks, where a properties file has made one line of it (KIP-651).
fn unfolded(text: &str) -> Zeroizing<Vec<u8>> {
    const DASHES: &str = "-----";
    let text = text.trim();
    let mut lines = Zeroizing::new(Vec::with_capacity(text.len() + text.len() / 16));
    if text.contains('\n') {
        lines.extend_from_slice(text.as_bytes());
        return lines;
    }
    for (index, part) in text.split(DASHES).enumerate() {
        // Labels and what is between them take turns.
        let wrapped = match index % 2 {
            1 => [DASHES, part, DASHES, "\n"],
            _ => ["", part.trim(), "\n", ""],
        };
        for piece in wrapped {
            let bytes = piece.bytes().filter(|byte| index % 2 == 1 || *byte != b' ');
            lines.extend(bytes);
        }
    }
    lines
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
