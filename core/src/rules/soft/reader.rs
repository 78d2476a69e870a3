//! Owns what is read of a page as it passes: its first 4 KiB, its last KiB and its length, decoded
//! where it came as gzip (RFC 9110 §8.4.1.3).
//! Never holds more than that, however long the page is or gets when it is decoded.

use std::io::{self, Read as _, Write};

use flate2::{read, write};
use memchr::memmem;

use super::Look;
use crate::message::Fields;

/// A page whose content is longer when decoded is not judged.
const DECODED_BYTES_MAX: u64 = 8 << 20;

/// How a page is coded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Coding {
    Gzip,
    Identity,
    /// In a way that is not read here.
    Other,
}

impl Coding {
    pub(crate) fn of(answer: &Fields) -> Self {
        let mut coding = Self::Identity;
        for token in answer.tokens("content-encoding") {
            let is = |name: &[u8]| token.eq_ignore_ascii_case(name);
            coding = match coding {
                _ if is(b"identity") => coding,
                Self::Identity if is(b"gzip") || is(b"x-gzip") => Self::Gzip,
                Self::Gzip | Self::Identity | Self::Other => Self::Other,
            };
        }
        coding
    }
}

/// The parts of a page by which it is judged.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    head: Vec<u8>,
    length: u64,
    /// The last KiB, and up to as much again before it.
    tail: Vec<u8>,
}

impl Sample {
    pub(crate) const HEAD_BYTES: usize = 4 << 10;
    pub(crate) const TAIL_BYTES: usize = 1 << 10;

    fn push(&mut self, data: &[u8]) {
        self.length += data.len() as u64;
        let room = Self::HEAD_BYTES - self.head.len();
        self.head.extend_from_slice(&data[..data.len().min(room)]);
        let surplus = data.len().saturating_sub(Self::TAIL_BYTES);
        if surplus > 0 {
            self.tail.clear();
        } else if self.tail.len() + data.len() > 2 * Self::TAIL_BYTES {
            let rest = self.tail.len() - Self::TAIL_BYTES;
            self.tail.drain(..rest.min(self.tail.len()));
        }
        self.tail.extend_from_slice(&data[surplus..]);
    }

    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    pub(crate) fn tail(&self) -> &[u8] {
        &self.tail[self.tail.len().saturating_sub(Self::TAIL_BYTES)..]
    }

    pub(crate) fn look(&self) -> Look {
        Look::new(self.length, self.head(), self.tail())
    }
}

