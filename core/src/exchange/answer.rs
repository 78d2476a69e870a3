//! Owns what all states of an exchange share, and the answers that do not come from the origin:
//! copies, refusals and errors.
//! Never decides which of them is due.

use std::sync::Arc;

use http::{Method, StatusCode};
use smallvec::SmallVec;

use super::call::{Call, Outcome};
use super::choice::{self, Choice};
use super::forward::Forward;
use super::reply::{Body, Data, Head, MadeFrom, Outbox, Told};
use super::room::Room;
use super::signal::Action;
use crate::canary::{Plant, is_planted};
use crate::config::OriginSettings;
use crate::event::{OriginReport, Report};
use crate::gateway::Gateway;
use crate::limits::COPY_BYTES_SMALL;
use crate::message::Fields;
use crate::report::{End, Failure, Source};
use crate::rules::own_cookies::{self, ROOM};
use crate::site::{Fetch, Refusal, Served, Snapshot, Ticket, Unanswered};
use crate::time::Instant;

/// How long a browser keeps a number of the waiting room that is not shown again: each page of the room
/// gives it anew.
const ROOM_LASTS_SECS: u32 = 60 * 60;

/// What all states share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) actions: SmallVec<[Action; 2]>,
    pub(super) call: Call,
    /// How the origin failed on it, while it waits for another answer.
    pub(super) failed: Option<Box<OriginReport>>,
    /// Whether there is a client.
    pub(super) is_joined: bool,
    pub(super) outbox: Outbox,
    /// Bytes that wait for the client outside of this exchange.
    pub(super) queued: usize,
    /// What is to be told once all replies were pulled.
    pub(super) report: Option<Report>,
    pub(super) gateway: Arc<Gateway>,
    pub(super) room: Room,
    /// The settings of when it was let through to the origin.
    snapshot: Option<Arc<Snapshot>>,
}

impl Shared {
    #[inline]
    pub(super) fn new(gateway: Arc<Gateway>, call: Call, is_joined: bool) -> Self {
        Self {
            actions: SmallVec::new(),
            call,
            failed: None,
            is_joined,
            outbox: Outbox::default(),
            queued: 0,
            report: None,
            room: Room::Free,
            gateway,
            snapshot: None,
        }
    }

    /// It is let through to the origin: it ends by the settings that count now.
    pub(super) fn let_through(&mut self, fetch: &Fetch) {
        self.snapshot = Some(Arc::clone(fetch.snapshot()));
    }

    /// How it talks to the origin.
    pub(super) fn origin(&self) -> &OriginSettings {
        match &self.snapshot {
            Some(snapshot) => &snapshot.config().origin,
            None => &self.gateway.config().site().origin,
        }
    }

    /// Answers from a copy.
    pub(super) fn serve(&mut self, served: Served, origin: Option<OriginReport>, now: Instant) {
        let call = &self.call;
        served.want(&call.request, call.peer.ip(), now);
        let (circuit, source, handling) = (served.circuit, served.source, served.handling);
        let copy_age = served.resident();
        let answer = served.answer(&call.request);
        let is_head = call.request.method == Method::HEAD;
        let body = match answer.content_length() {
            Some(length) if !is_head => Body::Length(length),
            Some(_) | None => Body::Empty,
        };
        let mut sent = 0;
        if !is_head {
            for piece in answer.pieces().iter().cloned() {
                sent += piece.len() as u64;
                self.outbox.put_data(Data {
                    is_shared: piece.len() > COPY_BYTES_SMALL,
                    bytes: piece,
                });
            }
        }
        let status = answer.status();
        let shape = answer.into_shape();
        // Allocated first, so that it is built in its place.
        let head = Box::new_uninit();
        self.outbox.put_head(Box::write(
            head,
            Head {
                body,
                may_keep: call.is_read,
                request_id: call.request_id.clone(),
                status,
                made_from: MadeFrom::Copy(served.into_answer(shape)),
            },
        ));
        let outcome = Outcome {
            circuit,
            copy_age: Some(copy_age),
            end: End::Complete,
            handling: Some(handling),
            origin,
            sent,
            source,
            status: Some(status),
        };
        self.complete(outcome, now);
    }

    /// Answers what the origin failed on.
    pub(super) fn answer_failure(
        &mut self,
        answer: Result<Served, Refusal>,
        origin: OriginReport,
        now: Instant,
    ) {
        match answer {
            Ok(served) => self.serve(served, Some(origin), now),
            Err(refusal) => self.refuse(&refusal, Some(origin), now),
        }
    }

    /// Whether a request may be asked again after such an end of its connection.
    ///
    /// RFC 9110 §9.2.2: a safe request may be repeated when an idle connection turns out to have
    /// been closed before any byte of a response. Others are sent on a `reused` connection only
    /// where that is the client's own, and fail with it: the origin may have acted on them. What no
    /// client waits for is not worth a second decision where the circuits have changed.
    pub(super) fn may_repeat(
        &mut self,
        reused: bool,
        failure: Failure,
        fetch: &Fetch,
        now: Instant,
    ) -> bool {
        let call = &mut self.call;
        // Content that has passed is not here any more.
        let is_repeatable = call.request.method.is_safe() && !call.has_content();
        let stale = failure == Failure::Reset
            && (reused && is_repeatable || is_planted(Plant::RepeatedWrite));
        let repeats = stale && !call.replayed && (self.is_joined || fetch.is_allowed(now));
        call.replayed |= repeats;
        repeats
    }

