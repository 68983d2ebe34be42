//! What can go wrong between a caller and a broker, and what is certain about it afterwards.
//!
//! Three layers: [`StreamFault`] is what happened to the bytes, [`DialError`] and [`CloseReason`]
//! say in which phase of a connection's life, [`ConnectionError`] is what one request's caller
//! gets. All are cheap to clone, because one event reaches every waiter. Each says all there is in its text,
//! and has no source.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ottla_codec::{ApiKey, DecodeError, EncodeError, ErrorCode, VersionRange};
use snafu::Snafu;

use crate::address::HostPort;
use crate::peer::Peer;
use crate::sasl::SaslFault;
use crate::tls::TlsFault;

/// Why a request has no answer.
#[derive(Clone, Debug, Snafu)]
#[snafu(module, visibility(pub(crate)))]
#[non_exhaustive]
pub enum ConnectionError {
    /// No bootstrap address could be connected to.
    #[snafu(display("none of the bootstrap addresses can be reached: {}", join(failures)))]
    Bootstrap {
        /// Each address tried with its error, in the order of the tries.
        failures: Arc<[(HostPort, ConnectionError)]>,
    },
    /// The connection closed before the answer came.
    #[snafu(display("connection to {peer} closed with a {api:?} request pending ({}): {reason}", certainty(*written)))]
    Closed {
        /// The broker.
        peer: Peer,
        /// The request's API.
        api: ApiKey,
        /// Whether any byte of the request had been handed to the socket.
        written: bool,
        /// Why the connection closed.
        reason: CloseReason,
    },
    /// The connection could not be made.
    #[snafu(display("cannot connect to {peer}: {source}"))]
    Dial {
        /// The broker.
        peer: Peer,
        /// What happened.
        #[snafu(source(false))]
        source: Arc<DialError>,
    },
    /// The deadline passed, or would pass, before there was a connection.
    #[snafu(display("no connection to {peer} within the deadline{}", last_error(source.as_deref())))]
    DialTimedOut {
        /// The broker.
        peer: Peer,
        /// How the latest try failed, when the next one was not due within the deadline.
        #[snafu(source(false))]
        source: Option<Arc<DialError>>,
    },
    /// The request cannot be expressed in the version chosen.
    #[snafu(transparent)]
    Encode {
        /// Which field is in the way.
        source: EncodeError,
    },
    /// The pool is closed.
    #[snafu(display("the client is closed"))]
    PoolClosed,
    /// The deadline passed before the answer came. The connection is closed, unless the request was
    /// still unwritten because the broker throttles the connection.
    #[snafu(display("{api:?} request to {peer} timed out ({})", certainty(*written)))]
    TimedOut {
        /// The broker.
        peer: Peer,
        /// The request's API.
        api: ApiKey,
        /// Whether any byte of the request had been handed to the socket.
        written: bool,
    },
    /// The answer is not what the protocol says; the connection is closed.
    #[snafu(display("{peer} sent an answer that cannot be read: {source}"))]
    Undecodable {
        /// The broker.
        peer: Peer,
        /// The request's API.
        api: ApiKey,
        /// What is wrong with the bytes.
        #[snafu(source(false))]
        source: DecodeError,
    },
    /// The address book has no such node.
    #[snafu(display("node {node} is not known"))]
    UnknownNode {
        /// The node's id.
        node: i32,
    },
}

impl ConnectionError {
    /// Whether the broker may have seen the request: false only if not one byte of it was handed to
    /// the socket, so that sending it again can repeat nothing.
    pub fn written(&self) -> bool {
        match self {
            Self::Closed { written, .. } | Self::TimedOut { written, .. } => *written,
            Self::Undecodable { .. } => true,
            Self::Bootstrap { .. }
            | Self::Dial { .. }
            | Self::DialTimedOut { .. }
            | Self::Encode { .. }
            | Self::PoolClosed
            | Self::UnknownNode { .. } => false,
        }
    }

