//! One run of a script: the connection, the names of things, and the transcript.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use ottla_codec::messages::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use ottla_codec::messages::init_producer_id::InitProducerIdRequest;
use ottla_codec::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use ottla_codec::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use ottla_codec::messages::produce::ProduceRequest;
use ottla_codec::{ErrorCode, Request, Uuid};
use tokio::time::{Instant, timeout};

use super::outcome::{Names, Outcome};
use crate::support::raw::{self, Broker, Raw, TopicRef};
use crate::support::{eventually, real};

/// What is not answered within it waits for something.
const A_MOMENT: Duration = Duration::from_millis(300);

/// A step and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) step: String,
    pub(crate) outcome: String,
}

impl Line {
    pub(crate) fn parse(text: &str) -> Self {
        let (step, outcome) = text.split_once(": ").unwrap_or((text, ""));
        Self {
            step: step.to_owned(),
            outcome: outcome.to_owned(),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.outcome)
    }
}

/// Kills a real broker and starts it again.
pub(crate) type Restart = Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()>>>>;

pub(crate) struct Run {
    broker: Broker,
    restart: Option<Restart>,
    pub(crate) client: Raw,
    pub(crate) names: Names,
    lines: Vec<Line>,
}

impl Run {
    /// `restart` is what a script needs that restarts a real broker.
    pub(crate) async fn start(broker: Broker, restart: Option<Restart>) -> Self {
        Self {
            restart,
            client: Raw::connect(&broker).await,
            broker,
            names: Names::default(),
            lines: Vec::new(),
        }
    }

    pub(crate) fn transcript(self) -> Vec<Line> {
        self.lines
    }

    /// Kills the broker and starts it again; every connection is gone then.
    pub(crate) async fn restart(&mut self) {
        match (&self.broker, &self.restart) {
            (Broker::Fake(cluster), _) => {
                cluster.kill_broker(1).await.expect("a broker");
                cluster.start_broker(1).await.expect("a broker");
            }
            (Broker::Real(_), Some(restart)) => restart().await,
            (Broker::Real(_), None) => panic!("others use this broker too"),
        }
        self.client = self.connect().await;
    }

    /// A second connection.
    pub(crate) async fn connect(&self) -> Raw {
        Raw::connect(&self.broker).await
    }

    /// Sends a request and writes down what comes back.
    pub(crate) async fn step<R: Request>(
        &mut self,
        step: &str,
        version: i16,
        request: &R,
    ) -> Option<R::Response>
    where
        R::Response: Outcome,
    {
        self.client.send(request, version).await;
        self.answer::<R>(step, version).await
    }

    /// Writes down the answer to what was sent last.
    pub(crate) async fn answer<R: Request>(
        &mut self,
        step: &str,
        version: i16,
    ) -> Option<R::Response>
    where
        R::Response: Outcome,
    {
        let received = self.client.receive::<R>(version).await;
        let step = format!("{} v{version} {step}", R::NAME.trim_end_matches("Request"));
        let outcome = match &received {
            Ok(response) => response.outcome(version, &self.names),
            Err(error) => {
                self.client = self.connect().await;
                match error.kind() {
                    io::ErrorKind::TimedOut => "no answer".to_owned(),
                    _ => "the connection is closed".to_owned(),
                }
            }
        };
        self.note(step, outcome);
        received.ok()
    }

    /// Writes down whether what was sent last is answered at once.
    pub(crate) async fn waits<R: Request>(&mut self, step: &str, version: i16)
    where
        R::Response: Outcome,
    {
        let received = timeout(A_MOMENT, self.client.receive::<R>(version)).await;
        let outcome = match received {
            Err(_) => "waits".to_owned(),
            Ok(Ok(response)) => response.outcome(version, &self.names),
            Ok(Err(_)) => "the connection is closed".to_owned(),
        };
        let step = format!("{} v{version} {step}", R::NAME.trim_end_matches("Request"));
        self.note(step, outcome);
    }

    /// Like [`step`](Self::step), for an answer that comes after `wait` and not before.
    pub(crate) async fn waiting_step<R: Request>(
        &mut self,
        step: &str,
        version: i16,
        request: &R,
        wait: Duration,
    ) where
        R::Response: Outcome,
    {
        let start = Instant::now();
        self.step(step, version, request).await;
        let waited = if start.elapsed() >= wait {
            "waited"
        } else {
            "at once"
        };
        if let Some(line) = self.lines.last_mut() {
            line.outcome = format!("{waited}, {}", line.outcome);
        }
    }

