//! Java's `.properties` format.

use crate::error::{Error, Result};

/// Reads the text of a `.properties` file into names and values, in their order.
///
/// Knows comments (`#`, `!`), the separators `=`, `:` and blanks, lines continued by a backslash, and
/// the escapes `\t`, `\n`, `\r`, `\f`, `\uXXXX` and backslash before any other character. A byte order mark
/// at the beginning is skipped.
///
/// # Errors
///
/// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) that names the line: one without a name
/// before its separator, or with a `\u` that no four hexadecimal digits follow, or half a surrogate pair.
///
/// ```
/// let text = "bootstrap.servers = a:9092,\\\n    b:9092\n# a comment\nlinger.ms: 5\n";
/// let properties = ottla::parse_properties(text)?;
/// assert_eq!(properties[0], ("bootstrap.servers".into(), "a:9092,b:9092".into()));
/// assert_eq!(properties[1], ("linger.ms".into(), "5".into()));
/// # Ok::<_, ottla::Error>(())
/// ```
pub fn parse_properties(text: &str) -> Result<Vec<(String, String)>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut properties = Vec::new();
    let mut lines = (1..).zip(text.lines().map(str::trim_start));
    while let Some((number, line)) = lines.next() {
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = line.to_owned();
        while ends_in_odd_backslashes(&logical) {
            logical.pop();
            let Some((_, next)) = lines.next() else { break };
            logical.push_str(next);
        }
        let wrong = |what: &str| Error::invalid_argument(format!("line {number}: {what}"));
        let (name, value) = split(&logical);
        if name.is_empty() {
            return Err(wrong("there is no name before the separator"));
        }
        match (unescape(name), unescape(value)) {
            (Some(name), Some(value)) => properties.push((name, value)),
            _ => return Err(wrong("a \\uXXXX is no character")),
        }
    }
    Ok(properties)
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

/// `None` if an escape stands for no character.
fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        out.push_str(plain);
        if escaped.starts_with('u') {
            rest = unicode(rest.get(plain.len()..)?, &mut out)?;
            continue;
        }
        let mut chars = escaped.chars();
        out.extend(chars.next().map(|c| match c {
            't' => '\t',
            'n' => '\n',
            'r' => '\r',
            'f' => '\u{c}',
            other => other,
        }));
        rest = chars.as_str();
    }
    out.push_str(rest);
    Some(out)
}

/// Appends what the `\uXXXX` in a row at the beginning stand for: UTF-16, so that two may make one character.
/// Returns what stands behind them.
fn unicode<'a>(text: &'a str, out: &mut String) -> Option<&'a str> {
    let (mut units, mut rest) = (Vec::new(), text);
    while let Some(after) = rest.strip_prefix("\\u") {
        let digits = after.get(..4)?;
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        units.push(u16::from_str_radix(digits, 16).ok()?);
        rest = after.get(4..)?;
    }
    out.push_str(&String::from_utf16(&units).ok()?);
    Some(rest)
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
    #[case("p=x\\ud83d\\uDE00\\u0041y\\u0042", "p", "x😀AyB")]
    #[case("p=\\\\uZZZZ", "p", "\\uZZZZ")]
    #[case("\u{feff}a=b", "a", "b")]
    #[case("\\ =5", " ", "5")]
    #[case("a=b\\", "a", "b")]
    #[case("jaas=user=\"x\" pass=\"y\";", "jaas", "user=\"x\" pass=\"y\";")]
    fn one_line(#[case] text: &str, #[case] name: &str, #[case] value: &str) {
        assert_eq!(
            parse_properties(text).unwrap(),
            [(name.to_owned(), value.to_owned())]
        );
    }

    #[test]
    fn comments_and_blank_lines_are_nothing() {
        assert_eq!(parse_properties("# a=b\n\n  ! c=d\n").unwrap(), []);
    }

    #[rstest]
    #[case("=5", 1)]
    #[case("# a comment\n\n : 5", 3)]
    #[case("a=b\\\nc\n=d", 3)]
    #[case("a=b\np=\\uZZZZ", 2)]
    #[case("a=b\np=\\u+041", 2)]
    #[case("p=\\u004", 1)]
    #[case("p=\\u", 1)]
    #[case("p=\\ué", 1)]
    #[case("p=\\ud83d", 1)]
    #[case("p=\\ude00\\ud83d", 1)]
    #[case("\\uZZZZ=5", 1)]
    fn what_makes_no_sense_is_refused(#[case] text: &str, #[case] line: usize) {
        let error = parse_properties(text).unwrap_err().to_string();
        assert!(error.contains(&format!("line {line}: ")), "{error}");
    }
}
