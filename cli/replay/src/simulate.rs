//! Owns the replay itself: the real breaker, gate and copies under one set of settings, in the
//! time of the log. Never waits, and never asks anybody.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering as Memory};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

use retter_core::config::{Config, ConfigErrors, Settings};
use retter_core::event::Event;
use retter_core::message::RequestHead;
use retter_core::rules::label::{Handling, Refused};
use retter_core::time::Instant;
use retter_core::{Decision, Fetch, Refusal, Ruling, Served, Site, Slow, Ticket, Verdict};

use super::flight::{self, Flight, Stage, Step};
use super::line::{Answer, End, Origin};
use super::message::{SESSION_COOKIE, response};
use super::tally::{Got, Tally};
use super::timeline::Timeline;
use super::truth::{TIME_MAX, Truth};

/// Once a log is silent for so long, nobody knows how the application is doing. A line with a wrong
/// year would be centuries of probes.
const SILENCE_MAX: Duration = Duration::from_secs(24 * 3600);
/// On whose behalf a copy is renewed: the log's addresses are not needed for it.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// One set of settings on its way through the log.
pub(super) struct Simulation {
    /// Somebody has to look for copies to renew.
    alarm: Arc<Alarm>,
    config: Config,
    /// When the last line came.
    last: Instant,
    number: u64,
    pending: BinaryHeap<Reverse<Pending>>,
    site: Site,
    /// The time of the first line.
    start: u64,
    pub(super) tally: Tally,
    pub(super) timeline: Timeline,
    /// When copies to renew are looked for.
    visit_at: Instant,
    waiting: BTreeMap<u64, Waiting>,
    woken: Arc<Mutex<Vec<u64>>>,
}

/// Something that happens later.
struct Pending {
    at: Instant,
    number: u64,
    what: What,
}

enum What {
    /// A request at the application goes on.
    Fetch(Flight, Step),
    /// A request has waited for as long as anybody may.
    Overdue,
    /// A copy may have to be renewed, or a circuit to be probed.
    Visit,
}

/// A request that waits until the application has room.
struct Waiting {
    came: Instant,
    origin: Origin,
    request: Arc<RequestHead>,
    ticket: Ticket,
    waker: Waker,
}

/// Notes the requests that may go on, while the gate's lock is held.
struct Note {
    number: u64,
    woken: Arc<Mutex<Vec<u64>>>,
}

struct Alarm(AtomicBool);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Memory::Relaxed);
    }
}

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        let woken = self.woken.lock();
        woken
            .unwrap_or_else(PoisonError::into_inner)
            .push(self.number);
    }
}

impl Simulation {
    /// Begins at `start`, in nanoseconds since 1970.
    ///
    /// # Errors
    /// What is wrong with the settings: nothing, as they were checked before.
    pub(super) fn new(mut settings: Settings, seed: u64, start: u64) -> Result<Self, ConfigErrors> {
        let only = |names: &str| names.parse().expect("a cookie name is a pattern");
        settings.site.cache.session_cookies = only(SESSION_COOKIE);
        settings.site.cache.ignored_cookies = only("");
        // What it would have been answered is not in the log.
        settings.site.admission.restart_wait = Duration::ZERO;
        // What the application would have sent to a stranger is in no log.
        settings.site.cache.public = false;
        let config = settings.validate()?;
        let site = Site::new(&config.clone(), seed, Instant::ZERO);
        site.set_wall_clock(Duration::from_nanos(start), Instant::ZERO);
        Ok(Self {
            alarm: Arc::new(Alarm(AtomicBool::new(true))),
            config,
            last: Instant::ZERO,
            number: 0,
            pending: BinaryHeap::new(),
            site,
            start,
            tally: Tally::new(),
            timeline: Timeline::new(),
            visit_at: Instant::ZERO,
            waiting: BTreeMap::new(),
            woken: Arc::default(),
        })
    }

    /// Lets everything happen until `at`, in nanoseconds since 1970; `truth` tells how the
    /// application is doing meanwhile.
    pub(super) fn advance(&mut self, at: u64, truth: &Truth) {
        let now = Instant::from_nanos(at.saturating_sub(self.start));
        let silent_at = self.last + SILENCE_MAX;
        if silent_at < now {
            self.run_until(silent_at, Some(truth));
            self.run_until(now, None);
            self.push(now, What::Visit);
        }
        self.run_until(now, Some(truth));
        self.last = now;
    }

