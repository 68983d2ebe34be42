//! Which topics are meant.

use std::str::FromStr;

use regex::Regex;

/// Topics by name, or all whose name matches a pattern.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    Names(Vec<String>),
    Pattern(Regex),
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with('^') {
            let pattern = Regex::new(text);
            return pattern
                .map(Self::Pattern)
                .map_err(|error| format!("it is not a pattern: {error}"));
        }
        let names = text.split(',').filter(|name| !name.is_empty());
        let names: Vec<String> = names.map(str::to_owned).collect();
        match names.is_empty() {
            true => Err("it names no topic".to_owned()),
            false => Ok(Self::Names(names)),
        }
    }
}
