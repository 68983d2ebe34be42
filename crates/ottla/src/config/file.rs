//! Java's `.properties` format.

/// Reads the text of a `.properties` file into names and values, in their order.
///
/// Knows comments (`#`, `!`), the separators `=`, `:` and blanks, lines continued by a backslash, and
/// the escapes `\t`, `\n`, `\r`, `\f`, `\uXXXX` and backslash before any other character.
///
/// ```
/// let text = "bootstrap.servers = a:9092,\\\n    b:9092\n# a comment\nlinger.ms: 5\n";
/// let properties = ottla::parse_properties(text);
/// assert_eq!(properties[0], ("bootstrap.servers".into(), "a:9092,b:9092".into()));
/// assert_eq!(properties[1], ("linger.ms".into(), "5".into()));
/// ```
pub fn parse_properties(text: &str) -> Vec<(String, String)> {
    let mut properties = Vec::new();
    let mut lines = text.lines().map(str::trim_start);
    while let Some(line) = lines.next() {
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = line.to_owned();
        while ends_in_odd_backslashes(&logical) {
            logical.pop();
            let Some(next) = lines.next() else { break };
            logical.push_str(next);
        }
        let (name, value) = split(&logical);
        properties.push((unescape(name), unescape(value)));
    }
    properties
}

fn ends_in_odd_backslashes(line: &str) -> bool {
    line.bytes().rev().take_while(|&byte| byte == b'\\').count() % 2 == 1
}

/// Splits at the first unescaped separator, and drops the blanks around it.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line
        .char_indices()
        .find(|&(_, c)| {
            let found = !escaped && matches!(c, '=' | ':' | ' ' | '\t' | '\u{c}');
            escaped = c == '\\' && !escaped;
            found
        })
        .map_or(line.len(), |(at, _)| at);
    let (name, rest) = line.split_at(end);
    let rest = rest.trim_start();
    (
        name,
        rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start(),
    )
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\u{c}'),
            Some('u') => {
                let digits: String = chars.clone().take(4).collect();
                let decoded = (digits.len() == 4)
                    .then(|| {
                        u32::from_str_radix(&digits, 16)
                            .ok()
                            .and_then(char::from_u32)
                    })
                    .flatten();
                match decoded {
                    Some(decoded) => {
                        out.push(decoded);
                        chars.nth(3);
                    }
                    None => out.push('u'),
                }
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("a=b", "a", "b")]
    #[case("a : b", "a", "b")]
    #[case("a b", "a", "b")]
    #[case("a", "a", "")]
    #[case("a==b", "a", "=b")]
    #[case("a\\=b=c", "a=b", "c")]
    #[case("a=b\\\\", "a", "b\\")]
    #[case("a=x\\\n   y", "a", "xy")]
    #[case("p=\\u0041\\u00e9", "p", "Aé")]
    #[case("p=\\uZZZZ", "p", "uZZZZ")]
    #[case("a=b\\", "a", "b")]
    #[case("jaas=user=\"x\" pass=\"y\";", "jaas", "user=\"x\" pass=\"y\";")]
    fn one_line(#[case] text: &str, #[case] name: &str, #[case] value: &str) {
        assert_eq!(
            parse_properties(text),
            [(name.to_owned(), value.to_owned())]
        );
    }

    #[test]
    fn comments_and_blank_lines_are_nothing() {
        assert_eq!(parse_properties("# a=b\n\n  ! c=d\n"), []);
    }
}
