//! The body of `encode`.

use std::fmt::Write as _;

use anyhow::{Result, ensure};

use super::{
    condition::{Blocks, absence, condition},
    field::{differs_from_default, ident, primitive},
    file::Emitter,
};
use crate::codegen::schema::{Field, Type};

impl Emitter<'_> {
    pub(super) fn encode(&self, out: &mut String) -> Result<()> {
        let outer = self.nested.versions;
        let mut blocks = Blocks::default();
        for field in self
            .nested
            .fields
            .iter()
            .filter(|field| field.tag.is_none())
        {
            let mut write = String::new();
            self.encode_value(field, &mut write);
            if field.versions.covers(outer) {
                blocks.add(None, &write, "");
            } else {
                let refuse = self
                    .refuse(field)
                    .map(|(differs, refuse)| format!(" else if {differs} {{\n{refuse}}}"));
                blocks.add(
                    Some(condition(field.versions, outer)),
                    &write,
                    &refuse.unwrap_or_default(),
                );
            }
        }
        let mut body = blocks.finish();
        if self.has_tags() {
            self.encode_tagged(&mut body)?;
        }
        *out += &self.let_flexible(&body);
        *out += &body;
        Ok(())
    }

    /// The condition under which a field must not be left out, and the error then.
    fn refuse(&self, field: &Field) -> Option<(String, String)> {
        (!field.ignorable).then(|| {
            let refuse = format!(
                "return Err(EncodeError::not_in_version(\"{}\", version));\n",
                self.label(field)
            );
            (differs_from_default(field), refuse)
        })
    }

    fn encode_tagged(&self, body: &mut String) -> Result<()> {
        let outer = self.nested.versions;
        let mut tagged: Vec<_> = self
            .nested
            .fields
            .iter()
            .filter(|field| field.tag.is_some())
            .collect();
        tagged.sort_by_key(|field| field.tag);
        let mut section = String::new();
        let mut checks = String::new();
        let mut known = Vec::new();
        for field in &tagged {
            ensure!(
                field.versions == field.tagged,
                "{}: tagged in some versions only",
                field.name
            );
            let mut write = String::new();
            self.encode_value(field, &mut write);
            let tag = field.tag.unwrap_or_default();
            let differs = differs_from_default(field);
            let write = format!("let mut out = Encoder::new();\n{write}tagged.add({tag}, out);\n");
            let write = write.replace("(out, version)", "(&mut out, version)");
            let flexible = self.flexible();
            let mut when = differs.clone();
            if field.versions.covers(flexible) {
                known.push(format!("tag == {tag}"));
            } else {
                let there = condition(field.versions, flexible);
                when = format!("{there} && {differs}");
                known.push(format!("tag == {tag} && {there}"));
            }
            _ = write!(section, "if {when} {{\n{write}}}\n");
            if let (false, Some((differs, refuse))) =
                (field.versions.covers(outer), self.refuse(field))
            {
                _ = write!(
                    checks,
                    "if {} && {differs} {{\n{refuse}}}\n",
                    absence(field.versions, outer)
                );
            }
        }
        *body += &checks;
        let always = self.flexible().covers(outer);
        if !always {
            *body += "if flexible {\n";
        }
        let finish = match known.join(" || ") {
            none if none.is_empty() => {
                "TaggedFields::new().finish(&self.unknown_tagged_fields, out)?;".to_owned()
            }
            known => format!(
                "let mut tagged = TaggedFields::new();\n{section}TaggedFields::refuse_known(&self.unknown_tagged_fields, |tag| {known})?;\ntagged.finish(&self.unknown_tagged_fields, out)?;"
            ),
        };
        _ = writeln!(body, "{finish}");
        if !always {
            *body += "} else {\nTaggedFields::refuse(&self.unknown_tagged_fields, version)?;\n}\n";
        }
        Ok(())
    }

    fn encode_value(&self, field: &Field, out: &mut String) {
        let (ident, label, flexible) = (ident(field), self.label(field), self.flexible_arg(field));
        let nullable = !field.nullable.is_none();
        if nullable && !field.nullable.covers(field.versions) {
            let forbidden = absence(field.nullable, field.versions);
            let error = format!("EncodeError::null_not_allowed(\"{label}\", version)");
            _ = writeln!(
                out,
                "if {forbidden} && self.{ident}.is_none() {{ return Err({error}); }}"
            );
        }
        match &field.ty {
            Type::String if nullable => {
                _ = writeln!(
                    out,
                    "out.nullable_string(self.{ident}.as_deref(), {flexible}).out_field(\"{label}\")?;"
                )
            }
            Type::Bytes | Type::Records if nullable => {
                let kind = primitive(&field.ty);
                _ = writeln!(
                    out,
                    "out.nullable_{kind}(self.{ident}.as_ref(), {flexible}).out_field(\"{label}\")?;"
                );
            }
            Type::String | Type::Bytes | Type::Records | Type::NodeIds => {
                _ = writeln!(
                    out,
                    "out.{}(&self.{ident}, {flexible}).out_field(\"{label}\")?;",
                    primitive(&field.ty)
                );
            }
            Type::Struct(_) if nullable => {
                _ = writeln!(out, "out.presence(self.{ident}.is_some());");
                _ = writeln!(
                    out,
                    "if let Some(content) = &self.{ident} {{ content.encode(out, version)?; }}"
                );
            }
            Type::Struct(_) => _ = writeln!(out, "self.{ident}.encode(out, version)?;"),
            Type::Array(element) => {
                let write = match &**element {
                    Type::Struct(_) => "item.encode(out, version)?;".to_owned(),
                    Type::String => {
                        format!("out.string(item, {flexible}).out_field(\"{label}\")?;")
                    }
                    element => format!("out.{}(*item);", primitive(element)),
                };
                if nullable {
                    _ = writeln!(
                        out,
                        "out.nullable_array_len(self.{ident}.as_ref().map(Vec::len), {flexible}).out_field(\"{label}\")?;"
                    );
                    _ = writeln!(
                        out,
                        "for item in self.{ident}.iter().flatten() {{ {write} }}"
                    );
                } else {
                    _ = writeln!(
                        out,
                        "out.array_len(self.{ident}.len(), {flexible}).out_field(\"{label}\")?;"
                    );
                    _ = writeln!(out, "for item in &self.{ident} {{ {write} }}");
                }
            }
            simple => _ = writeln!(out, "out.{}(self.{ident});", primitive(simple)),
        }
    }
}
