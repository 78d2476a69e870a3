//! Owns the proof of promises 1, 2 and 4 under load: many connections, an origin that fails in
//! every way it can, and every single answer checked for key, session and version.
//! Never measures speed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use retter_tests::client::{Client, Request, Response};
use retter_tests::origin::{Answer, Origin, Seen};
use retter_tests::page::Page;
use retter_tests::reply::{Fault, Reply, Style};
use retter_tests::retter::Retter;
use retter_tests::retter_program;
use retter_tests::signal::{Gate, Watched};
use retter_tests::wire::{Broken, Fields};

/// The session of whoever has none.
const NOBODY: &str = "none";

const CONNECTIONS: u64 = 64;
/// Fewer sessions than connections, so that some share their copies and some must not.
const SESSIONS: u64 = 24;
const PATHS: u64 = 40;
/// One connection sends this many requests before it reads, now and then.
const PIPELINED: u64 = 4;

/// What the origin does while a share of the requests is sent.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Phase {
    Healthy,
    Failing,
    Slow,
    Flapping,
    Dying,
    Down,
}

/// Every kind of trouble comes after health, and health comes back at the end.
const PHASES: [Phase; 11] = [
    Phase::Healthy,
    Phase::Failing,
    Phase::Healthy,
    Phase::Slow,
    Phase::Healthy,
    Phase::Flapping,
    Phase::Healthy,
    Phase::Dying,
    Phase::Down,
    Phase::Flapping,
    Phase::Healthy,
];

/// What the origin and all clients know of one another.
struct World {
    total: u64,
    sent: AtomicU64,
    /// The index of the phase, and the version that the origin's pages carry.
    step: AtomicUsize,
    /// Unsafe requests that reached the origin; each at most once.
    writes: Watched<BTreeSet<String>>,
    counts: Watched<BTreeMap<(Phase, String), u64>>,
    origin: Watched<Option<Origin>>,
}

impl World {
    fn version(&self) -> u64 {
        self.step.load(Ordering::SeqCst) as u64
    }

    fn phase(&self) -> Phase {
        PHASES[self.step.load(Ordering::SeqCst)]
    }

    /// Takes the number of the next request and moves the world on when its phase has come.
    fn next(&self) -> Option<u64> {
        let number = self.sent.fetch_add(1, Ordering::SeqCst);
        if number >= self.total {
            return None;
        }
        let due = usize::try_from(number * PHASES.len() as u64 / self.total).expect("an index");
        if due > self.step.load(Ordering::SeqCst) {
            self.enter(due);
        }
        Some(number)
    }

    fn enter(&self, due: usize) {
        let mut origin = self.origin.lock();
        let Some(origin) = origin.as_mut() else {
            return;
        };
        let old = self.step.fetch_max(due, Ordering::SeqCst);
        if old >= due {
            return;
        }
        match (PHASES[old], PHASES[due]) {
            (_, Phase::Down) => origin.down(),
            (Phase::Down, _) => origin.up(),
            (_, Phase::Dying) => origin.sever(),
            _ => {}
        }
    }

    fn count(&self, what: String) {
        *self.counts.lock().entry((self.phase(), what)).or_default() += 1;
    }

    fn answer(&self, seen: &Seen) -> Answer {
        let body = match seen.method.as_str() {
            "POST" => {
                let write = String::from_utf8(seen.body.clone()).expect("forms are text");
                let new = self.writes.lock().insert(write.clone());
                assert!(new, "the origin got {write} twice");
                write.into_bytes()
            }
            _ => self.page(seen).to_bytes(),
        };
        let dice = dice(&seen.target, seen.connection * 1000 + seen.earlier);
        let style = match dice % 16 {
            0..8 => Style::Length,
            8..15 => Style::Chunked,
            _ => Style::UntilClose,
        };
        let reply = Reply::text(body)
            .field("Cache-Control", "no-store")
            .style(style);
        match (self.phase(), dice / 16 % 6) {
            (Phase::Healthy | Phase::Down, _)
            | (Phase::Failing | Phase::Flapping, 5)
            | (Phase::Dying, 0 | 1) => reply.into(),
            (Phase::Slow, _) => {
                // Nobody opens the gate: it is a delay that needs no clock of its own.
                Gate::new().wait_at_most(Duration::from_millis(20));
                reply.into()
            }
            (Phase::Failing, _) | (Phase::Flapping, 0) => {
                Reply::status(500, "the application's own error").into()
            }
            (Phase::Flapping, 1) => Answer::Raw(b"\x16\x03\x01 garbage\r\n\r\n".to_vec()),
            // Nobody can tell a regular end of the connection from the end of such a body.
            (Phase::Flapping | Phase::Dying, 2) if style == Style::UntilClose => Answer::Close,
            (Phase::Flapping | Phase::Dying, 2) => reply.fault(90, Fault::Close).into(),
            (Phase::Flapping, _) | (Phase::Dying, 3) => Answer::Close,
            (Phase::Dying, 4) => reply.fault(90, Fault::Reset).into(),
            (Phase::Dying, _) => Answer::Reset,
        }
    }

