//! Whole frames: length, header, message.
//!
//! Both directions: a client encodes requests and decodes responses, a server the other way round. Encoding yields
//! the four length bytes too, decoding takes what comes after them.
//!
//! Who stands between a client and a broker takes frames apart and puts them together again: header and body, the body
//! as bytes or as [`AnyRequest`](crate::messages::AnyRequest) and [`AnyResponse`](crate::messages::AnyResponse). What
//! the header has of unknown tagged fields stays in it.
//!
//! ```
//! use ottla_codec::messages::metadata::{MetadataRequest, MetadataResponse};
//! use ottla_codec::messages::{AnyRequest, AnyResponse};
//! use ottla_codec::{ApiKey, frame};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let sent = frame::encode_request(7, Some("app"), &MetadataRequest::default(), 12)?.to_bytes().slice(4..);
//! // A client's frame, as it came behind its length; every API begins alike, known or not.
//! let start = frame::request_start(&sent)?;
//! let Some(key) = ApiKey::from_i16(start.api_key) else {
//!     return Ok(()); // It can be passed on as it is, or refused.
//! };
//! let (mut header, body) = frame::decode_request_header(&sent)?;
//! let request = AnyRequest::decode(key, start.api_version, &body)?;
//! println!("{:?} asks for {:?}", header.client_id, request.key());
//! header.correlation_id = 1_000;
//! let passed_on = frame::join_request(&header, &body)?;
//!
//! // And the broker's answer to it.
//! # let came = frame::encode_response(1_000, &MetadataResponse::default(), 12)?.to_bytes().slice(4..);
//! let (mut header, body) = frame::decode_response_header(&came, key, start.api_version)?;
//! let response = AnyResponse::decode(key, start.api_version, &body)?;
//! header.correlation_id = start.correlation_id;
//! let passed_back = frame::join_response(&header, key, start.api_version, &body)?;
//! # assert_eq!(passed_on.to_bytes().len(), 4 + sent.len());
//! # assert_eq!(passed_back.to_bytes().len(), 4 + came.len());
//! # drop(response);
//! # Ok(())
//! # }
//! ```
//!
//! A flexible version of an API has request header v2 and response header v1, an older one v1 and v0. The ApiVersions
//! response alone always has header v0, so that a client can read it before it knows anything about the broker (KIP-511).

use bytes::Bytes;

use crate::{
    ApiKey, DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind, ErrorCode, Message,
    Request, Response,
    message::{decode_rest, encode_into},
    messages::{
        api_versions::{ApiVersionsRequest, ApiVersionsResponse},
        request_header::RequestHeader,
        response_header::ResponseHeader,
    },
    wire::{self, EncodeResultExt as _, Encoder, Input, ParsedExt as _, Segments},
};

const LENGTH_BYTES: usize = 4;
/// Enough for most requests, so that few grow.
const INITIAL_CAPACITY: usize = 512;

/// A request's frame, its length included.
///
/// # Errors
/// When a value cannot be expressed in `version`.
pub fn encode_request<R: Request>(
    correlation_id: i32,
    client_id: Option<&str>,
    request: &R,
    version: i16,
) -> Result<Segments, EncodeError> {
    let mut out = Encoder::with_capacity(INITIAL_CAPACITY);
    out.int32(0);
    // RequestHeader by hand: the struct would want an owned client id for every request.
    out.int16(R::KEY as i16);
    out.int16(version);
    out.int32(correlation_id);
    out.nullable_string(client_id, false)
        .field("client_id")
        .map_err(|error| error.in_message(RequestHeader::NAME))?;
    if R::is_flexible(version) {
        out.unsigned_varint(0);
    }
    encode_into(request, &mut out, version)?;
    finish(out, R::NAME)
}

/// The correlation id and the message of a response's frame.
///
/// # Errors
/// When the frame is not such a response.
pub fn decode_response<R: Request>(
    frame: &Bytes,
    version: i16,
) -> Result<(i32, R::Response), DecodeError> {
    let (input, header) = response_header(frame, <R::Response as Response>::KEY, version)?;
    Ok((header.correlation_id, decode_rest(input, version)?))
}

