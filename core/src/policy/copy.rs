//! Owns a copy: [`StoredResponse`], and its making out of a response that passes ([`Collector`]).
//! Never decides whether a response may be kept: `rules::freshness` does.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;

use crate::message::{Fields, FieldsBuilder, ResponseHead};
use crate::rules::coding::{self, GzipPool};
use crate::rules::forwarding;
use crate::rules::freshness::Lifetimes;
use crate::store::{Entry, Vary};
use crate::time::{Instant, UnixTime};

/// A complete 200 response.
#[derive(Debug)]
pub(super) struct StoredResponse {
    body: Bytes,
    fields: Fields,
    /// The body compressed, made when a client first asks for it; `None` when not worth it.
    gzip: OnceLock<Option<Bytes>>,
    lifetimes: Lifetimes,
    received: Instant,
    vary: Vary,
}

impl StoredResponse {
    pub(super) fn body(&self) -> &Bytes {
        &self.body
    }

    pub(super) fn fields(&self) -> &Fields {
        &self.fields
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        self.lifetimes.age(self.resident(now))
    }

    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.lifetimes.is_fresh(self.resident(now))
    }

    pub(super) fn may_rescue(&self, age_max: Duration, now: Instant) -> bool {
        self.lifetimes.may_rescue(self.resident(now), age_max)
    }

    pub(super) fn ttl_seconds(&self, now: Instant) -> i64 {
        self.lifetimes.ttl_seconds(self.resident(now))
    }

    /// When it was received.
    pub(super) fn received(&self) -> Instant {
        self.received
    }

    /// Time since it was received.
    pub(super) fn resident(&self, now: Instant) -> Duration {
        now.saturating_since(self.received)
    }

    /// Whether a compressed form is worth making.
    pub(super) fn is_compressible(&self) -> bool {
        let length = Some(self.body.len() as u64);
        coding::worth_gzip(http::StatusCode::OK, &self.fields, length)
    }

    /// The compressed body, made once; and how many bytes it added just now.
    pub(super) fn gzip(&self, pool: &GzipPool) -> (Option<&Bytes>, usize) {
        let mut added = 0;
        let gzip = self.gzip.get_or_init(|| {
            let gzip = coding::gzip_whole(&self.body, pool);
            // What does not get smaller is not worth a second form.
            (gzip.len() < self.body.len()).then(|| {
                added = gzip.len();
                gzip
            })
        });
        (gzip.as_ref(), added)
    }
}

impl Entry for StoredResponse {
    fn bytes(&self) -> usize {
        let gzip = self
            .gzip
            .get()
            .and_then(Option::as_ref)
            .map_or(0, Bytes::len);
        self.body.len() + self.fields.bytes_held() + self.vary.bytes_held() + gzip
    }

    fn matches(&self, request: &Fields) -> bool {
        self.vary.matches(request)
    }

    fn same_variant(&self, other: &Self) -> bool {
        self.vary == other.vary
    }
}

/// Bytes of responses that are being collected, over all sessions.
#[derive(Debug)]
pub(super) struct Budget {
    bytes_max: usize,
    used: AtomicUsize,
}

impl Budget {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            used: AtomicUsize::new(0),
        }
    }

    /// Whether more than half is used.
    pub(super) fn is_short(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.bytes_max / 2
    }

    /// Bytes in use.
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> bool {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed);
        if used.saturating_add(bytes) <= self.bytes_max {
            return true;
        }
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        false
    }
}

/// A response on its way into the store: its body is copied here once, as it passes.
#[derive(Debug)]
pub(super) struct Collector {
    body: Vec<u8>,
    budget: Arc<Budget>,
    bytes_max: usize,
    fields: Fields,
    lifetimes: Lifetimes,
    received: Instant,
    taken: usize,
    vary: Vary,
}

impl Collector {
    /// Starts to collect the response of `head`, of which the body may have `bytes_max` bytes.
    pub(super) fn new(
        head: &ResponseHead,
        lifetimes: Lifetimes,
        vary: Vary,
        bytes_max: usize,
        budget: &Arc<Budget>,
        (unix, received): (UnixTime, Instant),
    ) -> Self {
        Self {
            body: Vec::new(),
            budget: Arc::clone(budget),
            bytes_max,
            fields: stored_fields(head, unix),
            lifetimes,
            received,
            taken: 0,
            vary,
        }
    }

    /// Adds a piece; `false` when the response is too large to keep.
    #[must_use]
    pub(super) fn push(&mut self, data: &[u8]) -> bool {
        if data.len() > self.bytes_max - self.body.len() || !self.budget.take(data.len()) {
            return false;
        }
        self.taken += data.len();
        self.body.extend_from_slice(data);
        true
    }

    /// The finished copy.
    pub(super) fn finish(mut self) -> StoredResponse {
        let body = std::mem::take(&mut self.body);
        StoredResponse {
            // `into_boxed_slice` gives the spare capacity back: the store's weights stay true.
            body: Bytes::from(body.into_boxed_slice()),
            fields: std::mem::take(&mut self.fields),
            gzip: OnceLock::new(),
            lifetimes: self.lifetimes,
            received: self.received,
            vary: std::mem::take(&mut self.vary),
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

/// The fields that are kept: end-to-end ones, without those of the one exchange.
fn stored_fields(head: &ResponseHead, unix: UnixTime) -> Fields {
    let mut fields = FieldsBuilder::default();
    forwarding::forward_response(head, |name, value| {
        // Never stored: Set-Cookie is one user's, Age and Cache-Status are told anew.
        let passing = ["set-cookie", "age", "cache-status"];
        if !passing
            .iter()
            .any(|passing| name.eq_ignore_ascii_case(passing))
        {
            fields.push(name, value);
        }
    });
    if !head.fields.contains("date") {
        // RFC 9110 §6.6.1: a recipient with a clock records when it was received.
        fields.push("date", unix.to_string().as_bytes());
    }
    fields.build()
}
