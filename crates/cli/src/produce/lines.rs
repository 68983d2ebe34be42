//! Records' bytes out of files: read in big chunks, cut at a delimiter.
//!
//! Knows nothing of Kafka. Memory is bounded by the largest record that is allowed.

use std::io::{self, Read};

use memchr::{memchr, memmem, memrchr};
use snafu::{ResultExt, Snafu};

/// How much is asked of the system in one read.
const READ_BYTES: usize = 128 * 1024;

/// What can go wrong with reading.
#[derive(Debug, Snafu)]
pub(crate) enum ReadError {
    /// The source failed.
    #[snafu(display("{source}"))]
    Failed { source: io::Error },
    /// A record that is too large to be kept in memory.
    #[snafu(display("a record is larger than {limit} bytes (max.request.size)"))]
    TooLong { limit: usize },
}

/// Cuts one source into chunks of whole records.
#[derive(Debug)]
pub(crate) struct Chunks<R> {
    source: R,
    delimiter: Delimiter,
    /// How large an unfinished record may grow. It bounds memory, no more: a record a little above it
    /// passes when one read brings its end, and the producer knows best which record is too large for it.
    limit: usize,
    /// The beginning of a record whose end has not been read yet.
    rest: Vec<u8>,
    ended: bool,
}

/// What ends a record.
#[derive(Clone, Debug)]
pub(crate) enum Delimiter {
    Byte(u8),
    Bytes(Box<memmem::Finder<'static>>),
}

impl Delimiter {
    /// The delimiter must not be empty.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        match bytes {
            [byte] => Self::Byte(*byte),
            _ => Self::Bytes(Box::new(memmem::Finder::new(bytes).into_owned())),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Byte(_) => 1,
            Self::Bytes(finder) => finder.needle().len(),
        }
    }

    fn find(&self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Byte(byte) => memchr(*byte, bytes),
            Self::Bytes(finder) => finder.find(bytes),
        }
    }

    /// Where the last record ends that ends in `bytes`, its delimiter included.
    fn last_end(&self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Byte(byte) => memrchr(*byte, bytes).map(|at| at + 1),
            // From the front: a delimiter like `aa` may match in several ways, and cutting goes this way.
            Self::Bytes(finder) => finder
                .find_iter(bytes)
                .last()
                .map(|at| at + finder.needle().len()),
        }
    }

    /// The records in a chunk. One without a delimiter at its end is the last.
    pub(crate) fn cut<'a>(&'a self, chunk: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + 'a {
        let mut rest = chunk;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let (record, after) = match self.find(rest) {
                Some(at) => (&rest[..at], &rest[at + self.len()..]),
                None => (rest, &rest[rest.len()..]),
            };
            rest = after;
            Some(record)
        })
    }
}

impl<R: Read> Chunks<R> {
    pub(crate) fn new(source: R, delimiter: Delimiter, limit: usize) -> Self {
        Self {
            source,
            delimiter,
            limit,
            rest: Vec::new(),
            ended: false,
        }
    }

    /// Replaces what is in `chunk` by whole records, at least one; false at the end.
    ///
    /// Gives what there is as soon as a record is whole, so that somebody typing sees an effect per line.
    pub(crate) fn next_into(&mut self, chunk: &mut Vec<u8>) -> Result<bool, ReadError> {
        chunk.clear();
        chunk.append(&mut self.rest);
        while !self.ended {
            let searched = chunk.len();
            if read_more(&mut self.source, chunk).context(FailedSnafu)? == 0 {
                self.ended = true;
                break;
            }
            // A delimiter may have begun in what was there before. Of several bytes, it is found only when
            // looked for from the record's beginning.
            let from = match self.delimiter {
                Delimiter::Byte(_) => searched,
                Delimiter::Bytes(_) => 0,
            };
            if let Some(end) = self.delimiter.last_end(&chunk[from..]) {
                let end = from + end;
                self.rest.extend_from_slice(&chunk[end..]);
                chunk.truncate(end);
                return Ok(true);
            }
            if chunk.len() > self.limit + self.delimiter.len() {
                return Err(ReadError::TooLong { limit: self.limit });
            }
        }
        Ok(!chunk.is_empty())
    }
}

