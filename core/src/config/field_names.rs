//! Owns names of fields that an operator adds to those that RETTER knows.
//! Never knows what they are added to.

use std::fmt;
use std::str::FromStr;

use crate::message::{folded, is_token};

/// Field names and prefixes of them (`x-shop-*`), compared without case; `_` is the same as `-`, as
/// it is to applications behind CGI and its heirs (RFC 3875 §4.1.18).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FieldNames {
    /// In lower case, with `-`.
    exact: Vec<String>,
    prefixes: Vec<String>,
}

impl FieldNames {
    /// Whether there is no name at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty()
    }

    /// Whether `name` is one of the names or begins with one of the prefixes.
    #[must_use]
    pub fn contain(&self, name: &[u8]) -> bool {
        let is = |known: &String, name: &[u8]| name.iter().copied().map(folded).eq(known.bytes());
        let begins = |known: &String| name.get(..known.len()).is_some_and(|part| is(known, part));
        self.exact.iter().any(|known| is(known, name)) || self.prefixes.iter().any(begins)
    }
}

impl FromStr for FieldNames {
    type Err = String;

    /// Comma-separated names; a last `*` makes a prefix. An empty text is no name at all.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut names = Self::default();
        for name in text
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            let (list, bare) = match name.strip_suffix('*') {
                Some(prefix) => (&mut names.prefixes, prefix),
                None => (&mut names.exact, name),
            };
            if !is_token(bare.as_bytes()) || bare.contains('*') {
                return Err(format!(
                    "`{name}` is not the name of a field, nor a prefix with `*` after it"
                ));
            }
            list.push(bare.bytes().map(|byte| char::from(folded(byte))).collect());
        }
        Ok(names)
    }
}

impl fmt::Display for FieldNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefixes = self.prefixes.iter().map(|prefix| format!("{prefix}*"));
        let names: Vec<_> = self.exact.iter().cloned().chain(prefixes).collect();
        f.write_str(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_names() {
        let names: FieldNames = "X-Shop_User, x-cdn-*".parse().unwrap();
        for name in ["x-shop-user", "X_SHOP_USER", "X-CDN-Id", "x_cdn_"] {
            assert!(names.contain(name.as_bytes()), "{name}");
        }
        for name in ["x-shop", "x-shop-user-", "x-cd", ""] {
            assert!(!names.contain(name.as_bytes()), "{name}");
        }
        assert_eq!(names.to_string().parse(), Ok(names));
        assert!("".parse::<FieldNames>().unwrap().is_empty());
        for bad in ["a b", "a*b", "*", "ü"] {
            assert!(bad.parse::<FieldNames>().is_err(), "{bad}");
        }
    }
}
