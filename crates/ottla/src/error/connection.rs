//! What the connections' errors mean to the facade's users.

use ottla_connection::{
    CloseReason, ConnectionError, DialError, StreamFault, TlsFault, UnsupportedApi,
};

use super::{ConnectionFault, Error, ErrorKind};

impl From<ConnectionError> for Error {
    fn from(error: ConnectionError) -> Self {
        let kind = match &error {
            ConnectionError::PoolClosed => ErrorKind::Closed { what: "client" },
            ConnectionError::Encode { source } => ErrorKind::InvalidArgument {
                reason: source.to_string(),
            },
            other => ErrorKind::Connection {
                fault: fault(other),
                message: other.to_string(),
            },
        };
        Self::new(kind).with_possibly_written(error.written())
    }
}

impl From<UnsupportedApi> for Error {
    fn from(error: UnsupportedApi) -> Self {
        ErrorKind::Unsupported {
            feature: format!("{:?}", error.api),
            needed: format!("version {}", error.needed),
            offered: offered(&error),
        }
        .into()
    }
}

impl Error {
    /// An API whose versions do not go far enough for one thing that is done with it.
    pub(crate) fn unsupported(feature: &str, error: &UnsupportedApi) -> Self {
        ErrorKind::Unsupported {
            feature: feature.to_owned(),
            needed: format!("{:?} version {}", error.api, error.needed),
            offered: offered(error),
        }
        .into()
    }
}

fn offered(error: &UnsupportedApi) -> String {
    match error.offered {
        Some(range) => range.to_string(),
        None => "none".to_owned(),
    }
}

fn fault(error: &ConnectionError) -> ConnectionFault {
    match error {
        // Who somebody is or is not matters more than that another is not there.
        ConnectionError::Bootstrap { failures } => failures
            .iter()
            .find(|(_, error)| error.is_authentication())
            .or(failures.first())
            .map_or(ConnectionFault::Unreachable, |(_, error)| fault(error)),
        ConnectionError::Closed {
            reason: CloseReason::Fault { fault },
            ..
        } => stream(fault),
        // Another connection will tell whether this one may come in.
        ConnectionError::Closed { .. } => ConnectionFault::Closed,
        ConnectionError::Undecodable { .. } => ConnectionFault::NotKafka,
        ConnectionError::TimedOut { .. } => ConnectionFault::TimedOut,
        other => match other.dial_error() {
            Some(DialError::Handshake { fault }) => stream(fault),
            Some(error) if error.is_authentication() => ConnectionFault::Authentication,
            Some(error) if error.is_timeout() => ConnectionFault::TimedOut,
            Some(_) => ConnectionFault::Unreachable,
            None if other.is_timeout() => ConnectionFault::TimedOut,
            None => ConnectionFault::Unreachable,
        },
    }
}

fn stream(fault: &StreamFault) -> ConnectionFault {
    match fault {
        StreamFault::Tls { fault } => tls(fault),
        StreamFault::TlsExpected => ConnectionFault::TlsExpected,
        StreamFault::Ended { .. } | StreamFault::Io { .. } => ConnectionFault::Closed,
        _ => ConnectionFault::NotKafka,
    }
}

fn tls(fault: &TlsFault) -> ConnectionFault {
    match fault {
        TlsFault::CertificateExpired { .. } => ConnectionFault::CertificateExpired,
        TlsFault::CertificateInvalid { .. } | TlsFault::CertificateNotYetValid => {
            ConnectionFault::CertificateInvalid
        }
        TlsFault::ClientCertificateMissing { .. } => ConnectionFault::ClientCertificateMissing,
        TlsFault::ClientCertificateRefused { .. } => ConnectionFault::ClientCertificateRefused,
        TlsFault::Ended | TlsFault::Plaintext => ConnectionFault::PlaintextExpected,
        TlsFault::NameMismatch { .. } => ConnectionFault::CertificateName,
        TlsFault::UnknownIssuer => ConnectionFault::CertificateUnknownIssuer,
        _ => ConnectionFault::TlsFailed,
    }
}
