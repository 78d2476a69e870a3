//! Owns [`Refresh`]: asking the origin though no client waits, to renew a copy or to probe a
//! circuit; and when that happens.
//! Never takes a slot that a write could have, and never asks for what nobody asked for before.

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::Waker;

use http::Method;

use super::wants::{Ended, Errand, LOOK_AGAIN, Schedule, Wants};
use super::{Ask, Fetch, Grant, Retter};
use crate::breaker::{Outcome, State};
use crate::key::{self, CacheKey};
use crate::message::{Fields, FieldsBuilder, RequestHead, Version};
use crate::report::RefreshStats;
use crate::rules::forwarding::HopByHop;
use crate::rules::label::Forward;
use crate::sync::MutexGuard;
use crate::time::Instant;

/// Permission, and the wish, to ask the origin for a page though no client waits for it.
///
/// Send [`request`](Self::request), feed the answer to [`fetch`](Self::fetch), throw it away.
#[derive(Debug)]
#[must_use = "dropped, the copy stays as old as it is"]
pub struct Refresh {
    /// To be fed with the answer; see [`Fetch`]. What it would rescue with is of no use here.
    pub fetch: Box<Fetch>,
    /// On whose behalf: the address of the client that was answered from the copy.
    pub peer: IpAddr,
    /// What to send: a plain GET with that client's cookies and credentials.
    pub request: Arc<RequestHead>,
}

/// A renewal that runs, as its [`Fetch`] knows it.
#[derive(Debug)]
pub(super) struct Renewal {
    pub(super) ended: Ended,
    /// As a probe, because it is slow.
    pub(super) is_counted: bool,
    pub(super) key: CacheKey,
    number: u64,
}

/// Why a renewal does not start.
#[derive(Debug)]
enum NotStarted {
    /// There is no slot.
    Full,
    /// The copy is gone, cannot be asked for again, or another renewal of it has just begun.
    Gone,
    /// A circuit is not closed.
    Refused,
}

/// Copies looked at in one call; those behind them get their turn in the next.
const LOOKS_MAX: usize = 8;

impl Retter {
    /// The next copy to renew, or circuit to probe, in the background.
    ///
    /// Whoever calls this promises to go on: from the first call on, circuits are probed with
    /// copies where there are any, and with visitors' requests only where there are none. Call it
    /// again at [`poll_refresh_timeout`](Self::poll_refresh_timeout), and when the waker of
    /// [`set_refresh_waker`](Self::set_refresh_waker) is woken.
    pub fn poll_refresh(self: &Arc<Self>, now: Instant) -> Option<Refresh> {
        if self.background_max() == 0 {
            return None;
        }
        self.attended.store(true, Ordering::Relaxed);
        self.probe(now).or_else(|| self.renew(now))
    }

    /// When to call [`poll_refresh`](Self::poll_refresh) again after it returned `None`; `None`
    /// when only the waker tells.
    pub fn poll_refresh_timeout(&self, now: Instant) -> Option<Instant> {
        if self.background_max() == 0 {
            return None;
        }
        let probe = self.next_probe(now);
        let only_probes = self.only_probes();
        let mut wants = self.wants();
        let due = if only_probes { None } else { wants.due_at() };
        let next = [probe, due].into_iter().flatten().min();
        // Due, but there is no room.
        let next = next.map(|at| at.max(now + LOOK_AGAIN));
        wants.looks_at(next, only_probes);
        next
    }

    /// Notes whom to wake when a refresh may be due earlier than was told. Once: note it again
    /// after each waking, before the next [`poll_refresh`](Self::poll_refresh).
    pub fn set_refresh_waker(&self, waker: &Waker) {
        let replaced = self.wants().set_waker(waker.clone());
        drop(replaced);
    }

    /// Whether somebody renews copies.
    pub(super) fn is_attended(&self) -> bool {
        self.attended.load(Ordering::Relaxed)
    }

    /// Probes a circuit whose time has come.
    fn probe(self: &Arc<Self>, now: Instant) -> Option<Refresh> {
        if self.calm.load(Ordering::Relaxed) {
            return None;
        }
        let mut candidates = self.wants().to_probe_with();
        {
            let tiers = self.tiers();
            candidates.retain(|candidate| {
                let path = candidate.errand.request.path();
                tiers.state(path, now) == State::HalfOpen
                    && tiers.retry_at(path, now).is_none()
                    && candidate.from <= now
            });
        }
        let mut candidates = candidates.iter().take(LOOKS_MAX);
        candidates.find_map(|candidate| self.start(&candidate.errand, true, now).ok())
    }

    /// Whether the origin's circuit is not closed: what comes to it then is a probe.
    fn only_probes(&self) -> bool {
        !self.calm.load(Ordering::Relaxed) && !self.tiers().is_origin_closed()
    }

