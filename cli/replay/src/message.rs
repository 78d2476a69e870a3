//! Owns the heads of a replay: what a line's request and its answer looked like to this program.
//! Never tells more of them than the log does.

use retter_core::message::{FieldsBuilder, RequestHead, ResponseHead, Version};
use retter_log::Visitor;

use super::assume::Sessions;
use super::line::{Answer, Cookies, End, Line};

/// The log does not tell cookies, but what they meant: these mean it again.
pub(super) const SESSION_COOKIE: &str = "retter-session";
const OTHER_COOKIE: &str = "retter-other";

/// The request of a line, as this program would have seen it.
pub(super) fn request(line: &Line, sessions: Sessions) -> RequestHead {
    let mut fields = FieldsBuilder::default();
    let host = line.host.as_deref().unwrap_or("the-log.invalid");
    fields.push("host", host.as_bytes());
    let visitor = match sessions {
        Sessions::None => line.shared,
        Sessions::Visitor => line.visitor,
    };
    let cookie = match visitor {
        Visitor::Anybody => None,
        Visitor::Marked(id) => Some(format!("{OTHER_COOKIE}={id:x}")),
        Visitor::Session(id) => Some(format!("{SESSION_COOKIE}={id:x}")),
    };
    if let Some(cookie) = cookie {
        fields.push("cookie", cookie.as_bytes());
    }
    if line.upgrades {
        fields.push("connection", b"upgrade");
        fields.push("upgrade", b"websocket");
    }
    RequestHead {
        method: line.method.clone(),
        target: line.target.clone(),
        version: Version::Http11,
        fields: fields.build(),
    }
}

/// The head of an answer. Its `ETag` is the [version](Answer::version) of the page.
pub(super) fn response(answer: &Answer, request: &RequestHead) -> ResponseHead {
    let mut fields = FieldsBuilder::default();
    let mut put = |name, value: Option<&str>| {
        if let Some(value) = value {
            fields.push(name, value.as_bytes());
        }
    };
    put("cache-control", answer.cache_control.as_deref());
    put("content-type", answer.content_type.as_deref());
    if answer.end == End::Complete && request.method != http::Method::HEAD {
        put("content-length", Some(&answer.bytes.to_string()));
    }
    put(
        "etag",
        answer.version.map(|version| version.to_string()).as_deref(),
    );
    put(
        "set-cookie",
        match answer.cookies {
            Cookies::ChangesSession => Some("retter-session=another"),
            Cookies::None => None,
            Cookies::Sets => Some("retter-other=another"),
        },
    );
    put("vary", answer.varies_on_all.then_some("*"));
    ResponseHead::new(answer.status, fields.build())
}
