//! Owns how content and replies pass between a client and an exchange, one piece at a time.
//! Never knows what else either of them does, or which protocol the client speaks.

use crate::client::{Piece, Stream};
use crate::config::ClientSettings;
use crate::exchange::Cut;
use crate::exchange::{Content, Exchange, Intake};
use crate::gateway::Gateway;
use crate::message::{Fields, ProtocolError};
use crate::time::Instant;

/// What became of the attempt to pass content on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Passed {
    /// The client ended its stream inside it.
    BrokenOff,
    Nothing,
    /// None is wanted, so that nothing has to take turns with the answer.
    Shut,
    Some,
}

/// Hands the next piece of content to the exchange, if that takes it.
pub(super) fn pass_content(
    client: &mut impl Stream,
    exchange: &mut Exchange,
    settings: &ClientSettings,
    now: Instant,
) -> Passed {
    match exchange.poll_intake() {
        Intake::Full => return Passed::Nothing,
        Intake::Shut => return Passed::Shut,
        Intake::Open => {}
        Intake::Reopened => {
            client.resume_content(settings, now);
            exchange.handle_moved(now);
        }
    }
    if exchange.is_tunnel() {
        return pass_through(client, exchange, now);
    }
    let content = match client.poll_content() {
        Ok(Piece::Data(data)) => Content::Data(data),
        Ok(Piece::End(trailers)) => Content::End(trailers),
        Ok(Piece::Nothing) => return Passed::Nothing,
        Err(ProtocolError::UnexpectedEof) => return Passed::BrokenOff,
        Err(error) => Content::Cut(Cut {
            broken: Some(error),
            status: error.status_hint(),
            text: error.to_string().into(),
        }),
    };
    exchange.handle_content(content, now);
    Passed::Some
}

/// Hands over what the client sent through a tunnel.
fn pass_through(client: &mut impl Stream, exchange: &mut Exchange, now: Instant) -> Passed {
    let bytes = client.take_buffered();
    if !bytes.is_empty() {
        exchange.handle_content(Content::Data(bytes), now);
        return Passed::Some;
    }
    if client.is_eof() {
        exchange.handle_content(Content::End(Fields::default()), now);
    }
    Passed::Nothing
}

/// Pulls what is there of the answer; of one that takes turns with content, the next piece.
/// Whether there was something.
pub(super) fn pass_replies(
    client: &mut impl Stream,
    exchange: &mut Exchange,
    takes_turns: bool,
    gateway: &Gateway,
    now: Instant,
) -> bool {
    let settings = gateway.client();
    let mut is_some = false;
    loop {
        let queued = client.held();
        if exchange.is_streaming() {
            exchange.handle_room(gateway.reserve().admits(queued), now);
        }
        exchange.handle_queued(queued);
        let Some(reply) = exchange.poll_reply(now) else {
            break;
        };
        client.handle_reply(reply, settings, now);
        is_some = true;
        if takes_turns && !exchange.has_replies() {
            break;
        }
    }
    if is_some || !exchange.is_draining() || client.wants_nothing() {
        return is_some;
    }
    // A client that has its answer and asks for something else does not wait for unneeded bytes.
    exchange.handle_wanted();
    true
}

/// Whether the client is to be shown the end of what came through a tunnel: it has the rest.
pub(super) fn pass_shut(client: &mut impl Stream, exchange: &mut Exchange) -> bool {
    let is_due = exchange.is_tunnel() && client.poll_shut();
    if is_due {
        exchange.handle_shut();
    }
    is_due
}