    /// The fetch ended without a response head; where the request waits for a copy yet, this is its ticket.
    pub(super) fn fail(&mut self, fetch: Fetch, failure: Failure, now: Instant) -> Option<Ticket> {
        let report = self.call.origin_report(Some(failure), now);
        if !self.is_joined {
            // What it is to the site matters all the same.
            let _ = fetch.on_failure(failure, now);
            self.report_renewal(End::Complete, report, now);
            return None;
        }
        self.unanswered(fetch.on_unanswered(failure, now), report, now)
    }

    /// Answers what the origin has not, or lets the request wait.
    fn unanswered(
        &mut self,
        unreached: Unanswered,
        origin: OriginReport,
        now: Instant,
    ) -> Option<Ticket> {
        match unreached {
            Unanswered::Refuse(refusal) => self.refuse(&refusal, Some(origin), now),
            Unanswered::Serve(served) => self.serve(served, Some(origin), now),
            Unanswered::Wait(delayed) => {
                self.failed = Some(Box::new(origin));
                return Some((*delayed).into());
            }
        }
        None
    }

    /// Refuses because the circuit is open, the origin is full or cannot be asked, or it failed on
    /// this request or another one for the same.
    pub(super) fn refuse(&mut self, refusal: &Refusal, origin: Option<OriginReport>, now: Instant) {
        let site = self.gateway.site();
        let says = site.says(refusal, now);
        let own_path = &self.gateway.client().own_path;
        let offers = || site.offers_public(&self.call.request, self.call.address(), now);
        let is_offered = refusal.is_outage() && !own_path.is_empty() && offers();
        let public = is_offered.then(|| choice::target(own_path, &self.call.request));
        let place = refusal.place();
        let cookie = place.map(|place| {
            let scheme = self.call.view.scheme();
            own_cookies::given(ROOM, &place.claim, ROOM_LASTS_SECS, scheme)
        });
        let told = Told {
            circuit: refusal.circuit,
            cookie: cookie.as_deref(),
            goes_to: None,
            place: place.as_ref(),
            public: public.as_deref(),
            handling: Some(refusal.handling),
            may_keep: self.call.is_read,
            message: says.as_deref(),
            request_id: self.call.request_id.clone(),
            retry_after_secs: refusal.retry_after_secs(),
            status: refusal.status(),
            text: refusal.text(),
        };
        self.answer_locally(&told, origin, now);
    }

    /// Refuses a request whose fault is the client's.
    pub(super) fn refuse_call(
        &mut self,
        status: StatusCode,
        text: &str,
        origin: Option<OriginReport>,
        now: Instant,
    ) {
        let told = Told {
            circuit: self.gateway.site().circuit(now),
            cookie: None,
            goes_to: None,
            place: None,
            public: None,
            handling: None,
            may_keep: false,
            message: None,
            request_id: self.call.request_id.clone(),
            retry_after_secs: None,
            status,
            text,
        };
        self.answer_locally(&told, origin, now);
    }

    /// Answers whoever chooses to see what strangers are sent.
    pub(super) fn answer_choice(&mut self, choice: &Choice, now: Instant) {
        match choice {
            Choice::Made { page, cookie } => {
                let told = Told {
                    circuit: self.gateway.site().circuit(now),
                    cookie: Some(cookie),
                    goes_to: Some(page),
                    place: None,
                    public: None,
                    handling: None,
                    may_keep: self.call.is_read,
                    message: None,
                    request_id: self.call.request_id.clone(),
                    retry_after_secs: None,
                    status: StatusCode::SEE_OTHER,
                    text: "the public version is shown while the application does not answer",
                };
                self.answer_locally(&told, None, now);
            }
            Choice::Refused(status, text) => self.refuse_call(*status, text, None, now),
        }
    }

    pub(super) fn answer_locally(
        &mut self,
        told: &Told<'_>,
        origin: Option<OriginReport>,
        now: Instant,
    ) {
        let is_head = self.call.request.method == Method::HEAD;
        let (head, content) = told.answer(
            &self.gateway.client().own_pages,
            Some(&self.call.request),
            self.gateway.site().wall_clock(now),
        );
        let sent = if is_head { 0 } else { content.len() as u64 };
        self.outbox.put_head(Box::new(head));
        if !is_head {
            self.outbox.put_data(Data::from(content));
        }
        let outcome = Outcome {
            circuit: told.circuit,
            copy_age: None,
            end: End::Complete,
            handling: told.handling,
            origin,
            sent,
            source: Source::NoCache,
            status: Some(told.status),
        };
        self.complete(outcome, now);
    }

    fn complete(&mut self, outcome: Outcome, now: Instant) {
        self.outbox.put_end(Fields::default(), self.call.is_read);
        self.report = Some(self.call.report(outcome, now));
    }

    /// Files the report of a response that was passed on.
    pub(super) fn report_forwarded(
        &mut self,
        forward: &Forward,
        origin: OriginReport,
        end: End,
        now: Instant,
    ) {
        let outcome = Outcome {
            circuit: forward.labels.0,
            copy_age: None,
            end,
            handling: Some(forward.labels.1),
            origin: Some(origin),
            sent: forward.sent,
            source: Source::Backend,
            status: Some(forward.status),
        };
        self.report = Some(self.call.report(outcome, now));
    }

    /// Files the report of an exchange for which nobody waits.
    pub(super) fn report_renewal(&mut self, end: End, origin: OriginReport, now: Instant) {
        let outcome = Outcome {
            circuit: self.gateway.site().circuit(now),
            copy_age: None,
            end,
            handling: None,
            origin: Some(origin),
            sent: 0,
            source: Source::Refresh,
            status: None,
        };
        let mut report = self.call.report(outcome, now);
        report.bytes_received = 0;
        self.report = Some(report);
    }

    /// Whether the client takes no more now.
    pub(super) fn is_client_full(&self) -> bool {
        self.room != Room::Free
    }
}
