//! Owns the proof that error pages of a real PHP application that come with status 200 neither reach
//! who has a good copy nor become one.
//! Never sleeps to wait for something.

use retter_tests::application::Application;
use retter_tests::client::Request;
use retter_tests::retter::Retter;
use retter_tests::retter_program;

/// Ways to fail. With `display_errors` off PHP cuts off what it had begun to send, and sends 500
/// where it had not.
const MODES: [&str; 7] = [
    "die",
    "uncaught",
    "undefined",
    "memory",
    "flushed",
    "discarded",
    "db-error",
];

fn has_text(page: &str) -> bool {
    ["Fatal error", "Too many connections", "Error establishing"]
        .iter()
        .any(|text| page.contains(text))
}

#[track_caller]
fn is_good(page: &str, path: &str) -> bool {
    page.contains(&format!("<h1>{path}</h1>")) && page.trim_end().ends_with("</html>")
}

/// Whether what a visitor with a session gets says nothing that an application could not say on
/// purpose: such a page passes, and is their copy from then on.
fn says_nothing(mode: &str, displays: bool) -> bool {
    mode == "discarded" || !displays && ["undefined", "memory", "flushed"].contains(&mode)
}

/// Visits one page in each mode before, in and after a failure.
fn check(application: &mut Application, retter: &Retter, cookie: Option<&str>, displays: bool) {
    let ask = |path: &str| {
        let request = Request::get(&format!("/{path}"));
        retter.ask(&match cookie {
            Some(cookie) => request.field("Cookie", cookie),
            None => request,
        })
    };
    for mode in MODES {
        application.fail_by("well");
        assert!(is_good(&ask(mode).text(), mode), "{mode}");
        application.fail_by(mode);
        let page = ask(mode);
        assert_eq!(page.status, 200, "{mode}");
        let text = page.text();
        assert!(!has_text(&text), "{mode}: {text}");
        let passes = cookie.is_some() && says_nothing(mode, displays);
        let source = if passes { "backend" } else { "cache" };
        assert_eq!(page.source(), source, "{mode}: {text}");
        assert_eq!(is_good(&text, mode), !passes, "{mode}: {text}");
    }
    application.kill();
    for mode in MODES {
        let text = ask(mode).text();
        let is_replaced = cookie.is_some() && says_nothing(mode, displays);
        assert!(!has_text(&text), "{mode} in the outage: {text}");
        assert_eq!(
            is_good(&text, mode),
            !is_replaced,
            "{mode} in the outage: {text}"
        );
    }
    application.fail_by("well");
    application.come_back();
}

#[test]
fn error_pages_of_php_reach_nobody_who_has_a_good_copy_and_become_none() {
    for display in ["display_errors=1", "display_errors=0"] {
        let options = [
            display,
            "html_errors=1",
            "log_errors=0",
            "output_buffering=0",
        ];
        let mut application = Application::php_soft(&options);
        for cookie in [None, Some("PHPSESSID=0123456789abcdef0123456789")] {
            let retter = Retter::start_with(
                retter_program!(),
                application.address(),
                &[("RETTER_BREAKER_CONSECUTIVE_FAIL", "100")],
            );
            let displays = display.ends_with('1');
            check(&mut application, &retter, cookie, displays);
            let failures = ["text", "empty"].map(|sign| {
                retter.metric(&format!("retter_soft_failures_total{{sign=\"{sign}\"}}"))
            });
            assert!(failures[0] >= 2.0, "{failures:?}");
            assert_eq!(failures[1] > 0.0, cookie.is_none(), "{failures:?}");
            retter.wait_for("a line about it", |line| {
                line.contains("though its status is 200").then_some(())
            });
        }
    }
}

/// As it is told to do: nothing changes but what is counted.
#[test]
fn observed_error_pages_are_pages() {
    let application = Application::php_soft(&["log_errors=0"]);
    let settings = [("RETTER_BREAKER_SOFT", "observe")];
    let retter = Retter::start_with(retter_program!(), application.address(), &settings);
    application.fail_by("well");
    assert!(is_good(&retter.ask(&Request::get("/a")).text(), "a"));
    application.fail_by("die");
    let page = retter.ask(&Request::get("/a"));
    assert_eq!(page.text(), "Could not connect: Too many connections");
    let counted = retter.metric("retter_soft_failures_total{sign=\"text\"}");
    assert!((counted - 1.0).abs() < f64::EPSILON);
}

/// A session that has ended gets what the application says, and none of its pages of before.
#[test]
fn a_page_that_sends_to_the_login_is_no_error() {
    let mut application = Application::php_soft(&["log_errors=0"]);
    let retter = Retter::start(retter_program!(), application.address());
    let ask = || {
        let request = Request::get("/orders");
        retter.ask(&request.field("Cookie", "PHPSESSID=0123456789abcdef0123456789"))
    };
    application.fail_by("well");
    assert!(is_good(&ask().text(), "orders"));
    application.fail_by("redirected");
    let no = "<script>window.location='login.php'</script>";
    assert_eq!(ask().text(), no);
    application.kill();
    assert_eq!(ask().text(), no);
}
