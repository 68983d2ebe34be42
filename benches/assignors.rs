//! The assignors on one large group: equal and unequal subscriptions, the first assignment and the one after a
//! member has left. `benches/peers/assignors` runs Java's and franz-go's on the same input.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ottla_assignor::{
    Assignor, CooperativeStickyAssignor, Member, RangeAssignor, RoundRobinAssignor, StickyAssignor,
    Topics,
};

const MEMBERS: u32 = 500;
const TOPICS: u32 = 200;
const PARTITIONS: u32 = 20;

fn topics(partitions: u32) -> Topics {
    (0..TOPICS).fold(Topics::new(), |topics, topic| {
        topics.with(format!("topic-{topic:03}"), partitions)
    })
}

/// With unequal subscriptions a member subscribes to something between a tenth of the topics and all of them.
fn members(equal: bool) -> Vec<Member> {
    let subscribes = |member: u32, topic: u32| {
        let hash = (member * TOPICS + topic).wrapping_mul(2_654_435_761) >> 16;
        equal || hash % 10 <= member % 10
    };
    let member = |number: u32| {
        let topics = (0..TOPICS).filter(|&topic| subscribes(number, topic));
        Member::new(
            format!("consumer-{number:04}"),
            topics.map(|topic| format!("topic-{topic:03}")),
        )
    };
    (0..MEMBERS).map(member).collect()
}

/// The members after an assignment and after one of them has left.
fn after_one_left(assignor: &dyn Assignor, topics: &Topics, members: &[Member]) -> Vec<Member> {
    let Ok(given) = assignor.assign(topics, members) else {
        return Vec::new();
    };
    let mut rest: Vec<Member> = members
        .iter()
        .zip(given)
        .map(|(member, given)| {
            let memory = StickyAssignor::new();
            memory.on_assignment(&given, 1);
            Member {
                user_data: memory.user_data(&member.topics),
                owned: given.partitions,
                generation: Some(1),
                ..member.clone()
            }
        })
        .collect();
    rest.remove(rest.len() / 2);
    rest
}

fn assignors(criterion: &mut Criterion) {
    let all: [Box<dyn Assignor>; 4] = [
        Box::new(RangeAssignor::new()),
        Box::new(RoundRobinAssignor::new()),
        Box::new(StickyAssignor::new()),
        Box::new(CooperativeStickyAssignor::new()),
    ];
    let topics = topics(PARTITIONS);
    for (subscriptions, equal) in [("equal", true), ("unequal", false)] {
        let mut group = criterion.benchmark_group(format!("500x200x20/{subscriptions}"));
        let members = members(equal);
        for assignor in &all {
            let name = assignor.name();
            group.bench_function(BenchmarkId::new(name, "first"), |bencher| {
                bencher.iter(|| assignor.assign(black_box(&topics), black_box(&members)));
            });
            let rest = after_one_left(assignor.as_ref(), &topics, &members);
            group.bench_function(BenchmarkId::new(name, "one left"), |bencher| {
                bencher.iter(|| assignor.assign(black_box(&topics), black_box(&rest)));
            });
        }
        group.finish();
    }
}

/// How cost grows with the number of partitions.
fn curve(criterion: &mut Criterion) {
    let assignor = StickyAssignor::new();
    for (subscriptions, equal) in [("equal", true), ("unequal", false)] {
        let members = members(equal);
        for event in ["first", "one left"] {
            let mut group = criterion.benchmark_group(format!("curve/{subscriptions}/{event}"));
            for partitions in [5, 20, 80, 320] {
                let topics = topics(partitions);
                let members = match event {
                    "first" => members.clone(),
                    _ => after_one_left(&assignor, &topics, &members),
                };
                let count = TOPICS * partitions;
                group.throughput(Throughput::Elements(count.into()));
                group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
                    bencher.iter(|| assignor.assign(black_box(&topics), black_box(&members)));
                });
            }
            group.finish();
        }
    }
}

criterion_group!(benches, assignors, curve);
criterion_main!(benches);
