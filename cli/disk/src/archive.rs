//! Owns the form of a file by which copies go to another machine ([`ArchiveWriter`], [`ArchiveReader`]):
//! a beginning, records each behind its length, and an end that says how many there are.
//! Never knows what a record says, and never decides who may hand one in.
//!
//! The beginning is a magic number whose last digit is the version of the form, a byte that is 1 where the
//! records are sealed, the mark of the rules by which they were made, and a checksum. A length of 0 is
//! the end; behind it stand the count of records, and a checksum over all of the file. Numbers are little-endian.
//!
//! Sealed, each record is bound to the beginning and to its place, and so is the count: whoever does not
//! have the key can read none, put none in, and take none out unnoticed. Not sealed, checksums find damage only.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::seal::Sealer;
use crate::secret::SEAL_BYTES;

const MAGIC: &[u8; 8] = b"RETTERX1";

const BEGINNING_BYTES: usize = 21;

/// A longer record is in no archive.
pub const RECORD_BYTES_MAX: usize = 64 << 20;

/// What seals an archive, which both machines have.
#[derive(Clone, Debug)]
pub struct ArchiveKey(Sealer);

/// Why an archive, or its key, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Some of its bytes are not as they were written, or it was sealed with another key.
    #[error("it is damaged, or was sealed with another key")]
    Damaged,
    /// It ends before its end.
    #[error("its end is missing: it was not written whole")]
    Cut,
    /// It is another file.
    #[error("it is no export of this version of RETTER")]
    Form,
    /// The operating system says so.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A key is no key.
    #[error("a key is 64 hexadecimal digits (`openssl rand -hex 32` makes one)")]
    Key,
    /// It is sealed, and there is no key.
    #[error("it is sealed: the key that it was sealed with is needed")]
    Sealed,
    /// It is not sealed, and there is a key.
    #[error("it is not sealed, although a key was given: it is not what was sealed with it")]
    Unsealed,
}

impl ArchiveKey {
    /// Reads a key of 64 hexadecimal digits.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, ArchiveError> {
        let digits = text.trim();
        let mut key = [0; SEAL_BYTES];
        if digits.len() != SEAL_BYTES * 2 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(ArchiveError::Key);
        }
        for (byte, at) in key.iter_mut().zip((0..).step_by(2)) {
            let pair = digits.get(at..at + 2).ok_or(ArchiveError::Key)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| ArchiveError::Key)?;
        }
        Ok(Self(Sealer::new(&key)))
    }
}

/// Whether others than the owner of a file, or another user than root and this one, could have written it.
///
/// # Errors
/// The operating system does not tell.
pub fn is_anybodys(file: &File) -> io::Result<bool> {
    let about = file.metadata()?;
    let own = rustix::process::geteuid().as_raw();
    Ok(about.mode() & 0o022 != 0 || about.uid() != own && about.uid() != 0)
}

/// Whether others than its owner can read a file.
///
/// # Errors
/// The operating system does not tell.
pub fn is_exposed(path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.mode() & 0o077 != 0)
}

