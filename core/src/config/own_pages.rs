//! Owns [`OwnPages`]: an operator's own pages in the place of this program's.
//! Never reads a file, and never decides which page is due.

use std::fmt;
use std::sync::Arc;

/// What a page tells of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OwnPage {
    /// More visitors are here than can be served.
    Busy,
    /// The origin does not answer, and there is no copy.
    Down,
    /// The site is being worked on.
    Maintenance,
    /// A write that may have been done.
    MayHaveArrived,
    /// A write that was not sent.
    NotSent,
    /// More visitors are here than can be served, and this one has a place among those that wait.
    Waiting,
}

impl OwnPage {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Busy,
        Self::Down,
        Self::Maintenance,
        Self::MayHaveArrived,
        Self::NotSent,
        Self::Waiting,
    ];

    /// Its name, in lower case with hyphens.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Down => "down",
            Self::Maintenance => "maintenance",
            Self::MayHaveArrived => "may-have-arrived",
            Self::NotSent => "not-sent",
            Self::Waiting => "waiting",
        }
    }
}

/// Pages of an operator's own, as HTML in UTF-8. A clone shares them.
#[derive(Clone, Default)]
pub struct OwnPages(Arc<[Option<Template>; OwnPage::ALL.len()]>);

impl fmt::Debug for OwnPages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = OwnPage::ALL
            .into_iter()
            .filter(|page| self.get(*page).is_some());
        f.debug_list().entries(names.map(OwnPage::as_str)).finish()
    }
}

impl OwnPages {
    /// Takes the text of a page. `{status}` in it stands for the status, `{retry_after}` for the
    /// seconds after which asking again can help, `{message}` for what an operator has to say in
    /// maintenance, `{request_id}` for what the request is called, `{public}` for a button that leads to what
    /// strangers are sent of the page, where there is that, `{place}` and `{minutes}` for the place in the
    /// waiting room and the time that is likely to take; other braces stand for themselves.
    pub fn set(&mut self, page: OwnPage, text: &str) {
        let pages = Arc::make_mut(&mut self.0);
        if let Some(place) = pages.get_mut(page as usize) {
            *place = Some(Template::parse(text));
        }
    }

    /// The page, where there is one.
    #[must_use]
    pub fn get(&self, page: OwnPage) -> Option<&Template> {
        self.0.get(page as usize)?.as_ref()
    }
}

/// The text of a page, with places to be filled in.
#[derive(Clone, Debug)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    Blank(Blank),
    Text(Box<str>),
}

/// What is filled in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Blank {
    /// What an operator has to say.
    Message,
    /// How many minutes the wait in the waiting room is likely to take.
    Minutes,
    /// The place in the waiting room.
    Place,
    /// A button for what strangers are sent of the page, where there is that.
    Public,
    /// What the request is called.
    RequestId,
    /// Seconds after which asking again can help.
    RetryAfter,
    /// The status, as a number.
    Status,
}

impl Blank {
    const ALL: [(&'static str, Self); 7] = [
        ("{message}", Self::Message),
        ("{minutes}", Self::Minutes),
        ("{place}", Self::Place),
        ("{public}", Self::Public),
        ("{request_id}", Self::RequestId),
        ("{retry_after}", Self::RetryAfter),
        ("{status}", Self::Status),
    ];
}

impl Template {
    fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        let next = |rest: &str| {
            let found = Blank::ALL.iter().filter_map(|(name, blank)| {
                let at = rest.find(name)?;
                Some((at, name.len(), *blank))
            });
            found.min_by_key(|(at, ..)| *at)
        };
        while let Some((at, length, blank)) = next(rest) {
            let (before, after) = rest.split_at(at);
            parts.push(Part::Text(before.into()));
            parts.push(Part::Blank(blank));
            rest = after.get(length..).unwrap_or_default();
        }
        parts.push(Part::Text(rest.into()));
        Self(parts)
    }

    /// The page, with what `fill` says for each blank.
    pub fn fill(&self, fill: impl Fn(Blank) -> String) -> String {
        let mut page = String::new();
        for part in &self.0 {
            match part {
                Part::Blank(blank) => page.push_str(&fill(*blank)),
                Part::Text(text) => page.push_str(text),
            }
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_in_and_other_braces_are_left_alone() {
        let mut pages = OwnPages::default();
        assert!(pages.get(OwnPage::Down).is_none());
        let text = "{status}<style>p{color:red}</style>{retry_after} {message}{other}{request_id}{place}/{minutes}";
        pages.set(OwnPage::Down, text);
        let filled = pages.get(OwnPage::Down).unwrap().fill(|place| match place {
            Blank::Message => "hello".to_owned(),
            Blank::Minutes => "2".to_owned(),
            Blank::Place => "30".to_owned(),
            Blank::Public => "button".to_owned(),
            Blank::RequestId => "f3a9".to_owned(),
            Blank::RetryAfter => "7".to_owned(),
            Blank::Status => "503".to_owned(),
        });
        assert_eq!(
            filled,
            "503<style>p{color:red}</style>7 hello{other}f3a930/2"
        );
        assert!(pages.get(OwnPage::Busy).is_none());
    }
}
