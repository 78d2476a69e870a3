//! Owns how a stranger asks for what a key names: the request, which is made of the key and of
//! nothing else, and what no stranger should ask for.
//! Never sees a visitor's request: no cookie, credential or address of theirs could get into it.

use bytes::Bytes;
use http::Method;

use super::random::holds_random;
use super::{CacheKey, Kind, Language, logout};
use crate::canary::{Plant, is_planted};
use crate::message::known::{Is, SHAPING};
use crate::message::{FieldsBuilder, RequestHead, Version};

/// What a plain browser calls itself, so that the application sends what it sends to anybody.
const USER_AGENT: &[u8] = b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

/// What it accepts when it navigates.
const ACCEPT_PAGE: &[u8] =
    b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";

/// Whether a stranger may ask for what `key` names: for a page or a part of one with a URL of its
/// own, where nothing in the target says that it has an effect or is meant for one person.
pub(crate) fn may_be_asked(key: &CacheKey) -> bool {
    let is_kind = match key.kind() {
        Kind::Any | Kind::Asset | Kind::Document => true,
        Kind::Data | Kind::Fragment => false,
    };
    let target = key.path_and_query();
    is_kind
        && shaping(key).all(|field| field.is_some())
        && !logout::says_logout(target)
        && !has_effect(target)
        && !is_of_one(target)
}

/// The GET by which a stranger asks for what `key` names, with these cookies where it was handed
/// them a moment ago, and in this language where the page differs by it. `addresses` are the names of fields by which proxies in front tell the address
/// of a visitor, and `address` is what they tell of the stranger.
///
/// `None` where it does not fit into a head.
pub(crate) fn request_of(
    key: &CacheKey,
    (cookies, language): (Option<&[u8]>, Option<&Language>),
    addresses: &[&str],
    address: &str,
) -> Option<RequestHead> {
    let mut fields = FieldsBuilder::default();
    fields.push("Host", key.authority());
    fields.push("User-Agent", USER_AGENT);
    match key.kind() {
        Kind::Document => fields.push("Accept", ACCEPT_PAGE),
        Kind::Asset => fields.push("Accept", b"*/*"),
        Kind::Any | Kind::Data | Kind::Fragment => true,
    };
    if let Some(language) = language {
        fields.push("Accept-Language", language.tag());
    }
    for (name, value) in shaping(key).flatten() {
        fields.push(name, value);
    }
    for name in addresses {
        fields.push(name, address.as_bytes());
    }
    if let Some(cookies) = cookies {
        fields.push("Cookie", cookies);
    } else if is_planted(Plant::StrangerWithCookie) {
        fields.push("Cookie", b"PHPSESSID=v1");
    }
    let fields = fields.build();
    let target = Bytes::copy_from_slice(key.path_and_query());
    (!fields.is_cut()).then_some(RequestHead {
        method: Method::GET,
        target,
        version: Version::Http11,
        fields,
    })
}

/// The shaping fields of a key; `None` for what a stranger does not repeat.
fn shaping(key: &CacheKey) -> impl Iterator<Item = Option<(&'static str, &[u8])>> {
    let pieces = key.shaping().split(|&byte| byte == b'\n').skip(1);
    pieces.map(|piece| {
        let (number, value) = piece.split_first()?;
        let known = SHAPING.get(number.checked_sub(b'0')?)?;
        let is_asked = !known.is(Is::Unasked) && !known.is(Is::OfItsRequest);
        is_asked.then_some((known.name, value))
    })
}

/// Words by which a target says that asking for it does something.
const EFFECTS: [&[u8]; 50] = [
    b"accept",
    b"activate",
    b"add",
    b"addtocart",
    b"approve",
    b"ban",
    b"book",
    b"buy",
    b"cancel",
    b"clear",
    b"confirm",
    b"create",
    b"cron",
    b"del",
    b"delete",
    b"destroy",
    b"disable",
    b"dislike",
    b"downvote",
    b"empty",
    b"enable",
    b"execute",
    b"flush",
    b"follow",
    b"import",
    b"install",
    b"invite",
    b"join",
    b"leave",
    b"like",
    b"optout",
    b"pay",
    b"purchase",
    b"purge",
    b"rebuild",
    b"reject",
    b"remove",
    b"reset",
    b"run",
    b"send",
    b"set",
    b"subscribe",
    b"toggle",
    b"unfollow",
    b"uninstall",
    b"unsubscribe",
    b"update",
    b"upvote",
    b"verify",
    b"vote",
];

/// Those of them with which titles begin.
const OF_TITLES: [&[u8]; 13] = [
    b"accept", b"book", b"create", b"follow", b"import", b"join", b"leave", b"like", b"run",
    b"send", b"set", b"update", b"vote",
];

