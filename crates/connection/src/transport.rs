//! Byte streams to brokers: the [`Connector`] people may replace, and the one that speaks TCP.
//!
//! Knows hosts, ports and sockets; not one byte of Kafka, nor of the TLS that may come between.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use snafu::Snafu;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};

use crate::race::race;

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a connection runs over: any byte stream of one's own. Implemented for every type that fits.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for S {}

/// A byte stream whose type nobody needs to know.
pub type BoxStream = Box<dyn Stream>;

/// Opens byte streams to brokers.
///
/// Implemented by [`TcpConnector`], and by every function from `(host: String, port: u16)` to a
/// future of a stream:
///
/// ```
/// use std::sync::Arc;
/// use ottla_connection::Connector;
///
/// let connector: Arc<dyn Connector> = Arc::new(|_host: String, _port: u16| async {
///     let (ours, _theirs) = tokio::io::duplex(64 * 1024);
///     Ok(ours)
/// });
/// # drop(connector);
/// ```
///
/// A connector needs no timeout of its own, the caller has one. It may be dropped at any time and
/// then leaves nothing behind.
pub trait Connector: Send + Sync + 'static {
    /// Opens a stream to `host`, an IPv6 address without brackets.
    ///
    /// # Errors
    ///
    /// Whatever keeps the stream from being opened; the message should name the addresses tried.
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<BoxStream>>;
}

impl<F, Fut, S> Connector for F
where
    F: Fn(String, u16) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = io::Result<S>> + Send + 'static,
    S: Stream,
{
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<BoxStream>> {
        let opening = self(host.to_owned(), port);
        Box::pin(async move { Ok(Box::new(opening.await?) as BoxStream) })
    }
}

impl fmt::Debug for dyn Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

/// Connects over TCP, to whichever of a name's addresses answers first.
///
/// Every dial asks the system's resolver anew (KIP-302: all addresses count, not only the first).
/// Families take turns, and each address gets a head start before the next one is tried beside it
/// (RFC 8305), so that a broken IPv6 route or a dead address costs a quarter of a second and not a
/// timeout. Nagle's algorithm is off; keepalive is on, so that load balancers which forget quiet
/// connections do not forget ours.
#[derive(Clone, Debug)]
pub struct TcpConnector {
    head_start: Duration,
    keepalive: Option<Duration>,
    send_buffer: Option<usize>,
    receive_buffer: Option<usize>,
}

impl TcpConnector {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            head_start: Duration::from_millis(250),
            keepalive: Some(Duration::from_secs(60)),
            send_buffer: None,
            receive_buffer: None,
        }
    }

    /// How long an address is tried alone before the next one is tried beside it. Default: 250 ms.
    #[must_use]
    pub fn head_start(mut self, head_start: Duration) -> Self {
        self.head_start = head_start;
        self
    }

    /// Quiet time after which the system probes the peer, `None` for never. Default: 60 s.
    #[doc(alias = "socket.keepalive.enable")]
    #[must_use]
    pub fn keepalive(mut self, quiet: Option<Duration>) -> Self {
        self.keepalive = quiet;
        self
    }

    /// The socket's send buffer in bytes, `None` for the system's choice. Default: `None`.
    #[doc(alias = "send.buffer.bytes")]
    #[must_use]
    pub fn send_buffer(mut self, bytes: Option<usize>) -> Self {
        self.send_buffer = bytes;
        self
    }

    /// The socket's receive buffer in bytes, `None` for the system's choice. Default: `None`.
    #[doc(alias = "receive.buffer.bytes")]
    #[must_use]
    pub fn receive_buffer(mut self, bytes: Option<usize>) -> Self {
        self.receive_buffer = bytes;
        self
    }

    async fn open(&self, host: &str, port: u16) -> io::Result<BoxStream> {
        self.open_any(lookup_host((host, port)).await?.collect())
            .await
    }

    async fn open_any(&self, resolved: Vec<SocketAddr>) -> io::Result<BoxStream> {
        let addresses = interleave(resolved);
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, TcpError::NoAddress));
        }
        let attempts = addresses.iter().map(|address| self.open_address(*address));
        match race(attempts, self.head_start).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(errors) => {
                let kind = errors.first().map_or(io::ErrorKind::Other, io::Error::kind);
                let attempts = addresses
                    .into_iter()
                    .zip(errors)
                    .map(|(address, error)| TcpAttempt { address, error });
                Err(io::Error::new(
                    kind,
                    TcpError::NoneAnswered {
                        attempts: attempts.collect(),
                    },
                ))
            }
        }
    }

    async fn open_address(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let socket = SockRef::from(&stream);
        if let Some(quiet) = self.keepalive {
            socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(quiet))?;
        }
        if let Some(bytes) = self.send_buffer {
            socket.set_send_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        Ok(stream)
    }
}

