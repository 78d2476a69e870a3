//! Owns what the threads of a disk share ([`Shared`]): the state behind its lock, who waits for what, and
//! what there is to tell.
//! Never reads or writes a segment.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::folder::Segment;
use crate::state::State;

/// How long the writer may be at one call of the disk before nobody waits for it any more: an answer that
/// drops something is later by that once, when the disk hangs.
const CALL_WAIT: Duration = Duration::from_millis(25);

/// How long whoever drops something waits in all, as on a machine that has no time for the writer.
const DROP_WAIT: Duration = Duration::from_millis(500);

/// A disk that does not answer for so long is told of.
const HANGS: Duration = Duration::from_secs(5);

/// What is wrong with the disk.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Trouble {
    /// It does not answer.
    Hangs,
    /// Another process has the folder.
    InUse,
    /// The operating system says so.
    Failed(String),
}

/// What there is to count.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Bytes of all segments.
    pub bytes: u64,
    /// Copies that would come back at the next start.
    pub copies: usize,
    /// Whether copies of an earlier process are still being loaded.
    pub is_loading: bool,
    /// Copies of an earlier process that came back.
    pub loaded: u64,
    /// How long loading took.
    pub loading_took: Option<Duration>,
    /// Changes that were not written, as there were too many or the disk refused.
    pub lost: u64,
    /// What is wrong now.
    pub trouble: Option<Trouble>,
    /// Copies written since the start, those moved by cleaning included.
    pub written: u64,
}

/// How far writing and syncing are.
#[derive(Default)]
struct Progress {
    /// When each of writer and syncer began to wait for the disk.
    busy: [Option<Instant>; 2],
    has_failed: Option<Trouble>,
    has_stopped: bool,
    /// A thread writes down what is found out.
    keeps_facts: bool,
    loaded: u64,
    loading_began: Option<Instant>,
    loading_took: Option<Duration>,
    /// Of the segments.
    bytes: u64,
    stopping: Option<Instant>,
    sync_wanted: u64,
    synced: u64,
    sync_failed: u64,
    /// Segments with something that is not synced, the one that is written last.
    unsynced: Vec<Arc<dyn Segment>>,
    /// Counts what was written.
    written: u64,
}

/// The callers that wait for the disk.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who {
    Writer = 0,
    Syncer = 1,
}

