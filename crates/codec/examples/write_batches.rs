//! Writes record batches and their description, for Kafka's own classes to read and compare:
//! every codec and level, patched producers, split, stamped and compacted batches.
//!
//! ```text
//! cargo run -p ottla-codec --example write_batches -- DIR
//! cargo xtask vectors --read DIR
//! ```

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ottla_codec::records::{
    BatchBuilder, BatchFields, Batches, Compression, CompressionLevel, Compressor, ControlRecord,
    Decompressor, RecordBatch, SealedBatch,
};

#[path = "../tests/vectors/text.rs"]
mod text;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const LIMIT: usize = 1 << 24;
const TIME: i64 = 1_700_000_000_000;

fn main() -> Result<()> {
    let dir = PathBuf::from(std::env::args().nth(1).ok_or("usage: write_batches DIR")?);
    fs::create_dir_all(&dir)?;
    let mut out = Output {
        dir: &dir,
        manifest: String::new(),
    };

    for compression in Compression::ALL {
        let mut settings = vec![CompressionLevel::from(compression)];
        for level in compression.levels().into_iter().flatten() {
            // Of zstd's many fast levels, the lowest and those from -7 on.
            if level > -8 || level == -131_072 {
                settings.push(CompressionLevel::new(compression, level)?);
            }
        }
        for settings in settings {
            let mut compressor = Compressor::new(settings)?;
            for (name, fill) in [
                ("mixed", mixed as Fill),
                ("thousand", thousand),
                ("large", large),
            ] {
                let name = format!("{compression}-{}-{name}", settings.level());
                let batch = build(fill, &BatchFields::default(), &mut compressor)?;
                out.add(&name, batch.to_bytes())?;
            }
        }
        patched(compression, &mut out)?;
        split(compression, &mut out)?;
        rewritten(compression, &mut out)?;
    }
    markers(&mut out)?;
    fs::write(dir.join("manifest.txt"), &out.manifest)?;
    println!(
        "{} batches in {}",
        out.manifest.lines().count(),
        dir.display()
    );
    Ok(())
}

struct Output<'a> {
    dir: &'a Path,
    manifest: String,
}

impl Output<'_> {
    fn add(&mut self, name: &str, bytes: Bytes) -> Result<()> {
        fs::write(self.dir.join(format!("{name}.bin")), &bytes)?;
        let batch = parse(bytes)?;
        batch.verify_crc()?;
        let decoded = batch.decompress(&mut Decompressor::new(), LIMIT)?;
        fs::write(
            self.dir.join(format!("{name}.records")),
            text::dump(&decoded),
        )?;
        self.manifest += &text::describe(name, name, &batch);
        self.manifest.push('\n');
        Ok(())
    }
}

fn parse(bytes: Bytes) -> Result<RecordBatch> {
    Ok(Batches::new(bytes).next().ok_or("no complete batch")??)
}

type Fill = fn(&mut BatchBuilder) -> Result<()>;

fn build(fill: Fill, fields: &BatchFields, compressor: &mut Compressor) -> Result<SealedBatch> {
    let mut builder = BatchBuilder::new(16 << 10);
    fill(&mut builder)?;
    Ok(builder.seal(fields, compressor)?)
}

fn mixed(builder: &mut BatchBuilder) -> Result<()> {
    let long = vec![b'x'; 9000];
    builder.try_append(TIME, None, None, [])?;
    builder.try_append(TIME - 1, Some(b""), Some(b""), [])?;
    builder.try_append(i64::MAX, Some(b"k"), None, [])?;
    builder.try_append(-1, None, Some(b"v"), [])?;
    builder.try_append(0, Some(&long), Some(&long), [("long", Some(&long[..]))])?;
    let headers = [
        ("b", Some(&b"2"[..])),
        ("a", None),
        ("b", Some(b"3")),
        ("", Some(b"")),
        ("\u{e9}", None),
    ];
    builder.try_append(TIME + 5, Some(b"h"), Some(&[0, 255, 127, 128]), headers)?;
    Ok(())
}

fn thousand(builder: &mut BatchBuilder) -> Result<()> {
    let mut state = 7u32;
    for i in 0..1000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let value = format!("{i}-{state:08x}-{}", "z".repeat((state >> 26) as usize));
        builder.try_append(
            TIME + i / 3,
            Some(&state.to_be_bytes()),
            Some(value.as_bytes()),
            [],
        )?;
    }
    Ok(())
}

/// More than one block of every codec: repetition, then noise.
fn large(builder: &mut BatchBuilder) -> Result<()> {
    builder.try_append(TIME, None, Some(&vec![b'0'; 150_000]), [])?;
    let mut state = 1u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(150_000)
    .collect();
    builder.try_append(TIME, None, Some(&noise), [])?;
    builder.try_append(TIME, None, Some(b"behind"), [])?;
    Ok(())
}

fn patched(compression: Compression, out: &mut Output<'_>) -> Result<()> {
    let mut batch = build(
        thousand,
        &BatchFields::default(),
        &mut Compressor::new(compression)?,
    )?;
    batch.set_producer(i64::MAX, i16::MAX, i32::MAX - 499);
    out.add(&format!("{compression}-producer"), batch.to_bytes())?;
    batch.set_producer(4711, 0, 0);
    batch.set_transactional(true);
    batch.set_partition_leader_epoch(17);
    out.add(&format!("{compression}-transactional"), batch.to_bytes())
}

fn split(compression: Compression, out: &mut Output<'_>) -> Result<()> {
    let fields = BatchFields {
        producer_id: 9,
        producer_epoch: 1,
        base_sequence: i32::MAX - 500,
        ..BatchFields::default()
    };
    let mut compressor = Compressor::new(compression)?;
    let batch = build(thousand, &fields, &mut compressor)?;
    let parts = batch.split(5000, &mut compressor, &mut Decompressor::new())?;
    for (range, part) in parts {
        out.add(
            &format!("{compression}-part-{}-{}", range.start, range.end),
            part.to_bytes(),
        )?;
    }
    Ok(())
}

fn rewritten(compression: Compression, out: &mut Output<'_>) -> Result<()> {
    let batch = build(
        thousand,
        &BatchFields::default(),
        &mut Compressor::new(compression)?,
    )?;
    let batch = parse(batch.to_bytes())?.with_offsets(1 << 33, 5)?;
    out.add(&format!("{compression}-assigned"), batch.bytes().clone())?;
    let stamped = batch.with_log_append_time(TIME + 77)?;
    out.add(&format!("{compression}-stamped"), stamped.bytes().clone())?;
    for (name, every) in [("hole", 3), ("emptied", i64::MAX)] {
        let kept = batch.retain(&mut Decompressor::new(), LIMIT, |record| {
            (record.offset - (1 << 33)) % every == 1 && every != i64::MAX
        })?;
        out.add(&format!("{compression}-{name}"), kept.bytes().clone())?;
    }
    Ok(())
}

fn markers(out: &mut Output<'_>) -> Result<()> {
    for commit in [true, false] {
        let mut builder = BatchBuilder::new(64);
        let (key, value) = ControlRecord::end_transaction(commit, 3);
        builder.try_append(TIME, Some(&key), Some(&value), [])?;
        let fields = BatchFields {
            base_offset: 12,
            producer_id: 4,
            producer_epoch: 2,
            is_transactional: true,
            is_control: true,
            ..BatchFields::default()
        };
        let batch = builder.seal(&fields, &mut Compressor::new(Compression::None)?)?;
        out.add(if commit { "commit" } else { "abort" }, batch.to_bytes())?;
    }
    Ok(())
}
