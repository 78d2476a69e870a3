//! Owns what becomes of pages that are no good though their status says so: [`Judging`] reads one
//! beside its copy, [`SoftFailures`] counts them and knows which have been said for long.
//! Never asks the origin or answers a client: a [`Course`](super::course::Course) does.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use http::{Method, StatusCode};

use super::quarantine::{Page, Quarantine};
use super::snapshot::Snapshot;
use crate::canary::{Plant, is_planted};
use crate::config::SoftMode;
use crate::copies::StoredResponse;
use crate::key::{CacheKey, Kind, Partition};
use crate::message::{Fields, RequestHead};
use crate::report::{Sign, Signs, SoftFailure, SoftStats, SoftVerdict};
use crate::rules::soft::{self, Coding, Finding, Known, Look, Reader, Texts, Witness};
use crate::time::Instant;

/// A page that is read while it passes, to be held against its copy at its end.
#[derive(Debug)]
pub(super) struct Judging {
    /// Asked only where an error text was found; it may be gone by then.
    copy: Weak<StoredResponse>,
    /// The copy is one visitor's.
    is_own: bool,
    /// The copy is a page.
    is_page: bool,
    /// What is remembered of the copy.
    look: Look,
    mode: SoftMode,
    reader: Reader,
}

/// Pages of a site that were no good though their status said so.
#[derive(Debug, Default)]
pub(super) struct SoftFailures {
    /// Whether any page is under suspicion: mostly there is none, and nothing to be noted of
    /// those that are well.
    is_busy: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What nobody has taken yet, oldest first.
    news: VecDeque<SoftFailure>,
    quarantine: Quarantine,
    stats: SoftStats,
}

/// News kept for whoever asks; of more the oldest go, and are counted all the same.
const NEWS_MAX: usize = 32;
/// Bytes of a path that are named.
const PATH_BYTES_MAX: usize = 200;

impl Judging {
    /// Begins to read the answer to `request`, where it can be judged: a page that could take the
    /// place of `copy`.
    pub(super) fn begin(
        snapshot: &Snapshot,
        request: &RequestHead,
        (status, fields): (StatusCode, &Fields),
        key: &CacheKey,
        copy: &Arc<StoredResponse>,
    ) -> Option<Self> {
        let mode = snapshot.config().breaker.soft;
        let is_document = matches!(key.kind(), Kind::Any | Kind::Document);
        let is_page = status == StatusCode::OK
            && copy.status() == StatusCode::OK
            && request.method == Method::GET
            && soft::is_page(fields);
        if mode == SoftMode::Off || !is_document || !is_page || request.fields.contains("range") {
            return None;
        }
        let reader = Reader::new(Coding::of(fields))?;
        Some(Self {
            copy: Arc::downgrade(copy),
            is_own: key.partition() != Partition::Shared,
            is_page: soft::is_page(copy.fields()),
            look: copy.look()?,
            mode,
            reader,
        })
    }

    /// Whether the page is held against this very copy.
    pub(super) fn is_beside(&self, copy: &Arc<StoredResponse>) -> bool {
        std::ptr::eq(self.copy.as_ptr(), Arc::as_ptr(copy))
    }

    /// Whether the copy is to answer where the page is no good.
    pub(super) fn may_rescue(&self) -> bool {
        self.mode == SoftMode::Rescue
    }

    /// Takes a piece of the page as it came.
    pub(super) fn push(&mut self, data: &[u8]) {
        self.reader.push(data);
    }
}

impl SoftFailures {
    /// The page has ended: what is to be made of it, if anything.
    pub(super) fn judge(
        &self,
        judging: Judging,
        own: Option<&Texts>,
        request: &RequestHead,
        page: Page,
        now: Instant,
    ) -> Option<SoftVerdict> {
        let Judging {
            copy,
            is_own,
            is_page,
            look,
            mode,
            reader,
        } = judging;
        let sample = reader.finish()?;
        let known = Known {
            own,
            texts: Texts::known(),
        };
        let holds = |text: &str| copy.upgrade().is_some_and(|copy| copy.holds(text));
        let copy = Witness {
            holds: &holds,
            is_own,
            is_page,
            look,
        };
        let (signs, verdict) = match soft::judge(copy, &sample, known, request) {
            Finding::Doubtful(signs) => (signs, SoftVerdict::Doubted),
            Finding::Failed(signs) => (signs, SoftVerdict::Failed),
            Finding::Well if is_planted(Plant::GoodIsError) => {
                (Signs::from_iter([Sign::Text]), SoftVerdict::Failed)
            }
            Finding::Well => {
                self.is_well(page, now);
                return None;
            }
        };
        let mut state = self.lock();
        let is_believed = state.quarantine.hears(page, sample.look(), signs, now);
        self.is_busy
            .store(!state.quarantine.is_empty(), Ordering::Relaxed);
        if is_believed {
            return None;
        }
        state.stats.count(signs, verdict);
        if state.news.len() >= NEWS_MAX {
            state.news.pop_front();
        }
        let path = request.path();
        let path = String::from_utf8_lossy(&path[..path.len().min(PATH_BYTES_MAX)]);
        state.news.push_back(SoftFailure {
            path: path.into(),
            signs,
            verdict,
        });
        (mode == SoftMode::Rescue).then_some(verdict)
    }

    fn is_well(&self, page: Page, now: Instant) {
        if self.is_busy.load(Ordering::Relaxed) {
            let mut state = self.lock();
            state.quarantine.is_well(page, now);
            self.is_busy
                .store(!state.quarantine.is_empty(), Ordering::Relaxed);
        }
    }

    pub(super) fn stats(&self) -> SoftStats {
        self.lock().stats
    }

    /// The oldest verdict that nobody has taken yet.
    pub(super) fn poll(&self) -> Option<SoftFailure> {
        self.lock().news.pop_front()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Counters and lists are whole between any two of their statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
