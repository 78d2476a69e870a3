//! Owns the origin connection that belongs to this client alone, because a user may be signed in
//! on it (NTLM, Negotiate).
//! Never decides which messages sign in: [`login`] does. Never gives such a connection away.

use super::exchange::{Call, Exchange};
use super::origin::OriginSide;
use super::{Action, Life, Session, Side};
use crate::canary::{Plant, is_planted};
use crate::h1::ClientConn;
use crate::message::Fields;
use crate::policy::Decision;
use crate::rules::forwarded::View;
use crate::rules::login;
use crate::time::Instant;

/// Whose an origin connection is, which decides what becomes of it after its exchange.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Owner {
    /// Nobody has signed in on it: it is parked for the next request of any client.
    Anyone,
    /// This session's client may have signed in on it: it is kept for that client's next request.
    Client,
    /// Somebody may have signed in on it, and nothing tells whose the next request will be: it is
    /// closed.
    Nobody,
}

/// What a client that signs in by connection has of the origin between its exchanges.
#[derive(Debug, Default)]
pub(super) enum Bound {
    /// A connection of its own was used before, and is in use now or closed. The client's requests
    /// still go past all copies, whether or not the origin has closed the connection meanwhile.
    Away,
    /// A connection of its own, on which nothing is expected.
    Idle(Box<ClientConn>),
    /// The client has not signed in by connection.
    #[default]
    Never,
}

impl Session {
    /// Says whose the connection will be that a request with these fields goes out on.
    pub(super) fn owner_for(&mut self, request: &Fields, view: &View) -> Owner {
        let signs_in = login::binds_connection(request);
        if !signs_in && matches!(self.bound, Bound::Never) {
            return Owner::Anyone;
        }
        if view.is_relayed() {
            // The proxy may have sent the login of one user and now the request of another.
            self.unbind();
            self.bound = Bound::Never;
            return if signs_in {
                Owner::Nobody
            } else {
                Owner::Anyone
            };
        }
        if matches!(self.bound, Bound::Never) {
            if !self.retter.has_logins_by_connection() {
                // Anybody can claim to sign in. Its answer may still show that it is so.
                return Owner::Nobody;
            }
            self.bound = Bound::Away;
        }
        Owner::Client
    }

    /// Takes note of the head of an answer, which may sign the client in.
    pub(super) fn note_login(&mut self, answer: &Fields) {
        let is_background = self.is_background();
        let Exchange::Relaying(relay) = &mut self.exchange else {
            return;
        };
        if relay.origin.owner == Owner::Client || !login::binds_connection(answer) {
            return;
        }
        if is_background || relay.call.view.is_relayed() {
            relay.origin.owner = Owner::Nobody;
        } else {
            relay.origin.owner = Owner::Client;
            self.bound = Bound::Away;
        }
    }

    /// Asks the policy about a request.
    pub(super) fn decide(&self, call: &Call, now: Instant) -> Decision {
        let is_bound = call.owner != Owner::Anyone;
        self.retter.decide_on(&call.request, is_bound, now)
    }

    /// Takes the client's own connection out, for its next exchange.
    pub(super) fn take_bound(&mut self) -> Option<Box<ClientConn>> {
        match std::mem::take(&mut self.bound) {
            Bound::Idle(conn) => {
                self.bound = Bound::Away;
                Some(conn)
            }
            other @ (Bound::Away | Bound::Never) => {
                self.bound = other;
                None
            }
        }
    }

    /// The client's own connection, if it is between two exchanges.
    pub(super) const fn bound(&self) -> Option<&ClientConn> {
        match &self.bound {
            Bound::Away | Bound::Never => None,
            Bound::Idle(conn) => Some(conn),
        }
    }

    /// Closes the client's own connection to the origin: it has ended or spoken without being
    /// asked, or the client is gone.
    pub(super) fn unbind(&mut self) {
        if self.take_bound().is_some() {
            self.actions.push_back(Action::Close(Side::Origin));
        }
    }

    /// Takes leave of an origin connection after an exchange: parks it, keeps it for this client,
    /// or closes it.
    ///
    /// Some origins leave content that they did not want in the connection, where it would be the
    /// next user's request (RFC 9112 §11.2): a connection that carried content is never parked. On
    /// the client's own connection it could only be that client's request.
    pub(super) fn leave_origin(&mut self, origin: OriginSide, is_sent: bool, had_content: bool) {
        let is_usable = is_sent && origin.out.is_empty() && origin.conn.is_reusable();
        let owner = match is_planted(Plant::ParkedLogin) {
            true => Owner::Anyone,
            false => origin.owner,
        };
        match owner {
            Owner::Anyone if is_usable && !had_content => self.actions.push_back(Action::Park),
            Owner::Client if is_usable && self.life == Life::Open => {
                let mut conn = origin.conn;
                conn.start_next_cycle();
                conn.release_if_idle();
                self.bound = Bound::Idle(Box::new(conn));
            }
            Owner::Anyone | Owner::Client | Owner::Nobody => {
                self.actions.push_back(Action::Close(Side::Origin));
            }
        }
    }
}
