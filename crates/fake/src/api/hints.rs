//! Leader hints in error answers (KIP-951): who leads, as the answering broker knows it, and where that is.

use crate::state::State;

/// A broker's address as responses carry it.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) id: i32,
    pub(crate) host: String,
    pub(crate) port: i32,
    pub(crate) rack: Option<String>,
}

/// The current leader and epoch as `broker` knows them; -1 for none.
pub(crate) fn current_leader(
    state: &State,
    broker: i32,
    topic: &str,
    partition: i32,
) -> (i32, i32) {
    let Some(partition) = state.partition(topic, partition) else {
        return (-1, -1);
    };
    let leadership = partition.leadership_on(broker);
    (leadership.leader.unwrap_or(-1), leadership.epoch)
}

/// The endpoints of those of `ids` that are up, once each, by id.
pub(crate) fn endpoints(state: &State, mut ids: Vec<i32>) -> Vec<Endpoint> {
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter()
        .filter_map(|id| endpoint(state, id))
        .collect()
}

/// The endpoint of a broker, if it is up.
pub(crate) fn endpoint(state: &State, id: i32) -> Option<Endpoint> {
    let broker = state.brokers.get(&id).filter(|broker| broker.running)?;
    Some(Endpoint {
        id,
        host: broker.host.clone(),
        port: i32::from(broker.port),
        rack: broker.rack.clone(),
    })
}
