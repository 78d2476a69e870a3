//! Owns [`Line`]: one exchange as a line of the access log in JSON, written and read here.
//! Never opens a log or reads a clock, and never writes text from the network unescaped.
//!
//! ```
//! use retter_log::Line;
//!
//! let text = r#"{"time":"2026-01-31T12:34:56.789Z","target":"/a\\x22b","source":"cache"}"#;
//! let line = Line::parse(text.as_bytes()).expect("it is JSON");
//! assert_eq!(line.target.as_deref(), Some(&b"/a\"b"[..]));
//! assert_eq!(line.source, Some(retter_core::report::Source::Cache));
//! assert_eq!(line.status, None);
//! ```

mod text;
mod word;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use retter_core::breaker::State;
use retter_core::event::Report;
use retter_core::key::{Keyer, SessionChange};
use retter_core::message::RequestHead;
use retter_core::report::{End, Failure, Source};
use serde::{Deserialize, Serialize};

pub use text::{Text, escape, unescape, without_secrets};
pub use word::{Millis, Visitor, millis};

/// One exchange. A field is `None` where the line does not tell it: since there was nothing to
/// tell, as older versions did not, or with a word that is not known.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Line<'a> {
    /// When the request's first byte was seen, by the wall clock, in whole milliseconds. Written
    /// in every line.
    #[serde(with = "word", default)]
    pub time: Option<SystemTime>,
    /// The client's address: as a trusted proxy tells it, or the peer's.
    #[serde(with = "word", default)]
    pub client: Option<IpAddr>,
    /// The other end of the connection.
    #[serde(with = "word", default)]
    pub peer: Option<SocketAddr>,
    /// The authority that was asked (RFC 9110 §7.2).
    #[serde(borrow, default)]
    pub host: Option<Text<'a>>,
    /// What the request is called in its answer and at the application (`X-Request-Id`).
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Text<'a>>,
    /// The request's method; `None` where the request could not be parsed.
    #[serde(borrow, default)]
    pub method: Option<Text<'a>>,
    /// The request's target, without the values of secrets.
    #[serde(borrow, default)]
    pub target: Option<Text<'a>>,
    /// Whose copies the request may see.
    #[serde(with = "word", default)]
    pub partition: Option<Visitor>,
    /// The status that was sent.
    #[serde(default)]
    pub status: Option<u16>,
    /// Where the answer came from.
    #[serde(with = "word", default)]
    pub source: Option<Source>,
    /// What the answer says of itself in `Cache-Status` (RFC 9211): why a copy answered, or none did.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub cache_status: Option<Text<'a>>,
    /// How long ago the copy came that answered; `None` where none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_age_ms: Option<Millis>,
    /// Whether it waited for room at the application, or for that to be back.
    #[serde(default)]
    pub waited: bool,
    /// The circuit as the answer showed it.
    #[serde(with = "word", default)]
    pub circuit: Option<State>,
    /// How the exchange ended.
    #[serde(with = "word", default)]
    pub end: Option<End>,
    /// Content bytes received from the client.
    #[serde(default)]
    pub bytes_received: u64,
    /// Content bytes sent to the client.
    #[serde(default)]
    pub bytes_sent: u64,
    /// From the request's first byte to the end.
    #[serde(default)]
    pub duration_ms: Millis,
    /// The status of the application's answer.
    #[serde(default)]
    pub origin_status: Option<u16>,
    /// How the application failed.
    #[serde(with = "word", default)]
    pub origin_failure: Option<Failure>,
    /// What the client sent that is not HTTP/1.1 or breaks a limit.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub client_broke: Option<Text<'a>>,
    /// What the application sent that is not HTTP/1.1 or breaks a limit.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub origin_broke: Option<Text<'a>>,
    /// How long the application was asked; `None` where it was not.
    #[serde(default)]
    pub origin_ms: Option<Millis>,
    /// From the request to the head of the application's answer.
    #[serde(default)]
    pub origin_head_ms: Option<Millis>,
    /// Content bytes of the application's answer that were read.
    #[serde(default)]
    pub origin_bytes: Option<u64>,
    /// The directives of the application's answer that count here (RFC 9213 §2.2).
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub origin_cache_control: Option<Text<'a>>,
    /// The media type of the application's answer.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub origin_content_type: Option<Text<'a>>,
    /// The entity tag of the application's answer.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub origin_etag: Option<Text<'a>>,
    /// When the application's page was last changed, as it says.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub origin_last_modified: Option<Text<'a>>,
    /// The fields that shaped the application's answer.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub origin_vary: Option<Text<'a>>,
    /// What the application's answer did to cookies that may change pages; `None` for nothing.
    #[serde(with = "word", default, skip_serializing_if = "Option::is_none")]
    pub origin_cookies: Option<SessionChange>,
    /// The page that led here, without the values of secrets.
    #[serde(borrow, default)]
    pub referer: Option<Text<'a>>,
    /// The client's program.
    #[serde(borrow, default)]
    pub user_agent: Option<Text<'a>>,
    /// The trace that the request belongs to (W3C Trace Context §3.2).
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<Text<'a>>,
    /// What tracing systems add to that (W3C Trace Context §3.3).
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<Text<'a>>,
}