    /// Replays one request, about which the application does what `origin` says.
    pub(super) fn ask(
        &mut self,
        request: &Arc<RequestHead>,
        client: Option<IpAddr>,
        at: u64,
        origin: &Origin,
    ) {
        let now = Instant::from_nanos(at.saturating_sub(self.start));
        let ruling = match client {
            Some(client) => self.site.decide_for(request, client, now),
            None => self.site.decide(request, now),
        };
        self.rule(ruling, request, origin, now);
        self.admit(now);
        if self.alarm.0.load(Memory::Relaxed) {
            self.push(now, What::Visit);
        }
        self.note_changes(now);
    }

    /// Ends what still runs.
    pub(super) fn finish(&mut self) {
        self.run_until(Instant::from_nanos(u64::MAX), None);
    }

    /// Asks the application for copies that are to be renewed, and for probes.
    fn visit(&mut self, now: Instant, truth: &Truth) {
        if !self.alarm.0.swap(false, Memory::Relaxed) && self.visit_at > now {
            return;
        }
        self.site.set_refresh_waker(&Arc::clone(&self.alarm).into());
        if let Some(probe) = self.site.poll_connect(now) {
            match truth.takes_connections() {
                true => probe.on_connected(now),
                false => probe.on_failed(now),
            }
        }
        while let Some(refresh) = self.site.poll_refresh(now) {
            self.tally.renewals += 1;
            let origin = truth.now(&refresh.request);
            self.send(refresh.fetch, refresh.request, &origin, None, now);
        }
        let next = self.site.poll_refresh_timeout(now);
        self.visit_at = next.unwrap_or(Instant::from_nanos(u64::MAX));
        if let Some(at) = next {
            self.push(at, What::Visit);
        }
    }

    /// Does what was decided at `now` about a request that came at `came`.
    fn carry_out(
        &mut self,
        decision: Decision,
        request: &Arc<RequestHead>,
        origin: &Origin,
        came: Instant,
        now: Instant,
    ) {
        match decision {
            Decision::Fetch(fetch) => {
                self.send(fetch, Arc::clone(request), origin, Some(came), now);
            }
            Decision::Refuse(refusal) => self.refuse(refusal, origin, came),
            Decision::Serve(served) => {
                served.want(request, NOBODY, now);
                self.serve(&served, origin, came);
            }
        }
    }

    /// Does what the site said of a request.
    fn rule(&mut self, ruling: Ruling, request: &Arc<RequestHead>, origin: &Origin, now: Instant) {
        match ruling {
            Ruling::Now(decision) => self.carry_out(decision, request, origin, now, now),
            Ruling::Wait(ticket) => {
                let number = self.push(ticket.deadline(), What::Overdue);
                let woken = Arc::clone(&self.woken);
                let waiting = Waiting {
                    came: now,
                    origin: origin.clone(),
                    request: Arc::clone(request),
                    ticket,
                    waker: Arc::new(Note { number, woken }).into(),
                };
                self.waiting.insert(number, waiting);
                self.poll(number, now);
            }
        }
    }

    /// Lets those go on that found room.
    fn admit(&mut self, now: Instant) {
        loop {
            let woken = {
                let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::take(&mut *woken)
            };
            if woken.is_empty() {
                return;
            }
            for number in woken {
                self.poll(number, now);
            }
        }
    }

    fn poll(&mut self, number: u64, now: Instant) {
        // One that is not there has gone on already.
        let Some(mut waiting) = self.waiting.remove(&number) else {
            return;
        };
        match waiting.ticket.poll(&waiting.waker, now) {
            Poll::Pending => {
                self.waiting.insert(number, waiting);
            }
            Poll::Ready(decision) => {
                let Waiting {
                    came,
                    origin,
                    request,
                    ..
                } = waiting;
                self.carry_out(decision, &request, &origin, came, now);
            }
        }
    }

