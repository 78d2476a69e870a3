//! Owns which addresses of the origin are known, when its name is looked up again, which address
//! is tried first, and which trouble is worth telling.
//! Never looks up, connects or waits: an adapter does, and says how it went.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::vec;

use crate::seldom::Seldom;
use crate::time::Instant;

/// Age after which a name is looked up again, while its old addresses stay in use.
const REFRESH: Duration = Duration::from_secs(30);

/// The same where there is none, or none took a connection: the application may have moved, as a
/// container does that is made anew.
const REFRESH_IN_DOUBT: Duration = Duration::from_secs(1);

/// Told once for all workers, until it is over.
#[derive(Clone, Debug, Default)]
pub struct Outage(Arc<OutageFlags>);

#[derive(Debug, Default)]
struct OutageFlags {
    unknown: AtomicBool,
    unreachable: AtomicBool,
    /// That something is wanting here.
    wanting: Seldom,
}

/// What an operator should know of the way to the origin.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Trouble {
    /// This side lacks something, which says nothing of the origin. Told at most once a minute.
    Lacking {
        /// What the system says.
        error: String,
        /// What is lacking.
        lack: Lack,
    },
    /// No address took a connection. Told once, until one does.
    Unreachable {
        /// The name or address.
        host: String,
        /// The port.
        port: u16,
        /// Why the last of them did not.
        error: String,
        /// It did not answer at all, within its time.
        is_silent: bool,
    },
    /// The name has no address. Told once, until it has.
    Unresolved {
        /// The name.
        host: String,
        /// Why.
        error: String,
        /// Whether addresses that were found before stay in use.
        keeps_old: bool,
    },
}

/// What this side lacks to make a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lack {
    /// Open files of this process.
    Files,
    /// Memory of the system.
    Memory,
    /// Local ports, or addresses of the kind of the origin's.
    Ports,
    /// Open files of the whole system.
    SystemFiles,
}

/// The addresses of the origin, as one worker knows them.
#[derive(Debug)]
pub struct Addresses {
    host: String,
    port: u16,
    is_name: bool,
    known: Vec<SocketAddr>,
    looked_up: Option<Instant>,
    looking_up: bool,
    /// No address took the last connection.
    in_doubt: bool,
    /// An address was in use that is not the origin's any more.
    has_moved: bool,
    outage: Outage,
}

impl Addresses {
    /// Starts with nothing known, unless `host` is an address itself (IPv6 with or without
    /// brackets).
    #[must_use]
    pub fn new(host: &str, port: u16, outage: Outage) -> Self {
        let literal = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>();
        let known: Vec<_> = literal
            .into_iter()
            .map(|ip| SocketAddr::new(ip, port))
            .collect();
        Self {
            host: host.to_owned(),
            port,
            is_name: known.is_empty(),
            known,
            looked_up: None,
            looking_up: false,
            in_doubt: false,
            has_moved: false,
            outage,
        }
    }

    /// Host and port, for a look-up.
    #[must_use]
    pub fn name(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// What is known, the address that took the last connection first; empty before the first
    /// look-up.
    #[must_use]
    pub fn in_order(&self) -> Vec<SocketAddr> {
        self.known.clone()
    }

    /// Whether any address is known.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !self.known.is_empty()
    }

    /// Whether the caller must start a look-up now; it then owes [`found`](Self::found).
    #[must_use = "a look-up that is announced must be made"]
    pub fn start_look_up(&mut self, now: Instant) -> bool {
        let age_max = if self.in_doubt || self.known.is_empty() {
            REFRESH_IN_DOUBT
        } else {
            REFRESH
        };
        let due = self
            .looked_up
            .is_none_or(|at| now.saturating_since(at) >= age_max);
        self.is_name && due && !std::mem::replace(&mut self.looking_up, true)
    }

    /// Whether a look-up was announced and has not been answered yet.
    #[must_use]
    pub fn is_looking_up(&self) -> bool {
        self.looking_up
    }

