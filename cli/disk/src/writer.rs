//! Owns the thread that writes ([`Writer`]): drops first, then copies, then it cleans up; and the one that
//! syncs.
//! Never makes anybody wait but itself.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant, SystemTime};

use retter_core::Site;
use retter_core::copies::Recorded;
use retter_core::key::CacheKey;

use crate::cleaning::Cleaning;
use crate::folder::{Folder, Segment};
use crate::frame::{self, HEAD_BYTES, Head, Kind};
use crate::index::{Kept, Position};
use crate::learnt::Keeper;
use crate::loader::{Found, Loader};
use crate::seal::Sealer;
use crate::segments::Segments;
use crate::shared::{Shared, Who};
use crate::state::{Drops, Work, number_of};
use crate::{Options, spawn};

/// Bytes of frames that are written at a time: whoever waits for a drop waits for no more.
const PIECE_BYTES: usize = 256 * 1024;

/// A copy that says the same is written again after so long: from then on it would be too old at a start.
const REFRESH: u64 = 10 * 60;

/// How long the disk is left alone after it refused.
const REST: Duration = Duration::from_secs(1);

/// How often it is tried to get the folder.
const OPEN_PAUSE: Duration = Duration::from_millis(500);

const SEGMENT_BYTES_MIN: u64 = 64 * 1024;
const SEGMENT_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The least number of segments in all: one is cleaned at a time.
const SEGMENTS: u64 = 16;

pub(crate) struct Writer {
    bytes_max: u64,
    cleaning: Option<Cleaning>,
    epoch: Instant,
    folder: Arc<dyn Folder>,
    /// Tells what there was.
    found: Option<Receiver<Found>>,
    /// Until when copies are not tried after the disk refused.
    rests_until: Option<Instant>,
    scope_mark: u64,
    sealer: Option<Sealer>,
    segments: Segments,
    shared: Arc<Shared>,
    site: Site,
}

/// Frames that are to be written in one piece, and of whom they are.
#[derive(Default)]
struct Piece<'a> {
    frames: Vec<u8>,
    copies: Vec<(&'a CacheKey, Kept)>,
}

impl Writer {
    pub(crate) fn new(
        folder: Arc<dyn Folder>,
        site: Site,
        shared: Arc<Shared>,
        sealer: Option<Sealer>,
        options: &Options,
    ) -> Self {
        let segment_bytes = options.bytes_max / SEGMENTS;
        let segment_bytes = segment_bytes.clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
        Self {
            bytes_max: options.bytes_max,
            cleaning: None,
            epoch: options.epoch,
            segments: Segments::new(Arc::clone(&folder), segment_bytes),
            folder,
            found: None,
            rests_until: None,
            // What is sealed is no record to those who seal nothing.
            scope_mark: u64::from(sealer.is_some()),
            sealer,
            shared,
            site,
        }
    }

    /// Writes until the end.
    pub(crate) fn run(mut self) {
        loop {
            match self.open() {
                Ok(true) => {
                    self.write();
                    break;
                }
                Ok(false) => self.shared.in_use(),
                Err(error) => self.shared.failed(&error),
            }
            let mut state = self.shared.state();
            // Nobody waits for a folder that is not there.
            state.is_behind = true;
            self.shared.wake_droppers();
            if self.shared.stopping().is_some() {
                break;
            }
            let at = Instant::now() + OPEN_PAUSE;
            self.shared.sleep(state, Some(at));
        }
        self.shared.stopped();
    }

    /// Takes the folder, and lets be loaded what is in it.
    fn open(&mut self) -> std::io::Result<bool> {
        let shared = Arc::clone(&self.shared);
        shared.busy(Who::Writer, || {
            if !self.folder.open()? {
                return Ok(false);
            }
            let mut numbers = self.folder.list()?;
            numbers.sort_unstable();
            self.segments.note_existing(&numbers);
            self.shared.opened();
            let loader = Loader {
                folder: Arc::clone(&self.folder),
                site: self.site.clone(),
                shared: Arc::clone(&self.shared),
                sealer: self.sealer.clone(),
                mark: self.site.rules_mark() ^ self.scope_mark,
                epoch: self.epoch,
            };
            let keeper = Keeper {
                folder: Arc::clone(&self.folder),
                site: self.site.clone(),
                shared: Arc::clone(&self.shared),
                scope_mark: self.scope_mark,
                epoch: self.epoch,
            };
            let (sender, found) = channel();
            self.found = Some(found);
            spawn("disk-loader", move || {
                // It says to whom copies are not given: without it there are none.
                if !keeper.bring_back() {
                    loader.shared.state().void();
                }
                loader.shared.keep_facts();
                if let Err(error) = spawn("disk-learnt", move || keeper.run()) {
                    loader.shared.failed(&error);
                    loader.shared.kept_facts();
                }
                let found = loader.load(&numbers);
                // At the end nobody listens any more.
                let _ = sender.send(found);
                loader.shared.loaded();
            })?;
            Ok(true)
        })
    }

