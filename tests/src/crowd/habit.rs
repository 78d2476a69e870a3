//! Owns who comes: where each of a group comes from, what one asks for, and how long one rests.
//! Never looks at what others do.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use http::Method;
use retter_core::message::{FieldsBuilder, RequestHead};
use retter_core::rng::Rng;

use super::application::Work;

/// Some who behave alike.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// How many ask at a time.
    pub size: u32,
    /// From how many networks they come.
    pub networks: u32,
    /// How many addresses of each network they have.
    pub addresses: u32,
    /// What their cookies say.
    pub sessions: Sessions,
    /// When they begin.
    pub from: Duration,
    /// What they do.
    pub habit: Habit,
}

/// What one of a group does, again and again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Habit {
    /// Asks for one of some pages each 2 to 5 s.
    Honest,
    /// The same each 0.3 to 0.8 s: some dozens want more than the application can do.
    Eager,
    /// Asks for a page that nobody else wants, at once again.
    Crawl,
    /// Asks for what takes 12 s of work, at once again.
    Export,
    /// Asks for pages that fail, at once again.
    Fail,
    /// Asks for what comes in 10 to 20 s, at once again.
    Poll,
    /// Posts, at once again.
    Post,
    /// Asks for pages that take 1.6 s of work, at once again.
    Slow,
    /// The same under names that are made up, so that no two pages seem alike.
    Names,
    /// Asks for the pages of honest visitors in a language that nobody speaks, at once again.
    Variants,
    /// Asks for large pages with queries that nobody else has, at once again.
    Evict,
}

/// What cookies say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sessions {
    /// There are none.
    None,
    /// Each has a session.
    Kept,
    /// Each request has one of its own.
    New,
}

/// What somebody got.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    /// No page, or none in time.
    Bad,
    Copy,
    /// The application's.
    Made,
}

/// One request.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) request: RequestHead,
    pub(super) work: Work,
    /// Whether the application fails on it.
    pub(super) fails: bool,
    /// Bytes of the answer.
    pub(super) bytes: usize,
}

impl Group {
    /// The address of one of them, where the networks of the group begin with this one.
    pub(super) fn address(&self, one: u32, network: u32) -> IpAddr {
        let host = one / self.networks % self.addresses.min(250);
        let network = network + one % self.networks;
        IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + (network << 8) + host + 1))
    }

    /// What one of them, whose number is `visitor`, wants; `id` is nobody else's.
    pub(super) fn wish(&self, id: u64, visitor: usize, rng: &mut Rng) -> Wish {
        const PAGES: [&str; 8] = [
            "shop", "cart", "news", "about", "help", "team", "blog", "jobs",
        ];
        const LARGE: usize = 256 << 10;
        const SMALL: usize = 2 << 10;
        let page = PAGES[usize::try_from(rng.next() % 8).expect("below eight")];
        let seconds = Duration::from_secs_f64;
        let (path, work) = match self.habit {
            Habit::Eager | Habit::Honest | Habit::Variants => (format!("/{page}"), Work::Page),
            Habit::Crawl => (format!("/{page}/{id}"), Work::Page),
            Habit::Evict => (format!("/search?q={id}"), Work::Page),
            Habit::Export => ("/export".to_owned(), Work::Long(seconds(12.0))),
            Habit::Fail => (format!("/broken/{page}"), Work::Page),
            Habit::Poll => {
                let wait = seconds(10.0 + 10.0 * rng.unit());
                (format!("/poll?t={id}"), Work::Wait(wait))
            }
            Habit::Post => ("/order".to_owned(), Work::Page),
            Habit::Slow => (format!("/slow/{}", id % 3), Work::Long(seconds(1.6))),
            Habit::Names => (format!("/{}", word(id)), Work::Long(seconds(1.6))),
        };
        let method = match self.habit == Habit::Post {
            true => Method::POST,
            false => Method::GET,
        };
        let mut fields = FieldsBuilder::default();
        fields.push("host", b"h");
        if self.habit == Habit::Variants {
            fields.push("accept-language", format!("x-{id}").as_bytes());
        }
        let session = match self.sessions {
            Sessions::None => None,
            Sessions::Kept => Some(visitor as u64),
            Sessions::New => Some(id),
        };
        if let Some(session) = session {
            let mixed = session.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            fields.push(
                "cookie",
                format!("sid={mixed:016x}{session:016x}").as_bytes(),
            );
        }
        Wish {
            request: RequestHead::new(method, &path, fields.build()),
            work,
            fails: self.habit == Habit::Fail,
            bytes: match self.habit == Habit::Evict {
                true => LARGE,
                false => SMALL,
            },
        }
    }
}

/// A word for each number.
fn word(number: u64) -> String {
    let digits = format!("{:012x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16);
    let letter = |digit: char| Some(char::from(b'a' + u8::try_from(digit.to_digit(16)?).ok()?));
    digits.chars().filter_map(letter).collect()
}

impl Habit {
    /// How long a visitor waits for an answer; `None` for as long as it takes.
    pub(super) const fn patience(self) -> Option<Duration> {
        if matches!(self, Self::Eager | Self::Honest) {
            return Some(Duration::from_secs(2));
        }
        None
    }

    /// The time from an answer to the next request, in seconds at the least and at the most.
    pub(super) const fn rest(self, answer: Answer) -> (f64, f64) {
        match (self, answer) {
            (Self::Honest, _) => (2.0, 5.0),
            (Self::Eager, _) => (0.3, 0.8),
            (_, Answer::Made) => (0.001, 0.001),
            (_, Answer::Bad | Answer::Copy) => (0.1, 0.3),
        }
    }
}
