//! The tables of LIFECYCLE.md about a session: made by running it, compared with the file.

use std::fmt::Write;
use std::time::Duration;

use super::rig::{CONNECT, PAGE, Rig, get, status};
use crate::client::h1::Life;
use crate::config::Settings;
use crate::session::{Action, Input, Side, Work};

fn exchange(rig: &Rig) -> &'static str {
    match &rig.session.work {
        Work::None if rig.session.bound.idle().is_some() => "bound",
        Work::None => "none",
        Work::Receiving(_) => "receiving",
        Work::Running(exchange) => exchange.stage(),
    }
}

fn life(rig: &Rig) -> &'static str {
    match rig.session.client.life() {
        Life::Absent => "background",
        Life::Open => "open",
        Life::Closing(_) => "closing",
        Life::Lingering(_) => "lingering",
        Life::Closed => "closed",
    }
}

fn actions(rig: &mut Rig) -> String {
    let of = |action: &Action| match action {
        Action::Abort(side) => format!("abort {side:?}").to_lowercase(),
        Action::Close(side) => format!("close {side:?}").to_lowercase(),
        Action::Connect { fresh: true, .. } => "connect anew".to_owned(),
        Action::Connect { fresh: false, .. } => "connect".to_owned(),
        Action::Detach(_) => "detach".to_owned(),
        Action::Park(_) => "park".to_owned(),
        Action::Resume(_) => "resume".to_owned(),
        Action::Shutdown(side) => format!("shut {side:?}").to_lowercase(),
    };
    let took = rig.took();
    took.iter().map(of).collect::<Vec<_>>().join(", ")
}

/// A session that has a copy of `/`, room for one request, and nothing in flight.
fn fresh() -> Rig {
    let mut settings = Settings::default();
    settings.site.admission.in_flight_max = 1;
    settings.site.admission.in_flight_start = 1;
    let mut rig = Rig::with(settings);
    rig.send(&get("/", "")).reply(PAGE);
    rig.send(&get("/page", "")).reply(HTML);
    rig.received();
    rig.took();
    rig
}

const HTML: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\ngood";

/// A request arrives whose connection to the origin is not there yet.
fn connecting() -> Rig {
    let mut rig = fresh();
    hand_over(&mut rig, &get("/other", ""));
    assert_eq!(rig.session.poll_action(), Some(CONNECT));
    rig
}

/// Gives bytes of the client without carrying out what follows.
fn hand_over(rig: &mut Rig, bytes: &str) {
    rig.session.read_buf(Side::Client)[..bytes.len()].copy_from_slice(bytes.as_bytes());
    rig.session.handle_read(Side::Client, bytes.len(), rig.now);
}

fn asked(path: &str) -> Rig {
    let mut rig = fresh();
    rig.send(&get(path, ""));
    rig.took();
    rig
}

const VIA: &str = "Via: 1.1 proxy\r\n";

fn asked_for_head(path: &str) -> Rig {
    let mut rig = fresh();
    rig.send(&get(path, "").replace("GET", "HEAD"));
    rig.took();
    rig
}

const CONTENT_TO_COME: &str = "POST /other HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na=";

fn receiving() -> Rig {
    let mut rig = fresh();
    hand_over(&mut rig, CONTENT_TO_COME);
    rig
}

fn waiting() -> Rig {
    let first = asked("/first");
    let mut rig = first.another();
    rig.send(&get("/other", ""));
    // The place is held by the queue; the session that has the slot must outlive it.
    std::mem::forget(first);
    rig
}

fn forwarding() -> Rig {
    let mut rig = asked("/other");
    rig.reply("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngo");
    rig.received();
    rig
}

