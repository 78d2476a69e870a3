//! Owns the order of time: a log is written when requests end, and told by when they began.
//! Never holds more than a bounded window of lines.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::line::Line;
use super::when::NANOS_PER_SEC;

/// A request that lasts longer comes late; so does a line of another server's clock.
const WINDOW: u64 = 60 * NANOS_PER_SEC;
/// A minute of a very busy site, some 200,000 lines, but not of one that is asked for the longest
/// URLs there are.
const BYTES_MAX: usize = 64 << 20;

/// Sorts lines within a window.
#[derive(Default)]
pub(super) struct Order {
    /// Memory of the lines that wait.
    bytes: usize,
    given: u64,
    /// Lines that came too late for their place, and are replayed after it.
    pub(super) late: u64,
    newest: u64,
    /// The rest of the second that is being released.
    ready: VecDeque<Line>,
    released: u64,
    waiting: BinaryHeap<Reverse<Waiting>>,
}

struct Waiting {
    line: Line,
    number: u64,
}

impl Waiting {
    fn rank(&self) -> (u64, u64) {
        (self.line.at, self.number)
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl Order {
    /// Takes a line in the order of the log.
    pub(super) fn push(&mut self, mut line: Line) {
        if line.at < self.released {
            self.late += 1;
            line.at = self.released;
        }
        self.newest = self.newest.max(line.at);
        let number = self.given;
        self.given += 1;
        self.bytes += line.bytes();
        self.waiting.push(Reverse(Waiting { line, number }));
    }

    /// The next line in the order of time, when no earlier one is to be expected.
    pub(super) fn pop(&mut self) -> Option<Line> {
        if !self.ready.is_empty() {
            return self.pop_last();
        }
        let Reverse(first) = self.waiting.peek()?;
        let is_due = first.line.at.saturating_add(WINDOW) < self.newest;
        if is_due || self.bytes > BYTES_MAX {
            self.pop_last()
        } else {
            None
        }
    }

    /// The next line in the order of time, at the end of the log.
    pub(super) fn pop_last(&mut self) -> Option<Line> {
        if self.ready.is_empty() {
            self.ready_next();
        }
        let mut line = self.ready.pop_front()?;
        line.at = line.at.max(self.released);
        self.released = line.at;
        Some(line)
    }

    /// Makes the next line ready, or all of a second of which more is not known. Taken as one
    /// moment, they would be a surge that never was.
    fn ready_next(&mut self) {
        let Some(first) = self.take() else {
            return;
        };
        let (at, is_coarse) = (first.at, first.is_coarse);
        self.ready.push_back(first);
        if !is_coarse {
            return;
        }
        let is_same = |next: &Reverse<Waiting>| next.0.line.at == at && next.0.line.is_coarse;
        while self.waiting.peek().is_some_and(is_same) {
            let next = self.take();
            self.ready.extend(next);
        }
        let count = self.ready.len() as u64;
        for (line, index) in self.ready.iter_mut().zip(0..) {
            line.at += NANOS_PER_SEC * index / count;
        }
    }

    fn take(&mut self) -> Option<Line> {
        let Reverse(Waiting { line, .. }) = self.waiting.pop()?;
        self.bytes -= line.bytes();
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assume::Assumptions;

    fn order(seconds: &[u64]) -> (Vec<u64>, u64) {
        let text = br#"{"time":"1970-01-01T00:00:00Z","method":"GET","target":"/"}"#;
        let line = Line::parse(text, &Assumptions::default()).unwrap();
        let mut order = Order::default();
        let mut out = Vec::new();
        for at in seconds {
            let at = at * NANOS_PER_SEC;
            order.push(Line { at, ..line.clone() });
            out.extend(std::iter::from_fn(|| order.pop()));
        }
        out.extend(std::iter::from_fn(|| order.pop_last()));
        let seconds = out.iter().map(|line| line.at / NANOS_PER_SEC).collect();
        (seconds, order.late)
    }

    #[test]
    fn lines_are_sorted_within_the_window() {
        assert_eq!(order(&[5, 3, 4, 70, 9]), (vec![3, 4, 5, 9, 70], 0));
        assert_eq!(order(&[5, 100, 3]), (vec![5, 5, 100], 1));
        assert_eq!(order(&[]), (vec![], 0));
    }

    #[test]
    fn a_second_is_spread_in_the_order_of_the_log() {
        let mut order = Order::default();
        for target in ["/a", "/b"] {
            let text = format!("::1 - - [01/Jan/1970:00:00:07 +0000] \"GET {target}\" 200 1");
            order.push(Line::parse(text.as_bytes(), &Assumptions::default()).unwrap());
        }
        let spread = std::iter::from_fn(|| order.pop_last()).map(|line| (line.at, line.target));
        let spread: Vec<_> = spread.collect();
        assert_eq!(spread[0], (7_000_000_000, "/a".into()));
        assert_eq!(spread[1], (7_500_000_000, "/b".into()));
    }

    #[test]
    fn a_crowd_is_let_go_before_the_window_ends() {
        let mut order = Order::default();
        let text = br#"{"time":"1970-01-01T00:00:00Z","method":"GET","target":"/"}"#;
        let line = Line::parse(text, &Assumptions::default()).unwrap();
        for _ in 0..BYTES_MAX / line.bytes() {
            order.push(line.clone());
            assert!(order.pop().is_none());
        }
        order.push(line);
        assert!(order.pop().is_some());
        assert!(order.pop().is_none());
        // One line of the longest is as many as hundreds of others.
        let text = [
            b"::1 - - [01/Jan/1970:00:00:07 +0000] \"GET /",
            &[b'x'; 200_000][..],
        ];
        let text = [&text.concat()[..], b" HTTP/1.1\" 200 1"].concat();
        order.push(Line::parse(&text, &Assumptions::default()).unwrap());
        assert!(std::iter::from_fn(|| order.pop()).count() > 500);
    }
}
