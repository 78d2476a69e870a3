//! Owns what kind of answer a request asks for: an application may answer one URL with a page to a
//! navigation, with a part of it to a script, and with data to a program.
//! Never looks at an answer.

/// The kind of answer that a request asks for. Copies of one kind never answer for another.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Kind {
    /// It does not say, as simple clients do not.
    #[default]
    Any,
    /// A script, style, image, font or another part of a page with a URL of its own.
    Asset,
    /// JSON and the like, by a script or a program.
    Data,
    /// A whole page.
    Document,
    /// A part of the page at the page's own URL, or whatever an unusual `Accept` may bring: such
    /// copies answer only those who ask in the very same way.
    Fragment,
}

impl Kind {
    /// Those that are told apart by nothing but the kind.
    pub(crate) const WHOLE: [Self; 4] = [Self::Any, Self::Asset, Self::Data, Self::Document];

    /// By the one line of `Accept` (RFC 9110 §12.5.1), which applications read; where that does not
    /// say it, by `Sec-Fetch-Dest`. No browser navigates without asking for a page in `Accept`.
    pub(crate) fn of(destination: Option<&[u8]>, accept: Option<&[u8]>) -> Self {
        match accept.map_or(Self::Any, Self::of_accept) {
            Self::Any => destination.map_or(Self::Any, Self::of_destination),
            kind @ (Self::Asset | Self::Data | Self::Document | Self::Fragment) => kind,
        }
    }

    fn of_destination(destination: &[u8]) -> Self {
        match destination {
            b"document" | b"embed" | b"fencedframe" | b"frame" | b"iframe" | b"object" => {
                Self::Fragment
            }
            // A script that asks for a page says so in `Accept`.
            b"empty" | b"json" | b"webidentity" => Self::Data,
            _ => Self::Asset,
        }
    }

    /// Applications choose by the first range, by the weights, or by a word anywhere in the field:
    /// it says what is wanted only where all these agree.
    fn of_accept(accept: &[u8]) -> Self {
        if accept
            .strip_prefix(NAVIGATION)
            .is_some_and(|rest| NAVIGATIONS.contains(&rest))
        {
            return Self::Document;
        }
        let mut ranges = ranges(accept);
        let Some(first) = ranges.next() else {
            return Self::Any;
        };
        let kind = match first.asks {
            Asks::Page if first.has_no_parameter => Self::Document,
            Asks::Any => Self::Any,
            Asks::Asset | Asks::Image | Asks::Script => Self::Asset,
            Asks::Json => Self::Data,
            Asks::Other | Asks::Page | Asks::Text | Asks::WebPage => return Self::Fragment,
        };
        let fits = |range: Range| match (kind, range.asks) {
            // That of a page is what browsers send.
            (Self::Document, Asks::Any | Asks::Image | Asks::Page | Asks::WebPage)
            | (Self::Data, Asks::Any | Asks::Json | Asks::Script | Asks::Text)
            | (Self::Asset, Asks::Any | Asks::Asset | Asks::Image | Asks::Script) => true,
            (Self::Any, asks) => matches!(asks, Asks::Any),
            (Self::Asset | Self::Data | Self::Document | Self::Fragment, _) => false,
        };
        match ranges.all(fits) {
            true => kind,
            false => Self::Fragment,
        }
    }
}

/// How Chrome, Firefox and Safari navigate: nearly all requests for pages, so known at a glance.
const NAVIGATION: &[u8] = b"text/html,application/xhtml+xml,application/xml;q=0.9,";
const NAVIGATIONS: [&[u8]; 4] = [
    b"*/*;q=0.8",
    b"image/avif,image/webp,*/*;q=0.8",
    b"image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7",
    b"image/avif,image/webp,image/png,image/svg+xml,*/*;q=0.8",
];

/// A media range of `Accept`.
#[derive(Clone, Copy)]
struct Range {
    asks: Asks,
    has_no_parameter: bool,
}

/// What a media range asks for.
#[derive(Clone, Copy)]
enum Asks {
    Any,
    Asset,
    Image,
    Json,
    Other,
    Page,
    Script,
    Text,
    /// What browsers ask for beside `text/html` when they navigate.
    WebPage,
}

