//! Owns the replay itself: the real breaker, gate and copies under one set of settings, in the
//! time of the log. Never waits, and never asks anybody.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering as Memory};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

use retter_core::config::{Config, ConfigError, Settings};
use retter_core::limits::HOLD_BYTES_MAX;
use retter_core::message::{FieldsBuilder, RequestHead, ResponseHead, Version};
use retter_core::policy::{Decision, Fetch, Refusal, Retter, Served, Ticket, Verdict};
use retter_core::report::Failure;
use retter_core::rules::label::{Handling, Refused};
use retter_core::time::{Instant, UnixTime};

use super::line::{Answer, Cookies, End, Line, Origin, Visitor};
use super::tally::{Got, Tally};
use super::timeline::Timeline;
use super::truth::{TIME_MAX, Truth};
use super::when::NANOS_PER_SEC;

/// The log does not tell cookies, but what they meant: these mean it again.
const SESSION_COOKIE: &str = "retter-session";
const OTHER_COOKIE: &str = "retter-other";
/// On whose behalf a copy is renewed: the log's addresses are not needed for it.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// One set of settings on its way through the log.
pub(super) struct Simulation {
    /// Somebody has to look for copies to renew.
    alarm: Arc<Alarm>,
    config: Config,
    number: u64,
    pending: BinaryHeap<Reverse<Pending>>,
    retter: Arc<Retter>,
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
    /// A request at the application goes on. No user waits for one that never came.
    Fetch {
        came: Option<Instant>,
        fetch: Box<Fetch>,
        step: Step,
    },
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

/// Notes who may go on, while the gate has something locked.
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

enum Step {
    /// The whole answer has come.
    End { failing: bool },
    /// It failed without a head, or too late for a rescue.
    Fail { failure: Failure, rescuable: bool },
    /// Its head comes.
    Head(Box<Answer>),
    /// The client leaves.
    Leave,
}

impl Simulation {
    /// Begins at `start`, in nanoseconds since 1970.
    ///
    /// # Errors
    /// What is wrong with the settings: nothing, as they were checked before.
    pub(super) fn new(
        mut settings: Settings,
        seed: u64,
        start: u64,
    ) -> Result<Self, Vec<ConfigError>> {
        let only = |names: &str| names.parse().expect("a cookie name is a pattern");
        settings.cache.session_cookies = only(SESSION_COOKIE);
        settings.cache.ignored_cookies = only("");
        let config = settings.validate()?;
        let retter = Retter::new(config.clone(), seed, Instant::ZERO);
        retter.set_wall_clock(Instant::ZERO, UnixTime(start / NANOS_PER_SEC));
        Ok(Self {
            alarm: Arc::new(Alarm(AtomicBool::new(true))),
            config,
            number: 0,
            pending: BinaryHeap::new(),
            retter,
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
        self.run_until(now, Some(truth));
    }

    /// Replays one request, about which the application does what `origin` says.
    pub(super) fn ask(&mut self, request: &Arc<RequestHead>, at: u64, origin: &Origin) {
        let now = Instant::from_nanos(at.saturating_sub(self.start));
        let decision = self.retter.decide(request, now);
        self.carry_out(decision, request, origin, now, now);
        self.admit(now);
        if self.alarm.0.load(Memory::Relaxed) {
            self.push(now, What::Visit);
        }
        self.note_changes();
    }

    /// Ends what still runs.
    pub(super) fn finish(&mut self) {
        self.run_until(Instant::from_nanos(u64::MAX), None);
        self.note_changes();
    }

    /// Asks the application for copies that are to be renewed, and for probes.
    fn visit(&mut self, now: Instant, truth: &Truth) {
        if !self.alarm.0.swap(false, Memory::Relaxed) && self.visit_at > now {
            return;
        }
        self.retter
            .set_refresh_waker(&Arc::clone(&self.alarm).into());
        while let Some(refresh) = self.retter.poll_refresh(now) {
            self.tally.renewals += 1;
            let origin = truth.now(&refresh.request);
            self.send(refresh.fetch, &origin, None, now);
        }
        let next = self.retter.poll_refresh_timeout(now);
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
            Decision::Fetch(fetch) => self.send(fetch, origin, Some(came), now),
            Decision::Refuse(refusal) => self.refuse(refusal, origin, came),
            Decision::Serve(served) => {
                served.want(request, NOBODY, now);
                self.serve(&served, origin, came);
            }
            Decision::Wait(ticket) => {
                let number = self.push(ticket.deadline(), What::Overdue);
                let woken = Arc::clone(&self.woken);
                let waiting = Waiting {
                    came,
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
            let next = self
                .woken
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop();
            let Some(number) = next else {
                return;
            };
            self.poll(number, now);
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
                Refused::Overload => Got::RefusedFull,
                // No request of a replay asks for that.
                Refused::OnlyIfCached => Got::Error,
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
            | Handling::Rescued { .. }
            | Handling::Validated { .. } => Got::Error,
        };
        self.tally.refused_needlessly += u64::from(self.answers(origin).is_some());
        self.count(got, came);
    }

    fn send(&mut self, fetch: Box<Fetch>, origin: &Origin, came: Option<Instant>, now: Instant) {
        let settings = &self.config.origin;
        let (after, step) = match origin {
            Origin::Answered(answer) if answer.head > settings.head_timeout => timeout(settings),
            Origin::Answered(answer) => (answer.head, Step::Head(Box::new(answer.clone()))),
            Origin::Failed { failure, took } => {
                let limit = match failure {
                    Failure::Connect => settings.connect_timeout,
                    Failure::Protocol | Failure::Reset | Failure::Timeout | Failure::Truncated => {
                        settings.head_timeout
                    }
                };
                let (failure, rescuable) = (*failure, true);
                ((*took).min(limit), Step::Fail { failure, rescuable })
            }
            Origin::Left { took } if *took > settings.head_timeout => timeout(settings),
            Origin::Left { took } => (*took, Step::Leave),
            Origin::NotAsked { .. } => (Duration::ZERO, Step::Leave),
        };
        self.push(now + after.min(TIME_MAX), What::Fetch { came, fetch, step });
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
                    What::Fetch { came, fetch, step } => self.run(at, came, fetch, step),
                    What::Overdue => self.poll(number, at),
                    What::Visit => {}
                }
                self.admit(at);
                // Once the log has ended nobody knows how the application would do.
                if let Some(truth) = truth {
                    self.visit(at, truth);
                }
            }
        }
    }

