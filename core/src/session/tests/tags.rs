//! Entity tags of pages that are compressed here: strong ones stay of use (RFC 9110 §8.8.3, §13.1).

use super::rig::*;

/// A page with the tag `"v1"`, long enough to be compressed.
fn page() -> String {
    let text = "<p>page</p>".repeat(100);
    let length = text.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nETag: \"v1\"\r\nContent-Length: {length}\r\n\r\n\
         {text}"
    )
}

const UNCHANGED: &str = "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n";

fn head(rig: &mut Rig) -> String {
    let bytes = std::mem::take(&mut rig.client);
    let end = bytes
        .windows(4)
        .position(|part| part == b"\r\n\r\n")
        .unwrap();
    String::from_utf8(bytes[..end + 4].to_vec()).unwrap()
}

/// The tag with which a client gets the page.
fn tag(accepts: &str) -> String {
    let mut rig = Rig::new();
    rig.send(&format!("GET / HTTP/1.1\r\nHost: h\r\n{accepts}\r\n"));
    rig.reply(&page());
    field(&head(&mut rig), "etag").unwrap().to_owned()
}

#[test]
fn a_write_names_the_compressed_page_that_it_changes() {
    let tag = tag("Accept-Encoding: gzip\r\n");
    assert!(tag.starts_with('"') && tag != "\"v1\"", "{tag}");
    let mut rig = Rig::new();
    rig.send(&format!(
        "PUT / HTTP/1.1\r\nHost: h\r\nIf-Match: {tag}\r\nContent-Length: 0\r\n\r\n"
    ));
    assert_eq!(field(&rig.asked(), "if-match"), Some("\"v1\""));
}

#[test]
fn what_is_unchanged_has_the_tag_that_the_client_had() {
    for accepts in ["Accept-Encoding: gzip\r\n", ""] {
        let tag = tag(accepts);
        // Once the origin says so, once a copy does.
        for fails in [false, true] {
            let mut rig = Rig::new();
            if fails {
                rig.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").reply(&page());
                let _ = head(&mut rig);
            }
            rig.asked();
            rig.send(&format!(
                "GET / HTTP/1.1\r\nHost: h\r\n{accepts}If-None-Match: {tag}\r\n\r\n"
            ));
            let asked = rig.asked();
            if fails {
                rig.reply("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n");
            } else {
                assert_eq!(field(&asked, "if-none-match"), Some("\"v1\""));
                rig.reply(UNCHANGED);
            }
            let head = head(&mut rig);
            assert_eq!(status(&head), 304, "{head}");
            assert_eq!(field(&head, "etag"), Some(&*tag), "{accepts}");
        }
    }
}

#[test]
fn parts_of_a_compressed_page_are_not_those_of_the_plain_one() {
    let tag = tag("Accept-Encoding: gzip\r\n");
    let mut rig = Rig::new();
    rig.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").reply(&page());
    let _ = head(&mut rig);
    rig.asked();
    rig.send(&format!(
        "GET / HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\nRange: bytes=5-\r\nIf-Range: {tag}\r\n\r\n"
    ));
    assert_eq!(field(&rig.asked(), "if-range"), Some(&*tag));
    rig.reply("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n");
    let head = head(&mut rig);
    assert_eq!(status(&head), 200, "{head}");
}
