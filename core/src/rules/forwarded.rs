//! Owns [`View`]: which client asked and for what, as far as it can be believed (RFC 7239).
//! Never writes a field line of its own accord: `forwarding` does, by the view.
//!
//! A peer that is not a trusted proxy speaks for itself only: none of the fields by which proxies tell
//! the client's address, the scheme or the host is believed, kept or passed on. A trusted proxy is
//! believed, and so are the proxies before it as long as they are trusted too.
//!
//! ```
//! use retter_core::config::TrustedProxies;
//! use retter_core::message::{Fields, RequestHead};
//! use retter_core::rules::forwarded::{Scheme, View};
//!
//! let fields = [
//!     ("Host", &b"app.internal"[..]),
//!     ("X-Forwarded-For", b"198.51.100.66, 203.0.113.9"),
//!     ("X-Forwarded-Proto", b"https"),
//! ];
//! let request = RequestHead::new(http::Method::GET, "/", Fields::from_pairs(fields));
//! let trusted = TrustedProxies::default();
//!
//! let mut head = request.clone();
//! let view = View::receive(&mut head, [127, 0, 0, 1].into(), &trusted);
//! assert_eq!(view.client().to_string(), "203.0.113.9");
//! assert_eq!((view.scheme(), view.host(&head)), (Scheme::Https, &b"app.internal"[..]));
//!
//! let mut head = request;
//! let view = View::receive(&mut head, [192, 0, 2, 1].into(), &trusted);
//! assert_eq!(view.client().to_string(), "192.0.2.1");
//! assert_eq!(head.fields.len(), 1, "only `Host` is left");
//! ```

mod node;
mod scheme;
mod spelling;
mod told;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use self::node::{Text, put_text};
pub use self::scheme::Scheme;
use self::told::Told;
use crate::config::TrustedProxies;
use crate::message::known::is_forwarding;
use crate::message::{Fields, FieldsBuilder, Line, RequestHead, is_token};

/// Who asked, and for what, as far as it can be believed. One for each request.
#[derive(Clone, Debug)]
pub struct View {
    /// Whether there is any forwarding field.
    is_telling: bool,
    is_relayed: bool,
    peer: IpAddr,
    told: Option<Box<Told>>,
    trusted: bool,
}

impl View {
    /// Reads what `peer` tells in a request, and removes from it all that is not believed: code that
    /// looks at the fields afterwards (cache keys, `Vary`) sees what the origin will see. Where several
    /// fields said the same, or not quite the same, one is left.
    #[must_use]
    pub fn receive(request: &mut RequestHead, peer: IpAddr, trusted: &TrustedProxies) -> Self {
        let view = Self::of(request, peer, trusted);
        if let Some(told) = &view.told {
            let host = Text::from_slice(view.host(request));
            if !told.is_plain(&request.fields) {
                let fields = view.settled(told, &request.fields, &host);
                // A head that long keeps the form in which it came.
                if !fields.is_cut() {
                    request.fields = fields;
                    return view;
                }
            }
            let keeps = |line: Line<'_>| told::is_retold(line) || view.passes(line, &host);
            request.fields.retain(keeps);
        } else if view.claims_forwarding() {
            request.fields.retain(|line| !is_forwarding(line.name));
        }
        view
    }

    /// Reads what `peer` tells in a request, and leaves the request as it is. For a request that was
    /// [received](Self::receive) from that peer the view is the same again.
    #[must_use]
    pub fn of(request: &RequestHead, peer: IpAddr, trusted: &TrustedProxies) -> Self {
        let is_trusted = trusted.contain(peer.to_canonical());
        Self::read(request, peer, is_trusted, trusted)
    }

    /// The view of a request that this program has made, for a client with the address `peer`: what it
    /// says of scheme and host is believed.
    pub(crate) fn vouched(request: &RequestHead, peer: IpAddr, trusted: &TrustedProxies) -> Self {
        Self::read(request, peer, true, trusted)
    }

    fn read(
        request: &RequestHead,
        peer: IpAddr,
        is_trusted: bool,
        trusted: &TrustedProxies,
    ) -> Self {
        let fields = &request.fields;
        // An IPv4 client of a socket for both families comes as ::ffff:192.0.2.1.
        let peer = peer.to_canonical();
        let is_telling = fields.tell_forwarding();
        let told = (is_trusted && is_telling).then(|| Told::read(fields, trusted));
        Self {
            is_telling,
            // A declared proxy is one, whatever it says of itself; on this machine it may be a
            // client as well.
            is_relayed: is_telling || fields.contains("via") || is_trusted && !peer.is_loopback(),
            peer,
            told: told.map(Box::new),
            trusted: is_trusted,
        }
    }

    /// The client's address: the nearest in the chain of proxies that is not trusted.
    #[must_use]
    pub fn client(&self) -> IpAddr {
        let told = self.told.as_ref();
        told.and_then(|told| told.client()).unwrap_or(self.peer)
    }

