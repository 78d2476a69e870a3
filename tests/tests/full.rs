//! Owns the proof that an application which is full is not pushed further, and that nobody who
//! comes then is lost: copies answer, writes go first, the rest waits its turn.
//! Never measures a time: what the application holds back decides what happens.

use std::sync::Arc;
use std::thread;

use retter_tests::DEADLINE;
use retter_tests::client::Request;
use retter_tests::origin::{Origin, Seen};
use retter_tests::reply::Reply;
use retter_tests::retter::Retter;
use retter_tests::retter_program;
use retter_tests::scenario::until;
use retter_tests::signal::{Gate, Watched};

/// How many requests are being worked on, and how many at most.
#[derive(Default)]
struct Busy {
    now: u32,
    most: u32,
}

/// An application that works on what comes until its gate opens.
fn busy_origin() -> (Origin, Arc<Watched<Busy>>, Arc<Gate>) {
    let busy = Arc::new(Watched::new(Busy::default()));
    let gate = Arc::new(Gate::new());
    let (counted, opened) = (Arc::clone(&busy), Arc::clone(&gate));
    let origin = Origin::start(move |seen: &Seen| {
        if seen.target == "/kept" {
            return Reply::text("kept");
        }
        counted.change(|busy| {
            busy.now += 1;
            busy.most = busy.most.max(busy.now);
        });
        opened.wait();
        counted.change(|busy| busy.now -= 1);
        Reply::text(format!("{} {}", seen.method, seen.target))
    });
    (origin, busy, gate)
}

/// Settings with which it works on this many at one time, and nothing is ever slow.
fn works_on(count: &str) -> [(&str, &str); 8] {
    [
        ("RETTER_BACKEND_CONCURRENCY", count),
        ("RETTER_BACKEND_CONCURRENCY_MIN", count),
        ("RETTER_BACKEND_TIMEOUT_HEAD", "1m"),
        ("RETTER_BREAKER_SLOW_RATE", "off"),
        ("RETTER_BACKEND_REFRESH_SHARE", "0"),
        ("RETTER_CACHE_TTL", "1h"),
        ("RETTER_SERVER_WORKERS", "2"),
        // Nobody is refused, however slow this machine is.
        ("RETTER_BACKEND_QUEUE_TIMEOUT", "1m"),
    ]
}

fn waiting(retter: &Retter) -> f64 {
    retter.metric("retter_admission_waiting")
}

#[test]
fn fifty_clients_at_an_application_that_does_two_at_a_time() {
    let (origin, busy, gate) = busy_origin();
    let retter = Retter::start_with(retter_program!(), origin.address(), &works_on("2"));
    let kept = retter.ask(&Request::get("/kept"));
    assert_eq!((kept.status, kept.source()), (200, "backend"));
    thread::scope(|scope| {
        for client in 0..50 {
            let retter = &retter;
            scope.spawn(move || {
                // Ten each for one page, the others for one of their own, some of them writes.
                let request = match client % 5 {
                    0 => Request::get("/same"),
                    1 => Request::post(&format!("/order/{client}"), "a=b"),
                    _ => Request::get(&format!("/page/{client}")),
                };
                let response = retter.ask(&request);
                assert_eq!((response.status, response.source()), (200, "backend"));
            });
        }
        let full = busy.wait(DEADLINE, |busy| (busy.now == 2).then_some(()));
        assert!(full.is_some(), "two get in");
        until("all others wait", || waiting(&retter) == 48.0);
        let copy = retter.ask(&Request::get("/kept"));
        assert_eq!((copy.status, copy.text().as_str()), (200, "kept"));
        let told = copy.field("cache-status").unwrap_or_default().to_owned();
        assert!(told.ends_with("detail=overload"), "{told}");
        gate.open();
    });
    assert_eq!(busy.lock().most, 2, "never more than it bears");
    let same = origin
        .take_seen()
        .iter()
        .filter(|seen| seen.target == "/same")
        .count();
    assert!(
        same <= 3,
        "two may have come first, the others shared one fetch: {same}"
    );
    assert_eq!(waiting(&retter), 0.0);
}

