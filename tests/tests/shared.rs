//! Owns the proof that instances share copies over a Redis, and what makes them wrong; and that one which is
//! slow, dead, full, emptied or lying costs those copies and nothing else.
//! Never looks into a value: the tests of `retter-shared` do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use retter_tests::client::Request;
use retter_tests::origin::Origin;
use retter_tests::redis::{Liar, Redis, until};
use retter_tests::reply::Reply;
use retter_tests::retter::Retter;
use retter_tests::retter_program;
use rustix::process::Signal;

const SECRET: &str = "a secret of thirty-two bytes or more";

/// An application that fails while it is told to, and whose pages say how often they were changed.
struct Shop {
    is_down: Arc<AtomicBool>,
    origin: Origin,
    version: Arc<AtomicU64>,
}

impl Shop {
    fn start() -> Self {
        let (is_down, version) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (fails, of_page) = (Arc::clone(&is_down), Arc::clone(&version));
        let origin = Origin::start(move |seen| {
            if fails.load(Ordering::SeqCst) {
                return Reply::status(503, "down");
            }
            if seen.method == "POST" {
                of_page.fetch_add(1, Ordering::SeqCst);
                return Reply::text("changed");
            }
            let version = of_page.load(Ordering::SeqCst);
            let reply = Reply::text(format!("page {} {version}", seen.target));
            match seen.target.starts_with("/fresh") {
                true => reply.field("Cache-Control", "max-age=3600"),
                false => reply,
            }
        });
        Self {
            is_down,
            origin,
            version,
        }
    }

    fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::SeqCst);
    }
}

fn start(shop: &Shop, url: &str, more: &[(&str, &str)]) -> Retter {
    let mut settings = vec![
        ("RETTER_CACHE_SHARED", url),
        ("RETTER_CACHE_SHARED_SECRET", SECRET),
        ("RETTER_CACHE_PUBLIC", "off"),
        // A copy answers because the application fails, and not because a circuit is open.
        ("RETTER_BREAKER_FAIL_RATE", "1"),
        ("RETTER_BREAKER_CONSECUTIVE_FAIL", "1000000"),
    ];
    settings.extend(more);
    Retter::start_with(retter_program!(), shop.origin.address(), &settings)
}

fn health(retter: &Retter, what: &str) -> bool {
    retter.admin("/health").text().contains(what)
}

#[track_caller]
fn wait_until_current(retter: &Retter, instances: usize) {
    let instances = format!("\"instances\": {instances}");
    until("it is current", || {
        health(retter, "\"is_current\": true") && health(retter, &instances)
    });
}

#[track_caller]
fn keep(retter: &Retter, request: &Request) {
    let response = retter.ask(request);
    assert_eq!((response.status, response.source()), (200, "backend"));
}

/// Asks until the copy answers: a machine that is busy may be later than a request waits.
#[track_caller]
fn rescue(retter: &Retter, request: &Request) -> String {
    let mut text = String::new();
    until("a rescue", || {
        let response = retter.ask(request);
        text = response.text();
        response.status == 200
    });
    text
}

fn copies(redis: &Redis) -> usize {
    redis.names(":copy:").len()
}

#[track_caller]
fn wait_for_copies(redis: &Redis, count: usize) {
    until("the copies are written", || copies(redis) >= count);
}

fn own(target: &str) -> Request {
    Request::get(target).field("Cookie", "PHPSESSID=of-anna-and-nobody-else")
}

#[test]
fn an_instance_that_has_no_copy_rescues_with_that_of_another() {
    for (scope, own_is_shared) in [("shared", false), ("all", true)] {
        let (shop, redis) = (Shop::start(), Redis::start(&[]));
        let scope = [("RETTER_CACHE_SHARED_SCOPE", scope)];
        let one = start(&shop, &redis.url(), &scope);
        wait_until_current(&one, 1);
        keep(&one, &Request::get("/a"));
        keep(&one, &own("/own"));
        wait_for_copies(&redis, 1 + usize::from(own_is_shared));
        drop(one);
        // Another one begins while the application is down.
        shop.set_down(true);
        let other = start(&shop, &redis.url(), &scope);
        wait_until_current(&other, 1);
        assert_eq!(rescue(&other, &Request::get("/a")), "page /a 0");
        match own_is_shared {
            true => assert_eq!(rescue(&other, &own("/own")), "page /own 0"),
            false => assert_eq!(other.ask(&own("/own")).status, 503),
        }
        let strange = Request::get("/own").field("Cookie", "PHPSESSID=of-somebody-else");
        assert_eq!(other.ask(&strange).status, 503, "it is anna's");
        assert_eq!(other.ask(&Request::get("/b")).status, 503, "nobody had it");
        shop.set_down(false);
        keep(&other, &Request::get("/a"));
    }
}

