//! Owns the proof that a real Django application is rescued.
//! Never looks at what Django itself does well or badly.

use retter_tests::application::Application;
use retter_tests::coverage::{self, Framework};
use retter_tests::retter_program;

#[test]
fn visitors_of_a_django_application_get_their_pages_and_others() {
    let framework = Framework::new("Django, a form on each page", 0);
    coverage::outage(retter_program!(), Application::django(), framework);
}
