//! The body of `decode`.

use std::fmt::Write as _;

use anyhow::Result;

use super::{
    condition::condition,
    field::{default_value, ident, plain, primitive},
    file::Emitter,
};
use crate::codegen::schema::{Field, Type};

impl Emitter<'_> {
    /// Every field is bound to a name and the struct made of them at the end: nothing is written twice.
    pub(super) fn decode(&self, out: &mut String) -> Result<()> {
        let outer = self.nested.versions;
        let fields = &self.nested.fields;
        let mut body = String::new();
        for field in fields.iter().filter(|field| field.tag.is_none()) {
            let (ident, read) = (ident(field), self.decode_value(field, "input"));
            let read = if field.versions.covers(outer) {
                read
            } else {
                let (when, absent) = (condition(field.versions, outer), default_value(field)?);
                format!("if {when} {{ {read} }} else {{ (input, {absent}) }}")
            };
            _ = writeln!(body, "let (input, {ident}) = {read};");
        }
        let mut names: Vec<String> = fields.iter().map(ident).collect();
        if self.has_tags() {
            body += &self.decode_tagged()?;
            names.push("unknown_tagged_fields".to_owned());
        }
        *out += &self.let_flexible(&body);
        *out += &body;
        _ = writeln!(out, "Ok((input, Self {{ {} }}))", names.join(", "));
        Ok(())
    }

    fn decode_tagged(&self) -> Result<String> {
        let mut section = String::new();
        let mut arms = String::new();
        let fields = self.nested.fields.iter();
        for field in fields.filter(|field| field.tag.is_some()) {
            let guard = match field.versions.covers(self.flexible()) {
                true => String::new(),
                false => format!(" if {}", condition(field.versions, self.flexible())),
            };
            let (tag, ident) = (field.tag.unwrap_or_default(), ident(field));
            let value = self.decode_value(field, "content");
            _ = writeln!(section, "let mut {ident} = {};", default_value(field)?);
            _ = writeln!(arms, "{tag}{guard} => (rest, {ident}) = {value},");
        }
        let always = self.flexible().covers(self.nested.versions);
        if arms.is_empty() {
            let read = "wire::unknown_tagged_fields(input)?";
            let read = match always {
                true => read.to_owned(),
                false => format!("if flexible {{ {read} }} else {{ (input, Vec::new()) }}"),
            };
            return Ok(format!("let (input, unknown_tagged_fields) = {read};\n"));
        }
        let read = format!(
            "wire::tagged_fields(input, &mut unknown_tagged_fields, |tag, content| {{
                let rest;
                match tag {{ {arms} _ => return Ok(None), }}
                Ok(Some(rest))
            }})?"
        );
        let read = match always {
            true => read,
            false => format!("if flexible {{ {read} }} else {{ input }}"),
        };
        _ = write!(
            section,
            "let mut unknown_tagged_fields = Vec::new();\nlet input = {read};\n"
        );
        Ok(section)
    }

    fn decode_value(&self, field: &Field, from: &str) -> String {
        let (label, flexible) = (self.label(field), self.flexible_arg(field));
        let nullable = !field.nullable.is_none();
        let prefix = if nullable { "nullable_" } else { "" };
        let parse = match &field.ty {
            Type::String | Type::Bytes | Type::Records | Type::NodeIds => {
                format!("wire::{prefix}{}({from}, {flexible})", primitive(&field.ty))
            }
            Type::Struct(name) if nullable => {
                format!("wire::nullable_struct({from}, |input| {name}::decode(input, version))")
            }
            Type::Struct(name) => return format!("{name}::decode({from}, version)?"),
            Type::Array(element) => match &**element {
                Type::Struct(name) => format!(
                    "wire::{prefix}array({from}, {flexible}, {name}::least_size(version), |input| {name}::decode(input, version))"
                ),
                Type::String => format!("wire::{prefix}string_array({from}, {flexible})"),
                element => {
                    format!(
                        "wire::{prefix}fixed_array({from}, {flexible}, {})",
                        from_bytes(element)
                    )
                }
            },
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

/// The function from big-endian bytes to a value of a type of fixed size.
fn from_bytes(ty: &Type) -> String {
    match ty {
        Type::Uuid => "Uuid".to_owned(),
        ty => format!("{}::from_be_bytes", plain(ty)),
    }
}
