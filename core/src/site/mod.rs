//! Owns [`Site`]: whether a request is sent on, served from a copy, or refused (`decide`).
//! Never sees bytes of a wire: it is the same object for [`Session`](crate::session::Session) and
//! for a program that brings its own HTTP.

mod address;
mod admit;
mod ask;
mod asks;
mod by_hand;
mod carried;
mod chains;
mod circuits;
mod connecting;
mod course;
mod coverage;
mod decide;
mod delayed;
mod elsewhere;
mod errand;
mod failed;
mod fetch;
mod had;
mod handed;
mod handing;
mod happened;
#[cfg(all(test, loom))]
mod interleavings;
mod interop;
mod keep;
mod known;
mod labels;
mod languages;
mod lately;
mod learnt;
mod outdated;
mod parts;
mod passing;
mod preflights;
mod public;
mod purge;
mod quarantine;
mod queries;
mod reach;
mod refresh;
mod refusal;
mod renewals;
mod rescuable;
mod rolls;
mod sake;
mod seek;
mod served;
mod slow;
mod snapshot;
mod soft;
mod successors;
mod target;
mod ticket;
mod trial;
mod unrescued;
mod verdict;
mod visit;
mod visitor;
mod voice;
mod waiting;
mod wall;
mod wants;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::Duration;

pub use admit::Decision;
pub use by_hand::{Manual, Override};
pub use connecting::ConnectProbe;
pub use decide::Ruling;
pub use delayed::Delayed;
pub use failed::Unanswered;
pub use fetch::{Fetch, Verdict};
pub use known::{Fact, Known};
pub(crate) use labels::put_labels;
pub use passing::{Completed, Holding, Passing};
pub use refresh::Refresh;
pub use refusal::Refusal;
pub use served::{Answer, Served};
pub use slow::Slow;
pub use snapshot::Snapshot;
pub use ticket::Ticket;
pub(crate) use visitor::{Asker, Guest};

use crate::admission::Gate;
use crate::breaker::State;
use crate::config::{Config, SiteConfig};
use crate::copies::{
    Invalidation, Journal, Listed, Purge, Records, Restored, Sharing, Shown, Sought, Unrestored,
    Written,
};
use crate::event::Event;
use crate::key::CacheKey;
use crate::message::RequestHead;
use crate::report::Stats;
use crate::rules::coding::GzipPool;
use crate::rules::login;
use crate::time::{Instant, UnixTime};

use parts::Parts;

