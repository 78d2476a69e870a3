//! Owns `retter copies export`: the copies that everybody may see, from the instance to a file.
//! Never leaves a file that is not whole, and never replaces one.

use std::fs::{File, OpenOptions};
use std::io::BufWriter;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use http::Method;
use retter_disk::{ArchiveWriter, RECORD_BYTES_MAX};

use super::pieces::{self, BATCH_BYTES};
use super::read_key;
use crate::admin::{MARK, NEXT};
use crate::client::Reply;
use crate::instance::{self, Told};
use crate::out;
use crate::settings::Loaded;

pub(super) fn run(loaded: &Loaded, file: &Path, key: Option<&Path>) -> Result<(), String> {
    let key = key.map(read_key).transpose()?;
    let is_sealed = key.is_some();
    let first = ask(loaded, None)?;
    let mark = mark_of(&first).ok_or("the instance is of another version than this command")?;
    let failed = |error: std::io::Error| format!("{}: {error}", file.display());
    let mut options = OpenOptions::new();
    let made = options.write(true).create_new(true).mode(0o600).open(file);
    let is_there = |error: &std::io::Error| error.kind() == std::io::ErrorKind::AlreadyExists;
    let made = made.map_err(|error| match is_there(&error) {
        true => format!(
            "{} is there already: name another file, or remove it",
            file.display()
        ),
        false => failed(error),
    })?;
    let written = write(loaded, (made, mark), key, first);
    let (count, left_out) = written.inspect_err(|_| {
        let _ = std::fs::remove_file(file);
    })?;
    let bytes = std::fs::metadata(file).map_err(failed)?.len();
    let how = match is_sealed {
        true => "sealed",
        false => "not sealed",
    };
    let more = match left_out {
        0 => String::new(),
        left_out => format!("; {left_out} were too long"),
    };
    out::line(format_args!(
        "{count} copies that everybody may see, in {bytes} bytes, {how}: {}{more}",
        file.display()
    ));
    Ok(())
}

fn write(
    loaded: &Loaded,
    (file, mark): (File, u64),
    key: Option<retter_disk::ArchiveKey>,
    first: Reply,
) -> Result<(u64, u64), String> {
    let failed = |error: std::io::Error| format!("the file cannot be written: {error}");
    let mut writer = ArchiveWriter::new(BufWriter::new(file), mark, key).map_err(failed)?;
    let (mut batch, mut left_out) = (first, 0);
    loop {
        if mark_of(&batch) != Some(mark) {
            return Err(
                "the settings of the instance were changed meanwhile; export again".to_owned(),
            );
        }
        let records = pieces::split(&batch.body);
        for record in records.ok_or("the instance sent half a record")? {
            if !writer.push(record).map_err(failed)? {
                left_out += 1;
            }
        }
        let next = batch.field(NEXT);
        if next.is_empty() {
            break;
        }
        batch = ask(loaded, Some(&next))?;
    }
    let (buffer, count) = writer.finish().map_err(failed)?;
    let file = buffer
        .into_inner()
        .map_err(|error| failed(error.into_error()))?;
    file.sync_all().map_err(failed)?;
    Ok((count, left_out))
}

fn mark_of(batch: &Reply) -> Option<u64> {
    u64::from_str_radix(&batch.field(MARK), 16).ok()
}

fn ask(loaded: &Loaded, after: Option<&str>) -> Result<Reply, String> {
    let target = match after {
        Some(place) => format!("/copies/export?after={place}"),
        None => "/copies/export".to_owned(),
    };
    let told = Told {
        method: &Method::GET,
        target: &target,
        content: b"",
        more: &[],
        // The last record begins before the batch is full, and one key may have several.
        bytes_max: BATCH_BYTES + 16 * RECORD_BYTES_MAX,
    };
    let batch = instance::tell(loaded, told).map_err(|error| error.to_string())?;
    match batch.status {
        200 => Ok(batch),
        _ => Err(String::from_utf8_lossy(&batch.body).trim_end().to_owned()),
    }
}
