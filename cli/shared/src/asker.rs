//! Owns the thread that looks for copies where requests wait for them ([`run`]): one question at a time to
//! the Redis, with all keys that are waited for, a deadline, and a breaker.
//! Never waits for longer than a request does.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use retter_core::copies::{Restored, Sought};
use retter_core::key::CacheKey;

use crate::asks::Ask;
use crate::form::Value;
use crate::link::{Link, Trouble};
use crate::resp::{self, Reply};
use crate::shared::{Counts, Handle, Who};

/// How often it is looked whether the Redis is well while nobody asks, or it was not.
const LOOK: Duration = Duration::from_secs(1);

/// How long connecting may take.
const CONNECT: Duration = Duration::from_millis(250);

/// Looks for copies until the end.
pub(crate) fn run(shared: &Handle) {
    let mut link = None;
    while let Some(asks) = shared
        .asks
        .take(if link.is_none() { LOOK / 4 } else { LOOK })
    {
        let result = match &mut link {
            None => Link::connect(&shared.options.address, CONNECT).map(|new| link = Some(new)),
            Some(link) if asks.is_empty() => ping(link, shared),
            Some(link) => look(link, &asks, shared),
        };
        let is_well = result.is_ok();
        if let Err(trouble) = result {
            // What comes on it now would be the answer to something else.
            link = None;
            shared.trouble(Who::Asker, Some(trouble));
        } else {
            shared.trouble(Who::Asker, None);
        }
        if is_well != shared.asks.is_well() {
            shared.asks.set_well(is_well);
        }
        drop(asks);
    }
}

fn ping(link: &mut Link, shared: &Handle) -> Result<(), Trouble> {
    let mut commands = Vec::new();
    resp::put(&mut commands, &[b"PING"]);
    // Nobody waits: a machine that is busy is not the fault of the Redis.
    let until = Instant::now() + shared.options.patience.max(CONNECT);
    match link.call(&commands, 1, until)?.into_iter().next() {
        Some(Reply::Error(why)) => Err(Trouble::Refused(why)),
        _ => Ok(()),
    }
}

/// A key to look for, and the question that it belongs to.
type Wanted<'a> = (&'a CacheKey, &'a Sought);

fn look(link: &mut Link, asks: &[Ask], shared: &Handle) -> Result<(), Trouble> {
    if !shared.has_rules() {
        return Ok(());
    }
    let mut seen = HashSet::new();
    let wanted = asks
        .iter()
        .flat_map(|ask| ask.keys.iter().map(move |key| (key, &ask.sought)));
    let wanted: Vec<Wanted<'_>> = wanted.filter(|(key, _)| seen.insert(key.hash())).collect();
    let names = std::sync::Arc::clone(&shared.state().names);
    let mut commands = Vec::new();
    for (key, _) in &wanted {
        resp::put(&mut commands, &[b"GET", &names.copies(key.hash())]);
    }
    Counts::add(&shared.counts.asked, asks.len() as u64);
    let last = asks.iter().map(|ask| ask.at).max();
    let until = last.unwrap_or_else(Instant::now) + shared.options.patience;
    let replies = link.call(&commands, wanted.len(), until)?;
    let mut absent = Vec::new();
    for ((key, sought), reply) in wanted.into_iter().zip(replies) {
        let found = match reply {
            Reply::Bytes(sealed) => take(&sealed, &names.copies(key.hash()), (key, sought), shared),
            Reply::Error(why) => return Err(Trouble::Refused(why)),
            Reply::List(_) | Reply::Nil | Reply::Number(_) | Reply::Status(_) => 0,
        };
        Counts::add(&shared.counts.found, found);
        if found == 0 {
            absent.push(key.hash());
        }
    }
    shared.asks.note_absent(&absent, Instant::now());
    Ok(())
}

/// Puts what was found under a key into memory; returns how many copies.
fn take(sealed: &[u8], name: &[u8], (key, sought): Wanted<'_>, shared: &Handle) -> u64 {
    let opened = shared.sealer.open(sealed, name);
    let Some(value) = opened.and_then(|bytes| Value::read(&bytes)) else {
        Counts::add(&shared.counts.rejected, 1);
        return 0;
    };
    let is_it = |found: &CacheKey, restored: Restored| {
        restored.key == key.hash() && found == key && shared.state().is_live(found, value.id)
    };
    let restored = value.records.iter().filter(|record| {
        let restored = shared
            .site
            .restore_sought(record, sought, &is_it, shared.now());
        restored.is_ok()
    });
    restored.count() as u64
}
