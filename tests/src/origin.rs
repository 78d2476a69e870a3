//! Owns a model origin: a real listener whose answers, faults and absences a test scripts.
//! Never forgives the gateway: a request that breaks RFC 9112 fails the test when the origin is
//! dropped, whatever the client saw.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crate::DEADLINE;
use crate::page::Sum;
use crate::port::Port;
use crate::reply::{End, Reply};
use crate::signal::Watched;
use crate::wire::{Broken, Fields, Framing, Wire};

/// A request as the origin saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The request target.
    pub target: String,
    /// The fields.
    pub fields: Fields,
    /// The bytes of the head.
    pub raw: Vec<u8>,
    /// The first mebibyte of the body.
    pub body: Vec<u8>,
    /// Length and checksum of the whole body.
    pub sum: (u64, u32),
    /// The trailer fields.
    pub trailers: Fields,
    /// Which connection it came on, counted from 0.
    pub connection: u64,
    /// How many requests came on that connection before it.
    pub earlier: u64,
}

impl Seen {
    /// The only value of the field `name`.
    #[track_caller]
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.one(name)
    }

    /// The value of the cookie `name`.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.fields
            .all("cookie")
            .flat_map(|line| line.split(';'))
            .find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
    }

    /// Whether it came on a connection that had carried a request before.
    #[must_use]
    pub const fn is_on_used_connection(&self) -> bool {
        self.earlier > 0
    }
}

/// What a test does with a connection by itself.
pub type Talk = Box<dyn FnOnce(&mut Wire) + Send>;

/// What the origin does about a request.
pub enum Answer {
    /// Ends the connection without a byte.
    Close,
    /// Sends bytes as they are, then ends the connection.
    Raw(Vec<u8>),
    /// Sends a response.
    Reply(Reply),
    /// Resets the connection without a byte.
    Reset,
    /// Hands the connection to the test, then ends it.
    Talk(Talk),
}

impl Answer {
    /// Hands the connection to `talk`, then ends it.
    pub fn talk(talk: impl FnOnce(&mut Wire) + Send + 'static) -> Self {
        Self::Talk(Box::new(talk))
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Close => "Close",
            Self::Raw(_) => "Raw",
            Self::Reply(_) => "Reply",
            Self::Reset => "Reset",
            Self::Talk(_) => "Talk",
        })
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

type Handler = Box<dyn Fn(&Seen) -> Answer + Send + Sync>;

struct Shared {
    handler: Handler,
    recorded_max: usize,
    state: Watched<State>,
}

#[derive(Default)]
struct State {
    broken: Vec<String>,
    cut: u64,
    down: bool,
    open: BTreeMap<u64, TcpStream>,
    opened: u64,
    requests: u64,
    seen: Vec<Seen>,
}

/// A model origin on a port of its own.
pub struct Origin {
    port: Port,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin")
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl Origin {
    /// Starts one that records every request.
    #[must_use]
    pub fn start<A: Into<Answer>>(handler: impl Fn(&Seen) -> A + Send + Sync + 'static) -> Self {
        Self::with(usize::MAX, Box::new(move |seen| handler(seen).into()))
    }

    /// Starts one at this address.
    #[must_use]
    pub fn start_at<A: Into<Answer>>(
        address: SocketAddr,
        handler: impl Fn(&Seen) -> A + Send + Sync + 'static,
    ) -> Self {
        let handler = Box::new(move |seen: &Seen| handler(seen).into());
        Self::on(Port::reserve_at(address), usize::MAX, handler)
    }

    /// Starts one that only counts requests, for a test that sends very many.
    #[must_use]
    pub fn counting<A: Into<Answer>>(handler: impl Fn(&Seen) -> A + Send + Sync + 'static) -> Self {
        Self::with(0, Box::new(move |seen| handler(seen).into()))
    }

    fn with(recorded_max: usize, handler: Handler) -> Self {
        Self::on(Port::reserve(), recorded_max, handler)
    }

    fn on(port: Port, recorded_max: usize, handler: Handler) -> Self {
        let mut origin = Self {
            port,
            shared: Arc::new(Shared {
                handler,
                recorded_max,
                state: Watched::default(),
            }),
            accepting: None,
        };
        origin.up();
        origin
    }

    /// Listens again, on the same port.
    ///
    /// # Panics
    /// If it cannot.
    pub fn up(&mut self) {
        let listener = TcpListener::bind(self.address()).expect("the port is reserved");
        self.shared.state.change(|state| state.down = false);
        let shared = Arc::clone(&self.shared);
        self.accepting = Some(thread::spawn(move || accept(&listener, &shared)));
    }

    /// Goes down as a killed process does: nobody listens, every connection ends.
    pub fn down(&mut self) {
        self.drain();
        self.sever();
    }

    /// Takes no further connection; those that are there stay.
    pub fn drain(&mut self) {
        self.shared.state.change(|state| state.down = true);
        if let Some(accepting) = self.accepting.take() {
            // The accepting thread looks at `down` after each connection: this is one.
            let _ = TcpStream::connect_timeout(&self.address(), DEADLINE);
            let _ = accepting.join();
        }
    }

    /// Ends every open connection, as a restart behind a port that stays open does.
    pub fn sever(&self) {
        self.shared.state.change(|state| {
            for connection in state.open.values() {
                let _ = connection.shutdown(Shutdown::Both);
            }
        });
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// How many complete requests it has seen.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.shared.state.lock().requests
    }

    /// How many connections it has accepted.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.state.lock().opened
    }

