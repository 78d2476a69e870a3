//! Owns [`Choice`]: where a file of the program is, as a setting says it.
//! Never looks at a file system.

use std::path::{Path, PathBuf};

/// What the setting says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Choice {
    /// Where such files are, if there is such a place.
    Auto,
    Off,
    At(PathBuf),
}

impl Choice {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            path if Path::new(path).is_absolute() => Ok(Self::At(path.into())),
            other => Err(format!("`{other}` does not begin with `/`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_word_or_begins_with_a_slash() {
        assert_eq!(Choice::parse(" auto "), Ok(Choice::Auto));
        assert_eq!(Choice::parse("off"), Ok(Choice::Off));
        assert_eq!(Choice::parse("/run/a"), Ok(Choice::At("/run/a".into())));
        assert!(Choice::parse("a.sock").is_err());
    }
}
