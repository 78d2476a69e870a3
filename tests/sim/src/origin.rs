//! Owns the simulated application: its connections, its pages and its health.
//! Never knows what the program makes of its answers.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use retter_core::time::Instant;
use retter_strict::{Framing, Head, Part, Reader};

use crate::answers::{self, Fault, Piece, Plan};
use crate::copies::is_no;
use crate::ledger::{ANSWER, ASKED, Answer, Asked, AskedId, Ledger, Page, upload};
use crate::net::{Actor, Close, End, Event, LinkId, Net};
use crate::requests::HOSTS;
use crate::visitors::{ROOM, known_by};

/// How the origin is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Health {
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

#[derive(Debug, Default)]
struct Conn {
    reader: Reader,
    /// The request being read, how many body bytes of it came, and whether it was answered.
    request: Option<(AskedId, Head, usize, bool)>,
    out: VecDeque<Piece>,
    wait_until: Instant,
    echoes: bool,
    /// Who has logged in on it, and on behalf of which client (NTLM).
    login: Option<(usize, String)>,
    is_eof: bool,
    closed: bool,
}

/// The application.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    conns: BTreeMap<LinkId, Conn>,
    pages: BTreeMap<String, Page>,
    pub(crate) health: Health,
}

impl Origin {
    /// Falls ill or gets well.
    pub(crate) fn turn(&mut self, net: &mut Net) {
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
    pub(crate) fn step(&mut self, id: LinkId, net: &mut Net, ledger: &mut Ledger) -> Vec<AskedId> {
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
            match conn.reader.next_part() {
                Ok(None) => return,
                Ok(Some(Part::Head(head))) => {
                    let Some(asked) = take_request(id, conn, head, net, ledger) else {
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
                Ok(Some(Part::End(_))) => {
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
        let no_store = head.fields.lists("cache-control", "no-store");
        let mut asked = ledger.asked[asked_id].clone();
        if head.start.starts_with("GET ") {
            asked.method = "GET";
        }
        if let Some(target) = head.start.split(' ').nth(1) {
            target.clone_into(&mut asked.target);
        }
        let (fault, think) = self.mood(net);
        conn.out.push_back(Piece::Wait(think));
        if asked.upgrades && fault == Fault::None && net.chance.hits(800) {
            return self.upgrade(id, asked_id, conn, ledger);
        }
        let is_failing = self.health == Health::Failing;
        let renews = renews(id, net);
        let user = log_in(&mut conn.login, &asked, head, net);
        let user = user.or_else(|| known_by(&head.fields.0, &net.swarm));
        ledger.check(!renews || conn.login.is_none(), || {
            format!("a copy is renewed as somebody who logged in for request {asked_id}")
        });
        let mut plan = Plan::new(
            &asked,
            head,
            user,
            &mut ledger.sessions,
            &mut self.pages,
            is_failing,
            net,
        );
        plan.suit(fault);
        plan.is_bound = conn.login.is_some();
        let answer = ledger.answers.len();
        ledger.asked[asked_id].answers.push(answer);
        let closes = plan.framing == Some(Framing::UntilClose) || net.chance.hits(100);
        let head = plan.head(asked_id, answer, closes, net);
        let is_sound = matches!(fault, Fault::None | Fault::Unsolicited);
        let is_sent = !matches!(fault, Fault::Closed | Fault::Garbage | Fault::Never);
        ledger.note_sent(&asked, plan.shown(is_sent), &plan.cookies(answer));
        ledger.answers.push(Answer {
            renews,
            attempt: net.carried(id),
            no_store,
            is_sound,
            ..plan.said(asked_id, &asked, id)
        });
        net.note(format_args!(
            "origin answers request {asked_id} with answer {answer}: {} {:?} {fault:?} `{}` \
             varies {} no-store {no_store} cookies {} {} {:?} of {}",
            plan.status,
            plan.framing,
            plan.directives,
            plan.varies,
            plan.new_session,
            plan.new_cookie,
            plan.start,
            plan.page.key
        ));
        answers::queue(&mut conn.out, answer, head, &plan, fault, closes, net);
    }

    /// What is wrong with the next answer, and how long it takes.
    fn mood(&self, net: &mut Net) -> (Fault, Duration) {
        let think = net.chance.time(net.swarm.think_max);
        if net.is_calm {
            return (Fault::None, Duration::from_millis(1));
        }
        if self.health == Health::Lost {
            return (Fault::Never, think);
        }
        let fault = Fault::ALL[net.chance.weighted(&net.swarm.faults)];
        match self.health == Health::Slow {
            true => (fault, think * 4 + Duration::from_millis(300)),
            false => (fault, think),
        }
    }

    fn upgrade(&self, id: LinkId, asked: AskedId, conn: &mut Conn, ledger: &mut Ledger) {
        let answer = ledger.answers.len();
        ledger.asked[asked].answers.push(answer);
        ledger.answers.push(Answer {
            asked,
            method: "GET",
            renews: false,
            is_strangers: false,
            attempt: None,
            no_store: false,
            status: 101,
            page: Page {
                key: String::new(),
                is_personal: false,
                version: 0,
                len: 0,
                is_error: false,
            },
            directives: "",
            varies: false,
            new_session: false,
            is_reset: false,
            new_cookie: false,
            start: None,
            is_bound: false,
            is_tracked: false,
            is_sound: true,
            link: id,
            head_at: None,
            seen_at: None,
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
}

/// Takes the head of a request; what it has to be is in the ledger.
fn take_request(
    id: LinkId,
    conn: &mut Conn,
    head: Head,
    net: &Net,
    ledger: &mut Ledger,
) -> Option<AskedId> {
    let number = head.fields.get(ASKED);
    let number = number.and_then(|id| id.parse::<AskedId>().ok());
    let is_strangers = number.is_none() && renews(id, net);
    let number = match is_strangers {
        true => take_stranger(&head, ledger),
        false => number,
    };
    let Some(asked) = number.filter(|id| *id < ledger.asked.len()) else {
        ledger.violate(format!("the origin got a request nobody sent: {head:?}"));
        return None;
    };
    let Asked {
        method,
        host,
        client,
        who,
        lines,
        target,
        ..
    } = &ledger.asked[asked];
    let is_start = |method: &str, target: &str| head.start == format!("{method} {target} HTTP/1.1");
    // A copy is renewed on behalf of whom it answered, for everybody who sees it.
    let renewed = ledger.asked[asked].page();
    let is_right = is_start(method, target)
        || *method == "HEAD" && is_start("GET", target)
        || renews(id, net) && is_start("GET", renewed);
    let mut lines = lines.iter();
    let same_user = lines.all(|(name, value)| head.fields.get(name) == Some(value));
    let same_user = who.is_empty() || same_user;
    let is_right = is_right && head.fields.get("host") == Some(host) && same_user;
    let is_right = is_right && !shows_place(&head);
    let is_strange = conn.login.as_ref().is_some_and(|(of, _)| of != client);
    ledger.check(is_right, || {
        format!("request {asked} reaches the origin as another: {head:?}")
    });
    ledger.check(!is_strange, || {
        format!("request {asked} comes on a connection that is another client's login")
    });
    let again = ledger.asked[asked].arrivals > 0 && !ledger.asked[asked].is_safe();
    ledger.check(!again, || {
        format!("request {asked} reaches the origin twice")
    });
    ledger.asked[asked].arrivals += 1;
    match head.fields.framing() {
        Ok(framing) => conn.reader.begin(framing.unwrap_or(Framing::Length(0))),
        Err(error) => ledger.violate(format!("request {asked} at the origin: {error}")),
    }
    conn.request = Some((asked, head, 0, false));
    Some(asked)
}

/// Whether it shows a place in the waiting room, which is between the program and its visitors.
fn shows_place(head: &Head) -> bool {
    let mut cookies = head.fields.all("cookie").flat_map(|line| line.split("; "));
    cookies.any(|pair| pair.starts_with(ROOM))
}

/// The fields that a stranger may send: none of a visitor's.
const OF_STRANGERS: [&str; 12] = [
    "accept",
    "cookie",
    "forwarded",
    "host",
    "if-modified-since",
    "if-none-match",
    "user-agent",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
];

/// Takes what the program asks as a stranger: it has to be what a visitor had, asked with nothing that
/// a visitor has.
fn take_stranger(head: &Head, ledger: &mut Ledger) -> Option<AskedId> {
    let fields = &head.fields;
    let target = head.start.strip_prefix("GET ")?;
    let target = target.strip_suffix(" HTTP/1.1")?;
    let host = HOSTS
        .into_iter()
        .find(|host| fields.get("host") == Some(host))?;
    let is_plain = fields.0.iter().all(|(name, value)| {
        let name = name.to_ascii_lowercase();
        // A language that many want; the page differs by it.
        let is_language = name == "accept-language" && ["sweet", "sour"].contains(&&**value);
        OF_STRANGERS.contains(&&*name) || name == "x-real-ip" || is_language
    });
    let cookies = fields.get("cookie").unwrap_or_default();
    let mut values = cookies.split("; ").filter(|pair| !pair.is_empty());
    let is_own = values.all(|pair| {
        let value = pair.split('=').nth(1).unwrap_or_default();
        ledger.handed.iter().any(|handed| handed == value)
    });
    ledger.check(is_plain && is_own, || {
        format!("a stranger asks with what is a visitor's: {head:?}")
    });
    // Where the query is no part of the key, it asks without.
    let is_page =
        |asked: &&Asked| asked.host == host && (asked.page() == target || asked.path() == target);
    let asked = ledger.asked.iter().filter(is_page);
    let ids = asked.flat_map(|asked| asked.answers.iter());
    let answers: Vec<&Answer> = ids.map(|id| &ledger.answers[*id]).collect();
    let had = |status: u16| matches!(status, 200 | 304);
    // What is only fresh may have another status; whoever is refused it lets the stranger ask, too.
    let was_refused = answers.iter().any(|answer| is_no(answer.status))
        && answers.iter().any(|answer| answer.says("max-age"));
    let was_had = was_refused || answers.iter().any(|answer| had(answer.status));
    ledger.check(was_had, || {
        format!("a stranger asks for what nobody had: {head:?}")
    });
    ledger.asked.push(Asked {
        method: "GET",
        host,
        target: target.to_owned(),
        is_strangers: true,
        ..Asked::default()
    });
    Some(ledger.asked.len() - 1)
}

/// Whether what comes on this link renews a copy: no client waits for it.
fn renews(id: LinkId, net: &Net) -> bool {
    let attempt = net.carried(id).map(|attempt| net.attempts.get(attempt));
    attempt.is_some_and(|attempt| attempt.in_background)
}

/// Whom a connection is logged in as (NTLM): with a request that says so, and from then on.
fn log_in(
    login: &mut Option<(usize, String)>,
    asked: &Asked,
    head: &Head,
    net: &mut Net,
) -> Option<String> {
    let credentials = head.fields.get("authorization").unwrap_or_default();
    if credentials.starts_with("NTLM") {
        net.note(format_args!("client {} logs in", asked.client));
        *login = Some((asked.client, credentials.to_owned()));
    }
    login.as_ref().map(|(_, user)| user.clone())
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
