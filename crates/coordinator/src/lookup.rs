//! Finding a group's coordinator, and knowing when to look again.

use ottla_codec::ErrorCode;
use ottla_codec::messages::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};

use crate::Refusal;

/// From this version on, FindCoordinator takes several keys (KIP-699).
const SEVERAL_KEYS: i16 = 4;

/// Where a group's coordinator is, as far as is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coordinator {
    node: Option<i32>,
}

impl Coordinator {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The broker to ask; `None` if it is to be looked up first.
    pub fn node(&self) -> Option<i32> {
        self.node
    }

    /// The request that looks a group's coordinator up.
    pub fn request(group: &str, version: i16) -> FindCoordinatorRequest {
        let group = group.to_owned();
        if version < SEVERAL_KEYS {
            FindCoordinatorRequest {
                key: group,
                ..Default::default()
            }
        } else {
            FindCoordinatorRequest {
                coordinator_keys: vec![group],
                ..Default::default()
            }
        }
    }

    /// Takes the answer in and returns the broker it names.
    ///
    /// # Errors
    ///
    /// The refusal. An answer without the group counts as `COORDINATOR_NOT_AVAILABLE`.
    pub fn found(
        &mut self,
        response: &FindCoordinatorResponse,
        version: i16,
    ) -> Result<i32, Refusal> {
        let (node, code) = if version < SEVERAL_KEYS {
            (response.node_id, response.error_code)
        } else {
            response.coordinators.first().map_or(
                (-1, ErrorCode::CoordinatorNotAvailable.code()),
                |coordinator| (coordinator.node_id, coordinator.error_code),
            )
        };
        self.node = None;
        Refusal::check(code, None)?;
        self.node = Some(node);
        Ok(node)
    }

    /// Takes in that a request to the coordinator was refused.
    ///
    /// Only a coordinator that is still loading is kept: it is the right one. After any other refusal the
    /// next request looks it up again, which costs little and heals whatever was stale.
    pub fn refused(&mut self, code: ErrorCode) {
        if code != ErrorCode::CoordinatorLoadInProgress {
            self.node = None;
        }
    }

    /// Takes in that the coordinator could not be reached, or did not answer.
    pub fn lost(&mut self) {
        self.node = None;
    }
}

#[cfg(test)]
mod tests {
    use ottla_codec::messages::find_coordinator;

    use super::*;

    fn answer(version: i16, node_id: i32, error: ErrorCode) -> FindCoordinatorResponse {
        let error_code = error.code();
        if version < SEVERAL_KEYS {
            return FindCoordinatorResponse {
                node_id,
                error_code,
                ..Default::default()
            };
        }
        FindCoordinatorResponse {
            coordinators: vec![find_coordinator::Coordinator {
                node_id,
                error_code,
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    #[test]
    fn both_forms_name_the_group_and_are_read() {
        assert_eq!(Coordinator::request("g", 3).key, "g");
        assert_eq!(Coordinator::request("g", 4).coordinator_keys, ["g"]);
        for version in [0, 3, 4, 6] {
            let mut coordinator = Coordinator::new();
            assert_eq!(
                coordinator.found(&answer(version, 7, ErrorCode::None), version),
                Ok(7)
            );
            assert_eq!(coordinator.node(), Some(7));
        }
    }

    #[test]
    fn a_refused_or_empty_look_up_leaves_none() {
        let mut coordinator = Coordinator { node: Some(1) };
        let code = ErrorCode::GroupAuthorizationFailed;
        let refusal = Refusal {
            code,
            partition: None,
        };
        assert_eq!(coordinator.found(&answer(4, -1, code), 4), Err(refusal));
        assert_eq!(coordinator.node(), None);
        let code = ErrorCode::CoordinatorNotAvailable;
        let refusal = Refusal {
            code,
            partition: None,
        };
        assert_eq!(
            coordinator.found(&FindCoordinatorResponse::default(), 4),
            Err(refusal)
        );
    }

    #[test]
    fn only_a_loading_coordinator_is_kept() {
        let mut coordinator = Coordinator { node: Some(1) };
        coordinator.refused(ErrorCode::CoordinatorLoadInProgress);
        assert_eq!(coordinator.node(), Some(1));
        coordinator.refused(ErrorCode::NotCoordinator);
        assert_eq!(coordinator.node(), None);
    }
}
