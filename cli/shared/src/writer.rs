//! Owns the thread that tells other instances what this one has made wrong, that it is there, and which copies
//! it has ([`run`]).
//! Never reads what others have written.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use retter_core::copies::Records;
use retter_core::key::CacheKey;

use crate::form::{Event, VALUE_BYTES_MAX, Value};
use crate::link::{Link, Trouble};
use crate::names::{Id, Names};
use crate::resp::{self, Reply};
use crate::shared::{Counts, Handle, Who};

/// How often it is told that this instance is there.
pub(crate) const BEAT: Duration = Duration::from_millis(250);

/// How long one after the other events are sent: what comes meanwhile goes together.
const EVENTS: Duration = Duration::from_millis(250);

/// Events that are remembered in the stream, about: an instance that was away longer than those took
/// doubts all that it has.
const EVENTS_MAX: &[u8] = b"8192";

/// Beats likewise.
const BEATS_MAX: &[u8] = b"256";

/// Events in one turn, and keys.
const TURN_EVENTS_MAX: usize = 16;
const TURN_KEYS_MAX: usize = 32;

/// How long a turn may take at the Redis.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long no copies are written after the Redis has refused one, as where its memory is full.
const REST: Duration = Duration::from_secs(5);

/// Writes until the end.
pub(crate) fn run(shared: &Handle) {
    let now = Instant::now();
    let mut writer = Writer {
        hash: foldhash::quality::FixedState::default(),
        link: None,
        rests_until: now,
        shared: Arc::clone(shared),
        tell_at: now,
    };
    let mut beat_at = now;
    loop {
        shared.sleep(beat_at, writer.tell_at);
        let stopping = shared.stopping();
        let now = Instant::now();
        let result = writer.turn(now, now >= beat_at, stopping.is_some());
        if now >= beat_at {
            beat_at = now + BEAT;
        }
        let is_well = result.is_ok();
        match result {
            Ok(()) => shared.trouble(Who::Writer, None),
            Err(trouble) => {
                // What was refused is no reason to connect again.
                if !matches!(trouble, Trouble::Refused(_)) {
                    writer.link = None;
                }
                shared.trouble(Who::Writer, Some(trouble));
                // Whoever waits for what it tells is not kept waiting at each turn.
                writer.tell_at = now + EVENTS;
            }
        }
        shared.wake_tellers();
        let is_done = !shared.state().has_events();
        if stopping.is_some_and(|until| is_done || !is_well || until <= Instant::now()) {
            break;
        }
    }
    shared.stopped();
}

struct Writer {
    hash: foldhash::quality::FixedState,
    link: Option<Link>,
    /// Until when no copies are written.
    rests_until: Instant,
    shared: Handle,
    /// When events may be sent again.
    tell_at: Instant,
}

/// What a reply is the answer to.
enum Sent {
    Beat,
    Copies { key: u64, content: u64 },
    Event(Event),
    Gone,
}

/// Commands, and what they are.
#[derive(Default)]
struct Turn {
    commands: Vec<u8>,
    sent: Vec<Sent>,
}

impl Writer {
    fn turn(&mut self, now: Instant, beats: bool, is_last: bool) -> Result<(), Trouble> {
        let mut turn = Turn::default();
        let names = Arc::clone(&self.shared.state().names);
        if is_last || now >= self.tell_at {
            self.put_events(&names, &mut turn);
        }
        if beats {
            let beat = self.shared.state().next_beat(now);
            let sealed = self.shared.sealer.seal(&beat.bytes(), &names.beats);
            if let Some(sealed) = sealed {
                put_entry(&mut turn.commands, &names.beats, BEATS_MAX, &sealed);
                turn.sent.push(Sent::Beat);
            }
            if now >= self.rests_until && self.shared.has_rules() {
                self.put_copies(&names, now, is_last, &mut turn);
            }
        }
        if turn.sent.is_empty() {
            return Ok(());
        }
        let link = match &mut self.link {
            Some(link) => link,
            link @ None => link.insert(Link::connect(&self.shared.options.address, PATIENCE)?),
        };
        let until = Instant::now() + PATIENCE;
        let replies = link.call(&turn.commands, turn.sent.len(), until)?;
        self.note(turn.sent, replies, now)
    }

