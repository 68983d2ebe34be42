//! SCRAM-SHA-256 and SCRAM-SHA-512, the client's side.
//!
//! Without channel binding, which Kafka does not have, and with passwords as their UTF-8 is: neither Kafka nor its other
//! clients prepare them (RFC 4013).
//!
//! References: RFC 5802, RFC 7677, KIP-84.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};
use zeroize::Zeroizing;

use super::conversation::{Message, Next};
use super::fault::SaslFault;
use super::options::{Sasl, SaslMechanism};

/// Below the first a stolen proof is too easily turned into the password (RFC 7677, and Kafka's own least number); above
/// the last it takes seconds of a processor, which only a broker asks for that means no good.
const ITERATIONS: RangeInclusive<u32> = 4096..=1_000_000;

/// `n`: no channel binding; then no other identity than one's own.
const GS2_HEADER: &str = "n,,";

/// One conversation.
pub(super) struct Scram {
    mechanism: SaslMechanism,
    password: Arc<Zeroizing<String>>,
    nonce: String,
    /// The client's first message without its header.
    first: String,
    state: State,
}

enum State {
    /// The first message is sent.
    First,
    /// The server has answered; the password is being salted.
    Deriving { server_first: String, nonce: String },
    /// The proof is sent, and what the server has to know for it is this.
    Final {
        server_key: hmac::Key,
        auth_message: String,
    },
}

/// The salting of a password: a quarter of a millisecond for each thousand iterations.
pub(super) struct Derivation {
    algorithm: pbkdf2::Algorithm,
    password: Arc<Zeroizing<String>>,
    salt: Vec<u8>,
    iterations: NonZeroU32,
}

impl Derivation {
    /// Does the work. Only the first bytes are used, as many as the mechanism's digest has.
    pub(super) fn run(self) -> Zeroizing<[u8; 64]> {
        let mut salted = Zeroizing::new([0; 64]);
        let length = match self.algorithm == pbkdf2::PBKDF2_HMAC_SHA256 {
            true => digest::SHA256_OUTPUT_LEN,
            false => digest::SHA512_OUTPUT_LEN,
        };
        if let Some(out) = salted.get_mut(..length) {
            let password = self.password.as_bytes();
            pbkdf2::derive(self.algorithm, self.iterations, &self.salt, password, out);
        }
        salted
    }
}

impl Scram {
    pub(super) fn begin(sasl: &Sasl, nonce: String) -> (Self, Message) {
        let username = sasl.username.replace('=', "=3D").replace(',', "=2C");
        let first = format!("n={username},r={nonce}");
        let message = format!("{GS2_HEADER}{first}");
        let scram = Self {
            mechanism: sasl.mechanism,
            password: sasl.password.clone(),
            nonce,
            first,
            state: State::First,
        };
        (scram, Zeroizing::new(message.into_bytes()))
    }

    pub(super) fn received(&mut self, message: &[u8]) -> Result<Next, SaslFault> {
        let message = std::str::from_utf8(message).map_err(|_| self.malformed("no UTF-8"))?;
        match &self.state {
            State::First => self.challenged(message),
            State::Deriving { .. } => Err(self.malformed("nothing is due")),
            State::Final {
                server_key,
                auth_message,
            } => {
                let signature =
                    attribute(message, "v=").and_then(|text| STANDARD.decode(text).ok());
                let signature = signature.ok_or_else(|| self.malformed("no signature"))?;
                hmac::verify(server_key, auth_message.as_bytes(), &signature)
                    .map_err(|_| SaslFault::ServerUnproven)?;
                Ok(Next::Done)
            }
        }
    }

    /// `r=…,s=…,i=…`, in this order, with extensions behind it that mean nothing here.
    fn challenged(&mut self, message: &str) -> Result<Next, SaslFault> {
        let mut parts = message.split(',');
        let mut next = |name, what| {
            parts
                .next()
                .and_then(|part| part.strip_prefix(name))
                .ok_or(what)
        };
        let nonce = next("r=", "no nonce").map_err(|what| self.malformed(what))?;
        let salt = next("s=", "no salt").map_err(|what| self.malformed(what))?;
        let iterations = next("i=", "no iterations").map_err(|what| self.malformed(what))?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(self.malformed("the nonce does not go on from the client's"));
        }
        let salt = STANDARD
            .decode(salt)
            .map_err(|_| self.malformed("the salt is no base64"))?;
        let iterations: u32 = iterations
            .parse()
            .map_err(|_| self.malformed("the iterations are no number"))?;
        let bounded = NonZeroU32::new(iterations).filter(|_| ITERATIONS.contains(&iterations));
        let Some(bounded) = bounded else {
            return Err(SaslFault::Iterations {
                mechanism: self.mechanism,
                iterations,
            });
        };
        self.state = State::Deriving {
            server_first: message.to_owned(),
            nonce: nonce.to_owned(),
        };
        Ok(Next::Derive(Derivation {
            algorithm: match self.is_256() {
                true => pbkdf2::PBKDF2_HMAC_SHA256,
                false => pbkdf2::PBKDF2_HMAC_SHA512,
            },
            password: self.password.clone(),
            salt,
            iterations: bounded,
        }))
    }

    /// The client's last message, with the proof.
    pub(super) fn prove(&mut self, salted_password: &[u8; 64]) -> Message {
        let State::Deriving {
            server_first,
            nonce,
        } = &self.state
        else {
            return Message::default();
        };
        let (algorithm, hash) = match self.is_256() {
            true => (hmac::HMAC_SHA256, &digest::SHA256),
            false => (hmac::HMAC_SHA512, &digest::SHA512),
        };
        let salted = salted_password.get(..hash.output_len()).unwrap_or_default();
        let salted = hmac::Key::new(algorithm, salted);
        let client_key = hmac::sign(&salted, b"Client Key");
        let server_key = hmac::sign(&salted, b"Server Key");
        let stored_key = digest::digest(hash, client_key.as_ref());
        let binding = STANDARD.encode(GS2_HEADER);
        let without_proof = format!("c={binding},r={nonce}");
        let auth_message = format!("{},{server_first},{without_proof}", self.first);
        let stored_key = hmac::Key::new(algorithm, stored_key.as_ref());
        let signature = hmac::sign(&stored_key, auth_message.as_bytes());
        let pairs = client_key.as_ref().iter().zip(signature.as_ref());
        let proof: Vec<u8> = pairs.map(|(key, signature)| key ^ signature).collect();
        self.state = State::Final {
            server_key: hmac::Key::new(algorithm, server_key.as_ref()),
            auth_message,
        };
        let message = format!("{without_proof},p={}", STANDARD.encode(proof));
        Zeroizing::new(message.into_bytes())
    }

    fn is_256(&self) -> bool {
        self.mechanism == SaslMechanism::ScramSha256
    }

    fn malformed(&self, what: &'static str) -> SaslFault {
        SaslFault::Malformed {
            mechanism: self.mechanism,
            what,
        }
    }
}

/// The value of a message's first attribute, which must be this one.
fn attribute<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.split(',').next()?.strip_prefix(name)
}
