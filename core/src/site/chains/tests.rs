//! Tests of chains: who sees the copies of which moment. A copy is named by the second in which the
//! origin was asked for it.

use std::time::Duration;

use super::*;
use crate::rng::Rng;

fn at(secs: u64) -> Instant {
    Instant::from_epoch(Duration::from_secs(secs))
}

/// The seconds up to 60 of which a value sees the copies at a time, as one that asks does.
fn sees(chains: &Chains, mark: u64, now: u64) -> Vec<u64> {
    let Some(link) = chains.look(mark, at(now)) else {
        return Vec::new();
    };
    let is_cut = |at: Instant| {
        let mut cuts = link.cuts.iter();
        cuts.any(|(from, until)| *from <= at && at < *until)
    };
    let seconds = 1..=now;
    let sees =
        |second: &u64| link.until.is_none_or(|until| at(*second) < until) && !is_cut(at(*second));
    seconds.filter(sees).collect()
}

fn marks<const N: usize>() -> [u64; N] {
    let mut rng = Rng::new(7);
    [(); N].map(|()| rng.next())
}

/// A chain of a first value, opened at 1.
fn opened(first: u64) -> Chains {
    let chains = Chains::new();
    assert!(chains.is_empty());
    chains.open(first, at(1));
    chains
}

fn use_it(chains: &Chains, mark: u64, now: u64) -> Option<u64> {
    chains.enter(mark, at(now)).map(|link| link.chain)
}

#[test]
fn a_value_that_replaces_another_sees_what_that_was_sent() {
    let [one, two, three] = marks();
    let chains = opened(one);
    let number = use_it(&chains, one, 2);
    assert_eq!(chains.give(two, Some(one), true, at(3)), Given::Next);
    // Until its browser comes with it nobody knows whether it has it.
    assert_eq!(sees(&chains, one, 4), [1, 2, 3, 4]);
    assert!(chains.hold(&[one], at(4)));
    assert_eq!(use_it(&chains, two, 5), number);
    assert_eq!(sees(&chains, two, 6), [1, 2, 3, 4, 5, 6]);
    // The one before sees what it was sent itself, for a while, and makes no copy.
    assert_eq!(sees(&chains, one, 6), [1, 2, 3, 4]);
    assert!(!chains.hold(&[one], at(6)) && chains.hold(&[two], at(6)));
    assert_eq!(sees(&chains, one, 35), [1, 2, 3, 4]);
    assert_eq!(sees(&chains, one, 36), [0; 0]);
    // It may be replaced once more meanwhile.
    assert_eq!(chains.give(three, Some(two), true, at(7)), Given::Next);
    assert_eq!(
        chains.give(three, Some(two), true, at(7)),
        Given::Next,
        "within a second"
    );
    assert_eq!(use_it(&chains, three, 8), number);
}

#[test]
fn what_came_of_one_value_in_two_ways_is_never_shown_to_both() {
    // Somebody has planted the first value: both browsers have it.
    let [planted, theirs, mine, later] = marks();
    let chains = opened(planted);
    use_it(&chains, planted, 2);
    assert_eq!(chains.give(theirs, Some(planted), true, at(3)), Given::Next);
    assert_eq!(chains.give(mine, Some(planted), true, at(4)), Given::Next);
    let number = use_it(&chains, mine, 10);
    assert_eq!(sees(&chains, mine, 12), (1..=12).collect::<Vec<_>>());
    // The other one takes the line over, and sees what was before both.
    assert_eq!(use_it(&chains, theirs, 20), number);
    assert_eq!(
        sees(&chains, theirs, 22),
        [(1..=9), (21..=22)]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
    );
    // A value that was cut off is unknown, and has no part in what comes.
    assert_eq!(sees(&chains, mine, 22), [0; 0]);
    assert!(!chains.hold(&[mine], at(22)) && chains.hold(&[theirs], at(22)));
    assert_eq!(chains.give(later, Some(mine), true, at(23)), Given::First);
    // What was replaced while the other was in use sees no more than it did.
    assert_eq!(sees(&chains, planted, 25), (1..=9).collect::<Vec<_>>());
}

#[test]
fn a_branch_that_was_cut_off_stays_so_whatever_follows() {
    let all: [u64; 30] = marks();
    let chains = opened(all[0]);
    let mut line = all[0];
    // Each value has two successors, of which the first is used for a second.
    for (round, pair) in (0_u64..).zip(all[1..].chunks_exact(2)) {
        let now = 10 * round + 2;
        assert!(use_it(&chains, line, now).is_some());
        for next in pair {
            assert_eq!(
                chains.give(*next, Some(line), true, at(now + 1)),
                Given::Next
            );
        }
        assert!(use_it(&chains, pair[0], now + 3).is_some());
        assert!(use_it(&chains, pair[1], now + 5).is_some());
        assert!(sees(&chains, pair[0], now + 5).is_empty());
        line = pair[1];
        let seen = sees(&chains, line, now + 7);
        for before in 0..=round {
            let cut = 10 * before + 6;
            assert!(!seen.contains(&cut), "{round}: {cut} of {seen:?}");
        }
        // Little is lost beside it: of the last round what was before both.
        assert!(
            seen.contains(&(now + 2)) && seen.contains(&(now + 7)),
            "{round} {seen:?}"
        );
    }
}

