//! What ends copies: a refusal, the end of a session, a write; and whose are left.

use std::sync::Arc;

use super::identity::{answer, check, lines, page, rescued, visit, visit_from};
use super::rig::{Rig, field, get, status};
use crate::session::{Input, Side};

#[test]
fn a_no_ends_what_its_visitor_could_see() {
    let cookie = "Cookie: PHPSESSID=a";
    let account = ("/account", cookie);
    for status in [
        "302 Found",
        "401 No",
        "403 No",
        "404 No",
        "410 Gone",
        "451 No",
        "307 Elsewhere",
    ] {
        let rig = Rig::new();
        visit(
            &rig,
            account,
            &page("Cache-Control: no-store", "account of a"),
        );
        visit(&rig, ("/shop", cookie), &page("", "shop"));
        visit(&rig, ("/account", ""), &page("", "of all"));
        assert!(rescued(&rig, account).is_some());
        // As data it is refused too, and parts of it are.
        let part = (
            "/account",
            "Cookie: PHPSESSID=a\r\nHX-Request: true\r\nHX-Target: m",
        );
        visit(&rig, part, &page("", "part of a"));
        let data = (
            "/account",
            "Cookie: PHPSESSID=a\r\nAccept: application/json",
        );
        visit(&rig, data, &answer(status, "Location: /login", ""));
        for gone in [account, part, data] {
            assert_eq!(rescued(&rig, gone), None, "{status} {gone:?}");
        }
        // w5: it is signed out, but where the page is merely gone.
        let others = (status == "404 No").then_some("shop");
        assert_eq!(
            rescued(&rig, ("/shop", cookie)).as_deref(),
            others,
            "{status}"
        );
        assert_eq!(rescued(&rig, ("/account", "")).as_deref(), Some("of all"));
    }
    // What was asked for before the no and comes after it is from before.
    let rig = Rig::new();
    let mut slow = rig.another();
    slow.send(&get("/account", &lines(cookie)));
    visit(&rig, account, &answer("302 Found", "Location: /login", ""));
    slow.reply(&page("", "account of a"));
    assert_eq!(rescued(&rig, account), None);
    // A no may be kept itself, while it is fresh.
    let rig = Rig::new();
    visit(&rig, ("/", ""), &page("", "of all"));
    visit(
        &rig,
        ("/", ""),
        &answer("404 Gone", "Cache-Control: max-age=60", "gone"),
    );
    let mut visitor = rig.another();
    let received = visitor.send(&get("/", "")).received();
    assert_eq!(
        (status(&received), field(&received, "x-retter")),
        (404, Some("cache"))
    );
    // Other refusals speak of one request, and errors of no page.
    for status in ["400 No", "406 No", "429 Slowly", "500 Oops", "304 Same"] {
        let rig = Rig::new();
        visit(&rig, account, &page("", "account of a"));
        visit(&rig, account, &answer(status, "", ""));
        assert_eq!(
            rescued(&rig, account).as_deref(),
            Some("account of a"),
            "{status}"
        );
    }
}

#[test]
fn a_logout_ends_all_copies_of_its_session() {
    for target in [
        "/logout?next=/",
        "/index.php?action=logout",
        "/users/sign_out",
        "/Account/LogOff",
    ] {
        for method in ["GET", "POST"] {
            let rig = Rig::new();
            let (own, other) = ("Cookie: PHPSESSID=a", "Cookie: PHPSESSID=b");
            for fields in [own, other, ""] {
                visit(&rig, ("/", fields), &page("", "page"));
            }
            let mut slow = rig.another();
            slow.send(&get("/orders", &lines(own)));
            let mut visitor = rig.another();
            visitor.send(&format!(
                "{method} {target} HTTP/1.1\r\nHost: h\r\n{own}\r\n\r\n"
            ));
            visitor.reply(&page("", "good bye"));
            slow.reply(&page("", "orders of a"));
            for gone in [("/", own), ("/orders", own)] {
                assert_eq!(rescued(&rig, gone), None, "{method} {target}");
            }
            for fields in [other, ""] {
                assert!(rescued(&rig, ("/", fields)).is_some(), "{method} {target}");
            }
        }
    }
    // Though the application never hears of it.
    let rig = Rig::new();
    let own = ("/", "Cookie: PHPSESSID=a");
    visit(&rig, own, &page("", "page of a"));
    assert_eq!(rescued(&rig, ("/logout", own.1)), None);
    assert_eq!(rescued(&rig, own), None);
}