fn read_more(source: &mut impl Read, chunk: &mut Vec<u8>) -> io::Result<usize> {
    let old = chunk.len();
    chunk.resize(old + READ_BYTES, 0);
    loop {
        match source.read(&mut chunk[old..]) {
            Ok(read) => {
                chunk.truncate(old + read);
                return Ok(read);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                chunk.truncate(old);
                return Err(error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Gives its bytes in pieces of the given sizes.
    struct Pieces<'a> {
        bytes: &'a [u8],
        sizes: std::iter::Cycle<std::vec::IntoIter<usize>>,
    }

    impl<'a> Pieces<'a> {
        fn new(bytes: &'a [u8], sizes: Vec<usize>) -> Self {
            Self {
                bytes,
                sizes: sizes.into_iter().cycle(),
            }
        }
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let size = self
                .sizes
                .next()
                .unwrap()
                .min(self.bytes.len())
                .min(out.len());
            let (now, later) = self.bytes.split_at(size);
            out[..size].copy_from_slice(now);
            self.bytes = later;
            Ok(size)
        }
    }

    fn records(
        source: impl Read,
        delimiter: &[u8],
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, ReadError> {
        let delimiter = Delimiter::new(delimiter);
        let mut chunks = Chunks::new(source, delimiter.clone(), limit);
        let (mut chunk, mut records) = (Vec::new(), Vec::new());
        while chunks.next_into(&mut chunk)? {
            records.extend(delimiter.cut(&chunk).map(<[u8]>::to_vec));
        }
        Ok(records)
    }

    fn lines(text: &[u8]) -> Vec<Vec<u8>> {
        records(text, b"\n", 100).unwrap()
    }

    #[test]
    fn the_last_line_needs_no_newline() {
        assert_eq!(lines(b""), Vec::<Vec<u8>>::new());
        assert_eq!(lines(b"a"), [b"a"]);
        assert_eq!(lines(b"a\n"), [b"a"]);
        assert_eq!(lines(b"a\n\n\xff\xfe"), [&b"a"[..], b"", b"\xff\xfe"]);
        assert_eq!(lines(b"\n"), [b""]);
        assert_eq!(lines(b"a\r\nb"), [&b"a\r"[..], b"b"]);
    }

    #[test]
    fn a_record_up_to_the_limit_is_read_whatever_ends_it() {
        for end in [&b""[..], b"\n", b"\nabc"] {
            for sizes in [vec![1], vec![3], vec![1000]] {
                let text = [&[b'x'; 100][..], end].concat();
                let found = records(Pieces::new(&text, sizes.clone()), b"\n", 100).unwrap();
                assert_eq!(found[0].len(), 100);
            }
        }
    }

    #[test]
    fn what_stands_before_a_record_that_is_too_long_is_read() {
        let text = [&b"short\n"[..], &[b'x'; 102]].concat();
        let mut chunks = Chunks::new(Pieces::new(&text, vec![3]), Delimiter::new(b"\n"), 100);
        let mut chunk = Vec::new();
        assert!(chunks.next_into(&mut chunk).unwrap());
        assert_eq!(chunk, b"short\n");
        assert!(matches!(
            chunks.next_into(&mut chunk),
            Err(ReadError::TooLong { limit: 100 })
        ));
    }

    #[test]
    fn an_endless_line_is_given_up_with_little_memory() {
        let mut chunks = Chunks::new(io::repeat(b'x'), Delimiter::new(b"\n"), 1 << 20);
        let mut chunk = Vec::new();
        assert!(matches!(
            chunks.next_into(&mut chunk),
            Err(ReadError::TooLong { .. })
        ));
        assert!(chunk.capacity() < 4 << 20);
    }

    #[test]
    fn a_line_is_given_as_soon_as_it_is_whole() {
        let mut chunks = Chunks::new(Pieces::new(b"a\nb\nc", vec![2]), Delimiter::new(b"\n"), 10);
        let mut chunk = Vec::new();
        for expected in [&b"a\n"[..], b"b\n", b"c"] {
            assert!(chunks.next_into(&mut chunk).unwrap());
            assert_eq!(chunk, expected);
        }
        assert!(!chunks.next_into(&mut chunk).unwrap());
    }

    #[test]
    fn a_failing_source_is_an_error() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("on fire"))
            }
        }
        assert_eq!(
            records(Broken, b"\n", 10).unwrap_err().to_string(),
            "on fire"
        );
    }

    proptest! {
        #[test]
        fn cutting_does_not_depend_on_how_the_bytes_arrive(
            text in proptest::collection::vec(prop_oneof![Just(b'a'), Just(b'b'), Just(b'\n')], 0..200),
            delimiter in proptest::sample::select(vec!["\n", "aa", "ab", "aba", "bbb"]),
            sizes in proptest::collection::vec(1_usize..20, 1..10),
        ) {
            // The straightforward way: from the front, one delimiter after the other.
            let delimiter = delimiter.as_bytes();
            let mut expected = Vec::new();
            let mut rest = &text[..];
            while let Some(at) = rest.windows(delimiter.len()).position(|window| window == delimiter) {
                expected.push(rest[..at].to_vec());
                rest = &rest[at + delimiter.len()..];
            }
            if !rest.is_empty() {
                expected.push(rest.to_vec());
            }
            prop_assert_eq!(records(Pieces::new(&text, sizes), delimiter, 1000).unwrap(), expected);
        }
    }
}
