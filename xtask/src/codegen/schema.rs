//! Kafka's schema files: JSON with comments, read into a model in which everything optional has been settled.

use std::{collections::BTreeMap, fmt, fs, path::Path};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

/// A range of versions; `max < min` means none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Versions {
    pub(super) min: i16,
    pub(super) max: i16,
}

impl Versions {
    pub(super) const NONE: Self = Self { min: 0, max: -1 };

    pub(super) fn parse(text: &str) -> Result<Self> {
        if text == "none" {
            return Ok(Self::NONE);
        }
        if let Some(min) = text.strip_suffix('+') {
            return Ok(Self {
                min: min.parse()?,
                max: i16::MAX,
            });
        }
        let (min, max) = text.split_once('-').unwrap_or((text, text));
        Ok(Self {
            min: min.parse()?,
            max: max.parse()?,
        })
    }

    pub(super) fn is_none(self) -> bool {
        self.max < self.min
    }

    pub(super) fn and(self, other: Self) -> Self {
        let both = Self {
            min: self.min.max(other.min),
            max: self.max.min(other.max),
        };
        if both.is_none() { Self::NONE } else { both }
    }

    pub(super) fn covers(self, other: Self) -> bool {
        other.and(self) == other
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            v if v.is_none() => f.write_str("none"),
            Self { min, max: i16::MAX } => write!(f, "{min}+"),
            Self { min, max } if min == max => write!(f, "{min}"),
            Self { min, max } => write!(f, "{min}-{max}"),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Type {
    Bool,
    Int8,
    Int16,
    Int32,
    Int64,
    Uint16,
    Float64,
    Uuid,
    String,
    Bytes,
    Records,
    /// An array of int32 in a type of its own, see [`super::apis::REPLICAS`].
    NodeIds,
    Struct(String),
    Array(Box<Type>),
}

impl Type {
    fn parse(text: &str) -> Result<Self> {
        if let Some(element) = text.strip_prefix("[]") {
            return Ok(Self::Array(Box::new(Self::parse(element)?)));
        }
        Ok(match text {
            "bool" => Self::Bool,
            "int8" => Self::Int8,
            "int16" => Self::Int16,
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "uint16" => Self::Uint16,
            "float64" => Self::Float64,
            "uuid" => Self::Uuid,
            "string" => Self::String,
            "bytes" => Self::Bytes,
            "records" => Self::Records,
            name if name.starts_with(|c: char| c.is_ascii_uppercase()) => {
                Self::Struct(name.to_owned())
            }
            other => bail!("unknown type {other}"),
        })
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Array(element) => write!(f, "array of {element}"),
            Self::Struct(name) => write!(f, "[`{name}`]"),
            Self::NodeIds => write!(f, "array of {}", Self::Int32),
            other => f.write_str(&format!("{other:?}").to_lowercase()),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) ty: Type,
    pub(super) versions: Versions,
    pub(super) nullable: Versions,
    pub(super) tag: Option<u32>,
    pub(super) tagged: Versions,
    pub(super) ignorable: bool,
    pub(super) default: Option<String>,
    /// Overrides the message's flexible versions.
    pub(super) flexible: Option<Versions>,
}

/// A message or a struct nested in one.
#[derive(Clone, Debug)]
pub(super) struct Struct {
    pub(super) name: String,
    /// In which of the message's versions it can occur.
    pub(super) versions: Versions,
    pub(super) fields: Vec<Field>,
}

#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) name: String,
    pub(super) api_key: Option<i16>,
    pub(super) valid: Versions,
    pub(super) latest_unstable: bool,
    pub(super) flexible: Versions,
    /// The message itself comes first, nested structs in the order of their use.
    pub(super) structs: Vec<Struct>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMessage {
    name: String,
    api_key: Option<i16>,
    valid_versions: String,
    flexible_versions: String,
    #[serde(default)]
    latest_version_unstable: bool,
    fields: Vec<RawField>,
    #[serde(default)]
    common_structs: Vec<RawStruct>,
}

#[derive(Deserialize)]
struct RawStruct {
    name: String,
    fields: Vec<RawField>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawField {
    name: String,
    #[serde(rename = "type")]
    ty: String,
    versions: String,
    nullable_versions: Option<String>,
    tagged_versions: Option<String>,
    flexible_versions: Option<String>,
    tag: Option<u32>,
    #[serde(default)]
    ignorable: bool,
    default: Option<serde_json::Value>,
    #[serde(default)]
    fields: Vec<RawField>,
}

impl Message {
    pub(super) fn load(directory: &Path, name: &str) -> Result<Self> {
        let path = directory.join(format!("{name}.json"));
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let raw = serde_json::from_str(&without_comments(&text))
            .with_context(|| path.display().to_string())?;
        Self::settle(raw).with_context(|| path.display().to_string())
    }

    fn settle(raw: RawMessage) -> Result<Self> {
        let valid = Versions::parse(&raw.valid_versions)?;
        ensure!(!valid.is_none(), "no valid versions");
        // Open to newer versions, so that conditions read as in the schema.
        let open = Versions {
            max: i16::MAX,
            ..valid
        };
        let mut collector = Collector {
            common: raw
                .common_structs
                .into_iter()
                .map(|common| (common.name, common.fields))
                .collect(),
            valid: open,
            structs: Vec::new(),
        };
        collector.add(raw.name.clone(), open, &raw.fields)?;
        Ok(Self {
            name: raw.name,
            api_key: raw.api_key,
            valid,
            latest_unstable: raw.latest_version_unstable,
            flexible: Versions::parse(&raw.flexible_versions)?,
            structs: collector.structs,
        })
    }

    pub(super) fn stable(&self) -> Versions {
        Versions {
            max: self.valid.max - i16::from(self.latest_unstable),
            ..self.valid
        }
    }

    /// Renames a nested struct and every use of it.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        fn in_type(ty: &mut Type, from: &str, to: &str) {
            match ty {
                Type::Struct(name) if name == from => *name = to.to_owned(),
                Type::Array(element) => in_type(element, from, to),
                _ => {}
            }
        }
        for nested in &mut self.structs {
            if nested.name == from {
                nested.name = to.to_owned();
            }
            for field in &mut nested.fields {
                in_type(&mut field.ty, from, to);
            }
        }
    }
}

struct Collector {
    common: BTreeMap<String, Vec<RawField>>,
    valid: Versions,
    structs: Vec<Struct>,
}

impl Collector {
    /// Adds the struct and what is nested in it, as far as `versions` can contain it.
    fn add(&mut self, name: String, versions: Versions, raw: &[RawField]) -> Result<()> {
        let index = self.structs.len();
        self.structs.push(Struct {
            name,
            versions,
            fields: Vec::new(),
        });
        let mut fields = Vec::new();
        for raw in raw {
            let field = Field::settle(raw, versions).with_context(|| raw.name.clone())?;
            // Of versions that are gone.
            if field.versions.is_none() {
                continue;
            }
            let element = match &field.ty {
                Type::Array(element) => element,
                other => other,
            };
            if let Type::Struct(name) = element {
                self.nested(name.clone(), field.versions, &raw.fields)?;
            }
            fields.push(field);
        }
        self.structs[index].fields = fields;
        Ok(())
    }

