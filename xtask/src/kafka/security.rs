//! What a test cluster asks of its clients: certificates that are made anew for each cluster, and a user's password.
//!
//! Only clients are asked. Brokers talk to each other, and are asked whether they are ready, at a port of their own that
//! is as open as it is elsewhere.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};

use super::jars::Jars;

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
    /// SASL: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.
    SaslPlaintext,
    /// The same over TLS.
    SaslSsl,
}

/// The one user that brokers with SASL know, and the password. Nothing is secret about it.
pub const USER: (&str, &str) = ("alice", "alices-password");

const CONFIG_COMMAND: &str = "kafka.admin.ConfigCommand";

impl FromStr for Security {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        Ok(match name {
            "plaintext" => Self::Plaintext,
            "ssl" => Self::Ssl,
            "mtls" => Self::Mtls,
            "sasl_plaintext" => Self::SaslPlaintext,
            "sasl_ssl" => Self::SaslSsl,
            _ => bail!("{name} is none of plaintext, ssl, mtls, sasl_plaintext, sasl_ssl"),
        })
    }
}

impl Security {
    /// Kafka's name for the clients' listener's protocol, if it is not the brokers' own.
    pub(crate) fn protocol(self) -> Option<&'static str> {
        match self {
            Self::Plaintext => None,
            Self::Ssl | Self::Mtls => Some("SSL"),
            Self::SaslPlaintext => Some("SASL_PLAINTEXT"),
            Self::SaslSsl => Some("SASL_SSL"),
        }
    }

    fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::Mtls | Self::SaslSsl)
    }

    fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }

    /// What brokers are told about the listener named `CLIENT`.
    pub(crate) fn broker_properties(self, conf: &Path) -> Vec<(&'static str, String)> {
        let path = |name| conf.join(name).display().to_string();
        let mut properties = Vec::new();
        if self.has_tls() {
            let required = if self == Self::Mtls {
                "required"
            } else {
                "none"
            };
            properties.extend([
                ("listener.name.client.ssl.client.auth", required.into()),
                ("listener.name.client.ssl.keystore.type", "PEM".into()),
                ("listener.name.client.ssl.keystore.location", path(BROKER)),
                ("listener.name.client.ssl.truststore.type", "PEM".into()),
                (
                    "listener.name.client.ssl.truststore.location",
                    path(AUTHORITY),
                ),
            ]);
        }
        if self.has_sasl() {
            let module = |name: &str, options: &str| {
                format!("org.apache.kafka.common.security.{name} required{options};")
            };
            let (user, password) = USER;
            let users = format!(" user_{user}=\"{password}\"");
            let scram = || module("scram.ScramLoginModule", "");
            properties.extend([
                (
                    "listener.name.client.sasl.enabled.mechanisms",
                    "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512".into(),
                ),
                (
                    "listener.name.client.plain.sasl.jaas.config",
                    module("plain.PlainLoginModule", &users),
                ),
                (
                    "listener.name.client.scram-sha-256.sasl.jaas.config",
                    scram(),
                ),
                (
                    "listener.name.client.scram-sha-512.sasl.jaas.config",
                    scram(),
                ),
            ]);
        }
        properties
    }

    pub(crate) fn client_properties(self, conf: &Path) -> Vec<(String, String)> {
        let path = |name| conf.join(name).display().to_string();
        let mut properties = Vec::new();
        if let Some(protocol) = self.protocol() {
            properties.push(("security.protocol", protocol.to_owned()));
        }
        if self.has_tls() {
            properties.push(("ssl.ca.location", path(AUTHORITY)));
        }
        if self == Self::Mtls {
            properties.push(("ssl.certificate.location", path(CLIENT_CERTIFICATE)));
            properties.push(("ssl.key.location", path(CLIENT_KEY)));
        }
        if self.has_sasl() {
            properties.push(("sasl.mechanism", "SCRAM-SHA-512".to_owned()));
            properties.push(("sasl.username", USER.0.to_owned()));
            properties.push(("sasl.password", USER.1.to_owned()));
        }
        let owned = |(name, value): (&str, String)| (name.to_owned(), value);
        properties.into_iter().map(owned).collect()
    }

    /// Tells a running cluster what it keeps in its own metadata: the user's SCRAM credentials.
    pub(crate) fn add_users(self, jars: &Jars, internal_server: &str) -> Result<()> {
        if !self.has_sasl() {
            return Ok(());
        }
        let (user, password) = USER;
        // One request alters a user once.
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
            let credential = format!("{mechanism}=[password={password}]");
            let server = ["--bootstrap-server", internal_server];
            let change = ["--alter", "--add-config", &credential];
            let whom = ["--entity-type", "users", "--entity-name", user];
            let args = server.into_iter().chain(change).chain(whom);
            let output = jars.java_class(CONFIG_COMMAND, args).output();
            let output = output.context("running Java")?;
            ensure!(
                output.status.success(),
                "the user could not be made: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }

    /// Writes what brokers and clients need into `conf`.
    pub(crate) fn write(self, conf: &Path) -> Result<()> {
        if self == Self::Plaintext {
            return Ok(());
        }
        self.write_certificates(conf)?;
        let mut properties = String::new();
        for (name, value) in self.client_properties(conf) {
            // Writing to a String cannot fail.
            let _ = writeln!(properties, "{name}={value}");
        }
        fs::write(conf.join(CLIENT_PROPERTIES), properties).context("writing what clients need")
    }

    fn write_certificates(self, conf: &Path) -> Result<()> {
        if !self.has_tls() {
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
        Ok(())
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
