//! Owns the proof of what copies do while the application is well: what is answered without asking
//! it, what it is asked about, and what an operator can drop.
//! Never waits for a copy to age: what is stale says `max-age=0`.

use retter_tests::client::Request;
use retter_tests::origin::{Origin, Seen};
use retter_tests::reply::Reply;
use retter_tests::retter::Retter;
use retter_tests::retter_program;

fn start(origin: &Origin) -> Retter {
    start_with(origin, &[])
}

fn start_with(origin: &Origin, more: &[(&str, &str)]) -> Retter {
    let mut settings = vec![
        ("RETTER_BREAKER_FAIL_RATE", "1"),
        ("RETTER_BREAKER_CONSECUTIVE_FAIL", "1000"),
    ];
    settings.extend_from_slice(more);
    Retter::start_with(retter_program!(), origin.address(), &settings)
}

fn get(target: &str) -> Request {
    Request::get(target)
}

/// Answers with what was asked for and by whom, fresh for an hour.
fn fresh(seen: &Seen) -> Reply {
    let who = seen.cookie("PHPSESSID").unwrap_or("nobody");
    Reply::text(format!("{} for {who}", seen.target)).field("Cache-Control", "max-age=3600")
}

/// Answers 304 to its own tag, else the page, stale at once. A 304 tells something new.
fn validating(seen: &Seen) -> Reply {
    let reply = if seen.field("if-none-match") == Some("\"v1\"") {
        Reply::status(304, "")
            .field("X-News", "yes")
            .field("Set-Cookie", "_ga=2")
    } else {
        Reply::text("page v1").field("X-Kept", "yes")
    };
    reply
        .field("ETag", "\"v1\"")
        .field("Cache-Control", "max-age=0")
}

#[test]
fn a_fresh_copy_answers_without_asking() {
    let origin = Origin::start(fresh);
    let retter = start(&origin);
    assert_eq!(retter.ask(&get("/")).source(), "backend");
    for method in ["GET", "HEAD"] {
        let response = retter.ask(&Request::new(method, "/"));
        assert_eq!((response.status, response.source()), (200, "cache"));
        let status = response.field("cache-status").expect("RFC 9211");
        assert!(status.starts_with("retter; hit; ttl="), "{status}");
        assert!(response.field("age").is_some());
    }
    assert_eq!(origin.requests(), 1);
    let reload = retter.ask(&get("/").field("Cache-Control", "no-cache"));
    assert_eq!(reload.source(), "backend");
    assert_eq!(origin.requests(), 2);
}

#[test]
fn a_fresh_copy_is_for_its_own_session_alone() {
    let origin = Origin::start(fresh);
    let retter = start(&origin);
    let everyone = [
        None,
        Some("PHPSESSID=anna"),
        Some("PHPSESSID=bert"),
        Some("theme=dark"),
    ];
    let request = |cookie: Option<&str>| match cookie {
        None => get("/"),
        Some(cookie) => get("/").field("Cookie", cookie),
    };
    let mut pages = Vec::new();
    for cookie in everyone {
        let response = retter.ask(&request(cookie));
        assert_eq!(response.source(), "backend", "{cookie:?}");
        pages.push(response.text());
    }
    for (cookie, page) in everyone.into_iter().zip(pages) {
        let response = retter.ask(&request(cookie));
        assert_eq!(
            (response.source(), response.text()),
            ("cache", page),
            "{cookie:?}"
        );
    }
    let credentials = retter.ask(&get("/").field("Authorization", "Basic YTpi"));
    assert_eq!(credentials.source(), "backend");
}

#[test]
fn fresh_can_be_switched() {
    #[track_caller]
    fn check(fresh: &str, reply: fn() -> Reply, sources: [&str; 2], requests: u64) {
        let origin = Origin::start(move |_| reply());
        let retter = start_with(
            &origin,
            &[("RETTER_CACHE_FRESH", fresh), ("RETTER_CACHE_TTL", "1h")],
        );
        for source in sources {
            assert_eq!(retter.ask(&get("/")).source(), source, "{fresh}");
        }
        assert_eq!(origin.requests(), requests, "{fresh}");
    }
    let silent = || Reply::text("page");
    let hour = || Reply::text("page").field("Cache-Control", "max-age=3600");
    check("off", hour, ["backend", "backend"], 2);
    check("origin", hour, ["backend", "cache"], 1);
    check("origin", silent, ["backend", "backend"], 2);
    check("ttl", silent, ["backend", "cache"], 1);
}

