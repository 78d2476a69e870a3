//! Owns what is told of an exchange that has ended ([`Report`]), and of a site beside its exchanges
//! ([`Event`]).
//! Never counts, and never finds words for it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::breaker::{State, Transition};
use crate::message::{ProtocolError, RequestHead, ResponseHead};
use crate::report::{CallId, End, Failure, SoftFailure, Source};
use crate::request_id::RequestId;
use crate::rules::label::Handling;
use crate::time::Instant;

/// What the origin did in one exchange.
#[derive(Clone, Debug)]
pub struct OriginReport {
    /// What made it [`Failure::Protocol`]: what it sent that is not HTTP/1.1, or breaks a limit.
    pub broken: Option<ProtocolError>,
    /// Body bytes that it sent and that were read.
    pub bytes: u64,
    /// Its failure, if it failed below HTTP.
    pub failure: Option<Failure>,
    /// Its final response head and when it came, counted from the request's start.
    pub head: Option<(Arc<ResponseHead>, Duration)>,
    /// Whether it answered with a stream of events.
    pub is_stream: bool,
    /// Its final status, if it sent one.
    pub status: Option<StatusCode>,
    /// From the request's start to the end of its response (or failure). For a tunnel or an
    /// event stream: to its head.
    pub time: Duration,
}

/// One exchange, reported when it has ended.
#[derive(Clone, Debug)]
pub struct Report {
    /// What the client sent that is not HTTP/1.1, or breaks a limit, and was refused for.
    pub broken: Option<ProtocolError>,
    /// Which of the exchanges of its session it is of.
    pub call: CallId,
    /// Body bytes received from the client.
    pub bytes_received: u64,
    /// Body bytes sent to the client.
    pub bytes_sent: u64,
    /// The circuit as the answer showed it.
    pub circuit: State,
    /// Whether the peer, which is no trusted proxy, sent what only proxies send.
    pub claims_forwarding: bool,
    /// The address of the client: the one that asked the outermost trusted proxy, or the peer.
    pub client: IpAddr,
    /// How long ago the copy came that answered; `None` where none did.
    pub copy_age: Option<Duration>,
    /// How it ended.
    pub end: End,
    /// When it ended.
    pub ended: Instant,
    /// Why it was answered as it was; `None` where no site was asked, or nothing was decided yet.
    pub handling: Option<Handling>,
    /// What the origin did; `None` when it was not asked.
    pub origin: Option<OriginReport>,
    /// The other end of the connection; of a refresh, that of the client's on whose behalf it was
    /// made.
    pub peer: SocketAddr,
    /// The request; `None` when it could not be parsed.
    pub request: Option<Arc<RequestHead>>,
    /// What the request is called; `None` where requests are called nothing.
    pub request_id: Option<RequestId>,
    /// Where the answer came from.
    pub source: Source,
    /// When the request's first byte was seen.
    pub started: Instant,
    /// The status sent; `None` when the client left before, and of a refresh.
    pub status: Option<StatusCode>,
    /// Whether it stood in the queue before the origin, or waited for it to be back.
    pub waited: bool,
}

/// Something that happened at a site, beside its exchanges.
#[derive(Clone, Debug)]
pub enum Event {
    /// A circuit changed its state.
    Circuit(Transition),
    /// Another number of requests may be at the origin than at the last look.
    Limit {
        /// The one before.
        from: u32,
        /// The one now.
        to: u32,
        /// When that was seen.
        at: Instant,
    },
    /// Copies were dropped by hand since the last look.
    Purged {
        /// How many.
        copies: u64,
    },
    /// Requests were refused since the last look.
    Refused(RefusalCounts),
    /// Renewals ended since the last look.
    Renewed(RenewalCounts),
    /// A page was no good though its status said so. Only the last few are kept for whoever looks.
    Soft(SoftFailure),
}

/// Requests that were refused, without a copy to answer with, by what kept the origin from being
/// asked.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RefusalCounts {
    /// A circuit was open.
    pub circuit_open: u64,
    /// An operator worked on the origin.
    pub maintenance: u64,
    /// The client wanted nothing but a copy (RFC 9111 §5.2.1.7).
    pub only_if_cached: u64,
    /// The origin was full.
    pub overload: u64,
}

/// Renewals in the background, by how they ended.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RenewalCounts {
    /// They made a new copy.
    pub renewed: u64,
    /// Their answer may not be kept.
    pub passed: u64,
    /// The origin failed.
    pub failed: u64,
}

impl RenewalCounts {
    /// What came to be since there were `before`.
    pub(crate) const fn since(self, before: Self) -> Self {
        Self {
            renewed: self.renewed.saturating_sub(before.renewed),
            passed: self.passed.saturating_sub(before.passed),
            failed: self.failed.saturating_sub(before.failed),
        }
    }
}
