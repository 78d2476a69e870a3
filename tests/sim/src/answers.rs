//! Owns the answers of the simulated application: what it says, in which framing, and every way
//! in which an answer can go wrong.
//! Never knows a connection: it makes a list of what is to be done on one.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use retter_core::time::{Instant, UnixTime};
use retter_strict::{Fields, Framing, Head, chunked};

use crate::ledger::{ANSWER, ASKED, Answer, AnswerId, Asked, AskedId, FLAVOUR, Page, UNCHANGED};
use crate::net::{Close, LinkId, Net};
use crate::sessions::Sessions;
use crate::visitors::{SESSION, secret};

/// `Cache-Control` of the simulated pages; [`Swarm::directives`](crate::swarm::Swarm) weighs them.
const DIRECTIVES: [&str; 10] = [
    "",
    "max-age=60",
    "max-age=2",
    "no-store",
    "private",
    "no-cache",
    "max-age=1, stale-if-error=5",
    "public, max-age=3, must-revalidate",
    "s-maxage=2, max-age=9, stale-while-revalidate=5",
    "max-age=1, stale-while-revalidate=1",
];

/// Bytes of a personal page at least: the secret of its user, and a little more.
const SECRET_LEN: usize = 24;

const STATUSES: [u16; 9] = [200, 204, 501, 404, 302, 500, 503, 403, 410];

/// What nobody asked for; it ends in [`UNSOLICITED`](crate::ledger::UNSOLICITED).
const LATE: &[u8] = b"HTTP/1.1 408 Late\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Longest time between the pieces of a body that drips.
const DRIP: Duration = Duration::from_millis(400);

/// What is wrong with one answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    None,
    /// The connection ends inside the body.
    Truncated,
    /// The connection is reset somewhere.
    Reset,
    /// It is not HTTP.
    Garbage,
    /// Its head is too long.
    Oversized,
    /// More bytes than announced.
    TooLong,
    /// It never comes.
    Never,
    /// It stops inside the body.
    Stalled,
    /// The connection ends before it.
    Closed,
    /// After it, something comes that nobody asked for.
    Unsolicited,
}

impl Fault {
    pub(crate) const ALL: [Self; 10] = [
        Self::None,
        Self::Truncated,
        Self::Reset,
        Self::Garbage,
        Self::Oversized,
        Self::TooLong,
        Self::Never,
        Self::Stalled,
        Self::Closed,
        Self::Unsolicited,
    ];
}

/// What is to be done on a connection.
#[derive(Debug)]
pub(crate) enum Piece {
    Bytes(Vec<u8>),
    Close(Close),
    /// The answer has been written in full.
    Ends(AnswerId),
    /// The answer begins.
    Starts(AnswerId),
    Wait(Duration),
}

fn status(is_failing: bool, net: &mut Net) -> u16 {
    let status = STATUSES[net.chance.weighted(&net.swarm.statuses)];
    match (net.is_calm, is_failing) {
        (true, _) => 200,
        (false, true) => 500,
        (false, false) => status,
    }
}

/// How long a page is.
fn body_len(net: &mut Net) -> usize {
    let len = net.chance.size(net.swarm.body_max);
    match net.swarm.body_max > 1_024 {
        // Next to nothing in the place of a page is taken for an error.
        true => len.max(256),
        false => len,
    }
}

/// An answer before it is written.
pub(crate) struct Plan {
    pub(crate) status: u16,
    pub(crate) page: Page,
    pub(crate) directives: &'static str,
    pub(crate) varies: bool,
    pub(crate) new_session: bool,
    pub(crate) new_cookie: bool,
    /// The cookie by which the application knows its user from now on.
    pub(crate) start: Option<String>,
    /// Everybody can see that another session begins with it.
    begins: bool,
    /// Its user has logged in on the connection.
    pub(crate) is_bound: bool,
    /// `None` for an answer without a body.
    pub(crate) framing: Option<Framing>,
    pub(crate) is_head: bool,
    pub(crate) text: bool,
}

