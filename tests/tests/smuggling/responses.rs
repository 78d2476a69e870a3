//! Owns the runners of the responses in the corpus.
//! Never says what is right: the corpus does.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use retter_core::{Input, Side};
use retter_strict::{Rest, Sender};
use retter_tests::bench::{Bench, Cut};
use retter_tests::corpus::{self, Case, End};
use retter_tests::recorder::{Recorded, Recorder};
use retter_tests::retter::Retter;
use retter_tests::retter_program;

use crate::{OK, PEER, Until, assert_none, show, status, talk};

/// Fields that the gateway adds to what it passes on.
const LABELS: [&[u8]; 6] = [
    b"date",
    b"via",
    b"cache-status",
    b"x-retter",
    b"x-circuit",
    b"x-request-id",
];

#[test]
fn responses_on_a_session() {
    let mut failed = Vec::new();
    for case in corpus::read("responses") {
        for cut in Cut::ALL {
            let peer = SocketAddr::new(PEER.parse().expect("an address"), 4711);
            let mut bench = Bench::new(peer);
            bench.feed(Side::Client, &question(&case, "/"), Cut::Whole, |_| {});
            let left = bench.feed(Side::Origin, &case.input, cut, |_| {});
            let had_more = !left.is_empty();
            if bench.origin_open {
                match case.end {
                    End::Close => bench.end_of(Side::Origin),
                    End::Keep => {}
                    End::Reset => bench.input(Input::ReadFailed(Side::Origin)),
                }
            }
            // What lies in a kept connection, or its end, is found when it is to be used again.
            let kept = bench.parked && !had_more && case.end == End::Keep;
            let judged = judge_response(&case, &bench.client, bench.client_ended)
                .and_then(|()| judge_reuse(&case, kept));
            if let Err(why) = judged {
                failed.push(format!("{} ({cut:?}): {why}", case.name));
                break;
            }
        }
    }
    assert_none(&failed);
}

/// The request that a case's response answers. `GET upgrade` and `GET 1.0` are what they say.
fn question(case: &Case, target: &str) -> Vec<u8> {
    let (method, how) = case.method.split_once(' ').unwrap_or((&case.method, ""));
    let (version, fields) = match how {
        "1.0" => ("1.0", ""),
        "upgrade" => ("1.1", "Connection: upgrade\r\nUpgrade: x\r\n"),
        _ => ("1.1", ""),
    };
    format!("{method} {target} HTTP/{version}\r\nHost: h\r\n{fields}\r\n").into_bytes()
}

fn judge_reuse(case: &Case, kept: bool) -> Result<(), String> {
    if kept == case.verdict.closes {
        return Err(format!("the origin's connection is used again: {kept}"));
    }
    Ok(())
}

fn judge_response(case: &Case, answered: &[u8], client_ended: bool) -> Result<(), String> {
    let method = case.method.split(' ').next().unwrap_or_default().to_owned();
    let methods = [method];
    let sender = |ended| Sender::Server {
        methods: &methods,
        ended,
    };
    let (mut found, rest) =
        retter_strict::read(answered, sender(client_ended && !case.verdict.cut));
    if let Rest::Broken(why) = rest {
        return Err(format!("{why} to the client: {}", answered.escape_ascii()));
    }
    if let Some(refusal) = case.verdict.status {
        let statuses: Vec<_> = found.iter().map(|answer| status(&answer.head)).collect();
        let interim = statuses.iter().filter(|&&status| status < 200).count();
        if interim != case.messages.len() || statuses[interim..] != [refusal] {
            return Err(format!("answered {statuses:?}, wanted {refusal}"));
        }
        return Ok(());
    }
    if case.verdict.cut {
        let is_cut = rest == Rest::Partial && client_ended;
        return if is_cut {
            Ok(())
        } else {
            Err(format!("not cut: {}", answered.escape_ascii()))
        };
    }
    for message in &mut found {
        message.head = without_labels(&message.head);
    }
    let wanted = case.messages.concat();
    let (wanted, _) = retter_strict::read(&wanted, sender(true));
    if found != wanted || rest != Rest::Nothing {
        return Err(format!(
            "to the client\n{}wanted\n{}",
            show(&found),
            show(&wanted)
        ));
    }
    Ok(())
}

fn without_labels(head: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    let text = head.strip_suffix(b"\r\n").unwrap_or(head);
    let mut rest = Some(text);
    while let Some(all) = rest {
        let end = all.windows(2).position(|pair| pair == b"\r\n");
        let line = &all[..end.unwrap_or(all.len())];
        rest = end.map(|end| &all[end + 2..]);
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        if !LABELS.iter().any(|label| label.eq_ignore_ascii_case(name)) {
            kept.extend_from_slice(line);
            kept.extend_from_slice(b"\r\n");
        }
    }
    kept
}

#[test]
fn responses_on_sockets() {
    let cases = Arc::new(corpus::read("responses"));
    let script = Arc::clone(&cases);
    let origin = Recorder::start(move |message| {
        let line = String::from_utf8_lossy(&message.head);
        let number = line
            .split('/')
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        match number.and_then(|number| number.parse::<usize>().ok()) {
            Some(number) => (script[number].input.clone(), script[number].end),
            None => (OK.to_vec(), End::Keep),
        }
    });
    // One worker has one pool, so that a kept connection is the one that is used next.
    let settings = [
        ("RETTER_CACHE_PUBLIC", "off"),
        ("RETTER_SERVER_WORKERS", "1"),
        ("RETTER_BREAKER_FAIL_RATE", "1"),
    ];
    let retter = Retter::start_with(retter_program!(), origin.address, &settings);
    let mut failed = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        if let Err(why) = response_on_sockets(number, case, &retter, &origin) {
            failed.push(format!("{}: {why}", case.name));
        }
    }
    assert_none(&failed);
}

fn response_on_sockets(
    number: usize,
    case: &Case,
    retter: &Retter,
    origin: &Recorder,
) -> Result<(), String> {
    drop(origin.take());
    let mut client = TcpStream::connect(retter.address()).expect("it listens");
    let method = case.method.split(' ').next().unwrap_or_default().to_owned();
    let until = match case.verdict.cut || case.method.ends_with("1.0") {
        true => Until::Ended,
        false => Until::Answered,
    };
    let asked = question(case, &format!("/{number}"));
    let (answered, ended) = talk(&mut client, &asked, &[method], until);
    judge_response(case, &answered, ended)?;
    drop(client);
    let at = |recorded: &Recorded| recorded.messages.first().map(|(number, _)| *number);
    let first = at(&origin.take());
    let mut client = TcpStream::connect(retter.address()).expect("it listens");
    let probe = b"GET /probe HTTP/1.1\r\nHost: h\r\n\r\n";
    let methods = ["GET".to_owned()];
    let (answered, _) = talk(&mut client, probe, &methods, Until::Answered);
    let (found, rest) = retter_strict::read(
        &answered,
        Sender::Server {
            methods: &methods,
            ended: false,
        },
    );
    if rest != Rest::Nothing || found.len() != 1 || found[0].body != b"ok" {
        return Err(format!("the next request got {}", answered.escape_ascii()));
    }
    judge_reuse(case, first == at(&origin.take()))
}
