//! Owns the text of `/copies`: which copies there are, for whom, and what they are good for.
//! Never shows a query, which may hold a secret, nor whose a copy is.

use std::fmt::Write;
use std::time::Duration;

use retter_core::copies::Listed;
use retter_core::key::Partition;

use super::query;
use crate::telemetry::{Telemetry, escape};
use crate::web::{Request, Response};

/// Lines that are shown where nobody asks for more.
const LINES: usize = 100;

/// Answers one request for `/copies`: `?prefix=/shop/` and `?limit=1000`.
pub(super) fn answer(request: &Request, telemetry: &Telemetry) -> Response {
    let Some((prefix, limit)) = parse(&request.query) else {
        return Response::text(400, "Only ?prefix=/path and ?limit=1000.\n");
    };
    let now = telemetry.clock().now();
    Response::text(200, text(telemetry.site().copies(now), &prefix, limit))
}

fn parse(text: &str) -> Option<(String, usize)> {
    let (mut prefix, mut limit) = (String::new(), LINES);
    for (name, value) in query::pairs(text)? {
        match name {
            "prefix" => prefix = value,
            "limit" => limit = value.parse().ok()?,
            _ => return None,
        }
    }
    Some((prefix, limit))
}

fn text(copies: Vec<Listed>, prefix: &str, limit: usize) -> String {
    let mut shown: Vec<_> = copies
        .into_iter()
        .filter(|copy| copy.key.path_and_query().starts_with(prefix.as_bytes()))
        .collect();
    shown.sort_by(|one, other| {
        let name = |copy: &Listed| {
            let key = &copy.key;
            (
                key.authority().to_vec(),
                key.path_and_query().to_vec(),
                copy.age,
            )
        };
        name(one).cmp(&name(other))
    });
    let mut out = format!(
        "{:>12}  {:>10}  {:8}  {:10}  page\n",
        "age", "bytes", "answers", "for"
    );
    for copy in shown.iter().take(limit) {
        let target = copy.key.path_and_query();
        let mut parts = target.splitn(2, |byte| *byte == b'?');
        let path = escape(parts.next().unwrap_or_default());
        let query = parts.next().map_or("", |_| "?…");
        let host = escape(copy.key.authority());
        let age = humantime::format_duration(Duration::from_secs(copy.age.as_secs())).to_string();
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{age:>12}  {:>10}  {:8}  {:10}  {host}{path}{query}",
            copy.bytes,
            good_for(copy),
            whom(copy.key.partition()),
        );
    }
    if shown.len() > limit {
        let _ = writeln!(out, "… and {} more", shown.len() - limit);
    }
    out
}

fn good_for(copy: &Listed) -> &'static str {
    match (copy.is_fresh, copy.may_rescue) {
        (true, _) => "at once",
        (false, true) => "rescues",
        (false, false) => "nobody",
    }
}

fn whom(partition: Partition) -> &'static str {
    match partition {
        Partition::Shared => "everybody",
        Partition::Public => "strangers",
        Partition::Session(_) => "a session",
        Partition::Marked(_) => "some",
    }
}
