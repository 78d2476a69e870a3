//! Owns what model origins send: pages that say for whom they are, and large bodies with a
//! checksum.
//! Never accepts a page with one byte wrong: a mixed, cut or exchanged page does not parse.

use std::fmt::Write;

use flate2::Crc;

/// What a page says of itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Page {
    /// The request target it was made for.
    pub key: String,
    /// The session it was made for.
    pub session: String,
    /// The origin's version when it was made.
    pub version: u64,
    /// Lines after the first, each of which repeats all of this.
    pub lines: usize,
}

impl Page {
    /// The bytes of the page.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self {
            key,
            session,
            version,
            lines,
        } = self;
        let mut text = format!("{key}|{session}|{version}|{lines}\n");
        for line in 0..*lines {
            let _ = writeln!(text, "{line} of {lines} for {key}|{session}|{version}");
        }
        text.into_bytes()
    }

    /// Reads a page back.
    ///
    /// # Errors
    /// When the bytes are not exactly one page.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let page = Self::parse_start(bytes)?;
        if page.to_bytes() == bytes {
            Ok(page)
        } else {
            Err(format!("{} bytes are not the page {page:?}", bytes.len()))
        }
    }

    /// Reads the first bytes of a page that was cut off after its first line.
    ///
    /// # Errors
    /// When the bytes are not the start of one page.
    pub fn parse_cut(bytes: &[u8]) -> Result<Self, String> {
        let page = Self::parse_start(bytes)?;
        if page.to_bytes().starts_with(bytes) {
            Ok(page)
        } else {
            Err(format!(
                "{} bytes do not begin the page {page:?}",
                bytes.len()
            ))
        }
    }

    fn parse_start(bytes: &[u8]) -> Result<Self, String> {
        let shown = || String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
        let text = std::str::from_utf8(bytes).map_err(|_| shown())?;
        let (first, _) = text.split_once('\n').ok_or_else(shown)?;
        let mut parts = first.split('|');
        let mut next = || parts.next().ok_or_else(shown);
        Ok(Self {
            key: next()?.to_owned(),
            session: next()?.to_owned(),
            version: next()?.parse().map_err(|_| shown())?,
            lines: next()?.parse().map_err(|_| shown())?,
        })
    }
}

/// The length and checksum of a body, taken piece by piece.
#[derive(Debug, Default)]
pub struct Sum {
    crc: Crc,
    len: u64,
}

impl Sum {
    /// Adds a piece.
    pub fn add(&mut self, piece: &[u8]) {
        self.crc.update(piece);
        self.len += piece.len() as u64;
    }

    /// The length and checksum so far.
    #[must_use]
    pub fn value(&self) -> (u64, u32) {
        (self.len, self.crc.sum())
    }
}

/// Hands out a large body block by block: every block is different, so that a lost, doubled or
/// exchanged one changes the checksum.
#[derive(Clone, Debug)]
pub struct Blocks {
    block: Vec<u8>,
    number: u64,
    left: u64,
}

impl Blocks {
    /// Makes a body of `len` bytes.
    #[must_use]
    pub fn new(len: u64) -> Self {
        const BLOCK_BYTES: usize = 64 * 1024;
        // A full-period linear congruential generator: noise that no compression makes small.
        let mut noise = 1_u32;
        let block = (0..BLOCK_BYTES)
            .map(|_| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                noise.to_be_bytes()[0]
            })
            .collect();
        Self {
            block,
            number: 0,
            left: len,
        }
    }

    /// The next block; `None` at the end.
    pub fn next_block(&mut self) -> Option<&[u8]> {
        let len = self
            .block
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= len as u64;
        self.number += 1;
        self.block[..8].copy_from_slice(&self.number.to_be_bytes());
        (len > 0).then_some(&self.block[..len])
    }

    /// The length and checksum of what is left.
    #[must_use]
    pub fn sum(mut self) -> (u64, u32) {
        let mut sum = Sum::default();
        while let Some(block) = self.next_block() {
            sum.add(block);
        }
        sum.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_reads_back_and_no_other_bytes_do() {
        let page = Page {
            key: "/a?b=c".to_owned(),
            session: "anna".to_owned(),
            version: 7,
            lines: 20,
        };
        let bytes = page.to_bytes();
        assert_eq!(Page::parse(&bytes).as_ref(), Ok(&page));
        assert_eq!(Page::parse_cut(&bytes[..100]), Ok(page));
        assert!(Page::parse(&bytes[..100]).is_err());
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 4;
            let other = Page::parse(&changed);
            assert!(other.is_err(), "byte {at}: {other:?}");
        }
    }

    #[test]
    fn blocks_have_the_length_and_differ() {
        let (len, sum) = Blocks::new(200_000).sum();
        assert_eq!(len, 200_000);
        assert_ne!(sum, Blocks::new(200_001).sum().1);
        let mut blocks = Blocks::new(200_000);
        let first = blocks.next_block().unwrap().to_vec();
        assert_ne!(blocks.next_block().unwrap(), first);
    }
}
