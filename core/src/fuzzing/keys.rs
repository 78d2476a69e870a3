//! Owns the target of keys: two requests share copies exactly where a naive list of everything
//! that tells them apart is the same.
//! Never hashes: what `key` hashes is compared whole here.

use std::sync::LazyLock;

use bytes::Bytes;
use http::Method;

use super::input::{fields, lines, split_at_byte};
use crate::config::{CacheSettings, NamePatterns};
use crate::key::{Keyer, Kind, Partition, SessionChange, is_nothing};
use crate::message::known::Is::{self, Accept, Destination, Elements, Fragment, Harmless, Shaping};
use crate::message::known::names;
use crate::message::{Fields, RequestHead, is_token};

/// Three parts, each ended by a NUL: a request, another, and the answer to the first. Of a request
/// the first line is the target, of all the rest are fields. See [the table](super).
pub fn keys(data: &[u8]) {
    let (first, rest) = split_at_byte(data, 0);
    let (second, answer) = split_at_byte(rest, 0);
    let (first, second) = (request(first), request(second));
    let answer = fields(lines(answer));

    let (one, two) = (Audience::of(&first.fields), Audience::of(&second.fields));
    let partition = |request: &RequestHead| KEYER.partition(&request.fields);
    let (told_one, told_two) = (partition(&first), partition(&second));
    assert_eq!(told_one == told_two, one == two, "{first:?} and {second:?}");
    for (told, naive) in [(told_one, &one), (told_two, &two)] {
        match told {
            Partition::Shared => assert!(naive.parts.is_empty()),
            Partition::Public => panic!("no request has it"),
            Partition::Marked(_) => assert!(!naive.is_session && !naive.parts.is_empty()),
            Partition::Session(_) => assert!(naive.is_session),
        }
    }
    let (key_one, key_two) = (KEYER.key(&first), KEYER.key(&second));
    if let (Some(key_one), Some(key_two)) = (&key_one, &key_two) {
        let is_same = one == two && Name::of(&first) == Name::of(&second);
        assert_eq!(key_one == key_two, is_same, "{first:?} and {second:?}");
        assert!(key_one != key_two || key_one.hash() == key_two.hash());
    }
    check_session_change(&first.fields, &answer);
}

static KEYER: LazyLock<Keyer> = LazyLock::new(|| Keyer::new(&CacheSettings::default(), 1));
static SESSIONS: LazyLock<NamePatterns> = LazyLock::new(NamePatterns::session_cookies);
/// Query parameters that follow a visitor and change no page.
static FOLLOWING: LazyLock<NamePatterns> = LazyLock::new(NamePatterns::ignored_query);
static IGNORED: LazyLock<NamePatterns> = LazyLock::new(NamePatterns::ignored_cookies);

fn request(text: &[u8]) -> RequestHead {
    let (target, rest) = split_at_byte(text, b'\n');
    let mut head = RequestHead::new(Method::GET, "", fields(lines(rest)));
    // The parser lets neither controls nor white space pass in a target.
    let is_allowed = |byte: &u8| *byte > b' ' && *byte != 0x7f && *byte != b'#';
    head.target = target.iter().copied().filter(is_allowed).collect::<Bytes>();
    head
}

/// Everything that may tell two users apart.
#[derive(Debug, Eq, PartialEq)]
struct Audience {
    is_session: bool,
    /// Cookies by name, then credentials in their order: a kind, a name, a value.
    parts: Vec<(char, Vec<u8>, Vec<u8>)>,
}

