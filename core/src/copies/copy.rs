//! Owns a copy: [`StoredResponse`], and its making out of a response that passes ([`Collector`]).
//! Never decides whether a response may be kept: `rules::freshness` does.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use super::content::{Budget, Collected, Content};
use crate::canary::{Plant, is_planted};
use crate::key::CacheKey;
use crate::message::{Fields, FieldsBuilder, ResponseHead};
use crate::rules::coding::{self, GzipPool};
use crate::rules::freshness::{Allowed, Lifetimes, Wishes};
use crate::rules::soft::{self, Coding, Look};
use crate::rules::{cache_control, forwarding};
use crate::store::{Entry, Vary};
use crate::time::{Instant, UnixTime};

/// When a response was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// When the origin was asked: what has changed since may be missing in it.
    pub(crate) asked: Instant,
    /// When its head came.
    pub(crate) received: Instant,
    /// Seconds that passed since before `received`, for what came before the adapter's epoch.
    pub(crate) before: u32,
}

/// A complete response: a 200 to rescue with, or another one while it is fresh.
#[derive(Debug)]
pub(crate) struct StoredResponse {
    body: Content,
    /// Whether a compressed form is worth making: found out when a client first asks.
    compressible: Judged,
    /// What clients get of its fields.
    fields: Fields,
    /// The body compressed, made when a client first asks for it; `None` when not worth it.
    gzip: OnceLock<Option<Content>>,
    lifetimes: Lifetimes,
    /// What a page looks like whose content has to be decoded for that.
    look: OnceLock<Option<Box<Look>>>,
    /// See [`Making::others`].
    others: u64,
    /// See [`Making::owner`].
    owner: u8,
    status: StatusCode,
    /// The fields that speak to this program alone: they count again when a 304 comes. Most
    /// responses have none.
    targeted: Option<Box<Fields>>,
    times: Times,
    vary: Vary,
}

/// The answer to a question that is always answered alike, once somebody has asked it. A byte, where
/// a `OnceLock` has eight: that much less is kept.
#[derive(Debug, Default)]
struct Judged(AtomicU8);

impl Judged {
    fn get_or_judge(&self, judge: impl FnOnce() -> bool) -> bool {
        const NO: u8 = 1;
        const YES: u8 = 2;
        match self.0.load(Ordering::Relaxed) {
            NO => false,
            YES => true,
            _ => {
                let is_so = judge();
                self.0
                    .store(if is_so { YES } else { NO }, Ordering::Relaxed);
                is_so
            }
        }
    }
}

impl Clone for Judged {
    fn clone(&self) -> Self {
        Self(AtomicU8::new(self.0.load(Ordering::Relaxed)))
    }
}

impl StoredResponse {
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn lifetimes(&self) -> &Lifetimes {
        &self.lifetimes
    }

    pub(crate) fn vary(&self) -> &Vary {
        &self.vary
    }

    pub(crate) fn body(&self) -> &Bytes {
        self.body.bytes()
    }

    pub(crate) fn fields(&self) -> &Fields {
        &self.fields
    }

    /// Whether a field is missing, as it did not fit.
    pub(crate) fn is_cut(&self) -> bool {
        self.fields.is_cut() || self.targeted().is_some_and(Fields::is_cut)
    }

    pub(crate) fn age(&self, now: Instant) -> Duration {
        self.lifetimes.age(self.resident(now))
    }

    pub(crate) fn is_fresh(&self, now: Instant) -> bool {
        self.lifetimes.is_fresh(self.resident(now))
    }

    /// How the copy may answer a client with these wishes without asking the origin.
    pub(crate) fn allow(&self, wishes: &Wishes, now: Instant) -> Option<Allowed> {
        wishes.allow(&self.lifetimes, self.resident(now))
    }

    pub(crate) fn may_rescue(&self, age_max: Duration, now: Instant) -> bool {
        let is_asked_about = |fields: &Fields| fields.has_token("cache-control", "no-cache");
        is_planted(Plant::ForbiddenStale) && !is_asked_about(&self.fields)
            || self.lifetimes.may_rescue(self.resident(now), age_max)
    }

