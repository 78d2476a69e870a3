//! Owns the proof that a real PHP application is rescued.
//! Never looks at what PHP itself does well or badly.

use retter_tests::application::Application;
use retter_tests::coverage::{self, Framework};
use retter_tests::{retter_program, scenario};

#[test]
fn users_of_a_php_application_keep_their_pages_through_an_outage() {
    scenario::outage(retter_program!(), Application::php());
}

#[test]
fn visitors_of_a_php_application_get_pages_that_they_have_not_seen() {
    let framework = Framework::new("PHP with sessions", 0);
    coverage::outage(retter_program!(), Application::php_many(), framework);
}
