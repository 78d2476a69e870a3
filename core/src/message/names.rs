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

/// One bit of 64 for a name, by its code. Names that share none differ.
#[inline]
pub(super) const fn mark(name: &[u8]) -> u64 {
    /// 2^64 by the golden ratio: its product's upper bits depend on all lower ones.
    const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
    1 << ((code(name) as u64).wrapping_mul(SPREAD) >> 58)
}

/// Names of which mostly none is there.
pub(crate) struct Marks(pub(super) u64);

impl Marks {
    pub(crate) const fn of(names: &[&str]) -> Self {
        let mut marks = 0;
        let mut at = 0;
        while at < names.len() {
            marks |= mark(names[at].as_bytes());
            at += 1;
        }
        Self(marks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_ignore_case() {
        for name in ["a", "ETag", "Cache-Control", "x_y", "sec-ch-ua", "N!"] {
            let (lower, upper) = (name.to_ascii_lowercase(), name.to_ascii_uppercase());
            assert_eq!(mark(lower.as_bytes()), mark(upper.as_bytes()));
            assert_eq!(mark(lower.as_bytes()).count_ones(), 1);
        }
    }
}
