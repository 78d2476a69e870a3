//! Owns the settings by which error pages are known that come with status 200.
//! Never looks at a page.

use std::fmt;
use std::str::FromStr;

/// What is done about error pages that come with status 200.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SoftMode {
    /// They are pages as others are.
    Off,
    /// They are counted and named, and are pages as others are.
    Observe,
    /// They are failures: the copy stays, and answers where nothing was sent yet.
    #[default]
    Rescue,
}

/// Texts that stand in error pages only, compared without regard to the case of ASCII letters.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FailTexts(Vec<String>);

impl FailTexts {
    /// Shorter ones would stand in ordinary pages, or in the middle of a word.
    const CHARS_MIN: usize = 6;
    const COUNT_MAX: usize = 100;

    /// The texts.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl FromStr for FailTexts {
    type Err = String;

    /// Texts separated by commas; the empty text is no text at all.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let texts: Vec<_> = text
            .split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(ToOwned::to_owned)
            .collect();
        if let Some(short) = texts
            .iter()
            .find(|text| text.chars().count() < Self::CHARS_MIN)
        {
            let least = Self::CHARS_MIN;
            return Err(format!("`{short}` has fewer than {least} characters"));
        }
        if texts.len() > Self::COUNT_MAX {
            return Err(format!("there are more than {}", Self::COUNT_MAX));
        }
        Ok(Self(texts))
    }
}

impl fmt::Display for FailTexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let texts: FailTexts = " Bitte später , Too busy,".parse().unwrap();
        assert_eq!(
            texts.iter().collect::<Vec<_>>(),
            ["Bitte später", "Too busy"]
        );
        assert_eq!(texts.to_string().parse(), Ok(texts));
        assert_eq!("".parse(), Ok(FailTexts::default()));
        let many = "a long text,".repeat(101);
        for bad in ["error", "a long text, no", &many] {
            assert!(bad.parse::<FailTexts>().is_err(), "{bad}");
        }
    }
}