fn beginning(mark: u64, is_sealed: bool) -> [u8; BEGINNING_BYTES] {
    let mut bytes = [0; BEGINNING_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8] = u8::from(is_sealed);
    bytes[9..17].copy_from_slice(&mark.to_le_bytes());
    let checksum = crc32fast::hash(&bytes[..17]);
    bytes[17..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// What a sealed piece belongs to: its archive, its place, and whether it is the end.
fn name(beginning: &[u8; BEGINNING_BYTES], place: u64, is_end: bool) -> Vec<u8> {
    [&beginning[..], &place.to_le_bytes(), &[u8::from(is_end)]].concat()
}

/// Writes an archive.
#[derive(Debug)]
pub struct ArchiveWriter<W> {
    beginning: [u8; BEGINNING_BYTES],
    checksum: crc32fast::Hasher,
    count: u64,
    key: Option<ArchiveKey>,
    out: W,
}

impl<W: Write> ArchiveWriter<W> {
    /// Begins an archive of records that were made by the rules of this mark.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn new(out: W, mark: u64, key: Option<ArchiveKey>) -> io::Result<Self> {
        let beginning = beginning(mark, key.is_some());
        let mut writer = Self {
            beginning,
            checksum: crc32fast::Hasher::new(),
            count: 0,
            key,
            out,
        };
        writer.put(&beginning)?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.checksum.update(bytes);
        self.out.write_all(bytes)
    }

    fn sealed(&self, said: &[u8], is_end: bool) -> io::Result<Option<Vec<u8>>> {
        let Some(ArchiveKey(sealer)) = &self.key else {
            return Ok(None);
        };
        let name = name(&self.beginning, self.count, is_end);
        let sealed = sealer.seal(said, &name);
        let none = || io::Error::other("the operating system has no randomness");
        sealed.map(Some).ok_or_else(none)
    }

    /// Adds a record; returns whether it is short enough for that.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn push(&mut self, record: &[u8]) -> io::Result<bool> {
        if record.is_empty() || record.len() > RECORD_BYTES_MAX {
            return Ok(false);
        }
        let sealed = self.sealed(record, false)?;
        let said = sealed.as_deref().unwrap_or(record);
        let len = u32::try_from(said.len()).map_err(io::Error::other)?;
        self.put(&len.to_le_bytes())?;
        self.put(said)?;
        self.count += 1;
        Ok(true)
    }

    /// Ends the archive; returns what was written to, and how many records there are.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self) -> io::Result<(W, u64)> {
        self.put(&0_u32.to_le_bytes())?;
        let count = self.count.to_le_bytes();
        let sealed = self.sealed(&count, true)?;
        self.put(sealed.as_deref().unwrap_or(&count))?;
        let checksum = self.checksum.clone().finalize();
        self.out.write_all(&checksum.to_le_bytes())?;
        self.out.flush()?;
        Ok((self.out, self.count))
    }
}

/// Reads an archive.
#[derive(Debug)]
pub struct ArchiveReader<R> {
    beginning: [u8; BEGINNING_BYTES],
    checksum: crc32fast::Hasher,
    count: u64,
    from: R,
    key: Option<ArchiveKey>,
    mark: u64,
}

impl<R: Read> ArchiveReader<R> {
    /// Begins to read.
    ///
    /// # Errors
    /// It is no archive, or the key is not there or too much.
    pub fn new(from: R, key: Option<ArchiveKey>) -> Result<Self, ArchiveError> {
        let mut reader = Self {
            beginning: [0; BEGINNING_BYTES],
            checksum: crc32fast::Hasher::new(),
            count: 0,
            from,
            key,
            mark: 0,
        };
        let read = reader.take::<BEGINNING_BYTES>();
        let is_short = |error: &ArchiveError| matches!(error, ArchiveError::Cut);
        let form = |error| {
            if is_short(&error) {
                ArchiveError::Form
            } else {
                error
            }
        };
        let read = read.map_err(form)?;
        let (_, mark) = read.split_at(9);
        let mark = mark
            .first_chunk()
            .map_or(0, |mark| u64::from_le_bytes(*mark));
        let is_sealed = read[8] == 1;
        if read != beginning(mark, is_sealed) {
            return Err(ArchiveError::Form);
        }
        match (is_sealed, &reader.key) {
            (true, None) => return Err(ArchiveError::Sealed),
            (false, Some(_)) => return Err(ArchiveError::Unsealed),
            (true, Some(_)) | (false, None) => {}
        }
        (reader.beginning, reader.mark) = (read, mark);
        Ok(reader)
    }