impl Audience {
    fn of(request: &Fields) -> Self {
        let mut parts: Vec<_> = cookies(request)
            .into_iter()
            .filter(|(_, name, value)| {
                let may_be_ignored = IGNORED.matches(name) && is_token(name);
                SESSIONS.matches(name) || !may_be_ignored || is_several(value)
            })
            .collect();
        parts.sort_by(|one, two| one.1.cmp(&two.1));
        let has_session =
            |part: &(char, Vec<u8>, Vec<u8>)| SESSIONS.matches(&part.1) && !is_nothing(&part.2);
        let mut is_session = parts.iter().any(has_session);
        for (name, value) in request.iter() {
            // A bearer's is one user's whatever else is there.
            let scheme = value.get(..7).map(<[u8]>::to_ascii_lowercase);
            is_session |= name.eq_ignore_ascii_case("authorization")
                && scheme.is_some_and(|scheme| scheme == b"bearer ")
                && !is_nothing(value[7..].trim_ascii());
            let name = name.to_ascii_lowercase();
            let dashed = name.replace('_', "-");
            // In another spelling what is harmless is not.
            let is_any = |kinds: &[Is], name: &str| kinds.iter().any(|&kind| is_of(kind, name));
            let is_harmless = is_any(&[Harmless, Accept, Elements, Destination], &name);
            let is_in_key = is_any(&[Shaping, Fragment], &dashed);
            if !is_harmless && !is_in_key {
                parts.push(('a', dashed.into_bytes(), value.to_vec()));
            }
        }
        Self { is_session, parts }
    }
}

/// Whether Python reads more than one cookie in a value.
fn is_several(value: &[u8]) -> bool {
    let parts: Vec<&[u8]> = value.split(|byte| b" \t,\"".contains(byte)).collect();
    parts.iter().skip(1).any(|part| part.contains(&b'='))
}

/// All cookies: `n` and `u` for named and unnamed ones, name, value.
fn cookies(request: &Fields) -> Vec<(char, Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    for line in request.get_all("cookie") {
        for pair in line.split(|&byte| byte == b';') {
            let pair = pair.trim_ascii();
            if pair.is_empty() {
                continue;
            }
            if pair.contains(&b'=') {
                let (name, value) = split_at_byte(pair, b'=');
                found.push(('n', name.to_vec(), value.to_vec()));
            } else {
                found.push(('u', Vec::new(), pair.to_vec()));
            }
        }
    }
    found
}

/// Whether the table says so of `name`.
fn is_of(kind: Is, name: &str) -> bool {
    names(kind).any(|known| known == name)
}

/// Everything beside the audience that names a copy.
#[derive(Debug, Eq, PartialEq)]
struct Name {
    authority: Vec<u8>,
    target: Vec<u8>,
    /// Fields that shape a page, in their order.
    shaping: Vec<(String, Vec<u8>)>,
    forwarded: Vec<Vec<u8>>,
    kind: Kind,
    /// For a part of a page: the fields that ask for it, the media types and the destination.
    fragment: Vec<(String, Vec<u8>)>,
    by_program: bool,
}

impl Name {
    fn of(request: &RequestHead) -> Self {
        let target = kept_target(request);
        let fields = request
            .fields
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase().replace('_', "-"), value.to_vec()))
            .collect::<Vec<_>>();
        let shapes = |name: &str| is_of(Shaping, name);
        let pairs = request.fields.get_all("forwarded").flat_map(|value| {
            value
                .split(|byte| b",;".contains(byte))
                .map(<[u8]>::trim_ascii)
        });
        let tells_who = |pair: &[u8]| {
            let name = split_at_byte(pair, b'=').0.trim_ascii();
            name.eq_ignore_ascii_case(b"for") || name.eq_ignore_ascii_case(b"by")
        };
        let asks_part = |(name, value): &(String, Vec<u8>)| {
            let is_program = || value.contains(&b'.');
            is_of(Fragment, name) && (name != "x-requested-with" || !is_program())
        };
        let all = |wanted: &'static str| {
            let lines = request.fields.iter();
            lines.filter(move |(name, _)| name.eq_ignore_ascii_case(wanted))
        };
        let destinations: Vec<&[u8]> = all("sec-fetch-dest").map(|(_, value)| value).collect();
        let destination = destinations.first().copied();
        let accept: Vec<&[u8]> = all("accept").map(|(_, value)| value).collect();
        let repeats = accept.len() > 1 || destinations.len() > 1;
        let mut fragment: Vec<_> = fields
            .iter()
            .filter(|field| asks_part(field))
            .cloned()
            .collect();
        let kind = match fragment.is_empty() && !repeats {
            true => Kind::of(destination, accept.first().copied()),
            false => Kind::Fragment,
        };
        if kind == Kind::Fragment {
            let media_types = accept.iter().map(|line| ("accept", *line));
            let all = media_types.chain(destination.map(|value| ("to", value)));
            fragment.extend(all.map(|(name, value)| (name.to_owned(), value.to_vec())));
        }
        Self {
            authority: request.authority().to_ascii_lowercase(),
            target,
            kind,
            fragment,
            by_program: fields
                .iter()
                .any(|(name, value)| name == "x-requested-with" && value.contains(&b'.')),
            shaping: fields
                .into_iter()
                .filter(|(name, _)| shapes(name))
                .collect(),
            forwarded: pairs
                .filter(|pair| !pair.is_empty() && !tells_who(pair))
                .map(<[u8]>::to_vec)
                .collect(),
        }
    }
}