#[test]
fn a_visitor_that_waited_in_vain_is_told_when_to_come_again_and_the_operator_why() {
    let (origin, busy, gate) = busy_origin();
    let mut settings = works_on("2");
    settings[7].1 = "200ms";
    let retter = Retter::start_with(retter_program!(), origin.address(), &settings);
    assert_eq!(retter.ask(&Request::get("/kept")).source(), "backend");
    thread::scope(|scope| {
        let served: Vec<_> = (0..2)
            .map(|client| {
                let retter = &retter;
                let request = Request::get(&format!("/first/{client}"));
                scope.spawn(move || retter.ask(&request))
            })
            .collect();
        let full = busy.wait(DEADLINE, |busy| (busy.now == 2).then_some(()));
        assert!(full.is_some(), "two get in");
        // It answers nobody until all of these have been told.
        let refused: Vec<_> = (0..48)
            .map(|client| {
                let retter = &retter;
                let request = match client % 3 {
                    0 => Request::post(&format!("/order/{client}"), "a=b"),
                    _ => Request::get(&format!("/page/{client}")),
                };
                scope.spawn(move || retter.ask(&request))
            })
            .collect();
        for client in refused {
            let response = client.join().expect("it is told");
            assert_eq!((response.status, response.source()), (503, "no-cache"));
            let seconds = response
                .field("retry-after")
                .and_then(|text| text.parse().ok());
            assert!(
                seconds.is_some_and(|seconds: u32| seconds >= 1),
                "{response:?}"
            );
            let told = response.field("cache-status").unwrap_or_default();
            assert!(told.ends_with("detail=overload-no-copy"), "{told}");
        }
        let copy = retter.ask(&Request::get("/kept"));
        assert_eq!((copy.status, copy.source()), (200, "cache"));
        check_what_the_operator_sees(&retter);
        gate.open();
        for client in served {
            assert_eq!(client.join().expect("it is served").status, 200);
        }
    });
    assert_eq!(busy.lock().most, 2, "never more than it bears");
    assert_eq!(
        origin.take_seen().len(),
        3,
        "nobody who was refused was sent on"
    );
    until("nobody is left at the application", || {
        retter.metric("retter_admission_in_flight") == 0.0
    });
}

/// Two at work, 48 refused, one copy.
fn check_what_the_operator_sees(retter: &Retter) {
    let shed = |reason| {
        let name = format!("retter_admission_shed_total{{reason=\"{reason}\"}}");
        retter.metric(&name)
    };
    assert_eq!(retter.metric("retter_admission_limit"), 2.0);
    assert_eq!(retter.metric("retter_admission_in_flight"), 2.0);
    assert_eq!(waiting(retter), 0.0);
    assert_eq!(retter.metric("retter_admission_overflows_total"), 49.0);
    assert_eq!((shed("copy"), shed("full")), (1.0, 0.0));
    // Where one page takes long on this machine, the last ones need not even wait.
    assert_eq!(shed("deadline") + shed("early"), 48.0);
    assert!(retter.metric("retter_origin_service_seconds") > 0.0);
    assert!(retter.metric("retter_origin_usual_seconds") > 0.0);
    let health = retter.admin("/health").text();
    for text in [
        "\"limit\": 2",
        "\"in_flight\": 2",
        "\"waiting\": 0",
        "\"overflows\": 49",
        "\"copy\": 1",
        "\"service_ms\": ",
        "\"usual_ms\": ",
    ] {
        assert!(health.contains(text), "{text} in {health}");
    }
    retter.wait_for("that it is full", |line| {
        line.contains("the application is full: it works on 2 requests at one time")
            .then_some(())
    });
}

#[test]
fn two_writes_go_before_each_page_that_came_earlier() {
    let (origin, busy, gate) = busy_origin();
    let retter = Retter::start_with(retter_program!(), origin.address(), &works_on("1"));
    thread::scope(|scope| {
        let ask = |request: Request| {
            let retter = &retter;
            scope.spawn(move || assert_eq!(retter.ask(&request).status, 200));
        };
        ask(Request::get("/first"));
        let full = busy.wait(DEADLINE, |busy| (busy.now == 1).then_some(()));
        assert!(full.is_some(), "one gets in");
        (0..5).for_each(|client| ask(Request::get(&format!("/page/{client}"))));
        until("the reads wait", || waiting(&retter) == 5.0);
        (0..5).for_each(|client| ask(Request::post(&format!("/order/{client}"), "a=b")));
        until("all wait", || waiting(&retter) == 10.0);
        gate.open();
    });
    let seen = origin.take_seen();
    let methods: Vec<_> = seen.iter().map(|seen| seen.method.as_str()).collect();
    let (first, queued) = methods.split_at(1);
    assert_eq!(first, ["GET"]);
    let (two, pages) = (["POST", "POST", "GET"], ["GET"; 3]);
    assert_eq!(queued, [&two[..], &two, &["POST"], &pages].concat());
    assert_eq!(busy.lock().most, 1);
}
