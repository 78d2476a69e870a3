//! Owns the idle connections to the origin, whatever the adapter's socket type is.
//! Never checks whether a socket is alive: the adapter does, at checkout.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Instant;

/// Idle connections, the warmest handed out first.
#[derive(Debug)]
pub struct IdlePool<S> {
    /// Oldest first.
    idle: VecDeque<(Instant, S)>,
    idle_max: usize,
    idle_timeout: Duration,
}

impl<S> IdlePool<S> {
    /// Builds a pool of at most `idle_max` connections, each idle for at most `idle_timeout`.
    #[must_use]
    pub fn new(idle_max: usize, idle_timeout: Duration) -> Self {
        Self {
            idle: VecDeque::new(),
            idle_max,
            idle_timeout,
        }
    }

    /// Takes out the connection that was used last; those idle for too long are dropped.
    pub fn checkout(&mut self, now: Instant) -> Option<S> {
        self.expire(now);
        self.idle.pop_back().map(|(_, socket)| socket)
    }

    /// Puts a connection in. What does not fit any more (the oldest, or this one) is returned
    /// and must be closed.
    #[must_use = "the connection that does not fit must be closed"]
    pub fn checkin(&mut self, socket: S, now: Instant) -> Option<S> {
        if self.idle_max == 0 {
            return Some(socket);
        }
        let surplus = if self.idle.len() >= self.idle_max {
            self.idle.pop_front()
        } else {
            None
        };
        self.idle.push_back((now, socket));
        surplus.map(|(_, socket)| socket)
    }

    /// Drops the connections that were idle for too long.
    pub fn expire(&mut self, now: Instant) {
        let is_old = |parked: Instant| now.saturating_since(parked) >= self.idle_timeout;
        while self.idle.front().is_some_and(|(parked, _)| is_old(*parked)) {
            self.idle.pop_front();
        }
    }

    /// Number of idle connections.
    #[must_use]
    pub fn len(&self) -> usize {
        self.idle.len()
    }

    /// Whether none is idle.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.idle.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warmest_first_oldest_out() {
        let at = |secs| Instant::from_epoch(Duration::from_secs(secs));
        let mut pool = IdlePool::new(2, Duration::from_secs(4));
        assert_eq!(pool.checkin('a', at(1)), None);
        assert_eq!(pool.checkin('b', at(2)), None);
        assert_eq!(pool.checkin('c', at(3)), Some('a'));
        assert_eq!(pool.checkout(at(3)), Some('c'));
        assert_eq!(pool.checkout(at(6)), None, "b was idle for 4 s");
        assert!(pool.is_empty());
        assert_eq!(
            IdlePool::new(0, Duration::from_secs(1)).checkin('x', at(0)),
            Some('x')
        );
    }
}
