//! What ends the chains of a session, and with them its copies; and what does not.

use std::time::Duration;

use super::chains::{HTML, V, ask, cookie, own, rig, rolls, tell};
use super::identity::{answer, lines, page};
use super::public::tell_stranger;
use super::rig::get;
use crate::session::{Input, Side};

#[test]
fn a_login_or_another_end_of_the_session_ends_its_chain() {
    let is = |at: usize| format!("session={}", V[at]);
    let set = |at: usize| format!("Set-Cookie: {}", is(at));
    // What is sent, what is answered, and by which value its browser is known then.
    let ends: [(&str, &str, String, usize); 9] = [
        (
            "POST",
            "/enter",
            answer("303 See Other", &format!("Location: /\r\n{}", set(1)), ""),
            1,
        ),
        ("POST", "/cart", answer("200 OK", &set(1), "in the cart"), 1),
        (
            "GET",
            "/x",
            page("Set-Cookie: session=; Max-Age=0", "bye"),
            0,
        ),
        ("GET", "/x", page("Clear-Site-Data: \"cookies\"", "bye"), 0),
        ("GET", "/logout?next=/", page("", "bye"), 0),
        ("GET", "/index.php?action=logout", page("", "bye"), 0),
        (
            "GET",
            "/account",
            answer("302 Found", "Location: /login", ""),
            0,
        ),
        ("GET", "/account", answer("403 No", "", ""), 0),
        (
            "GET",
            "/account",
            page("", "<script>window.location='login.php'</script>"),
            0,
        ),
    ];
    for (method, path, told, then) in ends {
        let mut rig = rig();
        rolls(&mut rig, "session");
        ask(&rig, "/", "_ga=1", &[&is(0)], "front");
        ask(&rig, "/account", &is(0), &[], "account of a");
        ask(&rig, "/orders", &is(0), &[], "orders of a");
        assert!(own(&rig, "/orders", &is(0)).is_some());
        let mut slow = rig.another();
        slow.send(&get("/slow", &lines(&cookie(&is(0)))));
        let mut visitor = rig.another();
        let fields = cookie(&is(0));
        visitor.send(&format!(
            "{method} {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n"
        ));
        visitor.reply(&told);
        // With the value of a moment ago in its place, too.
        slow.reply(&page(&format!("{HTML}\r\n{}", set(2)), "slow page of a"));
        for gone in ["/orders", "/", "/slow"] {
            assert_eq!(
                own(&rig, gone, &is(0)),
                None,
                "{method} {path} {told} {gone}"
            );
            assert_eq!(
                own(&rig, gone, &is(then)),
                None,
                "{method} {path} {told} {gone}"
            );
        }
        // The browser has copies again from then on.
        rig.now = rig.now + Duration::from_millis(10);
        ask(&rig, "/orders", &is(then), &[], "orders of b");
        assert_eq!(
            own(&rig, "/orders", &is(then)).as_deref(),
            Some("orders of b"),
            "{method} {path}"
        );
        assert_eq!(own(&rig, "/slow", &is(2)), None, "{method} {path} {told}");
    }
}

#[test]
fn signing_out_with_the_value_of_before_ends_what_has_just_replaced_it() {
    let is = |at: usize| format!("session={}", V[at]);
    for comes_later in [false, true] {
        // Nothing says yet that the name rolls.
        let mut rig = rig();
        ask(&rig, "/", "_ga=1", &[&is(0)], "front");
        let mut slow = rig.another();
        slow.send(&get("/account", &lines(&cookie(&is(0)))));
        let told = page(&format!("{HTML}\r\nSet-Cookie: {}", is(1)), "account of a");
        let (first, rest) = told.split_at(told.len() - usize::from(comes_later));
        slow.reply(first);
        tell(&rig, "/logout", &is(0), &page("", "bye"));
        if comes_later {
            slow.reply(rest);
        }
        assert_eq!(own(&rig, "/account", &is(1)), None, "{comes_later}");
        // From then on it is a session as others are.
        rig.now = rig.now + Duration::from_millis(10);
        ask(&rig, "/account", &is(1), &[], "account of b");
        let kept = own(&rig, "/account", &is(1));
        assert_eq!(kept.as_deref(), Some("account of b"), "{comes_later}");
        // A value that was replaced long ago is nobody's to end.
        rig.now = rig.now + Duration::from_secs(31);
        tell(&rig, "/logout", &is(0), &page("", "bye"));
        assert!(own(&rig, "/account", &is(1)).is_some(), "{comes_later}");
    }
}

