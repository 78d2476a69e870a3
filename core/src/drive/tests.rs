//! The loop over sockets that are byte vectors: which of them a request goes out on.

use std::cell::{Cell, RefCell};
use std::future::{Ready, ready};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::{Alarm, Drive, Host, Socket};
use crate::config::Settings;
use crate::event::Report;
use crate::gateway::Gateway;
use crate::session::Session;
use crate::time::Instant;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const SIGN_IN: &str = "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: NTLM TlRM\r\n\r\n";
const DENIED: &str = "HTTP/1.1 401 No\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na=b";

/// A connection, as its peer sees it.
#[derive(Default)]
struct Peer {
    /// What the socket gives at the next read; `Some` of nothing is the end.
    sends: RefCell<Option<Vec<u8>>>,
    got: RefCell<Vec<u8>>,
}

struct Pipe(Rc<Peer>);

impl Socket for Pipe {
    fn poll_read(&mut self, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        match self.0.sends.take() {
            None => Poll::Pending,
            Some(bytes) => {
                buf[..bytes.len()].copy_from_slice(&bytes);
                Poll::Ready(Ok(bytes.len()))
            }
        }
    }

    fn poll_write(&mut self, _: &mut Context<'_>, out: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut got = self.0.got.borrow_mut();
        let before = got.len();
        out.iter().for_each(|slice| got.extend_from_slice(slice));
        Poll::Ready(Ok(got.len() - before))
    }

    fn shut_write(&self) {}

    fn reset_on_close(&self) {}
}

struct Never;

impl Alarm for Never {
    fn poll_at(&mut self, _: Instant, _: Instant, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

#[derive(Default)]
struct TestHost {
    /// Every connection to the origin.
    dialled: RefCell<Vec<Rc<Peer>>>,
    is_dead: Cell<bool>,
    parked: Cell<usize>,
}

impl Host for Rc<TestHost> {
    type Alarm = Never;
    type Dial = Ready<io::Result<Pipe>>;
    type Socket = Pipe;

    fn now(&self) -> Instant {
        Instant::ZERO
    }

    fn checkout(&self, _: Instant) -> Option<Pipe> {
        None
    }

    fn park(&self, _: Pipe, _: Instant) {
        self.parked.set(self.parked.get() + 1);
    }

    fn is_alive(&self, _: &Pipe) -> bool {
        !self.is_dead.get()
    }

    fn dial(&self) -> Self::Dial {
        let peer = Rc::<Peer>::default();
        self.dialled.borrow_mut().push(Rc::clone(&peer));
        ready(Ok(Pipe(peer)))
    }

    fn alarm(&self) -> Never {
        Never
    }

    fn report(&self, _: Report) {}
}

struct Bench {
    client: Rc<Peer>,
    drive: Drive<Rc<TestHost>>,
    place: Rc<TestHost>,
}

impl Bench {
    /// A client that has a connection to the origin of its own.
    fn bound() -> Self {
        let config = Settings::default().validate().unwrap();
        let gateway = Gateway::new(config, 7, Instant::ZERO);
        let peer = SocketAddr::from(([192, 0, 2, 1], 4711));
        let (client, place) = (Rc::<Peer>::default(), Rc::<TestHost>::default());
        let session = Session::new(gateway, peer, Instant::ZERO);
        let drive = Drive::new(Rc::clone(&place), Pipe(Rc::clone(&client)), session);
        let mut bench = Self {
            client,
            drive,
            place,
        };
        assert_eq!(bench.exchange(SIGN_IN), (401, 0));
        assert!(bench.is_open(0));
        bench
    }

    fn poll(&mut self) -> Poll<()> {
        self.drive.poll(&mut Context::from_waker(Waker::noop()))
    }

    /// Sends a request and answers it where it arrives: the status, and on which connection.
    fn exchange(&mut self, request: &str) -> (u16, usize) {
        let asked = |bench: &Self| -> Vec<usize> {
            let dialled = bench.place.dialled.borrow();
            dialled.iter().map(|peer| peer.got.borrow().len()).collect()
        };
        let before = asked(self);
        *self.client.sends.borrow_mut() = Some(request.into());
        assert!(self.poll().is_pending());
        let grown = |(at, len): &(usize, &usize)| before.get(*at).is_none_or(|old| old < *len);
        let after = asked(self);
        let (at, _) = after.iter().enumerate().find(grown).expect("it is asked");
        *self.place.dialled.borrow()[at].sends.borrow_mut() = Some(DENIED.into());
        assert!(self.poll().is_pending());
        let got = String::from_utf8(self.client.got.take()).unwrap();
        (got[9..12].parse().unwrap(), at)
    }

    /// Whether this side still has that connection.
    fn is_open(&self, at: usize) -> bool {
        Rc::strong_count(&self.place.dialled.borrow()[at]) > 1
    }
}

#[test]
fn a_bound_connection_is_used_again_also_for_writes() {
    let mut bench = Bench::bound();
    for request in [GET, POST, GET] {
        assert_eq!(bench.exchange(request), (401, 0));
    }
    assert_eq!(bench.place.parked.get(), 0);
}

#[test]
fn a_bound_connection_that_is_found_dead_is_replaced() {
    for request in [GET, POST] {
        let mut bench = Bench::bound();
        bench.place.is_dead.set(true);
        assert_eq!(bench.exchange(request), (401, 1));
        assert!(!bench.is_open(0) && bench.is_open(1));
    }
}

#[test]
fn a_bound_connection_that_ends_or_speaks_unasked_is_closed_at_once() {
    for unasked in ["", DENIED] {
        let mut bench = Bench::bound();
        *bench.place.dialled.borrow()[0].sends.borrow_mut() = Some(unasked.into());
        assert!(bench.poll().is_pending());
        assert!(!bench.is_open(0));
        assert_eq!(bench.exchange(GET), (401, 1));
    }
}

#[test]
fn a_bound_connection_ends_with_its_client() {
    let mut bench = Bench::bound();
    *bench.client.sends.borrow_mut() = Some(Vec::new());
    assert!(bench.poll().is_ready());
    assert!(!bench.is_open(0));
}
