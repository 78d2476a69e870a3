//! Owns the reports of a session until they leave: each with the last byte of its answer.
//! Never makes one.

use std::collections::VecDeque;

use crate::client::h1::Client;
use crate::event::Report;
use crate::report::End;
use crate::time::Instant;

/// Reports in the order of their answers.
#[derive(Debug, Default)]
pub(super) struct Reports {
    /// Each with the number of bytes that the client has taken when its answer has left.
    queue: VecDeque<(u64, Report)>,
    /// How many of them have left.
    due: usize,
}

impl Reports {
    /// Files a report; it leaves when the last byte of its answer does, which is in the client's
    /// queue. There are never more of them than answers there, however many requests a client sends
    /// ahead.
    pub(super) fn file(&mut self, client: &Client, report: Report, now: Instant) {
        if self.queue.capacity() == 0 {
            // Most clients wait for one answer before they ask again, and most are idle.
            self.queue.reserve_exact(1);
        }
        let end = client.sent().saturating_add(client.queued() as u64);
        self.queue.push_back((end, report));
        self.release_sent(client.sent(), now);
    }

    /// Lets those go whose answers have left with the first `sent` bytes.
    pub(super) fn release_sent(&mut self, sent: u64, now: Instant) {
        while let Some((end, report)) = self.queue.get_mut(self.due)
            && *end <= sent
        {
            report.ended = now;
            self.due += 1;
        }
    }

    /// Lets those go whose answers will not leave any more.
    pub(super) fn release_unsent(&mut self, now: Instant) {
        for (_, report) in self.queue.iter_mut().skip(self.due) {
            report.ended = now;
            if report.end == End::Complete {
                report.end = End::ClientLeft;
            }
        }
        self.due = self.queue.len();
    }

    /// The next one that has left.
    pub(super) fn poll(&mut self) -> Option<Report> {
        self.due = self.due.checked_sub(1)?;
        self.queue.pop_front().map(|(_, report)| report)
    }

    /// Whether none has left that was not polled.
    pub(super) const fn is_drained(&self) -> bool {
        self.due == 0
    }

    /// Whether none waits for its answer to leave.
    pub(super) fn owes_nothing(&self) -> bool {
        self.due == self.queue.len()
    }
}
