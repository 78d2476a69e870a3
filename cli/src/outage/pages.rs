//! Owns [`Pages`]: which pages had the most errors, in bounded memory (space-saving, Metwally and
//! others 2005).
//! Never keeps a query: it may have secrets.

use std::collections::BTreeMap;

use crate::telemetry::escape;

/// Pages that are counted at a time: more than are ever shown, so that those are right.
const KEPT: usize = 64;
/// A path is cut here.
const PATH_BYTES_MAX: usize = 200;

/// Errors by page.
#[derive(Clone, Debug, Default)]
pub(super) struct Pages(BTreeMap<Box<str>, u64>);

impl Pages {
    /// Counts an error of a page.
    pub(super) fn add(&mut self, path: &[u8]) {
        let path = escape(&path[..path.len().min(PATH_BYTES_MAX)]);
        self.put(path.into(), 1);
    }

    /// Adds what another has counted.
    pub(super) fn merge(&mut self, other: Self) {
        for (path, count) in other.0 {
            self.put(path, count);
        }
    }

    fn put(&mut self, path: Box<str>, more: u64) {
        if let Some(count) = self.0.get_mut(&path) {
            *count += more;
            return;
        }
        let mut before = 0;
        if self.0.len() >= KEPT {
            // The rarest gives way, and its count goes on: what is counted is never too low.
            let rarest = self.0.iter().min_by_key(|(_, count)| **count);
            if let Some(rarest) = rarest.map(|(path, _)| path.clone()) {
                before = self.0.remove(&rarest).unwrap_or_default();
            }
        }
        self.0.insert(path, before + more);
    }

    /// The pages with the most errors, the worst first.
    pub(super) fn worst(&self, most: usize) -> Vec<(String, u64)> {
        let mut pages: Vec<_> = self.0.iter().collect();
        pages.sort_by_key(|(path, count)| (std::cmp::Reverse(**count), path.len()));
        let worst = pages.into_iter().take(most);
        worst
            .map(|(path, count)| (path.to_string(), *count))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_are_known_among_thousands() {
        let (mut pages, mut other) = (Pages::default(), Pages::default());
        for number in 0..5_000 {
            pages.add(format!("/{number}").as_bytes());
            pages.add(b"/worst");
            other.add(if number % 2 == 0 { b"/bad" } else { b"/worst" });
        }
        pages.merge(other);
        assert!(pages.0.len() <= KEPT);
        let worst = pages.worst(2);
        assert_eq!(worst[0], ("/worst".to_owned(), 7_500));
        assert_eq!(worst[1].0, "/bad");
    }

    #[test]
    fn a_path_is_escaped_and_cut() {
        let mut pages = Pages::default();
        pages.add(&[b"/\n".as_slice(), &[b'a'; 4_096]].concat());
        let path = &pages.worst(1)[0].0;
        assert!(path.starts_with("/\\x0Aaaa") && path.len() < 220, "{path}");
    }
}