impl Plan {
    /// Makes up an answer to a request, whose head the origin got, of a user whom the application
    /// knows by this, if it knows any.
    pub(crate) fn new(
        asked: &Asked,
        head: &Head,
        known_by: Option<String>,
        sessions: &mut Sessions,
        pages: &mut BTreeMap<String, Page>,
        is_failing: bool,
        net: &mut Net,
    ) -> Self {
        let varies = net.chance.hits(net.swarm.varies);
        let flavour = if varies { asked.flavour } else { "-" };
        let Start {
            start,
            begins,
            user,
        } = Start::of(known_by, asked, head, sessions, net);
        let edits = net.chance.hits(net.swarm.edits);
        let mut len = body_len(net);
        let url = format!("{}{}", asked.host, asked.target);
        let key = match &user {
            Some(user) => {
                len = len.max(SECRET_LEN);
                let shows = asked.is_strangers && net.chance.hits(net.swarm.shows);
                let own = match (shows, user.split_once('=')) {
                    // As applications do that put the session into their links.
                    (true, Some((_, value))) => value.to_owned(),
                    (_, _) => secret(user),
                };
                format!("{own}|{url}|{flavour}")
            }
            None => format!("{url}|{}|{flavour}", asked.who),
        };
        let page = pages.entry(key.clone()).or_insert_with(|| Page {
            key,
            is_personal: user.is_some(),
            version: 0,
            len,
            is_error: false,
        });
        if edits {
            page.version += 1;
            page.len = len;
        }
        let mut status = status(is_failing, net);
        let is_read = matches!(asked.method, "GET" | "HEAD");
        let known = head.fields.lists("if-none-match", &page.etag());
        if status == 200 && is_read && known && net.chance.hits(800) {
            status = 304;
        }
        let is_error = status == 200
            && asked.method == "GET"
            && !net.is_calm
            && net.chance.hits(net.swarm.errors);
        let page = if is_error {
            page.failed()
        } else {
            page.clone()
        };
        let has_body = !matches!(status, 204 | 304) && asked.method != "HEAD";
        let framing = has_body.then(|| match net.chance.weighted(&[6, 4, 1]) {
            0 => Framing::Length(page.len as u64),
            1 => Framing::Chunked,
            _ => Framing::UntilClose,
        });
        Self {
            status,
            page,
            directives: DIRECTIVES[net.chance.weighted(&net.swarm.directives)],
            varies,
            new_session: net.chance.hits(net.swarm.new_session) && !net.is_calm,
            new_cookie: net.chance.hits(net.swarm.new_cookie),
            start,
            begins,
            is_bound: false,
            framing,
            is_head: asked.method == "HEAD",
            text: is_error || net.chance.hits(700),
        }
    }

    /// Whether another session begins with it, by a cookie that the program knows to be a session's.
    fn begins_session(&self) -> bool {
        let start = self.start.as_ref();
        self.begins && start.is_some_and(|start| start.starts_with(SESSION))
    }

    /// Takes the framing that does not hide this fault.
    pub(crate) fn suit(&mut self, fault: Fault) {
        let hides = matches!(
            fault,
            Fault::Truncated | Fault::TooLong | Fault::Unsolicited
        );
        if hides && self.framing == Some(Framing::UntilClose) {
            // Nobody could tell that such a body is not whole.
            self.framing = Some(Framing::Length(self.page.len as u64));
        }
    }

