//! DescribeCluster: the brokers.

use ottla_codec::ErrorCode;
use ottla_codec::messages::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};

use super::{Outcome, operations};
use crate::state::{RequestContext, State};

/// Brokers, as opposed to controllers.
const BROKER_ENDPOINTS: i8 = 1;

pub(super) fn handle(
    state: &mut State,
    context: &RequestContext,
    request: DescribeClusterRequest,
) -> Outcome {
    if request.endpoint_type != BROKER_ENDPOINTS {
        let error = if request.endpoint_type == 2 {
            ErrorCode::MismatchedEndpointType
        } else {
            ErrorCode::UnsupportedEndpointType
        };
        return Outcome::respond(DescribeClusterResponse {
            error_code: error.code(),
            ..Default::default()
        });
    }
    let view = state.metadata_of(context.broker);
    let brokers = view
        .brokers
        .iter()
        .filter(|broker| broker.running || request.include_fenced_brokers);
    let brokers = brokers.map(|broker| DescribeClusterBroker {
        broker_id: broker.id,
        host: broker.host.clone(),
        port: broker.port,
        rack: broker.rack.clone(),
        is_fenced: !broker.running,
        ..Default::default()
    });
    Outcome::respond(DescribeClusterResponse {
        cluster_id: state.cluster_id.clone(),
        controller_id: view.controller,
        brokers: brokers.collect(),
        cluster_authorized_operations: operations::of_cluster(
            request.include_cluster_authorized_operations,
        ),
        ..Default::default()
    })
}
