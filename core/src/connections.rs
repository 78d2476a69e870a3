//! Owns who may have a connection: how many there are, of whom, and who gives way when all
//! seats are taken.
//! Never closes one: it says which, and the adapter tells the session.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use slab::Slab;

use crate::config::TrustedProxies;
use crate::session::Standing;
use crate::time::Instant;

/// One in this many seats is freed at a time: looking for the longest idle is paid for once by
/// that many newcomers.
const FREED_SHARE: usize = 128;

/// How many connections there may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Seats {
    /// Of all clients.
    pub total: usize,
    /// Of one address, an IPv6 network of 64 bits being one; `None` for no bound. Trusted proxies
    /// have none: they speak for everybody.
    pub per_address: Option<usize>,
}

/// Why a client gets no seat.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Full {
    /// Its address has all that it may have.
    Address,
    /// All are taken by clients with a running request.
    Total,
}

/// One connection's seat, shared with whoever runs its session.
#[derive(Debug)]
pub struct Seat {
    must_leave: AtomicBool,
    /// Nanoseconds, doubled, plus one where a head is being read; [`BUSY`] otherwise.
    standing: AtomicU64,
}

const BUSY: u64 = u64::MAX;

impl Seat {
    /// Notes how the session stands.
    pub fn note(&self, standing: Standing) {
        let since = |instant: Instant| instant.as_nanos().min(u64::MAX / 4) * 2;
        let value = match standing {
            Standing::Busy => BUSY,
            Standing::Idle(instant) => since(instant),
            Standing::Reading(instant) => since(instant) + 1,
        };
        // Advice only: whoever is told to leave looks at its own state again.
        self.standing.store(value, Ordering::Relaxed);
    }

    /// Whether the session was told to leave.
    #[must_use]
    pub fn must_leave(&self) -> bool {
        self.must_leave.load(Ordering::Acquire)
    }
}

/// All connections. `B` is how the adapter reaches the task that runs one.
#[derive(Debug)]
pub struct Connections<B> {
    by_network: BTreeMap<u128, usize>,
    leaving: usize,
    open: Slab<Seated<B>>,
    seats: Seats,
    trusted: TrustedProxies,
}

#[derive(Debug)]
struct Seated<B> {
    bell: B,
    network: Option<u128>,
    seat: Arc<Seat>,
}

impl<B: Clone> Connections<B> {
    /// Nobody is there.
    #[must_use]
    pub fn new(seats: Seats, trusted: TrustedProxies) -> Self {
        debug_assert!(seats.total > 0, "nobody would be served");
        Self {
            by_network: BTreeMap::new(),
            leaving: 0,
            open: Slab::new(),
            seats,
            trusted,
        }
    }

    /// Takes a seat for a client; the key gives it back with [`leave`](Self::leave). Where all
    /// were taken, those that give way are put into `leaving`: ring their bells.
    ///
    /// # Errors
    /// Why there is none.
    pub fn enter(
        &mut self,
        address: IpAddr,
        bell: B,
        leaving: &mut Vec<B>,
        now: Instant,
    ) -> Result<(usize, Arc<Seat>), Full> {
        let is_bounded = self.seats.per_address.is_some() && !self.trusted.contain(address);
        let network = is_bounded.then(|| network(address));
        if let (Some(network), Some(max)) = (network, self.seats.per_address)
            && self
                .by_network
                .get(&network)
                .is_some_and(|&count| count >= max)
        {
            return Err(Full::Address);
        }
        let staying = self.open.len() - self.leaving;
        if staying >= self.seats.total && !self.make_room(leaving) {
            return Err(Full::Total);
        }
        if let Some(network) = network {
            *self.by_network.entry(network).or_default() += 1;
        }
        let seat = Arc::new(Seat {
            must_leave: AtomicBool::new(false),
            standing: AtomicU64::new(0),
        });
        seat.note(Standing::Idle(now));
        let entry = Seated {
            bell,
            network,
            seat: Arc::clone(&seat),
        };
        Ok((self.open.insert(entry), seat))
    }

    /// Tells some that run no request to leave: the longest idle, and where none is idle, who has
    /// been sending a head for the longest. Whether there was any.
    pub fn make_room(&mut self, leaving: &mut Vec<B>) -> bool {
        let mut candidates: Vec<(u64, u64, usize)> = self
            .open
            .iter()
            .filter(|(_, entry)| !entry.seat.must_leave())
            .map(|(key, entry)| (entry.seat.standing.load(Ordering::Relaxed), key))
            .filter(|(standing, _)| *standing != BUSY)
            .map(|(standing, key)| (standing % 2, standing / 2, key))
            .collect();
        let count = (self.seats.total / FREED_SHARE).clamp(1, candidates.len().max(1));
        if count < candidates.len() {
            candidates.select_nth_unstable(count - 1);
            candidates.truncate(count);
        }
        for (_, _, key) in &candidates {
            let entry = &self.open[*key];
            entry.seat.must_leave.store(true, Ordering::Release);
            leaving.push(entry.bell.clone());
        }
        self.leaving += candidates.len();
        !candidates.is_empty()
    }

