//! Owns the proof that nobody buys more of an application than the shares of the networks they come from:
//! attackers of every shape, of one network or many, beside honest visitors who want little or more than
//! there is.
//! Never uses a socket or a clock: a run is its seed.

use std::fmt::Write;
use std::time::Duration;

use retter_core::rng::Rng;
use retter_tests::crowd::{Application, Group, Habit, Outcome, Outcomes, Run, Sessions, run};
use retter_tests::seeds::{print, variable};

/// Runs by default. `RETTER_ATTACKER_SEEDS=200` runs more, `RETTER_ATTACKER_SEED=17` one alone.
const SEEDS: u64 = 24;

/// The part of their pages that a quiet site's visitors get at the least, and with many networks against
/// them. One thread that some pages block makes everybody late.
const QUIET_MIN: f64 = 0.97;
const QUIET_MANY_MIN: f64 = 0.95;
const QUIET_MANY_BLOCKING_MIN: f64 = 0.8;

/// The same where requests take seconds of work and slow down what is done beside them: they look as if
/// they only waited, and those that have begun go on.
const QUIET_HEAVY_MIN: f64 = 0.4;

/// Honest visitors who get this part of what they want have enough.
const CONTENT: f64 = 0.98;

/// Parts that shares may be missed by, as answers are counted and not their cost.
const TOLERANCE: f64 = 1.3;

const ATTACKS: [Habit; 8] = [
    Habit::Crawl,
    Habit::Evict,
    Habit::Export,
    Habit::Fail,
    Habit::Poll,
    Habit::Post,
    Habit::Slow,
    Habit::Variants,
];

/// A crowd as its seed says: honest visitors first, attackers behind them.
fn by_seed(seed: u64) -> Run {
    let mut rng = Rng::new(seed);
    let mut below = |count: u64| u32::try_from(rng.next() % count).expect("it is small");
    let application = Application::ALL[below(6) as usize];
    let honest = Group {
        size: 40 + below(31),
        networks: 0,
        addresses: 1,
        sessions: [Sessions::None, Sessions::Kept][below(2) as usize],
        from: Duration::ZERO,
        habit: [Habit::Honest, Habit::Eager][below(2) as usize],
    };
    let mut groups = vec![Group {
        networks: honest.size,
        ..honest
    }];
    for _ in 0..=below(2) {
        let size = 8 + below(93);
        let (networks, addresses) = match below(3) {
            0 => (1, 1),
            1 => (1, size),
            _ => (1 + below(size.into()), 1),
        };
        groups.push(Group {
            size,
            networks,
            addresses,
            sessions: [Sessions::None, Sessions::Kept, Sessions::New][below(3) as usize],
            from: Duration::from_secs(5),
            habit: ATTACKS[below(8) as usize],
        });
    }
    Run {
        application,
        groups,
        length: Duration::from_secs(120),
        counts_from: Duration::from_secs(60),
        has_circuits: true,
        copies: None,
        fails_from: None,
        seed,
    }
}

/// What is wrong with what came of a run.
fn faults(run: &Run, outcomes: &Outcomes) -> Vec<String> {
    let mut faults = outcomes.violations.clone();
    let (honest, attackers) = (run.groups[0], &run.groups[1..]);
    let (ours, theirs) = (&outcomes.groups[0], &outcomes.groups[1..]);
    if honest.habit == Habit::Honest {
        let least = least(run.application, attackers);
        if ours.part() < least {
            faults.push(format!(
                "honest visitors get {:.3} of their pages",
                ours.part()
            ));
        }
    } else {
        let mean = good(ours) / f64::from(honest.size);
        // A request that waits inside costs nothing, and takes nothing from anybody.
        let works = |group: &Group| group.habit != Habit::Poll;
        let shared = theirs
            .iter()
            .zip(attackers)
            .filter(|(_, group)| works(group));
        let made = |outcome: &Outcome| number(outcome.made);
        let all = made(ours)
            + shared
                .clone()
                .map(|(outcome, _)| made(outcome))
                .sum::<f64>();
        for (outcome, group) in shared {
            let each = made(outcome) / f64::from(group.networks);
            let is_much = each > mean * TOLERANCE && each > all * 0.1;
            if ours.part() < CONTENT && is_much {
                faults.push(format!(
                    "a network of {:?} gets {each:.0}, an honest one {mean:.0}",
                    group.habit
                ));
            }
        }
        let least = (0..honest.size as usize).map(|one| ours.each.get(&one).copied());
        let least = least.min().flatten().unwrap_or(0);
        if number(least) < mean / 4.0 {
            faults.push(format!(
                "one gets {least} answers, on average it is {mean:.0}"
            ));
        }
    }
    faults
}

