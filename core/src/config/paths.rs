//! Owns patterns of paths.
//! Never knows what they are for.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Patterns of paths in which each `*` stands for any text, `/` included (`/healthz`, `/admin/*`,
/// `*.php`). Compared with case, as paths are.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PathPatterns(Vec<String>);

impl PathPatterns {
    /// Whether `path`, without its query, fits one of them, as it was sent or with what is
    /// percent-encoded decoded (RFC 3986 §2.1): to an application both are one page.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let decoded = decoded(path);
        let fits_one = |path: &[u8]| self.0.iter().any(|it| fits(path, it.as_bytes()));
        fits_one(path) || matches!(decoded, Cow::Owned(decoded) if fits_one(&decoded))
    }
}

/// Whether `path` is `pattern` with any text for each `*`.
fn fits(path: &[u8], pattern: &[u8]) -> bool {
    let (mut at, mut next) = (0, 0);
    // Where the last `*` is, and up to where it reaches.
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = path.get(at) {
        match pattern.get(next) {
            Some(b'*') => {
                star = Some((next, at));
                next += 1;
            }
            Some(wanted) if wanted == byte => {
                at += 1;
                next += 1;
            }
            Some(_) | None => {
                let Some((star_at, reach)) = star else {
                    return false;
                };
                star = Some((star_at, reach + 1));
                (at, next) = (reach + 1, star_at + 1);
            }
        }
    }
    pattern[next..].iter().all(|&byte| byte == b'*')
}

fn decoded(path: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'%', path).is_none() {
        return Cow::Borrowed(path);
    }
    let digit = |at: usize| {
        let digit = path.get(at).copied().map(char::from)?.to_digit(16)?;
        u8::try_from(digit).ok()
    };
    let mut decoded = Vec::with_capacity(path.len());
    let mut at = 0;
    while let Some(&byte) = path.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(high << 4 | low);
                at += 3;
            }
            _ => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    Cow::Owned(decoded)
}

impl FromStr for PathPatterns {
    type Err = String;

    /// Patterns separated by commas, each beginning with `/` or `*`; the empty text is none.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let patterns: Vec<_> = text
            .split(',')
            .map(str::trim)
            .filter(|pattern| !pattern.is_empty())
            .map(ToOwned::to_owned)
            .collect();
        for pattern in &patterns {
            if !pattern.starts_with(['/', '*']) {
                return Err(format!("`{pattern}` does not begin with `/` or `*`"));
            }
            if pattern.contains(['?', '#']) || pattern.contains(char::is_whitespace) {
                return Err(format!("`{pattern}` is more than a path"));
            }
        }
        Ok(Self(patterns))
    }
}

impl fmt::Display for PathPatterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_of_paths() {
        let patterns: PathPatterns = "/healthz, /admin/*,/api/*/status,*.php".parse().unwrap();
        for (path, expected) in [
            ("/healthz", true),
            ("/healthz/", false),
            ("/healthzz", false),
            ("/admin/", true),
            ("/admin/users/1", true),
            ("/admin", false),
            ("/x/admin/", false),
            ("/%61dmin/x", true),
            ("/admin%2Fx", true),
            ("/Admin/x", false),
            ("/api/v1/status", true),
            ("/api/v1/x/status", true),
            ("/api/status", false),
            ("/api/v1/status/x", false),
            ("/a/index.php", true),
            ("/a/index.php5", false),
            ("/100%", false),
            ("", false),
        ] {
            assert_eq!(patterns.matches(path.as_bytes()), expected, "{path}");
        }
        assert_eq!(patterns.to_string().parse(), Ok(patterns));
        for bad in ["healthz", "/a?b", "/a b", "/#x"] {
            assert!(bad.parse::<PathPatterns>().is_err(), "{bad}");
        }
        assert_eq!("".parse(), Ok(PathPatterns::default()));
        assert!(!PathPatterns::default().matches(b"/"));
    }

    fn fits_naively(path: &[u8], pattern: &[u8]) -> bool {
        match pattern.split_first() {
            None => path.is_empty(),
            Some((b'*', rest)) => (0..=path.len()).any(|at| fits_naively(&path[at..], rest)),
            Some((wanted, rest)) => path.first() == Some(wanted) && fits_naively(&path[1..], rest),
        }
    }

    proptest! {
        #[test]
        fn any_text_stands_for_each_star(path in "[ab/]{0,12}", pattern in "[ab/*]{0,8}") {
            let (path, pattern) = (path.as_bytes(), pattern.as_bytes());
            prop_assert_eq!(fits(path, pattern), fits_naively(path, pattern));
        }
    }
}