    fn run(&mut self, at: Instant, came: Option<Instant>, mut fetch: Box<Fetch>, step: Step) {
        let request = Arc::clone(fetch.request());
        let served = match step {
            Step::End { failing } => {
                fetch.on_end(at);
                return self.got(if failing { Got::Error } else { Got::Answer }, came);
            }
            Step::Fail { failure, rescuable } => {
                let served = fetch.on_failure(failure, at);
                served.filter(|_| rescuable)
            }
            Step::Head(answer) => match fetch.on_head(&response(&answer, &request), at) {
                // The application was asked about the copy, and it was right.
                Verdict::Serve(served) if matches!(served.handling, Handling::Validated { .. }) => {
                    return self.got(Got::Answer, came);
                }
                Verdict::Serve(served) => Some(served),
                Verdict::Forward => {
                    self.feed(&mut fetch, answer.bytes, at);
                    let took = answer.took.saturating_sub(answer.head).min(TIME_MAX);
                    let step = self.last(&answer);
                    self.push(at + took, What::Fetch { came, fetch, step });
                    return;
                }
            },
            Step::Leave => {
                fetch.abandon(at);
                return self.got(Got::Left, came);
            }
        };
        let Some(served) = served.filter(|_| came.is_some()) else {
            return self.got(Got::Error, came);
        };
        served.want(&request, NOBODY, at);
        self.tally.age(served.resident());
        self.got(Got::RescuedFailed, came);
    }

    /// Counts what a user got, if there was one.
    fn got(&mut self, got: Got, came: Option<Instant>) {
        if let Some(came) = came {
            self.count(got, came);
        }
    }

    /// How an answer ends whose head was passed on.
    fn last(&self, answer: &Answer) -> Step {
        match answer.end {
            End::ClientLeft => Step::Leave,
            End::Complete => Step::End {
                failing: self.config.breaker.failure_statuses.contains(answer.status),
            },
            End::Truncated => Step::Fail {
                failure: Failure::Truncated,
                // A short page is held back until it is complete.
                rescuable: answer.bytes <= HOLD_BYTES_MAX as u64,
            },
        }
    }

    /// Passes a body of so many bytes; more than is kept need not be.
    fn feed(&self, fetch: &mut Fetch, bytes: u64, at: Instant) {
        static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
        let max = self.config.cache.object_bytes_max.saturating_add(1);
        let mut left = usize::try_from(bytes).unwrap_or(max).min(max);
        while left > 0 {
            let piece = &ZEROS[..left.min(ZEROS.len())];
            fetch.on_data(piece, at);
            left -= piece.len();
        }
    }

