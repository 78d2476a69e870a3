//! Owns what a `robots.txt` says to this program ([`Robots`], RFC 9309).
//! Never asks for one.
//!
//! The crates for it were last published in 2020 and 2022, and the rules are few.

use std::time::Duration;

/// The name by which a group of rules means this program.
const NAME: &str = "retter";

/// A longer file is read so far (RFC 9309 §2.5).
pub(super) const BYTES_MAX: usize = 500 * 1024;

/// A longer one would only mean that nothing is to be asked.
const DELAY_MAX: Duration = Duration::from_secs(30);

/// The rules for this program.
#[derive(Clone, Debug, Default)]
pub(super) struct Robots {
    rules: Vec<Rule>,
    delay: Option<Duration>,
}

#[derive(Clone, Debug)]
struct Rule {
    allows: bool,
    pattern: String,
}

impl Robots {
    /// Where there is no such file: all may be asked for.
    pub(super) fn open() -> Self {
        Self::default()
    }

    /// Reads a file: the groups that name this program, or else those for all.
    pub(super) fn parse(text: &str) -> Self {
        let (mut own, mut all) = (None::<Self>, Self::default());
        // Of the group that is being read: whom it means, and whether its rules have begun.
        let (mut is_own, mut is_all, mut has_rules) = (false, false, false);
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
            if name == "user-agent" {
                if has_rules {
                    (is_own, is_all, has_rules) = (false, false, false);
                }
                is_own |= value.eq_ignore_ascii_case(NAME);
                is_all |= value == "*";
                if is_own {
                    own.get_or_insert_default();
                }
                continue;
            }
            let known = matches!(name.as_str(), "allow" | "disallow" | "crawl-delay");
            has_rules |= known;
            let groups = [
                own.as_mut().filter(|_| is_own && known),
                Some(&mut all).filter(|_| is_all && known),
            ];
            for group in groups.into_iter().flatten() {
                group.note(&name, value);
            }
        }
        own.unwrap_or(all)
    }

    fn note(&mut self, name: &str, value: &str) {
        if name == "crawl-delay" {
            let seconds = value.parse().ok().filter(|secs: &f64| *secs >= 0.0);
            let delay = seconds.and_then(|secs| Duration::try_from_secs_f64(secs).ok());
            self.delay = self.delay.max(delay);
        } else if !value.is_empty() {
            self.rules.push(Rule {
                allows: name == "allow",
                pattern: normal(value),
            });
        }
    }

    /// Whether this path with its query may be asked for: the longest rule that matches says so, and of
    /// two as long the one that allows.
    pub(super) fn allows(&self, target: &str) -> bool {
        if target == "/robots.txt" {
            return true;
        }
        let target = normal(target);
        let matching = self
            .rules
            .iter()
            .filter(|rule| matches(&rule.pattern, &target));
        let longest = matching.max_by_key(|rule| (rule.pattern.len(), rule.allows));
        longest.is_none_or(|rule| rule.allows)
    }

    /// How long to wait between two pages at least. It is no part of the RFC; many files have it.
    pub(super) fn delay(&self) -> Duration {
        self.delay.unwrap_or_default().min(DELAY_MAX)
    }
}

/// Percent-encoded in one way (RFC 9309 §2.2.2): what is not ASCII is, what needs no encoding is not, and
/// digits are upper case.
fn normal(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digits = (byte == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        let decoded = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let (octet, is_encoded) = (decoded.unwrap_or(byte), decoded.is_some());
        let is_unreserved = octet.is_ascii_alphanumeric() || b"-._~".contains(&octet);
        if is_unreserved || !is_encoded && octet.is_ascii_graphic() {
            out.push(char::from(octet));
        } else {
            out.push_str(&format!("%{octet:02X}"));
        }
        at += if is_encoded { 3 } else { 1 };
    }
    out
}

