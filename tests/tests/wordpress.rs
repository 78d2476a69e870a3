//! Owns the proof with a real WordPress: when its database stops, its error page comes with status 200,
//! reaches nobody who has a good copy, and becomes none; once the database is back the site is fresh. When
//! all of it is gone, visitors and members are rescued.
//! Never sleeps to wait for something.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use retter_tests::browser::Browser;
use retter_tests::client::Response;
use retter_tests::coverage::{self, Framework};
use retter_tests::port::Port;
use retter_tests::program::Program;
use retter_tests::retter::Retter;
use retter_tests::retter_program;
use retter_tests::scenario::until;

const PAGES: [&str; 4] = ["/", "/?p=1", "/?page_id=2", "/?feed=rss2"];

/// Says on each page whose it is. A member's secret is of the session; others have none.
const TOLD: &str = r#"<?php
add_action('wp_footer', function () {
    $user = is_user_logged_in() ? wp_get_current_user()->user_login : 'guest';
    $secret = is_user_logged_in() ? md5(wp_get_session_token()) : 'none';
    $page = esc_html($_SERVER['REQUEST_URI']);
    echo "<b id=\"user\">$user</b><b id=\"page\">$page</b><b id=\"secret\">$secret</b>";
});
"#;

/// Where the first of the pages is.
const FIRST_PAGE: usize = 100;

const FILL: &str = r#"
$_SERVER['HTTP_HOST'] = getenv('HTTP_HOST');
require getenv('SITE') . '/wp-load.php';
for ($number = 0; $number < 60; $number++) {
    $page = ['import_id' => 100 + $number, 'post_type' => 'page', 'post_status' => 'publish',
        'post_title' => "Page $number", 'post_content' => "<p>What page $number says.</p>"];
    if (wp_insert_post($page) !== 100 + $number) exit(1);
    if (is_wp_error(wp_create_user("user$number", "pw12345678X$number"))) exit(1);
}
"#;

/// What Debian's package brings.
const PACKAGE: &str = "/usr/share/wordpress";

/// A WordPress with its database, in a directory of its own.
struct WordPress {
    directory: PathBuf,
    database: Option<Program>,
    php: Option<Program>,
    port: Port,
}

impl WordPress {
    /// Installs it.
    fn install() -> Self {
        let port = Port::reserve();
        let name = format!("retter-wordpress-{}", port.address().port());
        let directory = std::env::temp_dir().join(name);
        let site = directory.join("site");
        fs::create_dir_all(&directory).expect("a directory");
        run(Command::new("cp").args(["-rL", PACKAGE]).arg(&site));
        fs::write(site.join("wp-config.php"), config(&directory)).expect("a file of the site");
        run(Command::new("mariadb-install-db")
            .args(["--no-defaults", "--auth-root-authentication-method=normal"])
            .args(user())
            .arg(format!("--datadir={}", directory.join("data").display())));
        let mut wordpress = Self {
            directory,
            database: None,
            php: None,
            port,
        };
        wordpress.start_database();
        wordpress.query("create database wp");
        wordpress.start_php();
        let mut browser = Browser::new(wordpress.port.address(), "owner");
        let form = "weblog_title=Shop&user_name=admin&admin_password=pw12345678X&pw_weak=1\
                    &admin_password2=pw12345678X&admin_email=a@example.org&language=&Submit=Install";
        let installed = browser.post("/wp-admin/install.php?step=2", form);
        assert_eq!(installed.status, 200, "{}", installed.text());
        wordpress.query(
            "update wp.wp_options set option_value = 'twentytwentythree' \
             where option_name in ('template', 'stylesheet')",
        );
        wordpress
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("db.sock")
    }

    fn start_database(&mut self) {
        let mut command = Command::new("mariadbd");
        command
            .args(["--no-defaults", "--skip-networking"])
            .args(user())
            .arg(format!(
                "--datadir={}",
                self.directory.join("data").display()
            ))
            .arg(format!("--socket={}", self.socket().display()))
            .arg(format!(
                "--pid-file={}",
                self.directory.join("db.pid").display()
            ));
        let program = Program::start(&mut command);
        program.wait_for("the database", |line| {
            line.contains("ready for connections").then_some(())
        });
        self.database = Some(program);
    }

