//! Owns `/copies/show`, `/copies/export` and `/copies/import`: single copies for an operator's eyes, and
//! those that everybody may see for another machine.
//! Never shows or takes what belongs to a visitor. Never answers anybody who has neither the socket nor the token; what
//! visitors will see is taken from the socket alone.

use std::collections::BTreeMap;
use std::fmt::Write;

use retter_core::copies::{Purge, Shown};
use retter_core::key::CacheKey;
use retter_disk::RECORD_BYTES_MAX;
use serde::Serialize;

use super::purge::split;
use super::{Guard, query};
use crate::copies::pieces::{self, BATCH_BYTES};
use crate::telemetry::Telemetry;
use crate::web::{Request, Response};

/// Of records that are handed in at a time.
pub(crate) const CONTENT_BYTES_MAX: usize = RECORD_BYTES_MAX + 2 * BATCH_BYTES;

/// The mark of the rules by which copies were made, in hexadecimal digits.
pub(crate) const MARK: &str = "Retter-Mark";

/// Where an export goes on.
pub(crate) const NEXT: &str = "Retter-Next";

/// Which of how many copies is shown.
pub(crate) const SHOWN: &str = "Retter-Copy";

const SHOW_USAGE: &str = "\
Shows one copy of those that everybody may see. GET /copies/show with one of:

  ?url=/page%3Fa=b       that path and query on whatever host
  ?url=http://host/page  on that host

and with &number=2 the second of several.
";

const UNGUARDED: &str = "\
Whole copies are shown by the socket (RETTER_ADMIN_SOCKET), or to whoever has a token: set
RETTER_ADMIN_TOKEN.
";

const BY_SOCKET: &str = "\
Copies are taken over by the socket (RETTER_ADMIN_SOCKET) only, which nobody but its owner can use: whoever
hands them in decides what visitors see.
";

/// Answers one request. There is no guard on the socket.
pub(super) fn answer(request: &Request, guard: Option<&Guard>, telemetry: &Telemetry) -> Response {
    if guard.is_some_and(|guard| guard.token.is_none()) {
        return Response::text(403, UNGUARDED);
    }
    match (request.path.as_str(), request.method.as_str()) {
        ("/copies/show", "GET") => show(request, telemetry),
        ("/copies/export", "GET") => export(request, telemetry),
        ("/copies/import", "POST") if guard.is_some() => Response::text(403, BY_SOCKET),
        ("/copies/import", "POST") => import(request, telemetry),
        ("/copies/import", _) => Response::text(405, "Only POST.\n").with("Allow", "POST"),
        _ => Response::text(405, "Only GET.\n").with("Allow", "GET"),
    }
}

/// Which page, and which of its copies.
fn wanted(query: &str) -> Option<(Purge, usize)> {
    let (mut url, mut number) = (None, 1);
    for (name, value) in query::pairs(query)? {
        match name {
            "url" => url = Some(split(&value)?),
            "number" => number = value.parse().ok().filter(|number| *number > 0)?,
            _ => return None,
        }
    }
    let (host, path_and_query) = url?;
    let page = Purge::Url {
        host,
        path_and_query,
    };
    Some((page, number))
}

fn show(request: &Request, telemetry: &Telemetry) -> Response {
    let Some((page, number)) = wanted(&request.query) else {
        return Response::text(400, SHOW_USAGE);
    };
    let now = telemetry.clock().now();
    let mut shown = telemetry.site().show(&page, now);
    // Always in the same order.
    shown.sort_by_key(|shown| (shown.key.authority().to_vec(), shown.key.hash(), shown.age));
    let count = shown.len();
    let Some(shown) = shown.get(number - 1) else {
        let text = match count {
            0 => "There is no copy of that page that everybody may see.\n".to_owned(),
            count => format!("There are {count} copies of that page.\n"),
        };
        return Response::text(404, text);
    };
    // It is a page of somebody else's making: no browser is to take it for one of this address.
    Response::new(200, "application/octet-stream", message(shown))
        .with("Content-Disposition", "attachment; filename=\"copy.http\"")
        .with("X-Content-Type-Options", "nosniff")
        .with("Content-Security-Policy", "sandbox")
        .with(SHOWN, format!("{number} of {count}"))
}