    fn refuse(&mut self, refusal: Refusal, origin: &Origin, came: Instant) {
        let got = match refusal.handling {
            Handling::NoCopy { refused, .. } => match refused {
                Refused::CircuitOpen => Got::RefusedOpen,
                Refused::Overload | Refused::WaitingRoom => Got::RefusedFull,
                // No request of a replay asks for that.
                Refused::Maintenance | Refused::OnlyIfCached => Got::Error,
            },
            // It waited for the answer to another, which was an error.
            Handling::Behind { .. }
            | Handling::Collapsed { .. }
            | Handling::CircuitOpen { .. }
            | Handling::Failed { .. }
            | Handling::Forwarded { .. }
            | Handling::Fresh { .. }
            | Handling::MaxStale { .. }
            | Handling::Overload { .. }
            | Handling::Public { .. }
            | Handling::Rescued { .. }
            | Handling::Validated { .. } => Got::Error,
        };
        if matches!(got, Got::RefusedFull | Got::RefusedOpen)
            && let Origin::Answered(answer) = origin
        {
            self.tally.refused_needlessly += u64::from(self.good(Some(answer)).is_some());
        }
        self.count(got, came);
    }

    fn send(
        &mut self,
        mut fetch: Fetch,
        request: Arc<RequestHead>,
        origin: &Origin,
        came: Option<Instant>,
        now: Instant,
    ) {
        let (after, step) = flight::first(origin, &self.config.site().origin);
        fetch.on_behalf_of(NOBODY);
        if flight::is_sent(&step) {
            fetch.on_sent(now);
        }
        let answer = match origin {
            Origin::Answered(answer) => Some(Box::new(answer.clone())),
            Origin::Failed { .. } | Origin::Left { .. } | Origin::NotAsked { .. } => None,
        };
        let flight = Flight {
            answer,
            came,
            request,
            stage: Stage::Asking(fetch),
        };
        self.wait_for(flight, now + after.min(TIME_MAX), step);
    }

    /// Lets a request come to `step` at `at`; before that it may become late, or slow.
    fn wait_for(&mut self, flight: Flight, at: Instant, step: Step) {
        match flight.stage.poll_timeout().filter(|due| *due < at) {
            Some(due) => {
                let step = Step::Timeout(at, Box::new(step));
                self.push(due, What::Fetch(flight, step));
            }
            None => {
                self.push(at, What::Fetch(flight, step));
            }
        }
    }

    fn push(&mut self, at: Instant, what: What) -> u64 {
        self.number += 1;
        let number = self.number;
        self.pending.push(Reverse(Pending { at, number, what }));
        number
    }

    fn run_until(&mut self, now: Instant, truth: Option<&Truth>) {
        while self
            .pending
            .peek()
            .is_some_and(|Reverse(next)| next.at <= now)
        {
            if let Some(Reverse(Pending { at, number, what })) = self.pending.pop() {
                match what {
                    What::Fetch(flight, step) => self.run(at, flight, step),
                    What::Overdue => self.poll(number, at),
                    What::Visit => {}
                }
                self.admit(at);
                // Where the log is silent nobody knows how the application would do.
                if let Some(truth) = truth {
                    self.visit(at, truth);
                }
                // Between two lines there may be more of them than are kept for anybody.
                self.note_changes(at);
            }
        }
    }

    fn run(&mut self, now: Instant, flight: Flight, step: Step) {
        match step {
            Step::End => {
                let got = if self.is_error(flight.answer.as_deref()) {
                    Got::Error
                } else {
                    Got::Answer
                };
                flight.stage.end(now);
                self.got(got, flight.came);
            }
            Step::Fail(failure) => {
                let Flight {
                    answer,
                    came,
                    request,
                    stage,
                } = flight;
                match (stage.fail(failure, now), came) {
                    (Some(served), Some(came)) => {
                        served.want(&request, NOBODY, now);
                        self.rescued(&served, answer.as_deref(), Got::RescuedFailed, came);
                    }
                    (_, came) => self.got(Got::Error, came),
                }
            }
            Step::Head => self.on_head(flight, now),
            Step::Leave => {
                flight.stage.abandon(now);
                self.got(Got::Left, flight.came);
            }
            Step::Timeout(at, then) => self.on_timeout(flight, at, *then, now),
        }
    }

