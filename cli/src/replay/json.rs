//! Owns the reading of RETTER's own access log in JSON; `telemetry::access` writes it.
//! Never needs a field that older versions did not write, but for time, method and target.

use std::borrow::Cow;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::StatusCode;
use retter_core::report::{Failure, Source};
use serde::Deserialize;

use super::assume::Assumptions;
use super::line::{Answer, Cookies, End, Line, Origin, Skipped, Visitor, hash, request, unescape};

#[derive(Deserialize)]
struct JsonLine<'a> {
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow, default)]
    host: Option<Cow<'a, str>>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    target: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    partition: Option<Cow<'a, str>>,
    #[serde(default)]
    status: Option<u16>,
    #[serde(borrow, default)]
    source: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    circuit: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    end: Option<Cow<'a, str>>,
    #[serde(default)]
    bytes_sent: u64,
    #[serde(default)]
    duration_ms: f64,
    #[serde(default)]
    origin_status: Option<u16>,
    #[serde(borrow, default)]
    origin_failure: Option<Cow<'a, str>>,
    #[serde(default)]
    origin_ms: Option<f64>,
    #[serde(default)]
    origin_head_ms: Option<f64>,
    #[serde(default)]
    origin_bytes: Option<u64>,
    #[serde(borrow, default)]
    origin_cache_control: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    origin_content_type: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    origin_etag: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    origin_last_modified: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    origin_vary: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    origin_cookies: Option<Cow<'a, str>>,
}

const LAST_KNOWN_SUCCESS: &str = Source::LastKnownSuccess.as_str();
const NO_JSON: Skipped = Skipped::Malformed("not JSON as RETTER_LOG_ACCESS=json writes it");
const NO_TIME: Skipped = Skipped::Malformed("no time like 2026-01-31T12:34:56.789Z");

/// Reads one line.
pub(super) fn parse(text: &[u8], assumptions: &Assumptions) -> Result<Line, Skipped> {
    let json: JsonLine<'_> = serde_json::from_slice(text).map_err(|_| NO_JSON)?;
    let at = humantime::parse_rfc3339(&json.time).map_err(|_| NO_TIME)?;
    let at = at.duration_since(UNIX_EPOCH).map_err(|_| NO_TIME)?;
    let (Some(method), Some(target)) = (&json.method, &json.target) else {
        return Err(Skipped::NoRequest);
    };
    let (method, target) = request(method.as_bytes(), &plain(target))?;
    Ok(Line {
        at: u64::try_from(at.as_nanos()).map_err(|_| NO_TIME)?,
        is_coarse: false,
        host: json.host.as_deref().map(text_of),
        method,
        origin: origin(&json, assumptions),
        target,
        upgrades: json.end.as_deref() == Some("tunnel"),
        visitor: json.partition.as_deref().map_or(Visitor::Anybody, visitor),
    })
}

fn visitor(partition: &str) -> Visitor {
    match partition.split_once('-') {
        Some(("cookies", id)) => Visitor::Cookies(hash(id)),
        Some(("session", id)) => Visitor::Session(hash(id)),
        Some(_) | None => Visitor::Anybody,
    }
}

fn origin(json: &JsonLine<'_>, assumptions: &Assumptions) -> Origin {
    let left = json.end.as_deref() == Some("client-left");
    let Some(took) = json.origin_ms.map(millis) else {
        return if left {
            let took = millis(json.duration_ms);
            Origin::Left { took }
        } else {
            Origin::NotAsked {
                bytes: json.bytes_sent,
                well: json.circuit.as_deref() == Some("CLOSED")
                    && json.status == Some(200)
                    // That rescues, and may do so as the application is full or slow.
                    && json.source.as_deref() != Some(LAST_KNOWN_SUCCESS),
            }
        };
    };
    let failure = json.origin_failure.as_deref().map(failure);
    let status = json
        .origin_status
        .and_then(|status| StatusCode::from_u16(status).ok());
    match (status, failure) {
        (None, Some(failure)) => Origin::Failed { failure, took },
        // Nobody waited any longer: the client left, or got a copy as it took too long.
        (None, None) => Origin::Left { took },
        (Some(status), failure) => Origin::Answered(Answer {
            bytes: json.origin_bytes.unwrap_or(json.bytes_sent),
            // Lines of versions that did not tell have no head time either.
            cache_control: match (&json.origin_cache_control, json.origin_head_ms) {
                (None, None) => assumptions.cache_control.as_deref().map(Into::into),
                (told, _) => told.as_deref().map(text_of),
            },
            content_type: json.origin_content_type.as_deref().map(text_of),
            cookies: match json.origin_cookies.as_deref() {
                Some("change-session") => Cookies::ChangesSession,
                Some(_) => Cookies::Sets,
                None => Cookies::None,
            },
            end: match failure {
                Some(_) => End::Truncated,
                None if left => End::ClientLeft,
                None => End::Complete,
            },
            head: json.origin_head_ms.map_or(took, millis).min(took),
            status,
            took,
            varies_on_all: json
                .origin_vary
                .as_deref()
                .is_some_and(|vary| vary.contains('*')),
            version: version(json, status),
        }),
    }
}

