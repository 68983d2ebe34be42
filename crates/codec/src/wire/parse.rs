//! Reading primitive types.
//!
//! Complete parsers only: a frame is there as a whole before it is parsed. Counts are checked against the
//! bytes that remain before anything is reserved for them.

use bytes::Bytes;
use nom::{
    error::{ContextError, ErrorKind, ParseError},
    number::complete as number,
};

use super::{Input, NodeIds, Records, node_ids::Exactly};
use crate::{DecodeError, DecodeErrorKind, Uuid};

/// A value and what comes after it.
pub type Parsed<'a, T> = Result<(Input<'a>, T), nom::Err<WireError>>;

/// Where and why parsing stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireError {
    /// Where the value starts that could not be read, counted from the start of the frame.
    pub offset: usize,
    /// The innermost field, empty when none has been named yet.
    pub field: &'static str,
    /// What is wrong.
    pub kind: DecodeErrorKind,
}

impl ParseError<Input<'_>> for WireError {
    fn from_error_kind(input: Input<'_>, kind: ErrorKind) -> Self {
        Self {
            offset: input.offset(),
            field: "",
            kind: DecodeErrorKind::Malformed { kind },
        }
    }

    fn append(_: Input<'_>, _: ErrorKind, other: Self) -> Self {
        other
    }
}

impl ContextError<Input<'_>> for WireError {
    fn add_context(_: Input<'_>, field: &'static str, other: Self) -> Self {
        other.in_field(field)
    }
}

impl WireError {
    fn in_field(self, field: &'static str) -> Self {
        if self.field.is_empty() {
            Self { field, ..self }
        } else {
            self
        }
    }
}

/// Names the field a parser's error belongs to.
pub trait ParsedExt: Sized {
    /// Names the field, unless an inner one has been named.
    #[must_use]
    fn field(self, name: &'static str) -> Self;
}

impl<T> ParsedExt for Parsed<'_, T> {
    #[inline]
    fn field(self, name: &'static str) -> Self {
        self.map_err(|error| error.map(|error| error.in_field(name)))
    }
}

/// The error that leaves this crate.
pub(crate) fn decode_error(message: &'static str, error: nom::Err<WireError>) -> DecodeError {
    match error {
        nom::Err::Error(WireError {
            offset,
            field,
            kind,
        })
        | nom::Err::Failure(WireError {
            offset,
            field,
            kind,
        }) => DecodeError {
            message,
            field,
            offset,
            kind,
        },
        // Only streaming parsers ask for more; there are none here.
        nom::Err::Incomplete(_) => {
            let kind = DecodeErrorKind::Malformed {
                kind: ErrorKind::Complete,
            };
            DecodeError {
                message,
                field: "",
                offset: 0,
                kind,
            }
        }
    }
}

