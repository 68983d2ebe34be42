//! Certificates for tests, made on the spot.

use std::fmt;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};

/// A certificate authority that nobody knows yet.
///
/// ```
/// use ottla_fake::Authority;
///
/// let authority = Authority::new();
/// let brokers = authority.issue(["127.0.0.1", "localhost"]);
/// assert!(authority.pem().starts_with("-----BEGIN CERTIFICATE-----"));
/// # drop(brokers);
/// ```
#[derive(Clone)]
pub struct Authority {
    made: Arc<Made>,
}

struct Made {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its private key.
#[derive(Clone)]
pub struct Certificate {
    chain: String,
    key: String,
}

impl Authority {
    /// Makes one.
    ///
    /// # Panics
    /// When the system has no random numbers.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "no two are equal")]
    #[expect(clippy::unwrap_used, reason = "nothing here depends on input")]
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        // Two authorities of the same name would be one whose signatures are sometimes wrong.
        let name = format!("authority {:08x}", crc32c::crc32c(key.public_key_raw()));
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self {
            made: Arc::new(Made { pem, issuer }),
        }
    }

    /// Its own certificate, which whoever trusts it has to have.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.made.pem
    }

    /// A certificate for brokers or clients of these names and IP addresses; the first is also its subject's.
    #[must_use]
    pub fn issue<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Certificate {
        self.sign(names.into_iter().collect(), false)
    }

    /// The same, but it expired at the beginning of 2001.
    #[must_use]
    pub fn issue_expired<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Certificate {
        self.sign(names.into_iter().collect(), true)
    }

    #[expect(clippy::unwrap_used, reason = "only a name that is not ASCII fails")]
    fn sign(&self, names: Vec<&str>, expired: bool) -> Certificate {
        let mut params = CertificateParams::default();
        let subject = names.first().copied().unwrap_or_default();
        params.distinguished_name.push(DnType::CommonName, subject);
        let alternative = |name: &&str| match name.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName((*name).try_into().unwrap()),
        };
        params.subject_alt_names = names.iter().map(alternative).collect();
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        if expired {
            params.not_before = date_time_ymd(2000, 1, 1);
            params.not_after = date_time_ymd(2001, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.made.issuer).unwrap();
        Certificate {
            chain: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

impl Certificate {
    /// The certificate in PEM.
    #[must_use]
    pub fn chain(&self) -> &str {
        &self.chain
    }

    /// The private key in PEM (PKCS#8).
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority")
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate")
    }
}
