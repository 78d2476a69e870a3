//! Owns the values that settings are made of: sets of status codes and patterns of names.
//! Never knows which setting holds them.

use std::fmt;
use std::str::FromStr;

/// A set of 4xx and 5xx status codes: `500-599,!501,!505` is the default.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Codes([u128; 2]);

/// The status codes that are failures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StatusSet(Codes);

impl Codes {
    const FIRST: u16 = 400;
    const LAST: u16 = 599;

    /// Where the bit of a code is.
    fn place(code: u16) -> Option<(usize, u16)> {
        let class = match code {
            400..=499 => 0,
            500..=599 => 1,
            _ => return None,
        };
        Some((class, code % 100))
    }

    fn contains(self, code: u16) -> bool {
        Self::place(code).is_some_and(|(class, bit)| self.0[class] >> bit & 1 == 1)
    }

    fn change(&mut self, from: u16, to: u16, is_in: bool) {
        for (class, bit) in (from..=to).filter_map(Self::place) {
            let codes = &mut self.0[class];
            *codes = *codes & !(1 << bit) | u128::from(is_in) << bit;
        }
    }
}

impl StatusSet {
    /// Whether `status` is in the set.
    #[must_use]
    pub fn contains(self, status: http::StatusCode) -> bool {
        self.0.contains(status.as_u16())
    }
}

impl Default for StatusSet {
    fn default() -> Self {
        let mut codes = Codes::default();
        codes.change(500, 599, true);
        // 501 and 505 answer what was asked, not how the origin is (HAProxy counts them as good).
        codes.change(501, 501, false);
        codes.change(505, 505, false);
        Self(codes)
    }
}

impl FromStr for StatusSet {
    type Err = String;

    /// Comma-separated codes and ranges from 400 to 599; `!` takes out what was put in before.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut codes = Codes::default();
        for item in text.split(',').map(str::trim) {
            let (is_in, item) = item
                .strip_prefix('!')
                .map_or((true, item), |item| (false, item));
            let (from, to) = item.split_once('-').unwrap_or((item, item));
            let code = |text: &str| {
                let code = text.trim().parse::<u16>().ok()?;
                (Codes::FIRST..=Codes::LAST).contains(&code).then_some(code)
            };
            let (Some(from), Some(to)) = (code(from), code(to)) else {
                return Err(format!("`{item}` is not a code or range from 400 to 599"));
            };
            if from > to {
                return Err(format!("range `{item}` runs backwards"));
            }
            codes.change(from, to, is_in);
        }
        Ok(Self(codes))
    }
}

