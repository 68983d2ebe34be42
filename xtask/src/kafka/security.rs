//! What a test cluster asks of its clients: certificates that are made anew for each cluster.
//!
//! Only clients are asked. Brokers talk to each other, and are asked whether they are ready, at a port of their own that
//! is as open as it is elsewhere.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};

/// The file beside the brokers' own that says what a client needs.
pub(crate) const CLIENT_PROPERTIES: &str = "client.properties";

const AUTHORITY: &str = "ca.pem";
const BROKER: &str = "broker.pem";
const CLIENT_CERTIFICATE: &str = "client.pem";
const CLIENT_KEY: &str = "client.key";

/// What clients have to do to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Nothing.
    Plaintext,
    /// TLS.
    Ssl,
    /// TLS, with a certificate of their own.
    Mtls,
}

impl FromStr for Security {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        Ok(match name {
            "plaintext" => Self::Plaintext,
            "ssl" => Self::Ssl,
            "mtls" => Self::Mtls,
            _ => bail!("{name} is none of plaintext, ssl, mtls"),
        })
    }
}

impl Security {
    /// Kafka's name for the clients' listener's protocol, if it is not the brokers' own.
    pub(crate) fn protocol(self) -> Option<&'static str> {
        match self {
            Self::Plaintext => None,
            Self::Ssl | Self::Mtls => Some("SSL"),
        }
    }

    /// What brokers are told about the listener named `CLIENT`.
    pub(crate) fn broker_properties(self, conf: &Path) -> Vec<(&'static str, String)> {
        let path = |name| conf.join(name).display().to_string();
        let required = match self {
            Self::Plaintext => return Vec::new(),
            Self::Ssl => "none",
            Self::Mtls => "required",
        };
        vec![
            ("listener.name.client.ssl.client.auth", required.into()),
            ("listener.name.client.ssl.keystore.type", "PEM".into()),
            ("listener.name.client.ssl.keystore.location", path(BROKER)),
            ("listener.name.client.ssl.truststore.type", "PEM".into()),
            (
                "listener.name.client.ssl.truststore.location",
                path(AUTHORITY),
            ),
        ]
    }

    pub(crate) fn client_properties(self, conf: &Path) -> Vec<(String, String)> {
        let path = |name| conf.join(name).display().to_string();
        let mut properties = Vec::new();
        if let Some(protocol) = self.protocol() {
            properties.push(("security.protocol", protocol.to_owned()));
            properties.push(("ssl.ca.location", path(AUTHORITY)));
        }
        if self == Self::Mtls {
            properties.push(("ssl.certificate.location", path(CLIENT_CERTIFICATE)));
            properties.push(("ssl.key.location", path(CLIENT_KEY)));
        }
        let owned = |(name, value): (&str, String)| (name.to_owned(), value);
        properties.into_iter().map(owned).collect()
    }

    /// Writes what brokers and clients need into `conf`.
    pub(crate) fn write(self, conf: &Path) -> Result<()> {
        if self == Self::Plaintext {
            return Ok(());
        }
        let authority = Authority::new()?;
        let (certificate, key) = authority.issue("broker")?;
        let (own, own_key) = authority.issue("client")?;
        for (name, content) in [
            (AUTHORITY, &authority.pem),
            (BROKER, &format!("{key}{certificate}")),
            (CLIENT_CERTIFICATE, &own),
            (CLIENT_KEY, &own_key),
        ] {
            fs::write(conf.join(name), content).with_context(|| format!("writing {name}"))?;
        }
        let mut properties = String::new();
        for (name, value) in self.client_properties(conf) {
            // Writing to a String cannot fail.
            let _ = writeln!(properties, "{name}={value}");
        }
        fs::write(conf.join(CLIENT_PROPERTIES), properties).context("writing what clients need")
    }
}

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "test brokers");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pem = params.self_signed(&key)?.pem();
        let issuer = Issuer::new(params, key);
        Ok(Self { pem, issuer })
    }

    /// A certificate for this machine, and its key.
    fn issue(&self, name: &str) -> Result<(String, String)> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names = vec![
            SanType::IpAddress([127, 0, 0, 1].into()),
            SanType::DnsName("localhost".try_into()?),
        ];
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }
}
