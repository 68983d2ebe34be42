//! The body of `decode`.

use std::fmt::Write as _;

use super::{
    condition::{Blocks, condition},
    field::{ident, primitive},
    file::Emitter,
};
use crate::codegen::schema::{Field, Type};

impl Emitter<'_> {
    pub(super) fn decode(&self, out: &mut String) {
        let outer = self.nested.versions;
        let mut blocks = Blocks::default();
        for field in self
            .nested
            .fields
            .iter()
            .filter(|field| field.tag.is_none())
        {
            let read = format!(
                "(input, this.{}) = {};\n",
                ident(field),
                self.decode_value(field, "input")
            );
            let when = (!field.versions.covers(outer)).then(|| condition(field.versions, outer));
            blocks.add(when, &read, "");
        }
        let mut body = blocks.finish();
        if self.has_tags() {
            let read = self.decode_tagged();
            if self.flexible().covers(outer) {
                body += &read;
            } else {
                _ = write!(body, "if flexible {{\n{read}}}\n");
            }
        }
        if body.is_empty() {
            *out += "Ok((input, Self::default()))\n";
            return;
        }
        *out += &self.let_flexible(&body);
        *out += "let (mut input, mut this) = (input, Self::default());\n";
        *out += &body;
        *out += "Ok((input, this))\n";
    }

    fn decode_tagged(&self) -> String {
        let mut arms = String::new();
        for field in self
            .nested
            .fields
            .iter()
            .filter(|field| field.tag.is_some())
        {
            let guard = match field.versions.covers(self.flexible()) {
                true => String::new(),
                false => format!(" if {}", condition(field.versions, self.flexible())),
            };
            let (tag, ident) = (field.tag.unwrap_or_default(), ident(field));
            let value = self.decode_value(field, "content");
            _ = writeln!(arms, "{tag}{guard} => (rest, this.{ident}) = {value},");
        }
        if arms.is_empty() {
            return "(input, this.unknown_tagged_fields) = wire::unknown_tagged_fields(input)?;\n"
                .to_owned();
        }
        format!(
            "input = wire::tagged_fields(input, &mut this.unknown_tagged_fields, |tag, content| {{
                let rest;
                match tag {{ {arms} _ => return Ok(None), }}
                Ok(Some(rest))
            }})?;\n"
        )
    }

    fn decode_value(&self, field: &Field, from: &str) -> String {
        let (label, flexible) = (self.label(field), self.flexible_arg(field));
        let nullable = !field.nullable.is_none();
        let prefix = if nullable { "nullable_" } else { "" };
        let parse = match &field.ty {
            Type::String | Type::Bytes | Type::Records => {
                format!("wire::{prefix}{}({from}, {flexible})", primitive(&field.ty))
            }
            Type::Struct(name) if nullable => {
                format!("wire::nullable_struct({from}, |input| {name}::decode(input, version))")
            }
            Type::Struct(name) => return format!("{name}::decode({from}, version)?"),
            Type::Array(element) => {
                let element = match &**element {
                    Type::Struct(name) => format!("|input| {name}::decode(input, version)"),
                    Type::String => format!("|input| wire::string(input, {flexible})"),
                    element => format!("wire::{}", primitive(element)),
                };
                format!("wire::{prefix}array({from}, {flexible}, {element})")
            }
            simple => format!("wire::{}({from})", primitive(simple)),
        };
        if nullable && !field.nullable.covers(field.versions) {
            let allowed = condition(field.nullable, field.versions);
            format!("wire::null_only_if({allowed}, {from}, {parse}).in_field(\"{label}\")?")
        } else {
            format!("{parse}.in_field(\"{label}\")?")
        }
    }
}
