//! Owns the proof that large frameworks in their default settings are rescued: Laravel, Rails, Tomcat.
//! Never runs by itself, as they take minutes to install: `tests/run.sh coverage-heavy`.

use retter_tests::application::Application;
use retter_tests::coverage::{self, Framework};
use retter_tests::retter_program;

#[test]
#[ignore = "heavy: tests/run.sh coverage-heavy"]
fn visitors_of_a_laravel_application_get_their_pages_and_others() {
    let framework = Framework::new("Laravel, the web group of middleware", 2);
    coverage::outage(retter_program!(), Application::laravel(), framework);
}

#[test]
#[ignore = "heavy: tests/run.sh coverage-heavy"]
fn visitors_of_a_rails_application_get_their_pages_and_others() {
    let framework = Framework::new("Rails, the session in a cookie", 1);
    coverage::outage(retter_program!(), Application::rails(), framework);
}

#[test]
#[ignore = "heavy: tests/run.sh coverage-heavy"]
fn visitors_of_an_application_on_tomcat_get_their_pages_and_others() {
    let framework = Framework::new("Tomcat, a session on each page", 0);
    coverage::outage(retter_program!(), Application::tomcat(""), framework);
}
