//! Owns the simulated network: links of two directions with latency, windows and faults, the
//! virtual clock, and the queue of what is to come.
//! Never looks at a byte, and never decides who talks to whom.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt;
use std::task::Waker;
use std::time::Duration;

use retter_core::time::Instant;

use crate::attempts::{AttemptId, Attempts};
use crate::chance::Chance;
use crate::swarm::Swarm;
use crate::trace::Trace;

/// The latency where nothing goes wrong.
const CALM: Duration = Duration::from_micros(100);

/// The name of a link.
pub(crate) type LinkId = usize;

/// One of the two ends of a link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// A client or the origin.
    Actor,
    /// A socket of the program under test.
    Retter,
}

/// Who is at the other end of a socket.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Actor {
    Client(usize),
    Origin(LinkId),
}

/// What is to come.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Event {
    /// Bytes, an end or a reset reach an end of a link.
    Arrives(LinkId, bool),
    /// The wall clock is set anew.
    ClockJumps,
    /// The program is asked to end.
    Drains,
    /// A look-up of the origin's name ends.
    LookedUp,
    /// Another client connects.
    Connects,
    /// The origin's health changes.
    OriginTurns,
    /// The program is lost, and begins anew.
    Restarts,
    /// An actor goes on.
    Steps(Actor),
    /// Another second.
    Ticks,
    /// A session is polled, with or without a reason.
    Wakes(usize),
}

/// How a socket is closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Close {
    End,
    Reset,
}

/// The connection was reset.
#[derive(Debug)]
pub(crate) struct IsReset;

/// One direction of a link: what flows toward one end.
#[derive(Debug, Default)]
struct Half {
    queue: VecDeque<(Instant, Vec<u8>)>,
    queued: usize,
    /// When the last thing sent arrives: nothing overtakes.
    last_at: Instant,
    fin: Option<Instant>,
    reset: Option<Instant>,
    /// After this many bytes in all the link is cut.
    cut_at: Option<u64>,
    sent: u64,
    /// With what was lost.
    offered: u64,
    read: u64,
    is_cut: bool,
    /// The end that reads has closed.
    closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Link {
    actor: Actor,
    to_actor: Half,
    to_retter: Half,
    latency: Duration,
    window: usize,
    /// The actor found the window full.
    actor_waits: bool,
    /// Whose request it carries, or carried last.
    attempt: Option<AttemptId>,
}

/// Clock, links and what is to come.
#[derive(Debug)]
pub(crate) struct Net {
    pub(crate) now: Instant,
    pub(crate) chance: Chance,
    pub(crate) swarm: Swarm,
    pub(crate) trace: Trace,
    pub(crate) attempts: Attempts,
    heap: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    links: Vec<Link>,
    events: u64,
    /// No fault is added any more.
    pub(crate) is_calm: bool,
}

impl Net {
    pub(crate) fn new(chance: Chance, swarm: Swarm, trace: Trace) -> Self {
        Self {
            // Not zero: what counts back from now must have somewhere to go.
            now: Instant::from_epoch(Duration::from_secs(1_000)),
            chance,
            swarm,
            trace,
            attempts: Attempts::default(),
            heap: BinaryHeap::new(),
            links: Vec::new(),
            events: 0,
            is_calm: false,
        }
    }

    pub(crate) fn note(&mut self, line: fmt::Arguments<'_>) {
        self.trace.note(self.now, line);
    }

    pub(crate) fn at(&mut self, at: Instant, event: Event) {
        self.events += 1;
        self.heap
            .push(Reverse((at.max(self.now), self.events, event)));
    }

    pub(crate) fn after(&mut self, wait: Duration, event: Event) {
        self.at(self.now + wait, event);
    }

    /// Moves the clock to the next event and takes it.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        let Reverse((at, _, event)) = self.heap.pop()?;
        self.now = self.now.max(at);
        Some(event)
    }

