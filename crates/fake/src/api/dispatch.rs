//! The table of what is served, and the way from a request's bytes to its API's handler.

use bytes::Bytes;
use ottla_codec::messages::{
    api_versions::ApiVersionsRequest, create_partitions::CreatePartitionsRequest,
    create_topics::CreateTopicsRequest, delete_groups::DeleteGroupsRequest,
    delete_records::DeleteRecordsRequest, delete_topics::DeleteTopicsRequest,
    describe_cluster::DescribeClusterRequest, describe_configs::DescribeConfigsRequest,
    describe_groups::DescribeGroupsRequest,
    describe_topic_partitions::DescribeTopicPartitionsRequest, fetch::FetchRequest,
    find_coordinator::FindCoordinatorRequest, heartbeat::HeartbeatRequest,
    init_producer_id::InitProducerIdRequest, join_group::JoinGroupRequest,
    leave_group::LeaveGroupRequest, list_groups::ListGroupsRequest,
    list_offsets::ListOffsetsRequest, metadata::MetadataRequest,
    offset_commit::OffsetCommitRequest, offset_delete::OffsetDeleteRequest,
    offset_fetch::OffsetFetchRequest, offset_for_leader_epoch::OffsetForLeaderEpochRequest,
    produce::ProduceRequest, sasl_authenticate::SaslAuthenticateRequest,
    sasl_handshake::SaslHandshakeRequest, sync_group::SyncGroupRequest,
};
use ottla_codec::{
    ApiKey, DecodeErrorKind, ErrorCode, Request, Response, VersionRange, decode_message,
};

use super::{
    Parked, configs, create_topics, delete_topics, describe_cluster, epochs, fetch,
    find_coordinator, groups, init_producer_id, list_offsets, membership, metadata, offsets,
    partitions, produce, records, sasl, topic_partitions, unserved, versions,
};
use crate::faults::rules::AnyReply;
use crate::state::{RequestContext, State};
use crate::violations::Violation;

/// What has become of a request when its handler returns.
pub(crate) enum Outcome {
    /// It has an answer.
    Respond(Box<dyn AnyReply>),
    /// It wants none (acks=0).
    Silent,
    /// The broker closes the connection.
    Close,
    /// It waits.
    Park(Parked),
    /// Its group answers it, or has done so.
    Deferred,
}

impl Outcome {
    pub(crate) fn respond(response: impl Response + Send + 'static) -> Self {
        Self::Respond(Box::new(response))
    }
}

/// One served API.
pub(crate) struct Served {
    pub(crate) api: ApiKey,
    pub(crate) versions: VersionRange,
    /// The lowest version that ApiVersions of the newest release advertises, where that is not the lowest served.
    pub(crate) advertised_min: i16,
    pub(crate) serve: fn(&mut State, &RequestContext, &Bytes) -> Outcome,
    /// One line for the documentation.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the documentation is checked by a test")
    )]
    pub(crate) semantics: &'static str,
}

const fn served<R: Request>(
    serve: fn(&mut State, &RequestContext, &Bytes) -> Outcome,
    semantics: &'static str,
) -> Served {
    Served {
        api: R::KEY,
        versions: R::VERSIONS,
        advertised_min: R::VERSIONS.min,
        serve,
        semantics,
    }
}

