//! Versions as conditions on `version`.

use std::fmt::Write as _;

use crate::codegen::schema::Versions;

/// When `versions` hold `version`, given that `outer` does.
pub(super) fn condition(versions: Versions, outer: Versions) -> String {
    let inner = versions.and(outer);
    if inner.is_none() {
        "false".to_owned()
    } else if inner == outer {
        "true".to_owned()
    } else if inner.min == inner.max {
        format!("version == {}", inner.min)
    } else if inner.max == outer.max {
        format!("version >= {}", inner.min)
    } else if inner.min == outer.min {
        format!("version <= {}", inner.max)
    } else {
        format!("({}..={}).contains(&version)", inner.min, inner.max)
    }
}

/// The opposite of [`condition`].
pub(super) fn absence(versions: Versions, outer: Versions) -> String {
    let inner = versions.and(outer);
    if inner.min == inner.max {
        format!("version != {}", inner.min)
    } else if inner.max == outer.max {
        format!("version < {}", inner.min)
    } else if inner.min == outer.min {
        format!("version > {}", inner.max)
    } else {
        format!("!({}..={}).contains(&version)", inner.min, inner.max)
    }
}

/// Statements in order; neighbours under the same condition share one `if`.
#[derive(Default)]
pub(super) struct Blocks {
    done: String,
    when: Option<String>,
    then: String,
    otherwise: String,
}

impl Blocks {
    pub(super) fn add(&mut self, when: Option<String>, then: &str, otherwise: &str) {
        if when != self.when {
            self.close();
            self.when = when;
        }
        self.then += then;
        self.otherwise += otherwise;
    }

    fn close(&mut self) {
        match self.when.take() {
            None => self.done += &self.then,
            Some(when) => {
                _ = writeln!(self.done, "if {when} {{\n{}}}{}", self.then, self.otherwise)
            }
        }
        self.then.clear();
        self.otherwise.clear();
    }

    pub(super) fn finish(mut self) -> String {
        self.close();
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_say_no_more_than_needed() {
        let versions = |text| Versions::parse(text).unwrap();
        let outer = versions("3+");
        for (inner, when, unless) in [
            ("5+", "version >= 5", "version < 5"),
            ("0-4", "version <= 4", "version > 4"),
            (
                "4-6",
                "(4..=6).contains(&version)",
                "!(4..=6).contains(&version)",
            ),
            ("0-3", "version == 3", "version != 3"),
        ] {
            assert_eq!(condition(versions(inner), outer), when);
            assert_eq!(absence(versions(inner), outer), unless);
        }
        assert_eq!(condition(versions("0+"), outer), "true");
        assert_eq!(condition(versions("0-2"), outer), "false");
    }

    #[test]
    fn neighbours_share_a_condition() {
        let mut blocks = Blocks::default();
        blocks.add(None, "a;", "");
        blocks.add(Some("x".to_owned()), "b;", " else if y { e; }");
        blocks.add(Some("x".to_owned()), "c;", "");
        blocks.add(None, "d;", "");
        assert_eq!(blocks.finish(), "a;if x {\nb;c;} else if y { e; }\nd;");
    }
}