#[test]
fn what_one_instance_drops_answers_at_no_other() {
    let (shop, redis) = (Shop::start(), Redis::start(&[]));
    let all: Vec<_> = (0..3).map(|_| start(&shop, &redis.url(), &[])).collect();
    all.iter().for_each(|one| wait_until_current(one, 3));
    let page = Request::get("/fresh");
    all.iter().for_each(|one| keep(one, &page));
    assert_eq!(all[1].ask(&page).source(), "cache");
    wait_for_copies(&redis, 1);
    // A write.
    let written = all[0].ask(&Request::new("POST", "/fresh"));
    assert_eq!(written.status, 200);
    for one in &all {
        until("it asks again", || one.ask(&page).text() == "page /fresh 1");
    }
    // A purge: it is told when it answers.
    shop.version.fetch_add(1, Ordering::SeqCst);
    assert_eq!(
        all[2]
            .ask_admin(&Request::new("POST", "/purge?prefix=/fresh"))
            .status,
        200
    );
    for one in &all {
        until("it asks again", || one.ask(&page).text() == "page /fresh 2");
    }
    // Nor does it come out of the Redis, by whomever it was written.
    assert_eq!(
        all[0].ask_admin(&Request::new("POST", "/purge?all")).status,
        200
    );
    shop.set_down(true);
    for one in &all {
        until("it is gone", || one.ask(&page).status == 503);
    }
    let late = start(&shop, &redis.url(), &[]);
    wait_until_current(&late, 4);
    assert_eq!(late.ask(&page).status, 503);
}

#[test]
fn a_healthy_site_asks_the_redis_nothing_for_a_request() {
    let (shop, redis) = (Shop::start(), Redis::start(&[]));
    let retter = start(&shop, &redis.url(), &[]);
    wait_until_current(&retter, 1);
    for _ in 0..200 {
        assert_eq!(retter.ask(&Request::get("/fresh")).status, 200);
        assert_eq!(retter.ask(&Request::get("/each")).status, 200);
        assert_eq!(retter.ask(&own("/own")).status, 200);
    }
    wait_for_copies(&redis, 2);
    assert_eq!(redis.calls("get"), 0);
    // Only what is new, and not at each request.
    assert!(
        redis.calls("set") <= 4,
        "{}",
        redis.say("INFO commandstats")
    );
}

/// What costs its copies and nothing else: the site goes on, and copies are shared again when it is over.
#[track_caller]
fn check_outage(break_it: impl FnOnce(&mut Redis), mend_it: impl FnOnce(&mut Redis)) {
    let (shop, mut redis) = (Shop::start(), Redis::start(&[]));
    let retter = start(&shop, &redis.url(), &[]);
    let other = start(&shop, &redis.url(), &[]);
    wait_until_current(&retter, 2);
    wait_until_current(&other, 2);
    keep(&other, &Request::get("/before"));
    keep(&other, &Request::get("/fresh"));
    wait_for_copies(&redis, 2);
    break_it(&mut redis);
    until("it is noticed", || health(&other, "\"is_current\": false"));
    // It is served as ever, by the application and, for a moment only, from copies.
    assert_eq!(retter.ask(&Request::get("/meanwhile")).status, 200);
    until("it asks again", || {
        other.ask(&Request::get("/fresh")).source() == "backend"
    });
    shop.set_down(true);
    assert_eq!(rescue(&other, &Request::get("/fresh")), "page /fresh 0");
    assert_eq!(retter.ask(&Request::get("/before")).status, 503);
    shop.set_down(false);
    // A drop of that time is told when it is over.
    assert_eq!(retter.ask(&Request::new("POST", "/before")).status, 200);
    mend_it(&mut redis);
    wait_until_current(&retter, 2);
    wait_until_current(&other, 2);
    until("it hears", || {
        other.ask(&Request::get("/before")).text() == "page /before 1"
    });
    keep(&other, &Request::get("/after"));
    until("it is written", || {
        health(&retter, "\"trouble\": null") && copies(&redis) > 0
    });
    shop.set_down(true);
    assert_eq!(rescue(&retter, &Request::get("/after")), "page /after 1");
}

#[test]
fn a_redis_that_is_killed_costs_its_copies_and_nothing_else() {
    check_outage(Redis::kill, Redis::start_again);
}

