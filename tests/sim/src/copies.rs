//! Owns what an operator was promised of copies: what may be kept, for whom, how long it may be
//! used, and what makes it wrong.
//! Never judges an answer as a whole.

use std::rc::Rc;
use std::time::Duration;

use retter_core::config::{CacheSettings, FreshMode, RescueMode};
use retter_core::time::Instant;

use crate::ledger::{Answer, Asked};
use crate::seen::{lifetime, seconds};
use crate::sessions::Sessions;

/// How many addresses the simulated clients have.
const ADDRESSES: usize = 250;

const REFUSED: Duration = Duration::from_secs(3_600);

/// What is promised, and what has made copies wrong so far.
#[derive(Debug)]
pub(crate) struct Copies {
    pub(crate) settings: CacheSettings,
    wrong: Vec<Wrong>,
    /// Where the program was told "no", for which page, and when it was passed on.
    refused: Vec<(usize, String, Instant)>,
}

/// What made copies wrong.
#[derive(Debug)]
struct Wrong {
    /// `None` for all pages of the user.
    key: Option<String>,
    /// The user asked for the page and was told that there is none for this user any more.
    is_no: bool,
    /// Whether others may have sent the same.
    is_of_many: bool,
    /// In which language.
    flavour: &'static str,
    who: Rc<str>,
    /// When the origin said so, and when a client knew.
    head_at: Instant,
    seen_at: Instant,
}

