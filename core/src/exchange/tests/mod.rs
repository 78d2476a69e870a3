//! Tests of exchanges without a client connection: content goes in, replies come out.

mod one;

use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::reply::{Body, Head, PutHead, Reply};
use super::{Action, Call, CallId, Content, Cut, Exchange, Intake};
use crate::config::Settings;
use crate::event::Report;
use crate::gateway::Gateway;
use crate::h1::{Event, Framing, ServerConn};
use crate::limits::IOVECS_MAX;
use crate::message::{Fields, Line, RequestHead};
use crate::report::End;
use crate::rules::forwarded::View;
use crate::time::Instant;

fn retter() -> Arc<Gateway> {
    gateway(&Settings::default())
}

pub(crate) fn gateway(settings: &Settings) -> Arc<Gateway> {
    let config = settings.clone().validate().unwrap();
    let gateway = Gateway::new(config, 7, Instant::ZERO);
    gateway
        .site()
        .set_wall_clock(Duration::from_secs(1_709_208_000), Instant::ZERO);
    gateway
}

fn head(text: &str) -> (RequestHead, Framing) {
    let mut conn = ServerConn::new(16 * 1024);
    conn.read_buf()[..text.len()].copy_from_slice(text.as_bytes());
    conn.handle_read(text.len());
    let Ok(Event::Head(head)) = conn.next_event() else {
        panic!("{text} is a whole head");
    };
    (head, conn.framing())
}

fn call(text: &str) -> Call {
    let peer = SocketAddr::from(([192, 0, 2, 1], 4711));
    let (mut head, framing) = head(text);
    let view = View::receive(
        &mut head,
        peer.ip(),
        &Settings::default().client.trusted_proxies,
    );
    let mut call = Call::new(
        CallId::FIRST,
        Arc::new(head),
        framing,
        view,
        peer,
        Instant::ZERO,
    );
    call.is_read = !call.has_content();
    call
}

/// An exchange of some client, with an origin that takes and gives bytes.
pub(crate) struct Driven {
    pub(crate) exchange: Box<Exchange>,
    actions: Vec<&'static str>,
    /// Everything that the origin got.
    pub(crate) asked: String,
    pub(crate) now: Instant,
    /// What the client pulled, as text.
    pulled: Vec<String>,
    pub(crate) reports: Vec<Report>,
}

impl Driven {
    pub(crate) fn begin(gateway: &Arc<Gateway>, request: &str) -> Self {
        let mut stream = Self {
            exchange: Exchange::begin(gateway, call(request), Instant::ZERO),
            actions: Vec::new(),
            asked: String::new(),
            now: Instant::ZERO,
            pulled: Vec::new(),
            reports: Vec::new(),
        };
        stream.settle();
        stream
    }

    /// Carries out what the exchange wants done with the origin's connection.
    pub(crate) fn settle(&mut self) {
        while let Some(action) = self.exchange.poll_action() {
            self.actions.push(match action {
                Action::Close => "close",
                Action::Connect { .. } => {
                    self.exchange.handle_connected(false, None, self.now);
                    "connect"
                }
                Action::Detach => "detach",
                Action::Keep(_) => "keep",
                Action::Park => "park",
                Action::Shutdown => "shutdown",
            });
        }
        let mut slices = [IoSlice::new(&[]); IOVECS_MAX];
        let count = self.exchange.write_slices(&mut slices);
        let slices = slices[..count].iter();
        let bytes: Vec<u8> = slices.flat_map(|slice| slice.to_vec()).collect();
        self.asked += std::str::from_utf8(&bytes).unwrap();
        self.exchange.handle_written(bytes.len(), self.now);
        self.reports.extend(self.exchange.poll_report());
    }

    /// The origin sends as much of `bytes` as is read now; how much that is.
    pub(crate) fn origin_sends(&mut self, bytes: &[u8]) -> usize {
        let mut sent = 0;
        while sent < bytes.len() {
            let room = self.exchange.read_buf();
            let len = room.len().min(bytes.len() - sent);
            if len == 0 {
                break;
            }
            room[..len].copy_from_slice(&bytes[sent..sent + len]);
            self.exchange.handle_read(len, self.now);
            sent += len;
        }
        sent
    }

    /// Feeds content, as far as it is taken.
    fn send(&mut self, content: Content) -> bool {
        let takes = matches!(self.exchange.poll_intake(), Intake::Open | Intake::Reopened);
        if takes {
            self.exchange.handle_content(content, self.now);
        }
        self.settle();
        takes
    }

    /// Pulls one part of the answer; whether there was one.
    fn pull(&mut self) -> bool {
        let reply = self.exchange.poll_reply(self.now);
        let is_some = reply.is_some();
        self.pulled.extend(reply.as_ref().map(told));
        self.settle();
        is_some
    }

    /// Pulls all that is there, and takes what it was.
    fn pull_all(&mut self) -> Vec<String> {
        while self.pull() {}
        std::mem::take(&mut self.pulled)
    }
}

/// A part of an answer as a client of no protocol in particular sees it.
pub(crate) fn told(reply: &Reply) -> String {
    match reply {
        Reply::Abort { by_client } => format!("abort {by_client}"),
        Reply::Data(data) => String::from_utf8(data.bytes.to_vec()).unwrap(),
        Reply::End { is_read, .. } => format!("end {is_read}"),
        Reply::Head(head) => lines(head),
        Reply::Interim(head) => head.status.as_str().to_owned(),
    }
}

/// A head as such a client sees it.
fn lines(head: &Head) -> String {
    struct Names(Vec<String>);

    impl PutHead for Names {
        fn fields(&mut self, fields: &Fields) {
            for line in fields.lines() {
                self.line(line);
            }
        }

        fn framing(&mut self, head: &Head) {
            self.0.push(match head.body {
                Body::Empty => "nothing".to_owned(),
                Body::Length(length) => format!("{length} bytes"),
                Body::Tunnel => "a tunnel".to_owned(),
                Body::Unknown => "something".to_owned(),
            });
        }

        fn line(&mut self, line: Line<'_>) {
            let name = std::str::from_utf8(line.name).unwrap();
            if name.eq_ignore_ascii_case("x-retter") {
                self.0.push(String::from_utf8(line.value.to_vec()).unwrap());
            }
        }
    }

    let mut names = Names(vec![head.status.as_str().to_owned()]);
    head.put(&mut names);
    names.0.join(" ")
}

pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
pub(crate) const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n";
pub(crate) const PAGE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood";

fn cut() -> Content {
    Content::Cut(Cut {
        broken: None,
        status: StatusCode::BAD_REQUEST,
        text: "no".into(),
    })
}
