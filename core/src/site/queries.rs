//! Owns [`Queries`]: which parameters of a query seem to change no page, so that an operator can be told.
//! Never leaves one out of a key: whether it changes nothing is for the operator to say.
//!
//! A link with `?ref=PAGE` behind it makes a copy of the same page for each page that it stands on. That
//! is found out by what is kept anyway: two copies of one target but for the value of one parameter,
//! with the same content. Bounded, and only of what everybody may see.

use std::collections::BTreeMap;
use std::hash::BuildHasher as _;
use std::sync::PoisonError;

use foldhash::quality::FixedState;
use hashbrown::HashMap;

use crate::sync::{Mutex, MutexGuard};

/// Targets without one of their parameters that are remembered; where there are more, all are forgotten.
const TARGETS_MAX: usize = 2_048;

/// Names of parameters that are counted.
const NAMES_MAX: usize = 64;

const NAME_BYTES_MAX: usize = 32;

/// Of a query with more parameters nothing is learnt.
const PARAMETERS_MAX: usize = 8;

/// Before something is said of a parameter it has changed no page so often …
const SAME_MIN: u32 = 20;

/// … on this many targets: a single one may be an error page.
const TARGETS_MIN: usize = 3;

/// One value in this many may have met with a page that changed by itself meanwhile.
const SAME_FOR_EACH_OTHER: u32 = 20;

/// What is learnt of parameters.
#[derive(Debug)]
pub(super) struct Queries(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    names: BTreeMap<Box<[u8]>, Count>,
    /// By the hash of a target without one of its parameters.
    targets: HashMap<u64, Seen, FixedState>,
}

/// The last copy of a target: its content, and the value of the parameter.
#[derive(Clone, Copy, Debug)]
struct Seen {
    content: u64,
    value: u64,
}

#[derive(Debug, Default)]
struct Count {
    /// How often a page was another one with another value, and the same.
    differs: u32,
    same: u32,
    /// Some of the targets on which it changed nothing.
    targets: Vec<u64>,
}

impl Queries {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Table::default()))
    }

    /// A copy with this content was kept that everybody may see, of a target with a query.
    pub(super) fn note(&self, path_and_query: &[u8], content: &[u8]) {
        let Some(mark) = memchr::memchr(b'?', path_and_query) else {
            return;
        };
        let (path, query) = path_and_query.split_at(mark);
        let parameters: Vec<&[u8]> = query[1..].split(|&byte| byte == b'&').collect();
        if parameters.len() > PARAMETERS_MAX {
            return;
        }
        let hash = FixedState::with_seed(0);
        let content = hash.hash_one(content);
        let mut table = self.table();
        for (at, parameter) in parameters.iter().enumerate() {
            let end = memchr::memchr(b'=', parameter).unwrap_or(parameter.len());
            let (name, value) = parameter.split_at(end);
            let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
            if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.iter().all(is_plain) {
                continue;
            }
            let others = (&parameters[..at], &parameters[at + 1..]);
            let target = hash.hash_one((path, others, name));
            let value = hash.hash_one(value);
            table.note(name, target, Seen { content, value });
        }
    }

    /// The names of those that seem to change nothing.
    pub(super) fn idle(&self) -> Vec<String> {
        let table = self.table();
        let is_idle = |count: &Count| {
            let is_clear = count.same / SAME_FOR_EACH_OTHER >= count.differs;
            is_clear && count.same >= SAME_MIN && count.targets.len() >= TARGETS_MIN
        };
        let idle = table.names.iter().filter(|(_, count)| is_idle(count));
        idle.map(|(name, _)| String::from_utf8_lossy(name).into_owned())
            .collect()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn note(&mut self, name: &[u8], target: u64, seen: Seen) {
        if self.targets.len() >= TARGETS_MAX && !self.targets.contains_key(&target) {
            self.targets.clear();
        }
        let Some(before) = self.targets.insert(target, seen) else {
            return;
        };
        if before.value == seen.value {
            return;
        }
        if !self.names.contains_key(name) {
            if self.names.len() >= NAMES_MAX {
                return;
            }
            self.names.insert(name.into(), Count::default());
        }
        let Some(count) = self.names.get_mut(name) else {
            return;
        };
        if before.content != seen.content {
            count.differs = count.differs.saturating_add(1);
            return;
        }
        count.same = count.same.saturating_add(1);
        if count.targets.len() < TARGETS_MIN && !count.targets.contains(&target) {
            count.targets.push(target);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Copies of `pages` pages with values of `name` from 0 on, of which the content is told by `content`.
    #[track_caller]
    fn check(name: &str, pages: u32, content: fn(u32, u32) -> u32, expected: &[&str]) {
        let queries = Queries::new();
        for value in 0..30 {
            for page in 0..pages {
                let target = format!("/p{page}?id={page}&{name}={value}");
                let content = format!("page {}", content(page, value));
                queries.note(target.as_bytes(), content.as_bytes());
            }
        }
        assert_eq!(queries.idle(), expected, "{name} on {pages} pages");
    }

    #[test]
    fn a_parameter_that_changes_no_page_is_told_and_no_other() {
        check("ref", 5, |page, _| page, &["ref"]);
        check("ref", 2, |page, _| page, &[]);
        check("page", 5, |page, value| page * 100 + value, &[]);
        // It does not on most of them.
        check(
            "sort",
            5,
            |page, value| page * 100 + u32::from(page == 4) * value,
            &[],
        );
        // No name that could be written into a setting.
        check("a%2Cb", 5, |page, _| page, &[]);
    }

    #[test]
    fn pages_that_change_by_themselves_say_nothing_of_one_value() {
        let queries = Queries::new();
        for time in 0..100_u32 {
            queries.note(b"/p?ref=a", &time.to_le_bytes());
        }
        assert_eq!(queries.idle(), [""; 0]);
    }

    #[test]
    fn the_tables_are_bounded() {
        let queries = Queries::new();
        for number in 0..10_000_u32 {
            let target = format!("/{number}?n{number}=1");
            queries.note(target.as_bytes(), b"");
            let target = format!("/{number}?n{number}=2");
            queries.note(target.as_bytes(), b"");
        }
        let table = queries.table();
        assert!(table.names.len() <= NAMES_MAX && table.targets.len() <= TARGETS_MAX);
    }
}
