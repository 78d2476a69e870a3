//! Owns the target of cookies that an application hands out: whatever it sets, to whom and in which order, a
//! copy is only ever somebody's to whom the page was sent.
//! Never reads a cookie as RETTER does: the jars of its browsers are as RFC 6265 §5.3 has them.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use http::{Method, StatusCode};

use super::input::{Input, split_at_byte};
use crate::config::{Config, Settings};
use crate::message::{Fields, RequestHead, ResponseHead};
use crate::report::Failure;
use crate::site::{Decision, Fetch, Served, Site, Verdict};
use crate::time::Instant;

const BROWSERS: u8 = 4;

/// Whoever asks for RETTER.
const STRANGER: u32 = u32::MAX;

const STEPS_MAX: usize = 96;

/// Whether a value under each of these names can be a session's: not where the name is one that
/// RETTER is told to ignore.
const NAMES: [(&str, bool); 6] = [
    ("PHPSESSID", true),
    ("csrftoken", true),
    ("theme", true),
    ("_ga", false),
    ("cart", true),
    ("shop_session", true),
];

const ATTRIBUTES: [&str; 6] = [
    "",
    "; Path=/",
    "; Max-Age=3600; HttpOnly",
    "; Expires=Fri, 01 Jan 2100 00:00:00 GMT",
    "; Max-Age=0",
    "; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
];

const RULES: [&str; 5] = [
    "",
    "private",
    "no-store",
    "public, max-age=60",
    "max-age=0, must-revalidate",
];

const STATUSES: [u16; 6] = [200, 200, 200, 302, 404, 503];

/// What visitors, the application and the clock do, one step after another. See [the table](super).
pub fn chains(data: &[u8]) {
    let mut world = World::new();
    let mut input = Input(data);
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        world.step(&mut input);
    }
    world.site.validate().expect("the store is sound");
}

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    Settings::default()
        .validate()
        .expect("the defaults are valid")
});

/// Somebody with a browser. Without a session's value in its jar it is nobody that could be known again.
#[derive(Default)]
struct Browser {
    jar: BTreeMap<Vec<u8>, Vec<u8>>,
    person: u32,
}

/// The client of a page: the person, and the values of sessions by which the application knows it.
#[derive(Clone, Debug)]
struct Asker {
    person: u32,
    tokens: Vec<Vec<u8>>,
}

/// A page on its way.
struct Pending {
    asker: Asker,
    browser: usize,
    fetch: Fetch,
}

struct World {
    browsers: Vec<Browser>,
    now: Instant,
    /// Whose each page is that was sent so far; `None` for one that any stranger is sent.
    pages: Vec<Option<Asker>>,
    pending: Vec<Pending>,
    people: u32,
    site: Site,
    /// Values of sessions, each with the person who was given it last.
    tokens: BTreeMap<Vec<u8>, u32>,
    /// How many such values were made, also under names that are ignored.
    values: u32,
}

impl World {
    fn new() -> Self {
        let site = Site::new(&CONFIG, 1, Instant::ZERO);
        site.set_wall_clock(Duration::from_secs(1_700_000_000), Instant::ZERO);
        let browser = |person| Browser {
            jar: BTreeMap::new(),
            person,
        };
        Self {
            browsers: (0..u32::from(BROWSERS)).map(browser).collect(),
            now: Instant::from_epoch(Duration::from_secs(1)),
            pages: Vec::new(),
            pending: Vec::new(),
            people: u32::from(BROWSERS),
            site,
            tokens: BTreeMap::new(),
            values: 0,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let browser = usize::from(input.below(BROWSERS));
        self.now = self.now + Duration::from_millis(1);
        match input.below(8) {
            0..3 => {
                if self.ask(browser, &Method::GET, input.below(3)) {
                    self.answer(self.pending.len() - 1, input);
                }
            }
            3 => {
                if self.ask(browser, &Method::GET, input.below(3)) {
                    self.fail(self.pending.len() - 1);
                }
            }
            4 => {
                self.ask(browser, &Method::GET, input.below(3));
            }
            5 => {
                if let Some(last) = self.pending.len().checked_sub(1) {
                    let at = usize::from(input.byte()) % (last + 1);
                    match input.below(4) {
                        0 => self.fail(at),
                        _ => self.answer(at, input),
                    }
                }
            }
            6 => {
                if self.ask(browser, &Method::POST, input.below(3)) {
                    self.answer(self.pending.len() - 1, input);
                }
            }
            _ => match input.below(3) {
                0 => self.now = self.now + Duration::from_nanos(input.nanos()),
                1 => self.forget(browser),
                _ => self.refresh(input),
            },
        }
    }

    /// Whoever had it is gone.
    fn forget(&mut self, browser: usize) {
        self.people += 1;
        self.browsers[browser] = Browser {
            jar: BTreeMap::new(),
            person: self.people,
        };
    }

    /// A browser asks; returns whether the application does so now.
    fn ask(&mut self, browser: usize, method: &Method, page: u8) -> bool {
        let Browser { jar, person } = &self.browsers[browser];
        let mut lines = vec![("host", b"shop".to_vec())];
        if !jar.is_empty() {
            let pair = |(name, value): (&Vec<u8>, &Vec<u8>)| match name.is_empty() {
                true => value.clone(),
                false => [name, &b"="[..], value].concat(),
            };
            let pairs: Vec<_> = jar.iter().map(pair).collect();
            lines.push(("cookie", pairs.join(&b"; "[..])));
        }
        let asker = Asker {
            person: *person,
            tokens: self.tokens_of(jar.values().map(Vec::as_slice)),
        };
        let fields = Fields::from_pairs(lines.iter().map(|(name, value)| (*name, &value[..])));
        let request = Arc::new(RequestHead::new(
            method.clone(),
            format!("/{page}").as_str(),
            fields,
        ));
        match self.site.decide(&request, self.now).now() {
            Some(Decision::Fetch(fetch)) => {
                self.pending.push(Pending {
                    asker,
                    browser,
                    fetch,
                });
                true
            }
            Some(Decision::Serve(served)) => {
                self.judge(&asker, &served);
                false
            }
            Some(Decision::Refuse(_)) | None => false,
        }
    }

    fn tokens_of<'a>(&self, values: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
        values
            .filter(|value| self.tokens.contains_key(*value))
            .map(<[u8]>::to_vec)
            .collect()
    }

