//! Whatever a trusted proxy sends, the origin is told one thing; of others it is told nothing.

use proptest::prelude::*;

use super::*;

/// Field lines as they may come from a trusted proxy, most of them odd.
fn any_lines() -> impl Strategy<Value = Vec<(String, String)>> {
    let names: Vec<_> = FORGED
        .iter()
        .map(|(name, _)| *name)
        .chain(["Via", "Cookie"])
        .collect();
    let word = prop_oneof![
        prop::sample::select(vec![
            "https",
            "http",
            "on",
            "off",
            "80",
            "443",
            "203.0.113.9",
            "10.0.0.1",
            "::1",
            "unknown",
            "_hidden",
            "[2001:db8::1]:443",
            "198.51.100.1:80",
            "for=203.0.113.9",
            "for=10.0.0.7",
            "for=\"[2001:db8::9]\"",
            "host=a.example",
            "host=\"b:8080\"",
            "proto=https",
            "proto=http",
            "a.example",
            "evil\"",
            "\\",
            "\"",
            "b:8080",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,6}",
    ];
    let value = prop::collection::vec(
        (word, prop::sample::select(vec![",", ";", ", ", " "])),
        0..5,
    )
    .prop_map(|words| {
        words
            .into_iter()
            .map(|(word, end)| word + end)
            .collect::<String>()
    });
    prop::collection::vec(
        (prop::sample::select(names).prop_map(str::to_owned), value),
        0..8,
    )
}

fn borrowed(lines: &[(String, String)]) -> Vec<(&str, &str)> {
    lines
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

/// Says the origin's view again, as a reader that believes everything would read it.
fn read_elements(value: &str) -> Vec<[String; 3]> {
    let element = |element: &str| {
        let part = |name: &str| {
            let mut pairs = element.split(';');
            let found = pairs.find_map(|pair| pair.strip_prefix(name));
            found.unwrap_or_default().trim_matches('"').to_owned()
        };
        let node = part("for=");
        let node = node
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        [node, part("host="), part("proto=")]
    };
    value.split(", ").map(element).collect()
}

proptest! {
    #[test]
    fn what_the_origin_is_told_never_contradicts_itself(
        lines in any_lines(),
        host in "[a-z]{0,5}(:[1-9][0-9]{1,3})?",
    ) {
        let mut all = borrowed(&lines);
        all.push(("Host", &host));
        let (request, view) = received(&all, "127.0.0.1");
        let sent = to_origin(&request, &view);
        let one = |name: &str| {
            let mut found = sent.iter().filter(|(sent, _)| sent.eq_ignore_ascii_case(name));
            let (first, second) = (found.next(), found.next());
            assert!(second.is_none(), "{name} twice in {sent:?}");
            first.map(|(_, value)| value.as_str()).unwrap_or_default()
        };
        let chain: Vec<_> = one("X-Forwarded-For").split(", ").collect();
        prop_assert_eq!(chain.last(), Some(&"127.0.0.1"));
        let (scheme, told_host) = (one("X-Forwarded-Proto"), one("X-Forwarded-Host"));
        prop_assert!(matches!(scheme, "http" | "https"));
        let elements = read_elements(one("Forwarded"));
        prop_assert_eq!(elements.len(), chain.len());
        for (element, member) in elements.iter().zip(&chain) {
            prop_assert_eq!(element, &[(*member).to_owned(), told_host.to_owned(), scheme.to_owned()]);
        }
        prop_assert!(chain.contains(&one("X-Real-IP")));
        prop_assert_eq!(one("X-Real-IP"), view.client().to_string());
        for (name, value) in &sent {
            let name = name.to_ascii_lowercase();
            match name.as_str() {
                "x-scheme" | "x-url-scheme" | "x-forwarded-protocol" => {
                    prop_assert_eq!(spelling::scheme(value.as_bytes()).map(Scheme::as_str), Some(scheme));
                }
                "x-forwarded-ssl" | "front-end-https" => {
                    let is_on = !matches!(value.as_str(), "off" | "http" | "0" | "no" | "false");
                    prop_assert_eq!(is_on, scheme == "https");
                }
                "x-host" | "x-original-host" => prop_assert!(value.eq_ignore_ascii_case(told_host)),
                "x-forwarded-port" => match told_host.rsplit_once(':').filter(|_| !told_host.ends_with(']')) {
                    Some((_, port)) => prop_assert_eq!(value, port),
                    None => prop_assert_ne!((scheme, value.as_str()), ("https", "80")),
                },
                _ => {}
            }
        }
        // Seen again, as by the renewal of a copy, it is the same.
        let mut again = request.clone();
        let same = View::receive(&mut again, [127, 0, 0, 1].into(), &trusted());
        prop_assert_eq!(&again, &request);
        prop_assert_eq!(to_origin(&again, &same), sent);
        prop_assert_eq!(same.client(), view.client());
    }

    #[test]
    fn nothing_of_an_untrusted_peer_is_told(lines in any_lines()) {
        let (request, view) = received(&with_host(&borrowed(&lines)), "192.0.2.1");
        let plain: Vec<_> = borrowed(&lines);
        let plain: Vec<_> = plain.into_iter().filter(|(name, _)| matches!(*name, "Via" | "Cookie")).collect();
        let (expected, own) = received(&with_host(&plain), "192.0.2.1");
        prop_assert_eq!(&request, &expected);
        prop_assert_eq!(to_origin(&request, &view), to_origin(&expected, &own));
    }

    #[test]
    fn any_bytes_can_be_told(name in prop::sample::select(vec!["Forwarded", "X-Forwarded-For", "X-Forwarded-Host"]), value: Vec<u8>) {
        let mut request = RequestHead::new(Method::GET, "/", Fields::from_pairs([("Host", &b"h"[..]), (name, &value)]));
        let view = View::receive(&mut request, [127, 0, 0, 1].into(), &trusted());
        let sent = to_origin(&request, &view);
        prop_assert!(sent.iter().all(|(_, value)| value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')));
    }
}
