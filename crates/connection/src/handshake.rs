//! From a fresh stream to a connection whose broker's versions are known.
//!
//! [`Negotiation`] is the conversation without I/O: which ApiVersions request comes next, and when
//! it is over. [`Exchange`] carries single requests over a stream that nothing else uses yet;
//! authentication takes its turns between the negotiation and the moment the stream is handed on.
//!
//! References: KIP-35 (ApiVersions), KIP-511 (its versions, and the client's name and version in
//! it).

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use ottla_codec::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use ottla_codec::{ErrorCode, Message, Request, Segments, VersionRange, frame};
use snafu::ensure;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::config::ConnectionConfig;
use crate::error::dial_error::HandshakeSnafu;
use crate::error::{DialError, StreamFault};
use crate::reader::FrameReader;
use crate::throttle;
use crate::versions::Versions;

/// No handshake answer comes near this; what claims to be larger is not Kafka.
pub(crate) const MAX_HANDSHAKE_FRAME: usize = 1024 * 1024;

/// What a finished negotiation knows.
#[derive(Debug)]
pub(crate) struct Negotiated {
    pub(crate) versions: Versions,
    /// How long the broker wants silence already.
    pub(crate) silence: Option<Duration>,
}

/// The ApiVersions conversation.
///
/// It begins with the newest version this client has. A broker that does not know it says so in
/// version 0 and names its own range, from which the second and last try is chosen.
#[derive(Debug)]
pub(crate) struct Negotiation {
    version: i16,
    tries: u8,
}

/// What follows from an answer.
#[derive(Debug)]
pub(crate) enum Step {
    /// Ask again, in the version the negotiation now has.
    AskAgain,
    /// The broker's versions are known.
    Done(Negotiated),
}

impl Negotiation {
    const OWN: VersionRange = ApiVersionsRequest::VERSIONS;

    /// Begins with the newest version.
    pub(crate) fn newest() -> Self {
        Self {
            version: Self::OWN.max,
            tries: 1,
        }
    }

    /// Begins with version 0, for a broker so old that it hangs up on a version it does not know.
    pub(crate) fn oldest() -> Self {
        Self {
            version: Self::OWN.min,
            tries: 1,
        }
    }

    /// The version to ask in.
    pub(crate) fn version(&self) -> i16 {
        self.version
    }

    /// Takes the broker's answer.
    ///
    /// # Errors
    ///
    /// [`DialError::Refused`] when the broker wants no further try.
    pub(crate) fn answered(&mut self, response: &ApiVersionsResponse) -> Result<Step, DialError> {
        let code = ErrorCode::from_code(response.error_code);
        let offered = response
            .api_keys
            .iter()
            .find(|api| api.api_key == ApiVersionsRequest::KEY as i16);
        let common = offered.and_then(|api| {
            Self::OWN.intersect(VersionRange::new(api.min_version, api.max_version))
        });
        match code {
            ErrorCode::None => {
                // Asked in version 0 out of caution, a newer broker is asked again: only then does
                // it tell its features.
                match common {
                    Some(common) if common.max > self.version && self.tries == 1 => {
                        self.ask_again(common.max)
                    }
                    _ => Ok(Step::Done(Negotiated {
                        versions: Versions::new(response),
                        silence: throttle::silence(
                            ApiVersionsRequest::KEY,
                            self.version,
                            response.throttle_time_ms,
                        ),
                    })),
                }
            }
            // Brokers before 2.4 refuse without naming a range; version 0 they all know.
            ErrorCode::UnsupportedVersion if self.tries == 1 => {
                self.ask_again(common.map_or(Self::OWN.min, |common| common.max))
            }
            code => Err(DialError::Refused { code }),
        }
    }

    fn ask_again(&mut self, version: i16) -> Result<Step, DialError> {
        self.version = version;
        self.tries += 1;
        Ok(Step::AskAgain)
    }
}

/// A stream that carries one request at a time and belongs to nobody else.
#[derive(Debug)]
pub(crate) struct Exchange<'a, S> {
    stream: &'a mut S,
    reader: &'a mut FrameReader,
    next_correlation_id: i32,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Exchange<'a, S> {
    pub(crate) fn new(stream: &'a mut S, reader: &'a mut FrameReader) -> Self {
        Self {
            stream,
            reader,
            next_correlation_id: 0,
        }
    }

    /// Sends one request and reads its answer's frame.
    ///
    /// # Errors
    ///
    /// Whatever happens to the stream; it is of no more use then.
    pub(crate) async fn call<R: Request>(
        &mut self,
        config: &ConnectionConfig,
        request: &R,
        version: i16,
    ) -> Result<Bytes, DialError> {
        let expected = self.next_correlation_id;
        self.next_correlation_id = expected.wrapping_add(1);
        let frame = frame::encode_request(expected, config.client_id(), request, version)?;
        if let Err(error) = self.write(frame).await {
            // Who hangs up on a request may have said why before.
            let said = poll_fn(|cx| Poll::Ready(self.reader.poll_frame(cx, self.stream)));
            return Err(match said.await {
                Poll::Ready(Err(fault @ StreamFault::Tls { .. })) => fault.into(),
                _ => StreamFault::from(error).into(),
            });
        }
        let answer = poll_fn(|cx| self.reader.poll_frame(cx, self.stream)).await?;
        let received = answer
            .first_chunk()
            .map_or(-1, |id| i32::from_be_bytes(*id));
        ensure!(
            received == expected,
            HandshakeSnafu {
                fault: StreamFault::Correlation { expected, received }
            }
        );
        Ok(answer)
    }

    async fn write(&mut self, mut frame: Segments) -> io::Result<()> {
        self.stream.write_all_buf(&mut frame).await?;
        self.stream.flush().await
    }

    /// Asks the broker what it can do.
    pub(crate) async fn negotiate(
        &mut self,
        config: &ConnectionConfig,
        mut negotiation: Negotiation,
    ) -> Result<Negotiated, DialError> {
        let request = ApiVersionsRequest {
            client_software_name: config.software_name.clone(),
            client_software_version: config.software_version.clone(),
            ..Default::default()
        };
        loop {
            let version = negotiation.version();
            let answer = self.call(config, &request, version).await?;
            let (_, response) =
                frame::decode_api_versions_response(&answer, version).map_err(|source| {
                    StreamFault::Undecodable {
                        api: ApiVersionsRequest::KEY,
                        source,
                    }
                })?;
            if let Step::Done(negotiated) = negotiation.answered(&response)? {
                return Ok(negotiated);
            }
        }
    }
}

/// Whether the peer hung up on a request without a word, as brokers did that are too old for its
/// version.
pub(crate) fn is_cut(error: &DialError) -> bool {
    // The last of these is how TLS sees an end that was not announced.
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    match error {
        DialError::Handshake {
            fault: StreamFault::Ended { mid_frame },
        } => !mid_frame,
        DialError::Handshake {
            fault: StreamFault::Io { source },
        } => {
            matches!(
                source.kind(),
                BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
            )
        }
        _ => false,
    }
}
