//! Owns [`Languages`]: in which languages visitors want one page that differs by them.
//! Never asks for a page.

use crate::key::Language;

/// Languages of one page, as visitors want them.
#[derive(Debug, Default)]
pub(super) struct Languages(Vec<(Language, u32)>);

impl Languages {
    /// How many are asked for.
    const ASKED_MAX: usize = 4;

    /// How many are counted.
    const COUNTED_MAX: usize = 16;

    /// Counts a visitor; returns whether the language is one of those that are wanted most.
    pub(super) fn want(&mut self, language: &Language) -> bool {
        let at = match self.0.iter().position(|(known, _)| known == language) {
            Some(at) => at,
            None if self.0.len() < Self::COUNTED_MAX => {
                self.0.push((language.clone(), 0));
                self.0.len() - 1
            }
            None => {
                // Nobody can push one out that most want.
                for (_, count) in &mut self.0 {
                    *count = count.saturating_sub(1);
                }
                self.0.retain(|(_, count)| *count > 0);
                return false;
            }
        };
        let Some((_, own)) = self.0.get_mut(at) else {
            return false;
        };
        *own = own.saturating_add(1);
        let own = *own;
        let before = |(index, (_, count)): (usize, &(Language, u32))| {
            *count > own || *count == own && index < at
        };
        let ahead = self.0.iter().enumerate().filter(|&counted| before(counted));
        ahead.count() < Self::ASKED_MAX
    }

    /// The places of the page of this hash in all of them.
    pub(super) fn hashes(&self, hash: u64) -> impl Iterator<Item = u64> {
        let tags = self.0.iter();
        tags.map(move |(language, _)| hash_in(hash, Some(language)))
    }
}

/// The place of a page in a language. Hashes of keys are as good as random, and tags are short.
pub(super) fn hash_in(hash: u64, language: Option<&Language>) -> u64 {
    const PRIME: u64 = 0x0100_0000_01b3;
    let tag = language.map_or(&b""[..], Language::tag);
    tag.iter().fold(hash, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Fields;

    fn language(tag: &str) -> Language {
        Language::of(&Fields::from_pairs([("accept-language", tag.as_bytes())])).unwrap()
    }

    #[test]
    fn the_four_that_are_wanted_most_are_asked_for() {
        let mut languages = Languages::default();
        let mut want = |tag: &str| languages.want(&language(tag));
        for tag in ["de", "en", "fr", "it"] {
            assert!(want(tag), "{tag}");
        }
        assert!(!want("pl"));
        assert!(want("pl") && want("de") && want("en") && want("fr"));
        assert!(want("it"), "it came before pl, and with as many");
        // Whoever sends one after another pushes nobody out.
        for number in 0..10_000 {
            want(&format!("x{number}"));
            want("de");
        }
        assert!(want("de"));
        assert!(languages.0.len() <= Languages::COUNTED_MAX);
    }

    #[test]
    fn each_has_a_place_of_its_own() {
        let (de, en) = (language("de"), language("en"));
        let places = [None, Some(&de), Some(&en)].map(|language| hash_in(7, language));
        assert_eq!(places[0], 7);
        assert!(places[1] != places[0] && places[2] != places[0] && places[1] != places[2]);
    }
}
