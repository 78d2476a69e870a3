//! Owns the sessions of the simulated application, as their cookies have them: which value was given in
//! the place of which, to whom the application believes to speak by each, and which of them are over.
//! Never judges an answer.

use std::collections::BTreeMap;

use retter_core::time::Instant;

use crate::visitors::VisitorId;

/// A cookie by which the application knows its user, as `name=value`.
pub(crate) type Pair = String;

#[derive(Debug)]
struct Value {
    /// The one that it was given in the place of.
    parent: Option<Pair>,
    /// As whom the application knows whoever has it.
    user: String,
    /// With it another session began, as everybody can see.
    begins: bool,
}

/// All values that were given.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    values: BTreeMap<Pair, Value>,
    over: Vec<Over>,
}

/// Somebody has signed out.
#[derive(Debug)]
struct Over {
    visitor: VisitorId,
    /// The value by which the application knew whom it signed out, where it was one that it had given.
    value: Option<Pair>,
    asked: Instant,
    answered: Instant,
}

impl Sessions {
    /// A value is given, in the place of another one or as the first, to whom the application knows as
    /// `user`. `begins` where that is another session than before, as everybody can see.
    pub(crate) fn give(&mut self, pair: &str, parent: Option<&str>, user: &str, begins: bool) {
        let value = Value {
            parent: parent.map(str::to_owned),
            user: user.to_owned(),
            begins,
        };
        self.values.entry(pair.to_owned()).or_insert(value);
    }

    /// Whether it is such a value.
    pub(crate) fn is_given(&self, pair: &str) -> bool {
        self.values.contains_key(pair)
    }

    /// As whom the application knows whoever has this value.
    pub(crate) fn user<'a>(&'a self, pair: &'a str) -> &'a str {
        self.values.get(pair).map_or(pair, |value| &value.user)
    }

    /// A value and all that it comes from in the same session, the newest first.
    pub(crate) fn line<'a>(&'a self, pair: Option<&'a str>) -> impl Iterator<Item = &'a str> {
        std::iter::successors(pair, |pair| {
            let value = self.values.get(*pair).filter(|value| !value.begins)?;
            value.parent.as_deref()
        })
    }

    /// Somebody has signed out with this value, and knows it.
    pub(crate) fn sign_out(
        &mut self,
        visitor: VisitorId,
        value: Option<&str>,
        asked: Instant,
        answered: Instant,
    ) {
        self.over.push(Over {
            visitor,
            value: value.map(str::to_owned),
            asked,
            answered,
        });
    }

    /// Whether what was sent then is of a session that this visitor, who asks now with this value, has
    /// signed out of since. A browser that comes on several connections at first is given several
    /// sessions, and signs out of the one that it has by then; what it is given after that, by an answer
    /// that was on its way, begins another.
    pub(crate) fn is_over(
        &self,
        visitor: VisitorId,
        value: Option<&str>,
        sent: Instant,
        now: Instant,
    ) -> bool {
        let is_same = |other: &Option<Pair>| match (other, value) {
            (Some(other), Some(value)) => self.first(other) == self.first(value),
            (None, _) | (_, None) => true,
        };
        let mut over = self.over.iter();
        over.any(|over| {
            let is_since = sent < over.asked && over.answered < now;
            over.visitor == visitor && is_since && is_same(&over.value)
        })
    }

    /// The value with which the session of this one began.
    fn first<'a>(&'a self, value: &'a str) -> Option<&'a str> {
        self.line(Some(value)).last()
    }
}
