//! Owns the table of HTTP/1.1 behaviour over real sockets: what reaches the origin, what reaches
//! the client, and what must reach neither.
//! Never repeats the table tests of the core: one row here per behaviour that a user can see.

use retter_tests::client::Request;
use retter_tests::origin::{Answer, Origin, Seen};
use retter_tests::reply::{Fault, Reply, Style};
use retter_tests::retter::Retter;
use retter_tests::retter_program;
use retter_tests::wire::{Broken, Framing};

/// A page long enough to be worth compressing, and the same for everyone.
const PAGE: &str = include_str!("../../LICENSE");

fn start(origin: &Origin) -> Retter {
    Retter::start(retter_program!(), origin.address())
}

fn echo(seen: &Seen) -> Reply {
    Reply::text(format!("{} {}", seen.method, seen.target))
}

// -- requests, as the origin sees them

#[test]
fn hop_by_hop_fields_stay_and_all_others_pass() {
    let origin = Origin::start(echo);
    let retter = start(&origin);
    let request = Request::get("/a?b=c")
        .field("Connection", "X-Nominated, keep-alive")
        .field("X-Nominated", "no")
        .field("Keep-Alive", "timeout=5")
        .field("Proxy-Connection", "keep-alive")
        .field("TE", "gzip")
        .field("X-Custom", "yes")
        .field("X-Custom", "twice")
        // Loopback is trusted.
        .field("X-Real-IP", "192.0.2.7")
        .field("Authorization", "Basic YTpi")
        .field("Accept-Language", "de");
    assert_eq!(retter.ask(&request).text(), "GET /a?b=c");
    let seen = origin.take_one();
    for name in ["x-nominated", "keep-alive", "proxy-connection", "te"] {
        assert_eq!(seen.field(name), None, "{name}");
    }
    assert!(!seen.fields.lists("connection", "x-nominated"));
    assert_eq!(seen.field("host"), Some("shop.example"));
    assert_eq!(
        seen.fields.all("x-custom").collect::<Vec<_>>(),
        ["yes", "twice"]
    );
    assert_eq!(seen.field("x-real-ip"), Some("192.0.2.7"));
    assert_eq!(seen.field("authorization"), Some("Basic YTpi"));
    assert_eq!(seen.field("accept-language"), Some("de"));
}

