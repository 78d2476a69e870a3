//! Owns the proof that a page reaches nobody but whom the application sent it to: a shop whose session
//! cookie is on no list, whose users a proxy in front names, and that is gone in the end.
//! Never asks the shop for a failure: it is stopped.

use std::sync::atomic::{AtomicU64, Ordering};

use retter_tests::client::Request;
use retter_tests::origin::{Origin, Seen};
use retter_tests::reply::Reply;
use retter_tests::retter::Retter;
use retter_tests::retter_program;

/// A shop: each visitor without a cart gets a new one; `/account` is for visitors signed in by the
/// proxy in front, `/list` answers scripts with a part of it, `/same` gives all the same cookie.
fn shop() -> Origin {
    let carts = AtomicU64::new(0);
    Origin::start(move |seen: &Seen| {
        let path = seen.target.split('?').next().unwrap_or_default();
        match (path, seen.field("x-webauth-user")) {
            ("/account", Some(user)) => Reply::text(format!("account of {user}")),
            ("/account", None) => Reply::status(302, "").field("Location", "/login"),
            ("/list", _) if seen.field("hx-request").is_some() => Reply::text("<tr>"),
            ("/list", _) => Reply::text("<!doctype html>"),
            ("/ad", _) => Reply::text(format!("canonical {}", seen.target)),
            ("/same", _) => Reply::text("hello").field("Set-Cookie", "shopsess=0123456789abcdef"),
            ("/logout", _) => Reply::text("good bye"),
            _ => match seen.cookie("shopsess") {
                Some(cart) => Reply::text(format!("cart {cart}")),
                None => {
                    let cart = carts.fetch_add(1, Ordering::SeqCst);
                    Reply::text(format!("cart new-{cart}"))
                        .field("Set-Cookie", &format!("shopsess=new-{cart}"))
                        .field("Cache-Control", "max-age=30")
                }
            },
        }
    })
}

fn get(target: &str, field: Option<(&str, &str)>) -> Request {
    let request = Request::get(target);
    match field {
        Some((name, value)) => request.field(name, value),
        None => request,
    }
}

/// What each of these is answered before the shop is gone, and with which body after.
#[track_caller]
fn check(before: &[Request], after: &[(Request, Option<&str>)]) {
    let mut shop = shop();
    // Of visitors' own copies alone: what a stranger is sent would be for them all.
    let own = [("RETTER_CACHE_PUBLIC", "off")];
    let retter = Retter::start_with(retter_program!(), shop.address(), &own);
    for request in before {
        assert!(retter.ask(request).status < 400);
    }
    shop.down();
    for (request, expected) in after {
        let answer = retter.ask(request);
        let body = (answer.status == 200).then(|| answer.text());
        assert_eq!(body.as_deref(), *expected, "{}", answer.source());
        assert_eq!(body.is_none(), answer.source() == "no-cache");
    }
}

const BANNER: Option<(&str, &str)> = Some(("Cookie", "viewed_cookie_policy=yes"));

#[test]
fn a_cart_of_a_cookie_of_any_name_is_its_visitors() {
    let own = Some(("Cookie", "viewed_cookie_policy=yes; shopsess=new-0"));
    let other = Some(("Cookie", "viewed_cookie_policy=yes; shopsess=new-1"));
    check(
        &[get("/cart", BANNER), get("/cart", own)],
        &[
            (get("/cart", BANNER), None),
            (get("/cart", None), None),
            (get("/cart", other), None),
            (get("/cart", own), Some("cart new-0")),
        ],
    );
    // What two visitors were given tells them not apart.
    let same = Some(("Cookie", "shopsess=0123456789abcdef"));
    check(
        &[get("/same", None), get("/same", None), get("/cart", same)],
        &[(get("/cart", same), None)],
    );
}

#[test]
fn a_visitor_that_is_named_by_a_proxy_sees_the_own_pages_until_refused() {
    let user = |name| Some(("X-WEBAUTH-USER", name));
    check(
        &[get("/account", user("anna"))],
        &[
            (get("/account", user("bert")), None),
            (get("/account", None), None),
            (get("/account", user("anna")), Some("account of anna")),
        ],
    );
    check(
        &[get("/account", user("anna")), get("/logout", user("anna"))],
        &[(get("/account", user("anna")), None)],
    );
}

#[test]
fn parts_and_campaigns_do_not_stand_for_the_page() {
    let part = Some(("HX-Request", "true"));
    check(
        &[get("/list", part)],
        &[
            (get("/list", None), None),
            (get("/list", part), Some("<tr>")),
        ],
    );
    check(
        &[get("/list", None)],
        &[
            (get("/list", part), None),
            (get("/list", None), Some("<!doctype html>")),
        ],
    );
    check(
        &[get("/ad?utm_source=evil", None)],
        &[
            (get("/ad", None), None),
            (get("/ad?utm_source=evil", None), None),
        ],
    );
    check(
        &[get("/ad", None), get("/ad?utm_source=evil", None)],
        &[(get("/ad?utm_source=other", None), Some("canonical /ad"))],
    );
}
