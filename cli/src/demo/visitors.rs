//! Owns the simulated visitors of the demo and the count of what they got.
//! Never knows how the application is: like a real visitor, it sees only answers.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use retter_core::report::Source;
use retter_core::rng::Rng;

use crate::client::{Peer, Question, ask};

/// After this a visitor has gone elsewhere: the usual number of web usability studies.
const PATIENCE: Duration = Duration::from_secs(3);
const NAMES: [&str; 6] = ["Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald"];

/// What one visit was.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Got {
    /// The page, from the application.
    Backend,
    /// A fresh copy.
    Cache,
    /// The last good copy.
    LastKnown,
    /// An error, or nothing in time.
    Error,
}

impl Got {
    pub(crate) const ALL: [Self; 4] = [Self::Backend, Self::Cache, Self::LastKnown, Self::Error];
}

/// Counts of visits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Waiting times of the pages that came.
    times: Vec<Duration>,
    /// In the order of [`Got::ALL`].
    counts: [u32; 4],
}

impl Tally {
    pub(crate) fn count(&self, got: Got) -> u32 {
        let index = Got::ALL.iter().position(|known| *known == got);
        index.map_or(0, |index| self.counts[index])
    }

    pub(crate) fn total(&self) -> u32 {
        self.counts.iter().sum()
    }

    /// Pages that came, of a hundred asked for; whole numbers only when it is exact.
    pub(crate) fn good_percent(&self) -> f64 {
        let total = self.total();
        if total == 0 {
            return 0.0;
        }
        f64::from(total - self.count(Got::Error)) * 100.0 / f64::from(total)
    }

    /// The middle waiting time of the pages that came.
    pub(crate) fn median(&self) -> Option<Duration> {
        let mut times = self.times.clone();
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.times.extend_from_slice(&other.times);
        for (sum, count) in self.counts.iter_mut().zip(other.counts) {
            *sum += count;
        }
    }

    fn record(&mut self, got: Got, time: Duration) {
        if let Some(index) = Got::ALL.iter().position(|known| *known == got) {
            self.counts[index] += 1;
        }
        if got != Got::Error {
            self.times.push(time);
        }
    }
}

/// Visitors that come until they are sent home.
pub(crate) struct Visitors {
    home: Arc<AtomicBool>,
    tally: Arc<Mutex<Tally>>,
    threads: Vec<JoinHandle<()>>,
}

impl Visitors {
    /// Lets visitors with these numbers come to `port` of this machine, each pausing about `pause`
    /// between pages. The first ones are regulars; the others came by links of their own.
    pub(crate) fn start(port: u16, numbers: Range<usize>, pause: Duration) -> io::Result<Self> {
        let home = Arc::new(AtomicBool::new(false));
        let tally = Arc::new(Mutex::new(Tally::default()));
        let mut threads = Vec::with_capacity(numbers.len());
        for (place, number) in numbers.enumerate() {
            let (home, tally) = (Arc::clone(&home), Arc::clone(&tally));
            // The same seed each time: the demo shows the same visit each time.
            let mut rng = Rng::new(number as u64);
            // One after the other, as people come through a door.
            let arrival = pause.saturating_mul(u32::try_from(place).unwrap_or(u32::MAX));
            threads.push(std::thread::Builder::new().spawn(move || {
                std::thread::sleep(arrival);
                while !home.load(Ordering::Relaxed) {
                    let (got, time) = visit(port, number, &mut rng);
                    lock(&tally).record(got, time);
                    std::thread::sleep(pause.mul_f64(0.5 + rng.unit()));
                }
            })?);
        }
        Ok(Self {
            home,
            tally,
            threads,
        })
    }

    /// How many they are.
    pub(crate) fn count(&self) -> usize {
        self.threads.len()
    }

    /// What they got since the last call.
    pub(crate) fn take(&self) -> Tally {
        std::mem::take(&mut lock(&self.tally))
    }

    /// Sends them home; returns what they got since the last [`Visitors::take`].
    pub(crate) fn stop(self) -> Tally {
        self.home.store(true, Ordering::Relaxed);
        for thread in self.threads {
            let _ = thread.join();
        }
        std::mem::take(&mut lock(&self.tally))
    }
}

fn lock(tally: &Mutex<Tally>) -> std::sync::MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The names by which visitors know the shop: whoever visits it with a browser while it is down finds
/// copies by either.
const HOSTS: [&str; 2] = ["127.0.0.1", "localhost"];

/// Asks for one page, as likely as a shop's visitors do.
fn visit(port: u16, number: usize, rng: &mut Rng) -> (Got, Duration) {
    let session = format!("PHPSESSID={}", NAMES[number % NAMES.len()]);
    let known = [("Cookie", session.as_str())];
    let product = format!("/product/{}", 1 + rng.next() % 6);
    // A third of the pages that those who are no regulars ask for were never asked for before.
    let product = if number >= NAMES.len() && rng.next().is_multiple_of(3) {
        format!("{product}?from={number}-{}", rng.next())
    } else {
        product
    };
    let (path, more) = match rng.next() % 10 {
        0..2 => ("/", &[][..]),
        2..4 => ("/products", &[][..]),
        4..8 => (product.as_str(), &[][..]),
        _ => ("/account", &known[..]),
    };
    let host = HOSTS[usize::from(rng.next().is_multiple_of(2))];
    let started = Instant::now();
    let answer = ask(Question {
        method: &http::Method::GET,
        to: Peer::Host("127.0.0.1", port),
        authority: &format!("{host}:{port}"),
        path,
        content: b"",
        more,
        timeout: PATIENCE,
    });
    let got = match answer {
        Ok(answer) if answer.status < 500 => {
            let source = answer.field("x-retter");
            if source == Source::Cache.as_str() {
                Got::Cache
            } else if source == Source::LastKnownSuccess.as_str() {
                Got::LastKnown
            } else {
                Got::Backend
            }
        }
        Ok(_) | Err(_) => Got::Error,
    };
    (got, started.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_add_up() {
        let mut tally = Tally::default();
        for millis in [10, 30, 20] {
            tally.record(Got::Backend, Duration::from_millis(millis));
        }
        tally.record(Got::Error, PATIENCE);
        let mut sum = Tally::default();
        assert_eq!(sum.median(), None);
        sum.add(&tally);
        assert_eq!(sum.total(), 4);
        assert_eq!(sum.median(), Some(Duration::from_millis(20)));
        assert!((sum.good_percent() - 75.0).abs() < f64::EPSILON);
    }
}
