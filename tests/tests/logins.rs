//! Owns the proof that a login that belongs to a connection (NTLM) serves the client that made it
//! and nobody else.
//! Never sleeps to wait for something.

use std::collections::BTreeMap;

use retter_tests::client::{Client, Request};
use retter_tests::origin::{Origin, Seen};
use retter_tests::reply::Reply;
use retter_tests::retter::Retter;
use retter_tests::retter_program;
use retter_tests::signal::Watched;
use rustix::process::Signal;

/// How far the login is on a connection.
enum Login {
    Challenged,
    Done(String),
}

/// An application that signs people in as NTLM does: a request for the login, a challenge, and an
/// answer to it, all on one connection, which is that user's from then on. What it sends to them
/// could not be more misleading to a cache.
fn application() -> Origin {
    let logins = Watched::<BTreeMap<u64, Login>>::default();
    Origin::start(move |seen| logins.change(|logins| answer(seen, logins)))
}

fn answer(seen: &Seen, logins: &mut BTreeMap<u64, Login>) -> Reply {
    let denied = |challenge: &str| Reply::status(401, "no").field("WWW-Authenticate", challenge);
    let message = seen.field("authorization");
    let message = message.and_then(|value| value.strip_prefix("NTLM "));
    match (message, logins.get(&seen.connection)) {
        (Some("hello"), _) => {
            logins.insert(seen.connection, Login::Challenged);
            return denied("NTLM challenge");
        }
        (Some(user), Some(Login::Challenged)) => {
            logins.insert(seen.connection, Login::Done(user.to_owned()));
        }
        _ => {}
    }
    match logins.get(&seen.connection) {
        Some(Login::Done(user)) => {
            let body = String::from_utf8_lossy(&seen.body);
            let page = format!("{user} {} {} {body}", seen.method, seen.target);
            Reply::text(page).field("Cache-Control", "public, max-age=600")
        }
        Some(Login::Challenged) | None => denied("NTLM"),
    }
}

fn ntlm(target: &str, message: &str) -> Request {
    Request::get(target).field("Authorization", &format!("NTLM {message}"))
}

#[track_caller]
fn sign_in(client: &mut Client, user: &str) {
    let first = client.ask(&Request::get("/page"));
    assert_eq!((first.status, first.source()), (401, "backend"));
    let challenge = client.ask(&ntlm("/page", "hello"));
    assert_eq!(challenge.field("www-authenticate"), Some("NTLM challenge"));
    let page = client.ask(&ntlm("/page", user));
    assert_eq!(page.text(), format!("{user} GET /page "));
}

#[test]
fn a_login_by_connection_is_its_clients_alone() {
    let mut origin = application();
    let retter = Retter::start(retter_program!(), origin.address());
    let (mut anna, mut bert) = (retter.client(), retter.client());
    sign_in(&mut anna, "anna");
    for _ in 0..3 {
        let page = anna.ask(&Request::get("/page"));
        assert_eq!(
            (page.text(), page.source()),
            ("anna GET /page ".into(), "backend")
        );
        let form = anna.ask(&Request::post("/form", "a=b"));
        assert_eq!(form.text(), "anna POST /form a=b");
    }
    let seen = origin.take_seen();
    let annas = seen[0].connection;
    assert!(seen.iter().all(|seen| seen.connection == annas), "{seen:?}");

    for _ in 0..2 {
        for request in [Request::get("/page"), Request::post("/form", "a=b")] {
            assert_eq!(bert.ask(&request).status, 401);
        }
    }
    // Nor does a first-time visitor get more.
    assert_eq!(retter.ask(&Request::get("/page")).status, 401);
    let others = origin.take_seen();
    assert!(
        others.iter().all(|seen| seen.connection != annas),
        "{others:?}"
    );
    assert_eq!(retter.metric("retter_copies"), 0.0);

    origin.down();
    for client in [&mut anna, &mut bert, &mut retter.client()] {
        let page = client.ask(&Request::get("/page"));
        assert_eq!((page.status, page.source()), (502, "no-cache"));
    }
}

#[test]
fn the_connection_to_the_application_ends_with_the_clients() {
    let origin = application();
    let retter = Retter::start(retter_program!(), origin.address());
    let mut anna = retter.client();
    sign_in(&mut anna, "anna");
    origin.wait_for_open(1);
    drop(anna);
    origin.wait_for_open(0);
}

#[test]
fn a_login_is_made_again_when_the_application_has_closed_its_connection() {
    let origin = application();
    let retter = Retter::start(retter_program!(), origin.address());
    let mut anna = retter.client();
    for _ in 0..3 {
        sign_in(&mut anna, "anna");
        origin.sever();
        origin.wait_for_open(0);
        // A write goes to a connection that lives, and is no user's there.
        assert_eq!(anna.ask(&Request::post("/form", "a=b")).status, 401);
    }
}

#[test]
fn a_proxy_in_front_gets_nobodys_login() {
    let origin = application();
    let retter = Retter::start(retter_program!(), origin.address());
    // It sends the requests of all its users on one connection.
    let mut proxy = retter.client();
    for request in [
        ntlm("/page", "hello"),
        ntlm("/page", "anna"),
        Request::get("/page"),
        Request::post("/form", "a=b"),
    ] {
        let answer = proxy.ask(&request.field("X-Forwarded-For", "192.0.2.1"));
        assert_eq!((answer.status, answer.source()), (401, "backend"));
        origin.wait_for_open(0);
    }
    // Nor does it when it names its users only after one of them has signed in.
    sign_in(&mut proxy, "anna");
    let request = Request::get("/page").field("Via", "1.1 proxy");
    assert_eq!(proxy.ask(&request).status, 401);
    assert_eq!(retter.metric("retter_copies"), 0.0);
}

#[test]
fn the_log_tells_once_of_such_logins() {
    let origin = application();
    let mut retter = Retter::start(retter_program!(), origin.address());
    for _ in 0..3 {
        sign_in(&mut retter.client(), "anna");
        let relayed = Request::get("/page").field("X-Forwarded-For", "192.0.2.1");
        assert_eq!(retter.ask(&relayed).status, 401);
    }
    retter.signal(Signal::TERM);
    assert_eq!(retter.end().code(), Some(0));
    let told = retter.errors();
    assert_eq!(told.matches("signs people in by connection").count(), 2);
    assert_eq!(told.matches("does not work behind a proxy").count(), 1);
}