/// Like [`decode_response`] for ApiVersions, whose answer may have another version than the request: a broker that
/// does not know the request's version answers `UNSUPPORTED_VERSION` in version 0 (KIP-511).
///
/// # Errors
/// When the frame is an ApiVersions response neither of `version` nor of version 0.
pub fn decode_api_versions_response(
    frame: &Bytes,
    version: i16,
) -> Result<(i32, ApiVersionsResponse), DecodeError> {
    let error = match decode_response::<ApiVersionsRequest>(frame, version) {
        Ok((id, response)) => return Ok((id, response)),
        Err(error) => error,
    };
    match decode_response::<ApiVersionsRequest>(frame, 0) {
        Ok((id, response)) if response.error_code == ErrorCode::UnsupportedVersion.code() => {
            Ok((id, response))
        }
        _ => Err(error),
    }
}

/// The correlation id of a response's frame; it comes first in every version of the header.
///
/// # Errors
/// When the frame is shorter than four bytes.
pub fn response_correlation_id(frame: &Bytes) -> Result<i32, DecodeError> {
    wire::int32(Input::new(frame))
        .field("correlation_id")
        .map(|(_, id)| id)
        .map_err(|error| wire::decode_error(ResponseHeader::NAME, error))
}

/// How every request's frame begins, whatever its API and version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestStart {
    /// The API's key, which may be of an API that this crate does not know.
    pub api_key: i16,
    /// The version of the message that follows.
    pub api_version: i16,
    /// What the answer is to be marked with.
    pub correlation_id: i32,
}

/// The beginning of a request's frame: enough to pass a request on, or to refuse it, that one knows nothing of.
///
/// # Errors
/// When the frame is shorter than eight bytes.
pub fn request_start(frame: &Bytes) -> Result<RequestStart, DecodeError> {
    let read = |input| {
        let (input, api_key) = wire::int16(input).field("request_api_key")?;
        let (input, api_version) = wire::int16(input).field("request_api_version")?;
        let (input, correlation_id) = wire::int32(input).field("correlation_id")?;
        let start = RequestStart {
            api_key,
            api_version,
            correlation_id,
        };
        Ok((input, start))
    };
    read(Input::new(frame))
        .map(|(_, start)| start)
        .map_err(|error| wire::decode_error(RequestHeader::NAME, error))
}

/// The header of a request's frame, and the bytes of its message.
///
/// # Errors
/// When the header is malformed, or of an API that this crate does not know: its header's layout is then unknown too.
pub fn decode_request_header(frame: &Bytes) -> Result<(RequestHeader, Bytes), DecodeError> {
    let fail = |error| wire::decode_error(RequestHeader::NAME, error);
    let input = Input::new(frame);
    let (rest, key) = wire::int16(input).field("request_api_key").map_err(fail)?;
    let (_, version) = wire::int16(rest)
        .field("request_api_version")
        .map_err(fail)?;
    let key = ApiKey::from_i16(key).ok_or(DecodeError {
        message: RequestHeader::NAME,
        field: "request_api_key",
        offset: 0,
        kind: DecodeErrorKind::UnsupportedApi { key },
    })?;
    let header_version = if key.is_flexible(version) { 2 } else { 1 };
    let (rest, header) = RequestHeader::decode(input, header_version).map_err(fail)?;
    Ok((header, rest.to_bytes()))
}

/// A request's frame from its header and the bytes of its message, its length included: what
/// [`decode_request_header`] has taken apart.
///
/// # Errors
/// When the header cannot be expressed in the version that its API and version have, or its API is unknown.
pub fn join_request(header: &RequestHeader, body: &Bytes) -> Result<Segments, EncodeError> {
    let (key, version) = (header.request_api_key, header.request_api_version);
    let flexible = ApiKey::from_i16(key).map(|key| key.is_flexible(version));
    let header_version = match flexible {
        Some(true) => 2,
        Some(false) => 1,
        None => {
            return Err(EncodeError {
                message: RequestHeader::NAME,
                field: "request_api_key",
                kind: EncodeErrorKind::UnsupportedApi { key },
            });
        }
    };
    join(header, header_version, body)
}

