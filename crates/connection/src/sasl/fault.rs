//! What goes wrong with SASL.

use ottla_codec::ErrorCode;
use snafu::Snafu;

use super::options::SaslMechanism;

/// Why this client could not prove who it is.
#[derive(Clone, Debug, PartialEq, Eq, Snafu)]
#[non_exhaustive]
pub enum SaslFault {
    /// The broker does not know the user or refuses the password; for somebody who only guesses there is no difference.
    #[snafu(display("{mechanism} authentication failed: {message}"))]
    Denied {
        /// How it was tried.
        mechanism: SaslMechanism,
        /// The broker's own words.
        message: String,
    },
    /// The broker asks for so little or so much work that it cannot be meant well.
    #[snafu(display("the broker asks for {iterations} iterations of {mechanism}"))]
    Iterations {
        /// The mechanism.
        mechanism: SaslMechanism,
        /// What it asks for.
        iterations: u32,
    },
    /// The broker says something that the mechanism does not know.
    #[snafu(display("the broker's {mechanism} message is malformed: {what}"))]
    Malformed {
        /// The mechanism.
        mechanism: SaslMechanism,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The broker's listener does not have the mechanism.
    #[snafu(display("the broker does not offer {mechanism}; it offers {}", list(offered)))]
    MechanismUnsupported {
        /// What was chosen here.
        mechanism: SaslMechanism,
        /// What there is.
        offered: Vec<String>,
    },
    /// The broker refuses for another reason.
    #[snafu(display("the broker refuses {mechanism} authentication with {code:?}{}",
        if message.is_empty() { String::new() } else { format!(": {message}") }))]
    Refused {
        /// How it was tried.
        mechanism: SaslMechanism,
        /// The broker's reason.
        code: ErrorCode,
        /// The broker's own words, if it has any.
        message: String,
    },
    /// The broker does not know the password either: it is not the one it says it is.
    #[snafu(display("the broker could not prove that it knows the password"))]
    ServerUnproven,
    /// No mechanism that is known here.
    #[snafu(display("{name} is none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"))]
    UnknownMechanism {
        /// What was asked for.
        name: String,
    },
}

impl SaslFault {
    /// Whether another try does not change it.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Refused { code, .. } => !code.is_retriable(),
            _ => true,
        }
    }
}

fn list(offered: &[String]) -> String {
    match offered {
        [] => "none".to_owned(),
        offered => offered.join(", "),
    }
}
