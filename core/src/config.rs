//! Owns the settings of the core: plain [`Settings`] go in, a checked [`Config`] comes out.
//! Never reads an environment, a file or a command line; never lets zero mean "default".

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::time::Duration;

use crate::limits::HEAD_BYTES_CEILING;

/// All settings of the core, with their defaults. Check them with [`Settings::validate`].
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// How many requests may be at the origin.
    pub admission: AdmissionSettings,
    /// When the circuit opens and closes.
    pub breaker: BreakerSettings,
    /// What is kept and who may see it.
    pub cache: CacheSettings,
    /// The protocol toward clients.
    pub client: ClientSettings,
    /// The protocol toward the origin.
    pub origin: OriginSettings,
}

/// Settings of the admission gate.
#[derive(Clone, Debug)]
pub struct AdmissionSettings {
    /// Requests at the origin at one time.
    pub in_flight_max: u32,
}

/// Settings of the breaker.
#[derive(Clone, Debug)]
pub struct BreakerSettings {
    /// Length of the sliding window of outcomes.
    pub window: Duration,
    /// Share of failures that opens a circuit, above 0 and up to 1.
    pub failure_rate: f64,
    /// Failures in a row that open a path's circuit, and connect failures in a row that open
    /// the origin's.
    pub consecutive_failures: u32,
    /// Outcomes in the window before a path's failure rate counts.
    pub path_outcomes_min: u32,
    /// Outcomes in the window before the origin's failure rate counts.
    pub origin_outcomes_min: u32,
    /// Different failing paths in the window before the origin's failure rate counts.
    pub origin_paths_min: u32,
    /// Shortest open time.
    pub open_min: Duration,
    /// Longest open time; it doubles from the shortest with each failed recovery.
    pub open_max: Duration,
    /// Random part of the open time, ± this share, 0 to below 1.
    pub jitter: f64,
    /// How long a probe may take before its lease ends and another may go.
    pub probe_lease: Duration,
    /// Successful probes in a row that close the origin's circuit (a path's closes at the first).
    pub origin_probes: u32,
    /// Paths with a circuit of their own; the least recently failing gives way.
    pub paths_max: usize,
    /// Response status codes that are failures.
    pub failure_statuses: StatusSet,
}

/// Settings of the store and of partitions.
#[derive(Clone, Debug)]
pub struct CacheSettings {
    /// Age below which a copy is labelled `cache`, above it `last-known-success`.
    pub ttl: Duration,
    /// Whether the query is part of the key.
    pub detect_query: bool,
    /// Whether cookies and credentials partition the copies.
    pub detect_session: bool,
    /// Which responses are kept, and for whom.
    pub rescue: RescueMode,
    /// Age above which a copy rescues nobody.
    pub rescue_age_max: Duration,
    /// Bytes of all copies.
    pub bytes_max: usize,
    /// Number of all copies.
    pub entries_max: usize,
    /// Body bytes of one copy.
    pub object_bytes_max: usize,
    /// Names of cookies that carry a session.
    pub session_cookies: NamePatterns,
    /// Names of cookies that never change a page.
    pub ignored_cookies: NamePatterns,
}

/// Settings of the client side of a session.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Bytes of a request head, and of the request target in it.
    pub head_bytes_max: usize,
    /// Whether responses are compressed for clients that accept gzip.
    pub gzip: bool,
    /// Longest time for a whole request head, and between two pieces of a request body.
    pub read_timeout: Duration,
    /// Longest time in which a client takes no byte of a pending response.
    pub write_timeout: Duration,
    /// Longest time an idle connection is kept.
    pub idle_timeout: Duration,
}

/// Settings of the origin side of a session.
#[derive(Clone, Debug)]
pub struct OriginSettings {
    /// `host[:port]` of the origin, sent as `Host` when the client sent none.
    pub authority: String,
    /// Path prefix put before every request path: empty or `/prefix` without a last `/`.
    pub path_prefix: String,
    /// Bytes of a response head.
    pub head_bytes_max: usize,
    /// Longest time to connect.
    pub connect_timeout: Duration,
    /// Longest time from the request to the response head.
    pub head_timeout: Duration,
    /// Longest time between two pieces of a body, in either direction.
    pub body_timeout: Duration,
    /// Longest silence of a tunnel or an event stream.
    pub tunnel_timeout: Duration,
}

impl OriginSettings {
    fn has_valid_prefix(&self) -> bool {
        let prefix = &self.path_prefix;
        prefix.is_empty()
            || prefix.starts_with('/')
                && !prefix.ends_with('/')
                && prefix.bytes().all(|byte| byte.is_ascii_graphic())
    }
}

