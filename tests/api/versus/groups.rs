//! Coordinators, and the offsets of groups without members.

use ottla_codec::messages::find_coordinator::FindCoordinatorRequest;
use ottla_codec::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_codec::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use ottla_codec::{ErrorCode, Uuid};

use super::run::Run;
use crate::support::eventually;
use crate::support::raw::TopicRef;

const GENERATION: i32 = 1;

pub(super) async fn script(run: &mut Run) {
    let topic = run.topic("t", 3, &[]).await;
    let group = run.unique("g");
    settle(run, &group).await;
    coordinators(run, &group).await;
    commits(run, &topic, &group).await;
    fetches(run, &topic, &group).await;
}

/// Waits until a fresh broker has made the topics that coordinators live on.
async fn settle(run: &mut Run, group: &str) {
    let client = &mut run.client;
    for key_type in [0, 1] {
        let request = FindCoordinatorRequest {
            key_type,
            coordinator_keys: vec![group.to_owned()],
            ..Default::default()
        };
        eventually("there are coordinators", async || {
            client.ask(&request).await.coordinators[0].error_code == 0
        })
        .await;
    }
    let request = fetch(group, None);
    eventually("the coordinator has loaded", async || {
        client.ask(&request).await.groups[0].error_code == ErrorCode::None.code()
    })
    .await;
}

async fn coordinators(run: &mut Run, group: &str) {
    for version in 0..=3 {
        for key_type in [0, 1, 2, 5] {
            if version == 0 && key_type != 0 {
                continue;
            }
            let request = FindCoordinatorRequest {
                key: group.to_owned(),
                key_type,
                ..Default::default()
            };
            run.step(&format!("key of type {key_type}"), version, &request)
                .await;
        }
    }
    for version in [4, 5, 6] {
        for key_type in [0, 1, 5, -1] {
            let request = FindCoordinatorRequest {
                key_type,
                coordinator_keys: vec![group.to_owned(), String::new()],
                ..Default::default()
            };
            run.step(&format!("keys of type {key_type}"), version, &request)
                .await;
        }
        let request = FindCoordinatorRequest::default();
        run.step("no keys", version, &request).await;
    }
}

