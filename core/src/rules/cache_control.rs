//! Owns the choice among `Cache-Control` and its targeted relatives (RFC 9111 §5.2, RFC 9213).
//! Never fails, and never decides what a directive leads to: that is [`super::freshness`].

mod directives;
mod targeted;

use crate::message::Fields;

pub use directives::{CacheControl, DELTA_SECONDS_MAX, delta_seconds};

use directives::{Directives, field_names};

/// Fields that replace `Cache-Control` and `Expires` for this program, the first present wins
/// (RFC 9213 §2.2). The first lets an application speak to this program alone.
const TARGETED: [&str; 2] = ["retter-cache-control", "cdn-cache-control"];

/// The directives of a response that count for this program: those of `Retter-Cache-Control`,
/// else of `CDN-Cache-Control`, else of `Cache-Control`. A targeted field that is no valid
/// dictionary is ignored (RFC 9213 §2.1).
#[must_use]
pub fn effective(response: &Fields) -> CacheControl {
    source(response).1
}

/// The names of fields that no copy of this response may hold: the qualified forms
/// `no-cache="a, b"` and `private="a, b"` (RFC 9111 §5.2.2.4, §5.2.2.7). All of a field is left
/// out, so that there is nothing to validate and nothing to keep apart.
pub fn withheld(response: &Fields) -> impl Iterator<Item = &[u8]> {
    let lines = response.get_all(source(response).0);
    let arguments = lines
        .flat_map(Directives::new)
        .filter_map(|(name, argument)| {
            let is_qualifiable =
                name.eq_ignore_ascii_case(b"no-cache") || name.eq_ignore_ascii_case(b"private");
            argument.filter(|_| is_qualifiable)
        });
    arguments.flat_map(field_names)
}

fn source(response: &Fields) -> (&'static str, CacheControl) {
    for name in TARGETED {
        if let Some(control) = targeted::parse(response, name) {
            return (name, control);
        }
    }
    ("cache-control", CacheControl::of(response, "cache-control"))
}

#[cfg(test)]
mod tests;