    fn stop_database(&mut self) {
        self.database.take().expect("it runs").kill();
    }

    fn query(&self, sql: &str) {
        run(Command::new("mariadb")
            .args(["--no-defaults", "--user=root", "--execute", sql])
            .arg(format!("--socket={}", self.socket().display())));
    }

    fn start_php(&mut self) {
        let mut command = Command::new("php");
        command
            .args(["-S", &self.port.address().to_string(), "-t"])
            .arg(self.directory.join("site"));
        let program = Program::start(&mut command);
        let ready = format!("http://{}", self.port.address());
        program.wait_for(&ready, |line| line.contains(&ready).then_some(()));
        self.php = Some(program);
    }

    /// Writes forty pages that say what a page of the coverage says, and takes members in.
    fn fill(&self) {
        let site = self.directory.join("site");
        let plugins = site.join("wp-content/mu-plugins");
        fs::create_dir_all(&plugins).expect("a directory of the site");
        fs::write(plugins.join("told.php"), TOLD).expect("a file of the site");
        run(Command::new("php")
            .args(["-r", FILL])
            .env("SITE", site)
            .env("HTTP_HOST", self.port.address().to_string()));
    }

    /// What WordPress shows when it cannot reach its database: a page with status 200, as many owners
    /// have one.
    fn set_error_page(&self, html: &str) {
        let file = self.directory.join("site/wp-content/db-error.php");
        fs::write(file, html).expect("a file of the site");
    }
}

