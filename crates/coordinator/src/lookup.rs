//! Finding a group's coordinator, and knowing when to look again.

use ottla_codec::ErrorCode;
use ottla_codec::messages::find_coordinator::{
    self, FindCoordinatorRequest, FindCoordinatorResponse,
};

use crate::Refusal;

/// From this version on, FindCoordinator takes several keys (KIP-699).
pub const SEVERAL_KEYS: i16 = 4;

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
            several(vec![group])
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
        self.node = None;
        let node = if version < SEVERAL_KEYS {
            Refusal::check(response.error_code, None)?;
            response.node_id
        } else {
            match response.coordinators.first() {
                Some(coordinator) => named(coordinator)?,
                None => return Err(unnamed()),
            }
        };
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

/// The request that looks several groups' coordinators up, from version [`SEVERAL_KEYS`] on.
pub fn several(groups: Vec<String>) -> FindCoordinatorRequest {
    FindCoordinatorRequest {
        coordinator_keys: groups,
        ..Default::default()
    }
}

/// Whom the answer to [`several`] names for a group.
///
/// # Errors
///
/// The refusal. An answer without the group counts as `COORDINATOR_NOT_AVAILABLE`.
pub fn found(response: &FindCoordinatorResponse, group: &str) -> Result<i32, Refusal> {
    let mut coordinators = response.coordinators.iter();
    match coordinators.find(|coordinator| coordinator.key == group) {
        Some(coordinator) => named(coordinator),
        None => Err(unnamed()),
    }
}

fn named(coordinator: &find_coordinator::Coordinator) -> Result<i32, Refusal> {
    Refusal::check(coordinator.error_code, None)?;
    Ok(coordinator.node_id)
}

fn unnamed() -> Refusal {
    Refusal {
        code: ErrorCode::CoordinatorNotAvailable,
        partition: None,
    }
}

#[cfg(test)]
mod tests {
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
    fn each_group_has_its_own_answer() {
        let coordinator = |key: &str, node_id, code: ErrorCode| find_coordinator::Coordinator {
            key: key.to_owned(),
            node_id,
            error_code: code.code(),
            ..Default::default()
        };
        let denied = ErrorCode::GroupAuthorizationFailed;
        let response = FindCoordinatorResponse {
            coordinators: vec![
                coordinator("b", -1, denied),
                coordinator("a", 7, ErrorCode::None),
            ],
            ..Default::default()
        };
        assert_eq!(
            several(vec!["a".into(), "b".into()]).coordinator_keys,
            ["a", "b"]
        );
        assert_eq!(found(&response, "a"), Ok(7));
        assert_eq!(found(&response, "b").unwrap_err().code, denied);
        assert_eq!(found(&response, "c"), Err(unnamed()));
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
