//! A scripted broker at the other end of an in-memory pipe: tests read as a conversation.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use ottla_codec::messages::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};
use ottla_codec::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use ottla_codec::messages::request_header::RequestHeader;
use ottla_codec::{Message, Request, Response, decode_message, frame};
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex,
};
use tokio::sync::{mpsc, oneshot};

use crate::transport::{BoxFuture, BoxStream, Connector};

/// A request that carries a name, so that tests can tell one from another.
pub(crate) fn named(name: &str) -> HeartbeatRequest {
    HeartbeatRequest {
        group_id: name.to_owned(),
        ..Default::default()
    }
}

/// The version in which tests send [`named`] requests.
pub(crate) const VERSION: i16 = 4;

/// A broker's end of one connection.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) stream: DuplexStream,
}

impl Broker {
    /// The next frame, without its length; `None` when the client has closed.
    pub(crate) async fn frame(&mut self) -> Option<Bytes> {
        let length = self.stream.read_u32().await.ok()?;
        let mut frame = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut frame).await.ok()?;
        Some(frame.into())
    }

    /// The next request, which must be an `R`.
    pub(crate) async fn expect<R: Request>(&mut self) -> (RequestHeader, R) {
        let frame = self.frame().await.expect("the client has closed");
        let (header, body) = frame::decode_request_header(&frame).unwrap();
        assert_eq!(header.request_api_key, R::KEY as i16);
        let request = decode_message(&body, header.request_api_version).unwrap();
        (header, request)
    }

    /// The next request, which must be [`named`] `name`; returns its correlation id.
    pub(crate) async fn expect_named(&mut self, name: &str) -> i32 {
        let (header, request) = self.expect::<HeartbeatRequest>().await;
        assert_eq!(request.group_id, name);
        header.correlation_id
    }

    pub(crate) async fn answer<R: Response>(
        &mut self,
        correlation_id: i32,
        response: &R,
        version: i16,
    ) {
        let frame = frame::encode_response(correlation_id, response, version).unwrap();
        self.stream.write_all(&frame.to_bytes()).await.unwrap();
    }

    /// Answers a [`named`] request.
    pub(crate) async fn answer_named(
        &mut self,
        correlation_id: i32,
        error_code: i16,
        throttle_time_ms: i32,
    ) {
        let response = HeartbeatResponse {
            error_code,
            throttle_time_ms,
            ..Default::default()
        };
        self.answer(correlation_id, &response, VERSION).await;
    }

    /// Takes a [`named`] request and answers it.
    pub(crate) async fn serve_named(&mut self, name: &str) {
        let id = self.expect_named(name).await;
        self.answer_named(id, 0, 0).await;
    }

    /// Plays the broker's part of a handshake at the newest version.
    pub(crate) async fn handshake(&mut self) {
        let (header, request) = self.expect::<ApiVersionsRequest>().await;
        assert_eq!(header.request_api_version, ApiVersionsRequest::VERSIONS.max);
        assert_eq!(request.client_software_name, "ottla");
        self.answer(
            header.correlation_id,
            &offers(4),
            header.request_api_version,
        )
        .await;
    }

    /// Waits until the client has closed; it must not send anything any more.
    pub(crate) async fn closed(&mut self) {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"", "sent before closing");
    }
}

/// What a broker offers whose ApiVersions goes up to `max`.
pub(crate) fn offers(max: i16) -> ApiVersionsResponse {
    let api = |api_key, min_version, max_version| ApiVersion {
        api_key,
        min_version,
        max_version,
        ..Default::default()
    };
    let api_keys = vec![
        api(ApiVersionsRequest::KEY as i16, 0, max),
        api(HeartbeatRequest::KEY as i16, 0, VERSION),
    ];
    ApiVersionsResponse {
        api_keys,
        ..Default::default()
    }
}

/// A network on which every dial is a message to the test.
pub(crate) fn network() -> (impl Connector, Dials) {
    let (sender, dials) = mpsc::unbounded_channel();
    (Network { dials: sender }, Dials { dials })
}

/// The dials that the test has not yet looked at.
#[derive(Debug)]
pub(crate) struct Dials {
    dials: mpsc::UnboundedReceiver<Dialed>,
}

impl Dials {
    /// The next dial, waiting for it.
    pub(crate) async fn next(&mut self) -> Dialed {
        self.dials.recv().await.expect("the connector is gone")
    }

    /// The next dial, accepted and greeted.
    pub(crate) async fn serve(&mut self) -> Broker {
        let mut broker = self.next().await.accept(64 * 1024);
        broker.handshake().await;
        broker
    }

    /// Whether there is no dial now.
    pub(crate) fn is_empty(&mut self) -> bool {
        self.dials.is_empty()
    }
}

/// A client that is waiting to be connected.
pub(crate) struct Dialed {
    pub(crate) host: String,
    pub(crate) port: u16,
    reply: oneshot::Sender<io::Result<BoxStream>>,
}

impl Dialed {
    /// Connects it through a pipe that holds `capacity` bytes in each direction.
    pub(crate) fn accept(self, capacity: usize) -> Broker {
        let (ours, theirs) = duplex(capacity);
        // The client may have given up meanwhile.
        drop(self.reply.send(Ok(Box::new(theirs))));
        Broker { stream: ours }
    }

    /// Connects it through a pipe that takes for ever to close in good order.
    pub(crate) fn accept_lingering(self) -> Broker {
        let (ours, theirs) = duplex(1024);
        drop(self.reply.send(Ok(Box::new(Lingering(theirs)))));
        Broker { stream: ours }
    }

    pub(crate) fn refuse(self) {
        drop(
            self.reply
                .send(Err(io::ErrorKind::ConnectionRefused.into())),
        );
    }

    /// Whether the client has given up.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }
}

impl fmt::Debug for Dialed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dialed({}:{})", self.host, self.port)
    }
}

struct Network {
    dials: mpsc::UnboundedSender<Dialed>,
}

impl Connector for Network {
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<BoxStream>> {
        Box::pin(async move {
            let (reply, stream) = oneshot::channel();
            drop(self.dials.send(Dialed {
                host: host.to_owned(),
                port,
                reply,
            }));
            stream
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::ConnectionAborted.into()))
        })
    }
}

struct Lingering(DuplexStream);

impl AsyncRead for Lingering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}
