//! The brokers' side of SASL, for one connection.
//!
//! Written from the RFCs and Kafka's behaviour, beside the client's side and not from it.
//!
//! # References
//! - RFC 4616, RFC 5802, KIP-368

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ottla_codec::ErrorCode;
use ring::{digest, hmac, pbkdf2};
use tokio::time::Instant;

/// Kafka's least number.
const ITERATIONS: u32 = 4096;
const SALT: &[u8] = b"a salt for everybody";

/// Who may come in, and how.
#[derive(Clone, Default)]
pub(crate) struct Sasl {
    /// Passwords by name; without any, nobody is asked.
    pub(crate) users: Arc<BTreeMap<String, String>>,
    /// Instead of all of them.
    pub(crate) only: Option<Vec<String>>,
    pub(crate) lifetime: Option<Duration>,
    pub(crate) iterations: Option<u32>,
    pub(crate) forges_signatures: bool,
}

impl std::fmt::Debug for Sasl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sasl").finish_non_exhaustive()
    }
}

impl Sasl {
    pub(crate) fn is_on(&self) -> bool {
        !self.users.is_empty()
    }

    pub(crate) fn mechanisms(&self) -> Vec<String> {
        let all = || ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];
        match &self.only {
            _ if !self.is_on() => Vec::new(),
            Some(only) => only.clone(),
            None => all().map(str::to_owned).to_vec(),
        }
    }
}

/// What a connection has said about who it is.
#[derive(Debug)]
pub(crate) struct Login {
    state: State,
    /// Until when it may send requests; for ever if there is no end.
    expires: Option<Instant>,
    authenticated: bool,
}

#[derive(Debug)]
enum State {
    Idle,
    Plain,
    Scram(Hash),
    Proof {
        hash: Hash,
        user: String,
        /// All but the client's last message.
        said: String,
        nonce: String,
    },
}

#[derive(Clone, Copy, Debug)]
enum Hash {
    Sha256,
    Sha512,
}

/// A broker's answer.
pub(crate) struct Answer {
    pub(crate) code: ErrorCode,
    pub(crate) message: Option<String>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) lifetime_ms: i64,
}

impl Answer {
    pub(crate) fn refusal(code: ErrorCode, message: &str) -> Self {
        Self {
            code,
            message: Some(message.to_owned()),
            bytes: Vec::new(),
            lifetime_ms: 0,
        }
    }

    fn denial() -> Self {
        let text = "Authentication failed: Invalid username or password";
        Self::refusal(ErrorCode::SaslAuthenticationFailed, text)
    }

    fn of(bytes: Vec<u8>) -> Self {
        Self {
            code: ErrorCode::None,
            message: None,
            bytes,
            lifetime_ms: 0,
        }
    }
}

impl Login {
    /// A connection that has said nothing, to brokers that ask or do not.
    pub(crate) fn new(sasl: &Sasl) -> Self {
        Self {
            state: State::Idle,
            expires: None,
            authenticated: !sasl.is_on(),
        }
    }

    /// Whether any other request may be served.
    pub(crate) fn is_open(&self) -> bool {
        let idle = matches!(self.state, State::Idle);
        let alive = self.expires.is_none_or(|end| Instant::now() < end);
        self.authenticated && idle && alive
    }

    pub(crate) fn begin(&mut self, mechanism: &str, offered: &[String]) -> Result<(), ErrorCode> {
        if offered.is_empty() || !matches!(self.state, State::Idle) {
            return Err(ErrorCode::IllegalSaslState);
        }
        if !offered.iter().any(|offered| offered == mechanism) {
            return Err(ErrorCode::UnsupportedSaslMechanism);
        }
        self.state = match mechanism {
            "PLAIN" => State::Plain,
            "SCRAM-SHA-256" => State::Scram(Hash::Sha256),
            "SCRAM-SHA-512" => State::Scram(Hash::Sha512),
            _ => return Err(ErrorCode::UnsupportedSaslMechanism),
        };
        Ok(())
    }