impl<'a> Line<'a> {
    /// The line for an exchange that began at `started` by the wall clock. `keyer` is that of the
    /// settings that hold: it tells whose copies the request may see, by a keyed hash that is new
    /// with each start of the program.
    #[must_use]
    pub fn of(report: &'a Report, keyer: &Keyer, started: SystemTime) -> Self {
        let head = report.request.as_deref();
        let origin = report.origin.as_ref();
        let answer = origin.and_then(|origin| origin.head.as_ref());
        let answered = |name| Text::joined(answer?.0.fields.get_all(name));
        let asked = |name| head?.fields.get(name);
        let change =
            |head: &RequestHead| Some(keyer.session_change(&head.fields, &answer?.0.fields));
        Self {
            time: Some(whole_millis(started)),
            client: Some(report.client),
            peer: Some(SocketAddr::new(
                report.peer.ip().to_canonical(),
                report.peer.port(),
            )),
            host: head.map(|head| head.authority().into()),
            request_id: report.request_id.as_ref().map(Text::said),
            method: head.map(|head| head.method.as_str().as_bytes().into()),
            target: head.map(|head| Text(without_secrets(&head.target))),
            partition: head.map(|head| keyer.partition(&head.fields).into()),
            status: report.status.map(|status| status.as_u16()),
            source: Some(report.source),
            cache_status: report
                .handling
                .map(|handling| Text(handling.cache_status().to_vec().into())),
            copy_age_ms: report.copy_age.map(Millis::from),
            waited: report.waited,
            circuit: Some(report.circuit),
            end: Some(report.end),
            bytes_received: report.bytes_received,
            bytes_sent: report.bytes_sent,
            duration_ms: report.ended.saturating_since(report.started).into(),
            origin_status: origin.and_then(|origin| Some(origin.status?.as_u16())),
            origin_failure: origin.and_then(|origin| origin.failure),
            client_broke: report.broken.map(Text::said),
            origin_broke: origin.and_then(|origin| origin.broken).map(Text::said),
            origin_ms: origin.map(|origin| origin.time.into()),
            origin_head_ms: answer.map(|(_, time)| (*time).into()),
            origin_bytes: origin.map(|origin| origin.bytes),
            // The first of them counts (RFC 9213 §2.2).
            origin_cache_control: ["retter-cache-control", "cdn-cache-control", "cache-control"]
                .into_iter()
                .find_map(answered),
            origin_content_type: answered("content-type"),
            origin_etag: answered("etag"),
            origin_last_modified: answered("last-modified"),
            origin_vary: answered("vary"),
            origin_cookies: head
                .and_then(change)
                .filter(|change| *change != SessionChange::None),
            referer: asked("referer").map(|url| Text(without_secrets(url))),
            user_agent: asked("user-agent").map(Text::from),
            traceparent: asked("traceparent").map(Text::from),
            tracestate: Text::joined(
                head.into_iter()
                    .flat_map(|head| head.fields.get_all("tracestate")),
            ),
        }
    }

    /// Reads a line. Members that are not known are skipped, those that are missing are `None`.
    ///
    /// # Errors
    /// It is no JSON, or a member is of another type.
    pub fn parse(text: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text)
    }

    /// The line as it is written, with its end.
    ///
    /// # Panics
    /// Never: texts and numbers always serialise.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string(self).expect("texts and numbers always serialise");
        text.push('\n');
        text
    }
}

fn whole_millis(time: SystemTime) -> SystemTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::new(since.as_secs(), since.subsec_millis() * 1_000_000)
}

#[cfg(test)]
mod tests;