impl Asks {
    fn of(media_type: &[u8]) -> Self {
        if media_type.iter().any(u8::is_ascii_uppercase) {
            return Self::of(&media_type.to_ascii_lowercase());
        }
        match media_type {
            b"*" | b"*/*" => Self::Any,
            b"application/ecmascript"
            | b"application/javascript"
            | b"application/x-ecmascript"
            | b"application/x-javascript"
            | b"text/ecmascript"
            | b"text/javascript" => Self::Script,
            b"application/font-woff" | b"application/wasm" | b"text/css" => Self::Asset,
            b"application/json" => Self::Json,
            b"application/signed-exchange" | b"application/xhtml+xml" | b"application/xml" => {
                Self::WebPage
            }
            b"text/*" | b"text/plain" => Self::Text,
            b"text/html" => Self::Page,
            _ if media_type.starts_with(b"image/") => Self::Image,
            [b'a', b'u', b'd', b'i', b'o', b'/', ..]
            | [b'f', b'o', b'n', b't', b'/', ..]
            | [b'v', b'i', b'd', b'e', b'o', b'/', ..] => Self::Asset,
            _ => Self::Other,
        }
    }
}

fn ranges(accept: &[u8]) -> impl Iterator<Item = Range> + '_ {
    let mut rest = accept;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let end = memchr::memchr(b',', rest).unwrap_or(rest.len());
            let range = rest[..end].trim_ascii();
            rest = rest.get(end + 1..).unwrap_or_default();
            if range.is_empty() {
                continue;
            }
            let end = memchr::memchr(b';', range).unwrap_or(range.len());
            return Some(Range {
                asks: Asks::of(range[..end].trim_ascii_end()),
                has_no_parameter: end == range.len(),
            });
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(destination: Option<&str>, accept: Option<&str>, expected: Kind) {
        let found = Kind::of(destination.map(str::as_bytes), accept.map(str::as_bytes));
        assert_eq!(found, expected, "{destination:?} {accept:?}");
    }

    const CHROME: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,\
        image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7";
    const FIREFOX: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

    #[test]
    fn kinds_by_accept() {
        for (accept, expected) in [
            ("", Kind::Any),
            ("*/*", Kind::Any),
            ("*/*;q=0.5", Kind::Any),
            (CHROME, Kind::Document),
            (FIREFOX, Kind::Document),
            ("Text/HTML", Kind::Document),
            ("text/html, */*; q=0.01", Kind::Document),
            ("application/json, text/plain, */*", Kind::Data),
            ("application/json, text/javascript, */*; q=0.01", Kind::Data),
            ("image/avif,image/webp,*/*;q=0.8", Kind::Asset),
            ("text/css,*/*;q=0.1", Kind::Asset),
            // Applications differ in what they take these for.
            ("*/*, application/json", Kind::Fragment),
            ("application/json, text/html;q=0.1", Kind::Fragment),
            ("application/vnd.api+json", Kind::Fragment),
            ("application/xml, text/html", Kind::Fragment),
            ("text/csv", Kind::Fragment),
            ("text/plain, */*", Kind::Fragment),
            ("text/html;q=.1, text/csv;q=.9", Kind::Fragment),
            ("text/html;q=0.1, application/json", Kind::Fragment),
            ("text/html;q=0.1, */*", Kind::Fragment),
            ("text/html, application/json;q=0.1", Kind::Fragment),
            ("text/markdown, text/html, */*", Kind::Fragment),
            ("text/vnd.turbo-stream.html, text/html", Kind::Fragment),
            ("text/x-component", Kind::Fragment),
            (
                "text/xml,application/xhtml+xml,text/html;q=0.9",
                Kind::Fragment,
            ),
        ] {
            check(None, Some(accept), expected);
            if expected != Kind::Any {
                check(Some("document"), Some(accept), expected);
            }
        }
        check(None, None, Kind::Any);
    }

    #[test]
    fn kinds_by_destination() {
        for (destination, accept, expected) in [
            ("document", None, Kind::Fragment),
            ("document", Some("*/*"), Kind::Fragment),
            ("document", Some("application/json"), Kind::Data),
            ("document", Some(FIREFOX), Kind::Document),
            ("empty", None, Kind::Data),
            ("empty", Some("*/*"), Kind::Data),
            ("empty", Some("application/json"), Kind::Data),
            (
                "empty",
                Some("text/html, application/xhtml+xml"),
                Kind::Document,
            ),
            ("empty", Some("text/x-component"), Kind::Fragment),
            ("image", Some("*/*"), Kind::Asset),
            ("json", Some("*/*"), Kind::Data),
            ("style", Some("text/css"), Kind::Asset),
        ] {
            check(Some(destination), accept, expected);
        }
    }
}
