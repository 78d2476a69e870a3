//! Owns `retter copies import`: the copies of a file, to the instance that runs.
//! Never hands one in before the file is known to be whole, nor from a file that others could have written.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Seek};
use std::path::Path;

use http::Method;
use retter_disk::{ArchiveError, ArchiveKey, ArchiveReader, is_anybodys};
use serde::Deserialize;

use super::pieces::{self, BATCH_BYTES};
use super::read_key;
use crate::admin::MARK;
use crate::instance::{self, Told};
use crate::out;
use crate::settings::Loaded;
use crate::telemetry::escape;

/// What the instance says of some.
#[derive(Debug, Default, Deserialize)]
struct Taken {
    taken: u64,
    left_out: BTreeMap<String, u64>,
}

pub(super) fn run(loaded: &Loaded, file: &Path, key: Option<&Path>) -> Result<(), String> {
    let key = key.map(read_key).transpose()?;
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let opened = File::open(file).map_err(|error| named(&error))?;
    // What is sealed is believed for its key.
    if key.is_none() && is_anybodys(&opened).map_err(|error| named(&error))? {
        return Err(named(
            &"others could have written it, and whoever did decides what visitors see: it has to belong \
              to you or to root, and nobody else may write to it (`chmod go-w`); or seal exports with \
              `--key`",
        ));
    }
    let mut reader = reader(&opened, key.clone()).map_err(|error| named(&error))?;
    while reader
        .next_record()
        .map_err(|error| named(&error))?
        .is_some()
    {}
    (&opened).rewind().map_err(|error| named(&error))?;
    let mut reader = self::reader(&opened, key).map_err(|error| named(&error))?;
    let mark = format!("{:016x}", reader.mark());
    let (mut all, mut batch) = (Taken::default(), Vec::new());
    loop {
        let record = reader.next_record().map_err(|error| named(&error))?;
        if let Some(record) = &record {
            pieces::put(record, &mut batch);
        }
        if batch.len() >= BATCH_BYTES || record.is_none() && !batch.is_empty() {
            hand_in(loaded, &mark, &std::mem::take(&mut batch), &mut all)?;
        }
        if record.is_none() {
            break;
        }
    }
    say(&all);
    Ok(())
}

fn reader(
    file: &File,
    key: Option<ArchiveKey>,
) -> Result<ArchiveReader<BufReader<&File>>, ArchiveError> {
    ArchiveReader::new(BufReader::new(file), key)
}

fn hand_in(loaded: &Loaded, mark: &str, batch: &[u8], all: &mut Taken) -> Result<(), String> {
    let told = Told {
        method: &Method::POST,
        target: "/copies/import",
        content: batch,
        more: &[(MARK, mark)],
        bytes_max: 1 << 20,
    };
    let answer = instance::tell(loaded, told).map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&answer.body);
    if answer.status != 200 {
        return Err(text.trim_end().to_owned());
    }
    let taken: Taken = serde_json::from_str(&text)
        .map_err(|error| format!("the instance answers in another way: {error}"))?;
    all.taken += taken.taken;
    for (why, count) in taken.left_out {
        *all.left_out.entry(why).or_default() += count;
    }
    Ok(())
}

fn say(all: &Taken) {
    out::line(format_args!(
        "{} copies taken over; they rescue until the application confirms them",
        all.taken
    ));
    for (why, count) in &all.left_out {
        out::line(format_args!("{count} left out: {}", escape(why.as_bytes())));
    }
}
