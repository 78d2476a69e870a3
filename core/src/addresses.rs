//! Owns which addresses of the origin are known, when its name is looked up again, which address
//! is tried first, and which trouble is worth telling.
//! Never looks up, connects or waits: an adapter does, and says how it went.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::time::Instant;

/// Age after which a name is looked up again, while its old addresses stay in use.
const REFRESH: Duration = Duration::from_secs(30);

/// Told once for all workers, until it is over.
#[derive(Clone, Debug, Default)]
pub struct Outage(Arc<OutageFlags>);

#[derive(Debug, Default)]
struct OutageFlags {
    unknown: AtomicBool,
    unreachable: AtomicBool,
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

    /// Whether the caller must start a look-up now; it then owes [`found`](Self::found).
    #[must_use = "a look-up that is announced must be made"]
    pub fn start_look_up(&mut self, now: Instant) -> bool {
        let is_old = |at: Instant| now.saturating_since(at) >= REFRESH;
        let due = self.known.is_empty() || self.looked_up.is_none_or(is_old);
        self.is_name && due && !std::mem::replace(&mut self.looking_up, true)
    }

    /// Whether a look-up was announced and has not been answered yet.
    #[must_use]
    pub fn is_looking_up(&self) -> bool {
        self.looking_up
    }

    /// Takes the answer of a look-up. A failed one leaves the old addresses in use. Returns what
    /// to tell the operator.
    pub fn found(
        &mut self,
        answer: Result<Vec<SocketAddr>, String>,
        now: Instant,
    ) -> Option<String> {
        self.looking_up = false;
        self.looked_up = Some(now);
        let error = match answer {
            Ok(found) if !found.is_empty() => {
                let last = self.known.first().copied();
                self.known = found;
                self.known.sort_by_key(|address| Some(*address) != last);
                self.outage.0.unknown.store(false, Ordering::Relaxed);
                return None;
            }
            Ok(_) => "it has no address".to_owned(),
            Err(error) => error,
        };
        let Self { host, .. } = self;
        (!self.outage.0.unknown.swap(true, Ordering::Relaxed)).then(|| {
            format!(
                "cannot resolve the application's name `{host}`: {error}; \
                 is RETTER_BACKEND_BASEURL right, and the name service up?"
            )
        })
    }

    /// Takes note that `address` took a connection.
    pub fn connected(&mut self, address: SocketAddr) {
        self.outage.0.unreachable.store(false, Ordering::Relaxed);
        if self.known.first() != Some(&address) {
            self.known.sort_by_key(|known| *known != address);
        }
    }

    /// Takes note that no address took a connection. Returns what to tell the operator.
    pub fn unreachable(&mut self, error: &str) -> Option<String> {
        let Self { host, port, .. } = self;
        (!self.outage.0.unreachable.swap(true, Ordering::Relaxed)).then(|| {
            format!(
                "cannot connect to the application at {host}:{port}: {error}; \
                 is it running, and is RETTER_BACKEND_BASEURL right?"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::from_epoch(Duration::from_secs(secs))
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
    fn an_outage_is_told_once_by_all_workers() {
        let outage = Outage::default();
        let mut one = Addresses::new("192.0.2.1", 80, outage.clone());
        let mut two = Addresses::new("192.0.2.1", 80, outage);
        let told = one.unreachable("connection refused").unwrap();
        assert!(told.contains("192.0.2.1:80: connection refused"), "{told}");
        assert_eq!((one.unreachable("x"), two.unreachable("x")), (None, None));
        two.connected(address(1));
        assert!(one.unreachable("again").is_some());
    }
}