impl Default for AdmissionSettings {
    fn default() -> Self {
        Self {
            in_flight_max: 1024,
        }
    }
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            failure_rate: 0.66,
            consecutive_failures: 5,
            path_outcomes_min: 5,
            origin_outcomes_min: 20,
            origin_paths_min: 3,
            open_min: Duration::from_secs(2),
            open_max: Duration::from_secs(60),
            jitter: 0.2,
            probe_lease: Duration::from_secs(15),
            origin_probes: 3,
            paths_max: 1024,
            failure_statuses: StatusSet::default(),
        }
    }
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(5),
            detect_query: true,
            detect_session: true,
            rescue: RescueMode::Session,
            rescue_age_max: Duration::from_secs(24 * 60 * 60),
            bytes_max: 64 << 20,
            entries_max: 100_000,
            object_bytes_max: 4 << 20,
            session_cookies: NamePatterns::session_cookies(),
            ignored_cookies: NamePatterns::ignored_cookies(),
        }
    }
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            head_bytes_max: 16 << 10,
            gzip: true,
            read_timeout: Duration::from_secs(15),
            write_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(60),
        }
    }
}

impl Default for OriginSettings {
    fn default() -> Self {
        Self {
            authority: "localhost:8088".to_owned(),
            path_prefix: String::new(),
            head_bytes_max: 32 << 10,
            connect_timeout: Duration::from_secs(2),
            head_timeout: Duration::from_secs(15),
            body_timeout: Duration::from_secs(60),
            tunnel_timeout: Duration::from_secs(60 * 60),
        }
    }
}

/// Which responses are kept to rescue with.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum RescueMode {
    /// Every 200, whatever its directives, as the original program did.
    All,
    /// `private`, `no-store` and `no-cache` responses only inside the session's own partition;
    /// shared copies by RFC 9111.
    #[default]
    Session,
    /// RFC 9111 to the letter everywhere.
    Strict,
}

/// A set of 5xx status codes: `500-599,!501,!505` is the default.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StatusSet(u128);

impl StatusSet {
    /// Whether `status` is in the set.
    #[must_use]
    pub fn contains(self, status: http::StatusCode) -> bool {
        status
            .as_u16()
            .checked_sub(500)
            .is_some_and(|bit| bit < 100 && self.0 >> bit & 1 == 1)
    }

    fn range(from: u16, to: u16) -> u128 {
        (from..=to).fold(0, |set, status| set | 1 << (status - 500))
    }
}

impl Default for StatusSet {
    fn default() -> Self {
        // 501 and 505 answer what was asked, not how the origin is (HAProxy counts them as good).
        Self(Self::range(500, 599) & !Self::range(501, 501) & !Self::range(505, 505))
    }
}

impl FromStr for StatusSet {
    type Err = String;

    /// Comma-separated codes and ranges from 500 to 599; `!` takes out what was put in before.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut set = 0;
        for item in text.split(',').map(str::trim) {
            let (remove, item) = item
                .strip_prefix('!')
                .map_or((false, item), |item| (true, item));
            let (from, to) = item.split_once('-').unwrap_or((item, item));
            let code = |text: &str| {
                text.trim()
                    .parse::<u16>()
                    .ok()
                    .filter(|code| (500..=599).contains(code))
            };
            let (Some(from), Some(to)) = (code(from), code(to)) else {
                return Err(format!("`{item}` is not a code or range from 500 to 599"));
            };
            if from > to {
                return Err(format!("range `{item}` runs backwards"));
            }
            let range = Self::range(from, to);
            set = if remove { set & !range } else { set | range };
        }
        Ok(Self(set))
    }
}

impl fmt::Display for StatusSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut code = 500;
        while code < 600 {
            let start = code;
            while code < 600 && self.0 >> (code - 500) & 1 == 1 {
                code += 1;
            }
            match code - start {
                0 => {}
                1 => write!(f, "{separator}{start}")?,
                _ => write!(f, "{separator}{start}-{}", code - 1)?,
            }
            if code > start {
                separator = ",";
            }
            code += 1;
        }
        Ok(())
    }
}

/// Names and name prefixes (`wordpress_logged_in_*`), compared with case as cookies are.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NamePatterns {
    exact: Vec<String>,
    prefixes: Vec<String>,
}

impl NamePatterns {
    /// The well-known session cookies of common frameworks.
    #[must_use]
    pub fn session_cookies() -> Self {
        Self::from_names(SESSION_COOKIES.split(' '))
    }

