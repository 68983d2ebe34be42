//! DeleteTopics, and removing topics in general.

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
    _context: &RequestContext,
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
    let responses = asked.iter().map(|(name, id)| {
        let repeated = asked
            .iter()
            .filter(|other| *other == &(name.clone(), *id))
            .count()
            > 1;
        let deleted = if repeated {
            Err(ErrorCode::InvalidRequest)
        } else {
            delete(state, name.as_deref(), *id)
        };
        match deleted {
            Ok((name, topic_id)) => DeletableTopicResult {
                name: Some(name),
                topic_id,
                ..Default::default()
            },
            Err(error) => DeletableTopicResult {
                name: name.clone(),
                topic_id: *id,
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