#[test]
fn refusals_that_speak_of_one_request_are_for_nobody_else() {
    for status in ["400 Bad", "401 Who", "403 No", "406 No"] {
        let rig = Rig::new();
        visit(
            &rig,
            ("/", ""),
            &answer(status, "Cache-Control: max-age=3600", "no"),
        );
        let mut other = Rig::on(Arc::clone(&rig.gateway), rig.now);
        other.send(&get("/", ""));
        assert!(other.asked().starts_with("GET / "), "{status}");
    }
}

#[test]
fn what_is_many_visitors_is_nobodys_to_drop() {
    let banner = "Cookie: viewed_cookie_policy=yes";
    let (page_of_all, home) = (page("", "of all"), ("/", banner));
    // Neither a word of logout nor a login ends what all who send that cookie share.
    for (target, answer) in [
        ("/search?q=how+to+log+out", page("", "results")),
        ("/login", page("Set-Cookie: PHPSESSID=a", "welcome a")),
    ] {
        let rig = Rig::new();
        visit(&rig, home, &page_of_all);
        visit(&rig, (target, banner), &answer);
        assert_eq!(rescued(&rig, home).as_deref(), Some("of all"), "{target}");
        assert_eq!(rescued(&rig, (target, banner)), None, "{target}");
    }
    // Nor do the refusals of odd requests take away what bare visitors share.
    let languages = page("Vary: Accept-Language", "of all");
    for odd in [
        ("/", "Accept: application/json"),
        ("/", "HX-Request: true"),
        ("/", "Range: bytes=0-1"),
        ("/?utm_source=a", ""),
        ("/", "Accept-Language: de"),
        ("/", "Cookie: a=1"),
    ] {
        let rig = Rig::new();
        visit(&rig, ("/", ""), &languages);
        visit(&rig, ("/", "HX-Target: a"), &page("", "part"));
        visit_from(&rig, 7, odd, &answer("302 Found", "Location: /x", ""));
        assert_eq!(
            rescued(&rig, ("/", "")).as_deref(),
            Some("of all"),
            "{odd:?}"
        );
        assert_eq!(
            rescued(&rig, ("/", "HX-Target: a")).as_deref(),
            Some("part"),
            "{odd:?}"
        );
    }
    // What one asks for itself is no news of the page.
    for own in ["Cache-Control: no-store", "Connection: accept-language"] {
        let rig = Rig::new();
        let dated = page("ETag: \"1\"\r\nVary: Accept-Language", "of all");
        visit(&rig, ("/", ""), &dated);
        visit(
            &rig,
            ("/", own),
            &answer("304 Same", "ETag: \"1\"\r\nVary: Accept-Language", ""),
        );
        assert_eq!(rescued(&rig, ("/", "")).as_deref(), Some("of all"), "{own}");
    }
}

#[test]
fn a_logout_that_nobody_waited_for_ends_the_session_too() {
    let rig = Rig::new();
    let own = "Cookie: PHPSESSID=a";
    let mut leaving = rig.another();
    leaving.send(&get("/logout", &lines(own)));
    visit(&rig, ("/account", own), &page("", "account of a"));
    leaving.input(Input::ReadFailed(Side::Client));
    assert_eq!(rescued(&rig, ("/account", own)), None);
    // What is there in place of a session is none.
    let private = "Cache-Control: private, no-store";
    for nothing in [
        "Authorization: Bearer null",
        "Cookie: access_token=undefined",
        "Cookie: sid=none",
    ] {
        check(&[(("/", nothing), private, "of a")], ("/", nothing), None);
    }
}

#[test]
fn a_write_is_of_the_page_whatever_shapes_it() {
    let rig = Rig::new();
    let fresh = page("Cache-Control: max-age=600", "before");
    let (german, french) = (("/shop", "CF-IPCountry: DE"), ("/shop", "CF-IPCountry: FR"));
    for ask in [german, french] {
        visit(&rig, ask, &fresh);
    }
    let mut writer = rig.another();
    writer.send(
        "POST /shop HTTP/1.1\r\nHost: h\r\nCF-IPCountry: DE\r\nContent-Type: text/plain\r\n\
         Content-Length: 1\r\n\r\nx",
    );
    writer.reply(&page("", "written"));
    assert_eq!(rescued(&rig, german), None);
    // Elsewhere it is asked about before it is fresh, and still rescues.
    let mut visitor = rig.another();
    visitor.send(&get("/shop", "CF-IPCountry: FR\r\n"));
    assert!(visitor.asked().starts_with("GET /shop "));
    visitor.input(Input::ReadFailed(Side::Origin));
    assert!(visitor.received().ends_with("before"));
}