    /// Opens a link to `actor`; `None` names the link itself as the origin's.
    pub(crate) fn connect(&mut self, actor: Option<Actor>) -> LinkId {
        let id = self.links.len();
        let mut latency = self.chance.time(self.swarm.latency_max);
        let mut window = *self.chance.pick(&[700, 4 << 10, 64 << 10, 512 << 10]);
        if self.is_calm {
            (latency, window) = (CALM, 512 << 10);
        }
        let half = |net: &mut Self| Half {
            cut_at: (!net.is_calm && net.chance.hits(net.swarm.cut))
                .then(|| net.chance.size(40_000) as u64),
            last_at: net.now,
            ..Half::default()
        };
        let (to_actor, to_retter) = (half(self), half(self));
        let actor = actor.unwrap_or(Actor::Origin(id));
        self.links.push(Link {
            actor,
            to_actor,
            to_retter,
            latency,
            window,
            actor_waits: false,
            attempt: None,
        });
        self.note(format_args!("link {id} to {actor:?}"));
        id
    }

    /// Writes as much as goes; `None` when nothing does.
    pub(crate) fn write(
        &mut self,
        id: LinkId,
        from: End,
        parts: &[&[u8]],
    ) -> Result<Option<usize>, IsReset> {
        let (now, chop) = (self.now, self.chops());
        let few = self.chance.within(1..9);
        let jitter = self.chance.time(self.links[id].latency);
        let link = &mut self.links[id];
        let back = link.half(from);
        if back.has_reset(now) {
            return Err(IsReset);
        }
        let (latency, window) = (link.latency, link.window);
        let to = link.half_mut(from.other());
        let offered: usize = parts.iter().map(|part| part.len()).sum();
        let free = window.saturating_sub(to.queued);
        if free == 0 && !to.closed && !to.is_cut {
            link.actor_waits |= from == End::Actor;
            return Ok(None);
        }
        let mut len = offered.min(if to.closed || to.is_cut {
            offered
        } else {
            free
        });
        if chop {
            len = len.min(few);
        }
        let arrives = to.last_at.max(now + latency + jitter);
        to.offered += len as u64;
        if to.closed || to.is_cut {
            // Nobody is there: a reset comes back.
            let back = link.half_mut(from);
            back.reset.get_or_insert(arrives + latency);
            self.at(arrives + latency, Event::Arrives(id, from == End::Retter));
            return Ok(Some(len));
        }
        let is_cut = to.cut_at.is_some_and(|cut| to.sent + len as u64 >= cut);
        let passes = match to.cut_at {
            Some(cut) if is_cut => usize::try_from(cut.saturating_sub(to.sent)).unwrap_or(len),
            Some(_) | None => len,
        };
        to.push(arrives, parts, passes);
        self.at(arrives, Event::Arrives(id, from == End::Actor));
        if is_cut {
            self.cut(id, arrives);
        }
        self.note(format_args!("link {id} {from:?} writes {len}"));
        Ok(Some(len))
    }

    /// Reads up to `buf`; `None` when nothing is there, `Some(0)` at the end.
    pub(crate) fn read(
        &mut self,
        id: LinkId,
        at: End,
        buf: &mut [u8],
    ) -> Result<Option<usize>, IsReset> {
        let (now, chop) = (self.now, self.chops());
        let few = self.chance.within(1..9);
        let half = self.links[id].half_mut(at);
        if half.has_reset(now) {
            half.queue.clear();
            half.queued = 0;
            self.heard(id, at, 0);
            return Err(IsReset);
        }
        let max = if chop { buf.len().min(few) } else { buf.len() };
        let len = half.pull(now, &mut buf[..max]);
        if len == 0 {
            let is_over = half.queue.is_empty() && half.fin.is_some_and(|fin| fin <= now);
            if is_over {
                self.heard(id, at, 0);
            }
            return Ok(is_over.then_some(0));
        }
        self.heard(id, at, len);
        self.freed(id, at);
        self.note(format_args!("link {id} {at:?} reads {len}"));
        Ok(Some(len))
    }

