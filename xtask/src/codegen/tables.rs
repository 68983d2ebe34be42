//! The files that list all APIs or all error codes.

use std::fmt::Write as _;

use super::{Api, emit::provenance, kafka::ErrorCode, names};

/// `messages/mod.rs`.
pub(super) fn modules(apis: &[Api], modules: &[(String, String)], kafka: &str) -> String {
    let mut out = provenance(
        kafka,
        "every client-side API, and the messages outside of any",
    );
    out += "//! Kafka's messages, one module for the request and response of an API.\n//!\n";
    out += "//! Each struct covers all versions: a field that a version lacks has its default there. Generated from\n";
    out += "//! Kafka's schemas; names, types, versions, defaults and tags are Kafka's.\n//!\n";
    out += "//! # Versions\n//!\n//! Flexible versions have compact lengths and tagged fields (KIP-482). An unstable version is one that Kafka does\n";
    out += "//! not offer by itself: it is encoded and decoded, but left out of [`Message::VERSIONS`](crate::Message::VERSIONS).\n//!\n";
    out += "//! | API | key | versions | flexible from | unstable |\n//! |---|---|---|---|---|\n";
    for api in apis {
        let (request, module) = (&api.request, names::snake(&api.name));
        let flexible = match request.flexible.and(request.valid) {
            none if none.is_none() => "never".to_owned(),
            flexible => flexible.min.to_string(),
        };
        let unstable = match request.latest_unstable {
            true => request.valid.max.to_string(),
            false => String::new(),
        };
        _ = writeln!(
            out,
            "//! | [{}]({module}) | {} | {} | {flexible} | {unstable} |",
            api.name,
            api.key,
            request.stable()
        );
    }
    out += "\nmod any;\n";
    for (module, doc) in modules {
        _ = write!(out, "#[doc = \"{doc}.\"]\npub mod {module};\n");
    }
    out + "\npub use any::{AnyRequest, AnyResponse};\n"
}

/// `messages/any.rs`.
pub(super) fn any(apis: &[Api], kafka: &str) -> String {
    let mut out = provenance(kafka, "every client-side API");
    out += "//! Messages whose API is known at run time only.\n\n";
    out += "use bytes::Bytes;\n\n";
    out += "use crate::{ApiKey, DecodeError, EncodeError, decode_message, encode_message, frame, wire::Segments};\n\n";
    for kind in ["Request", "Response"] {
        let article = format!("a {}", kind.to_lowercase());
        _ = write!(
            out,
            "/// Any {}.\n///\n/// With the feature `serde` it is serialised as the message that it is, as Kafka's converters do: nothing in it\n/// says which one, so it is the message's own type that is deserialised.\n#[derive(Clone, Debug, PartialEq)]\n#[cfg_attr(feature = \"serde\", derive(serde::Serialize), serde(untagged))]\n#[non_exhaustive]\n",
            kind.to_lowercase()
        );
        out += "#[allow(clippy::large_enum_variant, reason = \"short-lived, one at a time\")]\n";
        _ = writeln!(out, "pub enum Any{kind} {{");
        for api in apis {
            let path = format!("super::{}::{}{kind}", names::snake(&api.name), api.name);
            _ = writeln!(out, "/// API key {}.\n{}({path}),", api.key, api.name);
        }
        _ = writeln!(out, "}}\n\nimpl Any{kind} {{");
        _ = writeln!(
            out,
            "/// Decodes {article} that takes up all of `bytes`.\n///\n/// # Errors\n/// When the bytes are not such {article}."
        );
        _ = writeln!(
            out,
            "pub fn decode(key: ApiKey, version: i16, bytes: &Bytes) -> Result<Self, DecodeError> {{ match key {{"
        );
        for api in apis {
            _ = writeln!(
                out,
                "ApiKey::{0} => decode_message(bytes, version).map(Self::{0}),",
                api.name
            );
        }
        out += "} }\n\n";
        _ = writeln!(
            out,
            "/// Encodes the message, without header.\n///\n/// # Errors\n/// When a value cannot be expressed in `version`."
        );
        out += "pub fn encode(&self, version: i16) -> Result<Segments, EncodeError> { match self {";
        for api in apis {
            _ = writeln!(
                out,
                "Self::{}(message) => encode_message(message, version),",
                api.name
            );
        }
        out += "} }\n\n";
        _ = writeln!(
            out,
            "/// The message's frame, length and header included.\n///\n/// # Errors\n/// When a value cannot be expressed in `version`."
        );
        if kind == "Request" {
            out += "pub fn encode_frame(&self, correlation_id: i32, client_id: Option<&str>, version: i16) -> Result<Segments, EncodeError> { match self {";
        } else {
            out += "pub fn encode_frame(&self, correlation_id: i32, version: i16) -> Result<Segments, EncodeError> { match self {";
        }
        for api in apis {
            if kind == "Request" {
                _ = writeln!(
                    out,
                    "Self::{}(message) => frame::encode_request(correlation_id, client_id, message, version),",
                    api.name
                );
            } else {
                _ = writeln!(
                    out,
                    "Self::{}(message) => frame::encode_response(correlation_id, message, version),",
                    api.name
                );
            }
        }
        out += "} }\n\n/// The message's API.\n#[must_use]\npub fn key(&self) -> ApiKey { match self {";
        for api in apis {
            _ = writeln!(out, "Self::{0}(_) => ApiKey::{0},", api.name);
        }
        out += "} } }\n\n";
        for api in apis {
            let path = format!("super::{}::{}{kind}", names::snake(&api.name), api.name);
            _ = writeln!(
                out,
                "impl From<{path}> for Any{kind} {{ fn from(message: {path}) -> Self {{ Self::{}(message) }} }}\n",
                api.name
            );
        }
    }
    out
}

