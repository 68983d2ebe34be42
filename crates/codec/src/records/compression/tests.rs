//! Round trips, limits and broken frames of every codec.

use std::io::Write;

use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn sample(len: usize) -> Vec<u8> {
    // Half text that repeats, half noise, so that every kind of block occurs.
    let mut state = 0x2545_f491_u32;
    (0..len)
        .map(|i| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if (i / 5000) % 2 == 0 {
                b"compress me, "[i % 13]
            } else {
                (state >> 24) as u8
            }
        })
        .collect()
}

fn compressed(compression: Compression, input: &[u8]) -> Vec<u8> {
    let mut output = Vec::new();
    Compressor::new(compression)
        .unwrap()
        .compress(input, &mut output)
        .unwrap();
    output
}

#[rstest]
fn sizes_come_back_with_one_context(
    #[values(
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd
    )]
    codec: Compression,
) {
    let mut compressor = Compressor::new(codec).unwrap();
    let mut decompressor = Decompressor::new();
    for len in [
        0, 1, 12, 13, 100, 32_767, 32_768, 32_769, 65_535, 65_536, 65_537, 300_000, 5,
    ] {
        let plain = sample(len);
        let mut packed = vec![];
        compressor.compress(&plain, &mut packed).unwrap();
        let back = decompressor.decompress(codec, &packed, len).unwrap();
        assert!(back == plain, "{codec} {len}");
        // Behind other bytes it is the same.
        let mut behind = b"abc".to_vec();
        compressor.compress(&plain, &mut behind).unwrap();
        assert!(behind[3..] == packed, "{codec} {len}");
    }
}

#[rstest]
fn limits_are_exact(
    #[values(
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd
    )]
    codec: Compression,
    #[values(1, 1000, 70_000, 200_000)] len: usize,
) {
    let packed = compressed(codec, &sample(len));
    let error = Decompressor::new()
        .decompress(codec, &packed, len - 1)
        .unwrap_err();
    let CompressionError::LimitExceeded { compression, limit } = error else {
        panic!("{error}");
    };
    assert_eq!((compression, limit), (codec, len - 1));
}

/// With a limit that fits and one that does not, behind other bytes, in memory that does not move.
#[rstest]
fn plain_bytes_are_appended_where_there_is_room(
    #[values(
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd
    )]
    codec: Compression,
    #[values(1, 1000, 70_000, 200_000)] len: usize,
) {
    let plain = sample(len);
    let packed = compressed(codec, &plain);
    let mut decompressor = Decompressor::new();
    let mut output = Vec::with_capacity(2 * len + 1);
    let memory = (output.as_ptr(), output.capacity());
    decompressor
        .append(codec, &packed, len, &mut output)
        .unwrap();
    assert!(matches!(
        decompressor.append(codec, &packed, len - 1, &mut output),
        Err(CompressionError::LimitExceeded { limit, .. }) if limit == len - 1
    ));
    assert!(output == plain);
    decompressor
        .append(codec, &packed, len, &mut output)
        .unwrap();
    assert!(output == [&plain[..], &plain].concat());
    assert_eq!((output.as_ptr(), output.capacity()), memory);
}

#[rstest]
fn bombs_are_refused_without_inflating_them(
    #[values(
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd
    )]
    codec: Compression,
) {
    let packed = compressed(codec, &vec![0; 64 << 20]);
    let error = Decompressor::new()
        .decompress(codec, &packed, 1 << 20)
        .unwrap_err();
    assert!(
        matches!(
            error,
            CompressionError::LimitExceeded {
                limit: 0x10_0000,
                ..
            }
        ),
        "{codec}: {error}"
    );
}

#[rstest]
fn cut_short_anywhere_is_an_error(
    #[values(Compression::Gzip, Compression::Lz4, Compression::Zstd)] codec: Compression,
) {
    let packed = compressed(codec, &sample(20_000));
    let mut decompressor = Decompressor::new();
    for end in 0..packed.len() {
        assert!(
            decompressor
                .decompress(codec, &packed[..end], 20_000)
                .is_err(),
            "{codec} {end}"
        );
    }
    // The context is still good.
    assert!(decompressor.decompress(codec, &packed, 20_000).is_ok());
}

#[test]
fn raw_snappy_is_read() {
    let plain = sample(100_000);
    let packed = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
    let back = Decompressor::new()
        .decompress(Compression::Snappy, &packed, 100_000)
        .unwrap();
    assert!(back == plain);
}

#[test]
fn gzip_members_behind_each_other_are_read() {
    let (first, second) = (sample(1000), sample(20_000));
    let both = [
        compressed(Compression::Gzip, &first),
        compressed(Compression::Gzip, &second),
    ];
    let back = Decompressor::new()
        .decompress(Compression::Gzip, &both.concat(), 21_000)
        .unwrap();
    assert!(back == [first, second].concat());
}

/// A frame by the library's own writer, in settings that Java's clients do not use.
fn lz4_frame(plain: &[u8], info: FrameInfo) -> Vec<u8> {
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    // In pieces that do not fall on block boundaries.
    for piece in plain.chunks(50_001) {
        encoder.write_all(piece).unwrap();
    }
    encoder.finish().unwrap()
}