    /// Renews a copy that is wanted.
    fn renew(self: &Arc<Self>, now: Instant) -> Option<Refresh> {
        if self.only_probes() {
            return None;
        }
        for _ in 0..LOOKS_MAX {
            let errand = self.wants().most_wanted(now)?;
            match self.start(&errand, false, now) {
                Ok(refresh) => return Some(refresh),
                Err(NotStarted::Full) => return None,
                Err(NotStarted::Gone) => {}
                Err(NotStarted::Refused) => self.wants().postpone(&errand.key, now),
            }
        }
        None
    }

    /// Starts one, where the copy still is, a slot is free and the circuits let it pass.
    fn start(
        self: &Arc<Self>,
        errand: &Errand,
        is_probe: bool,
        now: Instant,
    ) -> Result<Refresh, NotStarted> {
        let Errand { key, peer, request } = errand;
        let Some(copy) = self.copies.look_up_good(key, &request.fields) else {
            self.wants().forget(key);
            return Err(NotStarted::Gone);
        };
        let path = request.path();
        let has_room = || self.gate.in_flight() < self.gate.limit();
        let slot = match self.gate.try_enter_background(now) {
            // Renewals that hang must not keep a probe back: it is what visitors wait for.
            None if is_probe && has_room() => self.gate.try_enter(now),
            slot => slot,
        };
        let slot = slot.ok_or(NotStarted::Full)?;
        let plain = plain(request);
        if plain.fields.is_cut() {
            // Without what is missing it would be somebody else's page.
            self.wants().forget(key);
            return Err(NotStarted::Gone);
        }
        let permit = self.with_tiers(|tiers| {
            // What is wanted most is not the best to probe with.
            let may_ask = is_probe || tiers.state(path, now) == State::Closed;
            let permit = may_ask.then(|| tiers.try_acquire(path, now));
            permit.and_then(Result::ok).ok_or(NotStarted::Refused)
        })?;
        let circuit = permit.circuit();
        let Some(number) = self.wants().start(errand, now) else {
            // Another has begun it meanwhile.
            self.record(permit, Outcome::Ignore, now);
            return Err(NotStarted::Gone);
        };
        let request = Arc::new(plain);
        let ask = Ask {
            copy: Some(copy),
            ends_session: false,
            key: Some(key.clone()),
            // Nobody waits for an answer.
            may_rescue: false,
            request: &request,
            snapshot: self.snapshot(),
            why: Forward::Stale,
        };
        let grant = Grant {
            lead: None,
            permit,
            slot,
        };
        let mut fetch = Fetch::new(self, ask, grant, circuit, now);
        fetch.renews(Renewal {
            ended: Ended::Dropped,
            is_counted: false,
            key: key.clone(),
            number,
        });
        Ok(Refresh {
            fetch,
            peer: *peer,
            request,
        })
    }

    /// Lets a fetch for which nobody waits any more go on to renew its copy; within the share, or
    /// a hanging origin would soon have all slots.
    pub(super) fn adopt(&self, errand: &Errand, now: Instant) -> Option<Renewal> {
        if key::logs_in_once(&errand.request.fields) {
            return None;
        }
        let running_max = self.background_max();
        let retry_at = self.retry_at(&errand.request, now);
        let mut wants = self.wants();
        if wants.stats.running >= running_max || wants.runs(&errand.key) {
            return None;
        }
        let number = wants.start(errand, now)?;
        wants.is_slow(&errand.key, number, now, retry_at);
        Some(Renewal {
            ended: Ended::Dropped,
            is_counted: false,
            key: errand.key.clone(),
            number,
        })
    }

    /// Notes that a renewal takes longer than it should.
    pub(super) fn renewal_is_slow(&self, renewal: &Renewal, request: &RequestHead, now: Instant) {
        let retry_at = self.retry_at(request, now);
        let mut wants = self.wants();
        wants.is_slow(&renewal.key, renewal.number, now, retry_at);
    }

    /// When the circuits of this request can be probed again.
    fn retry_at(&self, request: &RequestHead, now: Instant) -> Instant {
        let retry_at = self.tiers().retry_at(request.path(), now);
        retry_at.unwrap_or(now)
    }

    /// When a circuit that is not closed can be probed.
    fn next_probe(&self, now: Instant) -> Option<Instant> {
        if self.calm.load(Ordering::Relaxed) {
            return None;
        }
        let candidates = self.wants().to_probe_with();
        let tiers = self.tiers();
        let next = candidates.iter().filter_map(|candidate| {
            let path = candidate.errand.request.path();
            let at = tiers.retry_at(path, now).unwrap_or(now);
            (tiers.state(path, now) != State::Closed).then(|| at.max(candidate.from))
        });
        next.min()
    }

    /// Whether circuits are probed in the background, so that this visitor does not have to: with a
    /// copy of this path where the path's own circuit is not closed, else with any that can be
    /// asked for now. Who has no copy does not wait for a page that stays broken.
    pub(super) fn probes_by_itself(&self, path: &[u8], has_copy: bool, now: Instant) -> bool {
        if !self.attended.load(Ordering::Relaxed) {
            return false;
        }
        let tiers = self.tiers();
        let is_path = tiers.path_state(path, now) != State::Closed;
        let lets = |other: &[u8]| match is_path {
            true => other == path,
            false => tiers.retry_at(other, now).is_none(),
        };
        self.wants().can_probe(lets, has_copy, now)
    }

