use std::future::poll_fn;

use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

use super::*;

const MAX: usize = 1024 * 1024;

fn reader() -> FrameReader {
    FrameReader::new(MAX, Arc::default())
}

async fn next(reader: &mut FrameReader, stream: &mut DuplexStream) -> Result<Bytes, StreamFault> {
    poll_fn(|cx| reader.poll_frame(cx, stream)).await
}

/// The faults of a peer that sends `bytes` and hangs up.
async fn fault_of(bytes: &[u8]) -> StreamFault {
    let (mut ours, mut theirs) = duplex(64 * 1024);
    theirs.write_all(bytes).await.unwrap();
    drop(theirs);
    let mut reader = reader();
    loop {
        if let Err(fault) = next(&mut reader, &mut ours).await {
            return fault;
        }
    }
}

fn frame(body: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    frame.extend_from_slice(body);
    frame
}

#[tokio::test]
async fn frames_of_all_sizes_come_out_whole() {
    let sizes = [
        4,
        5,
        100,
        SCRATCH - 5,
        SCRATCH - 4,
        SCRATCH - 3,
        SCRATCH,
        SCRATCH + 1,
        300_000,
        4,
        MAX,
    ];
    for pipe in [1, 3, 4096, 1 << 22] {
        let sizes: &[usize] = if pipe < 4096 { &sizes[..3] } else { &sizes };
        let bodies: Vec<Vec<u8>> = sizes
            .iter()
            .enumerate()
            .map(|(n, size)| vec![n as u8; *size])
            .collect();
        let sent: Vec<u8> = bodies.iter().flat_map(|body| frame(body)).collect();
        let total = sent.len() as u64;
        let (mut ours, mut theirs) = duplex(pipe);
        let writer = tokio::spawn(async move { theirs.write_all(&sent).await });
        let mut reader = reader();
        for body in bodies {
            assert_eq!(next(&mut reader, &mut ours).await.unwrap(), body);
        }
        writer.await.unwrap().unwrap();
        assert!(matches!(
            next(&mut reader, &mut ours).await,
            Err(StreamFault::Ended { mid_frame: false })
        ));
        assert_eq!(reader.counters.snapshot().bytes_in, total);
    }
}

#[tokio::test]
async fn a_small_frame_owns_no_more_than_itself() {
    let (mut ours, mut theirs) = duplex(64 * 1024);
    theirs.write_all(&frame(b"abcd")).await.unwrap();
    let mut reader = reader();
    let bytes = next(&mut reader, &mut ours).await.unwrap();
    let owned = bytes.try_into_mut().expect("shared with the reader");
    assert!(owned.capacity() <= 64, "{}", owned.capacity());
}

#[tokio::test]
async fn the_end_inside_a_frame_is_told_apart() {
    for cut in [1, 3, 4, 7] {
        let bytes = frame(b"abcdefgh");
        assert!(
            matches!(
                fault_of(&bytes[..cut]).await,
                StreamFault::Ended { mid_frame: true }
            ),
            "{cut}"
        );
    }
    assert!(matches!(
        fault_of(&frame(&vec![0; 100_000])[..50_000]).await,
        StreamFault::Ended { mid_frame: true }
    ));
}

#[tokio::test]
async fn hostile_lengths_are_refused() {
    for claimed in [-1, i32::MIN, 0, 3, MAX as i32 + 1, i32::MAX] {
        match fault_of(&claimed.to_be_bytes()).await {
            StreamFault::FrameLength { length, max: MAX } => assert_eq!(length, claimed),
            other => panic!("{claimed}: {other}"),
        }
    }
}

#[tokio::test]
async fn other_protocols_are_recognised() {
    assert!(matches!(
        fault_of(b"HTTP/1.1 400 Bad Request\r\n").await,
        StreamFault::Http
    ));
    assert!(matches!(
        fault_of(&[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x46]).await,
        StreamFault::TlsExpected
    ));
    assert!(matches!(
        fault_of(b"SSH-2.0-OpenSSH\r\n").await,
        StreamFault::FrameLength { .. }
    ));
    // After a frame has come through, the same bytes are only a bad length.
    let mut bytes = frame(b"abcd");
    bytes.extend_from_slice(b"HTTP/1.1");
    assert!(matches!(
        fault_of(&bytes).await,
        StreamFault::FrameLength { .. }
    ));
}
