//! Owns the content of answers that this program makes itself: as a page to a person, as a problem
//! (RFC 9457) to a program, as a line of text to all others.
//! Never decides that one is due, and never writes what came from the network.

use bytes::Bytes;
use http::{Method, StatusCode};

use super::words::{Line, Text, Words, words};
use crate::config::{Blank, OwnPage, OwnPages, Template};
use crate::key::Kind;
use crate::message::RequestHead;
use crate::report::Failure;
use crate::request_id::RequestId;
use crate::rules::label::{Handling, Refused};
use crate::waiting::Position;

/// The content of an answer, and what its head says of it.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) content: Bytes,
    pub(super) media_type: &'static str,
    /// The language, where it is written for a person to read.
    pub(super) language: Option<&'static str>,
}

/// What is to be told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tale<'a> {
    pub(super) handling: Option<Handling>,
    /// What an operator has to say instead of the reason; any text.
    pub(super) message: Option<&'a str>,
    /// The place in the waiting room that the client has.
    pub(super) place: Option<&'a Position>,
    /// Where a button for what strangers are sent of the page leads to; it needs no escaping.
    pub(super) public: Option<&'a str>,
    /// What the request is called.
    pub(super) request_id: Option<&'a RequestId>,
    pub(super) retry_after_secs: Option<u64>,
    pub(super) status: StatusCode,
    /// The reason, in English.
    pub(super) text: &'a str,
}

/// What became of the request, as far as whoever sent it should know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    Busy,
    Down,
    /// The site is being worked on; a write was not sent.
    Maintenance {
        is_write: bool,
    },
    MayHaveArrived,
    /// It is for the client to mend.
    Mistake,
    NotSent,
    /// Others are before it.
    Waiting,
}

impl Fate {
    fn of(handling: Option<Handling>, method: &Method) -> Self {
        let is_write = !method.is_safe();
        match handling {
            Some(Handling::NoCopy { refused, .. }) => match refused {
                Refused::Maintenance => Self::Maintenance { is_write },
                Refused::OnlyIfCached => Self::Mistake,
                Refused::CircuitOpen | Refused::Overload if is_write => Self::NotSent,
                Refused::CircuitOpen => Self::Down,
                Refused::WaitingRoom => Self::Waiting,
                Refused::Overload => Self::Busy,
            },
            Some(Handling::Failed { failure, .. }) if is_write => match failure {
                Failure::Connect => Self::NotSent,
                Failure::Protocol | Failure::Reset | Failure::Timeout | Failure::Truncated => {
                    Self::MayHaveArrived
                }
            },
            Some(
                Handling::Behind { .. }
                | Handling::CircuitOpen { .. }
                | Handling::Collapsed { .. }
                | Handling::Failed { .. }
                | Handling::Forwarded { .. }
                | Handling::Fresh { .. }
                | Handling::MaxStale { .. }
                | Handling::Overload { .. }
                | Handling::Public { .. }
                | Handling::Rescued { .. }
                | Handling::Validated { .. },
            ) => Self::Down,
            None => Self::Mistake,
        }
    }

    /// What a person is told; `None` where the reason says it better.
    fn text(self, words: &'static Words) -> Option<&'static Text> {
        match self {
            Self::Busy => Some(&words.busy),
            Self::Down => Some(&words.down),
            Self::Maintenance { .. } => Some(&words.maintenance),
            Self::MayHaveArrived => Some(&words.may_have_arrived),
            Self::Mistake => None,
            Self::NotSent => Some(&words.not_sent),
            Self::Waiting => Some(&words.waiting.text),
        }
    }

    /// What an operator may have a page for.
    const fn own(self) -> Option<OwnPage> {
        match self {
            Self::Busy => Some(OwnPage::Busy),
            Self::Down => Some(OwnPage::Down),
            Self::Maintenance { .. } => Some(OwnPage::Maintenance),
            Self::MayHaveArrived => Some(OwnPage::MayHaveArrived),
            Self::Mistake => None,
            Self::NotSent => Some(OwnPage::NotSent),
            Self::Waiting => Some(OwnPage::Waiting),
        }
    }

    /// What is added to the reason for whoever reads that; of what may have arrived it says so.
    const fn note(self) -> &'static str {
        match self {
            Self::Busy
            | Self::Down
            | Self::Maintenance { is_write: false }
            | Self::MayHaveArrived
            | Self::Mistake
            | Self::Waiting => "",
            Self::Maintenance { is_write: true } | Self::NotSent => {
                "; the request was not sent, so nothing happened"
            }
        }
    }
}

