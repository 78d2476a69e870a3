//! Owns which resource of the same origin a reference names (RFC 3986 §5.2): `Location` and
//! `Content-Location` may be relative (RFC 9110 §10.2.2).
//! Never looks at a resource.

/// The path and query that `reference` names, seen from a request for `base` (its path and query)
/// at `authority`; `None` where it points elsewhere.
#[must_use]
pub fn same_origin(reference: &[u8], base: &[u8], authority: &[u8]) -> Option<Vec<u8>> {
    let reference = before(reference, b"#");
    let (port, rest) = match scheme(reference) {
        None => (&b""[..], reference),
        Some(scheme) => {
            let default: &[u8] = match scheme.to_ascii_lowercase().as_slice() {
                b"http" => b":80",
                b"https" => b":443",
                _ => return None,
            };
            let rest = &reference[scheme.len() + 1..];
            (default, rest.starts_with(b"//").then_some(rest)?)
        }
    };
    let (is_absolute, rest) = match rest.strip_prefix(b"//") {
        Some(rest) => {
            let named = before(rest, b"/?");
            let plain = |authority| <[u8]>::strip_suffix(authority, port).unwrap_or(authority);
            if !plain(named).eq_ignore_ascii_case(plain(authority)) {
                return None;
            }
            (true, &rest[named.len()..])
        }
        None if rest.is_empty() => return Some(base.to_vec()),
        None => (false, rest),
    };
    let path = before(rest, b"?");
    let query = &rest[path.len()..];
    let base = before(base, b"?");
    let mut resource = match path {
        // RFC 9110 §4.2.3.
        b"" if is_absolute => b"/".to_vec(),
        b"" => base.to_vec(),
        path if path.starts_with(b"/") => without_dots(path),
        path => {
            let folder = base.iter().rposition(|&byte| byte == b'/');
            let folder = folder.map_or(&b"/"[..], |end| &base[..=end]);
            without_dots(&[folder, path].concat())
        }
    };
    resource.extend_from_slice(query);
    Some(resource)
}

/// The scheme, where there is one (§3.1).
fn scheme(reference: &[u8]) -> Option<&[u8]> {
    let scheme = before(reference, b":/?");
    let is_one = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && reference.get(scheme.len()) == Some(&b':');
    is_one.then_some(scheme)
}

/// What stands before the first of `ends`.
fn before<'a>(bytes: &'a [u8], ends: &[u8]) -> &'a [u8] {
    let end = bytes.iter().position(|byte| ends.contains(byte));
    &bytes[..end.unwrap_or(bytes.len())]
}

/// §5.2.4: an absolute path without its `.` and `..`.
fn without_dots(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut segments = path.split(|&byte| byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_dots = matches!(segment, b"." | b"..");
        if segment == b".." {
            kept.pop();
        }
        match (is_dots, segments.peek()) {
            (false, _) => kept.push(segment),
            // A folder stays one.
            (true, None) => kept.push(b""),
            (true, Some(_)) => {}
        }
    }
    let mut whole = Vec::with_capacity(path.len());
    for segment in kept {
        whole.push(b'/');
        whole.extend_from_slice(segment);
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_resolved() {
        let table = [
            ("/x", Some("/x")),
            ("/x?y=1#z", Some("/x?y=1")),
            ("cart", Some("/shop/cart")),
            ("index.php?a=b", Some("/shop/index.php?a=b")),
            ("./cart", Some("/shop/cart")),
            ("../", Some("/")),
            ("..", Some("/")),
            ("../../../x", Some("/x")),
            ("a/./b/../c/", Some("/shop/a/c/")),
            ("/a/b/.", Some("/a/b/")),
            ("a//b", Some("/shop/a//b")),
            ("?q=2", Some("/shop/add?q=2")),
            ("", Some("/shop/add?id=1")),
            ("#top", Some("/shop/add?id=1")),
            ("a:b", None),
            ("./a:b", Some("/shop/a:b")),
            ("mailto:a@b", None),
            ("//h", Some("/")),
            ("//H/x", Some("/x")),
            ("//other/x", None),
            ("http://h?x", Some("/?x")),
            ("HTTP://h/x", Some("/x")),
            ("http://h:80/x", Some("/x")),
            ("https://h:443/x", Some("/x")),
            ("https://h:80/x", None),
            ("http:x", None),
        ];
        for (reference, expected) in table {
            let resource = same_origin(reference.as_bytes(), b"/shop/add?id=1", b"h");
            let resource = resource.map(|resource| String::from_utf8(resource).unwrap());
            assert_eq!(resource.as_deref(), expected, "{reference}");
        }
    }
}