#[test]
fn a_stale_copy_is_asked_about_and_renewed() {
    let origin = Origin::start(validating);
    let retter = start(&origin);
    assert_eq!(retter.ask(&get("/")).source(), "backend");
    let _ = origin.take_one();
    // What the client has is judged here, whatever the application was asked.
    for (tag, status) in [(None, 200), (Some("\"v1\""), 304), (Some("\"v0\""), 200)] {
        let request = match tag {
            None => get("/"),
            Some(tag) => get("/").field("If-None-Match", tag),
        };
        let response = retter.ask(&request);
        assert_eq!(
            (response.status, response.source()),
            (status, "cache"),
            "{tag:?}"
        );
        assert_eq!(
            response.field("cache-status"),
            Some("retter; fwd=stale; fwd-status=304; ttl=0")
        );
        assert_eq!(
            response.field("set-cookie"),
            Some("_ga=2"),
            "it is this client's"
        );
        assert_eq!(origin.take_one().field("if-none-match"), Some("\"v1\""));
        if status == 200 {
            assert_eq!(response.text(), "page v1");
            assert_eq!(response.field("x-kept"), Some("yes"));
            assert_eq!(response.field("x-news"), Some("yes"));
        }
    }
}

#[test]
fn a_condition_of_a_client_reaches_the_application_where_there_is_no_copy() {
    let origin = Origin::start(validating);
    let retter = start(&origin);
    let response = retter.ask(&get("/").field("If-None-Match", "\"v1\""));
    assert_eq!((response.status, response.source()), (304, "backend"));
}

#[test]
fn parts_are_cut_from_a_whole_copy() {
    let origin = Origin::start(|_: &Seen| {
        Reply::text("0123456789")
            .field("Cache-Control", "max-age=3600")
            .field("ETag", "\"a\"")
    });
    let retter = start(&origin);
    assert_eq!(retter.ask(&get("/")).source(), "backend");
    let part = retter.ask(&get("/").field("Range", "bytes=2-4"));
    assert_eq!(
        (part.status, part.source(), part.text().as_str()),
        (206, "cache", "234")
    );
    assert_eq!(part.field("content-range"), Some("bytes 2-4/10"));
    let none = retter.ask(&get("/").field("Range", "bytes=99-"));
    assert_eq!(
        (none.status, none.field("content-range")),
        (416, Some("bytes */10"))
    );
    let other = get("/")
        .field("Range", "bytes=2-4")
        .field("If-Range", "\"b\"");
    assert_eq!(retter.ask(&other).status, 200);
    let head = retter.ask(&Request::new("HEAD", "/").field("Range", "bytes=2-4"));
    assert_eq!(
        (head.status, head.field("content-length")),
        (200, Some("10"))
    );
    assert_eq!(origin.requests(), 1);
}

#[test]
fn a_part_is_never_kept_as_the_whole() {
    let origin = Origin::start(|_: &Seen| {
        Reply::status(206, "234")
            .field("Content-Range", "bytes 2-4/10")
            .field("Cache-Control", "max-age=3600")
    });
    let retter = start(&origin);
    for _ in 0..2 {
        let part = retter.ask(&get("/").field("Range", "bytes=2-4"));
        assert_eq!((part.status, part.source()), (206, "backend"));
    }
}

