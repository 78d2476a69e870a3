//! Owns [`Snapshot`]: the settings of a site at one moment, with the keys that they shape.
//! Never changes: what began with it ends with it, whatever the site is told meanwhile.

use std::hash::BuildHasher;
use std::sync::OnceLock;

use foldhash::quality::FixedState;

use crate::config::{SiteConfig, SiteSettings};
use crate::key::Keyer;
use crate::message::known;
use crate::rules::soft::Texts;

/// The settings by which one exchange is treated from its beginning to its end.
#[derive(Debug)]
pub struct Snapshot {
    config: SiteConfig,
    /// Of error pages, those that the settings name.
    failure_texts: Option<Texts>,
    keyer: Keyer,
    /// Made when it is first asked for: only where copies are written down.
    rules: OnceLock<u64>,
}

impl Snapshot {
    /// The same `seed` gives the same keys.
    pub(super) fn new(config: SiteConfig, seed: u64) -> Self {
        let keyer = Keyer::new(&config.cache, seed);
        let failure_texts = Texts::own(&config.breaker.failure_texts);
        Self {
            config,
            failure_texts,
            keyer,
            rules: OnceLock::new(),
        }
    }

    /// A mark of all by which copies are made: whoever has another one must not use them.
    pub(super) fn rules(&self) -> u64 {
        let mark = || mark_of_rules(&self.config, &self.keyer);
        *self.rules.get_or_init(mark)
    }

    /// The same where the seed is another one, and the origin may be at another address.
    pub(super) fn rules_of_all(&self) -> u64 {
        FixedState::with_seed(0).hash_one(text_of_rules(&self.config))
    }

    /// Whether nothing is kept or rescued of this path.
    pub(super) fn excludes(&self, path: &[u8]) -> bool {
        self.config.cache.excluded_paths.matches(path)
    }

    /// The settings.
    #[must_use]
    pub const fn config(&self) -> &SiteConfig {
        &self.config
    }

    pub(super) const fn failure_texts(&self) -> Option<&Texts> {
        self.failure_texts.as_ref()
    }

    /// Who may see which copy.
    #[must_use]
    pub const fn keyer(&self) -> &Keyer {
        &self.keyer
    }
}

/// It is another one for each seed, and for each origin.
fn mark_of_rules(config: &SiteConfig, keyer: &Keyer) -> u64 {
    let origin = &config.origin;
    let from = (&origin.authority, &origin.path_prefix);
    let text = format!("{} {from:?}", text_of_rules(config));
    FixedState::with_seed(keyer.mark_of_keys()).hash_one(text)
}

/// It is another one for another version of the program, and for another table of fields: keys have the
/// numbers of the fields that shape a page.
fn text_of_rules(config: &SiteConfig) -> String {
    let SiteSettings { cache, .. } = &**config;
    let keys = (
        cache.detect_query,
        cache.detect_session,
        &cache.session_cookies,
        &cache.ignored_cookies,
        &cache.ignored_query,
        &cache.harmless_fields,
        &cache.identity_fields,
    );
    let kept = (cache.rescue, cache.public, &cache.excluded_paths);
    let version = env!("CARGO_PKG_VERSION");
    let fields = known::mark_of_table();
    format!("{version} {fields} {keys:?} {kept:?}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use http::{Method, StatusCode};

    use crate::config::{Settings, SiteConfig, SiteSettings};
    use crate::message::{Fields, RequestHead, ResponseHead};
    use crate::site::{Decision, Fetch, Ruling, Site, Verdict};
    use crate::time::Instant;

    const NOW: Instant = Instant::ZERO;

    fn site() -> Site {
        Site::new(&Settings::default().validate().unwrap(), 1, NOW)
    }

    fn settings(change: impl FnOnce(&mut SiteSettings)) -> SiteConfig {
        let mut settings = SiteSettings::default();
        change(&mut settings);
        settings.validate().unwrap()
    }

    fn ask(site: &Site) -> Fetch {
        let request = RequestHead::new(Method::GET, "/", Fields::default());
        let Some(Decision::Fetch(fetch)) = site.decide(&Arc::new(request), NOW).now() else {
            panic!("there is room");
        };
        fetch
    }

    fn keep(site: &Site) {
        let fetch = ask(site);
        let head = ResponseHead::new(StatusCode::OK, Fields::default());
        let mut passing = fetch.on_head(&head, NOW).passed_on();
        passing.on_data(b"page", NOW);
        passing.on_end(NOW);
        assert_eq!(site.stats(NOW).copies, 1);
    }

    fn is_rescued(fetch: Fetch) -> bool {
        let head = ResponseHead::new(StatusCode::SERVICE_UNAVAILABLE, Fields::default());
        matches!(fetch.on_head(&head, NOW), Verdict::Serve(_))
    }

    #[test]
    fn an_exchange_ends_by_the_settings_that_it_began_with() {
        let site = site();
        keep(&site);
        let began_before = ask(&site);
        let lenient = settings(|site| {
            site.breaker.failure_statuses = "500".parse().unwrap();
            site.cache.ttl = Duration::from_secs(60);
        });
        assert!(site.reconfigure(&lenient, NOW).is_empty());
        assert!(is_rescued(began_before));
        assert!(!is_rescued(ask(&site)));
        assert_eq!(site.snapshot().config().cache.ttl, Duration::from_secs(60));
        assert_eq!(site.stats(NOW).copies, 1, "what was learnt stays");
    }

    #[test]
    fn where_keys_are_others_all_copies_go() {
        let site = site();
        keep(&site);
        let shaping = settings(|site| site.cache.detect_query = false);
        assert!(site.reconfigure(&shaping, NOW).is_empty());
        assert_eq!(site.stats(NOW).copies, 0);
    }

    #[test]
    fn limits_change_at_once() {
        let site = site();
        let one = settings(|site| site.admission.in_flight_max = 1);
        assert!(site.reconfigure(&one, NOW).is_empty());
        let _busy = ask(&site);
        let request = Arc::new(RequestHead::new(Method::GET, "/x", Fields::default()));
        let Ruling::Wait(ticket) = site.decide(&request, NOW) else {
            panic!("there is one place");
        };
        let more = settings(|site| site.admission.queue_timeout = Duration::from_secs(9));
        assert!(site.reconfigure(&more, NOW).is_empty());
        assert_eq!(
            ticket.deadline(),
            NOW + Duration::from_secs(1),
            "as it was told"
        );
        drop(ticket);
        assert_eq!(
            site.stats(NOW).admission.limit,
            1,
            "it learns what more is borne"
        );
    }

    #[test]
    fn a_circuit_goes_on_by_other_terms() {
        let site = site();
        let quick = settings(|site| {
            site.breaker.consecutive_failures = 1;
            site.breaker.slow_rate = None;
        });
        assert!(site.reconfigure(&quick, NOW).is_empty());
        drop(ask(&site).on_failure(crate::report::Failure::Connect, NOW));
        assert_ne!(site.circuit(NOW), crate::breaker::State::Closed);
    }

    #[test]
    fn what_counts_from_the_next_start_is_named() {
        let site = site();
        let larger = settings(|site| {
            site.cache.bytes_max *= 2;
            site.breaker.paths_max = 7;
        });
        let later = site.reconfigure(&larger, NOW);
        assert_eq!(later, ["breaker.paths_max", "cache.bytes_max"]);
        assert_eq!(
            site.reconfigure(&larger, NOW),
            later,
            "they still do not count"
        );
    }
}
