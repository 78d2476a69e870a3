//! Owns what the origin has sent to whom, and the judgement of bytes: what a copy or a shared
//! fetch hands out has to be known to those who get it.
//! Never knows keys, partitions or directives, so that it holds for whatever shares pages.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::rc::Rc;

use crate::ledger::Page;
use crate::visitors::VisitorId;

/// The shortest text that can give a secret away.
const RUN: usize = 8;

/// Who may see what was sent.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Reader {
    /// One visitor, in whatever session.
    One(VisitorId),
    /// Everybody whose cookies and fields are exactly these: none at all for the bare.
    Alike(Rc<str>),
    /// Whoever has this cookie, or one that was given in its place: the application takes them for one.
    Holder(Rc<str>),
}

/// The pages sent to each reader.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    by_reader: BTreeMap<Reader, BTreeSet<Page>>,
    /// Those sent to the program, which asked as a stranger.
    to_strangers: BTreeSet<Page>,
}

impl Sent {
    /// Takes note that the origin sends a page in answer to a request of `visitor`, who asked as
    /// `who`, with a cookie of these, or is handed one. A personal page is for nobody else, however alike
    /// somebody asks.
    pub(crate) fn note(
        &mut self,
        visitor: Option<VisitorId>,
        who: &Rc<str>,
        values: &[&str],
        page: &Page,
    ) {
        let one = visitor.map(Reader::One);
        let alike = (!page.is_personal).then(|| Reader::Alike(Rc::clone(who)));
        let holders = values.iter().map(|pair| Reader::Holder((*pair).into()));
        for reader in one.into_iter().chain(alike).chain(holders) {
            let pages = self.by_reader.entry(reader).or_default();
            pages.insert(page.clone());
        }
    }

    /// Takes note that the origin sends a page to a stranger.
    pub(crate) fn note_stranger(&mut self, page: &Page) {
        self.to_strangers.insert(page.clone());
    }

    /// Whether each run of eight bytes of `body`, which claims to be some of `page`, was sent to a
    /// stranger before.
    pub(crate) fn check_public(&self, page: &Page, body: &[u8]) -> Result<(), String> {
        known_by("strangers", &[&self.to_strangers], page, body)
    }

    /// Whether each run of eight bytes of `body`, which claims to be some of `page`, was sent before
    /// to this visitor, or to somebody who asked alike, or with a cookie that this one's comes from.
    pub(crate) fn check<'a>(
        &self,
        visitor: Option<VisitorId>,
        who: &Rc<str>,
        values: impl Iterator<Item = &'a str>,
        page: &Page,
        body: &[u8],
    ) -> Result<(), String> {
        let readers = [
            visitor.map(Reader::One),
            Some(Reader::Alike(Rc::clone(who))),
        ];
        let holders = values.map(|pair| Reader::Holder(pair.into()));
        let readers: Vec<_> = readers.into_iter().flatten().chain(holders).collect();
        let readers = readers.iter();
        let known: Vec<_> = readers
            .filter_map(|reader| self.by_reader.get(reader))
            .collect();
        known_by(who, &known, page, body)
    }
}

fn known_by(who: &str, known: &[&BTreeSet<Page>], page: &Page, body: &[u8]) -> Result<(), String> {
    // Nearly always it is known as a whole; whether it is of that page is looked at anyway.
    if body.len() < RUN || known.iter().any(|pages| pages.contains(page)) {
        return Ok(());
    }
    let mut runs = HashSet::new();
    for page in known.iter().copied().flatten() {
        runs.extend(page.body().windows(RUN).map(<[u8]>::to_vec));
    }
    let mut strange = body.windows(RUN).filter(|run| !runs.contains(*run));
    strange.next().map_or(Ok(()), |run| {
        let run = String::from_utf8_lossy(run);
        Err(format!("bytes that were never sent to `{who}`: {run:?}"))
    })
}
