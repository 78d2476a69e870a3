//! Owns the quick look whether a field name is among others. Never knows what a name means.

/// A number for a name, the same for all its spellings: its length, first and last byte.
#[inline]
const fn code(name: &[u8]) -> u32 {
    match name {
        [] => 0,
        [first, ..] => {
            let last = name[name.len() - 1];
            let [low, high, ..] = name.len().to_le_bytes();
            u32::from_le_bytes([last | 0x20, *first | 0x20, low, high])
        }
    }
}

/// What two names differ in, if they do, without a look at either.
#[derive(Clone, Copy)]
pub(super) struct Tags {
    /// One bit of 64. Names that share none differ.
    pub(super) mark: u64,
    /// Sixteen bits. Names of which they differ do.
    pub(super) tag: u16,
}

impl Tags {
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "some bits of it")]
    pub(super) const fn of(name: &[u8]) -> Self {
        /// 2^64 by the golden ratio: its product's upper bits depend on all lower ones.
        const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
        let spread = (code(name) as u64).wrapping_mul(GOLDEN);
        Self {
            mark: 1 << (spread >> 58),
            tag: (spread >> 42) as u16,
        }
    }
}

/// Whether a name is another one, without case: eight bytes at a time, as most of the time of a look is
/// here. Both are tokens (RFC 9110 §5.6.2); of those `^` and `~` alone are taken for each other, which are in no
/// name that anybody asks for.
#[inline]
pub(super) fn is_same(found: &[u8], name: &[u8]) -> bool {
    const CASE: u64 = 0x2020_2020_2020_2020;
    let differ = |one: &[u8; 8], other: &[u8; 8]| {
        (u64::from_le_bytes(*one) ^ u64::from_le_bytes(*other)) & !CASE != 0
    };
    let (Some(end), Some(of_name)) = (found.last_chunk(), name.last_chunk()) else {
        return found.eq_ignore_ascii_case(name);
    };
    if found.len() != name.len() || differ(end, of_name) {
        return false;
    }
    let (found, _) = found.as_chunks();
    let (name, _) = name.as_chunks();
    found
        .iter()
        .zip(name)
        .all(|(one, other)| !differ(one, other))
}

/// Names of which mostly none is there.
pub(crate) struct Marks(pub(super) u64);

impl Marks {
    pub(crate) const fn of(names: &[&str]) -> Self {
        let mut marks = 0;
        let mut at = 0;
        while at < names.len() {
            marks |= Tags::of(names[at].as_bytes()).mark;
            at += 1;
        }
        Self(marks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_ignore_case() {
        for name in ["a", "ETag", "Cache-Control", "x_y", "sec-ch-ua", "N!"] {
            let (lower, upper) = (name.to_ascii_lowercase(), name.to_ascii_uppercase());
            let (lower, upper) = (Tags::of(lower.as_bytes()), Tags::of(upper.as_bytes()));
            assert_eq!((lower.mark, lower.tag), (upper.mark, upper.tag));
            assert_eq!(lower.mark.count_ones(), 1);
        }
    }

    #[test]
    fn names_are_the_same_whatever_their_case_and_length() {
        let names = [
            "te",
            "host",
            "x-field",
            "x-fields",
            "x-fields-2",
            "access-control-allow-origin",
        ];
        for (at, name) in names.iter().enumerate() {
            assert!(is_same(
                name.to_ascii_uppercase().as_bytes(),
                name.as_bytes()
            ));
            for other in &names[at + 1..] {
                assert!(
                    !is_same(other.as_bytes(), name.as_bytes()),
                    "{other} {name}"
                );
            }
            // Each byte counts, a letter for more than its case.
            for place in 0..name.len() {
                let mut other = name.as_bytes().to_vec();
                other[place] = if other[place] == b'q' { b'z' } else { b'q' };
                assert!(!is_same(&other, name.as_bytes()), "{name} at {place}");
            }
        }
        assert!(!is_same(b"x_fields", b"x-fields"));
    }
}
