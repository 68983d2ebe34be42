//! DeleteTopics, and removing topics in general.

use std::collections::BTreeMap;

use ottla_codec::messages::delete_topics::{
    DeletableTopicResult, DeleteTopicsRequest, DeleteTopicsResponse,
};
use ottla_codec::{ErrorCode, Uuid};

use super::Outcome;
use crate::state::{RequestContext, State};

impl State {
    /// Removes a topic, its records and what groups have committed for it; parked fetches learn of it.
    pub(crate) fn delete_topic(&mut self, name: &str) -> bool {
        let Some(topic) = self.topics.remove(name) else {
            return false;
        };
        self.topic_names.remove(&topic.id);
        self.groups.forget_topic(name);
        for partition in &topic.partitions {
            self.mark_changed(name, partition.index);
        }
        true
    }
}

pub(super) fn handle(
    state: &mut State,
    context: &RequestContext,
    request: DeleteTopicsRequest,
) -> Outcome {
    let by_name = request
        .topic_names
        .into_iter()
        .map(|name| (Some(name), Uuid::ZERO));
    let by_either = request
        .topics
        .into_iter()
        .map(|topic| (topic.name, topic.topic_id));
    let asked: Vec<(Option<String>, Uuid)> = by_name.chain(by_either).collect();
    // What is named twice, and be it once by name and once by id, is refused once.
    let full_name = |name: &Option<String>, id: &Uuid| {
        name.clone().or_else(|| state.topic_names.get(id).cloned())
    };
    let mut times: BTreeMap<(Option<String>, Uuid), usize> = BTreeMap::new();
    let mut unique = Vec::with_capacity(asked.len());
    for (name, id) in asked {
        let full = full_name(&name, &id);
        let key = match &full {
            Some(_) if name.is_none() || id.is_zero() => (full.clone(), Uuid::ZERO),
            _ => (name.clone(), id),
        };
        let count = times.entry(key.clone()).or_default();
        *count += 1;
        if *count == 1 {
            unique.push((key, (name, id)));
        }
    }
    let responses = unique.into_iter().map(|(key, (name, id))| {
        let is_repeated = times.get(&key).is_some_and(|&count| count > 1);
        if is_repeated {
            let known = key.0.as_ref().and_then(|name| state.topics.get(name));
            return DeletableTopicResult {
                topic_id: known.map_or(id, |topic| topic.id),
                name: key.0,
                error_code: ErrorCode::InvalidRequest.code(),
                ..Default::default()
            };
        }
        let deleted = match state.acts_as_controller(context.broker) {
            true => delete(state, name.as_deref(), id),
            false => Err(ErrorCode::NotController),
        };
        match deleted {
            Ok((name, topic_id)) => DeletableTopicResult {
                name: Some(name),
                topic_id,
                ..Default::default()
            },
            Err(error) => DeletableTopicResult {
                name,
                topic_id: id,
                error_code: error.code(),
                error_message: Some("The topic cannot be deleted.".to_owned()),
                ..Default::default()
            },
        }
    });
    let responses = responses.collect();
    Outcome::respond(DeleteTopicsResponse {
        responses,
        ..Default::default()
    })
}

fn delete(state: &mut State, name: Option<&str>, id: Uuid) -> Result<(String, Uuid), ErrorCode> {
    let name = match (name, id.is_zero()) {
        (Some(name), true) => name.to_owned(),
        (None, false) => state
            .topic_names
            .get(&id)
            .cloned()
            .ok_or(ErrorCode::UnknownTopicId)?,
        _ => return Err(ErrorCode::InvalidRequest),
    };
    let id = state
        .topics
        .get(&name)
        .map(|topic| topic.id)
        .ok_or(ErrorCode::UnknownTopicOrPartition)?;
    state.delete_topic(&name);
    Ok((name, id))
}
