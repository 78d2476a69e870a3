//! Owns what all instances of one application know and nobody else ([`Secret`]), and what is made of it.
//! Never shows it.

use std::fmt;

use hkdf::Hkdf;
use sha2::Sha256;

/// Below this it can be guessed.
pub const SECRET_BYTES_MIN: usize = 32;

/// The secret that instances share.
#[derive(Clone)]
pub struct Secret(Hkdf<Sha256>);

impl Secret {
    /// Takes a text of at least [`SECRET_BYTES_MIN`] bytes; `None` for a shorter one.
    #[must_use]
    pub fn new(text: &[u8]) -> Option<Self> {
        (text.len() >= SECRET_BYTES_MIN).then(|| Self(Hkdf::new(None, text)))
    }

    /// The seed of a site: with the same one keys are the same at all instances.
    #[must_use]
    pub fn seed(&self) -> u64 {
        u64::from_le_bytes(self.derive(&[b"retter seed"]))
    }

    /// What seals.
    pub(crate) fn seal(&self) -> [u8; 32] {
        self.derive(&[b"retter seal"])
    }

    /// What the names of those begin with that have the same rules.
    pub(crate) fn tag(&self, mark: u64) -> u64 {
        u64::from_le_bytes(self.derive(&[b"retter names", &mark.to_le_bytes()]))
    }

    fn derive<const N: usize>(&self, info: &[&[u8]]) -> [u8; N] {
        let mut bytes = [0; N];
        // Only thousands of bytes would be too many.
        let derived = self.0.expand_multi_info(info, &mut bytes);
        debug_assert!(derived.is_ok(), "few bytes are asked for");
        bytes
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_of_a_secret_is_the_same_everywhere_and_tells_nothing_of_others() {
        let text = [b's'; SECRET_BYTES_MIN];
        let (one, same) = (Secret::new(&text).unwrap(), Secret::new(&text).unwrap());
        assert_eq!((one.seed(), one.seal()), (same.seed(), same.seal()));
        assert_eq!(one.tag(1), same.tag(1));
        assert_ne!(one.tag(1), one.tag(2));
        let other = Secret::new(&[b't'; SECRET_BYTES_MIN]).unwrap();
        assert_ne!(one.seed(), other.seed());
        assert_ne!(one.seal(), other.seal());
        assert!(Secret::new(&text[1..]).is_none());
        assert_eq!(format!("{one:?}"), "(not shown)");
    }
}
