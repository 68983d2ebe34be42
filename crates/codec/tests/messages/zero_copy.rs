//! Payloads are neither copied into a request nor out of a response.

use std::io::IoSlice;

use bytes::{Buf as _, Bytes};
use ottla_codec::{
    Records, decode_message, encode_message, frame,
    messages::{
        fetch::{FetchResponse, FetchableTopicResponse, PartitionData},
        produce::{PartitionProduceData, ProduceRequest, TopicProduceData},
    },
};

fn within(inner: &[u8], outer: &[u8]) -> bool {
    let outer = outer.as_ptr_range();
    let inner = inner.as_ptr_range();
    outer.start <= inner.start && inner.end <= outer.end
}

fn produce(bodies: &[Bytes]) -> ProduceRequest {
    let partition = |(index, body): (usize, &Bytes)| PartitionProduceData {
        index: index as i32,
        records: Some(Records::from_parts(
            Bytes::from(vec![index as u8; 61]),
            body.clone(),
        )),
        ..Default::default()
    };
    let partition_data = bodies.iter().enumerate().map(partition).collect();
    let topic = TopicProduceData {
        name: "t".to_owned(),
        partition_data,
        ..Default::default()
    };
    ProduceRequest {
        topic_data: vec![topic],
        ..Default::default()
    }
}

#[test]
fn a_hundred_batches_are_referred_to() {
    let bodies: Vec<_> = (0..100u8)
        .map(|index| Bytes::from(vec![index; 4096]))
        .collect();
    let request = produce(&bodies);
    let frame = frame::encode_request(1, Some("c"), &request, 9).unwrap();
    let mut slices = [IoSlice::new(&[]); 300];
    let count = frame.chunks_vectored(&mut slices);
    let payloads: Vec<_> = slices[..count]
        .iter()
        .filter(|slice| slice.len() == 4096)
        .collect();
    assert_eq!(payloads.len(), 100);
    for (payload, body) in payloads.iter().zip(&bodies) {
        assert_eq!(payload.as_ptr(), body.as_ptr());
    }
    let around: usize = slices[..count]
        .iter()
        .filter(|slice| slice.len() != 4096)
        .map(|slice| slice.len())
        .sum();
    assert!(
        around < 100 * 80,
        "{around} bytes were written beside the payloads"
    );

    let (header, body) = frame::decode_request_header(&frame.to_bytes().slice(4..)).unwrap();
    assert_eq!(header.correlation_id, 1);
    assert_eq!(decode_message(&body, 9), Ok(request));
}

#[test]
fn small_payloads_are_joined() {
    let bodies = [Bytes::from(vec![1; 100]), Bytes::from(vec![2; 1023])];
    let frame = frame::encode_request(1, None, &produce(&bodies), 3).unwrap();
    let mut slices = [IoSlice::new(&[]); 4];
    assert_eq!(frame.chunks_vectored(&mut slices), 1);
    assert_eq!(slices[0].len(), frame.len());
}

#[test]
fn an_advanced_frame_goes_on_where_it_stopped() {
    let bodies = [Bytes::from(vec![1; 1024]), Bytes::from(vec![2; 3000])];
    let whole = frame::encode_request(1, None, &produce(&bodies), 9).unwrap();
    let bytes = whole.to_bytes();
    assert_eq!(whole.len(), bytes.len());
    for step in [1, 7, 61, 1024, 1100, bytes.len()] {
        let mut rest = whole.clone();
        while rest.has_remaining() {
            let done = bytes.len() - rest.remaining();
            assert_eq!(rest.to_bytes(), bytes.slice(done..));
            let mut slices = [IoSlice::new(&[]); 2];
            let filled = rest.chunks_vectored(&mut slices);
            let joined = slices[..filled]
                .iter()
                .flat_map(|slice| slice.iter())
                .copied()
                .collect::<Vec<_>>();
            assert!(!rest.chunk().is_empty());
            assert_eq!(joined, bytes[done..done + joined.len()]);
            rest.advance(step.min(rest.remaining()));
        }
        assert!(
            rest.is_empty()
                && rest.chunk().is_empty()
                && rest.chunks_vectored(&mut [IoSlice::new(&[])]) == 0
        );
    }
    assert_eq!(whole.remaining(), bytes.len());
}

#[test]
fn fetched_records_share_the_frame() {
    let partition = PartitionData {
        records: Some(Bytes::from(vec![3; 5000]).into()),
        ..Default::default()
    };
    let topic = FetchableTopicResponse {
        partitions: vec![partition],
        ..Default::default()
    };
    let response = FetchResponse {
        responses: vec![topic],
        ..Default::default()
    };
    let bytes = encode_message(&response, 17).unwrap().to_bytes();
    let decoded: FetchResponse = decode_message(&bytes, 17).unwrap();
    assert_eq!(decoded, response);
    let records = decoded.responses[0].partitions[0]
        .records
        .as_ref()
        .unwrap()
        .to_bytes();
    assert!(within(&records, &bytes));
}

#[test]
fn records_are_equal_by_content() {
    let split = Records::from_parts(Bytes::from_static(b"ab"), Bytes::from_static(b"c"));
    assert_eq!(split, Records::from(Bytes::from_static(b"abc")));
    assert_ne!(split, Records::from(Bytes::from_static(b"abd")));
    assert_ne!(split, Records::from(Bytes::from_static(b"ab")));
    assert_eq!(split.to_bytes(), "abc");
    assert_eq!(format!("{split:?}"), "Records(3 bytes)");
}
