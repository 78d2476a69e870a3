//! Owns what the application did, or would have done where a log does not tell.
//! Never knows what the replay decides: it is the same for all settings.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use http::{Method, StatusCode};
use retter_core::config::StatusSet;
use retter_core::message::RequestHead;
use retter_core::report::Failure;

use super::assume::{Assumptions, Unasked};
use super::line::{Answer, End, Line, Origin, hash};

/// Pages whose trouble is remembered.
const PATHS_MAX: usize = 65_536;
/// Pages whose last good answer is remembered: some 10 MB.
const PAGES_MAX: usize = 65_536;
/// Answers that tell how fast the application is: one page that takes long by nature must not
/// make all of it slow.
const HEADS: usize = 3;

/// Bytes that a page must have had for a short one to be odd.
const FULL_FROM: u64 = 1024;

/// How the application was doing, as the log tells it.
#[derive(Debug)]
pub(super) struct Truth {
    assumptions: Assumptions,
    failing_paths: HashSet<u64>,
    /// How long the last answers took to begin.
    heads: VecDeque<Duration>,
    /// How it failed when it was last asked; `None` when it answered.
    last: Option<Trouble>,
    /// The last good answer for each user's page.
    pages: HashMap<u64, Answer>,
    statuses: StatusSet,
}

#[derive(Clone, Copy, Debug)]
enum Trouble {
    Failure(Failure),
    Status(StatusCode),
}

impl Truth {
    pub(super) fn new(assumptions: &Assumptions) -> Self {
        Self {
            assumptions: assumptions.clone(),
            failing_paths: HashSet::new(),
            heads: VecDeque::new(),
            last: None,
            pages: HashMap::new(),
            statuses: StatusSet::default(),
        }
    }

    /// Whether the log says that the application failed on this request.
    pub(super) fn failed(&self, origin: &Origin) -> bool {
        self.trouble(origin).is_some()
    }

    /// Whether an answer with status 200 may be an error page all the same: far less than the last whole
    /// one of that page to that user. A log tells no more of a page than its length. To be asked before
    /// [`of`](Self::of).
    pub(super) fn may_be_soft(&self, origin: &Origin, request: &RequestHead) -> bool {
        let Origin::Answered(answer) = origin else {
            return false;
        };
        let is_page = |answer: &Answer| {
            let media_type = answer.content_type.as_deref();
            media_type.is_none_or(|media_type| media_type.trim_start().starts_with("text/html"))
        };
        let is_whole = answer.status == StatusCode::OK && answer.end == End::Complete;
        is_whole
            && request.method == Method::GET
            && is_page(answer)
            && self.pages.get(&page(request)).is_some_and(|before| {
                before.bytes >= FULL_FROM && answer.bytes.saturating_mul(4) < before.bytes
            })
    }

