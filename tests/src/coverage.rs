//! Owns the measure of how much of a real application is rescued: many visitors, some of whom have signed
//! in, it dies, they go on to pages that they have seen and to others, and new ones come. Prints a table.
//! Never takes a page for right that holds a secret of another visitor.

use std::collections::{BTreeSet, HashMap};
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Instant;

use retter_core::rng::Rng;

use crate::application::Application;
use crate::browser::Browser;
use crate::client::Response;
use crate::retter::Retter;
use crate::scenario::{until, word};

const PAGES: usize = 40;

const VISITORS: usize = 60;

/// Pages that each of them opens before the outage, and after its beginning.
const VIEWS: usize = 25;
const VIEWS_LATER: usize = 10;

const NEWCOMERS: usize = 20;

/// One in this many visitors signs in.
const MEMBERS: usize = 3;

/// What is told apart in the table.
const KINDS: [&str; 5] = [
    "returning, seen",
    "returning, unseen",
    "newcomers",
    "members, seen",
    "members, unseen",
];

/// A framework in its default settings.
#[derive(Clone, Copy, Debug)]
pub struct Framework {
    /// For the table.
    pub name: &'static str,
    /// How many of its cookies get another value with each answer.
    pub rolling: usize,
    /// Guests have no cookies of it, and so one copy of each page among them: no stranger has to ask.
    pub guests_share: bool,
    /// Where the page of a number is.
    pub page: fn(usize) -> String,
    /// Signs a visitor in, by the number.
    pub sign_in: fn(&mut Browser, usize),
}

impl Framework {
    /// One whose sample application has its pages at `/page/0` and a form for the login at `/enter`.
    #[must_use]
    pub fn new(name: &'static str, rolling: usize) -> Self {
        Self {
            name,
            rolling,
            guests_share: false,
            page: |number| format!("/page/{number}"),
            sign_in,
        }
    }
}

/// A visitor with a browser, who may have signed in.
struct Visitor {
    browser: Browser,
    number: usize,
    is_member: bool,
    /// Since the last form that was sent.
    seen: BTreeSet<usize>,
}

/// Answers by what was asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    asked: usize,
    rescued: usize,
}

/// Which visitor each secret is of.
type Secrets = HashMap<String, usize>;

/// Puts `application` through an outage behind RETTER, in its default settings.
///
/// # Panics
/// At the first page that is another visitor's, and where fewer are rescued than should be.
#[track_caller]
pub fn outage(program: &str, mut application: Application, framework: Framework) {
    let address = application.address();
    outage_of(program, address, move || application.kill(), framework);
}

/// The same of whatever listens there, until it is killed.
///
/// # Panics
/// As [`outage`].
#[track_caller]
pub fn outage_of(program: &str, address: SocketAddr, kill: impl FnOnce(), framework: Framework) {
    let begin = Instant::now();
    let retter = Retter::start(program, address);
    let mut rng = Rng::new(7);
    let mut secrets = Secrets::new();
    let mut calm = find_out(&retter, framework);
    let come = |number| come(&retter, number, framework);
    let mut visitors: Vec<_> = (0..VISITORS).map(come).collect();
    for _ in 0..VIEWS {
        for visitor in &mut visitors {
            calm += 1;
            visitor.view(framework, popular(&mut rng), &mut secrets);
        }
    }
    let known: BTreeSet<_> = visitors
        .iter()
        .flat_map(|visitor| &visitor.seen)
        .copied()
        .collect();
    #[expect(clippy::cast_precision_loss, reason = "forty")]
    let pages = known.len() as f64;
    let kept = "retter_public_asked_total{result=\"kept\"}";
    until("a stranger was sent each page", || {
        framework.guests_share || retter.metric(kept) >= pages
    });
    let strangers: f64 = ["failed", "kept", "passed", "refused"]
        .into_iter()
        .map(|result| retter.metric(&format!("retter_public_asked_total{{result=\"{result}\"}}")))
        .sum();
    let spent = retter.metric("retter_public_seconds_total");
    let share = 100.0 * spent / begin.elapsed().as_secs_f64();
    kill();
    let counts = after(
        &retter,
        framework,
        &mut visitors,
        &known,
        &secrets,
        &mut rng,
    );
    let table = KINDS.iter().zip(&counts).map(|(kind, count)| {
        let Count { asked, rescued } = count;
        format!(
            "  {kind:<18} {rescued:>4} of {asked:>4}  {:>5.1} %\n",
            count.percent()
        )
    });
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let more = 100.0 * strangers / calm as f64;
    let _ = write!(
        std::io::stderr(),
        "{}: rescued of asked, 0 wrong\n{}  a stranger sent {strangers} GETs beside {calm}: {more:.1} % \
         more, {share:.1} % of the time\n",
        framework.name,
        table.collect::<String>(),
    );
    let anonymous = counts[0] + counts[1] + counts[2];
    assert!(anonymous.percent() >= 95.0, "{anonymous:?}");
    assert!(counts[3].percent() >= 99.0, "{:?}", counts[3]);
    assert!(counts.iter().all(|count| count.asked > 50), "{counts:?}");
    assert!(more <= 10.0 && share <= 12.0, "{more} and {share}");
}

