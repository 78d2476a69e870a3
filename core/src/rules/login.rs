//! Owns which messages show that a login belongs to a connection, not to a request: NTLM, Negotiate
//! (RFC 4559) and their kin, against which RFC 9110 §11.7 warns intermediaries.
//! Never keeps a connection, and never knows who signed in.

use crate::message::{Fields, Marks};

/// Schemes by which an application may sign in whoever holds the connection. Kerberos by Negotiate
/// can be per request; no field tells which it is before the login is done.
const SCHEMES: [&[u8]; 5] = [b"credssp", b"kerberos", b"nego2", b"negotiate", b"ntlm"];

/// Whether a request or response with these fields signs a user in on its connection to the
/// origin: nothing sent on that connection afterwards may reach anybody else, no answer on it may
/// be kept, and no copy may answer instead.
///
/// A request does by the scheme of `Authorization`, a response by that of a challenge in
/// `WWW-Authenticate` or by `Persistent-Auth: true`.
///
/// ```
/// use retter_core::message::Fields;
/// use retter_core::rules::login::binds_connection;
///
/// let fields = |name, value: &'static str| Fields::from_pairs([(name, value.as_bytes())]);
/// assert!(binds_connection(&fields("Authorization", "NTLM TlRMTVNTUAAB")));
/// assert!(binds_connection(&fields("WWW-Authenticate", "Basic realm=\"a\", Negotiate")));
/// assert!(!binds_connection(&fields("Authorization", "Basic YTpi")));
/// ```
#[must_use]
pub fn binds_connection(fields: &Fields) -> bool {
    const NAMES: Marks = Marks::of(&["authorization", "www-authenticate", "persistent-auth"]);
    if !fields.may_contain(&NAMES) {
        return false;
    }
    // A quoted string with a comma in it is split as well: at worst that finds one scheme too many.
    fields.tokens("authorization").any(is_scheme)
        || fields.tokens("www-authenticate").any(is_scheme)
        || persists(fields)
}

/// Whether an answer says that its connection is signed in from now on.
#[must_use]
pub fn persists(answer: &Fields) -> bool {
    answer.has_token("persistent-auth", "true")
}

/// Whether credentials or a challenge begin with such a scheme.
fn is_scheme(member: &[u8]) -> bool {
    let end = member.iter().position(|byte| !byte.is_ascii_alphanumeric());
    let scheme = &member[..end.unwrap_or(member.len())];
    SCHEMES
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(name: &'static str, value: &'static str) -> Fields {
        Fields::from_pairs([(name, value.as_bytes())])
    }

    #[test]
    fn schemes_that_sign_a_connection_in() {
        for (name, value, expected) in [
            ("Authorization", "NTLM TlRMTVNTUAAB", true),
            ("AUTHORIZATION", "negotiate\tYII=", true),
            ("Authorization", "Nego2 x", true),
            ("Authorization", "Kerberos x", true),
            ("Authorization", "Negotiate:PKU2U x", true),
            ("Authorization", "", false),
            ("Authorization", "Basic TlRMTQ==", false),
            ("Authorization", "Bearer NTLM", false),
            ("Authorization", "NTLMv3 x", false),
            ("X-Authorization", "NTLM x", false),
            ("WWW-Authenticate", "NTLM", true),
            ("WWW-Authenticate", "Negotiate, NTLM", true),
            ("WWW-Authenticate", "Basic realm=\"a\",ntlm", true),
            ("WWW-Authenticate", "NTLM TlRMTVNTUAAC==", true),
            ("WWW-Authenticate", "Basic realm=\"NTLM\"", false),
            ("WWW-Authenticate", "Digest realm=\"a\", nonce=\"b\"", false),
            ("Persistent-Auth", "true", true),
            ("Persistent-Auth", " TRUE ", true),
            ("Persistent-Auth", "false", false),
        ] {
            let found = binds_connection(&fields(name, value));
            assert_eq!(found, expected, "{name}: {value}");
        }
        let lines = [
            ("WWW-Authenticate", &b"Basic realm=\"a\""[..]),
            ("WWW-Authenticate", b"NTLM"),
        ];
        assert!(binds_connection(&Fields::from_pairs(lines)));
    }
}