/// The content for `request`, from `own` where there is a page for it; for what is no request, a line
/// of text.
pub(super) fn page(tale: &Tale<'_>, own: &OwnPages, request: Option<&RequestHead>) -> Page {
    let Some(request) = request else {
        return plain(tale, Fate::Mistake);
    };
    let fate = Fate::of(tale.handling, &request.method);
    let fields = &request.fields;
    match Kind::of(fields.get("sec-fetch-dest"), fields.get("accept")) {
        Kind::Document | Kind::Fragment if asks_html(fields.get("accept")) => {
            let words = words(fields.get("accept-language").unwrap_or_default());
            if let Some(template) = fate.own().and_then(|page| own.get(page)) {
                return own_html(tale, words, template);
            }
            match fate.text(words) {
                Some(text) => {
                    let told = Prose::new(tale, fate, text, words);
                    html(tale, &told, words, request.method == Method::GET)
                }
                None => plain(tale, fate),
            }
        }
        Kind::Data => problem(tale, fate),
        Kind::Any | Kind::Asset | Kind::Document | Kind::Fragment => plain(tale, fate),
    }
}

fn asks_html(accept: Option<&[u8]>) -> bool {
    accept.is_some_and(|accept| memchr::memmem::find(accept, b"text/html").is_some())
}

fn reason(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Error")
}

fn plain(tale: &Tale<'_>, fate: Fate) -> Page {
    let (status, text) = (&tale.status, tale.reason());
    let (code, reason, note) = (status.as_str(), reason(*status), fate.note());
    Page {
        content: format!("{code} {reason}: {text}{note}\n").into(),
        media_type: "text/plain; charset=utf-8",
        language: None,
    }
}

/// RFC 9457.
fn problem(tale: &Tale<'_>, fate: Fate) -> Page {
    let (status, text) = (&tale.status, tale.reason());
    let (code, title, note) = (status.as_u16(), reason(*status), fate.note());
    let text = escape_json(text);
    let again = tale
        .retry_after_secs
        .map_or_else(String::new, |secs| format!(",\"retry_after\":{secs}"));
    let called = tale
        .request_id
        .map_or_else(String::new, |id| format!(",\"request_id\":\"{id}\""));
    Page {
        content: format!(
            "{{\"type\":\"about:blank\",\"title\":\"{title}\",\"status\":{code},\
             \"detail\":\"{text}{note}\"{again}{called}}}\n"
        )
        .into(),
        media_type: "application/problem+json",
        language: None,
    }
}

fn escape_json(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '"' | '\\' => escaped.extend(['\\', letter]),
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}

fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

impl<'a> Tale<'a> {
    /// What is said to all who read no page.
    fn reason(&self) -> &'a str {
        self.message.unwrap_or(self.text)
    }

    /// How many minutes the wait is likely to take, one at least; nothing where nobody can tell.
    fn minutes(&self) -> String {
        let wait = self.place.and_then(|place| place.wait_secs);
        wait.map_or_else(String::new, |wait| in_minutes(wait).max(1).to_string())
    }
}

/// A page of an operator's own, with what belongs into it.
fn own_html(tale: &Tale<'_>, words: &Words, template: &Template) -> Page {
    let content = template.fill(|place| match place {
        Blank::Minutes => tale.minutes(),
        Blank::Place => tale
            .place
            .map_or_else(String::new, |is| is.place.to_string()),
        Blank::Message => tale.message.map_or_else(String::new, escape_html),
        Blank::Public => button(tale, words),
        Blank::RequestId => tale
            .request_id
            .map_or_else(String::new, ToString::to_string),
        Blank::RetryAfter => again_secs(tale).to_string(),
        Blank::Status => tale.status.as_str().to_owned(),
    });
    Page {
        content: content.into(),
        media_type: HTML,
        language: None,
    }
}

const HTML: &str = "text/html; charset=utf-8";

/// A form that leads to what strangers are sent of the page; nothing where there is none.
fn button(tale: &Tale<'_>, words: &Words) -> String {
    let (text, label) = words.public;
    tale.public.map_or_else(String::new, |target| {
        format!(
            "<form method=\"post\" action=\"{target}\">\n<p>{text}</p>\n\
             <button type=\"submit\">{label}</button>\n</form>\n"
        )
    })
}

/// A time in minutes, rounded up; 0 for less than one.
const fn in_minutes(secs: u32) -> u32 {
    match secs {
        0..60 => 0,
        _ => secs.div_ceil(60),
    }
}

/// After how many seconds a page loads itself again.
fn again_secs(tale: &Tale<'_>) -> u64 {
    if let Some(place) = tale.place {
        return place.again_secs.into();
    }
    /// Sooner would be no help to an application that is full, later none to its visitors.
    const AGAIN_SECS: (u64, u64) = (5, 60);
    const AGAIN_USUALLY: u64 = 10;
    let (least, most) = AGAIN_SECS;
    let secs = tale.retry_after_secs.unwrap_or(AGAIN_USUALLY);
    secs.clamp(least, most)
}

