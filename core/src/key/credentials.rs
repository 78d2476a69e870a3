//! Owns which request fields tell who asks.
//! Never reads what they say.

use crate::message::Names;

/// `Authorization`, the fields in which services take keys and tokens instead of it, and those in
/// which a proxy that authenticates passes on whom it found. No `Vary` names them, as most of
/// what they lead to was never meant to be kept by anybody.
pub(crate) const CREDENTIALS: [&str; 39] = [
    "api-key",
    "apikey",
    "authorization",
    "cf-access-authenticated-user-email",
    "cf-access-jwt-assertion",
    "private-token",
    "remote-user",
    "tailscale-user-login",
    "x-access-token",
    "x-amzn-oidc-accesstoken",
    "x-amzn-oidc-data",
    "x-amzn-oidc-identity",
    "x-api-key",
    "x-api-token",
    "x-apikey",
    "x-auth-key",
    "x-auth-request-access-token",
    "x-auth-request-email",
    "x-auth-request-user",
    "x-auth-token",
    "x-auth-user",
    "x-authenticated-user",
    "x-authorization",
    "x-client-cert",
    "x-forwarded-access-token",
    "x-forwarded-client-cert",
    "x-forwarded-email",
    "x-forwarded-user",
    "x-goog-api-key",
    "x-goog-authenticated-user-id",
    "x-goog-iap-jwt-assertion",
    "x-ms-client-principal",
    "x-ms-client-principal-id",
    "x-remote-user",
    "x-session-id",
    "x-session-token",
    "x-ssl-client-s-dn",
    "x-user-id",
    "x-user-token",
];

/// None begins or ends with `-`, so that a name with `_` has the same code.
static NAMES: Names<39> = Names::new(CREDENTIALS);

/// The name by which this program knows a field that tells who asks.
pub(super) fn known(name: &[u8]) -> Option<&'static str> {
    // This runs for every field of every request: few get past these two looks.
    let first = name.first()?.to_ascii_lowercase();
    if !b"acprtx".contains(&first) || !NAMES.may_contain(name) {
        return None;
    }
    CREDENTIALS.into_iter().find(|known| is_same(known, name))
}

/// Whether applications that get fields as environment variables (CGI, RFC 3875 §4.1.18) read
/// `name` as `known`: `_` is the same as `-` to them.
pub(super) fn is_same(known: &str, name: &[u8]) -> bool {
    let folded = |byte: u8| match byte {
        b'_' => b'-',
        byte => byte.to_ascii_lowercase(),
    };
    known.len() == name.len() && name.iter().copied().map(folded).eq(known.bytes())
}
