//! Owns what the threads of an instance share, as a value ([`State`]): what is to be told and written, what
//! was heard, and what that makes of shared copies.
//! Never waits, reads no clock and sends nothing.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use retter_core::copies::Invalidation;
use retter_core::key::{CacheKey, Keyer};
use retter_core::site::Snapshot;

use crate::form::{Beat, Event, Item, Sender};
use crate::log::Log;
use crate::names::{Id, Names};
use crate::outbox::Outbox;
use crate::peers::Peers;

/// How long a change waits, so that only the newest copy of a page is written.
const DELAY: Duration = Duration::from_secs(1);

/// How often the copies of one key are written: a page that is another one for each visitor would keep the
/// network busy.
const PAUSE: Duration = Duration::from_secs(10);

/// How often what has not changed is written again, so that it does not expire, and counts from a later place
/// in the stream.
const REFRESH: Duration = Duration::from_secs(600);

/// Keys that wait to be written; more are not noted.
const CHANGED_MAX: usize = 16_384;

/// Bytes of the names of those.
const CHANGED_BYTES_MAX: usize = 4 << 20;

/// Keys of which it is known what was written.
const WRITTEN_MAX: usize = 65_536;

/// An instance that has not heard its own beats for so long may have missed what others told.
pub(crate) const BEHIND: Duration = Duration::from_millis(500);

/// Own beats that are on their way.
const BEATS_MAX: usize = 64;

/// Shared by all threads, behind one lock.
#[derive(Debug)]
pub(crate) struct State {
    changed: BTreeMap<(Instant, u64), CacheKey>,
    changed_bytes: usize,
    changed_keys: HashSet<u64>,
    changes: u64,
    /// When beats were sent that have not come back yet.
    beats: VecDeque<(u64, Instant)>,
    beats_sent: u64,
    /// When the last beat was sent that has come back.
    echoed: Option<Instant>,
    /// An event was read.
    has_read: bool,
    log: Log,
    /// Of the rules that count.
    pub(crate) mark: u64,
    pub(crate) names: Arc<Names>,
    /// An event is to be sent though there is nothing to tell: so that there is a place in the stream from
    /// which on all is known.
    needs_event: bool,
    outbox: Outbox,
    pub(crate) peers: Peers,
    /// The last event that was read; `None` until all of before are.
    position: Option<Id>,
    sender: Sender,
    snapshot: Arc<Snapshot>,
    written: HashMap<u64, Written>,
}

/// What was written of a key.
#[derive(Clone, Copy, Debug)]
struct Written {
    content: u64,
    at: Instant,
}

/// Something to apply to the site.
#[derive(Debug, Default)]
pub(crate) struct News {
    pub(crate) invalid: Vec<Invalidation>,
    /// Something was not heard: all that is in memory is in doubt.
    pub(crate) is_gap: bool,
}

impl State {
    /// Nothing is known yet, of a namespace for rules of this mark.
    pub(crate) fn new(mark: u64, names: Names, sender: Sender, snapshot: Arc<Snapshot>) -> Self {
        Self {
            changed: BTreeMap::new(),
            changed_bytes: 0,
            changed_keys: HashSet::new(),
            changes: 0,
            beats: VecDeque::new(),
            beats_sent: 0,
            echoed: None,
            has_read: false,
            log: Log::default(),
            mark,
            names: Arc::new(names),
            needs_event: true,
            outbox: Outbox::default(),
            peers: Peers::default(),
            position: None,
            sender,
            snapshot,
            written: HashMap::new(),
        }
    }

    // -- what is to be written

    /// Notes that there is something to be written.
    pub(crate) fn note_change(&mut self, key: &CacheKey, now: Instant) -> bool {
        let hash = key.hash();
        if self.changed_keys.contains(&hash) {
            return true;
        }
        if self.changed_keys.len() >= CHANGED_MAX || self.changed_bytes >= CHANGED_BYTES_MAX {
            return false;
        }
        let due = match self.written.get(&hash) {
            Some(written) => (written.at + PAUSE).max(now + DELAY),
            None => now + DELAY,
        };
        self.changed_keys.insert(hash);
        self.changed_bytes += key.bytes_held();
        self.changes += 1;
        self.changed.insert((due, self.changes), key.clone());
        true
    }

    /// Takes a key that is due, with the place in the stream up to which what is in memory is right now;
    /// `None` while that is not known.
    pub(crate) fn next_key(&mut self, now: Instant, all: bool) -> Option<(CacheKey, Id)> {
        let position = self.position?;
        loop {
            let entry = self.changed.first_entry()?;
            if entry.key().0 > now && !all {
                return None;
            }
            let key = entry.remove();
            self.changed_keys.remove(&key.hash());
            self.changed_bytes -= key.bytes_held();
            if !self.log.is_pending(&key) {
                return Some((key, position));
            }
            if all {
                continue;
            }
            // It would be out at once: later.
            self.note_change(&key, now);
        }
    }

    /// Whether what is to be written is what was written of late.
    pub(crate) fn is_written(&self, key: u64, content: u64, now: Instant) -> bool {
        let written = self.written.get(&key);
        written.is_some_and(|it| {
            it.content == content && now.saturating_duration_since(it.at) < REFRESH
        })
    }