    fn fail(&mut self, at: usize) {
        let Pending { asker, fetch, .. } = self.pending.swap_remove(at);
        if let Ok(served) = fetch.on_failure(Failure::Connect, self.now) {
            self.judge(&asker, &served);
        }
    }

    fn answer(&mut self, at: usize, input: &mut Input<'_>) {
        let Pending {
            asker,
            browser,
            fetch,
        } = self.pending.swap_remove(at);
        let (head, handed) = self.head(browser, asker.person, input);
        let mut whose = asker.clone();
        whose.tokens.extend(handed);
        let whose = (!whose.tokens.is_empty()).then_some(whose);
        match self.send(fetch, &head, whose) {
            Some(served) => self.judge(&asker, &served),
            // Whoever has a new browser since does not get it.
            None if self.browsers[browser].person == asker.person => self.store(browser, &head),
            None => {}
        }
    }

    /// The application sends a page; returns the copy that answers in its place.
    fn send(&mut self, fetch: Fetch, head: &ResponseHead, whose: Option<Asker>) -> Option<Served> {
        let body = self.pages.len().to_string();
        self.pages.push(whose);
        match fetch.on_head(head, self.now) {
            Verdict::Serve(served) => Some(served),
            Verdict::Forward(holding) => {
                let mut passing = holding.pass_on();
                passing.on_data(body.as_bytes(), self.now);
                passing.on_end(self.now);
                None
            }
        }
    }

    /// The head of an answer, and the values of sessions that it hands out.
    fn head(
        &mut self,
        browser: usize,
        person: u32,
        input: &mut Input<'_>,
    ) -> (ResponseHead, Vec<Vec<u8>>) {
        let status = STATUSES[usize::from(input.below(6))];
        let mut lines = vec![("content-type", b"text/html".to_vec())];
        let rule = RULES[usize::from(input.below(5))];
        if !rule.is_empty() {
            lines.push(("cache-control", rule.into()));
        }
        let mut handed = Vec::new();
        for _ in 0..input.below(3) {
            let (line, token) = self.set_cookie(browser, person, input);
            // One that is over at once is nobody's.
            handed.extend(token.filter(|_| !is_over(split_at_byte(&line, b';').1)));
            lines.push(("set-cookie", line));
        }
        let status = StatusCode::from_u16(status).expect("a status");
        let fields = Fields::from_pairs(lines.iter().map(|(name, value)| (*name, &value[..])));
        (ResponseHead::new(status, fields), handed)
    }

    /// A line, and the value of a session in it.
    fn set_cookie(
        &mut self,
        browser: usize,
        person: u32,
        input: &mut Input<'_>,
    ) -> (Vec<u8>, Option<Vec<u8>>) {
        let (name, may_be_token) = NAMES[usize::from(input.below(6))];
        let mut token = None;
        let value = match input.below(8) {
            0..3 => {
                let number = self.values;
                self.values += 1;
                let value = format!("{number:08x}d41d8cd98f00b204e9800998").into_bytes();
                if may_be_token {
                    self.tokens.insert(value.clone(), person);
                    token = Some(value.clone());
                }
                value
            }
            3 => format!("{}", 1_700_000_000 + u32::from(input.byte())).into_bytes(),
            4 => [&b"dark"[..], b"en", b"1", b""][usize::from(input.below(4))].to_vec(),
            5 => {
                let own = self.browsers[browser].jar.get(name.as_bytes());
                own.cloned().unwrap_or_default()
            }
            6 => {
                // Another's, as some applications are wrong.
                let at = usize::from(input.byte());
                let count = self.tokens.len().max(1);
                let value = self.tokens.keys().nth(at % count).cloned();
                token = value.filter(|_| may_be_token);
                token.clone().unwrap_or_default()
            }
            _ => {
                let (text, rest) = split_at_byte(input.0, b'\n');
                // Too short to be told from what many have.
                let letters = text.iter().filter(|byte| !byte.is_ascii_digit());
                let text: Vec<u8> = letters.copied().take(15).collect();
                input.0 = &input.0[input.0.len() - rest.len()..];
                // What a browser makes of dates in other forms is not its business here.
                if !text
                    .to_ascii_lowercase()
                    .windows(7)
                    .any(|part| part == b"expires")
                {
                    return (text, None);
                }
                Vec::new()
            }
        };
        let attributes = ATTRIBUTES[usize::from(input.below(6))].as_bytes();
        let line = [name.as_bytes(), b"=", &value, attributes].concat();
        (line, token)
    }