fn least(application: Application, attackers: &[Group]) -> f64 {
    /// More networks than these are many.
    const FEW: u32 = 8;
    let many = attackers.iter().map(|group| group.networks).sum::<u32>() > FEW;
    let is_heavy = |group: &Group| matches!(group.habit, Habit::Export | Habit::Slow);
    let is_shared = !matches!(application, Application::Database | Application::Workers);
    match (many, application) {
        _ if is_shared && attackers.iter().any(is_heavy) => QUIET_HEAVY_MIN,
        (true, Application::Blocking) => QUIET_MANY_BLOCKING_MIN,
        (true, _) => QUIET_MANY_MIN,
        (false, _) => QUIET_MIN,
    }
}

fn good(outcome: &Outcome) -> f64 {
    number(outcome.good)
}

#[expect(clippy::cast_precision_loss, reason = "some thousands")]
fn number(count: u64) -> f64 {
    count as f64
}

fn line(run: &Run, outcomes: &Outcomes) -> String {
    let mut line = format!("seed {}, {:?}", run.seed, run.application);
    for (group, outcome) in run.groups.iter().zip(&outcomes.groups) {
        let _ = write!(
            line,
            "; {} {:?} of {} networks ({} addresses, {:?}): {:.1} %, {:.1}/s, p95 {} ms",
            group.size,
            group.habit,
            group.networks,
            group.addresses,
            group.sessions,
            outcome.part() * 100.0,
            good(outcome) / 60.0,
            outcome.within(95).as_millis(),
        );
    }
    line
}

#[test]
fn nobody_gets_more_than_the_shares_of_their_networks() {
    let seeds: Vec<u64> = match variable("RETTER_ATTACKER_SEED") {
        Some(seed) => vec![seed],
        None => (0..variable("RETTER_ATTACKER_SEEDS").unwrap_or(SEEDS)).collect(),
    };
    let mut failures = String::new();
    for seed in seeds {
        let crowd = by_seed(seed);
        let outcomes = run(crowd.clone());
        let line = line(&crowd, &outcomes);
        print(&line);
        for fault in faults(&crowd, &outcomes) {
            print(&format!("    {fault}"));
            let _ = writeln!(failures, "{line}\n    {fault}");
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

/// Lets attackers come beside the honest visitors of a seed, who want little.
fn beside_a_quiet_site((seed, application): (u64, Application), attackers: Group) -> Outcomes {
    let mut crowd = by_seed(seed);
    crowd.application = application;
    crowd.groups.truncate(1);
    crowd.groups[0].habit = Habit::Honest;
    crowd.groups.push(attackers);
    let outcomes = run(crowd.clone());
    print(&line(&crowd, &outcomes));
    outcomes
}

#[test]
fn new_sessions_buy_nothing() {
    for (seed, application) in (0..).zip(Application::ALL) {
        let made = [Sessions::None, Sessions::New].map(|sessions| {
            let outcomes = beside_a_quiet_site(
                (seed, application),
                Group {
                    size: 64,
                    networks: 1,
                    addresses: 64,
                    sessions,
                    from: Duration::from_secs(5),
                    habit: Habit::Crawl,
                },
            );
            assert!(outcomes.groups[0].part() >= QUIET_MIN);
            number(outcomes.groups[1].made)
        });
        assert!(made[1] <= made[0] * 1.1, "{application:?}: {made:?}");
    }
}

#[test]
fn pages_under_made_up_names_buy_no_more_than_others() {
    for (seed, application) in (0..).zip(Application::ALL) {
        for networks in [1, 20] {
            let outcomes = beside_a_quiet_site(
                (seed, application),
                Group {
                    size: 20,
                    networks,
                    addresses: 1,
                    sessions: Sessions::None,
                    from: Duration::from_secs(5),
                    habit: Habit::Names,
                },
            );
            let least = match (networks, application) {
                (1, Application::Blocking) => QUIET_MANY_BLOCKING_MIN,
                (1, _) => QUIET_MIN,
                _ => QUIET_HEAVY_MIN,
            };
            assert!(outcomes.groups[0].part() >= least);
        }
    }
}
