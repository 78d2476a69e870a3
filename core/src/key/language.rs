//! Owns the classes of `Accept-Language` (RFC 9110 §12.5.4): a page that varies by it is asked for as a
//! stranger in the language that a visitor wants first, and is that of all who want the same first.
//! Never guesses a language from anything else.

use smallvec::SmallVec;

use crate::message::{Fields, FieldsBuilder};

/// Longer tags are none that a browser sends of itself.
const BYTES_MAX: usize = 12;

/// A language tag (RFC 5646) in lower case.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Language(SmallVec<[u8; BYTES_MAX]>);

impl Language {
    /// The name of the field.
    pub(crate) const FIELD: &str = "accept-language";

    /// The one that a request names first; `None` where it names none, or any.
    pub(crate) fn of(request: &Fields) -> Option<Self> {
        let mut lines = request.get_all(Self::FIELD);
        let first = lines.next().filter(|_| lines.next().is_none())?;
        let end = first.iter().position(|byte| b",;".contains(byte));
        let tag = first[..end.unwrap_or(first.len())].trim_ascii();
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
        let is_tag = (1..=BYTES_MAX).contains(&tag.len())
            && tag.iter().all(is_plain)
            && tag.first().is_some_and(u8::is_ascii_alphabetic);
        is_tag.then(|| Self(tag.iter().map(u8::to_ascii_lowercase).collect()))
    }

    /// The tag.
    pub(crate) fn tag(&self) -> &[u8] {
        &self.0
    }

    /// The fields of a request that names nothing but this language.
    pub(crate) fn alone_in(&self, request: &Fields) -> Fields {
        let mut fields = FieldsBuilder::with_room_for(request);
        for line in request.lines() {
            match line.is(Self::FIELD) {
                true => fields.push_line(line.with_value(self.tag())),
                false => fields.push_line(line),
            };
        }
        fields.build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_of_the_language_that_it_names_first() {
        for (accepted, expected) in [
            ("de-DE,de;q=0.9,en;q=0.8", Some("de-de")),
            ("fr", Some("fr")),
            (" pt-BR ;q=1, en", Some("pt-br")),
            ("zh-Hant-TW", Some("zh-hant-tw")),
            ("*", None),
            ("", None),
            (", de", None),
            ("de_DE", None),
            ("1a", None),
            ("de-x-something-long", None),
        ] {
            let fields = Fields::from_pairs([("Accept-Language", accepted.as_bytes())]);
            let found = Language::of(&fields);
            let found = found.as_ref().map(Language::tag);
            assert_eq!(found, expected.map(str::as_bytes), "{accepted}");
        }
        let two = [("accept-language", &b"de"[..]), ("accept-language", b"en")];
        assert_eq!(Language::of(&Fields::from_pairs(two)), None);
        assert_eq!(Language::of(&Fields::default()), None);
    }

    #[test]
    fn all_other_fields_stay() {
        let lines = [
            ("Host", &b"h"[..]),
            ("Accept-Language", b"de-DE,de;q=0.9"),
            ("Cookie", b"a=1"),
        ];
        let fields = Fields::from_pairs(lines);
        let alone = Language::of(&fields).unwrap().alone_in(&fields);
        let alone: Vec<_> = alone.iter().collect();
        let expected = [
            ("Host", &b"h"[..]),
            ("Accept-Language", b"de-de"),
            ("Cookie", b"a=1"),
        ];
        assert_eq!(alone, expected);
    }
}