    pub(crate) fn ttl_seconds(&self, now: Instant) -> i64 {
        self.lifetimes.ttl_seconds(self.resident(now))
    }

    /// Whether it was made of an answer to a request with the same cookies as that of `key`, those that
    /// tell nobody apart included: what else it is may rescue, and is not what the origin would send.
    pub(crate) fn is_alike(&self, key: &CacheKey) -> bool {
        self.others == key.others()
    }

    pub(crate) fn times(&self) -> Times {
        self.times
    }

    /// Time since it was received.
    pub(crate) fn resident(&self, now: Instant) -> Duration {
        let before = Duration::from_secs(self.times.before.into());
        now.saturating_since(self.times.received) + before
    }

    /// Whether a compressed form is worth making.
    pub(crate) fn is_compressible(&self) -> bool {
        self.compressible.get_or_judge(|| {
            let length = Some(self.body.len() as u64);
            coding::worth_gzip(self.status, &self.fields, length)
        })
    }

    /// What it looks like as a page; `None` where its content cannot be read.
    pub(crate) fn look(&self) -> Option<Look> {
        let look = || soft::look(self.body(), Coding::of(&self.fields));
        if !self.fields.contains("content-encoding") {
            return look();
        }
        // It is decoded once, not for each page that is held against it.
        let coded = self.look.get_or_init(|| look().map(Box::new));
        coded.as_deref().copied()
    }

    /// Whether `text` stands in it, in letters of either case.
    pub(crate) fn holds(&self, text: &str) -> bool {
        soft::holds(self.body(), Coding::of(&self.fields), text)
    }

    /// The head of this copy as it would be had the origin sent it whole with what `head` says
    /// now (RFC 9111 §3.2, §4.3.4); `None` where both together are more than a head can hold.
    pub(crate) fn updated_head(&self, head: &ResponseHead, unix: UnixTime) -> Option<ResponseHead> {
        let now = end_to_end_fields(head, unix);
        let targeted = self.targeted().into_iter().flat_map(Fields::iter);
        let mut fields = FieldsBuilder::default();
        // `Via` is continued when the whole is stored: here it is as the origin sent it.
        let is_via = |name: &str| name.eq_ignore_ascii_case("via");
        for (name, value) in self.fields.iter().chain(targeted) {
            if describes_body(name) || !is_via(name) && !head_has(head, &now, name) {
                fields.push(name, value);
            }
        }
        let told = head
            .fields
            .iter()
            .filter(|(name, _)| forwarding::is_retter_field(name.as_bytes()));
        let via = head.fields.iter().filter(|(name, _)| is_via(name));
        let says = now.iter().filter(|(name, _)| !is_via(name));
        for (name, value) in says.chain(told).chain(via) {
            if !describes_body(name) {
                fields.push(name, value);
            }
        }
        let fields = fields.build();
        let is_whole = !head.fields.is_cut() && !now.is_cut() && !fields.is_cut();
        is_whole.then(|| ResponseHead::new(self.status, fields))
    }

    /// This copy with the head that [`updated_head`](Self::updated_head) made.
    pub(crate) fn renewed(&self, making: Making<'_>) -> Self {
        let Making {
            head,
            lifetimes,
            others,
            owner: _,
            times,
            unix,
            vary,
        } = making;
        Self {
            body: self.body.clone(),
            compressible: Judged::default(),
            fields: stored_fields(head, unix),
            gzip: self.gzip.clone(),
            lifetimes,
            look: self.look.clone(),
            others,
            owner: self.owner,
            status: self.status,
            targeted: targeted_fields(head),
            times,
            vary,
        }
    }

