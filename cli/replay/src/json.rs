//! Owns what a line of RETTER's own access log tells about a request; `retter_log` reads it.
//! Never needs a member that older versions did not write, but for time, method and target.

use std::time::UNIX_EPOCH;

use http::StatusCode;
use retter_core::breaker::State;
use retter_core::key::SessionChange;
use retter_core::report::{End as Ended, Source};
use retter_log::{Line as Told, Text, Visitor};

use super::assume::Assumptions;
use super::line::{Answer, Cookies, End, Line, Origin, Skipped, hash, request};

const NO_JSON: Skipped = Skipped::Malformed("not JSON as RETTER_LOG_ACCESS=json writes it");
const NO_TIME: Skipped = Skipped::Malformed("no time like 2026-01-31T12:34:56.789Z");

/// Reads one line.
pub(super) fn parse(text: &[u8], assumptions: &Assumptions) -> Result<Line, Skipped> {
    let told = Told::parse(text).map_err(|_| NO_JSON)?;
    let at = told.time.ok_or(NO_TIME)?;
    let at = at.duration_since(UNIX_EPOCH).map_err(|_| NO_TIME)?;
    let (Some(method), Some(target)) = (&told.method, &told.target) else {
        return Err(Skipped::NoRequest);
    };
    let (method, target) = request(method, target)?;
    Ok(Line {
        at: u64::try_from(at.as_nanos()).map_err(|_| NO_TIME)?,
        is_coarse: false,
        client: told.client,
        host: told.host.as_ref().map(text_of),
        method,
        origin: origin(&told, assumptions),
        target,
        upgrades: told.end == Some(Ended::Tunnel),
        visitor: told.partition.unwrap_or(Visitor::Anybody),
        shared: told.partition.unwrap_or(Visitor::Anybody),
    })
}

fn origin(told: &Told<'_>, assumptions: &Assumptions) -> Origin {
    let left = told.end == Some(Ended::ClientLeft);
    let Some(took) = told.origin_ms.map(|took| took.0) else {
        return if left {
            let took = told.duration_ms.0;
            Origin::Left { took }
        } else {
            Origin::NotAsked {
                bytes: told.bytes_sent,
                well: told.circuit == Some(State::Closed)
                    && told.status == Some(200)
                    // That rescues, and may do so as the application is full or slow.
                    && told.source != Some(Source::LastKnownSuccess),
            }
        };
    };
    let status = told
        .origin_status
        .and_then(|status| StatusCode::from_u16(status).ok());
    match (status, told.origin_failure) {
        (None, Some(failure)) => Origin::Failed { failure, took },
        // Nobody waited any longer: the client left, or got a copy as it took too long.
        (None, None) => Origin::Left { took },
        (Some(status), failure) => Origin::Answered(Answer {
            bytes: told.origin_bytes.unwrap_or(told.bytes_sent),
            // Lines of versions that did not tell have no head time either.
            cache_control: match (&told.origin_cache_control, told.origin_head_ms) {
                (None, None) => assumptions.cache_control.as_deref().map(Into::into),
                (told, _) => told.as_ref().map(text_of),
            },
            content_type: told.origin_content_type.as_ref().map(text_of),
            cookies: match told.origin_cookies {
                Some(SessionChange::ChangesSession) => Cookies::ChangesSession,
                Some(SessionChange::SetsCookie) => Cookies::Sets,
                Some(SessionChange::None) | None => Cookies::None,
            },
            end: match failure {
                Some(_) => End::Truncated,
                None if left => End::ClientLeft,
                None => End::Complete,
            },
            head: told.origin_head_ms.map_or(took, |head| head.0).min(took),
            status,
            took,
            varies_on_all: told
                .origin_vary
                .as_ref()
                .is_some_and(|vary| vary.contains(&b'*')),
            version: version(told, status),
        }),
    }
}

/// A 304 tells by its validator which page the client has.
fn version(told: &Told<'_>, status: StatusCode) -> Option<u64> {
    let is_page = status == StatusCode::OK;
    if !is_page && status != StatusCode::NOT_MODIFIED {
        return None;
    }
    match told
        .origin_etag
        .as_ref()
        .or(told.origin_last_modified.as_ref())
    {
        Some(validator) => Some(hash(validator)),
        // An answer to HEAD has the length of nothing.
        None if told.method.as_deref() == Some(b"HEAD") => None,
        None => told.origin_bytes.filter(|_| is_page),
    }
}

fn text_of(text: &Text<'_>) -> Box<str> {
    String::from_utf8_lossy(text).into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use retter_core::report::Failure;

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
        assert_eq!(line.visitor, Visitor::Session(0x12ab));
        assert!(line.reads());
        let marked = read(&format!("{GET},\"partition\":\"marked-00ff\"")).unwrap();
        assert_eq!(marked.visitor, Visitor::Marked(0xff));
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
        assert_eq!(answer.version, Some(hash(&b"v1"[..])));
        assert_eq!(answer.cache_control.as_deref(), Some("private"));
        assert!(answer.varies_on_all);
        let head = r#""origin_ms":1,"origin_status":200,"origin_bytes":0"#;
        let head = read(&format!(r#""method":"HEAD","target":"/",{head}"#)).unwrap();
        assert!(matches!(head.origin, Origin::Answered(answer) if answer.version.is_none()));
    }
}
