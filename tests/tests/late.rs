//! Owns the proof that bytes which an application sends unasked, or too late, reach nobody: they would
//! begin the next visitor's answer.
//! Never sleeps: the application waits for the next request on the connection, or for its end.

use std::sync::Arc;

use retter_tests::client::Request;
use retter_tests::origin::{Answer, Origin};
use retter_tests::reply::Reply;
use retter_tests::retter::Retter;
use retter_tests::retter_program;

/// A whole answer, which a cache would keep.
const EVIL: &str = "HTTP/1.1 200 OK\r\nCache-Control: public, max-age=600\r\n\
                    Content-Type: text/html\r\nContent-Length: 4\r\n\r\nevil";

/// An application that answers `/attack` with this head, and sends a second answer as late as it
/// can: content that the first had announced, or nothing had.
fn application(head: &str) -> Origin {
    let head = Arc::<str>::from(head);
    Origin::start(move |seen| {
        if seen.target != "/attack" {
            return Reply::text(format!("page {}", seen.target)).into();
        }
        let head = Arc::clone(&head);
        Answer::talk(move |wire| {
            wire.send(head.as_bytes()).expect("RETTER reads");
            // With a next request the second answer would be taken for that one's.
            let next = wire.head();
            let _ = wire.send(EVIL.as_bytes());
            assert!(next.is_err(), "nothing more is asked on this connection");
        })
    })
}

#[track_caller]
fn check(method: &str, head: &str) {
    let mut origin = application(head);
    let retter = Retter::start(retter_program!(), origin.address());
    let mut attacker = retter.client();
    let attack = Request::new(method, "/attack");
    let mut requests = attack.to_bytes();
    requests.extend(Request::get("/victim").to_bytes());
    attacker.send(&requests);
    attacker.head(method);
    assert_eq!(attacker.response("GET").text(), "page /victim", "{head}");
    for target in ["/victim", "/another"] {
        let page = retter.ask(&Request::get(target));
        assert_eq!(page.text(), format!("page {target}"), "{head}");
    }
    let seen = origin.take_seen();
    assert!(!seen[1].is_on_used_connection(), "{head}");
    // Nor is it what they are rescued with.
    origin.down();
    let page = retter.ask(&Request::get("/victim"));
    assert_eq!(page.text(), "page /victim", "{head}");
}

#[test]
fn content_behind_an_answer_to_head_reaches_nobody() {
    let length = EVIL.len();
    check(
        "HEAD",
        &format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"),
    );
    check(
        "HEAD",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    );
    check(
        "HEAD",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
}

#[test]
fn content_behind_an_answer_without_content_reaches_nobody() {
    let length = EVIL.len();
    for status in ["204 No Content", "304 Not Modified"] {
        for field in [
            format!("Content-Length: {length}"),
            "Transfer-Encoding: chunked".to_owned(),
        ] {
            check("GET", &format!("HTTP/1.1 {status}\r\n{field}\r\n\r\n"));
        }
    }
}

#[test]
fn a_second_answer_reaches_nobody() {
    // With the first one in one piece: the rest of the buffer is for nobody.
    check(
        "GET",
        &format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n{EVIL}"),
    );
}