    pub(crate) fn head(
        &self,
        asked: AskedId,
        answer: AnswerId,
        closes: bool,
        net: &mut Net,
    ) -> Vec<u8> {
        let mut fields = Fields::default();
        let mut put = |name: &str, value: String| fields.0.push((name.to_owned(), value));
        put(ASKED, asked.to_string());
        if self.status == 304 || self.is_head {
            // The representation, and with it the answer that brought it, stays as it is.
            put(UNCHANGED, answer.to_string());
        } else {
            put(ANSWER, answer.to_string());
            let kind = if self.text { "text/html" } else { "image/png" };
            put("Content-Type", kind.to_owned());
        }
        put("ETag", self.page.etag());
        if net.chance.hits(800) {
            put("Date", unix(net.now).to_string());
        }
        if net.chance.hits(50) {
            put("Age", net.chance.below(4).to_string());
        }
        if !self.directives.is_empty() {
            put("Cache-Control", self.directives.to_owned());
        } else if self.status == 304 || self.is_head {
            // Or those of the copy would stay.
            put("Cache-Control", "public".to_owned());
        }
        if self.varies {
            put("Vary", FLAVOUR.to_owned());
        }
        for cookie in self.cookies(answer) {
            put("Set-Cookie", format!("{cookie}; Path=/; HttpOnly"));
        }
        if self.is_bound {
            put("Persistent-Auth", "true".to_owned());
        }
        if self.status == 302 {
            put("Location", "/0".to_owned());
        }
        match self.framing {
            Some(Framing::Chunked) => put("Transfer-Encoding", "chunked".to_owned()),
            Some(Framing::Length(len)) => put("Content-Length", len.to_string()),
            Some(Framing::UntilClose) => {}
            None if self.is_head && self.status != 204 => {
                put("Content-Length", self.page.len.to_string());
            }
            None => {}
        }
        if closes {
            put("Connection", "close".to_owned());
        }
        let reason = if self.status == 200 { "OK" } else { "Sim" };
        let mut bytes = Vec::new();
        if net.chance.hits(40) {
            bytes.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
        }
        let start = format!("HTTP/1.1 {} {reason}", self.status);
        bytes.extend(Head::bytes(&start, &fields));
        bytes
    }

    /// What it says, for the ledger.
    pub(crate) fn said(&self, id: AskedId, asked: &Asked, link: LinkId) -> Answer {
        Answer {
            asked: id,
            method: asked.method,
            renews: false,
            is_strangers: asked.is_strangers,
            attempt: None,
            no_store: false,
            status: self.status,
            page: self.page.clone(),
            directives: self.directives,
            varies: self.varies,
            new_session: self.new_session || self.begins_session(),
            is_reset: self.new_session,
            new_cookie: self.new_cookie,
            start: self.start.as_deref().map(Rc::from),
            is_bound: self.is_bound,
            is_tracked: asked.is_tracked(),
            is_sound: true,
            link,
            head_at: None,
            seen_at: None,
            ends: None,
        }
    }

    /// The page that it shows, if it `is_sent`.
    pub(crate) fn shown(&self, is_sent: bool) -> Option<&Page> {
        (is_sent && self.framing.is_some()).then_some(&self.page)
    }

    /// The cookies that it hands out.
    pub(crate) fn cookies(&self, answer: AnswerId) -> Vec<String> {
        let session = self.new_session.then(|| format!("PHPSESSID=new{answer}"));
        let other = self.new_cookie.then(|| format!("basket={answer}"));
        let all = [session, other, self.start.clone()];
        all.into_iter().flatten().collect()
    }

    fn body(&self, net: &mut Net) -> Vec<u8> {
        match self.framing {
            Some(Framing::Chunked) => {
                let size = 1 + net.chance.size(4_000);
                chunked(&self.page.body(), size)
            }
            Some(Framing::Length(_) | Framing::UntilClose) => self.page.body(),
            None => Vec::new(),
        }
    }
}

/// The cookie by which the application knows its user from now on, and as whom it does.
struct Start {
    start: Option<String>,
    begins: bool,
    user: Option<String>,
}

