//! Owns the simulated application: its pages, its health, and every way in which it can fail.
//! Never knows what the program makes of its answers.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use retter_core::time::{Instant, UnixTime};

use super::codec::{self, Part, Reader};
use super::ledger::upload;
use super::ledger::{ANSWER, ASKED, Answer, AnswerId, Asked, AskedId, FLAVOUR, Ledger, Page};
use super::net::{Actor, Close, End, Event, LinkId, Net};
use crate::wire::{Fields, Framing, Head, framing};

/// `Cache-Control` of the simulated pages; [`Swarm::directives`](super::swarm::Swarm) weighs them.
const DIRECTIVES: [&str; 9] = [
    "",
    "max-age=60",
    "max-age=2",
    "no-store",
    "private",
    "no-cache",
    "max-age=1, stale-if-error=5",
    "public, max-age=3, must-revalidate",
    "s-maxage=2, max-age=9, stale-while-revalidate=5",
];

const STATUSES: [u16; 7] = [200, 204, 501, 404, 302, 500, 503];

/// What nobody asked for; it ends in [`UNSOLICITED`](super::ledger::UNSOLICITED).
const LATE: &[u8] = b"HTTP/1.1 408 Late\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Longest time between the pieces of a body that drips.
const DRIP: Duration = Duration::from_millis(400);

/// How the origin is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Health {
    #[default]
    Up,
    /// Every answer is a 500.
    Failing,
    /// Every answer takes long.
    Slow,
    /// It refuses connections, and those it had are reset.
    Refusing,
    /// It answers nothing any more.
    Lost,
}

impl Health {
    const ALL: [Self; 5] = [
        Self::Up,
        Self::Failing,
        Self::Slow,
        Self::Refusing,
        Self::Lost,
    ];
}