    /// What the application does about this request. Lines come in the order of time.
    pub(super) fn of<'a>(&mut self, line: &'a Line, request: &RequestHead) -> Cow<'a, Origin> {
        let path = hash(line.path());
        match &line.origin {
            Origin::NotAsked { bytes, well } => Cow::Owned(self.guess(path, *bytes, *well)),
            told @ Origin::Left { took } => {
                // A visitor who left sooner tells nothing.
                if *took > self.head() {
                    self.note_head(*took);
                }
                Cow::Borrowed(told)
            }
            told @ (Origin::Answered(_) | Origin::Failed { .. }) => {
                self.last = self.trouble(told);
                self.note_answer(told, request);
                if self.last.is_none() {
                    self.failing_paths.remove(&path);
                } else if self.failing_paths.len() < PATHS_MAX {
                    self.failing_paths.insert(path);
                }
                Cow::Borrowed(told)
            }
        }
    }

    /// What the application would do about a request that no user sent, after what the log has
    /// told so far.
    pub(super) fn now(&self, request: &RequestHead) -> Origin {
        let path = hash(request.path());
        match self.guess(path, 0, false) {
            Origin::Answered(guessed) if guessed.status == StatusCode::OK => {
                let Some(known) = self.pages.get(&page(request)) else {
                    return Origin::Answered(guessed);
                };
                let body = known.took.saturating_sub(known.head);
                Origin::Answered(Answer {
                    head: guessed.head,
                    took: guessed.head.saturating_add(body),
                    ..known.clone()
                })
            }
            other @ (Origin::Answered(_)
            | Origin::Failed { .. }
            | Origin::Left { .. }
            | Origin::NotAsked { .. }) => other,
        }
    }

    /// Whether the application would take a connection, after what the log has told so far.
    pub(super) fn takes_connections(&self) -> bool {
        let is_refused = matches!(self.last, Some(Trouble::Failure(Failure::Connect)));
        !is_refused || matches!(self.assumptions.unasked, Unasked::Works)
    }

    fn note_head(&mut self, head: Duration) {
        self.heads.truncate(HEADS - 1);
        self.heads.push_front(head);
    }

    /// How long the application takes to begin an answer, as far as the log has told.
    fn head(&self) -> Duration {
        let least = self.heads.iter().min().copied();
        least.unwrap_or(self.assumptions.origin_time)
    }

    fn note_answer(&mut self, told: &Origin, request: &RequestHead) {
        let Origin::Answered(answer) = told else {
            return;
        };
        if self.last.is_none() {
            self.note_head(answer.head);
        }
        if request.method == Method::GET
            && answer.status == StatusCode::OK
            && answer.end == End::Complete
        {
            // Rather begin anew than keep what was asked first for ever.
            if self.pages.len() >= PAGES_MAX {
                self.pages.clear();
            }
            self.pages.insert(page(request), answer.clone());
        }
    }

    fn guess(&self, path: u64, bytes: u64, well: bool) -> Origin {
        let took = match self.assumptions.unasked {
            _ if well => self.assumptions.origin_time,
            Unasked::Works => self.assumptions.origin_time,
            Unasked::Fails | Unasked::Last => self.head(),
        };
        let is_path_failing = self.failing_paths.contains(&path);
        let unavailable = Trouble::Status(StatusCode::SERVICE_UNAVAILABLE);
        let trouble = match self.assumptions.unasked {
            _ if well => None,
            Unasked::Fails => Some(self.last.unwrap_or(unavailable)),
            Unasked::Last => self.last.or_else(|| is_path_failing.then_some(unavailable)),
            Unasked::Works => None,
        };
        let status = match trouble {
            Some(Trouble::Failure(failure)) => return Origin::Failed { failure, took },
            Some(Trouble::Status(status)) => status,
            None => StatusCode::OK,
        };
        let cache_control = self.assumptions.cache_control.as_deref();
        Origin::Answered(Answer::whole(status, bytes, took, cache_control))
    }

    fn trouble(&self, origin: &Origin) -> Option<Trouble> {
        match origin {
            Origin::Answered(answer) if self.statuses.contains(answer.status) => {
                Some(Trouble::Status(answer.status))
            }
            Origin::Answered(answer) if answer.end == End::Truncated => {
                Some(Trouble::Failure(Failure::Truncated))
            }
            Origin::Failed { failure, .. } => Some(Trouble::Failure(*failure)),
            Origin::Answered(_) | Origin::Left { .. } | Origin::NotAsked { .. } => None,
        }
    }
}

fn page(request: &RequestHead) -> u64 {
    let user = request.fields.get("cookie");
    hash((request.authority(), request.path_and_query(), user))
}

/// The longest of a log's times that means anything: a year.
pub(super) const TIME_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assume::Sessions;
    use crate::message;

    #[test]
    fn a_page_that_turned_into_a_line_may_be_an_error_page() {
        let assumptions = Assumptions::default();
        let mut truth = Truth::new(&assumptions);
        for (request, status, bytes, expected) in [
            ("GET /a", 200, 10_240, false),
            ("GET /b", 200, 900, false),
            ("GET /a", 200, 9_000, false),
            ("GET /a", 500, 40, false),
            ("GET /a", 200, 46, true),
            ("GET /b", 200, 46, false),
            ("GET /a", 200, 46, false),
            ("GET /a", 200, 10_240, false),
            ("POST /a", 200, 2, false),
            ("GET /a", 200, 0, true),
        ] {
            let text = format!(
                "192.0.2.1 - - [10/Oct/2000:13:55:36 +0000] \"{request} HTTP/1.1\" {status} {bytes}"
            );
            let line = Line::parse(text.as_bytes(), &assumptions).unwrap();
            let asked = message::request(&line, Sessions::Visitor);
            let is_soft = truth.may_be_soft(&line.origin, &asked);
            assert_eq!(is_soft, expected, "{request} {status} {bytes}");
            drop(truth.of(&line, &asked));
        }
    }
}