/// Every API that the cluster serves, by key.
pub(crate) const SERVED: [Served; 27] = [
    Served {
        // Kafka 4 advertises versions that it refuses, for old librdkafka (KAFKA-18659).
        advertised_min: 0,
        ..served::<ProduceRequest>(
            |state, context, body| decoded(state, context, body, produce::handle),
            "acks 0, 1, all; one v2 batch per partition, checked as brokers check it; idempotence by the last five \
             batches; topic ids from v13; leader hints (KIP-951); advertised from v0 as Kafka 4 does",
        )
    },
    served::<FetchRequest>(
        |state, context, body| decoded(state, context, body, fetch::handle),
        "long polls, byte limits with at least one batch, sessions (KIP-227), isolation levels, leader epochs, \
         diverging epochs (KIP-320), follower fetching (KIP-392), leader hints, topic ids from v13",
    ),
    served::<ListOffsetsRequest>(
        |state, context, body| decoded(state, context, body, list_offsets::handle),
        "earliest, latest by isolation level, by timestamp, largest timestamp, as if a log were one segment; no tiered \
         storage (-4 is the log start, -5 and -6 find nothing)",
    ),
    served::<MetadataRequest>(
        |state, context, body| decoded(state, context, body, metadata::handle),
        "all, by name, by topic id; creates topics if the cluster was built to",
    ),
    served::<OffsetCommitRequest>(
        |state, context, body| decoded(state, context, body, offsets::handle_commit),
        "by members in their generation, and by anybody for groups without members; topic ids from v10",
    ),
    served::<OffsetFetchRequest>(
        |state, context, body| decoded(state, context, body, offsets::handle_fetch),
        "all topics or those named; batches of groups from v8; topic ids from v10",
    ),
    served::<FindCoordinatorRequest>(
        |state, context, body| decoded(state, context, body, find_coordinator::handle),
        "groups and transactional ids, spread over the running brokers",
    ),
    served::<JoinGroupRequest>(
        |state, context, body| decoded(state, context, body, membership::handle_join),
        "classic groups: member ids required from v4, static members from v5 (KIP-345), the initial delay, protocols by \
         votes, session timeouts and sizes checked, static leaders told to skip the assignment from v9 (KIP-814)",
    ),
    served::<HeartbeatRequest>(
        |state, context, body| decoded(state, context, body, membership::handle_heartbeat),
        "prolongs the session, and tells of rebalances",
    ),
    served::<LeaveGroupRequest>(
        |state, context, body| decoded(state, context, body, membership::handle_leave),
        "several members from v3, static ones by instance id alone",
    ),
    served::<SyncGroupRequest>(
        |state, context, body| decoded(state, context, body, membership::handle_sync),
        "followers wait for the leader; those that never come are out after the rebalance timeout",
    ),
    served::<DescribeGroupsRequest>(
        |state, context, body| decoded(state, context, body, groups::handle_describe),
        "state, members, and once they are stable what they said and got",
    ),
    served::<ListGroupsRequest>(
        |state, context, body| decoded(state, context, body, groups::handle_list),
        "the groups that the broker coordinates; by state from v4, by type from v5",
    ),
    served::<SaslHandshakeRequest>(
        |state, context, body| decoded(state, context, body, sasl::handle_handshake),
        "the mechanisms there are",
    ),
    served::<ApiVersionsRequest>(
        |state, context, body| decoded(state, context, body, versions::handle),
        "an unknown version gets v0 with UNSUPPORTED_VERSION and the range (KIP-511); finalized features",
    ),
    served::<CreateTopicsRequest>(
        |state, context, body| decoded(state, context, body, create_topics::handle),
        "counts or assignments, topic configs, validate only",
    ),
    served::<DeleteTopicsRequest>(
        |state, context, body| decoded(state, context, body, delete_topics::handle),
        "by name or topic id; takes the topic's committed offsets with it",
    ),
    served::<DeleteRecordsRequest>(
        |state, context, body| decoded(state, context, body, records::handle),
        "up to an offset or the high watermark; refused for topics that are only compacted",
    ),
    served::<InitProducerIdRequest>(
        |state, context, body| decoded(state, context, body, init_producer_id::handle),
        "new ids for idempotent producers; a transactional id keeps its producer id and moves to its next epoch",
    ),
    served::<OffsetForLeaderEpochRequest>(
        |state, context, body| decoded(state, context, body, epochs::handle),
        "end offsets of leader epochs, leader epochs checked",
    ),
    served::<DescribeConfigsRequest>(
        |state, context, body| decoded(state, context, body, configs::handle),
        "topics only",
    ),
    served::<SaslAuthenticateRequest>(
        |state, context, body| decoded(state, context, body, sasl::handle_authenticate),
        "PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512; session lifetimes from v1 (KIP-368)",
    ),
    served::<CreatePartitionsRequest>(
        |state, context, body| decoded(state, context, body, partitions::handle),
        "counts or assignments, validate only",
    ),
    served::<DeleteGroupsRequest>(
        |state, context, body| decoded(state, context, body, groups::handle_delete),
        "empty groups, with their offsets",
    ),
    served::<OffsetDeleteRequest>(
        |state, context, body| decoded(state, context, body, groups::handle_delete_offsets),
        "offsets of topics that the group's consumers are not subscribed to",
    ),
    served::<DescribeClusterRequest>(
        |state, context, body| decoded(state, context, body, describe_cluster::handle),
        "brokers; fenced ones are those that are down",
    ),
    served::<DescribeTopicPartitionsRequest>(
        |state, context, body| decoded(state, context, body, topic_partitions::handle),
        "with cursors and a response limit",
    ),
];

