//! Owns which field names proxies use to say who asked, and for what.
//! Never decides whether they are believed: that is `rules::forwarded`.

use smallvec::SmallVec;

use super::Names;
use super::text::folded;

/// What every `X-Forwarded-*` field begins with.
const PREFIX: &[u8] = b"x-forwarded";

/// What fields begin with in which proxies that sign people in pass on whom they found.
const USERS: [&str; 16] = [
    "cf-access-",
    "remote-email",
    "remote-groups",
    "remote-name",
    "remote-user",
    "tailscale-user-",
    "x-amzn-oidc-",
    "x-auth-request-",
    "x-authenticated-",
    "x-authentik-",
    "x-goog-authenticated-",
    "x-ms-client-principal",
    "x-pomerium-",
    "x-remote-",
    "x-vouch-",
    "x-webauth-",
];

/// Whether `name`, with `-`, is one in which proxies that sign people in pass on whom they found.
pub(crate) fn is_user(name: &[u8]) -> bool {
    let begins = |start: &str| {
        let part = name.get(..start.len());
        part.is_some_and(|part| part.eq_ignore_ascii_case(start.as_bytes()))
    };
    USERS.into_iter().any(begins)
}

/// The others. Some say the scheme, the host or the path, most of them the client's address.
static OTHERS: Names<61> = Names::new([
    "cdn-src-ip",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-pseudo-ipv4",
    "cf-visitor",
    "client-ip",
    "cloudfront-forwarded-proto",
    "cloudfront-viewer-address",
    "disguised-host",
    "do-connecting-ip",
    "fastly-client-ip",
    "fastly-ssl",
    "fly-client-ip",
    "fly-forwarded-port",
    "fly-forwarded-proto",
    "fly-forwarded-ssl",
    "forwarded",
    "forwarded-for",
    "front-end-https",
    "https",
    "incap-client-ip",
    "proxy-client-ip",
    "ssl-https",
    "true-client-ip",
    "was-default-hostname",
    "wl-proxy-client-ip",
    "wl-proxy-ssl",
    "x-appengine-default-version-hostname",
    "x-appengine-https",
    "x-appengine-remote-addr",
    "x-appengine-user-ip",
    "x-arr-ssl",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-host",
    "x-https",
    "x-ingress-path",
    "x-nf-client-connection-ip",
    "x-original-for",
    "x-original-forwarded-for",
    "x-original-host",
    "x-original-proto",
    "x-original-scheme",
    "x-original-uri",
    "x-original-url",
    "x-originating-ip",
    "x-proxyuser-ip",
    "x-real-ip",
    "x-remote-addr",
    "x-remote-ip",
    "x-rewrite-url",
    "x-scheme",
    "x-script-name",
    "x-sucuri-clientip",
    "x-true-client-ip",
    "x-url-scheme",
    "x-vercel-forwarded-for",
    "x-vercel-proxied-for",
]);

/// Whether only a proxy has a reason to send the field `name`, in either spelling: to applications
/// behind CGI and its heirs `_` and `-` are the same (RFC 3875 §4.1.18).
#[inline(always)]
pub(crate) fn is_forwarding(name: &[u8]) -> bool {
    begins_so(name) && is_one(name)
}

/// A quick look at the first two letters of a name, five bits of each whatever their case: most
/// fields of a browser do not get past it.
#[inline(always)]
pub(super) fn may_begin_so(first: u8, second: u8) -> bool {
    const SECOND: [u32; 32] = {
        let pairs = [
            *b"x-", *b"x_", *b"cd", *b"cf", *b"cl", *b"fa", *b"fl", *b"fo", *b"fr", *b"di", *b"do",
            *b"ht", *b"in", *b"pr", *b"ss", *b"tr", *b"wa", *b"wl",
        ];
        let mut second = [0; 32];
        let mut at = 0;
        while at < pairs.len() {
            second[(pairs[at][0] & 31) as usize] |= 1 << (pairs[at][1] & 31);
            at += 1;
        }
        second
    };
    SECOND[usize::from(first & 31)] >> (second & 31) & 1 == 1
}

/// Looks at the whole name.
#[inline(never)]
fn is_one(name: &[u8]) -> bool {
    if memchr::memchr(b'_', name).is_none() {
        return is_spelled_so(name);
    }
    let name: SmallVec<[u8; 64]> = name.iter().copied().map(folded).collect();
    is_spelled_so(&name)
}

/// Whether one of these names begins as `name` does: this is asked of every field of every request,
/// and those of a browser begin otherwise.
#[inline]
fn begins_so(name: &[u8]) -> bool {
    let [first, second, ..] = name else {
        return false;
    };
    // Without case; `_` becomes DEL, which is in no name.
    let second = second | 0x20;
    match first | 0x20 {
        b'x' => matches!(second, b'-' | 0x7f),
        b'c' => matches!(second, b'd' | b'f' | b'l'),
        b'f' => matches!(second, b'a' | b'l' | b'o' | b'r'),
        b'd' => matches!(second, b'i' | b'o'),
        b'h' => second == b't',
        b's' => second == b's',
        b'i' => second == b'n',
        // Every browser says `priority`.
        b'p' => second == b'r' && name.get(2).is_some_and(|third| third | 0x20 == b'o'),
        b't' => second == b'r',
        b'w' => matches!(second, b'a' | b'l'),
        _ => false,
    }
}

fn is_spelled_so(name: &[u8]) -> bool {
    name.get(..PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
        || OTHERS.contain(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_proxies() {
        for name in OTHERS.names() {
            assert!(
                may_begin_so(name.as_bytes()[0], name.as_bytes()[1]),
                "{name}"
            );
            assert!(is_forwarding(name.as_bytes()), "{name}");
            assert!(is_forwarding(name.to_ascii_uppercase().as_bytes()));
            assert!(is_forwarding(name.replace('-', "_").as_bytes()), "{name}");
        }
        for name in [
            "X-Forwarded-For",
            "x-forwarded",
            "X_Forwarded-Any",
            "X-ForwardedFor",
        ] {
            assert!(is_forwarding(name.as_bytes()), "{name}");
        }
        for name in [
            "Host",
            "Via",
            "X-Custom",
            "Cookie",
            "Connection",
            "X_Own",
            "X-Forward",
            "",
        ] {
            assert!(!is_forwarding(name.as_bytes()), "{name}");
        }
    }
}