/// Somebody writes `/p`, and the application says that it is done.
fn write(rig: &Rig, fields: &str, answer_fields: &str) {
    let mut editor = rig.another();
    let fields = lines(fields);
    editor.send(&format!(
        "POST /p HTTP/1.1\r\nHost: h\r\n{fields}Content-Length: 0\r\n\r\n"
    ));
    editor.reply(&answer("303 See Other", answer_fields, ""));
}

#[test]
fn a_write_ends_what_its_writer_saw_in_any_shape() {
    const SHAPES: [&str; 7] = [
        "",
        "Prefer: return=minimal",
        "Save-Data: on",
        "X-Forwarded-Proto: https",
        "Content-Type: application/json",
        "Accept: text/html",
        "Content-Type: application/json\r\nSave-Data: on",
    ];
    for who in ["", "Authorization: Bearer 0123456789abcdef"] {
        let with = |shape: &str| match (who, shape) {
            ("", shape) => shape.to_owned(),
            (who, "") => who.to_owned(),
            (who, shape) => format!("{who}\r\n{shape}"),
        };
        for shape in SHAPES {
            let [plain, asked] = ["", shape].map(|shape| &*with(shape).leak());
            let rig = Rig::new();
            visit(
                &rig,
                ("/p", plain),
                &page("Cache-Control: max-age=60", "old"),
            );
            write(&rig, asked, "");
            assert_eq!(rescued(&rig, ("/p", plain)), None, "{asked}");
            let rig = Rig::new();
            visit(
                &rig,
                ("/p", asked),
                &page("Cache-Control: max-age=60", "old"),
            );
            write(&rig, asked, "");
            assert_eq!(rescued(&rig, ("/p", asked)), None, "{asked}");
        }
    }
    // In a shape that nobody could guess it is asked about, and rescues at most.
    let rig = Rig::new();
    let other = ("/p", "Save-Data: on");
    visit(&rig, other, &page("Cache-Control: max-age=60", "old"));
    write(&rig, "", "");
    assert_eq!(
        visit(&rig, other, &page("", "new")).matches("new").count(),
        1
    );
}

#[test]
fn a_sign_in_that_leads_to_the_front_page_leaves_everybody_its_copy() {
    let rig = Rig::new();
    visit(&rig, ("/", ""), &page("", "front"));
    write(&rig, "Cookie: PHPSESSID=a", "Location: /");
    assert_eq!(rescued(&rig, ("/", "")).as_deref(), Some("front"));
}

#[test]
fn one_of_many_with_the_same_mark_ends_nothing_of_the_others() {
    let refused = |fields| answer("404 Not Found", fields, "");
    for mark in [
        "Authorization: Bearer null",
        "X-Api-Key: public",
        "X-App-Version: 3",
        "Cookie: theme=dark",
    ] {
        for (path, fields, answer) in [
            ("/p?logout", "", page("", "bye")),
            ("/q", "", page("Set-Cookie: PHPSESSID=new", "welcome")),
            ("/p", "Range: bytes=0-1", refused("")),
            ("/p", "Accept: application/json", refused("")),
            ("/p?utm_source=x", "", refused("")),
        ] {
            let rig = Rig::new();
            visit(&rig, ("/p", mark), &page("", "ours"));
            let fields = format!("{mark}\r\n{fields}");
            visit(&rig, (path, fields.trim_end().to_owned().leak()), &answer);
            let left = rescued(&rig, ("/p", mark));
            assert_eq!(left.as_deref(), Some("ours"), "{mark} {path} {fields}");
        }
    }
    // A short name that the application makes its client forget as it signs out was a session's.
    let rig = Rig::new();
    let anna = "Cookie: user=anna";
    visit(&rig, ("/p", anna), &page("", "of anna"));
    visit(
        &rig,
        ("/logout", anna),
        &page("Set-Cookie: user=; Max-Age=0", "bye"),
    );
    assert_eq!(rescued(&rig, ("/p", anna)), None);
}

#[test]
fn a_refusal_ends_the_parts_of_its_reader_only() {
    let rig = Rig::new();
    let [anna, bert] = ["anna", "bert"].map(|name| {
        let part = format!("Cookie: PHPSESSID={name}\r\nHX-Request: true");
        visit(&rig, ("/p", part.clone().leak()), &page("", "part"));
        let whole = format!("Cookie: PHPSESSID={name}").leak() as &str;
        visit(&rig, ("/p", whole), &page("", "whole"));
        (whole, part.leak() as &str)
    });
    visit(&rig, ("/p", anna.0), &answer("403 Forbidden", "", ""));
    assert_eq!(rescued(&rig, ("/p", anna.1)), None);
    assert_eq!(rescued(&rig, ("/p", bert.1)).as_deref(), Some("part"));
}
