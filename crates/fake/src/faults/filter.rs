//! Which requests a rule is for, and how often.

use std::fmt;
use std::ops::RangeInclusive;

use bytes::Bytes;
use ottla_codec::ApiKey;

/// A typed condition on the request, behind its body's bytes and version.
pub(crate) type Predicate = Box<dyn FnMut(&Bytes, i16) -> bool + Send>;

/// Conditions of a rule; all must hold.
pub(crate) struct Filter {
    pub(crate) api: Option<ApiKey>,
    pub(crate) broker: Option<i32>,
    pub(crate) client_id: Option<String>,
    pub(crate) versions: RangeInclusive<i16>,
    pub(crate) predicate: Option<Predicate>,
    /// Matching requests to let pass first.
    pub(crate) skip: u64,
    /// Matching requests to act on; `None` for all.
    pub(crate) times: Option<u64>,
    pub(crate) chance: f64,
    pub(crate) rng: fastrand::Rng,
}

impl Filter {
    pub(crate) fn new(api: Option<ApiKey>) -> Self {
        Self {
            api,
            broker: None,
            client_id: None,
            versions: i16::MIN..=i16::MAX,
            predicate: None,
            skip: 0,
            times: Some(1),
            chance: 1.0,
            rng: fastrand::Rng::with_seed(0),
        }
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.times == Some(0)
    }

    /// Decides on the part known before the frame has been read; counts it if taken.
    pub(crate) fn takes_head(&mut self, api: ApiKey, version: i16, broker: i32) -> bool {
        self.matches_head(api, version, broker) && self.count()
    }

    /// Decides on a whole request; counts it if taken.
    pub(crate) fn takes(
        &mut self,
        (api, version, broker): (ApiKey, i16, i32),
        client_id: Option<&str>,
        body: &Bytes,
    ) -> bool {
        self.matches_head(api, version, broker)
            && self
                .client_id
                .as_deref()
                .is_none_or(|wanted| client_id == Some(wanted))
            && self
                .predicate
                .as_mut()
                .is_none_or(|predicate| predicate(body, version))
            && self.count()
    }

    fn matches_head(&self, api: ApiKey, version: i16, broker: i32) -> bool {
        !self.is_spent()
            && self.api.is_none_or(|wanted| wanted == api)
            && self.broker.is_none_or(|wanted| wanted == broker)
            && self.versions.contains(&version)
    }

    fn count(&mut self) -> bool {
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        if self.chance < 1.0 && self.rng.f64() >= self.chance {
            return false;
        }
        if let Some(times) = &mut self.times {
            *times -= 1;
        }
        true
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter")
            .field("api", &self.api)
            .field("broker", &self.broker)
            .field("client_id", &self.client_id)
            .field("versions", &self.versions)
            .field("skip", &self.skip)
            .field("times", &self.times)
            .field("chance", &self.chance)
            .finish_non_exhaustive()
    }
}
