//! Owns `retter copies --from`: the pages of a sitemap are asked for through the instance that runs, one
//! after another, as politely as a crawler should (RFC 9309), so that there are copies before the first visitor.
//! Never asks for two at a time, for what `robots.txt` forbids, or on after the application fails.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use retter_core::time::UnixTime;

use super::fetching::{Fetcher, Outcome};
use super::robots::{self, Robots};
use super::sitemap;
use super::url::Url;
use crate::clock::since_1970;
use crate::settings::Loaded;
use crate::telemetry::escape;
use crate::{instance, out};

/// Pages that are asked for where nobody says how many.
const PAGES_MAX: usize = 10_000;

/// Sitemaps that are read, those that others name included.
const SITEMAPS_MAX: usize = 100;

/// How often a page is asked for that comes to nothing.
const TRIES: u32 = 3;

/// How many pages in a row may come to nothing before the application is left alone.
const FAILURES_MAX: u32 = 5;

/// Where nobody says when to come back; twice as long each time.
const PAUSE: Duration = Duration::from_secs(5);

/// Whoever wants to be left alone for longer is.
const PAUSE_MAX: Duration = Duration::from_secs(10 * 60);

/// Between two pages at most, where the application takes its time.
const REST_MAX: Duration = Duration::from_secs(30);

/// Redirects of a `robots.txt` (RFC 9309 §2.3.1.2).
const REDIRECTS_MAX: usize = 5;

pub(super) fn run(loaded: &Loaded, sitemap: &str, pages_max: Option<u32>) -> Result<(), String> {
    let values = &loaded.values;
    let address = instance::address_of(&values.listen)
        .map_err(|error| format!("RETTER_SERVER_LISTEN has no address: {error}"))?;
    let fetcher = Fetcher {
        address,
        bytes_max: values.core.site.cache.object_bytes_max,
        timeout: values.core.site.origin.head_timeout + REST_MAX,
    };
    let mut walk = Walk {
        fetcher,
        robots: HashMap::new(),
        tally: Tally::default(),
    };
    let pages_max = pages_max.map_or(PAGES_MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
    let pages = walk.gather(sitemap, pages_max)?;
    let before = copies(loaded);
    let walked = walk.fetch(&pages);
    out::line(format_args!("{}", walk.tally));
    if let (Some(before), Some(now)) = (before, copies(loaded)) {
        out::line(format_args!(
            "copies before {before}, now {now}; pages that may not be kept of a visitor's visit are asked for \
             as a stranger in the next minutes, unless RETTER_CACHE_PUBLIC=off"
        ));
    }
    walked
}

/// How many copies there are, where the instance can be asked.
fn copies(loaded: &Loaded) -> Option<u64> {
    let answer = instance::ask(loaded, &http::Method::GET, "/health").ok()?;
    let health: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
    health["copies"]["count"].as_u64()
}

/// What came of it.
#[derive(Debug, Default)]
struct Tally {
    answered: usize,
    had: usize,
    /// Each with its number, by what the answers were.
    no: std::collections::BTreeMap<u16, usize>,
    failed: usize,
    forbidden: usize,
    foreign: usize,
    /// Of pages that are more than were wanted.
    beyond: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} pages asked for and answered", self.answered)?;
        let mut parts = vec![
            (self.had, "had a fresh copy already".to_owned()),
            (self.failed, "came to nothing".to_owned()),
            (self.forbidden, "left out by robots.txt".to_owned()),
            (
                self.foreign,
                "of other hosts, or no addresses of pages".to_owned(),
            ),
            (self.beyond, "beyond the limit (`--limit`)".to_owned()),
        ];
        let no = self.no.iter();
        parts.extend(no.map(|(status, count)| (*count, format!("answered with status {status}"))));
        for (count, what) in parts.iter().filter(|(count, _)| *count > 0) {
            write!(f, ", {count} {what}")?;
        }
        Ok(())
    }
}