/// The copy as an HTTP/1.1 answer, with what it depends on before it.
fn message(shown: &Shown) -> Vec<u8> {
    let mut head = format!(
        "HTTP/1.1 {} {}\r\n",
        shown.status.as_u16(),
        shown.status.canonical_reason().unwrap_or_default()
    )
    .into_bytes();
    let mut line = |name: &str, value: &[u8]| {
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    };
    for (name, value) in shown.fields.iter() {
        line(name, value);
    }
    line("Age", shown.age.as_secs().to_string().as_bytes());
    for (name, value) in &shown.varies {
        let mut varies = format!("{name}=").into_bytes();
        varies.extend_from_slice(value.as_deref().unwrap_or(b"(none)"));
        line("Retter-Only-For", &varies);
    }
    head.extend_from_slice(b"\r\n");
    head.extend_from_slice(&shown.body);
    head
}

/// As many of the copies as fit, from a place on: in the order of the hashes of their keys.
fn export(request: &Request, telemetry: &Telemetry) -> Response {
    let after = match query::pairs(&request.query).as_deref() {
        Some([]) => None,
        Some([("after", place)]) => match u64::from_str_radix(place, 16) {
            Ok(place) => Some(place),
            Err(_) => return Response::text(400, "Only ?after= and a place.\n"),
        },
        _ => return Response::text(400, "Only ?after= and a place.\n"),
    };
    let site = telemetry.site();
    let mut keys = site.keys();
    keys.retain(|key| key.partition().is_everybodys() && after.is_none_or(|at| key.hash() > at));
    keys.sort_unstable_by_key(CacheKey::hash);
    let (mut out, mut next) = (Vec::new(), None);
    for key in keys {
        if out.len() >= BATCH_BYTES {
            break;
        }
        for recorded in site.export(&key).records {
            if recorded.record.len() <= RECORD_BYTES_MAX {
                pieces::put(&recorded.record, &mut out);
            }
        }
        next = Some(key.hash());
    }
    let response = Response::new(200, "application/octet-stream", out)
        .with("X-Content-Type-Options", "nosniff")
        .with(MARK, format!("{:016x}", site.export_mark()));
    match next {
        Some(next) => response.with(NEXT, format!("{next:x}")),
        None => response,
    }
}

/// What became of the copies that were handed in.
#[derive(Debug, Default, Serialize)]
struct Taken {
    taken: u64,
    /// Those that were not, by the reason.
    left_out: BTreeMap<String, u64>,
}

fn import(request: &Request, telemetry: &Telemetry) -> Response {
    let site = telemetry.site();
    let ours = format!("{:016x}", site.export_mark());
    if request.field(MARK) != ours {
        return Response::text(
            409,
            "these copies were made by another version of RETTER, or by other settings: \
             RETTER_CACHE_DETECT_QUERY, RETTER_CACHE_DETECT_SESSION, RETTER_CACHE_SESSION_COOKIES, \
             RETTER_CACHE_IGNORED_COOKIES, RETTER_CACHE_IGNORED_QUERY, RETTER_CACHE_HARMLESS_FIELDS, \
             RETTER_CACHE_IDENTITY_FIELDS, RETTER_CACHE_RESCUE, RETTER_CACHE_PUBLIC and \
             RETTER_CACHE_EXCLUDE have to be the same there and here\n",
        );
    }
    let Some(records) = pieces::split(&request.content) else {
        return Response::text(400, "These are no whole records.\n");
    };
    let mut taken = Taken::default();
    for record in records {
        match site.import(record, telemetry.clock().now()) {
            Ok(_) => taken.taken += 1,
            Err(why) => *taken.left_out.entry(why.to_string()).or_default() += 1,
        }
    }
    let mut left_out = String::new();
    for (why, count) in &taken.left_out {
        // Writing to a String cannot fail.
        let _ = write!(left_out, ", {count} left out ({why})");
    }
    tracing::info!(
        "copies of another machine: {} taken over{left_out}",
        taken.taken
    );
    let json = serde_json::to_string(&taken).unwrap_or_default();
    Response::new(200, "application/json", json + "\n")
}
