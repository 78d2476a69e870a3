//! Owns those who come beside the visitors and ask without a rest: crawlers, long polls, and those who
//! ask for what fails; and what becomes of both.
//! Never judges what others get: that is not what they came for.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::scenario::Phases;
use crate::http::Connection;

/// Those who come beside the visitors.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Crowd {
    /// What each does.
    pub habit: Habit,
    /// How many ask at a time.
    pub size: u32,
    /// Where they come from.
    pub from: Origins,
}

/// What one of a crowd does, again and again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Habit {
    /// Asks for a page that nobody asked for before.
    Crawl,
    /// Asks for pages that fail.
    Fail,
    /// Asks for what comes in 25 s, and keeps nothing busy until then.
    Poll,
}

/// Where a crowd comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Origins {
    /// All from one address.
    Address,
    /// Each from an address of its own, all of one network (/24).
    Addresses,
    /// Each from a network of its own.
    Networks,
}

/// What became of a crowd's requests while it was there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Others {
    asked: u64,
    good: u64,
}

/// A crowd that asks until its time is over.
#[derive(Debug)]
pub struct Asking(JoinSet<Others>);

impl Crowd {
    /// Lets it ask from the begin of the event to its end.
    #[must_use]
    pub fn start(self, address: SocketAddr, start: Instant, phases: Phases) -> Asking {
        let mut asking = JoinSet::new();
        for one in 0..self.size {
            let source = self.from.of(one);
            asking.spawn(async move {
                sleep_until(start + phases.begin).await;
                loop_of(self.habit, one, (source, address), start + phases.end).await
            });
        }
        Asking(asking)
    }
}

impl Asking {
    /// What became of it, once all are gone.
    pub async fn end(mut self) -> Others {
        let mut all = Others::default();
        while let Some(one) = self.0.join_next().await {
            let one = one.unwrap_or_default();
            all.asked += one.asked;
            all.good += one.good;
        }
        all
    }
}

impl Origins {
    /// The address of one of a crowd; no visitor comes from there.
    const fn of(self, one: u32) -> Ipv4Addr {
        const FIRST: u32 = u32::from_be_bytes([127, 100, 0, 1]);
        Ipv4Addr::from_bits(match self {
            Self::Address => FIRST,
            Self::Addresses => FIRST + one,
            Self::Networks => FIRST + (one << 8),
        })
    }
}

async fn loop_of(
    habit: Habit,
    one: u32,
    (source, address): (Ipv4Addr, SocketAddr),
    end: Instant,
) -> Others {
    /// Between an answer and the next request, and where something else came than an answer.
    const REST: Duration = Duration::from_millis(1);
    const SETBACK: Duration = Duration::from_millis(200);
    let mut others = Others::default();
    let mut kept = None;
    for turn in 0_u64.. {
        // Numbers that no visitor asks for.
        let number = 1_000_000_000 + u64::from(one) * 1_000_000 + turn;
        let path = match habit {
            Habit::Crawl => format!("/search/{number}"),
            Habit::Fail => format!("/index.php?boom={number}"),
            Habit::Poll => format!("/poll?turn={number}"),
        };
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: */*\r\n\r\n");
        let asked = async {
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => Connection::connect_from(source, address).await?,
            };
            let answer = connection.ask(request.as_bytes()).await?;
            kept = Some(connection).filter(|connection| connection.is_open);
            std::io::Result::Ok(answer.status == 200)
        };
        let Ok(answer) = timeout_at(end, asked).await else {
            break;
        };
        let is_good = matches!(answer, Ok(true));
        others.asked += 1;
        others.good += u64::from(is_good);
        sleep(if is_good { REST } else { SETBACK }).await;
    }
    others
}

impl Others {
    #[allow(clippy::cast_precision_loss, reason = "requests of a minute")]
    pub(super) fn figures(self, phases: Phases) -> (f64, f64) {
        let seconds = (phases.end - phases.begin).as_secs_f64();
        let refused = 100.0 * (self.asked - self.good) as f64 / self.asked as f64;
        (self.good as f64 / seconds, refused)
    }

    pub(super) fn json(self, phases: Phases) -> Value {
        let (good, refused) = self.figures(phases);
        json!({ "asked": self.asked, "good_per_second": good, "refused_percent": refused })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_comes_from_where_it_is_said_to() {
        let of = |from: Origins| [from.of(0), from.of(63)].map(|address| address.octets());
        assert_eq!(of(Origins::Address), [[127, 100, 0, 1]; 2]);
        assert_eq!(
            of(Origins::Addresses),
            [[127, 100, 0, 1], [127, 100, 0, 64]]
        );
        assert_eq!(of(Origins::Networks), [[127, 100, 0, 1], [127, 100, 63, 1]]);
    }

    #[test]
    fn figures_of_others_are_of_the_event() {
        let others = Others {
            asked: 400,
            good: 300,
        };
        let phases = Phases::new(10, 5.0);
        assert_eq!(others.figures(phases), (30.0, 25.0));
    }
}
