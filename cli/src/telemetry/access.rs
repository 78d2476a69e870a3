//! Owns the access log: the form of its lines.
//! Never makes a request wait: [`Lines`] does not.

use std::borrow::Cow;
use std::io::Write;
use std::net::SocketAddr;

use retter_core::key::{Keyer, Partition, SessionChange};
use retter_core::message::{RequestHead, Version};
use retter_core::report::{End, Report};
use serde::Serialize;

use super::lines::Lines;
use crate::clock::{Clock, LogTime, millis};
use crate::settings::AccessFormat;

/// Writes one line per exchange through a thread of its own.
#[derive(Debug)]
pub(crate) struct AccessLog {
    format: AccessFormat,
    lines: Lines,
}

impl AccessLog {
    /// Starts the thread that writes to `out`.
    pub(crate) fn start(
        format: AccessFormat,
        out: impl Write + Send + 'static,
    ) -> std::io::Result<Self> {
        let lines = Lines::start("access-log", out)?;
        Ok(Self { format, lines })
    }

    /// Hands one line to the writer, or drops it.
    pub(crate) fn write(&self, report: &Report, keyer: &Keyer, clock: Clock) {
        self.lines.put(line(self.format, report, keyer, clock));
    }

    /// Waits a moment for who reads what is left.
    pub(crate) fn flush(&self) {
        self.lines.flush();
    }

    /// Lines dropped since start.
    pub(crate) fn dropped(&self) -> u64 {
        self.lines.dropped()
    }
}

fn line(format: AccessFormat, report: &Report, keyer: &Keyer, clock: Clock) -> String {
    match format {
        AccessFormat::Combined => {
            let field = |name| escape(field_of(report, name).unwrap_or(b"-"));
            let referer = field_of(report, "referer").unwrap_or(b"-");
            let (referer, agent) = (escape(&without_secrets(referer)), field("user-agent"));
            format!("{} \"{referer}\" \"{agent}\"\n", common(report, clock))
        }
        AccessFormat::Common => format!("{}\n", common(report, clock)),
        AccessFormat::Json => json(report, keyer, clock),
    }
}

fn common(report: &Report, clock: Clock) -> String {
    let request = report.request.as_ref().map_or_else(
        || "-".to_owned(),
        |head| {
            let method = escape(head.method.as_str().as_bytes());
            let target = escape(&without_secrets(&head.target));
            format!("{method} {target} HTTP/{}", version(head))
        },
    );
    let status = report
        .status
        .map_or_else(|| "-".to_owned(), |status| status.as_str().to_owned());
    format!(
        "{} - - [{}] \"{request}\" {status} {}",
        report.client,
        LogTime(clock.wall(report.ended)),
        report.bytes_sent
    )
}

fn version(head: &RequestHead) -> &'static str {
    match head.version {
        Version::Http10 => "1.0",
        Version::Http11 => "1.1",
    }
}

/// What `retter replay` reads again, in `replay::json`.
#[derive(Serialize)]
struct JsonLine<'a> {
    time: String,
    /// Who asked: what a trusted proxy tells, or the peer.
    client: String,
    peer: String,
    host: Option<String>,
    method: Option<String>,
    target: Option<String>,
    /// Whose copies this request may see: a keyed hash, new with each start of the program.
    partition: Option<String>,
    status: Option<u16>,
    source: &'a str,
    circuit: &'a str,
    end: &'a str,
    bytes_received: u64,
    bytes_sent: u64,
    duration_ms: f64,
    origin_status: Option<u16>,
    origin_failure: Option<&'a str>,
    /// What the client sent that is not HTTP/1.1 or breaks a limit, and what the application did.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_broke: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin_broke: Option<String>,
    origin_ms: Option<f64>,
    origin_head_ms: Option<f64>,
    origin_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin_cache_control: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin_content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin_etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin_last_modified: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin_vary: Option<String>,
    /// What its answer did to cookies that may change pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin_cookies: Option<&'a str>,
    referer: Option<String>,
    user_agent: Option<String>,
}