    /// Whether time ran out: the request's own, or that of a try to connect.
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::TimedOut { .. } | Self::DialTimedOut { .. } => true,
            Self::Dial { source, .. } => source.is_timeout(),
            Self::Bootstrap { failures } => failures.iter().all(|(_, error)| error.is_timeout()),
            _ => false,
        }
    }

    /// Whether one side does not accept who the other is, which another try does not change.
    pub fn is_authentication(&self) -> bool {
        match self {
            Self::Dial { source, .. } => source.is_authentication(),
            Self::DialTimedOut {
                source: Some(source),
                ..
            } => source.is_authentication(),
            Self::Bootstrap { failures } => {
                failures.iter().any(|(_, error)| error.is_authentication())
            }
            _ => false,
        }
    }

    /// How the try to connect failed, if that is the trouble.
    pub fn dial_error(&self) -> Option<&DialError> {
        match self {
            Self::Dial { source, .. } => Some(source),
            Self::DialTimedOut { source, .. } => source.as_deref(),
            _ => None,
        }
    }
}

/// Why a connection could not be made.
#[derive(Clone, Debug, Snafu)]
#[snafu(module, visibility(pub(crate)))]
#[non_exhaustive]
pub enum DialError {
    /// The connector failed: no such host, nothing listening, no route.
    #[snafu(transparent)]
    Connect {
        /// The connector's error.
        source: Arc<io::Error>,
    },
    /// The handshake cannot be expressed on the wire: the client id is too long.
    #[snafu(transparent)]
    Encode {
        /// Which field is in the way.
        source: EncodeError,
    },
    /// The stream failed before the connection was ready.
    #[snafu(display("handshake failed: {fault}{}", hint(fault)))]
    Handshake {
        /// What happened to the bytes.
        fault: StreamFault,
    },
    /// The pool was closed meanwhile.
    #[snafu(display("the client was closed meanwhile"))]
    Interrupted,
    /// The broker refuses the handshake.
    #[snafu(display("the broker refuses the handshake with {code:?}"))]
    Refused {
        /// The broker's reason.
        code: ErrorCode,
    },
    /// The broker does not accept who this client is, or the other way round.
    #[snafu(display("{fault}"))]
    Sasl {
        /// Who does not believe whom, and why.
        fault: SaslFault,
    },
    /// The broker is too old for what has to be said before the connection is ready.
    #[snafu(display("{source}"))]
    Unsupported {
        /// Which API is missing.
        #[snafu(source(false))]
        source: UnsupportedApi,
    },
    /// The connection was not ready in time.
    #[snafu(display(
        "{} within {after:?}",
        if *connected { "connected, but no handshake answer (not a Kafka port?)" } else { "no connection" }
    ))]
    SetupTimedOut {
        /// The time it had.
        after: Duration,
        /// Whether the connector had succeeded, and it was the peer that kept silent.
        connected: bool,
    },
}

impl DialError {
    /// Whether time ran out.
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::SetupTimedOut { .. } => true,
            Self::Connect { source } => source.kind() == io::ErrorKind::TimedOut,
            _ => false,
        }
    }

    /// Whether one side does not accept who the other is.
    pub fn is_authentication(&self) -> bool {
        match self {
            Self::Handshake {
                fault: StreamFault::Tls { fault },
            } => fault.is_authentication(),
            Self::Sasl { fault } => fault.is_final(),
            Self::Refused { code } => matches!(
                code,
                ErrorCode::IllegalSaslState
                    | ErrorCode::SaslAuthenticationFailed
                    | ErrorCode::UnsupportedSaslMechanism
            ),
            _ => false,
        }
    }
}

/// Why a connection closed.
#[derive(Clone, Debug, Snafu)]
#[snafu(module, visibility(pub(crate)))]
#[non_exhaustive]
pub enum CloseReason {
    /// The stream ended, failed or carried nonsense.
    #[snafu(display("{fault}"))]
    Fault {
        /// What happened to the bytes.
        fault: StreamFault,
    },
    /// The broker's session came to its end, and who this client is could not be proven again (KIP-368).
    #[snafu(display("it could not be authenticated again: {error}"))]
    Identity {
        /// What happened.
        error: Arc<DialError>,
    },
    /// Nothing was pending for the configured time.
    #[snafu(display("it was idle"))]
    Idle,
    /// The last user is gone, the broker has left or moved to another address, and nothing was
    /// pending any more.
    #[snafu(display("it is no longer needed"))]
    Retired,
    /// A request was not answered within its deadline.
    #[snafu(display("a {api:?} request on it timed out"))]
    RequestTimedOut {
        /// The API of that request.
        api: ApiKey,
    },
    /// Its owner or the whole client was closed or dropped.
    #[snafu(display("this client closed it"))]
    Shutdown,
}