/// Lets a visitor come and go until RETTER knows which cookies of the application roll; returns how many
/// requests that took.
#[track_caller]
fn find_out(retter: &Retter, framework: Framework) -> usize {
    let mut browser = Browser::new(retter.address(), "first");
    let mut asked = 0;
    #[expect(clippy::cast_precision_loss, reason = "one or two")]
    let rolling = framework.rolling as f64;
    until("it is known which cookies roll", || {
        asked += 1;
        let response = browser.get(&(framework.page)(0));
        assert_eq!(response.status, 200, "{response:?}");
        retter.metric("retter_cookies_rolling") >= rolling
    });
    asked
}

/// Somebody comes, and may sign in.
#[track_caller]
fn come(retter: &Retter, number: usize, framework: Framework) -> Visitor {
    let mut visitor = Visitor {
        browser: Browser::new(retter.address(), &number.to_string()),
        number,
        is_member: number.is_multiple_of(MEMBERS),
        seen: BTreeSet::new(),
    };
    if visitor.is_member {
        (framework.sign_in)(&mut visitor.browser, number);
    }
    visitor
}

/// Sends the form of a sample application, with what is hidden in it.
#[track_caller]
fn sign_in(browser: &mut Browser, number: usize) {
    let form = browser.get("/enter").text();
    let hidden = hidden_inputs(&form);
    let hidden = hidden.map(|(name, value)| format!("&{name}={value}"));
    let content = format!("user=user{number}{}", hidden.collect::<String>());
    let response = browser.post("/enter", &content);
    assert!([302, 303].contains(&response.status), "{response:?}");
}

/// What happens when the application is gone.
#[track_caller]
fn after(
    retter: &Retter,
    framework: Framework,
    visitors: &mut [Visitor],
    known: &BTreeSet<usize>,
    secrets: &Secrets,
    rng: &mut Rng,
) -> [Count; 5] {
    let mut counts = [Count::default(); 5];
    for visitor in visitors {
        for view in 0..VIEWS_LATER {
            // Half of them are new to them.
            let wants_seen = view % 2 == 0;
            let page = loop {
                let page = popular(rng);
                let is_seen = visitor.seen.contains(&page);
                if is_seen == wants_seen && known.contains(&page) {
                    break page;
                }
            };
            let page = (framework.page)(page);
            let response = visitor.browser.get(&page);
            let is_rescued = judge(&response, &page, Some(visitor), wants_seen, secrets);
            let at = match (visitor.is_member, wants_seen) {
                (false, true) => 0,
                (false, false) => 1,
                (true, true) => 3,
                (true, false) => 4,
            };
            counts[at].add(is_rescued);
        }
    }
    for number in 0..NEWCOMERS {
        let mut browser = Browser::new(retter.address(), &format!("new-{number}"));
        for _ in 0..VIEWS_LATER {
            let page = (framework.page)(popular(rng));
            let response = browser.get(&page);
            counts[2].add(judge(&response, &page, None, false, secrets));
        }
    }
    counts
}

impl Visitor {
    /// Opens a page of the living application.
    #[track_caller]
    fn view(&mut self, framework: Framework, page: usize, secrets: &mut Secrets) {
        let response = self.browser.get(&(framework.page)(page));
        assert_eq!(response.status, 200, "{response:?}");
        if response.source() != "backend" {
            // The machine is busy, and the application slow for a moment.
            return;
        }
        let shown = shown(&response);
        assert_eq!(shown.user != "guest", self.is_member, "{shown:?}");
        if shown.secret != NONE {
            let owner = secrets.insert(shown.secret, self.number);
            assert!(owner.is_none_or(|owner| owner == self.number));
        }
        self.seen.insert(page);
    }
}

