//! Owns values that are never shown.
//! Never decides where they are asked for.

use std::fmt;

/// A text that is compared and never shown.
#[derive(Clone)]
pub(crate) struct Secret(String);

/// Below this a token can be guessed.
const BYTES_MIN: usize = 16;

impl Secret {
    /// Takes a token that can be sent in a field.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.len() < BYTES_MIN {
            return Err(format!("it is shorter than {BYTES_MIN} characters"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("it has other characters than visible ASCII".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    /// The text, to be sent to whoever asks for it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether `given` is it. How long that takes tells no more than whether it is as long.
    pub(crate) fn is(&self, given: &str) -> bool {
        let (known, given) = (self.0.as_bytes(), given.as_bytes());
        let differ = known
            .iter()
            .zip(given)
            .fold(0, |differ, (known, given)| differ | (known ^ given));
        // Kept from being known before the whole was looked at.
        std::hint::black_box(differ) == 0 && known.len() == given.len()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}