fn streaming() -> Rig {
    let mut rig = asked("/other");
    rig.reply("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
    rig.received();
    rig
}

/// A page of unknown length is on its way.
fn holding_page() -> Rig {
    let mut rig = asked("/page");
    rig.reply(BEGUN);
    rig
}

const BEGUN: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ngo\r\n";

fn holding() -> Rig {
    let mut rig = asked("/");
    rig.reply("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngo");
    rig
}

/// A client that has signed in by its connection, between two requests.
fn bound() -> Rig {
    let mut rig = signing_in("");
    rig.reply(LOGIN);
    rig.received();
    rig
}

/// A client that asks with a login by connection, and these fields.
fn signing_in(fields: &str) -> Rig {
    let mut rig = fresh();
    rig.send(&get(
        "/other",
        &format!("Authorization: NTLM TlRM\r\n{fields}"),
    ));
    rig.took();
    rig
}

const LOGIN: &str = "HTTP/1.1 401 No\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n";

fn draining() -> Rig {
    let mut rig = asked("/");
    rig.reply("HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noo");
    rig.received();
    rig.took();
    rig
}

fn tunnel() -> Rig {
    let mut rig = fresh();
    rig.send(&get("/ws", "Connection: upgrade\r\nUpgrade: websocket\r\n"));
    rig.reply("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    rig.received();
    rig.took();
    rig
}

const LATE: Duration = Duration::from_secs(2 * 60 * 60);

/// How a state is reached, what happens then, and what it is called.
type Row = (fn() -> Rig, &'static str, fn(&mut Rig));

const EXCHANGE: &[Row] = &[
    (fresh, "a request without a fresh copy", |rig| {
        hand_over(rig, &get("/", ""))
    }),
    (fresh, "a request whose content is to come", |rig| {
        hand_over(rig, CONTENT_TO_COME);
    }),
    (receiving, "the rest of it", |rig| hand_over(rig, "b")),
    (receiving, "it takes too long", |rig| {
        rig.wait(LATE);
    }),
    (receiving, "the client closes", |rig| {
        rig.end_of(Side::Client);
    }),
    (waiting, "the deadline of the queue", |rig| {
        rig.wait(LATE);
    }),
    (waiting, "the client closes", |rig| {
        rig.end_of(Side::Client);
    }),
    (connecting, "the connection stands", |rig| {
        rig.input(Input::Connected { reused: false });
    }),
    (connecting, "it cannot be made", |rig| {
        rig.input(Input::ConnectFailed);
    }),
    (connecting, "it takes too long", |rig| {
        rig.wait(LATE);
    }),
    (
        || asked("/other"),
        "a head and part of the body",
        |rig| {
            rig.reply("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngo");
        },
    ),
    (
        || asked("/"),
        "the same, short, and a copy is held",
        |rig| {
            rig.reply("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngo");
        },
    ),
    (
        || asked("/page"),
        "part of a page of unknown length, and a copy is held",
        |rig| {
            rig.reply(BEGUN);
        },
    ),
    (
        || asked("/"),
        "part of a 500, and a copy is held",
        |rig| {
            rig.reply("HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noo");
        },
    ),
    (
        || asked("/other"),
        "a whole 500, and no copy is held",
        |rig| {
            rig.reply("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
        },
    ),
    (
        || asked("/"),
        "the origin closes, and a copy is held",
        |rig| {
            rig.end_of(Side::Origin);
        },
    ),
    (
        || asked("/other"),
        "the origin closes, and no copy is held",
        |rig| {
            rig.end_of(Side::Origin);
        },
    ),
    (
        || asked("/other"),
        "the origin takes too long",
        |rig| {
            rig.wait(LATE);
        },
    ),
    (
        || asked("/other"),
        "the client closes its half",
        |rig| {
            rig.end_of(Side::Client);
        },
    ),
    (holding, "the rest of the body", |rig| {
        rig.reply("od");
    }),
    (
        holding_page,
        "the same, and it is no worse than the copy",
        |rig| {
            rig.reply("2\r\nod\r\n0\r\n\r\n");
        },
    ),
    (holding_page, "it takes more than 250 ms", |rig| {
        rig.wait(Duration::from_millis(250));
    }),
    (holding, "the origin closes", |rig| {
        rig.end_of(Side::Origin);
    }),
    (forwarding, "the rest of the body", |rig| {
        rig.reply("od");
    }),
    (forwarding, "the origin closes", |rig| {
        rig.end_of(Side::Origin);
    }),
    (forwarding, "the client closes its half", |rig| {
        rig.end_of(Side::Client);
    }),
    (
        streaming,
        "the client closes, and it is a live stream",
        |rig| {
            rig.end_of(Side::Client);
        },
    ),
    (draining, "the rest of the body", |rig| {
        rig.reply("ps");
    }),
    (draining, "the client asks for something else", |rig| {
        rig.send(&get("/other", ""));
    }),
    (
        || asked("/other"),
        "a 401 that asks for NTLM",
        |rig| {
            rig.reply(LOGIN);
        },
    ),
    (
        || signing_in(""),
        "a 401 that goes on with NTLM, and no proxy in front",
        |rig| {
            rig.reply(LOGIN);
        },
    ),
    (
        || signing_in(VIA),
        "a 401 that goes on with NTLM, and a proxy in front",
        |rig| {
            rig.reply(LOGIN);
        },
    ),
    (
        || asked_for_head("/other"),
        "an answer to HEAD",
        |rig| {
            rig.reply("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
        },
    ),
    (bound, "a request of its client", |rig| {
        hand_over(rig, &get("/", ""));
    }),
    (bound, "a request that a proxy passed on", |rig| {
        hand_over(rig, &get("/", VIA));
    }),
    (bound, "the origin sends something", |rig| {
        rig.reply("x");
    }),
    (bound, "the origin closes", |rig| {
        rig.end_of(Side::Origin);
    }),
    (bound, "the client closes", |rig| {
        rig.end_of(Side::Client);
    }),
    (tunnel, "the origin closes", |rig| {
        rig.end_of(Side::Origin);
    }),
    (tunnel, "both have closed", |rig| {
        rig.end_of(Side::Client).end_of(Side::Origin);
    }),
];

const LIFE: &[Row] = &[
    (fresh, "the client closes", |rig| {
        rig.end_of(Side::Client);
    }),
    (fresh, "it is idle for too long", |rig| {
        rig.wait(LATE);
    }),
    (fresh, "the program drains", |rig| {
        rig.input(Input::Drain);
    }),
    (
        || asked("/other"),
        "the same, while a request runs",
        |rig| {
            rig.input(Input::Drain);
        },
    ),
    (fresh, "others need its place", |rig| {
        rig.input(Input::GiveWay);
    }),
    (
        || asked("/other"),
        "the same, while a request runs",
        |rig| {
            rig.input(Input::GiveWay);
        },
    ),
    (fresh, "bytes that are no request", |rig| {
        rig.send("no request\r\n\r\n");
    }),
    (lingering, "the client closes", |rig| {
        rig.end_of(Side::Client);
    }),
    (lingering, "the client does not close", |rig| {
        rig.wait(LATE);
    }),
    (
        || stalled(),
        "the client reads again",
        |rig| {
            rig.client_reads = true;
            rig.settle();
        },
    ),
    (
        || stalled(),
        "the client does not read",
        |rig| {
            rig.wait(LATE);
        },
    ),
];

fn lingering() -> Rig {
    let mut rig = fresh();
    rig.send("no request\r\n\r\n");
    rig.received();
    rig.took();
    rig
}

fn stalled() -> Rig {
    let mut rig = fresh();
    rig.client_reads = false;
    rig.send(&get("/", "Connection: close\r\n")).reply(PAGE);
    rig.took();
    rig
}

fn table(rows: &[Row], state: fn(&Rig) -> &'static str) -> String {
    let mut out = String::from(
        "| state | what happens | state after | actions | the client gets |\n|---|---|---|---|---|\n",
    );
    for (reach, what, happen) in rows {
        let mut rig = reach();
        let before = state(&rig);
        happen(&mut rig);
        while let Some(action) = rig.session.poll_action() {
            rig.actions.push(action);
        }
        let (after, actions) = (state(&rig), actions(&mut rig));
        let got = rig.received();
        let got = match status(&got) {
            _ if got.is_empty() => String::new(),
            0 => "the rest".to_owned(),
            code => code.to_string(),
        };
        let _ = writeln!(out, "| {before} | {what} | {after} | {actions} | {got} |");
    }
    out
}

/// To renew the file: copy the table from the message of the failure.
#[track_caller]
fn check(table: &str) {
    let file = include_str!("../../../LIFECYCLE.md");
    assert!(file.contains(table), "LIFECYCLE.md lacks this:\n{table}");
}

#[test]
fn the_table_of_exchanges_is_what_happens() {
    check(&table(EXCHANGE, exchange));
}

#[test]
fn the_table_of_lives_is_what_happens() {
    check(&table(LIFE, life));
}
