use std::ffi::OsString;
use std::io::Write;
use std::time::Duration;

use super::layers::Layer;
use super::parse;
use super::spec::Spec;
use super::*;

fn environment(variables: &[(&str, &str)]) -> Sources {
    Sources {
        environment: variables
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)))
            .collect(),
        ..Sources::default()
    }
}

/// A settings file that is removed with the value.
struct File(PathBuf);

impl File {
    fn new(name: &str, content: &str) -> Self {
        let name = format!("retter-test-{}-{name}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(content.as_bytes()).unwrap();
        Self(path)
    }

    fn path(&self) -> Option<String> {
        self.0.to_str().map(str::to_owned)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn the_defaults_of_the_table_are_those_of_the_core() {
    let loaded = load(&Sources::default()).unwrap();
    let core = retter_core::config::Settings::default();
    assert_eq!(format!("{:?}", loaded.values.core), format!("{core:?}"));
    assert!(loaded.warnings.is_empty());
    assert!(
        loaded
            .shown
            .iter()
            .all(|given| given.layer == Layer::Default)
    );
}

#[test]
fn every_setting_is_well_described() {
    for (index, spec) in specs().enumerate() {
        let mut values = Values::defaults();
        assert_eq!(
            (spec.apply)(&mut values, spec.example),
            Ok(()),
            "{}",
            spec.key
        );
        assert!(
            !spec.help.is_empty() && !spec.help.ends_with('.'),
            "{}",
            spec.key
        );
        let mut others = specs().take(index);
        assert!(
            others.all(|other| other.flat() != spec.flat()),
            "{}",
            spec.key
        );
    }
    let variables: Vec<_> = specs().map(Spec::variable).collect();
    for original in [
        "RETTER_BACKEND_BASEURL",
        "RETTER_SERVER_LISTEN",
        "RETTER_CACHE_TTL",
        "RETTER_CACHE_DETECT_QUERY",
        "RETTER_CACHE_DETECT_SESSION",
        "RETTER_BREAKER_FAIL_RATE",
        "RETTER_BREAKER_CONSECUTIVE_FAIL",
        "RETTER_SERVER_TIMEOUT_WRITE",
        "RETTER_SERVER_TIMEOUT_READ",
        "RETTER_SERVER_TIMEOUT_IDLE",
        "RETTER_SERVER_TIMEOUT_GRACESHUT",
    ] {
        assert!(
            variables.iter().any(|known| known == original),
            "{original}"
        );
    }
}

#[test]
fn copies_are_shared_sealed_and_what_seals_them_is_never_shown() {
    let shared = |variables: &[(&str, &str)]| {
        let (loaded, secret) = (load(&environment(variables)), "in-it");
        if let Ok(loaded) = &loaded {
            let shown = effective(&loaded.shown, true);
            assert!(!shown.contains(secret), "{shown}");
        }
        loaded.map(|loaded| loaded.values.shared.is_some())
    };
    let redis = ("RETTER_CACHE_SHARED", "redis://:a-password-in-it@h:1");
    let secret = (
        "RETTER_CACHE_SHARED_SECRET",
        "thirty-two characters and more in-it",
    );
    assert!(!shared(&[]).unwrap());
    assert!(shared(&[redis, secret]).unwrap());
    let check = |variables: &[(&str, &str)], setting: &str, part: &str| {
        let problems = shared(variables).unwrap_err();
        assert_eq!(problems.len(), 1);
        let told = problems[0].to_string();
        assert!(told.contains(setting) && told.contains(part), "{told}");
        assert!(!told.contains("in-it"), "{told}");
    };
    check(&[redis], "RETTER_CACHE_SHARED_SECRET", "plant pages");
    let short = ("RETTER_CACHE_SHARED_SECRET", "in-it");
    check(
        &[redis, short],
        "RETTER_CACHE_SHARED_SECRET",
        "shorter than 32",
    );
    let tls = ("RETTER_CACHE_SHARED", "rediss://h");
    check(&[tls, secret], "RETTER_CACHE_SHARED", "TLS");
}

#[test]
fn copies_on_a_disk_need_a_folder_and_systemd_may_give_it() {
    let disk = |variables: &[(&str, &str)]| {
        let loaded = load(&environment(variables))?;
        let values = loaded.values;
        Ok::<_, Vec<Problem>>((values.state_dir, values.disk))
    };
    let shared = |folder: &str| (Some(PathBuf::from(folder)), DiskMode::Shared);
    assert_eq!(disk(&[]).unwrap(), (None, DiskMode::Shared));
    let given = ("RETTER_STATE_DIR", "/state");
    assert_eq!(disk(&[given]).unwrap(), shared("/state"));
    let systemd = ("STATE_DIRECTORY", "/var/lib/retter:/var/lib/other");
    assert_eq!(disk(&[systemd]).unwrap(), shared("/var/lib/retter"));
    assert_eq!(disk(&[systemd, given]).unwrap(), shared("/state"));
    assert_eq!(
        disk(&[systemd, ("RETTER_STATE_DIR", "none")]).unwrap().0,
        None
    );
    for mode in ["shared", "all"] {
        let problems = disk(&[("RETTER_CACHE_DISK", mode)]).unwrap_err();
        assert!(
            problems[0].to_string().contains("RETTER_STATE_DIR"),
            "{}",
            problems[0]
        );
    }
    assert_eq!(
        disk(&[("RETTER_CACHE_DISK", "off")]).unwrap(),
        (None, DiskMode::Off)
    );
}

#[test]
fn flag_before_environment_before_file_before_default() {
    let file = File::new("layers", "[cache]\nttl = 7\n");
    let path = file.path().unwrap();
    #[track_caller]
    fn check(file: Option<&str>, variable: Option<&str>, flag: Option<&str>, ttl: u64, by: &Layer) {
        let variables: Vec<_> = variable
            .iter()
            .map(|text| ("RETTER_CACHE_TTL", *text))
            .collect();
        let sources = Sources {
            file: file.map(str::to_owned),
            flags: flag
                .iter()
                .map(|text| ("cache.ttl", (*text).to_owned()))
                .collect(),
            ..environment(&variables)
        };
        let loaded = load(&sources).unwrap();
        assert_eq!(loaded.config.site().cache.ttl, Duration::from_secs(ttl));
        let given = loaded
            .shown
            .iter()
            .find(|given| given.spec.key == "cache.ttl")
            .unwrap();
        assert_eq!(given.layer, *by);
    }
    let in_file = Layer::File(path.clone());
    let path = Some(path.as_str());
    check(None, None, None, 5, &Layer::Default);
    check(path, None, None, 7, &in_file);
    check(path, Some("8s"), None, 8, &Layer::Environment);
    check(path, Some(""), None, 7, &in_file);
    check(path, Some("8s"), Some("9"), 9, &Layer::Flag);
    check(None, None, Some("1m"), 60, &Layer::Flag);
    check(None, Some("8"), None, 8, &Layer::Environment);
}

#[test]
fn a_file_may_nest_as_it_likes() {
    let file = File::new(
        "nest",
        "server_listen = ':1'\n[server]\ntimeout_read = '2s'\ngzip = false\n\
         [server.timeout]\nwrite = 3\n[breaker]\nfail_rate = 0.5\n\
         [cache]\nsession_cookies = ['known', 'mine']\n",
    );
    let sources = Sources {
        ..environment(&[("RETTER_CONFIG", &file.path().unwrap())])
    };
    let loaded = load(&sources).unwrap();
    assert_eq!(loaded.values.listen, Listen::parse(":1").unwrap());
    assert_eq!(loaded.config.client().read_timeout, Duration::from_secs(2));
    assert_eq!(loaded.config.client().write_timeout, Duration::from_secs(3));
    assert!(!loaded.config.client().gzip);
    assert!((loaded.config.site().breaker.failure_rate - 0.5).abs() < f64::EPSILON);
    let cookies = &loaded.config.site().cache.session_cookies;
    assert!(cookies.matches(b"mine") && cookies.matches(b"PHPSESSID"));
}

#[test]
fn every_bad_value_is_named_at_once() {
    let file = File::new(
        "bad",
        "[server]\nlistn = ':1'\n[cache]\nbytes = '1 potato'\nttl = 1979-05-27\n",
    );
    let sources = Sources {
        file: file.path(),
        flags: vec![("server.workers", "0".to_owned())],
        ..environment(&[
            ("RETTER_BACKEND_BASEURL", "https://shop.example"),
            ("RETTER_BREAKER_FAIL_RATE", "1.5"),
            ("RETTER_BREAKER_OPEN_MIN", "2m"),
            ("RETTER_CACHE_TLT", "5"),
            ("RETTER_SERVER_GZIP", "maybe"),
            ("RETTER_SERVER_TRUSTED_PROXIES", "10.0.0.0/8, nginx"),
            ("OTHER", "1"),
        ])
    };
    let problems = load(&sources).unwrap_err();
    let text = problems
        .iter()
        .map(Problem::to_string)
        .collect::<Vec<_>>()
        .join("\n");
    for part in [
        "server.listn in ",
        "did you mean `server.listen`?",
        "cache.bytes in ",
        "= 1 potato",
        "cache.ttl in ",
        "--server-workers = 0",
        "example:  --server-workers 4",
        "RETTER_BACKEND_BASEURL = https://shop.example",
        "https origins are not supported yet",
        "RETTER_BREAKER_FAIL_RATE = 1.5",
        "accepted: a number above 0 and up to 1",
        // The cross-field error of the core, in the operator's words.
        "RETTER_BREAKER_OPEN_MAX = 10s",
        "a duration not shorter than RETTER_BREAKER_OPEN_MIN",
        "RETTER_SERVER_GZIP = maybe",
        "example:  RETTER_SERVER_GZIP=true",
        "RETTER_SERVER_TRUSTED_PROXIES = 10.0.0.0/8, nginx",
        "`nginx` is no address and no network",
        "accepted: addresses and networks separated by commas, or `none`",
        "example:  RETTER_SERVER_TRUSTED_PROXIES=127.0.0.0/8,::1,172.18.0.0/16",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert_eq!(problems.len(), 9, "{text}");
}

#[test]
fn an_unknown_variable_only_warns() {
    let loaded = load(&environment(&[
        ("RETTER_CACHE_TLT", "5"),
        ("RETTER_SERVICE_PORT_HTTP", "8089"),
    ]));
    let warnings = loaded.unwrap().warnings;
    assert!(warnings[0].contains("RETTER_CACHE_TLT") && warnings[0].contains("RETTER_CACHE_TTL?"));
    assert_eq!(
        warnings[1],
        "the variable RETTER_SERVICE_PORT_HTTP is no setting"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem() {
    let missing = Sources {
        file: Some("/nonexistent/retter.toml".to_owned()),
        ..Sources::default()
    };
    assert!(matches!(
        load(&missing).unwrap_err()[..],
        [Problem::File { .. }]
    ));
    let broken = File::new("broken", "a = \n");
    let sources = Sources {
        file: broken.path(),
        ..Sources::default()
    };
    let text = load(&sources).unwrap_err()[0].to_string();
    assert!(text.contains("line 1"), "{text}");
}

#[test]
fn durations() {
    #[track_caller]
    fn check(text: &str, millis: u64) {
        assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
    }
    check("15 seconds", 15_000);
    check("15s", 15_000);
    check("500ms", 500);
    check("1m 30s", 90_000);
    check("1h30m", 5_400_000);
    check("5", 5_000);
    check("0.25", 250);
    check("1.5s", 1_500);
    check("1.5 minutes", 90_000);
    check(" 2 ", 2_000);
    for bad in [
        "",
        "s",
        "-1",
        "5 parsecs",
        "1.2.3",
        "1.5s 3",
        "1.5m 30s",
        "inf",
        "9e99",
        "1e400",
    ] {
        assert!(duration(bad).is_err(), "{bad}");
    }
}

#[test]
fn sizes() {
    assert_eq!(parse::size("64MiB"), Ok(64 << 20));
    assert_eq!(parse::size("64MB"), Ok(64_000_000));
    assert_eq!(parse::size("16 k"), Ok(16 << 10));
    assert_eq!(parse::size("123"), Ok(123));
    for bad in [
        "",
        "MiB",
        "-1",
        "1.5MiB",
        "1TB",
        "99999999999999999999",
        "18446744073709551615G",
    ] {
        assert!(parse::size(bad).is_err(), "{bad}");
    }
}

#[test]
fn listen_forms() {
    #[track_caller]
    fn check(text: &str, addrs: &[&str]) {
        let found = Listen::parse(text).unwrap().addrs().unwrap();
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, addrs, "{text}");
    }
    check("127.0.0.1:8089", &["127.0.0.1:8089"]);
    check("[::1]:0", &["[::1]:0"]);
    let every = Listen::parse(":8089").unwrap().addrs().unwrap();
    assert!(every[0].ip().is_unspecified() && every.len() == 1);
    for addr in Listen::parse("localhost:0").unwrap().addrs().unwrap() {
        assert!(std::net::TcpListener::bind(addr).is_ok(), "{addr} is here");
    }
    for bad in [
        "8089", "", ":", ":65536", "::1:80", "[::g]:80", "a b:80", "[::1]80", "h:-1",
    ] {
        assert!(Listen::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn base_urls() {
    #[track_caller]
    fn check(text: &str, authority: &str, host: &str, port: u16, prefix: &str) {
        let expected = BaseUrl {
            authority: authority.to_owned(),
            host: host.to_owned(),
            port,
            prefix: prefix.to_owned(),
        };
        assert_eq!(BaseUrl::parse(text), Ok(expected));
    }
    check(
        "http://localhost:8088",
        "localhost:8088",
        "localhost",
        8088,
        "",
    );
    check(
        "http://shop.example/",
        "shop.example",
        "shop.example",
        80,
        "",
    );
    check("HTTP://h/a/b/", "h", "h", 80, "/a/b");
    check("http://[::1]:81/p", "[::1]:81", "::1", 81, "/p");
    check("http://my_app:3000", "my_app:3000", "my_app", 3000, "");
    #[track_caller]
    fn refuse(text: &str, part: &str) {
        let reason = BaseUrl::parse(text).unwrap_err();
        assert!(reason.contains(part), "{text}: {reason}");
    }
    refuse("localhost:8088", "does not begin with http://");
    refuse("https://h", "not supported yet");
    refuse("ftp://h", "scheme");
    refuse("http://u:p@h", "password");
    refuse("http://h/?a", "query");
    refuse("http://h/#a", "fragment");
    refuse("http://", "");
    refuse("http://:80", "");
    refuse("http://h:0", "port");
    refuse("http://h:99999", "");
    refuse("http://[::g]", "");
}

#[test]
fn a_base_url_that_leads_back_is_refused() {
    #[track_caller]
    fn check(listen: &str, base: &str, refused: bool) {
        let variables = [
            ("RETTER_SERVER_LISTEN", listen),
            ("RETTER_BACKEND_BASEURL", base),
        ];
        let problems = load(&environment(&variables)).err().unwrap_or_default();
        assert_eq!(!problems.is_empty(), refused, "{problems:?}");
        assert!(problems.iter().all(|problem| {
            let text = problem.to_string();
            text.contains("RETTER_BACKEND_BASEURL") && text.contains("would ask itself")
        }));
    }
    check(":8088", "http://localhost:8088", true);
    check(":8088", "http://127.0.0.1:8088/app", true);
    check("127.0.0.1:8088", "http://[::1]:8088", true);
    check("shop.example:80", "http://shop.example", true);
    check(":8089", "http://127.0.0.1:8090", true);
    check(":8088", "http://192.0.2.1:8088", false);
    check("192.0.2.1:8088", "http://localhost:8088", false);
    check(":8089", "http://localhost:8088", false);
}

#[test]
fn the_book_has_the_table_of_settings() {
    let page = include_str!("../../../docs/src/settings.md");
    let table = markdown();
    assert!(table.contains("| `RETTER_SERVER_LISTEN` | `:8089` |"));
    assert!(
        page.contains(&table),
        "put the output of `retter settings --markdown` into docs/src/settings.md"
    );
}
