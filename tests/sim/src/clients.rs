//! Owns the simulated clients: how many requests they send, how fast they read and write, and when they leave.
//! Never judges an answer: it hands over what came and how it ended.

use std::collections::VecDeque;
use std::time::Duration;

use retter_core::time::Instant;
use retter_strict::{Framing, Head, Part, Reader};

use crate::ledger::{Asked, AskedId, Ledger, upload};
use crate::net::{Actor, Close, End, Event, LinkId, Net};
use crate::oracle::Oracle;
use crate::requests::{self, Memory};
use crate::seen::Seen;
use crate::visitors::{ROOM, VisitorId, Visitors};

/// Longest time in which nothing at all happens for a client that waits. Every time limit of the
/// simulated settings is far below.
const PATIENCE: Duration = Duration::from_secs(90);

/// Bytes that a tunnel carries there and back.
const TUNNEL_BYTES: usize = 3_000;

#[derive(Debug)]
pub(crate) struct Client {
    id: usize,
    link: LinkId,
    /// `None` for the client that examines the program in the end.
    visitor: Option<VisitorId>,
    /// Its connection has to be told who it is, and was not yet.
    logs_in: bool,
    reader: Reader,
    /// Requests without a whole answer, oldest first.
    waiting: VecDeque<AskedId>,
    /// What is still to be written, with the request that it is the end of.
    out: VecDeque<(Vec<u8>, Option<AskedId>)>,
    /// The body that waits for a 100.
    held: Option<(Instant, Vec<u8>, AskedId)>,
    seen: Option<(Head, Vec<u8>)>,
    tunnel: Option<(AskedId, usize)>,
    left: usize,
    /// What it asks, where that is not left to chance.
    script: VecDeque<Asked>,
    depth: usize,
    read_max: usize,
    read_wait: Duration,
    read_after: Instant,
    send_max: usize,
    send_wait: Duration,
    send_after: Instant,
    next_after: Instant,
    moved_at: Instant,
    leaves_at: Option<Instant>,
    /// It reads or writes so slowly that it may be given up.
    is_slow: bool,
    half_closes: bool,
    has_shut: bool,
    /// The last answer said that the connection ends.
    is_told: bool,
    pub(crate) closed: bool,
}

impl Client {
    pub(crate) fn new(id: usize, link: LinkId, net: &mut Net, visitors: &mut Visitors) -> Self {
        let (swarm, now) = (net.swarm.clone(), net.now);
        let chance = &mut net.chance;
        let visitor = visitors.come(&swarm, chance);
        let slow_reading = chance.hits(swarm.slow_reading);
        let slow_sending = chance.hits(swarm.slow_sending);
        let leaves = chance.hits(swarm.leaving);
        let slow = Duration::from_millis(*chance.pick(&[5, 100, 1_000, 4_000]));
        let depth = if chance.hits(swarm.pipelining) { 6 } else { 1 };
        Self {
            id,
            link,
            visitor: Some(visitor),
            logs_in: visitors.is_bound(visitor),
            reader: Reader::default(),
            waiting: VecDeque::new(),
            out: VecDeque::new(),
            held: None,
            seen: None,
            tunnel: None,
            left: chance.within(1..9),
            script: VecDeque::new(),
            depth,
            read_max: if slow_reading {
                1 + chance.size(3_000)
            } else {
                1 << 20
            },
            read_wait: if slow_reading {
                chance.time(slow)
            } else {
                Duration::ZERO
            },
            read_after: now,
            send_max: if slow_sending {
                1 + chance.size(300)
            } else {
                1 << 20
            },
            send_wait: if slow_sending {
                chance.time(slow)
            } else {
                Duration::ZERO
            },
            send_after: now,
            next_after: now,
            moved_at: now,
            leaves_at: leaves.then(|| now + chance.time(Duration::from_secs(4))),
            is_slow: slow_reading || slow_sending,
            half_closes: chance.hits(swarm.half_closing),
            has_shut: false,
            is_told: false,
            closed: false,
        }
    }

    /// Asks these requests, one after the other, as fast as it can.
    pub(crate) fn follow(&mut self, script: VecDeque<Asked>, net: &Net) {
        (self.left, self.depth) = (script.len(), 1);
        self.script = script;
        (self.read_max, self.send_max) = (1 << 20, 1 << 20);
        (self.read_wait, self.send_wait) = (Duration::ZERO, Duration::ZERO);
        (self.read_after, self.send_after) = (net.now, net.now);
        self.leaves_at = None;
        self.is_slow = false;
        self.half_closes = false;
        self.visitor = None;
    }

