//! The log of every request that reached a broker.

use std::time::Duration;

use bytes::Bytes;
use ottla_codec::ApiKey;

/// One request as it arrived.
///
/// Two runs with the same seed are the same run exactly if their logs are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoggedRequest {
    /// Time since the cluster started.
    pub at: Duration,
    /// The broker that got it.
    pub broker: i32,
    /// The connection that it came on; numbered from 1 in the order of acceptance, over all brokers.
    pub connection: u64,
    /// Its API.
    pub api: ApiKey,
    /// Its version.
    pub version: i16,
    /// Its correlation id.
    pub correlation_id: i32,
    /// Its client id.
    pub client_id: Option<String>,
    /// Bytes of the frame, without its length.
    pub frame_len: usize,
    /// CRC-32C of the frame without its length.
    pub frame_crc: u32,
    /// The frame without its length, if the cluster was built to keep frames.
    pub frame: Option<Bytes>,
}

/// All requests so far.
#[derive(Debug, Default)]
pub(crate) struct RequestLog {
    requests: Vec<LoggedRequest>,
    keep_frames: bool,
}

impl RequestLog {
    pub(crate) fn new(keep_frames: bool) -> Self {
        Self {
            requests: Vec::new(),
            keep_frames,
        }
    }

    pub(crate) fn push(&mut self, request: LoggedRequest, frame: Bytes) {
        let frame_crc = crc32c::crc32c(&frame);
        let frame = self.keep_frames.then_some(frame);
        self.requests.push(LoggedRequest {
            frame_crc,
            frame,
            ..request
        });
    }

    pub(crate) fn all(&self) -> &[LoggedRequest] {
        &self.requests
    }

    pub(crate) fn clear(&mut self) {
        self.requests.clear();
    }
}