    /// Whether a connection is still one to the origin, which may have moved since it was made;
    /// `peer` is asked for its other end only where it did.
    pub fn is_origin(&self, peer: impl FnOnce() -> Option<SocketAddr>) -> bool {
        !self.has_moved || peer().is_some_and(|peer| self.known.contains(&peer))
    }

    /// Takes the answer of a look-up. A failed one leaves the old addresses in use. Returns what
    /// to tell the operator.
    pub fn found(
        &mut self,
        answer: Result<Vec<SocketAddr>, String>,
        now: Instant,
    ) -> Option<Trouble> {
        self.looking_up = false;
        self.looked_up = Some(now);
        let error = match answer {
            Ok(found) if !found.is_empty() => {
                let last = self.known.first().copied();
                self.has_moved |= self.known.iter().any(|known| !found.contains(known));
                self.known = found;
                self.in_doubt = false;
                self.known.sort_by_key(|address| Some(*address) != last);
                self.outage.0.unknown.store(false, Ordering::Relaxed);
                return None;
            }
            Ok(_) => "it has no address".to_owned(),
            Err(error) => error,
        };
        let is_new = !self.outage.0.unknown.swap(true, Ordering::Relaxed);
        is_new.then(|| Trouble::Unresolved {
            host: self.host.clone(),
            error,
            keeps_old: !self.known.is_empty(),
        })
    }

    /// A try to connect to what is known, within `time` in all.
    #[must_use]
    pub fn dial(&self, time: Duration) -> Dial {
        Dial::new(self.known.clone(), time)
    }

    /// Takes note that `address` took a connection.
    pub fn connected(&mut self, address: SocketAddr) {
        self.in_doubt = false;
        self.outage.0.unreachable.store(false, Ordering::Relaxed);
        if self.known.first() != Some(&address) {
            self.known.sort_by_key(|known| *known != address);
        }
    }

    /// Takes note of a [`Dial`] that ended in `error`. Returns what to tell the operator.
    pub fn not_connected(&mut self, error: &io::Error, now: Instant) -> Option<Trouble> {
        let Some(lack) = Lack::of(error) else {
            let is_silent = error.kind() == ErrorKind::TimedOut;
            return self.unreachable(&error.to_string(), is_silent);
        };
        self.outage.0.wanting.is_due(now).then(|| Trouble::Lacking {
            error: error.to_string(),
            lack,
        })
    }

    /// Takes note that no address took a connection. Returns what to tell the operator.
    fn unreachable(&mut self, error: &str, is_silent: bool) -> Option<Trouble> {
        if self.known.is_empty() {
            // The look-up has told.
            return None;
        }
        self.in_doubt = true;
        let is_new = !self.outage.0.unreachable.swap(true, Ordering::Relaxed);
        is_new.then(|| Trouble::Unreachable {
            host: self.host.clone(),
            port: self.port,
            error: error.to_owned(),
            is_silent,
        })
    }
}

/// One try to connect: which address is next, and how long it may take.
#[derive(Debug)]
pub struct Dial {
    left: vec::IntoIter<SocketAddr>,
    share: Duration,
    error: io::Error,
    has_failed: bool,
}

impl Dial {
    /// A try to connect to one of `addresses`, within `time` in all.
    #[must_use]
    pub fn new(addresses: Vec<SocketAddr>, time: Duration) -> Self {
        Self {
            share: time / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX),
            left: addresses.into_iter(),
            error: io::Error::new(ErrorKind::NotFound, "its name has no address"),
            has_failed: false,
        }
    }

    /// The next address and its share of the time, so that one that never answers does not use up
    /// the others' chance; `None` when all have failed.
    pub fn poll_next(&mut self) -> Option<(SocketAddr, Duration)> {
        Some((self.left.next()?, self.share))
    }

    /// Takes note that the last address did not take a connection. What is wanting here counts only
    /// where no address says more: one of a kind that this machine does not have is no reason.
    pub fn failed(&mut self, error: io::Error) {
        if !self.has_failed || !is_want(&error) {
            self.error = error;
        }
        self.has_failed = true;
    }

    /// Takes note that the last address did not answer within its share.
    pub fn timed_out(&mut self) {
        self.failed(io::Error::new(ErrorKind::TimedOut, "no answer in time"));
    }

    /// Why no address took a connection.
    #[must_use]
    pub fn into_error(self) -> io::Error {
        self.error
    }
}