impl Start {
    /// What becomes of somebody whom the application knows by this, if by anything.
    fn of(
        known_by: Option<String>,
        asked: &Asked,
        head: &Head,
        sessions: &mut Sessions,
        net: &mut Net,
    ) -> Self {
        let Some(known_by) = known_by else {
            let starts = !net.is_calm && net.chance.hits(net.swarm.starts);
            let start = starts.then(|| start(net));
            if let Some(pair) = &start {
                sessions.give(pair, None, pair, true);
            }
            let user = start.clone();
            return Self {
                start,
                begins: true,
                user,
            };
        };
        let user = sessions.user(&known_by).to_owned();
        let is_write = !head.start.starts_with("GET ") && !head.start.starts_with("HEAD ");
        let is_started = net.swarm.is_start(&known_by) && !known_by.starts_with("PHPSESSID=v");
        let logs_in = is_started && !net.is_calm && net.chance.hits(net.swarm.logs_in);
        if !is_started || !logs_in && !net.swarm.rolls {
            return Self {
                start: None,
                begins: false,
                user: Some(user),
            };
        }
        let pair = start(net);
        if pair == known_by {
            // Within one second: the browser has it already.
            return Self {
                start: None,
                begins: false,
                user: Some(user),
            };
        }
        let user = if logs_in { pair.clone() } else { user };
        // Where each answer gives another one, nobody sees that this one is another session's.
        let begins = is_write || !net.swarm.rolls || asked.signs_out();
        sessions.give(&pair, Some(&known_by), &user, begins);
        Self {
            start: Some(pair),
            begins,
            user: Some(user),
        }
    }
}

/// The cookie for somebody unknown.
fn start(net: &mut Net) -> String {
    let value = if net.swarm.same_second {
        // As frameworks do that sign the time and what a session holds, which is nothing yet.
        secret(&unix(net.now).to_string())
    } else {
        format!("{:016x}", net.chance.seed())
    };
    format!("{}={value}", net.swarm.started)
}

/// Puts an answer, with what is wrong with it, on its connection's list.
pub(crate) fn queue(
    out: &mut VecDeque<Piece>,
    answer: AnswerId,
    mut head: Vec<u8>,
    plan: &Plan,
    fault: Fault,
    closes: bool,
    net: &mut Net,
) {
    let mut body = plan.body(net);
    match fault {
        Fault::None | Fault::Unsolicited => {}
        Fault::Closed => return out.push_back(Piece::Close(Close::End)),
        Fault::Never => return,
        Fault::Garbage => {
            head = vec![b'?'; 1 + net.chance.size(300)];
            body.clear();
        }
        Fault::Oversized => {
            head.truncate(head.len() - 2);
            head.extend_from_slice(b"X-Long: ");
            head.resize(head.len() + 6_000, b'x');
            head.extend_from_slice(b"\r\n\r\n");
        }
        Fault::TooLong => body.extend_from_slice(LATE),
        Fault::Reset | Fault::Stalled | Fault::Truncated => {
            let all = head.len() + body.len();
            let from = if fault == Fault::Truncated {
                head.len()
            } else {
                0
            };
            let keep = from + net.chance.below(all - from);
            body.truncate(keep.saturating_sub(head.len()));
            head.truncate(keep);
        }
    }
    out.push_back(Piece::Starts(answer));
    out.push_back(Piece::Bytes(head));
    if net.chance.hits(200) && !net.is_calm {
        out.push_back(Piece::Wait(net.chance.time(DRIP)));
    }
    if net.chance.hits(60) && !net.is_calm {
        let size = 1 + body.len() / 4;
        for piece in body.chunks(size) {
            out.push_back(Piece::Bytes(piece.to_vec()));
            out.push_back(Piece::Wait(net.chance.time(DRIP)));
        }
    } else {
        out.push_back(Piece::Bytes(body));
    }
    out.push_back(Piece::Ends(answer));
    match fault {
        Fault::Reset => out.push_back(Piece::Close(Close::Reset)),
        Fault::Stalled => {}
        Fault::Garbage | Fault::Truncated => out.push_back(Piece::Close(Close::End)),
        Fault::Unsolicited => {
            out.push_back(Piece::Wait(net.chance.time(DRIP)));
            out.push_back(Piece::Bytes(LATE.to_vec()));
            out.push_back(Piece::Close(Close::End));
        }
        Fault::Closed | Fault::Never | Fault::None | Fault::Oversized | Fault::TooLong => {
            // Without saying so, it closes what is idle.
            if closes || net.chance.hits(100) {
                out.push_back(Piece::Close(Close::End));
            }
        }
    }
}

/// The origin's own clock, which is right.
pub(crate) fn unix(now: Instant) -> UnixTime {
    UnixTime(1_700_000_000 + now.as_nanos() / 1_000_000_000)
}
