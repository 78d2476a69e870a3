//! Owns who may have a connection: how many there are, of whom, and who gives way when all
//! seats are taken.
//! Never closes one: it says which, and the adapter tells the session.
//!
//! What runs no request goes first: what has been idle for the longest, then what has been sending
//! a request for the longest. Then a client that is too slow to take its answer or to send its
//! request, of the network that has the most seats. Last, and only where they are many, those who have
//! hardly had the time to ask. A network with more than a share of all seats gives of its own before
//! anybody else has to; so whoever fills the house, and comes again and again, takes seats from itself.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use slab::Slab;

use crate::config::TrustedProxies;
use crate::network::Network;
use crate::session::Standing;
use crate::time::Instant;

/// One in this many seats is freed at a time: looking for the longest idle is paid for once by
/// that many newcomers.
const FREED_SHARE: usize = 128;

/// More than one in this many seats is more than a share: of a network, or of those who are new.
const SHARE: usize = 8;

/// Who came, or began to send a request, since then has hardly had the time for more.
const NEW: Duration = Duration::from_secs(1);

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
    /// All are taken by clients of whom none may give way.
    Total,
}

/// One connection's seat, shared with whoever runs its session.
#[derive(Debug)]
pub struct Seat {
    must_leave: AtomicBool,
    /// Nanoseconds, times [`KINDS`], plus which kind of standing; [`BUSY`] for none of them.
    standing: AtomicU64,
}

const BUSY: u64 = u64::MAX;
const IDLE: u64 = 0;
const READING: u64 = 1;
const OWING: u64 = 2;
const KINDS: u64 = 4;

impl Seat {
    /// Notes how the session stands.
    pub fn note(&self, standing: Standing) {
        let since = |instant: Instant| instant.as_nanos().min(BUSY / KINDS - 1) * KINDS;
        let value = match standing {
            Standing::Busy => BUSY,
            Standing::Idle(instant) => since(instant) + IDLE,
            Standing::Owing(instant) => since(instant) + OWING,
            Standing::Reading(instant) => since(instant) + READING,
        };
        // Advice only: whoever is told to leave looks at its own state again.
        self.standing.store(value, Ordering::Relaxed);
    }

    /// Whether the session was told to leave.
    #[must_use]
    pub fn must_leave(&self) -> bool {
        self.must_leave.load(Ordering::Acquire)
    }

    /// Why it may give way now, and since when; `None` where it may not.
    fn reason(&self, now: Instant) -> Option<(Reason, u64)> {
        let standing = self.standing.load(Ordering::Relaxed);
        let (kind, since) = (standing % KINDS, standing / KINDS);
        let is_new = now < Instant::from_epoch(Duration::from_nanos(since)) + NEW;
        let reason = match kind {
            _ if standing == BUSY => return None,
            OWING if since > now.as_nanos() => return None,
            OWING => Reason::Slow,
            READING if is_new => Reason::New,
            READING => Reason::Reading,
            _ => Reason::Idle,
        };
        Some((reason, since))
    }
}

/// Why a connection gives way; the first one goes first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Reason {
    Idle,
    Reading,
    /// Its request runs, and waits for its client.
    Slow,
    /// Its request has not had the time to come.
    New,
}

/// All connections. `B` is how the adapter reaches the task that runs one.
#[derive(Debug)]
pub struct Connections<B> {
    /// For the bound on each.
    by_host: BTreeMap<u128, usize>,
    /// Those who stay. Trusted proxies are of no network.
    by_network: BTreeMap<Network, usize>,
    leaving: usize,
    open: Slab<Seated<B>>,
    seats: Seats,
    trusted: TrustedProxies,
}

#[derive(Debug)]
struct Seated<B> {
    bell: B,
    host: Option<u128>,
    network: Option<Network>,
    seat: Arc<Seat>,
}

/// One that may give way: in the order in which they do.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Candidate {
    reason: Reason,
    /// How many its network has, where that counts.
    of_network: Reverse<usize>,
    since: u64,
    key: usize,
}