/// `api_key.rs`.
pub(super) fn api_key(apis: &[Api], kafka: &str) -> String {
    let mut out = provenance(kafka, "every client-side API");
    out += "use std::fmt;\n\nuse crate::VersionRange;\n\n";
    out += "/// The APIs that a client calls.\n#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]\n#[non_exhaustive]\n#[repr(i16)]\npub enum ApiKey {\n";
    for api in apis {
        _ = writeln!(out, "/// {}\n{} = {},", range_doc(api), api.name, api.key);
    }
    out +=
        "}\n\nimpl ApiKey {\n/// Every API, ordered by key.\npub const ALL: &'static [Self] = &[";
    for api in apis {
        _ = write!(out, "Self::{}, ", api.name);
    }
    out += "];\n\n/// The API with this key, when it is one that a client calls.\n#[must_use]\npub const fn from_i16(key: i16) -> Option<Self> { Some(match key {\n";
    for api in apis {
        _ = writeln!(out, "{} => Self::{},", api.key, api.name);
    }
    out += "_ => return None, }) }\n\n/// Kafka's name, for example `OffsetCommit`.\n#[must_use]\npub const fn name(self) -> &'static str { match self {\n";
    for api in apis {
        _ = writeln!(out, "Self::{0} => \"{0}\",", api.name);
    }
    out += "} }\n\n/// The stable versions.\n#[must_use]\npub const fn versions(self) -> VersionRange { let (min, max) = match self {\n";
    for api in apis {
        let versions = api.request.stable();
        _ = writeln!(
            out,
            "Self::{} => ({}, {}),",
            api.name, versions.min, versions.max
        );
    }
    out += "}; VersionRange::new(min, max) }\n\n/// The first flexible version (KIP-482), `None` when there is none.\n#[must_use]\npub const fn flexible_from(self) -> Option<i16> { match self {\n";
    for api in apis {
        let flexible = api.request.flexible;
        let value = if flexible.is_none() {
            "None".to_owned()
        } else {
            format!("Some({})", flexible.min)
        };
        _ = writeln!(out, "Self::{} => {value},", api.name);
    }
    out += "} }\n\n/// Whether `version` is flexible: also for versions that this crate does not know.\n#[must_use]\npub const fn is_flexible(self, version: i16) -> bool { match self.flexible_from() { Some(first) => version >= first, None => false } } }\n\n";
    out + "impl fmt::Display for ApiKey { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.name()) } }\n"
}

