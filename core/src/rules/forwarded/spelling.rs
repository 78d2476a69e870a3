//! Owns the secondary fields in which proxies say the scheme, the host and the port.
//! Never decides which of them a request has to have.

use super::scheme::Scheme;
use crate::message::Line;
use crate::message::known::{Is, Known, is, look_up};

/// What a line says of the scheme.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Says {
    /// It is none of these fields.
    Nothing,
    /// This one.
    Scheme(Scheme),
    /// It is one of them, and its value can be read in more than one way.
    Unclear,
}

/// The scheme of a name; that of a WebSocket is the one of the request that opens it.
pub(super) fn scheme(name: &[u8]) -> Option<Scheme> {
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    match name.len() {
        2 if is("ws") => Some(Scheme::Http),
        3 if is("wss") => Some(Scheme::Https),
        4 if is("http") => Some(Scheme::Http),
        5 if is("https") => Some(Scheme::Https),
        _ => None,
    }
}

/// What `line` says of the scheme, if it is one of these fields.
pub(super) fn says(line: Line<'_>) -> Says {
    says_as(line, look_up(line.name))
}

/// The same of a line whose name was looked up.
fn says_as(line: Line<'_>, known: Option<&Known>) -> Says {
    let said = if is(known, Is::Scheme) {
        scheme(line.value)
    } else if is(known, Is::Switch) {
        switch(line.value)
    } else if line.is("cf-visitor") {
        // `{"scheme":"https"}`
        let mut words = line.value.split(|byte| !byte.is_ascii_alphanumeric());
        words.find_map(scheme)
    } else {
        return Says::Nothing;
    };
    said.map_or(Says::Unclear, Says::Scheme)
}

fn switch(value: &[u8]) -> Option<Scheme> {
    let is = |known: &&str| value.eq_ignore_ascii_case(known.as_bytes());
    if ["on", "1", "true", "yes", "https"].iter().any(is) {
        Some(Scheme::Https)
    } else if ["off", "0", "false", "no", "http"].iter().any(is) {
        Some(Scheme::Http)
    } else {
        None
    }
}

/// Whether `line` says nothing against this scheme and host. A field that can be read in two ways
/// would be believed in one of them.
pub(super) fn agrees(line: Line<'_>, scheme: Scheme, host: &[u8]) -> bool {
    let known = look_up(line.name);
    match says_as(line, known) {
        Says::Scheme(said) => return said == scheme,
        Says::Unclear => return false,
        Says::Nothing => {}
    }
    if is(known, Is::Port) {
        return is_port_of(line.value, scheme, host);
    }
    !is(known, Is::Host) || line.value.eq_ignore_ascii_case(host)
}

/// Whether `port` can be that of the host: the one that it names, or where it names none, any but
/// the default of the other scheme.
fn is_port_of(port: &[u8], scheme: Scheme, host: &[u8]) -> bool {
    let is_number = (1..=5).contains(&port.len()) && port.iter().all(u8::is_ascii_digit);
    let colon = memchr::memrchr(b':', host).filter(|_| !host.ends_with(b"]"));
    let others_default: &[u8] = match scheme {
        Scheme::Http => b"443",
        Scheme::Https => b"80",
    };
    is_number
        && match colon {
            Some(colon) => port == &host[colon + 1..],
            None => port != others_default,
        }
}