impl<B: Clone> Connections<B> {
    /// Nobody is there.
    #[must_use]
    pub fn new(seats: Seats, trusted: TrustedProxies) -> Self {
        debug_assert!(seats.total > 0, "nobody would be served");
        Self {
            by_host: BTreeMap::new(),
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
        let is_trusted = self.trusted.contain(address);
        let max = self.seats.per_address.filter(|_| !is_trusted);
        let host = max.map(|_| host(address));
        if let (Some(host), Some(max)) = (host, max)
            && self.by_host.get(&host).is_some_and(|&count| count >= max)
        {
            return Err(Full::Address);
        }
        let staying = self.open.len() - self.leaving;
        if staying >= self.seats.total && !self.make_room(leaving, now) {
            return Err(Full::Total);
        }
        let network = (!is_trusted).then(|| Network::of(address));
        if let Some(host) = host {
            *self.by_host.entry(host).or_default() += 1;
        }
        if let Some(network) = network {
            *self.by_network.entry(network).or_default() += 1;
        }
        let seat = Arc::new(Seat {
            must_leave: AtomicBool::new(false),
            standing: AtomicU64::new(0),
        });
        seat.note(Standing::Reading(now));
        let entry = Seated {
            bell,
            host,
            network,
            seat: Arc::clone(&seat),
        };
        Ok((self.open.insert(entry), seat))
    }

    /// Tells some to leave. Whether there was any that may.
    pub fn make_room(&mut self, leaving: &mut Vec<B>, now: Instant) -> bool {
        let heaviest = self.heaviest();
        let is_of_heaviest = |entry: &Seated<B>| heaviest.is_some() && entry.network == heaviest;
        let mut candidates = self.candidates(is_of_heaviest, now);
        let gives_its_own = !candidates.is_empty();
        if !gives_its_own {
            candidates = self.candidates(|_| true, now);
        }
        let count = (self.seats.total / FREED_SHARE).clamp(1, candidates.len().max(1));
        if count < candidates.len() {
            candidates.select_nth_unstable(count - 1);
            candidates.truncate(count);
        }
        if !gives_its_own {
            // Others are not cut off for those who come later.
            candidates.sort_unstable();
            let free = candidates.partition_point(|candidate| candidate.reason < Reason::Slow);
            candidates.truncate(free.max(1));
        }
        for candidate in &candidates {
            let entry = &self.open[candidate.key];
            entry.seat.must_leave.store(true, Ordering::Release);
            leaving.push(entry.bell.clone());
            if let Some(network) = entry.network {
                take_one(&mut self.by_network, network);
            }
        }
        self.leaving += candidates.len();
        !candidates.is_empty()
    }

    /// The network with the most seats, where that is more than a share.
    fn heaviest(&self) -> Option<Network> {
        let most = self.by_network.iter().max_by_key(|(_, count)| **count);
        most.filter(|(_, count)| self.is_over(**count))
            .map(|(network, _)| *network)
    }

    fn is_over(&self, count: usize) -> bool {
        count > (self.seats.total / SHARE).max(1)
    }

    /// Those of `chosen` that may give way.
    fn candidates(&self, chosen: impl Fn(&Seated<B>) -> bool, now: Instant) -> Vec<Candidate> {
        let of_network = |entry: &Seated<B>| {
            let network = entry.network.as_ref();
            let count = network.and_then(|network| self.by_network.get(network));
            count.copied().unwrap_or_default()
        };
        let staying = self
            .open
            .iter()
            .filter(|(_, entry)| !entry.seat.must_leave() && chosen(entry));
        let candidates = staying.filter_map(|(key, entry)| {
            let (reason, since) = entry.seat.reason(now)?;
            let count = if reason == Reason::Slow {
                of_network(entry)
            } else {
                0
            };
            Some(Candidate {
                reason,
                of_network: Reverse(count),
                since,
                key,
            })
        });
        let mut candidates: Vec<_> = candidates.collect();
        let is_new = |candidate: &Candidate| candidate.reason == Reason::New;
        if !self.is_over(candidates.iter().filter(|found| is_new(found)).count()) {
            candidates.retain(|candidate| !is_new(candidate));
        }
        candidates
    }

    /// Gives the seat `key` back, and the bell, to be dropped outside of any lock.
    pub fn leave(&mut self, key: usize) -> Option<B> {
        let Some(entry) = self.open.try_remove(key) else {
            debug_assert!(false, "a seat is given back once");
            return None;
        };
        if entry.seat.must_leave() {
            self.leaving -= 1;
        } else if let Some(network) = entry.network {
            take_one(&mut self.by_network, network);
        }
        if let Some(host) = entry.host {
            take_one(&mut self.by_host, host);
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

/// Counts one less of this.
fn take_one<K: Ord>(counts: &mut BTreeMap<K, usize>, of: K) {
    if let Some(count) = counts.get_mut(&of) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&of);
        }
    }
}

/// Whom an address stands for, where the connections of each are bounded.
fn host(address: IpAddr) -> u128 {
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
        idle.note(Standing::Idle(at(3)));
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
    fn a_slow_client_of_the_network_with_the_most_gives_way_when_nobody_else_can() {
        let mut door = Door::new(6, None);
        let mut sit = |address: &str, standing| {
            let bell = door.connections.len() as u64;
            let (_, seat) = door.enter(address, bell).unwrap();
            seat.note(standing);
            seat
        };
        let owing = |secs| Standing::Owing(at(secs));
        // The third is slow in the future only: it moves.
        let of_many = [owing(50), owing(40), owing(101)].map(|standing| sit("192.0.2.1", standing));
        let of_few = [owing(10), owing(20)].map(|standing| sit("198.51.100.1", standing));
        let busy = sit("203.0.113.1", Standing::Busy);
        // Each sends its request at once.
        let mut come = |address: &str, now: u64| {
            let (_, seat) = door.enter(address, now).ok()?;
            seat.note(Standing::Busy);
            Some(std::mem::take(&mut door.left))
        };
        assert_eq!(come("203.0.113.2", 100), Some(vec![1]), "the slowest");
        assert_eq!(come("203.0.114.2", 100), Some(vec![3]), "two, two and two");
        assert_eq!(come("203.0.115.2", 100), Some(vec![0]));
        assert_eq!(come("203.0.116.2", 100), Some(vec![4]));
        assert_eq!(come("203.0.117.2", 100), None, "all others move");
        assert_eq!(come("203.0.117.2", 101), Some(vec![2]), "too slow by now");
        assert!(of_many.iter().chain(&of_few).all(|seat| seat.must_leave()));
        assert!(!busy.must_leave());
    }

    #[test]
    fn a_network_with_more_than_a_share_gives_of_its_own_first() {
        let mut door = Door::new(16, None);
        let (_, visitor) = door.enter("198.51.100.1", 1).unwrap();
        for bell in 2..17 {
            let (_, seat) = door.enter("192.0.2.1", bell).unwrap();
            seat.note(match bell {
                2 => Standing::Idle(at(50)),
                3 => Standing::Reading(at(40)),
                4..=8 => Standing::Owing(at(60)),
                _ => Standing::Busy,
            });
        }
        // It comes again and again, and nobody else loses a seat to that.
        for (bell, given) in (100..107).zip([2, 3, 4, 5, 6, 7, 8]) {
            let (_, seat) = door.enter("192.0.2.9", bell).unwrap();
            seat.note(Standing::Busy);
            assert_eq!(door.left, [given]);
        }
        assert!(!visitor.must_leave(), "though it has been idle for long");
        assert!(door.enter("192.0.2.9", 107).is_ok());
        assert_eq!(door.left, [1], "nothing of its own may give way");
    }

    #[test]
    fn whoever_has_just_come_gives_way_where_these_are_many_only() {
        let mut door = Door::new(16, None);
        for bell in 0..14_u8 {
            let (_, seat) = door
                .enter(&format!("192.0.{bell}.1"), u64::from(bell))
                .unwrap();
            seat.note(Standing::Busy);
        }
        let (_, new) = door.enter("198.51.100.1", 20).unwrap();
        let (_, slow) = door.enter("203.0.113.1", 19).unwrap();
        slow.note(Standing::Owing(at(10)));
        assert!(door.enter("203.0.114.1", 20).is_ok());
        assert_eq!(door.left, [19], "the slow one");
        let refused = door.enter("203.0.115.1", 20).unwrap_err();
        assert_eq!((refused, new.must_leave()), (Full::Total, false));
        assert!(door.enter("203.0.115.1", 21).is_ok());
        assert_eq!((door.left.as_slice(), new.must_leave()), (&[20][..], true));

        // A flood of those who say nothing: the oldest goes, and each has its time.
        let mut door = Door::new(16, None);
        for bell in 0..16_u8 {
            assert!(door.enter(&format!("192.0.{bell}.1"), 7).is_ok());
        }
        assert!(door.enter("203.0.113.1", 7).is_ok());
        assert_eq!(door.left, [7]);
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
        assert!(door.connections.is_empty() && door.connections.by_host.is_empty());
        assert!(door.connections.by_network.is_empty());
        assert_eq!(door.connections.leaving, 0);
    }
}