#[test]
fn a_no_is_kept_while_it_is_fresh_and_takes_the_page_away() {
    let origin = Origin::start(|seen: &Seen| match seen.field("x-now") {
        None => Reply::text("good").field("Cache-Control", "max-age=0"),
        Some("gone") => Reply::status(404, "gone").field("Cache-Control", "max-age=3600"),
        Some(_) => Reply::status(503, "down"),
    });
    let settings = [("RETTER_CACHE_HARMLESS_FIELDS", "known,x-now")];
    let retter = Retter::start_with(retter_program!(), origin.address(), &settings);
    assert_eq!(retter.ask(&get("/")).text(), "good");
    let down = get("/").field("X-Now", "down");
    assert_eq!(retter.ask(&down).text(), "good");
    assert_eq!(retter.ask(&get("/").field("X-Now", "gone")).status, 404);
    let gone = retter.ask(&get("/"));
    assert_eq!((gone.status, gone.source()), (404, "cache"), "it is fresh");
    let refused = retter.ask(&down.field("Cache-Control", "no-cache"));
    assert_eq!((refused.status, refused.source()), (503, "backend"));
}

#[test]
fn a_visitor_that_wants_nothing_but_a_copy_gets_504_without_one() {
    let origin = Origin::start(fresh);
    let retter = start(&origin);
    let only = |target| get(target).field("Cache-Control", "only-if-cached");
    let none = retter.ask(&only("/"));
    assert_eq!((none.status, none.source()), (504, "no-cache"));
    assert_eq!(none.field("retry-after"), None);
    assert_eq!(retter.ask(&get("/")).source(), "backend");
    assert_eq!(retter.ask(&only("/")).source(), "cache");
    assert_eq!(origin.requests(), 1);
}

#[test]
fn campaigns_share_a_copy_and_the_application_sees_them() {
    let origin = Origin::start(fresh);
    let retter = start(&origin);
    let first = retter.ask(&get("/?b=2&utm_source=mail&a=1"));
    assert_eq!(first.text(), "/?b=2&utm_source=mail&a=1 for nobody");
    // A page may say where its visitor came from: that of a campaign is nobody else's.
    assert_eq!(retter.ask(&get("/?b=2&a=1")).text(), "/?b=2&a=1 for nobody");
    for campaign in ["/?b=2&a=1&fbclid=x", "/?b=2&a=1&UTM_SOURCE=x"] {
        let source = retter.ask(&get(campaign)).source().to_owned();
        assert_eq!(source, "cache", "{campaign}");
    }
    for other in ["/?a=1&b=2", "/?b=2&a=1&c=3", "/?b=2", "/"] {
        assert_eq!(retter.ask(&get(other)).source(), "backend", "{other}");
    }
}

#[test]
fn an_operator_drops_copies() {
    let origin = Origin::start(fresh);
    // A stranger would ask for copies of its own, at some time.
    let retter = start_with(&origin, &[("RETTER_CACHE_PUBLIC", "off")]);
    let anna = |target| get(target).field("Cookie", "PHPSESSID=anna; theme=dark");
    let keep_all = || {
        for target in ["/shop/1", "/shop/2?a", "/about"] {
            let _ = retter.ask(&get(target));
            let _ = retter.ask(&anna(target));
        }
    };
    let purge = |query: &str| {
        let target = format!("/purge?{query}");
        let told = retter.ask_admin(&Request::post(&target, "")).text();
        let count = told
            .strip_prefix("{\"purged\":")
            .and_then(|rest| rest.split(',').next());
        count.and_then(|count| count.parse::<u32>().ok())
    };
    keep_all();
    assert_eq!(purge("url=/about"), Some(2));
    assert_eq!(retter.ask(&get("/about")).source(), "backend");
    assert_eq!(retter.ask(&get("/shop/1")).source(), "cache");
    keep_all();
    assert_eq!(purge("prefix=/shop/"), Some(4));
    keep_all();
    assert_eq!(purge("url=http://elsewhere/about"), Some(0));
    assert_eq!(purge("session=PHPSESSID%3Danna%3B%20theme%3Ddark"), Some(3));
    assert_eq!(retter.ask(&get("/shop/1")).source(), "cache");
    assert_eq!(retter.ask(&anna("/shop/1")).source(), "backend");
    keep_all();
    assert_eq!(purge("all"), Some(6));
    assert_eq!(retter.admin("/purge?all").status, 405);
}
