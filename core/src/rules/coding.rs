//! Owns content coding: whether a client takes gzip, whether it is worth it, and the gzip itself
//! (RFC 9110 §8.4, §12.5.3; RFC 1952). Output leaves in bounded pieces, compressors are reused.
//! Never decodes, and never changes a field: it only says what they must become.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use http::StatusCode;

use super::cache_control::CacheControl;
use crate::limits::GZIP_BYTES_MIN;
use crate::message::Fields;

/// Whether the client prefers gzip to nothing (RFC 9110 §12.5.3).
///
/// Without `Accept-Encoding` anything would be allowed; gzip is not sent then, because such
/// clients seldom decode.
#[must_use]
pub fn accepts_gzip(request: &Fields) -> bool {
    let mut gzip = None;
    let mut any = None;
    let mut identity = None;
    let lines = request.get_all("accept-encoding");
    // Two plain loops, as hardly an answer is made without this.
    for line in lines {
        for member in line.split(|&byte| byte == b',') {
            let Some((coding, weight)) = weighted(member.trim_ascii()) else {
                continue;
            };
            let is = |name: &str| coding.eq_ignore_ascii_case(name.as_bytes());
            let slot = if is("gzip") || is("x-gzip") {
                // RFC 9110 §8.4.1.3: x-gzip is the same coding.
                &mut gzip
            } else if is("*") {
                &mut any
            } else if is("identity") {
                &mut identity
            } else {
                continue;
            };
            *slot = (*slot).max(Some(weight));
        }
    }
    // `*` stands for what is not named; a zero weight means "not acceptable". `identity;q=0`
    // alone accepts nothing we have, and is answered as it is: it does not make gzip acceptable.
    let gzip = gzip.or(any).unwrap_or(0);
    gzip > 0 && gzip >= identity.unwrap_or(0)
}

/// Whether a response is to be compressed for clients that accept it.
///
/// `len` is the length of its content where it is known.
#[must_use]
pub fn worth_gzip(status: StatusCode, response: &Fields, len: Option<u64>) -> bool {
    // Fields that tie the message to its very bytes (RFC 9530, RFC 1864, RFC 9110 §14.4).
    const BYTE_EXACT: [&str; 5] = [
        "content-digest",
        "content-md5",
        "content-range",
        "digest",
        "repr-digest",
    ];
    if len.is_some_and(|len| len < GZIP_BYTES_MIN as u64) {
        return false;
    }
    let has_content = !status.is_informational()
        && !matches!(
            status,
            StatusCode::NO_CONTENT
                | StatusCode::NOT_MODIFIED
                | StatusCode::PARTIAL_CONTENT
                | StatusCode::RESET_CONTENT
        );
    let coded = response
        .tokens("content-encoding")
        .any(|coding| !coding.eq_ignore_ascii_case(b"identity"));
    let text_like = response.get_str("content-type").is_some_and(is_text_like);
    has_content
        && text_like
        && !coded
        && !BYTE_EXACT.iter().any(|name| response.contains(name))
        // RFC 9111 §5.2.2.6
        && !(mentions(response, "cache-control", b"no-transform")
            && CacheControl::of(response, "cache-control").no_transform)
}

/// Whether `word` is anywhere in the field, as a directive or otherwise: mostly it is not, and then
/// the field need not be read.
fn mentions(fields: &Fields, name: &str, word: &[u8]) -> bool {
    let is_word = |part: &[u8]| part.eq_ignore_ascii_case(word);
    let mut values = fields.get_all(name);
    values.any(|value| value.windows(word.len()).any(is_word))
}

/// Whether `Vary` already nominates the request field `name`, or everything.
#[must_use]
pub fn varies_on(response: &Fields, name: &str) -> bool {
    response.has_token("vary", name) || response.has_token("vary", "*")
}

/// Compressors for reuse: most of the cost of a new one is its memory of about 270 KB.
#[derive(Debug)]
pub struct GzipPool {
    state: Mutex<PoolState>,
    streams_max: usize,
}

#[derive(Debug)]
struct PoolState {
    idle: Vec<Compress>,
    streams: usize,
}

impl GzipPool {
    /// Streams at one time by default: 70 MB. A stream holds its compressor as long as its client
    /// needs to read.
    pub const STREAMS_MAX: usize = 256;

    /// Compressors kept for reuse: 9 MB. More than cores, less than streams.
    const IDLE_MAX: usize = 32;

    /// Builds a pool that hands out at most `streams_max` streams at one time.
    #[must_use]
    pub fn new(streams_max: usize) -> Self {
        Self {
            state: Mutex::new(PoolState {
                idle: Vec::new(),
                streams: 0,
            }),
            streams_max,
        }
    }

