//! Owns the scenarios of `surge`: who asks for what and when, and what befalls the application.
//! Never speaks with anybody; the schedule is made before the run and is the same for all.

use std::time::Duration;

use super::beside::{Crowd, Habit, Origins};
use super::origin::capacity;
use super::random::{Random, Zipf};

/// What visitors ask for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pages {
    /// 200 pages without users, by Zipf's law.
    Anonymous,
    /// Ten pages for each of 50 users, with a session cookie.
    Sessions,
    /// A page that nobody asked for before; one request in ten is an order (POST).
    Unique,
    /// The same, all of one path: the query tells them apart.
    Front,
}

/// What happens in the middle of a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Event {
    /// Visitors come at a multiple of what the application can do.
    Surge,
    /// As many visitors as before, but the application is told this.
    Outage(&'static str),
    /// A surge, and the application is told this before all of it.
    Strict(&'static str),
    /// As many visitors as before, and others beside them.
    Beside(Crowd),
    /// As many visitors as before, who come all at once each second.
    Bursts,
    /// As many visitors as before, and the application is gone for [`RESTART`].
    Restart,
}

impl Event {
    /// Whether more visitors come than the application can bear.
    #[must_use]
    pub const fn is_surge(self) -> bool {
        matches!(self, Self::Surge | Self::Strict(_))
    }
}

/// One scenario.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name for `--scenario`.
    pub name: &'static str,
    /// What it is.
    pub text: &'static str,
    /// What visitors ask for.
    pub pages: Pages,
    /// What happens.
    pub event: Event,
}

/// How long a restart takes.
pub const RESTART: Duration = Duration::from_millis(1500);

const CRAWLER: Crowd = Crowd {
    habit: Habit::Crawl,
    size: 64,
    from: Origins::Address,
};

/// All scenarios.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "anonymous",
        text: "surge of visitors without cookies on 200 pages, by Zipf's law",
        pages: Pages::Anonymous,
        event: Event::Surge,
    },
    Scenario {
        name: "sessions",
        text: "surge of 50 users with session cookies on 10 pages each",
        pages: Pages::Sessions,
        event: Event::Surge,
    },
    Scenario {
        name: "unique",
        text: "surge on pages that nobody asked for before, one request in ten an order (POST)",
        pages: Pages::Unique,
        event: Event::Surge,
    },
    Scenario {
        name: "hang",
        text: "the application accepts and does not answer, 200 pages known",
        pages: Pages::Anonymous,
        event: Event::Outage("/hanging"),
    },
    Scenario {
        name: "die",
        text: "the application is gone, 200 pages known",
        pages: Pages::Anonymous,
        event: Event::Outage("/dead"),
    },
    Scenario {
        name: "fail",
        text: "the application answers 500, 200 pages known",
        pages: Pages::Anonymous,
        event: Event::Outage("/failing"),
    },
    Scenario {
        name: "refuse-500",
        text: "surge on 200 pages; what is too much is answered at once with 500",
        pages: Pages::Anonymous,
        event: Event::Strict("/strict"),
    },
    Scenario {
        name: "refuse-soft",
        text: "surge on 200 pages; what is too much is answered at once with an error page of status 200",
        pages: Pages::Anonymous,
        event: Event::Strict("/strict-soft"),
    },
    Scenario {
        name: "pollers",
        text: "200 long polls of 25 s beside visitors with orders, each of a network of its own",
        pages: Pages::Unique,
        event: Event::Beside(Crowd {
            habit: Habit::Poll,
            size: 200,
            from: Origins::Networks,
        }),
    },
    Scenario {
        name: "crawler",
        text: "a crawler with 64 connections of one address beside visitors",
        pages: Pages::Unique,
        event: Event::Beside(CRAWLER),
    },
    Scenario {
        name: "crawler-24",
        text: "a crawler with 64 addresses of one network (/24) beside visitors",
        pages: Pages::Unique,
        event: Event::Beside(Crowd {
            from: Origins::Addresses,
            ..CRAWLER
        }),
    },
    Scenario {
        name: "crawler-64",
        text: "a crawler of 64 networks beside visitors",
        pages: Pages::Unique,
        event: Event::Beside(Crowd {
            from: Origins::Networks,
            ..CRAWLER
        }),
    },
    Scenario {
        name: "burst",
        text: "as many visitors as ever, but those of each second come at its end, all at once",
        pages: Pages::Unique,
        event: Event::Bursts,
    },
    Scenario {
        name: "front-controller",
        text: "all pages are /index.php, and one visitor asks it without a rest for what fails",
        pages: Pages::Front,
        event: Event::Beside(Crowd {
            habit: Habit::Fail,
            size: 8,
            from: Origins::Address,
        }),
    },
    Scenario {
        name: "restart",
        text: "the application is gone for 1.5 s, with orders (POST) under way",
        pages: Pages::Unique,
        event: Event::Restart,
    },
];

