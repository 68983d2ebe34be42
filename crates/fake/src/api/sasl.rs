//! SaslHandshake and SaslAuthenticate: who a client is.
//!
//! # References
//! - KIP-43, KIP-152, KIP-368

use ottla_codec::ErrorCode;
use ottla_codec::messages::sasl_authenticate::{SaslAuthenticateRequest, SaslAuthenticateResponse};
use ottla_codec::messages::sasl_handshake::{SaslHandshakeRequest, SaslHandshakeResponse};

use super::Outcome;
use crate::security::Answer;
use crate::state::{RequestContext, State};

pub(super) fn handle_handshake(
    state: &mut State,
    context: &RequestContext,
    request: SaslHandshakeRequest,
) -> Outcome {
    let mechanisms = state.options.sasl.mechanisms();
    let begun = match state.login_mut(context.connection) {
        Some(login) => login.begin(&request.mechanism, &mechanisms),
        None => Err(ErrorCode::IllegalSaslState),
    };
    Outcome::respond(SaslHandshakeResponse {
        error_code: super::code(begun),
        mechanisms,
    })
}

pub(super) fn handle_authenticate(
    state: &mut State,
    context: &RequestContext,
    request: SaslAuthenticateRequest,
) -> Outcome {
    let sasl = state.options.sasl.clone();
    let nonce = state.random_uuid_text();
    let answer = match state.login_mut(context.connection) {
        Some(login) => login.received(&request.auth_bytes, &sasl, &nonce),
        None => Answer::refusal(
            ErrorCode::IllegalSaslState,
            "there is no handshake before it",
        ),
    };
    Outcome::respond(SaslAuthenticateResponse {
        error_code: answer.code.code(),
        error_message: answer.message,
        auth_bytes: answer.bytes.into(),
        session_lifetime_ms: answer.lifetime_ms,
        ..Default::default()
    })
}