#[test]
fn a_value_that_several_are_given_is_nobodys() {
    let [one, other, next] = marks();
    let chains = opened(one);
    use_it(&chains, one, 2);
    // w13: the same second; or `sid=deleted`.
    assert_eq!(chains.give(one, None, false, at(3)), Given::Several);
    assert!(use_it(&chains, one, 4).is_none() && chains.is_empty());
    // One that stands in the place of two visitors' values.
    chains.open(one, at(5));
    chains.open(other, at(5));
    assert_eq!(chains.give(next, Some(one), true, at(6)), Given::Next);
    assert_eq!(chains.give(next, Some(other), true, at(6)), Given::Several);
    assert!(chains.is_empty());
    // One that was in use before comes back.
    let chains = opened(one);
    assert_eq!(chains.give(next, Some(one), true, at(2)), Given::Next);
    use_it(&chains, next, 3);
    assert_eq!(chains.give(one, Some(next), true, at(4)), Given::Several);
    assert!(chains.is_empty());
}

#[test]
fn a_value_that_does_not_roll_ends_the_session_of_the_one_before() {
    let [one, two] = marks();
    let chains = opened(one);
    use_it(&chains, one, 2);
    assert_eq!(chains.give(two, Some(one), false, at(3)), Given::First);
    assert!(use_it(&chains, one, 4).is_none() && use_it(&chains, two, 4).is_none());
    chains.open(two, at(5));
    let number = use_it(&chains, two, 6);
    // A logout whose browser keeps the value: nothing of before is found any more.
    chains.end(two, at(7));
    let anew = use_it(&chains, two, 8);
    assert!(anew.is_some() && anew != number);
    assert!(chains.dissolve(two) && chains.is_empty());
}

#[test]
fn a_session_ends_half_an_hour_after_its_last_request() {
    let [one, two] = marks();
    let chains = opened(one);
    for minutes in [20, 40, 60, 90] {
        assert!(use_it(&chains, one, minutes * 60).is_some(), "{minutes}");
    }
    assert!(use_it(&chains, one, 90 * 60 + 1_801).is_none() && chains.is_empty());
    // However busy it is, its time in milliseconds has an end.
    let day = 24 * 60 * 60;
    chains.open(two, at(0));
    for half_hour in 1..41 * 48 {
        let is_there = use_it(&chains, two, half_hour * 1_800).is_some();
        assert_eq!(is_there, half_hour * 1_800 <= 40 * day, "{half_hour}");
        if !is_there {
            break;
        }
    }
}

#[test]
fn of_too_many_chains_those_go_that_no_browser_has_come_back_with() {
    let chains = Chains::new();
    let mut rng = Rng::new(3);
    let used: Vec<_> = (0..1_000).map(|_| rng.next()).collect();
    for mark in &used {
        chains.open(*mark, at(1));
        assert!(use_it(&chains, *mark, 1).is_some());
    }
    for _ in 0..CHAINS_MAX + 5_000 {
        chains.open(rng.next(), at(2));
    }
    assert_eq!(usize::try_from(chains.len()).unwrap(), CHAINS_MAX);
    let left = used
        .iter()
        .filter(|mark| use_it(&chains, **mark, 3).is_some())
        .count();
    assert!(left > 980, "{left}");
    // What they take is bounded, with their index.
    let table = chains.table();
    let slots = table.chains.capacity() * (size_of::<Chain>() + size_of::<usize>());
    let index = table.by_mark.allocation_size();
    assert!(slots + index <= 16 << 20, "{slots} and {index}");
}

#[test]
fn of_too_many_values_the_chain_stays_that_grows() {
    let chains = Chains::new();
    let mut rng = Rng::new(4);
    for _ in 0..60_000 {
        let first = rng.next();
        chains.open(first, at(1));
        let next: Vec<_> = (0..5).map(|_| rng.next()).collect();
        for next in &next {
            assert_eq!(chains.give(*next, Some(first), true, at(1)), Given::Next);
        }
        assert!(use_it(&chains, next[4], 1).is_some());
    }
    let table = chains.table();
    assert!(table.by_mark.len() <= CHAIN_VALUES_MAX);
    let known: usize = table
        .chains
        .iter()
        .map(|(_, chain)| chain.marks().len())
        .sum();
    assert_eq!(known, table.by_mark.len());
    assert!(table.by_mark.allocation_size() <= (9 << 19) + 64);
}

#[test]
fn whatever_happens_nobody_sees_what_was_sent_to_another_branch() {
    for seed in 0..400 {
        check_tree(seed);
    }
}

/// Lets values come of values at random, and holds what each sees against the tree of their origins.
fn check_tree(seed: u64) {
    let mut rng = Rng::new(seed);
    let mut below = |bound: usize| usize::try_from(rng.next() % bound as u64).unwrap();
    let chains = opened(1 << 40);
    // Of each value: the one that it comes from.
    let mut parents: Vec<Option<usize>> = vec![None];
    let mark = |value: usize| (value as u64 + 1) << 40;
    // The value that the origin was asked with, by the second.
    let mut asked: Vec<(u64, usize)> = Vec::new();
    let comes_from = |parents: &[Option<usize>], value: usize, other: usize| {
        let mut at = Some(value);
        while let Some(value) = at {
            if value == other {
                return true;
            }
            at = parents[value];
        }
        false
    };
    for step in 0..60 {
        let now = 2 + step;
        let value = parents.len() - 1 - below(parents.len().min(8));
        match below(3) {
            0 => {
                let next = parents.len();
                if chains.give(mark(next), Some(mark(value)), true, at(now)) == Given::Next {
                    parents.push(Some(value));
                } else {
                    // It would be opened as a chain of its own.
                    return;
                }
            }
            _ => {
                let Some(link) = chains.enter(mark(value), at(now)) else {
                    continue;
                };
                let _ = link;
                for &(second, of) in &asked {
                    let is_seen = sees(&chains, mark(value), now).contains(&second);
                    let may = comes_from(&parents, value, of);
                    assert!(
                        !is_seen || may,
                        "seed {seed}: {value} sees {second} of {of}"
                    );
                }
                if chains.hold(&[mark(value)], at(now)) {
                    asked.push((now, value));
                }
            }
        }
    }
}
