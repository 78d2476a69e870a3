//! Error pages that come with status 200: what a client gets, what is kept, and what is counted.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::rig::{Rig, body, field, get, status};
use crate::breaker::State;
use crate::config::{Settings, SoftMode};
use crate::report::{Sign, SoftVerdict, Source};
use crate::session::{Input, Side};

/// A page of about ten KiB.
fn good(title: &str) -> String {
    let lines = "<p>A plain sentence about bread, tea and weather.</p>\n".repeat(200);
    format!("<!DOCTYPE html><html><head><title>{title}</title></head><body>{lines}</body></html>\n")
}

fn with_length(fields: &str, page: &str) -> String {
    let length = page.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{fields}Content-Length: {length}\r\n\r\n{page}"
    )
}

fn chunked(fields: &str, page: &str) -> String {
    let end = if page.is_empty() {
        String::new()
    } else {
        format!("{:x}\r\n{page}\r\n", page.len())
    };
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n";
    format!("{head}{fields}\r\n{end}0\r\n\r\n")
}

/// The kinds of page that an application in trouble sends with status 200.
fn errors() -> [(&'static str, String); 6] {
    let good = good("Products");
    let head = &good[..300];
    [
        (
            "g1",
            "SQLSTATE[08004] [1040] Too many connections".to_owned(),
        ),
        ("nothing", String::new()),
        ("almost nothing", "<!DOCTYPE html>\n".to_owned()),
        (
            "display_errors",
            format!(
                "<br />\n<b>Fatal error</b>:  Uncaught mysqli_sql_exception: no in /srv/db.php:3\n{}",
                "#0 {main}\n".repeat(30)
            ),
        ),
        (
            "display_errors after a flush",
            format!(
                "{head}<br />\n<b>Fatal error</b>:  Uncaught Error in <b>/srv/x.php</b> on line <b>3</b><br />"
            ),
        ),
        (
            "a page of the application's own",
            format!(
                "<html><head><title>Error</title></head><body>{}<h1>Error establishing a database connection</h1></body></html>",
                " ".repeat(600)
            ),
        ),
    ]
}

/// A rig on which `/products` has been answered well, for this visitor.
fn warm(settings: Settings, cookie: &str) -> Rig {
    let mut rig = Rig::with(settings);
    rig.gateway.site().poll_refresh(rig.now);
    for _ in 0..3 {
        rig.send(&get("/products", cookie))
            .reply(&with_length("", &good("Products")));
        assert_eq!(body(&rig.received()), good("Products"));
    }
    rig.asked();
    rig.reports.clear();
    rig
}

/// What the client gets when the application is gone.
fn in_outage(rig: &mut Rig, cookie: &str) -> String {
    rig.send(&get("/products", cookie));
    rig.input(Input::ReadFailed(Side::Origin));
    rig.received()
}

#[test]
fn an_error_page_neither_replaces_the_copy_nor_reaches_who_has_one() {
    for cookie in ["", "Cookie: PHPSESSID=0123456789abcdef0123\r\n"] {
        for (name, page) in errors() {
            // Of what is one visitor's only a known text counts.
            if !cookie.is_empty() && name.contains("nothing") {
                continue;
            }
            for answer in [with_length("", &page), chunked("", &page)] {
                for piece in [usize::MAX, 1] {
                    let mut rig = warm(Settings::default(), cookie);
                    rig.piece = piece;
                    rig.send(&get("/products", cookie)).reply(&answer);
                    let received = rig.received();
                    assert_eq!(status(&received), 200, "{name}");
                    assert_eq!(body(&received), good("Products"), "{name}: {received}");
                    assert_eq!(
                        field(&received, "cache-status"),
                        Some("retter; fwd=stale; fwd-status=200; ttl=0; detail=rescued-soft")
                    );
                    assert_eq!(rig.reports[0].source, Source::Cache);
                    let told = rig.soft_failure().unwrap();
                    assert_eq!(
                        (&*told.path, told.verdict),
                        ("/products", SoftVerdict::Failed)
                    );
                    let stats = rig.gateway.site().stats(rig.now).soft;
                    assert_eq!(stats.failed(told.signs.first().unwrap()), 1);
                    assert_eq!(
                        body(&in_outage(&mut rig, cookie)),
                        good("Products"),
                        "{name}"
                    );
                }
            }
        }
    }
}

/// One that ends with its connection, as HTTP/1.0 applications send it.
#[test]
fn pages_until_close_are_held_too() {
    let mut rig = warm(Settings::default(), "");
    rig.send(&get("/products", ""))
        .reply("HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\nCould not connect: ")
        .end_of(Side::Origin);
    assert_eq!(body(&rig.received()), good("Products"));
}

#[test]
fn a_page_cut_short_is_passed_on_and_does_not_replace_the_copy() {
    let page = good("Products");
    let cut = &page[..page.len() - 900];
    let mut rig = warm(Settings::default(), "");
    rig.send(&get("/products", "")).reply(&chunked("", cut));
    let received = rig.received();
    assert!(received.contains("A plain sentence") && !received.contains("</html>"));
    assert!(!field(&received, "cache-status").unwrap().contains("stored"));
    let told = rig.soft_failure().unwrap();
    assert_eq!(told.verdict, SoftVerdict::Doubted);
    assert!(told.signs.contains(Sign::Cut));
    assert_eq!(body(&in_outage(&mut rig, "")), page);
}

#[test]
fn what_takes_long_streams_and_counts_as_evidence() {
    for is_long in [true, false] {
        let mut rig = warm(Settings::default(), "");
        let before = rig.gateway.site().stats(rig.now).soft;
        rig.send(&get("/products", ""));
        rig.reply("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n<b>Fatal \r\n");
        assert_eq!(rig.received(), "", "it is held");
        if is_long {
            // More than a copy has, so that it is none that is known by its length.
            let filler = "x".repeat(70 << 10);
            rig.reply(&format!("{:x}\r\n{filler}\r\n", filler.len()));
        } else {
            rig.wait(Duration::from_millis(249));
            assert_eq!(rig.received(), "", "it is held");
            rig.wait(Duration::from_millis(1));
        }
        assert!(
            rig.received().contains("<b>Fatal "),
            "it streams: {is_long}"
        );
        rig.reply("14\r\nerror</b>: no memory\r\n0\r\n\r\n");
        rig.received();
        let stats = rig.gateway.site().stats(rig.now).soft;
        let failed = stats.failed(Sign::Text) - before.failed(Sign::Text);
        assert_eq!(failed, u64::from(!is_long));
        assert_eq!(
            body(&in_outage(&mut rig, "")),
            good("Products"),
            "{is_long}"
        );
    }
}

#[test]
fn honest_pages_pass_as_they_did() {
    let mut rig = warm(Settings::default(), "");
    // A page that is made while it is sent begins a quarter of a second later at most.
    rig.send(&get("/products", ""));
    rig.reply("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n<!DO\r\n");
    rig.wait(Duration::from_millis(250));
    assert!(rig.received().ends_with("4\r\n<!DO\r\n"));
    let page = good("Products, all new");
    let rest = &page[4..];
    rig.reply(&format!("{:x}\r\n{rest}\r\n0\r\n\r\n", rest.len()));
    assert!(rig.received().ends_with("0\r\n\r\n"));
    assert_eq!(body(&in_outage(&mut rig, "")), page, "it is the copy now");
    assert!(rig.soft_failure().is_none());
}

#[test]
fn gzip_is_read_and_other_codings_are_not() {
    let gzip = |page: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(page.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let answer = |coding: &str, content: &[u8]| {
        let length = content.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: {coding}\r\nContent-Length: {length}\r\n\r\n"
        );
        [head.as_bytes(), content].concat()
    };
    let fields = "Accept-Encoding: gzip, br\r\n";
    for coding in ["gzip", "br"] {
        let mut rig = Rig::new();
        let content = gzip(&good("Products"));
        let error = gzip("Too many connections");
        rig.send(&get("/", fields));
        rig.feed(Side::Origin, &answer(coding, &content));
        rig.client.clear();
        for _ in 0..2 {
            rig.send(&get("/", fields));
            rig.feed(Side::Origin, &answer(coding, &error));
            let is_rescued = rig.client.ends_with(&content);
            assert_eq!(is_rescued, coding == "gzip");
            rig.client.clear();
        }
    }
}

#[test]
fn only_pages_beside_a_copy_of_that_very_key_are_judged() {
    let error = "Too many connections";
    #[track_caller]
    fn check(rig: &mut Rig, request: &str, answer: &str, what: &str) {
        rig.send(request).reply(answer);
        assert!(rig.received().contains("Too many connections"), "{what}");
        assert!(rig.soft_failure().is_none(), "{what}");
    }
    let html = with_length("", error);
    let json = html.replace("text/html", "application/json");
    let mut rig = warm(Settings::default(), "");
    check(&mut rig, &get("/other", ""), &html, "no copy");
    check(&mut rig, &get("/products?page=2", ""), &html, "another key");
    check(
        &mut rig,
        &get("/products", "Cookie: PHPSESSID=abcdefabcdefabcdefab\r\n"),
        &html,
        "another visitor",
    );
    check(
        &mut rig,
        "POST /products HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
        &html,
        "a write",
    );
    let mut rig = warm(Settings::default(), "");
    check(
        &mut rig,
        &get("/products", "Range: bytes=0-99\r\n"),
        &html,
        "a range",
    );
    check(&mut rig, &get("/products", ""), &json, "data");
}

#[test]
fn a_no_to_one_visitor_is_no_failure() {
    let cookie = "Cookie: PHPSESSID=0123456789abcdef0123\r\n";
    let mut rig = warm(Settings::default(), cookie);
    let no = "<script>window.location='login.php'</script>";
    rig.send(&get("/products", cookie))
        .reply(&with_length("", no));
    assert_eq!(body(&rig.received()), no);
    assert_eq!(
        body(&in_outage(&mut rig, cookie)),
        no,
        "what was there before is gone"
    );
}

#[test]
fn modes_and_own_texts() {
    let with = |mode, text: &str| {
        let mut settings = Settings::default();
        settings.site.breaker.soft = mode;
        settings.site.breaker.failure_texts = text.parse().unwrap();
        settings
    };
    let page = good("Products").replace("<p>A plain", "<p>Der Laden ist voll");
    for (mode, text, rescues, counts) in [
        (SoftMode::Rescue, "", false, 0),
        (SoftMode::Rescue, "der laden ist voll", true, 1),
        (SoftMode::Observe, "der laden ist voll", false, 1),
        (SoftMode::Off, "der laden ist voll", false, 0),
    ] {
        let mut rig = warm(with(mode, text), "");
        rig.send(&get("/products", ""))
            .reply(&with_length("", &page));
        assert_eq!(body(&rig.received()) == good("Products"), rescues);
        let stats = rig.gateway.site().stats(rig.now).soft;
        assert_eq!(stats.failed(Sign::Text), counts, "{mode:?}");
        assert_eq!(body(&in_outage(&mut rig, "")) == good("Products"), rescues);
    }
}

/// As honest 500s do.
#[test]
fn error_pages_open_the_circuit_and_return_the_site_when_they_end() {
    let mut rig = warm(Settings::default(), "");
    for _ in 0..5 {
        rig.send(&get("/products", ""))
            .reply(&with_length("", "DB Error"));
    }
    rig.received();
    rig.send(&get("/products", ""));
    let received = rig.received();
    assert_eq!(field(&received, "x-circuit"), Some("OPEN"));
    assert_eq!(body(&received), good("Products"));
    rig.asked();
    // The application is back: a probe says so, and the page is fresh.
    rig.wait(Duration::from_secs(3));
    let mut probe = rig.refresh().expect("a probe is due");
    let page = good("Products of today");
    probe.reply(&with_length("", &page));
    assert_eq!(rig.gateway.site().circuit(rig.now), State::Closed);
    assert_eq!(body(&in_outage(&mut rig, "")), page);
}

#[test]
fn a_renewal_that_gets_an_error_page_is_no_renewal() {
    let mut rig = warm(Settings::default(), "");
    for _ in 0..5 {
        rig.send(&get("/products", ""))
            .reply(&with_length("", "DB Error"));
    }
    rig.received();
    rig.wait(Duration::from_secs(3));
    let mut probe = rig.refresh().expect("a probe is due");
    probe.reply(&with_length("", ""));
    let stats = rig.gateway.site().stats(rig.now).refresh;
    assert_eq!((stats.probes_failed, stats.renewed), (1, 0));
    assert_eq!(body(&in_outage(&mut rig, "")), good("Products"));
}

/// A page that has become another for good is believed after ten minutes in which it says the same,
/// while others are well.
#[test]
fn a_page_that_shrinks_for_good_becomes_the_copy() {
    let mut rig = warm(Settings::default(), "");
    let new = "<html><head><title>Sold out</title></head><body><p>There is nothing left, but we have more next week; \
               please look in again, and have a look at our other pages in the meantime: tea, bread, cake, soup, and \
               much more that is good for you and those who are dear to you.</p></body></html>";
    let visit = |rig: &mut Rig, path: &str, page: &str| {
        // Nobody stays for that long.
        *rig = rig.another();
        rig.send(&get(path, "")).reply(&with_length("", page));
        assert_eq!(body(&rig.received()), page, "it is passed on all the while");
    };
    visit(&mut rig, "/other", &good("Other"));
    for _ in 0..6 {
        visit(&mut rig, "/products", new);
        assert!(
            in_outage(&mut rig, "").ends_with(&good("Products")),
            "not yet"
        );
        visit(&mut rig, "/other", &good("Other"));
        rig.wait(Duration::from_secs(100));
    }
    visit(&mut rig, "/products", new);
    assert_eq!(body(&in_outage(&mut rig, "")), new);
}

/// g3: what the limit learns is the same whether an overloaded application says 500 or 200.
#[test]
fn an_overloaded_application_that_says_200_does_not_raise_the_limit() {
    let limit_after = |answer: &str| {
        let mut settings = Settings::default();
        settings.site.breaker.failure_rate = 1.0;
        settings.site.breaker.consecutive_failures = u32::MAX;
        settings.site.breaker.slow_rate = None;
        let mut rig = warm(settings, "");
        let mut visitors: Vec<_> = (0..40).map(|_| rig.another()).collect();
        for _ in 0..200 {
            let mut asking = Vec::new();
            for (number, visitor) in visitors.iter_mut().enumerate() {
                visitor.now = rig.now;
                visitor.origin.clear();
                visitor.send(&get("/products", "Cache-Control: no-cache\r\n"));
                if visitor.asked().starts_with("GET ") {
                    asking.push(number);
                }
            }
            rig.now = rig.now + Duration::from_millis(20);
            for number in asking {
                visitors[number].now = rig.now;
                visitors[number].reply(answer);
            }
            for visitor in &mut visitors {
                visitor.now = rig.now;
                visitor.settle();
            }
        }
        rig.gateway.site().stats(rig.now).admission.limit
    };
    let honest = limit_after("HTTP/1.1 500 Oops\r\nContent-Length: 3\r\n\r\nbad");
    let soft = limit_after(&with_length("", "Too many connections"));
    let well = limit_after(&with_length("", &good("Products")));
    assert_eq!(soft, honest);
    assert!(soft < well, "{soft} {well}");
}

/// Statuses below 500 that the settings name are failures as others are.
#[test]
fn statuses_from_400_up_may_be_failures() {
    let mut settings = Settings::default();
    settings.site.breaker.failure_statuses = "429,500-599".parse().unwrap();
    let mut rig = warm(settings, "");
    for _ in 0..5 {
        rig.send(&get("/products", ""))
            .reply("HTTP/1.1 429 Slow down\r\nContent-Length: 0\r\n\r\n");
        let received = rig.received();
        assert_eq!(body(&received), good("Products"));
        let told = field(&received, "cache-status").unwrap();
        assert!(told.contains("fwd-status=429"), "{told}");
    }
    assert_eq!(rig.gateway.site().circuit(rig.now), State::Closed);
    rig.send(&get("/products", ""));
    assert_eq!(field(&rig.received(), "x-circuit"), Some("OPEN"));
}

/// On an excluded path the application's own answer goes out, whatever it is.
#[test]
fn excluded_paths_are_left_alone() {
    let mut settings = Settings::default();
    settings.site.cache.excluded_paths = "/healthz,/admin/*".parse().unwrap();
    let mut rig = Rig::with(settings);
    let fresh = with_length("Cache-Control: max-age=60\r\n", &good("Well"));
    let targets = [
        "/healthz",
        "/healthz?x=1",
        "/admin/",
        "/admin/a/b",
        "/%61dmin/x",
    ];
    for target in targets {
        for _ in 0..2 {
            rig.send(&get(target, "")).reply(&fresh);
            assert_eq!(body(&rig.received()), good("Well"), "{target}");
        }
        for answer in [
            with_length("", "Too many connections"),
            "HTTP/1.1 503 Oops\r\nContent-Length: 20\r\n\r\nToo many connections".to_owned(),
        ] {
            // Also when the circuit is open.
            for _ in 0..7 {
                rig.send(&get(target, ""));
                assert!(rig.asked().contains("GET "), "{target}");
                rig.reply(&answer);
                let received = rig.received();
                assert_eq!(body(&received), "Too many connections", "{target}");
                let told = field(&received, "cache-status").unwrap();
                assert!(
                    told.contains("fwd=bypass") && !told.contains("stored"),
                    "{told}"
                );
            }
        }
        rig.wait(Duration::from_secs(20));
        assert!(rig.refresh().is_none(), "nothing of it is asked for");
    }
    assert_eq!(rig.gateway.site().stats(rig.now).copies, 0);
    assert!(rig.soft_failure().is_none());
    for target in ["/", "/healthz2", "/admin"] {
        rig.send(&get(target, "")).reply(&fresh);
        rig.asked();
        rig.send(&get(target, ""));
        assert_eq!(rig.asked(), "", "{target} is not excluded");
    }
}

#[test]
fn an_error_page_does_not_take_the_place_of_what_is_no_page() {
    let items = "<item>bread</item>\n".repeat(200);
    for (media_type, text) in [
        ("application/rss+xml", format!("<rss>{items}</rss>")),
        ("application/json", format!("[\"{items}\"]")),
        ("text/csv", items.clone()),
    ] {
        for (name, page) in errors() {
            let (mut rig, whole) = (Rig::new(), with_length("", &text));
            rig.send(&get("/list", ""))
                .reply(&whole.replace("text/html", media_type));
            rig.received();
            rig.send(&get("/list", "")).reply(&with_length("", &page));
            assert_eq!(body(&rig.received()), text, "{name} for {media_type}");
        }
        // What an application says on purpose passes.
        let (mut rig, whole) = (Rig::new(), with_length("", &text));
        rig.send(&get("/list", ""))
            .reply(&whole.replace("text/html", media_type));
        rig.received();
        let page = good("Lists have moved");
        rig.send(&get("/list", "")).reply(&with_length("", &page));
        assert_eq!(body(&rig.received()), page, "{media_type}");
    }
}
