//! Owns [`Preflights`]: what the origin last allowed to the scripts of other sites (Fetch standard, "CORS
//! preflight"), so that they can ask for the copies that rescue while the origin says nothing.
//! Never allows by itself: it repeats what the origin has said, to the same question.
//!
//! A browser sends a preflight without cookies and credentials, so the answer is for everybody who asks
//! from the same site for the same method and fields. What a copy of the page itself says of other sites
//! is told where no preflight was seen.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use http::{Method, StatusCode};

use super::snapshot::Snapshot;
use crate::copies::StoredResponse;
use crate::key::{CacheKey, Keyer, Partition};
use crate::message::{Fields, FieldsBuilder, RequestHead, ResponseHead};
use crate::rules::forwarding;
use crate::sync::{Mutex, MutexGuard};

/// Answers kept; the one kept first gives way.
const KEPT_MAX: usize = 256;
/// Bytes of what is asked, and of what is answered: an answer is a few short lines.
const BYTES_MAX: usize = 4096;

/// The last answers to preflights.
#[derive(Debug, Default)]
pub(super) struct Preflights {
    kept: Mutex<VecDeque<(Question, Arc<StoredResponse>)>>,
}

/// What a preflight asks: whether scripts of one site may send a method with some fields to a resource.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Question {
    key: CacheKey,
    asked: Box<[u8]>,
}

impl Question {
    /// That of a request, if it is a preflight as a browser sends it: of nobody in particular.
    fn of(keyer: &Keyer, request: &RequestHead) -> Option<Self> {
        let fields = &request.fields;
        if request.method != Method::OPTIONS || forwarding::has_content(fields) {
            return None;
        }
        let origin = only(fields, "origin")?;
        let method = only(fields, "access-control-request-method")?;
        let key = keyer.key_of(request, request.path_and_query(), Partition::Shared)?;
        if keyer.partition(fields) != Partition::Shared || keyer.has_ignored_query(request) {
            return None;
        }
        let mut asked = [origin, b"\n", method].concat();
        // Browsers send them sorted and in lower case; another spelling is another question.
        for name in [
            "access-control-request-headers",
            "access-control-request-private-network",
        ] {
            for line in fields.get_all(name) {
                asked.push(b'\n');
                asked.extend_from_slice(line);
            }
            asked.push(b'\n');
        }
        (asked.len() <= BYTES_MAX).then(|| Self {
            key,
            asked: asked.into(),
        })
    }

    /// The resource, for what answers in the origin's stead.
    pub(super) const fn key(&self) -> &CacheKey {
        &self.key
    }
}

/// What a request asks as a preflight, where the settings let it be answered from here.
pub(super) fn question(snapshot: &Snapshot, request: &RequestHead) -> Option<Question> {
    let question = Question::of(snapshot.keyer(), request)?;
    (!snapshot.excludes(request.path())).then_some(question)
}

fn only<'a>(fields: &'a Fields, name: &str) -> Option<&'a [u8]> {
    let mut lines = fields.get_all(name);
    lines.next().filter(|_| lines.next().is_none())
}

/// The head of the answer to a preflight with what an answer of the origin says to scripts of other
/// sites; `None` where it says nothing.
pub(super) fn allowing(fields: &Fields) -> Option<ResponseHead> {
    if !fields.contains("access-control-allow-origin") {
        return None;
    }
    let mut allowed = FieldsBuilder::default();
    for (name, value) in fields.iter() {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        let start = name.get(.."access-control-".len());
        if start.is_some_and(|start| start.eq_ignore_ascii_case("access-control-"))
            || is("date")
            || is("vary")
        {
            allowed.push(name, value);
        }
    }
    let fields = allowed.build();
    let is_short = fields
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum::<usize>()
        <= BYTES_MAX;
    (is_short && !fields.is_cut()).then(|| ResponseHead::new(StatusCode::NO_CONTENT, fields))
}

impl Preflights {
    /// Keeps what the origin answered, in place of what it answered to the same question before.
    pub(super) fn keep(&self, question: Question, answer: Arc<StoredResponse>) {
        let mut kept = self.lock();
        kept.retain(|(other, _)| *other != question);
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back((question, answer));
    }

    /// Forgets what was allowed: the origin has said no.
    pub(super) fn forget(&self, question: &Question) {
        self.lock().retain(|(other, _)| other != question);
    }

    /// Forgets all.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// The answer of the origin to that question.
    pub(super) fn find(&self, question: &Question) -> Option<Arc<StoredResponse>> {
        let kept = self.lock();
        let found = kept.iter().find(|(other, _)| other == question);
        found.map(|(_, answer)| Arc::clone(answer))
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Question, Arc<StoredResponse>)>> {
        // The list is whole between any two statements.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
