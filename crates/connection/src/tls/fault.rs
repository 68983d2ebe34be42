//! What goes wrong with TLS, said so that somebody knows what to do.

use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError, InvalidMessage};
use snafu::Snafu;

/// Why TLS with a broker failed.
#[derive(Clone, Debug, PartialEq, Eq, Snafu)]
#[non_exhaustive]
pub enum TlsFault {
    /// The broker's certificate has expired.
    #[snafu(display("the broker's certificate has expired{}", days_ago(*since)))]
    CertificateExpired {
        /// For how long, where known.
        since: Option<Duration>,
    },
    /// The broker's certificate is wrong in another way.
    #[snafu(display("the broker's certificate is not accepted: {reason}"))]
    CertificateInvalid {
        /// In which way.
        reason: String,
    },
    /// The broker's certificate is valid from some later time on.
    #[snafu(display(
        "the broker's certificate is not valid yet (or this machine's clock is slow)"
    ))]
    CertificateNotYetValid,
    /// The broker wants a certificate of this client, and none was chosen.
    #[snafu(display("the broker wants a client certificate, and there is none (alert {alert})"))]
    ClientCertificateMissing {
        /// The broker's word for it.
        alert: String,
    },
    /// The broker does not accept this client's certificate.
    #[snafu(display("the broker does not accept the client's certificate (alert {alert})"))]
    ClientCertificateRefused {
        /// The broker's word for it.
        alert: String,
    },
    /// The peer hung up in the middle of the handshake.
    #[snafu(display(
        "the peer closed the connection during the TLS handshake (it may not speak TLS on this port)"
    ))]
    Ended,
    /// The broker's certificate is for other names than the one that was dialled.
    #[snafu(display("the broker's certificate is not for {dialled}{}", for_names(names)))]
    NameMismatch {
        /// The name or address that was dialled.
        dialled: String,
        /// What it is for.
        names: Vec<String>,
    },
    /// The peer answers in something else than TLS.
    #[snafu(display("the peer does not speak TLS on this port"))]
    Plaintext,
    /// Something else that only the two implementations understand.
    #[snafu(display("TLS failed: {reason}"))]
    Protocol {
        /// What rustls says about it.
        reason: String,
    },
    /// The broker refuses the handshake.
    #[snafu(display("the broker refuses TLS with the alert {alert}"))]
    Refused {
        /// The broker's word for it.
        alert: String,
    },
    /// Nobody whom this client trusts has signed the broker's certificate.
    #[snafu(display(
        "the broker's certificate is of an issuer that is not among the trusted authorities"
    ))]
    UnknownIssuer,
}

impl TlsFault {
    /// Whether one side does not accept who the other is, which another try does not change.
    pub fn is_authentication(&self) -> bool {
        !matches!(
            self,
            Self::Ended | Self::Plaintext | Self::Protocol { .. } | Self::Refused { .. }
        )
    }

    /// What TLS has to say about an error of a stream, if it is TLS'.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        let error: &rustls::Error = error.get_ref()?.downcast_ref()?;
        Some(match error {
            rustls::Error::InvalidCertificate(error) => Self::of_certificate(error),
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => Self::Plaintext,
            rustls::Error::AlertReceived(alert) => Self::of_alert(*alert),
            other => Self::Protocol {
                reason: other.to_string(),
            },
        })
    }

    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired => Self::CertificateExpired { since: None },
            CertificateError::ExpiredContext { time, not_after } => Self::CertificateExpired {
                since: time
                    .as_secs()
                    .checked_sub(not_after.as_secs())
                    .map(Duration::from_secs),
            },
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::CertificateNotYetValid
            }
            CertificateError::NotValidForNameContext {
                expected,
                presented,
            } => Self::NameMismatch {
                dialled: expected.to_str().into_owned(),
                names: presented.iter().map(|name| plain(name)).collect(),
            },
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            other => Self::CertificateInvalid {
                reason: other.to_string(),
            },
        }
    }

    fn of_alert(alert: AlertDescription) -> Self {
        use AlertDescription as Alert;
        let about_certificate = matches!(
            alert,
            Alert::AccessDenied
                | Alert::BadCertificate
                | Alert::CertificateExpired
                | Alert::CertificateRequired
                | Alert::CertificateRevoked
                | Alert::CertificateUnknown
                | Alert::DecryptError
                | Alert::NoCertificate
                | Alert::UnknownCA
                | Alert::UnsupportedCertificate
        );
        let alert = format!("{alert:?}");
        match about_certificate {
            true => Self::ClientCertificateRefused { alert },
            false => Self::Refused { alert },
        }
    }
}

/// `DnsName("a")` and `IpAddress(10.0.0.1)` without what is around the name.
fn plain(name: &str) -> String {
    let inside = name
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'));
    inside.unwrap_or(name).trim_matches('"').to_owned()
}

fn days_ago(since: Option<Duration>) -> String {
    const DAY: u64 = 24 * 60 * 60;
    match since.map(|since| since.as_secs() / DAY) {
        None => String::new(),
        Some(0) => ", today".to_owned(),
        Some(1) => ", a day ago".to_owned(),
        Some(days) => format!(", {days} days ago"),
    }
}

fn for_names(names: &[String]) -> String {
    match names {
        [] => ", nor for any other name".to_owned(),
        names => format!(", but for {}", names.join(", ")),
    }
}
