//! Decompression and batches: no more memory than the cap, whatever the bytes, and none at all for a record.

use bytes::Bytes;
use ottla_codec::records::{
    BatchBuilder, BatchError, BatchFields, Batches, Compression, CompressionError, Compressor,
    Decompressor, WrapperFault,
};
use rstest::rstest;

use crate::{entries, memory};

/// What a codec's context takes besides the plain bytes.
const CONTEXT: usize = 128 * 1024;

fn compressed(codec: Compression, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut compressor = Compressor::new(codec).expect("built in");
    compressor.compress(plain, &mut out).expect("it compresses");
    out
}

fn is_limit<T>(result: Result<T, CompressionError>) -> bool {
    matches!(result, Err(CompressionError::LimitExceeded { .. }))
}

/// 16 MiB of zeros in a few KiB, against caps below, at and above what comes out.
#[rstest]
#[case(Compression::Gzip)]
#[case(Compression::Snappy)]
#[case(Compression::Lz4)]
#[case(Compression::Zstd)]
fn bombs_stay_below_the_cap(#[case] codec: Compression) {
    const PLAIN: usize = 16 << 20;
    memory::alone(|| {
        let bomb = compressed(codec, &vec![0; PLAIN]);
        for limit in [0, 1, 100_000, 1 << 20, PLAIN - 1, PLAIN] {
            let mut decompressor = Decompressor::new();
            let (plain, allocated) =
                memory::allocated(|| decompressor.decompress(codec, &bomb, limit));
            assert_eq!(is_limit(plain), limit < PLAIN, "{limit}");
            assert!(
                allocated <= limit + CONTEXT,
                "{allocated} bytes with a cap of {limit}"
            );
        }
    });
}

/// Frames behind each other count together.
#[rstest]
#[case::gzip_members(Compression::Gzip, 1)]
#[case::xerial_streams(Compression::Snappy, 1)]
#[case::zstd_frames(Compression::Zstd, 1)]
#[case::one_byte_less(Compression::Gzip, 0)]
#[case::one_byte_less(Compression::Snappy, 0)]
#[case::one_byte_less(Compression::Zstd, 0)]
fn frames_behind_each_other_share_the_cap(#[case] codec: Compression, #[case] spare: usize) {
    const FRAMES: usize = 50;
    let limit = FRAMES * 40_000 - 1 + spare;
    memory::alone(|| {
        let frames = compressed(codec, &[7; 40_000]).repeat(FRAMES);
        let mut decompressor = Decompressor::new();
        let (plain, allocated) =
            memory::allocated(|| decompressor.decompress(codec, &frames, limit));
        assert_eq!(is_limit(plain), spare == 0);
        assert!(allocated <= limit + CONTEXT, "{allocated} with {limit}");
    });
}

/// Frames that say more than they hold: nothing is reserved for what they say.
#[rstest]
#[case::xerial_block(Compression::Snappy, &[0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 6, 0xff, 0xff, 0xff, 0xff, 0x0f, 0])]
#[case::xerial_length(Compression::Snappy, &[0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff, 0])]
#[case::raw_snappy(Compression::Snappy, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0])]
// Blocks of 4 MiB, of which one is said to have so many bytes.
#[case::lz4_block(Compression::Lz4, &[0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, 0x73, 0, 0, 0x40, 0, 0])]
// A window of 3.75 TiB and no content size; a content size of 2^63, and one of 16 MiB in one empty block.
#[case::zstd_window(Compression::Zstd, &[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff, 0x01, 0, 0])]
#[case::zstd_content(Compression::Zstd, &[0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x01, 0, 0])]
#[case::zstd_content(Compression::Zstd, &[0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 1, 0x01, 0, 0])]
fn sizes_that_lie_reserve_nothing(#[case] codec: Compression, #[case] frame: &[u8]) {
    memory::alone(|| {
        let mut decompressor = Decompressor::new();
        let (plain, allocated) =
            memory::allocated(|| decompressor.decompress(codec, frame, 1 << 30));
        assert!(plain.map_or(true, |plain| plain.is_empty()));
        assert!(allocated <= CONTEXT, "{allocated}");
    });
}

