//! Making, growing, describing and deleting topics.

use ottla_codec::Uuid;
use ottla_codec::messages::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsTopic,
};
use ottla_codec::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use ottla_codec::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use ottla_codec::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};

use super::run::Run;
use crate::support::raw::TopicRef;

pub(super) async fn script(run: &mut Run) {
    creation(run).await;
    assignments(run).await;
    settings(run).await;
    growth(run).await;
    configs(run).await;
    deletion(run).await;
}

fn creatable(name: &str) -> CreatableTopic {
    CreatableTopic {
        name: name.to_owned(),
        num_partitions: 2,
        replication_factor: 1,
        ..Default::default()
    }
}

fn create(topics: Vec<CreatableTopic>) -> CreateTopicsRequest {
    CreateTopicsRequest {
        topics,
        timeout_ms: 30_000,
        ..Default::default()
    }
}

async fn creation(run: &mut Run) {
    for version in 2..=7 {
        let name = run.unique("new");
        let dry = CreateTopicsRequest {
            validate_only: true,
            ..create(vec![creatable(&name)])
        };
        run.step("validated", version, &dry).await;
        let request = create(vec![creatable(&name)]);
        run.step("a topic", version, &request).await;
        run.step("the same topic", version, &request).await;
        run.step("the same topic, validated", version, &dry).await;
    }
    let one = run.unique("one");
    let twice = create(vec![creatable(&one), creatable(&one)]);
    run.step("a name twice", 7, &twice).await;
    let two = run.unique("two");
    let mixed = create(vec![creatable(&two), creatable("a b"), creatable("")]);
    run.step("a good and two bad names", 7, &mixed).await;
    let long = "x".repeat(250);
    for name in [".", "..", "a/b", "ä", &long] {
        let step = format!("named {name:.3}, {} long", name.len());
        run.step(&step, 7, &create(vec![creatable(name)])).await;
    }
    let dotted = real_name(&run.unique("dotted"), '.');
    run.names.add(&dotted, "dot.ted");
    run.step("with a dot", 7, &create(vec![creatable(&dotted)]))
        .await;
    let similar = dotted.replace('.', "_");
    run.names.add(&similar, "dot_ted");
    run.step(
        "that collides with it",
        7,
        &create(vec![creatable(&similar)]),
    )
    .await;
    for (partitions, replication) in [
        (0, 1),
        (-2, 1),
        (-1, 1),
        (1, 0),
        (1, -2),
        (1, -1),
        (1, 2),
        (-1, -1),
        (0, 0),
        (-1, 3),
    ] {
        let name = run.unique("counted");
        let request = create(vec![CreatableTopic {
            num_partitions: partitions,
            replication_factor: replication,
            ..creatable(&name)
        }]);
        run.step(
            &format!("{partitions} partitions on {replication}"),
            7,
            &request,
        )
        .await;
        if partitions == -1 && replication == -1 {
            run.step(
                "defaults before they were known",
                2,
                &create(vec![CreatableTopic {
                    num_partitions: -1,
                    replication_factor: -1,
                    ..creatable(&name)
                }]),
            )
            .await;
        }
    }
    run.step("nothing", 7, &create(Vec::new())).await;
    // Dry, for the sake of the broker.
    let (large, small) = (run.unique("large"), run.unique("small"));
    let sized = |name: &str, num_partitions| CreatableTopic {
        num_partitions,
        ..creatable(name)
    };
    for (step, topics) in [
        ("10,000 partitions", vec![sized(&large, 10_000)]),
        ("10,001 partitions", vec![sized(&large, 10_001)]),
        ("99,999,999 partitions", vec![sized(&large, 99_999_999)]),
        (
            "10,000 partitions and 2 more",
            vec![sized(&large, 10_000), sized(&small, 2)],
        ),
        (
            "2 partitions and 10,000 more",
            vec![sized(&small, 2), sized(&large, 10_000)],
        ),
        (
            "too many partitions and a bad name",
            vec![sized(&large, 10_001), sized("a b", 1)],
        ),
    ] {
        let dry = CreateTopicsRequest {
            validate_only: true,
            ..create(topics)
        };
        run.step(step, 7, &dry).await;
    }
}

