//! Owns the going of the copies that an operator wants gone.
//! Never decides which ones are meant: [`Purge`] does.

use super::parts::Parts;
use crate::copies::{Outdated, Purge};
use crate::message::Fields;

/// Drops copies; returns how many there were. Looks at every key but for a session.
pub(super) fn purge(parts: &Parts, purge: &Purge) -> usize {
    if let Purge::Session { cookie } = purge {
        let request = Fields::from_pairs([("cookie", cookie.as_bytes())]);
        let (snapshot, now) = (parts.snapshot(), parts.chains.latest());
        let dropped = parts.drop_session(parts.partition(snapshot.keyer(), &request, now));
        parts.end_chains(snapshot.keyer(), &request, now);
        return dropped;
    }
    let purged = purge.keys(parts.snapshot().keyer());
    purged.map_or(0, |purged| {
        parts.outdate(Outdated::Chosen(&|key| purged.has(key)))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{Method, StatusCode};

    use super::*;
    use crate::config::Settings;
    use crate::message::{RequestHead, ResponseHead};
    use crate::site::{Decision, Fetch, Site};
    use crate::time::Instant;

    const NOW: Instant = Instant::ZERO;

    /// Host, target and cookies of each page that there is a copy of.
    const PAGES: [(&str, &str, &str); 6] = [
        ("h", "/a", ""),
        ("h", "/a?q=1", ""),
        ("h", "/a/b", ""),
        ("other", "/a", ""),
        ("h", "/a", "PHPSESSID=1"),
        ("h", "/a", "PHPSESSID=2"),
    ];

    fn request((host, target, cookies): (&str, &str, &str)) -> Arc<RequestHead> {
        let mut fields = vec![("host", host.as_bytes())];
        if !cookies.is_empty() {
            fields.push(("cookie", cookies.as_bytes()));
        }
        let fields = Fields::from_pairs(fields);
        Arc::new(RequestHead::new(Method::GET, target, fields))
    }

    fn site() -> Site {
        Site::new(&Settings::default().validate().unwrap(), 1, NOW)
    }

    fn ask(site: &Site, page: (&str, &str, &str)) -> Fetch {
        let Some(Decision::Fetch(fetch)) = site.decide(&request(page), NOW).now() else {
            panic!("there is no copy yet");
        };
        fetch
    }

    fn answer(fetch: Fetch) {
        let head = ResponseHead::new(StatusCode::OK, Fields::default());
        let mut passing = fetch.on_head(&head, NOW).passed_on();
        passing.on_data(b"page", NOW);
        passing.on_end(NOW);
    }

    /// Purges; the pages at these places lose their copies, and no other.
    #[track_caller]
    fn check(purge: &Purge, gone: &[usize]) {
        let site = site();
        for page in PAGES {
            answer(ask(&site, page));
        }
        assert_eq!(site.purge(purge), gone.len(), "{purge:?}");
        for (at, page) in PAGES.into_iter().enumerate() {
            let key = site.snapshot().keyer().key(&request(page)).unwrap();
            let is_there = site.parts.copies.contains(&key);
            assert_eq!(is_there, !gone.contains(&at), "{purge:?}: {page:?}");
        }
    }

    fn url(host: Option<&str>, path_and_query: &str) -> Purge {
        Purge::Url {
            host: host.map(str::to_owned),
            path_and_query: path_and_query.to_owned(),
        }
    }

    fn prefix(host: Option<&str>, path: &str) -> Purge {
        Purge::Prefix {
            host: host.map(str::to_owned),
            path: path.to_owned(),
        }
    }

    fn session(cookie: &str) -> Purge {
        Purge::Session {
            cookie: cookie.to_owned(),
        }
    }

    #[test]
    fn what_is_named_goes_and_nothing_else() {
        check(&Purge::All, &[0, 1, 2, 3, 4, 5]);
        check(&prefix(None, "/a/"), &[2]);
        check(&prefix(Some("H"), "/a"), &[0, 1, 2, 4, 5]);
        check(&prefix(None, "/b"), &[]);
        check(&session("PHPSESSID=1"), &[4]);
        check(&session("PHPSESSID=3"), &[]);
        // What everybody sees is no session's.
        check(&session("_ga=1"), &[]);
        check(&url(None, "/a"), &[0, 3, 4, 5]);
        check(&url(Some("OTHER"), "/a"), &[3]);
        check(&url(None, "/a?q=1"), &[1]);
        check(&url(Some("other.:80"), "/%61"), &[3]);
        check(&prefix(Some("h:443"), "/%61/"), &[2]);
    }

    #[test]
    fn what_was_asked_for_before_is_not_kept_after() {
        let own = session("PHPSESSID=1");
        for (purge, is_kept) in [(Purge::All, [false, false]), (own, [true, false])] {
            let site = site();
            let pages = [PAGES[0], PAGES[4]];
            let fetches = pages.map(|page| ask(&site, page));
            assert_eq!(site.purge(&purge), 0);
            fetches.into_iter().for_each(answer);
            let kept = pages.map(|page| {
                let key = site.snapshot().keyer().key(&request(page)).unwrap();
                site.parts.copies.contains(&key)
            });
            assert_eq!(kept, is_kept, "{purge:?}");
        }
    }
}
