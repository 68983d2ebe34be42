//! A client that sends what it is told, in the version it is told, and checks nothing.

use std::io;

use bytes::Bytes;
use ottla_codec::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use ottla_codec::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use ottla_codec::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use ottla_codec::records::{BatchBuilder, BatchFields, Compression, Compressor};
use ottla_codec::{Records, Request, Uuid, frame};
use ottla_fake::FakeCluster;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::PATIENCE;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A broker that raw clients connect to.
#[derive(Clone, Debug)]
pub(crate) enum Broker {
    Fake(FakeCluster),
    Real(String),
}

/// One connection.
pub(crate) struct Raw {
    stream: Box<dyn Stream>,
    next_correlation: i32,
}

impl Raw {
    pub(crate) async fn connect(broker: &Broker) -> Self {
        let stream: Box<dyn Stream> = match broker {
            Broker::Fake(cluster) => {
                let (host, port) = cluster.address(1).expect("a first broker");
                Box::new(cluster.connect(host, port).await.expect("a connection"))
            }
            Broker::Real(address) => {
                let stream = TcpStream::connect(address).await.expect("a connection");
                stream.set_nodelay(true).expect("a socket");
                Box::new(stream)
            }
        };
        Self {
            stream,
            next_correlation: 1,
        }
    }

    /// Sends without waiting for an answer.
    pub(crate) async fn send<R: Request>(&mut self, request: &R, version: i16) {
        let id = self.next_correlation;
        self.next_correlation += 1;
        let mut frame = frame::encode_request(id, Some("raw"), request, version)
            .expect("a request of that version");
        self.stream
            .write_all_buf(&mut frame)
            .await
            .expect("an open connection");
    }

    /// Sends bytes as a frame.
    pub(crate) async fn send_frame(&mut self, content: &[u8]) {
        let length = u32::try_from(content.len()).expect("a small frame");
        self.stream.write_u32(length).await.expect("a connection");
        self.stream.write_all(content).await.expect("a connection");
    }

    /// The next frame without its length; an error when the broker has closed the connection or is silent.
    pub(crate) async fn frame(&mut self) -> io::Result<Bytes> {
        let read = async {
            let length = self.stream.read_u32().await?;
            let mut frame = vec![0; length as usize];
            self.stream.read_exact(&mut frame).await?;
            Ok(frame.into())
        };
        timeout(PATIENCE, read)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// The answer to the request that was sent last.
    pub(crate) async fn receive<R: Request>(&mut self, version: i16) -> io::Result<R::Response> {
        let frame = self.frame().await?;
        let (id, response) =
            frame::decode_response::<R>(&frame, version).expect("a response of that version");
        assert_eq!(id, self.next_correlation - 1);
        Ok(response)
    }

    pub(crate) async fn try_call<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> io::Result<R::Response> {
        self.send(request, version).await;
        self.receive::<R>(version).await
    }

    pub(crate) async fn call<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        self.try_call(request, version).await.expect("an answer")
    }

    /// In the newest version.
    pub(crate) async fn ask<R: Request>(&mut self, request: &R) -> R::Response {
        self.call(request, R::VERSIONS.max).await
    }
}

/// A topic by whichever of its two names a version uses.
#[derive(Clone, Debug)]
pub(crate) struct TopicRef {
    pub(crate) name: String,
    pub(crate) id: Uuid,
}

/// Records for one partition, acknowledged by all.
pub(crate) fn produce(
    topic: &TopicRef,
    version: i16,
    partition: i32,
    batch: Bytes,
) -> ProduceRequest {
    let by_id = version >= 13;
    ProduceRequest {
        acks: -1,
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData {
            name: if by_id {
                String::new()
            } else {
                topic.name.clone()
            },
            topic_id: if by_id { topic.id } else { Uuid::ZERO },
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

/// One partition from an offset on, answered at once, outside a session.
pub(crate) fn fetch(topic: &TopicRef, version: i16, partition: i32, offset: i64) -> FetchRequest {
    FetchRequest {
        max_bytes: 1 << 20,
        session_epoch: -1,
        topics: vec![fetch_topic(topic, version, vec![wanted(partition, offset)])],
        ..Default::default()
    }
}

pub(crate) fn fetch_topic(
    topic: &TopicRef,
    version: i16,
    partitions: Vec<FetchPartition>,
) -> FetchTopic {
    let by_id = version >= 13;
    FetchTopic {
        topic: if by_id {
            String::new()
        } else {
            topic.name.clone()
        },
        topic_id: if by_id { topic.id } else { Uuid::ZERO },
        partitions,
        ..Default::default()
    }
}

pub(crate) fn wanted(partition: i32, fetch_offset: i64) -> FetchPartition {
    FetchPartition {
        partition,
        fetch_offset,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    }
}

/// Moves a partition's log start to an offset.
pub(crate) fn delete_records(
    topic: &TopicRef,
    partition: i32,
    offset: i64,
) -> DeleteRecordsRequest {
    DeleteRecordsRequest {
        topics: vec![DeleteRecordsTopic {
            name: topic.name.clone(),
            partitions: vec![DeleteRecordsPartition {
                partition_index: partition,
                offset,
                ..Default::default()
            }],
            ..Default::default()
        }],
        timeout_ms: 30_000,
        ..Default::default()
    }
}

/// Records with these keys and values, the first of them written at 1000 ms and each of the others 1 ms later.
pub(crate) fn batch_of(
    records: &[(Option<&str>, Option<&str>)],
    compression: Compression,
    fields: &BatchFields,
) -> Bytes {
    let mut builder = BatchBuilder::new(1 << 20);
    for (timestamp, (key, value)) in (1000..).zip(records) {
        builder
            .try_append(
                timestamp,
                key.map(str::as_bytes),
                value.map(str::as_bytes),
                std::iter::empty(),
            )
            .expect("room");
    }
    let mut compressor = Compressor::new(compression).expect("a codec");
    builder
        .seal(fields, &mut compressor)
        .expect("a batch")
        .to_bytes()
}

/// Values without keys and without a producer id.
pub(crate) fn batch(values: &[&str]) -> Bytes {
    batch_of(&keyless(values), Compression::None, &BatchFields::default())
}

/// Values of an idempotent producer.
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
    batch_of(&keyless(values), Compression::None, &fields)
}

pub(crate) fn keyless<'a>(values: &[&'a str]) -> Vec<(Option<&'static str>, Option<&'a str>)> {
    values.iter().map(|value| (None, Some(*value))).collect()
}
