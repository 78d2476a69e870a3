//! Bytes in, bytes out, with time as an argument; then real sockets, of which only the order of
//! what happens is looked at.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::connection::{Connection, GivesWay};
use super::*;

const LIMITS: Limits = Limits::with_workers(1);

/// Answers with what was asked.
fn echo(request: &Request) -> Response {
    let text = format!("{} {} {}", request.method, request.path, request.query);
    Response::text(200, text).with("X-Host", request.field("HOST"))
}

/// A connection whose requests are answered at once.
struct Peer {
    conn: Connection,
    now: Instant,
}

impl Peer {
    fn connect() -> Self {
        let now = Instant::now();
        Self {
            conn: Connection::new(LIMITS, now),
            now,
        }
    }

    /// Takes what the connection writes.
    fn receive(&mut self) -> String {
        let mut bytes = Vec::new();
        while self.conn.has_bytes() {
            let mut slices = [std::io::IoSlice::new(&[]); 2];
            let count = self.conn.write_slices(&mut slices);
            let parts: Vec<_> = slices[..count].iter().map(|part| &part[..]).collect();
            let part = parts.concat();
            bytes.extend_from_slice(&part);
            let _ = self.conn.handle_written(part.len(), self.now);
            self.answer();
        }
        String::from_utf8(bytes).unwrap()
    }

    fn answer(&mut self) {
        if let Some(request) = self.conn.poll_request(self.now) {
            self.conn.handle_response(echo(&request), self.now);
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        let buf = self.conn.read_buf().unwrap();
        buf[..bytes.len()].copy_from_slice(bytes);
        self.conn.handle_read(bytes.len());
        self.answer();
    }

    fn ask(&mut self, bytes: &str) -> String {
        self.send(bytes.as_bytes());
        self.receive()
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.conn.handle_timeout(self.now);
    }
}

fn answer(host: &str, body: &str) -> String {
    let len = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nX-Host: {host}\r\n\
         Content-Length: {len}\r\n\r\n{body}"
    )
}

#[test]
fn a_connection_is_kept_for_the_next_request() {
    let mut peer = Peer::connect();
    for path in ["/a", "/b"] {
        let request = format!("GET {path}?c HTTP/1.1\r\nHost: h\r\n\r\n");
        let body = format!("GET {path} c");
        assert_eq!(peer.ask(&request), answer("h", &body));
    }
    let last = peer.ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert!(last.contains("\r\nConnection: close\r\n"), "{last}");
    // Half-closed; what still comes is thrown away until the client closes.
    assert!(peer.conn.wants_read() && peer.conn.read_buf().is_none());
    peer.conn.handle_read(10);
    assert!(!peer.conn.is_closed());
    peer.conn.handle_read(0);
    assert!(peer.conn.is_closed());
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let one =
        |path: &str| format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi");
    let all = ["/1", "/2", "/3"].map(one).concat();
    let expected = ["POST /1 ", "POST /2 ", "POST /3 "].map(|body| answer("h", body));
    assert_eq!(Peer::connect().ask(&all), expected.concat());
    let mut peer = Peer::connect();
    let (head, rest) = all.split_at(all.len() / 2);
    let mut answers = peer.ask(head);
    answers.push_str(&peer.ask(rest));
    assert_eq!(answers, expected.concat());
    // Byte by byte as well.
    let mut peer = Peer::connect();
    let answers: String = all
        .bytes()
        .map(|byte| peer.ask(&char::from(byte).to_string()))
        .collect();
    assert_eq!(answers, expected.concat());
}

