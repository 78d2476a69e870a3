//! Owns what each request field means to copies: whether it is harmless, shapes the page, asks for
//! a fragment of it, or identifies who asks. A field that is not on these lists identifies.
//! Never reads what a field says.

use crate::canary::{Plant, is_planted};
use crate::config::FieldNames;
use crate::message::known::{Is, dashed, look_up};

/// What a request field means to copies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Meaning {
    /// The class of `Accept` is part of the key, its value is not.
    Accept,
    /// The class of `Sec-Fetch-Dest` is part of the key.
    Destination,
    /// `Forwarded`: what it says of host and scheme shapes.
    Forwarded,
    /// Asks for a part of a page; the number is its own among those.
    Fragment(u8),
    /// Changes no page: no copy is kept apart by it.
    Harmless,
    /// Whoever sends another value is another visitor.
    Identity,
    /// Changes the page for everybody who sends it; the number is its own
    /// among those.
    Shaping(u8),
}

/// What the names of fields mean, with the operator's additions.
#[derive(Clone, Debug, Default)]
pub(super) struct Meanings {
    harmless: FieldNames,
    identity: FieldNames,
}

impl Meanings {
    pub(super) fn new(harmless: &FieldNames, identity: &FieldNames) -> Self {
        Self {
            harmless: harmless.clone(),
            identity: identity.clone(),
        }
    }

    /// What the field `name` means. To applications behind CGI and its heirs `_` is the same as
    /// `-` (RFC 3875 §4.1.18), so it is here.
    #[inline(always)]
    pub(super) fn of(&self, name: &[u8]) -> Meaning {
        if !self.identity.is_empty() && self.identity.contain(name) {
            return Meaning::Identity;
        }
        let meaning = known(name);
        if meaning == Meaning::Identity && self.harmless.contain(name) {
            return Meaning::Harmless;
        }
        meaning
    }
}

/// What RETTER knows of the name itself.
#[inline(always)]
fn known(name: &[u8]) -> Meaning {
    listed(name).unwrap_or_else(|| unlisted(name))
}

/// What a name means that is not on the lists in this spelling.
#[cold]
fn unlisted(name: &[u8]) -> Meaning {
    if let Some(dashed) = dashed(name) {
        // A harmless field in that spelling comes from no browser, and no `Vary` speaks of it, but
        // some applications read it as the other: nobody shares a page that it may have shaped.
        match listed(&dashed) {
            Some(meaning @ (Meaning::Fragment(_) | Meaning::Shaping(_))) => return meaning,
            Some(
                Meaning::Accept
                | Meaning::Destination
                | Meaning::Forwarded
                | Meaning::Harmless
                | Meaning::Identity,
            )
            | None => {}
        }
    }
    if is_planted(Plant::UnknownIsHarmless) {
        return Meaning::Harmless;
    }
    Meaning::Identity
}

/// What the table says.
#[inline(always)]
fn listed(name: &[u8]) -> Option<Meaning> {
    let known = look_up(name)?;
    if known.is(Is::Harmless) {
        return Some(Meaning::Harmless);
    }
    Some(match known {
        _ if known.is(Is::Accept) => Meaning::Accept,
        _ if known.is(Is::Destination) => Meaning::Destination,
        _ if known.is(Is::Elements) => Meaning::Forwarded,
        _ if known.is(Is::Shaping) => Meaning::Shaping(known.number),
        _ if known.is(Is::Fragment) => Meaning::Fragment(known.number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::known::names;

    #[test]
    fn only_what_is_in_keys_means_the_same_with_underscores() {
        let meanings = Meanings::default();
        let all = [
            Is::Accept,
            Is::Elements,
            Is::Fragment,
            Is::Harmless,
            Is::Shaping,
        ];
        for name in all.into_iter().flat_map(names) {
            let expected = meanings.of(name.as_bytes());
            assert_ne!(expected, Meaning::Identity, "{name}");
            assert_eq!(meanings.of(name.to_uppercase().as_bytes()), expected);
            let spelled = meanings.of(name.replace('-', "_").as_bytes());
            let is_in_key = matches!(expected, Meaning::Fragment(_) | Meaning::Shaping(_));
            match is_in_key || !name.contains('-') {
                true => assert_eq!(spelled, expected, "{name}"),
                false => assert_eq!(spelled, Meaning::Identity, "{name}"),
            }
        }
        for unknown in ["", "x", "sec-ch-", "acceptx", "etag", "depth", "SEC_CH_UA"] {
            assert_eq!(
                meanings.of(unknown.as_bytes()),
                Meaning::Identity,
                "{unknown}"
            );
        }
    }
}
