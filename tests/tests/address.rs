//! Owns the proof that the client's address, the scheme and the host are what trusted proxies say,
//! and that nobody else can say them.
//! Never looks into the core: what counts is what the application gets.

use std::process::ExitStatus;

use retter_tests::client::{Client, Request};
use retter_tests::namespace::Namespace;
use retter_tests::origin::{Origin, Seen};
use retter_tests::program::Program;
use retter_tests::reply::Reply;
use retter_tests::retter::{Retter, command};
use retter_tests::retter_program;
use rustix::process::Signal;

/// Loopback is nobody's proxy then.
const OTHERS_TRUSTED: (&str, &str) = ("RETTER_SERVER_TRUSTED_PROXIES", "10.0.0.0/8");

fn page() -> Origin {
    Origin::start(|seen| Reply::text(seen.target.as_str()).field("Cache-Control", "max-age=60"))
}

fn start(origin: &Origin, settings: &[(&str, &str)]) -> Retter {
    Retter::start_with(retter_program!(), origin.address(), settings)
}

/// Asks for what nobody else asks for, with all that a client may make up.
fn forged(target: &str) -> Request {
    let request = Request::get(target)
        .field(
            "Forwarded",
            "for=203.0.113.66;host=forged.example;proto=https",
        )
        .field("X-Forwarded-For", "203.0.113.66")
        .field("X-Forwarded-Host", "forged.example")
        .field("X-Forwarded-Proto", "https")
        .field("X-Real-IP", "203.0.113.66");
    let others = [
        ("CF-Connecting-IP", "203.0.113.66"),
        ("Client-IP", "203.0.113.66"),
        ("Fastly-Client-IP", "203.0.113.66"),
        ("Front-End-Https", "on"),
        ("True-Client-IP", "203.0.113.66"),
        ("X-Client-IP", "203.0.113.66"),
        ("X-Cluster-Client-IP", "203.0.113.66"),
        ("X-Forwarded-Port", "66"),
        ("X-Forwarded-Prefix", "/forged"),
        ("X-Forwarded-User", "forged"),
        ("X-Host", "forged.example"),
        ("X-Original-Host", "forged.example"),
        ("X-Scheme", "https"),
        ("X_Forwarded_Host", "forged.example"),
        ("x-FORWARDED-anything", "forged"),
    ];
    others
        .into_iter()
        .fold(request, |request, (name, value)| request.field(name, value))
}

/// What the application was told is of this client alone.
#[track_caller]
fn check_own(seen: &Seen, client: &str) {
    let element = format!("for={client};host=shop.example;proto=http");
    for (name, value) in [
        ("x-forwarded-for", client),
        ("x-real-ip", client),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "shop.example"),
        ("forwarded", &element),
    ] {
        assert_eq!(seen.fields.all(name).collect::<Vec<_>>(), [value], "{name}");
    }
    let fields = format!("{:?}", seen.fields).to_ascii_lowercase();
    for forged in [
        "203.0.113.66",
        "forged.example",
        "https",
        "/forged",
        "anything",
        "user",
    ] {
        assert!(!fields.contains(forged), "{forged} in {fields}");
    }
}

#[test]
fn nothing_forged_arrives_from_a_peer_that_is_not_trusted() {
    let origin = page();
    let retter = start(&origin, &[OTHERS_TRUSTED]);
    assert_eq!(retter.ask(&forged("/a")).text(), "/a");
    check_own(&origin.take_one(), "127.0.0.1");
    // Nor does it make another page of it.
    assert_eq!(retter.ask(&Request::get("/a")).source(), "cache");
    let other = forged("/a").field("X-Forwarded-Host", "another.example");
    assert_eq!(retter.ask(&other).source(), "cache");
    assert_eq!(origin.requests(), 1);
}

#[test]
fn nothing_forged_arrives_from_another_machine() {
    let namespace = Namespace::new(0);
    let origin = page();
    let listen = format!("{}:0", namespace.here());
    // By default only this machine is trusted.
    let retter = start(&origin, &[("RETTER_SERVER_LISTEN", &listen)]);
    let address = retter.address();
    let answer = namespace.within(|| Client::connect(address).ask(&forged("/a")));
    assert_eq!(answer.text(), "/a");
    let client = namespace.there().to_string();
    check_own(&origin.take_one(), &client);
    // Declared, it is believed.
    let network = format!("{client}/32");
    let settings = [
        ("RETTER_SERVER_LISTEN", listen.as_str()),
        ("RETTER_SERVER_TRUSTED_PROXIES", &network),
    ];
    let retter = start(&origin, &settings);
    let address = retter.address();
    let _ = namespace.within(|| Client::connect(address).ask(&forged("/b")));
    let seen = origin.take_one();
    let chain = format!("203.0.113.66, {client}");
    assert_eq!(seen.field("x-forwarded-for"), Some(chain.as_str()));
    assert_eq!(seen.field("x-real-ip"), Some("203.0.113.66"));
    assert_eq!(seen.field("x-forwarded-host"), Some("forged.example"));
}