/// What is wrong with one answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fault {
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
    const ALL: [Self; 10] = [
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
enum Piece {
    Bytes(Vec<u8>),
    Close(Close),
    /// The answer has been written in full.
    Ends(AnswerId),
    /// The answer begins.
    Starts(AnswerId),
    Wait(Duration),
}

#[derive(Debug, Default)]
struct Conn {
    reader: Reader,
    /// The request being read, how many body bytes of it came, and whether it was answered.
    request: Option<(AskedId, Head, usize, bool)>,
    out: VecDeque<Piece>,
    wait_until: Instant,
    echoes: bool,
    is_eof: bool,
    closed: bool,
}

/// The application.
#[derive(Debug, Default)]
pub(super) struct Origin {
    conns: BTreeMap<LinkId, Conn>,
    pages: BTreeMap<String, Page>,
    pub(super) health: Health,
}

impl Origin {
    /// Falls ill or gets well.
    pub(super) fn turn(&mut self, net: &mut Net) {
        self.health = if net.is_calm {
            Health::Up
        } else {
            Health::ALL[net.chance.weighted(&net.swarm.healths)]
        };
        net.note(format_args!("origin is {:?}", self.health));
        if self.health == Health::Refusing {
            for (&id, conn) in &mut self.conns {
                conn.close(id, Close::Reset, net);
            }
        }
    }

    /// Lets one connection go on; tells what arrived on it.
    pub(super) fn step(&mut self, id: LinkId, net: &mut Net, ledger: &mut Ledger) -> Vec<AskedId> {
        let mut arrived = Vec::new();
        let mut conn = self.conns.remove(&id).unwrap_or_default();
        if !conn.closed {
            conn.read(id, net);
            if conn.echoes {
                let bytes = conn.reader.take_rest();
                if !bytes.is_empty() {
                    conn.out.push_back(Piece::Bytes(bytes));
                }
            } else {
                self.parse(id, &mut conn, net, ledger, &mut arrived);
            }
            // Nobody will ask again; what is on its way still goes out.
            let is_closing = |piece: &Piece| matches!(piece, Piece::Close(_));
            if conn.is_eof && !conn.out.iter().any(is_closing) {
                conn.out.push_back(Piece::Close(Close::End));
            }
            conn.write(id, net, ledger);
        }
        self.conns.insert(id, conn);
        arrived
    }

    fn parse(
        &mut self,
        id: LinkId,
        conn: &mut Conn,
        net: &mut Net,
        ledger: &mut Ledger,
        arrived: &mut Vec<AskedId>,
    ) {
        loop {
            match conn.reader.next() {
                Ok(None) => return,
                Ok(Some(Part::Head(head))) => {
                    let Some(asked) = take_request(conn, head, ledger) else {
                        return;
                    };
                    net.note(format_args!("origin gets request {asked} on link {id}"));
                    arrived.push(asked);
                    let expects = ledger.asked[asked].expects;
                    if expects && net.chance.hits(800) {
                        let interim = b"HTTP/1.1 100 Continue\r\n\r\n".to_vec();
                        conn.out.push_back(Piece::Bytes(interim));
                    }
                    if expects && net.chance.hits(200)
                        || conn.reader.is_in_body() && net.chance.hits(30)
                    {
                        self.answer(id, conn, net, ledger);
                    }
                }
                Ok(Some(Part::Data(data))) => {
                    let Some((asked, _, came, _)) = &mut conn.request else {
                        return;
                    };
                    let whole = upload(*asked, ledger.asked[*asked].body.unwrap_or(0));
                    let is_right = whole.get(*came..*came + data.len()) == Some(&data[..]);
                    *came += data.len();
                    let asked = *asked;
                    ledger.check(is_right, || {
                        format!("request {asked}: the origin got other content than was sent")
                    });
                }
                Ok(Some(Part::End)) => {
                    let Some((asked, _, came, answered)) = &conn.request else {
                        return;
                    };
                    let (asked, came) = (*asked, *came);
                    let whole = ledger.asked[asked].body.unwrap_or(0);
                    ledger.check(came == whole, || {
                        format!("request {asked}: {came} of {whole} bytes, and marked complete")
                    });
                    if !answered {
                        self.answer(id, conn, net, ledger);
                    }
                    if conn.echoes {
                        return;
                    }
                }
                Err(error) => {
                    ledger.violate(format!("the origin got no HTTP on link {id}: {error}"));
                    return;
                }
            }
        }
    }

    /// Decides on the answer to the request that is there and queues it.
    fn answer(&mut self, id: LinkId, conn: &mut Conn, net: &mut Net, ledger: &mut Ledger) {
        let Some((asked_id, head, _, answered)) = &mut conn.request else {
            return;
        };
        *answered = true;
        let asked_id = *asked_id;
        let asked = ledger.asked[asked_id].clone();
        let fault = if net.is_calm {
            Fault::None
        } else if self.health == Health::Lost {
            Fault::Never
        } else {
            Fault::ALL[net.chance.weighted(&net.swarm.faults)]
        };
        let mut think = net.chance.time(net.swarm.think_max);
        if self.health == Health::Slow {
            think = think * 4 + Duration::from_millis(300);
        }
        if net.is_calm {
            think = Duration::from_millis(1);
        }
        conn.out.push_back(Piece::Wait(think));
        if asked.upgrades && fault == Fault::None && net.chance.hits(800) {
            return self.upgrade(id, asked_id, conn, ledger);
        }
        let mut plan = self.plan(&asked, head, net);
        if plan.framing == Some(Framing::UntilClose)
            && matches!(
                fault,
                Fault::Truncated | Fault::TooLong | Fault::Unsolicited
            )
        {
            // Nobody could tell that such a body is not whole.
            plan.framing = Some(Framing::Length(plan.page.len as u64));
        }
        let answer = ledger.answers.len();
        ledger.asked[asked_id].answers.push(answer);
        let closes = plan.framing == Some(Framing::UntilClose) || net.chance.hits(100);
        let head = plan.head(asked_id, answer, closes, net);
        let is_sound = matches!(fault, Fault::None | Fault::Unsolicited);
        ledger.answers.push(Answer {
            asked: asked_id,
            status: plan.status,
            page: plan.page.clone(),
            directives: plan.directives,
            varies: plan.varies,
            new_session: plan.new_session,
            new_cookie: plan.new_cookie,
            is_sound,
            link: id,
            head_at: None,
            ends: None,
        });
        net.note(format_args!(
            "origin answers request {asked_id} with answer {answer}: {} {:?} {fault:?}",
            plan.status, plan.framing
        ));
        queue(conn, answer, head, &plan, fault, closes, net);
    }

    fn upgrade(&self, id: LinkId, asked: AskedId, conn: &mut Conn, ledger: &mut Ledger) {
        let answer = ledger.answers.len();
        ledger.asked[asked].answers.push(answer);
        ledger.answers.push(Answer {
            asked,
            status: 101,
            page: Page {
                key: String::new(),
                version: 0,
                len: 0,
            },
            directives: "",
            varies: false,
            new_session: false,
            new_cookie: false,
            is_sound: true,
            link: id,
            head_at: None,
            ends: None,
        });
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: sim\r\n\
             {ANSWER}: {answer}\r\n\r\n"
        );
        conn.echoes = true;
        conn.out.push_back(Piece::Starts(answer));
        conn.out.push_back(Piece::Bytes(head.into_bytes()));
        let rest = conn.reader.take_rest();
        conn.out.push_back(Piece::Bytes(rest));
    }

    fn plan(&mut self, asked: &Asked, head: &Head, net: &mut Net) -> Plan {
        let varies = net.chance.hits(net.swarm.varies);
        let flavour = if varies { asked.flavour } else { "-" };
        let key = format!("{}{}|{}|{flavour}", asked.host, asked.target, asked.who);
        let edits = net.chance.hits(net.swarm.edits);
        let len = net.chance.size(net.swarm.body_max);
        let page = self.pages.entry(key.clone()).or_insert_with(|| Page {
            key,
            version: 0,
            len,
        });
        if edits {
            page.version += 1;
            page.len = len;
        }
        let mut status = STATUSES[net.chance.weighted(&net.swarm.statuses)];
        if self.health == Health::Failing {
            status = 500;
        }
        if net.is_calm {
            status = 200;
        }
        let is_read = matches!(asked.method, "GET" | "HEAD");
        let known = head.fields.lists("if-none-match", &page.etag());
        if status == 200 && is_read && known && net.chance.hits(800) {
            status = 304;
        }
        let has_body = !matches!(status, 204 | 304) && asked.method != "HEAD";
        let framing = has_body.then(|| match net.chance.weighted(&[6, 4, 1]) {
            0 => Framing::Length(page.len as u64),
            1 if !asked.http10 => Framing::Chunked,
            1 => Framing::Length(page.len as u64),
            _ => Framing::UntilClose,
        });
        Plan {
            status,
            page: page.clone(),
            directives: DIRECTIVES[net.chance.weighted(&net.swarm.directives)],
            varies,
            new_session: net.chance.hits(net.swarm.new_session) && !net.is_calm,
            new_cookie: net.chance.hits(net.swarm.new_cookie),
            framing,
            is_head: asked.method == "HEAD",
            text: net.chance.hits(700),
        }
    }
}