    /// Cookies of analytics and consent tools that never change what the origin renders.
    #[must_use]
    pub fn ignored_cookies() -> Self {
        Self::from_names(IGNORED_COOKIES.split(' '))
    }

    /// Whether `name` is one of the names or begins with one of the prefixes.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        self.exact.iter().any(|exact| exact.as_bytes() == name)
            || self
                .prefixes
                .iter()
                .any(|prefix| name.starts_with(prefix.as_bytes()))
    }

    fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut patterns = Self::default();
        for name in names {
            match name.strip_suffix('*') {
                Some(prefix) => patterns.prefixes.push(prefix.to_owned()),
                None => patterns.exact.push(name.to_owned()),
            }
        }
        patterns
    }
}

impl FromStr for NamePatterns {
    type Err = String;

    /// Comma-separated names; a last `*` makes a prefix. An empty text is no name at all.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let names: Vec<_> = text
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .collect();
        for name in &names {
            let bare = name.strip_suffix('*').unwrap_or(name);
            if !crate::message::is_token(bare.as_bytes()) || bare.contains('*') {
                return Err(format!(
                    "`{name}` is not a cookie name, nor a prefix with `*` after it"
                ));
            }
        }
        Ok(Self::from_names(names))
    }
}

impl fmt::Display for NamePatterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefixes = self.prefixes.iter().map(|prefix| format!("{prefix}*"));
        let names: Vec<_> = self.exact.iter().cloned().chain(prefixes).collect();
        f.write_str(&names.join(","))
    }
}

const SESSION_COOKIES: &str = "\
    PHPSESSID JSESSIONID SESSION ci_session laravel_session session sessionid connect.sid \
    koa.sess _session_id rack.session ASP.NET_SessionId .AspNetCore.Session \
    .AspNetCore.Cookies CAKEPHP symfony wordpress_logged_in_* wordpress_sec_* wp-postpass_* \
    wp_woocommerce_session_* SSESS* SESS* CFID CFTOKEN sid sessid session_id session-token \
    auth_token access_token remember_token remember_web_* REMEMBERME remember-me \
    __Host-session __Secure-session next-auth.session-token __Secure-next-auth.session-token \
    authjs.session-token __Secure-authjs.session-token";

const IGNORED_COOKIES: &str = "\
    _ga _ga_* _gid _gat _gat_* _gcl_* __utm* __gads __gpi _fbp _fbc _pk_* _hj* _clck _clsk \
    _uetsid _uetvid _ttp _tt_* _pin_unauth _scid _matomo* mp_* ajs_* amplitude_* optimizely* \
    __hstc __hssc __hssrc hubspotutk _dc_gtm_* OptanonConsent OptanonAlertBoxClosed \
    CookieConsent euconsent-v2";

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A setting that cannot work: its name in [`Settings`] and what would be accepted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{setting}: {accepted}")]
pub struct ConfigError {
    /// The path of the field in [`Settings`], as `breaker.failure_rate`.
    pub setting: &'static str,
    /// What is accepted, as `a number above 0 and up to 1`.
    pub accepted: &'static str,
}

/// Settings that were checked and can be trusted. Made only by [`Settings::validate`].
#[derive(Clone, Debug)]
pub struct Config(Settings);

impl Deref for Config {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        &self.0
    }
}

impl Settings {
    /// Checks every setting.
    ///
    /// # Errors
    /// All settings that cannot work, at once.
    pub fn validate(self) -> Result<Config, Vec<ConfigError>> {
        let errors: Vec<_> = self
            .requirements()
            .into_iter()
            .chain(self.durations().map(|(setting, duration)| {
                let holds = !duration.is_zero() && duration <= YEAR;
                (holds, setting, "a duration above zero, up to a year")
            }))
            .filter(|(holds, ..)| !holds)
            .map(|(_, setting, accepted)| ConfigError { setting, accepted })
            .collect();
        if errors.is_empty() {
            Ok(Config(self))
        } else {
            Err(errors)
        }
    }

