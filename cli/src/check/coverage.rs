//! Owns what `retter check` finds out about which pages could be rescued: it lets a site of its own decide
//! about a visitor's GETs, asks the application what that site asks as a stranger, and says in words what
//! the site makes of it.
//! Never judges anything itself: what may be kept, and for whom, is the core's, as in operation.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use retter_core::key::SessionChange;
use retter_core::message::{Fields, RequestHead, ResponseHead};
use retter_core::report::{Failure, Obstacle};
use retter_core::rules::reference;
use retter_core::{Config, Decision, Fetch, Site, Verdict};

use crate::client::{self, Error, Peer};
use crate::clock::Clock;
use crate::settings::BaseUrl;
use crate::telemetry::{coverage, escape};

/// Longest time for all of it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longest time that is waited until the site wants to ask again: it lets two seconds pass between
/// the GETs by which it finds out which cookies are replaced.
const PAUSE_MAX: Duration = Duration::from_secs(4);

/// Most GETs as a stranger for one page: the page, once more with its cookies, and three that find out
/// which of these are replaced.
const ASKS_MAX: usize = 5;

/// Redirects of the first page that are followed.
const REDIRECTS_MAX: usize = 3;

/// What was found out, in lines to be shown.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) lines: Vec<String>,
    /// The application stopped to answer on the way.
    pub(super) failed: Option<Error>,
}

/// The application, and the site that judges it.
struct Check<'a> {
    clock: Clock,
    origin: &'a BaseUrl,
    object_bytes_max: usize,
    site: Site,
    timeout: Duration,
}

/// What a visitor got.
struct Got {
    body: Vec<u8>,
    cookies: Vec<(Vec<u8>, Vec<u8>)>,
    head: ResponseHead,
    target: String,
    /// What was in the way of a rescue, now that the answer is known.
    why: Option<Obstacle>,
}

/// A page, by the visitors that could be rescued with it.
struct Page {
    target: String,
    /// Why no newcomer could; `None` where every one could.
    newcomer: Option<Obstacle>,
    /// The same of whoever has had it and comes with the cookies that it sets; `None` where it sets none.
    returning: Option<Option<Obstacle>>,
}

/// Asks for the first page and for one that it links to.
pub(super) fn look(config: &Config, origin: &BaseUrl, timeout: Duration) -> Found {
    let clock = Clock::start();
    let site = Site::new(config, seed(), clock.now());
    clock.tell(&site);
    // From now on it knows that somebody asks for it.
    drop(site.poll_refresh(clock.now()));
    let object_bytes_max = config.site().cache.object_bytes_max;
    let check = Check {
        clock,
        origin,
        object_bytes_max,
        site,
        timeout,
    };
    let mut lines = Vec::new();
    let failed = check.run(&mut lines).err();
    Found { lines, failed }
}

/// For hashes of a site that lives as long as this command.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

