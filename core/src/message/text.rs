//! Owns what bytes may be in the text of a head: tokens, and values that stay on their line.
//! Never knows what the text means.

/// Whether `bytes` is a token (RFC 9110 §5.6.2).
#[must_use]
pub fn is_token(bytes: &[u8]) -> bool {
    // All bytes are looked up: hardly a name is none, and so there is one branch for all of them.
    let is_part = |so_far: bool, &byte: &u8| so_far & TOKEN[usize::from(byte)];
    !bytes.is_empty() && bytes.iter().fold(true, is_part)
}

/// A byte of a field's name as programs behind CGI and its heirs see it: without case, and with `-`
/// and `_` the same (RFC 3875 §4.1.18).
pub(crate) const fn folded(byte: u8) -> u8 {
    match byte {
        b'_' => b'-',
        byte => byte.to_ascii_lowercase(),
    }
}

/// Which bytes a token may have.
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 0x80 {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"!#$%&'*+-.^_`|~";
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
};

/// How many bytes there are before the first that no token has.
pub(crate) fn token_len(bytes: &[u8]) -> usize {
    let end = bytes.iter().position(|&byte| !TOKEN[usize::from(byte)]);
    end.unwrap_or(bytes.len())
}

/// The upper bit of each byte that is a control character; of the first one for sure, of those
/// behind it perhaps.
const fn controls(bytes: [u8; 8]) -> u64 {
    const fn each(byte: u8) -> u64 {
        u64::from_le_bytes([byte; 8])
    }
    let bytes = u64::from_le_bytes(bytes);
    let others = bytes ^ each(0x7f);
    let below_space = bytes.wrapping_sub(each(b' ')) & !bytes;
    let delete = others.wrapping_sub(each(1)) & !others;
    (below_space | delete) & each(0x80)
}

/// How many bytes there are before the first control character, eight looked at together.
pub(crate) fn text_len(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let found = controls(*word);
        if found != 0 {
            return at * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let is_text = |byte: &&u8| !byte.is_ascii_control();
    words.len() * 8 + rest.iter().take_while(is_text).count()
}

/// Whether there is no control character; where is not asked, so that the last eight bytes can be
/// looked at together as well.
fn is_text(bytes: &[u8]) -> bool {
    match bytes.last_chunk() {
        Some(last) => {
            let (words, _) = bytes.as_chunks::<8>();
            let found = words
                .iter()
                .fold(controls(*last), |all, word| all | controls(*word));
            found == 0
        }
        None => !bytes.iter().any(u8::is_ascii_control),
    }
}

/// Whether `value` has nothing in it that would end its field line.
#[must_use]
pub(crate) fn is_one_line(value: &[u8]) -> bool {
    // Hardly a value has a control character.
    is_text(value) || memchr::memchr3(b'\r', b'\n', 0, value).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_of_a_line_is_found() {
        for len in 0..40 {
            for at in 0..len {
                for byte in 0..=u8::MAX {
                    let mut value = vec![b'x'; len];
                    value[at] = byte;
                    let ends = b"\r\n\0".contains(&byte);
                    assert_eq!(is_one_line(&value), !ends, "{byte} at {at} of {len}");
                }
            }
        }
    }
}
