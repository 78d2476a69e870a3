//! Tests of probes, news, and of the way back.

use super::*;

#[test]
fn a_path_that_refuses_gives_the_probe_of_the_origin_back() {
    let one_probe = BreakerSettings {
        origin_probes: 1,
        ..settings()
    };
    check(
        &one_probe,
        "/a:F*5 +2 /a:F /b:C*5 +2 /a:S /b:S",
        &[
            "/a OPEN: 5 failures in a row",
            "/a HALF-OPEN: open for 2.0 s, probing",
            "/a OPEN: probe failed, next probe in 4.0 s",
            "origin OPEN: 5 connect failures in a row",
            "origin HALF-OPEN: open for 2.0 s, probing",
            "path refuses for 2",
            "origin CLOSED: the probe succeeded",
            "/a HALF-OPEN: open for 2.0 s, the application is back, probing",
        ],
    );
}

#[test]
fn any_success_is_news() {
    let open = "origin OPEN: 5 connect failures in a row";
    let probing = "origin HALF-OPEN: open for 1.0 s, a request was answered, probing";
    // That of a write is one of the origin, and says nothing of a page.
    check(
        &settings(),
        "/a:F*5 /b:C*5 +1 !/a:S /a:S /b:S",
        &[
            "/a OPEN: 5 failures in a row",
            open,
            probing,
            "path refuses for 1",
        ],
    );
    // A failure is none, and what leads nowhere is not believed again until its time has passed.
    check(
        &settings(),
        "/b:C*5 +1 !/a:F !/a:S /b:F !/a:S /c:S +2 /b:C !/a:S",
        &[
            open,
            probing,
            "origin OPEN: probe failed, next probe in 2.0 s",
            "origin refuses for 2",
            "origin HALF-OPEN: open for 2.0 s, probing",
            "origin OPEN: probe failed, next probe in 2.0 s",
            "origin HALF-OPEN: open for 0.0 s, a request was answered, probing",
        ],
    );
}

#[test]
fn with_the_origin_its_pages_are_back() {
    let pages = "/a:F*5 /b:F*5";
    check(
        &settings(),
        &format!("{pages} /c:C*5 +1 =connected /a:S /b:F /c:S /c:S"),
        &[
            "/a OPEN: 5 failures in a row",
            "/b OPEN: 5 failures in a row",
            "origin OPEN: 5 connect failures in a row",
            "origin HALF-OPEN: open for 1.0 s, it takes connections again, probing",
            "/a HALF-OPEN: open for 1.0 s, the application is back, probing",
            "/b HALF-OPEN: open for 1.0 s, the application is back, probing",
            "/a CLOSED: the probe succeeded",
            "/b OPEN: probe failed, next probe in 4.0 s",
            "origin CLOSED: 3 probes succeeded",
            "/b HALF-OPEN: open for 0.0 s, the application is back, probing",
        ],
    );
    // While it takes none, and somebody goes on trying, no request finds out.
    let mut tiers = Tiers::new(&settings(), 1, Instant::ZERO);
    play(&mut tiers, "/a:C*5");
    tiers.unreached(at(9));
    assert_eq!(tiers.origin_state(at(8)), State::Open);
    tiers.unreached(at(3));
    assert_eq!(tiers.retry_at(Target::get(b"/a"), at(8)), Some(at(9)));
    assert_eq!(tiers.origin_state(at(9)), State::HalfOpen, "never wedged");
}