/// Serves a request, or refuses it as a broker does that does not have the API or version.
pub(crate) fn serve(state: &mut State, context: &RequestContext, body: &Bytes) -> Outcome {
    let entry = SERVED.iter().find(|entry| entry.api == context.api);
    match entry {
        Some(entry) if versions::is_served(state, entry, context.version) => {
            (entry.serve)(state, context, body)
        }
        Some(entry) if entry.api == ApiKey::ApiVersions => {
            Outcome::Respond(versions::unsupported(state, entry))
        }
        _ => {
            state.report(Violation::NotServed {
                api: context.api,
                version: context.version,
            });
            let RequestContext { api, version, .. } = *context;
            let known = state.options.release.has(api, api.versions());
            match known.is_some_and(|versions| versions.contains(version)) {
                true => unserved::refuse(context),
                false => Outcome::Close,
            }
        }
    }
}

fn decoded<R: Request>(
    state: &mut State,
    context: &RequestContext,
    body: &Bytes,
    handle: fn(&mut State, &RequestContext, R) -> Outcome,
) -> Outcome {
    let (api, version) = (context.api, context.version);
    let decoded = match decode_message::<R>(body, version) {
        Err(error) => match error.kind {
            // Brokers do not look at what follows a request; librdkafka's Metadata for all topics has such a tail.
            DecodeErrorKind::TrailingBytes { extra } => {
                state.report(Violation::TrailingBytes {
                    api,
                    version,
                    extra,
                });
                decode_message::<R>(&body.slice(..body.len().saturating_sub(extra)), version)
            }
            _ => Err(error),
        },
        decoded => decoded,
    };
    match decoded {
        Ok(request) => handle(state, context, request),
        Err(error) => {
            state.report(Violation::Undecodable {
                api,
                version,
                error,
            });
            Outcome::Close
        }
    }
}

/// `NONE` or the error, as a code.
pub(crate) fn code(result: Result<(), ErrorCode>) -> i16 {
    result.err().unwrap_or(ErrorCode::None).code()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_the_table() {
        let mut table = String::from("| API | versions | semantics |\n|---|---|---|\n");
        for entry in &SERVED {
            let VersionRange { min, max } = entry.versions;
            let versions = if min == max {
                min.to_string()
            } else {
                format!("{min}-{max}")
            };
            table.push_str(&format!(
                "| {:?} | {versions} | {} |\n",
                entry.api, entry.semantics
            ));
        }
        let documented = include_str!("../served.md");
        assert_eq!(documented, table, "src/served.md should be:\n{table}");
    }

    #[test]
    fn the_table_is_in_order() {
        assert!(SERVED.is_sorted_by_key(|entry| entry.api));
    }
}
