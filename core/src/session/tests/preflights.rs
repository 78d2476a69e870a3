//! What scripts of other sites may do while the origin says nothing (Fetch standard, "CORS preflight").

use super::rig::*;
use crate::config::Settings;

const ALLOWED: &str = "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: https://a.example\r\n\
    Access-Control-Allow-Methods: GET, PUT\r\nAccess-Control-Allow-Headers: x-own\r\n\
    Access-Control-Max-Age: 600\r\nSet-Cookie: a=1\r\nX-Secret: 1\r\nContent-Length: 2\r\n\r\nok";
const FORBIDDEN: &str = "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n";
const OOPS: &str = "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n";

fn preflight(path: &str, origin: &str, method: &str, more: &str) -> String {
    format!(
        "OPTIONS {path} HTTP/1.1\r\nHost: h\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: \
         {method}\r\n{more}\r\n"
    )
}

const OWN: &str = "Access-Control-Request-Headers: x-own\r\n";

fn usual() -> String {
    preflight("/api", "https://a.example", "PUT", OWN)
}

/// The answer to `request` while the origin fails.
fn failing(rig: &Rig, request: &str) -> String {
    let mut other = rig.another();
    other.send(request).reply(OOPS);
    other.received()
}

fn seen(answer: &str) -> Rig {
    let mut rig = Rig::new();
    rig.send(&usual()).reply(answer);
    let _ = rig.received();
    rig
}

#[test]
fn the_last_answer_to_the_same_question_stands_in() {
    let rig = seen(ALLOWED);
    let answer = failing(&rig, &usual());
    assert_eq!(status(&answer), 204, "{answer}");
    for (name, value) in [
        ("access-control-allow-origin", Some("https://a.example")),
        ("access-control-allow-methods", Some("GET, PUT")),
        ("access-control-allow-headers", Some("x-own")),
        ("access-control-max-age", Some("600")),
        ("set-cookie", None),
        ("x-secret", None),
        ("content-length", None),
    ] {
        assert_eq!(field(&answer, name), value, "{name}");
    }
    assert_eq!(body(&answer), "");
}

#[test]
fn another_question_has_no_answer() {
    let rig = seen(ALLOWED);
    for other in [
        preflight("/api2", "https://a.example", "PUT", OWN),
        preflight("/api?x=1", "https://a.example", "PUT", OWN),
        preflight("/api", "https://b.example", "PUT", OWN),
        preflight("/api", "https://a.example", "DELETE", OWN),
        preflight("/api", "https://a.example", "PUT", ""),
        preflight(
            "/api",
            "https://a.example",
            "PUT",
            &format!("{OWN}Cookie: a=1\r\n"),
        ),
        preflight(
            "/api",
            "https://a.example",
            "PUT",
            &format!("{OWN}Authorization: Basic YQ==\r\n"),
        ),
        usual().replace("Host: h", "Host: other"),
        usual().replace("Access-Control-Request-Method: PUT\r\n", ""),
    ] {
        assert_eq!(status(&failing(&rig, &other)), 500, "{other}");
    }
}

#[test]
fn what_is_forbidden_now_was_not_allowed() {
    let mut rig = seen(ALLOWED);
    rig.send(&usual()).reply(FORBIDDEN);
    assert_eq!(status(&rig.received()), 403);
    assert_eq!(status(&failing(&rig, &usual())), 500);
}

#[test]
fn a_copy_of_the_page_says_what_other_sites_may_do() {
    let page = "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nCache-Control: max-age=9\r\n\
        Content-Length: 4\r\n\r\npage";
    let mut rig = Rig::new();
    rig.send(&get("/api", "Accept: */*\r\n")).reply(page);
    let _ = rig.received();
    let answer = failing(&rig, &preflight("/api", "https://a.example", "GET", OWN));
    assert_eq!(status(&answer), 204, "{answer}");
    assert_eq!(field(&answer, "access-control-allow-origin"), Some("*"));
    assert_eq!(field(&answer, "access-control-allow-headers"), None);
    let plain = page.replace("Access-Control-Allow-Origin: *\r\n", "");
    rig.send(&get("/b", "Accept: */*\r\n")).reply(&plain);
    let _ = rig.received();
    let other = preflight("/b", "https://a.example", "GET", OWN);
    assert_eq!(status(&failing(&rig, &other)), 500);
}

#[test]
fn an_excluded_path_is_left_alone() {
    let mut settings = Settings::default();
    settings.site.cache.excluded_paths = "/api".parse().unwrap();
    let mut rig = Rig::with(settings);
    rig.send(&usual()).reply(ALLOWED);
    let _ = rig.received();
    assert_eq!(status(&failing(&rig, &usual())), 500);
}
