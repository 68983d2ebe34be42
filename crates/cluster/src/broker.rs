//! Brokers and how they are named.

use std::fmt;

/// A broker's id: unique in its cluster and stable over its restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub i32);

impl NodeId {
    /// Reads an id as it stands on the wire, where a negative one means "none".
    pub fn from_wire(id: i32) -> Option<Self> {
        (id >= 0).then_some(Self(id))
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A broker and where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// The broker's id.
    pub id: NodeId,
    /// Host name or address literal, as advertised.
    pub host: String,
    /// TCP port, as advertised.
    pub port: u16,
    /// The rack it stands in, if the cluster says.
    pub rack: Option<String>,
}

impl Broker {
    /// Makes a broker from wire fields; `None` where the id or the port cannot be real.
    pub(crate) fn from_wire(id: i32, host: &str, port: i32, rack: Option<&str>) -> Option<Self> {
        Some(Self {
            id: NodeId::from_wire(id)?,
            host: host.to_owned(),
            port: u16::try_from(port).ok()?,
            rack: rack.map(str::to_owned),
        })
    }
}
