//! Owns the texts by which error pages are known: what databases, languages, frameworks and shop
//! systems say when they cannot answer, and what the settings add.
//! Never decides what a text means: that depends on the page around it.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use crate::config::FailTexts;

/// Texts looked for at once, without regard to the case of ASCII letters.
#[derive(Clone, Debug)]
pub(crate) struct Texts {
    automaton: AhoCorasick,
    texts: Vec<String>,
}

impl Texts {
    /// The built-in ones.
    pub(crate) fn known() -> &'static Self {
        static TEXTS: LazyLock<Texts> =
            LazyLock::new(|| Texts::new(KNOWN.iter().map(|&text| text.to_owned()).collect()));
        &TEXTS
    }

    /// Those of the settings; `None` where there are none.
    pub(crate) fn own(texts: &FailTexts) -> Option<Self> {
        let texts: Vec<_> = texts.iter().map(ToOwned::to_owned).collect();
        (!texts.is_empty()).then(|| Self::new(texts))
    }

    fn new(texts: Vec<String>) -> Self {
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(&texts)
            .expect("a few hundred short texts make a small automaton");
        Self { automaton, texts }
    }

    /// The texts that stand in `page`, each as often as it does.
    pub(crate) fn find<'a>(&'a self, page: &'a [u8]) -> impl Iterator<Item = &'a str> + 'a {
        self.automaton
            .find_overlapping_iter(page)
            .filter_map(|found| self.texts.get(found.pattern().as_usize()))
            .map(String::as_str)
    }
}

/// Each is the part of a real message that does not change with the case at hand, and long enough
/// that it is no phrase of ordinary pages. PHP writes `<b>Fatal error</b>:` into pages and
/// `Fatal error:` into plain text.
pub(super) const KNOWN: &[&str] = &[
    // PHP
    "<b>Fatal error</b>:",
    "Fatal error: Uncaught",
    "Fatal error: Allowed memory",
    "Fatal error: Maximum execution",
    "Fatal error: Out of memory",
    "<b>Parse error</b>:",
    "Parse error: syntax error",
    "Call to undefined function",
    "Call to a member function",
    "Allowed memory size of",
    "Maximum execution time of",
    "Could not connect: ",
    "<b>Warning</b>:  mysqli",
    "failed to open stream",
    // databases
    "SQLSTATE[",
    "Too many connections",
    "DB Error",
    "Database Error",
    "Error connecting to database",
    "Could not connect to database",
    "Could not connect to the database",
    "Cannot connect to the database",
    "Unable to connect to the database",
    "was unable to connect to the database",
    "Database connection failed",
    "Database connection error",
    "Connection to the database failed",
    "t connect to MySQL server",
    "t connect to local MySQL server",
    "t connect to local server through socket",
    "t connect to server on",
    "MySQL server has gone away",
    "Lost connection to MySQL server",
    "Access denied for user",
    "could not connect to server: ",
    "FATAL: sorry, too many clients already",
    "remaining connection slots are reserved",
    "database is locked",
    "Lock wait timeout exceeded",
    "ORA-12514",
    "ORA-12541",
    // systems
    "Error establishing a database connection",
    "Error establishing a Redis connection",
    "There has been a critical error on this website",
    "Briefly unavailable for scheduled maintenance",
    "WordPress database error",
    "marked as crashed and",
    "database tables are unavailable",
    "Database tables are missing",
    "General Error",
    "site is experiencing technical difficulties",
    "Could not make a database link",
    "The website encountered an unexpected error",
    "An error occurred in the application and your page could not be served",
    // frameworks
    "Application error: a client-side exception has occurred",
    "Application error: a server-side exception has occurred",
    "Traceback (most recent call last)",
    "We're sorry, but something went wrong",
    "Whoops, looks like something went wrong",
    "Unhandled exception",
    "Internal Server Error",
    // servers and hosting
    "502 Bad Gateway",
    "503 Service Unavailable",
    "503 Service Temporarily Unavailable",
    "504 Gateway Time-out",
    "508 Resource Limit Is Reached",
    "Account has been suspended",
    "This account has been suspended",
    "Welcome to nginx!",
];