/// A site: breaker, admission and copies of one application, shared by all who ask for it. A clone is
/// the same site.
///
/// A page is answered by the application, then the application is gone, and the copy answers:
///
/// ```
/// use std::sync::Arc;
///
/// use retter_core::config::Settings;
/// use retter_core::message::{Fields, RequestHead, ResponseHead};
/// use retter_core::{Decision, Site, Verdict};
/// use retter_core::report::Failure;
/// use retter_core::time::Instant;
///
/// let now = Instant::ZERO; // your clock
/// let config = Settings::default().validate().expect("the defaults are valid");
/// let site = Site::new(&config, 42, now); // a seed that nobody can guess
/// let request = http::Request::get("http://example/page").body(()).unwrap();
/// let request = Arc::new(RequestHead::from_http(&request));
///
/// let Some(Decision::Fetch(fetch)) = site.decide(&request, now).now() else {
///     panic!("the circuit is closed, there is room, and there is no copy yet");
/// };
/// let head = ResponseHead::new(http::StatusCode::OK, Fields::default());
/// let Verdict::Forward(answer) = fetch.on_head(&head, now) else { panic!("200 is no failure") };
/// let mut passing = answer.pass_on(); // its head goes out
/// passing.on_data(b"the page", now);
/// passing.on_end(now); // from here on there is a copy
///
/// let Some(Decision::Fetch(fetch)) = site.decide(&request, now).now() else { panic!("as above") };
/// let Ok(copy) = fetch.on_failure(Failure::Connect, now) else { panic!("there is a copy") };
/// let answer = copy.to_http(&request); // an `http::Response`
/// assert_eq!((answer.status().as_u16(), &answer.body()[..]), (200, &b"the page"[..]));
/// assert_eq!(answer.headers()["x-retter"], "cache");
/// ```
///
/// The contract with an embedder:
///
/// 1. [`decide`](Self::decide) once for each request, after
///    [`View::receive`](crate::rules::forwarded::View::receive) has removed what the peer may not say
///    from its head. [`Ruling::Wait`] is a decision that comes later,
///    within the time-out of the queue: await it, or drop its [`Ticket`] when the client leaves.
/// 2. A [`Fetch`] is permission to ask the origin once, with the conditions that
///    [`Fetch::validators`] gives, and the duty to say how it went: [`Fetch::on_sent`] when the
///    whole request is at the origin, [`Fetch::on_head`] or [`Fetch::on_failure`];
///    [`Fetch::unasked`] where the origin could not be asked because something is missing here. A head
///    that is to be forwarded makes a [`Holding`] of it, from which a copy can still rescue, and
///    [`Holding::pass_on`] a [`Passing`], from which none can: [`Passing::on_data`] for each piece of
///    the body, then [`Passing::on_end`] or [`Passing::on_broken_off`]. One that
///    [awaits a verdict](Holding::awaits_verdict) may be held back until [`Holding::complete`]. Bound each wait for the
///    origin: it has its slot until it is told or dropped.
///
///    From `on_sent` on a hanging origin is found while it hangs: wait for the head until
///    [`Fetch::poll_timeout`] only, then call [`Fetch::handle_timeout`]; a copy that it gives is the
///    answer, and without one the wait goes on. So it does while the body comes. Tell [`Fetch::on_behalf_of`] whom, if the late answer shall
///    still renew the copy.
///
///    Some applications sign a user in on the connection, not by the request (NTLM, Negotiate):
///    [`login::binds_connection`] tells it of the fields of
///    a request and of an answer. Whoever keeps connections to the origin gives the one that
///    carried such a message to no other client, asks [`decide_bound`](Self::decide_bound) for all
///    later requests of the same client's connection, and closes both together; where a
///    [proxy](crate::rules::forwarded::View::is_relayed) passes requests of several users on, it is closed
///    after the exchange.
/// 3. [`set_wall_clock`](Self::set_wall_clock) at start and about once a second.
/// 4. [`poll_event`](Self::poll_event) whenever convenient; nothing depends on it.
/// 5. An embedder that wants copies renewed and circuits probed in the background calls
///    [`poll_refresh`](Self::poll_refresh), and [`Served::want`] for each answer from a copy.
/// 6. An embedder that wants the end of an outage found out by connecting calls
///    [`poll_connect`](Self::poll_connect), and [`Fetch::on_unanswered`] in place of
///    [`Fetch::on_failure`] where no connection came about: the request may be sent yet.
#[derive(Clone, Debug)]
pub struct Site {
    parts: Arc<Parts>,
}

impl Site {
    /// Builds a site. `seed` must be unpredictable for clients: hashes and jitter come from it.
    #[must_use]
    pub fn new(config: &Config, seed: u64, now: Instant) -> Self {
        Self {
            parts: Arc::new(Parts::new(config, seed, now)),
        }
    }

