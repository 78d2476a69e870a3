//! Tests of what is counted of GETs before an outage: requests and answers in, counts out.

use http::{Method, StatusCode};

use super::*;
use crate::config::{PathPatterns, Settings, SiteSettings};
use crate::message::{Fields, RequestHead, ResponseHead};
use crate::report::CoverageCounts;
use crate::site::{Decision, Fetch, Site, Verdict};

const NOW: Instant = Instant::ZERO;

const NAVIGATES: (&str, &str) = ("Accept", "text/html,*/*;q=0.8");

fn site_with(change: impl FnOnce(&mut SiteSettings)) -> Site {
    let mut settings = Settings::default();
    change(&mut settings.site);
    let site = Site::new(&settings.validate().unwrap(), 1, NOW);
    assert!(site.poll_refresh(NOW).is_none(), "it is attended");
    site
}

fn site() -> Site {
    site_with(|_| {})
}

fn request(target: &str, fields: &[(&str, &str)]) -> Arc<RequestHead> {
    let all = [("Host", "h"), NAVIGATES];
    let all = all.iter().chain(fields);
    let all = Fields::from_pairs(all.map(|(name, value)| (*name, value.as_bytes())));
    Arc::new(RequestHead::new(Method::GET, target, all))
}

fn fetch(site: &Site, request: &Arc<RequestHead>) -> Fetch {
    let Some(Decision::Fetch(fetch)) = site.decide(request, NOW).now() else {
        panic!("there is room, and nothing is fresh");
    };
    fetch
}

fn answer(fetch: Fetch, status: u16, fields: &[(&str, &str)], body: &str) {
    let fields = fields.iter().map(|(name, value)| (*name, value.as_bytes()));
    let status = StatusCode::from_u16(status).unwrap();
    let head = ResponseHead::new(status, Fields::from_pairs(fields));
    let Verdict::Forward(holding) = fetch.on_head(&head, NOW) else {
        return;
    };
    let mut passing = holding.pass_on();
    passing.on_data(body.as_bytes(), NOW);
    passing.on_end(NOW);
}

/// A visitor's GET is answered so.
fn get(site: &Site, target: &str, fields: &[(&str, &str)], head: &[(&str, &str)]) {
    answer(fetch(site, &request(target, fields)), 200, head, "a page");
}

/// What a stranger asks for is answered so.
fn as_stranger(site: &Site, status: u16, head: &[(&str, &str)], body: &str) {
    let refresh = site.poll_refresh(NOW).expect("a stranger asks");
    answer(refresh.fetch, status, head, body);
}

/// What one more GET is counted as.
#[track_caller]
fn counted(site: &Site, target: &str, fields: &[(&str, &str)]) -> Result<Way, Obstacle> {
    let before = site.stats(NOW).coverage.hour;
    let request = request(target, fields);
    let fetch = fetch(site, &request);
    let found = fetch.obstacle();
    fetch.abandon(NOW);
    let after = site.stats(NOW).coverage.hour;
    let more = |of: fn(&CoverageCounts) -> u64| of(&after) - of(&before);
    assert_eq!(more(CoverageCounts::all), 1);
    let ways = Way::ALL.map(|way| (after.by(way) - before.by(way), Ok(way)));
    let obstacles = Obstacle::ALL.map(|why| (after.without(why) - before.without(why), Err(why)));
    let mut all = ways.into_iter().chain(obstacles);
    let (_, counted) = all.find(|(count, _)| *count == 1).unwrap();
    assert_eq!(counted.err(), found);
    counted
}

#[test]
fn by_whose_copy_a_page_could_be_rescued() {
    let site = site();
    assert_eq!(counted(&site, "/", &[]), Err(Obstacle::NotAsked));
    get(&site, "/", &[], &[]);
    assert_eq!(counted(&site, "/", &[]), Ok(Way::Bare));
    let anna = [("Cookie", "PHPSESSID=anna")];
    assert_eq!(counted(&site, "/", &anna), Err(Obstacle::NotAsked));
    get(&site, "/", &anna, &[]);
    assert_eq!(counted(&site, "/", &anna), Ok(Way::Own));
    as_stranger(&site, 200, &[], "for all");
    let bert = [("Cookie", "PHPSESSID=bert")];
    assert_eq!(counted(&site, "/", &bert), Ok(Way::Public));
    let total = site.stats(NOW).coverage.total;
    assert_eq!((total.rescuable(), total.no_page), (3, 0));
}

