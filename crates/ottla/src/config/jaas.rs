//! `sasl.jaas.config`: one login module with its options, as Java's clients have it.
//!
//! Its errors never quote it: what is not understood may be the password.

use std::fmt;

use ottla_connection::SaslMechanism;
use zeroize::Zeroizing;

/// What a login module is told.
#[derive(Clone)]
pub(crate) struct Login {
    module: String,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Zeroizing<String>>,
}

impl Login {
    /// Whether its module is one for this mechanism.
    pub(crate) fn serves(&self, mechanism: SaslMechanism) -> bool {
        let wanted = match mechanism {
            SaslMechanism::Plain => "PlainLoginModule",
            _ => "ScramLoginModule",
        };
        self.module == wanted
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login")
    }
}

/// Reads `some.package.Module required name="value" …;`.
///
/// Values are in double or single quotes, with a backslash before a quote that belongs to them, or bare.
pub(crate) fn parse(text: &str) -> Result<Login, String> {
    let mut tokens = Tokens(text);
    let class = tokens.next()?.ok_or("there is no login module")?;
    let module = class.rsplit('.').next().unwrap_or_default().to_owned();
    let flag = tokens.next()?.unwrap_or_default().to_ascii_lowercase();
    if !["required", "requisite", "sufficient", "optional"].contains(&flag.as_str()) {
        return Err("no control flag (`required`) follows the login module".to_owned());
    }
    let mut login = Login {
        module,
        username: None,
        password: None,
    };
    while let Some(name) = tokens.next()? {
        if !tokens.skip('=') {
            return Err("an option has no value".to_owned());
        }
        let value = tokens.next()?.ok_or("an option has no value")?;
        match name.as_str() {
            "username" => login.username = Some(value.to_string()),
            "password" => login.password = Some(value),
            _ => {}
        }
    }
    match tokens.skip(';') {
        true => Ok(login),
        false => Err("it does not end with a semicolon".to_owned()),
    }
}

struct Tokens<'a>(&'a str);

impl Tokens<'_> {
    /// The next word or quoted value; `None` before a semicolon or at the end.
    fn next(&mut self) -> Result<Option<Zeroizing<String>>, String> {
        self.0 = self.0.trim_start();
        let Some(first) = self.0.chars().next().filter(|&first| first != ';') else {
            return Ok(None);
        };
        let quote = Some(first).filter(|first| matches!(first, '"' | '\''));
        let mut token = Zeroizing::new(String::new());
        let mut escaped = false;
        for (at, c) in self.0.char_indices().skip(usize::from(quote.is_some())) {
            let ends = match quote {
                Some(quote) => c == quote,
                None => c.is_whitespace() || matches!(c, '=' | ';'),
            };
            if ends && !escaped {
                self.0 = self.0.get(at..).unwrap_or_default();
                if let Some(quote) = quote {
                    self.skip(quote);
                }
                return Ok(Some(token));
            }
            escaped = c == '\\' && !escaped && quote.is_some();
            if !escaped {
                token.push(c);
            }
        }
        if quote.is_some() {
            return Err("a quote is not closed".to_owned());
        }
        self.0 = "";
        Ok(Some(token))
    }

    /// Passes over this character, if it is the next.
    fn skip(&mut self, wanted: char) -> bool {
        let rest = self.0.trim_start().strip_prefix(wanted);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }
}
