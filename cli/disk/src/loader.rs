//! Owns the loading of what an earlier process has left (`load`): newest first, while the site answers.
//! Never removes a segment.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use retter_core::Site;
use retter_core::copies::Unrestored;

use crate::folder::Folder;
use crate::frame::{Frame, Kind, scan};
use crate::index::{Kept, Position};
use crate::seal::Sealer;
use crate::shared::Shared;

/// What the loader needs.
pub(crate) struct Loader {
    pub(crate) folder: Arc<dyn Folder>,
    pub(crate) site: Site,
    pub(crate) shared: Arc<Shared>,
    pub(crate) sealer: Option<Sealer>,
    /// Of the rules by which keys mean the same.
    pub(crate) mark: u64,
    pub(crate) epoch: Instant,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Numbers and lengths of segments.
    pub(crate) lens: Vec<(u64, u64)>,
    /// All up to this one are void: it voids what came before, or cannot be believed.
    pub(crate) void: Option<u64>,
}

/// What later frames say of earlier ones.
#[derive(Debug, Default)]
struct Gone {
    keys: HashSet<u64>,
    partitions: HashSet<u128>,
    /// Each variant of a key that was there.
    seen: HashSet<(u64, u64)>,
    /// The memory for copies is full: what is older is only found.
    is_full: bool,
}

impl Loader {
    /// Loads from these segments, oldest first.
    pub(crate) fn load(&self, numbers: &[u64]) -> Found {
        let mut found = Found::default();
        let mut gone = Gone::default();
        for &number in numbers.iter().rev() {
            if self.shared.state().is_void() || self.shared.stopping().is_some() {
                break;
            }
            let bytes = match self.folder.read(number) {
                Ok(bytes) => bytes,
                // To make room for a drop.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    self.shared.failed(&error);
                    found.void = Some(number);
                    break;
                }
            };
            found.lens.push((number, bytes.len() as u64));
            if !self.load_segment(number, &bytes, &mut gone) {
                found.void = Some(number);
                break;
            }
        }
        if self.shared.state().is_void() {
            found.void = numbers.last().copied();
        }
        found
    }

    /// Loads from one segment; returns whether older ones count.
    fn load_segment(&self, number: u64, bytes: &[u8], gone: &mut Gone) -> bool {
        let scan = scan(bytes, self.mark);
        if scan.is_damaged {
            return false;
        }
        let mut live = Vec::new();
        let mut is_void = false;
        for frame in scan.frames.iter().rev() {
            match frame.head.kind {
                Kind::All => {
                    is_void = true;
                    break;
                }
                Kind::Drops => gone.keys.extend(&frame.keys),
                Kind::Partition => {
                    gone.partitions.insert(frame.head.partition);
                }
                Kind::Keep => live.extend(gone.is_live(frame).then_some(frame)),
            }
        }
        // In the order in which they were written: the store takes those that came first for older ones.
        for frame in live.into_iter().rev() {
            self.restore(number, bytes, frame, gone);
        }
        !is_void
    }

    fn restore(&self, segment: u64, bytes: &[u8], frame: &Frame, gone: &mut Gone) {
        let head = frame.head;
        let place = Position {
            segment,
            at: frame.at,
        };
        let slot = Kept {
            variant: head.variant,
            content: head.content,
            place,
            len: frame.range().len() as u64,
            written: head.written,
        };
        if !self.shared.state().found((head.key, head.partition), slot) || gone.is_full {
            return;
        }
        let record = &bytes[frame.said()];
        let opened;
        let record = match &self.sealer {
            None => Some(record),
            Some(sealer) => {
                opened = sealer.open(record, &head.bytes());
                opened.as_deref()
            }
        };
        let now = retter_core::Instant::from_epoch(self.epoch.elapsed());
        let is_it = |restored: retter_core::copies::Restored| {
            let names = (restored.key, restored.variant);
            names == (head.key, head.variant) && self.shared.state().is_live(restored)
        };
        let restored = record.map(|record| self.site.restore(record, &is_it, now));
        match restored {
            Some(Ok(_)) => self.shared.count_loaded(),
            Some(Err(Unrestored::Full)) => gone.is_full = true,
            // What it is about may still be dropped.
            Some(Err(Unrestored::Dropped | Unrestored::Future | Unrestored::Known)) => {}
            // Nor may it come back by other settings, or by another clock.
            Some(Err(
                Unrestored::Damaged | Unrestored::Old | Unrestored::Rules | Unrestored::Version,
            ))
            | None => {
                self.shared.state().note_drops(&[head.key]);
                self.shared.wake_writer();
            }
        }
    }
}

impl Gone {
    /// Whether nothing later says that a copy is gone.
    fn is_live(&mut self, frame: &Frame) -> bool {
        let head = frame.head;
        let is_new = self.seen.insert((head.key, head.variant));
        is_new && !self.keys.contains(&head.key) && !self.partitions.contains(&head.partition)
    }
}