/// Parameters that name what is to be done.
const ACTIONS: [&[u8]; 9] = [
    b"_method", b"ac", b"act", b"action", b"cmd", b"do", b"func", b"op", b"task",
];

/// What such a parameter may say all the same.
const LOOKS: [&[u8]; 12] = [
    b"article", b"browse", b"detail", b"details", b"display", b"index", b"list", b"page", b"read",
    b"search", b"show", b"view",
];

/// Whether a target says that asking for it does something: by a word that stands alone between
/// separators in a query, or that is the last part of a path.
fn has_effect(target: &[u8]) -> bool {
    let (path, query) = split(target);
    let is_effect = |word: &[u8]| is_one_of(word, &EFFECTS);
    let mut last_parts = path.rsplit(|&byte| byte == b'/').take(2);
    last_parts.any(|part| {
        let end = memchr::memchr(b'.', part).unwrap_or(part.len());
        let (first, count) = {
            let mut words = words(&part[..end]);
            (words.next().unwrap_or_default(), words.count() + 1)
        };
        // `add-to-cart` and `delete_item` begin with it; a title may begin with `set` or `book`.
        match count {
            1 => is_effect(first),
            2 | 3 => is_effect(first) && !is_one_of(first, &OF_TITLES),
            _ => false,
        }
    }) || pairs(query).any(|(name, value)| {
        words(name).any(is_effect)
            || is_one_of(name, &ACTIONS) && !is_one_of(value, &LOOKS)
            || value.len() <= 32 && words(value).next().is_some_and(is_effect)
    })
}

/// Parameters that hold what was given to one person.
const SECRETS: [&[u8]; 26] = [
    b"access",
    b"auth",
    b"code",
    b"email",
    b"expires",
    b"hash",
    b"hmac",
    b"id_token",
    b"jwt",
    b"key",
    b"login",
    b"magic",
    b"mail",
    b"nonce",
    b"otp",
    b"pass",
    b"password",
    b"pwd",
    b"secret",
    b"session",
    b"sid",
    b"sig",
    b"signature",
    b"state",
    b"ticket",
    b"token",
];

/// Whether a target seems to be meant for one person: it holds a value that nobody would type.
fn is_of_one(target: &[u8]) -> bool {
    let (path, query) = split(target);
    let mut parts = path.split(|&byte| byte == b'/');
    parts.any(holds_random)
        || pairs(query).any(|(name, value)| {
            words(name).any(|word| is_one_of(word, &SECRETS)) && !value.is_empty()
                || holds_random(name)
                || holds_random(value)
                || memchr::memchr(b'@', value).is_some()
        })
        || memchr::memmem::find(target, b"%40").is_some()
}

fn split(target: &[u8]) -> (&[u8], &[u8]) {
    let mark = memchr::memchr(b'?', target).unwrap_or(target.len());
    (&target[..mark], target.get(mark + 1..).unwrap_or_default())
}

/// Names and values of a query.
fn pairs(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let pairs = query.split(|byte| b"&;".contains(byte));
    pairs.map(|pair| {
        let mark = memchr::memchr(b'=', pair).unwrap_or(pair.len());
        (&pair[..mark], pair.get(mark + 1..).unwrap_or_default())
    })
}

/// The words of a part, with those of `camelCase` apart.
fn words(part: &[u8]) -> impl Iterator<Item = &[u8]> {
    let pieces = part.split(|byte| !byte.is_ascii_alphanumeric());
    pieces.filter(|piece| !piece.is_empty()).flat_map(|piece| {
        let mut rest = piece;
        std::iter::from_fn(move || {
            let (first, tail) = rest.split_first()?;
            let same = tail.iter().position(u8::is_ascii_uppercase);
            let is_shouted = first.is_ascii_uppercase() && same == Some(0);
            let end = match is_shouted {
                true => rest.len(),
                false => same.map_or(rest.len(), |at| at + 1),
            };
            let (word, after) = rest.split_at(end);
            rest = after;
            Some(word)
        })
    })
}

