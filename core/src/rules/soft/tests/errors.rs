//! Error pages that come with status 200, each beside the good page.

use super::*;
use crate::report::{Sign, Signs};
use crate::rules::soft::texts::KNOWN;

/// Real ones, as their programs send them.
const PAGES: &[(&str, &str)] = &[
    (
        "PHP, display_errors, uncaught",
        "<br />\n<b>Fatal error</b>:  Uncaught mysqli_sql_exception: Too many connections in /srv/www/inc/db.php:12\nStack trace:\n#0 /srv/www/inc/db.php(12): mysqli-&gt;__construct()\n#1 /srv/www/index.php(3): require('/srv/www/inc/db...')\n#2 {main}\n  thrown in <b>/srv/www/inc/db.php</b> on line <b>12</b><br />\n",
    ),
    (
        "PHP, plain text",
        "PHP Fatal error:  Uncaught Error: Call to undefined function mysql_connect() in /srv/www/db.php:4\nStack trace:\n#0 {main}\n  thrown in /srv/www/db.php on line 4\n\nFatal error: Uncaught Error: Call to undefined function mysql_connect() in /srv/www/db.php:4\nStack trace:\n#0 {main}\n  thrown in /srv/www/db.php on line 4\n",
    ),
    (
        "PHP, memory",
        "<br />\n<b>Fatal error</b>:  Allowed memory size of 134217728 bytes exhausted (tried to allocate 20480 bytes) in <b>/srv/www/wp-includes/class-wpdb.php</b> on line <b>2349</b><br />\n<p>This goes on with a note of the theme, which has more than two hundred characters, so that it is no empty page.</p>",
    ),
    (
        "PHP, time",
        "<br />\n<b>Fatal error</b>:  Maximum execution time of 30 seconds exceeded in <b>/srv/www/wp-includes/class-requests.php</b> on line <b>149</b><br />\n<p>This goes on with a note of the theme, which has more than two hundred characters, so that it is no empty page.</p>",
    ),
    (
        "PHP, parse",
        "<br />\n<b>Parse error</b>:  syntax error, unexpected token \"}\", expecting \";\" in <b>/srv/www/wp-content/themes/shop/functions.php</b> on line <b>88</b><br />\n<p>This goes on with a note of the theme, which has more than two hundred characters, so that it is no empty page.</p>",
    ),
    ("die()", "Could not connect: Too many connections"),
    ("PDO", "SQLSTATE[08004] [1040] Too many connections"),
    ("nothing", ""),
    ("a line break", "\n"),
    (
        "WordPress, database",
        "<!DOCTYPE html>\n<html lang=\"en-US\">\n<head>\n<meta name=\"viewport\" content=\"width=device-width\">\n<meta http-equiv=\"Content-Type\" content=\"text/html; charset=utf-8\">\n<title>Database Error</title>\n<style>body { color: #444; max-width: 700px; margin: 2em auto; padding: 1em 2em; } h1 { border-bottom: 1px solid #dadada; }</style>\n</head>\n<body id=\"error-page\">\n<div class=\"wp-die-message\"><h1>Error establishing a database connection</h1></div></body>\n</html>\n",
    ),
    (
        "WordPress, critical",
        "<!DOCTYPE html>\n<html lang=\"en-US\">\n<head>\n<meta http-equiv=\"Content-Type\" content=\"text/html; charset=UTF-8\" />\n<title>WordPress &rsaquo; Error</title>\n<style>body { color: #444; }</style></head>\n<body id=\"error-page\"><div class=\"wp-die-message\"><p>There has been a critical error on this website.</p><p><a href=\"https://wordpress.org/documentation/article/faq-troubleshooting/\">Learn more about troubleshooting WordPress.</a></p></div></body>\n</html>\n",
    ),
    (
        "WordPress, maintenance",
        "<!DOCTYPE html>\n<html lang=\"en-US\">\n<head><title>Maintenance</title><style>body { color: #444; font-family: sans-serif; max-width: 700px; }</style></head>\n<body><h1>Briefly unavailable for scheduled maintenance. Check back in a minute.</h1></body>\n</html>\n",
    ),
    (
        "WordPress, Redis",
        "<!DOCTYPE html><html><head><title>Redis</title></head><body><h1>Error establishing a Redis connection</h1><p>WordPress is unable to establish a connection to Redis. This means that the connection information in your wp-config.php file are incorrect, or that the Redis server is not reachable.</p></body></html>",
    ),
    (
        "WordPress, crashed table",
        "<div id=\"error\"><p class=\"wpdberror\"><strong>WordPress database error:</strong> [Table './shop/wp_options' is marked as crashed and should be repaired]<br /><code>SELECT option_name, option_value FROM wp_options WHERE autoload = 'yes'</code></p></div>",
    ),
    (
        "Joomla",
        "<!DOCTYPE html><html><head><title>Error: 500</title><style>body{font-family:sans-serif;background:#fafafa;color:#333;margin:4em}</style></head><body><h1>Database Error: Unable to connect to the database: The MySQL adapter 'mysqli' is not available.</h1></body></html>",
    ),
    (
        "SMF",
        "<!DOCTYPE html><html><head><meta name=\"robots\" content=\"noindex\"><title>Connection Problems</title></head><body><h3>Connection Problems</h3>Sorry, SMF was unable to connect to the database. This may be caused by the server being busy. Please try again later.</body></html>",
    ),
    (
        "phpBB",
        "<!DOCTYPE html><html><head><title>General Error</title></head><body><div id=\"page-header\"><a href=\"/\">Return to the index page</a></div><h1>General Error</h1><p>SQL ERROR [ mysqli ]</p><p>Too many connections [1040]</p><p>An sql error occurred while fetching this page. Please contact an administrator if this problem persists.</p></body></html>",
    ),
    (
        "MediaWiki",
        "<!DOCTYPE html><html><head><title>Site error</title><style>body{font-family:sans-serif}</style></head><body><h1>Sorry! This site is experiencing technical difficulties.</h1><p>Try waiting a few minutes and reloading.</p><p><small>(Cannot access the database)</small></p></body></html>",
    ),
    (
        "OpenCart",
        "<b>Notice</b>: Error: Could not make a database link using shop@localhost!<br />Error No: 1040<br /><br />Fatal error: Uncaught Exception: Error: Could not make a database link using shop@localhost! in /srv/www/system/library/db/mysqli.php:20<br />Stack trace: #0 {main} thrown",
    ),
    (
        "Drupal",
        "<!DOCTYPE html><html><head><title>Error</title></head><body><p>The website encountered an unexpected error. Please try again later.</p><p><em class=\"placeholder\">PDOException</em>: SQLSTATE[HY000] [2002] Connection refused in Drupal\\Component\\DependencyInjection\\PhpArrayContainer</p></body></html>",
    ),
    (
        "Next.js",
        "<!DOCTYPE html><html id=\"__next_error__\"><head><title>Application</title><script src=\"/_next/x.js\"></script></head><body><h2>Application error: a server-side exception has occurred (see the server logs for more information).</h2><p>Digest: 2338461229</p></body></html>",
    ),
    (
        "hosting",
        "<!DOCTYPE html><html><head><title>Account Suspended</title><style>body{font:14px sans-serif;color:#333;background:#eee}</style></head><body><h1>This Account has been suspended.</h1><p>Contact your hosting provider for more information about this matter.</p></body></html>",
    ),
    (
        "nginx",
        "<!DOCTYPE html>\n<html>\n<head>\n<title>Welcome to nginx!</title>\n<style>body { width: 35em; margin: 0 auto; font-family: Tahoma, Verdana, Arial, sans-serif; }</style>\n</head>\n<body>\n<h1>Welcome to nginx!</h1>\n<p>If you see this page, the nginx web server is successfully installed and working.</p>\n</body>\n</html>\n",
    ),
    (
        "Python",
        "<html><body><pre>Traceback (most recent call last):\n  File \"/srv/app.py\", line 12, in index\n    rows = db.execute(query)\nsqlalchemy.exc.TimeoutError: QueuePool limit of size 5 overflow 10 reached, connection timed out, timeout 30.00 (Background on this error at: https://sqlalche.me/e/20/3o7r)</pre></body></html>",
    ),
    (
        "PostgreSQL",
        "Warning: pg_connect(): Unable to connect to PostgreSQL server: FATAL: sorry, too many clients already in /srv/www/lib/db.php on line 20\nplease come back later, we are working on it and everything will be well in a few minutes; thank you for your patience, dear visitor of our shop.",
    ),
    (
        "unknown words, cut and short",
        "Es tut uns leid, im Moment geht nichts. Bitte versuchen Sie es in einigen Minuten noch einmal. Wir arbeiten daran, dass alles bald wieder so ist, wie Sie es von uns kennen. Danke, dass Sie uns die Treue halten, und bis gleich. Ihr Team aus dem Laden an der Ecke der Straße am Fluss.",
    ),
];