impl Drop for WordPress {
    fn drop(&mut self) {
        for program in [self.php.take(), self.database.take()]
            .into_iter()
            .flatten()
        {
            program.kill();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn user() -> Option<&'static str> {
    // The database refuses to run as root unless it is told so.
    rustix::process::geteuid()
        .is_root()
        .then_some("--user=root")
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
}

fn config(directory: &Path) -> String {
    let keys = ["AUTH", "SECURE_AUTH", "LOGGED_IN", "NONCE"].map(|name| {
        format!("define('{name}_KEY', md5('{name}k'));define('{name}_SALT', md5('{name}s'));\n")
    });
    format!(
        "<?php\ndefine('DB_NAME','wp');define('DB_USER','root');define('DB_PASSWORD','');\n\
         define('DB_HOST','localhost:{}');define('DB_CHARSET','utf8mb4');define('DB_COLLATE','');\n\
         {}$table_prefix='wp_';\n\
         define('WP_HTTP_BLOCK_EXTERNAL',true);define('DISABLE_WP_CRON',true);\n\
         define('AUTOMATIC_UPDATER_DISABLED',true);\n\
         define('WP_HOME','http://'.$_SERVER['HTTP_HOST']);\n\
         define('WP_SITEURL','http://'.$_SERVER['HTTP_HOST']);\n\
         if(!defined('ABSPATH')) define('ABSPATH',__DIR__.'/');\n\
         require_once ABSPATH.'wp-settings.php';\n",
        directory.join("db.sock").display(),
        keys.concat()
    )
}

/// Whether the application has answered: with a page, or that the copy is still right.
fn is_fresh(answer: &Response) -> bool {
    let told = answer.field("cache-status").unwrap_or_default();
    told.contains("fwd-status=200") && answer.source() == "backend"
        || told.contains("fwd-status=304")
}

/// What is on a page, without what differs each time (nonces, times).
fn title(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("<title>")?;
    rest.split_once("</title>").map(|(title, _)| title)
}

const ERROR_PAGES: [&str; 3] = [
    "<!DOCTYPE html><title>Database Error</title><h1>Error establishing a database connection</h1>",
    "<!DOCTYPE html><html><head><title>Moment</title></head><body><p>Back in a moment.</p></body></html>",
    "",
];

#[test]
#[ignore = "heavy: tests/run.sh wordpress"]
fn a_page_of_a_stopped_database_reaches_nobody_who_has_a_good_one() {
    let mut wordpress = WordPress::install();
    // This machine may be slow; the database is what fails here.
    // The second page says nothing that only errors say: its owner names it.
    let settings = [
        ("RETTER_BREAKER_SLOW_MIN", "1m"),
        ("RETTER_BREAKER_FAIL_TEXT", "Back in a moment"),
    ];
    let retter = Retter::start_with(retter_program!(), wordpress.port.address(), &settings);
    let visitor = || Browser::new(retter.address(), "anybody");
    let mut member = Browser::new(retter.address(), "member");
    let login = "log=admin&pwd=pw12345678X&testcookie=1&wp-submit=Log+In";
    member.set_cookie("wordpress_test_cookie", "WP%20Cookie%20check");
    let welcome = member.post("/wp-login.php", login);
    assert_eq!(welcome.status, 302, "{}", welcome.text());
    for (round, error_page) in ERROR_PAGES.into_iter().enumerate() {
        // What the pages are while all is well, to a visitor and to the member.
        let mut good = Vec::new();
        for page in PAGES {
            until("the page is fresh", || is_fresh(&member.get(page)));
            until("the page is fresh", || is_fresh(&visitor().get(page)));
            let (of_visitor, of_member) = (visitor().get(page), member.get(page));
            assert_eq!((of_visitor.status, of_member.status), (200, 200), "{page}");
            let own = of_member.text();
            assert_eq!(
                own.contains("wp-admin-bar"),
                !page.contains("feed"),
                "{page}"
            );
            good.push(title(&of_visitor.text()).expect("a title").to_owned());
        }
        wordpress.set_error_page(error_page);
        wordpress.stop_database();
        // Twice, so that what would have become a copy shows itself.
        for _ in 0..2 {
            for (page, good) in PAGES.into_iter().zip(&good) {
                let of_visitor = visitor().get(page).text();
                assert_eq!(
                    title(&of_visitor),
                    Some(&**good),
                    "{page}, round {round}: {of_visitor}"
                );
                if error_page.is_empty() {
                    // Nothing at all may be the application's "no" to this member.
                    continue;
                }
                let of_member = member.get(page).text();
                assert_eq!(
                    title(&of_member),
                    Some(&**good),
                    "{page}, round {round}: {of_member}"
                );
                let is_own = of_member.contains("wp-admin-bar");
                assert_eq!(is_own, !page.contains("feed"), "{page}: the member's own");
            }
        }
        wordpress.php.take().expect("it runs").kill();
        for (page, good) in PAGES.into_iter().zip(&good) {
            let text = visitor().get(page).text();
            assert_eq!(
                title(&text),
                Some(&**good),
                "{page} without PHP, round {round}"
            );
        }
        wordpress.start_database();
        wordpress.start_php();
    }
}

/// Signs a member in as browsers do, and looks at the administration.
fn sign_in(browser: &mut Browser, number: usize) {
    browser.set_cookie("wordpress_test_cookie", "WP%20Cookie%20check");
    let login = format!("log=user{number}&pwd=pw12345678X{number}&testcookie=1&wp-submit=Log+In");
    let welcome = browser.post("/wp-login.php", &login);
    assert_eq!(welcome.status, 302, "{}", welcome.text());
    let profile = browser.get("/wp-admin/profile.php");
    assert!(profile.text().contains("wp-admin-bar"), "{profile:?}");
}

#[test]
#[ignore = "heavy: tests/run.sh coverage-heavy"]
fn visitors_of_a_wordpress_application_get_their_pages_and_others() {
    let mut wordpress = WordPress::install();
    wordpress.fill();
    let address = wordpress.port.address();
    let framework = Framework {
        guests_share: true,
        page: |number| format!("/?page_id={}", FIRST_PAGE + number),
        sign_in,
        ..Framework::new("WordPress, members through wp-admin", 0)
    };
    let mut kill = || {
        wordpress.php.take().expect("it runs").kill();
        wordpress.stop_database();
    };
    coverage::outage_of(retter_program!(), address, &mut kill, framework);
}