impl Write for Sample {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.push(data);
        match self.length > DECODED_BYTES_MAX {
            true => Err(io::ErrorKind::FileTooLarge.into()),
            false => Ok(data.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a page as it passes.
#[derive(Debug)]
pub(crate) enum Reader {
    Gzip(Box<write::GzDecoder<Sample>>),
    /// Nothing has come yet of what is gzip.
    GzipToCome,
    Plain(Sample),
    /// What comes is not what its head says.
    Unreadable,
}

impl Reader {
    /// `None` for a page that is coded otherwise.
    pub(crate) fn new(coding: Coding) -> Option<Self> {
        match coding {
            Coding::Gzip => Some(Self::GzipToCome),
            Coding::Identity => Some(Self::Plain(Sample::default())),
            Coding::Other => None,
        }
    }

    /// Takes a piece as it came.
    pub(crate) fn push(&mut self, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        if matches!(self, Self::GzipToCome) {
            *self = Self::Gzip(Box::new(write::GzDecoder::new(Sample::default())));
        }
        match self {
            Self::Gzip(decoder) => {
                if decoder.write_all(data).is_err() {
                    *self = Self::Unreadable;
                }
            }
            Self::Plain(sample) => sample.push(data),
            Self::GzipToCome | Self::Unreadable => {}
        }
    }

    /// The page is complete; `None` where it was not what its head says.
    pub(crate) fn finish(self) -> Option<Sample> {
        match self {
            Self::Gzip(decoder) => decoder.finish().ok(),
            // Nothing at all is an empty page in every coding.
            Self::GzipToCome => Some(Sample::default()),
            Self::Plain(sample) => Some(sample),
            Self::Unreadable => None,
        }
    }
}

/// Whether `text` stands in a whole page that is kept as it came, in letters of either case.
pub(crate) fn holds(page: &[u8], coding: Coding, text: &str) -> bool {
    let holds = |page: &[u8]| {
        let page = page.to_ascii_lowercase();
        memmem::find(&page, text.to_ascii_lowercase().as_bytes()).is_some()
    };
    match coding {
        Coding::Identity => holds(page),
        Coding::Gzip => {
            let mut decoded = Vec::new();
            let mut decoder = read::GzDecoder::new(page).take(DECODED_BYTES_MAX);
            decoder.read_to_end(&mut decoded).is_ok() && holds(&decoded)
        }
        Coding::Other => false,
    }
}

/// What is remembered of a whole page that is kept as it came; `None` where it cannot be read.
pub(crate) fn look(page: &[u8], coding: Coding) -> Option<Look> {
    match coding {
        Coding::Identity => Some(Look::of(page)),
        Coding::Gzip | Coding::Other => {
            let mut reader = Reader::new(coding)?;
            reader.push(page);
            reader.finish().map(|sample| sample.look())
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn gzip(page: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(page).unwrap();
        encoder.finish().unwrap()
    }

    proptest! {
        #[test]
        fn pieces_are_read_as_the_whole_is(
            page in prop::collection::vec(any::<u8>(), 0..9000),
            cuts in prop::collection::vec(1_usize..3000, 1..20),
            is_gzip: bool,
        ) {
            let (coding, coded) = match is_gzip {
                true => (Coding::Gzip, gzip(&page)),
                false => (Coding::Identity, page.clone()),
            };
            let mut reader = Reader::new(coding).unwrap();
            let mut rest = &coded[..];
            for cut in cuts.iter().cycle() {
                let (piece, after) = rest.split_at(rest.len().min(*cut));
                reader.push(piece);
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            let sample = reader.finish().unwrap();
            prop_assert_eq!(sample.length, page.len() as u64);
            prop_assert_eq!(sample.head(), &page[..page.len().min(4096)]);
            prop_assert_eq!(sample.tail(), &page[page.len().saturating_sub(1024)..]);
            prop_assert!(sample.head.len() + sample.tail.len() <= 6 << 10);
            prop_assert_eq!(Some(sample.look()), look(&coded, coding));
        }
    }

    #[test]
    fn what_is_not_gzip_is_not_read() {
        let whole = gzip(&b"<html>page</html>".repeat(99));
        for bad in [&b"<html>"[..], &whole[..whole.len() - 1], &whole[..12]] {
            assert_eq!(look(bad, Coding::Gzip), None);
        }
        assert!(look(&whole, Coding::Gzip).is_some());
        assert_eq!(look(b"", Coding::Gzip), look(b"", Coding::Identity));
        assert_eq!(look(&whole, Coding::Other), None);
    }

    #[test]
    fn what_gets_longer_than_any_page_is_given_up() {
        let bomb = gzip(&vec![b' '; (DECODED_BYTES_MAX + 1).try_into().unwrap()]);
        assert!(bomb.len() < 64 << 10, "{}", bomb.len());
        assert_eq!(look(&bomb, Coding::Gzip), None);
    }

    #[test]
    fn texts_are_found_in_whole_pages() {
        let page = [b"x".repeat(9000), b"Too MANY".to_vec(), b"y".repeat(9000)].concat();
        assert!(holds(&page, Coding::Identity, "too many"));
        assert!(holds(&gzip(&page), Coding::Gzip, "Too many"));
        assert!(!holds(&gzip(&page), Coding::Gzip, "too few"));
        assert!(!holds(&page, Coding::Gzip, "too many"));
    }

    #[test]
    fn codings() {
        for (field, expected) in [
            ("", Coding::Identity),
            ("identity", Coding::Identity),
            ("GZip", Coding::Gzip),
            ("x-gzip", Coding::Gzip),
            ("identity, gzip", Coding::Gzip),
            ("br", Coding::Other),
            ("gzip, gzip", Coding::Other),
            ("zstd, gzip", Coding::Other),
        ] {
            let fields = Fields::from_pairs([("content-encoding", field.as_bytes())]);
            assert_eq!(Coding::of(&fields), expected, "{field}");
        }
    }
}