#[test]
fn a_redis_that_does_not_answer_costs_its_copies_and_nothing_else() {
    check_outage(
        |redis| redis.signal(Signal::STOP),
        |redis| redis.signal(Signal::CONT),
    );
}

#[test]
fn a_redis_that_is_emptied_brings_nothing_back() {
    let (shop, redis) = (Shop::start(), Redis::start(&[]));
    let one = start(&shop, &redis.url(), &[]);
    let other = start(&shop, &redis.url(), &[]);
    wait_until_current(&one, 2);
    wait_until_current(&other, 2);
    keep(&one, &Request::get("/fresh"));
    wait_for_copies(&redis, 1);
    let names = redis.names(":copy:");
    let old = redis.get(&names[0]);
    assert_eq!(redis.say("FLUSHALL"), "+OK\r\n");
    // They go on without having lost anything, and what is dropped now is heard.
    keep(&other, &Request::get("/fresh"));
    assert_eq!(one.ask(&Request::new("POST", "/fresh")).status, 200);
    until("it hears", || {
        other.ask(&Request::get("/fresh")).text() == "page /fresh 1"
    });
    // What was there before the write, put back by whoever can: nobody takes it.
    assert_eq!(
        other.ask_admin(&Request::new("POST", "/purge?all")).status,
        200
    );
    until("it is dropped", || {
        let _ = redis.ask(&[b"SET", names[0].as_bytes(), &old]);
        shop.set_down(true);
        let status = one.ask(&Request::get("/fresh")).status;
        assert!(status == 503 || one.ask(&Request::get("/fresh")).text() == "page /fresh 1");
        status == 503
    });
    let late = start(&shop, &redis.url(), &[]);
    wait_until_current(&late, 3);
    assert_eq!(late.ask(&Request::get("/fresh")).status, 503);
}

#[test]
fn a_redis_that_is_full_takes_no_copies_and_the_log_says_what_to_do() {
    let shop = Shop::start();
    let redis = Redis::start(&["--maxmemory", "500kb", "--maxmemory-policy", "noeviction"]);
    let retter = start(&shop, &redis.url(), &[]);
    until("it is told", || {
        retter.ask(&Request::get("/page")).status == 200 && retter.errors().contains("allkeys-lru")
    });
    assert_eq!(retter.metric("retter_shared_failing"), 1.0);
    assert_eq!(retter.ask(&Request::get("/page")).status, 200);
}

#[test]
fn a_wrong_password_is_said_and_shown_to_nobody() {
    let (shop, redis) = (Shop::start(), Redis::start(&["--requirepass", "right"]));
    let url = redis.url().replace("redis://", "redis://:wrong-word@");
    let retter = start(&shop, &url, &[("RETTER_LOG_LEVEL", "debug")]);
    until("it is told", || retter.errors().contains("WRONGPASS"));
    keep(&retter, &Request::get("/page"));
    let said = [
        retter.errors(),
        retter.admin("/health").text(),
        retter.admin("/metrics").text(),
    ];
    for said in said {
        assert!(
            !said.contains("wrong-word") && !said.contains(SECRET),
            "{said}"
        );
    }
}

#[test]
fn a_liar_between_plants_nothing() {
    let (shop, redis) = (Shop::start(), Redis::start(&[]));
    let one = start(&shop, &redis.url(), &[]);
    wait_until_current(&one, 1);
    keep(&one, &Request::get("/a"));
    keep(&one, &Request::get("/b"));
    wait_for_copies(&redis, 2);
    // Each in the place of the other.
    let names = redis.names(":copy:");
    let values: Vec<_> = names.iter().map(|name| redis.get(name)).collect();
    for (name, value) in names.iter().zip(values.iter().rev()) {
        assert_eq!(redis.ask(&[b"SET", name.as_bytes(), value]), b"+OK\r\n");
    }
    shop.set_down(true);
    let other = start(&shop, &redis.url(), &[]);
    wait_until_current(&other, 2);
    until("it is found out", || {
        let response = other.ask(&Request::get("/a"));
        assert_eq!(response.status, 503);
        other.metric("retter_shared_rejected_total") > 0.0
    });
    // Put right again, and changed on the way.
    for (name, value) in names.iter().zip(&values) {
        assert_eq!(redis.ask(&[b"SET", name.as_bytes(), value]), b"+OK\r\n");
    }
    let is_lying = Arc::<AtomicBool>::default();
    let lies = Arc::clone(&is_lying);
    let liar = Liar::start(redis.address(), move |text| {
        if lies.load(Ordering::SeqCst) {
            let at = text.len() / 2;
            text[at] ^= 1;
        }
    });
    let behind = start(&shop, &liar.url(), &[]);
    wait_until_current(&behind, 3);
    is_lying.store(true, Ordering::SeqCst);
    until("it is found out", || {
        assert_eq!(behind.ask(&Request::get("/a")).status, 503);
        behind.metric("retter_shared_rejected_total") > 0.0
    });
    // It hears nothing that is true, and knows it.
    until("it is behind", || health(&behind, "\"is_current\": false"));
    is_lying.store(false, Ordering::SeqCst);
    wait_until_current(&behind, 3);
    // What it was lied to about for long it does not believe again; what comes after that it does.
    shop.set_down(false);
    keep(&one, &Request::get("/c"));
    wait_for_copies(&redis, 3);
    shop.set_down(true);
    assert_eq!(rescue(&behind, &Request::get("/c")), "page /c 0");
}

