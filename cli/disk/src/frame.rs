//! Owns the form of a segment: a beginning, and frames, each a head with a checksum of its own and
//! what it says.
//! Never decides which frames count.
//!
//! A record has its own checksum. That of the head is apart from it, as a damaged record costs one copy,
//! and a damaged head means that a drop may be lost: nothing before it can be believed any more.

use std::ops::Range;

/// What a segment begins with; the last digit is the version of the form.
const MAGIC: &[u8; 8] = b"RETTERC1";

/// Bytes before the first frame: the magic number; the mark of the rules by which all of it was written,
/// as by others keys mean something else, and so do drops; and a checksum of both.
pub(crate) const BEGINNING_BYTES: usize = 20;

/// What stands before the first frame.
pub(crate) fn beginning(mark: u64) -> Vec<u8> {
    let mut bytes = [&MAGIC[..], &mark.to_le_bytes()].concat();
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Bytes of a head: kind and three zeros, length of what follows, key, variant, content, partition,
/// seconds since 1970, and the checksum of these. Numbers are little-endian.
pub(crate) const HEAD_BYTES: usize = 60;

/// Keys in one frame of drops.
pub(crate) const DROPS_MAX: usize = 4096;

/// What a frame says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// What came before is void.
    All,
    /// All copies of keys, whose hashes follow, with a checksum behind them.
    Drops,
    /// A copy, whose record follows.
    Keep,
    /// All copies of the partition of the head.
    Partition,
}

/// A head.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    /// Bytes that follow.
    pub(crate) len: u32,
    pub(crate) key: u64,
    pub(crate) variant: u64,
    pub(crate) content: u64,
    /// The number of a partition that can be dropped; 0 for those that all see.
    pub(crate) partition: u128,
    /// Seconds since 1970.
    pub(crate) written: u64,
}

impl Head {
    /// A frame of which only the kind and what follows say something.
    pub(crate) const fn of(kind: Kind, len: u32) -> Self {
        Self {
            kind,
            len,
            key: 0,
            variant: 0,
            content: 0,
            partition: 0,
            written: 0,
        }
    }

    pub(crate) fn bytes(&self) -> [u8; HEAD_BYTES] {
        let kind: u32 = match self.kind {
            Kind::Keep => 1,
            Kind::Drops => 2,
            Kind::Partition => 3,
            Kind::All => 4,
        };
        let mut bytes = [0; HEAD_BYTES];
        let mut at = 0;
        let mut put = |part: &[u8]| {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        };
        put(&kind.to_le_bytes());
        put(&self.len.to_le_bytes());
        put(&self.key.to_le_bytes());
        put(&self.variant.to_le_bytes());
        put(&self.content.to_le_bytes());
        put(&self.partition.to_le_bytes());
        put(&self.written.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..HEAD_BYTES - 4]);
        bytes[HEAD_BYTES - 4..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads what [`bytes`](Self::bytes) has written.
    fn read(bytes: &[u8; HEAD_BYTES]) -> Option<Self> {
        let (said, checksum) = bytes.split_last_chunk::<4>()?;
        if crc32fast::hash(said) != u32::from_le_bytes(*checksum) {
            return None;
        }
        let mut rest = said;
        let kind = match u32::from_le_bytes(take(&mut rest)?) {
            1 => Kind::Keep,
            2 => Kind::Drops,
            3 => Kind::Partition,
            4 => Kind::All,
            _ => return None,
        };
        Some(Self {
            kind,
            len: u32::from_le_bytes(take(&mut rest)?),
            key: u64::from_le_bytes(take(&mut rest)?),
            variant: u64::from_le_bytes(take(&mut rest)?),
            content: u64::from_le_bytes(take(&mut rest)?),
            partition: u128::from_le_bytes(take(&mut rest)?),
            written: u64::from_le_bytes(take(&mut rest)?),
        })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (chunk, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*chunk)
}

/// Writes drops of these keys, in as many frames as they need.
pub(crate) fn put_drops(keys: &[u64], out: &mut Vec<u8>) {
    for keys in keys.chunks(DROPS_MAX) {
        let mut said: Vec<u8> = keys.iter().flat_map(|key| key.to_le_bytes()).collect();
        let checksum = crc32fast::hash(&said);
        said.extend_from_slice(&checksum.to_le_bytes());
        // At most what `DROPS_MAX` keys take.
        let len = u32::try_from(said.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&Head::of(Kind::Drops, len).bytes());
        out.extend_from_slice(&said);
    }
}

/// The keys of a frame of drops.
fn drops(said: &[u8]) -> Option<impl Iterator<Item = u64>> {
    let (keys, checksum) = said.split_last_chunk::<4>()?;
    if crc32fast::hash(keys) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let (keys, []) = keys.as_chunks() else {
        return None;
    };
    Some(keys.iter().map(|key| u64::from_le_bytes(*key)))
}

/// A frame in a segment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Frame {
    pub(crate) head: Head,
    /// Where in the segment the head begins.
    pub(crate) at: usize,
    /// Of drops.
    pub(crate) keys: Vec<u64>,
}

impl Frame {
    /// Where what follows the head is.
    pub(crate) fn said(&self) -> Range<usize> {
        let start = self.at + HEAD_BYTES;
        start..start + usize::try_from(self.head.len).unwrap_or(usize::MAX)
    }

