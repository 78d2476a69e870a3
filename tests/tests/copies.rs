//! Owns the proof of what copies do: whom they rescue, whom never, and what is not kept.
//! Never lets an origin be down: it fails a request when that request asks for it, so that no
//! circuit opens by chance.

use retter_tests::client::{Client, Request};
use retter_tests::origin::{Origin, Seen};
use retter_tests::reply::Reply;
use retter_tests::retter::Retter;
use retter_tests::retter_program;
use retter_tests::wire::Framing;

/// A text long enough to be worth compressing.
const PAGE: &str = include_str!("../../LICENSE");

fn start(origin: &Origin) -> Retter {
    // Only a path that does nothing but fail, five times, opens its circuit.
    let settings = [
        ("RETTER_BREAKER_FAIL_RATE", "1"),
        ("RETTER_BREAKER_CONSECUTIVE_FAIL", "1000"),
        // What strangers are sent is another story: `coverage` tells it.
        ("RETTER_CACHE_PUBLIC", "off"),
        // It says what the origin is to do, not who asks.
        ("RETTER_CACHE_HARMLESS_FIELDS", "known,x-fail"),
    ];
    Retter::start_with(retter_program!(), origin.address(), &settings)
}

fn echo(seen: &Seen) -> Reply {
    Reply::text(format!("{} {}", seen.method, seen.target))
}