    /// Begins a stream; `None` when all are in use, and the response goes out as it is.
    #[must_use]
    pub fn stream(self: &Arc<Self>) -> Option<GzipStream> {
        let idle = {
            let mut state = self.lock();
            if state.streams >= self.streams_max {
                return None;
            }
            state.streams += 1;
            state.idle.pop()
        };
        Some(GzipStream {
            encoder: Some(Encoder::new(idle.unwrap_or_else(new_compressor))),
            pool: Arc::clone(self),
        })
    }

    fn put_back(&self, mut deflate: Compress, was_stream: bool) {
        deflate.reset();
        let mut state = self.lock();
        state.streams -= usize::from(was_stream);
        let surplus = if state.idle.len() < Self::IDLE_MAX {
            state.idle.push(deflate);
            None
        } else {
            Some(deflate)
        };
        // The memory is given back without the lock.
        drop(state);
        drop(surplus);
    }

    fn lock(&self) -> MutexGuard<'_, PoolState> {
        // A list and a counter are whole between any two of their statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for GzipPool {
    fn default() -> Self {
        Self::new(Self::STREAMS_MAX)
    }
}

/// Compresses a whole content into one piece of exact size.
#[must_use]
pub fn gzip_whole(content: &[u8], pool: &GzipPool) -> Vec<u8> {
    let idle = pool.lock().idle.pop();
    let mut encoder = Encoder::new(idle.unwrap_or_else(new_compressor));
    let mut pieces = Vec::new();
    encoder.write(content, false, &mut |piece| pieces.push(piece));
    encoder.finish(&mut |piece| pieces.push(piece));
    pool.put_back(encoder.deflate, false);
    // The one copy: a compressed page is kept, and the slack of its pieces would be kept with it.
    pieces.concat()
}

/// One content being compressed piece by piece. Ends with [`GzipStream::finish`]; dropped before,
/// it leaves a truncated content, which a decoder notices.
#[derive(Debug)]
#[must_use]
pub struct GzipStream {
    /// `None` only while it is dropped.
    encoder: Option<Encoder>,
    pool: Arc<GzipPool>,
}

impl GzipStream {
    /// Compresses `data`. Pieces of at most [`GZIP_PIECE_BYTES`] go to `out`; with `flush`
    /// everything written so far is in them, else some of it stays back for now.
    pub fn write(&mut self, data: &[u8], flush: bool, mut out: impl FnMut(Bytes)) {
        if let Some(encoder) = &mut self.encoder {
            encoder.write(data, flush, &mut out);
        }
    }

    /// Ends the content: the rest and the trailer go to `out`.
    pub fn finish(mut self, mut out: impl FnMut(Bytes)) {
        if let Some(encoder) = &mut self.encoder {
            encoder.finish(&mut out);
        }
    }
}

impl Drop for GzipStream {
    fn drop(&mut self) {
        if let Some(encoder) = self.encoder.take() {
            self.pool.put_back(encoder.deflate, true);
        }
    }
}

/// Bytes of one piece of compressed output: one system call's worth, bounded whatever the input.
pub const GZIP_PIECE_BYTES: usize = 8 * 1024;

/// The gzip frame (RFC 1952 §2.3) around a raw deflate stream.
#[derive(Debug)]
struct Encoder {
    deflate: Compress,
    crc: Crc,
    piece: Vec<u8>,
}

impl Encoder {
    fn new(deflate: Compress) -> Self {
        // No name, no time, system 255 (unknown): the same content gives the same bytes.
        const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
        let mut piece = Vec::with_capacity(GZIP_PIECE_BYTES);
        piece.extend_from_slice(&HEADER);
        Self {
            deflate,
            crc: Crc::new(),
            piece,
        }
    }

    fn write(&mut self, data: &[u8], flush: bool, out: &mut dyn FnMut(Bytes)) {
        self.crc.update(data);
        if flush {
            self.run(data, FlushCompress::Sync, out);
            self.emit(out);
        } else {
            self.run(data, FlushCompress::None, out);
        }
    }

    fn finish(&mut self, out: &mut dyn FnMut(Bytes)) {
        self.run(&[], FlushCompress::Finish, out);
        self.make_room(out);
        self.piece.extend_from_slice(&self.crc.sum().to_le_bytes());
        // ISIZE is the length modulo 2^32, which is what the CRC counts.
        self.piece
            .extend_from_slice(&self.crc.amount().to_le_bytes());
        self.emit(out);
    }