fn json(report: &Report, keyer: &Keyer, clock: Clock) -> String {
    let head = report.request.as_ref();
    let origin = report.origin.as_ref();
    let answer = origin.and_then(|origin| origin.head.as_ref());
    let answered = |name| {
        let (answer, _) = answer?;
        let values: Vec<_> = answer.fields.get_all(name).map(escape).collect();
        (!values.is_empty()).then(|| values.join(", "))
    };
    let change = answer
        .zip(head)
        .map(|((answer, _), head)| keyer.session_change(&head.fields, &answer.fields));
    let started = humantime::format_rfc3339_millis(clock.wall(report.started));
    let line = JsonLine {
        time: started.to_string(),
        client: report.client.to_string(),
        peer: SocketAddr::new(report.peer.ip().to_canonical(), report.peer.port()).to_string(),
        host: head.map(|head| escape(head.authority())),
        method: head.map(|head| escape(head.method.as_str().as_bytes())),
        target: head.map(|head| escape(&without_secrets(&head.target))),
        partition: head.map(|head| partition_text(keyer.partition(&head.fields))),
        status: report.status.map(|status| status.as_u16()),
        source: report.source.as_str(),
        circuit: report.circuit.as_str(),
        end: match report.end {
            End::ClientLeft => "client-left",
            End::Complete => "complete",
            End::Truncated => "truncated",
            End::Tunnel => "tunnel",
        },
        bytes_received: report.bytes_received,
        bytes_sent: report.bytes_sent,
        duration_ms: millis(report.ended.saturating_since(report.started)),
        origin_status: origin
            .and_then(|origin| origin.status)
            .map(|status| status.as_u16()),
        origin_failure: origin
            .and_then(|origin| origin.failure)
            .map(|failure| failure.as_str()),
        client_broke: report.broken.map(|error| error.to_string()),
        origin_broke: origin
            .and_then(|origin| origin.broken)
            .map(|error| error.to_string()),
        origin_ms: origin.map(|origin| millis(origin.time)),
        origin_head_ms: answer.map(|(_, time)| millis(*time)),
        origin_bytes: origin.map(|origin| origin.bytes),
        // The first of them counts (RFC 9213 §2.2).
        origin_cache_control: ["retter-cache-control", "cdn-cache-control", "cache-control"]
            .into_iter()
            .find_map(answered),
        origin_content_type: answered("content-type"),
        origin_etag: answered("etag"),
        origin_last_modified: answered("last-modified"),
        origin_vary: answered("vary"),
        origin_cookies: match change {
            Some(SessionChange::ChangesSession) => Some("change-session"),
            Some(SessionChange::SetsCookie) => Some("set"),
            Some(SessionChange::None) | None => None,
        },
        referer: field_of(report, "referer").map(|url| escape(&without_secrets(url))),
        user_agent: field_of(report, "user-agent").map(escape),
    };
    let mut text = serde_json::to_string(&line).expect("texts and numbers always serialise");
    text.push('\n');
    text
}

/// Half of the hash tells a site's sessions apart, and gives nothing away either.
fn partition_text(partition: Partition) -> String {
    match partition {
        Partition::Shared => "shared".to_owned(),
        Partition::Marked(hash) => format!("marked-{:016x}", hash >> 64),
        Partition::Session(hash) => format!("session-{:016x}", hash >> 64),
    }
}

fn field_of<'a>(report: &'a Report, name: &str) -> Option<&'a [u8]> {
    report
        .request
        .as_ref()
        .and_then(|head| head.fields.get(name))
}

/// Query parameters whose values let whoever reads them act as the user (RFC 6750 §2.3 warns of
/// logs), by parts of their names.
const SECRETS: [&str; 9] = [
    "apikey", "api_key", "auth", "code", "passw", "secret", "session", "sig", "token",
];

/// A URL without the values of such parameters.
fn without_secrets(url: &[u8]) -> Cow<'_, [u8]> {
    let Some(mark) = url.iter().position(|&byte| byte == b'?') else {
        return Cow::Borrowed(url);
    };
    let (path, query) = url.split_at(mark + 1);
    let is_secret = |pair: &[u8]| {
        let name = pair.split(|&byte| byte == b'=').next().unwrap_or_default();
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        name.len() < pair.len() && SECRETS.iter().any(|secret| name.contains(secret))
    };
    if !query.split(|&byte| byte == b'&').any(is_secret) {
        return Cow::Borrowed(url);
    }
    let mut shown = path.to_vec();
    for (index, pair) in query.split(|&byte| byte == b'&').enumerate() {
        if index > 0 {
            shown.push(b'&');
        }
        if is_secret(pair) {
            shown.extend(pair.iter().take_while(|&&byte| byte != b'='));
            shown.extend_from_slice(b"=...");
        } else {
            shown.extend_from_slice(pair);
        }
    }
    Cow::Owned(shown)
}

