//! Owns [`Course`]: when an outage of the application begins and ends, and when it is told of.
//! Never reads a clock but to show a time.

use std::collections::VecDeque;
use std::time::Duration;

use retter_core::breaker::{State, Tier, Transition};
use retter_core::time::Instant;

use super::record::{News, Page, Record};
use super::share::Share;
use crate::clock::Clock;

/// For how long the circuit has to stay closed until an outage is over: one that comes back sooner
/// is the same.
pub(super) const SETTLES: Duration = Duration::from_secs(120);
/// How often it is told of.
const TELLS: Duration = Duration::from_secs(60);
/// Outages that are kept when they are over.
const KEPT: usize = 20;
const WORST_SHOWN: usize = 5;

/// Outages, the one that goes on and the last ones.
#[derive(Debug, Default)]
pub(super) struct Course {
    current: Option<Outage>,
    /// The newest first.
    pub(super) last: VecDeque<Record>,
}

/// An outage that goes on.
#[derive(Debug)]
struct Outage {
    began: Instant,
    cause: String,
    /// Since when the circuit is closed again.
    closed: Option<Instant>,
    relapses: u32,
    share: Share,
    told: Instant,
    told_back: bool,
}

/// How it stands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Standing {
    #[default]
    Well,
    /// The circuit is closed, and it is seen whether that lasts.
    Settling,
    Down,
}

impl Course {
    /// Goes on from outages of former runs.
    pub(super) fn after(last: Vec<Record>) -> Self {
        let mut course = Self::default();
        last.into_iter().for_each(|record| course.keep(record));
        course
    }

    /// Takes note of a change of a circuit.
    pub(super) fn note(&mut self, transition: &Transition, clock: Clock) -> Option<News> {
        if transition.tier != Tier::Origin {
            return None;
        }
        match (&mut self.current, transition.to) {
            (Some(outage), State::Closed) => {
                outage.closed = Some(transition.at);
                None
            }
            (Some(outage), State::HalfOpen | State::Open) => {
                outage.relapses += u32::from(outage.closed.take().is_some());
                None
            }
            (None, State::Closed | State::HalfOpen) => None,
            (None, State::Open) => {
                let outage = Outage {
                    began: transition.at,
                    cause: transition.reason.to_string(),
                    closed: None,
                    relapses: 0,
                    share: Share::default(),
                    told: transition.at,
                    told_back: false,
                };
                let record = outage.record(transition.at, clock);
                self.current = Some(outage);
                Some(News::Began(record))
            }
        }
    }

    /// Adds what was counted.
    pub(super) fn add(&mut self, counted: Share) {
        if let Some(outage) = &mut self.current {
            outage.share.merge(counted);
        }
    }

    /// Adds what was counted, and says what there is to tell; to be called about once a second.
    pub(super) fn tick(&mut self, counted: Share, now: Instant, clock: Clock) -> Option<News> {
        self.add(counted);
        let outage = self.current.as_mut()?;
        let is_due = now.saturating_since(outage.told) >= TELLS;
        if let Some(closed) = outage.closed {
            if now.saturating_since(closed) >= SETTLES {
                let mut record = outage.record(closed, clock);
                record.ended = Some(shown(closed, clock));
                self.current = None;
                self.keep(record.clone());
                return Some(News::Over(record));
            }
            // The first return is told at once, others when something is due.
            if outage.told_back && !is_due {
                return None;
            }
            if !outage.told_back || outage.relapses > 0 {
                outage.told_back = true;
                outage.told = now;
                return Some(News::Back(outage.record(closed, clock)));
            }
            return None;
        }
        is_due.then(|| {
            outage.told = now;
            News::GoesOn(outage.record(now, clock))
        })
    }

    pub(super) fn standing(&self) -> Standing {
        match &self.current {
            None => Standing::Well,
            Some(outage) if outage.closed.is_some() => Standing::Settling,
            Some(_) => Standing::Down,
        }
    }

    /// The outage that goes on.
    pub(super) fn current(&self, now: Instant, clock: Clock) -> Option<Record> {
        let outage = self.current.as_ref()?;
        Some(outage.record(outage.closed.unwrap_or(now), clock))
    }

    /// How long the application has been down.
    pub(super) fn lasts(&self, now: Instant) -> Option<Duration> {
        let outage = self.current.as_ref()?;
        let is_down = outage.closed.is_none();
        is_down.then(|| now.saturating_since(outage.began))
    }

    fn keep(&mut self, record: Record) {
        self.last.truncate(KEPT - 1);
        self.last.push_front(record);
    }
}

