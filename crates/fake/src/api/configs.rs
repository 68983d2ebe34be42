//! DescribeConfigs, for topics.

use ottla_codec::ErrorCode;
use ottla_codec::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
    DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
};

use super::Outcome;
use crate::state::{RequestContext, State};
use crate::topic::Topic;

const TOPIC_RESOURCE: i8 = 2;
const DYNAMIC_TOPIC_CONFIG: i8 = 1;
const DYNAMIC_DEFAULT_BROKER_CONFIG: i8 = 3;
const DEFAULT_CONFIG: i8 = 5;

pub(super) fn handle(
    state: &mut State,
    _context: &RequestContext,
    request: DescribeConfigsRequest,
) -> Outcome {
    let synonyms = request.include_synonyms;
    let results = request
        .resources
        .into_iter()
        .map(|resource| describe(state, resource, synonyms));
    let results = results.collect();
    Outcome::respond(DescribeConfigsResponse {
        results,
        ..Default::default()
    })
}

fn describe(
    state: &State,
    resource: DescribeConfigsResource,
    synonyms: bool,
) -> DescribeConfigsResult {
    let topic = match resource.resource_type {
        TOPIC_RESOURCE if !Topic::is_valid_name(&resource.resource_name) => {
            Err(ErrorCode::InvalidTopicException)
        }
        TOPIC_RESOURCE => state
            .topics
            .get(&resource.resource_name)
            .ok_or(ErrorCode::UnknownTopicOrPartition),
        _ => Err(ErrorCode::InvalidRequest),
    };
    let entries = topic
        .as_ref()
        .map(|topic| topic.config.entries())
        .unwrap_or_default();
    let wanted = |name: &str| match &resource.configuration_keys {
        None => true,
        Some(keys) => keys.is_empty() || keys.iter().any(|key| key == name),
    };
    let configs = entries
        .into_iter()
        .filter(|entry| wanted(entry.name))
        .map(|entry| {
            let config_source = if entry.is_set {
                DYNAMIC_TOPIC_CONFIG
            } else if entry.name == "min.insync.replicas" {
                // With eligible leader replicas (KIP-966) the cluster has a setting of its own for it.
                DYNAMIC_DEFAULT_BROKER_CONFIG
            } else {
                DEFAULT_CONFIG
            };
            let synonym = DescribeConfigsSynonym {
                name: entry.name.to_owned(),
                value: Some(entry.value.clone()),
                source: config_source,
                ..Default::default()
            };
            DescribeConfigsResourceResult {
                name: entry.name.to_owned(),
                value: Some(entry.value),
                config_source,
                config_type: entry.kind,
                synonyms: if synonyms { vec![synonym] } else { Vec::new() },
                ..Default::default()
            }
        });
    let configs = configs.collect();
    DescribeConfigsResult {
        error_code: topic.err().unwrap_or(ErrorCode::None).code(),
        resource_type: resource.resource_type,
        resource_name: resource.resource_name,
        configs,
        ..Default::default()
    }
}
