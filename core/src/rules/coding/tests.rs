use std::io::Read;

use flate2::read::GzDecoder;
use proptest::prelude::*;

use super::*;

fn fields(lines: &[(&str, &str)]) -> Fields {
    Fields::from_pairs(lines.iter().map(|(name, value)| (*name, value.as_bytes())))
}

#[test]
fn accept_encoding() {
    #[track_caller]
    fn check(value: &str, expected: bool) {
        assert_eq!(
            accepts_gzip(&fields(&[("Accept-Encoding", value)])),
            expected,
            "{value}"
        );
    }
    assert!(!accepts_gzip(&Fields::default()));
    assert!(accepts_gzip(&fields(&[
        ("accept-encoding", "br"),
        ("accept-encoding", "gzip")
    ])));
    check("", false);
    check("gzip", true);
    check("GZip, deflate, br, zstd", true);
    check("x-gzip", true);
    check("br", false);
    // RFC 9110 §12.5.3
    check("compress, gzip", true);
    check("*", true);
    check("compress;q=0.5, gzip;q=1.0", true);
    check("gzip;q=1.0, identity; q=0.5, *;q=0", true);
    check("gzip;q=0", false);
    check("gzip;q=0.000", false);
    check("gzip;q=0, *", false);
    check("*;q=0", false);
    check("*;q=0, gzip", true);
    check("gzip;q=0, x-gzip;q=0.1", true);
    check("identity", false);
    check("identity;q=0", false);
    check("identity;q=0, *", true);
    check("identity, gzip;q=0.5", false);
    check("identity;q=0.5, gzip;q=0.5", true);
    check("gzip ; Q=0.001", true);
    for no_weight in [
        "q=", "q=2", "q=1.001", "q=0.0001", "q=x", "q=0.x", "q=-1", "a=b", "q", "",
    ] {
        check(&format!("gzip;{no_weight}"), false);
    }
}

#[test]
fn worth() {
    #[track_caller]
    fn check(status: u16, lines: &[(&str, &str)], len: Option<u64>, expected: bool) {
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(worth_gzip(status, &fields(lines), len), expected);
    }
    let html = ("Content-Type", "text/html; charset=utf-8");
    check(200, &[html], None, true);
    check(404, &[html], Some(1000), true);
    check(200, &[html], Some(301), true);
    check(200, &[html], Some(300), false);
    check(200, &[], Some(1000), false);
    for status in [101, 204, 205, 206, 304] {
        check(status, &[html], None, false);
    }
    check(200, &[html, ("Content-Encoding", "br")], None, false);
    check(200, &[html, ("Content-Encoding", "identity")], None, true);
    check(
        200,
        &[html, ("Content-Encoding", "identity, gzip")],
        None,
        false,
    );
    check(
        200,
        &[html, ("Cache-Control", "public, No-Transform")],
        None,
        false,
    );
    check(
        200,
        &[html, ("Cache-Control", "x=\"no-transform\"")],
        None,
        true,
    );
    check(200, &[html, ("Content-Range", "bytes 0-1/2")], None, false);
    check(200, &[html, ("Repr-Digest", "sha-256=:x:")], None, false);
}

#[test]
fn media_types() {
    for yes in [
        "text/css",
        "TEXT/HTML",
        "application/json; charset=utf-8",
        "application/javascript",
        "application/manifest+json",
        "application/rss+xml ;x=y",
        "application/xml",
        "image/svg+xml",
        "font/ttf",
        "font/otf",
    ] {
        assert!(is_text_like(yes), "{yes}");
    }
    for no in [
        "",
        "text",
        "text/event-stream",
        "Text/Event-Stream;charset=utf-8",
        "application/wasm",
        "application/octet-stream",
        "application/zip",
        "image/png",
        "font/woff2",
        "video/mp4",
        "multipart/x-mixed-replace",
    ] {
        assert!(!is_text_like(no), "{no}");
    }
}

#[test]
fn vary_nominates_without_case() {
    assert!(varies_on(
        &fields(&[("Vary", "Cookie, accept-encoding")]),
        "Accept-Encoding"
    ));
    assert!(varies_on(&fields(&[("Vary", "*")]), "Accept-Encoding"));
    assert!(!varies_on(
        &fields(&[("Vary", "Cookie")]),
        "Accept-Encoding"
    ));
}

fn decode(coded: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    GzDecoder::new(coded).read_to_end(&mut content).unwrap();
    content
}

/// What a decoder can know from the start of a coded content.
fn decode_start(coded: &[u8], len: usize) -> Vec<u8> {
    let mut content = vec![0; len];
    GzDecoder::new(coded).read_exact(&mut content).unwrap();
    content
}

#[test]
fn an_empty_content_is_a_whole_gzip_file() {
    assert_eq!(decode(&gzip_whole(b"", &GzipPool::default())), b"");
}

#[test]
fn the_pool_bounds_streams_and_takes_compressors_back() {
    let pool = Arc::new(GzipPool::new(2));
    let first = pool.stream().unwrap();
    let second = pool.stream().unwrap();
    assert!(pool.stream().is_none());
    drop(first);
    let mut third = pool.stream().unwrap();
    assert!(pool.stream().is_none());
    let mut coded = Vec::new();
    third.write(b"abc", false, |piece| coded.extend_from_slice(&piece));
    third.finish(|piece| coded.extend_from_slice(&piece));
    assert_eq!(decode(&coded), b"abc");
    drop(second);
    let state = pool.lock();
    assert_eq!((state.streams, state.idle.len()), (0, 2));
}

#[test]
fn the_same_content_gives_the_same_bytes_from_a_used_compressor() {
    let pool = GzipPool::default();
    let first = gzip_whole(b"abcabcabc", &pool);
    let _ = gzip_whole(&[b'x'; 100_000], &pool);
    assert_eq!(gzip_whole(b"abcabcabc", &pool), first);
    assert_eq!(pool.lock().idle.len(), 1);
}

/// Content with runs (to compress) and noise (to fill pieces).
fn content() -> impl Strategy<Value = Vec<u8>> {
    let noise = prop::collection::vec(any::<u8>(), 0..30_000);
    let run = (any::<u8>(), 0..50_000_usize).prop_map(|(byte, len)| vec![byte; len]);
    prop::collection::vec(prop_oneof![noise, run], 0..4).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whole_round_trip(content in content()) {
        let coded = gzip_whole(&content, &GzipPool::default());
        prop_assert_eq!(decode(&coded), content);
    }

    #[test]
    fn any_chunking_and_flushing_round_trips(
        content in content(),
        writes in prop::collection::vec((0..20_000_usize, any::<bool>()), 0..12),
    ) {
        let pool = Arc::new(GzipPool::default());
        let mut stream = pool.stream().unwrap();
        let mut coded = Vec::new();
        let mut rest = &content[..];
        for (len, flush) in writes {
            let (data, after) = rest.split_at(len.min(rest.len()));
            rest = after;
            let mut sizes = Vec::new();
            stream.write(data, flush, |piece| {
                sizes.push(piece.len());
                coded.extend_from_slice(&piece);
            });
            prop_assert!(sizes.iter().all(|size| (1..=GZIP_PIECE_BYTES).contains(size)));
            if flush {
                let written = content.len() - rest.len();
                prop_assert_eq!(&decode_start(&coded, written), &content[..written]);
            }
        }
        stream.write(rest, false, |piece| coded.extend_from_slice(&piece));
        stream.finish(|piece| coded.extend_from_slice(&piece));
        prop_assert_eq!(decode(&coded), content);
    }
}