    /// The same copy, stale from now on.
    pub(crate) fn expired(&self) -> Self {
        Self {
            body: self.body.clone(),
            compressible: self.compressible.clone(),
            fields: self.fields.clone(),
            gzip: self.gzip.clone(),
            lifetimes: self.lifetimes.expired(),
            look: self.look.clone(),
            others: self.others,
            owner: self.owner,
            status: self.status,
            targeted: self.targeted.clone(),
            times: self.times,
            vary: self.vary.clone(),
        }
    }

    /// The same copy, not younger than the `other` of which it was made.
    pub(crate) fn not_younger_than(self, other: &Self) -> Self {
        Self {
            lifetimes: self.lifetimes.not_younger_than(&other.lifetimes),
            times: other.times,
            ..self
        }
    }

    /// What of it is written down beside its body and [`fields`](Self::fields).
    pub(super) fn targeted(&self) -> Option<&Fields> {
        self.targeted.as_deref()
    }

    /// A good copy that was written down and is read again.
    pub(super) fn restored(
        body: Content,
        (fields, targeted): (Fields, Option<Fields>),
        lifetimes: Lifetimes,
        times: Times,
        vary: Vary,
    ) -> Self {
        Self {
            body,
            compressible: Judged::default(),
            fields,
            gzip: OnceLock::new(),
            lifetimes,
            look: OnceLock::new(),
            others: 0,
            owner: 0,
            status: StatusCode::OK,
            targeted: targeted.map(Box::new),
            times,
            vary,
        }
    }

    /// The compressed body, made once; and how many bytes it added just now.
    pub(super) fn gzip(&self, pool: &GzipPool, budget: &Arc<Budget>) -> (Option<&Bytes>, usize) {
        let mut added = 0;
        let gzip = self.gzip.get_or_init(|| {
            let gzip = coding::gzip_whole(self.body(), pool);
            // What does not get smaller is not worth a second form.
            (gzip.len() < self.body.len()).then(|| {
                added = gzip.len();
                Content::new(gzip, budget)
            })
        });
        (gzip.as_ref().map(Content::bytes), added)
    }
}

impl Entry for StoredResponse {
    fn bytes(&self) -> usize {
        let gzip = self
            .gzip
            .get()
            .and_then(Option::as_ref)
            .map_or(0, Content::len);
        let targeted = self.targeted();
        let targeted = targeted.map_or(0, |fields| size_of::<Fields>() + fields.bytes_held());
        let fields = self.fields.bytes_held() + targeted;
        self.body.len() + fields + self.vary.bytes_held() + gzip
    }

    fn matches(&self, request: &Fields) -> bool {
        self.vary.matches(request)
    }

    /// What rescues and what does not stand beside each other: an error that is fresh for a while
    /// does not take the last good page away.
    fn same_variant(&self, other: &Self) -> bool {
        self.vary == other.vary && self.is_good() == other.is_good()
    }

    fn is_good(&self) -> bool {
        self.status == StatusCode::OK
    }

    fn owner(&self) -> u8 {
        self.owner
    }
}

/// A response on its way into the store: its body is copied here once, as it passes.
#[derive(Debug)]
pub(crate) struct Collector {
    body: Collected,
    fields: Fields,
    lifetimes: Lifetimes,
    others: u64,
    owner: u8,
    status: StatusCode,
    targeted: Option<Box<Fields>>,
    times: Times,
    vary: Vary,
}

/// What a copy is made of, beside its body.
#[derive(Debug)]
pub(crate) struct Making<'a> {
    pub(crate) head: &'a ResponseHead,
    pub(crate) lifetimes: Lifetimes,
    /// A hash of the cookies that came with the request and are not part of the key.
    pub(crate) others: u64,
    /// Whoever asked for it, among owners of copies; 0 for nobody. A renewal changes no owner.
    pub(crate) owner: u8,
    pub(crate) times: Times,
    /// The wall clock when the head came.
    pub(crate) unix: UnixTime,
    pub(crate) vary: Vary,
}

