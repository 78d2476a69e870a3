//! Owns whether an answer that does not come from the origin says truly why it is there: the
//! copy's reason not to wait for the origin, or the program's reason to have none.
//! Never judges what a copy is.

use std::time::Duration;

use retter_core::config::FreshMode;
use retter_core::time::Instant;

use super::Oracle;
use super::rooms::is_navigation;
use crate::attempts::Attempt;
use crate::ledger::{Answer, Asked, AskedId, Ledger};
use crate::net::Net;
use crate::seen::{Seen, cache_status, detail, holds, is_failure, status};

impl Oracle {
    /// Judges whether a copy says truly why it answers, and may answer for that reason.
    pub(super) fn judge_cause(
        &self,
        id: AskedId,
        (answer, basis): (&Answer, &Answer),
        seen: &Seen,
        net: &Net,
        ledger: &Ledger,
    ) -> Result<(), String> {
        let asked = &ledger.asked[id];
        let sent = asked.sent_at.unwrap_or(net.now);
        let resident = basis
            .seen_at
            .map_or(Duration::ZERO, |done| sent.saturating_since(done));
        let says = cache_status(seen);
        let lifetime = self.copies.lifetime(asked, basis);
        match detail(says) {
            None if says.contains("fwd-status=304") => {
                let last = own_answers(asked, ledger).last();
                let is_right =
                    last.is_some_and(|last| last.status == 304 && last.page == answer.page);
                return holds(is_right, "the origin did not say that it is unchanged");
            }
            None => {
                holds(says.contains("hit"), "no reason")?;
                self.may_skip_origin(asked)?;
                return holds(resident <= lifetime, "not fresh");
            }
            Some("stale-while-revalidate") => {
                self.may_skip_origin(asked)?;
                let behind = self.copies.behind_max(asked, basis);
                let behind = behind.ok_or("stale against its directives")?;
                return holds(resident <= lifetime + behind, "stale for too long");
            }
            Some("circuit-open") => self.check_refused(asked, net, ledger),
            Some("overload") => self.check_overload(sent, net),
            Some("slow") => {
                let breaker = &self.settings.site.breaker;
                let waited = net.now.saturating_since(sent);
                let is_slow = breaker.slow_rate.is_some() && waited >= breaker.slow_min;
                holds(is_slow, "the origin was not slow")
            }
            Some(detail) if detail.starts_with("rescued") => {
                self.check_rescued(id, detail, answer, seen, net, ledger)
            }
            Some(_) => Err("an undocumented reason".to_owned()),
        }?;
        let rescues = self.copies.rescue_max(asked, basis);
        holds(answer.status == 200, "rescued with what is no good answer")?;
        let rescues = rescues.ok_or("used without validation")?;
        holds(resident <= rescues, "rescued against its directives")
    }

    /// Judges what the program answers by itself.
    pub(super) fn judge_local(
        &mut self,
        id: AskedId,
        seen: &Seen,
        net: &Net,
        ledger: &Ledger,
    ) -> Result<(), String> {
        self.tally.local += 1;
        let asked = &ledger.asked[id];
        let sent = asked.sent_at.unwrap_or(net.now);
        let waited = net.now.saturating_since(sent);
        let says = cache_status(seen);
        if says.contains("collapsed") {
            return self.check_shared_failure(id, seen, net, ledger);
        }
        match (status(seen), detail(says)) {
            (400 | 405 | 411 | 413 | 414 | 431 | 501 | 505, None) => {
                holds(asked.malformed, "the request was well formed")
            }
            (408, None) => holds(
                waited >= self.settings.client.read_timeout,
                "the client had more time",
            ),
            (502 | 504, Some(failure)) => {
                let mut own = own_answers(asked, ledger);
                holds(!own.any(|own| came(own, net)), "the origin had answered")?;
                self.check_failure(id, failure, net, ledger)?;
                let is_timeout = failure == "timeout";
                let may_be_504 = is_timeout || self.forbids_rescue(asked, ledger);
                let is_right = match status(seen) {
                    502 => !is_timeout,
                    _ => may_be_504,
                };
                holds(is_right, "another status than its failure has")
            }
            (503, Some(detail)) => {
                let after = seen.head.fields.get("retry-after");
                holds(after.is_some(), "no Retry-After")?;
                match detail {
                    "circuit-open-no-copy" => {
                        holds(asked.is_read(), "a circuit refuses what is no read")?;
                        self.check_refused(asked, net, ledger)
                    }
                    // Others were there before, though there may be room by now.
                    "overload-no-copy" if is_navigation(asked) && self.full_at.is_some() => Ok(()),
                    "overload-no-copy" => self.check_overload(sent, net),
                    "waiting-room" => {
                        holds(self.full_at.is_some(), "the origin was never full")?;
                        let is_new = self.rooms.check(asked, seen, net.now, ledger)?;
                        self.tally.placed += u64::from(is_new);
                        Ok(())
                    }
                    _ => Err("an undocumented reason".to_owned()),
                }
            }
            _ => Err("an undocumented answer".to_owned()),
        }
    }

    /// Whether this request may be answered from a copy as if the origin had been asked.
    fn may_skip_origin(&self, asked: &Asked) -> Result<(), String> {
        let is_off = self.copies.settings.fresh == FreshMode::Off;
        holds(!is_off, "nothing is fresh")?;
        holds(!asked.no_cache, "the client wanted the origin")
    }

    /// Whether the origin may have had no room for a request sent at that time, or this side no
    /// socket.
    pub(super) fn check_overload(&self, sent: Instant, net: &Net) -> Result<(), String> {
        let may = self.full_at >= Some(sent) || net.attempts.lacked_since(sent);
        holds(may, "there was room at the origin")
    }

