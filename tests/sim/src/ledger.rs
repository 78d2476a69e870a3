//! Owns what is known outside the program: every request that a client sent, every answer that
//! the origin gave, and what a page looks like.
//! Never judges.

use std::rc::Rc;
use std::time::Duration;

use retter_core::time::Instant;

use crate::attempts::AttemptId;
use crate::net::LinkId;
use crate::requests::LOGOUT;
use crate::sent::Sent;
use crate::sessions::Sessions;
use crate::visitors::{Line, VisitorId};

/// The number of a request in the ledger.
pub(crate) type AskedId = usize;

/// The number of an answer in the ledger.
pub(crate) type AnswerId = usize;

/// Carries the number of a request. The name is one that tells nobody who asks.
pub(crate) const ASKED: &str = "X-B3-TraceId";

/// Carries the number of an answer; only in answers that have a representation.
pub(crate) const ANSWER: &str = "X-Sim-Answer";

/// Carries the number of an answer that said that a page is unchanged. A copy takes it over with
/// the other fields of that answer (RFC 9111 §3.2), and so tells how new it is.
pub(crate) const UNCHANGED: &str = "X-Sim-Unchanged";

/// How the status line ends of what the origin says on an idle connection before it closes it.
pub(crate) const UNSOLICITED: &str = "408 Late";

/// The field that some pages vary on: one that every browser sends.
pub(crate) const FLAVOUR: &str = "Accept-Language";

/// How a parameter begins that chooses no other page, but stands in the page that is sent.
pub(crate) const TRACKED: &str = "utm_source=";

/// A request of a client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) method: &'static str,
    pub(crate) host: &'static str,
    pub(crate) target: String,
    /// Who asks, on which connection: known to nobody but the oracle.
    pub(crate) visitor: Option<VisitorId>,
    pub(crate) client: usize,
    /// What tells users apart; empty for the bare.
    pub(crate) who: Rc<str>,
    /// The cookies and fields that say so.
    pub(crate) lines: Rc<[Line]>,
    /// The place in the waiting room that its browser shows, or one that it has made up.
    pub(crate) room: Option<Rc<str>>,
    /// Which kind of answer it wants; empty where it does not say.
    pub(crate) accept: &'static str,
    /// What of `who` stays when the application gives another cookie in the place of its own.
    pub(crate) rest: Rc<str>,
    /// The cookie that the application has handed out, if it has.
    pub(crate) started: Option<Rc<str>>,
    /// The application knows who asks: by more than a cookie of unknown meaning.
    pub(crate) is_known: bool,
    /// Nobody sent it: the program asks as a stranger.
    pub(crate) is_strangers: bool,
    /// Its visitor logs in on each connection before anything else.
    pub(crate) is_bound: bool,
    pub(crate) flavour: &'static str,
    pub(crate) gzip: bool,
    pub(crate) if_none_match: Option<String>,
    pub(crate) range: bool,
    pub(crate) no_cache: bool,
    pub(crate) no_store: bool,
    pub(crate) upgrades: bool,
    /// Bytes of its body.
    pub(crate) body: Option<usize>,
    pub(crate) expects: bool,
    pub(crate) http10: bool,
    pub(crate) closes: bool,
    /// Not HTTP.
    pub(crate) malformed: bool,
    /// When its first byte was written.
    pub(crate) sent_at: Option<Instant>,
    /// How many bytes its link had taken at its end, once it was written in full.
    pub(crate) ends: Option<u64>,
    /// How often the origin got its head.
    pub(crate) arrivals: u32,
    pub(crate) answers: Vec<AnswerId>,
    /// It was answered with a whole 200, which the origin sent or has just confirmed.
    pub(crate) came_well: bool,
}

impl Asked {
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The target without the parameter that chooses no page.
    pub(crate) fn page(&self) -> &str {
        let untracked = self.target.split(TRACKED).next().unwrap_or_default();
        untracked.trim_end_matches(['?', '&'])
    }

    /// Whether its answer may show what nobody else asked with.
    pub(crate) fn is_tracked(&self) -> bool {
        self.target.contains(TRACKED)
    }

    /// Whether its link is one to sign out by.
    pub(crate) fn signs_out(&self) -> bool {
        self.target.ends_with(LOGOUT)
    }

    /// Whether circuits hold it back and copies may answer it.
    pub(crate) fn is_read(&self) -> bool {
        matches!(self.method, "GET" | "HEAD") && !self.upgrades
    }

    /// Whether it carries credentials in the field that HTTP has for them (RFC 9111 §3.5).
    pub(crate) fn has_credentials(&self) -> bool {
        self.lines.iter().any(|(name, _)| name == "Authorization")
    }

    pub(crate) fn is_safe(&self) -> bool {
        matches!(self.method, "GET" | "HEAD" | "OPTIONS")
    }
}

