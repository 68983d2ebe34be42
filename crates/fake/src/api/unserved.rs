//! What is not served: answered with UNSUPPORTED_VERSION where the response has one place for an error, and by
//! closing the connection, as a broker does, where it has not.

use ottla_codec::messages::{
    add_offsets_to_txn::AddOffsetsToTxnResponse,
    consumer_group_heartbeat::ConsumerGroupHeartbeatResponse, end_txn::EndTxnResponse,
    get_telemetry_subscriptions::GetTelemetrySubscriptionsResponse,
    list_config_resources::ListConfigResourcesResponse,
    list_transactions::ListTransactionsResponse, push_telemetry::PushTelemetryResponse,
    sasl_authenticate::SaslAuthenticateResponse, sasl_handshake::SaslHandshakeResponse,
    share_acknowledge::ShareAcknowledgeResponse, share_fetch::ShareFetchResponse,
    share_group_heartbeat::ShareGroupHeartbeatResponse, update_features::UpdateFeaturesResponse,
};
use ottla_codec::{ApiKey, ErrorCode, Response};

use super::Outcome;
use crate::state::RequestContext;

pub(super) fn refuse(context: &RequestContext) -> Outcome {
    macro_rules! unsupported {
        ($($api:ident => $response:ident),* $(,)?) => {
            match context.api {
                $(ApiKey::$api => refusal(context, $response {
                    error_code: ErrorCode::UnsupportedVersion.code(),
                    ..Default::default()
                }),)*
                _ => Outcome::Close,
            }
        };
    }
    unsupported! {
        AddOffsetsToTxn => AddOffsetsToTxnResponse,
        ConsumerGroupHeartbeat => ConsumerGroupHeartbeatResponse,
        EndTxn => EndTxnResponse,
        GetTelemetrySubscriptions => GetTelemetrySubscriptionsResponse,
        ListConfigResources => ListConfigResourcesResponse,
        ListTransactions => ListTransactionsResponse,
        PushTelemetry => PushTelemetryResponse,
        SaslAuthenticate => SaslAuthenticateResponse,
        SaslHandshake => SaslHandshakeResponse,
        ShareAcknowledge => ShareAcknowledgeResponse,
        ShareFetch => ShareFetchResponse,
        ShareGroupHeartbeat => ShareGroupHeartbeatResponse,
        UpdateFeatures => UpdateFeaturesResponse,
    }
}

/// The refusal, if the version has a layout at all.
fn refusal<T: Response + Send + 'static>(context: &RequestContext, response: T) -> Outcome {
    if T::VERSIONS.contains(context.version) {
        Outcome::respond(response)
    } else {
        Outcome::Close
    }
}