/// Text from the network as one harmless word: everything but printable ASCII, and quote and
/// backslash, becomes `\xHH`, so that nobody can forge a line or steer a terminal.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'"' | b'\\' | 0..0x20 | 0x7f.. => out.push_str(&format!("\\x{byte:02X}")),
            _ => out.push(char::from(byte)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use http::{Method, StatusCode};
    use retter_core::breaker::State;
    use retter_core::config::CacheSettings;
    use retter_core::message::{Fields, ResponseHead};
    use retter_core::report::{OriginReport, Source};
    use retter_core::time::Instant;

    use super::*;

    fn report() -> Report {
        let fields = Fields::from_pairs([
            ("Host", &b"shop.example"[..]),
            ("User-Agent", b"evil\" \x1b[31m\xff\\"),
        ]);
        let answer = ResponseHead::new(
            StatusCode::BAD_GATEWAY,
            Fields::from_pairs([
                ("Cache-Control", &b"private"[..]),
                ("Cache-Control", b"max-age=\"5"),
                ("ETag", b"W/\"v1\""),
                ("Set-Cookie", b"PHPSESSID=secret"),
            ]),
        );
        let at = |millis| Instant::from_epoch(Duration::from_millis(millis));
        Report {
            broken: None,
            bytes_received: 0,
            bytes_sent: 12,
            circuit: State::Open,
            claims_forwarding: false,
            client: "203.0.113.9".parse().unwrap(),
            end: End::Complete,
            ended: at(35),
            origin: Some(OriginReport {
                broken: None,
                bytes: 34,
                failure: None,
                head: Some((Arc::new(answer), Duration::from_millis(20))),
                is_stream: false,
                status: Some(StatusCode::BAD_GATEWAY),
                time: Duration::from_micros(30_500),
            }),
            peer: "[::ffff:192.0.2.1]:4711".parse().unwrap(),
            request: Some(Arc::new(RequestHead::new(Method::GET, "/a?b=\"", fields))),
            source: Source::LastKnownSuccess,
            started: at(0),
            status: Some(StatusCode::OK),
        }
    }

    fn keyer() -> Keyer {
        Keyer::new(&CacheSettings::default(), 1)
    }

    #[test]
    fn network_text_is_escaped() {
        #[track_caller]
        fn check(bytes: &[u8], shown: &str) {
            assert_eq!(escape(bytes), shown);
        }
        check(b"/plain?a=b c", "/plain?a=b c");
        check(b"\"\\", "\\x22\\x5C");
        check(b"a\r\n127.0.0.1 - -", "a\\x0D\\x0A127.0.0.1 - -");
        check(b"\x1b]0;\x07\x7f", "\\x1B]0;\\x07\\x7F");
        check("ü\u{9b}".as_bytes(), "\\xC3\\xBC\\xC2\\x9B");
    }

    #[test]
    fn secrets_in_urls_are_not_logged() {
        #[track_caller]
        fn check(url: &str, shown: &str) {
            assert_eq!(without_secrets(url.as_bytes()), shown.as_bytes());
        }
        check("/token", "/token");
        check("/a?b=c&d", "/a?b=c&d");
        check("/a?token=x&b=c", "/a?token=...&b=c");
        check("/a?b=c&Access_Token=x=y", "/a?b=c&Access_Token=...");
        check("/a?token&b", "/a?token&b");
        check(
            "http://h/?password=x&signature=y#z",
            "http://h/?password=...&signature=...",
        );
    }

    #[test]
    fn common_and_combined() {
        let clock = Clock::start();
        let common = line(AccessFormat::Common, &report(), &keyer(), clock);
        assert!(common.starts_with("203.0.113.9 - - ["), "{common}");
        assert!(
            common.ends_with(" +0000] \"GET /a?b=\\x22 HTTP/1.1\" 200 12\n"),
            "{common}"
        );
        let combined = line(AccessFormat::Combined, &report(), &keyer(), clock);
        let tail = " 200 12 \"-\" \"evil\\x22 \\x1B[31m\\xFF\\x5C\"\n";
        assert!(combined.ends_with(tail), "{combined}");
        let unreadable = Report {
            request: None,
            status: None,
            ..report()
        };
        let line = line(AccessFormat::Combined, &unreadable, &keyer(), clock);
        assert!(line.ends_with(" \"-\" - 12 \"-\" \"-\"\n"), "{line}");
    }

    #[test]
    fn json_has_source_circuit_and_times() {
        let text = line(AccessFormat::Json, &report(), &keyer(), Clock::start());
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["source"], "last-known-success");
        assert_eq!(json["circuit"], "OPEN");
        assert_eq!(json["origin_status"], 502);
        assert_eq!(json["origin_ms"], 30.5);
        assert_eq!(json["client"], "203.0.113.9");
        assert_eq!(json["peer"], "192.0.2.1:4711");
        assert_eq!(json["duration_ms"], 35.0);
        assert_eq!(json["user_agent"], "evil\\x22 \\x1B[31m\\xFF\\x5C");
        assert_eq!(json["referer"], serde_json::Value::Null);
        assert_eq!(json["partition"], "shared");
        assert_eq!(json["origin_head_ms"], 20.0);
        assert_eq!(json["origin_bytes"], 34);
        assert_eq!(json["origin_cache_control"], "private, max-age=\\x225");
        assert_eq!(json["origin_etag"], "W/\\x22v1\\x22");
        assert_eq!(json.get("origin_vary"), None);
        assert_eq!(json["origin_cookies"], "change-session");
        assert!(!text.contains("secret"));
    }
}