fn sealed(records: usize, codec: Compression) -> Bytes {
    let mut builder = BatchBuilder::new(records * 120);
    for index in 0..records {
        let value = format!("{index:0>100}");
        builder
            .try_append(
                1_777_893_742_000,
                Some(b"key"),
                Some(value.as_bytes()),
                [("h", None)],
            )
            .expect("it fits");
    }
    let mut compressor = Compressor::new(codec).expect("built in");
    let batch = builder.seal(&BatchFields::default(), &mut compressor);
    batch.expect("it has records").to_bytes()
}

#[test]
fn a_record_takes_no_allocation() {
    memory::alone(|| {
        for codec in Compression::ALL {
            let of = |records| {
                let bytes = sealed(records, codec);
                let mut decompressor = Decompressor::new();
                let (count, allocations) = memory::allocations(|| {
                    let mut count = 0;
                    for batch in Batches::new(bytes) {
                        let batch = batch.expect("valid");
                        batch.verify_crc().expect("valid");
                        let batch = batch.decompress(&mut decompressor, 1 << 24).expect("valid");
                        for record in batch.records() {
                            count += record.expect("valid").headers().count();
                        }
                    }
                    count
                });
                assert_eq!(count, records);
                allocations
            };
            let (few, many) = (of(10), of(10_000));
            assert!(many <= few + 20, "{codec}: {few} for 10, {many} for 10,000");
        }
        let mut builder = BatchBuilder::new(2 << 20);
        let (_, allocations) = memory::allocations(|| {
            for _ in 0..10_000 {
                builder
                    .try_append(1, Some(b"key"), Some(&[7; 100]), [("h", None)])
                    .expect("it fits");
            }
        });
        assert!(
            allocations <= 2,
            "{allocations} for 10,000 appended records"
        );
    });
}

fn first_error(bytes: Bytes) -> BatchError {
    let mut decompressor = Decompressor::new();
    let read = Batches::new(bytes).try_for_each(|batch| {
        let batch = batch?;
        batch.verify_crc()?;
        let decoded = batch.decompress(&mut decompressor, 1 << 20)?;
        decoded.records().try_for_each(|record| record.map(drop))
    });
    read.expect_err("it was read")
}

#[test]
fn a_wrong_checksum_and_an_unknown_format() {
    memory::alone(|| {
        let batch = sealed(3, Compression::None).to_vec();
        for position in 17..batch.len() {
            let mut damaged = batch.clone();
            damaged[position] ^= 1;
            assert!(
                matches!(
                    Batches::new(damaged.into()).next(),
                    Some(Ok(batch)) if batch.verify_crc().is_err()
                ) || (17..61).contains(&position)
            );
        }
        for magic in [3, 7, 0x80, 0xff] {
            let mut unknown = batch.clone();
            unknown[16] = magic;
            assert!(matches!(
                first_error(unknown.into()),
                BatchError::UnknownMagic { magic: found, .. } if found == magic as i8
            ));
        }
    });
}

/// One wrapper is read; one within another is refused, however many follow.
#[test]
fn wrappers_within_wrappers() {
    memory::alone(|| {
        let message = entries::message(1, b"value");
        for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4] {
            for magic in [0, 1] {
                let mut set = entries::wrapped(&message, codec, magic);
                for depth in 2..20 {
                    set = entries::wrapped(&set, codec, magic);
                    let BatchError::Wrapper { reason, .. } = first_error(set.clone().into()) else {
                        panic!("{depth} wrappers were taken for something else");
                    };
                    assert_eq!(reason, WrapperFault::Nested);
                }
            }
        }
    });
}

/// Old formats are written anew when they are read: twice the cap, and what is compressed counts too.
#[test]
fn bombs_in_wrappers_stay_below_the_cap() {
    memory::alone(|| {
        let set = entries::message(1, &vec![0; 8 << 20]);
        for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4] {
            let wrapper = Bytes::from(entries::wrapped(&set, codec, 1));
            for limit in [1 << 20, 9 << 20] {
                let batch = Batches::new(wrapper.clone()).next();
                let batch = batch.expect("complete").expect("valid");
                let mut decompressor = Decompressor::new();
                let (decoded, allocated) =
                    memory::allocated(|| batch.decompress(&mut decompressor, limit));
                assert_eq!(decoded.is_ok(), limit > 8 << 20);
                assert!(
                    allocated <= 2 * limit + CONTEXT,
                    "{codec}: {allocated} with {limit}"
                );
            }
        }
    });
}