    fn page(&self, seen: &Seen) -> Page {
        Page {
            key: seen.target.clone(),
            session: seen.cookie("PHPSESSID").unwrap_or(NOBODY).to_owned(),
            version: self.version(),
            lines: lines(&seen.target),
        }
    }
}

/// From one line to about 100 kB: inside one segment, inside one buffer, and beyond both.
fn lines(target: &str) -> usize {
    [0, 3, 40, 200, 2000][usize::try_from(dice(target, 1) % 5).expect("an index")]
}

/// A fixed number for a text and a salt (FNV-1a).
fn dice(text: &str, salt: u64) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    salt.to_le_bytes().into_iter().fold(hash, step) >> 7
}

/// One request of a client, and what is known when it is sent.
struct Asked {
    request: Request,
    method: &'static str,
    target: String,
    session: String,
    version: u64,
}

fn ask(world: &World, number: u64, connection: u64) -> Asked {
    let dice = dice("request", number);
    let target = format!("/page/{}?part={}", dice % PATHS, dice / PATHS % 3);
    // Connection 0 has no session: its pages are everybody's.
    let session = match connection % SESSIONS {
        0 => NOBODY.to_owned(),
        session => format!("s{session}"),
    };
    let (method, mut request) = match dice / 1024 % 20 {
        0 => (
            "POST",
            Request::post(&target, format!("{target} {session} {number}")),
        ),
        1 => ("HEAD", Request::new("HEAD", &target)),
        _ => ("GET", Request::get(&target)),
    };
    if session != NOBODY {
        request = request.field(
            "Cookie",
            &format!("_ga=GA1.{connection}; PHPSESSID={session}"),
        );
    }
    if (dice / 65_536).is_multiple_of(4) {
        request = request.field("Accept-Encoding", "gzip");
    }
    Asked {
        request,
        method,
        target,
        session,
        version: world.version(),
    }
}

/// Checks an answer that came whole; what it is counted as.
fn check(world: &World, asked: &Asked, response: &Response, number: u64) -> String {
    let (status, source) = (response.status, response.source());
    let kind = format!("{} {status} {source}", asked.method);
    match (status, source) {
        (200, _) if asked.method == "HEAD" => assert!(response.body.is_empty()),
        (200, "backend") if asked.method == "POST" => {
            let (target, session) = (&asked.target, &asked.session);
            assert_eq!(response.text(), format!("{target} {session} {number}"));
        }
        (200, "backend" | "cache" | "last-known-success") => {
            let page = Page::parse(&response.content())
                .unwrap_or_else(|error| panic!("{kind} for {}: {error}", asked.target));
            // Who shares a fetch gets what it brings, and that began before.
            let handling = response
                .field("Cache-Status")
                .expect("it is in every answer");
            // What a stranger was sent is the page of nobody.
            let session = match handling.ends_with("; detail=public") {
                true => NOBODY,
                false => &asked.session,
            };
            assert_eq!(
                (&page.key[..], &page.session[..]),
                (&asked.target[..], session),
                "{kind}"
            );
            let oldest = match (source, handling.contains("collapsed")) {
                ("backend", false) => asked.version,
                _ => 0,
            };
            let newest = world.version();
            let version = page.version;
            assert!(
                (oldest..=newest).contains(&version),
                "{kind}: {oldest} {version} {newest}"
            );
            assert!(
                source == "backend" || asked.method != "POST",
                "a copy answers a write"
            );
        }
        (500, "backend") => {
            assert!(asked.method == "HEAD" || response.text() == "the application's own error");
        }
        // Who waited for somebody else's request hears how it went, not in the origin's words.
        (500, "no-cache") => {
            let how = response.field("cache-status").unwrap_or_default();
            assert!(how.ends_with("; collapsed"), "{kind}: {how}");
        }
        (502 | 504, "no-cache") => {}
        (503, "no-cache") => assert!(response.field("retry-after").is_some()),
        _ => panic!("{kind}: {response:?}"),
    }
    kind
}