/// What went wrong with the bytes of a connection.
#[derive(Clone, Debug, Snafu)]
#[snafu(module, visibility(pub(crate)))]
#[non_exhaustive]
pub enum StreamFault {
    /// An answer has another correlation id than the oldest request.
    #[snafu(display("answer has correlation id {received} where {expected} is due"))]
    Correlation {
        /// The oldest request's id.
        expected: i32,
        /// The answer's.
        received: i32,
    },
    /// The peer closed the stream.
    #[snafu(display(
        "the peer closed the connection{}",
        if *mid_frame { " in the middle of an answer" } else { "" }
    ))]
    Ended {
        /// Whether an answer had begun.
        mid_frame: bool,
    },
    /// A frame's length is negative, too short, or above the configured maximum.
    #[snafu(display(
        "an answer claims {length} bytes (at most {max} are accepted): not a Kafka port?"
    ))]
    FrameLength {
        /// The length as read.
        length: i32,
        /// The configured maximum.
        max: usize,
    },
    /// The peer answers in HTTP.
    #[snafu(display("not a Kafka port: the peer answers in HTTP"))]
    Http,
    /// The system reports an error.
    #[snafu(transparent)]
    Io {
        /// The system's error.
        source: Arc<io::Error>,
    },
    /// TLS failed.
    #[snafu(display("{fault}"))]
    Tls {
        /// What about it.
        fault: TlsFault,
    },
    /// The peer answers with a TLS record to what was not encrypted.
    #[snafu(display("the broker speaks TLS on this port"))]
    TlsExpected,
    /// An answer cannot be decoded.
    #[snafu(display("{source}"))]
    Undecodable {
        /// The API of the request.
        api: ApiKey,
        /// What is wrong with the bytes.
        #[snafu(source(false))]
        source: DecodeError,
    },
    /// An answer came although nothing was asked.
    #[snafu(display("an answer nobody asked for, with correlation id {received}"))]
    Unsolicited {
        /// The answer's correlation id.
        received: i32,
    },
}

impl From<io::Error> for StreamFault {
    fn from(error: io::Error) -> Self {
        match TlsFault::of(&error) {
            Some(fault) => Self::Tls { fault },
            None => Self::Io {
                source: Arc::new(error),
            },
        }
    }
}

impl From<SaslFault> for DialError {
    fn from(fault: SaslFault) -> Self {
        Self::Sasl { fault }
    }
}

impl From<StreamFault> for CloseReason {
    fn from(fault: StreamFault) -> Self {
        Self::Fault { fault }
    }
}

impl From<StreamFault> for DialError {
    fn from(fault: StreamFault) -> Self {
        Self::Handshake { fault }
    }
}

/// The broker has no version of an API in common with this client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Snafu)]
#[snafu(display("{api:?} is needed in version {needed}, the broker {}", Offered(*offered)))]
#[non_exhaustive]
pub struct UnsupportedApi {
    /// The API.
    pub api: ApiKey,
    /// The versions this client can use here.
    pub needed: VersionRange,
    /// The versions the broker offers, `None` if it does not know the API at all.
    pub offered: Option<VersionRange>,
}

struct Offered(Option<VersionRange>);

impl fmt::Display for Offered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(range) => write!(f, "offers {range}"),
            None => f.write_str("does not know it"),
        }
    }
}

/// What a peer that hangs up without a word may have wanted instead.
fn hint(fault: &StreamFault) -> &'static str {
    match fault {
        StreamFault::Ended { mid_frame: false } => {
            " without an answer (it may want TLS or authentication, or not be a Kafka port)"
        }
        _ => "",
    }
}

fn certainty(written: bool) -> &'static str {
    if written {
        "it may have been received"
    } else {
        "nothing of it was sent"
    }
}

fn last_error(error: Option<&DialError>) -> String {
    error.map_or_else(String::new, |error| {
        format!(", the latest try failed: {error}")
    })
}

fn join(failures: &[(HostPort, ConnectionError)]) -> String {
    if failures.is_empty() {
        return "there are none".to_owned();
    }
    let failures: Vec<_> = failures
        .iter()
        .map(|(address, error)| {
            let address = address.to_string();
            let error = error
                .dial_error()
                .map_or_else(|| error.to_string(), ToString::to_string);
            // Where the address is no name, the connector's error begins with it.
            match error.starts_with(&format!("{address}: ")) {
                true => error,
                false => format!("{address}: {error}"),
            }
        })
        .collect();
    failures.join("; ")
}