/// Path and query without parameters that only follow people.
fn kept_target(request: &RequestHead) -> Vec<u8> {
    let mut target = request.path_and_query().to_vec();
    if target.first() == Some(&b'?') {
        target.insert(0, b'/');
    }
    if let (path, Some(query)) = (request.path(), request.query()) {
        let pairs = || query.split(|&byte| byte == b'&');
        // A `;` may begin another parameter, which does not follow anybody.
        let follows = |pair: &[u8]| {
            let name = split_at_byte(pair, b'=').0;
            FOLLOWING.match_in_any_case(name) && !pair.contains(&b';')
        };
        if pairs().any(follows) {
            let kept: Vec<&[u8]> = pairs().filter(|pair| !follows(pair)).collect();
            let mark: &[u8] = if kept.is_empty() { b"" } else { b"?" };
            let root: &[u8] = if path.is_empty() { b"/" } else { b"" };
            target = [root, path, mark, &kept.join(&b'&')].concat();
        }
    }
    target
}

/// An answer that is said to change nothing leaves the client where it was, and one after which
/// the client has other sessions is said to change them.
fn check_session_change(request: &Fields, answer: &Fields) {
    let change = KEYER.session_change(request, answer);
    let before = cookies(request);
    let mut jar: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for (kind, name, value) in before {
        let is_known = jar.iter().any(|(known, _)| *known == name);
        if kind == 'u' || name.is_empty() || is_known {
            // Which of two cookies with one name an answer replaces depends on its path.
            return;
        }
        if value.iter().any(|byte| b" ,\"".contains(byte)) {
            // Some applications read it as two cookies, so that it counts whatever its name is; one
            // that is ignored may take its place.
            return;
        }
        jar.push((name, value));
    }
    let as_request = |jar: &[(Vec<u8>, Vec<u8>)]| {
        let pairs: Vec<Vec<u8>> = jar
            .iter()
            .map(|(name, value)| [&name[..], b"=", value].concat())
            .collect();
        let line = pairs.join(&b"; "[..]);
        let mut lines = vec![("cookie", &line[..])];
        let is_cookie = |name: &str| name.eq_ignore_ascii_case("cookie");
        lines.extend(request.iter().filter(|(name, _)| !is_cookie(name)));
        Fields::from_pairs(lines)
    };
    let sessions = |jar: &[(Vec<u8>, Vec<u8>)]| -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut found = jar.to_vec();
        found.retain(|(name, value)| SESSIONS.matches(name) && !value.is_empty());
        found.sort();
        found
    };
    let (old_sessions, old) = (sessions(&jar), KEYER.partition(&as_request(&jar)));
    for line in answer.get_all("set-cookie") {
        let lower = line.to_ascii_lowercase();
        let has = |word: &[u8]| memchr::memmem::find(&lower, word).is_some();
        let pair = split_at_byte(line, b';').0;
        let (name, value) = split_at_byte(pair, b'=');
        let (name, value) = (name.trim_ascii(), value.trim_ascii());
        // Nor is there a name for what is none, nor is it known here what has expired.
        let is_named = pair.contains(&b'=') && !name.is_empty();
        if has(b"max-age") || has(b"expires") || !is_named {
            return;
        }
        match jar.iter_mut().find(|(known, _)| known == name) {
            Some((_, kept)) => *kept = value.to_vec(),
            // To forget what is not there changes nothing.
            None if value.is_empty() => {}
            None => jar.push((name.to_vec(), value.to_vec())),
        }
    }
    match change {
        SessionChange::None => assert_eq!(KEYER.partition(&as_request(&jar)), old),
        SessionChange::SetsCookie => assert_eq!(sessions(&jar), old_sessions),
        SessionChange::ChangesSession => {}
    }
}
