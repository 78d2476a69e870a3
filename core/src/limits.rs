//! Owns the bounds that are not settings, each with its reason.
//! Never holds a bound that an operator should change: those are in [`crate::config`].

use std::time::Duration;

/// Fields in the head of one request, as the setting says where it is not set. hyper's default; a browser
/// sends about 15, a chatty proxy chain about 40.
pub const REQUEST_FIELDS_MAX: usize = 100;

/// Fields in the head of one response, as the setting says where it is not set: applications set cookies one
/// by one, and tell of each query that they made.
pub const RESPONSE_FIELDS_MAX: usize = 200;

/// The longest head that a setting may allow: spans into it are 16-bit.
pub const HEAD_BYTES_CEILING: usize = 65_535;

/// Fresh space offered to one read from a socket. One system call moves a whole small page.
pub const RECV_CHUNK: usize = 16 * 1024;

/// Queued bytes toward one peer below which reading from the other side never pauses: with the
/// read that begins below it, a peer may hold 24 KiB. Beyond it, queues share what the setting for
/// slow peers gives.
pub const QUEUE_BYTES_FREE: usize = 8 * 1024;

/// How long a client's queue may be full before the client counts as slow, and its answer as no
/// work for the origin: longer than the kernel takes to make room at the speed of a good line.
pub const PAUSE_MIN: Duration = Duration::from_secs(1);

/// Content of a copy up to this size can always be collected, and what waits of it in a queue counts
/// as the queue's own: only a larger one is counted for itself when it has left the store.
pub const COPY_BYTES_SMALL: usize = 32 * 1024;

/// Queued bytes toward a client, those that copies hold included, above which none of the requests
/// that it sent ahead is begun.
pub const ANSWERS_BYTES_MAX: usize = 256 * 1024;

/// Buffers handed to one vectored write.
pub const IOVECS_MAX: usize = 64;

/// Bytes of all chunk extensions of one message (RFC 9112 §7.1.1 asks for a bound), and of the zeros
/// beyond 16 digits in its chunk sizes.
pub const CHUNK_EXT_BYTES_MAX: usize = 16 * 1024;

/// Bytes of the trailer section of one message.
pub const TRAILER_BYTES_MAX: usize = 16 * 1024;

/// Interim (1xx) responses passed on before one final response.
pub const INTERIM_MAX: usize = 16;

/// Body bytes of an unwanted origin response that are read to keep its connection usable;
/// a longer one costs more to drain than a new connection.
pub const DRAIN_BYTES_MAX: u64 = 64 * 1024;

/// Variants (RFC 9111 §4.1) kept under one key; HAProxy's bound. The oldest gives way.
pub const VARIANTS_MAX: usize = 10;

/// Bytes of a cache key; a longer one is simply not kept.
pub const KEY_BYTES_MAX: usize = 8 * 1024;

/// Longest body that is held back until it is complete, where a copy could rescue from its
/// breaking off: a page comes in one or two reads, so nobody waits longer for it.
pub const HOLD_BYTES_MAX: usize = 64 * 1024;

/// How long after its head a body of unknown length is held back, where it may turn out to be an
/// error page: longer than an application needs to end one, and a visitor hardly notices it.
pub const HOLD_TIME_MAX: Duration = Duration::from_millis(250);

/// Smallest body that is worth gzip: below it the frame costs more than it saves.
pub const GZIP_BYTES_MIN: usize = 301;

/// Copies that wait to be renewed in the background. Each keeps the request that wanted it, 16 KiB
/// at most as long as it is in one piece with what was read: 4 MiB of the worst.
pub const WANTS_MAX: usize = 256;

/// Copies made last whose requests are remembered, so that a circuit can be probed even though
/// nobody has wanted a copy yet: a few, so that one that is gone does not matter.
pub const RECENT_MAX: usize = 8;

/// Shards of the store: enough that workers of a small server seldom meet at one lock.
pub const STORE_SHARDS_MAX: usize = 32;

/// Parts that one `Range` request gets of a copy; a viewer of documents asks for a handful. A
/// longer list is answered with the whole (RFC 9110 §14.2).
pub const RANGES_MAX: usize = 16;

/// Requests that wait for the origin to have room, whatever the expected wait: each costs about a
/// kilobyte beside its connection, and a small server gets through fewer in a second.
pub const WAITING_MAX: usize = 4096;

/// Requests that wait for an origin that takes no connections, as while it restarts: each costs
/// about a kilobyte beside its connection, and all of them come to the origin when it is back. Two
/// seconds of a site with 400 visitors a second, so that a restart fits in.
pub const RESTART_WAITING_MAX: usize = 1024;

/// How many of those may be reads: the rest of the places is for what nothing can stand in for.
pub const RESTART_READS_MAX: usize = RESTART_WAITING_MAX / 4 * 3;

/// How long a client may take to send its request's content before that is no work for the origin
/// but a transfer. A form is here in one or two packets; eight clients that send nothing must not
/// keep all others out.
pub const UPLOAD_WORK_MAX: Duration = Duration::from_secs(1);

/// Body bytes after which a response is no work for the origin any more but a transfer, and does
/// not count as a request at the origin: pages are smaller, downloads are not.
pub const WORK_BYTES_MAX: u64 = 1024 * 1024;

/// Pages that are asked for as a stranger, or that are known not to be: a shop of a few thousand
/// articles, in a mebibyte.
pub const ASKED_PAGES_MAX: usize = 4096;

/// Hosts for which requests with identifying fields are counted: more than one small server has
/// names, and few enough that names which a client makes up cost nothing.
pub const ASKED_HOSTS_MAX: usize = 64;

/// Chains of cookie values, of which a session has one or two: 100,000 of them in 11.5 MiB.
pub const CHAINS_MAX: usize = 100_000;

/// Values that all chains together know: half of what their index has room for in 4.5 MiB, so that it
/// never grows beyond that.
pub const CHAIN_VALUES_MAX: usize = 229_376;

/// Names of cookies of which it is known whether the application gives them another value with each
/// answer: more than an application has, and than the hosts of a small server have together.
pub const ROLLING_NAMES_MAX: usize = 256;

/// Visitors whose shares of the origin's time are told apart, beyond whom those who come new are one:
/// more than a small server answers in ten seconds, in half a mebibyte.
pub const SHARES_MAX: usize = 8192;

/// Visitors who wait in the waiting room, and those who have a pass of it: an hour of eighteen a second,
/// in four mebibytes each.
pub const ROOM_MAX: usize = 65_536;