fn real_name(name: &str, dot: char) -> String {
    name.replacen('-', &dot.to_string(), 1)
}

async fn assignments(run: &mut Run) {
    type Replicas<'a> = &'a [(i32, &'a [i32])];
    let cases: [(&str, Replicas<'_>); 8] = [
        ("good", &[(0, &[1]), (1, &[1])]),
        ("out of order", &[(1, &[1]), (0, &[1])]),
        ("with a hole", &[(0, &[1]), (2, &[1])]),
        ("from 1", &[(1, &[1])]),
        ("to an unknown broker", &[(0, &[5])]),
        ("to a broker twice", &[(0, &[1, 1])]),
        ("to nobody", &[(0, &[])]),
        ("to one and to two", &[(0, &[1]), (1, &[1, 2])]),
    ];
    for (step, assignments) in cases {
        let name = run.unique("assigned");
        let assigned = CreatableTopic {
            num_partitions: -1,
            replication_factor: -1,
            assignments: assignments
                .iter()
                .map(
                    |&(partition_index, broker_ids)| CreatableReplicaAssignment {
                        partition_index,
                        broker_ids: broker_ids.to_vec(),
                        ..Default::default()
                    },
                )
                .collect(),
            ..creatable(&name)
        };
        run.step(
            &format!("assigned {step}"),
            7,
            &create(vec![assigned.clone()]),
        )
        .await;
        if step == "good" {
            let name = run.unique("counted");
            let counted = CreatableTopic {
                name,
                num_partitions: 2,
                ..assigned
            };
            run.step("assigned and counted", 7, &create(vec![counted]))
                .await;
        }
    }
}

async fn settings(run: &mut Run) {
    let cases: [(&str, Option<&str>); 10] = [
        ("retention.ms", Some("1000")),
        ("retention.ms", Some("long")),
        ("retention.ms", Some("-2")),
        ("retention.ms", None),
        ("cleanup.policy", Some("compact")),
        ("cleanup.policy", Some("burn")),
        ("max.message.bytes", Some("-1")),
        ("min.insync.replicas", Some("0")),
        ("no.such.setting", Some("1")),
        ("", Some("1")),
    ];
    for (key, value) in cases {
        let name = run.unique("set");
        let request = create(vec![CreatableTopic {
            configs: vec![CreatableTopicConfig {
                name: key.to_owned(),
                value: value.map(str::to_owned),
                ..Default::default()
            }],
            ..creatable(&name)
        }]);
        run.step(&format!("{key}={}", value.unwrap_or("null")), 7, &request)
            .await;
    }
}

fn grow(name: &str, count: i32, assignments: Option<&[&[i32]]>) -> CreatePartitionsRequest {
    CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic {
            name: name.to_owned(),
            count,
            assignments: assignments.map(|all| {
                all.iter()
                    .map(|broker_ids| CreatePartitionsAssignment {
                        broker_ids: broker_ids.to_vec(),
                        ..Default::default()
                    })
                    .collect()
            }),
            ..Default::default()
        }],
        timeout_ms: 30_000,
        ..Default::default()
    }
}

async fn growth(run: &mut Run) {
    let topic = run.topic("grown", 2, &[]).await;
    let name = &*topic.name;
    let nobody = run.unique("nobody");
    for version in 0..=3 {
        for count in [0, -1, 1, 2] {
            run.step(&format!("to {count}"), version, &grow(name, count, None))
                .await;
        }
        run.step("unknown topic", version, &grow(&nobody, 5, None))
            .await;
        let dry = CreatePartitionsRequest {
            validate_only: true,
            ..grow(name, 9, None)
        };
        run.step("validated", version, &dry).await;
    }
    for count in [10_000, 10_002, 10_003, 99_999_999] {
        let dry = CreatePartitionsRequest {
            validate_only: true,
            ..grow(name, count, None)
        };
        run.step(&format!("validated to {count}"), 3, &dry).await;
    }
    run.step("one more", 3, &grow(name, 3, None)).await;
    run.step("one more again", 3, &grow(name, 3, None)).await;
    let cases: [(&str, i32, &[&[i32]]); 6] = [
        ("too few", 5, &[&[1]]),
        ("too many", 4, &[&[1], &[1]]),
        ("unknown broker", 4, &[&[7]]),
        ("twice the same", 4, &[&[1, 1]]),
        ("nobody", 4, &[&[]]),
        ("good", 4, &[&[1]]),
    ];
    for (step, count, assignments) in cases {
        run.step(
            &format!("assigned {step}"),
            3,
            &grow(name, count, Some(assignments)),
        )
        .await;
    }
    let mut twice = grow(name, 8, None);
    twice.topics.extend(grow(name, 9, None).topics);
    run.step("a topic twice", 3, &twice).await;
    run.has_leaders(&topic, 4).await;
}

async fn configs(run: &mut Run) {
    let topic = run
        .topic(
            "set",
            1,
            &[("cleanup.policy", "compact"), ("max.message.bytes", "5000")],
        )
        .await;
    let nobody = run.unique("nobody");
    let resource = |name: &str, keys: Option<&[&str]>| DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: 2,
            resource_name: name.to_owned(),
            configuration_keys: keys.map(|keys| keys.iter().map(|&key| key.to_owned()).collect()),
            ..Default::default()
        }],
        ..Default::default()
    };
    let keys = [
        "cleanup.policy",
        "max.message.bytes",
        "retention.ms",
        "min.insync.replicas",
        "nonsense",
    ];
    for version in 1..=4 {
        run.step("some", version, &resource(&topic.name, Some(&keys)))
            .await;
        run.step("of an unknown topic", version, &resource(&nobody, None))
            .await;
        run.step("of an impossible name", version, &resource("a b", None))
            .await;
        run.step("no keys", version, &resource(&topic.name, Some(&[])))
            .await;
    }
}

