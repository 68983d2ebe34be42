//! Where a broker listens: `host:port`, and comma-separated lists of it.
//!
//! Owns the text form people write in `bootstrap.servers`. Knows nothing of DNS: a host is kept as
//! it was written and resolved anew by every dial.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use snafu::{OptionExt, ResultExt, Snafu, ensure};

/// A host name or IP address and a port.
///
/// IPv6 addresses are written in brackets (`[::1]:9092`) and kept without them. Cloning is cheap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    host: Arc<str>,
    port: u16,
}

impl HostPort {
    /// A host (an IPv6 address with or without brackets) and a port.
    pub fn new(host: &str, port: u16) -> Self {
        let bare = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(host);
        Self {
            host: bare.into(),
            port,
        }
    }

    /// The host, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Reads a comma-separated list as in `bootstrap.servers`; white space and empty entries are
    /// ignored, a repeated address is kept once.
    ///
    /// # Errors
    ///
    /// The first entry that is not `host:port`, or [`AddressError::NoAddress`] for a list without
    /// any entry.
    #[doc(alias = "bootstrap.servers")]
    pub fn parse_list(list: &str) -> Result<Vec<Self>, AddressError> {
        let mut addresses = Vec::new();
        for entry in list
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
        {
            let address = entry.parse()?;
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        ensure!(!addresses.is_empty(), NoAddressSnafu);
        Ok(addresses)
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for HostPort {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        // Java accepts a listener name in front (`PLAINTEXT://host:9092`), and so do files people
        // bring along.
        let address = text.split_once("://").map_or(text, |(_, rest)| rest);
        let (host, port) = address.rsplit_once(':').context(NoPortSnafu { text })?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest
                .strip_suffix(']')
                .context(UnclosedBracketSnafu { text })?,
            None => {
                ensure!(!host.contains(':'), UnbracketedIpv6Snafu { text });
                host
            }
        };
        ensure!(!host.is_empty(), NoHostSnafu { text });
        ensure!(
            !host.contains(char::is_whitespace),
            WhitespaceSnafu { text }
        );
        let port = port.parse::<u16>().context(PortSnafu { text })?;
        ensure!(port != 0, PortZeroSnafu { text });
        Ok(Self {
            host: host.into(),
            port,
        })
    }
}

/// Why a text is not a list of addresses.
#[derive(Clone, Debug, PartialEq, Eq, Snafu)]
#[non_exhaustive]
pub enum AddressError {
    /// The list has no entry.
    #[snafu(display("no address given, expected host:port"))]
    NoAddress,
    /// There is no host before the port.
    #[snafu(display("no host in {text:?}, expected host:port"))]
    NoHost {
        /// The entry.
        text: String,
    },
    /// There is no port.
    #[snafu(display("no port in {text:?}, expected host:port"))]
    NoPort {
        /// The entry.
        text: String,
    },
    /// The port is no number from 1 to 65535.
    #[snafu(display("the port in {text:?} is no number from 1 to 65535"))]
    Port {
        /// The entry.
        text: String,
        /// What is wrong with the number.
        source: std::num::ParseIntError,
    },
    /// The port is 0, where nothing can listen.
    #[snafu(display("the port in {text:?} is 0"))]
    PortZero {
        /// The entry.
        text: String,
    },
    /// A `[` without its `]`.
    #[snafu(display("a bracket is not closed in {text:?}"))]
    UnclosedBracket {
        /// The entry.
        text: String,
    },
    /// An IPv6 address without brackets, where the port cannot be told from the address.
    #[snafu(display("an IPv6 address needs brackets, as in [::1]:9092: {text:?}"))]
    UnbracketedIpv6 {
        /// The entry.
        text: String,
    },
    /// The host contains white space.
    #[snafu(display("white space in {text:?}"))]
    Whitespace {
        /// The entry.
        text: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<HostPort, AddressError> {
        text.parse()
    }

    #[test]
    fn reads_names_and_both_address_families() {
        assert_eq!(
            parse("kafka-1.example:9092"),
            Ok(HostPort::new("kafka-1.example", 9092))
        );
        assert_eq!(parse("10.0.0.1:1"), Ok(HostPort::new("10.0.0.1", 1)));
        assert_eq!(parse("[::1]:65535"), Ok(HostPort::new("::1", 65535)));
        assert_eq!(parse("PLAINTEXT://b:9092"), Ok(HostPort::new("b", 9092)));
    }

    #[test]
    fn shows_what_it_reads() {
        for text in ["b:9092", "[fe80::1%eth0]:9092", "127.0.0.1:80"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        assert_eq!(HostPort::new("[::1]", 9).to_string(), "[::1]:9");
    }

    #[test]
    fn names_what_is_wrong() {
        assert!(matches!(parse("b"), Err(AddressError::NoPort { .. })));
        assert!(matches!(parse(":1"), Err(AddressError::NoHost { .. })));
        assert!(matches!(parse("b:"), Err(AddressError::Port { .. })));
        assert!(matches!(parse("b:x"), Err(AddressError::Port { .. })));
        assert!(matches!(parse("b:65536"), Err(AddressError::Port { .. })));
        assert!(matches!(parse("b:0"), Err(AddressError::PortZero { .. })));
        assert!(matches!(
            parse("::1:9092"),
            Err(AddressError::UnbracketedIpv6 { .. })
        ));
        assert!(matches!(
            parse("[::1:9092"),
            Err(AddressError::UnclosedBracket { .. })
        ));
        assert!(matches!(
            parse("a b:9092"),
            Err(AddressError::Whitespace { .. })
        ));
    }

    #[test]
    fn lists_ignore_blanks_and_repetitions() {
        let list = HostPort::parse_list(" a:1, b:2,,a:1 ").unwrap();
        assert_eq!(list, [HostPort::new("a", 1), HostPort::new("b", 2)]);
        assert_eq!(HostPort::parse_list(" , "), Err(AddressError::NoAddress));
        assert!(matches!(
            HostPort::parse_list("a:1,b"),
            Err(AddressError::NoPort { .. })
        ));
    }
}
