//! One broker of the cluster: its address, its fetch sessions, and what it is made to believe.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::net::TcpSocket;
use tokio_util::sync::CancellationToken;

use crate::api::sessions::FetchSessions;
use crate::metadata_view::MetadataView;

/// A broker, running or not.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) id: i32,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) rack: Option<String>,
    pub(crate) running: bool,
    /// Cancelled when the broker goes down; its connections and its listener hang on it.
    pub(crate) alive: CancellationToken,
    pub(crate) sessions: FetchSessions,
    /// The metadata this broker keeps answering with, while it is frozen.
    pub(crate) frozen_metadata: Option<Arc<MetadataView>>,
    /// Keeps the TCP port while the broker is down.
    pub(crate) reserved: Option<TcpSocket>,
    /// What becomes of the next dials.
    pub(crate) dial_faults: VecDeque<DialFault>,
    /// How many connections were ever accepted.
    pub(crate) connections_accepted: u64,
}

/// Brokers by id.
pub(crate) type Brokers = BTreeMap<i32, Broker>;

/// What becomes of an attempt to connect to a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DialFault {
    /// It is refused. Over TCP the connection is made and closes at once.
    Refuse,
    /// Over pipes it never completes. Over TCP the connection is made and nothing is ever read from it.
    Hang,
    /// The connection is made and closes at once.
    CloseAtOnce,
}
