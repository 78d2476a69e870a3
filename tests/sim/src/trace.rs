//! Owns the record of what happened in a simulated world: its hash always, its text on demand.
//! Never decides what is worth a line.

use std::fmt::{self, Write};

use retter_core::time::Instant;

/// Every line in order. Two runs of one seed have the same hash, or something is not determined
/// by the seed.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: Fnv,
    text: Option<String>,
}

impl Trace {
    pub(crate) fn new(readable: bool) -> Self {
        Self {
            hash: Fnv(0xcbf2_9ce4_8422_2325),
            text: readable.then(String::new),
        }
    }

    pub(crate) fn note(&mut self, now: Instant, line: fmt::Arguments<'_>) {
        // Writing to these cannot fail.
        let _ = write!(self.hash, "{} {line}", now.as_nanos());
        if let Some(text) = &mut self.text {
            let micros = now.as_nanos() / 1_000;
            let _ = writeln!(
                text,
                "{:>4}.{:06} {line}",
                micros / 1_000_000,
                micros % 1_000_000
            );
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash.0
    }

    pub(crate) fn take_text(&mut self) -> String {
        self.text.take().unwrap_or_default()
    }
}

/// FNV-1a: the same on every machine and with every compiler.
#[derive(Debug)]
struct Fnv(u64);

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}