/// Users in [`Pages::Sessions`].
pub const USERS: usize = 50;
/// Pages in [`Pages::Anonymous`].
pub const PAGES: usize = 200;
const PAGES_OF_USER: usize = 10;
/// Visitors without cookies; each keeps their connections.
const VISITORS: usize = 500;

/// When the parts of a run are.
#[derive(Clone, Copy, Debug)]
pub struct Phases {
    /// When the event begins; half the capacity is used before.
    pub begin: Duration,
    /// When it ends; half the capacity is used afterwards.
    pub end: Duration,
    /// When the run ends.
    pub all: Duration,
    /// Visitors in a surge, as a multiple of the capacity.
    pub multiple: f64,
}

impl Phases {
    /// An event of `seconds` with half of that before it, for the copies, and as much after.
    #[must_use]
    pub fn new(seconds: u32, multiple: f64) -> Self {
        let event = Duration::from_secs(seconds.into());
        // Long enough that each of 500 pages was asked for once.
        let begin = (event / 2).max(Duration::from_secs(4));
        Self {
            begin,
            end: begin + event,
            all: begin + event + event,
            multiple,
        }
    }

    /// So many seconds that are looked at, and a few before and after.
    fn short(seconds: u32) -> Self {
        const AROUND: Duration = Duration::from_secs(5);
        let end = AROUND + Duration::from_secs(seconds.into());
        Self {
            begin: AROUND,
            end,
            all: end + AROUND,
            multiple: 1.0,
        }
    }
}

/// A request that comes, whatever became of those before it.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// When, from the start of the run.
    pub at: Duration,
    /// Whose connections it uses.
    pub visitor: usize,
    /// Whether there is a session cookie.
    pub user: Option<usize>,
    /// Whether it is an order.
    pub is_post: bool,
    /// The target.
    pub path: String,
}

impl Scenario {
    /// Its parts, where a surge takes so many seconds. Others come for twice as long; a restart is looked
    /// at for five seconds.
    #[must_use]
    pub fn phases(&self, seconds: u32, multiple: f64) -> Phases {
        match self.event {
            Event::Beside(_) => Phases::short(seconds * 2),
            Event::Outage(_) => Phases::new(seconds.div_ceil(2), multiple),
            Event::Bursts => Phases::short(seconds),
            Event::Restart => Phases::short(5),
            Event::Strict(_) | Event::Surge => Phases::new(seconds, multiple),
        }
    }

    /// All arrivals in their order.
    #[must_use]
    pub fn schedule(&self, phases: &Phases, seed: u64) -> Vec<Arrival> {
        let mut random = Random::new(seed);
        let zipf = Zipf::new(PAGES);
        let mut arrivals = Vec::new();
        let mut at = Duration::ZERO;
        loop {
            let is_surge = self.event.is_surge() && (phases.begin..phases.end).contains(&at);
            let multiple = if is_surge { phases.multiple } else { 0.5 };
            at += Duration::from_secs_f64(random.gap(capacity() * multiple));
            if at >= phases.all {
                return arrivals;
            }
            let is_burst = self.event == Event::Bursts && (phases.begin..phases.end).contains(&at);
            let comes = match is_burst {
                true => Duration::from_secs(at.as_secs() + 1),
                false => at,
            };
            arrivals.push(self.arrival(arrivals.len(), comes, &zipf, &mut random));
        }
    }