#[test]
fn a_trusted_proxy_is_believed_and_continued() {
    let origin = page();
    let settings = [
        ("RETTER_SERVER_TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8"),
        ("RETTER_LOG_ACCESS", "json"),
    ];
    let mut retter = start(&origin, &settings);
    let request = Request::get("/a")
        .field(
            "X-Forwarded-For",
            "203.0.113.66, 198.51.100.7:4711, 10.1.2.3",
        )
        .field("X-Forwarded-Proto", "https")
        .field(
            "Forwarded",
            "for=203.0.113.66;host=forged.example;proto=http",
        );
    assert_eq!(retter.ask(&request).text(), "/a");
    let seen = origin.take_one();
    for (name, value) in [
        (
            "x-forwarded-for",
            "203.0.113.66, 198.51.100.7, 10.1.2.3, 127.0.0.1",
        ),
        ("x-real-ip", "198.51.100.7"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "shop.example"),
        (
            "forwarded",
            "for=203.0.113.66;host=shop.example;proto=https, \
             for=198.51.100.7;host=shop.example;proto=https, \
             for=10.1.2.3;host=shop.example;proto=https, \
             for=127.0.0.1;host=shop.example;proto=https",
        ),
    ] {
        assert_eq!(seen.fields.all(name).collect::<Vec<_>>(), [value], "{name}");
    }
    retter.signal(Signal::TERM);
    assert!(retter.end().success());
    let log = retter.output();
    assert!(log.contains("\"client\":\"198.51.100.7\""), "{log}");
    assert!(log.contains("\"peer\":\"127.0.0.1:"), "{log}");
}

#[test]
fn the_common_log_tells_the_client() {
    let origin = page();
    let mut retter = start(&origin, &[("RETTER_LOG_ACCESS", "combined")]);
    let request = Request::get("/a").field("X-Real-IP", "198.51.100.7");
    assert_eq!(retter.ask(&request).status, 200);
    retter.signal(Signal::TERM);
    assert!(retter.end().success());
    assert!(
        retter.output().starts_with("198.51.100.7 - - ["),
        "{}",
        retter.output()
    );
}

/// `retter check` beside a running instance: how it ends, and what it says.
fn check(retter: &Retter, origin: &Origin) -> (ExitStatus, String) {
    let mut command = command(retter_program!());
    command
        .arg("check")
        .env("RETTER_ADMIN_LISTEN", retter.admin_address().to_string())
        .env(
            "RETTER_BACKEND_BASEURL",
            format!("http://{}", origin.address()),
        );
    let mut program = Program::start(&mut command);
    (program.end(), program.output() + &program.errors())
}

#[test]
fn a_proxy_in_front_that_is_not_declared_is_told_of_once() {
    const ADVICE: &str = "RETTER_SERVER_TRUSTED_PROXIES=10.0.0.0/8,127.0.0.0/24";
    let origin = page();
    let mut retter = start(&origin, &[OTHERS_TRUSTED]);
    let mut client = retter.client();
    let mut ask = |count: usize| {
        for number in 0..count {
            let visitor = format!("203.0.113.{}", number % 200);
            let request = Request::get("/a").field("X-Forwarded-For", &visitor);
            assert_eq!(client.ask(&request).status, 200);
        }
    };
    ask(50);
    let health = retter.admin("/health").text();
    assert!(health.contains("\"undeclared_proxy\": null"), "{health}");
    let (status, told) = check(&retter, &origin);
    assert!(status.success() && !told.contains(ADVICE), "{told}");
    ask(100);
    let health = retter.admin("/health").text();
    assert!(health.contains("\"network\": \"127.0.0.0/24\""), "{health}");
    assert!(health.contains(ADVICE), "{health}");
    let (status, told) = check(&retter, &origin);
    assert!(status.success() && told.contains(ADVICE), "{told}");
    retter.wait_for("the advice", |line| line.contains(ADVICE).then_some(()));
    ask(300);
    retter.signal(Signal::TERM);
    assert!(retter.end().success());
    assert_eq!(
        retter.errors().matches(ADVICE).count(),
        1,
        "{}",
        retter.errors()
    );
}

#[test]
fn a_trusted_proxy_has_as_many_connections_as_it_likes() {
    let origin = page();
    let bound = ("RETTER_SERVER_CONNECTIONS_PER_ADDRESS", "2");
    // A connection too many may be reset before the client's system call has returned.
    let connect = |retter: &Retter| {
        let mut clients: Vec<_> = (0..3)
            .filter_map(|_| Client::try_connect(retter.address()).ok())
            .collect();
        let answers = clients
            .iter_mut()
            .map(|client| client.try_ask(&Request::get("/a")));
        answers.filter(Result::is_ok).count()
    };
    assert_eq!(connect(&start(&origin, &[bound])), 3);
    assert_eq!(connect(&start(&origin, &[bound, OTHERS_TRUSTED])), 2);
}
