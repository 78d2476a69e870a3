//! Owns the policy around one call that gives an `http` response, whoever answers it.
//! Never knows who that is: a handler in this process, or an application behind a proxy.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use retter_core::message::{FieldsBuilder, RequestHead, ResponseHead};
use retter_core::report::Failure;
use retter_core::rules::forwarding;
use retter_core::time::Instant;
use retter_core::{Config, Decision, Passing, Ruling, Site, Verdict};
use tokio::time::{Instant as Clock, Sleep, sleep, timeout};

/// Why there is no response.
#[derive(Clone, Copy, Debug)]
pub enum NoAnswer {
    /// Whoever should have answered failed.
    Failed(Failure),
    /// Nobody was asked, as sockets, ports or memory are lacking here.
    Unasked,
}

/// A site and the clock that it is told.
#[derive(Clone)]
pub struct Guard {
    config: Arc<Config>,
    epoch: Clock,
    /// Whether responses come from another program, over a connection of their own.
    is_gateway: bool,
    site: Site,
}

impl Guard {
    /// A site by these settings; its time begins now.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let guard = Self {
            epoch: Clock::now(),
            is_gateway: false,
            site: Site::new(&config, 1, Instant::ZERO),
            config: Arc::new(config),
        };
        guard.now();
        guard
    }

    /// For responses that come from another program: what belongs to the connection to it is
    /// taken out of them (RFC 9110 §7.6).
    #[must_use]
    pub fn as_gateway(self) -> Self {
        Self {
            is_gateway: true,
            ..self
        }
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The site.
    #[must_use]
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// Answers `request` of `peer` by `ask`, or from a copy, or with an honest error. `ask` gets
    /// `fields`, those to send, with the conditions of the copy in them.
    pub async fn answer<B, F>(
        &self,
        request: Arc<RequestHead>,
        peer: Option<IpAddr>,
        mut fields: HeaderMap,
        ask: impl FnOnce(HeaderMap) -> F,
    ) -> Response<GuardedBody<B>>
    where
        B: Body<Data = Bytes>,
        F: Future<Output = Result<Response<B>, NoAnswer>>,
    {
        let decision = match self.site.decide(&request, self.now()) {
            Ruling::Now(decision) => decision,
            Ruling::Wait(ticket) => {
                let until = |at: Instant| sleep(at.saturating_since(self.now()));
                ticket.decided(|| self.now(), until).await
            }
        };
        let mut fetch = match decision {
            Decision::Fetch(fetch) => fetch,
            Decision::Refuse(refusal) => return refusal.to_http().map(GuardedBody::own),
            Decision::Serve(served) => return served.to_http(&request).map(GuardedBody::own),
        };
        if let Some(validators) = fetch.validators() {
            validators.condition(&mut fields);
        }
        if let Some(peer) = peer {
            fetch.on_behalf_of(peer);
        }
        if !has_content(&request) {
            // What streams is not there as a whole yet, and nobody here knows when it is.
            fetch.on_sent(self.now());
        }
        // Dropped while it waits, as the client left, the fetch counts for nothing.
        let mut asked = pin!(ask(fields));
        let asked = loop {
            if let Some(asked) = self.until(fetch.poll_timeout(), asked.as_mut()).await {
                break asked;
            }
            // Nothing goes on here without a client: the late answer renews no copy.
            if let Some(slow) = fetch.handle_timeout(self.now()) {
                return slow.served.to_http(&request).map(GuardedBody::own);
            }
        };
        let mut response = match asked {
            Ok(response) => response,
            Err(why) => {
                let answer = match why {
                    NoAnswer::Failed(failure) => fetch.on_failure(failure, self.now()),
                    NoAnswer::Unasked => fetch.unasked(self.now()),
                };
                let response = match answer {
                    Ok(served) => served.to_http(&request),
                    Err(refusal) => refusal.to_http(),
                };
                return response.map(GuardedBody::own);
            }
        };
        let head = ResponseHead::from_http(&response);
        match fetch.on_head(&head, self.now()) {
            Verdict::Forward(holding) => {
                if self.is_gateway {
                    *response.headers_mut() = end_to_end(&head);
                }
                let passing = holding.pass_on();
                passing.label(response.headers_mut());
                response.map(|body| GuardedBody::passing(body, passing, self.clone()))
            }
            Verdict::Serve(served) => served.to_http(&request).map(GuardedBody::own),
        }
    }

    /// The time, and by the way the wall clock for the policy.
    fn now(&self) -> Instant {
        let now = Instant::from_epoch(self.epoch.elapsed());
        let unix = SystemTime::now().duration_since(UNIX_EPOCH);
        self.site.set_wall_clock(unix.unwrap_or_default(), now);
        now
    }

    /// This time on the runtime's clock.
    fn at(&self, at: Instant) -> Clock {
        self.epoch + at.saturating_since(Instant::ZERO)
    }

    /// What `future` gives before `at`, if that is ever.
    async fn until<F: Future>(&self, at: Option<Instant>, future: F) -> Option<F::Output> {
        match at {
            Some(at) => timeout(at.saturating_since(self.now()), future).await.ok(),
            None => Some(future.await),
        }
    }
}