struct Walk {
    fetcher: Fetcher,
    robots: HashMap<String, Robots>,
    tally: Tally,
}

impl Walk {
    /// The pages of a sitemap and of those that it names.
    fn gather(&mut self, first: &str, pages_max: usize) -> Result<Vec<Url>, String> {
        let named = |error: &dyn fmt::Display| format!("{}: {error}", escape(first.as_bytes()));
        let root = match first.starts_with("http://") || first.starts_with("https://") {
            true => Some(Url::parse(first).ok_or_else(|| named(&"it is no address"))?),
            false => None,
        };
        let read = match &root {
            Some(url) => self.read_sitemap(url)?,
            None => {
                let bytes = read_file(first).map_err(|error| named(&error))?;
                sitemap::read(&bytes).map_err(|error| named(&error))?
            }
        };
        let (mut seen, mut pages) = (HashSet::new(), Vec::new());
        seen.extend(root.clone());
        let mut waiting: VecDeque<String> = read.sitemaps.into();
        let mut found = read.pages;
        let mut count = 1;
        loop {
            for text in std::mem::take(&mut found) {
                let url = Url::parse(&text).filter(|url| is_of(root.as_ref(), url));
                match url {
                    None => self.tally.foreign += 1,
                    Some(url) if !seen.insert(url.clone()) => {}
                    Some(_) if pages.len() >= pages_max => self.tally.beyond += 1,
                    Some(url) => pages.push(url),
                }
            }
            let Some(next) = waiting.pop_front() else {
                return Ok(pages);
            };
            let Some(url) = Url::parse(&next).filter(|url| is_of(root.as_ref(), url)) else {
                self.tally.foreign += 1;
                continue;
            };
            if !seen.insert(url.clone()) {
                continue;
            }
            count += 1;
            if count > SITEMAPS_MAX {
                return Err(named(&format_args!(
                    "it names more than {SITEMAPS_MAX} sitemaps; give them one by one"
                )));
            }
            let read = self.read_sitemap(&url)?;
            found = read.pages;
            waiting.extend(read.sitemaps);
        }
    }

    fn read_sitemap(&mut self, url: &Url) -> Result<sitemap::Sitemap, String> {
        let named = |error: &dyn fmt::Display| format!("{url}: {error}");
        if !self.robots_of(url)?.allows(&url.target) {
            return Err(named(&"robots.txt does not let it be asked for"));
        }
        let got = self.fetcher.get(url, sitemap::BYTES_MAX + 1);
        let (head, bytes) = got.map_err(|error| named(&error))?;
        match head.status.as_u16() {
            200 if bytes.len() > sitemap::BYTES_MAX => Err(named(&"it is too long")),
            200 => sitemap::read(&bytes).map_err(|error| named(&error)),
            status => Err(named(&format_args!("it is answered with status {status}"))),
        }
    }

    /// What its host says to crawlers.
    ///
    /// # Errors
    /// It cannot be had just now: nothing may be asked for then (RFC 9309 §2.3.1.4).
    fn robots_of(&mut self, url: &Url) -> Result<Robots, String> {
        if let Some(robots) = self.robots.get(&url.authority) {
            return Ok(robots.clone());
        }
        let robots = self.ask_robots(url)?;
        self.robots.insert(url.authority.clone(), robots.clone());
        Ok(robots)
    }

