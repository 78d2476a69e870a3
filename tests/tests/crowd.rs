//! Owns the proof that no visitor takes an application away from the others: crawlers, loops of writes,
//! exports and long polls beside honest visitors, before applications that are limited by different
//! things.
//! Never uses a socket or a clock: a run is its seed.

use std::time::Duration;

use retter_tests::crowd::{Application, Group, Habit, Outcomes, Run, Sessions, run};
use retter_tests::seeds::{print, variable};

/// So many honest visitors, each of a network of its own.
fn honest(size: u32) -> Group {
    Group {
        size,
        networks: size,
        addresses: 1,
        sessions: Sessions::None,
        from: Duration::ZERO,
        habit: Habit::Honest,
    }
}

fn of(habit: Habit, size: u32, networks: u32) -> Group {
    Group {
        size,
        networks,
        addresses: 1,
        sessions: Sessions::None,
        from: Duration::from_secs(5),
        habit,
    }
}

fn go(application: Application, groups: Vec<Group>, seed: u64) -> Outcomes {
    run(Run {
        application,
        groups,
        length: Duration::from_secs(150),
        counts_from: Duration::from_secs(60),
        has_circuits: false,
        copies: None,
        fails_from: None,
        seed,
    })
}

/// Honest visitors get this share of their pages, whatever the others do, and the others get this many
/// answers a second.
#[track_caller]
fn check(name: &str, honest: Group, other: Group, least: impl Fn(Application) -> (f64, f64)) {
    let mut failures = Vec::new();
    for application in Application::ALL {
        for seed in 0..seeds() {
            let outcomes = go(application, vec![honest, other], seed);
            let [ours, others] = &outcomes.groups[..] else {
                panic!("there are two groups");
            };
            #[expect(clippy::cast_precision_loss, reason = "some thousands")]
            let rate = others.good as f64 / 90.0;
            let (part, p95) = (ours.part() * 100.0, ours.within(95));
            let line = format!(
                "{name}, {application:?}, seed {seed}: {part:.1} % of {} honest pages good, p95 \
                 {p95:?}; the others {rate:.1} a second; {} beyond the limit",
                ours.asked, outcomes.beyond
            );
            print(&line);
            let (part_min, rate_min) = least(application);
            if part < part_min || rate < rate_min || p95 > Duration::from_secs(1) {
                failures.push(line);
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn a_crawler_gets_what_the_others_leave() {
    let crawler = of(Habit::Crawl, 64, 1);
    check("crawler", honest(70), crawler, |_| (99.0, 5.0));
}

#[test]
fn a_crawler_of_many_networks_gets_their_shares() {
    let crawlers = of(Habit::Crawl, 64, 64);
    check("crawlers", honest(70), crawlers, |application| {
        match application == Application::Blocking {
            true => (80.0, 5.0),
            false => (95.0, 5.0),
        }
    });
}

#[test]
fn loops_of_writes_starve_nobody() {
    check("posts", honest(70), of(Habit::Post, 24, 1), |_| (99.0, 5.0));
}

#[test]
fn long_polls_are_no_work() {
    let polls = of(Habit::Poll, 200, 200);
    check(
        "polls",
        honest(40),
        polls,
        |application| match application {
            // Each counts there as one that works.
            Application::Refusing => (98.0, 0.5),
            // Each keeps a worker.
            Application::Workers => (98.0, 0.05),
            Application::Blocking => (99.0, 0.05),
            // Each slows all others down.
            Application::Thrashing => (99.0, 0.2),
            Application::Database | Application::Shared => (99.0, 5.0),
        },
    );
}

#[test]
fn long_polls_of_one_network_are_no_work_either() {
    let polls = of(Habit::Poll, 200, 1);
    check("polls of one", honest(40), polls, |_| (98.0, 0.05));
}

#[test]
fn the_same_seed_is_the_same_run() {
    let once = || {
        let polls = of(Habit::Poll, 50, 5);
        let outcomes = go(Application::Thrashing, vec![honest(40), polls], 7);
        format!("{outcomes:?}")
    };
    assert_eq!(once(), once());
}

/// Of each case; `RETTER_CROWD_SEEDS=20` runs more.
fn seeds() -> u64 {
    variable("RETTER_CROWD_SEEDS").unwrap_or(1)
}