#[test]
fn head_is_answered_without_a_body() {
    let mut peer = Peer::connect();
    let head = peer.ask("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(head.ends_with("Content-Length: 7\r\n\r\n"), "{head}");
    assert_eq!(
        peer.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
        answer("h", "GET / ")
    );
}

#[test]
fn http_1_0_keeps_a_connection_only_on_request() {
    let mut peer = Peer::connect();
    let kept = peer.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(kept.contains("\r\nConnection: keep-alive\r\n"), "{kept}");
    let last = peer.ask("GET / HTTP/1.0\r\n\r\n");
    assert!(last.contains("\r\nConnection: close\r\n"), "{last}");
}

#[test]
fn content_is_read_away_and_asked_for() {
    let mut peer = Peer::connect();
    let chunked = "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let content = "4\r\nGET \r\n0\r\n\r\n";
    assert_eq!(
        peer.ask(&format!("{chunked}{content}")),
        answer("h", "POST /a ")
    );
    let waits = chunked.replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(peer.ask(&waits), "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(peer.ask(content), answer("h", "POST /a "));
}

#[track_caller]
fn check_refusal(request: &str, status: &str, reason: &str) {
    let mut peer = Peer::connect();
    let mut answer = String::new();
    for part in request.as_bytes().chunks(1024) {
        if peer.conn.read_buf().is_some() && peer.conn.wants_read() {
            peer.send(part);
            answer.push_str(&peer.receive());
        }
    }
    let expected = format!("HTTP/1.1 {status}\r\n");
    assert!(answer.starts_with(&expected), "{answer}");
    assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
    assert!(answer.contains(reason), "{answer}");
    // No byte behind it is taken for a request.
    assert!(peer.conn.read_buf().is_none());
}

#[test]
fn a_malformed_request_is_refused_with_its_reason() {
    check_refusal(
        "GET / HTTP/1.1\r\n\r\n",
        "400 Bad Request",
        "it has no Host field",
    );
    check_refusal(
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "400 Bad Request",
        "its Host field is there twice",
    );
    check_refusal(
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "400 Bad Request",
        "is no host",
    );
    check_refusal(
        "nonsense\r\n\r\n",
        "400 Bad Request",
        "invalid request line",
    );
    check_refusal("\x16\x03\x01", "400 Bad Request", "invalid request line");
    check_refusal(
        "GET / HTTP/1.1\nHost: a\n\n",
        "400 Bad Request",
        "bare cr or lf",
    );
    check_refusal(
        "GET / HTTP/2.0\r\n\r\n",
        "505 HTTP Version Not Supported",
        "version",
    );
    let post = "POST / HTTP/1.1\r\nHost: a\r\n";
    check_refusal(
        &format!("{post}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"),
        "400 Bad Request",
        "both content-length and transfer-encoding",
    );
}

#[test]
fn a_request_beyond_a_limit_is_refused_with_its_reason() {
    let post = "POST / HTTP/1.1\r\nHost: a\r\n";
    let long = "its content is longer than 65536 bytes";
    check_refusal(
        &format!("{post}Content-Length: 65537\r\n\r\n"),
        "413 Payload Too Large",
        long,
    );
    let chunk = format!("10001\r\n{}", "x".repeat(0x1_0001));
    check_refusal(
        &format!("{post}Transfer-Encoding: chunked\r\n\r\n{chunk}\r\n"),
        "413 Payload Too Large",
        long,
    );
    let filler = "x".repeat(HEAD_BYTES_MAX);
    check_refusal(
        &format!("GET / HTTP/1.1\r\nHost: a\r\nX: {filler}\r\n\r\n"),
        "431 Request Header Fields Too Large",
        "head too large, at most 16384 bytes are read",
    );
    check_refusal(
        &format!("GET /{filler} HTTP/1.1\r\n\r\n"),
        "414 URI Too Long",
        "request target too long",
    );
}

#[test]
fn a_slow_request_has_one_time_for_all_of_it() {
    for start in [
        "GET / HT",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nhi",
    ] {
        let mut peer = Peer::connect();
        // Silence before counts as idle time.
        peer.wait(LIMITS.idle_timeout - Duration::from_nanos(1));
        let (mut due, bytes) = (None, start.as_bytes());
        for byte in bytes {
            assert_eq!(peer.ask(&char::from(*byte).to_string()), "");
            // A byte more is no time more.
            assert_eq!(
                *due.get_or_insert_with(|| peer.conn.poll_timeout()),
                peer.conn.poll_timeout()
            );
            peer.now += Duration::from_millis(1);
        }
        peer.wait(LIMITS.request_timeout);
        let refusal = peer.receive();
        assert!(
            refusal.starts_with("HTTP/1.1 408 Request Timeout\r\n"),
            "{refusal}"
        );
        assert!(
            refusal.contains("it was not complete within 5 s"),
            "{refusal}"
        );
        peer.wait(Duration::from_secs(2));
        assert!(peer.conn.is_closed());
    }
}

#[test]
fn idle_connections_and_answers_that_nobody_takes_end() {
    let mut idle = Peer::connect();
    idle.wait(LIMITS.idle_timeout);
    assert!(idle.conn.is_closed() && idle.receive().is_empty());
    let mut reused = Peer::connect();
    reused.wait(Duration::from_secs(60));
    assert!(
        reused
            .ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            .ends_with("GET / ")
    );
    // An answer begins the time anew.
    reused.wait(LIMITS.idle_timeout - Duration::from_secs(1));
    assert!(!reused.conn.is_closed());
    reused.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    reused.wait(LIMITS.write_timeout);
    assert!(reused.conn.is_closed());
}

#[test]
fn an_ended_stream_ends_a_connection_after_its_answers() {
    let mut peer = Peer::connect();
    peer.send(b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
    peer.conn.handle_read(0);
    let expected = answer("h", "GET /1 ") + &answer("h", "GET /2 ");
    assert_eq!(peer.receive(), expected);
    assert!(peer.conn.is_closed());
    let mut half = Peer::connect();
    half.send(b"GET / HTTP/1.1\r\n");
    half.conn.handle_read(0);
    half.answer();
    assert!(half.receive().contains("connection ended inside a message"));
    assert!(half.conn.is_closed());
}

#[test]
fn the_connection_that_owes_a_request_the_longest_gives_way_first() {
    let now = Instant::now();
    let at = |secs| now + Duration::from_secs(secs);
    let peer = |secs| Peer {
        conn: Connection::new(LIMITS, at(secs)),
        now: at(secs),
    };
    let (silent, mut dripping, mut served) = (peer(1), peer(0), peer(0));
    // The first byte late in its life makes it no younger.
    dripping.now = at(3);
    assert!(dripping.ask("GET / HTTP/1.1\r\n").is_empty());
    // An answer does.
    served.now = at(2);
    assert!(!served.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").is_empty());
    assert_eq!(dripping.conn.gives_way(), Some(GivesWay::Waiting(at(0))));
    assert_eq!(silent.conn.gives_way(), Some(GivesWay::Waiting(at(1))));
    assert_eq!(served.conn.gives_way(), Some(GivesWay::Waiting(at(2))));
    // An answer on its way goes after all of these, one that is made not at all.
    served.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(served.conn.gives_way(), Some(GivesWay::Writing(at(2))));
    assert!(served.conn.gives_way() > silent.conn.gives_way());
    assert!(!served.receive().is_empty());
    let buf = served.conn.read_buf().unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    buf[..request.len()].copy_from_slice(request);
    served.conn.handle_read(request.len());
    assert!(served.conn.poll_request(served.now).is_some());
    assert_eq!(served.conn.gives_way(), None);
}

// -- real sockets

fn start(limits: Limits, handler: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    Server::start(listener, limits, Arc::new(handler)).unwrap()
}

/// Limits under which only the number of connections and the order of events matter.
fn patient(connections_max: usize) -> Limits {
    let hour = Duration::from_secs(3600);
    Limits {
        connections_max,
        idle_timeout: hour,
        request_timeout: hour,
        write_timeout: hour,
        ..LIMITS
    }
}

fn connect(addr: SocketAddr, bytes: &str) -> TcpStream {
    let mut stream = TcpStream::connect(addr).unwrap();
    // Only what never comes is waited for so long.
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    stream
}

fn read_answer(mut stream: &TcpStream, body: &str) {
    let expected = answer("h", body);
    let mut bytes = vec![0; expected.len()];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
}

/// Whether the server closes the connection without a word.
fn is_cut(mut stream: &TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(len) => len == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

/// Whether nothing came and the connection is open.
fn is_silent(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let peeked = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn many_connections_are_answered_beside_each_other() {
    let server = start(LIMITS, echo);
    std::thread::scope(|scope| {
        for number in 0..16 {
            let addr = server.addr().unwrap();
            scope.spawn(move || {
                let request = format!("GET /{number} HTTP/1.1\r\nHost: h\r\n\r\n");
                let mut stream = connect(addr, &request);
                read_answer(&stream, &format!("GET /{number} "));
                stream.write_all(request.as_bytes()).unwrap();
                read_answer(&stream, &format!("GET /{number} "));
            });
        }
    });
}

#[test]
fn a_full_server_lets_the_longest_silent_connection_give_way() {
    let server = start(patient(3), echo);
    let request = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    // Each is known to be taken before the next one comes.
    let mut kept = connect(server.addr().unwrap(), request);
    read_answer(&kept, "GET / ");
    let half = connect(server.addr().unwrap(), &format!("{request}GET / HT"));
    read_answer(&half, "GET / ");
    let other = connect(server.addr().unwrap(), request);
    read_answer(&other, "GET / ");
    kept.write_all(request.as_bytes()).unwrap();
    read_answer(&kept, "GET / ");
    let new = connect(server.addr().unwrap(), request);
    read_answer(&new, "GET / ");
    assert!(is_cut(&half), "it gave way");
    assert!(is_silent(&kept) && is_silent(&other) && is_silent(&new));
}

#[test]
fn an_answer_on_its_way_is_not_cut_by_new_connections() {
    let (begun, begins) = std::sync::mpsc::channel();
    let (go_on, goes_on) = std::sync::mpsc::channel::<()>();
    let goes_on = Mutex::new(goes_on);
    let server = start(patient(2), move |request| {
        if request.path == "/slow" {
            begun.send(()).unwrap();
            goes_on.lock().unwrap().recv().unwrap();
        }
        echo(request)
    });
    let slow = connect(
        server.addr().unwrap(),
        "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n",
    );
    begins.recv().unwrap();
    let first = connect(server.addr().unwrap(), "");
    let second = connect(server.addr().unwrap(), "");
    // Only one of them has a place beside the answer.
    assert!(is_cut(&first));
    go_on.send(()).unwrap();
    read_answer(&slow, "GET /slow ");
    assert!(is_silent(&second));
}

#[test]
fn a_page_that_panics_fails_alone() {
    let server = start(LIMITS, |request| {
        assert_ne!(request.path, "/bug", "planted");
        echo(request)
    });
    let mut stream = connect(
        server.addr().unwrap(),
        "GET /bug HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    );
    let mut told = String::new();
    stream.read_to_string(&mut told).unwrap();
    assert!(told.starts_with("HTTP/1.1 500 "), "{told}");
    let stream = connect(server.addr().unwrap(), "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    read_answer(&stream, "GET / ");
}

#[test]
fn a_stopped_server_frees_its_port_and_lets_answers_leave() {
    let (begun, begins) = std::sync::mpsc::channel();
    let (go_on, goes_on) = std::sync::mpsc::channel::<()>();
    let goes_on = Mutex::new(goes_on);
    let server = start(patient(9), move |request| {
        begun.send(()).unwrap();
        goes_on.lock().unwrap().recv().unwrap();
        echo(request)
    });
    let addr = server.addr().unwrap();
    let mut slow = connect(server.addr().unwrap(), "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    begins.recv().unwrap();
    let half = connect(server.addr().unwrap(), "GET / HT");
    drop(server);
    assert!(is_cut(&half));
    TcpListener::bind(addr).unwrap();
    go_on.send(()).unwrap();
    let mut told = String::new();
    slow.read_to_string(&mut told).unwrap();
    assert!(told.contains("\r\nConnection: close\r\n"), "{told}");
    assert!(told.ends_with("GET / "), "{told}");
}