/// RFC 9112 §6: either field says that content follows.
fn has_content(request: &RequestHead) -> bool {
    let length = request.fields.get("content-length");
    request.fields.get("transfer-encoding").is_some() || length.is_some_and(|length| length != b"0")
}

fn end_to_end(head: &ResponseHead) -> HeaderMap {
    let mut fields = FieldsBuilder::default();
    forwarding::forward_response(head, |line| {
        fields.push_line(line);
    });
    if let Some(length) = head.fields.get("content-length") {
        fields.push("content-length", length);
    }
    fields.build().to_header_map()
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

/// A body that the policy looks at while it passes, or one that it made.
#[derive(Debug)]
pub struct GuardedBody<B>(Kind<B>);

#[derive(Debug)]
enum Kind<B> {
    Own(Full<Bytes>),
    Passing(Watched<B>),
}

#[derive(Debug)]
struct Watched<B> {
    body: Pin<Box<B>>,
    /// `None` once the policy knows how it went. Dropped with the body, it counts for nothing.
    passing: Option<Passing>,
    guard: Guard,
    /// While it is waited for: until when, and what wakes whoever waits.
    patience: Option<(Instant, Pin<Box<Sleep>>)>,
}

/// Why a body broke off.
type Broken = Box<dyn Error + Send + Sync>;

impl<B: Body<Data = Bytes>> GuardedBody<B> {
    fn own(bytes: Bytes) -> Self {
        Self(Kind::Own(Full::new(bytes)))
    }

    fn passing(body: B, passing: Passing, guard: Guard) -> Self {
        let mut watched = Watched {
            body: Box::pin(body),
            passing: Some(passing),
            guard,
            patience: None,
        };
        watched.end_if_complete();
        Self(Kind::Passing(watched))
    }
}

impl<B: Body<Data = Bytes>> Watched<B> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>>
    where
        B::Error: Into<Broken>,
    {
        let Poll::Ready(frame) = self.body.as_mut().poll_frame(cx) else {
            return self.poll_late(cx);
        };
        self.patience = None;
        match &frame {
            None => self.end(),
            Some(Err(_)) => {
                if let Some(passing) = self.passing.take() {
                    passing.on_broken_off(Failure::Truncated, self.guard.now());
                }
            }
            Some(Ok(frame)) => {
                if let (Some(data), Some(passing)) = (frame.data_ref(), &mut self.passing) {
                    passing.on_data(data, self.guard.now());
                }
                self.end_if_complete();
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    /// A body that does not go on is given up in the end; before that the policy may give its slot to
    /// others.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let now = self.guard.now();
        let limit = self.guard.config.site().origin.body_timeout;
        let patience = || (now + limit, Box::pin(sleep(limit)));
        let (until, sleep) = self.patience.get_or_insert_with(patience);
        loop {
            let due = self.passing.as_ref().and_then(Passing::poll_timeout);
            let next = due.map_or(*until, |due| due.min(*until));
            sleep.as_mut().reset(self.guard.at(next));
            ready!(sleep.as_mut().poll(cx));
            let now = self.guard.now();
            if now >= *until {
                break;
            }
            if let Some(passing) = &mut self.passing {
                passing.handle_timeout(now);
            }
        }
        self.patience = None;
        if let Some(passing) = self.passing.take() {
            passing.on_broken_off(Failure::Timeout, self.guard.now());
        }
        Poll::Ready(Some(Err("the body did not go on in time".into())))
    }

    /// A server does not poll again when it can know that nothing comes.
    fn end_if_complete(&mut self) {
        if self.body.is_end_stream() {
            self.end();
        }
    }

    fn end(&mut self) {
        if let Some(passing) = self.passing.take() {
            passing.on_end(self.guard.now());
        }
    }
}

impl<B: Body<Data = Bytes>> Body for GuardedBody<B>
where
    B::Error: Into<Broken>,
{
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut self.0 {
            Kind::Own(bytes) => Pin::new(bytes)
                .poll_frame(cx)
                .map_err(|never| match never {}),
            Kind::Passing(passing) => passing.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Own(bytes) => bytes.is_end_stream(),
            Kind::Passing(passing) => passing.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Own(bytes) => bytes.size_hint(),
            Kind::Passing(passing) => passing.body.size_hint(),
        }
    }
}