impl Check<'_> {
    fn run(&self, lines: &mut Vec<String>) -> Result<(), Error> {
        let Some(first) = self.first(lines)? else {
            return Ok(());
        };
        let mut pages = vec![self.page(&first)?];
        if let Some(target) = self.link(&first) {
            let linked = self.get(&target, &[])?;
            if linked.head.status == StatusCode::OK {
                pages.push(self.page(&linked)?);
            }
        }
        for page in &pages {
            lines.push(format!(
                "{}: {}",
                escape(page.target.as_bytes()),
                page.words()
            ));
        }
        lines.extend(self.cookies(&first));
        lines.extend(verdict(&pages));
        Ok(())
    }

    /// The first page, or where it leads to; `None` where there is none to judge.
    fn first(&self, lines: &mut Vec<String>) -> Result<Option<Got>, Error> {
        let mut target = "/".to_owned();
        for _ in 0..=REDIRECTS_MAX {
            let got = self.get(&target, &[])?;
            if got.head.status == StatusCode::OK {
                return Ok(Some(got));
            }
            let shown = escape(target.as_bytes());
            let location = got.head.fields.get("location").unwrap_or_default();
            if !got.head.status.is_redirection() || location.is_empty() {
                let status = got.head.status.as_u16();
                lines.push(format!(
                    "{shown}: the answer is {status}, so there is no page to judge"
                ));
                return Ok(None);
            }
            let Some(next) = self.of_site(location, &target) else {
                let location = escape(location);
                lines.push(format!(
                    "{shown}: leads to {location}, which is elsewhere; redirects are not kept"
                ));
                return Ok(None);
            };
            lines.push(format!(
                "{shown}: leads to {}; redirects are not kept",
                escape(next.as_bytes())
            ));
            if next == target {
                return Ok(None);
            }
            target = next;
        }
        Ok(None)
    }

    /// What becomes of a page that a visitor got.
    fn page(&self, got: &Got) -> Result<Page, Error> {
        let target = &got.target;
        self.as_stranger()?;
        let newcomer = match self.obstacle(target, &[]) {
            // There should be a copy for each visitor who has had it.
            Some(Obstacle::NotSeen) => got.why,
            newcomer => newcomer,
        };
        let returning = match got.cookies.is_empty() {
            true => None,
            false => {
                let again = self.get(target, &got.cookies)?;
                let mut cookies = got.cookies.clone();
                for (name, value) in again.cookies {
                    cookies.retain(|(known, _)| *known != name);
                    cookies.push((name, value));
                }
                Some(self.obstacle(target, &cookies))
            }
        };
        Ok(Page {
            target: target.clone(),
            newcomer,
            returning,
        })
    }

    /// A visitor's GET, answered by the application.
    fn get(&self, target: &str, cookies: &[(Vec<u8>, Vec<u8>)]) -> Result<Got, Error> {
        let request = self.request(target, cookies);
        let counts = || self.site.stats(self.clock.now()).coverage.total;
        let before = counts();
        let (head, body) = match self.decide(&request) {
            Some(fetch) => self.ask(fetch, &request)?,
            // A fresh copy would answer: it came from the application a moment ago.
            None => self.send(&request)?,
        };
        let pairs = head.fields.get_all("set-cookie").filter_map(pair);
        let after = counts();
        let is_counted = |why: &Obstacle| after.without(*why) > before.without(*why);
        Ok(Got {
            why: Obstacle::ALL.into_iter().find(is_counted),
            cookies: pairs.collect(),
            target: target.to_owned(),
            head,
            body,
        })
    }

    /// What is in the way of such a visitor's rescue now.
    fn obstacle(&self, target: &str, cookies: &[(Vec<u8>, Vec<u8>)]) -> Option<Obstacle> {
        let request = self.request(target, cookies);
        let fetch = self.decide(&request)?;
        let obstacle = fetch.obstacle();
        fetch.abandon(self.clock.now());
        obstacle
    }

    fn decide(&self, request: &Arc<RequestHead>) -> Option<Fetch> {
        match self.site.decide(request, self.clock.now()).now() {
            Some(Decision::Fetch(fetch)) => Some(fetch),
            Some(Decision::Refuse(_) | Decision::Serve(_)) | None => None,
        }
    }

    /// Asks for what the site wants to know as a stranger.
    fn as_stranger(&self) -> Result<(), Error> {
        let mut asks = 0;
        while asks < ASKS_MAX && self.clock.epoch.elapsed() < PATIENCE {
            let now = self.clock.now();
            if let Some(refresh) = self.site.poll_refresh(now) {
                self.ask(refresh.fetch, &refresh.request)?;
                asks += 1;
                continue;
            }
            let due = self.site.poll_refresh_timeout(now);
            let pause = due.map(|due| due.saturating_since(now));
            match pause.filter(|pause| *pause <= PAUSE_MAX) {
                Some(pause) => std::thread::sleep(pause),
                None => break,
            }
        }
        Ok(())
    }

    /// Sends what the site wants to be sent, and tells it how that went.
    fn ask(
        &self,
        mut fetch: Fetch,
        request: &RequestHead,
    ) -> Result<(ResponseHead, Vec<u8>), Error> {
        fetch.on_sent(self.clock.now());
        let answer = self.send(request);
        let now = self.clock.now();
        let (head, body) = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let failure = match &error {
                    Error::Connect(_) | Error::Resolve(_) => Failure::Connect,
                    Error::Exchange(_) => Failure::Reset,
                    Error::NotHttp(_) => Failure::Protocol,
                };
                drop(fetch.on_failure(failure, now));
                return Err(error);
            }
        };
        if let Verdict::Forward(holding) = fetch.on_head(&head, now) {
            let mut passing = holding.pass_on();
            passing.on_data(&body, now);
            passing.on_end(now);
        }
        Ok((head, body))
    }

    fn send(&self, request: &RequestHead) -> Result<(ResponseHead, Vec<u8>), Error> {
        let target = String::from_utf8_lossy(&request.target);
        let path = format!("{}{target}", self.origin.prefix);
        let to = Peer::Host(&self.origin.host, self.origin.port);
        // What is larger than a copy may be is found to be so.
        let bytes_max = self.object_bytes_max.saturating_add(1);
        client::ask_with(to, (request, &path), bytes_max, self.timeout)
    }

    /// A browser's navigation.
    fn request(&self, target: &str, cookies: &[(Vec<u8>, Vec<u8>)]) -> Arc<RequestHead> {
        const BROWSER: &[u8] =
            b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
        const ACCEPT: &[u8] = b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        let pairs: Vec<_> = cookies
            .iter()
            .map(|(name, value)| [&name[..], b"=", value].concat())
            .collect();
        let cookies = pairs.join(&b"; "[..]);
        let all = [
            ("Host", self.origin.authority.as_bytes()),
            ("User-Agent", BROWSER),
            ("Accept", ACCEPT),
            ("Cookie", &cookies),
        ];
        let all = all.into_iter().filter(|(_, value)| !value.is_empty());
        let fields = Fields::from_pairs(all);
        Arc::new(RequestHead::new(Method::GET, target, fields))
    }

    /// The first page of the same site that a page links to.
    fn link(&self, page: &Got) -> Option<String> {
        let text = String::from_utf8_lossy(&page.body);
        let links = text.split("href=").skip(1);
        let targets = links.filter_map(|rest| {
            let quote = rest.chars().next().filter(|first| "\"'".contains(*first))?;
            let link = rest[1..].split(quote).next()?.replace("&amp;", "&");
            self.of_site(link.as_bytes(), &page.target)
        });
        let is_page = |target: &String| {
            let path = target.split('?').next().unwrap_or_default();
            let last = path.rsplit('/').next().unwrap_or_default();
            let ending = last.rsplit_once('.').map_or("", |(_, ending)| ending);
            matches!(ending, "" | "html" | "htm" | "php" | "aspx" | "jsp")
        };
        let is_other = |target: &String| *target != page.target && !target.contains("logout");
        targets.filter(is_page).find(is_other)
    }

    /// The path and query of this site that a reference names, as a visitor asks for them.
    fn of_site(&self, reference: &[u8], base: &str) -> Option<String> {
        let authority = self.origin.authority.as_bytes();
        let target = reference::same_origin(reference, base.as_bytes(), authority)?;
        let target = String::from_utf8(target).ok()?;
        let is_plain = target.bytes().all(|byte| byte.is_ascii_graphic());
        let inside = target.strip_prefix(&self.origin.prefix);
        let inside = inside.filter(|inside| inside.starts_with('/'));
        is_plain.then(|| inside.unwrap_or(&target).to_owned())
    }

    /// What is known of the cookies that a page sets.
    fn cookies(&self, got: &Got) -> Vec<String> {
        let snapshot = self.site.snapshot();
        let counts = |line: &[u8]| {
            let response = Fields::from_pairs([("set-cookie", line)]);
            let change = snapshot
                .keyer()
                .session_change(&Fields::default(), &response);
            change != SessionChange::None
        };
        let lines = got.head.fields.get_all("set-cookie");
        let names = lines.filter(|line| counts(line)).filter_map(pair);
        let names: BTreeSet<_> = names.map(|(name, _)| name).collect();
        let authority = self.origin.authority.as_bytes();
        let now = self.clock.now();
        let words = names.into_iter().map(|name| {
            let shown = escape(&name);
            match self.site.is_rolling(authority, &name, now) {
                true => format!("{shown} changes with every answer: followed"),
                false => format!("{shown} separates visitors: each has own copies by it"),
            }
        });
        words.collect()
    }
}

