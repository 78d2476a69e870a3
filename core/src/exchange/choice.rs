//! Owns the choice of a visitor to see the public version of pages while the origin does not answer: where the
//! button for it leads to, and what is answered there.
//! Never decides whether there is a public version, nor what it answers.
//!
//! The choice is of use for nobody but whoever makes it: it shows what a stranger may see. All the same it
//! is taken from a page of the same site only, and leads to a page of that only.

use bytes::Bytes;
use http::{Method, StatusCode};

use super::call::Call;
use crate::message::RequestHead;
use crate::rules::own_cookies::{self, PUBLIC};
use crate::rules::percent;

/// Behind the path of this program.
const NAME: &str = "/public";

/// Before the page to which the visitor goes back.
const QUERY: &str = "?to=";

/// For how long the choice counts.
const LASTS_SECS: u32 = 600;

/// What a request that makes the choice is answered with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Choice {
    /// It is made: back to this page, with this cookie.
    Made { page: Bytes, cookie: String },
    /// It is not.
    Refused(StatusCode, &'static str),
}

impl Choice {
    /// Reads the request of `call`; `None` where it is no such one, for which the path of this program
    /// has to be in its target.
    pub(crate) fn of(call: &Call, own_path: &str) -> Option<Self> {
        let request = &call.request;
        let rest = request.path_and_query().strip_prefix(own_path.as_bytes())?;
        let rest = rest.strip_prefix(NAME.as_bytes())?;
        if !matches!(rest.first(), None | Some(b'?')) || own_path.is_empty() {
            return None;
        }
        if request.method != Method::POST {
            let text = "there is nothing to see here: it is where a button leads to";
            return Some(Self::Refused(StatusCode::NOT_FOUND, text));
        }
        if !is_of_site(call) {
            let text = "this can be chosen on a page of this site only";
            return Some(Self::Refused(StatusCode::FORBIDDEN, text));
        }
        let page = rest
            .strip_prefix(QUERY.as_bytes())
            .and_then(percent::decoded);
        let page = page.filter(|page| is_page(page) && !page.starts_with(own_path.as_bytes()));
        let Some(page) = page else {
            let text = "the page to go back to is none of this site";
            return Some(Self::Refused(StatusCode::BAD_REQUEST, text));
        };
        let cookie = own_cookies::given(PUBLIC, &1, LASTS_SECS, call.view.scheme());
        Some(Self::Made {
            page: page.into(),
            cookie,
        })
    }
}

/// Where the button on the page for `request` leads to: a target that needs no escaping in HTML.
pub(super) fn target(own_path: &str, request: &RequestHead) -> String {
    let mut target = [own_path, NAME, QUERY].concat();
    for &byte in request.path_and_query() {
        let is_plain = byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
        if is_plain {
            target.push(char::from(byte));
        } else {
            const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
            target.push('%');
            for digit in [byte >> 4, byte & 15] {
                target.push(char::from(DIGITS[usize::from(digit)]));
            }
        }
    }
    target
}

/// Whether a browser says that a page of the same site asks: by `Sec-Fetch-Site`, which no page can set and
/// which proxies that rename the host do not spoil, or else by `Origin` (RFC 6454 §7). Every browser sends
/// one of them with a form.
fn is_of_site(call: &Call) -> bool {
    let request = &call.request;
    let fields = &request.fields;
    let has_one = |name: &str| fields.get_all(name).count() == 1;
    if let Some(site) = fields.get("sec-fetch-site") {
        return has_one("sec-fetch-site") && site == b"same-origin";
    }
    let Some(origin) = fields.get("origin").filter(|_| has_one("origin")) else {
        return false;
    };
    let host = call.view.host(request);
    let (scheme, named) = match origin {
        [b'h', b't', b't', b'p', b':', b'/', b'/', named @ ..] => (":80", named),
        [b'h', b't', b't', b'p', b's', b':', b'/', b'/', named @ ..] => (":443", named),
        _ => return false,
    };
    let plain = |name: &[u8]| {
        let port = scheme.as_bytes();
        name.strip_suffix(port).unwrap_or(name).to_ascii_lowercase()
    };
    !host.is_empty() && plain(named) == plain(host)
}

/// Whether it is the path and query of a page of this site, whoever reads it: browsers take `//` and `/\` for
/// the beginning of another site, and leave tabs and line feeds out.
fn is_page(target: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && !b"\\\"<>^`{|}#".contains(byte);
    target.first() == Some(&b'/') && target.get(1) != Some(&b'/') && target.iter().all(is_plain)
}
