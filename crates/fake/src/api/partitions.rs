//! CreatePartitions: more partitions for a topic that exists.

use std::collections::BTreeSet;

use ottla_codec::ErrorCode;
use ottla_codec::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
    CreatePartitionsTopicResult,
};

use super::Outcome;
use super::create_topics::{MAX_ENTRIES, TopicError, check_assignments, new_partition, place};
use crate::state::{RequestContext, State};

pub(super) fn handle(
    state: &mut State,
    context: &RequestContext,
    request: CreatePartitionsRequest,
) -> Outcome {
    let names: Vec<String> = request
        .topics
        .iter()
        .map(|topic| topic.name.clone())
        .collect();
    // A name that comes twice is refused once.
    let mut seen = BTreeSet::new();
    let once = request.topics.into_iter();
    let once = once.filter(|topic| seen.insert(topic.name.clone()));
    let results = once.map(|topic| {
        let grown = if !state.acts_as_controller(context.broker) {
            Err((ErrorCode::NotController, String::new()))
        } else if names.iter().filter(|name| **name == topic.name).count() > 1 {
            Err((
                ErrorCode::InvalidRequest,
                "Duplicate topic name.".to_owned(),
            ))
        } else {
            grow(state, &topic, request.validate_only)
        };
        let (error, error_message) = match grown {
            Ok(()) => (ErrorCode::None, None),
            Err((error, message)) => (error, Some(message).filter(|text| !text.is_empty())),
        };
        CreatePartitionsTopicResult {
            name: topic.name,
            error_code: error.code(),
            error_message,
            ..Default::default()
        }
    });
    let results = results.collect();
    Outcome::respond(CreatePartitionsResponse {
        results,
        ..Default::default()
    })
}

fn grow(
    state: &mut State,
    asked: &CreatePartitionsTopic,
    validate_only: bool,
) -> Result<(), TopicError> {
    let unknown = || (ErrorCode::UnknownTopicOrPartition, String::new());
    let topic = state.topics.get(&asked.name).ok_or_else(unknown)?;
    let present = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
    let replication = topic
        .partitions
        .first()
        .map_or(1, |partition| partition.replicas.len());
    if asked.count <= present {
        let text = format!(
            "Topic already has {present} partition(s); {} would not be an increase.",
            asked.count
        );
        return Err((ErrorCode::InvalidPartitions, text));
    }
    let additional = asked.count - present;
    if usize::try_from(additional).is_ok_and(|additional| additional > MAX_ENTRIES) {
        let text = "The server experienced an unexpected error when processing the request.";
        return Err((ErrorCode::UnknownServerError, text.to_owned()));
    }
    let layout = match &asked.assignments {
        None => place(
            state,
            present,
            additional,
            i32::try_from(replication).unwrap_or(1),
        )?,
        Some(assignments) => {
            if usize::try_from(additional).ok() != Some(assignments.len()) {
                let text = format!(
                    "Attempted to add {additional} partition(s), but {} assigned",
                    assignments.len()
                );
                return Err((ErrorCode::InvalidReplicaAssignment, text));
            }
            let layout: Vec<Vec<i32>> = assignments
                .iter()
                .map(|assignment| assignment.broker_ids.clone())
                .collect();
            check_assignments(state, &layout, Some(replication))?;
            layout
        }
    };
    if validate_only {
        return Ok(());
    }
    let new: Vec<_> = (present..)
        .zip(layout)
        .map(|(index, replicas)| new_partition(state, index, replicas))
        .collect();
    for partition in &new {
        state.mark_changed(&asked.name, partition.index);
    }
    if let Some(topic) = state.topics.get_mut(&asked.name) {
        topic.partitions.extend(new);
    }
    Ok(())
}
