//! Owns which fields pass this program and which it adds (RFC 9110 §7.6, RFC 7239).
//! Never writes framing: `Content-Length`, `Transfer-Encoding` and `Connection` are the caller's.

use std::borrow::Cow;

use http::Method;
use smallvec::SmallVec;

use super::etag;
use super::forwarded::View;
pub use crate::message::known::is_retter_field;
use crate::message::known::{Is, Known, dashed, is, is_forwarding, is_user, look_up};
use crate::message::{Fields, Line, RequestHead, ResponseHead, Version, is_token};

/// Protocols of `Upgrade` that are HTTP (RFC 9110 §16.7).
const HTTP_ITSELF: [&[u8]; 4] = [b"h2", b"h2c", b"h3", b"http"];

/// Which fields of one message belong to its connection. Built once per message.
#[derive(Clone, Debug)]
pub struct HopByHop<'a> {
    nominated: SmallVec<[&'a [u8]; 4]>,
}

impl<'a> HopByHop<'a> {
    /// Reads the nominations in `Connection`.
    #[must_use]
    pub fn of(fields: &'a Fields) -> Self {
        // What is hop-by-hop anyway, most of all `close` and `keep-alive`, needs no place here.
        let nominated = fields
            .tokens("connection")
            .filter(|&name| {
                let known = look_up(name);
                let is_decided = is(known, Is::HopByHop) || is(known, Is::EndToEnd);
                !is_decided && !is_forwarding(name) && !name.eq_ignore_ascii_case(b"close")
            })
            .collect();
        Self { nominated }
    }

    /// Whether the field `name` is end-to-end: it is forwarded and stored.
    #[must_use]
    pub fn keeps(&self, name: &[u8]) -> bool {
        self.keeps_known(look_up(name), name)
    }

    /// The same, of a name that was looked up.
    #[inline(always)]
    fn keeps_known(&self, known: Option<&Known>, name: &[u8]) -> bool {
        let is_it = |nominated: &&[u8]| nominated.eq_ignore_ascii_case(name);
        !is(known, Is::HopByHop) && !self.nominated.iter().any(is_it)
    }
}

/// The protocols of a request that asks to leave HTTP on its connection (RFC 9110 §7.8): the
/// value for the `Upgrade` field toward the origin.
///
/// Only a GET of HTTP/1.1 without content may, with one `Upgrade` line. HTTP itself is no such
/// protocol: a tunnel of `h2c` would carry requests past every rule of this program.
#[must_use]
pub fn upgrade(request: &RequestHead) -> Option<&[u8]> {
    let fields = &request.fields;
    if request.method != Method::GET
        // RFC 9110 §7.8: Upgrade in an HTTP/1.0 request MUST be ignored.
        || request.version != Version::Http11
        || has_content(fields)
        || !fields.has_token("connection", "upgrade")
    {
        return None;
    }
    let mut lines = fields.get_all("upgrade");
    let (Some(protocols), None) = (lines.next(), lines.next()) else {
        return None;
    };
    let mut names = fields.tokens("upgrade").map(protocol_name).peekable();
    names.peek()?;
    let harmless = names.all(|name| {
        let is_http = HTTP_ITSELF
            .iter()
            .any(|http| name.eq_ignore_ascii_case(http));
        is_token(name) && !is_http
    });
    harmless.then_some(protocols)
}

/// Whether a request announces content, be it empty in the end.
#[must_use]
pub fn has_content(request: &Fields) -> bool {
    request.contains("transfer-encoding")
        || request.get_all("content-length").any(|len| len != b"0")
}

/// What a request wants to hear before it sends its content (RFC 9110 §10.1.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expectation {
    /// `100-continue`.
    Continue,
    /// Nothing, or what has to be ignored: it has no content, or is of HTTP/1.0.
    None,
    /// Something else, or more: a 417 is the answer. Read in two ways it makes one peer wait for
    /// content that the other does not send.
    Unknown,
}

/// Reads what a request expects.
#[must_use]
pub fn expectation(request: &RequestHead) -> Expectation {
    let mut lines = request.fields.get_all("expect");
    match (lines.next(), lines.next()) {
        (None, _) => Expectation::None,
        // "MUST ignore that expectation".
        _ if request.version == Version::Http10 => Expectation::None,
        (Some(value), None) if value.eq_ignore_ascii_case(b"100-continue") => {
            // "A client MUST NOT generate a 100-continue expectation in a request that does not
            // include content".
            if has_content(&request.fields) {
                Expectation::Continue
            } else {
                Expectation::None
            }
        }
        (Some(_), _) => Expectation::Unknown,
    }
}