    /// Goes on as far as it can.
    pub(crate) fn step(
        &mut self,
        net: &mut Net,
        ledger: &mut Ledger,
        oracle: &mut Oracle,
        memory: &mut Memory,
    ) {
        if self.closed {
            return;
        }
        if self.leaves_at.is_some_and(|at| at <= net.now) {
            let how = if net.chance.hits(500) {
                Close::End
            } else {
                Close::Reset
            };
            return self.close(how, net);
        }
        let end = self.read(net);
        self.parse(net, ledger, oracle, memory);
        if let Some(is_reset) = end
            && !self.closed
        {
            self.ended(is_reset, net, ledger, oracle);
            return self.close(Close::End, net);
        }
        self.ask(net, ledger, memory);
        self.write(net, ledger);
        self.leave_if_done(net);
    }

    /// Looks whether it was forgotten.
    pub(crate) fn tick(&self, net: &mut Net, ledger: &mut Ledger) {
        let waits = !self.closed && (!self.waiting.is_empty() || self.tunnel.is_some());
        if waits && net.now.saturating_since(self.moved_at) > PATIENCE {
            let waiting = &self.waiting;
            ledger.violate(format!("client {} was forgotten with {waiting:?}", self.id));
        }
        // A client that waits for nothing but an idle connection's end leaves at last.
        if !self.closed {
            net.at(net.now, Event::Steps(Actor::Client(self.id)));
        }
    }

    /// Asks nothing more, and takes its time no more.
    pub(crate) fn retire(&mut self) {
        self.left = 0;
        self.read_max = 1 << 20;
        self.read_wait = Duration::ZERO;
        self.send_wait = Duration::ZERO;
    }

    /// Reads what its pace allows; `Some` at the end of the stream: whether by a reset.
    fn read(&mut self, net: &mut Net) -> Option<bool> {
        let mut buf = [0; 16 << 10];
        while net.now >= self.read_after {
            let max = self.read_max.min(buf.len());
            match net.read(self.link, End::Actor, &mut buf[..max]) {
                Ok(None) => return None,
                Ok(Some(0)) => {
                    self.reader.end();
                    return Some(false);
                }
                Ok(Some(len)) => {
                    self.reader.push(&buf[..len]);
                    self.moved_at = net.now;
                    if !self.read_wait.is_zero() {
                        self.read_after = net.now + self.read_wait;
                        net.at(self.read_after, Event::Steps(Actor::Client(self.id)));
                    }
                }
                Err(_) => return Some(true),
            }
        }
        None
    }

    fn parse(
        &mut self,
        net: &mut Net,
        ledger: &mut Ledger,
        oracle: &mut Oracle,
        memory: &mut Memory,
    ) {
        while !self.closed {
            if self.tunnel.is_some() {
                return self.check_echo(net, ledger);
            }
            match self.reader.next_part() {
                Ok(None) => return,
                Ok(Some(Part::Head(head))) => {
                    self.take_cookies(&head, net, memory);
                    self.on_head(head, net, ledger, oracle);
                }
                Ok(Some(Part::Data(data))) => {
                    if let Some((_, body)) = &mut self.seen {
                        body.extend_from_slice(&data);
                    }
                }
                Ok(Some(Part::End(_))) => self.on_end(net, ledger, oracle, memory),
                Err(error) => {
                    ledger.violate(format!("client {} got no HTTP: {error}", self.id));
                    return;
                }
            }
        }
    }

    /// A browser takes cookies with the head, whatever becomes of the body.
    fn take_cookies(&self, head: &Head, net: &Net, memory: &mut Memory) {
        let Some(visitor) = self.visitor else { return };
        for line in head.fields.all("set-cookie") {
            let cookie = line.split(';').next().unwrap_or_default();
            if net.swarm.is_start(cookie) {
                memory.visitors.take(visitor, cookie);
            }
            if cookie.split('=').next() == Some(ROOM) {
                memory.visitors.take_place(visitor, cookie);
            }
        }
    }

