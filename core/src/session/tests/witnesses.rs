//! Whose failures take which page from whom: cases a1 to a4, and what is near them.

use std::time::Duration;

use super::rig::{PAGE, Rig, body, get, status};
use crate::breaker::State;
use crate::config::Settings;

const FAILS: &str = "HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno";
const MILLISECOND: Duration = Duration::from_millis(1);

/// A site with visitors of many networks. Nothing is kept, so that nothing is rescued.
fn site() -> Rig {
    let mut settings = Settings::default();
    settings.site.cache.object_bytes_max = 1;
    Rig::with(settings)
}

/// A visitor of this network asks for this, and is answered so where the origin gets it; the status.
fn ask(rig: &mut Rig, network: u8, target: &str, answer: &str) -> u16 {
    rig.now = rig.now + MILLISECOND;
    let mut visitor = rig.of_network(network);
    visitor.send(&get(target, ""));
    if !visitor.asked().is_empty() {
        visitor.reply(answer);
    }
    status(&visitor.received())
}

/// How many of these visitors are not answered with the page.
fn refused(rig: &mut Rig, networks: std::ops::Range<u8>, targets: &[&str]) -> usize {
    let mut refused = 0;
    for network in networks {
        for target in targets {
            refused += usize::from(ask(rig, network, target, PAGE) != 200);
        }
    }
    refused
}

/// Case a1: an honest crowd on many pages, and one whose requests are slow. Where nobody knows how long
/// their pages take, and others are answered meanwhile, they only wait.
#[test]
fn one_visitors_slow_requests_take_the_site_from_nobody() {
    for (network, is_known) in [(200, true), (1, true), (200, false), (1, false)] {
        let mut rig = site();
        assert_eq!(refused(&mut rig, 1..9, &["/", "/a", "/b"]), 0);
        if is_known {
            assert_eq!(refused(&mut rig, 1..9, &["/x", "/y", "/z"]), 0);
        }
        let mut slow: Vec<Rig> = ["/x", "/y", "/z", "/x", "/y", "/z"]
            .into_iter()
            .map(|target| {
                let mut visitor = rig.of_network(network);
                visitor.send(&get(target, ""));
                visitor
            })
            .collect();
        for _ in 0..50 {
            rig.now = rig.now + MILLISECOND * 20;
            // Others of its own network may have to wait: it has its share.
            assert_eq!(refused(&mut rig, 2..4, &["/"]), 0);
        }
        for visitor in &mut slow {
            visitor.wait(Duration::from_millis(1_100));
        }
        rig.now = slow[0].now;
        let slow_calls = rig.gateway.site().stats(rig.now).slow_calls;
        assert_eq!(slow_calls, if is_known { 6 } else { 0 });
        assert_eq!(refused(&mut rig, 1..9, &["/", "/a", "/b", "/c"]), 0);
        for visitor in &mut slow {
            visitor.reply(PAGE);
            assert_eq!(status(&visitor.received()), 200);
        }
        assert_eq!(refused(&mut rig, 1..9, &["/", "/a", "/x"]), 0);
    }
}

/// What hangs for everybody is found all the same.
#[test]
fn an_origin_that_hangs_for_several_is_left_alone() {
    let mut rig = site();
    assert_eq!(refused(&mut rig, 1..9, &["/", "/a", "/b"]), 0);
    rig.now = rig.now + MILLISECOND;
    let mut hung: Vec<Rig> = (1..7)
        .map(|network| {
            let mut visitor = rig.of_network(network);
            visitor.send(&get(["/", "/a", "/b"][usize::from(network) % 3], ""));
            visitor
        })
        .collect();
    for visitor in &mut hung {
        visitor.wait(Duration::from_millis(1_100));
    }
    assert_eq!(rig.gateway.site().circuit(hung[0].now), State::Open);
}

/// Case a2: one visitor makes one page of a front controller fail, in each way in which it can be
/// written.
#[test]
fn one_visitors_failures_take_a_page_from_nobody_else() {
    let booms: [fn(u8) -> String; 4] = [
        |number| format!("/index.php?boom={number}"),
        |_| "/index.php?boom".to_owned(),
        |_| "/index.php".to_owned(),
        |number| ["/index.php", "//index.php", "/./index.php"][usize::from(number) % 3].to_owned(),
    ];
    for boom in booms {
        let mut rig = site();
        let pages = ["/index.php?p=1", "/index.php?p=2", "/index.php?p=3"];
        assert_eq!(refused(&mut rig, 1..4, &pages), 0);
        for round in 0..20 {
            for number in 0..6 {
                ask(&mut rig, 200, &boom(number), FAILS);
            }
            let unseen = format!("/index.php?p={}", round + 10);
            assert_eq!(refused(&mut rig, 1..4, &[pages[0], &unseen]), 0, "{round}");
        }
        // A first-time visitor is not refused on the word of another.
        assert_eq!(refused(&mut rig, 100..101, &pages), 0);
    }
}