/// An answer before it is written.
struct Plan {
    status: u16,
    page: Page,
    directives: &'static str,
    varies: bool,
    new_session: bool,
    new_cookie: bool,
    /// `None` for an answer without a body.
    framing: Option<Framing>,
    is_head: bool,
    text: bool,
}

impl Plan {
    fn head(&self, asked: AskedId, answer: AnswerId, closes: bool, net: &mut Net) -> Vec<u8> {
        let mut fields = Fields::default();
        let mut put = |name: &str, value: String| fields.0.push((name.to_owned(), value));
        put(ASKED, asked.to_string());
        if self.status == 304 {
            // The representation, and with it the answer that brought it, stays as it is.
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
        }
        if self.varies {
            put("Vary", FLAVOUR.to_owned());
        }
        if self.new_session {
            put("Set-Cookie", format!("PHPSESSID=new{answer}; Path=/"));
        }
        if self.new_cookie {
            put("Set-Cookie", format!("basket={answer}"));
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
        bytes.extend(codec::head(&start, &fields));
        bytes
    }

    fn body(&self, net: &mut Net) -> Vec<u8> {
        match self.framing {
            Some(Framing::Chunked) => {
                let size = 1 + net.chance.size(4_000);
                codec::chunked(&self.page.body(), size)
            }
            Some(Framing::Length(_) | Framing::UntilClose) => self.page.body(),
            None => Vec::new(),
        }
    }
}

/// Puts an answer, with what is wrong with it, on its connection's list.
fn queue(
    conn: &mut Conn,
    answer: AnswerId,
    mut head: Vec<u8>,
    plan: &Plan,
    fault: Fault,
    closes: bool,
    net: &mut Net,
) {
    let mut body = plan.body(net);
    let out = &mut conn.out;
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
    if net.chance.hits(200) {
        out.push_back(Piece::Wait(net.chance.time(DRIP)));
    }
    if net.chance.hits(60) {
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

/// Takes the head of a request; what it has to be is in the ledger.
fn take_request(conn: &mut Conn, head: Head, ledger: &mut Ledger) -> Option<AskedId> {
    let number = head.fields.one(ASKED);
    let number = number.and_then(|id| id.parse::<AskedId>().ok());
    let Some(asked) = number.filter(|id| *id < ledger.asked.len()) else {
        ledger.violate(format!("the origin got a request nobody sent: {head:?}"));
        return None;
    };
    let Asked {
        method,
        host,
        who,
        target,
        ..
    } = &ledger.asked[asked];
    let start = format!("{method} {target} HTTP/1.1");
    let cookie = head.fields.one("cookie").unwrap_or_default();
    let credentials = head.fields.one("authorization").unwrap_or_default();
    let same_user = who.is_empty() || *who == cookie || *who == credentials;
    let is_right = head.start == start && head.fields.one("host") == Some(host) && same_user;
    ledger.check(is_right, || {
        format!("request {asked} reaches the origin as another: {head:?}")
    });
    let again = ledger.asked[asked].arrivals > 0 && !ledger.asked[asked].is_safe();
    ledger.check(!again, || {
        format!("request {asked} reaches the origin twice")
    });
    ledger.asked[asked].arrivals += 1;
    match framing(&head.fields) {
        Ok(framing) => conn.reader.begin(framing.unwrap_or(Framing::Length(0))),
        Err(error) => ledger.violate(format!("request {asked} at the origin: {error}")),
    }
    conn.request = Some((asked, head, 0, false));
    Some(asked)
}

impl Conn {
    fn read(&mut self, id: LinkId, net: &mut Net) {
        let mut buf = [0; 8192];
        loop {
            match net.read(id, End::Actor, &mut buf) {
                Ok(None) => return,
                Ok(Some(0)) => {
                    self.is_eof = true;
                    return;
                }
                Ok(Some(len)) => self.reader.push(&buf[..len]),
                Err(_) => return self.close(id, Close::Reset, net),
            }
        }
    }

    fn write(&mut self, id: LinkId, net: &mut Net, ledger: &mut Ledger) {
        while !self.closed && net.now >= self.wait_until {
            match self.out.pop_front() {
                None => return,
                Some(Piece::Bytes(mut bytes)) => {
                    while !bytes.is_empty() {
                        match net.write(id, End::Actor, &[&bytes]) {
                            Ok(Some(len)) => drop(bytes.drain(..len)),
                            Ok(None) => {
                                self.out.push_front(Piece::Bytes(bytes));
                                return;
                            }
                            Err(_) => return self.close(id, Close::Reset, net),
                        }
                    }
                }
                Some(Piece::Close(how)) => self.close(id, how, net),
                Some(Piece::Ends(answer)) => {
                    ledger.answers[answer].ends = Some(net.progress(id).0);
                }
                Some(Piece::Starts(answer)) => ledger.answers[answer].head_at = Some(net.now),
                Some(Piece::Wait(wait)) => {
                    self.wait_until = net.now + wait;
                    net.after(wait, Event::Steps(Actor::Origin(id)));
                }
            }
        }
    }

    fn close(&mut self, id: LinkId, how: Close, net: &mut Net) {
        if !self.closed {
            self.closed = true;
            self.out.clear();
            net.close(id, End::Actor, how);
        }
    }
}

/// The origin's own clock, which is right.
pub(super) fn unix(now: Instant) -> UnixTime {
    UnixTime(1_700_000_000 + now.as_nanos() / 1_000_000_000)
}
