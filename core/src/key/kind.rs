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
    /// A part of the page at the page's own URL.
    Fragment,
}

impl Kind {
    /// Those that are told apart by nothing but the kind.
    pub(crate) const WHOLE: [Self; 4] = [Self::Any, Self::Asset, Self::Data, Self::Document];

    /// By `Sec-Fetch-Dest`, where a browser says it, and by all lines of `Accept`
    /// (RFC 9110 §12.5.1). Where the two disagree it is as `Accept` says: applications read that.
    pub(crate) fn of<'a>(
        destination: Option<&[u8]>,
        accept: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> Self {
        let wanted = destination.map_or(Self::Any, Self::of_destination);
        // Every navigation of a browser.
        let mut lines = accept.clone();
        if wanted == Self::Document
            && let (Some(line), None) = (lines.next(), lines.next())
            && line.starts_with(b"text/html,")
        {
            return Self::Document;
        }
        match Self::of_accept(accept) {
            Self::Any => wanted,
            kind @ (Self::Asset | Self::Data | Self::Document | Self::Fragment) => kind,
        }
    }

    fn of_destination(destination: &[u8]) -> Self {
        match destination {
            b"document" | b"embed" | b"fencedframe" | b"frame" | b"iframe" | b"object" => {
                Self::Document
            }
            // A script that asks for a page says so in `Accept`.
            b"empty" | b"json" | b"webidentity" => Self::Data,
            _ => Self::Asset,
        }
    }

    /// What is wanted most; of what is wanted as much, a page, else the first.
    fn of_accept<'a>(accept: impl Iterator<Item = &'a [u8]> + Clone) -> Self {
        let ranges = || accept.clone().flat_map(ranges);
        if ranges().any(|range| is_part(range.media_type)) {
            return Self::Fragment;
        }
        let Some(most) = ranges().map(|range| range.weight).max() else {
            return Self::Any;
        };
        let mut best = ranges().filter(|range| range.weight == most);
        let first = best.clone().next().map_or(Self::Any, |range| range.kind());
        match best.any(|range| range.kind() == Self::Document) {
            true => Self::Document,
            false => first,
        }
    }
}

/// A media range of `Accept`, with its weight in thousandths.
#[derive(Clone, Copy)]
struct Range<'a> {
    media_type: &'a [u8],
    weight: u16,
}

impl Range<'_> {
    fn kind(&self) -> Kind {
        let of = |known: &[&str]| {
            let is_it = |known: &&str| self.media_type.eq_ignore_ascii_case(known.as_bytes());
            known.iter().any(is_it)
        };
        let class = self.media_type.split(|&byte| byte == b'/').next();
        let class = class.unwrap_or_default().to_ascii_lowercase();
        if of(&["*/*", "text/*", "*"]) {
            Kind::Any
        } else if of(&["text/html", "application/xhtml+xml"]) {
            Kind::Document
        } else if matches!(&class[..], b"audio" | b"font" | b"image" | b"video")
            || of(&[
                "application/ecmascript",
                "application/font-woff",
                "application/javascript",
                "application/wasm",
                "application/x-javascript",
                "text/css",
                "text/ecmascript",
                "text/javascript",
            ])
        {
            Kind::Asset
        } else {
            Kind::Data
        }
    }
}

fn ranges(accept: &[u8]) -> impl Iterator<Item = Range<'_>> + Clone {
    accept.split(|&byte| byte == b',').filter_map(|range| {
        let mut parts = range.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let media_type = parts.next().filter(|name| !name.is_empty())?;
        let weight = parts.find_map(|part| match part {
            [b'q' | b'Q', b'=', weight @ ..] => Some(thousandths(weight)),
            _ => None,
        });
        let weight = weight.unwrap_or(1000);
        Some(Range { media_type, weight })
    })
}

/// RFC 9110 §12.4.2: up to three digits behind the point.
fn thousandths(weight: &[u8]) -> u16 {
    let digits = weight.iter().filter(|byte| byte.is_ascii_digit());
    let digits = digits.map(|byte| u16::from(byte - b'0')).chain([0, 0, 0]);
    digits
        .take(4)
        .fold(0, |sum, digit| sum * 10 + digit)
        .min(1000)
}

/// Turbo's streams and React's components.
fn is_part(media_type: &[u8]) -> bool {
    let parts = ["text/vnd.turbo-stream.html", "text/x-component"];
    parts
        .iter()
        .any(|part| media_type.eq_ignore_ascii_case(part.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(destination: Option<&str>, accept: &[&str], expected: Kind) {
        let accept_lines = accept.iter().map(|line| line.as_bytes());
        let found = Kind::of(destination.map(str::as_bytes), accept_lines);
        assert_eq!(found, expected, "{destination:?} {accept:?}");
    }

    const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

    #[test]
    fn kinds_by_accept() {
        check(None, &[], Kind::Any);
        check(None, &[""], Kind::Any);
        check(None, &["*/*"], Kind::Any);
        check(None, &[BROWSER], Kind::Document);
        check(None, &["Text/HTML;q=1"], Kind::Document);
        check(
            None,
            &["text/xml,application/xhtml+xml,text/html;q=0.9"],
            Kind::Document,
        );
        check(None, &["application/json, text/plain, */*"], Kind::Data);
        check(None, &["application/vnd.api+json"], Kind::Data);
        check(None, &["application/json, text/html;q=0.1"], Kind::Data);
        check(None, &["text/html;q=0.1, application/json"], Kind::Data);
        check(None, &["text/html;q=0.1", "application/json"], Kind::Data);
        check(
            None,
            &["text/html; q=0.10, application/json;q=0.9"],
            Kind::Data,
        );
        check(None, &["image/avif,image/webp,*/*;q=0.8"], Kind::Asset);
        check(None, &["text/css,*/*;q=0.1"], Kind::Asset);
        check(
            None,
            &["text/vnd.turbo-stream.html, text/html"],
            Kind::Fragment,
        );
        check(None, &["text/x-component"], Kind::Fragment);
    }

    #[test]
    fn kinds_by_destination() {
        check(Some("document"), &[BROWSER], Kind::Document);
        check(Some("iframe"), &[], Kind::Document);
        check(Some("document"), &["application/json"], Kind::Data);
        check(Some("document"), &["*/*"], Kind::Document);
        check(Some("empty"), &["*/*"], Kind::Data);
        check(Some("empty"), &[], Kind::Data);
        check(Some("empty"), &["application/json"], Kind::Data);
        check(
            Some("empty"),
            &["text/html, application/xhtml+xml"],
            Kind::Document,
        );
        check(Some("empty"), &["text/x-component"], Kind::Fragment);
        check(Some("image"), &["*/*"], Kind::Asset);
        check(Some("style"), &["text/css"], Kind::Asset);
        check(Some("json"), &["*/*"], Kind::Data);
    }
}
