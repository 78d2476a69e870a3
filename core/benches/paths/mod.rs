//! Owns the hot paths that the benches measure: real sessions in their real loop, over sockets
//! that are memory.
//! Never measures; never touches a socket or a clock.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::future::Ready;
use std::hint::black_box;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use retter_core::Gateway;
use retter_core::config::Settings;
use retter_core::drive::{Alarm, Drive, Host, Socket};
use retter_core::event::Report;
use retter_core::h1::{Event, ServerConn};
use retter_core::message::RequestHead;
use retter_core::session::Standing;
use retter_core::time::Instant;
use retter_core::{Session, Site};

/// All paths, by name.
pub(crate) const NAMES: [&str; 6] = ["forward", "head", "hit", "key", "miss", "renew"];

/// What a browser sends, before and after its target.
const REQUEST: [&str; 2] = [
    "GET ",
    " HTTP/1.1\r\n\
     Host: shop.example\r\n\
     User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
     Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
     Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n\
     Accept-Encoding: identity\r\n\
     Referer: http://shop.example/list?page=2\r\n\
     Cookie: _ga=GA1.1.1234567890.1234567890; theme=dark\r\n\
     Upgrade-Insecure-Requests: 1\r\n\
     Sec-Fetch-Dest: document\r\n\
     Sec-Fetch-Mode: navigate\r\n\
     Sec-Fetch-Site: same-origin\r\n\
     Priority: u=0, i\r\n\r\n",
];

/// The head of what an application answers, before and after its caching rule.
const RESPONSE: [&str; 2] = [
    "HTTP/1.1 200 OK\r\n\
     Server: gunicorn\r\n\
     Date: Thu, 29 Feb 2024 12:00:00 GMT\r\n\
     Content-Type: text/html; charset=utf-8\r\n\
     X-Frame-Options: DENY\r\n\
     Cache-Control: ",
    "\r\nContent-Length: 1000\r\n\r\n",
];

/// One run of the path `name` with each call; everything before the first is preparation.
///
/// # Panics
/// If there is no such path, or if it does not do what it should.
pub(crate) fn prepare(name: &str) -> Box<dyn FnMut()> {
    prepare_with(name, |_| {})
}

/// The same on a site of which `attach` is told first, as to keep its copies somewhere.
///
/// # Panics
/// As [`prepare`] does.
pub(crate) fn prepare_with(name: &str, attach: fn(&Site)) -> Box<dyn FnMut()> {
    match name {
        "forward" => {
            let mut rig = Rig::new("no-store", attach);
            Box::new(move || rig.exchange("/page/0000000", true))
        }
        "head" => head(),
        "hit" => {
            let mut rig = Rig::new("max-age=86400", attach);
            rig.exchange("/page/0000000", true);
            Box::new(move || rig.exchange("/page/0000000", false))
        }
        "key" => key(),
        "miss" => {
            let mut rig = Rig::new("max-age=86400", attach);
            let mut number = 0;
            let mut target = String::new();
            Box::new(move || {
                number += 1;
                target.clear();
                let _ = write!(target, "/page/{number:07}");
                rig.exchange(&target, true);
            })
        }
        "renew" => {
            let mut rig = Rig::new("max-age=0", attach);
            Box::new(move || rig.exchange("/page/0000000", true))
        }
        other => panic!("there is no path `{other}`: choose of {NAMES:?}"),
    }
}

fn request(target: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_request(&mut bytes, target);
    bytes
}

/// Where `bytes` has room already, nothing is allocated: what is counted is RETTER's own.
fn put_request(bytes: &mut Vec<u8>, target: &str) {
    for part in [REQUEST[0], target, REQUEST[1]] {
        bytes.extend_from_slice(part.as_bytes());
    }
}

/// Reads a head from its bytes.
fn parse(conn: &mut ServerConn, bytes: &[u8]) -> RequestHead {
    conn.read_buf()[..bytes.len()].copy_from_slice(bytes);
    conn.handle_read(bytes.len());
    let Ok(Event::Head(head)) = conn.next_event() else {
        panic!("the request has a head");
    };
    assert!(matches!(conn.next_event(), Ok(Event::End { .. })));
    conn.start_next_cycle();
    head
}

fn head() -> Box<dyn FnMut()> {
    let bytes = request("/page/0000000");
    let mut conn = ServerConn::new(16 * 1024);
    Box::new(move || {
        black_box(parse(&mut conn, &bytes));
    })
}

fn key() -> Box<dyn FnMut()> {
    let gateway = Gateway::new(config(), 7, Instant::ZERO);
    let head = parse(&mut ServerConn::new(16 * 1024), &request("/page/0000000"));
    Box::new(move || {
        black_box(gateway.site().snapshot().keyer().key(black_box(&head)));
    })
}

