//! Owns the runners of `tests/corpus`: each case against a session, cut in every way, and against
//! the program on real sockets, with an origin that records every byte.
//! Never says what is right: the corpus does, and a strict reader that shares no code with the
//! parser under test tells how many messages the bytes are.

mod responses;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use retter_core::Side;
use retter_strict::{Message, Rest, Sender, Unfit};
use retter_tests::bench::{Bench, Cut};
use retter_tests::corpus::{self, Case, End};
use retter_tests::recorder::Recorder;
use retter_tests::retter::Retter;
use retter_tests::suites::{self, Tally};
use retter_tests::{DEADLINE, retter_program};

const PEER: &str = "192.0.2.1";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\nok";
const OK_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\n";

#[test]
fn the_corpus_is_as_large_as_promised() {
    let (requests, responses) = (corpus::read("requests"), corpus::read("responses"));
    let mut classes = BTreeMap::new();
    for case in requests.iter().chain(&responses) {
        *classes.entry(&case.class).or_insert(0) += 1;
    }
    let mut out = format!(
        "{} requests, {} responses: ",
        requests.len(),
        responses.len()
    );
    for (class, count) in classes {
        out += &format!("{class} {count}, ");
    }
    let _ = writeln!(std::io::stderr(), "{}", out.trim_end_matches(", "));
    assert!(requests.len() >= 300 && responses.len() >= 80, "{out}");
}

/// Each case of the public suites has rows here, and is answered as the suite takes it, or the table
/// says why not.
#[test]
fn the_cases_of_public_suites_are_in_the_corpus() {
    let verdicts = suites::verdicts();
    let mut tallies = BTreeMap::new();
    for (name, entries) in suites::read() {
        let tally = suites::judge(&entries, &verdicts);
        tallies.insert(name, tally.unwrap_or_else(|failed| panic!("{failed:#?}")));
    }
    let _ = writeln!(std::io::stderr(), "{tallies:?}");
    let tally = |agreed, tolerated, differ| Tally {
        agreed,
        tolerated,
        differ,
    };
    let wanted = [
        ("h1spec-dropseed".to_owned(), tally(33, 0, 0)),
        ("h1spec-uws".to_owned(), tally(32, 0, 0)),
        ("http11probe".to_owned(), tally(149, 27, 6)),
    ];
    assert_eq!(tallies, BTreeMap::from(wanted));
}

// -- requests

#[test]
fn requests_on_a_session() {
    let mut failed = Vec::new();
    for case in corpus::read("requests") {
        for cut in Cut::ALL {
            let peer = SocketAddr::new(PEER.parse().expect("an address"), 4711);
            let mut bench = Bench::new(peer);
            bench.feed(Side::Client, &case.input, cut, answer_requests);
            let mut messages = Vec::new();
            let mut broken = None;
            for bytes in &bench.origins {
                let (mut found, rest) = retter_strict::read(bytes, Sender::Client);
                messages.append(&mut found);
                if let Rest::Broken(why) = rest {
                    broken = Some(why);
                }
            }
            let seen = Outcome {
                answered: bench.client.clone(),
                broken,
                ended: bench.client_ended,
                messages,
            };
            if let Err(why) =
                judge_request(&case, &seen, case.verdict.closes, PEER, "localhost:8088")
            {
                failed.push(format!("{} ({cut:?}): {why}", case.name));
                break;
            }
        }
    }
    assert_none(&failed);
}

/// Answers what is complete at the origin.
fn answer_requests(bench: &mut Bench) {
    while bench.origin_open
        && let Some(bytes) = bench.origins.last()
        && let (messages, _) = retter_strict::read(bytes, Sender::Client)
        && let Some(message) = messages.last()
    {
        let reply = if message.head.starts_with(b"HEAD ") {
            OK_HEAD
        } else {
            OK
        };
        let left = bench.feed(Side::Origin, reply, Cut::Whole, |_| {});
        assert!(left.is_empty(), "the whole answer is taken");
    }
}

struct Outcome {
    answered: Vec<u8>,
    broken: Option<Unfit>,
    ended: bool,
    messages: Vec<Message>,
}

/// Whether a message came on a connection that had carried content before: RFC 9112 §11.2, an
/// origin that left it there would take it for the beginning of this message.
fn comes_behind_content(messages: &[(usize, Message)]) -> bool {
    let mut carried: Vec<usize> = Vec::new();
    messages.iter().any(|(connection, message)| {
        let behind = carried.contains(connection);
        if !message.body.is_empty() {
            carried.push(*connection);
        }
        behind
    })
}