    fn ask_robots(&self, url: &Url) -> Result<Robots, String> {
        let mut at = url.with_target("/robots.txt");
        for _ in 0..=REDIRECTS_MAX {
            let (head, bytes) = self.fetcher.get(&at, robots::BYTES_MAX).map_err(|error| {
                let address = self.fetcher.address;
                format!(
                    "RETTER cannot be asked at {address}: {error}; is it running, and is that its \
                     RETTER_SERVER_LISTEN?"
                )
            })?;
            let status = head.status;
            if status.is_success() {
                let read = &bytes[..bytes.len().min(robots::BYTES_MAX)];
                return Ok(Robots::parse(&String::from_utf8_lossy(read)));
            }
            // Too many requests are no word on what may be asked for.
            if status.is_server_error() || status.as_u16() == 429 {
                return Err(format!(
                    "{at} is answered with status {}: nothing is asked for while it cannot be read",
                    status.as_u16()
                ));
            }
            let leads_to = head.fields.get_str("location");
            match leads_to
                .filter(|_| status.is_redirection())
                .and_then(|to| at.join(to))
            {
                Some(next) => at = next,
                None => return Ok(Robots::open()),
            }
        }
        Ok(Robots::open())
    }

    /// Asks for the pages.
    fn fetch(&mut self, pages: &[Url]) -> Result<(), String> {
        let mut failures = 0;
        for (at, url) in pages.iter().enumerate() {
            let robots = self.robots_of(url)?;
            if !robots.allows(&url.target) {
                self.tally.forbidden += 1;
                continue;
            }
            progress(at, pages.len(), url);
            let began = Instant::now();
            let outcome = self.fetch_one(url);
            let took = began.elapsed();
            match outcome {
                Ok(Outcome::Answered) => self.tally.answered += 1,
                Ok(Outcome::Had) => self.tally.had += 1,
                Ok(Outcome::No(status)) => *self.tally.no.entry(status).or_default() += 1,
                Ok(Outcome::Busy(_) | Outcome::Fails(_)) => {
                    self.tally.failed += 1;
                    failures += 1;
                    if failures >= FAILURES_MAX {
                        return Err(format!(
                            "{failures} pages in a row came to nothing, the last of them {url}: the \
                             application is left alone; look at it, and begin again"
                        ));
                    }
                    continue;
                }
                Err(why) => return Err(why),
            }
            failures = 0;
            if at + 1 < pages.len() {
                // As long as it took, so that others have at least half of the application.
                std::thread::sleep(robots.delay().max(took.min(REST_MAX)));
            }
        }
        progress_ends();
        Ok(())
    }

    /// Asks for a page, again where there is no room.
    ///
    /// # Errors
    /// The application wants to be left alone for longer than anybody would wait for.
    fn fetch_one(&self, url: &Url) -> Result<Outcome, String> {
        let mut outcome = Outcome::Busy(None);
        for attempt in 0..TRIES {
            let now = UnixTime(since_1970().as_secs());
            outcome = self.fetcher.keep(url, now);
            let Outcome::Busy(after) = outcome else {
                return Ok(outcome);
            };
            let pause = after.unwrap_or_else(|| PAUSE * 2_u32.pow(attempt));
            if pause > PAUSE_MAX {
                return Err(format!(
                    "the application wants to be left alone for {}: begin again after that",
                    humantime::format_duration(Duration::from_secs(pause.as_secs()))
                ));
            }
            if attempt + 1 < TRIES {
                std::thread::sleep(pause);
            }
        }
        Ok(outcome)
    }
}

/// Whether an address is on the host of the sitemap; the pages of a file may be on any.
fn is_of(root: Option<&Url>, url: &Url) -> bool {
    root.is_none_or(|root| root.authority == url.authority)
}

/// Reads a file, as far as a sitemap may be long.
fn read_file(path: &str) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(sitemap::BYTES_MAX as u64)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A line that is written over on a terminal, and one now and then elsewhere.
fn progress(at: usize, all: usize, url: &Url) {
    const EACH: usize = 100;
    if std::io::stderr().is_terminal() {
        out::progress(format_args!("{} of {all}: {url}", at + 1));
    } else if at > 0 && at.is_multiple_of(EACH) {
        let _ = writeln!(std::io::stderr(), "{at} of {all} pages");
    }
}

fn progress_ends() {
    if std::io::stderr().is_terminal() {
        out::progress(format_args!(""));
    }
}