fn config() -> retter_core::config::Config {
    Settings::default()
        .validate()
        .expect("the defaults are valid")
}

/// A client's kept connection, and an application that answers at once.
struct Rig {
    client: Rc<Peer>,
    drive: Drive<BenchHost>,
    origin: Rc<Peer>,
    time: Rc<Cell<Instant>>,
}

impl Rig {
    fn new(cache_control: &str, attach: fn(&Site)) -> Self {
        let gateway = Gateway::new(config(), 7, Instant::ZERO);
        gateway
            .site()
            .set_wall_clock(Duration::from_secs(1_709_208_000), Instant::ZERO);
        attach(gateway.site());
        let head = [RESPONSE[0], cache_control, RESPONSE[1]].concat();
        let answer = [head.into_bytes(), vec![b'x'; 1000]].concat();
        let client = Rc::new(Peer::default());
        let origin = Rc::new(Peer {
            answer,
            ..Peer::default()
        });
        let time = Rc::new(Cell::new(Instant::ZERO));
        let place = BenchHost {
            idle: RefCell::new(None),
            origin: Rc::clone(&origin),
            time: Rc::clone(&time),
        };
        let peer = ([192, 0, 2, 1], 4711).into();
        let session = Session::new(Arc::clone(&gateway), peer, Instant::ZERO);
        Self {
            drive: Drive::new(place, Pipe(Rc::clone(&client)), session),
            client,
            origin,
            time,
        }
    }

    /// One request and its answer; tells the two apart by whether the application was asked.
    fn exchange(&mut self, target: &str, asks: bool) {
        let before = (self.client.taken.get(), self.origin.taken.get());
        put_request(&mut self.client.coming.borrow_mut(), target);
        self.time.set(self.time.get() + Duration::from_micros(10));
        let polled = self.drive.poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        let got = self.client.taken.get() - before.0;
        assert!(got > 1000, "the page is there: {got}");
        assert_eq!(self.origin.taken.get() > before.1, asks);
    }
}

/// The far end of a connection.
#[derive(Default)]
struct Peer {
    /// What it sends for each write that it gets.
    answer: Vec<u8>,
    coming: RefCell<Vec<u8>>,
    taken: Cell<usize>,
}

/// The near end.
struct Pipe(Rc<Peer>);

impl Socket for Pipe {
    fn poll_readable(&mut self, _: &mut Context<'_>) -> Poll<()> {
        if self.0.coming.borrow().is_empty() {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    fn poll_read(&mut self, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut coming = self.0.coming.borrow_mut();
        if coming.is_empty() {
            return Poll::Pending;
        }
        let len = coming.len().min(buf.len());
        buf[..len].copy_from_slice(&coming[..len]);
        coming.drain(..len);
        Poll::Ready(Ok(len))
    }

    fn poll_write(
        &mut self,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = slices.iter().map(|slice| slice.len()).sum();
        self.0.taken.set(self.0.taken.get() + len);
        self.0.coming.borrow_mut().extend_from_slice(&self.0.answer);
        Poll::Ready(Ok(len))
    }

    fn shut_write(&self) {}

    fn reset_on_close(&self) {}
}

/// A timer of a world in which nothing is late.
struct Never;

impl Alarm for Never {
    fn poll_at(&mut self, _: Instant, _: Instant, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

struct BenchHost {
    idle: RefCell<Option<Pipe>>,
    origin: Rc<Peer>,
    time: Rc<Cell<Instant>>,
}

impl Host for BenchHost {
    type Alarm = Never;
    type Dial = Ready<io::Result<Pipe>>;
    type Socket = Pipe;

    fn now(&self) -> Instant {
        self.time.get()
    }

    fn checkout(&self, _: Instant) -> Option<Pipe> {
        self.idle.borrow_mut().take()
    }

    fn park(&self, socket: Pipe, _: Instant) {
        *self.idle.borrow_mut() = Some(socket);
    }

    fn dial(&self) -> Self::Dial {
        std::future::ready(Ok(Pipe(Rc::clone(&self.origin))))
    }

    fn alarm(&self) -> Never {
        Never
    }

    fn is_draining(&self) -> bool {
        false
    }

    fn must_leave(&self) -> bool {
        false
    }

    fn note(&self, standing: Standing) {
        black_box(standing);
    }

    fn detach(&self, _: Session, _: Pipe) {
        unreachable!("nothing is renewed");
    }

    fn report(&self, report: Report) {
        black_box(report);
    }
}
