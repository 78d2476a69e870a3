//! Owns the origin connection that belongs to this client alone, because a user may be signed in
//! on it (NTLM, Negotiate).
//! Never decides which messages sign in: [`login`] does. Never gives such a connection away.

use crate::exchange::{self, Owner};
use crate::h1::ClientConn;
use crate::message::Fields;
use crate::report::CallId;
use crate::rules::forwarded::View;
use crate::rules::login;

use super::{Action, Side};

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
    /// The next request is to go out on it, if it is still there.
    Resuming(Box<ClientConn>),
}

impl Bound {
    /// Says whose the connection will be that a request with these fields goes out on;
    /// `has_logins` tells whether the application has ever shown that it knows such logins. The
    /// connection kept so far has to be [closed](Self::close) where this is not the client.
    pub(super) fn owner_for(&mut self, request: &Fields, view: &View, has_logins: bool) -> Owner {
        let signs_in = login::binds_connection(request);
        let is_bound = !matches!(self, Self::Never);
        match (signs_in, is_bound) {
            (false, false) => Owner::Anyone,
            // The proxy may have sent the login of one user and now the request of another.
            (true, _) if view.is_relayed() => Owner::Nobody,
            (false, _) if view.is_relayed() => Owner::Anyone,
            // Anybody can claim to sign in. Its answer may still show that it is so.
            (true, false) if !has_logins => Owner::Nobody,
            (true, false) => {
                *self = Self::Away;
                Owner::Client
            }
            (_, true) => Owner::Client,
        }
    }

    /// The client has signed in, on a connection that is in use.
    pub(super) fn sign_in(&mut self) {
        if matches!(self, Self::Never) {
            *self = Self::Away;
        }
    }

    /// What has to be done with a socket for the exchange of `call`, if anything has. `keeps` tells
    /// whether the client may ask again.
    pub(super) fn action(
        &mut self,
        action: exchange::Action,
        call: CallId,
        keeps: bool,
    ) -> Option<Action> {
        Some(match action {
            exchange::Action::Close => Action::Close(Side::Origin),
            exchange::Action::Connect { .. } if self.resume() => Action::Resume(call),
            exchange::Action::Connect { fresh } => Action::Connect { call, fresh },
            exchange::Action::Detach => Action::Detach(call),
            exchange::Action::Keep(conn) if keeps => {
                self.keep(conn);
                return None;
            }
            exchange::Action::Keep(_) => Action::Close(Side::Origin),
            exchange::Action::Park => Action::Park(call),
            exchange::Action::Shutdown => Action::Shutdown(Side::Origin),
        })
    }

    /// Keeps the connection for the client's next request.
    fn keep(&mut self, conn: Box<ClientConn>) {
        debug_assert!(self.idle().is_none(), "one connection to the origin");
        *self = Self::Idle(conn);
    }

    /// Whether the client's next request can go out on a connection of its own: it is in use then.
    fn resume(&mut self) -> bool {
        match std::mem::replace(self, Self::Away) {
            Self::Idle(conn) => {
                *self = Self::Resuming(conn);
                true
            }
            other @ (Self::Away | Self::Never | Self::Resuming(_)) => {
                *self = other;
                false
            }
        }
    }

    /// What is known of the connection that is in use again.
    pub(super) fn take_resumed(&mut self) -> Option<Box<ClientConn>> {
        match std::mem::replace(self, Self::Away) {
            Self::Resuming(conn) => Some(conn),
            other @ (Self::Away | Self::Idle(_) | Self::Never) => {
                *self = other;
                None
            }
        }
    }

    /// Gives the idle connection up, if there is one; says whether there was.
    #[must_use]
    pub(super) fn close(&mut self) -> bool {
        let is_idle = self.idle().is_some();
        if is_idle {
            *self = Self::Away;
        }
        is_idle
    }

    /// The connection, if it is between two exchanges.
    pub(super) fn idle(&self) -> Option<&ClientConn> {
        match self {
            Self::Away | Self::Never | Self::Resuming(_) => None,
            Self::Idle(conn) => Some(conn),
        }
    }

    pub(super) fn idle_mut(&mut self) -> Option<&mut ClientConn> {
        match self {
            Self::Away | Self::Never | Self::Resuming(_) => None,
            Self::Idle(conn) => Some(conn),
        }
    }
}
