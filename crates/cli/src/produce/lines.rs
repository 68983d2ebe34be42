//! Records' bytes out of files: read in big chunks, cut at a delimiter.
//!
//! Knows nothing of Kafka. Memory is bounded by the largest record that is allowed.

use std::io::{self, Read};

use memchr::{memchr, memmem, memrchr};

/// How much is asked of the system in one read.
const READ_BYTES: usize = 128 * 1024;

/// Cuts one source into chunks of whole records.
#[derive(Debug)]
pub(crate) struct Chunks<R> {
    source: R,
    delimiter: Delimiter,
    /// How large an unfinished record may grow. It bounds memory, no more: a record a little above it
    /// passes when one read brings its end, and the producer knows best which record is too large for it.
    limit: usize,
    /// What has been read of the next chunk: the beginning of a record, or all that stands behind one that
    /// was too large.
    rest: Vec<u8>,
    ended: bool,
}

/// What comes out of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Whole records, at least one.
    Records,
    /// One record that is too large to be kept in memory, and has been skipped.
    TooLarge { size: usize },
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

    /// Replaces what is in `chunk` by what comes next; `None` at the end.
    ///
    /// Gives what there is as soon as a record is whole, so that somebody typing sees an effect per line.
    pub(crate) fn next_into(&mut self, chunk: &mut Vec<u8>) -> io::Result<Option<Piece>> {
        chunk.clear();
        chunk.append(&mut self.rest);
        let mut searched = 0_usize;
        loop {
            // A delimiter may have begun in what was there before.
            let from = searched.saturating_sub(self.delimiter.len() - 1);
            if let Some(end) = self.delimiter.last_end(&chunk[from..]) {
                let end = from + end;
                self.rest.extend_from_slice(&chunk[end..]);
                chunk.truncate(end);
                return Ok(Some(Piece::Records));
            }
            if self.ended {
                return Ok(Some(Piece::Records).filter(|_| !chunk.is_empty()));
            }
            if chunk.len() > self.limit + self.delimiter.len() {
                return self.skip(chunk).map(Some);
            }
            searched = chunk.len();
            self.ended = read_more(&mut self.source, chunk)? == 0;
        }
    }

    /// Reads over the record that `begun` is the beginning of.
    fn skip(&mut self, begun: &mut Vec<u8>) -> io::Result<Piece> {
        let mut size = 0;
        loop {
            if let Some(at) = self.delimiter.find(begun) {
                self.rest
                    .extend_from_slice(&begun[at + self.delimiter.len()..]);
                begun.clear();
                return Ok(Piece::TooLarge { size: size + at });
            }
            if self.ended {
                return Ok(Piece::TooLarge {
                    size: size + begun.len(),
                });
            }
            // A delimiter may begin in what is here.
            let over = begun.len().saturating_sub(self.delimiter.len() - 1);
            begun.drain(..over);
            size += over;
            self.ended = read_more(&mut self.source, begun)? == 0;
        }
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

    /// The records; for one that is too large, its size.
    fn pieces(
        source: impl Read,
        delimiter: &[u8],
        limit: usize,
    ) -> io::Result<Vec<Result<Vec<u8>, usize>>> {
        let delimiter = Delimiter::new(delimiter);
        let mut chunks = Chunks::new(source, delimiter.clone(), limit);
        let (mut chunk, mut records) = (Vec::new(), Vec::new());
        while let Some(piece) = chunks.next_into(&mut chunk)? {
            match piece {
                Piece::Records => records.extend(delimiter.cut(&chunk).map(|r| Ok(r.to_vec()))),
                Piece::TooLarge { size } => records.push(Err(size)),
            }
        }
        Ok(records)
    }

    fn records(source: impl Read, delimiter: &[u8], limit: usize) -> io::Result<Vec<Vec<u8>>> {
        let pieces = pieces(source, delimiter, limit)?;
        Ok(pieces.into_iter().map(|piece| piece.unwrap()).collect())
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
    fn what_stands_around_a_record_that_is_too_large_is_read() {
        for end in ["", "--", "--x", "--x--y-", "----"] {
            let text = format!("a--{}--b--c--{}{end}", "x".repeat(1000), "-y".repeat(500));
            let mut expected = vec![Ok(&b"a"[..]), Err(1000), Ok(b"b"), Ok(b"c"), Err(1000)];
            match end {
                "--x" => expected.push(Ok(b"x")),
                "--x--y-" => expected.extend([Ok(&b"x"[..]), Ok(b"y-")]),
                "----" => expected.push(Ok(b"")),
                _ => {}
            }
            for sizes in [vec![1], vec![3], vec![7, 50]] {
                let text = Pieces::new(text.as_bytes(), sizes.clone());
                let found = pieces(text, b"--", 100).unwrap();
                let found: Vec<_> = found
                    .iter()
                    .map(|piece| piece.as_deref().map_err(|size| *size))
                    .collect();
                assert_eq!(found, expected, "{end:?} in pieces of {sizes:?}");
            }
        }
    }

    #[test]
    fn a_huge_record_is_skipped_with_little_memory() {
        let huge = io::repeat(b'x').take(100 << 20);
        let mut chunks = Chunks::new(huge.chain(&b"\nlast"[..]), Delimiter::new(b"\n"), 1 << 20);
        let mut chunk = Vec::new();
        let piece = chunks.next_into(&mut chunk).unwrap();
        assert_eq!(piece, Some(Piece::TooLarge { size: 100 << 20 }));
        assert!(chunk.capacity() < 4 << 20);
        assert_eq!(chunks.next_into(&mut chunk).unwrap(), Some(Piece::Records));
        assert_eq!(chunk, b"last");
        assert_eq!(chunks.next_into(&mut chunk).unwrap(), None);
    }

    #[test]
    fn a_line_is_given_as_soon_as_it_is_whole() {
        let mut chunks = Chunks::new(Pieces::new(b"a\nb\nc", vec![2]), Delimiter::new(b"\n"), 10);
        let mut chunk = Vec::new();
        for expected in [&b"a\n"[..], b"b\n", b"c"] {
            assert_eq!(chunks.next_into(&mut chunk).unwrap(), Some(Piece::Records));
            assert_eq!(chunk, expected);
        }
        assert_eq!(chunks.next_into(&mut chunk).unwrap(), None);
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