    /// Goes on by other settings. Exchanges that have begun end by those that they began with;
    /// what was learnt stays. Where requests have [other keys](crate::config::CacheSettings::same_keys)
    /// from now on, all copies go: by the old ones nobody would find them.
    ///
    /// Returns the settings that differ from those of the start and count from the next one only.
    #[must_use = "the operator has to know which settings do not count yet"]
    pub fn reconfigure(&self, config: &SiteConfig, now: Instant) -> Vec<&'static str> {
        self.parts.reconfigure(config, now)
    }

    /// The settings that count now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.parts.snapshot()
    }

    /// Tells the wall clock: how long ago 1970-01-01 UTC was at `now`, as exactly as is known. Whole
    /// seconds would make a `Date` up to one second older than it is. The time between two calls is
    /// taken from `now`.
    pub fn set_wall_clock(&self, since_1970: Duration, now: Instant) {
        self.parts.wall.set(since_1970, now);
    }

    /// The wall clock at `now`.
    #[must_use]
    pub fn wall_clock(&self, now: Instant) -> UnixTime {
        self.parts.wall.at(now)
    }

    /// Says how `request` is to be answered. One that signs its connection in
    /// ([`login::binds_connection`]) is answered by the origin or not at all.
    pub fn decide(&self, request: &Arc<RequestHead>, now: Instant) -> Ruling {
        let is_bound = login::binds_connection(&request.fields);
        let asker = Asker {
            is_bound,
            ..Asker::default()
        };
        decide::decide(&self.parts, request, asker, now)
    }

    /// As [`decide`](Self::decide), for a client whose address is known: whoever was refused a page
    /// gets no copy of it for an hour, and comes perhaps without any cookie; and no circuit opens for
    /// all by the word of one network.
    pub fn decide_for(&self, request: &Arc<RequestHead>, client: IpAddr, now: Instant) -> Ruling {
        let is_bound = login::binds_connection(&request.fields);
        let asker = Asker {
            address: Some(client),
            is_bound,
            peer: Some(client),
            ..Asker::default()
        };
        decide::decide(&self.parts, request, asker, now)
    }

    /// As [`decide`](Self::decide), for a request of a client that has signed in by its connection
    /// before: no copy answers, nothing is kept of the answer, and nobody shares it.
    pub fn decide_bound(&self, request: &Arc<RequestHead>, now: Instant) -> Ruling {
        let asker = Asker {
            is_bound: true,
            ..Asker::default()
        };
        decide::decide(&self.parts, request, asker, now)
    }

    /// Decides about a client's request that may be sent again: a safe one whose kept connection turned
    /// out to be closed (RFC 9110 §9.2.2). The circuits may have changed since it was let through. What
    /// became of the first time is nothing to learn from.
    pub fn decide_again(&self, fetch: Fetch, now: Instant) -> Ruling {
        decide::decide_again(&self.parts, fetch, now)
    }

    /// Whether there is a version of this page for strangers that its client could be given, if it chose
    /// to see that.
    pub(crate) fn offers_public(
        &self,
        request: &RequestHead,
        client: Option<IpAddr>,
        now: Instant,
    ) -> bool {
        public::is_offered(&self.parts, request, client, now)
    }

    /// As [`decide`](Self::decide), for a caller that has identified the client already.
    pub(crate) fn decide_on(
        &self,
        request: &Arc<RequestHead>,
        asker: Asker,
        now: Instant,
    ) -> Ruling {
        decide::decide(&self.parts, request, asker, now)
    }

    /// The next copy to renew, or circuit to probe, in the background.
    ///
    /// Whoever calls this promises to go on: from the first call on, circuits are probed with
    /// copies where there are any, and with visitors' requests only where there are none. Call it
    /// again at [`poll_refresh_timeout`](Self::poll_refresh_timeout), and when the waker of
    /// [`set_refresh_waker`](Self::set_refresh_waker) is woken.
    pub fn poll_refresh(&self, now: Instant) -> Option<Refresh> {
        refresh::next(&self.parts, now)
    }

    /// The next attempt to connect to an origin that takes no connections.
    ///
    /// Whoever calls this promises to go on: from the first call on, an outage that shows in
    /// connections ends by a connection, and no visitor's request finds it out. Requests of which
    /// nothing was sent can wait for that: see [`Fetch::on_unanswered`]. Call it again when
    /// [`poll_refresh`](Self::poll_refresh) has to be called again.
    pub fn poll_connect(&self, now: Instant) -> Option<ConnectProbe> {
        connecting::next(&self.parts, now)
    }

    /// When to call [`poll_refresh`](Self::poll_refresh) and [`poll_connect`](Self::poll_connect)
    /// again after they returned `None`; `None` when only the waker tells.
    pub fn poll_refresh_timeout(&self, now: Instant) -> Option<Instant> {
        let due = [
            refresh::due_at(&self.parts, now),
            connecting::due_at(&self.parts, now),
        ];
        due.into_iter().flatten().min()
    }

    /// Notes whom to wake when a refresh may be due earlier than was told. Once: note it again
    /// after each waking, before the next [`poll_refresh`](Self::poll_refresh).
    pub fn set_refresh_waker(&self, waker: &Waker) {
        let replaced = self.parts.renewals.wants().set_waker(waker.clone());
        drop(replaced);
    }

    /// From now on `journal` is told which copies there are, so that they can outlive the process.
    /// Returns whether there was none before; it cannot be replaced.
    ///
    /// Copies that were [restored](Self::restore) rescue as others do. Their keys mean the same only
    /// where the site has the same seed as the one that made them.
    pub fn set_journal(&self, journal: Arc<dyn Journal>) -> bool {
        self.parts.copies.set_journal(journal)
    }

    /// A mark of all by which copies are made and named: settings, the seed, and the version. Where it is
    /// another one, neither a record nor the hash of a key means the same.
    #[must_use]
    pub fn rules_mark(&self) -> u64 {
        self.parts.snapshot().rules()
    }

    /// All copies, in no order that means anything. Looks at every one: for operators, not for requests.
    #[must_use]
    pub fn copies(&self, now: Instant) -> Vec<Listed> {
        let age_max = self.parts.snapshot().config().cache.rescue_age_max;
        self.parts.copies.list(age_max, now)
    }

    /// All keys that there are copies of. Looks at every one: for operators, not for requests.
    #[must_use]
    pub fn keys(&self) -> Vec<CacheKey> {
        self.parts.copies.keys()
    }

    /// The copies under `key` as they are to be written down. After
    /// [`set_wall_clock`](Self::set_wall_clock): they say when they were received.
    #[must_use]
    pub fn records(&self, key: &CacheKey) -> Records {
        self.parts.records(key, self.rules_mark())
    }

    /// Takes over a copy that was written down. It rescues, and does nothing else, until the origin
    /// confirms it. After [`set_wall_clock`](Self::set_wall_clock); while requests are answered.
    ///
    /// `is_live` says whether the copy was not dropped where it was kept; it is asked more than once,
    /// as that may happen meanwhile.
    ///
    /// # Errors
    /// Why the copy does not come back.
    pub fn restore(
        &self,
        record: &[u8],
        is_live: &dyn Fn(Restored) -> bool,
        now: Instant,
    ) -> Result<Restored, Unrestored> {
        let rules = self.rules_mark();
        self.parts
            .restore(record, (Written::Here(is_live), rules), now)
    }

    /// The copies that [`purge`](Self::purge) would drop, of those that everybody may see: with head and
    /// content, and without those of sessions. Looks at every key: for operators, not for requests.
    #[must_use]
    pub fn show(&self, which: &Purge, now: Instant) -> Vec<Shown> {
        elsewhere::show(&self.parts, which, now)
    }

    /// The copies under `key` as a site on another machine can [take them over](Self::import): none but
    /// those that everybody may see. As [`records`](Self::records) otherwise.
    #[must_use]
    pub fn export(&self, key: &CacheKey) -> Records {
        elsewhere::export(&self.parts, key)
    }

    /// A mark of all by which exported copies are made: two sites that have the same one can use each
    /// other's. Unlike [`rules_mark`](Self::rules_mark) it knows neither the seed nor the origin.
    #[must_use]
    pub fn export_mark(&self) -> u64 {
        self.parts.snapshot().rules_of_all()
    }

    /// Takes over a copy that another site has [exported](Self::export). It rescues, and does nothing
    /// else, until the origin confirms it. Whoever may call this decides what visitors see: the record has
    /// a checksum against damage, and nothing against a lie.
    ///
    /// # Errors
    /// Why the copy does not come: also where a page of its name was dropped here of late.
    pub fn import(&self, record: &[u8], now: Instant) -> Result<Restored, Unrestored> {
        elsewhere::import(&self.parts, record, now)
    }

    /// What was found out of visitors and cookies, for [`learn`](Self::learn). Looks at all of it.
    #[must_use]
    pub fn facts(&self, now: Instant) -> Vec<Fact> {
        learnt::facts(&self.parts, now)
    }

    /// Takes over what a site with the same seed has found out, each fact once. Before the copies that
    /// were written down are [restored](Self::restore): some of it says to whom they are not given. After
    /// [`set_wall_clock`](Self::set_wall_clock).
    pub fn learn(&self, fact: &Fact, now: Instant) {
        learnt::learn(&self.parts, fact, now);
    }

    /// Takes over a copy of another instance that a request waits for; otherwise as
    /// [`restore`](Self::restore).
    ///
    /// # Errors
    /// Why the copy is not taken.
    pub fn restore_sought(
        &self,
        record: &[u8],
        sought: &Sought,
        is_live: &dyn Fn(&CacheKey, Restored) -> bool,
        now: Instant,
    ) -> Result<Restored, Unrestored> {
        let rules = self.rules_mark();
        let from = Written::Shared(sought, is_live);
        self.parts.restore(record, (from, rules), now)
    }

    /// From now on `sharing` is told which copies there are and what makes them wrong, and is asked for
    /// copies where there is none and the origin does not answer. Returns whether there was none before;
    /// it cannot be replaced.
    pub fn set_sharing(&self, sharing: Arc<dyn Sharing>) -> bool {
        self.parts.copies.set_sharing(sharing)
    }

    /// Another instance has told what makes copies wrong: they are here, too. It is not told again.
    pub fn hear(&self, invalidation: &Invalidation, now: Instant) {
        match invalidation {
            Invalidation::Purge(purge) => drop(self.purge_here(purge)),
            other @ (Invalidation::Keys(_)
            | Invalidation::Partition(_)
            | Invalidation::Refused(_)
            | Invalidation::Written(_)) => self.parts.copies.hear(other, now),
        }
    }

    /// It is not known what other instances have made wrong: copies for which the origin was asked before
    /// `at` rescue still, and are asked about before they answer otherwise.
    pub fn doubt_before(&self, at: Instant) {
        self.parts.copies.doubt_before(at);
    }

    /// Drops copies; returns how many there were. Looks at every key but for a session.
    pub fn purge(&self, purge: &Purge) -> usize {
        let copies = self.purge_here(purge);
        // That of a session is told as the partition that it is.
        if !matches!(purge, Purge::Session { .. }) {
            self.parts.copies.tell_purged(purge);
        }
        copies
    }

    fn purge_here(&self, purge: &Purge) -> usize {
        let copies = purge::purge(&self.parts, purge);
        // What other sites may do is asked again soon, so all of it goes.
        self.parts.preflights.clear();
        self.parts.happened.purged(copies);
        copies
    }

    /// Decides by hand what the circuits do else, or leaves it to them again. What was learnt stays,
    /// and what is at the origin ends there.
    pub fn decide_by_hand(&self, decided: Option<Override>) {
        self.parts.by_hand.decide(decided);
        // What is due may be something else now.
        self.parts.renewals.wake();
        self.parts.reach.wake();
    }

    /// What was decided by hand and counts at `now`.
    #[must_use]
    pub fn by_hand(&self, now: Instant) -> Option<Override> {
        self.parts.by_hand.current(now)
    }

    /// What an operator has to say to whoever is refused so.
    pub(crate) fn says(&self, refusal: &Refusal, now: Instant) -> Option<Arc<str>> {
        if !refusal.is_maintenance() {
            return None;
        }
        match self.by_hand(now)?.manual {
            Manual::Maintenance { message } => message,
            Manual::Closed | Manual::Open => None,
        }
    }

    /// Lets every circuit that is open be probed at once, and an origin that takes no connections be
    /// tried. Whoever calls [`poll_refresh`](Self::poll_refresh) is woken for it.
    pub fn probe_now(&self, now: Instant) {
        self.parts.probe_now(now);
    }

    /// The next thing that happened and that nobody has taken yet: what changed in its order, what
    /// happens often added up since the last time. [`stats`](Self::stats) counts all.
    pub fn poll_event(&self, now: Instant) -> Option<Event> {
        self.parts.poll_event(now)
    }

    /// The state of the origin's circuit.
    #[must_use]
    pub fn circuit(&self, now: Instant) -> State {
        self.parts.circuits.read().origin_state(now)
    }

    /// What there is to count at this moment.
    #[must_use]
    pub fn stats(&self, now: Instant) -> Stats {
        self.parts.stats(now)
    }

    /// Whether the origin gives a cookie of this name another value with each answer, as far as it was
    /// found out by asking as a stranger.
    #[must_use]
    pub fn is_rolling(&self, authority: &[u8], cookie: &[u8], now: Instant) -> bool {
        let name = self.parts.snapshot().keyer().name_of(cookie);
        self.parts.rolls.is_rolling(authority, name, now)
    }

    /// The field of a name that nothing is known of for which most requests have no copy, with its share
    /// of those that have none because of a field; `None` where there is none.
    #[must_use]
    pub fn worst_field(&self) -> Option<(String, f64)> {
        self.parts.coverage.worst_field()
    }

    /// Names of parameters of queries that change no page, as it seems from the copies that were kept: an
    /// operator may want to leave them out of keys.
    #[must_use]
    pub fn idle_parameters(&self) -> Vec<String> {
        self.parts.queries.idle()
    }

    /// The gate before the origin.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.parts.gate
    }

    /// Whether an answer of the origin has shown that it signs people in by connection. Before
    /// that a client that claims to sign in is no reason to keep a connection for it.
    #[must_use]
    pub fn has_logins_by_connection(&self) -> bool {
        self.parts.logins.load(Ordering::Relaxed)
    }

    /// The compressors, where clients may get compressed content.
    #[must_use]
    pub fn gzip_pool(&self) -> Option<&Arc<GzipPool>> {
        self.parts.gzip.as_ref()
    }

    /// Checks every link, weight and count of the store, for tests and simulation.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), &'static str> {
        self.parts.copies.validate()
    }
}