    /// It is written.
    pub(crate) fn note_written(&mut self, key: u64, content: u64, now: Instant) {
        if self.written.len() >= WRITTEN_MAX {
            self.written.clear();
        }
        self.written.insert(key, Written { content, at: now });
    }

    /// What was written of a key is to go; returns whether this instance has written it.
    pub(crate) fn forget_written(&mut self, key: u64) -> bool {
        self.written.remove(&key).is_some()
    }

    // -- what is to be told

    /// This instance has made copies wrong.
    pub(crate) fn tell(&mut self, invalidation: Invalidation) {
        if let Invalidation::Keys(keys) = &invalidation {
            for key in keys {
                self.written.remove(key);
            }
        } else if matches!(invalidation, Invalidation::Purge(_)) {
            self.written.clear();
        }
        let noted = invalidation.clone();
        let (number, is_gap) = self.outbox.put(invalidation);
        match is_gap {
            true => self.log.tell_gap(number),
            false => self.log.tell(&noted, self.snapshot.keyer(), number),
        }
    }

    /// The next events to send; one without items tells that this instance is there.
    pub(crate) fn next_events(&mut self, max: usize) -> Vec<Event> {
        self.outbox.next(self.sender, max)
    }

    pub(crate) const fn has_events(&self) -> bool {
        self.needs_event || !self.outbox.is_empty()
    }

    /// An event is in the stream; not if the rules have changed meanwhile.
    pub(crate) fn sent(&mut self, event: &Event) {
        if event.sender == self.sender {
            self.outbox.sent(event);
            self.needs_event = false;
        }
    }

    /// The number of the last item, and of the last that is in the stream.
    pub(crate) fn told(&self) -> (u64, u64) {
        (self.outbox.last(), self.outbox.told())
    }

    /// The next beat, sent now.
    pub(crate) fn next_beat(&mut self, now: Instant) -> Beat {
        self.beats_sent += 1;
        if self.beats.len() >= BEATS_MAX {
            self.beats.pop_front();
        }
        self.beats.push_back((self.beats_sent, now));
        Beat {
            sender: self.sender,
            last: self.outbox.told(),
            number: self.beats_sent,
        }
    }

    // -- what was heard

    /// An event was read: what it says is to be applied to the site, and only then [noted](Self::applied).
    pub(crate) fn hear(&mut self, event: Event, id: Id, now: Instant) -> News {
        let heard = self.peers.hear(&event, now);
        let is_own = event.sender == self.sender;
        let mut news = News {
            is_gap: heard.is_gap,
            invalid: Vec::new(),
        };
        if !std::mem::replace(&mut self.has_read, true) {
            // What was before the first event is not there any more, or never was.
            self.log.forget_before(id);
        }
        let last = event.last();
        for item in event.items.into_iter().skip(heard.known) {
            match item {
                Item::Gap if is_own => {}
                Item::Gap => news.is_gap = true,
                Item::Invalid(invalidation) => {
                    let keyer: &Keyer = self.snapshot.keyer();
                    self.log.note(&invalidation, keyer, id);
                    if !is_own {
                        news.invalid.push(invalidation);
                    }
                }
            }
        }
        if is_own {
            self.log.told(last);
        }
        if news.is_gap {
            self.log.forget_before(id);
        }
        news
    }

    /// A beat was read; returns whether something was not heard.
    pub(crate) fn feel(&mut self, beat: &Beat, now: Instant) -> bool {
        if beat.sender == self.sender {
            let mut beats = self.beats.iter();
            if let Some(at) = beats.position(|(number, _)| *number == beat.number) {
                let (_, sent) = self.beats[at];
                self.beats.drain(..=at);
                self.echoed = self.echoed.max(Some(sent));
            }
        }
        let is_gap = self.peers.feel(beat, now);
        if is_gap && let Some(position) = self.position {
            // What was not heard is somewhere before what comes next.
            let next = Id {
                number: position.number + 1,
                ..position
            };
            self.log.forget_before(next);
            self.needs_event = true;
        }
        is_gap
    }

    /// All events up to this one are applied to the site.
    pub(crate) const fn applied(&mut self, id: Id) {
        self.position = Some(id);
    }

    /// Whether all is known that others have told up to a moment ago.
    pub(crate) fn is_current(&self, now: Instant) -> bool {
        let since = |sent: Instant| now.saturating_duration_since(sent);
        let is_fresh = self.echoed.is_some_and(|sent| since(sent) < BEHIND);
        is_fresh && self.position.is_some()
    }

    /// Whether own beats do not come back.
    pub(crate) fn is_lost(&self, now: Instant, patience: Duration) -> bool {
        let oldest = self.beats.front();
        oldest.is_some_and(|(_, sent)| now.saturating_duration_since(*sent) >= patience)
    }

    /// The streams are not those that were read: nothing is known of them.
    pub(crate) fn read_again(&mut self) {
        self.beats.clear();
        self.echoed = None;
        self.has_read = false;
        self.log.clear();
        self.needs_event = true;
        self.peers = Peers::default();
        self.position = None;
    }

    /// Whether a shared copy may be used, whose writer knew all events up to `id`.
    pub(crate) fn is_live(&self, key: &CacheKey, id: Id) -> bool {
        self.log.is_live(key, id)
    }
}