    /// Hands `data` to the compressor and takes all output that `flush` asks for.
    fn run(&mut self, mut data: &[u8], flush: FlushCompress, out: &mut dyn FnMut(Bytes)) {
        loop {
            self.make_room(out);
            let read_before = self.deflate.total_in();
            let status = self
                .deflate
                .compress_vec(data, &mut self.piece, flush)
                .expect("a compressor that was reset accepts input until it is finished");
            let read = self.deflate.total_in().saturating_sub(read_before);
            let read = usize::try_from(read).unwrap_or(usize::MAX);
            data = data.get(read..).unwrap_or_default();
            // More output can wait inside only where it filled the room.
            let full = self.piece.len() == self.piece.capacity();
            if status == Status::StreamEnd || data.is_empty() && !full {
                return;
            }
            debug_assert!(full || read > 0, "with room and input there is progress");
        }
    }

    /// Leaves room for a flush marker (zlib wants more than 6 bytes) or the trailer.
    fn make_room(&mut self, out: &mut dyn FnMut(Bytes)) {
        if self.piece.capacity() - self.piece.len() < 16 {
            self.emit(out);
        }
        if self.piece.capacity() == 0 {
            self.piece.reserve_exact(GZIP_PIECE_BYTES);
        }
    }

    fn emit(&mut self, out: &mut dyn FnMut(Bytes)) {
        if !self.piece.is_empty() {
            out(Bytes::from(std::mem::take(&mut self.piece)));
        }
    }
}

fn new_compressor() -> Compress {
    // Raw deflate: the frame is ours, so that a reset compressor can serve any content.
    Compress::new(Compression::new(LEVEL), false)
}

/// HTML of 6 and 64 KiB, zlib-rs, compressor reused: level 4 is 0.5 and 2 % larger than level 6
/// and takes about 10 and 30 % less time; level 1 is 32 and 39 % larger.
const LEVEL: u32 = 4;

/// Splits a list member into its name and weight in thousandths (RFC 9110 §12.4.2); `None` for
/// a weight that is none, whose member then says nothing.
fn weighted(member: &[u8]) -> Option<(&[u8], u16)> {
    let mut parts = member.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    let name = parts.next()?;
    let mut weight = 1000;
    for parameter in parts {
        let (key, value) = parameter.split_first_chunk::<2>()?;
        if !key.eq_ignore_ascii_case(b"q=") {
            return None;
        }
        weight = thousandths(value)?;
    }
    Some((name, weight))
}

/// Parses a qvalue: 0 to 1 with at most three decimals.
fn thousandths(qvalue: &[u8]) -> Option<u16> {
    let (&whole, rest) = qvalue.split_first()?;
    let decimals = match rest.split_first() {
        None => &[],
        Some((b'.', decimals)) if decimals.len() <= 3 => decimals,
        Some(_) => return None,
    };
    let mut sum = match whole {
        b'0' => 0,
        b'1' => 1000,
        _ => return None,
    };
    let mut unit = 100;
    for &digit in decimals {
        if !digit.is_ascii_digit() {
            return None;
        }
        sum += u16::from(digit - b'0') * unit;
        unit /= 10;
    }
    (sum <= 1000).then_some(sum)
}

/// Whether a media type is one that gzip makes smaller. An event stream is text too, but every
/// event has to arrive at once, and clients of it rarely gain.
fn is_text_like(content_type: &str) -> bool {
    const APPLICATION: [&str; 13] = [
        "ecmascript",
        "graphql",
        "javascript",
        "json",
        "sql",
        "vnd.apple.mpegurl",
        "vnd.ms-fontobject",
        "x-font-opentype",
        "x-font-ttf",
        "x-javascript",
        "x-ndjson",
        "xml",
        "yaml",
    ];
    const FONT: [&str; 3] = ["collection", "otf", "ttf"];
    const IMAGE: [&str; 3] = ["bmp", "vnd.microsoft.icon", "x-icon"];
    const SUFFIX: [&str; 4] = ["json", "text", "xml", "yaml"];
    // By bytes: they are a few, and a search for characters costs more than it finds.
    let find = |text: &str, stop: u8| text.bytes().position(|byte| byte == stop);
    let essence = match find(content_type, b';') {
        Some(at) => &content_type[..at],
        None => content_type,
    };
    let essence = essence.trim();
    let Some(at) = find(essence, b'/') else {
        return false;
    };
    let (kind, subtype) = (&essence[..at], &essence[at + 1..]);
    let is = |known: &str| kind.eq_ignore_ascii_case(known);
    let among = |names: &[&str], name: &str| names.iter().any(|it| it.eq_ignore_ascii_case(name));
    if is("text") {
        return !subtype.eq_ignore_ascii_case("event-stream");
    }
    let by_suffix = subtype
        .rsplit_once('+')
        .is_some_and(|(_, suffix)| among(&SUFFIX, suffix));
    by_suffix
        || is("application") && among(&APPLICATION, subtype)
        || is("font") && among(&FONT, subtype)
        || is("image") && among(&IMAGE, subtype)
}

#[cfg(test)]
mod tests;
