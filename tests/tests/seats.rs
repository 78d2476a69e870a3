//! Owns the proof that a network which has taken every connection does not keep others out: its slow readers
//! and senders give way, and nobody's request that moves does.
//! Never measures a time: visitors come until one is served.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use retter_tests::client::{Client, Request};
use retter_tests::origin::Origin;
use retter_tests::reply::Reply;
use retter_tests::retter::Retter;
use retter_tests::retter_program;
use retter_tests::scenario::until;
use retter_tests::signal::Gate;
use socket2::{Domain, Socket, Type};

const SEATS: usize = 8;
/// More than two kernels take for a client that does not read, and RETTER holds for one.
const LARGE: u64 = 32 << 20;
/// What each attacker moves in a second.
const TRICKLE: usize = 600;

/// A connection from this network of the loopback interface.
fn connect(network: u8, to: SocketAddr) -> io::Result<TcpStream> {
    let from = SocketAddr::from((IpAddr::V4(Ipv4Addr::new(127, 0, network, 1)), 0));
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&from.into())?;
    // It may be reset before this has returned.
    socket.connect(&to.into())?;
    Ok(socket.into())
}

/// What attackers do with their connections.
#[derive(Clone, Copy)]
enum Attack {
    /// They read a large answer slowly.
    Read,
    /// They send the content of a request slowly.
    SendContent,
    /// They send the head of a request slowly.
    SendHead,
}

struct Attacker {
    stream: TcpStream,
    moved_at: Instant,
}

impl Attacker {
    fn new(attack: Attack, to: SocketAddr) -> Self {
        let mut stream = connect(1, to).expect("it is let in");
        let begin = match attack {
            Attack::Read => "GET /large HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(),
            // More than is held before the application hears of it.
            Attack::SendContent => {
                let some = "x".repeat(100_000);
                format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {LARGE}\r\n\r\n{some}")
            }
            Attack::SendHead => "GET / HTTP/1.1\r\nHost: h\r\nX: ".to_owned(),
        };
        stream.write_all(begin.as_bytes()).expect("it is let in");
        if let Attack::Read = attack {
            stream.read_exact(&mut [0]).expect("its answer begins");
        }
        stream.set_nonblocking(true).expect("a socket");
        let moved_at = Instant::now();
        Self { stream, moved_at }
    }

    /// Moves what it moves in a second, once in each.
    fn trickle(&mut self, attack: Attack) {
        if self.moved_at.elapsed() < Duration::from_secs(1) {
            return;
        }
        self.moved_at = Instant::now();
        let mut some = [b'x'; TRICKLE];
        let _ = match attack {
            Attack::Read => self.stream.read(&mut some),
            Attack::SendContent | Attack::SendHead => self.stream.write(&some[..TRICKLE / 10]),
        };
    }

    /// Whether RETTER has ended it.
    fn has_ended(&self) -> bool {
        self.stream.take_error().is_ok_and(|error| error.is_some())
            || matches!(self.stream.peek(&mut [0]), Ok(0))
    }
}

/// One visitor holds a request, who is of another network as all that come.
fn attacked_by(attack: Attack, patience: (&str, &str)) {
    let gate = Gate::new();
    let at_origin = gate.clone();
    let origin = Origin::counting(move |seen| match seen.target.as_str() {
        "/large" => Reply::blocks(LARGE),
        "/held" => {
            at_origin.wait();
            Reply::text("held")
        }
        _ => Reply::text("page"),
    });
    let seats = SEATS.to_string();
    let settings = [
        ("RETTER_SERVER_CONNECTIONS", seats.as_str()),
        ("RETTER_SERVER_TRUSTED_PROXIES", "10.0.0.0/8"),
        // Slow is whoever is so for half of the shorter time. By the other one none is too late.
        ("RETTER_SERVER_TIMEOUT_READ", patience.0),
        ("RETTER_SERVER_TIMEOUT_WRITE", patience.1),
        ("RETTER_BACKEND_TIMEOUT_HEAD", "10m"),
        ("RETTER_BACKEND_CONCURRENCY_MIN", "20"),
        ("RETTER_BREAKER_SLOW_RATE", "off"),
    ];
    let retter = Retter::start_with(retter_program!(), origin.address(), &settings);
    let mut held = Client::over(connect(2, retter.address()).expect("it is let in"));
    held.send(&Request::get("/held").to_bytes());
    let _ = origin.wait_for(1);
    let attackers = (1..SEATS).map(|_| Attacker::new(attack, retter.address()));
    let mut attackers: Vec<_> = attackers.collect();
    if let Attack::SendContent = attack {
        until("all are at the application", || {
            origin.connections() >= SEATS as u64
        });
    }
    let mut served = 0;
    until("visitors are served", || {
        attackers
            .iter_mut()
            .for_each(|attacker| attacker.trickle(attack));
        if let Ok(stream) = connect(3, retter.address()) {
            let answer = Client::over(stream).try_ask(&Request::get("/page"));
            served += u32::from(answer.is_ok_and(|answer| answer.text() == "page"));
        }
        served == 20
    });
    let ended = |attackers: &[Attacker]| {
        let ended = attackers.iter().filter(|attacker| attacker.has_ended());
        ended.count()
    };
    until("an attacker has given way", || ended(&attackers) > 0);
    gate.open();
    assert_eq!(held.response("GET").text(), "held", "its request ran");
}

#[test]
fn slow_readers_of_one_network_keep_nobody_out() {
    attacked_by(Attack::Read, ("4s", "10m"));
}

#[test]
fn slow_senders_of_one_network_keep_nobody_out() {
    attacked_by(Attack::SendContent, ("10m", "4s"));
}

#[test]
fn slow_senders_of_heads_of_one_network_keep_nobody_out() {
    attacked_by(Attack::SendHead, ("10m", "4s"));
}
