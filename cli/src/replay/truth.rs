//! Owns what the application did, or would have done where a log does not tell.
//! Never knows what the replay decides: it is the same for all settings.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use http::{Method, StatusCode};
use retter_core::config::StatusSet;
use retter_core::message::RequestHead;
use retter_core::report::Failure;

use super::assume::{Assumptions, Unasked};
use super::line::{Answer, Cookies, End, Line, Origin, hash};

/// Pages whose trouble is remembered.
const PATHS_MAX: usize = 65_536;
/// Pages whose last good answer is remembered: some 10 MB.
const PAGES_MAX: usize = 65_536;

/// How the application was doing, as the log tells it.
#[derive(Debug)]
pub(super) struct Truth {
    assumptions: Assumptions,
    failing_paths: HashSet<u64>,
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
            last: None,
            pages: HashMap::new(),
            statuses: StatusSet::default(),
        }
    }

    /// Whether the log says that the application failed on this request.
    pub(super) fn failed(&self, origin: &Origin) -> bool {
        self.trouble(origin).is_some()
    }

    /// What the application does about this request. Lines come in the order of time.
    pub(super) fn of<'a>(&mut self, line: &'a Line, request: &RequestHead) -> Cow<'a, Origin> {
        let path = hash(line.path());
        match &line.origin {
            Origin::NotAsked { bytes, well } => Cow::Owned(self.guess(path, *bytes, *well)),
            told @ Origin::Left { .. } => Cow::Borrowed(told),
            told @ (Origin::Answered(_) | Origin::Failed { .. }) => {
                self.last = self.trouble(told);
                self.note_page(told, request);
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
                let known = self.pages.get(&page(request));
                Origin::Answered(known.cloned().unwrap_or(guessed))
            }
            other @ (Origin::Answered(_)
            | Origin::Failed { .. }
            | Origin::Left { .. }
            | Origin::NotAsked { .. }) => other,
        }
    }

    fn note_page(&mut self, told: &Origin, request: &RequestHead) {
        let Origin::Answered(answer) = told else {
            return;
        };
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
        let took = self.assumptions.origin_time;
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
        Origin::Answered(Answer {
            bytes,
            cache_control: self.assumptions.cache_control.as_deref().map(Into::into),
            content_type: None,
            cookies: Cookies::None,
            end: End::Complete,
            head: took,
            status,
            took,
            varies_on_all: false,
            version: None,
        })
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
