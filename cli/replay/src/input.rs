//! Owns the way from files to lines: standard input, gzip, lines of any length.
//! Never holds more than one line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

/// Longer ones are no lines of an access log; a server refuses such heads.
const LINE_BYTES_MAX: usize = 256 * 1024;
/// Of each of the files, which may be a year of days.
const BUFFER_BYTES: usize = 64 * 1024;

/// The lines of one file.
pub(super) struct Lines {
    line: Vec<u8>,
    source: Box<dyn BufRead>,
}

impl Lines {
    /// Opens a file, or standard input for `-`. What begins as gzip does is unpacked.
    pub(super) fn open(path: &str) -> io::Result<Self> {
        if path == "-" {
            Self::of(io::stdin())
        } else {
            let file = File::open(path)?;
            if file.metadata()?.is_dir() {
                return Err(io::Error::other("it is a directory"));
            }
            Self::of(file)
        }
    }

    fn of(source: impl Read + 'static) -> io::Result<Self> {
        let mut source = BufReader::with_capacity(BUFFER_BYTES, source);
        let is_gzip = source.fill_buf()?.starts_with(&[0x1f, 0x8b]);
        let source: Box<dyn BufRead> = if is_gzip {
            // A rotated log may be several gzip members, one after the other.
            let plain = MultiGzDecoder::new(source);
            Box::new(BufReader::with_capacity(BUFFER_BYTES, plain))
        } else {
            Box::new(source)
        };
        Ok(Self {
            line: Vec::new(),
            source,
        })
    }

    /// The next line without its end; `None` at the end of the file. Of a line that is too long
    /// the start.
    pub(super) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        let mut is_empty = true;
        loop {
            let buffer = match self.source.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if buffer.is_empty() {
                break;
            }
            is_empty = false;
            let end = memchr::memchr(b'\n', buffer);
            let part = &buffer[..end.unwrap_or(buffer.len())];
            let room = LINE_BYTES_MAX - self.line.len();
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            let used = part.len() + usize::from(end.is_some());
            self.source.consume(used);
            if end.is_some() {
                break;
            }
        }
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        Ok((!is_empty).then_some(&self.line))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[track_caller]
    fn check(bytes: Vec<u8>, expected: &[&str]) {
        let mut lines = Lines::of(Cursor::new(bytes)).unwrap();
        for expected in expected {
            let line = lines.next().unwrap().unwrap();
            assert_eq!(String::from_utf8_lossy(line), *expected);
        }
        assert_eq!(lines.next().unwrap(), None);
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut out = GzEncoder::new(Vec::new(), Compression::fast());
        out.write_all(text.as_bytes()).unwrap();
        out.finish().unwrap()
    }

    #[test]
    fn lines_with_and_without_an_end() {
        check(b"".to_vec(), &[]);
        check(b"a\n\nb\r\n".to_vec(), &["a", "", "b"]);
        check(b"a\nb".to_vec(), &["a", "b"]);
        check([gzip("a\nb"), gzip("c\nd\n")].concat(), &["a", "bc", "d"]);
    }

    #[test]
    fn a_line_without_end_is_cut_and_the_next_is_whole() {
        let long = "x".repeat(3 * LINE_BYTES_MAX);
        let text = format!("{long}\nnext\n");
        check(text.into_bytes(), &[&long[..LINE_BYTES_MAX], "next"]);
    }

    #[test]
    fn a_broken_archive_is_an_error() {
        let mut whole = gzip(&"line\n".repeat(100_000));
        whole.truncate(whole.len() / 2);
        let mut lines = Lines::of(Cursor::new(whole)).unwrap();
        let error = loop {
            match lines.next() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("half an archive has no end"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