fn is_one_of(word: &[u8], list: &[&[u8]]) -> bool {
    list.iter().any(|known| word.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CacheSettings;
    use crate::key::{Keyer, Partition};
    use crate::message::Fields;

    const FIREFOX: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

    fn keyer() -> Keyer {
        Keyer::new(&CacheSettings::default(), 1)
    }

    fn key(target: &str, fields: &[(&str, &str)]) -> CacheKey {
        let host = [("Host", "Shop.Example:8080")];
        let fields = host.iter().chain(fields);
        let fields = Fields::from_pairs(fields.map(|(name, value)| (*name, value.as_bytes())));
        let keyer = keyer();
        let own = keyer.key(&RequestHead::new(Method::GET, target, fields));
        let public = keyer.public_key(&own.unwrap());
        assert_eq!(public.partition(), Partition::Public);
        public
    }

    fn asked(key: &CacheKey) -> Vec<(String, String)> {
        let addresses = ["CF-Connecting-IP"];
        let request = request_of(key, (None, None), &addresses, "192.31.196.1").unwrap();
        let lines = request.fields.iter();
        let lines = lines.filter(|(name, _)| *name != "User-Agent");
        lines
            .map(|(name, value)| (name.to_owned(), String::from_utf8_lossy(value).into_owned()))
            .collect()
    }

    #[test]
    fn the_request_is_made_of_the_key_alone() {
        let visitor = [
            ("Accept", FIREFOX),
            ("Accept-Language", "de"),
            ("Authorization", "Basic YTpi"),
            ("CF-Connecting-IP", "203.0.113.9"),
            ("CF-IPCountry", "DE"),
            ("Cookie", "PHPSESSID=a"),
            ("If-None-Match", "\"1\""),
            ("Referer", "http://shop.example/secret"),
            ("User-Agent", "curl"),
            ("X-Forwarded-Proto", "https"),
            ("X-Shop-User", "anna"),
        ];
        let key = key("/a?b=1&utm_source=x", &visitor);
        let request = request_of(&key, (None, None), &[], "").unwrap();
        assert_eq!(
            (&request.method, &request.target[..]),
            (&Method::GET, &b"/a?b=1"[..])
        );
        assert!(may_be_asked(&key) && key.has_identity());
        let expected = [
            ("Host", "shop.example:8080"),
            ("Accept", std::str::from_utf8(ACCEPT_PAGE).unwrap()),
            ("cf-ipcountry", "DE"),
            ("x-forwarded-proto", "https"),
            ("CF-Connecting-IP", "192.31.196.1"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(asked(&key), expected);
        // A visitor who asks so has the same key but for the partition.
        let again = keyer().key(&request).unwrap();
        assert_eq!(again.bytes, key.bytes);
        assert_eq!(again.partition(), Partition::Shared);
    }

    #[test]
    fn what_a_stranger_asks_for() {
        for target in [
            "/",
            "/index.php",
            "/index.php?id=17&page=3",
            "/index.php?title=Main_Page&action=view",
            "/products/garden-furniture-made-of-teak-and-steel",
            "/2024/02/29/how-to-subscribe-to-a-newspaper/",
            "/blog/like-a-rolling-stone/comments",
            "/orders?sort=price&dir=asc&lang=de",
            "/wp-content/themes/twentytwentyfour/assets/css/style.css?ver=6.4.3",
            "/rechnungen/20240229123456789012",
            "/search?q=insurance+for+internationalization",
            "/de/Bundesversicherungsanstalt",
        ] {
            assert!(may_be_asked(&key(target, &[])), "{target}");
        }
        for target in [
            "/logout",
            "/index.php?action=logout",
            "/abmelden?x=1",
            "/members/?token=abc",
            "/reset/5f4dcc3b5aa765d61d8327deb882cf99",
            "/download/550e8400-e29b-41d4-a716-446655440000",
            "/i/eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9",
            "/share/Xk9QzT4mPbW2RvLs",
            "/verify?email=a@b.example",
            "/page?u=a%40b.example",
            "/?s=1&k=Zm9vYmFyYmF6cXV4Cg",
            "/cart?add-to-cart=17",
            "/post/17/delete",
            "/vote",
            "/delete-item/4",
            "/admin?do=flush",
            "/index.php?action=deletepost&id=3",
            "/x?_method=DELETE",
            "/cart/addToCart?id=3",
            "/wp-cron.php?doing_wp_cron=1&cron",
        ] {
            assert!(!may_be_asked(&key(target, &[])), "{target}");
        }
    }

    #[test]
    fn of_which_kind_a_stranger_asks_for() {
        let may = |fields: &[(&str, &str)]| may_be_asked(&key("/a", fields));
        assert!(may(&[("Accept", FIREFOX)]) && may(&[("Accept", "text/css,*/*;q=0.1")]));
        assert!(!may(&[("Accept", "application/json")]) && !may(&[("HX-Request", "true")]));
        assert!(!may(&[("X-HTTP-Method-Override", "DELETE")]));
        assert!(!may(&[("X-Original-URL", "/admin")]));
        assert!(!may(&[("X-Requested-With", "com.example.browser")]));
        assert!(may(&[("X-Country", "de"), ("X-Device", "phone")]));
    }
}