/// An origin that serves a page until it is told to fail, and fails with 503 from then on.
fn failing_later(make: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Origin {
    Origin::start(move |seen| match seen.field("x-fail") {
        None => make(seen),
        Some(_) => Reply::status(503, "down").field("Set-Cookie", "PHPSESSID=bad"),
    })
}

fn failing(request: Request) -> Request {
    request.field("X-Fail", "yes")
}

/// Gets a page once so that there is a copy, checks that, and opens a connection.
#[track_caller]
fn keep(retter: &Retter, request: &Request) -> Client {
    let mut client = retter.client();
    let response = client.ask(request);
    assert_eq!((response.status, response.source()), (200, "backend"));
    client
}

#[test]
fn a_copy_rescues_get_and_head_without_cookies() {
    let origin = failing_later(|seen| {
        echo(seen)
            .field("Set-Cookie", "_ga=1")
            .field("X-Powered-By", "model")
    });
    let retter = start(&origin);
    let mut client = keep(&retter, &Request::get("/"));
    let response = client.ask(&failing(Request::get("/")));
    assert_eq!((response.status, response.source()), (200, "cache"));
    assert_eq!(response.text(), "GET /");
    assert_eq!(response.field("set-cookie"), None);
    assert_eq!(response.field("x-powered-by"), Some("model"));
    assert!(response.field("age").is_some());
    assert!(
        response
            .field("cache-status")
            .expect("RFC 9211")
            .contains("fwd-status=503")
    );

    let head = client.ask(&failing(Request::new("HEAD", "/")));
    assert_eq!((head.status, head.source()), (200, "cache"));
    assert_eq!(head.field("content-length"), Some("5"));

    let post = client.ask(&failing(Request::post("/", "a=b")));
    assert_eq!(
        (post.status, post.source()),
        (503, "backend"),
        "writes are never rescued"
    );
    let other = client.ask(&failing(Request::get("/?other")));
    assert_eq!(
        (other.status, other.source()),
        (503, "backend"),
        "another key has no copy"
    );
    let host = client.ask(&failing(Request::get("/").host(Some("other.example"))));
    assert_eq!(
        (host.status, host.source()),
        (503, "backend"),
        "another host has no copy"
    );
}

#[test]
fn a_copy_answers_conditional_requests() {
    let origin = failing_later(|seen| echo(seen).field("ETag", "\"v1\""));
    let retter = start(&origin);
    let mut client = keep(&retter, &Request::get("/"));
    let same = client.ask(&failing(Request::get("/").field("If-None-Match", "\"v1\"")));
    assert_eq!((same.status, same.source()), (304, "cache"));
    assert_eq!(same.field("etag"), Some("\"v1\""));
    let other = client.ask(&failing(Request::get("/").field("If-None-Match", "\"v2\"")));
    assert_eq!((other.status, other.text().as_str()), (200, "GET /"));
}

#[test]
fn a_copy_is_compressed_once_and_then_the_same() {
    let origin = failing_later(|_| Reply::text(PAGE).field("ETag", "\"v1\""));
    let retter = start(&origin);
    let gzip = |request: Request| request.field("Accept-Encoding", "gzip");
    let mut client = keep(&retter, &Request::get("/"));
    let first = client.ask(&gzip(failing(Request::get("/"))));
    let second = client.ask(&gzip(failing(Request::get("/"))));
    assert_eq!(first.field("content-encoding"), Some("gzip"));
    assert!(
        matches!(first.framing, Some(Framing::Length(_))),
        "{:?}",
        first.framing
    );
    assert!(first.text() == PAGE && first.body == second.body);
    // RFC 9110 §8.8.3.3: other bytes have another tag, and it stays a strong one.
    assert_eq!(first.field("etag"), Some("\"v1-retter-gzip\""));
    assert!(first.fields.lists("vary", "accept-encoding"));
    let has_it = failing(Request::get("/")).field("If-None-Match", "\"v1-retter-gzip\"");
    let unchanged = client.ask(&gzip(has_it));
    assert_eq!(unchanged.status, 304);
    assert_eq!(unchanged.field("etag"), first.field("etag"));
    let plain = client.ask(&failing(Request::get("/")));
    assert!(plain.field("content-encoding").is_none() && plain.text() == PAGE);
    assert!(plain.fields.lists("vary", "accept-encoding"));
}

#[test]
fn gzip_is_left_off_where_it_must_be() {
    #[track_caller]
    fn check(accept: &str, reply: fn() -> Reply, coding: Option<&str>) {
        let origin = Origin::start(move |_| reply());
        let response = start(&origin).ask(&Request::get("/").field("Accept-Encoding", accept));
        assert_eq!(response.field("content-encoding"), coding, "{accept}");
        if coding != Some("br") {
            let content = response.content();
            assert!(PAGE.as_bytes().starts_with(&content) && !content.is_empty());
        }
    }
    check("gzip", || Reply::text(PAGE), Some("gzip"));
    check("gzip;q=0", || Reply::text(PAGE), None);
    check("br, deflate", || Reply::text(PAGE), None);
    check("gzip", || Reply::text(&PAGE[..300]), None);
    check(
        "gzip",
        || Reply::text(PAGE).field("Cache-Control", "no-transform"),
        None,
    );
    check(
        "gzip",
        || Reply::status(200, PAGE).field("Content-Type", "image/png"),
        None,
    );
    check(
        "gzip",
        || Reply::text(PAGE).field("Content-Encoding", "br"),
        Some("br"),
    );
}

#[test]
fn a_page_never_crosses_sessions() {
    let origin = failing_later(|seen| {
        let who = seen
            .cookie("PHPSESSID")
            .or_else(|| seen.field("authorization"))
            .unwrap_or("nobody");
        Reply::text(format!("for {who}")).field("Cache-Control", "no-store")
    });
    let retter = start(&origin);
    let with = |name: &str, value: &str| Request::get("/").field(name, value);
    let everyone = [
        with("Cookie", "PHPSESSID=anna"),
        with("Cookie", "PHPSESSID=bert"),
        with("Authorization", "Bearer YTpi"),
    ];
    for request in &everyone {
        let _ = keep(&retter, request);
    }
    for (request, who) in everyone.into_iter().zip(["anna", "bert", "Bearer YTpi"]) {
        let response = retter.ask(&failing(request));
        assert_eq!(
            (response.status, response.source()),
            (200, "cache"),
            "{who}"
        );
        assert_eq!(response.text(), format!("for {who}"));
    }
    for stranger in [
        Request::get("/"),
        with("Cookie", "PHPSESSID=carl"),
        with("Cookie", "PHPSESSID=anna; cart=1"),
        with("Cookie", "JSESSIONID=anna"),
        with("Authorization", "Bearer Yjph"),
        // What many may have is no session: its private pages are not kept.
        with("Authorization", "Basic YTpi"),
    ] {
        let _ = keep(&retter, &with("Cookie", "PHPSESSID=anna"));
        let response = retter.ask(&failing(stranger));
        assert_eq!((response.status, response.source()), (503, "backend"));
    }
}

#[test]
fn a_login_page_is_not_kept() {
    let origin = failing_later(|seen| {
        let reply = Reply::text(format!("{:?}", seen.cookie("PHPSESSID")));
        match seen.target.as_str() {
            "/login" => reply.field("Set-Cookie", "PHPSESSID=new; Path=/"),
            _ => reply,
        }
    });
    let retter = start(&origin);
    let old = |target| Request::get(target).field("Cookie", "PHPSESSID=old");
    let _ = keep(&retter, &old("/page"));
    assert_eq!(retter.ask(&failing(old("/page"))).source(), "cache");
    let _ = keep(&retter, &old("/login"));
    let login = retter.ask(&failing(old("/login")));
    assert_eq!(
        (login.status, login.source()),
        (503, "backend"),
        "it was not kept"
    );
    let page = retter.ask(&failing(old("/page")));
    assert_eq!(
        (page.status, page.source()),
        (503, "backend"),
        "its old partition is gone"
    );
}

#[test]
fn a_page_that_sets_a_cookie_is_kept_for_its_session_without_it() {
    let origin = failing_later(|seen| echo(seen).field("Set-Cookie", "theme=dark"));
    let retter = start(&origin);
    let session = |cookies| Request::get("/").field("Cookie", cookies);
    let owned = session("PHPSESSID=anna; theme=dark");
    let _ = keep(&retter, &owned);
    let copy = retter.ask(&failing(owned));
    assert_eq!((copy.status, copy.source()), (200, "cache"));
    assert_eq!(copy.field("set-cookie"), None);
    // Nobody knows what a value means that its client did not have: it may begin a session.
    let light = session("PHPSESSID=anna; theme=light");
    for first in [light, session("PHPSESSID=anna"), Request::get("/")] {
        let _ = keep(&retter, &first);
        let nobody = retter.ask(&failing(first));
        assert_eq!((nobody.status, nobody.source()), (503, "backend"));
    }
}

#[test]
fn a_write_invalidates_its_page() {
    let origin = failing_later(echo);
    let retter = start(&origin);
    let mut client = keep(&retter, &Request::get("/cart"));
    assert_eq!(
        client.ask(&failing(Request::get("/cart"))).source(),
        "cache"
    );
    assert_eq!(client.ask(&Request::post("/cart", "item=1")).status, 200);
    let after = client.ask(&failing(Request::get("/cart")));
    assert_eq!((after.status, after.source()), (503, "backend"));
}
