//! A page that stays broken spoils nothing for the others, and is not asked for in vain.

use std::sync::Arc;
use std::time::Duration;

use super::refresh::{Bell, OOPS, ask, next_refresh, open_origin, open_path, stats, warm};
use super::rig::{PAGE, Rig, body, field, get, status};
use crate::breaker::State;
use crate::config::Settings;
use crate::session::{Action, Input, Session};

/// A rig with copies of these pages, wanted by nobody, while somebody renews copies.
fn with_copies<'a>(paths: impl IntoIterator<Item = &'a str>) -> Rig {
    let mut rig = Rig::new();
    assert!(rig.refresh().is_none());
    for path in paths {
        rig.send(&get(path, "")).reply(PAGE);
        assert_eq!(status(&rig.received()), 200);
    }
    rig.asked();
    rig
}

/// Answers what is asked for in the background: `broken` fails, all else is well.
fn answer_background(rig: &Rig, broken: &str) {
    while let Some(mut refresh) = rig.refresh() {
        let asked = refresh.asked();
        let is_broken = asked.split(' ').nth(1) == Some(broken);
        refresh.reply(if is_broken { OOPS } else { PAGE });
    }
}

/// Somebody visits a page; returns what the answer says of the circuit.
fn visit(rig: &mut Rig, path: &str, answer: &str) -> String {
    rig.send(&get(path, ""));
    if !rig.asked().is_empty() {
        rig.reply(answer);
    }
    let circuit = field(&rig.received(), "x-circuit").map(str::to_owned);
    circuit.unwrap_or_default()
}

#[test]
fn one_broken_page_does_not_keep_the_origin_closed_off() {
    // Alone, with one that is well, and wanted by visitors all the time.
    for (others, is_wanted) in [(0, false), (1, false), (0, true), (1, true)] {
        let mut rig = with_copies(["/broken", "/well"].into_iter().take(1 + others));
        // A restart of the application, at which one page broke.
        open_origin(&rig);
        let start = rig.now;
        let mut visitors = 0;
        while rig.gateway.site().circuit(rig.now) != State::Closed {
            assert!(rig.now < start + Duration::from_secs(60), "it never closes");
            answer_background(&rig, "/broken");
            if is_wanted {
                visit(&mut rig, "/broken", OOPS);
            }
            let circuit = visit(&mut rig, "/visitor", PAGE);
            visitors += usize::from(circuit == "HALF-OPEN");
            rig.wait(Duration::from_millis(100));
        }
        assert_eq!(
            visitors > 0,
            others == 0,
            "a visitor probes where nothing else can"
        );
    }
}

#[test]
fn one_broken_query_does_not_keep_its_path_closed_off() {
    let mut rig = with_copies(["/r?id=7"]);
    for _ in 0..5 {
        rig.send(&get("/r?id=7", "")).reply(OOPS);
        assert_eq!(body(&rig.received()), "good");
    }
    rig.asked();
    assert_eq!(rig.gateway.site().stats(rig.now).paths_open, 1);
    let start = rig.now;
    while rig.gateway.site().stats(rig.now).paths_open > 0 {
        assert!(rig.now < start + Duration::from_secs(60), "it never closes");
        answer_background(&rig, "/r?id=7");
        visit(&mut rig, "/r?id=8", PAGE);
        rig.wait(Duration::from_millis(500));
    }
}

#[test]
fn what_cannot_be_renewed_is_not_tried_again_for_each_who_wants_it() {
    let mut settings = Settings::default();
    settings.site.breaker.consecutive_failures = 1_000;
    settings.site.breaker.failure_rate = 1.0;
    settings.site.breaker.path_outcomes_min = 1_000;
    let mut rig = warm(settings);
    for _ in 0..2 * 60 {
        rig.send(&ask()).reply(OOPS);
        assert_eq!(body(&rig.received()), "good");
        answer_background(&rig, "/");
        rig.wait(Duration::from_millis(500));
    }
    // After 2 seconds, then 4, 8, and so on.
    assert_eq!(stats(&rig).failed, 5);
    // Until a visitor finds it well.
    rig.send(&ask()).reply(PAGE);
    rig.wait(Duration::from_secs(6)).send(&ask()).reply(OOPS);
    assert!(rig.received().ends_with("good"));
    assert!(rig.refresh().is_some(), "it can be renewed again");
}

#[test]
fn a_slow_probe_is_counted_once() {
    let mut rig = warm(Settings::default());
    open_path(&mut rig);
    rig.wait(Duration::from_millis(1));
    // After 600 other kinds of pages this one's usual time is forgotten.
    for kind in 0..600 {
        let kind = format!("{kind:b}").replace('0', "o").replace('1', "i");
        visit(&mut rig, &format!("/{kind}"), PAGE);
    }
    let mut probe = next_refresh(&mut rig);
    probe.wait(Duration::from_secs(1)).reply(PAGE);
    let stats = stats(&rig);
    assert_eq!((stats.probes_failed, stats.probes_succeeded), (1, 0));
}

#[test]
fn a_client_that_wants_what_can_only_be_probed_wakes_nobody_twice() {
    let paths = ["/1", "/2", "/3"];
    let mut rig = with_copies(paths);
    open_origin(&rig);
    let bell = Arc::new(Bell::default());
    for _ in 0..4 {
        for path in paths {
            rig.gateway.site().set_refresh_waker(&bell.clone().into());
            assert!(rig.gateway.site().poll_refresh(rig.now).is_none());
            assert!(rig.gateway.site().poll_refresh_timeout(rig.now).is_some());
            visit(&mut rig, path, OOPS);
        }
    }
    assert_eq!(bell.rings(), 3);
}

#[test]
fn a_page_that_must_wait_itself_keeps_no_visitor_from_probing_the_origin() {
    for hangs in [false, true] {
        let mut settings = Settings::default();
        settings.site.breaker.slow_rate = None;
        let mut rig = warm(settings);
        open_path(&mut rig);
        // Its own circuit is left alone for longer and longer, or its probe is out.
        for _ in 0..if hangs { 0 } else { 4 } {
            next_refresh(&mut rig).reply(OOPS);
        }
        let _probe = hangs.then(|| next_refresh(&mut rig));
        open_origin(&rig);
        rig.wait(Duration::from_secs(3));
        assert!(rig.refresh().is_none());
        rig.send(&get("/visitor", ""));
        assert!(rig.asked().starts_with("GET /visitor "), "{hangs}");
    }
}

#[test]
fn a_probe_for_which_there_is_no_socket_is_not_tried_again_at_once() {
    let mut rig = warm(Settings::default());
    open_path(&mut rig);
    rig.now = rig.gateway.site().poll_refresh_timeout(rig.now).unwrap();
    let refresh = rig.gateway.site().poll_refresh(rig.now).unwrap();
    let mut probe = Session::background(Arc::clone(&rig.gateway), refresh, rig.now);
    assert!(matches!(probe.poll_action(), Some(Action::Connect { .. })));
    probe.handle_input(Input::NoSocket, rig.now);
    drop(probe);
    assert!(rig.gateway.site().poll_refresh(rig.now).is_none());
    let again = rig.gateway.site().poll_refresh_timeout(rig.now).unwrap();
    assert!(again >= rig.now + Duration::from_millis(500));
    rig.now = again;
    assert!(rig.refresh().is_some());
}