    fn write(&mut self) {
        loop {
            self.take_found();
            let now = Instant::now();
            let mut state = self.shared.state();
            let stopping = self.shared.stopping();
            if stopping.is_some_and(|until| until <= now) {
                return;
            }
            let rests = self.rests_until.is_some_and(|until| now < until);
            // A drop is tried all the same, once.
            let work = match rests && (state.is_behind || !state.has_drops()) {
                true => Work::Idle,
                false => state.next_work(now, stopping.is_some()),
            };
            match work {
                Work::Drops(drops) => {
                    drop(state);
                    self.write_drops(drops);
                }
                Work::Keys(keys) => {
                    drop(state);
                    self.write_keys(&keys);
                }
                Work::Idle if stopping.is_some() => return,
                Work::Idle => {
                    let at = match self.rests_until {
                        Some(until) if rests => Some(until),
                        _ => state.due(),
                    };
                    let is_loading = state.is_loading();
                    if rests || is_loading || !self.is_to_clean() {
                        self.shared.sleep(state, at);
                    } else {
                        drop(state);
                        self.clean();
                    }
                }
            }
        }
    }

    /// Hears what the loader has found.
    fn take_found(&mut self) {
        let Some(found) = &self.found else { return };
        match found.try_recv() {
            Ok(found) => {
                for (number, len) in found.lens {
                    self.segments.note_len(number, len);
                }
                // Oldest first: whatever is left after a power cut is void by what is behind it.
                while let (Some(oldest), Some(void)) = (self.segments.oldest(), found.void)
                    && oldest <= void
                {
                    if !self.remove(oldest) {
                        break;
                    }
                }
                self.shared.note_bytes(self.segments.bytes());
                self.found = None;
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => self.found = None,
        }
    }

    fn append(&mut self, frames: &[u8]) -> Result<(Position, Arc<dyn Segment>), Option<Position>> {
        let shared = Arc::clone(&self.shared);
        let mark = self.site.rules_mark() ^ self.scope_mark;
        let appended = shared.busy(Who::Writer, || self.segments.append(frames, mark));
        appended.map_err(|refused| {
            self.shared.failed(&refused.error);
            self.rests_until = Some(Instant::now() + REST);
            refused.maybe_at
        })
    }

    fn wrote(&self, segment: Arc<dyn Segment>) {
        self.shared.wrote(segment, self.segments.bytes());
    }

    /// Writes drops; where there is no room, older copies make it, and where nothing can be written, all
    /// copies go.
    fn write_drops(&mut self, drops: Drops) {
        let mut frames = Vec::new();
        if drops.all {
            frames.extend_from_slice(&Head::of(Kind::All, 0).bytes());
        }
        for &partition in &drops.partitions {
            let head = Head {
                partition,
                ..Head::of(Kind::Partition, 0)
            };
            frames.extend_from_slice(&head.bytes());
        }
        frame::put_drops(&drops.keys, &mut frames);
        loop {
            if let Ok((_, segment)) = self.append(&frames) {
                self.wrote(segment);
                break;
            }
            // A part of it may be there: what is written from now on stands behind it.
            self.segments.close();
            match self.segments.oldest() {
                Some(oldest) if self.remove(oldest) => {}
                Some(_) => {
                    self.shared.state().return_drops(drops);
                    self.shared.wake_droppers();
                    return;
                }
                None => {
                    // There is nothing left that could come back.
                    self.shared.state().void();
                    self.shared.note_bytes(0);
                    break;
                }
            }
        }
        self.shared.state().wrote_drops(drops.number);
        self.shared.wake_droppers();
    }

    /// Removes a segment, with what is in it.
    fn remove(&mut self, number: u64) -> bool {
        let shared = Arc::clone(&self.shared);
        match shared.busy(Who::Writer, || self.segments.remove(number)) {
            Ok(()) => {
                self.shared.state().removed(number);
                true
            }
            Err(error) => {
                self.shared.failed(&error);
                self.rests_until = Some(Instant::now() + REST);
                false
            }
        }
    }

    /// Writes the copies of these keys, as they are now.
    fn write_keys(&mut self, keys: &[CacheKey]) {
        let mut piece = Piece::default();
        for key in keys {
            let records = self.site.records(key);
            if records.has_unfit && self.shared.state().index.has(key.hash()) {
                // What is on the disk may be what it has replaced. The others are written afterwards.
                let mut state = self.shared.state();
                state.note_drops(&[key.hash()]);
                state.note_change(key, Instant::now());
                continue;
            }
            for recorded in records.records {
                self.put(key, &recorded, &mut piece);
                if piece.frames.len() >= PIECE_BYTES {
                    self.write_piece(std::mem::take(&mut piece));
                }
            }
        }
        self.write_piece(piece);
        self.shared.state().end_turn(keys, Instant::now());
    }

    /// Puts a copy into a piece, unless it is on the disk already.
    fn put<'a>(&self, key: &'a CacheKey, recorded: &Recorded, piece: &mut Piece<'a>) {
        let written = seconds_since_1970();
        let is_there = |slot: &Kept| {
            slot.content == recorded.content && written.saturating_sub(slot.written) < REFRESH
        };
        let state = self.shared.state();
        if state
            .index
            .slot(key.hash(), recorded.variant)
            .is_some_and(is_there)
        {
            return;
        }
        drop(state);
        let overhead = self.sealer.as_ref().map_or(0, |_| Sealer::OVERHEAD);
        let Ok(len) = u32::try_from(recorded.record.len() + overhead) else {
            return;
        };
        let head = Head {
            kind: Kind::Keep,
            len,
            key: key.hash(),
            variant: recorded.variant,
            content: recorded.content,
            partition: number_of(key.partition()),
            written,
        };
        let name = head.bytes();
        let at = piece.frames.len();
        match &self.sealer {
            None => {
                piece.frames.extend_from_slice(&name);
                piece.frames.extend_from_slice(&recorded.record);
            }
            Some(sealer) => {
                let Some(sealed) = sealer.seal(&recorded.record, &name) else {
                    return;
                };
                piece.frames.extend_from_slice(&name);
                piece.frames.extend_from_slice(&sealed);
            }
        }
        let slot = Kept {
            variant: recorded.variant,
            content: recorded.content,
            // Until it is known where the piece is.
            place: Position { segment: 0, at },
            len: HEAD_BYTES as u64 + u64::from(len),
            written,
        };
        piece.copies.push((key, slot));
    }