/// Whether the client takes trailer fields (`TE: trailers`, RFC 9110 §10.1.4). If so,
/// [`forward_request`] says it too, and the caller's `Connection` has to nominate `TE`.
#[must_use]
pub fn accepts_trailers(request: &Fields) -> bool {
    request.has_token("te", "trailers")
}

/// How many more hops an OPTIONS or TRACE may make (RFC 9110 §7.6.2); `None` where it does not say,
/// or for any other method. At 0 it must be answered here.
#[must_use]
pub fn max_forwards(request: &RequestHead) -> Option<u64> {
    let is_bounded = matches!(request.method, Method::OPTIONS | Method::TRACE);
    let value = request
        .fields
        .get_str("max-forwards")
        .filter(|_| is_bounded)?;
    value.parse().ok().filter(|_| !value.starts_with('+'))
}

/// Whether the origin gets another value of the field `name` for each client, or each request, whatever
/// the client sends.
#[must_use]
pub fn tells_client(name: &[u8]) -> bool {
    let names = [
        &b"x-forwarded-for"[..],
        b"forwarded",
        b"x-real-ip",
        b"x-request-id",
    ];
    names.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Gives all field lines of a request as the origin gets them to `put`, `Host` first, without
/// `Connection`, `Content-Length`, `Transfer-Encoding` and `Upgrade`, which are the caller's.
///
/// `fallback_authority` is sent as `Host` where the client named none. Of the fields by which
/// proxies tell who asked and for what, only those pass that `view` believes, and the origin is told
/// the view in all of the usual ones. `Via` continues what came.
pub fn forward_request(
    request: &RequestHead,
    view: &View,
    fallback_authority: &str,
    mut put: impl FnMut(Line<'_>),
) {
    let fields = &request.fields;
    let authority = request.authority();
    // RFC 9112 §3.2.2: the authority of an absolute-form target replaces Host.
    let host = if authority.is_empty() {
        fallback_authority.as_bytes()
    } else {
        authority
    };
    put(Line::new("Host", host));

    let told_host = view.host_or(authority);
    let hop_by_hop = HopByHop::of(fields);
    let hops_left = max_forwards(request);
    let passes_expect = expectation(request) == Expectation::Continue;
    let mut has_via = false;
    for line in fields.lines() {
        if line.is("via") {
            has_via = true;
            continue;
        }
        let known = look_up(line.name);
        let ends_here = line.is("host")
            || line.is("content-length")
            || line.is("expect") && !passes_expect
            || !hop_by_hop.keeps_known(known, line.name)
            || known.is_none() && is_look_alike(line.name)
            || !view.passes(line, told_host);
        if ends_here {
            continue;
        }
        if is(known, Is::OwnAnswer)
            && (line.is("if-none-match") || line.is("if-match"))
            && let Some(plain) = etag::plain(line.value)
        {
            put(line.with_value(&plain));
            continue;
        }
        match hops_left {
            Some(left) if line.is("max-forwards") => {
                let left = left.saturating_sub(1);
                put(Line::new(
                    "Max-Forwards",
                    itoa::Buffer::new().format(left).as_bytes(),
                ));
            }
            Some(_) | None => put(line),
        }
    }
    if accepts_trailers(fields) {
        put(Line::new("TE", b"trailers"));
    }
    view.put(told_host, &mut put);
    put_list(fields, "Via", has_via, via(request.version), &mut put);
}

/// Gives the end-to-end field lines of a response to `put`, without `Connection`,
/// `Content-Length` and `Transfer-Encoding`, which are the caller's, and with `Via` continued.
///
/// Fields that only this program may send (`X-Retter`, `X-Circuit`) or is told by
/// (`Retter-Cache-Control` and its kind) are left out. `Date` passes unchanged where the origin
/// sent it; where it did not, the caller adds it (RFC 9110 §6.6.1).
pub fn forward_response(response: &ResponseHead, mut put: impl FnMut(Line<'_>)) {
    let fields = &response.fields;
    let hop_by_hop = HopByHop::of(fields);
    let mut has_via = false;
    for line in fields.lines() {
        let ours = line.is("x-retter") || line.is("x-circuit") || is_retter_field(line.name);
        if line.is("via") {
            has_via = true;
        } else if !ours && !line.is("content-length") && hop_by_hop.keeps(line.name) {
            put(line);
        }
    }
    put_list(fields, "Via", has_via, via(response.version), &mut put);
}

/// Gives all lines of list field `name`, if some were `seen`, and then `member` to `put`, in one
/// line: many applications read only one line of such a field, and then the first.
fn put_list(
    fields: &Fields,
    name: &str,
    seen: bool,
    member: &[u8],
    put: &mut impl FnMut(Line<'_>),
) {
    if !seen {
        return put(Line::new(name, member));
    }
    let mut line: SmallVec<[u8; 256]> = SmallVec::new();
    for value in fields.get_all(name).filter(|value| !value.is_empty()) {
        line.extend_from_slice(value);
        line.extend_from_slice(b", ");
    }
    line.extend_from_slice(member);
    put(Line::new(name, &line));
}

/// RFC 9110 §7.6.3: the protocol in which the message was received, and its recipient.
const fn via(received: Version) -> &'static [u8] {
    match received {
        Version::Http10 => b"1.0 retter",
        Version::Http11 => b"1.1 retter",
    }
}

/// The name of `name/version`.
fn protocol_name(protocol: &[u8]) -> &[u8] {
    let end = memchr::memchr(b'/', protocol).unwrap_or(protocol.len());
    &protocol[..end]
}

/// Whether `name` is one that this program sets, drops or frames by, or that a proxy in front sets
/// for a user it has signed in, but for `_` where that has `-`. To applications behind CGI and its heirs the two are the same variable (RFC 3875
/// §4.1.18), so that it would stand beside, or instead of, what this program or
/// that proxy says, which lets a client's own `X_WEBAUTH_USER` pass.
fn is_look_alike(name: &[u8]) -> bool {
    dashed(name).is_some_and(|name| {
        let known = look_up(&name);
        let is_ours = is(known, Is::HopByHop) || is(known, Is::EndToEnd);
        is_ours || is_forwarding(&name) || is_user(&name)
    })
}

/// Passages of this program in `Via` at which a request is a loop. Two may stand in a row on
/// purpose.
const PASSAGES_MAX: usize = 3;

/// Whether a request has come back here (RFC 9110 §7.6.3): its `Via` names this program too often.
#[must_use]
pub fn is_loop(request: &Fields) -> bool {
    let is_ours = |member: &&[u8]| member.split(|&b| b == b' ').nth(1) == Some(b"retter");
    request.tokens("via").filter(is_ours).count() >= PASSAGES_MAX
}

/// Whether a response is an event stream: it lasts as long as its client wants, and each event
/// must go out at once.
#[must_use]
pub fn is_event_stream(response: &Fields) -> bool {
    let media_type = response.get("content-type").unwrap_or_default();
    let media_type = media_type
        .split(|&byte| byte == b';')
        .next()
        .unwrap_or_default();
    media_type
        .trim_ascii()
        .eq_ignore_ascii_case(b"text/event-stream")
}

/// The request target for the origin, in origin-form (RFC 9112 §3.2.1) behind `prefix`, or `*`.
#[must_use]
pub fn origin_target<'a>(request: &'a RequestHead, prefix: &str) -> Cow<'a, [u8]> {
    if prefix.is_empty() && request.target.starts_with(b"/") {
        return Cow::Borrowed(&request.target);
    }
    let target = request.path_and_query();
    // RFC 9112 §3.2.4: an absolute form without path asks about the server, and goes out as `*`.
    let authority = request.authority();
    let asks_server = request.method == Method::OPTIONS
        && !request.target.starts_with(b"/")
        && !authority.is_empty()
        && request.target.ends_with(authority);
    if asks_server || target == b"*" {
        return Cow::Borrowed(b"*");
    }
    // An absolute form may have a query and no path.
    let slash: &[u8] = if target.starts_with(b"/") { b"" } else { b"/" };
    Cow::Owned([prefix.as_bytes(), slash, target].concat())
}

#[cfg(test)]
mod tests;
