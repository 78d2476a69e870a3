//! What is an error page and what is an honest change, as tables.

mod errors;
mod honest;

use std::io::Write as _;

use http::Method;

use super::{Coding, Finding, Known, Look, Sample, Texts, Witness, holds, judge};
use crate::config::FailTexts;
use crate::message::{Fields, RequestHead};

/// A page with a frame of navigation around its content, as most sites have.
fn framed(title: &str, content: &str) -> String {
    let menu: String = (0..40)
        .map(|n| format!("<li><a href=\"/section/{n}\">Section {n}</a></li>\n"))
        .collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{title}</title>\
         <link rel=\"stylesheet\" href=\"/s.css\"></head>\n<body><nav><ul>{menu}</ul></nav>\n\
         <main>{content}</main>\n<footer>Imprint, privacy, contact</footer></body>\n</html>\n"
    )
}

/// This number of paragraphs of ordinary text.
fn paragraphs(count: usize) -> String {
    (0..count)
        .map(|n| {
            format!("<p>{n}. A plain sentence about bread, tea and the weather of March.</p>\n")
        })
        .collect()
}

fn request(target: &str, fields: &[(&str, &str)]) -> RequestHead {
    let fields = fields.iter().map(|(name, value)| (*name, value.as_bytes()));
    RequestHead::new(Method::GET, target, Fields::from_pairs(fields))
}

struct Case<'a> {
    before: &'a str,
    after: &'a str,
    is_own: bool,
    own: &'a str,
    request: RequestHead,
}

impl<'a> Case<'a> {
    fn new(before: &'a str, after: &'a str) -> Self {
        Self {
            before,
            after,
            is_own: false,
            own: "",
            request: request("/page", &[]),
        }
    }

    fn found(&self) -> Finding {
        let mut page = Sample::default();
        page.write_all(self.after.as_bytes()).unwrap();
        let texts: FailTexts = self.own.parse().unwrap();
        let own = Texts::own(&texts);
        let known = Known {
            own: own.as_ref(),
            texts: Texts::known(),
        };
        let before = self.before.as_bytes();
        let copy = Witness {
            holds: &|text| holds(before, Coding::Identity, text),
            is_own: self.is_own,
            is_page: true,
            look: Look::of(before),
        };
        judge(copy, &page, known, &self.request)
    }

    fn fails(&self) -> bool {
        matches!(self.found(), Finding::Failed(_))
    }
}
