//! Owns which parameters of a query never change a page, and a query without them.
//! Never decodes one: names are compared as they are sent.

use crate::config::NamePatterns;

/// Whether `pair` never changes a page. To some applications `;` begins another parameter, which
/// this one must not hide.
fn is_ignored(ignored: &NamePatterns, pair: &[u8]) -> bool {
    let end = memchr::memchr(b'=', pair).unwrap_or(pair.len());
    !pair.contains(&b';') && ignored.match_in_any_case(&pair[..end])
}

fn pairs(query: &[u8]) -> impl Iterator<Item = &[u8]> {
    query.split(|&byte| byte == b'&')
}

/// Whether a query, without its `?`, has a parameter that never changes a page.
pub(super) fn has_ignored(ignored: &NamePatterns, query: &[u8]) -> bool {
    pairs(query).any(|pair| is_ignored(ignored, pair))
}

/// Appends a query, which begins with `?` or is empty, without the parameters that never change a
/// page; the others keep their order.
pub(super) fn put(ignored: &NamePatterns, query: &[u8], bytes: &mut Vec<u8>) {
    let Some((mark, rest)) = query.split_first() else {
        return;
    };
    if !has_ignored(ignored, rest) {
        return bytes.extend_from_slice(query);
    }
    let mut separator = *mark;
    for pair in pairs(rest).filter(|pair| !is_ignored(ignored, pair)) {
        bytes.push(separator);
        bytes.extend_from_slice(pair);
        separator = b'&';
    }
}