impl Outage {
    fn record(&self, until: Instant, clock: Clock) -> Record {
        let share = &self.share;
        let worst = share.pages.worst(WORST_SHOWN).into_iter();
        Record {
            began: shown(self.began, clock),
            ended: None,
            seconds: until.saturating_since(self.began).as_secs(),
            cause: self.cause.clone(),
            relapses: self.relapses,
            first_good: share.first_good.map(|at| shown(at, clock)),
            answers: share.answers,
            visitors: share.visitors.estimate(),
            oldest_copy_seconds: share.oldest_copy.as_secs(),
            worst_pages: worst.map(|(path, errors)| Page { path, errors }).collect(),
            is_cut_off: false,
        }
    }
}

fn shown(at: Instant, clock: Clock) -> String {
    humantime::format_rfc3339_seconds(clock.wall(at)).to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use retter_core::breaker::Reason;

    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::from_epoch(Duration::from_secs(secs))
    }

    struct Case {
        course: Course,
        clock: Clock,
        now: u64,
    }

    impl Case {
        fn new() -> Self {
            Self {
                course: Course::default(),
                clock: Clock::start(),
                now: 1,
            }
        }

        /// A change of the application's circuit.
        fn change(&mut self, to: State) -> Option<News> {
            let (from, path) = (State::HalfOpen, None);
            let tier = Tier::Origin;
            let transition = transition(at(self.now), from, to, path, tier);
            self.course.note(&transition, self.clock)
        }

        /// What is told in the next seconds, with when.
        fn wait(&mut self, secs: u64) -> Vec<(u64, &'static str)> {
            let mut told = Vec::new();
            for _ in 0..secs {
                self.now += 1;
                let news = self.course.tick(Share::default(), at(self.now), self.clock);
                told.extend(news.map(|news| (self.now, word(&news))));
            }
            told
        }
    }

    fn transition(
        at: Instant,
        from: State,
        to: State,
        path: Option<Arc<str>>,
        tier: Tier,
    ) -> Transition {
        Transition {
            at,
            from,
            path,
            reason: Reason::Consecutive {
                failed: 5,
                visitors: 1,
            },
            tier,
            to,
        }
    }

    fn word(news: &News) -> &'static str {
        match news {
            News::Back(_) => "back",
            News::Began(_) => "began",
            News::GoesOn(_) => "goes on",
            News::Over(_) => "over",
        }
    }

    #[test]
    fn one_outage_is_told_at_its_beginning_each_minute_and_at_its_end() {
        let mut case = Case::new();
        let began = case.change(State::Open).unwrap();
        assert!(
            began.words().contains(" opened: 5 failures in a row"),
            "{}",
            began.words()
        );
        assert_eq!(case.change(State::HalfOpen), None);
        assert_eq!(case.change(State::Open), None, "it is the same");
        assert_eq!(case.wait(130), [(61, "goes on"), (121, "goes on")]);
        assert_eq!(
            case.course.lasts(at(case.now)),
            Some(Duration::from_secs(130))
        );
        assert_eq!(case.change(State::Closed), None);
        assert_eq!(case.course.standing(), Standing::Settling);
        assert_eq!(case.wait(119), [(132, "back")]);
        assert_eq!(case.wait(60), [(251, "over")]);
        assert_eq!(case.course.standing(), Standing::Well);
        let [record] = &Vec::from_iter(case.course.last.clone())[..] else {
            panic!("there was one");
        };
        assert_eq!((record.seconds, record.relapses), (130, 0));
        assert!(record.ended.is_some());
    }

    #[test]
    fn one_that_comes_back_soon_is_the_same_and_tells_no_more_than_once_a_minute() {
        let mut case = Case::new();
        assert!(case.change(State::Open).is_some());
        let mut told = Vec::new();
        for _ in 0..12 {
            assert_eq!(case.change(State::Closed), None);
            told.extend(case.wait(5));
            assert_eq!(case.change(State::Open), None);
            told.extend(case.wait(5));
        }
        assert!(told.len() <= 3, "{told:?}");
        let current = case.course.current(at(case.now), case.clock).unwrap();
        assert_eq!((current.relapses, current.seconds), (12, 120));
    }

    #[test]
    fn a_page_alone_is_no_outage() {
        let mut course = Course::default();
        let path = Some(Arc::from("/a"));
        let opened = transition(at(1), State::Closed, State::Open, path, Tier::Path);
        assert_eq!(course.note(&opened, Clock::start()), None);
        assert_eq!(course.standing(), Standing::Well);
    }
}