impl fmt::Display for StatusSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_in = |code: u16| self.0.contains(code);
        let mut separator = "";
        let mut code = Codes::FIRST;
        while code <= Codes::LAST {
            let start = code;
            while is_in(code) {
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

/// Names, and patterns of them with one `*` for any text (`wordpress_logged_in_*`,
/// `mp_*_mixpanel`), compared with case as cookies are.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NamePatterns {
    /// By their length, so that few of them are looked at for each name.
    exact: Vec<String>,
    /// Where those of each length begin; the last is for all that are longer.
    by_length: [u16; LENGTHS + 1],
    /// One bit of 64 for the first byte of each name: most others have none of them.
    exact_bits: u64,
    /// Likewise for its length.
    lengths: u64,
    /// What comes before the `*`, and what after it.
    patterns: Vec<(String, String)>,
    /// Likewise for their first byte, where they say it.
    pattern_bits: u64,
    /// Likewise for their last byte, where they do not.
    end_bits: u64,
}

impl NamePatterns {
    /// The well-known session cookies of common frameworks.
    #[must_use]
    pub fn session_cookies() -> Self {
        Self::from_names(SESSION_COOKIES.split(' '))
    }

    /// Cookies of analytics and consent tools, load balancers and bot walls that never change what
    /// the origin renders.
    #[must_use]
    pub fn ignored_cookies() -> Self {
        Self::from_names(IGNORED_COOKIES.split(' '))
    }

    /// Query parameters by which campaigns and mailings follow a visitor; no page changes by them.
    #[must_use]
    pub fn ignored_query() -> Self {
        Self::from_names(IGNORED_QUERY.split(' '))
    }

    /// Whether there is no name at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.patterns.is_empty()
    }

    /// Whether `name` is one of the names or fits one of the patterns.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        let fits = || self.patterns.iter().any(|pattern| fits(name, pattern));
        self.has(name)
            || (self.pattern_bits & first_bit(name) != 0 || self.end_bits & last_bit(name) != 0)
                && fits()
    }

    /// Whether `name` is one of the names.
    fn has(&self, name: &[u8]) -> bool {
        if self.exact_bits & first_bit(name) == 0 || self.lengths >> (name.len() & 63) & 1 == 0 {
            return false;
        }
        let length = name.len().min(LENGTHS - 1);
        let (from, to) = (self.by_length[length], self.by_length[length + 1]);
        let names = self.exact.get(usize::from(from)..usize::from(to));
        let mut names = names.unwrap_or_default().iter().map(String::as_bytes);
        // Without a call for those that begin otherwise.
        names.any(|exact| {
            exact.first() == name.first() && exact.last() == name.last() && exact == name
        })
    }

    /// As [`matches`](Self::matches), without regard to case, as products read the parameters of a query.
    #[must_use]
    pub fn match_in_any_case(&self, name: &[u8]) -> bool {
        if self.matches(name) {
            return true;
        }
        let fits = |(start, end): &(String, String)| {
            let (first, rest) = name.split_at_checked(start.len()).unwrap_or_default();
            let last = rest.len().checked_sub(end.len()).map(|at| &rest[at..]);
            first.eq_ignore_ascii_case(start.as_bytes())
                && last.is_some_and(|last| last.eq_ignore_ascii_case(end.as_bytes()))
                && name.len() >= start.len() + end.len()
        };
        name.iter().any(u8::is_ascii_uppercase)
            && (self
                .exact
                .iter()
                .any(|exact| name.eq_ignore_ascii_case(exact.as_bytes()))
                || self.patterns.iter().any(fits))
    }

    /// Whether `name` is one of the names, or fits a pattern that says how it begins.
    #[must_use]
    pub fn match_narrowly(&self, name: &[u8]) -> bool {
        let says_start = |pattern: &&(String, String)| !pattern.0.is_empty();
        let mut narrow = self.patterns.iter().filter(says_start);
        self.has(name)
            || self.pattern_bits & first_bit(name) != 0 && narrow.any(|pattern| fits(name, pattern))
    }

    fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut all = Self::default();
        for name in names {
            match name.split_once('*') {
                Some((start, end)) => {
                    all.pattern_bits |= first_bit(start.as_bytes());
                    if start.is_empty() {
                        all.end_bits |= match end {
                            "" => u64::MAX,
                            end => last_bit(end.as_bytes()),
                        };
                    }
                    all.patterns.push((start.to_owned(), end.to_owned()));
                }
                None => {
                    all.exact_bits |= first_bit(name.as_bytes());
                    all.lengths |= 1 << (name.len() & 63);
                    all.exact.push(name.to_owned());
                }
            }
        }
        let length = |name: &String| name.len().min(LENGTHS - 1);
        all.exact.sort_by_key(length);
        for (at, from) in all.by_length.iter_mut().enumerate() {
            let shorter = all.exact.partition_point(|name| length(name) < at);
            *from = u16::try_from(shorter).unwrap_or(u16::MAX);
        }
        all
    }
}

/// Lengths of names that are told apart.
const LENGTHS: usize = 31;

fn fits(name: &[u8], (start, end): &(String, String)) -> bool {
    // Without a call for those that go on otherwise.
    let second = start.as_bytes().get(1);
    name.len() >= start.len() + end.len()
        && second.is_none_or(|second| name.get(1) == Some(second))
        && name.starts_with(start.as_bytes())
        && name.ends_with(end.as_bytes())
}

/// One bit of 64 for the last byte of a name; none for no name.
fn last_bit(name: &[u8]) -> u64 {
    name.last().map_or(0, |last| 1 << (last & 63))
}

