//! Owns the reading of a sitemap (sitemaps.org): as XML, as a list of addresses, or either compressed.
//! Never asks for one, and never reads more than its bounds.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use quick_xml::Reader;
use quick_xml::events::Event;

/// Of one file, uncompressed: the bound of the protocol.
pub(super) const BYTES_MAX: usize = 50 << 20;

/// Addresses in one file: likewise.
const ADDRESSES_MAX: usize = 50_000;

/// Elements within each other; a sitemap has three, with extensions some more.
const DEPTH_MAX: usize = 32;

/// What a file has.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Sitemap {
    /// Addresses of pages.
    pub(super) pages: Vec<String>,
    /// Of further sitemaps.
    pub(super) sitemaps: Vec<String>,
}

/// Reads a file.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(bytes: &[u8]) -> Result<Sitemap, String> {
    let unpacked;
    let bytes = match bytes.starts_with(b"\x1f\x8b") {
        true => {
            unpacked = unpack(bytes)?;
            &unpacked[..]
        }
        false => bytes,
    };
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let sitemap = match text.starts_with('<') {
        true => read_xml(text)?,
        false => Sitemap {
            pages: text
                .lines()
                .map(str::trim)
                .filter(|line| line.starts_with("http"))
                .take(ADDRESSES_MAX + 1)
                .map(str::to_owned)
                .collect(),
            sitemaps: Vec::new(),
        },
    };
    let count = sitemap.pages.len() + sitemap.sitemaps.len();
    match count {
        0 => Err("there is no address in it".to_owned()),
        1..=ADDRESSES_MAX => Ok(sitemap),
        _ => Err(format!("it has more than {ADDRESSES_MAX} addresses")),
    }
}

fn unpack(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut unpacked = Vec::new();
    let mut reader = MultiGzDecoder::new(bytes).take(BYTES_MAX as u64 + 1);
    let read = reader.read_to_end(&mut unpacked);
    read.map_err(|error| format!("it cannot be decompressed: {error}"))?;
    match unpacked.len() > BYTES_MAX {
        true => Err(format!("it has more than {} MiB", BYTES_MAX >> 20)),
        false => Ok(unpacked),
    }
}

/// `<urlset><url><loc>` and `<sitemapindex><sitemap><loc>`; what else is in it has names of its own, as
/// `<url><image:image><image:loc>`.
fn read_xml(text: &str) -> Result<Sitemap, String> {
    let mut reader = Reader::from_str(text);
    let mut sitemap = Sitemap::default();
    let mut path: Vec<String> = Vec::new();
    let mut address = String::new();
    loop {
        let event = reader.read_event();
        let event = event.map_err(|error| format!("it is no XML: {error}"))?;
        match event {
            Event::Start(_) if path.len() >= DEPTH_MAX => {
                return Err("it is nested too deeply".to_owned());
            }
            Event::Start(tag) => {
                path.push(tag.local_name().as_ref().to_owned());
                address.clear();
            }
            Event::Text(text) => address.push_str(&text),
            Event::CData(text) => address.push_str(&text),
            Event::GeneralRef(reference) => {
                let name: &str = &reference;
                let named = reference.resolve_char_ref().map_err(|e| e.to_string())?;
                let known = quick_xml::escape::resolve_predefined_entity(name);
                match (named, known) {
                    (Some(c), _) => address.push(c),
                    (None, Some(text)) => address.push_str(text),
                    (None, None) => return Err(format!("it has an unknown entity &{name};")),
                }
            }
            Event::End(_) => {
                let names: Vec<&str> = path.iter().map(String::as_str).collect();
                let list = match names[..] {
                    ["urlset", "url", "loc"] => Some(&mut sitemap.pages),
                    ["sitemapindex", "sitemap", "loc"] => Some(&mut sitemap.sitemaps),
                    _ => None,
                };
                if let Some(list) = list {
                    list.push(address.trim().to_owned());
                }
                path.pop();
                address.clear();
            }
            Event::Eof if path.is_empty() => return Ok(sitemap),
            Event::Eof => return Err("its end is missing".to_owned()),
            Event::Comment(_)
            | Event::Decl(_)
            | Event::DocType(_)
            | Event::Empty(_)
            | Event::PI(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const PAGES: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!-- made by hand -->
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">
  <url><loc> http://h/a?b=1&amp;c=&#50; </loc><lastmod>2026-01-01</lastmod>
    <image:image><image:loc>http://h/picture</image:loc></image:image></url>
  <url><loc><![CDATA[http://h/b]]></loc></url>
  <url><loc/></url>
</urlset>"#;

    fn pages(bytes: &[u8]) -> Vec<String> {
        read(bytes).unwrap().pages
    }

    #[test]
    fn addresses_of_pages_and_of_further_sitemaps() {
        assert_eq!(
            pages(PAGES.as_bytes()),
            ["http://h/a?b=1&c=2", "http://h/b"]
        );
        let index = "<sitemapindex><sitemap><loc>http://h/s.xml</loc></sitemap></sitemapindex>";
        let read = read(index.as_bytes()).unwrap();
        assert_eq!(
            (read.pages.len(), &read.sitemaps[0][..]),
            (0, "http://h/s.xml")
        );
        assert_eq!(
            pages(b"http://h/a\r\nnothing\nhttps://h/b\n"),
            ["http://h/a", "https://h/b"]
        );
    }

    #[test]
    fn compressed_ones_are_unpacked_within_bounds() {
        let pack = |bytes: &[u8]| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        };
        assert_eq!(pages(&pack(PAGES.as_bytes())).len(), 2);
        let bomb = pack(&vec![b' '; BYTES_MAX + 1]);
        assert_eq!(read(&bomb).unwrap_err(), "it has more than 50 MiB");
        assert!(
            read(&bomb[..100])
                .unwrap_err()
                .starts_with("it cannot be decompressed")
        );
    }

    #[test]
    fn what_is_no_sitemap_is_named() {
        #[track_caller]
        fn check(text: &str, why: &str) {
            let told = read(text.as_bytes()).unwrap_err();
            assert!(told.starts_with(why), "{told}");
        }
        check("", "there is no address in it");
        check("<html></html>", "there is no address in it");
        check("<urlset><url><loc>http://h/", "its end is missing");
        check(&"<a>".repeat(40), "it is nested too deeply");
        check("<urlset></url>", "it is no XML");
        check(
            "<urlset><url><loc>&x;</loc></url></urlset>",
            "it has an unknown entity &x;",
        );
        let many = "http://h/\n".repeat(ADDRESSES_MAX + 1);
        check(&many, "it has more than 50000 addresses");
        assert!(read(b"<\xff").is_err());
    }
}
