//! A broker without a socket: the stream that the client writes to answers by itself.
//!
//! It stores nothing. What is produced is acknowledged, what is fetched is the same batches again and again, under
//! the offsets that were asked for. Its own work is little beside the client's: copying, as a socket would, and the
//! messages around the records.

use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};
use ottla::Client;
use ottla_codec::messages::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};
use ottla_codec::messages::fetch::{
    FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData,
};
use ottla_codec::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use ottla_codec::messages::list_offsets::{
    ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use ottla_codec::messages::metadata::{
    MetadataRequest, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
    MetadataResponseTopic,
};
use ottla_codec::messages::produce::{
    PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceResponse,
};
use ottla_codec::messages::{AnyRequest, AnyResponse};
use ottla_codec::{ApiKey, Request, Segments, Uuid, frame};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(crate) const TOPIC: &str = "bench";
pub(crate) const PARTITIONS: i32 = 6;
const TOPIC_ID: Uuid = Uuid([7; 16]);
const NODE: i32 = 1;
const LENGTH: usize = 4;

/// A run of batches that every fetch brings from every partition.
#[derive(Clone)]
pub(crate) struct Log {
    /// The batches, base offsets not set.
    bytes: Bytes,
    /// Where each batch begins, and its first record's number in the run.
    batches: Vec<(usize, i64)>,
}

impl Log {
    /// So many of the same batch one behind the other.
    pub(crate) fn repeating(batch: &Bytes, records: i64, times: usize) -> Self {
        Self {
            bytes: batch.repeat(times).into(),
            batches: (0..times)
                .map(|number| (number * batch.len(), number as i64 * records))
                .collect(),
        }
    }

    fn from(&self, offset: i64) -> Bytes {
        let mut bytes = self.bytes.to_vec();
        for (at, records) in &self.batches {
            bytes[*at..*at + 8].copy_from_slice(&(offset + records).to_be_bytes());
        }
        bytes.into()
    }
}

/// A client of this broker.
pub(crate) fn client(log: Option<Log>) -> Client {
    Client::builder()
        .bootstrap_servers("broker:9092")
        .connector(move |_host: String, _port: u16| {
            let stream = Stream::new(log.clone());
            async move { Ok(stream) }
        })
        .build()
        .expect("the settings are valid")
}

struct Stream {
    log: Option<Log>,
    requests: BytesMut,
    answers: Vec<Segments>,
    reader: Option<Waker>,
}

impl Stream {
    fn new(log: Option<Log>) -> Self {
        Self {
            log,
            requests: BytesMut::new(),
            answers: Vec::new(),
            reader: None,
        }
    }

    fn answer_all(&mut self) {
        while let Some(length) = self.requests.first_chunk::<LENGTH>() {
            let length = i32::from_be_bytes(*length) as usize;
            if self.requests.len() < LENGTH + length {
                return;
            }
            self.requests.advance(LENGTH);
            let request = self.requests.split_to(length).freeze();
            self.answers.push(self.answer(&request));
            if let Some(reader) = self.reader.take() {
                reader.wake();
            }
        }
    }

    fn answer(&self, request: &Bytes) -> Segments {
        let start = frame::request_start(request).expect("a header");
        let key = ApiKey::from_i16(start.api_key).expect("a known API");
        let (header, body) = frame::decode_request_header(request).expect("a header");
        let request = AnyRequest::decode(key, start.api_version, &body).expect("a request");
        let answer = match request {
            AnyRequest::ApiVersions(_) => AnyResponse::ApiVersions(versions()),
            AnyRequest::Metadata(_) => AnyResponse::Metadata(metadata()),
            AnyRequest::InitProducerId(_) => AnyResponse::InitProducerId(InitProducerIdResponse {
                producer_id: 1,
                ..Default::default()
            }),
            AnyRequest::Produce(request) => AnyResponse::Produce(produced(request)),
            AnyRequest::ListOffsets(request) => AnyResponse::ListOffsets(listed(request)),
            AnyRequest::Fetch(request) => AnyResponse::Fetch(self.fetched(request)),
            other => panic!("{:?} is not served", other.key()),
        };
        answer
            .encode_frame(header.correlation_id, start.api_version)
            .expect("an answer")
    }

    fn fetched(&self, request: FetchRequest) -> FetchResponse {
        let log = self.log.as_ref().expect("there is something to fetch");
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.into_iter().map(|partition| PartitionData {
                partition_index: partition.partition,
                high_watermark: i64::MAX,
                last_stable_offset: i64::MAX,
                records: Some(log.from(partition.fetch_offset).into()),
                ..Default::default()
            });
            FetchableTopicResponse {
                topic_id: topic.topic_id,
                partitions: partitions.collect(),
                ..Default::default()
            }
        });
        FetchResponse {
            responses: topics.collect(),
            ..Default::default()
        }
    }
}

