//! Owns a connection after 101: bytes both ways, half-closes passed on (RFC 9110 §7.8).
//! Never looks into the bytes.

use http::StatusCode;

use super::exchange::{Exchange, Tunnel};
use super::timer::client_write;
use super::{Action, Life, Session, Side};
use crate::report::{End, Report, Source};
use crate::time::Instant;

impl Session {
    /// Moves what has arrived on either side to the other.
    pub(super) fn pump_tunnel(&mut self, now: Instant) -> bool {
        let terms = client_write(self.retter.config().client());
        let origin_has_room = self.check_origin_room(now);
        let client_has_room = self.check_client_room(now);
        let Exchange::Tunnel(tunnel) = &mut self.exchange else {
            return false;
        };
        let Tunnel {
            call,
            is_deaf,
            origin,
            sent,
            shut_client,
            shut_origin,
            ..
        } = &mut **tunnel;
        let client = &mut self.client;
        let mut progress = false;
        if origin_has_room {
            let bytes = client.conn.take_buffered();
            call.received = call.received.saturating_add(bytes.len() as u64);
            progress |= !bytes.is_empty();
            if !*is_deaf {
                origin.out.push(bytes);
            }
        }
        if client_has_room {
            let bytes = origin.conn.take_buffered();
            *sent = sent.saturating_add(bytes.len() as u64);
            progress |= !bytes.is_empty();
            if client.out.is_empty() {
                client.write_pace.resume(terms, now);
            }
            client.out.push(bytes);
        }
        if client.conn.is_eof() && origin.out.is_empty() && !*shut_origin {
            *shut_origin = true;
            self.actions.push_back(Action::Shutdown(Side::Origin));
        }
        // Nobody is left who would take what the client says.
        *shut_origin |= *is_deaf && origin.conn.is_eof();
        if origin.conn.is_eof() && client.out.is_empty() && !*shut_client {
            *shut_client = true;
            self.actions.push_back(Action::Shutdown(Side::Client));
        }
        if *shut_client && *shut_origin {
            self.tunnel_ended(now);
            return false;
        }
        progress
    }

    /// Ends the tunnel; what the client has not yet got still goes out.
    pub(super) fn tunnel_ended(&mut self, now: Instant) {
        self.close_origin();
        if let Exchange::Tunnel(tunnel) = std::mem::take(&mut self.exchange) {
            self.report_tunnel(*tunnel, now);
        }
        if self.life == Life::Open {
            self.life = Life::Closing(self.last());
        }
    }

    pub(super) fn report_tunnel(&mut self, tunnel: Tunnel, now: Instant) {
        let Tunnel {
            call,
            circuit,
            head_at,
            sent,
            ..
        } = tunnel;
        let status = Some(StatusCode::SWITCHING_PROTOCOLS);
        let origin = call.origin_report(None, head_at);
        let report = Report {
            bytes_received: call.received,
            bytes_sent: sent,
            circuit,
            claims_forwarding: call.view.claims_forwarding(),
            client: call.view.client(),
            end: End::Tunnel,
            ended: now,
            origin: Some(origin),
            peer: self.peer,
            request: Some(call.request),
            source: Source::Backend,
            started: call.started,
            status,
        };
        self.file(report, now);
    }
}