/// The header of a response's frame, and the bytes of its message. The request says which API and version it is of.
///
/// A broker that does not know an ApiVersions request's version answers in version 0, under the same header
/// (KIP-511): of that API alone, the message may be of that version instead.
///
/// # Errors
/// When the header is malformed.
pub fn decode_response_header(
    frame: &Bytes,
    key: ApiKey,
    version: i16,
) -> Result<(ResponseHeader, Bytes), DecodeError> {
    let (rest, header) = response_header(frame, key, version)?;
    Ok((header, rest.to_bytes()))
}

/// A response's frame from its header and the bytes of its message, its length included: what
/// [`decode_response_header`] has taken apart.
///
/// # Errors
/// When the header has tagged fields and that version no place for them.
pub fn join_response(
    header: &ResponseHeader,
    key: ApiKey,
    version: i16,
    body: &Bytes,
) -> Result<Segments, EncodeError> {
    join(header, response_header_version(key, version), body)
}

fn join<H: Message>(header: &H, version: i16, body: &Bytes) -> Result<Segments, EncodeError> {
    let mut out = Encoder::with_capacity(INITIAL_CAPACITY);
    out.int32(0);
    encode_into(header, &mut out, version)?;
    out.raw(body);
    finish(out, H::NAME)
}

/// A response's frame, its length included.
///
/// # Errors
/// When a value cannot be expressed in `version`.
pub fn encode_response<R: Response>(
    correlation_id: i32,
    response: &R,
    version: i16,
) -> Result<Segments, EncodeError> {
    let mut out = Encoder::with_capacity(INITIAL_CAPACITY);
    out.int32(0);
    let header = ResponseHeader {
        correlation_id,
        ..Default::default()
    };
    encode_into(&header, &mut out, response_header_version(R::KEY, version))?;
    encode_into(response, &mut out, version)?;
    finish(out, R::NAME)
}

fn response_header(
    frame: &Bytes,
    key: ApiKey,
    version: i16,
) -> Result<(Input<'_>, ResponseHeader), DecodeError> {
    ResponseHeader::decode(Input::new(frame), response_header_version(key, version))
        .map_err(|error| wire::decode_error(ResponseHeader::NAME, error))
}

fn response_header_version(key: ApiKey, version: i16) -> i16 {
    i16::from(key != ApiKey::ApiVersions && key.is_flexible(version))
}

