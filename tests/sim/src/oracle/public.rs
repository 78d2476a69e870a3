//! Owns whether what a stranger was sent may answer a visitor, and what of a page may be shared that a
//! stranger may not see.
//! Never judges a copy of a visitor's own.

use retter_core::time::Instant;

use super::Oracle;
use super::cause::{check_status, own_answers};
use crate::copies::is_no;
use crate::ledger::{Answer, Asked, AskedId, Ledger};
use crate::net::Net;
use crate::seen::{
    Seen, basis, bodiless, cache_status, check_bodiless, check_body, find_answer, holds, plain,
    seconds, status,
};

impl Oracle {
    /// Judges an answer that says that a stranger was sent it.
    pub(super) fn judge_public(
        &self,
        id: AskedId,
        seen: &Seen,
        net: &Net,
        ledger: &Ledger,
    ) -> Result<(), String> {
        let asked = &ledger.asked[id];
        let sent = asked.sent_at.unwrap_or(net.now);
        let is_somebody = asked.lines.iter().any(|(name, _)| name != "Cookie");
        holds(
            !is_somebody,
            "what a stranger was sent, for who is somebody",
        )?;
        holds(self.settings.site.cache.has_public(), "nothing is public")?;
        self.check_shared(asked, sent, net, ledger)?;
        let sets_cookie = seen.head.fields.get("set-cookie").is_some();
        holds(!sets_cookie, "a copy that hands out a cookie")?;
        holds(seen.is_whole || seen.is_excused, "a copy was cut short")?;
        self.check_public_cause(id, seen, net, ledger)?;
        if matches!(status(seen), 304 | 416) {
            check_bodiless(asked, seen)?;
            let mut pairs = bodiless(seen, ledger);
            let is_one =
                pairs.any(|pair| self.check_public(asked, seen, pair, sent, ledger).is_ok());
            return holds(is_one, "no stranger was sent it");
        }
        let answer = find_answer(seen, ledger)?;
        let body = plain(asked, seen)?;
        ledger.sent.check_public(&answer.page, &body)?;
        let text = String::from_utf8_lossy(&body);
        let mut handed = ledger.handed.iter().filter(|value| value.len() >= 16);
        let shows = handed.any(|value| text.contains(&**value));
        holds(!shows, "a value that a stranger was handed")?;
        check_body(asked, &answer.page, seen)?;
        let basis = basis(&seen.head).and_then(|id| ledger.answers.get(id));
        let basis = basis.ok_or("no answer of the origin")?;
        self.check_public(asked, seen, (answer, basis), sent, ledger)
    }

    /// Whether a copy that `answer` brought and `basis` made what it is may answer as a stranger's.
    fn check_public(
        &self,
        asked: &Asked,
        seen: &Seen,
        (answer, basis): (&Answer, &Answer),
        sent: Instant,
        ledger: &Ledger,
    ) -> Result<(), String> {
        let other = &ledger.asked[answer.asked];
        holds(
            answer.is_strangers && basis.is_strangers,
            "no stranger was sent it",
        )?;
        holds(
            answer.status == 200,
            "what was no good answer to a stranger",
        )?;
        let is_same = self.copies.key(asked) == self.copies.key(other);
        holds(
            is_same && basis.page == answer.page,
            "a copy of another page",
        )?;
        holds(!answer.varies, "what varies by what nobody knows")?;
        let Some(done) = basis.seen_at else {
            return Ok(());
        };
        let resident = sent.saturating_since(done);
        let age = seen.head.fields.get("age").and_then(|age| age.parse().ok());
        holds(
            age.is_some_and(|age: u64| age >= resident.as_secs()),
            "a wrong Age",
        )?;
        let age_max = self.copies.settings.rescue_age_max;
        let most = seconds(basis, "stale-if-error=").map_or(age_max, |most| most.min(age_max));
        holds(resident <= most, "rescued against its directives")
    }

    /// Whether what others are sent may be shown to this client at all: not what the client was refused,
    /// nor a page that a stranger was refused.
    pub(super) fn check_shared(
        &self,
        asked: &Asked,
        sent: Instant,
        net: &Net,
        ledger: &Ledger,
    ) -> Result<(), String> {
        let was_refused = self.copies.was_refused(asked, sent);
        holds(!was_refused, "a page that its visitor was refused")?;
        let key = self.copies.key(asked);
        let of_strangers = || {
            let answers = ledger.answers.iter().filter(|answer| answer.is_strangers);
            answers.filter(|answer| self.copies.key(&ledger.asked[answer.asked]) == key)
        };
        let is_over = |answer: &&Answer| {
            let attempt = answer.attempt.map(|attempt| net.attempts.get(attempt));
            let end = answer.ends;
            let came = end.is_some_and(|end| net.progress(answer.link).1 >= end);
            answer.is_sound && came && attempt.is_some_and(|attempt| attempt.was_over(sent))
        };
        let refusals = of_strangers().filter(|answer| is_no(answer.status));
        let last = refusals.filter(is_over).filter_map(|no| no.head_at).max();
        let may_see = |no: Instant| {
            // A later one may have said otherwise, or have been lost.
            of_strangers()
                .any(|answer| !is_no(answer.status) && answer.head_at.is_none_or(|at| at > no))
        };
        holds(
            last.is_none_or(may_see),
            "a page that a stranger may not see",
        )
    }

    /// Whether the origin did not answer.
    fn check_public_cause(
        &self,
        id: AskedId,
        seen: &Seen,
        net: &Net,
        ledger: &Ledger,
    ) -> Result<(), String> {
        let asked = &ledger.asked[id];
        let sent = asked.sent_at.unwrap_or(net.now);
        let says = cache_status(seen);
        if says.contains("; hit;") {
            return self
                .check_refused(asked, net, ledger)
                .or_else(|_| self.check_overload(sent, net));
        }
        if says.contains("fwd-status=") {
            let is_error = |own: &Answer| own.status == 200 && own.page.is_error;
            let is_soft = says.contains("fwd-status=200;");
            return match is_soft && own_answers(asked, ledger).any(is_error) {
                true => Ok(()),
                false => check_status(asked, says, ledger),
            };
        }
        let breaker = &self.settings.site.breaker;
        let waited = net.now.saturating_since(sent);
        let is_slow = breaker.slow_rate.is_some() && waited >= breaker.slow_min;
        let failures = ["connect", "protocol", "reset", "timeout", "truncated"];
        let mut failures = failures.into_iter();
        let failed = failures.any(|failure| self.check_failure(id, failure, net, ledger).is_ok());
        holds(is_slow || failed, "the origin did not fail")
    }
}
