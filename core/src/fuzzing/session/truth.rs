//! Owns what is true of content: every body that a session passes on is one that somebody sent, to
//! whom it may go.
//! Never compares runs, and reads both sides by the second reading of messages only.

use super::seen::{Answer, Asked, Seen, World, content};
use crate::fuzzing::naive::{self, Field, Message, Stop};
use crate::message::RequestHead;
use crate::report::{End, Source};

/// An answer that the origin gave, and to what.
struct Told {
    who: Option<Who>,
    /// The target, where nothing about it can be spelled in two ways.
    page: Option<Vec<u8>>,
    status: Vec<u8>,
    content: Vec<u8>,
    is_whole: bool,
}

/// Whose page it is: the lines that say so, as far as they can mean only one thing.
#[derive(Eq, PartialEq)]
struct Who([Option<Vec<u8>>; 2]);

/// Checks all bodies of one run.
pub(super) fn check(world: &World) {
    let asked = world.clients.iter().flat_map(|client| &client.asked);
    let told: Vec<Told> = asked.filter_map(Told::read).collect();
    for client in &world.clients {
        for answer in client.answers() {
            check_answer(&answer, &told);
        }
        check_requests(client);
    }
}

/// What the client got from the origin or a copy is what the origin told such a client.
fn check_answer(answer: &Answer<'_>, told: &[Told]) {
    let (Some(last), Some(request)) = (answer.reading.messages.last(), &answer.report.request)
    else {
        return;
    };
    let source = answer.report.source;
    let is_passed_on = matches!(
        source,
        Source::Backend | Source::Cache | Source::LastKnownSuccess
    );
    // Several parts have lines of their own between them.
    let is_of_parts = field(&last.fields, "content-type")
        .is_some_and(|kind| kind.starts_with(b"multipart/byteranges"));
    if !is_passed_on || last.is_interim() || last.body.bytes.is_empty() || is_of_parts {
        return;
    }
    let is_whole = answer.report.end == End::Complete && last.body.end == Stop::Clean;
    let got = content(last);
    let part = part_of(last).filter(|_| source != Source::Backend);
    // The bytes of a part mean nothing without the others, where they are compressed.
    if part.is_some() && field(&last.fields, "content-encoding").is_some() {
        return;
    }
    let (who, page) = (Who::of_head(request), page(&request.target));
    let is_page = |told: &Told| match (&page, &told.page) {
        (Some(page), Some(told)) => told == page || told.strip_prefix(b"/prefix") == Some(page),
        (_, _) => true,
    };
    let is_it = |told: &&Told| {
        let status: &[u8] = if part.is_some() {
            b"200"
        } else {
            &last.first[1]
        };
        let from = part.unwrap_or(0);
        let rest = told.content.get(from..).unwrap_or_default();
        told.status == status
            && (!is_whole || told.is_whole)
            && rest.starts_with(&got)
            && (!is_whole || part.is_some() || rest.len() == got.len())
            && (who.is_none() || told.who.is_none() || who == told.who)
            && is_page(told)
    };
    assert!(
        told.iter().any(|told| is_it(&told)),
        "nobody told {request:?} {}",
        got.escape_ascii()
    );
}

/// What the origin is asked is what the client sent, in that order; only a safe request may come
/// twice.
fn check_requests(client: &Seen) {
    // What goes on without a client, or was never asked by one, has none to compare with.
    if client.sent.is_empty() {
        return;
    }
    let sent = naive::requests(&client.sent).messages;
    let mut at = 0;
    for asked in &client.asked {
        let Some(got) = naive::requests(&asked.bytes).messages.into_iter().next() else {
            continue;
        };
        let is_it = |sent: &Message| {
            let is_whole = got.body.end == Stop::Clean;
            sent.first[0] == got.first[0]
                && sent.body.bytes.starts_with(&got.body.bytes)
                && (!is_whole || sent.body.bytes.len() == got.body.bytes.len())
        };
        let found = sent.iter().skip(at).position(is_it);
        let found = found.unwrap_or_else(|| {
            panic!("no client sent {}", asked.bytes.escape_ascii());
        });
        let is_safe = matches!(&got.first[0][..], b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE");
        at += found + usize::from(!is_safe);
    }
}

impl Told {
    fn read(asked: &Asked) -> Option<Self> {
        let request = naive::requests(&asked.bytes).messages.into_iter().next()?;
        let is_head = request.first[0] == b"HEAD";
        let is_upgrade = field(&request.fields, "upgrade").is_some();
        let answer = naive::responses(is_head, is_upgrade, &asked.told);
        let last = answer.messages.into_iter().last()?;
        Some(Self {
            who: Who::of_fields(&request.fields),
            page: page(&request.first[1]).map(<[u8]>::to_vec),
            status: last.first[1].clone(),
            content: content(&last),
            is_whole: last.body.end == Stop::Clean,
        })
    }
}

impl Who {
    fn of_head(head: &RequestHead) -> Option<Self> {
        Self::of(|name| head.fields.get_all(name).map(<[u8]>::to_vec).collect())
    }

    fn of_fields(fields: &[Field]) -> Option<Self> {
        Self::of(|name| {
            let named = fields.iter().filter(|field| field.0 == name);
            named.map(|field| field.1.clone()).collect()
        })
    }

    /// `None` where it is not clear.
    fn of(values: impl Fn(&str) -> Vec<Vec<u8>>) -> Option<Self> {
        let clear = |name: &str, starts: [&[u8]; 2]| match &mut values(name)[..] {
            [] => Some(None),
            [value] => {
                let start = starts.into_iter().find(|start| value.starts_with(start))?;
                let is_plain = value[start.len()..].iter().all(u8::is_ascii_alphanumeric);
                is_plain.then(|| Some(std::mem::take(value)))
            }
            [_, _, ..] => None,
        };
        // What is named there does not reach the origin.
        let is_kept = values("connection").iter().all(|value| {
            let value = value.to_ascii_lowercase();
            matches!(&value[..], b"close" | b"keep-alive" | b"upgrade")
        });
        let cookie = clear("cookie", [b"PHPSESSID=", b"sessionid="])?;
        let authorization = clear("authorization", [b"Basic ", b"Bearer "])?;
        is_kept.then_some(Self([cookie, authorization]))
    }
}

/// A target that is spelled in one way only.
fn page(target: &[u8]) -> Option<&[u8]> {
    let is_plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'/';
    (target.starts_with(b"/") && target.iter().all(is_plain)).then_some(target)
}

/// Where the part begins that an answer is.
fn part_of(answer: &Message) -> Option<usize> {
    let told = field(&answer.fields, "content-range").filter(|_| answer.first[1] == b"206")?;
    let told = std::str::from_utf8(told).ok()?.strip_prefix("bytes ")?;
    told.split_once('-')?.0.parse().ok()
}

fn field<'a>(fields: &'a [Field], name: &str) -> Option<&'a [u8]> {
    let mut named = fields.iter().filter(|field| field.0 == name);
    named.next().map(|field| &field.1[..])
}