fn versions() -> ApiVersionsResponse {
    fn versions_of<R: Request>() -> ApiVersion {
        ApiVersion {
            api_key: R::KEY as i16,
            min_version: R::VERSIONS.min,
            max_version: R::VERSIONS.max,
            ..Default::default()
        }
    }
    ApiVersionsResponse {
        api_keys: vec![
            versions_of::<ProduceRequest>(),
            versions_of::<FetchRequest>(),
            versions_of::<ListOffsetsRequest>(),
            versions_of::<MetadataRequest>(),
            versions_of::<ApiVersionsRequest>(),
            versions_of::<InitProducerIdRequest>(),
        ],
        ..Default::default()
    }
}

fn metadata() -> MetadataResponse {
    let partition = |partition_index| MetadataResponsePartition {
        partition_index,
        leader_id: NODE,
        leader_epoch: 1,
        ..Default::default()
    };
    MetadataResponse {
        brokers: vec![MetadataResponseBroker {
            node_id: NODE,
            host: "broker".to_owned(),
            port: 9092,
            ..Default::default()
        }],
        controller_id: NODE,
        topics: vec![MetadataResponseTopic {
            name: Some(TOPIC.to_owned()),
            topic_id: TOPIC_ID,
            partitions: (0..PARTITIONS).map(partition).collect(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn produced(request: ProduceRequest) -> ProduceResponse {
    let topics = request.topic_data.into_iter().map(|topic| {
        let partitions = topic.partition_data.iter().map(|partition| {
            let (index, base_offset) = (partition.index, 1);
            PartitionProduceResponse {
                index,
                base_offset,
                ..Default::default()
            }
        });
        TopicProduceResponse {
            topic_id: topic.topic_id,
            partition_responses: partitions.collect(),
            ..Default::default()
        }
    });
    ProduceResponse {
        responses: topics.collect(),
        ..Default::default()
    }
}

fn listed(request: ListOffsetsRequest) -> ListOffsetsResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let partition_index = partition.partition_index;
            ListOffsetsPartitionResponse {
                partition_index,
                offset: 0,
                leader_epoch: 1,
                ..Default::default()
            }
        });
        ListOffsetsTopicResponse {
            name: topic.name,
            partitions: partitions.collect(),
            ..Default::default()
        }
    });
    ListOffsetsResponse {
        topics: topics.collect(),
        ..Default::default()
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        for slice in slices {
            self.requests.extend_from_slice(slice);
        }
        self.answer_all();
        Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut answers = mem::take(&mut self.answers);
        for answer in &mut answers {
            while answer.has_remaining() && buffer.remaining() > 0 {
                let chunk = answer.chunk();
                let taken = chunk.len().min(buffer.remaining());
                buffer.put_slice(&chunk[..taken]);
                answer.advance(taken);
            }
        }
        answers.retain(Buf::has_remaining);
        self.answers = answers;
        if buffer.filled().is_empty() {
            self.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}
