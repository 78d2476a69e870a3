//! Owns the policy around one call that gives an `http` response, whoever answers it.
//! Never knows who that is: a handler in this process, or an application behind a proxy.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant as Clock;

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use retter_core::message::{FieldsBuilder, RequestHead, ResponseHead};
use retter_core::policy::{Decision, Fetch, Retter, Verdict};
use retter_core::report::Failure;
use retter_core::rules::forwarding;
use retter_core::time::Instant;

/// The policy and the clock that it is told.
#[derive(Clone)]
pub struct Guard {
    epoch: Clock,
    /// Whether responses come from another program, over a connection of their own.
    is_gateway: bool,
    retter: Arc<Retter>,
}

impl Guard {
    /// Takes the policy over; its time begins now.
    #[must_use]
    pub fn new(retter: Arc<Retter>) -> Self {
        Self {
            epoch: Clock::now(),
            is_gateway: false,
            retter,
        }
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

    /// The policy.
    #[must_use]
    pub fn retter(&self) -> &Arc<Retter> {
        &self.retter
    }

    /// Answers `request` by `ask`, or from a copy, or with an honest error. `ask` gets `fields`,
    /// those to send, with the conditions of the copy in them.
    pub async fn answer<B, F>(
        &self,
        request: Arc<RequestHead>,
        mut fields: HeaderMap,
        ask: impl FnOnce(HeaderMap) -> F,
    ) -> Response<GuardedBody<B>>
    where
        B: Body<Data = Bytes>,
        F: Future<Output = Result<Response<B>, Failure>>,
    {
        let decision = match self.retter.decide(&request, self.now()) {
            Decision::Wait(ticket) => {
                let left = ticket.deadline().saturating_since(self.now());
                ticket
                    .decided(|| self.now(), tokio::time::sleep(left))
                    .await
            }
            other @ (Decision::Fetch(_) | Decision::Refuse(_) | Decision::Serve(_)) => other,
        };
        let mut fetch = match decision {
            Decision::Fetch(fetch) => fetch,
            Decision::Refuse(refusal) => return refusal.to_http().map(GuardedBody::own),
            Decision::Serve(served) => return served.to_http(&request).map(GuardedBody::own),
            Decision::Wait(_) => unreachable!("a ticket does not lead to another"),
        };
        fetch.condition(&mut fields);
        // Dropped while it waits, as the client left, the fetch counts for nothing.
        let mut response = match ask(fields).await {
            Ok(response) => response,
            Err(failure) => {
                let answer = fetch.answer_failure(failure, self.now());
                return answer.map(GuardedBody::own);
            }
        };
        let head = ResponseHead::from_http(&response);
        match fetch.on_head(&head, self.now()) {
            Verdict::Forward => {
                if self.is_gateway {
                    *response.headers_mut() = end_to_end(&head);
                }
                fetch.label(response.headers_mut());
                response.map(|body| GuardedBody::passing(body, fetch, self.clone()))
            }
            Verdict::Serve(served) => served.to_http(&request).map(GuardedBody::own),
        }
    }

    fn now(&self) -> Instant {
        Instant::from_epoch(self.epoch.elapsed())
    }
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
    Passing(Passing<B>),
}

#[derive(Debug)]
struct Passing<B> {
    body: Pin<Box<B>>,
    /// `None` once the policy knows how it went. Dropped with the body, it counts for nothing.
    fetch: Option<Box<Fetch>>,
    guard: Guard,
}

impl<B: Body<Data = Bytes>> GuardedBody<B> {
    fn own(bytes: Bytes) -> Self {
        Self(Kind::Own(Full::new(bytes)))
    }

    fn passing(body: B, fetch: Box<Fetch>, guard: Guard) -> Self {
        let mut passing = Passing {
            body: Box::pin(body),
            fetch: Some(fetch),
            guard,
        };
        passing.end_if_complete();
        Self(Kind::Passing(passing))
    }
}

impl<B: Body<Data = Bytes>> Passing<B> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(self.body.as_mut().poll_frame(cx));
        match &frame {
            None => self.end(),
            Some(Err(_)) => {
                if let Some(fetch) = self.fetch.take() {
                    // The head is out: too late to rescue, but the outcome counts.
                    drop(fetch.on_failure(Failure::Truncated, self.guard.now()));
                }
            }
            Some(Ok(frame)) => {
                if let (Some(data), Some(fetch)) = (frame.data_ref(), &mut self.fetch) {
                    fetch.on_data(data, self.guard.now());
                }
                self.end_if_complete();
            }
        }
        Poll::Ready(frame)
    }

    /// A server does not poll again when it can know that nothing comes.
    fn end_if_complete(&mut self) {
        if self.body.is_end_stream() {
            self.end();
        }
    }

    fn end(&mut self) {
        if let Some(fetch) = self.fetch.take() {
            fetch.on_end(self.guard.now());
        }
    }
}

impl<B: Body<Data = Bytes>> Body for GuardedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
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
