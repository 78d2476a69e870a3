//! Owns the proof that an operator is told of parameters that change no page, and that nothing is done about
//! them by itself.
//! Never looks at wording beyond the setting.

use retter_tests::client::Request;
use retter_tests::origin::Origin;
use retter_tests::reply::Reply;
use retter_tests::retter::Retter;
use retter_tests::retter_program;
use retter_tests::scenario::until;
use serde_json::{Value, json};

/// `ref` changes nothing, `page` does.
fn shop() -> Origin {
    Origin::start(|seen| {
        let target = seen.target.as_str();
        let end = target.find("&ref=").unwrap_or(target.len());
        Reply::text(&target[..end]).field("Cache-Control", "max-age=600")
    })
}

#[test]
fn a_parameter_that_changes_no_page_is_suggested_and_never_left_out() {
    let origin = shop();
    let retter = Retter::start(retter_program!(), origin.address());
    let ask = |page: u32, from: u32| {
        let response = retter.ask(&Request::get(&format!("/list?page={page}&ref={from}")));
        assert_eq!(response.text(), format!("/list?page={page}"));
        response.source().to_owned()
    };
    for from in 0..10 {
        for page in 0..3 {
            assert_eq!(ask(page, from), "backend");
        }
    }
    let health: Value = serde_json::from_str(&retter.admin("/health").text()).expect("JSON");
    assert_eq!(health["idle_parameters"], json!(["ref"]));
    let setting = "RETTER_CACHE_IGNORED_QUERY=known,ref";
    until("the log names the setting", || {
        retter.errors().contains(setting)
    });
    assert_eq!(ask(0, 99), "backend", "it is part of the key all the same");
    assert_eq!(ask(0, 99), "cache");
}