/// What a page says, as HTML.
struct Prose {
    title: &'static str,
    body: String,
}

impl Prose {
    fn new(tale: &Tale<'_>, fate: Fate, text: &'static Text, words: &Words) -> Self {
        let Text { title, body } = text;
        let said = tale.message.map(escape_html);
        let mut body = format!("<p>{}</p>\n", said.as_deref().unwrap_or(body));
        if let Some(place) = tale.place {
            body.push_str(&in_line(place, &words.waiting));
        }
        body.push_str(&button(tale, words));
        if fate == (Fate::Maintenance { is_write: true }) {
            body.push_str("<p>");
            body.push_str(words.not_sent.body);
            body.push_str("</p>\n");
        }
        Self { title, body }
    }
}

/// Which place somebody has in the waiting room, and how long that is likely to take.
fn in_line(position: &Position, words: &Line) -> String {
    let took = match position.wait_secs {
        None => String::new(),
        Some(wait) => match in_minutes(wait) {
            0 => words.soon.to_owned(),
            minutes @ 1..=60 => {
                let (before, after) = words.minutes;
                format!("{before}{minutes}{after}")
            }
            _ => words.long.to_owned(),
        },
    };
    let (label, place) = (words.place, position.place);
    let took = if took.is_empty() {
        took
    } else {
        format!("<p>{took}</p>\n")
    };
    format!("<p class=\"place\">{label} <strong>{place}</strong></p>\n{took}")
}

/// A page for a person: nothing from elsewhere, and no script but one that loads it again where `may_repeat`
/// says that it may.
fn html(tale: &Tale<'_>, prose: &Prose, words: &Words, may_repeat: bool) -> Page {
    let Prose { title, body } = prose;
    let Words { tag, again, .. } = words;
    let code = tale.status.as_str();
    let called = tale
        .request_id
        .map_or_else(String::new, |id| format!(" · {id}"));
    let secs = again_secs(tale);
    let (before, after) = again;
    let (refresh, tells) = if tale.place.is_some() {
        // Its head says so, which works without a script and in the background: the place must be kept.
        (String::new(), format!("<p>{before}{secs}{after}</p>\n"))
    } else if may_repeat {
        (
            format!("<noscript><meta http-equiv=\"refresh\" content=\"{secs}\"></noscript>\n"),
            format!(
                "<p id=\"again\" data-seconds=\"{secs}\">{before}{secs}{after}</p>\n\
                 <script>{SCRIPT}</script>\n"
            ),
        )
    } else {
        Default::default()
    };
    let content = format!(
        "<!doctype html>\n<html lang=\"{tag}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"robots\" content=\"noindex\">\n{refresh}<title>{title}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{body}\
         {tells}<p class=\"code\">{code}{called}</p>\n</main>\n</body>\n</html>\n"
    );
    Page {
        content: content.into(),
        media_type: HTML,
        language: Some(tag),
    }
}

/// Loads the page again, while somebody looks at it: a page in the background asks for nothing, and none
/// is taken away from whoever has begun to mark a text.
const SCRIPT: &str = "\
let left=+document.getElementById('again').dataset.seconds;\
setInterval(()=>{if(!document.hidden&&getSelection().isCollapsed&&--left===0)location.reload()},1e3)";

/// The hash of [`SCRIPT`], by which the answer's policy lets it in (CSP 3 §2.3.1).
pub(super) const SCRIPT_HASH: &str = "sha256-72y71m/eMvVPA4MuvULTBq6fL71DE579y+7L+mSh+mE=";

const STYLE: &str = "\
:root{color-scheme:light dark;--paper:#fff;--ink:#1f2328;--soft:#59636e}\
@media(prefers-color-scheme:dark){:root{--paper:#16181c;--ink:#e6e8eb;--soft:#9aa4ae}}\
body{margin:0;background:var(--paper);color:var(--ink);font:1.0625rem/1.6 system-ui,sans-serif}\
main{box-sizing:border-box;min-height:100vh;max-width:34rem;margin:0 auto;padding:2rem 1.5rem;\
display:flex;flex-direction:column;justify-content:center}\
h1{font-size:1.6rem;line-height:1.25;margin:0 0 1rem;text-wrap:balance}p{margin:0 0 1rem;text-wrap:pretty}\
form{margin:0 0 1rem}button{font:inherit;color:inherit;background:transparent;border:1px solid;\
border-radius:.4rem;padding:.5rem 1rem;cursor:pointer}\
.place{font-size:1.25rem}.place strong{font-size:2rem;font-variant-numeric:tabular-nums}\
.code{color:var(--soft);font-size:.875rem;overflow-wrap:anywhere}";

#[cfg(test)]
mod tests;