/// One bit of 64 for the first byte of a name; none for no name.
fn first_bit(name: &[u8]) -> u64 {
    name.first().map_or(0, |first| 1 << (first & 63))
}

impl FromStr for NamePatterns {
    type Err = String;

    /// Comma-separated names; one `*` in a name stands for any text. An empty text is no name at
    /// all.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let names: Vec<_> = text
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .collect();
        for name in &names {
            if *name == "*" {
                return Err("`*` alone would be every name".to_owned());
            }
            let bare = name.replacen('*', "", 1);
            if !crate::message::is_token(bare.as_bytes()) || bare.contains('*') {
                return Err(format!(
                    "`{name}` is not a name, nor one with a single `*` in it"
                ));
            }
        }
        Ok(Self::from_names(names))
    }
}

impl fmt::Display for NamePatterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let patterns = self.patterns.iter();
        let patterns = patterns.map(|(start, end)| format!("{start}*{end}"));
        let names: Vec<_> = self.exact.iter().cloned().chain(patterns).collect();
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
    authjs.session-token __Secure-authjs.session-token *_session *-session *_session_id \
    roda.session PLAY_SESSION __session appSession JSESSIONIDSSO .AspNetCore.* .AspNet.* .ASPXAUTH \
    MoodleSession* fe_typo_user be_typo_user OCSESSID PrestaShop-* adminhtml phpbb3_*_sid mybbuser \
    SMFCookie* bb_session_hash CGISESSID i_like_gitea nc_session_id oc_sessionPassphrase CraftSessionId \
    grav-site-* DokuWiki sb-*-auth-token";

const IGNORED_COOKIES: &str = "\
    _ga _ga_* _gid _gat _gat_* _gcl_* __utm* __gads __gpi _fbp _fbc _pk_* _hj* _clck _clsk \
    _uetsid _uetvid _ttp _tt_* _pin_unauth _scid _matomo* mp_*_mixpanel ajs_* amplitude_* optimizely* \
    __hstc __hssc __hssrc hubspotutk _dc_gtm_* OptanonConsent OptanonAlertBoxClosed \
    CookieConsent euconsent-v2 cookieyes-consent cmplz_* _dd_s sbjs_* wordpress_test_cookie \
    AWSALB AWSALBCORS AWSALBTG AWSALBTGCORS AWSELB AWSELBCORS ARRAffinity ARRAffinitySameSite GCLB \
    SERVERID BIGipServer* NSC_* __cflb __cf_bm __cfruid _cfuvid cf_clearance incap_ses_* \
    visid_incap_* nlbi_* ak_bmsc bm_sv bm_sz bm_mi bm_so bm_s bm_ss \
    bm_lso __ddg* datadome _px2 _px3 _pxhd _pxvid _pxde reese84 rbzid rbzsessionid aws-waf-token \
    sucuri_cloudproxy_uuid_* cf_ob_info cf_use_ob cookiesession1 citrix_ns_id* ApplicationGatewayAffinity \
    ApplicationGatewayAffinityCORS ROUTEID INGRESSCOOKIE dtCookie dtPC dtSa dtLatC rxVisitor rxvt _vwo_* \
    _vis_opt_* _hp2_* _ym_* tmr_lvid tmr_reqNum _mkto_trk __adroll* __ar_v4 fs_uid fs_lua _cs_id _cs_s \
    _cs_c _cs_mk s_cc s_sq s_vi s_fid s_ppv s_nr AMCV_* AMCVS_* kndctr_* _sp_id.* _sp_ses.* _parsely_* \
    _chartbeat* __qca __eoi _rdt_uuid _derived_epik _sctr _screload li_fat_id _lfa __kla_id _uetmsclkid \
    _gac_* FPLC FPAU __insp_* _pendo_* _scid_r _twpid cookie_notice_accepted cookielawinfo-checkbox-* \
    CookieLawInfoConsent borlabs-cookie uc_user_interaction didomi_token eupubconsent eupubconsent-v2 \
    FCCDCF FCNEC moove_gdpr_popup cookiefirst-consent axeptio_* _iub_cs-* osano_consentmanager* \
    notice_behavior notice_gdpr_prefs notice_preferences cmapi_cookie_privacy TAconsentID klaro \
    tarteaucitron cookie-agreed cookie-agreed-version";