fn range_doc(api: &Api) -> String {
    let mut text = format!("Versions {}", api.request.stable());
    if api.request.latest_unstable {
        _ = write!(text, ", unstable {}", api.request.valid.max);
    }
    match api.request.flexible {
        none if none.is_none() => text += ", never flexible.",
        flexible => _ = write!(text, ", flexible from {}.", flexible.min),
    }
    text
}

/// `error_code.rs`.
pub(super) fn error_code(errors: &[ErrorCode], kafka: &str) -> String {
    let mut out = provenance(kafka, "`org.apache.kafka.common.protocol.Errors`");
    out += "use std::fmt;\n\n/// What a broker says went wrong.\n///\n/// A code that this crate's Kafka version does not know is kept as [`ErrorCode::Unknown`]; build values with\n/// [`ErrorCode::from_code`], so that equal codes are equal values.\n";
    out += "#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]\n#[non_exhaustive]\npub enum ErrorCode {\n";
    for error in errors {
        let mut facts = format!("`{}`, {}", error.name, error.code);
        if error.retriable {
            facts += ", retriable";
        }
        if error.invalid_metadata {
            facts += ", metadata is out of date";
        }
        _ = writeln!(out, "/// {facts}.\n{},", names::pascal(&error.name));
    }
    out += "/// A code without a name here.\nUnknown(i16),\n}\n\nimpl ErrorCode {\n/// The error with this code.\n#[must_use]\npub const fn from_code(code: i16) -> Self { match code {\n";
    for error in errors {
        _ = writeln!(
            out,
            "{} => Self::{},",
            error.code,
            names::pascal(&error.name)
        );
    }
    out += "code => Self::Unknown(code), } }\n\n/// The code on the wire.\n#[must_use]\npub const fn code(self) -> i16 { match self {\n";
    for error in errors {
        _ = writeln!(
            out,
            "Self::{} => {},",
            names::pascal(&error.name),
            error.code
        );
    }
    out += "Self::Unknown(code) => code, } }\n\n/// Kafka's name, for example `NOT_LEADER_OR_FOLLOWER`.\n#[must_use]\npub const fn name(self) -> &'static str { match self {\n";
    for error in errors {
        _ = writeln!(
            out,
            "Self::{} => \"{}\",",
            names::pascal(&error.name),
            error.name
        );
    }
    out += "Self::Unknown(_) => \"UNKNOWN\", } }\n\n";
    let list = |pick: fn(&ErrorCode) -> bool| {
        let names: Vec<_> = errors
            .iter()
            .filter(|error| pick(error))
            .map(|error| format!("Self::{}", names::pascal(&error.name)))
            .collect();
        names.join(" | ")
    };
    _ = writeln!(
        out,
        "/// Whether this is no error.\n#[must_use]\npub const fn is_none(self) -> bool {{ matches!(self, Self::None) }}\n"
    );
    _ = writeln!(
        out,
        "/// Whether the same request may succeed later, as Java's `RetriableException` says.\n#[must_use]\npub const fn is_retriable(self) -> bool {{ matches!(self, {}) }}\n",
        list(|error| error.retriable)
    );
    _ = writeln!(
        out,
        "/// Whether the client's metadata is out of date, as Java's `InvalidMetadataException` says.\n#[must_use]\npub const fn is_invalid_metadata(self) -> bool {{ matches!(self, {}) }}\n}}\n",
        list(|error| error.invalid_metadata)
    );
    out + "impl From<i16> for ErrorCode { fn from(code: i16) -> Self { Self::from_code(code) } }\n\nimpl fmt::Display for ErrorCode { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, \"{} ({})\", self.name(), self.code()) } }\n"
}
