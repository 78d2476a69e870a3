//! Owns the way of lines to an output, on a thread of its own.
//! Never makes anybody wait for whoever reads them: lines that are not taken in time are dropped
//! and counted.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Lines under way to the writer. At 50,000 requests a second, a sixth of a second.
pub(super) const LINES_MAX: usize = 8192;

/// What a pipe takes at once.
const BATCH_BYTES: usize = 64 * 1024;

/// How long the end waits for whoever reads: enough for a full queue, short for an operator.
const PATIENCE: Duration = Duration::from_secs(1);

/// Lines on their way.
#[derive(Debug)]
pub(crate) struct Lines {
    progress: Arc<Progress>,
    /// Lines that were to be written.
    sent: AtomicU64,
    sender: SyncSender<String>,
}

#[derive(Debug, Default)]
struct Progress {
    dropped: AtomicU64,
    /// Lines that were written, or dropped.
    done: Mutex<u64>,
    moved: Condvar,
}

impl Lines {
    /// Starts the thread that writes to `out`. It ends with the process, or when the value is gone.
    pub(crate) fn start(name: &str, out: impl Write + Send + 'static) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(LINES_MAX);
        let progress = Arc::<Progress>::default();
        let shared = Arc::clone(&progress);
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || write_all(&receiver, out, &shared))?;
        Ok(Self {
            progress,
            sent: AtomicU64::new(0),
            sender,
        })
    }

    /// Hands one line, with its end, to the writer, or drops it.
    pub(crate) fn put(&self, line: String) {
        // Counted first, so that a thread that waits for the writer waits for this line too.
        self.sent.fetch_add(1, Ordering::Release);
        if self.sender.try_send(line).is_err() {
            self.progress.dropped.fetch_add(1, Ordering::Relaxed);
            self.progress.add(1);
        }
    }

    /// Waits until all that was handed over is written, for as long as that is worth it.
    pub(crate) fn flush(&self) {
        let (sent, until) = (self.sent.load(Ordering::Acquire), Instant::now() + PATIENCE);
        let mut done = self.progress.done();
        while *done < sent {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.progress.moved.wait_timeout(done, left);
            (done, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lines dropped since start.
    pub(super) fn dropped(&self) -> u64 {
        self.progress.dropped.load(Ordering::Relaxed)
    }
}

impl Progress {
    fn done(&self) -> MutexGuard<'_, u64> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, lines: u64) {
        *self.done() += lines;
        self.moved.notify_all();
    }
}

/// Writes until nobody can send any more; one system call for all lines that are there at once.
fn write_all(receiver: &Receiver<String>, mut out: impl Write, progress: &Progress) {
    let mut batch = String::new();
    while let Ok(line) = receiver.recv() {
        let mut lines = 1;
        batch.push_str(&line);
        while batch.len() < BATCH_BYTES
            && let Ok(line) = receiver.try_recv()
        {
            lines += 1;
            batch.push_str(&line);
        }
        // Whoever read the lines may be gone, or the disk is full; the program goes on without
        // them. Of a batch that was written in part all count as lost.
        let written = out.write_all(batch.as_bytes()).and_then(|()| out.flush());
        if written.is_err() {
            progress.dropped.fetch_add(lines, Ordering::Relaxed);
        }
        batch.clear();
        progress.add(lines);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Takes nothing until told to.
    struct Stuck(Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.recv();
            self.1.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_takes_nothing_costs_lines_and_no_time() {
        let (go, wait) = mpsc::channel();
        let written = Arc::default();
        let lines = Lines::start("test", Stuck(wait, Arc::clone(&written))).unwrap();
        // More than the queue and the writer's hands hold.
        let total = LINES_MAX + BATCH_BYTES;
        for number in 0..total {
            lines.put(format!("{number}\n"));
        }
        assert!(lines.dropped() > 0);
        lines.flush();
        assert!(written.lock().unwrap().is_empty(), "nobody waited for it");
        drop(go);
        let written = || written.lock().unwrap().split(|&byte| byte == b'\n').count() - 1;
        while (written() as u64) + lines.dropped() < total as u64 {
            lines.flush();
        }
        assert_eq!(written() as u64 + lines.dropped(), total as u64);
    }
}