    /// All of it.
    pub(crate) fn range(&self) -> Range<usize> {
        self.at..self.said().end
    }
}

/// What is in a segment.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) frames: Vec<Frame>,
    /// A head is damaged, or it is no segment of this version and mark: drops may be missing, and all that
    /// was written before is not to be believed.
    pub(crate) is_damaged: bool,
}

/// The same of any mark, for whoever knows which frames count.
pub(crate) fn scan_any(segment: &[u8]) -> Scan {
    let mark = segment[MAGIC.len().min(segment.len())..].first_chunk();
    scan(segment, mark.map_or(0, |mark| u64::from_le_bytes(*mark)))
}

/// Finds the frames of a segment of this mark. An end that is cut is what a process leaves that is killed.
pub(crate) fn scan(segment: &[u8], mark: u64) -> Scan {
    let mut scan = Scan {
        frames: Vec::new(),
        is_damaged: false,
    };
    let Some(begin) = segment.get(..BEGINNING_BYTES) else {
        return scan;
    };
    if begin != beginning(mark) {
        scan.is_damaged = segment.iter().any(|byte| *byte != 0);
        return scan;
    }
    let mut at = BEGINNING_BYTES;
    while let Some(head) = segment[at..].first_chunk() {
        let Some(head) = Head::read(head) else {
            // A file system may have made room for what was never written.
            scan.is_damaged = segment[at..].iter().any(|byte| *byte != 0);
            break;
        };
        let mut frame = Frame {
            head,
            at,
            keys: Vec::new(),
        };
        let Some(said) = segment.get(frame.said()) else {
            break;
        };
        if head.kind == Kind::Drops {
            let Some(keys) = drops(said) else {
                scan.is_damaged = true;
                break;
            };
            frame.keys = keys.collect();
        }
        at = frame.said().end;
        scan.frames.push(frame);
    }
    scan
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MARK: u64 = 9;

    fn segment() -> Vec<u8> {
        let mut bytes = beginning(MARK);
        let keep = Head {
            key: 1,
            variant: 2,
            content: 3,
            partition: 4,
            written: 5,
            ..Head::of(Kind::Keep, 6)
        };
        bytes.extend_from_slice(&keep.bytes());
        bytes.extend_from_slice(b"record");
        put_drops(&[7, 8], &mut bytes);
        bytes.extend_from_slice(&Head::of(Kind::All, 0).bytes());
        bytes
    }

    #[test]
    fn frames_are_read_as_they_were_written() {
        let segment = segment();
        let found = scan(&segment, MARK);
        assert!(!found.is_damaged);
        let kinds: Vec<_> = found.frames.iter().map(|frame| frame.head.kind).collect();
        assert_eq!(kinds, [Kind::Keep, Kind::Drops, Kind::All]);
        assert_eq!(&segment[found.frames[0].said()], b"record");
        let head = found.frames[0].head;
        let numbers = (
            head.key,
            head.variant,
            head.content,
            head.partition,
            head.written,
        );
        assert_eq!(numbers, (1, 2, 3, 4, 5));
        assert_eq!(found.frames[1].keys, [7, 8]);
        assert_eq!(found.frames[2].range().end, segment.len());
    }

    #[test]
    fn a_segment_that_is_cut_anywhere_has_the_frames_before_the_cut() {
        let segment = segment();
        let whole = scan(&segment, MARK).frames;
        for end in 0..segment.len() {
            let found = scan(&segment[..end], MARK);
            assert!(!found.is_damaged, "{end}");
            let expected = whole.iter().filter(|frame| frame.range().end <= end);
            assert!(found.frames.iter().eq(expected), "{end}");
            // So has one whose end was never written.
            let mut zeros = segment[..end].to_vec();
            zeros.resize(segment.len() + HEAD_BYTES, 0);
            assert!(scan(&zeros, MARK).frames.len() <= whole.len(), "{end}");
        }
    }

    #[test]
    fn each_flipped_bit_of_a_head_or_of_drops_is_noticed() {
        let segment = segment();
        let frames = scan(&segment, MARK).frames;
        let record = frames[0].said();
        for bit in 0..segment.len() * 8 {
            let mut flipped = segment.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let found = scan(&flipped, MARK);
            if record.contains(&(bit / 8)) {
                assert_eq!(found.frames, frames, "a record has its own checksum");
            } else {
                assert!(found.is_damaged, "bit {bit}");
            }
        }
    }

    #[test]
    fn a_segment_of_another_version_is_not_believed() {
        assert!(scan(&segment(), MARK + 1).is_damaged, "by other rules");
        assert!(scan(b"RETTERC2 and more, and more", MARK).is_damaged);
        assert!(!scan(&[0; 100], MARK).is_damaged, "it was never written");
    }

    proptest! {
        #[test]
        fn any_bytes_are_scanned(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut segment = beginning(MARK);
            segment.extend_from_slice(&bytes);
            let found = scan(&segment, MARK);
            prop_assert!(found.frames.iter().all(|frame| frame.range().end <= segment.len()));
        }

        #[test]
        fn drops_come_back(keys in prop::collection::vec(any::<u64>(), 0..10_000)) {
            let mut segment = beginning(MARK);
            put_drops(&keys, &mut segment);
            let found = scan(&segment, MARK);
            let read: Vec<_> = found.frames.into_iter().flat_map(|frame| frame.keys).collect();
            prop_assert!(!found.is_damaged && read == keys);
        }
    }
}