fn finish(mut out: Encoder, message: &'static str) -> Result<Segments, EncodeError> {
    let length = out.len() - LENGTH_BYTES;
    let prefix = i32::try_from(length).map_err(|_| EncodeError {
        message,
        field: "",
        kind: EncodeErrorKind::TooLong { length },
    })?;
    out.patch(0, &prefix.to_be_bytes());
    Ok(out.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UnknownTaggedField;
    use crate::messages::{
        api_versions::ApiVersion,
        fetch::FetchRequest,
        metadata::{MetadataRequest, MetadataRequestTopic},
    };

    fn content(frame: Segments) -> Bytes {
        let frame = frame.to_bytes();
        assert_eq!(frame[..4], (frame.len() as i32 - 4).to_be_bytes());
        frame.slice(4..)
    }

    #[test]
    fn requests_round_trip() {
        let topics = vec![MetadataRequestTopic {
            name: Some("t".into()),
            ..Default::default()
        }];
        let request = MetadataRequest {
            topics: Some(topics),
            ..Default::default()
        };
        for version in [1, 4, 9, 12] {
            let frame = content(encode_request(7, Some("me"), &request, version).unwrap());
            let (header, body) = decode_request_header(&frame).unwrap();
            assert_eq!(
                (header.correlation_id, header.client_id.as_deref()),
                (7, Some("me"))
            );
            assert_eq!(
                crate::decode_message::<MetadataRequest>(&body, version),
                Ok(request.clone())
            );
        }
    }

    /// The header written by hand is the one the schema describes.
    #[test]
    fn request_headers_follow_the_schema() {
        for (version, header_version) in [(11, 1), (12, 2)] {
            for client_id in [None, Some("me")] {
                let frame = content(
                    encode_request(7, client_id, &FetchRequest::default(), version).unwrap(),
                );
                let header = RequestHeader {
                    request_api_key: 1,
                    request_api_version: version,
                    correlation_id: 7,
                    client_id: client_id.map(str::to_owned),
                    ..Default::default()
                };
                let header = crate::encode_message(&header, header_version)
                    .unwrap()
                    .to_bytes();
                let body = crate::encode_message(&FetchRequest::default(), version)
                    .unwrap()
                    .to_bytes();
                assert_eq!(frame, [header, body].concat());
            }
        }
    }

    #[test]
    fn api_versions_has_an_old_response_header_always() {
        let response = ApiVersionsResponse::default();
        for version in 0..=4 {
            let frame = content(encode_response(5, &response, version).unwrap());
            let body = crate::encode_message(&response, version).unwrap();
            assert_eq!(frame.len(), 4 + body.len());
            assert_eq!(
                decode_response::<ApiVersionsRequest>(&frame, version),
                Ok((5, response.clone()))
            );
        }
    }

    #[test]
    fn an_api_versions_answer_may_be_in_version_0() {
        let api_keys = vec![ApiVersion {
            api_key: 18,
            max_version: 2,
            ..Default::default()
        }];
        let response = ApiVersionsResponse {
            error_code: 35,
            api_keys,
            ..Default::default()
        };
        let frame = content(encode_response(5, &response, 0).unwrap());
        assert_eq!(
            decode_api_versions_response(&frame, 4),
            Ok((5, response.clone()))
        );

        // Any other error in version 0 is none that a broker gives.
        let frame = content(
            encode_response(
                5,
                &ApiVersionsResponse {
                    error_code: 36,
                    ..response
                },
                0,
            )
            .unwrap(),
        );
        assert!(decode_api_versions_response(&frame, 4).is_err());
    }

    /// A proxy changes nothing but what it wants to.
    #[test]
    fn frames_come_together_as_they_were_taken_apart() {
        let unknown_tagged_fields = vec![UnknownTaggedField {
            tag: 3,
            data: Bytes::from_static(b"x"),
        }];
        let body = Bytes::from_static(b"whatever this says");
        for (version, tagged) in [(4, false), (12, true)] {
            let unknown = || match tagged {
                true => unknown_tagged_fields.clone(),
                false => Vec::new(),
            };
            let header = RequestHeader {
                request_api_key: ApiKey::Metadata as i16,
                request_api_version: version,
                correlation_id: 7,
                client_id: Some("me".into()),
                unknown_tagged_fields: unknown(),
            };
            let frame = content(join_request(&header, &body).unwrap());
            let start = RequestStart {
                api_key: 3,
                api_version: version,
                correlation_id: 7,
            };
            assert_eq!(request_start(&frame), Ok(start));
            assert_eq!(decode_request_header(&frame), Ok((header, body.clone())));

            let header = ResponseHeader {
                correlation_id: 7,
                unknown_tagged_fields: unknown(),
            };
            let key = ApiKey::Metadata;
            let frame = content(join_response(&header, key, version, &body).unwrap());
            assert_eq!(
                decode_response_header(&frame, key, version),
                Ok((header, body.clone()))
            );
        }
    }

    #[test]
    fn the_start_of_an_unknown_api_is_read() {
        let frame = Bytes::from_static(&[3, 231, 0, 2, 0, 0, 0, 7, 1, 2, 3]);
        assert!(decode_request_header(&frame).is_err());
        let start = request_start(&frame).unwrap();
        assert_eq!((start.api_key, start.api_version), (999, 2));
        assert_eq!(start.correlation_id, 7);
        let error = request_start(&frame.slice(..7)).unwrap_err();
        assert_eq!((error.field, error.offset), ("correlation_id", 4));

        let header = RequestHeader {
            request_api_key: 999,
            ..Default::default()
        };
        let error = join_request(&header, &Bytes::new()).unwrap_err();
        assert_eq!(error.kind, EncodeErrorKind::UnsupportedApi { key: 999 });
    }

    /// Also of a version from the future, so that a server can refuse it by name.
    #[test]
    fn the_header_of_an_unknown_version_is_read() {
        let frame = Bytes::from_static(&[0, 18, 0, 99, 0, 0, 0, 7, 0, 1, b'x', 0, 42]);
        let (header, body) = decode_request_header(&frame).unwrap();
        assert_eq!((header.request_api_version, header.correlation_id), (99, 7));
        assert_eq!(body, Bytes::from_static(&[42]));
    }
}
