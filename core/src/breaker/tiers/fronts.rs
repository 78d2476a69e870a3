//! Owns [`Fronts`]: whether one path is the whole site, so that its pages differ in the query.
//! Never decides what that means for a circuit.

/// Paths that are counted; the one that was asked for least gives way.
const PATHS: usize = 8;

/// Good answers before anything is said, and after which all counts are halved.
const ENOUGH: u32 = 16;
const HALVED: u32 = 1024;

/// Different queries that one path has to be good for.
const QUERIES: u32 = 8;

/// The paths that most good answers are for.
#[derive(Debug, Default)]
pub(super) struct Fronts {
    all: u32,
    paths: [Front; PATHS],
}

#[derive(Clone, Copy, Debug, Default)]
struct Front {
    path: u64,
    count: u32,
    /// A bit for each query, by its number: as many as there are at least.
    queries: u64,
}

impl Fronts {
    /// A page was answered well. What belongs to pages, as an image does, is not to be told.
    pub(super) fn add(&mut self, path: u64, query: u64) {
        if self.all >= HALVED {
            self.all /= 2;
            for front in &mut self.paths {
                front.count /= 2;
            }
        }
        self.all += 1;
        let found = self.paths.iter_mut().find(|front| front.path == path);
        let front = match found {
            Some(front) => front,
            None => {
                let least = self.paths.iter_mut().min_by_key(|front| front.count);
                let Some(least) = least else { return };
                // It may have been counted before: never too little.
                *least = Front {
                    path,
                    count: least.count,
                    queries: 0,
                };
                least
            }
        };
        front.count += 1;
        if query != 0 {
            front.queries |= 1 << (query % 64);
        }
    }

    /// The path whose pages are told apart by their query: at least every other good answer is one of
    /// them, or every third where it has been that path `before`.
    pub(super) fn front(&self, before: Option<u64>) -> Option<u64> {
        let is_it = |front: &&Front| {
            let part = if Some(front.path) == before { 3 } else { 2 };
            front.count * part >= self.all && front.queries.count_ones() >= QUERIES
        };
        let mut fronts = self.paths.iter().filter(is_it);
        let front = fronts.next().filter(|_| self.all >= ENOUGH)?;
        Some(front.path)
    }
}

/// Whether a path is of what belongs to pages.
pub(super) fn is_asset(path: &[u8]) -> bool {
    const ENDS: [&[u8]; 20] = [
        b"avif", b"css", b"gif", b"ico", b"jpeg", b"jpg", b"js", b"map", b"mjs", b"mp3", b"mp4",
        b"otf", b"png", b"svg", b"ttf", b"txt", b"webm", b"webp", b"woff", b"woff2",
    ];
    let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let dot = memchr::memrchr(b'.', last);
    dot.is_some_and(|dot| {
        ENDS.iter()
            .any(|end| last[dot + 1..].eq_ignore_ascii_case(end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_most_pages_are_of_is_the_whole_site() {
        let mut fronts = Fronts::default();
        for query in 1..=15 {
            fronts.add(7, query);
        }
        assert_eq!(fronts.front(None), None, "too early to say");
        fronts.add(7, 16);
        assert_eq!(fronts.front(None), Some(7));
        for path in 100..116 {
            fronts.add(path, 0);
            assert_eq!(fronts.front(None), Some(7));
        }
        for path in 100..110 {
            fronts.add(path, 0);
        }
        assert_eq!(fronts.front(None), None, "one of many");
        assert_eq!(fronts.front(Some(7)), Some(7), "as before");
        for path in 100..150 {
            fronts.add(path, 0);
        }
        assert_eq!(fronts.front(Some(7)), None, "no more");
    }

    #[test]
    fn a_path_without_different_queries_is_one_page() {
        let mut fronts = Fronts::default();
        for query in (0..7).cycle().take(5_000) {
            fronts.add(7, query);
        }
        assert_eq!(fronts.front(None), None);
        assert!(fronts.all <= HALVED);
    }

    #[test]
    fn assets() {
        for path in ["/a.css", "/x/y.min.JS", "/font.woff2", "/a.b/c.png"] {
            assert!(is_asset(path.as_bytes()), "{path}");
        }
        for path in ["/", "/index.php", "/a.css/", "/css", "/x.js.php", ""] {
            assert!(!is_asset(path.as_bytes()), "{path}");
        }
    }
}