#[test]
fn each_change_is_counted_and_each_probe_known() {
    let mut tiers = Tiers::new(&settings(), 1, Instant::ZERO);
    let told = |tiers: &Tiers| (tiers.changes(), tiers.is_origin_closed(), tiers.is_calm());
    let is_probe = |tiers: &mut Tiers, path: &[u8], now| {
        let permit = tiers
            .try_acquire(Target::get(path), SOMEBODY, at(now))
            .unwrap();
        permit.is_probe()
    };
    assert!(
        !is_probe(&mut tiers, b"/a", 0)
            && !tiers.pass(Target::get(b"/a"), SOMEBODY, at(0)).is_probe()
    );
    assert_eq!(told(&tiers), (0, true, true));
    play(&mut tiers, "/a:F*5");
    assert_eq!(told(&tiers), (1, true, false));
    play(&mut tiers, "/b:C*5");
    assert_eq!(told(&tiers), (2, false, false));
    assert!(is_probe(&mut tiers, b"/b", 2), "of the origin");
    assert_eq!(told(&tiers), (3, false, false), "the origin is half-open");
    assert!(!tiers.pass(Target::get(b"/b"), SOMEBODY, at(0)).is_probe());
    play(&mut tiers, "+17 /b:S*3");
    assert_eq!(told(&tiers), (5, true, false), "and its pages are too");
    assert!(is_probe(&mut tiers, b"/a", 17), "of its path");
    assert!(!is_probe(&mut tiers, b"/b", 17));
}

#[test]
fn an_answer_holds_the_circuit_that_it_opens() {
    let mut tiers = Tiers::new(&settings(), 1, Instant::ZERO);
    play(&mut tiers, "/a:F*4 /b:C*4");
    let fail = |tiers: &mut Tiers, mut permit: TierPermit, outcome| {
        permit.hold(at(30));
        tiers.record(permit, outcome, at(0));
    };
    let permit = tiers
        .try_acquire(Target::get(b"/a"), SOMEBODY, at(0))
        .unwrap();
    fail(&mut tiers, permit, Outcome::Failure);
    assert_eq!(
        tiers.retry_at(Target::get(b"/a"), at(0)),
        Some(at(4)),
        "it is advice"
    );
    assert_eq!(
        tiers.retry_at(Target::get(b"/b"), at(0)),
        None,
        "the origin is as it was"
    );
    play(&mut tiers, "/b:C*5");
    assert!(
        tiers.retry_at(Target::get(b"/b"), at(0)) < Some(at(4)),
        "and opens as ever"
    );
    // What goes in any case holds no circuit that is open.
    let permit = tiers.pass(Target::get(b"/c"), SOMEBODY, at(0));
    fail(&mut tiers, permit, Outcome::Failure);
    assert!(tiers.retry_at(Target::get(b"/b"), at(0)) < Some(at(4)));
    // Nor one that it opens.
    let mut tiers = Tiers::new(&settings(), 1, Instant::ZERO);
    play(&mut tiers, "/b:C*4");
    let permit = tiers.pass(Target::get(b"/c"), SOMEBODY, at(0));
    fail(&mut tiers, permit, Outcome::ConnectFailure);
    assert_eq!(tiers.origin_state(at(0)), State::Open);
    assert!(tiers.retry_at(Target::get(b"/b"), at(0)) < Some(at(4)));
}

#[test]
fn a_broken_page_keeps_no_origin_open() {
    let [opened, probing] = [
        "/a OPEN: 5 failures in a row",
        "/a HALF-OPEN: open for 2.0 s, probing",
    ];
    let origin = [
        "origin OPEN: 5 connect failures in a row",
        "origin HALF-OPEN: open for 2.0 s, probing",
    ];
    let again = "/a OPEN: probe failed, next probe in 4.0 s";
    let closed = "origin CLOSED: 3 probes succeeded";
    let back = "/a HALF-OPEN: open for 0.0 s, the application is back, probing";
    check(
        &settings(),
        "/a:F*5 /b:C*5 +2 /a:F /b:S*3",
        &[opened, origin[0], origin[1], probing, again, closed, back],
    );
    // What it says for the first time counts, and so does that nobody listens, or that it is well.
    let reopened = "origin OPEN: probe failed, next probe in 2.0 s";
    check(
        &settings(),
        "/b:C*5 +2 /a:F",
        &[origin[0], origin[1], reopened],
    );
    check(
        &settings(),
        "/a:F*5 /b:C*5 +2 /a:C",
        &[opened, origin[0], origin[1], probing, reopened],
    );
    check(
        &settings(),
        "/a:F*5 /b:C*5 +2 /a:S*3",
        &[
            opened,
            origin[0],
            origin[1],
            probing,
            "/a CLOSED: the probe succeeded",
            closed,
        ],
    );
}
