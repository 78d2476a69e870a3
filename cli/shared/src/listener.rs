//! Owns the thread that hears what other instances tell ([`run`]), and knows whether it hears all of it.
//! Never writes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::form::{Beat, Event};
use crate::link::{Link, Trouble};
use crate::names::{Id, Names};
use crate::resp::{self, Reply};
use crate::shared::{Counts, Handle, Who};
use crate::state::News;

/// How long one question waits at the Redis for something new.
const BLOCK: &[u8] = b"200";

/// How long after that there has to be an answer.
const PATIENCE: Duration = Duration::from_millis(700);

/// How long after a failure it is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// Entries of each stream in one answer.
const COUNT: usize = 512;

/// For how long a copy answers without the origin, while it is not known what others have made wrong.
const TRUSTED: Duration = Duration::from_millis(250);

/// Own beats that do not come back for so long, though the Redis answers, mean that its streams are not those
/// that were read: it was emptied, and its clock set back.
const LOST: Duration = Duration::from_secs(5);

/// How often all is read again for that at most.
const AGAIN: Duration = Duration::from_secs(30);

/// Listens until the end.
pub(crate) fn run(shared: &Handle) {
    let mut listener = Listener {
        again_at: Instant::now() + LOST,
        beats: Id::START,
        events: Id::START,
        link: None,
        shared: Arc::clone(shared),
    };
    while shared.stopping().is_none() {
        if shared.follow_rules() {
            listener.begin();
        }
        let result = listener.listen();
        let is_well = result.is_ok();
        shared.trouble(Who::Listener, result.err());
        listener.judge(is_well);
        if !is_well {
            listener.link = None;
            std::thread::sleep(PAUSE);
        }
    }
}

struct Listener {
    /// When all may be read again.
    again_at: Instant,
    /// The last entries that were read.
    beats: Id,
    events: Id,
    link: Option<Link>,
    shared: Handle,
}

/// The entries of one stream: where, and what was sealed.
type Entries = Vec<(Id, Vec<u8>)>;

impl Listener {
    fn begin(&mut self) {
        (self.beats, self.events) = (Id::START, Id::START);
    }

    fn listen(&mut self) -> Result<(), Trouble> {
        let shared = Arc::clone(&self.shared);
        let link = match &mut self.link {
            Some(link) => link,
            link @ None => link.insert(Link::connect(&shared.options.address, PATIENCE)?),
        };
        let names = Arc::clone(&shared.state().names);
        let mut commands = Vec::new();
        let (count, beats, events) = (
            COUNT.to_string(),
            self.beats.to_string(),
            self.events.to_string(),
        );
        resp::put(
            &mut commands,
            &[
                b"XREAD",
                b"COUNT",
                count.as_bytes(),
                b"BLOCK",
                BLOCK,
                b"STREAMS",
                &names.events,
                &names.beats,
                events.as_bytes(),
                beats.as_bytes(),
            ],
        );
        let asked = Instant::now();
        let before = (self.events, self.beats);
        let until = asked + PATIENCE;
        let reply = link.call(&commands, 1, until)?.into_iter().next();
        let (events, beats) = match reply {
            Some(Reply::Nil) => {
                rest(asked);
                return Ok(());
            }
            Some(Reply::Error(why)) => return Err(Trouble::Refused(why)),
            Some(Reply::List(streams)) => read(streams, &names).ok_or(Trouble::Unreadable)?,
            Some(Reply::Bytes(_) | Reply::Number(_) | Reply::Status(_)) | None => {
                return Err(Trouble::Unreadable);
            }
        };
        let has_more = events.len() >= COUNT;
        for (id, sealed) in events {
            self.hear(id, &sealed, &names);
        }
        for (id, sealed) in beats {
            self.beats = self.beats.max(id);
            // What they tell of may be among the events that are not read yet.
            if !has_more {
                self.feel(&sealed, &names);
            }
        }
        if before == (self.events, self.beats) {
            rest(asked);
        }
        Ok(())
    }