impl Copies {
    pub(crate) fn new(settings: CacheSettings) -> Self {
        Self {
            settings,
            wrong: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// Takes note of an answer of the origin that a client had at `now`.
    pub(crate) fn note_wrong(&mut self, asked: &Asked, answer: &Answer, now: Instant) {
        let Some(head_at) = answer.head_at else {
            return;
        };
        self.note_refused(asked, answer, now);
        let succeeded = (200..400).contains(&answer.status);
        let who = &asked.who;
        let wrong = |key| Wrong {
            key,
            is_no: false,
            is_of_many: !asked.is_known,
            flavour: asked.flavour,
            who: Rc::clone(who),
            head_at,
            seen_at: now,
        };
        // What all who send `lang=en` see is no session's.
        if answer.new_session && asked.is_known {
            self.wrong.push(wrong(None));
        }
        if matches!(asked.method, "POST" | "DELETE") && succeeded {
            self.wrong.push(wrong(Some(self.key(asked))));
        }
        // Of a connection's own login there are no copies, whatever its later requests look like.
        // The odd request of one of many takes nothing away from the others.
        // Where the query is no part of the page, a link that signs out is of no page.
        let is_odd = asked.method != "GET"
            || asked.range
            || asked.signs_out()
            || asked.page() != asked.target;
        let is_told = asked.is_read() && !asked.is_bound && (asked.is_known || !is_odd);
        if is_told && is_no(answer.status) {
            let is_no = true;
            let wrong = wrong(Some(self.key(asked)));
            self.wrong.push(Wrong { is_no, ..wrong });
        }
    }

    /// Whoever was refused a page gets no copy of what others are sent, be it without a cookie.
    fn note_refused(&mut self, asked: &Asked, answer: &Answer, now: Instant) {
        let leads_on = asked.is_tracked() && (300..400).contains(&answer.status);
        if !asked.is_read() || asked.is_bound || leads_on {
            return;
        }
        let (address, key) = (asked.client % ADDRESSES, self.key(asked));
        if answer.status == 200 {
            self.refused
                .retain(|(other, page, _)| *other != address || *page != key);
        } else if is_no(answer.status) {
            self.refused.push((address, key, now));
        }
    }

    /// Whether whoever has the address of this request was refused the page.
    pub(crate) fn was_refused(&self, asked: &Asked, sent: Instant) -> bool {
        let (address, key) = (asked.client % ADDRESSES, self.key(asked));
        self.refused.iter().any(|(other, page, at)| {
            *other == address && *page == key && *at < sent && sent < *at + REFUSED
        })
    }

    /// Whether a copy of an answer to `other`, which the origin made or confirmed by `basis`, may
    /// not answer what was sent at `sent`.
    pub(crate) fn is_wrong(
        &self,
        asked: &Asked,
        (answer, basis): (&Answer, &Answer),
        other: &Asked,
        sent: Instant,
    ) -> bool {
        // What comes with a cookie of its own is of whoever has it from then on.
        let owner = match answer.start {
            None => &other.who,
            Some(_) => &asked.who,
        };
        self.wrong.iter().any(|wrong| {
            let is_no_to_many = wrong.is_no && wrong.is_of_many;
            if is_no_to_many && basis.varies && wrong.flavour != other.flavour {
                return false;
            }
            // What another of them gets while one is told "no" may stay.
            let is_before = match is_no_to_many {
                true => basis.seen_at.is_some_and(|seen| seen < wrong.head_at),
                false => basis.head_at < Some(wrong.head_at),
            };
            let is_own = *owner == wrong.who;
            let is_same = match &wrong.key {
                None => is_own,
                Some(key) => {
                    let is_seen = is_own || owner.is_empty() && !wrong.is_no;
                    is_seen && *key == self.key(other)
                }
            };
            is_before && sent > wrong.seen_at && is_same
        })
    }

    /// Whether the answer to `other` may be the answer to `asked`: they ask alike, or one asks with a
    /// cookie that was given, in the same session, in the place of the other's or with that answer.
    pub(crate) fn same_page(
        &self,
        asked: &Asked,
        other: &Asked,
        answer: &Answer,
        sessions: &Sessions,
    ) -> bool {
        let goes_on = |from: &Option<Rc<str>>| {
            let from = from.as_deref();
            from.is_some()
                && sessions
                    .line(asked.started.as_deref())
                    .any(|pair| Some(pair) == from)
        };
        let is_chain = self.settings.has_chains()
            && asked.rest == other.rest
            && (goes_on(&answer.start) || goes_on(&other.started));
        self.key(asked) == self.key(other)
            && (asked.who == other.who || is_chain)
            && (!answer.varies || asked.flavour == other.flavour)
    }

    /// What has the same is the same page of everybody's.
    pub(crate) fn key(&self, asked: &Asked) -> String {
        let target = match self.settings.detect_query {
            true => asked.page(),
            false => asked.path(),
        };
        format!("{}{target}", asked.host)
    }

    /// Whether an answer may be kept for this user at all.
    pub(crate) fn may_keep(&self, asked: &Asked, answer: &Answer) -> bool {
        // What says `no-cache` may be kept, and used after the origin has confirmed it.
        let is_kept = self.is_lenient(asked) || !forbids_keeping(asked, answer);
        // A cookie that is handed out makes a page its receiver's. Nobody can tell two connections
        // apart that the origin tells apart by themselves.
        let starts = answer.start.is_some();
        let goes_on = starts && self.settings.has_chains();
        // Of two lines for one cookie its browser keeps the last, which begins the session.
        let is_handed = (answer.is_reset || starts) && !goes_on;
        let is_anybodys = is_handed || answer.is_bound;
        let is_refusal = matches!(answer.status, 400 | 403 | 406);
        is_kept && !is_anybodys && !is_refusal && (!answer.new_cookie || asked.is_known)
    }

    /// Whether copies for this user are kept against their directives, to rescue with.
    pub(crate) fn is_lenient(&self, asked: &Asked) -> bool {
        match self.settings.rescue {
            RescueMode::All => true,
            RescueMode::Session => {
                let bears = ["PHPSESSID=", "Basic ", "Bearer "];
                asked.started.is_some() || bears.iter().any(|mark| asked.who.contains(mark))
            }
            RescueMode::Strict => false,
        }
    }

    /// How long a copy may be fresh: what is kept against its directives never is.
    pub(crate) fn lifetime(&self, asked: &Asked, answer: &Answer) -> Duration {
        let settings = &self.settings;
        if forbids_keeping(asked, answer) || answer.says("no-cache") {
            return Duration::ZERO;
        }
        match lifetime(answer) {
            // An error page must not outlive the trouble by more than an operator said.
            Some(explicit) if answer.status >= 500 => explicit.min(settings.ttl),
            Some(explicit) => explicit,
            None if settings.fresh == FreshMode::Ttl => settings.ttl,
            None => Duration::ZERO,
        }
    }

    /// How long beyond its lifetime a copy may be used while it is fetched again; `None` for never.
    pub(crate) fn behind_max(&self, asked: &Asked, answer: &Answer) -> Option<Duration> {
        let is_forbidden = forbids_keeping(asked, answer) || answer.says("no-cache");
        let behind = seconds(answer, "stale-while-revalidate=")?;
        (!is_forbidden && !self.forbids_stale(asked, answer)).then_some(behind)
    }

    /// How old a copy may be that rescues; `None` for one that may never be used before the origin
    /// has confirmed it.
    pub(crate) fn rescue_max(&self, asked: &Asked, answer: &Answer) -> Option<Duration> {
        let is_lenient = self.is_lenient(asked);
        if !is_lenient && answer.says("no-cache") {
            return None;
        }
        let (lifetime, age_max) = (self.lifetime(asked, answer), self.settings.rescue_age_max);
        let stale_max = match seconds(answer, "stale-if-error=") {
            _ if self.settings.rescue == RescueMode::All => age_max,
            _ if self.forbids_stale(asked, answer) => Duration::ZERO,
            Some(stale) => age_max.min(lifetime + stale),
            None => age_max,
        };
        Some(stale_max.max(lifetime))
    }

    /// Whether a copy may never be used stale (RFC 9111 §4.2.4).
    pub(crate) fn forbids_stale(&self, asked: &Asked, answer: &Answer) -> bool {
        !self.is_lenient(asked) && self.may_forbid_stale(answer)
    }

    /// Whether a copy may never be used stale by whoever is not treated leniently.
    pub(crate) fn may_forbid_stale(&self, answer: &Answer) -> bool {
        let words = [
            "no-cache",
            "must-revalidate",
            "proxy-revalidate",
            "s-maxage",
        ];
        let is_strict = self.settings.rescue != RescueMode::All;
        is_strict && words.iter().any(|word| answer.says(word))
    }
}

/// Whether the answer to a read says that this user sees the page no longer.
pub(crate) fn is_no(status: u16) -> bool {
    matches!(status, 301..=303 | 307 | 308 | 401..=404 | 410 | 451)
}

/// Whether RFC 9111 §3 forbids to keep an answer for anybody but the client that asked.
fn forbids_keeping(asked: &Asked, answer: &Answer) -> bool {
    let forbids = ["no-store", "private"].iter().any(|word| answer.says(word));
    // RFC 9111 §3.5; see `Plan::head` for what says nothing.
    let is_about_copy = answer.status == 304 || answer.method == "HEAD";
    let shares = ["public", "must-revalidate", "s-maxage"];
    let is_shared = shares.iter().any(|word| answer.says(word))
        || is_about_copy && answer.directives.is_empty();
    forbids || answer.no_store || asked.has_credentials() && !is_shared
}
