//! One exchange, from its decision to its end.

use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::config::SiteSettings;

#[test]
fn a_request_is_passed_on_and_its_answer_is_pulled() {
    let mut stream = Driven::begin(&retter(), GET);
    assert!(stream.asked.starts_with("GET / HTTP/1.1\r\n"));
    assert!(!stream.pull(), "the origin has not answered");
    stream.origin_sends(PAGE);
    assert_eq!(
        stream.pull_all(),
        ["200 backend 4 bytes", "good", "end true"]
    );
    assert!(stream.exchange.is_over());
    assert_eq!(stream.actions, ["connect", "park"]);
    let report = &stream.reports[0];
    assert_eq!((report.bytes_sent, report.end), (4, End::Complete));
}

#[test]
fn a_copy_answers_without_the_origin() {
    let gateway = retter();
    let mut first = Driven::begin(&gateway, GET);
    first.origin_sends(
        b"HTTP/1.1 200 OK\r\nCache-Control: max-age=9\r\nContent-Length: 4\r\n\r\ngood",
    );
    first.pull_all();
    let mut second = Driven::begin(&gateway, GET);
    assert_eq!(second.pull_all(), ["200 cache 4 bytes", "good", "end true"]);
    assert!(second.exchange.is_over() && second.actions.is_empty());
}

#[test]
fn content_goes_out_as_it_comes() {
    let mut stream = Driven::begin(&retter(), POST);
    assert!(stream.asked.ends_with("\r\n\r\n"));
    assert!(stream.send(Content::Data(Bytes::from_static(b"good"))));
    assert!(stream.asked.ends_with("\r\n\r\ngood"));
    assert!(stream.send(Content::End(Fields::default())));
    assert_eq!(stream.exchange.poll_intake(), Intake::Shut);
    stream.origin_sends(PAGE);
    assert_eq!(stream.pull_all().last().unwrap(), "end true");
    assert_eq!(stream.actions, ["connect", "close"], "it carried content");
    assert_eq!(stream.reports[0].bytes_received, 4);
}

#[test]
fn an_early_answer_leaves_the_request_unread() {
    let mut stream = Driven::begin(&retter(), POST);
    stream.origin_sends(PAGE);
    assert_eq!(
        stream.pull_all(),
        ["200 backend 4 bytes", "good", "end false"]
    );
}

#[test]
fn content_that_is_cut_is_refused_before_an_answer_and_aborts_it_afterwards() {
    let mut stream = Driven::begin(&retter(), POST);
    stream.send(cut());
    assert_eq!(
        stream.pull_all(),
        [
            "400 20 bytes no-cache",
            "400 Bad Request: no\n",
            "end false"
        ]
    );
    assert_eq!(stream.actions, ["connect", "close"]);

    let mut stream = Driven::begin(&retter(), POST);
    stream.origin_sends(&PAGE[..PAGE.len() - 2]);
    stream.pull_all();
    stream.send(cut());
    assert_eq!(stream.pull_all(), ["abort true"]);
    assert_eq!(stream.reports[0].end, End::ClientLeft);
}

#[test]
fn an_answer_that_breaks_off_is_aborted() {
    let mut stream = Driven::begin(&retter(), GET);
    stream.origin_sends(&PAGE[..PAGE.len() - 2]);
    stream.exchange.handle_read(0, stream.now);
    assert_eq!(
        stream.pull_all(),
        ["200 backend 4 bytes", "go", "abort false"]
    );
    assert_eq!(stream.reports[0].end, End::Truncated);
    assert_eq!(stream.actions, ["connect", "close"]);
}

#[test]
fn a_client_that_leaves_ends_it() {
    let mut stream = Driven::begin(&retter(), GET);
    stream.exchange.handle_left(stream.now);
    assert!(stream.exchange.is_over());
    assert_eq!(stream.pull_all(), [""; 0]);
    assert_eq!(stream.actions, ["connect", "close"]);
    assert_eq!(stream.reports[0].end, End::ClientLeft);
}

#[test]
fn a_silent_origin_is_given_up_in_time() {
    let mut stream = Driven::begin(&retter(), GET);
    while let Some((due, _)) = stream.exchange.poll_timeout() {
        stream.now = due;
        stream.exchange.handle_timeout(due);
    }
    assert_eq!(stream.pull_all()[0], "504 60 bytes no-cache");
    assert!(stream.now > Instant::ZERO + Duration::from_secs(1));
    assert!(!stream.exchange.poll_room(Waker::noop(), stream.now));
}

#[test]
fn a_tunnel_passes_bytes_and_ends_on_both_sides() {
    let upgrade = "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    let mut stream = Driven::begin(&retter(), upgrade);
    stream
        .origin_sends(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhello");
    assert_eq!(stream.pull_all(), ["101 a tunnel backend", "hello"]);
    assert!(stream.send(Content::Data(Bytes::from_static(b"hi"))));
    assert!(stream.asked.ends_with("\r\n\r\nhi"));
    stream.exchange.handle_read(0, stream.now);
    assert_eq!(stream.pull_all(), ["end false"]);
    stream.exchange.handle_shut();
    assert!(!stream.exchange.is_over(), "the client may still speak");
    stream.send(Content::End(Fields::default()));
    stream.pull_all();
    assert!(stream.exchange.is_over());
    assert_eq!(stream.actions, ["connect", "shutdown", "close"]);
    assert_eq!(stream.reports[0].end, End::Tunnel);
}

#[test]
fn it_ends_by_the_settings_that_it_began_with() {
    let gateway = retter();
    let mut settings = SiteSettings::default();
    settings.origin.head_timeout = Duration::from_millis(300);
    let impatient = settings.validate().unwrap();
    let before = Driven::begin(&gateway, GET);
    assert!(
        gateway
            .site()
            .reconfigure(&impatient, Instant::ZERO)
            .is_empty()
    );
    let after = Driven::begin(&gateway, GET);
    let due = |stream: &Driven| {
        let due = stream.exchange.poll_timeout().map(|(due, _)| due);
        due.map(|due| due.saturating_since(Instant::ZERO))
    };
    assert_eq!(due(&after), Some(Duration::from_millis(300)));
    assert!(due(&before) > due(&after));
}
