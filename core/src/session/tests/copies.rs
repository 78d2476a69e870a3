//! Which answers are copies, whose they are, and what ends them.

use std::time::Duration;

use super::rig::{PAGE, Rig, body, field, get, status};
use crate::config::Settings;
use crate::copies::Purge;
use crate::session::{Input, Side};

#[test]
fn a_failing_answer_that_nobody_gets_ends_no_session() {
    let mut rig = Rig::new();
    let ask = |rig: &mut Rig, path| {
        rig.send(&get(path, "Cookie: PHPSESSID=a\r\n"));
    };
    for path in ["/", "/x"] {
        ask(&mut rig, path);
        rig.reply(PAGE);
        rig.received();
    }
    let failing = "HTTP/1.1 500 Oops\r\nSet-Cookie: PHPSESSID=b\r\nContent-Length: 3\r\n\r\nbad";
    for path in ["/", "/x", "/"] {
        ask(&mut rig, path);
        let received = rig.reply(failing).received();
        assert_eq!((status(&received), body(&received)), (200, "good"));
        assert_eq!(field(&received, "set-cookie"), None);
    }
    // The client that gets it begins a new session.
    ask(&mut rig, "/y");
    assert_eq!(status(&rig.reply(failing).received()), 500);
    ask(&mut rig, "/");
    assert_eq!(status(&rig.reply(failing).received()), 500);
}

#[test]
fn what_others_have_of_a_changed_page_is_asked_about() {
    let mut rig = Rig::new();
    let page = PAGE.replacen("\r\n", "\r\nCache-Control: max-age=600\r\n", 1);
    let ask = |rig: &mut Rig, path| {
        rig.send(&get(path, "Cookie: theme=dark\r\n"));
        rig.asked()
    };
    for path in ["/a", "/b"] {
        ask(&mut rig, path);
        rig.reply(&page);
    }
    let mut editor = rig.another();
    editor.send("POST /a HTTP/1.1\r\nHost: h\r\nCookie: PHPSESSID=e\r\nContent-Length: 0\r\n\r\n");
    editor.reply("HTTP/1.1 204 No Content\r\n\r\n");
    rig.received();
    assert_eq!(
        ask(&mut rig, "/b"),
        "",
        "another page is as fresh as before"
    );
    assert!(ask(&mut rig, "/a").starts_with("GET /a "));
    rig.end_of(Side::Origin);
    let received = rig.received();
    assert!(received.contains("; detail=rescued"), "{received}");
    rig.wait(Duration::from_millis(1));
    assert!(ask(&mut rig, "/a").starts_with("GET /a "));
    rig.reply(&page);
    assert_eq!(ask(&mut rig, "/a"), "", "it is new again");
}

#[test]
fn what_was_on_its_way_when_another_changed_the_page_is_asked_about() {
    let mut rig = Rig::new();
    let page = PAGE.replacen("\r\n", "\r\nCache-Control: max-age=600\r\n", 1);
    let ask = get("/a", "Cookie: theme=dark\r\n");
    rig.send(&ask).wait(Duration::from_millis(1));
    let mut editor = rig.another();
    editor.send("POST /a HTTP/1.1\r\nHost: h\r\nCookie: PHPSESSID=e\r\nContent-Length: 0\r\n\r\n");
    editor.reply("HTTP/1.1 204 No Content\r\n\r\n");
    rig.wait(Duration::from_millis(1)).reply(&page);
    rig.asked();
    assert!(rig.send(&ask).asked().starts_with("GET /a "));
    rig.reply(&page);
    assert_eq!(rig.send(&ask).asked(), "", "it was asked for after");
}

