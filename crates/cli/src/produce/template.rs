//! How a line becomes a record.

use memchr::memmem::Finder;
use ottla::{Header, Record};

use crate::args::Produce;

/// What all records have in common, and how the rest is found in a line.
#[derive(Debug)]
pub(crate) struct Template {
    topic: String,
    partition: Option<i32>,
    key: Option<String>,
    key_delimiter: Option<Finder<'static>>,
    null: bool,
    /// Names and values of the headers.
    headers: Vec<(String, Option<String>)>,
}

impl Template {
    pub(crate) fn of(arguments: &Produce) -> Self {
        let header = |text: &String| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (text.clone(), None),
        };
        let delimiter = arguments.key_delimiter.as_ref();
        Self {
            topic: arguments.topic.clone(),
            partition: arguments.partition,
            key: arguments.key.clone(),
            key_delimiter: delimiter.map(|text| Finder::new(&text.0).into_owned()),
            null: arguments.null,
            headers: arguments.headers.iter().map(header).collect(),
        }
    }

    /// The headers of every record.
    pub(crate) fn headers(&self) -> Vec<Header<'_>> {
        let mut headers = Vec::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            headers.push(match value {
                Some(value) => Header::new(name, value),
                None => Header::null(name),
            });
        }
        headers
    }

    /// The record that a line stands for.
    pub(crate) fn record<'a>(&'a self, line: &'a [u8], headers: &'a [Header<'a>]) -> Record<'a> {
        let (key, value) = self.split(line);
        let mut record = Record::to(&self.topic).headers(headers);
        if let Some(key) = key {
            record = record.key(key);
        }
        if let Some(value) = value {
            record = record.value(value);
        }
        match self.partition {
            Some(partition) => record.partition(partition),
            None => record,
        }
    }

    /// The line's key and value.
    fn split<'a>(&'a self, line: &'a [u8]) -> (Option<&'a [u8]>, Option<&'a [u8]>) {
        let found = self.key_delimiter.as_ref().and_then(|finder| {
            let at = finder.find(line)?;
            Some((&line[..at], &line[at + finder.needle().len()..]))
        });
        let some = |bytes: &'a [u8]| Some(bytes).filter(|bytes| !self.null || !bytes.is_empty());
        match found {
            Some((key, value)) => (some(key), some(value)),
            None => (self.key.as_ref().map(|key| key.as_bytes()), some(line)),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Command, CommandLine};

    fn template(options: &str) -> Template {
        let line = format!("ottla produce -t t {options}");
        match CommandLine::parse_from(line.split_whitespace()).command {
            Command::Produce(produce) => Template::of(&produce),
            _ => panic!("not produce"),
        }
    }

    fn record<'a>(template: &'a Template, line: &'a str) -> Record<'a> {
        template.record(line.as_bytes(), &[])
    }

    #[test]
    fn a_line_is_a_value() {
        let plain = template("");
        assert_eq!(record(&plain, "a:b"), Record::to("t").value("a:b"));
        assert_eq!(record(&plain, ""), Record::to("t").value(""));
        let with_key = template("-k K -p 7");
        assert_eq!(
            record(&with_key, "v"),
            Record::to("t").key("K").value("v").partition(7)
        );
    }

    #[test]
    fn a_key_stands_before_the_first_delimiter() {
        let template = template(r"-K \t=");
        assert_eq!(
            record(&template, "k\t=v\t=w"),
            Record::to("t").key("k").value("v\t=w")
        );
        assert_eq!(record(&template, "\t="), Record::to("t").key("").value(""));
        assert_eq!(
            record(&template, "no delimiter"),
            Record::to("t").value("no delimiter")
        );
    }

    #[test]
    fn empty_is_null_only_if_asked_for() {
        let template = template("-Z -K :");
        assert_eq!(record(&template, "k:"), Record::to("t").key("k"));
        assert_eq!(record(&template, ":v"), Record::to("t").value("v"));
        assert_eq!(record(&template, ""), Record::to("t"));
    }

    #[test]
    fn headers_keep_their_order_and_doubles() {
        let template = template("-H a=1 -H b -H a=2=3 -H c=");
        let expected = [
            Header::new("a", "1"),
            Header::null("b"),
            Header::new("a", "2=3"),
            Header::new("c", ""),
        ];
        assert_eq!(template.headers(), expected);
    }
}
