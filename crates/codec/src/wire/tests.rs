use bytes::Bytes;
use nom::Input as _;

use super::*;
use crate::DecodeErrorKind;

fn parse<T>(
    bytes: &[u8],
    parser: fn(Input<'_>) -> Parsed<'_, T>,
) -> Result<(T, usize), DecodeErrorKind> {
    let bytes = Bytes::copy_from_slice(bytes);
    match parser(Input::new(&bytes)) {
        Ok((rest, value)) => Ok((value, rest.len())),
        Err(error) => Err(decode_error("Test", error).kind),
    }
}

fn encoded(write: impl FnOnce(&mut Encoder)) -> Bytes {
    let mut out = Encoder::new();
    write(&mut out);
    out.finish().to_bytes()
}

/// Pairs from the description of zigzag numbers in the protocol buffers documentation.
#[test]
fn varints() {
    for (value, bytes) in [
        (0, &[0][..]),
        (-1, &[1]),
        (1, &[2]),
        (-2, &[3]),
        (i32::MAX, &[0xfe, 0xff, 0xff, 0xff, 0x0f]),
        (i32::MIN, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
    ] {
        assert_eq!(encoded(|out| out.varint(value)), bytes);
        assert_eq!(parse(bytes, varint), Ok((value, 0)));
    }
    for value in [0, 1, -1, 300, i64::MAX, i64::MIN, i64::from(i32::MIN) - 1] {
        let bytes = encoded(|out| out.varlong(value));
        assert_eq!(parse(&bytes, varlong), Ok((value, 0)));
        for length in 0..bytes.len() {
            assert!(matches!(
                parse(&bytes[..length], varlong),
                Err(DecodeErrorKind::Truncated { .. })
            ));
        }
    }
    assert_eq!(encoded(|out| out.unsigned_varint(300)), [0xac, 0x02][..]);
    for (bytes, value) in [
        (&[0x7f, 9][..], 127),
        (&[0x80, 0x01, 9], 128),
        (&[0xac, 0x02, 9], 300),
        (&[0x80, 0x00, 9], 0),
        (&[0xff, 0x7f, 9], 16_383),
        (&[0x80, 0x80, 0x01, 9], 16_384),
        (&[0xff, 0xff, 0xff, 0xff, 0x0f, 9], u32::MAX),
    ] {
        assert_eq!(parse(bytes, unsigned_varint), Ok((value, 1)));
    }
}

#[test]
fn varints_that_are_too_long() {
    assert_eq!(
        parse(&[0xff, 0xff, 0xff, 0xff, 0x10], unsigned_varint),
        Err(DecodeErrorKind::OverlongVarint)
    );
    assert_eq!(
        parse(&[0x80; 20], unsigned_varint),
        Err(DecodeErrorKind::OverlongVarint)
    );
    assert_eq!(
        parse(&[0x80; 20], varlong),
        Err(DecodeErrorKind::OverlongVarint)
    );
    let ten = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
    assert_eq!(parse(&ten, varlong), Err(DecodeErrorKind::OverlongVarint));
}

#[test]
fn fixed_width_numbers() {
    assert_eq!(parse(&[0xff, 0xfe, 7], int16), Ok((-2, 1)));
    assert_eq!(parse(&[0xff, 0xfe], uint16), Ok((65_534, 0)));
    assert_eq!(parse(&[0x80, 0, 0, 0], uint32), Ok((1 << 31, 0)));
    assert_eq!(parse(&[2], boolean), Ok((true, 0)));
    assert_eq!(parse(&1.5f64.to_be_bytes(), float64), Ok((1.5, 0)));
    assert_eq!(
        parse(&[0; 7], int64),
        Err(DecodeErrorKind::Truncated {
            needed: 8,
            remaining: 7
        })
    );
    assert_eq!(
        parse(&[0; 15], uuid),
        Err(DecodeErrorKind::Truncated {
            needed: 16,
            remaining: 15
        })
    );
}

#[test]
fn no_more_is_reserved_than_has_arrived() {
    use super::parse::initial_capacity;
    assert_eq!(initial_capacity::<u8>(100, 100), 100);
    assert_eq!(initial_capacity::<[u8; 10]>(3, 100), 3);
    assert_eq!(initial_capacity::<[u8; 10]>(100, 100), 31);
    assert_eq!(initial_capacity::<[u8; 1000]>(100, 100), 1);
    assert_eq!(initial_capacity::<()>(7, 100), 7);
}

#[test]
fn input_narrows_and_stops_at_its_end() {
    let frame = Bytes::from_static(b"0123456789");
    let (_, rest) = Input::new(&frame).split(3).unwrap();
    let (middle, tail) = rest.split(4).unwrap();
    assert_eq!((middle.as_slice(), middle.offset()), (&b"3456"[..], 3));
    assert_eq!(
        (tail.to_bytes(), tail.offset()),
        (Bytes::from_static(b"789"), 7)
    );
    assert_eq!(middle.to_bytes().as_ptr(), frame[3..].as_ptr());
    assert!(middle.split(5).is_none());
    // nom's side of it.
    assert_eq!(middle.take(9).as_slice(), b"3456");
    assert_eq!(middle.take_from(1).as_slice(), b"456");
    assert!(middle.take_from(9).is_empty());
    assert_eq!(middle.position(|byte| byte == b'5'), Some(2));
    assert_eq!(middle.slice_index(4), Ok(4));
    assert_eq!(middle.slice_index(6), Err(nom::Needed::new(2)));
    assert_eq!(middle.iter_indices().next_back(), Some((3, b'6')));
}

#[test]
fn strings_have_an_upper_limit() {
    let long = "x".repeat(40_000);
    let error = Encoder::new()
        .string(&long, true)
        .field("name")
        .unwrap_err();
    assert_eq!(
        (error.field, error.kind),
        ("name", crate::EncodeErrorKind::TooLong { length: 40_000 })
    );
}

#[test]
fn shared_payloads_are_woven_in() {
    let large = Bytes::from(vec![7; 2000]);
    let mut inner = Encoder::new();
    inner.int8(1);
    inner.bytes(&large, true).unwrap();
    inner.int8(2);
    let mut out = Encoder::new();
    out.bytes(&large, false).unwrap();
    out.int16(3);
    let mut tagged = TaggedFields::new();
    tagged.add(1, inner);
    tagged
        .finish(
            &[UnknownTaggedField {
                tag: 0,
                data: large.clone(),
            }],
            &mut out,
        )
        .unwrap();
    let segments = out.finish();
    let mut expected = Vec::new();
    expected.extend(2000i32.to_be_bytes());
    expected.extend(&large);
    expected.extend([0, 3, 2, 0, 0xd0, 0x0f]);
    expected.extend(&large);
    expected.extend([1, 0xd4, 0x0f, 1, 0xd1, 0x0f]);
    expected.extend(&large);
    expected.push(2);
    assert_eq!(segments.len(), expected.len());
    assert_eq!(segments.to_bytes(), expected);
}
