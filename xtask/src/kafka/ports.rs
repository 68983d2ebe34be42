//! Free ports on 127.0.0.1 that stay free while a broker is down.

use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;

use anyhow::{Result, bail};

/// Below every usual range of ephemeral ports: while a broker is down for a restart, no outgoing
/// connection of this machine can take its port.
const RANGE: std::ops::Range<u16> = 15_000..32_000;

/// A port that is held until the process that listens on it is about to start.
#[derive(Debug)]
pub(crate) struct ReservedPort {
    pub(crate) port: u16,
    _listener: TcpListener,
}

impl ReservedPort {
    pub(crate) fn reserve() -> Result<Self> {
        let width = u64::from(RANGE.end - RANGE.start);
        for attempt in 0..1_000_u32 {
            let random = RandomState::new().hash_one(attempt) % width;
            let port = RANGE.start + u16::try_from(random)?;
            if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
                return Ok(Self {
                    port,
                    _listener: listener,
                });
            }
        }
        bail!(
            "no free port between {} and {} on 127.0.0.1",
            RANGE.start,
            RANGE.end
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_port_is_taken_until_dropped() {
        let reserved = ReservedPort::reserve().unwrap();
        let port = reserved.port;
        assert!(RANGE.contains(&port));
        assert!(TcpListener::bind(("127.0.0.1", port)).is_err());
        drop(reserved);
        assert!(TcpListener::bind(("127.0.0.1", port)).is_ok());
    }
}