    /// A browser takes what it is given (RFC 6265 §5.2, §5.3).
    fn store(&mut self, browser: usize, head: &ResponseHead) {
        let jar = &self.browsers[browser].jar;
        let had = !self.tokens_of(jar.values().map(Vec::as_slice)).is_empty();
        for line in head.fields.get_all("set-cookie") {
            let (pair, attributes) = split_at_byte(line, b';');
            let (name, value) = match pair.contains(&b'=') {
                true => split_at_byte(pair, b'='),
                false => (&b""[..], pair),
            };
            let (name, value) = (name.trim_ascii().to_vec(), value.trim_ascii().to_vec());
            let jar = &mut self.browsers[browser].jar;
            if is_over(attributes) || name.is_empty() && value.is_empty() {
                jar.remove(&name);
            } else {
                jar.insert(name, value);
            }
        }
        let jar = &self.browsers[browser].jar;
        if had && self.tokens_of(jar.values().map(Vec::as_slice)).is_empty() {
            // Signed out: nothing says any more who it was.
            self.people += 1;
            self.browsers[browser].person = self.people;
        }
    }

    /// Somebody renews a copy, or asks as a stranger.
    fn refresh(&mut self, input: &mut Input<'_>) {
        let Some(refresh) = self.site.poll_refresh(self.now) else {
            return;
        };
        let lines = refresh.request.fields.get_all("cookie");
        let values = lines.flat_map(|line| line.split(|&byte| byte == b';'));
        let values = values.map(|pair| split_at_byte(pair, b'=').1);
        let mut tokens = self.tokens_of(values);
        if refresh.is_strangers {
            // Its own are nobody's.
            tokens.retain(|token| self.tokens.get(token) != Some(&STRANGER));
        }
        let person = tokens.last().and_then(|token| self.tokens.get(token));
        let person = person.copied().unwrap_or(STRANGER);
        let (head, _) = self.head(0, person, input);
        let whose = Asker { person, tokens };
        let whose = (!whose.tokens.is_empty()).then_some(whose);
        let _ = self.send(refresh.fetch, &head, whose);
    }

    /// What a copy says was sent to whoever gets it, or to a stranger.
    fn judge(&self, asker: &Asker, served: &Served) {
        let plain = RequestHead::new(Method::GET, "/", Fields::default());
        let body = served.answer(&plain).body();
        let number = std::str::from_utf8(&body).ok();
        let Some(number) = number.and_then(|text| text.parse::<usize>().ok()) else {
            return;
        };
        let Some(whose) = &self.pages[number] else {
            return;
        };
        let is_shared = |token: &Vec<u8>| asker.tokens.contains(token);
        assert!(
            whose.person == asker.person || whose.tokens.iter().any(is_shared),
            "{asker:?} gets page {number} of {whose:?}"
        );
    }
}

/// Whether a browser drops a cookie with these attributes: the last `Max-Age` counts before `Expires`.
fn is_over(attributes: &[u8]) -> bool {
    let mut is_expired = false;
    let mut max_age = None;
    for attribute in attributes.split(|&byte| byte == b';') {
        let (name, value) = split_at_byte(attribute, b'=');
        let (name, value) = (name.trim_ascii(), value.trim_ascii());
        if name.eq_ignore_ascii_case(b"max-age") {
            let (sign, digits) = match value.strip_prefix(b"-") {
                Some(digits) => (true, digits),
                None => (false, value),
            };
            if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) {
                max_age = Some(sign || digits.iter().all(|&digit| digit == b'0'));
            }
        } else if name.eq_ignore_ascii_case(b"expires") {
            is_expired = value.ends_with(b"1970 00:00:00 GMT");
        }
    }
    max_age.unwrap_or(is_expired)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_drops_what_is_over() {
        let rows: [(&str, bool); 7] = [
            ("", false),
            (" Path=/", false),
            (" Max-Age=0", true),
            ("max-age=-5; Expires=Fri, 01 Jan 2100 00:00:00 GMT", true),
            ("Max-Age=9; Expires=Thu, 01 Jan 1970 00:00:00 GMT", false),
            ("Expires=Thu, 01 Jan 1970 00:00:00 GMT", true),
            ("Max-Age=soon", false),
        ];
        for (attributes, expected) in rows {
            assert_eq!(is_over(attributes.as_bytes()), expected, "{attributes}");
        }
    }
}
