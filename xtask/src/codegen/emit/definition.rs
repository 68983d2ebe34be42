//! A struct's definition, with its default and debug form.

use std::fmt::Write as _;

use anyhow::Result;

use super::{
    field::{default_is_types, default_value, facts, ident, rust_type},
    file::Emitter,
};
use crate::codegen::{
    apis,
    schema::{Field, Type},
};

/// Names as in Kafka's JSON, where whatever a version lacks is absent.
const SERDE_STRUCT: &str = "#[cfg_attr(feature = \"serde\", derive(serde::Serialize, serde::Deserialize), serde(rename_all = \"camelCase\", default))]";

impl Emitter<'_> {
    pub(super) fn definition(&self, out: &mut String) -> Result<()> {
        let Self {
            message,
            nested,
            top,
        } = self;
        if *top {
            _ = writeln!(out, "/// `{}`, versions {}.", message.name, message.valid);
        } else {
            _ = writeln!(
                out,
                "/// Part of [`{}`], versions {}.",
                message.structs[0].name, nested.versions
            );
        }
        let mut derives = vec!["Clone"];
        if !nested.fields.iter().any(|field| self.is_secret(field)) {
            derives.push("Debug");
        }
        derives.push("PartialEq");
        if nested.fields.iter().all(default_is_types) {
            derives.push("Default");
        }
        _ = writeln!(
            out,
            "#[derive({})]\n{}\npub struct {} {{",
            derives.join(", "),
            SERDE_STRUCT,
            nested.name
        );
        for field in &nested.fields {
            _ = writeln!(
                out,
                "/// {}\n{}pub {}: {},",
                facts(field),
                serde(field),
                ident(field),
                rust_type(field)
            );
        }
        if self.has_tags() {
            out.push_str("/// Tagged fields that this schema does not have.\n");
            _ = writeln!(
                out,
                "{}",
                if_serde("skip_serializing_if = \"Vec::is_empty\"")
            );
            out.push_str("pub unknown_tagged_fields: Vec<UnknownTaggedField>,\n");
        }
        out.push_str("}\n\n");
        Ok(())
    }

    pub(super) fn default(&self, out: &mut String) -> Result<()> {
        if self.nested.fields.iter().all(default_is_types) {
            return Ok(());
        }
        _ = writeln!(
            out,
            "impl Default for {} {{ fn default() -> Self {{ Self {{",
            self.nested.name
        );
        for field in &self.nested.fields {
            _ = writeln!(out, "{}: {},", ident(field), default_value(field)?);
        }
        if self.has_tags() {
            out.push_str("unknown_tagged_fields: Vec::new(),\n");
        }
        out.push_str("}}}\n\n");
        Ok(())
    }

    fn is_secret(&self, field: &Field) -> bool {
        apis::SECRET.contains(&(self.nested.name.as_str(), field.name.as_str()))
    }

    pub(super) fn debug(&self, out: &mut String) {
        let name = &self.nested.name;
        if !self.nested.fields.iter().any(|field| self.is_secret(field)) {
            return;
        }
        _ = writeln!(
            out,
            "/// Shows the length of credentials only.\nimpl std::fmt::Debug for {name} {{"
        );
        _ = writeln!(
            out,
            "fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {{ f.debug_struct(\"{name}\")"
        );
        for field in &self.nested.fields {
            let ident = ident(field);
            if self.is_secret(field) {
                _ = writeln!(
                    out,
                    ".field(\"{ident}\", &format_args!(\"<{{}} bytes>\", self.{ident}.len()))"
                );
            } else {
                _ = writeln!(out, ".field(\"{ident}\", &self.{ident})");
            }
        }
        if self.has_tags() {
            out.push_str(".field(\"unknown_tagged_fields\", &self.unknown_tagged_fields)\n");
        }
        out.push_str(".finish() }}\n\n");
    }
}

/// A field's attribute for serde, where its type's own form is not that of Kafka's converters.
fn serde(field: &Field) -> String {
    let form = match field.ty {
        Type::Bytes if field.nullable.is_none() => "bytes",
        Type::Bytes => "nullable_bytes",
        Type::Float64 => "float64",
        _ => return String::new(),
    };
    if_serde(&format!("with = \"crate::json::{form}\"")) + "\n"
}

fn if_serde(attribute: &str) -> String {
    format!("#[cfg_attr(feature = \"serde\", serde({attribute}))]")
}