#[derive(Default)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Something is to be written.
    work: Condvar,
    /// Drops were written.
    dropped: Condvar,
    progress: Mutex<Progress>,
    /// Something is to be synced, or was, or the writer has ended.
    moved: Condvar,
    copies_written: AtomicU64,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State::new()),
            ..Self::default()
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The writer has something to do.
    pub(crate) fn wake_writer(&self) {
        self.work.notify_one();
    }

    /// Waits until the writer is woken, or until `at`.
    pub(crate) fn sleep(&self, state: MutexGuard<'_, State>, at: Option<Instant>) {
        let patience = at.map_or(IDLE, |at| at.saturating_duration_since(Instant::now()));
        let slept = self.work.wait_timeout(state, patience.min(IDLE));
        drop(slept);
    }

    /// Waits for a drop to be written, unless the disk is known to be slow.
    pub(crate) fn wait_for_drop(&self, mut state: MutexGuard<'_, State>, number: u64) {
        self.wake_writer();
        let began = Instant::now();
        while !state.is_behind && !state.are_written(number) {
            let call = self.progress().busy[Who::Writer as usize];
            let call = call.map_or(Duration::ZERO, |since| since.elapsed());
            if call >= CALL_WAIT || began.elapsed() >= DROP_WAIT {
                state.is_behind = true;
                return;
            }
            let waited = self.dropped.wait_timeout(state, CALL_WAIT - call);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Drops were written, or could not be.
    pub(crate) fn wake_droppers(&self) {
        self.dropped.notify_all();
    }

    /// Runs what may wait for the disk.
    pub(crate) fn busy<T>(&self, who: Who, run: impl FnOnce() -> T) -> T {
        self.progress().busy[who as usize] = Some(Instant::now());
        let result = run();
        self.progress().busy[who as usize] = None;
        result
    }

    /// Something was written to a segment; all segments together have `bytes` now.
    pub(crate) fn wrote(&self, segment: Arc<dyn Segment>, bytes: u64) {
        let mut progress = self.progress();
        if progress.written == progress.synced {
            // The syncer has nothing to wait for but this.
            self.moved.notify_all();
        }
        progress.written += 1;
        progress.bytes = bytes;
        progress.has_failed = None;
        let last = progress.unsynced.last();
        if last.is_none_or(|last| !Arc::ptr_eq(last, &segment)) {
            progress.unsynced.push(segment);
        }
    }

    pub(crate) fn note_bytes(&self, bytes: u64) {
        self.progress().bytes = bytes;
    }

    pub(crate) fn count_copies(&self, count: u64) {
        self.copies_written.fetch_add(count, Ordering::Relaxed);
    }

    /// The disk refuses.
    pub(crate) fn failed(&self, error: &io::Error) {
        self.progress().has_failed = Some(Trouble::Failed(error.to_string()));
    }

    pub(crate) fn in_use(&self) {
        self.progress().has_failed = Some(Trouble::InUse);
    }

    /// The folder is this process's.
    pub(crate) fn opened(&self) {
        let mut progress = self.progress();
        progress.has_failed = None;
        progress.loading_began = Some(Instant::now());
    }

    pub(crate) fn count_loaded(&self) {
        self.progress().loaded += 1;
    }

    /// All copies of earlier processes were looked at.
    pub(crate) fn loaded(&self) {
        self.state().loaded();
        let mut progress = self.progress();
        progress.loading_took = progress.loading_began.map(|began| began.elapsed());
        drop(progress);
        self.wake_writer();
    }

    /// Waits until something is to be synced: at once where somebody waits for it, else so long after the
    /// last time. `None` where the writer has ended and nothing is left.
    pub(crate) fn next_sync(&self, last: Instant) -> Option<Sync> {
        let mut progress = self.progress();
        loop {
            let is_wanted = progress.sync_wanted > progress.synced.max(progress.sync_failed);
            let has_any = progress.written > progress.synced;
            let has_tried = progress.sync_failed >= progress.written;
            if progress.has_stopped && (!has_any || has_tried) {
                return None;
            }
            let rest = SYNC_PAUSE.saturating_sub(last.elapsed());
            if is_wanted || progress.has_stopped || has_any && rest.is_zero() {
                return Some(Sync {
                    number: progress.written,
                    segments: progress.unsynced.clone(),
                });
            }
            let patience = if has_any { rest } else { IDLE };
            let waited = self.moved.wait_timeout(progress, patience);
            progress = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What was to be synced is, or could not be.
    pub(crate) fn synced(&self, sync: &Sync, result: io::Result<()>) {
        let mut progress = self.progress();
        match result {
            Ok(()) => {
                progress.synced = sync.number;
                if progress.written == sync.number {
                    let keep = progress.unsynced.len().saturating_sub(1);
                    progress.unsynced.drain(..keep);
                }
            }
            Err(error) => {
                progress.has_failed = Some(Trouble::Failed(error.to_string()));
                progress.sync_failed = progress.sync_failed.max(sync.number);
            }
        }
        drop(progress);
        self.moved.notify_all();
    }

    /// Returns whether all drops so far would outlive a power cut, before `patience` is over.
    pub(crate) fn flush(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let left = || until.saturating_duration_since(Instant::now());
        let state = self.state();
        let number = state.last_drop();
        self.wake_writer();
        let is_open = |state: &mut State| !state.are_written(number);
        let waited = self.dropped.wait_timeout_while(state, left(), is_open);
        let (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        drop(state);
        if timeout.timed_out() {
            return false;
        }
        let mut progress = self.progress();
        let written = progress.written;
        progress.sync_wanted = progress.sync_wanted.max(written);
        self.moved.notify_all();
        let is_open =
            |progress: &mut Progress| progress.synced < written && progress.sync_failed < written;
        let waited = self.moved.wait_timeout_while(progress, left(), is_open);
        let (progress, _) = waited.unwrap_or_else(PoisonError::into_inner);
        progress.synced >= written
    }

    /// From now on what is found out is written down.
    pub(crate) fn keep_facts(&self) {
        self.progress().keeps_facts = true;
    }

    /// All of it is.
    pub(crate) fn kept_facts(&self) {
        self.progress().keeps_facts = false;
        self.moved.notify_all();
    }

    /// Waits that long, or until all is to end; returns whether it is.
    pub(crate) fn rest(&self, pause: Duration) -> bool {
        let goes_on = |progress: &mut Progress| progress.stopping.is_none();
        let rested = self
            .moved
            .wait_timeout_while(self.progress(), pause, goes_on);
        let (progress, _) = rested.unwrap_or_else(PoisonError::into_inner);
        progress.stopping.is_some()
    }

    /// Until when the writer is to end, and with it what is not written yet.
    pub(crate) fn stopping(&self) -> Option<Instant> {
        self.progress().stopping
    }

    /// The writer has ended.
    pub(crate) fn stopped(&self) {
        self.progress().has_stopped = true;
        self.moved.notify_all();
    }

    /// Lets the threads end, and waits for them: what is not written after `patience` is lost.
    pub(crate) fn stop(&self, patience: Duration) {
        let until = Instant::now() + patience;
        {
            // The writer looks at both before it sleeps.
            let _state = self.state();
            self.progress().stopping = Some(until);
            self.wake_writer();
            self.moved.notify_all();
        }
        let left = until.saturating_duration_since(Instant::now());
        let is_open = |progress: &mut Progress| {
            !progress.has_stopped
                || progress.keeps_facts
                || progress.synced < progress.written && progress.sync_failed < progress.written
        };
        let waited = self
            .moved
            .wait_timeout_while(self.progress(), left, is_open);
        drop(waited);
    }

    pub(crate) fn stats(&self) -> Stats {
        let (copies, is_loading, lost) = {
            let state = self.state();
            (state.index.len(), state.is_loading(), state.lost)
        };
        let progress = self.progress();
        let hangs = |since: &Instant| since.elapsed() > HANGS;
        let is_hanging = progress.busy.iter().flatten().any(hangs);
        Stats {
            bytes: progress.bytes,
            copies,
            is_loading,
            loaded: progress.loaded,
            loading_took: progress.loading_took,
            lost,
            trouble: match is_hanging {
                true => Some(Trouble::Hangs),
                false => progress.has_failed.clone(),
            },
            written: self.copies_written.load(Ordering::Relaxed),
        }
    }
}

/// What is to be synced.
pub(crate) struct Sync {
    number: u64,
    pub(crate) segments: Vec<Arc<dyn Segment>>,
}

/// How long threads sleep that nobody wakes.
const IDLE: Duration = Duration::from_secs(60);

/// How often what was written is made sure to outlive a power cut.
const SYNC_PAUSE: Duration = Duration::from_secs(1);