/// A page, by Zipf's law: the tenth is asked for a tenth as often as the first.
fn popular(rng: &mut Rng) -> usize {
    #[expect(clippy::cast_precision_loss, reason = "forty")]
    let weight = |page: usize| 1.0 / (page + 1) as f64;
    let mut left = rng.unit() * (0..PAGES).map(weight).sum::<f64>();
    for page in 0..PAGES {
        left -= weight(page);
        if left <= 0.0 {
            return page;
        }
    }
    0
}

/// What a form has to be sent back with.
fn hidden_inputs(page: &str) -> impl Iterator<Item = (&str, &str)> {
    let inputs = page.split("<input").skip(1);
    let inputs = inputs.filter_map(|rest| rest.split_once('>').map(|(input, _)| input));
    inputs
        .filter(|input| input.contains("type=\"hidden\""))
        .filter_map(|input| {
            let value = |name: &str| {
                let (_, rest) = input.split_once(&format!("{name}=\""))?;
                rest.split_once('"').map(|(value, _)| value)
            };
            Some((value("name")?, value("value")?))
        })
}

/// What a page says.
#[derive(Debug)]
struct Shown {
    user: String,
    page: String,
    secret: String,
}

/// The secret of a page that has none.
const NONE: &str = "none";

/// Whether a page was rescued; it has to be the right one, and nobody else's.
#[track_caller]
fn judge(
    response: &Response,
    page: &str,
    visitor: Option<&Visitor>,
    is_seen: bool,
    secrets: &Secrets,
) -> bool {
    if response.status != 200 {
        assert!([502, 503].contains(&response.status), "{response:?}");
        assert_eq!(response.source(), "no-cache");
        return false;
    }
    let shown = shown(response);
    assert_eq!(shown.page, page);
    assert_eq!(response.field("set-cookie"), None);
    let owner = secrets.get(&shown.secret).copied();
    let says = response.field("cache-status").unwrap_or_default();
    if says.contains("detail=public") {
        let is_member = visitor.is_some_and(|visitor| visitor.is_member);
        assert!(!is_member, "a member gets a guest's page: {response:?}");
        assert_eq!(owner, None, "a secret of somebody: {response:?}");
        assert_eq!(shown.user, "guest");
    } else if visitor.is_none_or(|visitor| !visitor.is_member) && shown.secret == NONE {
        assert_eq!(shown.user, "guest", "everybody's page: {response:?}");
    } else {
        let visitor = visitor.filter(|_| is_seen);
        let visitor = visitor.unwrap_or_else(|| panic!("a copy of whom: {response:?}"));
        assert_eq!(
            owner,
            Some(visitor.number),
            "a secret of another: {response:?}"
        );
        assert_eq!(shown.user != "guest", visitor.is_member, "{response:?}");
    }
    true
}

#[track_caller]
fn shown(response: &Response) -> Shown {
    let text = response.text();
    assert!(text.trim_end().ends_with("</html>"), "not whole: {text}");
    Shown {
        user: word(&text, "user"),
        page: word(&text, "page"),
        secret: word(&text, "secret"),
    }
}

impl Count {
    fn add(&mut self, is_rescued: bool) {
        self.asked += 1;
        self.rescued += usize::from(is_rescued);
    }

    fn percent(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        let (rescued, asked) = (self.rescued as f64, self.asked.max(1) as f64);
        100.0 * rescued / asked
    }
}

impl std::ops::Add for Count {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            asked: self.asked + other.asked,
            rescued: self.rescued + other.rescued,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_sent_back_with_what_is_hidden_in_it() {
        let page = "<form><input type=\"hidden\" name=\"csrf\" value=\"a1\"><input name=\"user\">\
                    <input name=\"b\" type=\"hidden\" value=\"\"></form>";
        let hidden: Vec<_> = hidden_inputs(page).collect();
        assert_eq!(hidden, [("csrf", "a1"), ("b", "")]);
    }

    #[test]
    fn a_few_pages_are_asked_for_most() {
        let mut rng = Rng::new(1);
        let pages: Vec<_> = (0..10_000).map(|_| popular(&mut rng)).collect();
        let count = |page: usize| pages.iter().filter(|other| **other == page).count();
        assert!(count(0) > 5 * count(9) && count(39) > 0);
    }
}