    fn on_head(&mut self, head: Head, net: &mut Net, ledger: &mut Ledger, oracle: &mut Oracle) {
        let Some(&asked_id) = self.waiting.front() else {
            // What a program says to a client that asked nothing: it waited too long.
            let is_timeout = head.start.starts_with("HTTP/1.1 408");
            ledger.check(is_timeout, || format!("an answer to no request: {head:?}"));
            return self.close(Close::End, net);
        };
        let asked = &ledger.asked[asked_id];
        let status = head
            .start
            .get(9..12)
            .and_then(|code| code.parse::<u16>().ok());
        let Some(status) = status.filter(|_| head.start.starts_with("HTTP/1.1 ")) else {
            return ledger.violate(format!("status line {:?}", head.start));
        };
        if status == 101 && asked.upgrades {
            oracle.upgraded(asked_id, &head, ledger);
            self.tunnel = Some((asked_id, 0));
            let bytes = upload(asked_id, TUNNEL_BYTES);
            self.out.push_back((bytes, None));
            return;
        }
        if status < 200 {
            let allowed = !asked.http10 && !asked.malformed;
            ledger.check(allowed, || {
                format!("request {asked_id}: an interim {status}")
            });
            if status == 100
                && let Some((_, body, asked)) = self.held.take()
            {
                self.out.push_back((body, Some(asked)));
            }
            return;
        }
        let is_bodyless = asked.method == "HEAD" || matches!(status, 204 | 304);
        match head.fields.framing() {
            Ok(_) if is_bodyless => self.reader.begin(Framing::Length(0)),
            Ok(framing) => self.reader.begin(framing.unwrap_or(Framing::UntilClose)),
            Err(error) => ledger.violate(format!("request {asked_id}: {error}")),
        }
        self.seen = Some((head, Vec::new()));
    }

    fn on_end(
        &mut self,
        net: &mut Net,
        ledger: &mut Ledger,
        oracle: &mut Oracle,
        memory: &mut Memory,
    ) {
        let (Some((head, body)), Some(asked)) = (self.seen.take(), self.waiting.pop_front()) else {
            return;
        };
        self.is_told = head.fields.lists("connection", "close");
        if let Some(etag) = head.fields.get("etag") {
            memory.note(&ledger.asked[asked], etag);
        }
        let seen = Seen {
            head,
            body,
            is_whole: true,
            is_excused: false,
        };
        oracle.judge(asked, &seen, net, ledger);
        self.held = self.held.take().filter(|(.., of)| *of != asked);
        let unsent = ledger.asked[asked].ends.is_none();
        if unsent || ledger.asked[asked].closes || self.is_told {
            // With `Connection: close`, or half a request behind it, nothing can follow.
            if self.waiting.is_empty() || unsent || self.is_told {
                self.close(Close::End, net);
            }
        }
        self.next_after = net.now + net.chance.time(net.swarm.pause_max * 8);
        net.at(self.next_after, Event::Steps(Actor::Client(self.id)));
    }

    /// The program ended the connection.
    fn ended(&mut self, is_reset: bool, net: &mut Net, ledger: &mut Ledger, oracle: &mut Oracle) {
        if let Some((asked, echoed)) = self.tunnel {
            let whole = echoed == TUNNEL_BYTES;
            net.note(format_args!(
                "tunnel {asked} ended, whole {whole}, reset {is_reset}"
            ));
            return;
        }
        let Some(&asked) = self.waiting.front() else {
            return;
        };
        // What the origin was asked is answered though no more will be asked (RFC 9112 §9.6).
        let was_dropped = self.has_shut && ledger.asked[asked].arrivals == 0;
        let is_excused = net.was_cut(self.link)
            || self.leaves_at.is_some()
            || self.is_slow
            || was_dropped
            || self.was_unread(asked, net, ledger);
        match self.seen.take() {
            Some((head, body)) => {
                let seen = Seen {
                    head,
                    body,
                    is_whole: false,
                    is_excused,
                };
                oracle.judge(asked, &seen, net, ledger);
            }
            None => oracle.unanswered(asked, is_excused, net, ledger),
        }
    }

    /// Whether the program had not read all of this request when it closed the connection, or more
    /// behind it: a connection may end between two requests (RFC 9112 §9.6), and bytes that nobody
    /// read make its end a reset, which may destroy an answer on its way.
    fn was_unread(&self, asked: AskedId, net: &Net, ledger: &Ledger) -> bool {
        let (offered, read) = net.progress(self.link);
        let was_read = ledger.asked[asked].ends.is_some_and(|end| read >= end);
        !was_read || offered > read
    }