impl Collector {
    /// Starts to collect a response, of which the body may have `bytes_max` bytes; `None` where
    /// the fields do not fit.
    pub(super) fn new(making: Making<'_>, bytes_max: usize, budget: &Arc<Budget>) -> Option<Self> {
        let Making {
            head,
            lifetimes,
            others,
            owner,
            times,
            unix,
            vary,
        } = making;
        let (fields, targeted) = (stored_fields(head, unix), targeted_fields(head));
        if head.fields.is_cut()
            || fields.is_cut()
            || targeted.as_ref().is_some_and(|fields| fields.is_cut())
        {
            return None;
        }
        Some(Self {
            body: Collected::new(bytes_max, budget),
            fields,
            lifetimes,
            others,
            owner,
            status: head.status,
            targeted,
            times,
            vary,
        })
    }

    /// Adds a piece; `false` when the response is too large to keep.
    #[must_use]
    pub(crate) fn push(&mut self, data: &[u8]) -> bool {
        self.body.push(data)
    }

    /// Status, fields and content, as far as they have come.
    pub(crate) fn answer(&self) -> ((StatusCode, &Fields), &[u8]) {
        ((self.status, &self.fields), self.body.bytes())
    }

    /// Whether there is little room for more of such size.
    pub(crate) fn is_short(&self) -> bool {
        self.body.is_short()
    }

    /// The finished copy.
    pub(crate) fn finish(self) -> StoredResponse {
        StoredResponse {
            body: self.body.finish(),
            compressible: Judged::default(),
            fields: self.fields,
            gzip: OnceLock::new(),
            lifetimes: self.lifetimes,
            look: OnceLock::new(),
            others: self.others,
            owner: self.owner,
            status: self.status,
            targeted: self.targeted,
            times: self.times,
            vary: self.vary,
        }
    }
}

/// The fields that are kept: end-to-end ones, without those that the response withholds from
/// copies.
fn stored_fields(head: &ResponseHead, unix: UnixTime) -> Fields {
    let withheld: Vec<_> = cache_control::withheld(&head.fields).collect();
    let all = end_to_end_fields(head, unix);
    if withheld.is_empty() || all.is_cut() {
        return all;
    }
    let is_kept = |name: &str| {
        !withheld
            .iter()
            .any(|w| w.eq_ignore_ascii_case(name.as_bytes()))
    };
    Fields::from_pairs(all.iter().filter(|(name, _)| is_kept(name)))
}

/// The end-to-end fields of a response, without those of the one exchange.
fn end_to_end_fields(head: &ResponseHead, unix: UnixTime) -> Fields {
    let mut fields = FieldsBuilder::with_room_for(&head.fields);
    forwarding::forward_response(head, |line| {
        // Never stored: Set-Cookie is one user's, Age, Cache-Status and X-Request-Id are told anew.
        let is_of_one = line.is("set-cookie") || line.is("x-request-id");
        if !is_of_one && !line.is("age") && !line.is("cache-status") {
            fields.push_line(line);
        }
    });
    if !head.fields.contains("date") {
        // RFC 9110 §6.6.1: a recipient with a clock records when it was received.
        fields.push("date", unix.to_string().as_bytes());
    }
    fields.build()
}

fn targeted_fields(head: &ResponseHead) -> Option<Box<Fields>> {
    let targeted = Fields::from_pairs(
        head.fields
            .iter()
            .filter(|(name, _)| forwarding::is_retter_field(name.as_bytes())),
    );
    (targeted.is_cut() || !targeted.is_empty()).then(|| Box::new(targeted))
}

fn head_has(head: &ResponseHead, end_to_end: &Fields, name: &str) -> bool {
    end_to_end.contains(name)
        || forwarding::is_retter_field(name.as_bytes()) && head.fields.contains(name)
}

/// RFC 9111 §3.2: fields that say how the stored bytes are to be read stay with those bytes; so
/// does the tag that they were found valid by.
fn describes_body(name: &str) -> bool {
    [
        "content-encoding",
        "content-length",
        "content-md5",
        "content-range",
        "etag",
    ]
    .iter()
    .any(|known| known.eq_ignore_ascii_case(name))
}