/// Whether a connection failed because this side lacks sockets, ports or memory, which says nothing
/// of the origin.
#[must_use]
pub fn is_want(error: &io::Error) -> bool {
    Lack::of(error).is_some()
}

impl Lack {
    /// What is lacking on this side; `None` for any other error.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        // The standard library has no names for these. The first two have one number on every Unix.
        const ENFILE: i32 = 23;
        const EMFILE: i32 = 24;
        const ENOBUFS: i32 = if cfg!(target_os = "linux") { 105 } else { 55 };
        match (error.raw_os_error(), error.kind()) {
            (Some(EMFILE), _) => Some(Self::Files),
            (Some(ENFILE), _) => Some(Self::SystemFiles),
            (Some(ENOBUFS), _) | (_, ErrorKind::OutOfMemory) => Some(Self::Memory),
            (_, ErrorKind::AddrNotAvailable) => Some(Self::Ports),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::from_epoch(Duration::from_secs(secs))
    }

    fn unreachable(host: &str) -> Trouble {
        Trouble::Unreachable {
            host: host.to_owned(),
            port: 80,
            error: "connection refused".to_owned(),
            is_silent: false,
        }
    }

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 80))
    }

    #[test]
    fn an_address_needs_no_look_up() {
        for host in ["192.0.2.1", "::1", "[::1]"] {
            let mut addresses = Addresses::new(host, 80, Outage::default());
            assert_eq!(addresses.in_order().len(), 1);
            assert!(!addresses.start_look_up(at(99)));
        }
    }

    #[test]
    fn a_name_is_looked_up_once_at_a_time_and_again_after_a_while() {
        let mut addresses = Addresses::new("origin.example", 80, Outage::default());
        assert!(addresses.start_look_up(at(0)));
        assert!(!addresses.start_look_up(at(1)), "one runs");
        assert!(addresses.is_looking_up());
        assert_eq!(
            addresses.found(Ok(vec![address(1), address(2)]), at(1)),
            None
        );
        assert!(!addresses.is_looking_up());
        assert!(!addresses.start_look_up(at(30)));
        assert!(addresses.start_look_up(at(31)));
        assert!(addresses.found(Err("timeout".to_owned()), at(31)).is_some());
        assert_eq!(addresses.in_order().len(), 2, "the old ones stay in use");
    }

    #[test]
    fn a_name_that_leads_nowhere_is_looked_up_soon() {
        let mut addresses = Addresses::new("origin.example", 80, Outage::default());
        assert!(addresses.start_look_up(at(0)));
        addresses.found(Ok(vec![address(1)]), at(0));
        let told = addresses.unreachable("connection refused", false).unwrap();
        assert_eq!(told, unreachable("origin.example"));
        assert!(!addresses.start_look_up(at(0)), "not for each visitor");
        assert!(addresses.start_look_up(at(1)));
        let told = addresses.found(Err("no such name".to_owned()), at(1));
        let told = told.unwrap();
        let expected = Trouble::Unresolved {
            host: "origin.example".to_owned(),
            error: "no such name".to_owned(),
            keeps_old: true,
        };
        assert_eq!(told, expected);
        assert!(addresses.start_look_up(at(2)), "the doubt remains");
        addresses.found(Ok(vec![address(1)]), at(2));
        addresses.connected(address(1));
        assert!(!addresses.start_look_up(at(31)));
        assert!(addresses.start_look_up(at(32)));
    }

    #[test]
    fn a_connection_to_where_the_origin_was_is_none_to_it() {
        let mut addresses = Addresses::new("origin.example", 80, Outage::default());
        for found in [vec![1, 2], vec![2, 1, 3]] {
            addresses.found(Ok(found.into_iter().map(address).collect()), at(0));
            assert!(addresses.is_origin(|| panic!("nobody has to ask")));
        }
        addresses.found(Ok(vec![address(3)]), at(0));
        assert!(addresses.is_origin(|| Some(address(3))));
        assert!(!addresses.is_origin(|| Some(address(1))));
        assert!(!addresses.is_origin(|| None), "it is gone");
    }

    #[test]
    fn what_took_the_last_connection_is_tried_first() {
        let mut addresses = Addresses::new("origin.example", 80, Outage::default());
        assert!(addresses.start_look_up(at(0)));
        addresses.found(Ok(vec![address(1), address(2), address(3)]), at(0));
        addresses.connected(address(2));
        assert_eq!(addresses.in_order(), [address(2), address(1), address(3)]);
        addresses.found(Ok(vec![address(3), address(2)]), at(31));
        assert_eq!(
            addresses.in_order(),
            [address(2), address(3)],
            "also after a look-up"
        );
    }

    #[test]
    fn each_address_is_tried_once_with_its_share_of_the_time() {
        let mut addresses = Addresses::new("origin.example", 80, Outage::default());
        let mut none = addresses.dial(Duration::from_secs(1));
        assert_eq!(none.poll_next(), None);
        assert_eq!(none.into_error().to_string(), "its name has no address");
        addresses.found(Ok(vec![address(1), address(2)]), at(0));
        addresses.connected(address(2));
        let mut dial = addresses.dial(Duration::from_secs(1));
        for last in [2, 1] {
            let share = Duration::from_millis(500);
            assert_eq!(dial.poll_next(), Some((address(last), share)));
            dial.timed_out();
        }
        assert_eq!(dial.poll_next(), None);
        assert_eq!(dial.into_error().kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn what_is_wanting_here_is_told_once_a_minute_and_says_nothing_of_the_origin() {
        let outage = Outage::default();
        let mut one = Addresses::new("192.0.2.1", 80, outage.clone());
        let mut two = Addresses::new("192.0.2.1", 80, outage);
        let files = io::Error::from_raw_os_error(24);
        let told = one.not_connected(&files, at(1)).unwrap();
        assert!(matches!(
            told,
            Trouble::Lacking {
                lack: Lack::Files,
                ..
            }
        ));
        one.connected(address(1));
        assert_eq!(one.not_connected(&files, at(60)), None);
        assert_eq!(two.not_connected(&files, at(60)), None);
        assert!(two.not_connected(&files, at(61)).is_some());
        let refused = io::Error::from(ErrorKind::ConnectionRefused);
        let told = two.not_connected(&refused, at(60)).unwrap();
        assert!(matches!(told, Trouble::Unreachable { .. }), "{told:?}");
    }

    #[test]
    fn a_refusal_is_no_want_though_another_address_cannot_be_tried() {
        #[track_caller]
        fn check(kinds: [ErrorKind; 2], is_wanting: bool) {
            let mut addresses = Addresses::new("origin.example", 80, Outage::default());
            addresses.found(Ok(vec![address(1), address(2)]), at(0));
            let mut dial = addresses.dial(Duration::from_secs(1));
            for kind in kinds {
                assert!(dial.poll_next().is_some());
                dial.failed(kind.into());
            }
            assert_eq!(is_want(&dial.into_error()), is_wanting, "{kinds:?}");
        }
        let (want, refused) = (ErrorKind::AddrNotAvailable, ErrorKind::ConnectionRefused);
        check([want, want], true);
        check([want, refused], false);
        check([refused, want], false);
        check([ErrorKind::OutOfMemory, want], true);
    }

    #[test]
    fn an_outage_is_told_once_by_all_workers() {
        let outage = Outage::default();
        let mut one = Addresses::new("192.0.2.1", 80, outage.clone());
        let mut two = Addresses::new("192.0.2.1", 80, outage);
        let told = one.unreachable("connection refused", false).unwrap();
        assert_eq!(told, unreachable("192.0.2.1"));
        assert_eq!(
            (one.unreachable("x", false), two.unreachable("x", false)),
            (None, None)
        );
        two.connected(address(1));
        assert!(one.unreachable("again", false).is_some());
    }
}