    pub(crate) fn received(&mut self, message: &[u8], sasl: &Sasl, nonce: &str) -> Answer {
        let state = std::mem::replace(&mut self.state, State::Idle);
        let Ok(message) = std::str::from_utf8(message) else {
            return Answer::denial();
        };
        match state {
            State::Idle => Answer::refusal(
                ErrorCode::IllegalSaslState,
                "there is no handshake before it",
            ),
            State::Plain => match message.split('\0').collect::<Vec<_>>()[..] {
                [_, user, password]
                    if sasl.users.get(user).is_some_and(|known| known == password) =>
                {
                    self.welcome(Vec::new(), sasl)
                }
                _ => Answer::denial(),
            },
            State::Scram(hash) => self
                .challenge(hash, message, sasl, nonce)
                .unwrap_or_else(Answer::denial),
            State::Proof {
                hash,
                user,
                said,
                nonce,
            } => {
                let proven = sasl
                    .users
                    .get(&user)
                    .and_then(|password| signature(hash, password, &said, &nonce, message, sasl));
                match proven {
                    Some(bytes) => self.welcome(bytes, sasl),
                    None => Answer::denial(),
                }
            }
        }
    }

    fn challenge(
        &mut self,
        hash: Hash,
        message: &str,
        sasl: &Sasl,
        server_nonce: &str,
    ) -> Option<Answer> {
        let first = message.strip_prefix("n,,")?;
        let (user, nonce) = first.strip_prefix("n=")?.split_once(",r=")?;
        let user = user.replace("=2C", ",").replace("=3D", "=");
        let nonce = format!("{nonce}{server_nonce}");
        let iterations = sasl.iterations.unwrap_or(ITERATIONS);
        let answer = format!("r={nonce},s={},i={iterations}", STANDARD.encode(SALT));
        self.state = State::Proof {
            hash,
            user,
            said: format!("{first},{answer}"),
            nonce,
        };
        Some(Answer::of(answer.into_bytes()))
    }

    fn welcome(&mut self, bytes: Vec<u8>, sasl: &Sasl) -> Answer {
        self.authenticated = true;
        self.expires = sasl.lifetime.map(|lifetime| Instant::now() + lifetime);
        let lifetime = sasl.lifetime.unwrap_or_default().as_millis();
        Answer {
            lifetime_ms: i64::try_from(lifetime).unwrap_or(i64::MAX),
            ..Answer::of(bytes)
        }
    }
}

/// The server's last message, if the client's proves the password.
fn signature(
    hash: Hash,
    password: &str,
    said: &str,
    nonce: &str,
    message: &str,
    sasl: &Sasl,
) -> Option<Vec<u8>> {
    let (without_proof, proof) = message.rsplit_once(",p=")?;
    if without_proof != format!("c=biws,r={nonce}") {
        return None;
    }
    let (kdf, mac, algorithm) = match hash {
        Hash::Sha256 => (
            pbkdf2::PBKDF2_HMAC_SHA256,
            hmac::HMAC_SHA256,
            &digest::SHA256,
        ),
        Hash::Sha512 => (
            pbkdf2::PBKDF2_HMAC_SHA512,
            hmac::HMAC_SHA512,
            &digest::SHA512,
        ),
    };
    let mut salted = vec![0; algorithm.output_len()];
    let iterations = NonZeroU32::new(sasl.iterations.unwrap_or(ITERATIONS))?;
    pbkdf2::derive(kdf, iterations, SALT, password.as_bytes(), &mut salted);
    let salted = hmac::Key::new(mac, &salted);
    let stored = digest::digest(algorithm, hmac::sign(&salted, b"Client Key").as_ref());
    let auth = format!("{said},{without_proof}");
    let key = hmac::Key::new(mac, stored.as_ref());
    let client_signature = hmac::sign(&key, auth.as_bytes());
    let proof = STANDARD.decode(proof).ok()?;
    let pairs = proof.iter().zip(client_signature.as_ref());
    let client_key: Vec<u8> = pairs.map(|(proof, signature)| proof ^ signature).collect();
    if digest::digest(algorithm, &client_key).as_ref() != stored.as_ref() {
        return None;
    }
    let server_key = match sasl.forges_signatures {
        true => hmac::Key::new(mac, b"a guess"),
        false => hmac::Key::new(mac, hmac::sign(&salted, b"Server Key").as_ref()),
    };
    let signature = hmac::sign(&server_key, auth.as_bytes());
    Some(format!("v={}", STANDARD.encode(signature)).into_bytes())
}