    /// The address of the connection's other end, IPv4 in its own form.
    #[must_use]
    pub const fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Whether the peer is a trusted proxy.
    #[must_use]
    pub const fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// Whether the peer sends what only proxies send, and is not trusted.
    #[must_use]
    pub const fn claims_forwarding(&self) -> bool {
        self.is_relayed && !self.trusted
    }

    /// Whether the peer sends what only proxies send, trusted or not: its next request on the same
    /// connection may be another user's.
    #[must_use]
    pub const fn is_relayed(&self) -> bool {
        self.is_relayed
    }

    /// The scheme by which the client asked.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.told.as_ref().map_or(Scheme::Http, |told| told.scheme)
    }

    /// The host that the client asked for; empty where it named none. `request` is the one of this
    /// view.
    #[must_use]
    pub fn host<'a>(&'a self, request: &'a RequestHead) -> &'a [u8] {
        self.host_or(request.authority())
    }

    /// As [`host`](Self::host), of a request with this authority.
    pub(super) fn host_or<'a>(&'a self, authority: &'a [u8]) -> &'a [u8] {
        let told = self.told.as_ref().and_then(|told| told.host.as_deref());
        told.unwrap_or(authority)
    }

    /// Whether a line passes as it came: it is no forwarding field, or a trusted peer sent it and it
    /// does not contradict the view. Fields that are written anew from the view do not pass.
    /// `host` is that of the view.
    #[inline(always)]
    pub(super) fn passes(&self, line: Line<'_>, host: &[u8]) -> bool {
        !self.is_telling || !is_forwarding(line.name) || self.agrees(line, host)
    }

    #[inline(never)]
    fn agrees(&self, line: Line<'_>, host: &[u8]) -> bool {
        let Some(told) = &self.told else {
            return false;
        };
        !told::is_retold(line)
            && memchr::memchr(b'_', line.name).is_none()
            && spelling::agrees(line, told.scheme, host)
    }

    /// The fields with what was told in one form.
    fn settled(&self, told: &Told, fields: &Fields, host: &[u8]) -> Fields {
        let mut settled = FieldsBuilder::with_room_for(fields);
        for line in fields.lines() {
            if self.passes(line, host) || line.is("x-real-ip") {
                settled.push_line(line);
            }
        }
        let mut chain = Text::new();
        told.put_chain(&mut chain);
        if !chain.is_empty() {
            settled.push("X-Forwarded-For", &chain);
        }
        settled.push("X-Forwarded-Proto", told.scheme.as_str().as_bytes());
        if let Some(host) = &told.host {
            settled.push("X-Forwarded-Host", host);
        }
        settled.build()
    }

    /// Gives the lines that tell the origin of the view to `put`; `host` is that of the view.
    pub(super) fn put(&self, host: &[u8], put: &mut impl FnMut(Line<'_>)) {
        let mut chain = Text::new();
        let mut elements = Text::new();
        let end = Ending::new(host, self.scheme());
        if let Some(told) = &self.told {
            for node in &told.chain {
                node.put(&mut chain);
                chain.extend_from_slice(b", ");
                node.put_for(&mut elements);
                end.put(&mut elements);
                elements.extend_from_slice(b", ");
            }
        }
        let start = chain.len();
        put_text(self.peer, &mut chain);
        node::put_for(self.peer, &chain[start..], &mut elements);
        end.put(&mut elements);
        put(Line::new("X-Forwarded-For", &chain));
        put(Line::new("Forwarded", &elements));
        let scheme = self.scheme().as_str().as_bytes();
        put(Line::new("X-Forwarded-Proto", scheme));
        if !host.is_empty() {
            put(Line::new("X-Forwarded-Host", host));
        }
        match self.told.as_ref().and_then(|told| told.client()) {
            None => put(Line::new("X-Real-IP", &chain[start..])),
            Some(client) => {
                let mut address = Text::new();
                put_text(client, &mut address);
                put(Line::new("X-Real-IP", &address));
            }
        }
    }
}

/// What each element of `Forwarded` says behind its `for`: some readers take the first of them, some
/// the last.
struct Ending<'a> {
    host: &'a [u8],
    is_quoted: bool,
    scheme: Scheme,
}

impl<'a> Ending<'a> {
    /// A host that cannot be quoted is left out.
    fn new(host: &'a [u8], scheme: Scheme) -> Self {
        let is_quoted = !is_token(host);
        let can_be_sent = !is_quoted || host.iter().all(u8::is_ascii_graphic);
        Self {
            host: if can_be_sent { host } else { b"" },
            is_quoted,
            scheme,
        }
    }

    fn put(&self, element: &mut Text) {
        if !self.is_quoted {
            element.extend_from_slice(b";host=");
            element.extend_from_slice(self.host);
        } else if !self.host.is_empty() {
            element.extend_from_slice(b";host=\"");
            for &byte in self.host {
                if byte == b'"' || byte == b'\\' {
                    element.push(b'\\');
                }
                element.push(byte);
            }
            element.push(b'"');
        }
        element.extend_from_slice(b";proto=");
        element.extend_from_slice(self.scheme.as_str().as_bytes());
    }
}
