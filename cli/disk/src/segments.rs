//! Owns the segments of a folder ([`Segments`]): the one that is written, and those behind it.
//! Never decides what is written, nor when one goes.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crate::folder::{Folder, Segment};
use crate::frame::{self, BEGINNING_BYTES};
use crate::index::Position;

/// All segments, oldest first, and the one that is written last.
pub(crate) struct Segments {
    current: Option<Current>,
    folder: Arc<dyn Folder>,
    next: u64,
    /// Numbers and lengths.
    old: VecDeque<(u64, u64)>,
    segment_bytes: u64,
}

struct Current {
    len: u64,
    mark: u64,
    number: u64,
    segment: Arc<dyn Segment>,
}

/// Why nothing was written.
#[derive(Debug)]
pub(crate) struct NotWritten {
    pub(crate) error: io::Error,
    /// Some of it may be there all the same, from this place on.
    pub(crate) maybe_at: Option<Position>,
}

impl Segments {
    pub(crate) fn new(folder: Arc<dyn Folder>, segment_bytes: u64) -> Self {
        Self {
            current: None,
            folder,
            next: 0,
            old: VecDeque::new(),
            segment_bytes,
        }
    }

    /// These are there already, oldest first; their lengths are told later. What a process that was killed
    /// has begun is never gone on with.
    pub(crate) fn note_existing(&mut self, numbers: &[u64]) {
        self.next = numbers.last().map_or(0, |last| last + 1);
        self.old = numbers.iter().map(|number| (*number, 0)).collect();
    }

    /// Bytes of all.
    pub(crate) fn bytes(&self) -> u64 {
        let old: u64 = self.old.iter().map(|(_, len)| len).sum();
        old + self.current.as_ref().map_or(0, |current| current.len)
    }

    pub(crate) fn len(&self) -> usize {
        self.old.len() + usize::from(self.current.is_some())
    }

    /// How long a segment is that was there at the start.
    pub(crate) fn note_len(&mut self, number: u64, len: u64) {
        let mut old = self.old.iter_mut();
        if let Some(segment) = old.find(|(other, _)| *other == number) {
            segment.1 = len;
        }
    }

    /// The oldest one that is not written any more.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.old.front().map(|(number, _)| *number)
    }

    pub(crate) fn read(&self, number: u64) -> io::Result<Vec<u8>> {
        self.folder.read(number)
    }

    /// Removes one that is not written any more.
    pub(crate) fn remove(&mut self, number: u64) -> io::Result<()> {
        self.folder.remove(number)?;
        self.old.retain(|(other, _)| *other != number);
        Ok(())
    }

    /// Goes on in a new segment; the one that was written can be removed then.
    pub(crate) fn close(&mut self) {
        if let Some(current) = self.current.take() {
            self.old.push_back((current.number, current.len));
        }
    }

    /// Writes frames, in one piece, into one segment of this mark; says where they begin, and what is to
    /// be synced.
    pub(crate) fn append(
        &mut self,
        frames: &[u8],
        mark: u64,
    ) -> Result<(Position, Arc<dyn Segment>), NotWritten> {
        let is_over = |current: &Current| current.len >= self.segment_bytes || current.mark != mark;
        if self.current.as_ref().is_some_and(is_over) {
            self.close();
        }
        let mut current = match self.current.take() {
            Some(current) => current,
            None => self.begin(mark)?,
        };
        let at = usize::try_from(current.len).unwrap_or(usize::MAX);
        let place = Position {
            segment: current.number,
            at,
        };
        if let Err(error) = current.segment.append(frames) {
            let is_cut = current.segment.truncate(current.len).is_ok();
            current.len += if is_cut { 0 } else { frames.len() as u64 };
            let maybe_at = (!is_cut).then_some(place);
            self.current = Some(current);
            if !is_cut {
                self.close();
            }
            return Err(NotWritten { error, maybe_at });
        }
        current.len += frames.len() as u64;
        let segment = Arc::clone(&current.segment);
        self.current = Some(current);
        Ok((place, segment))
    }

    fn begin(&mut self, mark: u64) -> Result<Current, NotWritten> {
        let nothing = |error| NotWritten {
            error,
            maybe_at: None,
        };
        let number = self.next;
        let segment: Arc<dyn Segment> = self.folder.create(number).map_err(nothing)?.into();
        self.next += 1;
        if let Err(error) = segment.append(&frame::beginning(mark)) {
            self.old.push_back((number, 0));
            return Err(nothing(error));
        }
        Ok(Current {
            len: BEGINNING_BYTES as u64,
            mark,
            number,
            segment,
        })
    }
}
