//! Owns the story of a site whose every page has a session, with many visitors: it dies, they go on to
//! pages that they have not seen, and others come for the first time.
//! Never takes a page for right that holds a secret of another visitor.

use std::collections::HashMap;
use std::io::Write as _;

use crate::application::Application;
use crate::browser::Browser;
use crate::client::Response;
use crate::retter::Retter;
use crate::scenario::{until, word};

const PAGES: usize = 12;

const VISITORS: usize = 30;

/// Pages that each of them sees before the outage.
const SEEN: usize = 4;

const NEWCOMERS: usize = 15;

/// Of so many visitors one signs in.
const MEMBERS: usize = 5;

/// A visitor with a browser, who may have signed in.
struct Visitor {
    browser: Browser,
    number: usize,
    is_member: bool,
    seen: Vec<usize>,
}

/// What a page says.
#[derive(Debug)]
struct Shown {
    user: String,
    page: String,
    secret: String,
}

/// Answers by what was asked for.
#[derive(Debug, Default)]
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
pub fn outage(program: &str, mut application: Application) {
    let retter = Retter::start(program, application.address());
    let mut secrets = Secrets::new();
    let mut visitors: Vec<_> = (0..VISITORS)
        .map(|number| visit(&retter, number, &mut secrets))
        .collect();
    let kept = "retter_public_asked_total{result=\"kept\"}";
    until("a stranger was sent each page", || {
        #[expect(clippy::cast_precision_loss, reason = "a dozen")]
        let pages = PAGES as f64;
        retter.metric(kept) >= pages
    });
    let of_strangers: f64 = ["failed", "kept", "passed", "refused"]
        .into_iter()
        .map(|result| retter.metric(&format!("retter_public_asked_total{{result=\"{result}\"}}")))
        .sum();
    application.kill();

    let mut seen = Count::default();
    let mut unseen = Count::default();
    let mut members = Count::default();
    let mut new = Count::default();
    for visitor in &mut visitors {
        let number = visitor.number;
        for page in 0..PAGES {
            let response = visitor.browser.get(&format!("/page/{page}"));
            let is_seen = visitor.seen.contains(&page);
            let is_rescued = judge(&response, page, Some(number), is_seen, &secrets);
            match (is_seen, visitor.is_member) {
                (true, _) => seen.add(is_rescued),
                (false, false) => unseen.add(is_rescued),
                // Members are somebody: they are not shown what a guest sees.
                (false, true) => {
                    assert!(!is_rescued, "a member gets a guest's page: {response:?}");
                    members.add(is_rescued);
                }
            }
        }
    }
    for number in 0..NEWCOMERS {
        let mut browser = Browser::new(retter.address(), &format!("new-{number}"));
        for page in 0..PAGES {
            let response = browser.get(&format!("/page/{page}"));
            new.add(judge(&response, page, None, false, &secrets));
        }
    }
    let calm = VISITORS * (SEEN + 1) + VISITORS.div_ceil(MEMBERS);
    let _ = writeln!(
        std::io::stderr(),
        "rescued of asked: returning, seen {}/{}; returning, unseen {}/{}; members, unseen {}/{}; \
         newcomers {}/{}; 0 wrong; {of_strangers} GETs of a stranger beside {calm} requests",
        seen.rescued,
        seen.asked,
        unseen.rescued,
        unseen.asked,
        members.rescued,
        members.asked,
        new.rescued,
        new.asked,
    );
    for count in [&seen, &unseen, &new] {
        assert!(count.asked > 0);
        assert_eq!(count.rescued, count.asked, "{count:?}");
    }
    let served = retter.metric("retter_public_served_total");
    #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
    let expected = (unseen.rescued + new.rescued) as f64;
    assert!((served - expected).abs() < 0.5, "{served} of {expected}");
}

/// Somebody comes, may sign in, and sees a few pages.
#[track_caller]
fn visit(retter: &Retter, number: usize, secrets: &mut Secrets) -> Visitor {
    let mut browser = Browser::new(retter.address(), &number.to_string());
    let is_member = number.is_multiple_of(MEMBERS);
    if is_member {
        let response = browser.post("/enter", &format!("user=user{number}"));
        assert_eq!(response.status, 303, "{response:?}");
    }
    let seen: Vec<_> = (0..SEEN).map(|at| (number + at * 3) % PAGES).collect();
    for (at, page) in seen.iter().enumerate() {
        // The first answer of a session hands it out, and is kept for nobody.
        for _ in 0..if at == 0 { 2 } else { 1 } {
            let response = browser.get(&format!("/page/{page}"));
            assert_eq!((response.status, response.source()), (200, "backend"));
            let owner = secrets.insert(shown(&response).secret, number);
            assert!(owner.is_none_or(|owner| owner == number));
        }
    }
    Visitor {
        browser,
        number,
        is_member,
        seen,
    }
}

/// Whether a page was rescued; it has to be the right one, and nobody else's.
#[track_caller]
fn judge(
    response: &Response,
    page: usize,
    visitor: Option<usize>,
    is_own: bool,
    secrets: &Secrets,
) -> bool {
    if response.status != 200 {
        assert!([502, 503].contains(&response.status), "{response:?}");
        assert_eq!(response.source(), "no-cache");
        return false;
    }
    let shown = shown(response);
    assert_eq!(shown.page, format!("/page/{page}"));
    assert_eq!(response.field("set-cookie"), None);
    let owner = secrets.get(&shown.secret).copied();
    let says = response.field("cache-status").unwrap_or_default();
    if is_own {
        assert_eq!(owner, visitor, "{response:?}");
        assert!(!says.contains("detail=public"), "{says}");
    } else {
        assert_eq!(owner, None, "a secret of somebody: {response:?}");
        assert_eq!(shown.user, "guest");
        assert!(says.ends_with("; detail=public"), "{says}");
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
}