    pub(crate) fn note(&mut self, step: impl Into<String>, outcome: impl Into<String>) {
        let step = step.into();
        assert!(
            !step.contains(": ") && self.lines.iter().all(|line| line.step != step),
            "steps have names of their own: {step}"
        );
        self.lines.push(Line {
            step,
            outcome: outcome.into(),
        });
    }

    /// A new topic, which appears in the transcript under `stem`.
    pub(crate) async fn topic(
        &mut self,
        stem: &'static str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> TopicRef {
        let name = self.unique(stem);
        // The script's timestamps are from 1970.
        let configs = configs.iter().chain(&[("retention.ms", "-1")]);
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: name.clone(),
                num_partitions: partitions,
                replication_factor: 1,
                configs: configs
                    .map(|(key, value)| CreatableTopicConfig {
                        name: (*key).to_owned(),
                        value: Some((*value).to_owned()),
                        ..Default::default()
                    })
                    .collect(),
                ..Default::default()
            }],
            timeout_ms: 30_000,
            ..Default::default()
        };
        let created = self.client.ask(&request).await;
        let topic = created.topics.first().expect("an answer");
        assert_eq!(topic.error_code, 0, "{:?}", topic.error_message);
        let topic = TopicRef {
            name,
            id: topic.topic_id,
        };
        self.names.add_id(topic.id, stem);
        self.has_leaders(&topic, partitions as usize).await;
        topic
    }

    /// Waits until the broker leads so many partitions of the topic.
    pub(crate) async fn has_leaders(&mut self, topic: &TopicRef, partitions: usize) {
        let request = MetadataRequest {
            topics: Some(vec![MetadataRequestTopic {
                name: Some(topic.name.clone()),
                ..Default::default()
            }]),
            ..Default::default()
        };
        let client = &mut self.client;
        eventually("the topic has leaders", async || {
            let metadata = client.ask(&request).await;
            let found = metadata.topics.first().expect("an answer");
            let led = found.partitions.iter().filter(|p| p.leader_id >= 0);
            led.count() == partitions
        })
        .await;
        // They may not know it yet.
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics: vec![ListOffsetsTopic {
                name: topic.name.clone(),
                partitions: (0..)
                    .take(partitions)
                    .map(|partition_index| ListOffsetsPartition {
                        partition_index,
                        timestamp: -1,
                        ..Default::default()
                    })
                    .collect(),
                ..Default::default()
            }],
            ..Default::default()
        };
        eventually("the leaders answer", async || {
            let offsets = client.ask(&request).await;
            let mut answers = offsets.topics.iter().flat_map(|topic| &topic.partitions);
            answers.all(|answer| answer.error_code == 0)
        })
        .await;
    }

    /// A name for a topic or a group that appears in the transcript as `stem`.
    pub(crate) fn unique(&mut self, stem: &'static str) -> String {
        let name = real::unique(stem);
        self.names.add(&name, stem);
        name
    }

    /// Appends records; not a step.
    pub(crate) async fn append(&mut self, topic: &TopicRef, partition: i32, batch: Bytes) -> i64 {
        let version = <ProduceRequest as ottla_codec::Message>::VERSIONS.max;
        let request = raw::produce(topic, version, partition, batch);
        let response = self.client.call(&request, version).await;
        let answer = &response.responses[0].partition_responses[0];
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        answer.base_offset
    }

    /// A new producer id; not a step.
    pub(crate) async fn producer_id(&mut self) -> i64 {
        let request = InitProducerIdRequest {
            transactional_id: None,
            ..Default::default()
        };
        let mut id = -1;
        let client = &mut self.client;
        eventually("a producer id", async || {
            let response = client.ask(&request).await;
            id = response.producer_id;
            response.error_code == ErrorCode::None.code()
        })
        .await;
        id
    }

    /// An id that no topic has.
    pub(crate) fn unknown_id(&mut self) -> Uuid {
        let id = Uuid([7; 16]);
        self.names.add_id(id, "nothing");
        id
    }
}
