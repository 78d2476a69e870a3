//! Owns the proof that a real PHP application is rescued.
//! Never looks at what PHP itself does well or badly.

use retter_tests::application::Application;
use retter_tests::{retter_program, scenario};

#[test]
fn users_of_a_php_application_keep_their_pages_through_an_outage() {
    scenario::outage(retter_program!(), Application::php());
}