async fn deletion(run: &mut Run) {
    let nobody = run.unique("nobody");
    let nothing = run.unknown_id();
    let by_name = |names: &[&str]| DeleteTopicsRequest {
        topic_names: names.iter().map(|&name| name.to_owned()).collect(),
        timeout_ms: 30_000,
        ..Default::default()
    };
    let by = |topics: &[(Option<&str>, Uuid)]| DeleteTopicsRequest {
        topics: topics
            .iter()
            .map(|(name, topic_id)| DeleteTopicState {
                name: name.map(str::to_owned),
                topic_id: *topic_id,
                ..Default::default()
            })
            .collect(),
        timeout_ms: 30_000,
        ..Default::default()
    };
    for version in 1..=5 {
        let topic = run.topic("gone", 1, &[]).await;
        let request = by_name(&[&topic.name, &nobody]);
        run.step("a topic and an unknown one", version, &request)
            .await;
        run.step("both again", version, &request).await;
        run.step(
            "an unknown one twice",
            version,
            &by_name(&[&nobody, &nobody]),
        )
        .await;
    }
    let topics: [TopicRef; 4] = [
        run.topic("gone", 1, &[]).await,
        run.topic("gone-too", 1, &[]).await,
        run.topic("stays", 1, &[]).await,
        run.topic("twice", 1, &[]).await,
    ];
    let [gone, too, stays, twice] = &topics;
    run.step("by name", 6, &by(&[(Some(&gone.name), Uuid::ZERO)]))
        .await;
    run.step("by id", 6, &by(&[(None, too.id)])).await;
    run.step("by id again", 6, &by(&[(None, too.id)])).await;
    run.step("by name again", 6, &by(&[(Some(&gone.name), Uuid::ZERO)]))
        .await;
    run.step("by name and id", 6, &by(&[(Some(&stays.name), stays.id)]))
        .await;
    run.step("by neither", 6, &by(&[(None, Uuid::ZERO)])).await;
    run.step("by an unknown id", 6, &by(&[(None, nothing)]))
        .await;
    run.step(
        "twice",
        6,
        &by(&[(Some(&twice.name), Uuid::ZERO), (None, twice.id)]),
    )
    .await;
    run.step(
        "impossible names",
        6,
        &by(&[(Some("a b"), Uuid::ZERO), (Some(""), Uuid::ZERO)]),
    )
    .await;
    run.step("nothing", 6, &by(&[])).await;
}
