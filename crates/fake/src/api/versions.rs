//! ApiVersions: what the brokers say they serve.
//!
//! # References
//! - KIP-511 (fallback for unknown versions), KIP-584 (features)

use ottla_codec::messages::api_versions::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use ottla_codec::{EncodeError, ErrorCode, Segments, VersionRange, frame};

use super::Outcome;
use super::dispatch::{SERVED, Served};
use crate::faults::rules::AnyReply;
use crate::release::Release;
use crate::state::{RequestContext, State};

/// Features and levels of a freshly formatted Kafka 4.3: the two ends of each range, then the finalized level.
const FEATURES: [(&str, i16, i16, i16); 3] = [
    ("metadata.version", 7, 30, 30),
    ("group.version", 0, 1, 1),
    ("transaction.version", 0, 2, 2),
];

pub(super) fn handle(
    state: &mut State,
    context: &RequestContext,
    request: ApiVersionsRequest,
) -> Outcome {
    if context.version >= 3
        && !(is_software(&request.client_software_name)
            && is_software(&request.client_software_version))
    {
        let error_code = ErrorCode::InvalidRequest.code();
        return Outcome::respond(ApiVersionsResponse {
            error_code,
            ..Default::default()
        });
    }
    if !state.options.release.has_features() {
        return Outcome::respond(ApiVersionsResponse {
            api_keys: advertised(state),
            ..Default::default()
        });
    }
    // A minimum of 0 stops old Java clients, so brokers leave such features out below v4 (KAFKA-17011).
    let told = FEATURES
        .iter()
        .filter(|&&(_, min_version, ..)| context.version >= 4 || min_version > 0);
    let supported = told.map(|&(name, min_version, max_version, _)| SupportedFeatureKey {
        name: name.to_owned(),
        min_version,
        max_version,
        ..Default::default()
    });
    let finalized = FEATURES
        .iter()
        .map(|&(name, _, _, level)| FinalizedFeatureKey {
            name: name.to_owned(),
            max_version_level: level,
            min_version_level: level,
            ..Default::default()
        });
    Outcome::respond(ApiVersionsResponse {
        api_keys: advertised(state),
        supported_features: supported.collect(),
        finalized_features_epoch: 1,
        finalized_features: finalized.collect(),
        ..Default::default()
    })
}

/// The answer to a version that is not served: always in v0, and once brokers tell it, with the range that is.
pub(super) fn unsupported(state: &State, own: &Served) -> Box<dyn AnyReply> {
    let range = advertised_range(state, own).filter(|_| state.options.release.tells_its_versions());
    let api_keys = range
        .map(|range| api_version(own.api as i16, range))
        .into_iter()
        .collect();
    let error_code = ErrorCode::UnsupportedVersion.code();
    Box::new(VersionZero(ApiVersionsResponse {
        error_code,
        api_keys,
        ..Default::default()
    }))
}

/// Whether a request of this version is handled, which a test or the release may have narrowed.
pub(super) fn is_served(state: &State, entry: &Served, version: i16) -> bool {
    let allowed = advertised_range(state, entry).is_some_and(|range| range.contains(version));
    allowed && entry.versions.contains(version)
}

fn advertised(state: &State) -> Vec<ApiVersion> {
    let mut all: Vec<_> = SERVED
        .iter()
        .filter_map(|entry| {
            let range = advertised_range(state, entry)?;
            Some(api_version(entry.api as i16, range))
        })
        .collect();
    for (&api_key, range) in &state.options.advertised {
        let served = SERVED.iter().any(|entry| entry.api as i16 == api_key);
        if let (false, Some(range)) = (served, range) {
            all.push(api_version(api_key, *range));
        }
    }
    all.sort_by_key(|entry| entry.api_key);
    all
}

fn advertised_range(state: &State, entry: &Served) -> Option<VersionRange> {
    if let Some(chosen) = state.options.advertised.get(&(entry.api as i16)) {
        return *chosen;
    }
    let range = match state.options.release {
        Release::V4_3 => VersionRange::new(entry.advertised_min, entry.versions.max),
        _ => entry.versions,
    };
    state.options.release.has(entry.api, range)
}

fn api_version(api_key: i16, range: VersionRange) -> ApiVersion {
    ApiVersion {
        api_key,
        min_version: range.min,
        max_version: range.max,
        ..Default::default()
    }
}

/// `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?` of KIP-511.
fn is_software(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    let outer = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    outer(text.bytes().next()) && outer(text.bytes().last()) && text.bytes().all(inner)
}

/// A response written in v0 whatever the request's version.
struct VersionZero(ApiVersionsResponse);

impl AnyReply for VersionZero {
    fn encode(&self, correlation_id: i32, _version: i16) -> Result<Segments, EncodeError> {
        frame::encode_response(correlation_id, &self.0, 0)
    }

    fn throttle_time_ms(&self) -> i32 {
        0
    }

    fn as_any_mut(&mut self) -> &mut dyn std::any::Any {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn software_names() {
        for good in ["a", "ottla", "apache-kafka-java", "1.2.3"] {
            assert!(super::is_software(good), "{good}");
        }
        for bad in ["", "-a", "a-", "a b", "ä"] {
            assert!(!super::is_software(bad), "{bad}");
        }
    }
}