impl Page {
    fn words(&self) -> String {
        let own = match self.returning {
            Some(None) => "; whoever has seen it, from their own copy",
            Some(Some(_)) | None => "",
        };
        match self.newcomer {
            None => "everybody without a login can be rescued".to_owned(),
            Some(Obstacle::InBody) => {
                format!("this page holds its session: not kept for others{own}")
            }
            Some(why) => format!("newcomers cannot be rescued: {}{own}", coverage::words(why)),
        }
    }

    fn is_rescued(&self) -> bool {
        self.newcomer.is_none() || self.returning == Some(None)
    }
}

/// What to say of all pages together, where it is bad.
fn verdict(pages: &[Page]) -> Option<String> {
    if pages.iter().any(Page::is_rescued) {
        return None;
    }
    let why = pages.first()?.newcomer?;
    Some(format!(
        "NOTHING of this can be rescued, because {}.",
        coverage::words(why)
    ))
}

/// Name and value of a cookie that is set.
fn pair(line: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let pair = line.split(|&byte| byte == b';').next()?;
    let mark = pair.iter().position(|&byte| byte == b'=')?;
    let (name, value) = (pair[..mark].trim_ascii(), pair[mark + 1..].trim_ascii());
    let is_set = !value.is_empty() && value != b"deleted";
    is_set.then(|| (name.to_vec(), value.to_vec()))
}