#[test]
fn a_session_that_is_followed_is_one() {
    let site = site();
    let value = "q8Xk2LmZt9Rw4VbN7cYp";
    let set = format!("shop={value}; Path=/");
    get(
        &site,
        "/",
        &[("Cookie", "first=1")],
        &[("Set-Cookie", &set)],
    );
    let cookie = format!("first=1; shop={value}");
    let anna = [("Cookie", cookie.as_str())];
    get(&site, "/a", &anna, &[]);
    assert_eq!(counted(&site, "/a", &anna), Ok(Way::Chain));
}

#[test]
fn what_is_in_the_way_before_the_application_is_asked() {
    let site = site_with(|site| {
        site.cache.excluded_paths = "/admin*".parse::<PathPatterns>().unwrap();
    });
    for (target, fields, expected) in [
        ("/admin/x", vec![], Obstacle::Excluded),
        ("/", vec![("Content-Length", "3")], Obstacle::Content),
        ("/", vec![("X-Shop-Customer", "anna")], Obstacle::Identity),
        (
            "/",
            vec![("Cookie", "wordpress_logged_in_5f=anna%7C1")],
            Obstacle::Personal,
        ),
        (
            "/",
            vec![("Cookie", "a=1"), ("Accept", "x")],
            Obstacle::Data,
        ),
        (
            "/logout",
            vec![("Cookie", "PHPSESSID=anna")],
            Obstacle::Logout,
        ),
    ] {
        assert_eq!(counted(&site, target, &fields), Err(expected), "{fields:?}");
    }
    let (name, share) = site.worst_field().unwrap();
    assert_eq!((name.as_str(), share), ("X-Shop-Customer", 1.0));
}

#[test]
fn what_is_in_the_way_is_what_the_answer_to_a_stranger_shows() {
    let anna = [("Cookie", "PHPSESSID=anna")];
    let bert = [("Cookie", "PHPSESSID=bert")];
    let token = "q8Xk2LmZt9Rw4VbN7cYp";
    let set = format!("PHPSESSID={token}");
    let large = "x".repeat(5 << 20);
    #[expect(clippy::type_complexity, reason = "a table")]
    let cases: [(u16, &[(&str, &str)], &str, Obstacle); 6] = [
        (200, &[("Vary", "User-Agent")], "page", Obstacle::Vary),
        (
            200,
            &[("Retter-Cache-Control", "no-store")],
            "page",
            Obstacle::Directives,
        ),
        (
            200,
            &[("Content-Type", "application/json")],
            "{}",
            Obstacle::Data,
        ),
        (200, &[], &large, Obstacle::TooLarge),
        (403, &[], "no", Obstacle::Closed),
        (500, &[], "error", Obstacle::NotAsked),
    ];
    for (status, head, body, expected) in cases {
        let site = site();
        get(&site, "/", &anna, &[]);
        as_stranger(&site, status, head, body);
        assert_eq!(
            counted(&site, "/", &bert),
            Err(expected),
            "{status} {head:?}"
        );
    }
    let site = site();
    get(&site, "/", &anna, &[]);
    let page = format!("<a href='/?s={token}'>");
    for _ in 0..2 {
        as_stranger(&site, 200, &[("Set-Cookie", &set)], &page);
    }
    assert_eq!(counted(&site, "/", &bert), Err(Obstacle::InBody));
}

#[test]
fn where_no_stranger_asks_the_own_answer_says_why() {
    for (head, expected) in [
        (("Cache-Control", "no-store"), Obstacle::Directives),
        (("Vary", "*"), Obstacle::Vary),
        (("Set-Cookie", "cart=17"), Obstacle::SetsCookie),
        (("X", "y"), Obstacle::NotSeen),
    ] {
        let site = site_with(|site| site.cache.public = false);
        get(&site, "/", &[], &[head]);
        let hour = site.stats(NOW).coverage.hour;
        assert_eq!(hour.worst(), Some((expected, 1)), "{head:?}");
    }
}

#[test]
fn a_redirect_is_no_page_and_a_failure_is_no_answer() {
    let site = site();
    answer(
        fetch(&site, &request("/old", &[])),
        301,
        &[("Location", "/new")],
        "",
    );
    answer(fetch(&site, &request("/none", &[])), 404, &[], "");
    answer(fetch(&site, &request("/broken", &[])), 500, &[], "");
    let hour = site.stats(NOW).coverage.hour;
    assert_eq!((hour.no_page, hour.all()), (2, 1));
    assert_eq!(hour.without(Obstacle::NotAsked), 1);
}