    fn put_events(&self, names: &Names, turn: &mut Turn) {
        let mut state = self.shared.state();
        if !state.has_events() {
            return;
        }
        for event in state.next_events(TURN_EVENTS_MAX) {
            if let Some(sealed) = self.shared.sealer.seal(&event.bytes(), &names.events) {
                put_entry(&mut turn.commands, &names.events, EVENTS_MAX, &sealed);
                turn.sent.push(Sent::Event(event));
            }
        }
    }

    fn put_copies(&self, names: &Names, now: Instant, is_last: bool, turn: &mut Turn) {
        let age = self.shared.site.snapshot().config().cache.rescue_age_max;
        let age = age.as_millis().max(1).to_string();
        for _ in 0..TURN_KEYS_MAX {
            let Some((key, id)) = self.shared.state().next_key(now, is_last) else {
                break;
            };
            self.put_key(names, &key, id, age.as_bytes(), now, turn);
            if turn.commands.len() > VALUE_BYTES_MAX {
                break;
            }
        }
    }

    /// Writes the copies of a key as they are now; of what came since `id` it is not known whether it has made
    /// them wrong.
    fn put_key(
        &self,
        names: &Names,
        key: &CacheKey,
        id: Id,
        age: &[u8],
        now: Instant,
        turn: &mut Turn,
    ) {
        let name = names.copies(key.hash());
        let Records { records, has_unfit } = self.shared.site.records(key);
        let mut hasher = self.hash.build_hasher();
        records.iter().for_each(|it| {
            hasher.write_u64(it.variant);
            hasher.write_u64(it.content);
        });
        let content = hasher.finish();
        let records: Vec<_> = records.into_iter().map(|it| it.record).collect();
        if records.is_empty() {
            // What is there may be what it has replaced.
            if has_unfit && self.shared.state().forget_written(key.hash()) {
                resp::put(&mut turn.commands, &[b"UNLINK", &name]);
                turn.sent.push(Sent::Gone);
            }
            return;
        }
        if self.shared.state().is_written(key.hash(), content, now) {
            return;
        }
        let len: usize = records.iter().map(Vec::len).sum();
        if len > VALUE_BYTES_MAX {
            Counts::add(&self.shared.counts.lost, 1);
            return;
        }
        let value = Value { id, records };
        if let Some(sealed) = self.shared.sealer.seal(&value.bytes(), &name) {
            resp::put(&mut turn.commands, &[b"SET", &name, &sealed, b"PX", age]);
            let key = key.hash();
            turn.sent.push(Sent::Copies { key, content });
        }
    }

    fn note(&mut self, sent: Vec<Sent>, replies: Vec<Reply>, now: Instant) -> Result<(), Trouble> {
        let mut trouble = None;
        // Once one is not in the stream, those behind it would be out of order.
        let mut is_whole = true;
        for (sent, reply) in sent.into_iter().zip(replies) {
            let is_done = match reply {
                Reply::Error(why) => {
                    trouble = Some(Trouble::Refused(why));
                    false
                }
                Reply::Bytes(_)
                | Reply::List(_)
                | Reply::Nil
                | Reply::Number(_)
                | Reply::Status(_) => true,
            };
            match sent {
                Sent::Beat | Sent::Gone => {}
                Sent::Copies { key, content } if is_done => {
                    self.shared.state().note_written(key, content, now);
                    Counts::add(&self.shared.counts.written, 1);
                }
                Sent::Copies { .. } => {
                    self.rests_until = now + REST;
                    Counts::add(&self.shared.counts.lost, 1);
                }
                Sent::Event(event) => {
                    is_whole &= is_done;
                    if is_whole {
                        self.shared.state().sent(&event);
                        self.tell_at = now + EVENTS;
                        Counts::add(&self.shared.counts.told, 1);
                    }
                }
            }
        }
        trouble.map_or(Ok(()), Err)
    }
}

fn put_entry(commands: &mut Vec<u8>, stream: &[u8], max: &[u8], sealed: &[u8]) {
    resp::put(
        commands,
        &[b"XADD", stream, b"MAXLEN", b"~", max, b"*", b"e", sealed],
    );
}
