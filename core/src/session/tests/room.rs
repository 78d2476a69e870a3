//! The waiting room, as a client sees it.

use std::time::Duration;

use super::public::FIREFOX;
use super::rig::{PAGE, Rig, body, field, get, status};
use crate::config::{OwnPage, Settings};

/// One slot, which a request for `/busy` has.
fn full_with(settings: impl FnOnce(&mut Settings)) -> Rig {
    let mut all = Settings::default();
    all.site.admission.in_flight_max = 1;
    settings(&mut all);
    let mut busy = Rig::with(all);
    busy.send(&get("/busy", ""));
    busy
}

fn full() -> Rig {
    full_with(|_| {})
}

/// What a client of another network gets once the queue has been too long for it.
fn asks(rig: &Rig, network: u8, target: &str, fields: &str) -> String {
    let mut visitor = rig.of_network(network);
    visitor.send(&get(target, fields));
    if visitor.asked().is_empty() && visitor.client.is_empty() {
        visitor.wait(Duration::from_secs(1));
    }
    visitor.received()
}

fn navigates(rig: &Rig, network: u8, cookie: &str) -> String {
    let fields = format!("{FIREFOX}\r\nAccept-Language: de\r\nCookie: {cookie}\r\n");
    asks(rig, network, "/", &fields)
}

/// The cookie that an answer gives, as it comes back.
#[track_caller]
fn cookie(received: &str) -> String {
    let cookie = field(received, "set-cookie").expect("it gives a number");
    cookie.split(';').next().unwrap().to_owned()
}

#[test]
fn a_visitor_who_wants_a_page_of_a_full_origin_gets_a_place_and_a_page_that_looks_again() {
    let rig = full();
    let received = navigates(&rig, 1, "sid=a");
    assert_eq!(status(&received), 503);
    for (name, value) in [
        ("cache-control", "no-store"),
        ("retry-after", "2"),
        ("refresh", "2"),
        ("content-type", "text/html; charset=utf-8"),
        ("content-language", "de"),
        ("x-retter", "no-cache"),
        ("cache-status", "retter; fwd=uri-miss; detail=waiting-room"),
    ] {
        assert_eq!(field(&received, name), Some(value), "{name}");
    }
    let given = field(&received, "set-cookie").unwrap();
    let (first, rest) = given.split_at("retter-room=".len() + 32);
    assert!(first.starts_with("retter-room="), "{given}");
    assert_eq!(rest, "; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax");
    let page = body(&received);
    for part in [
        "<html lang=\"de\">",
        "Ihr Platz: <strong>1</strong>",
        "weniger als eine Minute",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("<script"), "it needs none: {page}");
    let policy = field(&received, "content-security-policy").unwrap();
    assert!(policy.contains("form-action 'none'"), "{policy}");
}

#[test]
fn a_client_that_waits_is_let_in_when_there_is_room_and_the_origin_sees_nothing_of_the_number() {
    let mut busy = full();
    let first = cookie(&navigates(&busy, 1, "sid=a"));
    let second = navigates(&busy, 2, "sid=b");
    assert!(body(&second).contains("<strong>2</strong>"), "{second}");
    busy.reply(PAGE);
    let mut rig = busy.of_network(1);
    rig.send(&get(
        "/",
        &format!("{FIREFOX}\r\nCookie: sid=a; {first}\r\n"),
    ));
    let asked = rig.asked();
    assert_eq!(field(&asked, "cookie"), Some("sid=a"));
    rig.reply(PAGE);
    let received = rig.received();
    assert_eq!((status(&received), body(&received)), (200, "good"));
    assert_eq!(field(&received, "set-cookie"), None);
    let stats = rig.gateway.site().stats(rig.now).waiting;
    assert_eq!((stats.waiting, stats.let_in, stats.given), (1, 1, 2));
}

#[test]
fn what_is_no_page_for_a_person_and_whoever_has_no_cookies_is_answered_as_before() {
    let rig = full();
    for fields in [
        "Accept: application/json\r\n",
        "Accept: image/avif,image/webp,*/*;q=0.8\r\nSec-Fetch-Dest: image\r\n",
        "",
        "Accept: text/html\r\nSec-Fetch-Dest: iframe\r\n",
        "Accept: text/html\r\nSec-Fetch-Dest: empty\r\n",
    ] {
        let received = asks(&rig, 1, "/", fields);
        let told = field(&received, "cache-status").unwrap();
        assert!(
            told.ends_with("detail=overload-no-copy"),
            "{fields}: {told}"
        );
        assert_eq!(field(&received, "set-cookie"), None);
    }
    let mut writer = rig.of_network(1);
    let head = format!("POST / HTTP/1.1\r\nHost: h\r\n{FIREFOX}\r\nContent-Length: 0\r\n\r\n");
    writer.send(&head).wait(Duration::from_secs(1));
    let told = writer.received();
    assert!(
        field(&told, "cache-status")
            .unwrap()
            .ends_with("overload-no-copy"),
        "{told}"
    );
    // The first page gives a number; a client that does not bring it back gets no second one.
    assert!(field(&navigates(&rig, 2, "sid=a"), "set-cookie").is_some());
    let again = navigates(&rig, 2, "sid=a");
    assert_eq!(status(&again), 503);
    assert_eq!(field(&again, "set-cookie"), None);
    assert_eq!(field(&again, "refresh"), None);
    assert!(
        field(&again, "cache-status")
            .unwrap()
            .ends_with("overload-no-copy")
    );
}

#[test]
fn a_copy_answers_whoever_waits() {
    let mut busy = Rig::with({
        let mut settings = Settings::default();
        settings.site.admission.in_flight_max = 1;
        settings
    });
    busy.send(&get("/", FIREFOX_LINE)).reply(PAGE);
    busy.send(&get("/busy", ""));
    // Somebody opens the room.
    let _ = asks(&busy, 1, "/other", FIREFOX_LINE);
    assert!(busy.gateway.site().stats(busy.now).waiting.waiting > 0);
    let received = asks(&busy, 2, "/", FIREFOX_LINE);
    assert_eq!((status(&received), body(&received)), (200, "good"));
}

const FIREFOX_LINE: &str =
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n";

#[test]
fn it_can_be_turned_off_while_it_runs() {
    let rig = full();
    let first = cookie(&navigates(&rig, 1, "sid=a"));
    let mut settings = Settings::default();
    settings.site.admission.in_flight_max = 1;
    settings.site.admission.waiting_room = false;
    let config = settings.validate().unwrap();
    let later = rig.gateway.site().reconfigure(config.site(), rig.now);
    assert!(later.is_empty(), "{later:?}");
    for (network, cookie) in [(1, first.as_str()), (2, "sid=b")] {
        let received = navigates(&rig, network, cookie);
        assert!(
            field(&received, "cache-status")
                .unwrap()
                .ends_with("overload-no-copy")
        );
        assert_eq!(field(&received, "set-cookie"), None);
    }
    assert_eq!(rig.gateway.site().stats(rig.now).waiting.waiting, 0);
}

#[test]
fn an_operator_may_have_a_page_of_its_own() {
    let rig = full_with(|settings| {
        let text = "<p>{place} of many, {minutes} min, again in {retry_after} s</p>";
        settings.client.own_pages.set(OwnPage::Waiting, text);
    });
    let received = navigates(&rig, 1, "sid=a");
    assert_eq!(body(&received), "<p>1 of many, 1 min, again in 2 s</p>");
    assert_eq!(field(&received, "refresh"), Some("2"));
    assert_eq!(field(&received, "content-security-policy"), None);
}
