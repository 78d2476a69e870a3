//! Owns the session without a client: it asks the origin, feeds the policy, and throws the answer
//! away.
//! Never decides what is asked for, or when.

use std::net::SocketAddr;
use std::sync::Arc;

use super::bound::Owner;
use super::exchange::{Call, Connecting, Download, Draining, Exchange, Relay};
use super::{Action, Life, Session};
use crate::h1::Framing;
use crate::limits::DRAIN_BYTES_MAX;
use crate::policy::{Refresh, Retter};
use crate::report::{End, OriginReport, Report, Source};
use crate::rules::forwarded::View;
use crate::time::Instant;

impl Session {
    /// Starts a session for which no client waits, to renew a copy or to probe a circuit. Nothing
    /// is read from or written to [`Side::Client`](super::Side::Client). It ends with its
    /// exchange, and at once when told to drain.
    #[must_use]
    pub fn background(retter: Arc<Retter>, refresh: Refresh, now: Instant) -> Self {
        let Refresh {
            fetch,
            peer,
            request,
        } = refresh;
        let trusted = &retter.config().client().trusted_proxies;
        // Of what the client sent all is there by which its proxies told.
        let view = View::of(&request, peer, trusted);
        let mut session = Self::new(retter, SocketAddr::new(peer, 0), now);
        session.life = Life::Background;
        session.actions.push_back(Action::Connect { fresh: false });
        let call = Call {
            expects: false,
            framing: Framing::Empty,
            keep: false,
            origin_bytes: 0,
            origin_head: None,
            origin_since: now,
            owner: Owner::Anyone,
            read: true,
            received: 0,
            replayed: false,
            request,
            started: now,
            streams: false,
            upgrade: false,
            view,
        };
        session.exchange = Exchange::Connecting(Box::new(Connecting {
            bound: None,
            call,
            fetch,
            since: now,
        }));
        session
    }

    /// The response takes longer than it should: the client gets the copy now, if there is one,
    /// and the exchange goes on without it where it can renew that copy.
    pub(super) fn origin_slow(&mut self, now: Instant) {
        let Exchange::Relaying(relay) = &mut self.exchange else {
            debug_assert!(false, "only a response can be slow");
            return;
        };
        let Some(fetch) = &mut relay.fetch else {
            return;
        };
        let Some(served) = fetch.on_slow(now) else {
            return;
        };
        let goes_on = fetch.is_renewal();
        if !goes_on {
            self.close_origin();
        }
        let Exchange::Relaying(mut relay) = std::mem::take(&mut self.exchange) else {
            return;
        };
        let call = relay.call.clone();
        // What goes on reports itself.
        let report = (!goes_on).then(|| relay.call.origin_report(None, now));
        if goes_on {
            if matches!(relay.download, Download::Holding(_)) {
                relay.download = Download::Discarding;
            }
            relay.call.keep = false;
            let mut session = Self::new(Arc::clone(&self.retter), self.peer, now);
            session.life = Life::Background;
            session.exchange = Exchange::Relaying(relay);
            self.detached = Some(Box::new(session));
            self.actions.push_back(Action::Detach);
        }
        self.serve(call, &served, report, now);
    }

    /// Whether there is no client.
    pub(super) fn is_background(&self) -> bool {
        self.life == Life::Background
    }

    /// The head is in: the body is collected, or passed over where nothing is to be kept of it.
    pub(super) fn start_discarding(&mut self, now: Instant) {
        if let Exchange::Relaying(relay) = &mut self.exchange {
            relay.download = Download::Discarding;
            self.pass_over(now);
        }
    }

    /// Leaves a response of which nothing is to be kept.
    pub(super) fn pass_over(&mut self, now: Instant) {
        let kept = match &self.exchange {
            Exchange::Relaying(relay) => relay.fetch.as_ref().is_some_and(|f| f.is_collecting()),
            Exchange::Connecting(_)
            | Exchange::Draining(_)
            | Exchange::None
            | Exchange::Receiving(_)
            | Exchange::Tunnel(_)
            | Exchange::Waiting(_) => true,
        };
        if kept {
            return;
        }
        let Exchange::Relaying(relay) = std::mem::take(&mut self.exchange) else {
            return;
        };
        let report = relay.call.origin_report(None, now);
        let Relay {
            call,
            fetch,
            origin,
            ..
        } = *relay;
        let is_short = origin.conn.framing() != Framing::UntilClose;
        if let Some(fetch) = fetch {
            fetch.on_end(now);
        }
        self.report_refresh(call, End::Complete, report, now);
        self.exchange = Exchange::Draining(Box::new(Draining {
            left: DRAIN_BYTES_MAX,
            origin,
            since: now,
        }));
        if !is_short {
            self.stop_draining();
        }
    }

    /// Ends at once: there is nobody whom it would serve.
    pub(super) fn give_up_refresh(&mut self, now: Instant) {
        self.close_origin();
        let call = match std::mem::take(&mut self.exchange) {
            Exchange::Connecting(connecting) => connecting.call,
            Exchange::Relaying(relay) => relay.call,
            Exchange::Draining(_)
            | Exchange::None
            | Exchange::Receiving(_)
            | Exchange::Tunnel(_)
            | Exchange::Waiting(_) => return,
        };
        let report = call.origin_report(None, now);
        self.report_refresh(call, End::ClientLeft, report, now);
    }

    /// Files the report of a refresh.
    pub(super) fn report_refresh(
        &mut self,
        call: Call,
        end: End,
        origin: OriginReport,
        now: Instant,
    ) {
        let report = Report {
            bytes_received: 0,
            bytes_sent: 0,
            circuit: self.retter.circuit(now),
            claims_forwarding: call.view.claims_forwarding(),
            client: call.view.client(),
            end,
            ended: now,
            origin: Some(origin),
            peer: self.peer,
            request: Some(call.request),
            source: Source::Refresh,
            started: call.started,
            status: None,
        };
        self.file(report, now);
    }
}
