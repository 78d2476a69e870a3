//! Owns what the simulated clients ask: which page, as whom, with which fields.
//! Never sends anything.

use std::collections::BTreeMap;

use retter_strict::{Fields, Head, chunked};

use crate::ledger::{ASKED, Asked, AskedId, FLAVOUR, TRACKED, upload};
use crate::net::Net;
use crate::visitors::{VisitorId, Visitors, known_by};

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "upgrade", "bad"];

pub(crate) const HOSTS: [&str; 2] = ["shop.example", "blog.example"];

/// The part of a page that some ask for: `bytes=2-9`.
pub(crate) const RANGE: (usize, usize) = (2, 10);

/// The query of those who want to be gone.
pub(crate) const LOGOUT: &str = "action=logout";

/// What a browser accepts where somebody wants a page, and where a script wants data.
pub(crate) const PAGE: &str = "text/html,*/*;q=0.8";
const DATA: &str = "application/json";

/// What is not HTTP.
const MALFORMED: [&str; 4] = [
    "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET /\u{1} HTTP/1.1\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\n",
    "get\r\n\r\n",
];

/// What clients remember together.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    etags: BTreeMap<String, String>,
    pub(crate) visitors: Visitors,
}

impl Memory {
    pub(crate) fn note(&mut self, asked: &Asked, etag: &str) {
        let page = format!("{}{}", asked.host, asked.target);
        self.etags.insert(page, etag.to_owned());
    }
}

/// Makes up a request of a visitor; `logs_in` where its connection does not know it yet.
pub(crate) fn compose(visitor: VisitorId, logs_in: bool, net: &mut Net, memory: &Memory) -> Asked {
    let swarm = net.swarm.clone();
    let identity = memory.visitors.identity(visitor, logs_in, &swarm);
    let chance = &mut net.chance;
    let method = if net.is_calm {
        "GET"
    } else {
        METHODS[chance.weighted(&swarm.methods)]
    };
    let writes = matches!(method, "POST" | "DELETE");
    let host = HOSTS[chance.below(10) / 9];
    // One page is as popular as all others together.
    let path = if chance.hits(500) {
        0
    } else {
        chance.below(swarm.paths)
    };
    let target = if chance.hits(150) {
        format!("/{path}?q={}", chance.below(2))
    } else {
        format!("/{path}")
    };
    let signs_out = matches!(method, "GET" | "POST") && chance.hits(swarm.signing_out);
    let target = if signs_out && !net.is_calm {
        format!("/{path}?{LOGOUT}")
    } else {
        target
    };
    let target = match !signs_out && chance.hits(swarm.tracked) {
        true => track(&target, visitor),
        false => target,
    };
    let known = memory.etags.get(&format!("{host}{target}"));
    let is_conditional = chance.hits(200);
    let http10 = chance.hits(60) && method != "upgrade";
    let no_cache = chance.hits(60);
    Asked {
        method: match method {
            "upgrade" | "bad" => "GET",
            method => method,
        },
        host,
        target,
        visitor: Some(visitor),
        is_known: known_by(&identity.lines, &swarm).is_some(),
        is_bound: memory.visitors.is_bound(visitor),
        who: identity.who,
        lines: identity.lines,
        room: memory.visitors.room(visitor).filter(|_| swarm.browses),
        accept: match (swarm.browses, path % 3) {
            (false, _) => "",
            (true, 1) => DATA,
            (true, _) => PAGE,
        },
        rest: identity.rest,
        started: identity.started,
        flavour: ["", "sweet", "sour"][chance.below(3)],
        gzip: chance.hits(400),
        if_none_match: known.filter(|_| is_conditional && !writes).cloned(),
        range: method == "GET" && chance.hits(50),
        no_cache,
        no_store: chance.hits(20) && !no_cache,
        upgrades: method == "upgrade",
        body: (method == "POST").then(|| chance.size(20_000)),
        expects: method == "POST" && chance.hits(200) && !http10,
        http10,
        closes: http10 || chance.hits(100),
        malformed: method == "bad",
        ..Asked::default()
    }
}

/// Where somebody comes from by a link of a campaign's mail, which each receiver gets another of.
fn track(target: &str, visitor: VisitorId) -> String {
    let mark = if target.contains('?') { '&' } else { '?' };
    format!("{target}{mark}{TRACKED}v{visitor}")
}

/// The bytes of a request: its head, and its body in the framing that chance chose.
pub(crate) fn message(id: AskedId, asked: &Asked, net: &mut Net) -> (Vec<u8>, Vec<u8>) {
    if asked.malformed {
        let bad = *net.chance.pick(&MALFORMED);
        return (bad.as_bytes().to_vec(), Vec::new());
    }
    let mut fields = fields(id, asked);
    let mut put = |name: &str, value: String| fields.0.push((name.to_owned(), value));
    let body = asked.body.map(|len| upload(id, len));
    let chunks = !asked.http10 && net.chance.hits(400);
    let body = match body {
        Some(body) if chunks => {
            put("Transfer-Encoding", "chunked".to_owned());
            let size = 1 + net.chance.size(2_000);
            chunked(&body, size)
        }
        Some(body) => {
            put("Content-Length", body.len().to_string());
            body
        }
        None => Vec::new(),
    };
    let version = if asked.http10 { "1.0" } else { "1.1" };
    let start = format!("{} {} HTTP/{version}", asked.method, asked.target);
    (Head::bytes(&start, &fields), body)
}

fn is_cookie(name: &str) -> bool {
    name.eq_ignore_ascii_case("cookie")
}

/// The fields of a request, but for its framing.
fn fields(id: AskedId, asked: &Asked) -> Fields {
    let mut fields = Fields::default();
    let mut put = |name: &str, value: &str| fields.0.push((name.to_owned(), value.to_owned()));
    put("Host", asked.host);
    put(ASKED, &id.to_string());
    for (name, value) in &*asked.lines {
        match (is_cookie(name), &asked.room) {
            (true, Some(room)) => put(name, &format!("{value}; {room}")),
            (true, None) | (false, _) => put(name, value),
        }
    }
    let has_cookies = asked.lines.iter().any(|(name, _)| is_cookie(name));
    if let (Some(room), false) = (&asked.room, has_cookies) {
        put("Cookie", room);
    }
    if !asked.accept.is_empty() {
        put("Accept", asked.accept);
    }
    if !asked.flavour.is_empty() {
        put(FLAVOUR, asked.flavour);
    }
    if asked.gzip {
        put("Accept-Encoding", "gzip");
    }
    if let Some(etag) = &asked.if_none_match {
        put("If-None-Match", etag);
    }
    if asked.range {
        put("Range", &format!("bytes={}-{}", RANGE.0, RANGE.1 - 1));
    }
    match (asked.no_cache, asked.no_store) {
        (true, _) => put("Cache-Control", "no-cache"),
        (false, true) => put("Cache-Control", "no-store"),
        (false, false) => {}
    }
    if asked.expects {
        put("Expect", "100-continue");
    }
    match (asked.upgrades, asked.closes && !asked.http10) {
        (true, _) => {
            put("Connection", "upgrade");
            put("Upgrade", "sim");
        }
        (false, true) => put("Connection", "close"),
        (false, false) => {}
    }
    fields
}
