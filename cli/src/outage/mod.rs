//! Owns [`Outages`]: an outage of the application as one thing, with what became of its visitors,
//! from threads that count to a file and the words of the log.
//! Never decides what is answered, and never waits for a disk.

mod course;
mod journal;
mod pages;
mod record;
mod share;
mod sketch;

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use retter_core::breaker::{State, Transition};
use retter_core::event::Report;
use retter_core::key::Keyer;
use retter_core::network::Network;
use retter_core::report::Source;
use retter_core::time::Instant;
use serde::Serialize;

use crate::clock::Clock;
use course::{Course, Standing};
use journal::Journal;
use share::Share;

pub(crate) use journal::path as journal_path;
pub(crate) use record::{News, Record, length};

/// Outages of the application.
pub(crate) struct Outages {
    clock: Clock,
    count: AtomicU64,
    course: Mutex<Course>,
    hasher: RandomState,
    journal: Option<Journal>,
    /// What each thread has counted, so that no lock is contended.
    shares: Vec<Mutex<Share>>,
    /// [`Standing`], to be looked at with each report.
    standing: AtomicU8,
}

impl fmt::Debug for Outages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outages").finish_non_exhaustive()
    }
}

/// All that is known, for `/outages`.
#[derive(Debug, Serialize)]
pub(crate) struct Told {
    /// The one that goes on.
    pub(crate) current: Option<Record>,
    /// Those that are over, the newest first.
    pub(crate) last: Vec<Record>,
}

impl Outages {
    /// Counts on this many threads.
    pub(crate) fn new(clock: Clock, threads: usize) -> Self {
        Self {
            clock,
            count: AtomicU64::new(0),
            course: Mutex::default(),
            hasher: RandomState::new(),
            journal: None,
            shares: (0..threads).map(|_| Mutex::default()).collect(),
            standing: AtomicU8::new(0),
        }
    }

    /// Writes to a file, and goes on from what is in it.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub(crate) fn with_journal(mut self, path: &Path) -> std::io::Result<Self> {
        let (journal, records) = Journal::open(path)?;
        self.journal = Some(journal);
        self.course = Mutex::new(Course::after(records));
        Ok(self)
    }

    /// Whether an exchange tells of an outage that is not known yet.
    pub(crate) fn is_news(&self, report: &Report) -> bool {
        report.circuit != State::Closed && self.standing() != Standing::Down
    }

    /// Whether exchanges are counted.
    pub(crate) fn is_on(&self) -> bool {
        self.standing() != Standing::Well
    }

    /// Counts an exchange, on the thread with this number, while there is an outage.
    pub(crate) fn count(&self, report: &Report, keyer: &Keyer, thread: usize) {
        let standing = self.standing();
        if standing == Standing::Well || report.source == Source::Refresh {
            return;
        }
        let Some(share) = self.shares.get(thread) else {
            return;
        };
        let is_error = report.status.is_some_and(|status| status.is_server_error());
        let is_rescued = report
            .handling
            .is_some_and(|handling| handling.rescue().is_some());
        if standing == Standing::Settling && !is_error && !is_rescued {
            return lock(share).note_good(report);
        }
        let request = report.request.as_ref();
        let partition = request.map(|request| keyer.partition(&request.fields));
        let visitor = self
            .hasher
            .hash_one((Network::of(report.client), partition));
        lock(share).count(report, visitor);
    }

    /// Takes note of a change of a circuit; what there is to tell.
    pub(crate) fn note(&self, transition: &Transition) -> Option<News> {
        let mut course = lock(&self.course);
        let news = course.note(transition, self.clock);
        self.remember(&course, news)
    }

    /// What there is to tell; to be asked about once a second.
    pub(crate) fn tick(&self, now: Instant) -> Option<News> {
        let counted = self.take_counted();
        let mut course = lock(&self.course);
        let news = course.tick(counted, now, self.clock);
        self.remember(&course, news)
    }

    fn take_counted(&self) -> Share {
        let mut counted = Share::default();
        for share in &self.shares {
            counted.merge(std::mem::take(&mut lock(share)));
        }
        counted
    }

    fn remember(&self, course: &Course, news: Option<News>) -> Option<News> {
        let standing = match course.standing() {
            Standing::Well => 0,
            Standing::Settling => 1,
            Standing::Down => 2,
        };
        self.standing.store(standing, Ordering::Relaxed);
        let news = news?;
        if let News::Began(_) = news {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(journal) = &self.journal {
            journal.put(news.record());
        }
        Some(news)
    }

    fn standing(&self) -> Standing {
        match self.standing.load(Ordering::Relaxed) {
            0 => Standing::Well,
            1 => Standing::Settling,
            _ => Standing::Down,
        }
    }

    /// All that is known now.
    pub(crate) fn told(&self, now: Instant) -> Told {
        // What was counted in the meantime is told too.
        let counted = self.take_counted();
        let mut course = lock(&self.course);
        course.add(counted);
        Told {
            current: course.current(now, self.clock),
            last: course.last.iter().cloned().collect(),
        }
    }

    /// How long the application has been down; `None` while it is not.
    pub(crate) fn lasts(&self, now: Instant) -> Option<Duration> {
        lock(&self.course).lasts(now)
    }

    /// Outages that began since the start.
    pub(crate) fn count_begun(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// The program ends: what is known of an outage that goes on is not lost.
    pub(crate) fn close(&self, now: Instant) {
        if let Some(journal) = &self.journal {
            if let Some(record) = self.told(now).current {
                journal.put(&record);
            }
            journal.flush();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