    /// Gives the seat `key` back, and the bell, to be dropped outside of any lock.
    pub fn leave(&mut self, key: usize) -> Option<B> {
        let Some(entry) = self.open.try_remove(key) else {
            debug_assert!(false, "a seat is given back once");
            return None;
        };
        if entry.seat.must_leave() {
            self.leaving -= 1;
        }
        if let Some(network) = entry.network
            && let Some(count) = self.by_network.get_mut(&network)
        {
            *count -= 1;
            if *count == 0 {
                self.by_network.remove(&network);
            }
        }
        Some(entry.bell)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

/// Whom an address stands for.
fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        // One customer, and often one machine, has at least this much (RFC 6177).
        IpAddr::V6(address) => address.to_bits() >> 64 << 64,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::from_epoch(Duration::from_secs(secs))
    }

    struct Door {
        connections: Connections<u64>,
        left: Vec<u64>,
    }

    impl Door {
        fn new(total: usize, per_address: Option<usize>) -> Self {
            Self {
                connections: Connections::new(
                    Seats { total, per_address },
                    "127.0.0.0/8,::1,10.0.0.0/8".parse().unwrap(),
                ),
                left: Vec::new(),
            }
        }

        fn enter(&mut self, address: &str, bell: u64) -> Result<(usize, Arc<Seat>), Full> {
            let address = address.parse().unwrap();
            self.left.clear();
            self.connections
                .enter(address, bell, &mut self.left, at(bell))
        }
    }

    #[test]
    fn the_longest_idle_gives_way_and_a_running_request_never_does() {
        let mut door = Door::new(3, None);
        let (_, busy) = door.enter("192.0.2.1", 1).unwrap();
        let (key, reading) = door.enter("192.0.2.1", 2).unwrap();
        let (_, idle) = door.enter("192.0.2.1", 3).unwrap();
        busy.note(Standing::Busy);
        reading.note(Standing::Reading(at(2)));
        let (_, newest) = door.enter("192.0.2.1", 4).unwrap();
        assert_eq!(door.left, [3], "idle ones first, however long others read");
        assert!(idle.must_leave() && !reading.must_leave() && !busy.must_leave());
        newest.note(Standing::Busy);
        let (_, last) = door.enter("192.0.2.1", 5).unwrap();
        assert_eq!(door.left, [2], "then who sends a head");
        last.note(Standing::Busy);
        assert_eq!(door.enter("192.0.2.1", 6).unwrap_err(), Full::Total);
        assert_eq!(door.connections.len(), 5, "those who leave are still there");
        door.connections.leave(key);
        assert_eq!(door.enter("192.0.2.1", 7).unwrap_err(), Full::Total);
    }

    #[test]
    fn an_address_has_its_share_and_a_trusted_proxy_has_no_bound() {
        let mut door = Door::new(100, Some(2));
        let (key, _) = door.enter("192.0.2.1", 1).unwrap();
        assert!(door.enter("::ffff:192.0.2.1", 2).is_ok());
        assert_eq!(door.enter("192.0.2.1", 3).unwrap_err(), Full::Address);
        assert!(door.enter("192.0.2.2", 4).is_ok());
        assert!(door.enter("2001:db8::1", 5).is_ok());
        assert!(door.enter("2001:db8::ffff:1", 6).is_ok());
        assert_eq!(door.enter("2001:db8::2", 7).unwrap_err(), Full::Address);
        assert!(door.enter("2001:db8:0:1::1", 8).is_ok(), "another network");
        for bell in 10..20 {
            assert!(door.enter("127.0.0.1", bell).is_ok());
            assert!(door.enter("::1", bell).is_ok());
            assert!(door.enter("::ffff:10.0.0.7", bell).is_ok());
        }
        door.connections.leave(key);
        assert!(door.enter("192.0.2.1", 30).is_ok(), "a seat came back");
    }

    #[test]
    fn nothing_is_left_when_all_have_gone() {
        let mut door = Door::new(2, Some(5));
        let keys: Vec<_> = (0..9)
            .filter_map(|bell| door.enter("192.0.2.1", bell).ok())
            .collect();
        for (key, _) in keys {
            door.connections.leave(key);
        }
        assert!(door.connections.is_empty() && door.connections.by_network.is_empty());
        assert_eq!(door.connections.leaving, 0);
    }
}
