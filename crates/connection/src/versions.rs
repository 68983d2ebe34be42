//! What a broker can do: the versions of each API it serves, and its features.
//!
//! Belongs to one connection, because brokers of a cluster may differ while it is being upgraded.

use std::collections::BTreeMap;

use ottla_codec::messages::api_versions::ApiVersionsResponse;
use ottla_codec::{ApiKey, Request, VersionRange};

use crate::error::UnsupportedApi;

/// The versions and features that a broker offers on one connection (KIP-35, KIP-584).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    /// By key as on the wire, so that APIs this client does not know are kept too.
    apis: BTreeMap<i16, VersionRange>,
    supported_features: BTreeMap<String, VersionRange>,
    finalized_features: BTreeMap<String, i16>,
    finalized_epoch: Option<i64>,
}

impl Versions {
    pub(crate) fn new(response: &ApiVersionsResponse) -> Self {
        let apis = response.api_keys.iter();
        let supported = response.supported_features.iter();
        let finalized = response.finalized_features.iter();
        Self {
            apis: apis
                .map(|api| {
                    (
                        api.api_key,
                        VersionRange {
                            min: api.min_version,
                            max: api.max_version,
                        },
                    )
                })
                .collect(),
            supported_features: supported
                .map(|feature| {
                    (
                        feature.name.clone(),
                        VersionRange {
                            min: feature.min_version,
                            max: feature.max_version,
                        },
                    )
                })
                .collect(),
            finalized_features: finalized
                .map(|feature| (feature.name.clone(), feature.max_version_level))
                .collect(),
            finalized_epoch: Some(response.finalized_features_epoch).filter(|epoch| *epoch >= 0),
        }
    }

    /// The highest version of `R` that lies in `own`, that this crate can encode, and that the
    /// broker offers.
    ///
    /// `own` is `R::VERSIONS` unless the caller needs something that only some versions have. What
    /// a broker offers is not taken at its word beyond that: Kafka 4 advertises Produce from 0 but
    /// refuses what is below 3, which our own minimum keeps us from.
    ///
    /// # Errors
    ///
    /// [`UnsupportedApi`] with both ranges when they have nothing in common.
    pub fn pick<R: Request>(&self, own: VersionRange) -> Result<i16, UnsupportedApi> {
        let offered = self.offered(R::KEY);
        let needed = own.intersect(R::ALL_VERSIONS);
        match needed
            .zip(offered)
            .and_then(|(needed, offered)| needed.intersect(offered))
        {
            Some(common) => Ok(common.max),
            None => Err(UnsupportedApi {
                api: R::KEY,
                needed: own,
                offered,
            }),
        }
    }

    /// The versions of an API that the broker offers, `None` if it does not know the API.
    pub fn offered(&self, api: ApiKey) -> Option<VersionRange> {
        self.apis.get(&(api as i16)).copied()
    }

    /// The level of a feature that the cluster has agreed on (`transaction.version`,
    /// `group.version`, ...), `None` if there is none. This, and not what a single broker supports,
    /// says what may be used.
    pub fn finalized_feature(&self, name: &str) -> Option<i16> {
        self.finalized_features.get(name).copied()
    }

    /// The epoch of the finalized features: of two answers, the one with the higher epoch is the
    /// newer one.
    pub fn finalized_features_epoch(&self) -> Option<i64> {
        self.finalized_epoch
    }

    /// The levels of a feature that this broker supports.
    pub fn supported_feature(&self, name: &str) -> Option<VersionRange> {
        self.supported_features.get(name).copied()
    }
}