    /// Notes that a copy answered where the origin should have.
    pub(super) fn want(&self, errand: &Errand, due: Instant, now: Instant) {
        if !self.may_renew(&errand.request.fields) {
            return;
        }
        let mut wants = self.wants();
        let waker = if wants.want(errand, due, now) {
            wants.take_waker()
        } else {
            None
        };
        drop(wants);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Remembers the request of a copy that was just made, to probe with.
    pub(super) fn remember(&self, errand: Errand) {
        if !self.may_renew(&errand.request.fields) {
            return;
        }
        self.wants().remember(errand);
        if !self.calm.load(Ordering::Relaxed) {
            // From now on visitors leave the probing to it.
            self.wake_refresher();
        }
    }

    /// Whether somebody renews copies, and nothing of the client's is used up by it.
    pub(super) fn may_renew(&self, request: &Fields) -> bool {
        self.is_attended() && !key::logs_in_once(request)
    }

    /// Counts how the origin was found by a renewal that was a probe.
    pub(super) fn count_probe(&self, outcome: Outcome) {
        let stats = &mut self.wants().stats;
        match outcome {
            Outcome::ConnectFailure | Outcome::Failure => stats.probes_failed += 1,
            Outcome::Ignore | Outcome::Slow { .. } => {}
            Outcome::Success => stats.probes_succeeded += 1,
        }
    }

    /// A renewal has ended.
    pub(super) fn renewal_ended(&self, renewal: Renewal, request: &RequestHead, now: Instant) {
        let Renewal {
            ended, key, number, ..
        } = renewal;
        let schedule = Schedule {
            now,
            due: now + self.snapshot.load().config().cache.ttl,
            retry_at: self.retry_at(request, now),
        };
        let mut wants = self.wants();
        wants.end(&key, number, ended, schedule);
        let waker = wants.take_waker();
        drop(wants);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether nothing has happened that makes the answer of this renewal wrong.
    pub(super) fn is_current(&self, renewal: &Renewal) -> bool {
        self.wants().is_current(&renewal.key, renewal.number)
    }

    /// Wakes whoever renews copies: what is due may have changed.
    pub(super) fn wake_refresher(&self) {
        let waker = self.wants().take_waker();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn refresh_stats(&self) -> RefreshStats {
        let wants = self.wants();
        RefreshStats {
            wanted: wants.len(),
            ..wants.stats
        }
    }

    /// Slots that renewals may have: the share of what there are, at least one.
    pub(super) fn background_max(&self) -> u32 {
        let share = self.snapshot.load().config().admission.background_share;
        if share <= 0.0 {
            return 0;
        }
        let slots = f64::from(self.gate.limit()) * share;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a u32, rounded down"
        )]
        let slots = slots as u32;
        slots.max(1)
    }

    pub(super) fn wants(&self) -> MutexGuard<'_, Wants> {
        self.wants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What makes an answer one for its own request alone.
const OWN_ANSWER: [&str; 7] = [
    "expect",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "range",
];

/// Whether the answer to this request can be the copy for others.
pub(super) fn renews(request: &RequestHead) -> bool {
    let is_own = OWN_ANSWER.iter().any(|name| request.fields.contains(name));
    request.method == Method::GET && !is_own
}

/// The request that renews what answered `request`: without what belonged to its connection, to
/// its own copy, or to its wish not to be answered from ours.
fn plain(request: &RequestHead) -> RequestHead {
    const LEFT_OUT: [&str; 4] = ["cache-control", "content-length", "pragma", "trailer"];
    let hop_by_hop = HopByHop::of(&request.fields);
    let mut fields = FieldsBuilder::default();
    for (name, value) in request.fields.iter() {
        let mut left_out = LEFT_OUT.iter().chain(&OWN_ANSWER);
        let left_out = left_out.any(|out| name.eq_ignore_ascii_case(out));
        if !left_out && hop_by_hop.keeps(name.as_bytes()) {
            fields.push(name, value);
        }
    }
    RequestHead {
        method: Method::GET,
        target: request.target.clone(),
        version: Version::Http11,
        fields: fields.build(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewal_asks_as_its_user_did_for_the_whole_page() {
        let sent = [
            ("Host", "h"),
            ("Cookie", "PHPSESSID=a"),
            ("If-None-Match", "\"1\""),
            ("Range", "bytes=0-1"),
            ("Connection", "close, X-Hop"),
            ("X-Hop", "1"),
            ("Cache-Control", "no-store"),
            ("Accept-Language", "de"),
        ];
        let fields = Fields::from_pairs(sent.map(|(name, value)| (name, value.as_bytes())));
        let renewing = plain(&RequestHead::new(Method::HEAD, "/a?b", fields));
        assert_eq!(
            (&renewing.method, &renewing.target[..]),
            (&Method::GET, &b"/a?b"[..])
        );
        let names: Vec<_> = renewing.fields.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["Host", "Cookie", "Accept-Language"]);
    }
}