const IGNORED_QUERY: &str = "\
    utm_* gclid gclsrc gbraid wbraid dclid gad_source gad_campaignid fbclid msclkid ttclid twclid \
    li_fat_id igshid yclid ysclid _openstat mc_cid mc_eid _ga _gl _hsenc _hsmi __hssc __hstc __hsfp \
    hsCtaTracking mkt_tok vero_id vero_conv oly_anon_id oly_enc_id wickedid irclickid epik \
    rdt_cid sccid srsltid hsa_* mtm_* pk_campaign pk_cid pk_content pk_keyword pk_kwd pk_medium \
    pk_source pk_group pk_placement matomo_* piwik_* _branch_match_id _kx s_kwcid ef_id wt_mc gdfms gdftrk \
    gdffi dm_i ml_subscriber ml_subscriber_hash rb_clickid _bta_tid _bta_c guccounter guce_referrer \
    guce_referrer_sig fb_action_ids fb_action_types fb_source fb_ref syclid ttadid tduid at_campaign at_medium";

#[cfg(test)]
mod tests {
    use super::*;

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
        check("429,500-599", "429,500-599");
        check("400-599,!404", "400-403,405-599");
        check("499-500", "499-500");
        for bad in [
            "", "399", "302", "600", "4xx", "5xx", "504-502", "500,", "!",
        ] {
            assert!(bad.parse::<StatusSet>().is_err(), "{bad}");
        }
        assert!(!StatusSet::default().contains(http::StatusCode::OK));
        assert!(StatusSet::default().contains(http::StatusCode::BAD_GATEWAY));
        assert!(!StatusSet::default().contains(http::StatusCode::TOO_MANY_REQUESTS));
        let all: StatusSet = "400-599".parse().unwrap();
        for code in 100..1000 {
            let status = http::StatusCode::from_u16(code).unwrap();
            assert_eq!(all.contains(status), (400..600).contains(&code), "{code}");
        }
    }

    #[test]
    fn name_patterns() {
        let names = NamePatterns::session_cookies();
        assert!(names.matches(b"PHPSESSID") && !names.matches(b"phpsessid"));
        assert!(names.matches(b"wordpress_logged_in_abc") && !names.matches(b"_ga"));
        assert_eq!(names.to_string().parse(), Ok(names));
        let ignored = NamePatterns::ignored_query();
        for name in ["utm_source", "pk_campaign", "mtm_kwd", "hsa_acc"] {
            assert!(ignored.matches(name.as_bytes()), "{name}");
        }
        for name in ["UTM_Source", "GCLID", "Pk_Campaign", "HsCtaTracking"] {
            assert!(ignored.match_in_any_case(name.as_bytes()), "{name}");
            assert!(!ignored.matches(name.as_bytes()), "{name}");
        }
        assert!(!ignored.match_in_any_case(b"UT_Source") && !ignored.match_in_any_case(b"PK"));
        // A key of a table, which chooses a page.
        assert!(!ignored.matches(b"pk") && !ignored.matches(b"pk_item"));
        let names: NamePatterns = "mp_*_mixpanel, *_session, a*".parse().unwrap();
        for name in [
            "mp_1_mixpanel",
            "mp__mixpanel",
            "_session",
            "my_session",
            "a",
            "ab",
        ] {
            assert!(names.matches(name.as_bytes()), "{name}");
        }
        for name in ["mp_mixpanel", "mp_1", "session", "my_sessions", "ba", ""] {
            assert!(!names.matches(name.as_bytes()), "{name}");
        }
        assert_eq!(names.to_string().parse(), Ok(names));
        for bad in ["a b", "a*b*", "*", "**"] {
            assert!(bad.parse::<NamePatterns>().is_err(), "{bad}");
        }
        assert_eq!("".parse(), Ok(NamePatterns::default()));
    }
}