#[test]
fn the_origin_learns_who_asked_and_how() {
    let origin = Origin::start(echo);
    let retter = start(&origin);
    let _ = retter.ask(&Request::get("/"));
    let seen = origin.take_one();
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.field("x-forwarded-host"), Some("shop.example"));
    let forwarded = seen.field("forwarded").expect("RFC 7239");
    assert!(forwarded.contains("for=127.0.0.1"), "{forwarded}");
    assert!(
        seen.field("via")
            .expect("RFC 9110 §7.6.3")
            .starts_with("1.1 ")
    );

    let _ = retter.ask(
        &Request::get("/")
            .field("X-Forwarded-For", "192.0.2.1")
            .field("Forwarded", "for=192.0.2.1")
            .field("Via", "1.0 before"),
    );
    let seen = origin.take_one();
    let members = |name| {
        let all: Vec<_> = seen
            .fields
            .all(name)
            .flat_map(|line| line.split(','))
            .collect();
        all.into_iter()
            .map(|member| member.trim().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(members("x-forwarded-for"), ["192.0.2.1", "127.0.0.1"]);
    // Each says the same of host and scheme.
    let told = ";host=shop.example;proto=http";
    let elements = ["192.0.2.1", "127.0.0.1"].map(|node| format!("for={node}{told}"));
    assert_eq!(members("forwarded"), elements);
    assert_eq!(seen.field("x-real-ip"), Some("192.0.2.1"));
    assert_eq!(members("via")[0], "1.0 before");
    assert_eq!(members("via").len(), 2);
}

#[test]
fn targets_reach_the_origin_in_origin_form() {
    let origin = Origin::start(echo);
    let below = format!("{}/base", origin.address());
    let prefixed = Retter::start(retter_program!(), below);
    let plain = start(&origin);

    // RFC 9112 §3.2.2: the host of an absolute-form target replaces the Host field.
    let absolute = Request::get("http://other.example/x?y").host(Some("shop.example"));
    let mut client = plain.client();
    let answer = client.try_ask(&absolute).expect("an answer");
    match answer.status {
        200 => {
            let seen = origin.take_one();
            assert_eq!(seen.target, "/x?y");
            assert_eq!(seen.field("host"), Some("other.example"));
        }
        // Two different hosts may also be refused as ambiguous; then nobody sees them.
        status => assert_eq!((status, origin.take_seen().len()), (400, 0)),
    }
    let same = Request::get("http://shop.example/x?y");
    assert_eq!(plain.ask(&same).text(), "GET /x?y");
    assert_eq!(origin.take_one().field("host"), Some("shop.example"));

    assert_eq!(
        prefixed.ask(&Request::get("/x?y=/")).text(),
        "GET /base/x?y=/"
    );
    assert_eq!(prefixed.ask(&Request::get("/")).text(), "GET /base/");
    assert_eq!(plain.ask(&Request::new("OPTIONS", "*")).status, 200);
    assert_eq!(origin.take_seen().last().expect("three").target, "*");
}

#[test]
fn methods_pass_except_connect() {
    let origin = Origin::start(echo);
    let retter = start(&origin);
    for method in [
        "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "x-own",
    ] {
        let response = retter.ask(&Request::new(method, "/a").body(""));
        assert_eq!(
            (response.status, response.source()),
            (200, "backend"),
            "{method}"
        );
        assert_eq!(origin.take_one().method, method);
    }
    let mut client = retter.client();
    let refused = client.ask(&Request::new("CONNECT", "a.example:443"));
    assert_eq!((refused.status, refused.source()), (405, "no-cache"));
    assert_eq!(origin.take_seen().len(), 0);
}

#[test]
fn expect_continue_is_answered_before_the_body() {
    let origin = Origin::start(|seen| Reply::text(seen.body.clone()));
    let retter = start(&origin);
    let mut client = retter.client();
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    // The client sends its body only after this: without the interim response nothing moves.
    let interim = client.wire().head().expect("an interim response");
    assert!(
        interim.start.starts_with("HTTP/1.1 100"),
        "{}",
        interim.start
    );
    client.send(b"body");
    assert_eq!(client.response("POST").text(), "body");
}

#[test]
fn trailers_pass_both_ways() {
    let origin = Origin::start(|_| {
        Reply::text("checked")
            .field("Trailer", "X-Sum")
            .trailer("X-Sum", "42")
    });
    let retter = start(&origin);
    let mut client = retter.client();
    client.send(
        b"POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTrailer: X-Up\r\n\
          Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Up: 7\r\n\r\n",
    );
    let response = client.response("POST");
    assert_eq!(response.trailers.one("x-sum"), Some("42"));
    assert_eq!(origin.take_one().trailers.one("x-up"), Some("7"));
}

// -- responses, as the client sees them

#[test]
fn a_response_says_where_it_came_from() {
    let origin = Origin::start(|_| {
        Reply::text("x")
            .field("Connection", "X-Private")
            .field("X-Private", "hop")
            .field("X-Powered-By", "model")
    });
    let response = start(&origin).ask(&Request::get("/"));
    assert_eq!(response.source(), "backend");
    assert_eq!(response.circuit(), "CLOSED");
    assert!(response.field("cache-status").is_some());
    assert!(
        response
            .field("via")
            .expect("RFC 9110 §7.6.3")
            .starts_with("1.1 ")
    );
    assert_eq!(response.field("x-private"), None);
    assert_eq!(response.field("x-powered-by"), Some("model"));
}

#[test]
fn head_has_the_fields_and_no_body() {
    let origin = Origin::start(|_| Reply::text("twelve bytes"));
    let retter = start(&origin);
    let mut client = retter.client();
    let response = client.ask(&Request::new("HEAD", "/"));
    assert_eq!(response.field("content-length"), Some("12"));
    assert_eq!(client.ask(&Request::get("/")).text(), "twelve bytes");
    assert_eq!(origin.take_seen()[0].method, "HEAD");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::start(echo);
    let retter = start(&origin);
    let mut client = retter.client();
    let targets: Vec<_> = (0..50).map(|number| format!("/{number}")).collect();
    let bytes: Vec<u8> = targets
        .iter()
        .flat_map(|target| Request::get(target).to_bytes())
        .collect();
    client.send(&bytes);
    for target in &targets {
        assert_eq!(client.response("GET").text(), format!("GET {target}"));
    }
}

#[test]
fn http_1_0_gets_what_it_understands() {
    let origin = Origin::start(|_| Reply::text("text").style(Style::Chunked));
    let retter = start(&origin);
    let mut client = retter.client();
    let response = client.ask(&Request::get("/").http10().host(Some("a")));
    assert_ne!(response.framing, Some(Framing::Chunked));
    assert_eq!(response.text(), "text");
    client.expect_end();

    let origin = Origin::start(|_| Reply::text("text"));
    let retter = start(&origin);
    let mut client = retter.client();
    let kept = Request::get("/").http10().field("Connection", "keep-alive");
    let response = client.ask(&kept);
    assert!(
        response.fields.lists("connection", "keep-alive"),
        "{response:?}"
    );
    assert_eq!(client.ask(&kept).text(), "text");
}

#[test]
fn interim_responses_pass() {
    let origin = Origin::start(|_| {
        Reply::text("x").interim("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
    });
    let retter = start(&origin);
    assert_eq!(retter.ask(&Request::get("/")).interim, [103]);
    // RFC 9110 §15.2: never to a 1.0 client.
    assert_eq!(retter.ask(&Request::get("/").http10()).interim, [0_u16; 0]);
}

#[test]
fn an_upgraded_connection_is_a_tunnel() {
    let origin = Origin::start(|seen| {
        assert!(
            seen.fields.lists("connection", "upgrade"),
            "{:?}",
            seen.fields
        );
        assert_eq!(seen.field("upgrade"), Some("echo"));
        Answer::talk(|wire| {
            let head = "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhi";
            let _ = wire.send(head.as_bytes());
            while let Ok(Some(bytes)) = wire.raw() {
                let _ = wire.send(&bytes);
            }
        })
    });
    let retter = start(&origin);
    let mut client = retter.client();
    let upgrade = Request::get("/")
        .field("Connection", "Upgrade")
        .field("Upgrade", "echo");
    client.send(&upgrade.to_bytes());
    assert_eq!(client.head("GET").status, 101);
    assert_eq!(client.wire().raw().unwrap(), Some(b"hi".to_vec()));
    client.send(b"\x00\xff\r\n\r\n");
    let mut echoed = Vec::new();
    while echoed.len() < 6 {
        echoed.extend(client.wire().raw().unwrap().expect("the tunnel is open"));
    }
    assert_eq!(echoed, b"\x00\xff\r\n\r\n");
    client.wire().finish();
    client.expect_end();
}

// -- what is refused

#[test]
fn ambiguous_requests_reach_nobody() {
    #[track_caller]
    fn check(retter: &Retter, origin: &Origin, bytes: &[u8], status: u16) {
        let mut client = retter.client();
        client.send(bytes);
        // What hides in the body or behind it must not be taken for a request.
        let _ = client.try_send(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
        let response = client
            .try_response("GET")
            .unwrap_or_else(|e| panic!("{shown:?}: {e}"));
        assert_eq!(response.status, status, "{shown:?}");
        assert_eq!(response.source(), "no-cache");
        client.expect_end();
        let seen = origin.take_seen();
        assert!(seen.is_empty(), "{shown:?}: {seen:?}");
    }
    let origin = Origin::start(echo);
    let retter = start(&origin);
    let bad: &[&[u8]] = &[
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n\
          0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 6\r\n\r\nabcde",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nabcde",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n\
          0\r\n\r\n",
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nA: b\rc\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nA: b\0c\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / http/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ];
    for bytes in bad {
        check(&retter, &origin, bytes, 400);
    }
    let long = |len| "x".repeat(len);
    let target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", long(70_000));
    check(&retter, &origin, target.as_bytes(), 414);
    let field = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", long(70_000));
    check(&retter, &origin, field.as_bytes(), 431);
    let many = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "A: b\r\n".repeat(200)
    );
    check(&retter, &origin, many.as_bytes(), 431);
}

#[test]
fn a_broken_chunked_body_never_becomes_a_request() {
    let origin = Origin::start(echo);
    let retter = start(&origin);
    for chunk in [
        "x\r\n",
        "-1\r\n\r\n",
        "1 \r\na\r\n",
        "0x1\r\na\r\n",
        "1\na\n",
        "2\r\nabc\r\n",
    ] {
        let mut client = retter.client();
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.send(head.as_bytes());
        client.send(chunk.as_bytes());
        let _ = client.try_send(b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
        let response = client.response("POST");
        assert_eq!(
            (response.status, response.source()),
            (400, "no-cache"),
            "{chunk:?}"
        );
        client.expect_end();
        assert_eq!(
            origin.take_seen().len(),
            0,
            "no complete request: {chunk:?}"
        );
    }
}

// -- an origin that fails

#[test]
fn an_unsafe_request_is_sent_at_most_once() {
    // The connection has been used before and dies with the request on it: the case in which a
    // safe request would be sent again.
    let origin = Origin::start(|seen| match seen.method.as_str() {
        "GET" => echo(seen).into(),
        _ => Answer::Close,
    });
    let retter = start(&origin);
    let mut client = retter.client();
    for _ in 0..10 {
        assert_eq!(client.ask(&Request::get("/")).status, 200);
        assert_eq!(origin.take_seen().len(), 1);
        let response = client.ask(&Request::post("/order", "item=1"));
        assert_eq!((response.status, response.source()), (502, "no-cache"));
        assert_eq!(origin.take_one().body, b"item=1");
    }
}

#[test]
fn a_safe_request_is_sent_again_once_when_a_kept_connection_is_dead() {
    let origin = Origin::start(|seen| match seen.is_on_used_connection() {
        true => Answer::Close,
        false => echo(seen).into(),
    });
    let retter = start(&origin);
    let mut client = retter.client();
    for number in 0..10 {
        let target = format!("/{number}");
        let response = client.ask(&Request::get(&target));
        assert_eq!((response.status, response.source()), (200, "backend"));
        assert_eq!(response.text(), format!("GET {target}"));
        let copies = origin.take_seen().len();
        assert!((1..=2).contains(&copies), "{copies} copies of {target}");
    }
    // On a fresh connection there is no doubt about who failed, so there is no second try.
    let origin = Origin::start(|_| Answer::Close);
    let retter = start(&origin);
    let response = retter.ask(&Request::get("/"));
    assert_eq!((response.status, response.source()), (502, "no-cache"));
    assert_eq!(origin.take_seen().len(), 1);
}

#[test]
fn a_cut_body_is_never_marked_complete() {
    #[track_caller]
    fn check(style: Style, accept_encoding: &str) {
        let origin =
            Origin::start(move |_| Reply::text(PAGE).style(style).fault(5000, Fault::Reset));
        let retter = start(&origin);
        let request = Request::get("/").field("Accept-Encoding", accept_encoding);
        let error = retter.client().try_ask(&request).expect_err("it is cut");
        assert!(
            matches!(error, Broken::Truncated),
            "{style:?} {accept_encoding}: {error}"
        );
    }
    for style in [Style::Chunked, Style::Length] {
        check(style, "identity");
        check(style, "gzip");
    }
}

#[test]
fn an_error_without_a_copy_is_the_origins_own() {
    let origin = Origin::start(|_| Reply::status(500, "it broke").field("X-Trace", "7"));
    let response = start(&origin).ask(&Request::get("/"));
    assert_eq!((response.status, response.source()), (500, "backend"));
    assert_eq!(
        (response.text().as_str(), response.field("x-trace")),
        ("it broke", Some("7"))
    );
}