    fn check_echo(&mut self, net: &mut Net, ledger: &mut Ledger) {
        let Some((asked, echoed)) = &mut self.tunnel else {
            return;
        };
        let bytes = self.reader.take_rest();
        let whole = upload(*asked, TUNNEL_BYTES);
        let is_right = whole.get(*echoed..*echoed + bytes.len()) == Some(&bytes[..]);
        *echoed += bytes.len();
        let asked = *asked;
        ledger.check(is_right, || format!("tunnel {asked} carries other bytes"));
        if *echoed == TUNNEL_BYTES && !self.has_shut {
            self.has_shut = true;
            net.shut(self.link, End::Actor);
        }
    }

    /// Begins another request when it is time to.
    fn ask(&mut self, net: &mut Net, ledger: &mut Ledger, memory: &Memory) {
        while !self.closed
            && self.left > 0
            && self.out.is_empty()
            && self.held.is_none()
            && self.tunnel.is_none()
            && !self.has_shut
            && self.waiting.len() < self.depth
            && net.now >= self.next_after
        {
            self.left -= 1;
            let mut asked = match (self.script.pop_front(), self.visitor) {
                (Some(asked), _) => asked,
                (None, None) => return,
                (None, Some(visitor)) => requests::compose(visitor, self.logs_in, net, memory),
            };
            asked.client = self.id;
            self.logs_in = false;
            let id = ledger.asked.len();
            net.note(format_args!(
                "client {} asks request {id}: {} {} of {:?} as `{}`",
                self.id, asked.method, asked.target, asked.visitor, asked.who
            ));
            self.send(id, &asked, net);
            let ends = asked.closes || asked.malformed || asked.upgrades;
            ledger.asked.push(asked);
            self.waiting.push_back(id);
            self.moved_at = net.now;
            if ends {
                self.left = 0;
            }
        }
    }

    /// Puts a request on the list of what is to be written.
    fn send(&mut self, id: AskedId, asked: &Asked, net: &mut Net) {
        let (head, body) = requests::message(id, asked, net);
        self.out.push_back((head, None));
        if asked.expects {
            let until = net.now + net.chance.time(Duration::from_secs(2));
            self.held = Some((until, body, id));
            net.at(until, Event::Steps(Actor::Client(self.id)));
        } else {
            self.out.push_back((body, Some(id)));
        }
    }

    fn write(&mut self, net: &mut Net, ledger: &mut Ledger) {
        if self
            .held
            .as_ref()
            .is_some_and(|(until, ..)| *until <= net.now)
            && let Some((_, body, asked)) = self.held.take()
        {
            // RFC 9110 §10.1.1: a client does not wait for ever.
            self.out.push_back((body, Some(asked)));
        }
        while !self.closed && net.now >= self.send_after {
            let Some((bytes, ends)) = self.out.front_mut() else {
                return;
            };
            if bytes.is_empty() {
                if let Some(asked) = ends {
                    ledger.asked[*asked].ends = Some(net.progress(self.link).0);
                }
                self.out.pop_front();
                continue;
            }
            let max = bytes.len().min(self.send_max);
            match net.write(self.link, End::Actor, &[&bytes[..max]]) {
                Ok(Some(len)) => drop(bytes.drain(..len)),
                Ok(None) => return,
                // What the program said before may still be readable.
                Err(_) => return self.out.clear(),
            }
            if let Some(&asked) = self.waiting.back() {
                ledger.asked[asked].sent_at.get_or_insert(net.now);
            }
            self.moved_at = net.now;
            if !self.send_wait.is_zero() {
                self.send_after = net.now + self.send_wait;
                net.at(self.send_after, Event::Steps(Actor::Client(self.id)));
            }
        }
    }

    fn leave_if_done(&mut self, net: &mut Net) {
        let is_done = self.left == 0 && self.out.is_empty() && self.held.is_none();
        if self.closed || !is_done || self.tunnel.is_some() {
            return;
        }
        if self.waiting.is_empty() {
            return self.close(Close::End, net);
        }
        if self.half_closes && !self.has_shut {
            self.has_shut = true;
            net.shut(self.link, End::Actor);
        }
    }

    fn close(&mut self, how: Close, net: &mut Net) {
        if !self.closed {
            self.closed = true;
            net.close(self.link, End::Actor, how);
            net.note(format_args!("client {} leaves", self.id));
        }
    }
}