/// A 304 tells by its validator which page the client has.
fn version(json: &JsonLine<'_>, status: StatusCode) -> Option<u64> {
    let is_page = status == StatusCode::OK;
    if !is_page && status != StatusCode::NOT_MODIFIED {
        return None;
    }
    let validator = json
        .origin_etag
        .as_deref()
        .or(json.origin_last_modified.as_deref());
    match validator {
        Some(validator) => Some(hash(validator)),
        // An answer to HEAD has the length of nothing.
        None if json.method.as_deref() == Some("HEAD") => None,
        None => json.origin_bytes.filter(|_| is_page),
    }
}

fn failure(word: &str) -> Failure {
    let known = [
        Failure::Connect,
        Failure::Protocol,
        Failure::Reset,
        Failure::Timeout,
        Failure::Truncated,
    ];
    let found = known.into_iter().find(|failure| failure.as_str() == word);
    found.unwrap_or(Failure::Protocol)
}

fn millis(millis: f64) -> Duration {
    Duration::try_from_secs_f64(millis / 1000.0).unwrap_or_default()
}

fn plain(text: &str) -> Bytes {
    unescape(text.as_bytes()).into()
}

fn text_of(text: &str) -> Box<str> {
    String::from_utf8_lossy(&plain(text)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(members: &str) -> Result<Line, Skipped> {
        let text = format!("{{\"time\":\"2026-01-31T12:34:56.789Z\",{members}}}");
        parse(text.as_bytes(), &Assumptions::default())
    }

    const GET: &str = r#""method":"GET","target":"/a\\x22?b","host":"shop.example""#;

    #[track_caller]
    fn origin_of(members: &str) -> Origin {
        read(&format!("{GET},{members}")).unwrap().origin
    }

    #[test]
    fn requests_are_read_back() {
        let line = read(&format!("{GET},\"partition\":\"session-12ab\"")).unwrap();
        assert_eq!(line.at, 1_769_862_896_789_000_000);
        assert_eq!(&line.target[..], b"/a\"?b");
        assert_eq!(line.path(), b"/a\"");
        assert_eq!(line.host.as_deref(), Some("shop.example"));
        assert_eq!(line.visitor, Visitor::Session(hash("12ab")));
        assert!(line.reads());
        let tunnel = read(&format!("{GET},\"end\":\"tunnel\"")).unwrap();
        assert!(!tunnel.reads());
        assert_eq!(
            read("\"method\":null,\"target\":null"),
            Err(Skipped::NoRequest)
        );
        assert_eq!(read("\"method\":"), Err(NO_JSON));
        assert_eq!(
            parse(
                b"{\"time\":\"now\",\"method\":\"GET\",\"target\":\"/\"}",
                &Assumptions::default()
            ),
            Err(NO_TIME)
        );
    }

    #[test]
    fn what_the_application_did() {
        let took = Duration::from_millis(30);
        let failed = origin_of(r#""origin_failure":"reset","origin_ms":30"#);
        assert_eq!(
            failed,
            Origin::Failed {
                failure: Failure::Reset,
                took
            }
        );
        let left = origin_of(r#""end":"client-left","duration_ms":30"#);
        assert_eq!(left, Origin::Left { took });
        assert_eq!(origin_of(r#""origin_ms":30"#), Origin::Left { took });
        let open = origin_of(r#""status":200,"circuit":"OPEN","bytes_sent":7"#);
        assert_eq!(
            open,
            Origin::NotAsked {
                bytes: 7,
                well: false
            }
        );
        let fresh = origin_of(r#""status":200,"circuit":"CLOSED","bytes_sent":7"#);
        assert_eq!(
            fresh,
            Origin::NotAsked {
                bytes: 7,
                well: true
            }
        );
        let rescued = origin_of(
            r#""status":200,"circuit":"CLOSED","source":"last-known-success","bytes_sent":7"#,
        );
        assert_eq!(rescued, open);
        let answered = origin_of(
            r#""origin_ms":30,"origin_head_ms":20,"origin_status":200,"origin_bytes":9,
               "origin_cookies":"change-session","origin_etag":"v1","origin_vary":"*",
               "origin_failure":"truncated","origin_cache_control":"private""#,
        );
        let Origin::Answered(answer) = answered else {
            panic!("there is a status");
        };
        assert_eq!(answer.head, Duration::from_millis(20));
        assert_eq!((answer.bytes, answer.end), (9, End::Truncated));
        assert_eq!(answer.cookies, Cookies::ChangesSession);
        assert_eq!(answer.version, Some(hash("v1")));
        assert_eq!(answer.cache_control.as_deref(), Some("private"));
        assert!(answer.varies_on_all);
        let head = r#""origin_ms":1,"origin_status":200,"origin_bytes":0"#;
        let head = read(&format!(r#""method":"HEAD","target":"/",{head}"#)).unwrap();
        assert!(matches!(head.origin, Origin::Answered(answer) if answer.version.is_none()));
    }
}
