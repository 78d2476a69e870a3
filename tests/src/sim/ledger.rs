//! Owns what is known outside the program: every request that a client sent, every answer that
//! the origin gave, and what a page looks like.
//! Never judges.

use retter_core::time::Instant;

use super::net::LinkId;

/// The number of a request in the ledger.
pub(super) type AskedId = usize;

/// The number of an answer in the ledger.
pub(super) type AnswerId = usize;

/// Carries the number of a request.
pub(super) const ASKED: &str = "X-Sim-Asked";

/// Carries the number of an answer; only in answers that have a representation.
pub(super) const ANSWER: &str = "X-Sim-Answer";

/// How the status line ends of what the origin says on an idle connection before it closes it.
pub(super) const UNSOLICITED: &str = "408 Late";

/// The field that some pages vary on.
pub(super) const FLAVOUR: &str = "X-Flavour";

/// A request of a client.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    pub(super) method: &'static str,
    pub(super) host: &'static str,
    pub(super) target: String,
    /// What tells users apart; empty for everybody.
    pub(super) who: &'static str,
    pub(super) flavour: &'static str,
    pub(super) gzip: bool,
    pub(super) if_none_match: Option<String>,
    pub(super) range: bool,
    pub(super) no_cache: bool,
    pub(super) no_store: bool,
    pub(super) upgrades: bool,
    /// Bytes of its body.
    pub(super) body: Option<usize>,
    pub(super) expects: bool,
    pub(super) http10: bool,
    pub(super) closes: bool,
    /// Not HTTP.
    pub(super) malformed: bool,
    /// When its first byte was written.
    pub(super) sent_at: Option<Instant>,
    /// When its body was written in full.
    pub(super) sent_all: bool,
    /// How often the origin got its head.
    pub(super) arrivals: u32,
    pub(super) answers: Vec<AnswerId>,
    /// When its client had the whole answer.
    pub(super) done_at: Option<Instant>,
}

impl Asked {
    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub(super) fn is_safe(&self) -> bool {
        matches!(self.method, "GET" | "HEAD" | "OPTIONS")
    }
}

/// An answer of the origin.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) asked: AskedId,
    pub(super) status: u16,
    pub(super) page: Page,
    pub(super) directives: &'static str,
    pub(super) varies: bool,
    /// Its cookies start, replace or end a session.
    pub(super) new_session: bool,
    pub(super) new_cookie: bool,
    /// It is whole, well framed and well formed as it was meant to be sent.
    pub(super) is_sound: bool,
    pub(super) link: LinkId,
    /// When its head was sent.
    pub(super) head_at: Option<Instant>,
    /// How many bytes its link had carried at its end.
    pub(super) ends: Option<u64>,
}

/// One version of one page for one user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Page {
    pub(super) key: String,
    pub(super) version: u32,
    pub(super) len: usize,
}

impl Page {
    /// The whole body: who it is for is its first line, the rest tells every byte's place.
    pub(super) fn body(&self) -> Vec<u8> {
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

    pub(super) fn etag(&self) -> String {
        // What a page looks like depends on its key, version and length.
        format!("\"v{}-{}\"", self.version, self.len)
    }
}

/// The body of a request: every byte tells its place.
pub(super) fn upload(asked: AskedId, len: usize) -> Vec<u8> {
    (0..len)
        .map(|place| b'A' + u8::try_from((asked + place / 5) % 26).unwrap_or(0))
        .collect()
}

/// All that was said.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) asked: Vec<Asked>,
    pub(super) answers: Vec<Answer>,
    /// What broke the contract first.
    pub(super) violation: Option<String>,
}

impl Ledger {
    pub(super) fn violate(&mut self, text: String) {
        self.violation.get_or_insert(text);
    }

    pub(super) fn check(&mut self, holds: bool, text: impl FnOnce() -> String) {
        if !holds {
            self.violate(text());
        }
    }
}
