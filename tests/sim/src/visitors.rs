//! Owns the people behind the simulated clients: by what an application can tell them apart, and
//! which cookies their browsers were given.
//! Never knows a page, nor what the program makes of a field.

use std::cell::Cell;
use std::rc::Rc;

use crate::chance::Chance;
use crate::swarm::Swarm;

/// The number of a visitor.
pub(crate) type VisitorId = usize;

/// A field line.
pub(crate) type Line = (String, String);

/// Cookies that say nothing of the visitor.
const IGNORED: [&str; 3] = ["", "_ga=1", "OptanonConsent=groups; _gid=2"];

/// Cookies of unknown meaning that several have.
const ODD: [&str; 2] = ["theme=dark", "lang=en"];

/// Names of the cookie that an application hands out with its first answer. Only the first is
/// known to be a session's.
pub(crate) const STARTS: [&str; 3] = ["PHPSESSID", "shopsess", "kundennr"];

/// The cookie that a browser has from before the world began.
pub(crate) const SESSION: &str = "PHPSESSID";

/// The cookie by which the program knows again who waits in its waiting room.
pub(crate) const ROOM: &str = "retter-room";

/// One visitor in so many keeps no such cookie, and one makes them up.
const FORGETFUL_IN: usize = 6;
const FORGING_IN: usize = 7;

/// The field of a proxy in front that signs people in.
const SIGNED_IN: &str = "X-WEBAUTH-USER";

/// The field of a key that a whole application shares, and the field of each user's own token.
const PUBLIC_KEY: &str = "X-Api-Key";
pub(crate) const TOKEN: &str = "X-Customer-Token";

/// By what a visitor can be told from others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Nothing, until the application hands out a cookie.
    Bare,
    /// A session cookie of a known name.
    Session,
    Basic,
    Bearer,
    /// A cookie of unknown meaning, which several have.
    Odd,
    OddSession,
    /// A field that a proxy in front sets.
    SignedIn,
    /// The same, of a name that this world made up.
    MadeUp,
    /// A token beside a key that everybody sends.
    Keyed,
    /// Nothing but the connection, on which it logged in (NTLM).
    Bound,
}

impl Kind {
    const ALL: [Self; 10] = [
        Self::Bare,
        Self::Session,
        Self::Basic,
        Self::Bearer,
        Self::Odd,
        Self::OddSession,
        Self::SignedIn,
        Self::MadeUp,
        Self::Keyed,
        Self::Bound,
    ];
}

/// Somebody with one browser, on any number of connections.
#[derive(Debug)]
struct Visitor {
    kind: Kind,
    ignored: &'static str,
    odd: &'static str,
    /// The cookie that the application has handed out last.
    started: Option<String>,
    /// The place in the waiting room that it was given last.
    room: Option<Rc<str>>,
    /// How often a script has counted a page, where one does.
    views: Option<Cell<u32>>,
}

/// As whom a request is sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identity {
    /// The value of every cookie and field that tells who asks, or might; empty for the bare.
    pub(crate) who: Rc<str>,
    /// Those cookies and fields, and cookies that are ignored.
    pub(crate) lines: Rc<[Line]>,
    /// What of it stays the same when the application gives another cookie in the place of its own.
    pub(crate) rest: Rc<str>,
    /// The cookie that the application has handed out.
    pub(crate) started: Option<Rc<str>>,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Visitors(Vec<Visitor>);

impl Visitors {
    /// Somebody who comes, for the first time or again.
    pub(crate) fn come(&mut self, swarm: &Swarm, chance: &mut Chance) -> VisitorId {
        if self.0.len() < swarm.users || chance.hits(swarm.newcomers) {
            self.0.push(Visitor {
                kind: Kind::ALL[chance.weighted(&swarm.kinds)],
                ignored: IGNORED[chance.below(IGNORED.len())],
                odd: ODD[chance.below(10) / 7],
                started: self.stolen(swarm, chance),
                room: None,
                views: chance.hits(swarm.counting).then(Cell::default),
            });
            return self.0.len() - 1;
        }
        let eldest = self.0.len() - swarm.users;
        eldest + chance.below(swarm.users)
    }

    /// Somebody else's cookie, with which somebody comes: it was planted, or found on a computer that
    /// several use.
    fn stolen(&self, swarm: &Swarm, chance: &mut Chance) -> Option<String> {
        if !chance.hits(swarm.stealing) || self.0.is_empty() {
            return None;
        }
        let at = self.0.len() - 1 - chance.below(swarm.users.min(self.0.len()));
        self.0[at].started.clone()
    }

