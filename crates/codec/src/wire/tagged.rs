//! Tagged fields (KIP-482): known ones by their tag, unknown ones kept as they came.

use bytes::Bytes;

use super::{Encoder, Input, Parsed, ParsedExt as _, parse::fail, unsigned_varint};
use crate::{DecodeErrorKind, EncodeError, EncodeErrorKind};

/// A tagged field that the schema of this crate's Kafka version does not have, kept so that nothing is lost.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct UnknownTaggedField {
    /// The tag.
    pub tag: u32,
    /// The field's bytes, without tag and length.
    #[cfg_attr(feature = "serde", serde(with = "crate::json::bytes"))]
    pub data: Bytes,
}

/// Reads a struct's tagged fields. Kafka's classes also read what they would not write: tags that do not ascend, and a
/// known field with bytes left over. That is an error here, because nothing could say it again.
///
/// `known` gets each tag and the field's bytes; it stores the value and returns what is
/// left of them, or `None` for a tag it does not know, which is then added to `unknown`.
///
/// # Errors
/// When the section is cut off, its tags do not ascend, or a known field cannot be read or has bytes left over.
#[inline]
pub fn tagged_fields<'a>(
    input: Input<'a>,
    unknown: &mut Vec<UnknownTaggedField>,
    mut known: impl FnMut(u32, Input<'a>) -> Result<Option<Input<'a>>, nom::Err<super::WireError>>,
) -> Result<Input<'a>, nom::Err<super::WireError>> {
    let (mut rest, count) = unsigned_varint(input).field("tagged fields")?;
    let mut previous = None;
    for _ in 0..count {
        let at = rest;
        let (tag, content);
        (rest, (tag, content)) = tagged_field(at).field("tagged fields")?;
        if previous.replace(tag) >= Some(tag) {
            return fail(at, DecodeErrorKind::TagOrder { tag })
                .field("tagged fields")
                .map(|(rest, ())| rest);
        }
        match known(tag, content)? {
            None => {
                // Mostly it stays the only one: room for more would be many times its bytes.
                if unknown.is_empty() {
                    unknown.reserve_exact(1);
                }
                unknown.push(UnknownTaggedField {
                    tag,
                    data: content.to_bytes(),
                });
            }
            Some(left) if left.is_empty() => {}
            Some(left) => {
                let kind = DecodeErrorKind::TaggedFieldLength { extra: left.len() };
                return fail(left, kind)
                    .field("tagged fields")
                    .map(|(rest, ())| rest);
            }
        }
    }
    Ok(rest)
}

/// Reads the tagged fields of a struct that has none in this crate's Kafka version.
///
/// # Errors
/// When the section is cut off, or its tags do not ascend.
#[inline(always)]
pub fn unknown_tagged_fields(input: Input<'_>) -> Parsed<'_, Vec<UnknownTaggedField>> {
    match *input.as_slice() {
        // Nearly always.
        [0, ..] => unsigned_varint(input).map(|(rest, _)| (rest, Vec::new())),
        _ => some_unknown(input),
    }
}

fn some_unknown(input: Input<'_>) -> Parsed<'_, Vec<UnknownTaggedField>> {
    let mut unknown = Vec::new();
    let rest = tagged_fields(input, &mut unknown, |_, _| Ok(None))?;
    Ok((rest, unknown))
}

fn tagged_field(input: Input<'_>) -> Parsed<'_, (u32, Input<'_>)> {
    let (rest, tag) = unsigned_varint(input)?;
    let (rest, size) = unsigned_varint(rest)?;
    match rest.split(size as usize) {
        Some((content, tail)) => Ok((tail, (tag, content))),
        None => fail(
            input,
            DecodeErrorKind::Truncated {
                needed: size.into(),
                remaining: rest.len(),
            },
        ),
    }
}

/// Collects a struct's tagged fields, then writes them sorted by tag.
#[derive(Debug, Default)]
pub(crate) struct TaggedFields {
    known: Vec<(u32, Encoder)>,
}

impl TaggedFields {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Refuses unknown fields of a struct in a version that has no section for them, as Java does.
    pub(crate) fn refuse(unknown: &[UnknownTaggedField], version: i16) -> Result<(), EncodeError> {
        match unknown {
            [] => Ok(()),
            _ => Err(EncodeError::not_in_version(
                "unknown_tagged_fields",
                version,
            )),
        }
    }

    /// Refuses unknown fields that a reader would take for one of the struct's own, also for one that is left out.
    pub(crate) fn refuse_known(
        unknown: &[UnknownTaggedField],
        is_known: impl Fn(u32) -> bool,
    ) -> Result<(), EncodeError> {
        match unknown.iter().find(|field| is_known(field.tag)) {
            Some(field) => Err(Self::duplicate(field.tag)),
            None => Ok(()),
        }
    }

    fn duplicate(tag: u32) -> EncodeError {
        EncodeError {
            message: "",
            field: "unknown_tagged_fields",
            kind: EncodeErrorKind::DuplicateTag { tag },
        }
    }

    /// Adds field `tag` with what has been written to `content`.
    pub(crate) fn add(&mut self, tag: u32, content: Encoder) {
        self.known.push((tag, content));
    }

    /// Writes the section.
    pub(crate) fn finish(
        self,
        unknown: &[UnknownTaggedField],
        out: &mut Encoder,
    ) -> Result<(), EncodeError> {
        let mut fields = self.known;
        for UnknownTaggedField { tag, data } in unknown {
            let mut content = Encoder::new();
            content.raw(data);
            fields.push((*tag, content));
        }
        fields.sort_by_key(|(tag, _)| *tag);
        let mut previous = None;
        for (tag, _) in &fields {
            if previous.replace(*tag) == Some(*tag) {
                return Err(Self::duplicate(*tag));
            }
        }
        let count = fields.len();
        out.unsigned_varint(count as u32);
        for (tag, content) in fields {
            out.unsigned_varint(tag);
            let size = u32::try_from(content.len()).map_err(|_| EncodeErrorKind::TooLong {
                length: content.len(),
            });
            out.unsigned_varint(size.map_err(|kind| EncodeError {
                message: "",
                field: "",
                kind,
            })?);
            out.append(content);
        }
        Ok(())
    }
}