/// Checks an answer that broke off: it may, after its head, when the origin's did; what came
/// must be the start of the right page.
fn check_cut(world: &World, asked: &Asked, body: &[u8], coded: bool) -> String {
    // The step tells phase and version at once: nothing has changed since the request was sent.
    let healthy = world.phase() == Phase::Healthy && world.version() == asked.version;
    assert!(
        !healthy,
        "a healthy origin's answer to {} is cut off",
        asked.target
    );
    if asked.method == "GET" && !coded && body.contains(&b'\n') {
        let page = Page::parse_cut(body).unwrap_or_else(|error| panic!("cut: {error}"));
        assert_eq!((&page.key, &page.session), (&asked.target, &asked.session));
    }
    format!("{} cut off", asked.method)
}

/// Reads the answer to `asked`; whether the connection can be used again.
fn read(world: &World, client: &mut Client, asked: &Asked, number: u64) -> bool {
    let head = match client.try_head(asked.method) {
        Ok(head) => head,
        Err(error) => panic!("{} {}: {error}", asked.method, asked.target),
    };
    let mut body = Vec::new();
    loop {
        match client.try_piece() {
            Ok(Some(piece)) => body.extend_from_slice(&piece),
            Ok(None) => break,
            Err(Broken::Truncated) => {
                let coded = head.field("content-encoding").is_some();
                world.count(check_cut(world, asked, &body, coded));
                return false;
            }
            Err(error) => panic!("{} {}: {error}", asked.method, asked.target),
        }
    }
    let closes = head.closes();
    let trailers = Fields::default();
    let response = Response {
        head,
        body,
        trailers,
    };
    world.count(check(world, asked, &response, number));
    !closes
}

/// One connection's share: as many requests as it gets done, one by one or a few at once.
fn run(world: &World, retter: &Retter, connection: u64) {
    let mut client = retter.client();
    while let Some(first) = world.next() {
        let mut numbers = vec![first];
        if first.is_multiple_of(32) {
            numbers.extend((1..PIPELINED).map_while(|_| world.next()));
        }
        let asked: Vec<_> = numbers
            .iter()
            .map(|number| ask(world, *number, connection))
            .collect();
        let bytes: Vec<u8> = asked
            .iter()
            .flat_map(|asked| asked.request.to_bytes())
            .collect();
        // When the connection ends instead, the answers that came before can still be read.
        let _ = client.try_send(&bytes);
        let mut usable = true;
        for (asked, number) in asked.iter().zip(numbers) {
            if usable {
                usable = read(world, &mut client, asked, number);
            } else {
                world.count("behind a closed connection".to_owned());
            }
        }
        if !usable {
            client = retter.client();
        }
    }
}

#[test]
fn every_answer_is_right_whatever_the_origin_does() {
    let total = std::env::var("RETTER_FLOOD_REQUESTS")
        .map_or(200_000, |total| total.parse().expect("a number"));
    let world = Arc::new(World {
        total,
        sent: AtomicU64::new(0),
        step: AtomicUsize::new(0),
        writes: Watched::default(),
        counts: Watched::default(),
        origin: Watched::default(),
    });
    let at_origin = Arc::clone(&world);
    let origin = Origin::counting(move |seen| at_origin.answer(seen));
    // Circuits that open and close many times within each phase, not once in all of them.
    let settings = [
        ("RETTER_BREAKER_OPEN_MIN", "50ms"),
        ("RETTER_BREAKER_OPEN_MAX", "200ms"),
    ];
    let retter = Retter::start_with(retter_program!(), origin.address(), &settings);
    *world.origin.lock() = Some(origin);

    thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let (world, retter) = (&world, &retter);
            scope.spawn(move || run(world, retter, connection));
        }
    });

    let origin = world.origin.lock().take().expect("it was put there");
    let mut report = format!(
        "{total} requests, {} of them at the origin\n",
        origin.requests()
    );
    let counts = world.counts.lock();
    for ((phase, what), count) in counts.iter() {
        report += &format!("{phase:?}: {count} × {what}\n");
    }
    // Not `println!`: the test runner would show it only when the test fails.
    let _ = std::io::stderr().write_all(report.as_bytes());
    assert_eq!(
        counts.values().sum::<u64>(),
        total,
        "every request is accounted for"
    );
    let has = |phase: Phase, kinds: &[&str]| {
        let mut found = counts.keys().filter(|(in_phase, _)| *in_phase == phase);
        assert!(
            found.any(|(_, kind)| kinds.contains(&kind.as_str())),
            "{phase:?} has none of {kinds:?}"
        );
    };
    has(Phase::Healthy, &["GET 200 backend"]);
    for phase in [Phase::Failing, Phase::Flapping, Phase::Dying, Phase::Down] {
        has(phase, &["GET 200 cache", "GET 200 last-known-success"]);
    }
    has(Phase::Down, &["POST 502 no-cache"]);
    assert!(
        retter.ask(&Request::get("/after")).status < 600,
        "it still answers"
    );
}