    /// Ends one direction.
    pub(crate) fn shut(&mut self, id: LinkId, from: End) {
        let arrives = self.arrival(id, from);
        let half = self.links[id].half_mut(from.other());
        // What comes after a cut is lost with it.
        if half.fin.is_none() && !half.is_cut {
            half.fin = Some(arrives);
            half.last_at = arrives;
            self.at(arrives, Event::Arrives(id, from == End::Actor));
            self.note(format_args!("link {id} {from:?} shuts"));
        }
    }

    /// Closes one end. What is left unread there makes it a reset, as in TCP.
    pub(crate) fn close(&mut self, id: LinkId, from: End, how: Close) {
        let own = self.links[id].half_mut(from);
        if own.closed {
            return;
        }
        own.closed = true;
        if from == End::Retter {
            self.left(id);
        }
        let own = self.links[id].half_mut(from);
        let unread = own.queued > 0;
        own.queue.clear();
        own.queued = 0;
        self.freed(id, from);
        if how == Close::Reset || unread {
            let arrives = self.arrival(id, from);
            let half = self.links[id].half_mut(from.other());
            half.reset.get_or_insert(arrives);
            half.last_at = arrives;
            self.at(arrives, Event::Arrives(id, from == End::Actor));
            self.note(format_args!("link {id} {from:?} resets"));
        } else {
            self.shut(id, from);
        }
    }

    /// Whether a peek would say that nothing has come, not even an end.
    pub(crate) fn is_silent(&self, id: LinkId, at: End) -> bool {
        let half = self.links[id].half(at);
        let arrived = half.queue.front().is_some_and(|(at, _)| *at <= self.now);
        !arrived && !half.has_reset(self.now) && half.fin.is_none_or(|fin| fin > self.now)
    }

    /// Keeps the waker until there is something to read or room to write.
    pub(crate) fn register(&mut self, id: LinkId, at: End, reads: bool, waker: &Waker) {
        let half = match reads {
            true => self.links[id].half_mut(at),
            false => self.links[id].half_mut(at.other()),
        };
        let place = if reads {
            &mut half.reader
        } else {
            &mut half.writer
        };
        *place = Some(waker.clone());
    }

    /// Wakes whoever waits for what has arrived; an actor is to be stepped.
    pub(crate) fn arrived(&mut self, id: LinkId, at_retter: bool) -> Option<Actor> {
        let link = &mut self.links[id];
        if !at_retter {
            return (!link.to_actor.closed).then_some(link.actor);
        }
        let wakers = [link.to_retter.reader.take(), link.to_actor.writer.take()];
        wakers.into_iter().flatten().for_each(Waker::wake);
        None
    }

    /// Bytes that were sent toward the program on a link, and how many of them it has read.
    pub(crate) fn progress(&self, id: LinkId) -> (u64, u64) {
        let half = &self.links[id].to_retter;
        (half.offered, half.read)
    }

    /// A request goes out on this link.
    pub(crate) fn carries(&mut self, id: LinkId, attempt: AttemptId) {
        self.links[id].attempt = Some(attempt);
        self.attempts.connected(attempt);
    }

    /// Whose request this link carries, or carried last.
    pub(crate) fn carried(&self, id: LinkId) -> Option<AttemptId> {
        self.links[id].attempt
    }

    /// The program is done with what this link carried.
    pub(crate) fn left(&mut self, id: LinkId) {
        if let Some(attempt) = self.links[id].attempt {
            self.attempts.done(attempt, self.now);
        }
    }

