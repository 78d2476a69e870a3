//! Owns what kind of answer a request asks for: an application may answer one URL with a page to a
//! navigation, with a part of it to a script, and with data to a program.
//! Never looks at an answer.

/// The kind of answer that a request asks for. Copies of one kind never answer for another.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Kind {
    /// A script, style, image, font or another part of a page with a URL of its own.
    Asset,
    /// JSON and the like, by a script or a program.
    Data,
    /// A whole page; or the request does not say, as those of simple clients.
    #[default]
    Document,
    /// A part of the page at the page's own URL.
    Fragment,
}

impl Kind {
    /// Those that are told apart by nothing but the kind.
    pub(crate) const WHOLE: [Self; 3] = [Self::Asset, Self::Data, Self::Document];

    /// By `Sec-Fetch-Dest`, where a browser says it, and by `Accept` (RFC 9110 §12.5.1).
    pub(crate) fn of(destination: Option<&[u8]>, accept: Option<&[u8]>) -> Self {
        match destination {
            Some(b"document" | b"embed" | b"fencedframe" | b"frame" | b"iframe" | b"object") => {
                Self::Document
            }
            // A script that asks for a page says so in `Accept`.
            Some(b"empty") => match accept.map(Self::by_accept) {
                None | Some(Self::Document) if !accepts_page(accept) => Self::Data,
                None => Self::Data,
                Some(kind) => kind,
            },
            Some(b"json" | b"webidentity") => Self::Data,
            Some(_) => Self::Asset,
            None => accept.map_or(Self::Document, Self::by_accept),
        }
    }

    fn by_accept(accept: &[u8]) -> Self {
        let mut types = media_types(accept);
        let Some(first) = types.next() else {
            return Self::Document;
        };
        if media_types(accept).any(is_part) {
            return Self::Fragment;
        }
        if is(first, b"*/*") || media_types(accept).any(is_page) {
            return Self::Document;
        }
        let (class, name) = first.split_at(memchr::memchr(b'/', first).unwrap_or(first.len()));
        let is_asset = [&b"audio"[..], b"font", b"image", b"video"]
            .iter()
            .any(|known| is(class, known))
            || ["/css", "/javascript", "/ecmascript", "/wasm", "/font-woff"]
                .iter()
                .any(|known| is(name, known.as_bytes()));
        if is_asset { Self::Asset } else { Self::Data }
    }
}

/// Media ranges without their parameters, in their order.
fn media_types(accept: &[u8]) -> impl Iterator<Item = &[u8]> {
    accept
        .split(|&byte| byte == b',')
        .map(|range| {
            let end = memchr::memchr(b';', range).unwrap_or(range.len());
            range[..end].trim_ascii()
        })
        .filter(|range| !range.is_empty())
}

fn accepts_page(accept: Option<&[u8]>) -> bool {
    accept.is_some_and(|accept| media_types(accept).any(is_page))
}

fn is_page(media_type: &[u8]) -> bool {
    is(media_type, b"text/html") || is(media_type, b"application/xhtml+xml")
}

/// Turbo's streams and React's components.
fn is_part(media_type: &[u8]) -> bool {
    is(media_type, b"text/vnd.turbo-stream.html") || is(media_type, b"text/x-component")
}

fn is(text: &[u8], known: &[u8]) -> bool {
    text.eq_ignore_ascii_case(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_by_destination_and_accept() {
        #[track_caller]
        fn check(destination: Option<&str>, accept: Option<&str>, expected: Kind) {
            let found = Kind::of(destination.map(str::as_bytes), accept.map(str::as_bytes));
            assert_eq!(found, expected, "{destination:?} {accept:?}");
        }
        const BROWSER: Option<&str> =
            Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");
        check(None, None, Kind::Document);
        check(None, Some(""), Kind::Document);
        check(None, Some("*/*"), Kind::Document);
        check(None, BROWSER, Kind::Document);
        check(None, Some("Text/HTML;q=1"), Kind::Document);
        check(None, Some("application/json, text/plain, */*"), Kind::Data);
        check(None, Some("application/vnd.api+json"), Kind::Data);
        check(None, Some("application/json, text/html"), Kind::Document);
        check(None, Some("image/avif,image/webp,*/*;q=0.8"), Kind::Asset);
        check(None, Some("text/css,*/*;q=0.1"), Kind::Asset);
        check(
            None,
            Some("text/vnd.turbo-stream.html, text/html, application/xhtml+xml"),
            Kind::Fragment,
        );
        check(None, Some("text/x-component"), Kind::Fragment);
        check(Some("document"), BROWSER, Kind::Document);
        check(Some("iframe"), None, Kind::Document);
        check(Some("document"), Some("application/json"), Kind::Document);
        check(Some("empty"), Some("*/*"), Kind::Data);
        check(Some("empty"), None, Kind::Data);
        check(Some("empty"), Some("application/json"), Kind::Data);
        check(
            Some("empty"),
            Some("text/html, application/xhtml+xml"),
            Kind::Document,
        );
        check(Some("empty"), Some("text/x-component"), Kind::Fragment);
        check(Some("empty"), Some("image/*"), Kind::Asset);
        check(Some("image"), Some("*/*"), Kind::Asset);
        check(Some("style"), Some("text/css"), Kind::Asset);
        check(Some("json"), Some("*/*"), Kind::Data);
    }
}