#[cold]
pub(super) fn fail<T>(input: Input<'_>, kind: DecodeErrorKind) -> Parsed<'_, T> {
    Err(nom::Err::Error(WireError {
        offset: input.offset(),
        field: "",
        kind,
    }))
}

#[cold]
fn truncated<T>(input: Input<'_>, needed: u64) -> Parsed<'_, T> {
    fail(
        input,
        DecodeErrorKind::Truncated {
            needed,
            remaining: input.len(),
        },
    )
}

macro_rules! fixed {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $parser:path, $size:literal;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// When too few bytes remain.
        #[inline(always)]
        pub fn $name(input: Input<'_>) -> Parsed<'_, $type> {
            if input.len() < $size {
                return truncated(input, $size);
            }
            $parser(input)
        }
    )*};
}

fixed! {
    /// A signed byte.
    int8: i8 = number::be_i8, 1;
    /// Two bytes, big-endian, signed.
    int16: i16 = number::be_i16, 2;
    /// Four bytes, big-endian, signed.
    int32: i32 = number::be_i32, 4;
    /// Eight bytes, big-endian, signed.
    int64: i64 = number::be_i64, 8;
    /// Two bytes, big-endian, unsigned.
    uint16: u16 = number::be_u16, 2;
    /// Four bytes, big-endian, unsigned.
    uint32: u32 = number::be_u32, 4;
    /// Eight bytes, IEEE 754, big-endian.
    float64: f64 = number::be_f64, 8;
}

/// One byte; anything but zero is true, as in Java.
///
/// # Errors
/// When no byte remains.
#[inline]
pub fn boolean(input: Input<'_>) -> Parsed<'_, bool> {
    let (rest, byte) = int8(input)?;
    Ok((rest, byte != 0))
}

/// Sixteen bytes.
///
/// # Errors
/// When too few bytes remain.
#[inline]
pub fn uuid(input: Input<'_>) -> Parsed<'_, Uuid> {
    if input.len() < 16 {
        return truncated(input, 16);
    }
    let (rest, bits) = number::be_u128(input)?;
    Ok((rest, Uuid(bits.to_be_bytes())))
}

/// Seven bits a byte, lowest first, at most five bytes.
///
/// # Errors
/// When the bytes end before the number does, or it does not fit 32 bits.
#[inline(always)]
pub fn unsigned_varint(input: Input<'_>) -> Parsed<'_, u32> {
    // Nearly all are lengths and tags of one byte.
    if let Some((byte, rest)) = input.split(1)
        && let [byte @ ..0x80] = *byte.as_slice()
    {
        return Ok((rest, byte.into()));
    }
    long_unsigned_varint(input)
}

#[inline(never)]
fn long_unsigned_varint(input: Input<'_>) -> Parsed<'_, u32> {
    // The rest are nearly all lengths of two bytes.
    if let Some((bytes, rest)) = input.split(2)
        && let [low, high @ ..0x80] = *bytes.as_slice()
    {
        return Ok((rest, u32::from(low & 0x7f) | u32::from(high) << 7));
    }
    let (rest, value) = base128(input, 5)?;
    match u32::try_from(value) {
        Ok(value) => Ok((rest, value)),
        Err(_) => fail(input, DecodeErrorKind::OverlongVarint),
    }
}

/// A zigzag-encoded 32-bit number.
///
/// # Errors
/// As [`unsigned_varint`].
pub fn varint(input: Input<'_>) -> Parsed<'_, i32> {
    let (rest, value) = unsigned_varint(input)?;
    Ok((rest, (value >> 1) as i32 ^ -((value & 1) as i32)))
}

/// A zigzag-encoded 64-bit number, at most ten bytes.
///
/// # Errors
/// As [`unsigned_varint`], for 64 bits.
pub fn varlong(input: Input<'_>) -> Parsed<'_, i64> {
    let (rest, value) = base128(input, 10)?;
    Ok((rest, (value >> 1) as i64 ^ -((value & 1) as i64)))
}

#[inline(never)]
fn base128(input: Input<'_>, max_bytes: u32) -> Parsed<'_, u64> {
    let mut value = 0u64;
    let mut rest = input;
    for index in 0..max_bytes {
        let Some((byte, tail)) = rest.split(1) else {
            return truncated(input, u64::from(index) + 1);
        };
        rest = tail;
        let byte = byte.as_slice().first().copied().unwrap_or_default();
        let bits = u64::from(byte & 0x7f);
        // The tenth byte of 64 bits holds one bit.
        if index == 9 && bits > 1 {
            break;
        }
        value |= bits << (7 * index);
        if byte & 0x80 == 0 {
            return Ok((rest, value));
        }
    }
    fail(input, DecodeErrorKind::OverlongVarint)
}

/// A length prefix; `None` is null.
#[inline(always)]
fn length(
    input: Input<'_>,
    flexible: bool,
    fixed: fn(Input<'_>) -> Parsed<'_, i32>,
) -> Parsed<'_, Option<u32>> {
    if flexible {
        let (rest, value) = unsigned_varint(input)?;
        return Ok((rest, value.checked_sub(1)));
    }
    let (rest, value) = fixed(input)?;
    match value {
        -1 => Ok((rest, None)),
        value => match u32::try_from(value) {
            Ok(value) => Ok((rest, Some(value))),
            Err(_) => fail(
                input,
                DecodeErrorKind::NegativeLength {
                    length: value.into(),
                },
            ),
        },
    }
}

#[inline]
fn int16_length(input: Input<'_>) -> Parsed<'_, i32> {
    let (rest, value) = int16(input)?;
    Ok((rest, value.into()))
}

/// Splits the bytes that a length prefix announces off the input.
#[inline(always)]
fn delimited(
    input: Input<'_>,
    flexible: bool,
    fixed: fn(Input<'_>) -> Parsed<'_, i32>,
) -> Parsed<'_, Option<Input<'_>>> {
    let (rest, length) = length(input, flexible, fixed)?;
    let Some(length) = length else {
        return Ok((rest, None));
    };
    match rest.split(length as usize) {
        Some((content, tail)) => Ok((tail, Some(content))),
        None => fail(
            input,
            DecodeErrorKind::Truncated {
                needed: length.into(),
                remaining: rest.len(),
            },
        ),
    }
}

#[inline(always)]
fn required<'a, T>(input: Input<'a>, (rest, value): (Input<'a>, Option<T>)) -> Parsed<'a, T> {
    match value {
        Some(value) => Ok((rest, value)),
        None => fail(input, DecodeErrorKind::UnexpectedNull),
    }
}

/// A string: its length in bytes (two bytes, or a varint when `flexible`), then UTF-8.
///
/// # Errors
/// When it is null, cut off, not UTF-8, or longer than 32767 bytes.
#[inline(always)]
pub fn string(input: Input<'_>, flexible: bool) -> Parsed<'_, String> {
    required(input, nullable_string(input, flexible)?)
}

/// A [`string()`] or null.
///
/// # Errors
/// When it is cut off, not UTF-8, or longer than 32767 bytes.
#[inline(always)]
pub fn nullable_string(input: Input<'_>, flexible: bool) -> Parsed<'_, Option<String>> {
    let (rest, content) = delimited(input, flexible, int16_length)?;
    let Some(content) = content else {
        return Ok((rest, None));
    };
    // Kafka's limit, also where the length could say more.
    if content.len() > i16::MAX as usize {
        let length = content.len();
        return fail(input, DecodeErrorKind::StringTooLong { length });
    }
    match str::from_utf8(content.as_slice()) {
        Ok(text) => Ok((rest, Some(text.to_owned()))),
        Err(_) => fail(input, DecodeErrorKind::InvalidUtf8),
    }
}

/// Bytes after their length (four bytes, or a varint when `flexible`), sharing the frame's memory.
///
/// # Errors
/// When they are null or cut off.
#[inline(always)]
pub fn bytes(input: Input<'_>, flexible: bool) -> Parsed<'_, Bytes> {
    required(input, nullable_bytes(input, flexible)?)
}

/// [`bytes()`] or null.
///
/// # Errors
/// When they are cut off.
#[inline(always)]
pub fn nullable_bytes(input: Input<'_>, flexible: bool) -> Parsed<'_, Option<Bytes>> {
    let (rest, content) = delimited(input, flexible, int32)?;
    Ok((rest, content.map(|content| content.to_bytes())))
}

/// Record data: [`bytes()`] of another name.
///
/// # Errors
/// When they are null or cut off.
pub fn records(input: Input<'_>, flexible: bool) -> Parsed<'_, Records> {
    let (rest, content) = bytes(input, flexible)?;
    Ok((rest, content.into()))
}

/// [`records()`] or null.
///
/// # Errors
/// When they are cut off.
pub fn nullable_records(input: Input<'_>, flexible: bool) -> Parsed<'_, Option<Records>> {
    let (rest, content) = nullable_bytes(input, flexible)?;
    Ok((rest, content.map(Records::from)))
}

/// Elements after their count (four bytes, or a varint when `flexible`). None of them takes fewer than `least` bytes.
///
/// # Errors
/// When it is null, there are fewer bytes than so many elements take, or an element cannot be read.
pub fn array<'a, T>(
    input: Input<'a>,
    flexible: bool,
    least: usize,
    element: impl FnMut(Input<'a>) -> Parsed<'a, T>,
) -> Parsed<'a, Vec<T>> {
    required(input, nullable_array(input, flexible, least, element)?)
}

/// An [`array()`] or null.
///
/// # Errors
/// When there are fewer bytes than so many elements take, or an element cannot be read.
pub fn nullable_array<'a, T>(
    input: Input<'a>,
    flexible: bool,
    least: usize,
    mut element: impl FnMut(Input<'a>) -> Parsed<'a, T>,
) -> Parsed<'a, Option<Vec<T>>> {
    let (mut rest, count) = count(input, flexible, least)?;
    let Some(count) = count else {
        return Ok((rest, None));
    };
    let mut elements = Vec::with_capacity(initial_capacity::<T>(count, rest.len()));
    for _ in 0..count {
        let value;
        (rest, value) = element(rest)?;
        if elements.len() == elements.capacity() {
            let missing = count.saturating_sub(elements.len());
            elements.reserve_exact(elements.len().clamp(1, missing.max(1)));
        }
        elements.push(value);
    }
    Ok((rest, Some(elements)))
}

/// An [`array()`] of strings.
///
/// # Errors
/// As [`array()`].
pub fn string_array(input: Input<'_>, flexible: bool) -> Parsed<'_, Vec<String>> {
    required(input, nullable_string_array(input, flexible)?)
}

/// A [`string_array`] or null.
///
/// # Errors
/// As [`nullable_array`].
pub fn nullable_string_array(input: Input<'_>, flexible: bool) -> Parsed<'_, Option<Vec<String>>> {
    // An empty one is its length.
    let least = if flexible { 1 } else { 2 };
    nullable_array(input, flexible, least, |input| string(input, flexible))
}

/// An [`array()`] of what `from` makes of `N` bytes each.
///
/// # Errors
/// As [`array()`].
#[inline]
pub fn fixed_array<T, const N: usize>(
    input: Input<'_>,
    flexible: bool,
    from: fn([u8; N]) -> T,
) -> Parsed<'_, Vec<T>> {
    required(input, nullable_fixed_array(input, flexible, from)?)
}

/// A [`fixed_array`] or null.
///
/// # Errors
/// As [`nullable_array`].
#[inline]
pub fn nullable_fixed_array<T, const N: usize>(
    input: Input<'_>,
    flexible: bool,
    from: fn([u8; N]) -> T,
) -> Parsed<'_, Option<Vec<T>>> {
    let (rest, elements) = elements(input, flexible)?;
    Ok((
        rest,
        elements.map(|elements| elements.iter().map(|bytes| from(*bytes)).collect()),
    ))
}

/// An [`array()`] of a partition's brokers.
///
/// # Errors
/// As [`array()`].
#[inline(always)]
pub fn node_ids(input: Input<'_>, flexible: bool) -> Parsed<'_, NodeIds> {
    let (rest, ids) = required(input, elements(input, flexible)?)?;
    let ids = ids.iter().map(|bytes| i32::from_be_bytes(*bytes));
    Ok((rest, Exactly(ids).into()))
}

/// The bytes of an array's elements, `N` each.
#[inline(always)]
fn elements<const N: usize>(input: Input<'_>, flexible: bool) -> Parsed<'_, Option<&[[u8; N]]>> {
    let (rest, count) = count(input, flexible, N)?;
    let Some(count) = count else {
        return Ok((rest, None));
    };
    // The count has been held against what remains.
    let Some((content, rest)) = rest.split(count.saturating_mul(N)) else {
        return truncated(input, N as u64);
    };
    let (elements, _) = content.as_slice().as_chunks();
    Ok((rest, Some(elements)))
}

/// How many elements an array has, each of `least` bytes or more.
#[inline(always)]
fn count(input: Input<'_>, flexible: bool, least: usize) -> Parsed<'_, Option<usize>> {
    let (rest, count) = length(input, flexible, int32)?;
    let needed = u64::from(count.unwrap_or_default()).saturating_mul(least as u64);
    if needed > rest.len() as u64 {
        let remaining = rest.len();
        return fail(input, DecodeErrorKind::Truncated { needed, remaining });
    }
    Ok((rest, count.map(|count| count as usize)))
}

/// How many times the bytes that remain an array may reserve before it has read any: enough for most messages.
///
/// Arrays within each other may reserve that much each, and there are five levels in the deepest message. With
/// [`ELEMENT_RATIO`] it keeps what is decoded below 64 times its bytes.
const RESERVED_RATIO: usize = 3;

/// How many times the fewest bytes that an element takes it may take in memory.
const ELEMENT_RATIO: usize = 40;

/// An element may be wider in memory than on the wire: at first there is room for all only if that is not much more
/// than the bytes that have arrived. Beyond it has to be paid for by elements that are really there.
pub(super) fn initial_capacity<T>(count: usize, remaining: usize) -> usize {
    let room = remaining.saturating_mul(RESERVED_RATIO);
    count.min(room / size_of::<T>().max(1) + 1)
}

/// Refuses to compile for an element that takes too much memory for its `least` bytes: a message of nothing but such
/// elements is what decoding has to be bounded for.
pub(crate) const fn assert_bounded<T>(least: usize) {
    assert!(size_of::<T>() <= ELEMENT_RATIO * least);
}

/// A struct after a byte that says whether there is one: negative for null (KIP-893).
///
/// # Errors
/// When the byte is missing or the struct cannot be read.
pub fn nullable_struct<'a, T>(
    input: Input<'a>,
    content: impl FnOnce(Input<'a>) -> Parsed<'a, T>,
) -> Parsed<'a, Option<T>> {
    let (rest, presence) = int8(input)?;
    if presence < 0 {
        return Ok((rest, None));
    }
    let (rest, value) = content(rest)?;
    Ok((rest, Some(value)))
}

/// Refuses null unless it is `allowed`; `at` is where the value starts.
///
/// # Errors
/// When `parsed` is an error, or null where it must not be.
pub fn null_only_if<'a, T>(
    allowed: bool,
    at: Input<'a>,
    parsed: Parsed<'a, Option<T>>,
) -> Parsed<'a, Option<T>> {
    match parsed {
        Ok((_, None)) if !allowed => fail(at, DecodeErrorKind::UnexpectedNull),
        parsed => parsed,
    }
}