#[test]
fn signing_out_with_one_of_several_values_for_one_ends_all_of_them() {
    let is = |at: usize| format!("session={}", V[at]);
    let told = page(&format!("{HTML}\r\nSet-Cookie: {}", is(2)), "account of a");
    // How much of the answer that brings the other value has come when its browser signs out.
    for came in [told.len(), told.len() - 1, 0] {
        for is_rolling in [false, true] {
            let mut rig = rig();
            if is_rolling {
                rolls(&mut rig, "session");
            }
            ask(&rig, "/", "_ga=1", &[&is(0)], "front");
            let mut slow = rig.another();
            slow.send(&get("/account", &lines(&cookie(&is(0)))));
            ask(&rig, "/", &is(0), &[&is(1)], "front of a");
            let (first, rest) = told.split_at(came);
            if came > 0 {
                slow.reply(first);
            }
            tell(&rig, "/logout", &is(1), &page("", "bye"));
            if !rest.is_empty() {
                slow.reply(rest);
            }
            for value in 0..3 {
                let kept = own(&rig, "/account", &is(value));
                assert_eq!(kept, None, "{came} {is_rolling} {value}");
            }
            rig.now = rig.now + Duration::from_millis(10);
            ask(&rig, "/account", &is(2), &[], "account of b");
            let kept = own(&rig, "/account", &is(2));
            assert_eq!(kept.as_deref(), Some("account of b"), "{came} {is_rolling}");
        }
    }
}

#[test]
fn a_page_that_is_gone_ends_itself() {
    let is = |at: usize| format!("session={}", V[at]);
    // A page that is gone ends itself.
    let rig = rig();
    ask(&rig, "/", "_ga=1", &[&is(0)], "front");
    ask(&rig, "/account", &is(0), &[], "account of a");
    ask(&rig, "/orders", &is(0), &[], "orders of a");
    tell(&rig, "/account", &is(0), &answer("404 Gone", "", ""));
    assert_eq!(own(&rig, "/account", &is(0)), None);
    assert!(own(&rig, "/orders", &is(0)).is_some());
}

#[test]
fn a_visitor_who_is_sent_what_a_stranger_is_sent_has_been_signed_out() {
    let mut rig = rig();
    let is = format!("PHPSESSID={}", V[0]);
    ask(&rig, "/", "_ga=1", &[&is], "front");
    ask(&rig, "/account", &is, &[], "account of a");
    ask(&rig, "/orders", &is, &[], "orders of a");
    for _ in 0..3 {
        tell_stranger(&mut rig, &page(HTML, "please sign in"));
    }
    assert!(own(&rig, "/orders", &is).is_some());
    ask(&rig, "/account", &is, &[], "please sign in");
    assert_eq!(own(&rig, "/orders", &is), None);
}

#[test]
fn what_no_client_is_given_ends_no_session() {
    // r8: the application was started again without its sessions, and answers a renewal.
    let mut rig = rig();
    let is = format!("JSESSIONID={}", V[0]);
    ask(&rig, "/", "_ga=1", &[&is], "front");
    ask(&rig, "/a", &is, &[], "page a");
    ask(&rig, "/b", &is, &[], "page b");
    let set = format!("{HTML}\r\nSet-Cookie: JSESSIONID={}", V[1]);
    let mut slow = rig.another();
    slow.send(&get("/a", &lines(&cookie(&is))));
    slow.input(Input::ReadFailed(Side::Origin));
    let mut renewals = 0;
    for _ in 0..20 {
        let Some(mut other) = rig.refresh() else {
            rig.now = rig.now + Duration::from_secs(2);
            continue;
        };
        if other.asked().contains(&is) {
            renewals += 1;
            other.reply(&page(&set, "who are you"));
        }
    }
    assert!(renewals > 0);
    for (path, expected) in [("/a", "page a"), ("/b", "page b")] {
        assert_eq!(own(&rig, path, &is).as_deref(), Some(expected));
    }
    // Nor one that the copy answered in its place.
    let failing = format!("Set-Cookie: JSESSIONID={}", V[2]);
    let received = tell(&rig, "/a", &is, &answer("500 Oops", &failing, "oops"));
    assert!(received.ends_with("page a"), "{received}");
    assert!(own(&rig, "/b", &is).is_some());
}
