//! Groups in the loop: their answers go out, their deadlines come, and they move with their coordinators.

use std::time::Duration;

use ottla_codec::ErrorCode;
use tokio::time::Instant;

use super::{KeyType, coordinator_of, membership};
use crate::groups::{Answer, Group, Ownership};
use crate::state::{RequestContext, State};
use crate::violations::Violation;

/// Refuses a request about a group that the broker does not coordinate, or is still loading.
pub(super) fn coordinates(
    state: &State,
    context: &RequestContext,
    group: &str,
) -> Result<(), ErrorCode> {
    if coordinator_of(state, KeyType::Group, group) != Some(context.broker) {
        return Err(ErrorCode::NotCoordinator);
    }
    let hosted = state.groups.hosted.get(group);
    match hosted.and_then(|hosted| hosted.loading) {
        Some(_) => Err(ErrorCode::CoordinatorLoadInProgress),
        None => Ok(()),
    }
}

impl State {
    /// Changes a group, if there is one, then sends the answers that have become due and sets its next deadline.
    pub(crate) fn change_group<T>(
        &mut self,
        id: &str,
        change: impl FnOnce(&mut Group, Instant) -> T,
    ) -> Option<T> {
        let hosted = self.groups.hosted.get_mut(id)?;
        let done = change(&mut hosted.group, Instant::now());
        let answers = hosted.group.take_answers();
        let next = hosted.group.next_deadline();
        if hosted.timer.map(|(at, _)| at) != next {
            if let Some(timer) = hosted.timer.take() {
                self.timers.cancel(timer);
            }
            let id = id.to_owned();
            let wake = move |state: &mut Self| state.wake_group(&id);
            hosted.timer = next.map(|at| self.timers.set(at, Box::new(wake)));
        }
        for (ticket, answer) in answers {
            let Some(context) = self.groups.redeem(ticket) else {
                continue;
            };
            match answer {
                Answer::Join(answer) => {
                    let answer = membership::worded(answer, context.version);
                    self.finish(&context, Box::new(answer));
                }
                Answer::Sync(answer) => self.finish(&context, Box::new(answer)),
            }
        }
        Some(done)
    }

    /// Has every group where its coordinator is now, which takes `load_time` before it serves a group that is new to it.
    pub(crate) fn move_groups(&mut self, load_time: Duration) {
        let ids: Vec<String> = self.groups.hosted.keys().cloned().collect();
        for id in ids {
            let coordinator = coordinator_of(self, KeyType::Group, &id);
            let Some(hosted) = self.groups.hosted.get_mut(&id) else {
                continue;
            };
            if hosted.coordinator == coordinator {
                continue;
            }
            let before = std::mem::replace(&mut hosted.coordinator, coordinator);
            let until = Instant::now() + load_time;
            hosted.loading = Some(until);
            self.change_group(&id, |group, _| group.unload());
            if let Some(before) = before {
                // Who hands a group over has done with it.
                self.end_stall(before);
            }
            if coordinator.is_none() {
                continue;
            }
            if load_time.is_zero() {
                self.loaded(&id, until);
            } else {
                self.later(load_time, Box::new(move |state| state.loaded(&id, until)));
            }
        }
    }

    /// Ends the loading that was to last `until`; another move meanwhile has its own.
    fn loaded(&mut self, id: &str, until: Instant) {
        let hosted = self.groups.hosted.get_mut(id);
        if let Some(hosted) = hosted.filter(|hosted| hosted.loading == Some(until)) {
            hosted.loading = None;
            self.change_group(id, Group::loaded);
        }
    }

    /// Reports partitions that a leader has given to two members.
    pub(crate) fn report_conflicts(&mut self, id: &str) {
        let Some(group) = self.groups.group(id) else {
            return;
        };
        let generation = group.generation;
        for conflict in group.conflicts() {
            let group = id.to_owned();
            self.report(match conflict {
                Ownership::AssignedTwice {
                    place: (topic, partition),
                    members,
                } => Violation::AssignedTwice {
                    group,
                    generation,
                    topic,
                    partition,
                    members,
                },
                Ownership::StillOwned {
                    place: (topic, partition),
                    members: [owner, member],
                } => Violation::AssignedWhileOwned {
                    group,
                    generation,
                    topic,
                    partition,
                    owner,
                    member,
                },
            });
        }
    }

    /// Takes a group away with all that it has committed.
    pub(crate) fn remove_group(&mut self, id: &str) {
        self.groups.offsets.remove(id);
        if let Some(removed) = self.groups.hosted.remove(id)
            && let Some(timer) = removed.timer
        {
            self.timers.cancel(timer);
        }
    }

    fn wake_group(&mut self, id: &str) {
        if let Some(hosted) = self.groups.hosted.get_mut(id) {
            hosted.timer = None;
        }
        self.change_group(id, Group::pass_time);
    }
}
