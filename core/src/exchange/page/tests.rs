//! Tests of pages of the program's own: what is said, to whom, and in which form.

use super::*;
use crate::message::Fields;
use crate::rules::label::ForwardReason;

const NAVIGATES: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

fn request(method: Method, accept: &str, language: &str) -> RequestHead {
    let fields = Fields::from_pairs([
        ("accept", accept.as_bytes()),
        ("accept-language", language.as_bytes()),
    ]);
    RequestHead::new(method, "/", fields)
}

fn told(handling: Option<Handling>, status: u16) -> Tale<'static> {
    Tale {
        handling,
        message: None,
        place: None,
        public: None,
        request_id: None,
        retry_after_secs: None,
        status: StatusCode::from_u16(status).unwrap(),
        text: "the \"reason\"",
    }
}

/// The page, where an operator has none.
fn page(tale: &Tale<'_>, request: Option<&RequestHead>) -> Page {
    super::page(tale, &OwnPages::default(), request)
}

fn failed(failure: Failure) -> Option<Handling> {
    let why = ForwardReason::Method;
    Some(Handling::Failed { why, failure })
}

fn text(page: &Page) -> &str {
    std::str::from_utf8(&page.content).unwrap()
}

#[test]
fn everybody_is_told_in_the_form_that_they_ask_for() {
    let refused = Refused::Overload;
    let why = ForwardReason::UriMiss;
    let tale = Tale {
        retry_after_secs: Some(7),
        ..told(Some(Handling::NoCopy { why, refused }), 503)
    };
    let of = |accept| page(&tale, Some(&request(Method::GET, accept, "de")));
    let html = of(NAVIGATES);
    assert_eq!(
        (html.media_type, html.language),
        ("text/html; charset=utf-8", Some("de"))
    );
    for part in ["<html lang=\"de\">", "content=\"7\"", "Sekunden", ">503<"] {
        assert!(text(&html).contains(part), "{part}: {}", text(&html));
    }
    assert!(!text(&html).contains("http://"));
    assert_eq!(text(&html).matches("<script").count(), 1);
    let problem = of("application/json");
    assert_eq!(problem.media_type, "application/problem+json");
    assert_eq!(
        text(&problem),
        "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\
         \"detail\":\"the \\\"reason\\\"\",\"retry_after\":7}\n"
    );
    for accept in [
        "*/*",
        "image/avif,image/webp,*/*;q=0.8",
        "text/css,*/*;q=0.1",
    ] {
        assert_eq!(
            text(&of(accept)),
            "503 Service Unavailable: the \"reason\"\n",
            "{accept}"
        );
    }
}

#[test]
fn whoever_sent_something_is_told_what_became_of_it() {
    for (failure, part) in [
        (Failure::Connect, "was not sent"),
        (Failure::Timeout, "may have arrived"),
        (Failure::Reset, "may have arrived"),
    ] {
        let tale = told(failed(failure), 502);
        // The reason that the site gives says it of what may have arrived.
        let accepts: &[&str] = match failure {
            Failure::Connect => &[NAVIGATES, "application/json", "*/*"],
            Failure::Protocol | Failure::Reset | Failure::Timeout | Failure::Truncated => {
                &[NAVIGATES]
            }
        };
        for accept in accepts {
            let page = page(&tale, Some(&request(Method::POST, accept, "en")));
            assert!(
                text(&page).contains(part),
                "{failure:?} {accept}: {}",
                text(&page)
            );
            assert!(
                !text(&page).contains("http-equiv"),
                "a form is not sent twice"
            );
        }
        let page = page(&tale, Some(&request(Method::GET, NAVIGATES, "en")));
        assert!(!text(&page).contains(part) && text(&page).contains("content=\"10\""));
    }
}

#[test]
fn in_maintenance_an_operator_speaks_and_a_write_is_told_that_it_was_not_sent() {
    let handling = Some(Handling::NoCopy {
        why: ForwardReason::UriMiss,
        refused: Refused::Maintenance,
    });
    let says = "Back at <5>, \"promised\" & 'sure'";
    let tale = Tale {
        message: Some(says),
        ..told(handling, 503)
    };
    let of = |tale: &Tale<'_>, method, accept| {
        let page = page(tale, Some(&request(method, accept, "en")));
        text(&page).to_owned()
    };
    let read = of(&tale, Method::GET, NAVIGATES);
    let escaped = "<p>Back at &lt;5&gt;, &quot;promised&quot; &amp; &#39;sure&#39;</p>";
    assert!(
        read.contains(escaped) && read.contains("http-equiv"),
        "{read}"
    );
    assert!(!read.contains("did not reach"), "{read}");
    let write = of(&tale, Method::POST, NAVIGATES);
    assert!(
        write.contains(escaped) && write.contains("did not reach"),
        "{write}"
    );
    assert!(!write.contains("http-equiv"), "{write}");
    let line = of(&tale, Method::POST, "*/*");
    let note = "; the request was not sent, so nothing happened\n";
    assert_eq!(line, format!("503 Service Unavailable: {says}{note}"));
    let json = of(&tale, Method::GET, "application/json");
    assert!(
        json.contains("Back at <5>, \\\"promised\\\" & 'sure'\"}"),
        "{json}"
    );
    let usual = of(&told(handling, 503), Method::GET, NAVIGATES);
    assert!(usual.contains("being worked on"), "{usual}");
}

#[test]
fn an_operators_own_page_is_for_those_who_read_pages() {
    let mut own = OwnPages::default();
    let written = "<p>{message}</p>{status} {retry_after}<style>a{b:c}</style>";
    own.set(OwnPage::Maintenance, written);
    let handling = |refused| {
        let why = ForwardReason::UriMiss;
        Some(Handling::NoCopy { why, refused })
    };
    let of = |refused, accept| {
        let tale = Tale {
            message: Some("<5>"),
            ..told(handling(refused), 503)
        };
        let request = request(Method::GET, accept, "de");
        super::page(&tale, &own, Some(&request))
    };
    let page = of(Refused::Maintenance, NAVIGATES);
    assert_eq!(text(&page), "<p>&lt;5&gt;</p>503 10<style>a{b:c}</style>");
    assert_eq!((page.media_type, page.language), (HTML, None));
    assert!(text(&of(Refused::Maintenance, "*/*")).starts_with("503 "));
    assert_eq!(of(Refused::Overload, NAVIGATES).language, Some("de"));
}

#[test]
fn what_the_client_has_to_mend_is_said_as_it_is() {
    let told_of = page(
        &told(None, 417),
        Some(&request(Method::GET, NAVIGATES, "fr")),
    );
    assert_eq!(text(&told_of), "417 Expectation Failed: the \"reason\"\n");
    let told_of = page(&told(None, 400), None);
    assert_eq!(text(&told_of), "400 Bad Request: the \"reason\"\n");
}
