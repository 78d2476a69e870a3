//! Owns what `retter check` finds out of an application: which of its pages could be rescued, for whom.
//! Never looks at more of the wording than what an operator would look for.

use std::sync::atomic::{AtomicU64, Ordering};

use retter_tests::origin::{Origin, Seen};
use retter_tests::program::Program;
use retter_tests::reply::Reply;
use retter_tests::retter::command;
use retter_tests::retter_program;

/// What the program says of an application, and whether it was content.
fn checked(origin: &Origin, more: &[(&str, &str)]) -> (String, bool) {
    let mut command = command(retter_program!());
    let url = format!("http://{}", origin.address());
    command.arg("check").env("RETTER_BACKEND_BASEURL", url);
    command.envs(more.iter().copied());
    let mut program = Program::start(&mut command);
    let is_content = program.end().success();
    (program.output() + &program.errors(), is_content)
}

/// A value that nobody else was given.
fn token(count: &AtomicU64) -> String {
    let count = count.fetch_add(1, Ordering::Relaxed) + 1;
    let mix = |odd: u64| {
        let mixed = count.wrapping_mul(odd);
        (mixed ^ mixed >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    };
    format!(
        "{:016x}{:016x}",
        mix(0x9e37_79b9_7f4a_7c15),
        mix(0x94d0_49bb_1331_11eb)
    )
}

#[track_caller]
fn says(output: &str, parts: &[&str]) {
    for part in parts {
        assert!(output.contains(part), "`{part}` in\n{output}");
    }
}

#[test]
fn a_session_that_changes_with_every_answer_is_followed_and_everybody_rescued() {
    let count = AtomicU64::new(0);
    let origin = Origin::start(move |_: &Seen| {
        Reply::text("<!doctype html><a href='/about'>about us</a>")
            .field("Content-Type", "text/html")
            .field("Cache-Control", "no-cache, private")
            .field(
                "Set-Cookie",
                &format!("laravel_session={}; path=/", token(&count)),
            )
    });
    let (output, is_content) = checked(&origin, &[]);
    assert!(is_content, "{output}");
    says(
        &output,
        &[
            "/: everybody without a login can be rescued",
            "/about: everybody without a login can be rescued",
            "laravel_session changes with every answer: followed",
        ],
    );
    let seen = origin.take_seen();
    let bare = seen
        .iter()
        .filter(|seen| seen.cookie("laravel_session").is_none());
    assert!(bare.count() >= 3 && seen.len() < 20, "{}", seen.len());
}

#[test]
fn a_page_that_holds_its_session_is_not_kept_for_others() {
    let count = AtomicU64::new(0);
    let origin = Origin::start(move |seen: &Seen| {
        let (session, is_new) = match seen.cookie("PHPSESSID") {
            Some(session) => (session.to_owned(), false),
            None => (token(&count), true),
        };
        let page = format!("<!doctype html><a href='?sid={session}'>next</a>");
        let reply = Reply::text(page).field("Content-Type", "text/html");
        match is_new {
            true => reply.field("Set-Cookie", &format!("PHPSESSID={session}")),
            false => reply,
        }
    });
    let (output, _) = checked(&origin, &[]);
    says(
        &output,
        &["/: this page holds its session: not kept for others"],
    );
    assert!(!output.contains("NOTHING"), "{output}");
}

#[test]
fn what_cannot_be_rescued_at_all_is_said_with_the_reason() {
    let origin = Origin::start(|_: &Seen| {
        Reply::text("page")
            .field("Content-Type", "text/html")
            .field("Retter-Cache-Control", "no-store")
    });
    let (output, _) = checked(&origin, &[]);
    says(
        &output,
        &["NOTHING of this can be rescued, because", "Cache-Control"],
    );
    let strict = [("RETTER_CACHE_RESCUE", "strict")];
    let origin = Origin::start(|_: &Seen| Reply::text("page").field("Cache-Control", "private"));
    let (output, _) = checked(&origin, &strict);
    says(&output, &["NOTHING of this can be rescued"]);
}

#[test]
fn an_application_that_has_no_page_or_stops_to_answer_is_no_reason_to_stop() {
    let origin = Origin::start(|seen: &Seen| match seen.target.as_str() {
        "/" => Reply::status(302, "").field("Location", "/de/"),
        "/de/" => Reply::text("page").field("Content-Type", "text/html"),
        _ => Reply::status(404, "none"),
    });
    let (output, _) = checked(&origin, &[]);
    says(
        &output,
        &["/: leads to /de/", "/de/: everybody without a login"],
    );
    let origin =
        Origin::start(|_: &Seen| Reply::status(302, "").field("Location", "https://sso.example/"));
    let (output, is_content) = checked(&origin, &[]);
    says(&output, &["https://sso.example/", "elsewhere"]);
    assert!(is_content, "{output}");
}
