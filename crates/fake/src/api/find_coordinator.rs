//! FindCoordinator: which broker keeps a group or a transactional id.
//!
//! # References
//! - KIP-699 (several keys, v4)

use ottla_codec::ErrorCode;
use ottla_codec::messages::find_coordinator::{
    Coordinator, FindCoordinatorRequest, FindCoordinatorResponse,
};

use super::{Outcome, hints};
use crate::state::{RequestContext, State};

/// Partitions of `__consumer_offsets` and `__transaction_state`.
const COORDINATOR_PARTITIONS: u32 = 50;

/// What a key names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum KeyType {
    Group,
    Transaction,
}

pub(super) fn handle(
    state: &mut State,
    context: &RequestContext,
    request: FindCoordinatorRequest,
) -> Outcome {
    let mut response = FindCoordinatorResponse::default();
    if context.version >= 4 {
        let keys = request.coordinator_keys.into_iter();
        response.coordinators = keys
            .map(|key| find(state, context, request.key_type, key))
            .collect();
    } else {
        let found = find(state, context, request.key_type, request.key);
        response.error_code = found.error_code;
        response.error_message = found.error_message;
        (response.node_id, response.host, response.port) = (found.node_id, found.host, found.port);
    }
    Outcome::respond(response)
}

/// The broker that coordinates `key`, if any is up: where a test has put it, else by the key's hash.
pub(crate) fn coordinator_of(state: &State, key_type: KeyType, key: &str) -> Option<i32> {
    if let Some(&placed) = state.groups.placed.get(&(key_type, key.to_owned())) {
        return state.is_running(placed).then_some(placed);
    }
    let brokers: Vec<i32> = state.brokers.keys().copied().collect();
    let partition = usize::try_from(java_hash(key) % COORDINATOR_PARTITIONS).ok()?;
    let first = partition % brokers.len().max(1);
    let in_turn = brokers.iter().cycle().skip(first).take(brokers.len());
    in_turn.copied().find(|&broker| state.is_running(broker))
}

fn find(state: &State, context: &RequestContext, key_type: i8, key: String) -> Coordinator {
    let found = match key_type {
        0 => Some(KeyType::Group),
        1 => Some(KeyType::Transaction),
        _ => None,
    };
    let failed = |key, error: ErrorCode| Coordinator {
        key,
        node_id: -1,
        port: -1,
        error_code: error.code(),
        ..Default::default()
    };
    let Some(key_type) = found else {
        // Share groups came with v6; their coordinator is not here.
        let is_share = key_type == 2 && context.version >= 6;
        let error = if is_share {
            ErrorCode::CoordinatorNotAvailable
        } else {
            ErrorCode::InvalidRequest
        };
        return failed(key, error);
    };
    match coordinator_of(state, key_type, &key).and_then(|broker| hints::endpoint(state, broker)) {
        Some(endpoint) => Coordinator {
            key,
            node_id: endpoint.id,
            host: endpoint.host,
            port: endpoint.port,
            ..Default::default()
        },
        None => failed(key, ErrorCode::CoordinatorNotAvailable),
    }
}

/// `Utils.abs(key.hashCode())` of Java.
fn java_hash(key: &str) -> u32 {
    let hash = key.encode_utf16().fold(0i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    hash.checked_abs().unwrap_or(0).unsigned_abs()
}

#[cfg(test)]
mod tests {
    #[test]
    fn hashes_are_javas() {
        assert_eq!(super::java_hash("group"), 98_629_247);
        assert_eq!(
            super::java_hash("polygenelubricants"),
            0,
            "its hash code is Integer.MIN_VALUE"
        );
    }
}
