//! Owns the sealing of records ([`Sealer`]): who can read the disk reads no page of a session, and who can
//! write it cannot put one in another's place.
//! Never decides what is sealed.

use std::fmt;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

use crate::secret::SEAL_BYTES;

/// Long enough for random ones never to meet.
const NONCE_BYTES: usize = 24;

/// Seals with one key.
#[derive(Clone)]
pub struct Sealer(XChaCha20Poly1305);

/// Of the tag behind what is sealed.
const TAG_BYTES: usize = 16;

impl Sealer {
    /// By how much a sealed record is longer.
    pub const OVERHEAD: usize = NONCE_BYTES + TAG_BYTES;

    /// Seals with this key.
    #[must_use]
    pub fn new(key: &[u8; SEAL_BYTES]) -> Self {
        Self(XChaCha20Poly1305::new(key.into()))
    }

    /// Seals a record that belongs to `name`; `None` where the operating system has no randomness.
    #[must_use]
    pub fn seal(&self, record: &[u8], name: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).ok()?;
        let payload = Payload {
            msg: record,
            aad: name,
        };
        let sealed = self.0.encrypt(&XNonce::from(nonce), payload).ok()?;
        Some([&nonce[..], &sealed].concat())
    }

    /// The record; `None` where it is not what was sealed for `name`.
    #[must_use]
    pub fn open(&self, sealed: &[u8], name: &[u8]) -> Option<Vec<u8>> {
        let (nonce, msg) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload { msg, aad: name };
        self.0.decrypt(&XNonce::from(*nonce), payload).ok()
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_sealed_is_opened_and_under_its_own_name() {
        let sealer = Sealer::new(&[1; SEAL_BYTES]);
        let sealed = sealer.seal(b"a page", b"name").unwrap();
        assert_eq!(sealed.len(), b"a page".len() + Sealer::OVERHEAD);
        assert_eq!(
            sealer.open(&sealed, b"name").as_deref(),
            Some(&b"a page"[..])
        );
        assert!(!sealed.windows(6).any(|part| part == b"a page"));
        assert_ne!(sealer.seal(b"a page", b"name").unwrap(), sealed);
        assert_eq!(sealer.open(&sealed, b"other"), None);
        assert_eq!(Sealer::new(&[2; SEAL_BYTES]).open(&sealed, b"name"), None);
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(sealer.open(&flipped, b"name"), None, "bit {bit}");
        }
        for end in 0..sealed.len() {
            assert_eq!(sealer.open(&sealed[..end], b"name"), None, "{end} bytes");
        }
    }
}
