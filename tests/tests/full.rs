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

#[test]
fn fifty_clients_at_an_application_that_does_two_at_a_time() {
    let (origin, busy, gate) = busy_origin();
    let settings = [
        ("RETTER_BACKEND_CONCURRENCY", "2"),
        ("RETTER_BACKEND_CONCURRENCY_MIN", "2"),
        // Nobody is refused, however slow this machine is.
        ("RETTER_BACKEND_QUEUE_TIMEOUT", "1m"),
        ("RETTER_BACKEND_TIMEOUT_HEAD", "1m"),
        ("RETTER_SERVER_WORKERS", "2"),
    ];
    let retter = Retter::start_with(retter_program!(), origin.address(), &settings);
    let kept = retter.ask(&Request::get("/kept"));
    assert_eq!((kept.status, kept.source()), (200, "backend"));
    let waiting = |count: u64| {
        let text = retter.admin("/metrics").text();
        let line = format!("\nretter_admission_waiting {count}\n");
        text.contains(&line)
    };
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
        until("all others wait", || waiting(48));
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
    assert!(waiting(0));
}