/// The same where all come from one network, as behind a proxy that tells of nobody.
#[test]
fn what_has_succeeded_lately_passes_while_the_rest_is_refused() {
    let mut rig = site();
    let pages = ["/index.php?p=1", "/index.php?p=2", "/index.php?p=3"];
    assert_eq!(refused(&mut rig, 1..2, &pages), 0);
    let booms = (0..20).map(|number| {
        let boom = format!("/index.php?boom={number}");
        ask(&mut rig, 1, &boom, FAILS)
    });
    let answers: Vec<u16> = booms.collect();
    assert_eq!((answers[0], answers[19]), (500, 503));
    assert_eq!(rig.gateway.site().stats(rig.now).paths_open, 1);
    assert_eq!(refused(&mut rig, 1..2, &pages), 0);
}

/// Where one path is the whole site, its pages fail one by one.
#[test]
fn pages_of_a_front_controller_have_circuits_of_their_own() {
    let mut rig = site();
    for page in 0..40 {
        assert_eq!(ask(&mut rig, 1, &format!("/?p={page}"), PAGE), 200);
    }
    rig.now = rig.now + Duration::from_secs(11);
    let answers: Vec<u16> = (0..8)
        .map(|_| ask(&mut rig, 1, "/?p=7&x=1", FAILS))
        .collect();
    assert_eq!((answers[4], answers[5]), (500, 503));
    let mut visitor = rig.of_network(1);
    visitor.send(&get("/?p=7&x=1", ""));
    assert!(visitor.received().contains("this page fails"));
    for page in 0..9 {
        assert_eq!(ask(&mut rig, 1, &format!("/?p={page}"), PAGE), 200);
    }
}

/// A page that fails for all is found to, by several and by one whom nobody contradicts.
#[test]
fn a_page_that_fails_for_everybody_is_left_alone() {
    for networks in [1..2, 1..3, 1..6] {
        let mut rig = site();
        assert_eq!(refused(&mut rig, 1..6, &["/", "/broken"]), 0);
        rig.now = rig.now + Duration::from_secs(20);
        let answers: Vec<u16> = networks
            .clone()
            .cycle()
            .take(12)
            .map(|network| ask(&mut rig, network, "/broken", FAILS))
            .collect();
        assert_eq!(answers[0], 500);
        assert_eq!(answers[11], 503, "{networks:?}");
        assert_eq!(refused(&mut rig, 1..6, &["/", "/other"]), 0);
    }
}

/// Case a3: an application that fails on HEAD alone; and where its page fails, its head does.
#[test]
fn a_head_that_fails_takes_no_page_with_it() {
    let mut rig = site();
    let head = |rig: &mut Rig, answer: &str| {
        let mut visitor = rig.of_network(7);
        visitor.send(&get("/", "").replace("GET", "HEAD"));
        if !visitor.asked().is_empty() {
            visitor.reply(answer);
        }
        status(&visitor.received())
    };
    let fails = "HTTP/1.1 500 No\r\n\r\n";
    let answers: Vec<u16> = (0..7).map(|_| head(&mut rig, fails)).collect();
    assert_eq!(answers, [500, 500, 500, 500, 500, 503, 503]);
    assert_eq!(refused(&mut rig, 7..8, &["/"]), 0);
    let mut rig = site();
    for _ in 0..5 {
        ask(&mut rig, 7, "/", FAILS);
    }
    assert_eq!(head(&mut rig, "HTTP/1.1 200 OK\r\n\r\n"), 503);
}

/// Case a4: somebody is turned away everywhere, as by a firewall of the application.
#[test]
fn one_visitor_who_is_turned_away_everywhere_harms_nobody() {
    let turned = "HTTP/1.1 503 Busy\r\nRetry-After: 600\r\nContent-Length: 2\r\n\r\nno";
    let mut rig = site();
    for round in 0..30 {
        for page in ["/", "/a", "/b", "/c"] {
            ask(&mut rig, 200, page, turned);
        }
        assert_eq!(refused(&mut rig, 1..4, &["/", "/a"]), 0, "{round}");
        rig.now = rig.now + Duration::from_millis(400);
    }
    // Nor at night, when nobody has contradicted for long: whoever comes may see for himself.
    rig.now = rig.now + Duration::from_secs(60);
    for _ in 0..10 {
        for page in ["/", "/a", "/b", "/c"] {
            ask(&mut rig, 200, page, turned);
        }
    }
    let mut first = rig.of_network(1);
    first.send(&get("/", ""));
    assert!(!first.asked().is_empty());
    first.reply(PAGE);
    assert_eq!(body(&first.received()), "good");
    assert_eq!(refused(&mut rig, 1..4, &["/", "/a", "/b"]), 0);
}