fn commit(group: &str, topic: &TopicRef, version: i16, offset: i64) -> OffsetCommitRequest {
    let by_id = version >= 10;
    OffsetCommitRequest {
        group_id: group.to_owned(),
        topics: vec![OffsetCommitRequestTopic {
            name: if by_id {
                String::new()
            } else {
                topic.name.clone()
            },
            topic_id: if by_id { topic.id } else { Uuid::ZERO },
            partitions: vec![committed(0, offset)],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn committed(partition_index: i32, committed_offset: i64) -> OffsetCommitRequestPartition {
    OffsetCommitRequestPartition {
        partition_index,
        committed_offset,
        ..Default::default()
    }
}

async fn commits(run: &mut Run, topic: &TopicRef, group: &str) {
    let nobody = TopicRef {
        name: run.unique("nobody"),
        id: run.unknown_id(),
    };
    let fresh = run.unique("fresh");
    for version in [2, 5, 6, 7, 9, 10] {
        let offset = 10 + i64::from(version);
        run.step("an offset", version, &commit(group, topic, version, offset))
            .await;
        let mut request = commit(group, topic, version, 1);
        request.topics[0].partitions = vec![committed(7, 1), committed(1, 5), committed(-1, 1)];
        run.step("to partitions that are none", version, &request)
            .await;
        let mut request = commit(group, &nobody, version, 1);
        request
            .topics
            .extend(commit(group, topic, version, 2).topics);
        run.step("to a topic that is none", version, &request).await;
        for (step, length) in [("long", 4096), ("too long", 4097)] {
            let mut request = commit(group, topic, version, 1);
            let metadata = "m".repeat(length);
            request.topics[0].partitions[0].committed_metadata = Some(metadata);
            run.step(&format!("metadata that is {step}"), version, &request)
                .await;
        }
        let nothing = OffsetCommitRequest {
            topics: Vec::new(),
            ..commit(group, topic, version, 1)
        };
        run.step("nothing", version, &nothing).await;
        for (step, group) in [("that is known", group), ("that is new", &fresh)] {
            let member = OffsetCommitRequest {
                generation_id_or_member_epoch: GENERATION,
                member_id: "member".to_owned(),
                ..commit(group, topic, version, 1)
            };
            run.step(&format!("by a member of a group {step}"), version, &member)
                .await;
            let member = OffsetCommitRequest {
                generation_id_or_member_epoch: GENERATION,
                ..commit(group, topic, version, 1)
            };
            run.step(
                &format!("with a generation only, group {step}"),
                version,
                &member,
            )
            .await;
        }
        let member = OffsetCommitRequest {
            member_id: "member".to_owned(),
            ..commit(group, topic, version, 1)
        };
        run.step("with a member id only", version, &member).await;
        run.step("without a group", version, &commit("", topic, version, 1))
            .await;
    }
    for offset in [-1, -2] {
        run.step(
            &format!("offset {offset}"),
            9,
            &commit(group, topic, 9, offset),
        )
        .await;
    }
    let mut request = commit(group, topic, 9, 77);
    request.topics[0].partitions[0].committed_leader_epoch = 3;
    request.topics[0].partitions[0].committed_metadata = Some("m".to_owned());
    run.step("with metadata and an epoch", 9, &request).await;
    let mut request = commit(group, topic, 10, 6);
    request.topics[0].topic_id = Uuid::ZERO;
    run.step("to a topic id of zeros", 10, &request).await;
}

fn fetch(group: &str, topics: Option<Vec<OffsetFetchRequestTopics>>) -> OffsetFetchRequest {
    OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: group.to_owned(),
            topics,
            ..Default::default()
        }],
        ..Default::default()
    }
}

async fn fetches(run: &mut Run, topic: &TopicRef, group: &str) {
    let nobody = TopicRef {
        name: run.unique("nobody"),
        id: run.unknown_id(),
    };
    let stranger = run.unique("stranger");
    for version in [1, 2, 5, 6, 7] {
        for (step, group) in [("g", group), ("an unknown group", &stranger)] {
            let named = |topic: &TopicRef, partitions: &[i32]| OffsetFetchRequestTopic {
                name: topic.name.clone(),
                partition_indexes: partitions.to_vec(),
                ..Default::default()
            };
            let request = OffsetFetchRequest {
                group_id: group.to_owned(),
                topics: Some(vec![named(topic, &[0, 1, 2, 9]), named(&nobody, &[0])]),
                ..Default::default()
            };
            run.step(&format!("of {step}"), version, &request).await;
            let nothing = OffsetFetchRequest {
                topics: Some(Vec::new()),
                ..request.clone()
            };
            run.step(&format!("nothing of {step}"), version, &nothing)
                .await;
            if version >= 2 {
                let all = OffsetFetchRequest {
                    topics: None,
                    ..request
                };
                run.step(&format!("all of {step}"), version, &all).await;
            }
        }
    }
    for version in [8, 9, 10] {
        let by_id = version >= 10;
        let named = |topic: &TopicRef, partitions: &[i32]| OffsetFetchRequestTopics {
            name: if by_id {
                String::new()
            } else {
                topic.name.clone()
            },
            topic_id: if by_id { topic.id } else { Uuid::ZERO },
            partition_indexes: partitions.to_vec(),
            ..Default::default()
        };
        let mut request = fetch(
            group,
            Some(vec![named(topic, &[0, 1, 2, 9]), named(&nobody, &[0])]),
        );
        request.groups.extend(fetch(&stranger, None).groups);
        // Other runs commit to the group without a name too.
        let nameless = fetch("", Some(vec![named(topic, &[0, 1])]));
        request.groups.extend(nameless.groups);
        run.step("of three groups", version, &request).await;
        run.step("all", version, &fetch(group, None)).await;
        run.step("nothing", version, &fetch(group, Some(Vec::new())))
            .await;
        let stable = OffsetFetchRequest {
            require_stable: true,
            ..fetch(group, None)
        };
        run.step("all that is stable", version, &stable).await;
        let no_groups = OffsetFetchRequest {
            groups: Vec::new(),
            ..request.clone()
        };
        run.step("no groups", version, &no_groups).await;
        if version >= 9 {
            for (step, group) in [("g", group), ("an unknown group", &stranger)] {
                let mut member = fetch(group, None);
                member.groups[0].member_id = Some("member".to_owned());
                member.groups[0].member_epoch = 1;
                run.step(&format!("by a member of {step}"), version, &member)
                    .await;
            }
        }
    }
}
