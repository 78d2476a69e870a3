//! Owns the proof that a real Express application is rescued.
//! Never looks at what Express itself does well or badly.

use retter_tests::application::Application;
use retter_tests::coverage::{self, Framework};
use retter_tests::retter_program;

#[test]
fn visitors_of_an_express_application_get_their_pages_and_others() {
    let framework = Framework::new("Express, express-session", 0);
    coverage::outage(retter_program!(), Application::express(), framework);
}