    fn arrival(&self, number: usize, at: Duration, zipf: &Zipf, random: &mut Random) -> Arrival {
        let mut arrival = Arrival {
            at,
            visitor: random.below(VISITORS),
            user: None,
            is_post: false,
            path: String::new(),
        };
        // The first arrivals see each page once: what nobody saw before the surge cannot be kept.
        match self.pages {
            Pages::Anonymous => {
                let page = if number < PAGES {
                    number
                } else {
                    zipf.pick(random)
                };
                arrival.path = format!("/page/{page}");
            }
            Pages::Sessions => {
                let mut place = random.below(USERS * PAGES_OF_USER);
                if number < USERS * PAGES_OF_USER {
                    place = number;
                }
                arrival.visitor = place % USERS;
                arrival.user = Some(arrival.visitor);
                arrival.path = format!("/account/{}", place / USERS);
            }
            Pages::Front | Pages::Unique => {
                arrival.is_post = random.below(10) == 0;
                let kind = if arrival.is_post { "order" } else { "search" };
                arrival.path = match self.pages == Pages::Front {
                    true => format!("/index.php?{kind}={number}"),
                    false => format!("/{kind}/{number}"),
                };
            }
        }
        arrival
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(name: &str) -> &'static Scenario {
        ALL.iter()
            .find(|one| one.name == name)
            .expect("it is listed")
    }

    #[test]
    fn the_same_seed_brings_the_same_visitors() {
        let phases = Phases::new(2, 5.0);
        let paths = |seed| -> Vec<String> {
            let arrivals = scenario("anonymous").schedule(&phases, seed);
            arrivals.into_iter().map(|arrival| arrival.path).collect()
        };
        assert_eq!(paths(1), paths(1));
        assert_ne!(paths(1), paths(2));
    }

    #[test]
    fn a_surge_brings_a_multiple_of_the_capacity_and_an_outage_does_not() {
        let phases = Phases::new(10, 5.0);
        for (name, multiple) in [("unique", 5.0), ("hang", 0.5)] {
            let arrivals = scenario(name).schedule(&phases, 7);
            let during = arrivals
                .iter()
                .filter(|one| (phases.begin..phases.end).contains(&one.at));
            #[allow(clippy::cast_precision_loss, reason = "arrivals are few")]
            let ratio = during.count() as f64 / (capacity() * 10.0 * multiple);
            assert!((0.95..1.05).contains(&ratio), "{name}: {ratio}");
            assert!(arrivals.is_sorted_by_key(|arrival| arrival.at));
        }
    }

    #[test]
    fn in_bursts_as_many_come_and_all_of_a_second_at_once() {
        let phases = scenario("burst").phases(10, 5.0);
        let arrivals = scenario("burst").schedule(&phases, 7);
        assert!(arrivals.is_sorted_by_key(|arrival| arrival.at));
        let after = phases.begin + Duration::from_millis(1);
        let during: Vec<_> = arrivals
            .iter()
            .filter(|one| (after..=phases.end).contains(&one.at))
            .collect();
        assert!(during.iter().all(|one| one.at.subsec_nanos() == 0));
        #[allow(clippy::cast_precision_loss, reason = "arrivals are few")]
        let ratio = during.len() as f64 / (capacity() * 10.0 * 0.5);
        assert!((0.95..1.05).contains(&ratio), "{ratio}");
    }

    #[test]
    fn every_page_is_seen_before_the_surge() {
        let phases = Phases::new(1, 5.0);
        for (name, pages) in [("anonymous", PAGES), ("sessions", USERS * PAGES_OF_USER)] {
            let arrivals = scenario(name).schedule(&phases, 3);
            let before = arrivals.iter().filter(|one| one.at < phases.begin);
            let seen: std::collections::BTreeSet<_> =
                before.map(|one| (one.user, one.path.as_str())).collect();
            assert_eq!(seen.len(), pages, "{name}");
        }
    }

    #[test]
    fn unique_pages_are_unique_and_one_request_in_ten_is_an_order() {
        let arrivals = scenario("unique").schedule(&Phases::new(10, 5.0), 5);
        let paths: std::collections::BTreeSet<_> = arrivals.iter().map(|one| &one.path).collect();
        assert_eq!(paths.len(), arrivals.len());
        let orders = arrivals.iter().filter(|one| one.is_post).count();
        #[allow(clippy::cast_precision_loss, reason = "arrivals are few")]
        let share = orders as f64 / arrivals.len() as f64;
        assert!((0.09..0.11).contains(&share), "{share}");
    }
}
