//! Owns the proof that the helpers do what the other tests rely on: client and model origin
//! talk to one another without RETTER between them.
//! Never starts RETTER.

use retter_tests::client::{Client, Request, ask};
use retter_tests::origin::{Answer, Origin};
use retter_tests::page::{Blocks, Page, Sum};
use retter_tests::reply::{Fault, Reply, Style};
use retter_tests::signal::Gate;
use retter_tests::wire::Broken;

#[test]
fn every_style_of_body_reads_back() {
    #[track_caller]
    fn check(make: fn(&str) -> Reply, reusable: bool) {
        let origin = Origin::start(move |seen| make(&seen.target));
        let mut client = Client::connect(origin.address());
        let response = client.ask(&Request::get("/a"));
        assert_eq!(response.text(), "/a");
        if reusable {
            assert_eq!(client.ask(&Request::get("/b")).text(), "/b");
            assert_eq!(origin.take_seen()[1].earlier, 1);
        } else {
            client.expect_end();
        }
    }
    check(|target| Reply::text(target), true);
    check(|target| Reply::text(target).style(Style::Chunked), true);
    check(|target| Reply::text(target).trailer("X-Sum", "1"), true);
    check(|target| Reply::text(target).style(Style::UntilClose), false);
    check(
        |target| Reply::text(target).interim("HTTP/1.1 103 Early Hints\r\n\r\n"),
        true,
    );
}

#[test]
fn requests_are_recorded_as_they_came() {
    let origin = Origin::start(|_| Reply::text("ok").trailer("X-Sum", "1"));
    let mut client = Client::connect(origin.address());
    client.send(
        b"POST /up HTTP/1.1\r\nHost: a\r\nCookie: x=1; y=2\r\nTransfer-Encoding: chunked\r\n\r\n\
          3\r\nabc\r\n2\r\nde\r\n0\r\nX-Checked: yes\r\n\r\n",
    );
    let response = client.response("POST");
    assert_eq!(response.trailers.one("x-sum"), Some("1"));
    let seen = origin.take_one();
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str()),
        ("POST", "/up")
    );
    assert_eq!(seen.body, b"abcde");
    assert_eq!(seen.sum.0, 5);
    assert_eq!(seen.trailers.one("x-checked"), Some("yes"));
    assert_eq!((seen.cookie("y"), seen.cookie("z")), (Some("2"), None));
}

#[test]
fn large_bodies_have_their_checksum() {
    const LEN: u64 = 10 << 20;
    let origin = Origin::start(|_| Reply::blocks(LEN).style(Style::Chunked));
    let mut client = Client::connect(origin.address());
    client.send(&Request::get("/large").to_bytes());
    let _ = client.head("GET");
    let mut sum = Sum::default();
    while let Some(piece) = client.piece() {
        sum.add(&piece);
    }
    assert_eq!(sum.value(), Blocks::new(LEN).sum());
}

#[test]
fn faults_are_seen_as_what_they_are() {
    #[track_caller]
    fn check(answer: fn() -> Answer, expected: fn(&Broken) -> bool) {
        let origin = Origin::start(move |_| answer());
        let mut client = Client::connect(origin.address());
        let error = client.try_ask(&Request::get("/")).unwrap_err();
        assert!(expected(&error), "{error}");
    }
    let truncated = |error: &Broken| matches!(error, Broken::Truncated);
    let closed = |error: &Broken| matches!(error, Broken::Closed);
    let framing = |error: &Broken| matches!(error, Broken::Framing(_));
    check(|| Answer::Close, closed);
    check(|| Answer::Reset, closed);
    check(
        || Reply::text("whole").fault(2, Fault::Close).into(),
        truncated,
    );
    check(
        || Reply::text("whole").fault(2, Fault::Reset).into(),
        truncated,
    );
    let chunked = || {
        Reply::text("whole")
            .style(Style::Chunked)
            .fault(2, Fault::Close)
            .into()
    };
    check(chunked, truncated);
    let until_close = || {
        Reply::text("whole")
            .style(Style::UntilClose)
            .fault(2, Fault::Reset)
            .into()
    };
    check(until_close, truncated);
    check(|| Answer::Raw(b"garbage\r\n\r\n".to_vec()), framing);
    check(
        || Answer::Raw(b"HTTP/1.1 200 OK\nA: b\r\n\r\n".to_vec()),
        framing,
    );
    const BOTH: &[u8] =
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
    check(|| Answer::Raw(BOTH.to_vec()), framing);
}

#[test]
fn a_stalled_body_goes_on_when_the_gate_opens() {
    let gate = Gate::new();
    let at_origin = gate.clone();
    let origin =
        Origin::start(move |_| Reply::text("ab").fault(1, Fault::Stall(at_origin.clone())));
    let mut client = Client::connect(origin.address());
    client.send(&Request::get("/").to_bytes());
    let _ = client.head("GET");
    assert_eq!(client.piece(), Some(b"a".to_vec()));
    gate.open();
    assert_eq!(client.piece(), Some(b"b".to_vec()));
    assert_eq!(client.piece(), None);
}

#[test]
fn an_origin_goes_down_and_comes_up_on_its_port() {
    let page = |version| Page {
        key: "/".to_owned(),
        session: String::new(),
        version,
        lines: 3,
    };
    let mut origin = Origin::start(move |seen| Reply::text(page(seen.connection).to_bytes()));
    let address = origin.address();
    let mut kept = Client::connect(address);
    assert_eq!(Page::parse(&kept.ask(&Request::get("/")).body), Ok(page(0)));
    origin.down();
    kept.expect_end();
    assert!(Client::try_connect(address).is_err());
    origin.up();
    let response = ask(address, &Request::get("/"));
    assert_eq!(Page::parse(&response.body).unwrap().key, "/");
    let _ = origin.wait_for(2);
}

#[test]
fn unasked_bytes_are_an_error() {
    const TWICE: &[u8] = b"HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let origin = Origin::start(|_| Answer::Raw(TWICE.to_vec()));
    let mut client = Client::connect(origin.address());
    assert_eq!(client.ask(&Request::get("/")).status, 204);
    let error = client.try_ask(&Request::get("/")).unwrap_err();
    assert!(matches!(error, Broken::Framing(_)), "{error}");
}
