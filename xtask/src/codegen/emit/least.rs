//! The fewest bytes that an element of an array can take: what a count from the wire is held against.

use std::fmt::Write as _;

use super::file::Emitter;
use crate::codegen::schema::{Field, Message, Struct, Type, Versions};

impl Emitter<'_> {
    /// `least_size`, for a struct that arrays are made of.
    pub(super) fn least_size(&self, out: &mut String) {
        if !is_element(self.message, &self.nested.name) {
            return;
        }
        let sizes = sizes(self.message, self.nested);
        let (parameter, body) = match &*sizes {
            [(_, size)] => ("_version", size.to_string()),
            sizes => ("version", piecewise(sizes)),
        };
        _ = writeln!(
            out,
            "/// The fewest bytes that one takes.\nconst fn least_size({parameter}: i16) -> usize {{ {body} }}\n"
        );
    }

    /// That such a struct does not take too much more memory than bytes, in any version.
    pub(super) fn bounded(&self, out: &mut String) {
        let name = &self.nested.name;
        let sizes = sizes(self.message, self.nested);
        if let (true, Some(least)) = (
            is_element(self.message, name),
            sizes.iter().map(|(_, size)| size).min(),
        ) {
            _ = writeln!(
                out,
                "const _: () = wire::assert_bounded::<{name}>({least});\n"
            );
        }
    }
}

fn is_element(message: &Message, name: &str) -> bool {
    let fields = message.structs.iter().flat_map(|nested| &nested.fields);
    let mut elements = fields.filter_map(|field| match &field.ty {
        Type::Array(element) => Some(&**element),
        _ => None,
    });
    elements.any(|element| *element == Type::Struct(name.to_owned()))
}

/// Each size with the last version that has it.
fn sizes(message: &Message, nested: &Struct) -> Vec<(i16, usize)> {
    let versions = nested.versions.and(message.valid);
    let mut sizes: Vec<(i16, usize)> = Vec::new();
    for version in versions.min..=versions.max {
        let size = of_struct(message, nested, version);
        match sizes.last_mut() {
            Some((last, same)) if *same == size => *last = version,
            _ => sizes.push((version, size)),
        }
    }
    sizes
}

fn piecewise(sizes: &[(i16, usize)]) -> String {
    let mut arms = String::new();
    let mut before = None;
    for (index, &(last, size)) in sizes.iter().enumerate() {
        let versions = match before.replace(last) {
            _ if index + 1 == sizes.len() => "_".to_owned(),
            None => format!("..={last}"),
            Some(before) if before + 1 == last => last.to_string(),
            Some(before) => format!("{}..={last}", before + 1),
        };
        _ = write!(arms, "{versions} => {size},");
    }
    format!("match version {{ {arms} }}")
}

fn of_struct(message: &Message, nested: &Struct, version: i16) -> usize {
    let fields = nested
        .fields
        .iter()
        .filter(|field| field.tag.is_none() && holds(field.versions, version));
    let fields: usize = fields.map(|field| of_field(message, field, version)).sum();
    // The number of tagged fields.
    fields + usize::from(holds(message.flexible, version))
}

fn of_field(message: &Message, field: &Field, version: i16) -> usize {
    let compact = holds(message.flexible, version) && field.flexible.is_none();
    match &field.ty {
        Type::Bool | Type::Int8 => 1,
        Type::Int16 | Type::Uint16 => 2,
        Type::Int32 => 4,
        Type::Int64 | Type::Float64 => 8,
        Type::Uuid => 16,
        // An empty one is its length.
        Type::String | Type::Bytes | Type::Records | Type::NodeIds | Type::Array(_) if compact => 1,
        Type::String => 2,
        Type::Bytes | Type::Records | Type::NodeIds | Type::Array(_) => 4,
        // Null.
        Type::Struct(_) if !field.nullable.is_none() => 1,
        Type::Struct(name) => message
            .structs
            .iter()
            .find(|nested| nested.name == *name)
            .map_or(0, |nested| of_struct(message, nested, version)),
    }
}

fn holds(versions: Versions, version: i16) -> bool {
    (versions.min..=versions.max).contains(&version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(ty: Type, versions: &str) -> Field {
        Field {
            name: "SomeField".to_owned(),
            ty,
            versions: Versions::parse(versions).unwrap(),
            nullable: Versions::NONE,
            tag: None,
            tagged: Versions::NONE,
            ignorable: false,
            default: None,
            flexible: None,
        }
    }

    fn message(fields: Vec<Field>) -> Message {
        let nested = |name: &str, fields| Struct {
            name: name.to_owned(),
            versions: Versions::parse("0+").unwrap(),
            fields,
        };
        let element = Type::Struct("Element".to_owned());
        let top = vec![field(Type::Array(Box::new(element)), "0+")];
        Message {
            name: "Message".to_owned(),
            api_key: None,
            valid: Versions::parse("0-4").unwrap(),
            latest_unstable: false,
            flexible: Versions::parse("3+").unwrap(),
            structs: vec![nested("Message", top), nested("Element", fields)],
        }
    }

    #[test]
    fn what_a_version_lacks_takes_nothing() {
        let tagged = Field {
            tag: Some(0),
            ..field(Type::Uuid, "3+")
        };
        let message = message(vec![
            field(Type::Int32, "0+"),
            field(Type::String, "1+"),
            field(Type::Array(Box::new(Type::Int64)), "0+"),
            tagged,
        ]);
        let sizes = sizes(&message, &message.structs[1]);
        // 4 + 4; a string more; compact lengths, and the number of tagged fields.
        assert_eq!(sizes, [(0, 8), (2, 10), (4, 7)]);
        assert_eq!(
            piecewise(&sizes),
            "match version { ..=0 => 8,1..=2 => 10,_ => 7, }"
        );
    }

    #[test]
    fn a_struct_is_its_fields_and_null_is_one_byte() {
        let inner = Type::Struct("Message".to_owned());
        let nullable = Field {
            nullable: Versions::parse("0+").unwrap(),
            ..field(inner.clone(), "0+")
        };
        let message = message(vec![field(inner, "0+"), nullable]);
        assert_eq!(of_struct(&message, &message.structs[1], 0), 4 + 1);
        assert!(is_element(&message, "Element") && !is_element(&message, "Message"));
    }
}