#[test]
fn error_pages_are_known_beside_the_good_page() {
    let good = framed("Our products", &paragraphs(100));
    for (name, page) in PAGES {
        let found = Case::new(&good, page).found();
        assert!(matches!(found, Finding::Failed(_)), "{name}: {found:?}");
        // In another case of letters, and in the shape of the same site's pages.
        let upper = page.to_uppercase();
        assert!(Case::new(&good, &upper).fails(), "{name} in capitals");
    }
}

/// The page begins, and where the error comes there is nothing more.
#[test]
fn error_texts_inside_what_was_sent_before_are_known() {
    let good = framed("Our products", &paragraphs(200));
    let begun = &good[..3000];
    for text in KNOWN {
        let page = format!("{begun}{text} in <b>/srv/www/db.php</b> on line <b>3</b>");
        let found = Case::new(&good, &page).found();
        let signs: Signs = [Sign::Text, Sign::Cut].into_iter().collect();
        assert_eq!(found, Finding::Failed(signs), "{text}");
    }
}

/// A visitor's own page may have become another in many ways, but not an error text.
#[test]
fn of_own_pages_only_error_texts_count() {
    let good = framed("Your orders", &paragraphs(100));
    for (name, page) in PAGES {
        let case = Case {
            is_own: true,
            ..Case::new(&good, page)
        };
        let has_text = !name.starts_with("unknown") && !page.trim().is_empty();
        assert_eq!(case.fails(), has_text, "{name}: {:?}", case.found());
    }
    for page in ["<script>window.location='login.php'</script>", "", "bye"] {
        let case = Case {
            is_own: true,
            ..Case::new(&good, page)
        };
        assert_eq!(case.found(), Finding::Well, "{page}");
    }
}

