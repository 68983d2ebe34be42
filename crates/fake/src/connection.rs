//! One client connection: frames in, frames out, one request at a time.
//!
//! A broker mutes a connection while one of its requests is being processed; later ones wait in the transport.
//! So answers are in order and a long poll or a hung request holds up everything behind it. This task knows no
//! API beyond the first four bytes of a frame, which a cut rule may ask for.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use ottla_codec::ApiKey;
use ottla_codec::wire::Segments;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::event_loop::Event;
use crate::faults::cuts::RequestCuts;
use crate::security::Acceptor;

/// `socket.request.max.bytes` of Kafka.
const MAX_REQUEST_BYTES: usize = 104_857_600;
/// Bytes of a frame's length.
const LENGTH: usize = 4;
/// API key and version: what is read of a frame before anything is decided about it.
const FRAME_HEAD: usize = 4;

/// What the loop tells a connection after each request.
#[derive(Debug)]
pub(crate) enum Reply {
    /// Write the frame, then read on once `mute_for` has passed.
    Send { frame: Segments, mute_for: Duration },
    /// Write only so many bytes of the frame, then close.
    Cut { frame: Segments, bytes: usize },
    /// Nothing to write (acks=0); read on.
    Silent,
    /// Close without a word.
    Close,
}

/// What a connection is made of besides its stream.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: u64,
    pub(crate) broker: i32,
    pub(crate) events: mpsc::UnboundedSender<Event>,
    pub(crate) replies: mpsc::UnboundedReceiver<Reply>,
    pub(crate) cuts: Arc<RequestCuts>,
    pub(crate) alive: CancellationToken,
    /// Bytes of the next frame's length that have been read already.
    pub(crate) ahead: BytesMut,
}

impl Connection {
    /// Serves the stream, over TLS if it should, until either side closes it or the broker goes down.
    pub(crate) async fn serve<S>(mut self, mut stream: S, tls: Option<Acceptor>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let alive = self.alive.clone();
        let conversation = async {
            match tls {
                None => self.converse(&mut stream).await,
                Some(tls) => self.converse(&mut tls.accept(stream).await?).await,
            }
        };
        tokio::select! {
            biased;
            () = alive.cancelled() => {}
            result = conversation => {
                if let Err(error) = result {
                    tracing::trace!(connection = self.id, %error, "connection ended");
                }
            }
        }
        let _ = self.events.send(Event::Closed {
            connection: self.id,
        });
    }

    async fn converse<S>(&mut self, stream: &mut S) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        while let Some(frame) = self.read_frame(stream).await? {
            if self
                .events
                .send(Event::Request {
                    connection: self.id,
                    frame,
                })
                .is_err()
            {
                break;
            }
            match self.reply(stream).await? {
                Some(Reply::Send {
                    mut frame,
                    mute_for,
                }) => {
                    stream.write_all_buf(&mut frame).await?;
                    stream.flush().await?;
                    if !mute_for.is_zero() {
                        tokio::time::sleep(mute_for).await;
                    }
                }
                Some(Reply::Cut { frame, bytes }) => {
                    let whole = frame.to_bytes();
                    stream
                        .write_all(whole.get(..bytes).unwrap_or(&whole))
                        .await?;
                    stream.flush().await?;
                    stream.shutdown().await?;
                    break;
                }
                Some(Reply::Silent) => {}
                Some(Reply::Close) | None => break,
            }
        }
        Ok(())
    }

    /// What the loop says to the last request; `None` once the client has gone.
    ///
    /// The next frame's length is read meanwhile, and no more: enough to see a client go that has nothing to say.
    async fn reply<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> io::Result<Option<Reply>> {
        loop {
            let missing = LENGTH - self.ahead.len();
            tokio::select! {
                biased;
                reply = self.replies.recv() => return Ok(reply),
                read = read_some(stream, &mut self.ahead, missing), if missing > 0 => {
                    if read? == 0 {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// The next whole frame; `None` at the end of the stream or when a rule cuts the connection inside it.
    async fn read_frame<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
    ) -> io::Result<Option<Bytes>> {
        while self.ahead.len() < LENGTH {
            let missing = LENGTH - self.ahead.len();
            if read_some(stream, &mut self.ahead, missing).await? == 0 {
                return Ok(None);
            }
        }
        let length = self.ahead.get_i32();
        let length = usize::try_from(length)
            .ok()
            .filter(|length| (FRAME_HEAD..=MAX_REQUEST_BYTES).contains(length))
            .ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, "request length out of range")
            })?;
        let mut frame = BytesMut::with_capacity(length.min(1 << 20));
        read_up_to(stream, &mut frame, FRAME_HEAD).await?;
        if let Some((api, at)) = self.cut(&frame, length) {
            read_up_to(stream, &mut frame, at.saturating_sub(4).min(length)).await?;
            let _ = self.events.send(Event::RequestCut {
                connection: self.id,
                api,
                read: at,
            });
            return Ok(None);
        }
        read_up_to(stream, &mut frame, length).await?;
        Ok(Some(frame.freeze()))
    }

    fn cut(&self, head: &[u8], length: usize) -> Option<(ApiKey, usize)> {
        let (key, version) = head.split_at_checked(2)?;
        let key = i16::from_be_bytes(key.try_into().ok()?);
        let version = i16::from_be_bytes(version.try_into().ok()?);
        let api = ApiKey::from_i16(key)?;
        self.cuts
            .cut(api, version, self.broker, length + 4)
            .map(|at| (api, at))
    }
}

async fn read_up_to<S: AsyncRead + Unpin>(
    stream: &mut S,
    frame: &mut BytesMut,
    length: usize,
) -> io::Result<()> {
    while frame.len() < length {
        let missing = length - frame.len();
        if read_some(stream, frame, missing).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// Reads at most `most` bytes; 0 at the end of the stream. Nothing is lost when it is dropped.
async fn read_some<S: AsyncRead + Unpin>(
    stream: &mut S,
    to: &mut BytesMut,
    most: usize,
) -> io::Result<usize> {
    stream.take(most as u64).read_buf(to).await
}
