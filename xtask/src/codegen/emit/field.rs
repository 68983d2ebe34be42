//! One field: its name, type, default and facts.

use std::fmt::Write as _;

use anyhow::{Result, bail, ensure};

use crate::codegen::{
    names,
    schema::{Field, Type},
};

pub(super) fn ident(field: &Field) -> String {
    names::field(&field.name)
}

/// The function of `wire` and the encoder for a type.
pub(super) fn primitive(ty: &Type) -> &'static str {
    match ty {
        Type::Bool => "boolean",
        Type::Int8 => "int8",
        Type::Int16 => "int16",
        Type::Int32 => "int32",
        Type::Int64 => "int64",
        Type::Uint16 => "uint16",
        Type::Float64 => "float64",
        Type::Uuid => "uuid",
        Type::String => "string",
        Type::Bytes => "bytes",
        Type::Records => "records",
        Type::NodeIds => "node_ids",
        Type::Struct(_) | Type::Array(_) => unreachable!("not a primitive"),
    }
}

pub(super) fn rust_type(field: &Field) -> String {
    let plain = plain(&field.ty);
    if field.nullable.is_none() {
        plain
    } else {
        format!("Option<{plain}>")
    }
}

/// The type without `Option`.
pub(super) fn plain(ty: &Type) -> String {
    match ty {
        Type::Bool => "bool".to_owned(),
        Type::Int8 => "i8".to_owned(),
        Type::Int16 => "i16".to_owned(),
        Type::Int32 => "i32".to_owned(),
        Type::Int64 => "i64".to_owned(),
        Type::Uint16 => "u16".to_owned(),
        Type::Float64 => "f64".to_owned(),
        Type::Uuid => "Uuid".to_owned(),
        Type::String => "String".to_owned(),
        Type::Bytes => "Bytes".to_owned(),
        Type::Records => "Records".to_owned(),
        Type::NodeIds => "NodeIds".to_owned(),
        Type::Struct(name) => name.clone(),
        Type::Array(element) => format!("Vec<{}>", plain(element)),
    }
}

/// A field's doc line, made of its facts.
pub(super) fn facts(field: &Field) -> String {
    let mut text = format!(
        "`{}`: {}, versions {}",
        field.name, field.ty, field.versions
    );
    if !field.nullable.is_none() {
        _ = write!(text, ", nullable in {}", field.nullable);
    }
    if let Some(default) = &field.default {
        let default = if default.is_empty() { "empty" } else { default };
        _ = write!(text, ", default {default}");
    }
    if let Some(tag) = field.tag {
        _ = write!(text, ", tag {tag}");
    }
    if field.ignorable {
        text += ", ignorable";
    }
    text + "."
}

pub(super) fn default_is_types(field: &Field) -> bool {
    default_value(field).is_ok_and(|value| {
        matches!(value.as_str(), "0" | "false" | "0.0" | "None")
            || value.ends_with("::new()") && !value.starts_with("Some")
            || value.ends_with("::default()")
            || value == "Uuid::ZERO"
    })
}

pub(super) fn default_value(field: &Field) -> Result<String> {
    let text = field.default.as_deref().filter(|text| !text.is_empty());
    if text == Some("null") {
        ensure!(
            !field.nullable.is_none(),
            "{}: null by default, but not nullable",
            field.name
        );
        return Ok("None".to_owned());
    }
    let value = match &field.ty {
        Type::Bool => text.unwrap_or("false").to_owned(),
        Type::Float64 => format!("{:?}", text.unwrap_or("0").parse::<f64>()?),
        Type::Int8 | Type::Int16 | Type::Int32 | Type::Int64 | Type::Uint16 => {
            integer(text.unwrap_or("0"), &field.ty)?
        }
        Type::Struct(name) => format!("{name}::default()"),
        _ if text.is_some() => bail!("{}: unexpected default {text:?}", field.name),
        Type::Uuid => "Uuid::ZERO".to_owned(),
        Type::String => "String::new()".to_owned(),
        Type::Bytes => "Bytes::new()".to_owned(),
        Type::Records => "Records::default()".to_owned(),
        Type::NodeIds => "NodeIds::default()".to_owned(),
        Type::Array(_) => "Vec::new()".to_owned(),
    };
    Ok(if field.nullable.is_none() {
        value
    } else {
        format!("Some({value})")
    })
}

fn integer(text: &str, ty: &Type) -> Result<String> {
    let value = match text.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16)?,
        None => text.parse()?,
    };
    Ok(match (value, ty) {
        (value, Type::Int32) if value == i64::from(i32::MAX) => "i32::MAX".to_owned(),
        (value, Type::Int32) if value == i64::from(i32::MIN) => "i32::MIN".to_owned(),
        (i64::MAX, Type::Int64) => "i64::MAX".to_owned(),
        (value, _) => value.to_string(),
    })
}

pub(super) fn differs_from_default(field: &Field) -> String {
    let ident = ident(field);
    let value = default_value(field).unwrap_or_default();
    match (value.as_str(), &field.ty) {
        ("None", _) => format!("self.{ident}.is_some()"),
        ("true", _) => format!("!self.{ident}"),
        ("false", _) => format!("self.{ident}"),
        ("Uuid::ZERO", _) => format!("!self.{ident}.is_zero()"),
        (some, _) if some.starts_with("Some(") => {
            format!("self.{ident}.as_ref().is_none_or(|value| !value.is_empty())")
        }
        (_, Type::String | Type::Bytes | Type::Records | Type::NodeIds | Type::Array(_)) => {
            format!("!self.{ident}.is_empty()")
        }
        (value, _) => format!("self.{ident} != {value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codegen::schema::Versions;

    fn field(ty: Type, nullable: &str, default: Option<&str>) -> Field {
        Field {
            name: "SomeField".to_owned(),
            ty,
            versions: Versions::parse("1+").unwrap(),
            nullable: Versions::parse(nullable).unwrap(),
            tag: None,
            tagged: Versions::NONE,
            ignorable: false,
            default: default.map(str::to_owned),
            flexible: None,
        }
    }

    #[test]
    fn defaults_are_the_schemas() {
        let value = |ty, nullable, default| default_value(&field(ty, nullable, default)).unwrap();
        assert_eq!(value(Type::Int32, "none", Some("0x7fffffff")), "i32::MAX");
        assert_eq!(value(Type::Int64, "none", Some("-1")), "-1");
        assert_eq!(value(Type::Bool, "none", Some("true")), "true");
        assert_eq!(value(Type::String, "1+", Some("null")), "None");
        assert_eq!(value(Type::String, "1+", None), "Some(String::new())");
        assert!(default_value(&field(Type::String, "none", Some("null"))).is_err());
    }

    #[test]
    fn docs_are_made_of_facts() {
        let facts = facts(&field(
            Type::Array(Box::new(Type::String)),
            "2+",
            Some("null"),
        ));
        assert_eq!(
            facts,
            "`SomeField`: array of string, versions 1+, nullable in 2+, default null."
        );
    }
}
