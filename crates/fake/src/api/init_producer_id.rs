//! InitProducerId: ids for idempotent producers, epochs for transactional ones.
//!
//! # References
//! - KIP-98, KIP-360 (a producer may ask for its next epoch)

use ottla_codec::ErrorCode;
use ottla_codec::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};

use super::{Outcome, find_coordinator};
use crate::state::{RequestContext, State};

/// `transaction.max.timeout.ms` of Kafka.
const MAX_TRANSACTION_TIMEOUT_MS: i32 = 900_000;

pub(super) fn handle(
    state: &mut State,
    context: &RequestContext,
    request: InitProducerIdRequest,
) -> Outcome {
    let assigned = assign(state, context, &request);
    Outcome::respond(match assigned {
        Ok((producer_id, producer_epoch)) => InitProducerIdResponse {
            producer_id,
            producer_epoch,
            ..Default::default()
        },
        Err(error) => InitProducerIdResponse {
            error_code: error.code(),
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        },
    })
}

fn assign(
    state: &mut State,
    context: &RequestContext,
    request: &InitProducerIdRequest,
) -> Result<(i64, i16), ErrorCode> {
    let known = (request.producer_id, request.producer_epoch);
    if (known.0 == -1) != (known.1 == -1) {
        return Err(ErrorCode::InvalidRequest);
    }
    let Some(id) = &request.transactional_id else {
        // A producer without a transactional id gets a new id each time; it bumps its epoch by itself.
        return Ok((state.producers.new_id(), 0));
    };
    if id.is_empty() {
        return Err(ErrorCode::InvalidRequest);
    }
    if request.transaction_timeout_ms <= 0
        || request.transaction_timeout_ms > MAX_TRANSACTION_TIMEOUT_MS
    {
        return Err(ErrorCode::InvalidTransactionTimeout);
    }
    if find_coordinator::coordinator_of(state, find_coordinator::KeyType::Transaction, id)
        != Some(context.broker)
    {
        return Err(ErrorCode::NotCoordinator);
    }
    // Fenced producers learn it by the code of their version (KIP-588).
    let fenced = if context.version >= 4 {
        ErrorCode::ProducerFenced
    } else {
        ErrorCode::InvalidProducerEpoch
    };
    let known = (known.0 != -1).then_some(known);
    state.producers.init_transactional(id, known).ok_or(fenced)
}