    fn on_head(&mut self, flight: Flight, now: Instant) {
        let Flight {
            answer: Some(answer),
            came,
            request,
            stage: Stage::Asking(fetch),
        } = flight
        else {
            return;
        };
        match fetch.on_head(&response(&answer, &request), now) {
            // The application was asked about the copy, and it was right.
            Verdict::Serve(served) if matches!(served.handling, Handling::Validated { .. }) => {
                self.got(Got::Answer, came);
            }
            Verdict::Serve(served) => {
                if let Some(came) = came {
                    served.want(&request, NOBODY, now);
                    self.rescued(&served, Some(&answer), Got::RescuedFailed, came);
                }
            }
            Verdict::Forward(holding) => {
                let looked_at = self.config.site().cache.object_bytes_max;
                let stage = flight::begin(holding, &answer, came.is_some(), looked_at, now);
                let at = now + answer.took.saturating_sub(answer.head).min(TIME_MAX);
                let step = flight::last(&answer);
                let flight = Flight {
                    answer: Some(answer),
                    came,
                    request,
                    stage,
                };
                self.wait_for(flight, at, step);
            }
        }
    }

    /// The answer takes long: where that is too long, and there is a copy, that stands in for it, and
    /// the request goes on where it may renew the copy. It would have come to `step` at `at`.
    fn on_timeout(&mut self, mut flight: Flight, at: Instant, step: Step, now: Instant) {
        let slow = flight.stage.handle_timeout(now);
        let Some((Slow { served, goes_on }, came)) = slow.zip(flight.came) else {
            return self.wait_for(flight, at, step);
        };
        served.want(&flight.request, NOBODY, now);
        self.rescued(&served, flight.answer.as_deref(), Got::RescuedSlow, came);
        flight.came = None;
        if goes_on {
            self.push(at, What::Fetch(flight, step));
        } else {
            flight.stage.abandon(now);
        }
    }

    /// Counts what a user got, if there was one.
    fn got(&mut self, got: Got, came: Option<Instant>) {
        if let Some(came) = came {
            self.count(got, came);
        }
    }

    /// Counts a copy that a user got in place of what the application answered, if it did.
    fn rescued(&mut self, served: &Served, answer: Option<&Answer>, got: Got, came: Instant) {
        self.tally.age(served.resident());
        if let Some(answer) = self.good(answer) {
            self.tally.rescued.add(version(served), answer);
        }
        self.count(got, came);
    }

    fn serve(&mut self, served: &Served, origin: &Origin, came: Instant) {
        let answer = match origin {
            Origin::Answered(answer) => Some(answer),
            Origin::Failed { .. } | Origin::Left { .. } | Origin::NotAsked { .. } => None,
        };
        match served.handling {
            Handling::CircuitOpen { .. } => self.rescued(served, answer, Got::RescuedOpen, came),
            // Stale, but by the word of the application or the client as good as fresh.
            Handling::Behind { .. } | Handling::Fresh { .. } | Handling::MaxStale { .. } => {
                if let Some(answer) = self.good(answer) {
                    self.tally.fresh.add(version(served), answer);
                }
                self.count(Got::Fresh, came);
            }
            Handling::Overload { .. } => self.rescued(served, answer, Got::RescuedFull, came),
            // There is none: nobody asks as a stranger here.
            Handling::Public { .. } | Handling::Rescued { .. } => {
                self.rescued(served, answer, Got::RescuedFailed, came);
            }
            // It waited, and another fetched the same page meanwhile.
            Handling::Collapsed { .. }
            | Handling::Failed { .. }
            | Handling::Forwarded { .. }
            | Handling::NoCopy { .. }
            | Handling::Validated { .. } => self.count(Got::Answer, came),
        }
    }

    /// What the application answered by the log, if that was no failure.
    fn good<'a>(&self, answer: Option<&'a Answer>) -> Option<&'a Answer> {
        answer.filter(|answer| answer.end == End::Complete && !self.is_error(Some(answer)))
    }

    fn is_error(&self, answer: Option<&Answer>) -> bool {
        let statuses = self.config.site().breaker.failure_statuses;
        answer.is_some_and(|answer| statuses.contains(answer.status))
    }

    fn count(&mut self, got: Got, came: Instant) {
        self.tally.counts.add(got);
        self.timeline.add(came.as_nanos(), got);
    }

    fn note_changes(&mut self, now: Instant) {
        while let Some(event) = self.site.poll_event(now) {
            if let Event::Circuit(change) = event {
                self.timeline.change(change);
            }
        }
    }
}

/// Which page a copy is.
fn version(served: &Served) -> Option<u64> {
    served.fields().get_str("etag")?.parse().ok()
}

impl Pending {
    fn rank(&self) -> (Instant, u64) {
        (self.at, self.number)
    }
}

impl PartialEq for Pending {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Pending {}

impl PartialOrd for Pending {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pending {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}