#[rstest]
fn every_kind_of_lz4_frame_is_read(
    #[values(
        BlockSize::Max64KB,
        BlockSize::Max256KB,
        BlockSize::Max1MB,
        BlockSize::Max4MB
    )]
    block_size: BlockSize,
    #[values(BlockMode::Independent, BlockMode::Linked)] block_mode: BlockMode,
    #[values(false, true)] checksums: bool,
) {
    let plain = sample(700_000);
    let info = FrameInfo::new()
        .block_size(block_size)
        .block_mode(block_mode)
        .block_checksums(checksums)
        .content_checksum(checksums)
        .content_size(checksums.then_some(700_000));
    let packed = lz4_frame(&plain, info);
    let mut decompressor = Decompressor::new();
    let back = decompressor
        .decompress(Compression::Lz4, &packed, 700_000)
        .unwrap();
    assert!(back == plain);
    assert!(matches!(
        decompressor.decompress(Compression::Lz4, &packed, 699_999),
        Err(CompressionError::LimitExceeded { limit: 699_999, .. })
    ));
}

#[test]
fn lz4_checksums_are_checked() {
    let info = FrameInfo::new()
        .content_checksum(true)
        .content_size(Some(100));
    let good = lz4_frame(&[7; 100], info);
    let size_at = 6;
    let content_checksum_at = good.len() - 1;
    for (position, expected) in [
        (0, Malformed::Magic),
        (4, Malformed::HeaderChecksum),
        (size_at, Malformed::HeaderChecksum),
        (content_checksum_at, Malformed::ContentChecksum),
    ] {
        let mut bad = good.clone();
        bad[position] ^= 0x08;
        let error = Decompressor::new()
            .decompress(Compression::Lz4, &bad, 1000)
            .unwrap_err();
        assert!(
            matches!(error, CompressionError::Frame { reason, .. } if reason == expected),
            "byte {position}: {error}"
        );
    }

    let mut bad = lz4_frame(&[7; 100], FrameInfo::new().block_checksums(true));
    let block_checksum_at = bad.len() - 5;
    bad[block_checksum_at] ^= 1;
    let error = Decompressor::new()
        .decompress(Compression::Lz4, &bad, 1000)
        .unwrap_err();
    assert!(matches!(
        error,
        CompressionError::Frame {
            reason: Malformed::BlockChecksum,
            ..
        }
    ));
}

fn reason(codec: Compression, bytes: &[u8]) -> Malformed {
    match Decompressor::new().decompress(codec, bytes, 1000) {
        Err(CompressionError::Frame { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

/// What is behind the end is said to be that, and what begins anew and is cut off to be cut off.
#[rstest]
#[case(Compression::Gzip, &[0x1f, 0x8b, 8])]
#[case(Compression::Snappy, &[0, 0, 0, 3, 1])]
#[case(Compression::Zstd, &[0x28, 0xb5, 0x2f, 0xfd])]
#[case(Compression::Lz4, &[])]
fn bytes_behind_the_end_are_named(#[case] codec: Compression, #[case] begun: &[u8]) {
    let good = compressed(codec, &[7; 100]);
    for behind in [&b"x"[..], &[0], b"xyz"] {
        let bytes = [&good[..], behind].concat();
        assert_eq!(reason(codec, &bytes), Malformed::Trailing, "{behind:?}");
    }
    if !begun.is_empty() {
        let bytes = [&good[..], begun].concat();
        assert_eq!(reason(codec, &bytes), Malformed::Truncated);
    }
}

#[test]
fn a_negative_length_is_not_called_large() {
    let mut bytes = compressed(Compression::Snappy, &[7; 100]);
    bytes[16..20].copy_from_slice(&(-2i32).to_be_bytes());
    assert_eq!(reason(Compression::Snappy, &bytes), Malformed::BlockLength);
}

#[test]
fn every_level_is_read() {
    let plain = sample(50_000);
    for (codec, levels) in [
        (Compression::Gzip, vec![-1, 1, 5, 9]),
        (Compression::Lz4, vec![1, 9, 17]),
        (Compression::Zstd, vec![-131_072, -5, 1, 3, 10, 22]),
    ] {
        for level in levels {
            let level = CompressionLevel::new(codec, level).unwrap();
            let mut packed = vec![];
            Compressor::new(level)
                .unwrap()
                .compress(&plain, &mut packed)
                .unwrap();
            let back = Decompressor::new()
                .decompress(codec, &packed, 50_000)
                .unwrap();
            assert!(back == plain, "{level:?}");
        }
    }
}

proptest! {
    #[test]
    fn noise_never_panics(noise: Vec<u8>, id in 1u8..5) {
        let codec = Compression::from_id(id).unwrap();
        if let Ok(plain) = Decompressor::new().decompress(codec, &noise, 10_000) {
            prop_assert!(plain.len() <= 10_000);
        }
    }

    #[test]
    fn flipped_bits_never_panic(position in 0usize..3000, bit in 0u8..8, id in 1u8..5) {
        let codec = Compression::from_id(id).unwrap();
        let mut packed = compressed(codec, &sample(20_000));
        let position = position % packed.len();
        packed[position] ^= 1 << bit;
        if let Ok(plain) = Decompressor::new().decompress(codec, &packed, 20_000) {
            prop_assert!(plain.len() <= 20_000);
        }
    }
}