/// An answer of the origin.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) asked: AskedId,
    /// A copy is renewed with GET on behalf of a HEAD.
    pub(crate) method: &'static str,
    /// The program asked on its own account: no client waited.
    pub(crate) renews: bool,
    /// It asked as a stranger.
    pub(crate) is_strangers: bool,
    /// The attempt by which it came.
    pub(crate) attempt: Option<AttemptId>,
    /// The request that the origin got said `no-store`.
    pub(crate) no_store: bool,
    pub(crate) status: u16,
    pub(crate) page: Page,
    pub(crate) directives: &'static str,
    pub(crate) varies: bool,
    /// Its cookies start, replace or end a session.
    pub(crate) new_session: bool,
    /// One of a name and value that tell nothing else.
    pub(crate) is_reset: bool,
    pub(crate) new_cookie: bool,
    /// It hands out a cookie by which the application knows its visitor from now on, and is already
    /// personal.
    pub(crate) start: Option<Rc<str>>,
    /// It was given on a connection that somebody had logged in on.
    pub(crate) is_bound: bool,
    /// The request that the origin got had the parameter of a campaign.
    pub(crate) is_tracked: bool,
    /// It is whole, well framed and well formed as it was meant to be sent.
    pub(crate) is_sound: bool,
    pub(crate) link: LinkId,
    /// When its head was sent.
    pub(crate) head_at: Option<Instant>,
    /// When a client first had all of it.
    pub(crate) seen_at: Option<Instant>,
    /// How many bytes its link had carried at its end.
    pub(crate) ends: Option<u64>,
}

impl Answer {
    /// Whether its `Cache-Control` has a directive of this name.
    pub(crate) fn says(&self, name: &str) -> bool {
        let mut words = self.directives.split(", ");
        words.any(|word| word.split('=').next() == Some(name))
    }
}

/// One version of one page for one user.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Page {
    /// With the secret of the user that it is for, if it is for one.
    pub(crate) key: String,
    pub(crate) is_personal: bool,
    pub(crate) version: u32,
    pub(crate) len: usize,
    /// It is none, but says that there is an error, though its status says otherwise.
    pub(crate) is_error: bool,
}

/// What stands in the place of a page when its application has lost its database.
pub(crate) const ERROR: &[u8] = b"<title>Error</title>SQLSTATE[08004] [1040] Too many connections";

impl Page {
    /// The error page in its place.
    pub(crate) fn failed(&self) -> Self {
        Self {
            len: ERROR.len(),
            is_error: true,
            ..self.clone()
        }
    }

    /// The whole body: its first line says for whom it is, the rest tells every byte's place.
    pub(crate) fn body(&self) -> Vec<u8> {
        if self.is_error {
            return ERROR.to_vec();
        }
        let mut body = format!("{}|v{}|{}\n", self.key, self.version, self.len).into_bytes();
        body.truncate(self.len);
        let salt = body.iter().fold(7, |salt: usize, byte| {
            salt.wrapping_mul(31).wrapping_add(usize::from(*byte)) % 9_973
        });
        while body.len() < self.len {
            let place = body.len();
            let letter = (salt + place / 7 + place / 256) % 26;
            body.push(b'a' + u8::try_from(letter).unwrap_or(0));
        }
        body
    }

    /// What a page looks like depends on its key, version and length.
    pub(crate) fn etag(&self) -> String {
        let key = self.key.bytes().fold(7_u32, |hash, byte| {
            hash.wrapping_mul(31).wrapping_add(u32::from(byte))
        });
        let error = if self.is_error { "-error" } else { "" };
        format!("\"{key:x}-{}-{}{error}\"", self.version, self.len)
    }
}

/// The body of a request: every byte tells its place.
pub(crate) fn upload(asked: AskedId, len: usize) -> Vec<u8> {
    (0..len)
        .map(|place| b'A' + u8::try_from((asked + place / 5) % 26).unwrap_or(0))
        .collect()
}

/// All that was said.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) asked: Vec<Asked>,
    pub(crate) answers: Vec<Answer>,
    pub(crate) sent: Sent,
    pub(crate) sessions: Sessions,
    /// The values of cookies that strangers were handed.
    pub(crate) handed: Vec<String>,
    /// What broke the contract first.
    pub(crate) violation: Option<String>,
}

impl Ledger {
    /// Whether the origin has answered the same request well by `now`, and not longer before `opened`
    /// than `window`.
    pub(crate) fn succeeded(
        &self,
        asked: &Asked,
        opened: Instant,
        window: Duration,
        now: Instant,
    ) -> bool {
        self.answers.iter().any(|answer| {
            let other = &self.asked[answer.asked];
            let is_same = answer.method == asked.method && other.target == asked.target;
            let is_good =
                !(500..600).contains(&answer.status) || matches!(answer.status, 501 | 505);
            // It counts from its end.
            let is_recent = |head_at: Instant| {
                let end = answer.seen_at.map_or(head_at, |end| end.max(head_at));
                head_at <= now && opened.saturating_since(end) <= window
            };
            is_same && is_good && answer.head_at.is_some_and(is_recent)
        })
    }

    /// Takes note of what the origin sends in answer to a request: a page, and cookies.
    pub(crate) fn note_sent(&mut self, asked: &Asked, page: Option<&Page>, cookies: &[String]) {
        match (page, asked.is_strangers) {
            (None, _) => {}
            (Some(page), true) => self.sent.note_stranger(page),
            (Some(page), false) => {
                let given = cookies
                    .iter()
                    .filter(|cookie| self.sessions.is_given(cookie));
                let values = asked.started.iter().map(|pair| &**pair);
                let values: Vec<_> = values.chain(given.map(|pair| &**pair)).collect();
                self.sent.note(asked.visitor, &asked.who, &values, page);
            }
        }
        if asked.is_strangers {
            let values = cookies.iter().filter_map(|cookie| cookie.split('=').nth(1));
            self.handed.extend(values.map(str::to_owned));
        }
    }

    pub(crate) fn violate(&mut self, text: String) {
        self.violation.get_or_insert(text);
    }

    pub(crate) fn check(&mut self, holds: bool, text: impl FnOnce() -> String) {
        if !holds {
            self.violate(text());
        }
    }
}
