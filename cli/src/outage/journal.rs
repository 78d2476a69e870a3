//! Owns the file of outages: a line of JSON whenever one is told of, so that it survives a restart.
//! Never makes the program wait for a disk, and never ends it because of one.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::record::Record;
use crate::settings::Choice;
use crate::telemetry::Lines;

/// Of a longer file only the end is read: about two hundred outages.
const READ_BYTES_MAX: u64 = 256 * 1024;
const NAME: &str = "outages.jsonl";

/// Where the file is: with what else outlives the program, in the folder `state`, where there is one.
pub(crate) fn path(choice: &Choice, state: Option<&Path>) -> Option<PathBuf> {
    match choice {
        Choice::At(path) => Some(path.clone()),
        Choice::Auto => state.map(|folder| folder.join(NAME)),
        Choice::Off => None,
    }
}

/// The file, to be written to.
#[derive(Debug)]
pub(super) struct Journal(Lines);

impl Journal {
    /// Opens the file, with what it has of former runs, the oldest first.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Vec<Record>)> {
        if let Some(folder) = path.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
        let mut options = OpenOptions::new();
        // What visitors asked for is nobody's business but the operator's.
        options.read(true).append(true).create(true).mode(0o600);
        let mut file = options.open(path)?;
        let records = read(&mut file)?;
        Ok((Self(Lines::start("outages", file)?), records))
    }

    pub(super) fn put(&self, record: &Record) {
        let json = serde_json::to_string(record).unwrap_or_default();
        self.0.put(json + "\n");
    }

    pub(super) fn flush(&self) {
        self.0.flush();
    }
}

/// Of several lines of one outage the last counts. What is no line of ours is passed over: a full
/// disk may have cut one.
fn read(file: &mut File) -> io::Result<Vec<Record>> {
    let length = file.metadata()?.len();
    let from = length.saturating_sub(READ_BYTES_MAX);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(READ_BYTES_MAX).read_to_end(&mut bytes)?;
    let mut records: Vec<Record> = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Ok(mut record) = serde_json::from_slice::<Record>(line) else {
            continue;
        };
        if record.began.is_empty() {
            continue;
        }
        // If this was the last word on it.
        record.is_cut_off = record.ended.is_none();
        match records.last_mut().filter(|last| last.began == record.began) {
            Some(last) => *last = record,
            None => records.push(record),
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_there_after_a_restart() {
        let path = std::env::temp_dir().join(format!("retter-journal-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let (journal, records) = Journal::open(&path).unwrap();
        assert!(records.is_empty());
        let record = |began: &str, ended: Option<&str>, seconds| Record {
            began: began.to_owned(),
            ended: ended.map(str::to_owned),
            seconds,
            ..Record::default()
        };
        journal.put(&record("1", None, 0));
        journal.put(&record("1", None, 60));
        journal.put(&record("1", Some("2"), 90));
        journal.put(&record("3", None, 5));
        journal.flush();
        drop(journal);
        std::fs::write(
            &path,
            [std::fs::read(&path).unwrap(), b"{\"began\":\"4".to_vec()].concat(),
        )
        .unwrap();
        let (_journal, records) = Journal::open(&path).unwrap();
        let told: Vec<_> = records
            .iter()
            .map(|record| (record.began.as_str(), record.seconds, record.is_cut_off))
            .collect();
        assert_eq!(told, [("1", 90, false), ("3", 5, true)]);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn the_file_is_where_a_setting_says() {
        let beside = path(&Choice::Auto, Some(Path::new("/r")));
        assert_eq!(beside, Some("/r/outages.jsonl".into()));
        assert_eq!(path(&Choice::Auto, None), None);
        let at = Choice::parse("/a").unwrap();
        assert_eq!(path(&at, None), Some("/a".into()));
        assert!(Choice::parse("a").is_err());
    }
}