impl Default for TcpConnector {
    fn default() -> Self {
        Self::new()
    }
}

impl Connector for TcpConnector {
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<BoxStream>> {
        Box::pin(self.open(host, port))
    }
}

/// The families take turns, beginning with that of the first address; within a family the
/// resolver's order stays.
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first() else {
        return addresses;
    };
    let v6_first = first.is_ipv6();
    let (mut preferred, mut other): (VecDeque<_>, VecDeque<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == v6_first);
    let mut order = Vec::with_capacity(preferred.len() + other.len());
    while !preferred.is_empty() || !other.is_empty() {
        order.extend(preferred.pop_front());
        order.extend(other.pop_front());
    }
    order.dedup();
    order
}

/// Why no address of a name could be connected to: what the [`io::Error`] of a [`TcpConnector`]
/// holds.
#[derive(Debug, Snafu)]
#[non_exhaustive]
pub enum TcpError {
    /// The resolver knows the name but no address of it.
    #[snafu(display("the name has no address"))]
    NoAddress,
    /// Every address failed.
    #[snafu(display("{}", join(attempts)))]
    NoneAnswered {
        /// Each address with its error, in the order in which they were tried.
        attempts: Vec<TcpAttempt>,
    },
}

/// One address that could not be connected to.
#[derive(Debug)]
#[non_exhaustive]
pub struct TcpAttempt {
    /// The address.
    pub address: SocketAddr,
    /// What happened.
    pub error: io::Error,
}

fn join(attempts: &[TcpAttempt]) -> String {
    let attempts: Vec<_> = attempts
        .iter()
        .map(|attempt| format!("{}: {}", attempt.address, attempt.error))
        .collect();
    attempts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns() {
        let resolved = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]);
        let expected = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
        assert_eq!(interleave(resolved), expected);
        let only_v4 = addresses(&["1.1.1.1:1", "2.2.2.2:1"]);
        assert_eq!(interleave(only_v4.clone()), only_v4);
        assert_eq!(interleave(vec![]), vec![]);
    }

    #[tokio::test]
    async fn connects_over_tcp_without_nagle() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connector = TcpConnector::new()
            .send_buffer(Some(64 * 1024))
            .receive_buffer(Some(64 * 1024));
        let (ours, theirs) = tokio::join!(connector.open_address(address), listener.accept());
        let (mut ours, (mut theirs, _)) = (ours.unwrap(), theirs.unwrap());
        assert!(ours.nodelay().unwrap());
        assert!(SockRef::from(&ours).keepalive().unwrap());
        ours.write_all(b"x").await.unwrap();
        assert_eq!(theirs.read_u8().await.unwrap(), b'x');
    }

    #[tokio::test]
    async fn a_refused_connection_names_the_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let error = TcpConnector::new()
            .connect("127.0.0.1", port)
            .await
            .err()
            .unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(
            error.to_string().contains(&format!("127.0.0.1:{port}")),
            "{error}"
        );
    }

    #[tokio::test]
    async fn an_address_that_refuses_is_not_the_end() {
        let refusing = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listening = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let refused = refusing.local_addr().unwrap();
        drop(refusing);
        let resolved = vec![refused, listening.local_addr().unwrap()];
        let connector = TcpConnector::new();
        let (ours, theirs) = tokio::join!(connector.open_any(resolved), listening.accept());
        let (mut ours, (mut theirs, _)) = (ours.unwrap(), theirs.unwrap());
        theirs.write_all(b"x").await.unwrap();
        assert_eq!(ours.read_u8().await.unwrap(), b'x');

        let error = connector.open_any(vec![refused; 2]).await.err().unwrap();
        assert!(error.to_string().contains(&refused.to_string()), "{error}");
        let error = connector.open_any(vec![]).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_function_is_a_connector() {
        let connector = |host: String, port: u16| async move {
            assert_eq!((host.as_str(), port), ("b", 9));
            let (ours, mut theirs) = tokio::io::duplex(16);
            theirs.write_all(b"hi").await?;
            Ok(ours)
        };
        let connector: &dyn Connector = &connector;
        let mut stream = connector.connect("b", 9).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hi");
    }
}
