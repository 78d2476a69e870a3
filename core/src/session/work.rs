//! Owns [`Work`]: what a session does for its client at the moment.
//! Never moves a byte.

use std::sync::Arc;

use http::StatusCode;

use crate::client::Stream;
use crate::client::h1::{self, Client};
use crate::config::ClientSettings;
use crate::exchange::Cut;
use crate::exchange::{Call, Choice, Content, Exchange};
use crate::gateway::Gateway;
use crate::time::Instant;

use super::signal::Standing;
use super::timer::Timer;

/// What a session does for its client.
#[derive(Debug, Default)]
pub(super) enum Work {
    /// Nothing: it waits for a request.
    #[default]
    None,
    /// A request's content is coming: it is for an exchange when it is here as a whole, or as much
    /// of it as is held.
    Receiving(Box<Call>),
    /// A request is being answered, or the rest of its answer thrown away.
    Running(Box<Exchange>),
}

impl Work {
    /// What a request is to begin with.
    pub(super) fn on(gateway: &Arc<Gateway>, call: Call, now: Instant) -> Self {
        if let Some(fault) = call.fault() {
            return Self::Running(Exchange::refused(
                gateway,
                call,
                fault.status,
                fault.text,
                now,
            ));
        }
        if let Some(choice) = Choice::of(&call, &gateway.client().own_path) {
            return Self::Running(Exchange::chosen(gateway, call, &choice, now));
        }
        match call.waits_for_content() {
            true => Self::Receiving(Box::new(call)),
            false => Self::Running(Exchange::begin(gateway, call, now)),
        }
    }

    /// Enough of the content is here.
    pub(super) fn received(self, gateway: &Arc<Gateway>, now: Instant) -> Self {
        match self {
            Self::Receiving(call) => Self::Running(Exchange::begin(gateway, *call, now)),
            other @ (Self::None | Self::Running(_)) => other,
        }
    }

    /// The rest of the content will not come.
    pub(super) fn cut(
        self,
        gateway: &Arc<Gateway>,
        status: StatusCode,
        text: &'static str,
        now: Instant,
    ) -> Self {
        match self {
            Self::None => Self::None,
            Self::Receiving(call) => {
                Self::Running(Exchange::refused(gateway, *call, status, text, now))
            }
            Self::Running(mut exchange) => {
                let cut = Cut {
                    broken: None,
                    status,
                    text: text.into(),
                };
                exchange.handle_content(Content::Cut(cut), now);
                Self::Running(exchange)
            }
        }
    }

    pub(super) fn exchange(&self) -> Option<&Exchange> {
        match self {
            Self::None | Self::Receiving(_) => None,
            Self::Running(exchange) => Some(exchange),
        }
    }

    pub(super) fn exchange_mut(&mut self) -> Option<&mut Exchange> {
        match self {
            Self::None | Self::Receiving(_) => None,
            Self::Running(exchange) => Some(exchange),
        }
    }

    /// The exchange whose connection to the origin stands, or is being made.
    pub(super) fn connected(&self) -> Option<&Exchange> {
        self.exchange().filter(|exchange| exchange.has_connection())
    }

    pub(super) fn connected_mut(&mut self) -> Option<&mut Exchange> {
        self.exchange_mut()
            .filter(|exchange| exchange.has_connection())
    }

    pub(super) const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Whether what the client sends has to wait until the origin has taken more.
    pub(super) fn is_full(&self) -> bool {
        self.exchange().is_some_and(Exchange::is_full)
    }

    /// Whether the body of the origin's answer is being passed on.
    pub(super) fn is_forwarding(&self) -> bool {
        self.exchange().is_some_and(Exchange::is_forwarding)
    }

    /// Whether more of a request is due, of which nothing is here.
    pub(super) fn owes_content(&self, client: &Client) -> bool {
        let is_due = match self {
            Self::None => false,
            Self::Receiving(call) => !call.is_read,
            Self::Running(exchange) => exchange.wants_content(),
        };
        is_due && !client.has_buffered()
    }

    /// Whether a client is answered after it closed its sending half: its request is at the origin
    /// (RFC 9112 §9.6), it said that it would send no more, it sent more requests before, or it has
    /// earlier answers to take.
    pub(super) fn waits_half_closed(&self, client: &Client) -> bool {
        let is_given_up = match self {
            Self::None => false,
            Self::Receiving(_) => true,
            Self::Running(exchange) => exchange.is_given_up_by_end(),
        };
        let has_earlier = client.queued() > 0 && !self.is_forwarding();
        !is_given_up || !client.wants_keep() || client.has_buffered() || has_earlier
    }

    /// Bytes in the queues toward the client, and toward the origin.
    pub(super) fn held(&self, client: &Client) -> [usize; 2] {
        let held = self.exchange().map(Exchange::held);
        let (for_client, for_origin) = held.unwrap_or_default();
        [client.held() + for_client, for_origin]
    }

    /// Whether a client could give its place to another.
    pub(super) fn standing(&self, client: &Client) -> Standing {
        if client.queued() > 0 {
            return Standing::Owing(client.slow_from());
        }
        if !client.is_open() {
            return Standing::Busy;
        }
        match (self, client.head_since()) {
            (Self::None, None) if client.sent() == 0 => Standing::Reading(client.idle_since()),
            (Self::None, None) => Standing::Idle(client.idle_since()),
            (Self::None, Some(since)) => Standing::Reading(since),
            (Self::Receiving(call), _) => Standing::Reading(call.started),
            (Self::Running(exchange), _) => match exchange.content_due() {
                Some(least) => Standing::Owing(least.max(client.slow_from())),
                None => Standing::Busy,
            },
        }
    }

    /// The next deadline of the request and of its client.
    pub(super) fn next_deadline(
        &self,
        client: &Client,
        settings: &ClientSettings,
    ) -> Option<(Instant, Timer)> {
        let [write, life] = client.deadlines(self.is_none(), settings);
        let [own, content] = self.deadlines(client);
        let named = |(at, timer): (Instant, h1::Timer)| (at, Timer::Client(timer));
        let all = [write.map(named), life.map(named), own, content];
        // Of two at the same time, the first is meant.
        all.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// The deadlines of the request, and of the client that is to send the rest of it.
    fn deadlines(&self, client: &Client) -> [Option<(Instant, Timer)>; 2] {
        let content = |at: Instant| (at, Timer::Content);
        match self {
            Self::None => [None, None],
            Self::Receiving(_) => [None, Some(content(client.content_due()))],
            Self::Running(exchange) => {
                let own = exchange.poll_timeout();
                let least = exchange.content_due();
                [
                    own.map(|(at, timer)| (at, Timer::Call(exchange.call().id, timer))),
                    least.map(|least| content(least.max(client.content_due()))),
                ]
            }
        }
    }
}
