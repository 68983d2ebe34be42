//! A client that sends what it is told and checks nothing.

use std::io;

use bytes::Bytes;
use ottla_codec::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use ottla_codec::messages::fetch::{FetchPartition, FetchRequest, FetchTopic, PartitionData};
use ottla_codec::messages::init_producer_id::InitProducerIdRequest;
use ottla_codec::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, TopicProduceData,
};
use ottla_codec::records::{BatchBuilder, BatchFields, Compression, Compressor};
use ottla_codec::{Message, Records, Request, frame};
use ottla_fake::FakeCluster;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// Three brokers, the topic `t` with three partitions, and a client of the first broker.
pub(crate) async fn cluster() -> (FakeCluster, Client) {
    let cluster = FakeCluster::builder()
        .brokers(3)
        .topic("t", 3)
        .start_in_memory()
        .await
        .unwrap();
    let client = Client::connect(&cluster, 1).await;
    (cluster, client)
}

pub(crate) struct Client {
    pub(crate) stream: DuplexStream,
    next_correlation: i32,
}

impl Client {
    pub(crate) async fn connect(cluster: &FakeCluster, broker: i32) -> Self {
        let (host, port) = cluster.address(broker).unwrap();
        Self {
            stream: cluster.connect(host, port).await.unwrap(),
            next_correlation: 1,
        }
    }

    /// Sends without waiting for the answer.
    pub(crate) async fn send<R: Request>(&mut self, request: &R, version: i16) -> i32 {
        let id = self.next_correlation;
        self.next_correlation += 1;
        let mut frame = frame::encode_request(id, Some("raw"), request, version).unwrap();
        self.stream.write_all_buf(&mut frame).await.unwrap();
        id
    }

    /// The next frame, without its length.
    pub(crate) async fn frame(&mut self) -> io::Result<Bytes> {
        let length = self.stream.read_i32().await?;
        let mut frame = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut frame).await?;
        Ok(frame.into())
    }

    pub(crate) async fn receive<R: Request>(
        &mut self,
        version: i16,
    ) -> io::Result<(i32, R::Response)> {
        let frame = self.frame().await?;
        Ok(frame::decode_response::<R>(&frame, version).unwrap())
    }

    pub(crate) async fn try_call<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> io::Result<R::Response> {
        let sent = self.send(request, version).await;
        let (received, response) = self.receive::<R>(version).await?;
        assert_eq!(sent, received);
        Ok(response)
    }

    pub(crate) async fn call<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        self.try_call(request, version).await.unwrap()
    }

    /// In the newest version.
    pub(crate) async fn ask<R: Request>(&mut self, request: &R) -> R::Response {
        self.call(request, <R as Message>::VERSIONS.max).await
    }

    pub(crate) async fn producer_id(&mut self) -> i64 {
        let request = InitProducerIdRequest {
            transactional_id: None,
            ..Default::default()
        };
        self.ask(&request).await.producer_id
    }

    pub(crate) async fn produce(
        &mut self,
        topic: &str,
        partition: i32,
        batch: Bytes,
    ) -> PartitionProduceResponse {
        let response = self.call(&produce(topic, partition, -1, batch), 12).await;
        response.responses[0].partition_responses[0].clone()
    }

    pub(crate) async fn fetch(
        &mut self,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> PartitionData {
        let response = self.call(&fetch(topic, partition, offset), 12).await;
        response.responses[0].partitions[0].clone()
    }

    pub(crate) async fn create(&mut self, name: &str, partitions: i32) -> i16 {
        let topic = CreatableTopic {
            name: name.to_owned(),
            num_partitions: partitions,
            replication_factor: -1,
            ..Default::default()
        };
        let request = CreateTopicsRequest {
            topics: vec![topic],
            timeout_ms: 1000,
            ..Default::default()
        };
        self.ask(&request).await.topics[0].error_code
    }
}

/// By name, so for versions up to 12.
pub(crate) fn produce(topic: &str, partition: i32, acks: i16, batch: Bytes) -> ProduceRequest {
    ProduceRequest {
        acks,
        timeout_ms: 1000,
        topic_data: vec![TopicProduceData {
            name: topic.to_owned(),
            partition_data: vec![PartitionProduceData {
                index: partition,
                records: Some(Records::from(batch)),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// By name, so for versions up to 12; answered at once.
pub(crate) fn fetch(topic: &str, partition: i32, offset: i64) -> FetchRequest {
    FetchRequest {
        max_bytes: 1 << 20,
        session_epoch: -1,
        topics: vec![FetchTopic {
            topic: topic.to_owned(),
            partitions: vec![wanted(partition, offset)],
            ..Default::default()
        }],
        ..Default::default()
    }
}

pub(crate) fn wanted(partition: i32, offset: i64) -> FetchPartition {
    FetchPartition {
        partition,
        fetch_offset: offset,
        current_leader_epoch: -1,
        last_fetched_epoch: -1,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    }
}

/// A batch without a producer id.
pub(crate) fn batch(values: &[&str]) -> Bytes {
    batch_of(values, Compression::None, &BatchFields::default())
}

/// A batch of an idempotent producer.
pub(crate) fn sequenced(
    values: &[&str],
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
) -> Bytes {
    let fields = BatchFields {
        producer_id,
        producer_epoch,
        base_sequence,
        ..Default::default()
    };
    batch_of(values, Compression::None, &fields)
}

pub(crate) fn batch_of(values: &[&str], compression: Compression, fields: &BatchFields) -> Bytes {
    let mut builder = BatchBuilder::new(1 << 20);
    for value in values {
        builder
            .try_append(1_000, None, Some(value.as_bytes()), std::iter::empty())
            .unwrap();
    }
    builder
        .seal(fields, &mut Compressor::new(compression).unwrap())
        .unwrap()
        .to_bytes()
}
