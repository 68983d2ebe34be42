//! Command-line arguments: `--name value`, `--switch`, and everything after `--`.

use std::str::FromStr;

use anyhow::{Context, Result, bail};

/// The arguments that no command has taken yet.
#[derive(Debug)]
pub(crate) struct Flags {
    args: Vec<String>,
    rest: Vec<String>,
}

impl Flags {
    pub(crate) fn new(args: impl IntoIterator<Item = String>) -> Self {
        let mut args: Vec<String> = args.into_iter().collect();
        let rest = match args.iter().position(|arg| arg == "--") {
            Some(index) => args.split_off(index).split_off(1),
            None => Vec::new(),
        };
        Self { args, rest }
    }

    /// The next argument that is not an option.
    pub(crate) fn word(&mut self) -> Option<String> {
        let first = self.args.first()?;
        (!first.starts_with('-')).then(|| self.args.remove(0))
    }

    /// Whether `name` is given.
    pub(crate) fn switch(&mut self, name: &str) -> bool {
        let before = self.args.len();
        self.args.retain(|arg| arg != name);
        self.args.len() < before
    }

    /// Every value of the option `name`, as `name value` or `name=value`.
    pub(crate) fn values(&mut self, name: &str) -> Result<Vec<String>> {
        let mut values = Vec::new();
        let mut left = Vec::new();
        let mut args = std::mem::take(&mut self.args).into_iter();
        while let Some(arg) = args.next() {
            if arg == name {
                values.push(
                    args.next()
                        .with_context(|| format!("{name} needs a value"))?,
                );
            } else if let Some(value) = arg
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('='))
            {
                values.push(value.to_owned());
            } else {
                left.push(arg);
            }
        }
        self.args = left;
        Ok(values)
    }

    /// The only value of the option `name`, parsed.
    pub(crate) fn value<T>(&mut self, name: &str) -> Result<Option<T>>
    where
        T: FromStr,
        Result<T, T::Err>: Context<T, T::Err>,
    {
        let values = self.values(name)?;
        if values.len() > 1 {
            bail!("{name} is given more than once");
        }
        let parse = |text: String| text.parse::<T>().with_context(|| format!("{name} {text}"));
        values.into_iter().next().map(parse).transpose()
    }

    /// What follows `--`, once everything before it has been taken.
    pub(crate) fn rest(self) -> Result<Vec<String>> {
        match self.args.first() {
            Some(arg) => bail!("unknown argument {arg:?}; see cargo xtask help"),
            None => Ok(self.rest),
        }
    }

    /// That nothing is left.
    pub(crate) fn done(self) -> Result<()> {
        match self.rest()?.first() {
            Some(arg) => bail!("unknown argument {arg:?}; see cargo xtask help"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(line: &str) -> Flags {
        Flags::new(line.split_whitespace().map(String::from))
    }

    #[test]
    fn words_options_and_the_rest() {
        let mut flags = flags("up --nodes 3 --set a=b --set=c=d --full -- x --y");
        assert_eq!(flags.word().as_deref(), Some("up"));
        assert_eq!(flags.value::<usize>("--nodes").unwrap(), Some(3));
        assert_eq!(flags.values("--set").unwrap(), ["a=b", "c=d"]);
        assert!(flags.switch("--full"));
        assert!(!flags.switch("--full"));
        assert_eq!(flags.word(), None);
        assert_eq!(flags.rest().unwrap(), ["x", "--y"]);
    }

    #[test]
    fn what_nobody_takes_is_an_error() {
        assert!(flags("--nodse 3").rest().is_err());
        assert!(flags("-- x").done().is_err());
        assert!(flags("").done().is_ok());
    }

    #[test]
    fn wrong_values_are_errors() {
        assert!(flags("--nodes").value::<usize>("--nodes").is_err());
        assert!(flags("--nodes x").value::<usize>("--nodes").is_err());
        assert!(
            flags("--nodes 1 --nodes 3")
                .value::<usize>("--nodes")
                .is_err()
        );
    }
}
