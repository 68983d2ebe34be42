//! One mechanism's side of the talk: messages go in, messages come out.

use zeroize::Zeroizing;

use super::fault::SaslFault;
use super::options::{Sasl, SaslMechanism};
use super::scram::{Derivation, Scram};

/// A message to the broker. It may be the password itself.
pub(super) type Message = Zeroizing<Vec<u8>>;

/// What this side has said so far, and what it waits for.
pub(super) enum Conversation {
    Plain,
    Scram(Box<Scram>),
}

/// What follows from a broker's message.
pub(super) enum Next {
    /// It is over, and all is well.
    Done,
    /// Hard work, not for a thread that others wait for; its result goes to [`Conversation::derived`].
    Derive(Derivation),
}

impl Conversation {
    /// Begins, with the first message. `nonce` is random text without commas, never used again.
    pub(super) fn begin(sasl: &Sasl, nonce: String) -> (Self, Message) {
        match sasl.mechanism {
            SaslMechanism::Plain => {
                let message = ["", &*sasl.username, sasl.password.as_str()].join("\0");
                (Self::Plain, Zeroizing::new(message.into_bytes()))
            }
            SaslMechanism::ScramSha256 | SaslMechanism::ScramSha512 => {
                let (scram, message) = Scram::begin(sasl, nonce);
                (Self::Scram(Box::new(scram)), message)
            }
        }
    }

    /// Takes the broker's next message.
    ///
    /// # Errors
    ///
    /// When the broker is not who it should be, or talks nonsense.
    pub(super) fn received(&mut self, message: &[u8]) -> Result<Next, SaslFault> {
        match self {
            Self::Plain => Ok(Next::Done),
            Self::Scram(scram) => scram.received(message),
        }
    }

    /// Takes the result of the work, and goes on with the next message.
    pub(super) fn derived(&mut self, salted_password: Zeroizing<[u8; 64]>) -> Message {
        match self {
            // It never asks for any.
            Self::Plain => Message::default(),
            Self::Scram(scram) => scram.prove(&salted_password),
        }
    }
}
