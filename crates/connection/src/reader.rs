//! Bytes into frames.
//!
//! Owns the read buffer and the suspicion towards it: a length is believed only after it was
//! checked, and a peer that speaks something else than Kafka is recognised by its first bytes.
//! Knows nothing of what is inside a frame.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::io::poll_read_buf;

use crate::error::StreamFault;
use crate::stats::Counters;

const LENGTH_BYTES: usize = 4;
/// The shortest answer is a correlation id.
const MIN_FRAME: usize = 4;
/// What is read at once while no large frame is under way. Frames that fit into it are copied out,
/// so that a small answer that somebody keeps never holds on to more memory than its own size.
const SCRATCH: usize = 16 * 1024;

/// Reads frames off a stream, each into one contiguous buffer of exactly its size.
///
/// Holds everything that was read between two polls: dropping a future that polls it loses nothing.
#[derive(Debug)]
pub(crate) struct FrameReader {
    scratch: Vec<u8>,
    /// Which bytes of the scratch buffer are read and not yet handed out.
    filled: Range<usize>,
    /// The frame under way if it does not fit into the scratch buffer, and its whole length.
    large: Option<(BytesMut, usize)>,
    max_frame: usize,
    /// Whether a whole frame was ever read: after that the peer has shown that it speaks Kafka.
    trusted: bool,
    counters: Arc<Counters>,
}

impl FrameReader {
    /// A reader that refuses frames above `max_frame` bytes.
    pub(crate) fn new(max_frame: usize, counters: Arc<Counters>) -> Self {
        Self {
            scratch: vec![0; SCRATCH],
            filled: 0..0,
            large: None,
            max_frame,
            trusted: false,
            counters,
        }
    }

    /// Accepts frames of up to `max_frame` bytes from now on.
    pub(crate) fn accept_up_to(&mut self, max_frame: usize) {
        self.max_frame = max_frame;
    }

    /// The next frame without its length. Every error is final.
    pub(crate) fn poll_frame<S: AsyncRead + Unpin + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<Result<Bytes, StreamFault>> {
        loop {
            if let Some(frame) = self.buffered_frame()? {
                self.trusted = true;
                return Poll::Ready(Ok(frame));
            }
            let stream = Pin::new(&mut *stream);
            let read = match &mut self.large {
                Some((frame, length)) => {
                    let missing = length.saturating_sub(frame.len());
                    ready!(poll_read_buf(stream, cx, &mut frame.limit(missing)))?
                }
                None => {
                    self.scratch.copy_within(self.filled.clone(), 0);
                    self.filled = 0..self.filled.len();
                    let mut room =
                        ReadBuf::new(self.scratch.get_mut(self.filled.end..).unwrap_or_default());
                    ready!(stream.poll_read(cx, &mut room))?;
                    let read = room.filled().len();
                    self.filled.end += read;
                    read
                }
            };
            if read == 0 {
                let mid_frame = self.large.is_some() || !self.filled.is_empty();
                return Poll::Ready(Err(StreamFault::Ended { mid_frame }));
            }
            self.counters.read(read);
        }
    }

    fn buffered_frame(&mut self) -> Result<Option<Bytes>, StreamFault> {
        if let Some((frame, _)) = self.large.take_if(|(frame, length)| frame.len() >= *length) {
            return Ok(Some(frame.freeze()));
        }
        let buffered = self.scratch.get(self.filled.clone()).unwrap_or_default();
        let Some((prefix, rest)) = buffered.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        if !self.trusted {
            recognise(*prefix)?;
        }
        let claimed = i32::from_be_bytes(*prefix);
        let length = match usize::try_from(claimed) {
            Ok(length) if (MIN_FRAME..=self.max_frame).contains(&length) => length,
            _ => {
                return Err(StreamFault::FrameLength {
                    length: claimed,
                    max: self.max_frame,
                });
            }
        };
        if let Some(frame) = rest.get(..length) {
            let frame = Bytes::copy_from_slice(frame);
            self.filled.start += LENGTH_BYTES + length;
            return Ok(Some(frame));
        }
        if LENGTH_BYTES + length > SCRATCH {
            let mut frame = BytesMut::with_capacity(length);
            frame.put_slice(rest);
            self.filled = 0..0;
            self.large = Some((frame, length));
        }
        Ok(None)
    }
}

/// Fails if the first bytes of a peer are those of another protocol.
fn recognise(first: [u8; LENGTH_BYTES]) -> Result<(), StreamFault> {
    const TLS_ALERT: u8 = 0x15;
    const TLS_HANDSHAKE: u8 = 0x16;
    const TLS_MAJOR: u8 = 0x03;
    match first {
        [b'H', b'T', b'T', b'P'] => Err(StreamFault::Http),
        [TLS_ALERT | TLS_HANDSHAKE, TLS_MAJOR, ..] => Err(StreamFault::TlsExpected),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