fn judge_request(
    case: &Case,
    seen: &Outcome,
    closes: bool,
    peer: &str,
    origin: &str,
) -> Result<(), String> {
    let wanted: Vec<u8> = case
        .messages
        .iter()
        .flat_map(|message| resolve(message, peer, origin))
        .collect();
    let (wanted, rest) = retter_strict::read(&wanted, Sender::Client);
    if rest != Rest::Nothing || wanted.len() != case.messages.len() {
        return Err(format!("the corpus is wrong: {rest:?} in what it expects"));
    }
    if let Some(why) = &seen.broken {
        return Err(format!("{why} at the origin"));
    }
    let messages: Vec<_> = seen.messages.iter().map(with_known_id).collect();
    if messages != wanted {
        return Err(format!(
            "at the origin\n{}wanted\n{}",
            show(&messages),
            show(&wanted)
        ));
    }
    let mut methods: Vec<String> = wanted.iter().map(method_of).collect();
    methods.push("GET".to_owned());
    let statuses = statuses(&seen.answered, &methods)?;
    let refusal = case.verdict.status;
    let wanted: Vec<u16> = wanted.iter().map(|_| 200).chain(refusal).collect();
    if statuses != wanted {
        return Err(format!("answered {statuses:?}, wanted {wanted:?}"));
    }
    if seen.ended != closes {
        return Err(format!("the connection ended: {}", seen.ended));
    }
    Ok(())
}

/// What each request is called in the corpus.
const ID: &str = "ID";

/// A message whose `X-Request-Id`, where the gateway has made it, is the corpus' own.
fn with_known_id(message: &Message) -> Message {
    let name = b"\r\nX-Request-Id: ";
    let mut message = message.clone();
    let place = message
        .head
        .windows(name.len())
        .position(|part| part == name);
    if let Some(start) = place.map(|at| at + name.len())
        && let Some(value) = message.head.get(start..start + 16)
        && value.iter().all(u8::is_ascii_hexdigit)
    {
        message.head.splice(start..start + 16, ID.bytes());
    }
    message
}

fn method_of(message: &Message) -> String {
    let end = message
        .head
        .iter()
        .position(|&byte| byte == b' ')
        .unwrap_or(0);
    String::from_utf8_lossy(&message.head[..end]).into_owned()
}

fn statuses(bytes: &[u8], methods: &[String]) -> Result<Vec<u16>, String> {
    let ended = false;
    let (answers, rest) = retter_strict::read(bytes, Sender::Server { methods, ended });
    if rest != Rest::Nothing {
        return Err(format!(
            "{rest:?} after {} answers to the client",
            answers.len()
        ));
    }
    Ok(answers.iter().map(|answer| status(&answer.head)).collect())
}

fn status(head: &[u8]) -> u16 {
    std::str::from_utf8(&head[9..12])
        .ok()
        .and_then(|code| code.parse().ok())
        .expect("the strict reader checked it")
}

/// Puts the lines that the gateway adds in the place of `{added}`.
fn resolve(message: &[u8], peer: &str, origin: &str) -> Vec<u8> {
    let text: String = message.iter().map(|&byte| char::from(byte)).collect();
    let text = text.replace("{origin}", origin);
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    let host = head
        .split("\r\n")
        .find_map(|line| line.strip_prefix("Host: "))
        .unwrap_or_default();
    // No authority was named where the origin's own is sent.
    let host = if host == origin { "" } else { host };
    let is_token = host
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    let (forwarded, told) = match host {
        "" => (String::new(), String::new()),
        host if is_token => (
            format!(";host={host}"),
            format!("X-Forwarded-Host: {host}\r\n"),
        ),
        host => (
            format!(";host=\"{host}\""),
            format!("X-Forwarded-Host: {host}\r\n"),
        ),
    };
    let added = |version: &str| {
        format!(
            "X-Forwarded-For: {peer}\r\nForwarded: for={peer}{forwarded};proto=http\r\n\
             X-Forwarded-Proto: http\r\n{told}X-Real-IP: {peer}\r\nVia: {version} retter\r\n\
             X-Request-Id: {ID}\r\n"
        )
    };
    let text = text
        .replace("{added}", &added("1.1"))
        .replace("{added 1.0}", &added("1.0"));
    text.chars()
        .map(|letter| u8::try_from(u32::from(letter)).expect("it was a byte"))
        .collect()
}

fn show(messages: &[Message]) -> String {
    let show = |m: &Message| {
        let (head, body) = (m.head.escape_ascii(), m.body.escape_ascii());
        format!("  {head} [{body}] {:?}\n", m.trailers.0)
    };
    messages.iter().map(show).collect()
}

/// Until when a client reads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Until {
    /// There is a final answer to each request.
    Answered,
    /// The connection ends.
    Ended,
    /// The connection ends, of which it has closed its own half.
    EndedByBoth,
}

/// Sends `bytes` and reads answers to `methods`. What was read, and whether the connection ended.
fn talk(client: &mut TcpStream, bytes: &[u8], methods: &[String], until: Until) -> (Vec<u8>, bool) {
    client
        .set_read_timeout(Some(DEADLINE))
        .expect("a connected socket");
    // The peer may have answered and closed before it took all.
    let _ = client.write_all(bytes);
    if until == Until::EndedByBoth {
        let _ = client.shutdown(Shutdown::Write);
    }
    let mut answered = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        let (messages, _) = retter_strict::read(
            &answered,
            Sender::Server {
                methods,
                ended: false,
            },
        );
        let finals = messages.iter().filter(|m| status(&m.head) >= 200).count();
        if until == Until::Answered && finals >= methods.len() {
            return (answered, false);
        }
        match client.read(&mut buffer) {
            Ok(len @ 1..) => answered.extend_from_slice(&buffer[..len]),
            Ok(0) | Err(_) => return (answered, true),
        }
    }
}