    /// Whether a circuit may have refused this request, which is answered now.
    pub(super) fn check_refused(
        &self,
        asked: &Asked,
        net: &Net,
        ledger: &Ledger,
    ) -> Result<(), String> {
        let time = (asked.sent_at.unwrap_or(net.now), net.now);
        let may = self
            .circuits
            .may_have_refused(asked, time, &net.attempts, ledger);
        holds(may, "no circuit had a reason to refuse it")
    }

    /// Whether the origin failed in the way that a rescue says, on this client's own behalf.
    pub(super) fn check_rescued(
        &self,
        id: AskedId,
        detail: &str,
        copy: &Answer,
        seen: &Seen,
        net: &Net,
        ledger: &Ledger,
    ) -> Result<(), String> {
        let mut own = own_answers(&ledger.asked[id], ledger);
        if detail == "rescued" {
            return check_status(&ledger.asked[id], cache_status(seen), ledger);
        }
        if detail == "rescued-soft" {
            let is_error = own.any(|own| {
                let (page, kept) = (&own.page, &copy.page);
                own.status == 200 && page.is_error && !kept.is_error && page.len * 4 < kept.len
            });
            return holds(is_error, "rescued from a page that is no error");
        }
        holds(
            !own.any(|own| came(own, net)),
            "rescued from an origin that had answered",
        )?;
        let failure = detail.trim_start_matches("rescued-");
        self.check_failure(id, failure, net, ledger)
    }

    /// Whether the origin can have failed on this request in this way below HTTP.
    pub(super) fn check_failure(
        &self,
        id: AskedId,
        failure: &str,
        net: &Net,
        ledger: &Ledger,
    ) -> Result<(), String> {
        let sent = ledger.asked[id].sent_at.unwrap_or(net.now);
        let origin = &self.settings.site.origin;
        let mut running = net.attempts.running_since(sent);
        // What never came to the origin may have been anybody's.
        let failed = running.any(|attempt| {
            !attempt.in_background
                && attempt.asked.is_none_or(|asked| asked == id)
                && attempt.may_have_failed(failure, origin, net.now)
        });
        holds(failed, "the origin did not fail so")
    }

    /// Whether the origin failed on another request for the same, while this one waited for it.
    fn check_shared_failure(
        &self,
        id: AskedId,
        seen: &Seen,
        net: &Net,
        ledger: &Ledger,
    ) -> Result<(), String> {
        let asked = &ledger.asked[id];
        let (status, failure) = (status(seen), detail(cache_status(seen)));
        let key = self.copies.key(asked);
        let leads = |other: &Asked| {
            let is_chain = self.settings.site.cache.has_chains()
                && other.started.is_some()
                && asked.started.is_some()
                && other.rest == asked.rest;
            let is_alike = other.who == asked.who || is_chain;
            other.method == "GET" && is_alike && self.copies.key(other) == key
        };
        let failed = |other: &Asked| {
            let mut own = own_answers(other, ledger);
            match failure {
                None => own.any(|own| {
                    let is_soft = own.status == 200 && own.page.is_error && status == 502;
                    is_soft || own.status == status && is_failure(status)
                }),
                Some(_) => !own.any(|own| came(own, net)),
            }
        };
        let origin = &self.settings.site.origin;
        let may_have_failed = |attempt: &Attempt| {
            let failure =
                failure.is_none_or(|failure| attempt.may_have_failed(failure, origin, net.now));
            let other = attempt
                .asked
                .filter(|other| *other != id)
                .map(|other| &ledger.asked[other]);
            !attempt.in_background
                && failure
                && other.is_some_and(|other| leads(other) && failed(other))
        };
        let may_be_lost = |attempt: &Attempt| {
            let is_lost = |failure| attempt.may_have_failed(failure, origin, net.now);
            attempt.asked.is_none() && !attempt.in_background && failure.is_some_and(is_lost)
        };
        let sent = asked.sent_at.unwrap_or(net.now);
        let mut running = net.attempts.running_since(sent);
        holds(
            running.any(|attempt| may_have_failed(attempt) || may_be_lost(attempt)),
            "no other request for it failed",
        )?;
        let is_timeout = failure == Some("timeout");
        let is_right = failure.is_none() || status == if is_timeout { 504 } else { 502 };
        holds(is_right, "another status than its failure has")
    }

    /// Whether a copy of what this request asks for may never be used stale.
    fn forbids_rescue(&self, asked: &Asked, ledger: &Ledger) -> bool {
        ledger.answers.iter().any(|answer| {
            let other = &ledger.asked[answer.asked];
            matches!(answer.status, 200 | 304)
                && self
                    .copies
                    .same_page(asked, other, answer, &ledger.sessions)
                && self.copies.may_forbid_stale(answer)
        })
    }
}

/// The answers that the origin gave this client itself, and not to the renewal of a copy behind it.
pub(super) fn own_answers<'a>(
    asked: &'a Asked,
    ledger: &'a Ledger,
) -> impl Iterator<Item = &'a Answer> {
    let answers = asked.answers.iter().map(|answer| &ledger.answers[*answer]);
    answers.filter(|answer| !answer.renews)
}

/// Whether the origin sent this client the failing status that a rescue names.
pub(super) fn check_status(asked: &Asked, says: &str, ledger: &Ledger) -> Result<(), String> {
    let failed = own_answers(asked, ledger)
        .any(|own| is_failure(own.status) && says.contains(&format!("fwd-status={};", own.status)));
    holds(failed, "rescued from a status that did not come")
}

/// Whether the program got all of an answer with which nothing was wrong.
fn came(answer: &Answer, net: &Net) -> bool {
    let end = answer.ends;
    answer.is_sound && end.is_some_and(|end| net.progress(answer.link).1 >= end)
}