    /// How many requests broke off before their end.
    #[must_use]
    pub fn cut(&self) -> u64 {
        self.shared.state.lock().cut
    }

    /// Waits until it has seen `count` complete requests; the last of them.
    ///
    /// # Panics
    /// If they do not come.
    #[track_caller]
    #[must_use]
    pub fn wait_for(&self, count: u64) -> Option<Seen> {
        let found = self.shared.state.wait(DEADLINE, |state| {
            (state.requests >= count).then(|| state.seen.last().cloned())
        });
        found.unwrap_or_else(|| panic!("{} of {count} requests came", self.requests()))
    }

    /// Waits until exactly `count` connections are open.
    ///
    /// # Panics
    /// If there are others at the deadline.
    #[track_caller]
    pub fn wait_for_open(&self, count: usize) {
        let found = self
            .shared
            .state
            .wait(DEADLINE, |state| (state.open.len() == count).then_some(()));
        let open = self.shared.state.lock().open.len();
        assert!(found.is_some(), "{open} connections are open, not {count}");
    }

    /// Takes the recorded requests out.
    #[must_use]
    pub fn take_seen(&self) -> Vec<Seen> {
        self.shared
            .state
            .change(|state| std::mem::take(&mut state.seen))
    }

    /// Takes the only recorded request out.
    ///
    /// # Panics
    /// If there is none, or more than one.
    #[track_caller]
    #[must_use]
    pub fn take_one(&self) -> Seen {
        let mut seen = self.take_seen();
        assert_eq!(seen.len(), 1, "requests at the origin: {seen:?}");
        seen.remove(0)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.down();
        let broken = self
            .shared
            .state
            .change(|state| std::mem::take(&mut state.broken));
        if !thread::panicking() {
            assert!(
                broken.is_empty(),
                "broken requests at the origin: {broken:?}"
            );
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming().map_while(Result::ok) {
        let Ok(other) = stream.try_clone() else {
            continue;
        };
        let number = shared.state.change(|state| {
            if state.down {
                return None;
            }
            let number = state.opened;
            state.opened += 1;
            state.open.insert(number, other);
            Some(number)
        });
        let Some(number) = number else { return };
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            let _alarm = Alarm(Arc::clone(&shared));
            let mut wire = Wire::new(stream);
            match serve(&mut wire, number, &shared) {
                Ok(End::Regular) => wire.finish(),
                // The number goes first: a clone of the socket would keep it from being reset.
                Ok(End::Reset) => {
                    shared.state.change(|state| state.open.remove(&number));
                    wire.reset();
                    return;
                }
                Err(Broken::Closed | Broken::Io(_)) => {}
                Err(Broken::Truncated) => shared.state.change(|state| state.cut += 1),
                Err(Broken::Framing(text)) => {
                    shared.state.change(|state| state.broken.push(text));
                }
            }
            shared.state.change(|state| state.open.remove(&number));
        });
    }
}

/// Makes a panic of a handler, which is a check that failed, fail the test.
struct Alarm(Arc<Shared>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if thread::panicking() {
            let text = "a handler panicked, see above".to_owned();
            self.0.state.change(|state| state.broken.push(text));
        }
    }
}

fn serve(wire: &mut Wire, connection: u64, shared: &Shared) -> Result<End, Broken> {
    for earlier in 0.. {
        let seen = read_request(wire, connection, earlier)?;
        shared.state.change(|state| {
            state.requests += 1;
            if state.seen.len() < shared.recorded_max {
                state.seen.push(seen.clone());
            }
        });
        match (shared.handler)(&seen) {
            Answer::Close => return Ok(End::Regular),
            Answer::Raw(bytes) => {
                wire.send(&bytes).map_err(Broken::Io)?;
                return Ok(End::Regular);
            }
            Answer::Reply(reply) => {
                if let Some(end) = reply.send(wire, &seen.method).map_err(Broken::Io)? {
                    return Ok(end);
                }
            }
            Answer::Reset => return Ok(End::Reset),
            Answer::Talk(talk) => {
                talk(wire);
                return Ok(End::Regular);
            }
        }
        if seen.fields.lists("connection", "close") {
            break;
        }
    }
    Ok(End::Regular)
}

fn read_request(wire: &mut Wire, connection: u64, earlier: u64) -> Result<Seen, Broken> {
    const KEPT_BYTES_MAX: usize = 1 << 20;
    let head = wire.head()?;
    let bad = || Broken::Framing(format!("request line {:?}", head.start));
    let mut parts = head.start.split(' ');
    let mut next = || parts.next().filter(|part| !part.is_empty()).ok_or_else(bad);
    let (method, target) = (next()?.to_owned(), next()?.to_owned());
    if next()? != "HTTP/1.1" || parts.next().is_some() || head.fields.one("host").is_none() {
        return Err(bad());
    }
    if head.fields.lists("expect", "100-continue") {
        wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            .map_err(Broken::Io)?;
    }
    wire.begin(head.fields.framing()?.unwrap_or(Framing::Length(0)));
    let (mut body, mut sum, mut trailers) = (Vec::new(), Sum::default(), Fields::default());
    while let Some(piece) = wire.piece(&mut trailers)? {
        sum.add(&piece);
        let room = KEPT_BYTES_MAX - body.len();
        body.extend_from_slice(&piece[..piece.len().min(room)]);
    }
    Ok(Seen {
        method,
        target,
        fields: head.fields,
        raw: head.raw,
        body,
        sum: sum.value(),
        trailers,
        connection,
        earlier,
    })
}