#[test]
fn requests_on_sockets() {
    let failed = requests_that_fail(|case| match case.verdict.closes {
        true => Until::Ended,
        false => Until::Answered,
    });
    assert!(failed.is_empty(), "{}", listed(&failed));
}

/// RFC 9112 §9.6: a client that has closed its half has sent what it has to say, and is answered.
/// That is how the clients of public suites ask.
#[test]
fn requests_of_a_client_that_closes_its_half() {
    let failed = requests_that_fail(|_| Until::EndedByBoth);
    let (_, entries) = suites::read()
        .into_iter()
        .find(|(name, _)| name == "h1spec-dropseed")
        .expect("the suite is in the corpus");
    let has_failed = |row: &String| {
        let is_it = |failed: &(Case, String)| *row == key_of(&failed.0);
        failed.iter().any(is_it)
    };
    let passed = (entries.iter()).filter(|entry| !entry.rows.iter().any(has_failed));
    let (passed, all) = (passed.count(), entries.len());
    let _ = writeln!(std::io::stderr(), "h1spec-dropseed: {passed} of {all}");
    assert!(failed.is_empty() && passed == 33, "{}", listed(&failed));
}

#[track_caller]
fn assert_none(failed: &[String]) {
    assert!(
        failed.is_empty(),
        "{} cases:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

/// As the suites name a row.
fn key_of(case: &Case) -> String {
    let name = case.name.split_once(' ').map_or("", |(_, name)| name);
    format!("{}/{name}", case.class)
}

fn listed(failed: &[(Case, String)]) -> String {
    let lines = failed
        .iter()
        .map(|(case, why)| format!("\n{}: {why}", case.name));
    format!("{} cases:{}", failed.len(), lines.collect::<String>())
}

/// The requests of the corpus that are not answered as they should be, when their clients read
/// until then.
fn requests_that_fail(until: fn(&Case) -> Until) -> Vec<(Case, String)> {
    let origin = Recorder::start(|message| {
        let is_head = message.head.starts_with(b"HEAD ");
        ((if is_head { OK_HEAD } else { OK }).to_vec(), End::Keep)
    });
    // The origin is to get what the client sent, and nothing of a stranger's.
    let only = [("RETTER_CACHE_PUBLIC", "off")];
    let retter = Retter::start_with(retter_program!(), origin.address, &only);
    let cases = corpus::read("requests").into_iter();
    let failed = cases.filter_map(|case| {
        let why = request_on_sockets(&case, until(&case), &retter, &origin).err()?;
        Some((case, why))
    });
    failed.collect()
}

fn request_on_sockets(
    case: &Case,
    until: Until,
    retter: &Retter,
    origin: &Recorder,
) -> Result<(), String> {
    const PROBE: &[u8] = b"GET /probe HTTP/1.1\r\nHost: probe\r\n\r\n";
    drop(origin.take());
    let mut client = TcpStream::connect(retter.address()).expect("it listens");
    let mut methods: Vec<String> = case
        .messages
        .iter()
        .map(|message| message.split(|&b| b == b' ').next().unwrap_or_default())
        .map(|method| String::from_utf8_lossy(method).into_owned())
        .collect();
    methods.extend(case.verdict.status.map(|_| "GET".to_owned()));
    let (answered, ended) = talk(&mut client, &case.input, &methods, until);
    let recorded = origin.take();
    let mut all = recorded.messages.clone();
    let seen = Outcome {
        answered,
        broken: recorded.broken,
        ended,
        messages: recorded
            .messages
            .into_iter()
            .map(|(_, message)| message)
            .collect(),
    };
    let closes = until != Until::Answered;
    judge_request(
        case,
        &seen,
        closes,
        "127.0.0.1",
        &origin.address.to_string(),
    )?;
    // What comes next must be taken for what it is: on the same connection where it is kept.
    if closes || !case.verdict.passes {
        client = TcpStream::connect(retter.address()).expect("it listens");
    }
    let (answered, _) = talk(&mut client, PROBE, &["GET".to_owned()], Until::Answered);
    let statuses = statuses(&answered, &["GET".to_owned()])?;
    let recorded = origin.take();
    all.extend_from_slice(&recorded.messages);
    if comes_behind_content(&all) {
        return Err("a connection that carried content is used again".to_owned());
    }
    let heads: Vec<_> = recorded.messages.iter().map(|(_, m)| &m.head[..]).collect();
    if statuses != [200] || heads.len() != 1 || !heads[0].starts_with(b"GET /probe ") {
        return Err(format!(
            "the next request: {statuses:?} {}",
            heads.concat().escape_ascii()
        ));
    }
    Ok(())
}
