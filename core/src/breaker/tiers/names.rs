//! Owns how a path is written down for people.
//! Never tells two paths apart.

use std::sync::Arc;

/// Bytes of a path's name in a [`Transition`](crate::breaker::Transition).
pub(super) const NAME_BYTES_MAX: usize = 200;

/// Writes a path so that it can go into a log: what does not print is escaped, what is too long
/// ends in `…`.
pub(super) fn display_name(path: &[u8]) -> Arc<str> {
    const CUT: &str = "…";
    let mut name = String::with_capacity(path.len());
    let mut cut = 0;
    for char in String::from_utf8_lossy(path).chars() {
        if char == ' ' || char.is_ascii_graphic() {
            name.push(char);
        } else {
            name.extend(char.escape_debug());
        }
        if name.len() > NAME_BYTES_MAX {
            name.truncate(cut);
            name.push_str(CUT);
            break;
        }
        if name.len() <= NAME_BYTES_MAX - CUT.len() {
            cut = name.len();
        }
    }
    name.into()
}
