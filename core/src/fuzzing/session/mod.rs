//! Owns the target of the session: what clients, origins and clocks do is played twice, whole and
//! byte by byte, and neither side may see a difference; what goes out on one side came in on the
//! other.
//! Never looks into a session: what it writes, does and reports is all there is.

mod bench;
mod seen;
mod truth;

use super::input::{Input, split_at_byte};
use crate::config::{FreshMode, RescueMode, Settings};
use crate::session::{Input as Fact, Side};
use bench::Bench;

/// One byte of settings, then steps that a NUL ends, each a letter and what it needs:
///
/// | letter | step |
/// |---|---|
/// | `c`, `o` | the client, the origin sends the rest of the step |
/// | `C`, `O` | it ends its stream |
/// | `s` | another client connection is meant from here on: its number |
/// | `n` | the session that began last is meant, also one without a client |
/// | `b` | what is due to be renewed or probed begins, and is meant |
/// | `t` | time passes: milliseconds |
/// | `d` | a drain begins |
/// | `f`, `h`, `r` | connections fail, hang, are reused from here on, or no more |
/// | `l` | connections lack a socket from here on, or no more |
/// | `p` | the client stops reading, or goes on |
/// | `x`, `X`, `w`, `W` | reading from, writing to the client (capital: the origin) fails |
///
/// See [the table](super).
pub fn session(data: &[u8]) {
    // Beyond it a session may pause, and then what has passed depends on how it came.
    const BYTES_MAX: usize = 8 * 1024;
    if data.len() > BYTES_MAX {
        return;
    }
    let mut input = Input(data);
    let settings = settings(input.byte());
    let play = |piece| {
        let mut bench = Bench::new(settings.clone(), piece);
        let mut rest = input.0;
        while !rest.is_empty() {
            let (step, after) = split_at_byte(rest, 0);
            apply(&mut bench, step);
            rest = after;
        }
        bench.finish()
    };
    let (whole, bytewise) = (play(usize::MAX), play(1));
    whole.assert_same(&bytewise);
}

fn settings(byte: u8) -> Settings {
    let has = |bit: u8| byte >> bit & 1 == 1;
    let mut settings = Settings::default();
    settings.client.gzip = !has(0);
    // Byte by byte an answer has more framing: who takes it would have earned more time with it.
    settings.client.rate_min = None;
    (settings.site.cache.rescue, settings.site.cache.fresh) = match byte >> 1 & 3 {
        0 => (RescueMode::Session, FreshMode::Origin),
        1 => (RescueMode::All, FreshMode::Off),
        2 => (RescueMode::Strict, FreshMode::Origin),
        _ => (RescueMode::Session, FreshMode::Ttl),
    };
    if has(3) {
        settings.site.breaker.consecutive_failures = 1;
        settings.site.breaker.origin_outcomes_min = 2;
        settings.site.breaker.origin_paths_min = 1;
    }
    if has(4) {
        settings.site.admission.in_flight_max = 1;
        settings.site.admission.in_flight_start = 1;
    }
    if has(5) {
        settings.client.head_bytes_max = 1024;
        settings.site.origin.head_bytes_max = 1024;
    }
    if has(6) {
        settings.site.origin.path_prefix = "/prefix".to_owned();
    }
    if has(7) {
        settings.site.cache.entries_max = 2;
        settings.site.cache.object_bytes_max = 64;
    }
    settings
}

fn apply(bench: &mut Bench, step: &[u8]) {
    let Some((letter, rest)) = step.split_first() else {
        return;
    };
    match letter {
        b'c' => bench.send(Side::Client, rest),
        b'o' => bench.send(Side::Origin, rest),
        b'C' => bench.end(Side::Client),
        b'O' => bench.end(Side::Origin),
        b's' => bench.choose(usize::from(rest.first().map_or(0, |byte| byte % 8))),
        b'n' => bench.choose_newest(),
        b'b' => bench.refresh(),
        b't' => bench.wait(milliseconds(rest)),
        b'd' => bench.tell(Fact::Drain),
        b'f' => bench.connects_fail = !bench.connects_fail,
        b'l' => bench.lacks_sockets = !bench.lacks_sockets,
        b'h' => bench.toggle_hanging(),
        b'r' => bench.reuses = !bench.reuses,
        b'p' => bench.toggle_reading(),
        b'x' => bench.tell(Fact::ReadFailed(Side::Client)),
        b'X' => bench.tell(Fact::ReadFailed(Side::Origin)),
        b'w' => bench.tell(Fact::WriteFailed(Side::Client)),
        b'W' => bench.tell(Fact::WriteFailed(Side::Origin)),
        _ => {}
    }
}

/// At most a day: longer than any deadline.
fn milliseconds(digits: &[u8]) -> u64 {
    let text = std::str::from_utf8(digits).unwrap_or_default();
    text.parse::<u64>().unwrap_or(1).min(86_400_000)
}
