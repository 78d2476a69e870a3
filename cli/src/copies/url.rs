//! Owns addresses of pages as far as a sitemap has them ([`Url`]): scheme, host, path and query.
//! Never asks for one.

use std::fmt;

use http::Uri;
use http::uri::Scheme;

/// An absolute address of a page.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Url {
    pub(super) is_https: bool,
    /// Host and port as they are named.
    pub(super) authority: String,
    /// Path and query, percent-encoded.
    pub(super) target: String,
}

impl Url {
    /// `None` where it is no address of the kind, or names a user.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.split('#').next().unwrap_or_default();
        let uri: Uri = encoded(text).parse().ok()?;
        let is_https = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return None,
        };
        let authority = uri.authority()?.as_str();
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let slash = if target.starts_with('/') { "" } else { "/" };
        (!authority.contains('@')).then(|| Self {
            is_https,
            authority: authority.to_ascii_lowercase(),
            target: format!("{slash}{target}"),
        })
    }

    /// The one that a reference leads to that stands in an answer for this one; `None` where that is on
    /// another host.
    pub(super) fn join(&self, reference: &str) -> Option<Self> {
        if let Some(absolute) = Self::parse(reference) {
            return (absolute.authority == self.authority).then_some(absolute);
        }
        let is_path = reference.starts_with('/') && !reference.starts_with("//");
        let base = format!("http://{}{reference}", self.authority);
        let joined = is_path.then(|| Self::parse(&base)).flatten()?;
        Some(Self {
            is_https: self.is_https,
            ..joined
        })
    }

    pub(super) fn with_target(&self, target: &str) -> Self {
        Self {
            target: target.to_owned(),
            ..self.clone()
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.target)
    }
}

/// What is no visible ASCII is percent-encoded (RFC 3987 §3.1): many sitemaps have words as they are read.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~' if !b"\"<>\\^`{|}".contains(&byte) => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_pages() {
        #[track_caller]
        fn check(text: &str, expected: Option<&str>) {
            assert_eq!(
                Url::parse(text).map(|url| url.to_string()).as_deref(),
                expected,
                "{text}"
            );
        }
        check("https://Shop.example", Some("https://shop.example/"));
        check(" http://h:81/a?b=c#d\n", Some("http://h:81/a?b=c"));
        check("http://h/grüße x", Some("http://h/gr%C3%BC%C3%9Fe%20x"));
        check("http://h?a", Some("http://h/?a"));
        for bad in [
            "",
            "/a",
            "ftp://h/",
            "http://",
            "http://u@h/",
            "http://h/\u{1}\n",
            "javascript:x",
        ] {
            let is_encoded = bad.contains('\u{1}');
            check(bad, is_encoded.then_some("http://h/%01"));
        }
    }

    #[test]
    fn where_an_answer_leads_on() {
        let url = Url::parse("http://h/a/b").unwrap();
        let to = |reference| url.join(reference).map(|url| url.to_string());
        assert_eq!(to("/c?d").as_deref(), Some("http://h/c?d"));
        assert_eq!(to("https://H/a/b").as_deref(), Some("https://h/a/b"));
        assert_eq!(to("https://other/a"), None);
        assert_eq!(to("//other/a"), None);
    }
}
