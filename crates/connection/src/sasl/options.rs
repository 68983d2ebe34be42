//! What people choose about SASL.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::fault::SaslFault;

/// How this client proves to brokers who it is.
///
/// ```
/// use ottla_connection::Sasl;
///
/// let sasl = Sasl::scram_sha_512("alice", "correct horse");
/// assert!(!format!("{sasl:?}").contains("horse"));
/// ```
#[derive(Clone)]
pub struct Sasl {
    pub(super) mechanism: SaslMechanism,
    pub(super) username: Arc<str>,
    pub(super) password: Arc<Zeroizing<String>>,
}

/// A way of proving it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SaslMechanism {
    /// The password itself is sent, so that it belongs into TLS (RFC 4616).
    Plain,
    /// A proof of knowing the password, of the broker as well, by SHA-256 (RFC 7677).
    ScramSha256,
    /// The same by SHA-512.
    ScramSha512,
}

impl Sasl {
    /// A user name and a password, by this mechanism.
    #[doc(alias = "sasl.mechanism")]
    #[doc(alias = "sasl.jaas.config")]
    pub fn new(
        mechanism: SaslMechanism,
        username: impl Into<Arc<str>>,
        password: impl Into<String>,
    ) -> Self {
        Self {
            mechanism,
            username: username.into(),
            password: Arc::new(Zeroizing::new(password.into())),
        }
    }

    /// A user name and a password, sent as they are: over TLS only, if anybody else can read the network.
    pub fn plain(username: impl Into<Arc<str>>, password: impl Into<String>) -> Self {
        Self::new(SaslMechanism::Plain, username, password)
    }

    /// A user name and a password, proven by SCRAM-SHA-256.
    pub fn scram_sha_256(username: impl Into<Arc<str>>, password: impl Into<String>) -> Self {
        Self::new(SaslMechanism::ScramSha256, username, password)
    }

    /// A user name and a password, proven by SCRAM-SHA-512.
    pub fn scram_sha_512(username: impl Into<Arc<str>>, password: impl Into<String>) -> Self {
        Self::new(SaslMechanism::ScramSha512, username, password)
    }
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sasl")
            .field("mechanism", &self.mechanism)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

impl SaslMechanism {
    /// Kafka's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl fmt::Display for SaslMechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SaslMechanism {
    type Err = SaslFault;

    fn from_str(name: &str) -> Result<Self, SaslFault> {
        let all = [Self::Plain, Self::ScramSha256, Self::ScramSha512];
        let named = all
            .into_iter()
            .find(|mechanism| mechanism.name().eq_ignore_ascii_case(name));
        named.ok_or_else(|| SaslFault::UnknownMechanism {
            name: name.to_owned(),
        })
    }
}
