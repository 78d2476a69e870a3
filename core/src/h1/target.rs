//! Owns the checks of request targets and of `Host`: the host is said once and clearly.
//! Never rewrites either.
//!
//! RFC 9112 §3.2, RFC 9110 §7.2, RFC 3986 §3.2.2.

use http::Method;

use crate::message::{ProtocolError, RequestHead, Version};

/// Checks the target and the `Host` field of a parsed request.
pub(super) fn check(head: &RequestHead) -> Result<(), ProtocolError> {
    let authority = check_target(head)?;
    let mut hosts = head.fields.get_all("host");
    let host = match (hosts.next(), hosts.next(), head.version) {
        (Some(host), None, _) => host,
        (None, _, Version::Http10) => return Ok(()),
        // RFC 9112 §3.2: "MUST respond with a 400 [...] that lacks a Host header field and [...]
        // that contains more than one Host header field line or [...] an invalid field value".
        (None, _, Version::Http11) => return Err(ProtocolError::MissingHost),
        (Some(_), Some(_), _) => return Err(ProtocolError::InvalidHost),
    };
    let is_valid = match authority {
        // RFC 9112 §3.2: the client must send the target's authority, "excluding any userinfo".
        Some(authority) => host.eq_ignore_ascii_case(authority),
        None => host.is_empty() || is_authority(host),
    };
    if is_valid {
        Ok(())
    } else {
        Err(ProtocolError::InvalidHost)
    }
}

/// Checks that the target is in a form its method allows (RFC 9112 §3.2.1 to §3.2.4); returns the
/// authority of an absolute-form target.
fn check_target(head: &RequestHead) -> Result<Option<&[u8]>, ProtocolError> {
    const INVALID: Result<Option<&[u8]>, ProtocolError> = Err(ProtocolError::InvalidTarget);
    let target: &[u8] = &head.target;
    // A fragment is never sent (RFC 9110 §7.1); controls would be read differently elsewhere.
    if target
        .iter()
        .any(|&byte| byte <= b' ' || byte == 0x7f || byte == b'#')
    {
        return INVALID;
    }
    if head.method == Method::CONNECT {
        let has_port = target.last().is_some_and(u8::is_ascii_digit) && target.contains(&b':');
        return if has_port && is_authority(target) {
            Ok(None)
        } else {
            INVALID
        };
    }
    if target.first() == Some(&b'/') || (target == b"*" && head.method == Method::OPTIONS) {
        return Ok(None);
    }
    let Some(rest) = strip_scheme(target) else {
        return INVALID;
    };
    let end = rest.iter().position(|byte| b"/?".contains(byte));
    let authority = &rest[..end.unwrap_or(rest.len())];
    // RFC 9110 §4.2.1: an http URI with an empty host is invalid; §4.2.4: so is userinfo here.
    if is_authority(authority) {
        Ok(Some(authority))
    } else {
        INVALID
    }
}

fn strip_scheme(target: &[u8]) -> Option<&[u8]> {
    ["http://", "https://"].iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start
            .eq_ignore_ascii_case(scheme.as_bytes())
            .then_some(rest)
    })
}

/// Whether `bytes` is `uri-host [ ":" port ]` with a host (RFC 3986 §3.2.2, RFC 9110 §7.2).
fn is_authority(bytes: &[u8]) -> bool {
    if let Some(literal) = bytes.strip_prefix(b"[") {
        let Some(end) = memchr::memchr(b']', literal) else {
            return false;
        };
        let (address, port) = (&literal[..end], &literal[end + 1..]);
        return is_ipv6_like(address) && (port.is_empty() || is_port(port));
    }
    let end = memchr::memchr(b':', bytes).unwrap_or(bytes.len());
    let (name, port) = bytes.split_at(end);
    is_reg_name(name) && (port.is_empty() || is_port(port))
}

fn is_ipv6_like(address: &[u8]) -> bool {
    address.contains(&b':')
        && address
            .iter()
            .all(|&byte| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.')
}

/// `reg-name`, without the comma: a list of two hosts must not pass as the name of one.
fn is_reg_name(name: &[u8]) -> bool {
    let mut bytes = name.iter();
    while let Some(&byte) = bytes.next() {
        let is_valid = match byte {
            b'%' => [bytes.next(), bytes.next()]
                .iter()
                .all(|digit| digit.is_some_and(u8::is_ascii_hexdigit)),
            _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=".contains(&byte),
        };
        if !is_valid {
            return false;
        }
    }
    !name.is_empty()
}

/// `":" *DIGIT` of a port that exists.
fn is_port(bytes: &[u8]) -> bool {
    let Some(digits) = bytes.strip_prefix(b":") else {
        return false;
    };
    let number = std::str::from_utf8(digits)
        .ok()
        .and_then(|text| text.parse::<u16>().ok());
    digits.is_empty() || (digits.iter().all(u8::is_ascii_digit) && number.is_some())
}
