//! Owns what a field can mean ([`Is`]), and the row of one name ([`Known`]).
//! Never knows which names there are.

/// What a field may be. Copies: of the first six a name has one, or it identifies who asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Is {
    /// It changes no page, or only as a `Vary` of the answer says: what browsers send, negotiation,
    /// conditions, caches, tracing, forwarding, and what ends at this program. `Cookie` is judged by
    /// its pairs, and the address of a visitor identifies nobody (RFC 9111 knows none).
    Harmless,
    /// Applications build the links of a page from it, or choose another page, language, price or
    /// method by it, though no `Vary` names it. So it is part of the key: a client that makes it
    /// up must not poison everybody's copy, and behind a proxy that sets it the copies are found all
    /// the same. Nobody is identified by it.
    Shaping,
    /// With it, scripts ask for a part of a page, or for its data, at the page's own URL.
    Fragment,
    /// `Accept`: its class is part of the key, its value is not.
    Accept,
    /// `Sec-Fetch-Dest`: its class is part of the key.
    Destination,
    /// `Forwarded`: what its elements say of host and scheme shapes.
    Elements,
    /// It shapes, and tells of the one request that it comes with. Where it repeats what the first
    /// line says, it shapes nothing; and what a write has in it, the pages that it changes have not.
    OfItsRequest,
    /// It shapes, and a stranger does not repeat it: it speaks of the one request that it came
    /// with, or of the state that its client is in.
    Unasked,
    /// Only a proxy has a reason to send it.
    Forwarding,
    /// It forwards, and the origin is told it anew.
    Retold,
    /// It forwards an address of the visitor, beside the usual fields.
    Address,
    /// It forwards the name of a scheme.
    Scheme,
    /// It forwards whether there is TLS.
    Switch,
    /// It forwards a host.
    Host,
    /// It forwards a port.
    Port,
    /// It is of one connection only (RFC 9110 §7.6.1). `Proxy-*` belongs to the next proxy on each
    /// side (§11.7) and this program is a gateway, so it ends here. `HTTP2-Settings`: RFC 9113 §3.1.
    HopByHop,
    /// A `Connection` option cannot remove it. RFC 9110 §7.6.1: a sender MUST NOT nominate a field
    /// that is meant for all recipients, "for example, Cache-Control is never appropriate as a
    /// connection option"; one that does wants to hide a field from the origin that this program, or
    /// a proxy before it, relied on (CVE-2022-31813 did that to `X-Forwarded-For`).
    EndToEnd,
    /// It makes an answer one for its own request alone.
    OwnAnswer,
    /// It may not be a trailer field (RFC 9110 §6.5.1): it frames, routes, authenticates, controls or
    /// modifies, describes the content, ends at the next hop, or is this program's to say. Once
    /// merged by someone it would overrule what the head said.
    NoTrailer,
    /// Only writes have it (RFC 4918 §10).
    OfWrites,
}

/// A name, and all that is known of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    /// In lower case.
    pub(crate) name: &'static str,
    /// Its place among those that shape, or among those that ask for a fragment.
    pub(crate) number: u8,
    flags: u32,
}

impl Known {
    /// Whether it is that.
    #[inline(always)]
    pub(crate) const fn is(&self, what: Is) -> bool {
        self.flags & bit(what) != 0
    }
}

/// Whether a known field is that; one that is not known is nothing.
#[inline(always)]
pub(crate) fn is(known: Option<&Known>, what: Is) -> bool {
    known.is_some_and(|known| known.is(what))
}

const fn bit(what: Is) -> u32 {
    1 << what as u8
}

pub(super) const fn field(name: &'static str, meanings: &[Is]) -> Known {
    let mut flags = 0;
    let mut at = 0;
    while at < meanings.len() {
        flags |= bit(meanings[at]);
        at += 1;
    }
    Known {
        name,
        number: 0,
        flags,
    }
}
