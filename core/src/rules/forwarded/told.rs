//! Owns how the fields of a trusted proxy are read: the chain of addresses, the scheme, the host.
//! Never writes a message.

use std::net::IpAddr;

use smallvec::SmallVec;

use super::node::{Node, Text};
use super::scheme::Scheme;
use super::spelling::{self, Says};
use crate::config::TrustedProxies;
use crate::message::known::{Is, is, is_forwarding, look_up};
use crate::message::{Fields, Line};

/// Whether the origin gets another line in place of this one.
pub(super) fn is_retold(line: Line<'_>) -> bool {
    is(look_up(line.name), Is::Retold)
}

/// What a trusted peer tells. The peer itself comes behind the chain.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// The members, the farthest first.
    pub(super) chain: SmallVec<[Node; 2]>,
    /// The client's place in it; `None` when the client is the peer.
    client: Option<usize>,
    /// `None` where it is the authority of the request.
    pub(super) host: Option<SmallVec<[u8; 32]>>,
    pub(super) scheme: Scheme,
}

impl Told {
    pub(super) fn read(fields: &Fields, trusted: &TrustedProxies) -> Self {
        let elements = Element::all(fields);
        let (chain, is_of_elements) = chain(fields, &elements);
        let client = client(&chain, trusted);
        // The number of trusted proxies between the client and the peer: each of them has appended
        // one member to a list that it continues, or has left a single value alone.
        let passed_on = client.map_or(0, |at| chain.len() - 1 - at);
        // Next to `X-Forwarded-*` it may be the client's own: a proxy that knows nothing of
        // `Forwarded` lets it pass.
        let is_alone = !["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"]
            .iter()
            .any(|name| fields.contains(name));
        let from = match client {
            Some(at) if is_of_elements => at,
            Some(_) | None => elements.len().saturating_sub(1),
        };
        let elements = elements
            .get(from..)
            .filter(|_| is_alone)
            .unwrap_or_default();
        let scheme = nth_last(fields, "x-forwarded-proto", passed_on)
            .and_then(spelling::scheme)
            .or_else(|| is_https(fields).then_some(Scheme::Https))
            .or_else(|| elements.iter().find_map(|element| element.scheme))
            .unwrap_or_default();
        let host = nth_last(fields, "x-forwarded-host", passed_on)
            .filter(|host| is_host(host))
            .map(SmallVec::from_slice)
            .or_else(|| elements.iter().find_map(|element| element.host.clone()));
        Self {
            chain,
            client,
            host,
            scheme,
        }
    }

    /// The client's address, if it is not the peer's.
    pub(super) fn client(&self) -> Option<IpAddr> {
        self.chain.get(self.client?)?.address()
    }

    /// Whether `fields` say each part in one line, and no `Forwarded` repeats it.
    pub(super) fn is_plain(&self, fields: &Fields) -> bool {
        let is_single = |name: &str, value: Option<&[u8]>| {
            let mut lines = fields.get_all(name);
            match (lines.next(), lines.next()) {
                (None, _) => true,
                (Some(line), None) => Some(line) == value,
                (Some(_), Some(_)) => false,
            }
        };
        !fields.contains("forwarded")
            && is_single("x-forwarded-proto", Some(self.scheme.as_str().as_bytes()))
            && is_single("x-forwarded-host", self.host.as_deref())
    }

    /// Appends the chain as the value of `X-Forwarded-For`.
    pub(super) fn put_chain(&self, list: &mut Text) {
        for (at, node) in self.chain.iter().enumerate() {
            if at > 0 {
                list.extend_from_slice(b", ");
            }
            node.put(list);
        }
    }
}

/// Members of a chain that are read, the nearest ones. Real chains have two or three; each of them is
/// written once more in `Forwarded`, with host and scheme, so that a client that makes up thousands
/// would make a head of hundreds of kilobytes.
const MEMBERS_MAX: usize = 32;

/// The chain, and whether it is that of `elements`.
fn chain(fields: &Fields, elements: &[Element]) -> (SmallVec<[Node; 2]>, bool) {
    let members: SmallVec<[_; 8]> = fields.tokens("x-forwarded-for").collect();
    if !members.is_empty() {
        let nearest = &members[members.len().saturating_sub(MEMBERS_MAX)..];
        return (nearest.iter().copied().map(Node::read).collect(), false);
    }
    if elements.iter().any(|element| element.node.is_some()) {
        let node = |element: &Element| element.node.clone().unwrap_or_else(Node::unknown);
        return (elements.iter().map(node).collect(), true);
    }
    // One address. Of several lines nobody knows which one the proxy has sent.
    let mut lines = fields.get_all("x-real-ip");
    let chain = match (lines.next(), lines.next()) {
        (Some(line), None) => Some(Node::read(line)).filter(|node| node.address().is_some()),
        (None | Some(_), _) => None,
    };
    (chain.into_iter().collect(), false)
}