#[test]
fn what_was_dropped_meanwhile_rescues_nobody() {
    let cookie = "Cookie: PHPSESSID=a\r\n";
    let send = |rig: &Rig, method: &str, path: &str, answer: &str| {
        let mut other = rig.another();
        other.send(&format!(
            "{method} {path} HTTP/1.1\r\nHost: h\r\n{cookie}Content-Length: 0\r\n\r\n"
        ));
        other.reply(answer);
    };
    type Change<'a> = &'a dyn Fn(&Rig);
    let purge = |rig: &Rig, path: &str| {
        rig.gateway.site().purge(&Purge::Url {
            host: None,
            path_and_query: path.to_owned(),
        });
    };
    let changes: [(Change<'_>, u16); 6] = [
        (&|_| (), 200),
        (&|rig| purge(rig, "/other"), 200),
        (&|rig| purge(rig, "/cart"), 500),
        (
            &|rig| send(rig, "POST", "/cart", "HTTP/1.1 204 No Content\r\n\r\n"),
            500,
        ),
        (
            &|rig| {
                let answer = "HTTP/1.1 204 No Content\r\nSet-Cookie: PHPSESSID=b\r\n\r\n";
                send(rig, "GET", "/logout", answer);
            },
            500,
        ),
        (
            &|rig| {
                rig.gateway.site().purge(&Purge::All);
            },
            500,
        ),
    ];
    for (change, expected) in changes {
        let mut rig = Rig::new();
        let ask = get("/cart", cookie);
        rig.send(&ask).reply(PAGE);
        rig.received();
        rig.send(&ask);
        change(&rig);
        rig.reply("HTTP/1.1 500 Oops\r\nContent-Length: 3\r\n\r\nbad");
        assert_eq!(status(&rig.received()), expected);
    }
}

#[test]
fn a_head_that_may_not_be_kept_ends_no_copy() {
    let mut rig = Rig::new();
    rig.send(&get("/", ""));
    rig.reply("HTTP/1.1 200 OK\r\nAge: 5\r\nContent-Length: 4\r\n\r\ngood");
    rig.send("HEAD / HTTP/1.1\r\nHost: h\r\nCache-Control: no-store\r\n\r\n");
    rig.reply("HTTP/1.1 200 OK\r\n\r\n");
    rig.received();
    rig.send(&get("/", "")).end_of(Side::Origin);
    assert_eq!(body(&rig.received()), "good");
}

#[test]
fn heads_alone_keep_no_page_fresh_for_ever() {
    // With a validator they say that it is the same; without one, only nothing else.
    for (tag, is_asked) in [("ETag: \"1\"\r\n", false), ("", true)] {
        let mut rig = Rig::new();
        let fields = format!("{tag}Cache-Control: max-age=10\r\n");
        let page = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 4\r\n\r\ngood");
        rig.send(&get("/", "")).reply(&page);
        rig.wait(Duration::from_secs(11));
        rig.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
        rig.reply(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"));
        rig.asked();
        assert_eq!(
            !rig.send(&get("/", "")).asked().is_empty(),
            is_asked,
            "{tag}"
        );
    }
}

#[test]
fn a_page_that_depends_on_who_asks_is_no_copy() {
    for name in ["X-Forwarded-For", "x-real-ip", "Accept, Forwarded"] {
        let mut rig = Rig::new();
        let page = PAGE.replacen("\r\n", &format!("\r\nVary: {name}\r\n"), 1);
        rig.send(&get("/", "")).reply(&page);
        assert_eq!(status(&rig.received()), 200);
        rig.send(&get("/", "")).end_of(Side::Origin);
        assert_eq!(status(&rig.received()), 502, "{name}");
    }
}

#[test]
fn one_user_never_sees_anothers_page() {
    let mut settings = Settings::default();
    settings.site.breaker.consecutive_failures = 1;
    let mut ann = Rig::with(settings);
    let mut bob = ann.another();
    let page = |name: &str| {
        let length = name.len();
        format!(
            "HTTP/1.1 200 OK\r\nCache-Control: no-store, private\r\nContent-Length: {length}\r\n\r\n{name}"
        )
    };
    ann.send(&get("/me", "Cookie: PHPSESSID=ann\r\n"))
        .reply(&page("ann"));
    bob.send(&get("/me", "Cookie: PHPSESSID=bob\r\n"))
        .reply(&page("bob"));
    let mut nobody = ann.another();
    nobody.send(&get("/me", "")).reply(&page("anonymous"));
    ann.received();
    bob.received();
    nobody.received();
    ann.send(&get("/me", "Cookie: PHPSESSID=ann\r\n"))
        .input(Input::ReadFailed(Side::Origin));
    assert_eq!(body(&ann.received()), "ann");
    // One session is no evidence where there are others.
    nobody
        .send(&get("/me", ""))
        .input(Input::ReadFailed(Side::Origin));
    assert_eq!(status(&nobody.received()), 502);
    bob.send(&get("/me", "Cookie: PHPSESSID=bob\r\n"));
    let received = bob.received();
    assert_eq!(
        (body(&received), field(&received, "x-circuit")),
        ("bob", Some("OPEN"))
    );
    for cookie in ["", "Cookie: PHPSESSID=eve\r\n", "Cookie: PHPSESSID=\r\n"] {
        nobody.send(&get("/me", cookie));
        assert_eq!(status(&nobody.received()), 503, "with {cookie:?}");
    }
}

#[test]
fn a_compressed_copy_has_no_parts() {
    let page = "<p>hello</p>".repeat(100);
    let modified = "Thu, 29 Feb 2024 12:00:00 GMT";
    let mut rig = Rig::new();
    rig.send(&get("/", "")).reply(&format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nCache-Control: max-age=60\r\n\
         Date: Fri, 01 Mar 2024 12:00:00 GMT\r\nLast-Modified: {modified}\r\n\
         Accept-Ranges: bytes\r\nContent-Length: {}\r\n\r\n{page}",
        page.len()
    ));
    assert!(rig.received().contains("Accept-Ranges: bytes"));
    let mut head_of = |fields: &str| {
        rig.send(&get("/", fields));
        let bytes = std::mem::take(&mut rig.client);
        let head = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        String::from_utf8(bytes[..head + 4].to_vec()).unwrap()
    };
    let gzip = "Accept-Encoding: gzip\r\n";
    let head = head_of(gzip);
    assert_eq!(field(&head, "content-encoding"), Some("gzip"));
    assert_eq!(field(&head, "accept-ranges"), None);
    let part = format!("Range: bytes=5-\r\nIf-Range: {modified}\r\n");
    assert_eq!(status(&head_of(&part)), 206);
    assert_eq!(status(&head_of(&format!("{part}{gzip}"))), 200);
}

/// RFC 4918 §9.8, §9.9: what MOVE and COPY write is not only their target.
#[test]
fn a_move_or_copy_drops_the_copies_of_its_destination() {
    #[track_caller]
    fn check(request: &str, answer: &str, [gone_a, gone_b]: [bool; 2]) {
        let session = "Cookie: PHPSESSID=0123456789abcdef0123\r\n";
        for fields in ["", session] {
            let mut rig = Rig::new();
            for path in ["/a", "/b", "/c"] {
                rig.send(&get(path, fields)).reply(PAGE);
            }
            let head = format!("HTTP/1.1 {answer} X\r\nContent-Length: 0\r\n\r\n");
            rig.send(&format!("{request}\r\nHost: h\r\n{fields}\r\n"))
                .reply(&head);
            let answered = rig.received();
            assert!(answered.contains(answer), "{answered}");
            let gone = ["/a", "/b", "/c"].map(|path| {
                rig.send(&get(path, fields));
                rig.input(Input::ReadFailed(Side::Origin));
                status(&rig.received()) == 502
            });
            assert_eq!(gone, [gone_a, gone_b, false], "{request}");
        }
    }
    check(
        "MOVE /a HTTP/1.1\r\nDestination: http://h/b",
        "201",
        [true, true],
    );
    check("MOVE /a HTTP/1.1\r\nDestination: /b", "204", [true, true]);
    check(
        "COPY /a HTTP/1.1\r\nDestination: http://H:80/b",
        "204",
        [true, true],
    );
    check(
        "COPY /a HTTP/1.1\r\nDestination: http://other/b",
        "201",
        [true, false],
    );
    check("COPY /a HTTP/1.1\r\nDestination: /b", "412", [false, false]);
    let locked = "PUT /a HTTP/1.1\r\nIf: (<urn:uuid:1>)\r\nLock-Token: <urn:uuid:1>";
    check(locked, "204", [true, false]);
    check("PUT /a HTTP/1.1\r\nDestination: /b", "201", [true, false]);
    for unknown in ["FOO", "GETT", "post", "XDELETE"] {
        check(&format!("{unknown} /a HTTP/1.1"), "200", [false, false]);
    }
}

/// Case a9: anybody can send a method that nobody knows; the application has the last word on what is
/// fresh.
#[test]
fn after_an_unknown_method_a_fresh_copy_is_asked_about_and_still_rescues() {
    let mut rig = Rig::new();
    let fresh = PAGE.replacen("\r\n", "\r\nCache-Control: max-age=60\r\n", 1);
    rig.send(&get("/about", "")).reply(&fresh);
    rig.send(&get("/about", ""));
    rig.wait(Duration::from_millis(1));
    rig.received();
    rig.asked();
    rig.elsewhere(66)
        .send("FOO /about HTTP/1.1\r\nHost: h\r\n\r\n")
        .reply("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    rig.wait(Duration::from_millis(1));
    rig.send(&get("/about", ""));
    assert!(rig.asked().contains("GET /about"), "it is asked about");
    rig.input(Input::ReadFailed(Side::Origin));
    assert_eq!(body(&rig.received()), "good");
}

/// W3C Trace Context: what belongs to a trace says so to the application, and is nobody's.
#[test]
fn traces_pass() {
    let mut rig = Rig::new();
    let trace = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntracestate: a=1,b=2\r\n";
    rig.send(&get("/", trace)).reply(PAGE);
    let asked = rig.asked();
    assert!(trace.lines().all(|line| asked.contains(line)), "{asked}");
    rig.send(&get("/", ""));
    rig.input(Input::ReadFailed(Side::Origin));
    assert!(rig.received().ends_with("good"));
}