/// Whether a pattern matches the beginning: `*` stands for anything, and `$` at its end for the end. Each
/// piece is taken where it is found first, so it takes no longer than pattern and path are together.
fn matches(pattern: &str, target: &str) -> bool {
    let (pattern, is_whole) = match pattern.strip_suffix('$') {
        Some(pattern) => (pattern, true),
        None => (pattern, false),
    };
    let mut pieces = pattern.split('*');
    let Some(mut rest) = target.strip_prefix(pieces.next().unwrap_or_default()) else {
        return false;
    };
    let mut pieces: Vec<_> = pieces.collect();
    let last = match is_whole {
        true => pieces.pop(),
        false => None,
    };
    for piece in &pieces {
        let Some(found) = rest.find(piece) else {
            return false;
        };
        rest = rest.get(found + piece.len()..).unwrap_or_default();
    }
    match (is_whole, last) {
        (false, _) => true,
        (true, Some(last)) => rest.ends_with(last),
        (true, None) => rest.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, target: &str, expected: bool) {
        let robots = Robots::parse(text);
        assert_eq!(robots.allows(target), expected, "{target} by {text:?}");
    }

    #[test]
    fn the_longest_rule_decides_and_of_two_as_long_the_one_that_allows() {
        let text = "User-agent: *\nDisallow: /a\nAllow: /a/b\nDisallow: /a/b/c\nAllow: /same\nDisallow: /same\n";
        check(text, "/", true);
        check(text, "/a", false);
        check(text, "/ab", false);
        check(text, "/a/b", true);
        check(text, "/a/b/c?d", false);
        check(text, "/same", true);
        check("User-agent: *\nDisallow:\n", "/a", true);
        check("User-agent: *\nDisallow: /\n", "/robots.txt", true);
        check("", "/a", true);
        check("Disallow: /\n", "/a", true);
    }

    #[test]
    fn the_group_of_this_program_counts_alone_wherever_its_parts_stand() {
        let text = "user-agent: other\nuser-agent: Retter\ndisallow: /x # why\n\nuser-agent: *\nDisallow: /\n\
                    \nUser-Agent: RETTER\nDisallow: /y\n";
        check(text, "/x", false);
        check(text, "/y", false);
        check(text, "/z", true);
        check("User-agent: retterbot\nDisallow: /\n", "/a", true);
        check(
            "User-agent: *\nDisallow: /a\nUser-agent: other\nDisallow: /\n",
            "/b",
            true,
        );
        check(
            "User-agent: *\nSitemap: http://h/s\nDisallow: /a\n",
            "/a",
            false,
        );
    }

    #[test]
    fn stars_and_ends() {
        let rule = |pattern: &str| format!("User-agent: *\nDisallow: {pattern}\n");
        check(&rule("/*.php$"), "/a/b.php", false);
        check(&rule("/*.php$"), "/a/b.php?c", true);
        check(&rule("/*.php"), "/a/b.php?c", false);
        check(&rule("/a*b*c"), "/axxbxxc/d", false);
        check(&rule("/a*b*c"), "/axxcxxb", true);
        check(&rule("/a$"), "/a", false);
        check(&rule("/a$"), "/ab", true);
        check(&rule("/a*$"), "/ab", false);
        check(&rule("/*aa$"), "/aaa", false);
        check(&rule("*"), "/anything", false);
        // Takes no time, however often it could be tried.
        check(&rule(&"*a".repeat(2_000)), &"/a".repeat(1_000), true);
    }

    #[test]
    fn the_same_path_is_spelt_in_several_ways() {
        let text = "User-agent: *\nDisallow: /gr%c3%bc%C3%9Fe/%7Efoo\nDisallow: /a%2fb\n";
        check(text, "/grüße/~foo", false);
        check(text, "/gr%C3%BC%C3%9Fe/%7efoo", false);
        check(text, "/a/b", true);
        check(text, "/a%2Fb", false);
    }

    #[test]
    fn delays_are_honoured_within_reason() {
        let delay = |text: &str| Robots::parse(&format!("User-agent: *\n{text}")).delay();
        assert_eq!(delay("Crawl-delay: 1.5"), Duration::from_millis(1_500));
        assert_eq!(delay("Crawl-delay: 1000"), DELAY_MAX);
        assert_eq!(delay("Crawl-delay: -1\nCrawl-delay: x"), Duration::ZERO);
        assert!(Robots::open().allows("/a"));
    }
}
