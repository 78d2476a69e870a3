//! Owns the cleaning of one segment ([`Cleaning`]): which of its frames still count.
//! Never writes or removes anything.

use crate::frame::{Frame, Kind, scan_any};
use crate::index::{Index, Position};

/// A segment that is about to go.
pub(crate) struct Cleaning {
    bytes: Vec<u8>,
    /// Those that are not looked at yet, the last one first.
    frames: Vec<Frame>,
    number: u64,
}

/// Frames to be written again, in one piece: for each its key, where it was, and where in the piece it is.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    pub(crate) frames: Vec<u8>,
    pub(crate) copies: Vec<(u64, Position, usize)>,
}

impl Cleaning {
    pub(crate) fn new(number: u64, bytes: Vec<u8>) -> Self {
        let mut frames = scan_any(&bytes).frames;
        frames.reverse();
        Self {
            bytes,
            frames,
            number,
        }
    }

    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// The next frames that count; `None` where there is none left. Drops do not: what they are about was
    /// written before, and is gone.
    pub(crate) fn next_piece(&mut self, index: &Index, bytes_max: usize) -> Option<Moved> {
        let mut moved = Moved::default();
        while moved.frames.len() < bytes_max
            && let Some(frame) = self.frames.pop()
        {
            let from = Position {
                segment: self.number,
                at: frame.at,
            };
            let head = frame.head;
            let slot = index.slot(head.key, head.variant);
            if head.kind == Kind::Keep && slot.is_some_and(|slot| slot.place == from) {
                moved.copies.push((head.key, from, moved.frames.len()));
                moved.frames.extend_from_slice(&self.bytes[frame.range()]);
            }
        }
        (!moved.copies.is_empty()).then_some(moved)
    }
}