    /// The program is gone: every connection of it breaks off, and nothing more comes by any.
    pub(crate) fn lose_program(&mut self) {
        let open = |link: &LinkId| !self.links[*link].to_retter.closed;
        let open: Vec<_> = (0..self.links.len()).filter(open).collect();
        for id in open {
            let now = self.now;
            let link = &mut self.links[id];
            for half in [&mut link.to_actor, &mut link.to_retter] {
                half.is_cut = true;
                half.reset = Some(half.reset.map_or(now, |at| at.min(now)));
            }
            self.at(now, Event::Arrives(id, false));
            self.note(format_args!("link {id} is lost"));
        }
    }

    /// Whether the network broke this link.
    pub(crate) fn was_cut(&self, id: LinkId) -> bool {
        let link = &self.links[id];
        link.to_actor.is_cut || link.to_retter.is_cut
    }

    /// Sockets of the program that are not closed.
    pub(crate) fn open_sockets(&self) -> usize {
        let open = |link: &&Link| !link.to_retter.closed;
        self.links.iter().filter(open).count()
    }

    /// Whether only a few bytes go now.
    fn chops(&mut self) -> bool {
        let chops = self.chance.hits(self.swarm.chop);
        chops && !self.is_calm
    }

    fn heard(&mut self, id: LinkId, at: End, len: usize) {
        if at == End::Retter
            && let Some(attempt) = self.links[id].attempt
        {
            self.attempts.heard(attempt, len, self.now);
        }
    }

    fn cut(&mut self, id: LinkId, at: Instant) {
        let link = &mut self.links[id];
        let later = at + link.latency;
        for half in [&mut link.to_actor, &mut link.to_retter] {
            half.is_cut = true;
            half.reset.get_or_insert(later);
        }
        self.at(later, Event::Arrives(id, true));
        self.at(later, Event::Arrives(id, false));
        self.note(format_args!("link {id} is cut"));
    }

    fn arrival(&self, id: LinkId, from: End) -> Instant {
        let link = &self.links[id];
        link.half(from.other()).last_at.max(self.now + link.latency)
    }

    /// Who waited for room goes on.
    fn freed(&mut self, id: LinkId, at: End) {
        let actor = self.links[id].actor;
        match at {
            End::Actor => {
                if let Some(waker) = self.links[id].to_actor.writer.take() {
                    waker.wake();
                }
            }
            End::Retter => {
                if std::mem::take(&mut self.links[id].actor_waits) {
                    self.at(self.now, Event::Steps(actor));
                }
            }
        }
    }
}

impl Link {
    fn half(&self, to: End) -> &Half {
        match to {
            End::Actor => &self.to_actor,
            End::Retter => &self.to_retter,
        }
    }

    fn half_mut(&mut self, to: End) -> &mut Half {
        match to {
            End::Actor => &mut self.to_actor,
            End::Retter => &mut self.to_retter,
        }
    }
}

impl Half {
    fn has_reset(&self, now: Instant) -> bool {
        self.reset.is_some_and(|at| at <= now)
    }

    fn push(&mut self, arrives: Instant, parts: &[&[u8]], len: usize) {
        let mut bytes = Vec::with_capacity(len);
        for part in parts {
            let rest = len - bytes.len();
            bytes.extend_from_slice(&part[..part.len().min(rest)]);
        }
        self.last_at = arrives;
        self.queued += bytes.len();
        self.sent += bytes.len() as u64;
        self.queue.push_back((arrives, bytes));
    }

    fn pull(&mut self, now: Instant, buf: &mut [u8]) -> usize {
        let mut filled = 0;
        while let Some((at, bytes)) = self.queue.front_mut()
            && *at <= now
        {
            let len = bytes.len().min(buf.len() - filled);
            buf[filled..filled + len].copy_from_slice(&bytes[..len]);
            filled += len;
            if len < bytes.len() {
                bytes.drain(..len);
                break;
            }
            self.queue.pop_front();
        }
        self.queued -= filled;
        self.read += filled as u64;
        filled
    }
}

impl End {
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Actor => Self::Retter,
            Self::Retter => Self::Actor,
        }
    }
}