    fn nested(&mut self, name: String, versions: Versions, inline: &[RawField]) -> Result<()> {
        if self.structs.iter().any(|known| known.name == name) {
            ensure!(inline.is_empty(), "{name} is defined twice");
            return Ok(());
        }
        match self.common.remove(&name) {
            // Used from several places, in any version of the message.
            Some(fields) => self.add(name, self.valid, &fields),
            None => self.add(name, versions, inline),
        }
    }
}

impl Field {
    fn settle(raw: &RawField, outer: Versions) -> Result<Self> {
        let mut ty = Type::parse(&raw.ty)?;
        if super::apis::REPLICAS.contains(&&*raw.name) {
            ensure!(
                ty == Type::Array(Box::new(Type::Int32)),
                "not an array of broker ids"
            );
            ty = Type::NodeIds;
        }
        let versions = Versions::parse(&raw.versions)?.and(outer);
        let parse = |text: &Option<String>| text.as_deref().map(Versions::parse).transpose();
        let mut default = match &raw.default {
            None => None,
            Some(serde_json::Value::String(text)) => Some(text.clone()),
            Some(other) => Some(other.to_string()),
        };
        let nullable = parse(&raw.nullable_versions)?
            .unwrap_or(Versions::NONE)
            .and(versions);
        if ty == Type::Records && !nullable.is_none() {
            default = Some("null".to_owned());
        }
        Ok(Self {
            name: raw.name.clone(),
            ty,
            versions,
            nullable,
            tag: raw.tag,
            tagged: parse(&raw.tagged_versions)?
                .unwrap_or(Versions::NONE)
                .and(versions),
            ignorable: raw.ignorable,
            default,
            flexible: parse(&raw.flexible_versions)?,
        })
    }
}

/// Drops `//` comments, which never stand inside a string that matters here: those are whole lines.
fn without_comments(text: &str) -> String {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}