/// New sessions of one network are no witnesses where there are others.
#[test]
fn sessions_are_free_to_make() {
    let mut rig = site();
    assert_eq!(refused(&mut rig, 1..4, &["/"]), 0);
    for session in 0..40 {
        let mut visitor = rig.of_network(200);
        let cookie = format!("Cookie: PHPSESSID={session}aaaaaaaaaaaaaaaaaaaaaa\r\n");
        visitor.send(&get("/", &cookie));
        if !visitor.asked().is_empty() {
            visitor.reply(FAILS);
        }
        visitor.received();
    }
    assert_eq!(refused(&mut rig, 1..4, &["/"]), 0);
    assert_eq!(rig.gateway.site().stats(rig.now).paths_open, 0);
}

/// Behind a proxy that is not declared they are: one user's own page is not all users'.
#[test]
fn where_one_network_brings_everybody_sessions_are_the_witnesses() {
    let rig = site();
    let ask = |session: &str, answer: &str| {
        let mut visitor = rig.of_network(9);
        let cookie = format!("X-Forwarded-For: 192.0.2.1\r\nCookie: PHPSESSID={session}\r\n");
        visitor.send(&get("/account", &cookie));
        if !visitor.asked().is_empty() {
            visitor.reply(answer);
        }
        status(&visitor.received())
    };
    assert_eq!(ask("bob", PAGE), 200);
    for _ in 0..20 {
        assert_eq!(ask("ann", FAILS), 500);
    }
    assert_eq!(ask("bob", PAGE), 200);
    let answers: Vec<u16> = ["ann", "bob"]
        .into_iter()
        .cycle()
        .take(12)
        .map(|session| ask(session, FAILS))
        .collect();
    assert_eq!(answers[11], 503, "it fails for both: {answers:?}");
}

/// This number of visitors ask at once, each for a page of its own, and all are answered so; how many were
/// let through to the origin.
fn rush(rig: &mut Rig, visitors: std::ops::Range<u8>, answer: &str) -> usize {
    rig.now = rig.now + MILLISECOND;
    let mut crowd: Vec<Rig> = visitors
        .map(|number| {
            let mut visitor = rig.of_network(number);
            visitor.send(&get(&format!("/{}", number % 9), ""));
            visitor
        })
        .collect();
    let mut passed = 0;
    for visitor in &mut crowd {
        if !visitor.asked().is_empty() {
            visitor.reply(answer);
            passed += 1;
        }
        visitor.received();
    }
    passed
}

/// An application that fails for as long as it has too many requests at a time.
#[test]
fn failures_of_many_at_a_time_lower_the_limit_and_open_no_circuit() {
    let mut rig = site();
    let stats = |rig: &Rig| rig.gateway.site().stats(rig.now);
    let before = stats(&rig).admission.limit;
    let mut passed = usize::MAX;
    for _ in 0..100 {
        passed = rush(&mut rig, 0..8, FAILS);
        if passed <= 2 {
            break;
        }
        let stats = stats(&rig);
        assert_eq!((stats.circuit, stats.paths_open), (State::Closed, 0));
    }
    assert!(passed <= 2, "{passed} pass");
    assert!(stats(&rig).admission.limit < before);
    // What fails on so few as well has failed by itself.
    for visitor in 0..40 {
        rush(&mut rig, visitor..visitor + 2, FAILS);
    }
    assert_eq!(stats(&rig).circuit, State::Open);
    // Back, it begins with as many as before, not with as many as are left.
    rig.now = rig.now + Duration::from_secs(5);
    for page in ["/", "/a", "/b", "/c"] {
        ask(&mut rig, 1, page, PAGE);
    }
    assert_eq!(stats(&rig).circuit, State::Closed);
    assert_eq!(stats(&rig).admission.limit, before);
}

/// One page fails under load, and all others are well.
#[test]
fn a_page_that_fails_among_many_that_do_not_opens_its_circuit() {
    let mut rig = site();
    let mut crowd: Vec<Rig> = Vec::new();
    for round in 0..4 {
        rig.now = rig.now + MILLISECOND;
        for number in 0..8 {
            let mut visitor = rig.of_network(number);
            let page = if number < 2 {
                "/broken".to_owned()
            } else {
                format!("/{round}{number}")
            };
            visitor.send(&get(&page, ""));
            crowd.push(visitor);
        }
        for (number, visitor) in crowd.drain(..).enumerate() {
            let mut visitor = visitor;
            if !visitor.asked().is_empty() {
                visitor.reply(if number < 2 { FAILS } else { PAGE });
            }
        }
    }
    let stats = rig.gateway.site().stats(rig.now);
    assert_eq!((stats.circuit, stats.paths_open), (State::Closed, 1));
}