    /// What must hold, the setting that breaks it, and what is accepted.
    fn requirements(&self) -> [(bool, &'static str, &'static str); 14] {
        const ONE_UP: &str = "a whole number from 1 up";
        const HEAD: &str = "a size from 1 KiB to 65535 bytes";
        let Self {
            admission,
            breaker,
            cache,
            client,
            origin,
        } = self;
        let rate = breaker.failure_rate;
        let heads = 1024..=HEAD_BYTES_CEILING;
        [
            (
                admission.in_flight_max > 0,
                "admission.in_flight_max",
                ONE_UP,
            ),
            (
                rate > 0.0 && rate <= 1.0,
                "breaker.failure_rate",
                "a number above 0 and up to 1",
            ),
            (
                breaker.consecutive_failures > 0,
                "breaker.consecutive_failures",
                ONE_UP,
            ),
            (
                breaker.path_outcomes_min > 0,
                "breaker.path_outcomes_min",
                ONE_UP,
            ),
            (
                breaker.origin_outcomes_min > 0,
                "breaker.origin_outcomes_min",
                ONE_UP,
            ),
            (
                breaker.origin_paths_min > 0,
                "breaker.origin_paths_min",
                ONE_UP,
            ),
            (breaker.origin_probes > 0, "breaker.origin_probes", ONE_UP),
            (breaker.paths_max > 0, "breaker.paths_max", ONE_UP),
            (
                (0.0..1.0).contains(&breaker.jitter),
                "breaker.jitter",
                "a number from 0 to below 1",
            ),
            (
                breaker.open_max >= breaker.open_min && breaker.open_max <= YEAR,
                "breaker.open_max",
                "a duration not shorter than breaker.open_min, up to a year",
            ),
            (
                heads.contains(&client.head_bytes_max),
                "client.head_bytes_max",
                HEAD,
            ),
            (
                heads.contains(&origin.head_bytes_max),
                "origin.head_bytes_max",
                HEAD,
            ),
            (
                cache.object_bytes_max <= cache.bytes_max,
                "cache.object_bytes_max",
                "a size not above cache.bytes_max",
            ),
            (
                !origin.authority.is_empty() && origin.has_valid_prefix(),
                "origin.path_prefix",
                "empty, or a path that begins with / and does not end with it",
            ),
        ]
    }

    fn durations(&self) -> [(&'static str, Duration); 11] {
        [
            ("breaker.window", self.breaker.window),
            ("breaker.open_min", self.breaker.open_min),
            ("breaker.probe_lease", self.breaker.probe_lease),
            ("cache.rescue_age_max", self.cache.rescue_age_max),
            ("client.read_timeout", self.client.read_timeout),
            ("client.write_timeout", self.client.write_timeout),
            ("client.idle_timeout", self.client.idle_timeout),
            ("origin.connect_timeout", self.origin.connect_timeout),
            ("origin.head_timeout", self.origin.head_timeout),
            ("origin.body_timeout", self.origin.body_timeout),
            ("origin.tunnel_timeout", self.origin.tunnel_timeout),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        assert!(Settings::default().validate().is_ok());
    }

    #[test]
    fn every_bad_setting_is_named_at_once() {
        let mut settings = Settings::default();
        settings.breaker.failure_rate = f64::NAN;
        settings.breaker.consecutive_failures = 0;
        settings.client.read_timeout = Duration::ZERO;
        settings.origin.path_prefix = "/a/".to_owned();
        let errors = settings.validate().unwrap_err();
        let named: Vec<_> = errors.iter().map(|error| error.setting).collect();
        assert_eq!(
            named,
            [
                "breaker.failure_rate",
                "breaker.consecutive_failures",
                "origin.path_prefix",
                "client.read_timeout"
            ]
        );
    }

    #[test]
    fn status_sets() {
        #[track_caller]
        fn check(text: &str, shown: &str) {
            let set: StatusSet = text.parse().unwrap();
            assert_eq!(set.to_string(), shown);
            assert_eq!(set.to_string().parse(), Ok(set));
        }
        check("500-599,!501,!505", "500,502-504,506-599");
        check("503", "503");
        check("502-504, 500", "500,502-504");
        assert_eq!("500-599,!501,!505".parse(), Ok(StatusSet::default()));
        for bad in ["", "404", "5xx", "504-502", "500,", "!"] {
            assert!(bad.parse::<StatusSet>().is_err(), "{bad}");
        }
        assert!(!StatusSet::default().contains(http::StatusCode::OK));
        assert!(StatusSet::default().contains(http::StatusCode::BAD_GATEWAY));
    }

    #[test]
    fn name_patterns() {
        let names = NamePatterns::session_cookies();
        assert!(names.matches(b"PHPSESSID") && !names.matches(b"phpsessid"));
        assert!(names.matches(b"wordpress_logged_in_abc") && !names.matches(b"_ga"));
        assert_eq!(names.to_string().parse(), Ok(names));
        assert!("a b".parse::<NamePatterns>().is_err() && "a*b".parse::<NamePatterns>().is_err());
        assert_eq!("".parse(), Ok(NamePatterns::default()));
    }
}