    /// The mark of the rules by which the records were made.
    pub const fn mark(&self) -> u64 {
        self.mark
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], ArchiveError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), ArchiveError> {
        self.from.read_exact(bytes).map_err(|error| {
            let is_cut = error.kind() == io::ErrorKind::UnexpectedEof;
            if is_cut {
                ArchiveError::Cut
            } else {
                error.into()
            }
        })?;
        self.checksum.update(bytes);
        Ok(())
    }

    fn opened(&self, said: Vec<u8>, is_end: bool) -> Result<Vec<u8>, ArchiveError> {
        let Some(ArchiveKey(sealer)) = &self.key else {
            return Ok(said);
        };
        let name = name(&self.beginning, self.count, is_end);
        sealer.open(&said, &name).ok_or(ArchiveError::Damaged)
    }

    fn overhead(&self) -> usize {
        self.key.as_ref().map_or(0, |_| Sealer::OVERHEAD)
    }

    /// The next record; `None` at the end, which is where it is known that all of it is as it was written.
    ///
    /// # Errors
    /// It is damaged, or its end is missing.
    pub fn next_record(&mut self) -> Result<Option<Vec<u8>>, ArchiveError> {
        let len = usize::try_from(u32::from_le_bytes(self.take()?));
        let len = len.map_err(|_| ArchiveError::Damaged)?;
        if len == 0 {
            return self.end().map(|()| None);
        }
        if len > RECORD_BYTES_MAX + self.overhead() {
            return Err(ArchiveError::Damaged);
        }
        let mut said = vec![0; len];
        self.fill(&mut said)?;
        let record = self.opened(said, false)?;
        self.count += 1;
        Ok(Some(record))
    }

    fn end(&mut self) -> Result<(), ArchiveError> {
        let mut said = vec![0; size_of::<u64>() + self.overhead()];
        self.fill(&mut said)?;
        let count = self.opened(said, true)?;
        let expected = self.checksum.clone().finalize();
        let checksum = u32::from_le_bytes(self.take()?);
        let mut more = [0];
        let is_end = self.from.read(&mut more)? == 0;
        let is_whole = count == self.count.to_le_bytes() && checksum == expected && is_end;
        is_whole.then_some(()).ok_or(ArchiveError::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDS: [&[u8]; 3] = [b"one", b"another one", b"the last"];

    fn key(digit: &str) -> ArchiveKey {
        ArchiveKey::parse(&digit.repeat(64)).unwrap()
    }

    fn written(key: Option<ArchiveKey>) -> Vec<u8> {
        let mut writer = ArchiveWriter::new(Vec::new(), 7, key).unwrap();
        for record in RECORDS {
            assert!(writer.push(record).unwrap());
        }
        assert!(!writer.push(b"").unwrap());
        let (bytes, count) = writer.finish().unwrap();
        assert_eq!(count, 3);
        bytes
    }

    fn read(bytes: &[u8], key: Option<ArchiveKey>) -> Result<Vec<Vec<u8>>, ArchiveError> {
        let mut reader = ArchiveReader::new(bytes, key)?;
        assert_eq!(reader.mark(), 7);
        let mut records = Vec::new();
        while let Some(record) = reader.next_record()? {
            records.push(record);
        }
        Ok(records)
    }

    #[test]
    fn what_was_written_is_read_with_its_key_alone() {
        assert_eq!(read(&written(None), None).unwrap(), RECORDS);
        let sealed = written(Some(key("a")));
        assert_eq!(read(&sealed, Some(key("a"))).unwrap(), RECORDS);
        assert!(matches!(read(&sealed, None), Err(ArchiveError::Sealed)));
        assert!(matches!(
            read(&sealed, Some(key("b"))),
            Err(ArchiveError::Damaged)
        ));
        let plain = read(&written(None), Some(key("a")));
        assert!(matches!(plain, Err(ArchiveError::Unsealed)));
        assert!(!sealed.windows(3).any(|part| part == b"one"));
    }

    #[test]
    fn each_cut_and_each_flipped_bit_is_noticed() {
        for key in [None, Some(key("a"))] {
            let whole = written(key.clone());
            for end in 0..whole.len() {
                assert!(read(&whole[..end], key.clone()).is_err(), "{end} bytes");
            }
            for bit in 0..whole.len() * 8 {
                let mut flipped = whole.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                // The mark is compared by whoever takes the records in; its checksum comes first.
                assert!(read(&flipped, key.clone()).is_err(), "bit {bit}");
            }
            let more = [&whole[..], b"x"].concat();
            assert!(read(&more, key).is_err(), "something behind the end");
        }
    }

    #[test]
    fn sealed_records_cannot_be_exchanged_or_left_out() {
        let whole = written(Some(key("a")));
        let first = BEGINNING_BYTES..BEGINNING_BYTES + 4 + RECORDS[0].len() + Sealer::OVERHEAD;
        let without = [&whole[..first.start], &whole[first.end..]].concat();
        assert!(matches!(
            read(&without, Some(key("a"))),
            Err(ArchiveError::Damaged)
        ));
    }

    #[test]
    fn a_key_is_64_hexadecimal_digits() {
        let long = "a".repeat(65);
        let foreign = "ä".repeat(32);
        for bad in ["", "abc", &long, &foreign, &"g".repeat(64)] {
            assert!(
                matches!(ArchiveKey::parse(bad), Err(ArchiveError::Key)),
                "{bad}"
            );
        }
        assert!(ArchiveKey::parse(&format!(" {}\n", "0aF".repeat(22)[..64].to_owned())).is_ok());
    }
}
