//! Owns the reading of targeted cache-control fields: structured dictionaries (RFC 9213 §2.1,
//! RFC 9651 §3.2).
//! Never lets a field count that is not valid as a whole.

use std::convert::Infallible;

use sfv::visitor::{DictionaryVisitor, EntryVisitor, Ignored, InnerListVisitor, ItemVisitor};
use sfv::{BareItemFromInput, KeyRef, Parser};

use super::directives::{CacheControl, DELTA_SECONDS_MAX, names_fields};
use crate::message::Fields;

/// The directives in all lines named `name`; `None` when there is none, or no valid dictionary.
pub(super) fn parse(response: &Fields, name: &str) -> Option<CacheControl> {
    let mut lines = response.get_all(name);
    let mut dictionary = lines.next()?.to_vec();
    for line in lines {
        // RFC 9651 §4.2: the lines of a dictionary are joined before it is parsed.
        dictionary.extend_from_slice(b", ");
        dictionary.extend_from_slice(line);
    }
    // RFC 9213 §2.2: an empty field is as good as none.
    if dictionary.trim_ascii().is_empty() {
        return None;
    }
    let parser = Parser::new(&dictionary);
    parser
        .parse_dictionary_with_visitor(Directives::default())
        .ok()
}

#[derive(Default)]
struct Directives(CacheControl);

impl<'de> DictionaryVisitor<'de> for Directives {
    type Out = CacheControl;
    type Error = Infallible;

    fn entry(&mut self, key: &'de KeyRef) -> Result<impl EntryVisitor<'de>, Self::Error> {
        let control = &mut self.0;
        Ok(Member {
            control,
            name: key.as_str(),
        })
    }

    fn finish(mut self) -> Result<Self::Out, Self::Error> {
        self.0.targeted = true;
        Ok(self.0)
    }
}

struct Member<'a, 'de> {
    control: &'a mut CacheControl,
    name: &'de str,
}

impl<'de> EntryVisitor<'de> for Member<'_, 'de> {
    type Error = Infallible;

    fn item(self) -> Result<impl ItemVisitor<'de>, Self::Error> {
        Ok(move |value: BareItemFromInput<'de>| {
            set(self.control, self.name, &value);
            Ok::<_, Infallible>(Ignored)
        })
    }

    fn inner_list(self) -> Result<impl InnerListVisitor<'de>, Self::Error> {
        // No directive takes a list.
        Ok::<_, Infallible>(Ignored)
    }
}

/// Sets one directive. A value of a type that the directive does not have says nothing, as an
/// unknown directive does; the last of several counts (RFC 9651 §4.2.2).
fn set(control: &mut CacheControl, name: &str, value: &BareItemFromInput<'_>) {
    let seconds = if let BareItemFromInput::Integer(number) = value {
        let seconds = u64::try_from(i64::from(*number)).ok();
        seconds.map(|seconds| {
            let max = u64::from(DELTA_SECONDS_MAX);
            u32::try_from(seconds.min(max)).unwrap_or(DELTA_SECONDS_MAX)
        })
    } else {
        None
    };
    let is_true = matches!(value, BareItemFromInput::Boolean(true));
    let qualified = if let BareItemFromInput::String(names) = value {
        Some(names.as_str().as_bytes())
    } else {
        None
    };
    let unqualified = is_true || qualified.is_some_and(|names| !names_fields(Some(names)));
    match name {
        "immutable" => control.immutable = is_true,
        "max-age" => control.max_age = seconds,
        "must-revalidate" => control.must_revalidate = is_true,
        "must-understand" => control.must_understand = is_true,
        "no-cache" => control.no_cache = unqualified,
        "no-store" => control.no_store = is_true,
        "no-transform" => control.no_transform = is_true,
        "private" => control.private = unqualified,
        "proxy-revalidate" => control.proxy_revalidate = is_true,
        "public" => control.public = is_true,
        "s-maxage" => control.s_maxage = seconds,
        "stale-if-error" => control.stale_if_error = seconds,
        "stale-while-revalidate" => control.stale_while_revalidate = seconds,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dictionaries() {
        #[track_caller]
        fn check(lines: &[&str], set: impl FnOnce(&mut CacheControl)) {
            let mut expected = CacheControl {
                targeted: true,
                ..CacheControl::default()
            };
            set(&mut expected);
            let fields = Fields::from_pairs(lines.iter().map(|line| ("x", line.as_bytes())));
            assert_eq!(parse(&fields, "X"), Some(expected), "{lines:?}");
        }
        check(&["max-age=60"], |c| c.max_age = Some(60));
        check(&["max-age=60;q=1, foobar, s-maxage=99999999999"], |c| {
            c.max_age = Some(60);
            c.s_maxage = Some(DELTA_SECONDS_MAX);
        });
        check(&["no-store", "max-age=1, max-age=9"], |c| {
            c.no_store = true;
            c.max_age = Some(9);
        });
        check(&["no-store=?0, private=?1"], |c| c.private = true);
        check(&["no-cache=\"a, b\", private=\"\""], |c| c.private = true);
        // A value of another type says nothing.
        check(&["max-age=\"60\", stale-if-error=6.0, public=yes"], |_| {});
        check(&["max-age=-1, max-age=(1 2)"], |_| {});
    }

    #[test]
    fn what_is_no_dictionary_does_not_count() {
        for line in [
            "",
            " ",
            "max-age=60, &&&&&",
            "MaX-aGe=3600",
            "max-age =9",
            "a=\"b",
            "max-age= 9",
        ] {
            let fields = Fields::from_pairs([("x", line.as_bytes())]);
            assert_eq!(parse(&fields, "x"), None, "{line}");
        }
    }
}