    fn serve(&mut self, served: &Served, origin: &Origin, came: Instant) {
        let got = match served.handling {
            Handling::CircuitOpen { .. } => Got::RescuedOpen,
            // Stale, but by the word of the application or the client as good as fresh.
            Handling::Behind { .. } | Handling::Fresh { .. } | Handling::MaxStale { .. } => {
                return self.count(Got::Fresh, came);
            }
            Handling::Overload { .. } => Got::RescuedFull,
            Handling::Rescued { .. } => Got::RescuedFailed,
            // It waited, and another fetched the same page meanwhile.
            Handling::Collapsed { .. }
            | Handling::Failed { .. }
            | Handling::Forwarded { .. }
            | Handling::NoCopy { .. }
            | Handling::Validated { .. } => return self.count(Got::Answer, came),
        };
        self.tally.age(served.resident());
        if let Some(answer) = self.answers(origin) {
            let copy = served
                .fields()
                .get_str("etag")
                .and_then(|tag| tag.parse().ok());
            let verdicts = &mut self.tally.verdicts;
            let count = match (answer.status.as_u16(), copy, answer.version) {
                (200 | 304, Some(copy), Some(version)) if copy == version => &mut verdicts.same,
                (200 | 304, Some::<u64>(_), Some(_)) => &mut verdicts.wrong,
                (200 | 206 | 304 | 416, ..) => &mut verdicts.unknown,
                _ => &mut verdicts.wrong,
            };
            *count += 1;
        }
        self.count(got, came);
    }

    /// The answer that the user would have got of the application at this time.
    fn answers<'a>(&self, origin: &'a Origin) -> Option<&'a Answer> {
        let statuses = self.config.breaker.failure_statuses;
        match origin {
            Origin::Answered(answer) => {
                let is_good = answer.end == End::Complete && !statuses.contains(answer.status);
                is_good.then_some(answer)
            }
            Origin::Failed { .. } | Origin::Left { .. } | Origin::NotAsked { .. } => None,
        }
    }

    fn count(&mut self, got: Got, came: Instant) {
        self.tally.counts.add(got);
        self.timeline.add(came.as_nanos(), got);
    }

    fn note_changes(&mut self) {
        while let Some(change) = self.retter.poll_transition() {
            self.timeline.change(change);
        }
    }
}

fn timeout(settings: &retter_core::config::OriginSettings) -> (Duration, Step) {
    let (failure, rescuable) = (Failure::Timeout, true);
    (settings.head_timeout, Step::Fail { failure, rescuable })
}

/// The request of a line, as this program would have seen it.
pub(super) fn request(line: &Line) -> RequestHead {
    let mut fields = FieldsBuilder::default();
    let host = line.host.as_deref().unwrap_or("the-log.invalid");
    fields.push("host", host.as_bytes());
    let cookie = match line.visitor {
        Visitor::Anybody => None,
        Visitor::Cookies(id) => Some(format!("{OTHER_COOKIE}={id:x}")),
        Visitor::Session(id) => Some(format!("{SESSION_COOKIE}={id:x}")),
    };
    if let Some(cookie) = cookie {
        fields.push("cookie", cookie.as_bytes());
    }
    if line.upgrades {
        fields.push("connection", b"upgrade");
        fields.push("upgrade", b"websocket");
    }
    RequestHead {
        method: line.method.clone(),
        target: line.target.clone(),
        version: Version::Http11,
        fields: fields.build(),
    }
}

fn response(answer: &Answer, request: &RequestHead) -> ResponseHead {
    let mut fields = FieldsBuilder::default();
    let mut put = |name, value: Option<&str>| {
        if let Some(value) = value {
            fields.push(name, value.as_bytes());
        }
    };
    put("cache-control", answer.cache_control.as_deref());
    put("content-type", answer.content_type.as_deref());
    if answer.end == End::Complete && request.method != http::Method::HEAD {
        put("content-length", Some(&answer.bytes.to_string()));
    }
    put(
        "etag",
        answer.version.map(|version| version.to_string()).as_deref(),
    );
    put(
        "set-cookie",
        match answer.cookies {
            Cookies::ChangesSession => Some("retter-session=another"),
            Cookies::None => None,
            Cookies::Sets => Some("retter-other=another"),
        },
    );
    put("vary", answer.varies_on_all.then_some("*"));
    ResponseHead::new(answer.status, fields.build())
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