    fn hear(&mut self, id: Id, sealed: &[u8], names: &Names) {
        if id <= self.events {
            return;
        }
        self.events = id;
        let shared = &self.shared;
        let opened = shared.sealer.open(sealed, &names.events);
        let Some(event) = opened.and_then(|bytes| Event::read(&bytes)) else {
            Counts::add(&shared.counts.rejected, 1);
            return;
        };
        let News { invalid, is_gap } = shared.state().hear(event, id, Instant::now());
        if !invalid.is_empty() {
            Counts::add(&shared.counts.heard, 1);
        }
        let now = shared.now();
        for invalidation in &invalid {
            shared.site.hear(invalidation, now);
        }
        if is_gap {
            self.doubt();
        }
        self.shared.state().applied(id);
    }

    fn feel(&self, sealed: &[u8], names: &Names) {
        let opened = self.shared.sealer.open(sealed, &names.beats);
        let Some(beat) = opened.and_then(|bytes| Beat::read(&bytes)) else {
            Counts::add(&self.shared.counts.rejected, 1);
            return;
        };
        let is_gap = self.shared.state().feel(&beat, Instant::now());
        if is_gap {
            self.doubt();
        }
    }

    /// Something was not heard.
    fn doubt(&self) {
        Counts::add(&self.shared.counts.gaps, 1);
        self.shared.site.doubt_before(self.shared.now());
    }

    /// Whether all is heard. While it is not, copies answer without the origin for a moment only.
    fn judge(&mut self, is_well: bool) {
        let shared = &self.shared;
        let now = Instant::now();
        let (is_current, is_lost) = {
            let state = shared.state();
            (state.is_current(now), is_well && state.is_lost(now, LOST))
        };
        shared.is_current.store(is_current, Ordering::Relaxed);
        if !is_current {
            let trusted = shared.now().saturating_since(retter_core::Instant::ZERO);
            let trusted = trusted.saturating_sub(TRUSTED);
            shared
                .site
                .doubt_before(retter_core::Instant::from_epoch(trusted));
        }
        if is_lost && now >= self.again_at {
            self.again_at = now + AGAIN;
            shared.state().read_again();
            self.doubt();
            self.begin();
        }
    }
}

/// What answers at once that there is nothing new does not wait as it was asked to: it is not asked again at
/// once.
fn rest(asked: Instant) {
    if asked.elapsed() < PAUSE {
        std::thread::sleep(PAUSE);
    }
}

/// The entries of an answer of `XREAD`: of the events, and of the beats.
fn read(streams: Vec<Reply>, names: &Names) -> Option<(Entries, Entries)> {
    let (mut events, mut beats) = (Entries::new(), Entries::new());
    for stream in streams {
        let Reply::List(stream) = stream else {
            return None;
        };
        let [Reply::Bytes(name), Reply::List(entries)] = <[Reply; 2]>::try_from(stream).ok()?
        else {
            return None;
        };
        let to = match name {
            name if name == names.events => &mut events,
            name if name == names.beats => &mut beats,
            _ => return None,
        };
        for entry in entries {
            to.extend(read_entry(entry)?);
        }
    }
    Some((events, beats))
}

/// `None` for what no Redis answers; one that has lost its fields is an entry all the same.
fn read_entry(entry: Reply) -> Option<Option<(Id, Vec<u8>)>> {
    let Reply::List(entry) = entry else {
        return None;
    };
    let [Reply::Bytes(id), fields] = <[Reply; 2]>::try_from(entry).ok()? else {
        return None;
    };
    let id = Id::parse(&id)?;
    let Reply::List(fields) = fields else {
        return Some(None);
    };
    match fields.into_iter().nth(1) {
        Some(Reply::Bytes(sealed)) => Some(Some((id, sealed))),
        _ => Some(Some((id, Vec::new()))),
    }
}