    /// Whether a visitor logs in anew on each connection.
    pub(crate) fn is_bound(&self, id: VisitorId) -> bool {
        self.0[id].kind == Kind::Bound
    }

    /// A browser takes the cookie that an answer hands out.
    pub(crate) fn take(&mut self, id: VisitorId, cookie: &str) {
        self.0[id].started = Some(cookie.to_owned());
    }

    /// A browser takes the place in the waiting room that an answer gives it, as a pair of name and
    /// value.
    pub(crate) fn take_place(&mut self, id: VisitorId, cookie: &str) {
        if !id.is_multiple_of(FORGETFUL_IN) {
            self.0[id].room = Some(cookie.into());
        }
    }

    /// The place that a browser shows.
    pub(crate) fn room(&self, id: VisitorId) -> Option<Rc<str>> {
        if id.is_multiple_of(FORGING_IN) {
            return Some(format!("{ROOM}={id:016x}{:016x}", id * id).into());
        }
        self.0[id].room.clone()
    }

    /// As whom a visitor asks now; `logs_in` where its connection does not know it yet.
    pub(crate) fn identity(&self, id: VisitorId, logs_in: bool, swarm: &Swarm) -> Identity {
        let visitor = &self.0[id];
        let mut cookies = Vec::new();
        let mut fields = Vec::new();
        let mut put = |name: &str, value: String| fields.push((name.to_owned(), value));
        match visitor.kind {
            Kind::Bare => {}
            Kind::Session => cookies.push(format!("{SESSION}=v{id}")),
            Kind::Basic => put("Authorization", format!("Basic v{id}")),
            Kind::Bearer => put("Authorization", format!("Bearer v{id}")),
            Kind::Odd => cookies.push(visitor.odd.to_owned()),
            Kind::OddSession => {
                cookies.push(format!("{SESSION}=v{id}"));
                cookies.push(visitor.odd.to_owned());
            }
            Kind::SignedIn => put(SIGNED_IN, format!("v{id}")),
            Kind::MadeUp => put(&swarm.made_up, format!("v{id}")),
            Kind::Keyed => {
                put(PUBLIC_KEY, "app".to_owned());
                put(TOKEN, format!("v{id}"));
            }
            Kind::Bound if logs_in => put("Authorization", format!("NTLM v{id}")),
            Kind::Bound => {}
        }
        // Beside a cookie that one browser has, a preference tells nobody apart.
        let is_odd = |pair: &&String| ODD.contains(&&***pair);
        let mut rest: Vec<_> = cookies
            .iter()
            .filter(|pair| !is_odd(pair))
            .cloned()
            .collect();
        cookies.extend(visitor.started.clone());
        let mut who: Vec<_> = cookies.clone();
        for told in [&mut who, &mut rest] {
            told.extend(fields.iter().map(|(_, value)| value.clone()));
        }
        if let (Some(views), true) = (&visitor.views, visitor.started.is_some()) {
            views.set(views.get() + 1);
            cookies.push(format!("views={}", views.get()));
        }
        let ignored = Some(visitor.ignored.to_owned()).filter(|pair| !pair.is_empty());
        let cookies: Vec<_> = ignored.into_iter().chain(cookies).collect();
        if !cookies.is_empty() {
            fields.push(("Cookie".to_owned(), cookies.join("; ")));
        }
        Identity {
            who: who.join("; ").into(),
            lines: fields.into(),
            rest: rest.join("; ").into(),
            started: visitor.started.as_deref().map(Rc::from),
        }
    }
}

/// What a simulated application knows its user by, where it knows one: a session, a credential, or
/// a field that a proxy in front has set.
pub(crate) fn known_by(lines: &[Line], swarm: &Swarm) -> Option<String> {
    let named = |name: &str| {
        let mut lines = lines.iter();
        lines.find(|(line, _)| line.eq_ignore_ascii_case(name))
    };
    let names = ["Authorization", SIGNED_IN, &swarm.made_up, TOKEN];
    let field = names.into_iter().find_map(named);
    let is_session = |pair: &&str| {
        let name = pair.split('=').next();
        name == Some(SESSION) || name == Some(swarm.started)
    };
    let cookie = named("Cookie").and_then(|(_, value)| value.split("; ").filter(is_session).last());
    let field = || field.map(|(_, value)| value.clone());
    cookie.map(str::to_owned).or_else(field)
}

/// What a personal page has of its user: nobody else's has the like.
pub(crate) fn secret(known_by: &str) -> String {
    let hash = known_by.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3_u64)
    });
    // One more round, or the first half of what is alike would be alike.
    format!(
        "{:016x}",
        (hash ^ hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    )
}