#[test]
fn one_sign_is_doubt() {
    #[track_caller]
    fn check(before: &str, after: &str, signs: &[Sign]) {
        let signs = signs.iter().copied().collect();
        let found = Case::new(before, after).found();
        assert_eq!(found, Finding::Doubtful(signs));
    }
    let good = framed("Our products", &paragraphs(100));
    let cut = &good[..good.len() - 300];
    check(&good, cut, &[Sign::Cut]);
    let large = framed("Our products", &paragraphs(800));
    check(
        &large,
        &framed("Something else", &paragraphs(50)),
        &[Sign::Shrunk],
    );
    let told = framed("Our products", "<p>Too many connections</p>");
    check(&good, &told, &[Sign::Text]);
    // It sends the browser elsewhere.
    let elsewhere = "<script>location='/login'</script>";
    check(&good, elsewhere, &[Sign::Cut, Sign::Shrunk]);
}

#[test]
fn texts_that_were_asked_for_are_none() {
    let good = framed("Search", &paragraphs(100));
    let page = "<p>No results for <b>SQLSTATE[HY000] Too many connections</b>, and here are some words \
                more, so that this is no empty page but one that says what it could not find. \
                Please try other words, or look into our list of topics. You may also ask in the \
                forum, where people are who know much about this, day and night.</p>";
    for target in [
        "/search?q=SQLSTATE[hy000]+too+many+connections",
        "/search?q=sqlstate%5BHY000%5D%20Too%20many%20connections",
        "/search/SQLSTATE[/Too%20many%20Connections",
    ] {
        let case = Case {
            request: request(target, &[]),
            is_own: true,
            ..Case::new(&good, page)
        };
        assert_eq!(case.found(), Finding::Well, "{target}");
    }
    // A field is no part of the key: it makes no failure, and no copy for others either.
    let case = Case {
        request: request(
            "/search",
            &[("referer", "/?q=SQLSTATE[HY000]%20Too+many+connections")],
        ),
        is_own: true,
        ..Case::new(&good, page)
    };
    assert!(matches!(case.found(), Finding::Doubtful(_)));
    let case = Case {
        request: request("/search?q=tea", &[("referer", "/?q=bread")]),
        ..case
    };
    assert!(case.fails());
}

#[test]
fn own_texts_count_by_themselves() {
    let good = framed("Shop", &paragraphs(100));
    let sorry = framed("Shop", &format!("{}Der Laden ist voll", paragraphs(2)));
    let long = format!("{sorry}{}", paragraphs(200));
    let texts = "etwas anderes,der laden ist VOLL";
    for (page, is_own) in [(&sorry, false), (&sorry, true), (&long, false)] {
        let case = Case {
            is_own,
            own: texts,
            ..Case::new(&good, page)
        };
        assert!(case.fails());
    }
    assert!(!Case::new(&good, &sorry).fails(), "nobody has said so");
    let case = Case {
        own: texts,
        request: request("/?q=Der+Laden+ist+voll", &[]),
        ..Case::new(&good, &sorry)
    };
    assert_eq!(case.found(), Finding::Well);
}