/// Where the client is in a chain: at the rightmost member that is not trusted. A member that cannot
/// be read ends the walk: its right neighbour is the last one that is known.
fn client(chain: &[Node], trusted: &TrustedProxies) -> Option<usize> {
    let mut client = None;
    for (at, node) in chain.iter().enumerate().rev() {
        let Some(address) = node.address() else {
            break;
        };
        client = Some(at);
        if !trusted.contain(address) {
            break;
        }
    }
    client
}

/// The member of a list with this many members behind it, or the first.
fn nth_last<'a>(fields: &'a Fields, name: &str, behind: usize) -> Option<&'a [u8]> {
    let members: SmallVec<[_; 8]> = fields.tokens(name).collect();
    members
        .get(members.len().saturating_sub(behind + 1))
        .copied()
}

/// Whether one of the secondary fields says so.
fn is_https(fields: &Fields) -> bool {
    fields
        .lines()
        .any(|line| is_forwarding(line.name) && spelling::says(line) == Says::Scheme(Scheme::Https))
}

/// Whether a host can stand in any field as it is.
fn is_host(host: &[u8]) -> bool {
    let is_good = |byte: &u8| byte.is_ascii_graphic() && !b"\"\\,;/?#@<>".contains(byte);
    !host.is_empty() && host.iter().all(is_good)
}

/// One element of `Forwarded` (RFC 7239 §4).
#[derive(Debug, Default)]
struct Element {
    host: Option<SmallVec<[u8; 32]>>,
    node: Option<Node>,
    scheme: Option<Scheme>,
}

impl Element {
    fn all(fields: &Fields) -> Vec<Self> {
        if !fields.contains("forwarded") {
            return Vec::new();
        }
        let mut elements: Vec<_> = fields
            .get_all("forwarded")
            .flat_map(|line| split(line, b','))
            .filter(|element| !element.is_empty())
            .collect();
        let surplus = elements.len().saturating_sub(MEMBERS_MAX);
        elements.drain(..surplus);
        elements.into_iter().map(Self::read).collect()
    }

    /// Parts that cannot be read are left out; a `for` that cannot be read is `unknown`.
    fn read(text: &[u8]) -> Self {
        let mut element = Self::default();
        for pair in split(text, b';') {
            let mut parts = pair.splitn(2, |&byte| byte == b'=');
            let name = parts.next().unwrap_or_default().trim_ascii();
            let value = unquoted(parts.next().unwrap_or_default().trim_ascii());
            let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
            if is(b"for") {
                let node = value.map_or_else(Node::unknown, |value| Node::read(&value));
                element.node.get_or_insert(node);
            } else if is(b"proto") {
                let scheme = value.and_then(|value| spelling::scheme(&value));
                element.scheme = element.scheme.or(scheme);
            } else if is(b"host") && element.host.is_none() {
                element.host = value.filter(|host| is_host(host));
            }
        }
        element
    }
}

/// The parts between separators that stand outside of quotes, without the blanks around them.
fn split(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |&byte| {
        let is_text = is_escaped;
        is_escaped = is_quoted && !is_text && byte == b'\\';
        if byte == b'"' && !is_text {
            is_quoted = !is_quoted;
        }
        byte == separator && !is_quoted
    })
    .map(<[u8]>::trim_ascii)
}

/// The content of a quoted string (RFC 9110 §5.6.4), or the text as it is; `None` where quotes stand
/// anywhere else.
fn unquoted(text: &[u8]) -> Option<SmallVec<[u8; 32]>> {
    let Some(inner) = text.strip_prefix(b"\"") else {
        let is_plain = memchr::memchr(b'"', text).is_none();
        return is_plain.then(|| SmallVec::from_slice(text));
    };
    let mut content = SmallVec::new();
    let mut bytes = inner.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'"' => return bytes.as_slice().is_empty().then_some(content),
            b'\\' => content.push(*bytes.next()?),
            byte => content.push(byte),
        }
    }
    None
}
