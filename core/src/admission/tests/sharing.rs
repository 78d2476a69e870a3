//! Who follows whose fetch, and what becomes of it.

use super::*;
use crate::report::Failure;
use crate::rules::label::Cause;

/// One slot, `lead` waits for it to fetch `/`, `f1` and `f2` follow.
fn flight() -> (Bench, CacheKey) {
    let key = key_of("/");
    let mut bench = Bench::full(1);
    for name in ["lead", "f1", "f2"] {
        assert!(bench.come(name, Class::Read, Some(&key)));
    }
    let stats = bench.gate.stats(bench.now);
    assert_eq!((stats.waiting, stats.following), (3, 2));
    (bench, key)
}

#[track_caller]
fn check(flown: Flown, expected: &str) {
    let (mut bench, key) = flight();
    assert_eq!(bench.end_one().told(), "lead!");
    // Who comes now follows too.
    assert!(bench.come("f3", Class::Read, Some(&key)));
    bench.leads.remove(0).land(flown);
    assert_eq!(bench.told(), expected);
    bench.check_empty();
}

#[test]
fn followers_learn_how_the_fetch_ended() {
    check(Flown::Kept, "f1~Kept f2~Kept f3~Kept");
    let cause = Cause::Failure(Failure::Timeout);
    let told = "Failed(Failure(Timeout))";
    // What the leader asked with may be why: another finds out.
    check(Flown::Failed(cause), "");
    let (mut bench, _) = flight();
    assert_eq!(bench.end_one().told(), "lead!");
    bench.leads.remove(0).land(Flown::Failed(cause));
    assert_eq!(bench.end_one().told(), "f1!");
    bench.leads.remove(0).land(Flown::Failed(cause));
    assert_eq!(bench.told(), format!("f2~{told}"));
    bench.check_empty();
    // The slot is not free yet: they wait for it now.
    check(Flown::Unfit, "");
    check(Flown::Abandoned, "");
}

#[test]
fn another_visitor_finds_out_whether_the_page_fails() {
    let key = key_of("/");
    let mut bench = Bench::full(1);
    for (name, visitor) in [("lead", 1), ("same", 1), ("other", 2)] {
        assert!(bench.come_from(visitor, name, Class::Read, Some(&key)));
    }
    assert_eq!(bench.end_one().told(), "lead!");
    let cause = Cause::Failure(Failure::Reset);
    bench.leads.remove(0).land(Flown::Failed(cause));
    assert_eq!(bench.end_one().told(), "other!");
    bench.leads.remove(0).land(Flown::Kept);
    assert_eq!(bench.told(), "same~Kept");
    bench.check_empty();
}

#[test]
fn each_asks_for_itself_when_the_answer_is_for_nobody_else() {
    let (mut bench, key) = flight();
    assert_eq!(bench.end_one().told(), "lead!");
    bench.leads.remove(0).land(Flown::Unfit);
    assert_eq!(bench.gate.stats(bench.now).following, 0);
    assert_eq!(bench.end_one().told(), "f1!");
    assert!(bench.leads.is_empty(), "it leads nobody");
    assert!(
        bench.come("new", Class::Read, Some(&key)),
        "and a new flight may begin"
    );
    assert_eq!(bench.end_one().told(), "f2!");
    assert_eq!(bench.end_one().told(), "new!");
    assert_eq!(bench.leads.len(), 1);
    bench.check_empty();
}

#[test]
fn the_first_follower_leads_when_the_leader_is_gone() {
    // While it waits.
    let (mut bench, _) = flight();
    bench.leave("lead");
    assert_eq!(bench.end_one().told(), "f1!");
    assert_eq!(bench.leads.len(), 1);
    bench.leads.remove(0).land(Flown::Kept);
    assert_eq!(bench.told(), "f2~Kept");
    bench.check_empty();
    // With a slot in the post.
    let (mut bench, _) = flight();
    bench.end_one().leave("lead");
    assert_eq!(bench.told(), "f1!");
    bench.check_empty();
    // While it fetches.
    let (mut bench, _) = flight();
    assert_eq!(bench.end_one().told(), "lead!");
    bench.leads.clear();
    assert_eq!(bench.end_one().told(), "f1!", "one, not both");
    assert_eq!(bench.gate.stats(bench.now).following, 1);
    bench.check_empty();
}

#[test]
fn a_leader_that_waits_in_vain_leaves_the_lead() {
    let key = key_of("/");
    let mut bench = Bench::full(1);
    assert!(bench.come("lead", Class::Read, Some(&key)));
    bench.pass(500);
    assert!(bench.come("f1", Class::Read, Some(&key)));
    assert_eq!(bench.pass(500).told(), "lead-Deadline");
    assert_eq!(bench.end_one().told(), "f1!");
    bench.check_empty();
}

#[test]
fn followers_have_deadlines_and_may_leave() {
    let (mut bench, _) = flight();
    assert_eq!(bench.end_one().told(), "lead!");
    bench.leave("f1");
    assert_eq!(bench.gate.stats(bench.now).following, 1);
    assert_eq!(bench.pass(1_000).told(), "f2-Deadline");
    bench.leads.remove(0).land(Flown::Kept);
    bench.check_empty();
}

#[test]
fn other_pages_are_other_flights() {
    let (mut bench, _) = flight();
    let other = key_of("/other");
    assert!(bench.come("other", Class::Read, Some(&other)));
    assert!(bench.come("write", Class::Write, None));
    assert_eq!(bench.end_one().told(), "write!");
    assert_eq!(bench.end_one().told(), "lead!");
    assert_eq!(bench.end_one().told(), "other!");
    bench.check_empty();
}