    fn write_piece(&mut self, piece: Piece<'_>) {
        if piece.frames.is_empty() {
            return;
        }
        let count = piece.copies.len() as u64;
        let (place, is_written) = match self.append(&piece.frames) {
            Ok((place, segment)) => {
                self.wrote(segment);
                self.shared.count_copies(count);
                (Some(place), true)
            }
            // What may be there has to be known, so that a drop is written behind it.
            Err(maybe_at) => (maybe_at, false),
        };
        let now = Instant::now();
        let mut state = self.shared.state();
        state.lost += if is_written { 0 } else { count };
        let Some(place) = place else { return };
        for (key, mut slot) in piece.copies {
            slot.place = Position {
                segment: place.segment,
                at: place.at + slot.place.at,
            };
            state.wrote(key, slot, now);
        }
    }

    fn is_to_clean(&self) -> bool {
        self.cleaning.is_some() || self.segments.bytes() > self.bytes_max && self.segments.len() > 1
    }

    /// Cleans up, a piece at a time: what counts of the oldest segment is written again, unless there is too
    /// much of it; then the segment goes.
    fn clean(&mut self) {
        let Some(mut cleaning) = self.cleaning.take() else {
            self.cleaning = self.begin_cleaning();
            return;
        };
        let number = cleaning.number();
        let moved = {
            let state = self.shared.state();
            let is_too_much = state.index.bytes() > self.bytes_max / 4 * 3;
            match is_too_much {
                true => None,
                false => cleaning.next_piece(&state.index, PIECE_BYTES),
            }
        };
        let Some(moved) = moved else {
            self.remove(number);
            self.shared.note_bytes(self.segments.bytes());
            return;
        };
        match self.append(&moved.frames) {
            Ok((place, segment)) => {
                self.wrote(segment);
                self.shared.count_copies(moved.copies.len() as u64);
                let mut state = self.shared.state();
                for (key, from, at) in moved.copies {
                    let to = Position {
                        segment: place.segment,
                        at: place.at + at,
                    };
                    state.index.moved(key, from, to);
                }
                drop(state);
                self.cleaning = Some(cleaning);
            }
            // There is no room to move anything.
            Err(_) => {
                self.remove(number);
            }
        }
    }

    fn begin_cleaning(&mut self) -> Option<Cleaning> {
        if self.segments.oldest().is_none() {
            self.segments.close();
        }
        let oldest = self.segments.oldest()?;
        let shared = Arc::clone(&self.shared);
        match shared.busy(Who::Writer, || self.segments.read(oldest)) {
            Ok(bytes) => Some(Cleaning::new(oldest, bytes)),
            Err(error) => {
                self.shared.failed(&error);
                self.remove(oldest);
                None
            }
        }
    }
}

/// Syncs what is written, until the writer has ended.
pub(crate) fn sync(shared: &Shared) {
    let mut last = Instant::now();
    while let Some(sync) = shared.next_sync(last) {
        let result = shared.busy(Who::Syncer, || {
            sync.segments.iter().try_for_each(|segment| segment.sync())
        });
        shared.synced(&sync, result);
        last = Instant::now();
    }
}

fn seconds_since_1970() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