#[test]
fn an_event_that_was_left_out_is_noticed() {
    let (shop, redis) = (Shop::start(), Redis::start(&[]));
    let one = start(&shop, &redis.url(), &[]);
    let is_lying = Arc::<AtomicBool>::default();
    let lies = Arc::clone(&is_lying);
    // Of long texts only events and copies are: beats go by.
    let liar = Liar::start(redis.address(), move |text| {
        if lies.load(Ordering::SeqCst) && text.len() != BEAT_BYTES {
            text[40] ^= 1;
        }
    });
    let other = start(&shop, &liar.url(), &[]);
    wait_until_current(&one, 2);
    wait_until_current(&other, 2);
    keep(&other, &Request::get("/fresh"));
    assert_eq!(other.ask(&Request::get("/fresh")).source(), "cache");
    is_lying.store(true, Ordering::SeqCst);
    assert_eq!(one.ask(&Request::new("POST", "/fresh")).status, 200);
    until("it asks again", || {
        other.ask(&Request::get("/fresh")).text() == "page /fresh 1"
    });
    assert!(other.metric("retter_shared_gaps_total") > 0.0);
}

/// A sealed beat: a nonce, a name, two numbers and a tag.
const BEAT_BYTES: usize = 24 + 16 + 8 + 8 + 16;

/// Three instances under load while pages are written and purged: what one has dropped answers at none of them
/// a second later.
#[test]
fn under_load_no_instance_serves_what_was_dropped_a_second_ago() {
    const ROUNDS: u64 = 12;
    let (shop, redis) = (Shop::start(), Redis::start(&[]));
    let all: Vec<_> = (0..3).map(|_| start(&shop, &redis.url(), &[])).collect();
    all.iter().for_each(|one| wait_until_current(one, 3));
    let has_ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for one in &all {
            let (has_ended, version) = (&has_ended, &shop.version);
            scope.spawn(move || {
                let mut seen: Vec<(Instant, u64)> = Vec::new();
                while !has_ended.load(Ordering::SeqCst) {
                    let asked = Instant::now();
                    seen.push((asked, version.load(Ordering::SeqCst)));
                    let text = one.ask(&Request::get("/fresh")).text();
                    let got: u64 = text
                        .rsplit(' ')
                        .next()
                        .and_then(|it| it.parse().ok())
                        .expect("a page");
                    // The newest version that was there a second and a half before: what the machine takes.
                    let before = asked.checked_sub(Duration::from_millis(1500));
                    let known = seen
                        .iter()
                        .rev()
                        .find(|(at, _)| before.is_some_and(|before| *at <= before));
                    assert!(
                        known.is_none_or(|(_, known)| got >= *known),
                        "{text}, {known:?}"
                    );
                }
            });
        }
        for round in 0..ROUNDS {
            let by = usize::try_from(round % 3).expect("small");
            match round % 2 {
                0 => {
                    assert_eq!(all[by].ask(&Request::new("POST", "/fresh")).status, 200);
                }
                _ => {
                    shop.version.fetch_add(1, Ordering::SeqCst);
                    let purge = Request::new("POST", "/purge?url=/fresh");
                    assert_eq!(all[by].ask_admin(&purge).status, 200);
                }
            }
            // Each sees it before the next one.
            let now = shop.version.load(Ordering::SeqCst);
            for one in &all {
                until("it asks again", || {
                    one.ask(&Request::get("/fresh")).text() == format!("page /fresh {now}")
                });
            }
        }
        has_ended.store(true, Ordering::SeqCst);
    });
    for one in &all {
        assert_eq!(one.metric("retter_shared_gaps_total"), 0.0);
    }
}
