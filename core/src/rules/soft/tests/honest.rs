//! Pages that changed because somebody changed them: none of these is a failure.

use super::*;
use crate::rules::soft::texts::KNOWN;

/// A site, by what its pages are made of.
struct Site {
    name: &'static str,
    title: &'static str,
    /// Before each page.
    top: &'static str,
    /// One line of content.
    line: &'static str,
    /// After each page.
    bottom: &'static str,
    /// Nothing is there.
    nothing: &'static str,
}

const SITES: &[Site] = &[
    Site {
        name: "English shop",
        title: "Tea and more",
        top: "<!DOCTYPE html><html lang=\"en\"><head><title>{}</title></head><body><h1>Tea and more</h1><nav><a href=\"/\">Home</a> <a href=\"/tea\">Tea</a> <a href=\"/cart\">Cart</a></nav><main>",
        line: "<article><h2>Green tea</h2><p>From the hills, 100 g, 4.50</p></article>\n",
        bottom: "</main><footer>Opening hours: Monday to Friday, 9 to 18. We are glad to help. All prices with tax.</footer></body></html>",
        nothing: "<p>Your cart is empty.</p>",
    },
    Site {
        name: "German news",
        title: "Nachrichten aus der Stadt",
        top: "<!doctype html><html lang=\"de\"><head><meta charset=\"utf-8\"><title>{}</title><link rel=\"stylesheet\" href=\"/stil.css\"></head><body><header>Zeitung</header><main>",
        line: "<section><h3>Brücke wird gebaut</h3><p>Der Rat hat gestern beschlossen, dass die Brücke gebaut wird.</p></section>\n",
        bottom: "</main><footer>Impressum Datenschutz Kontakt Werbung Abo Archiv Wetter Verkehr Sport Kultur</footer></body></html>\n<!-- 0.123 s -->",
        nothing: "<p>Keine Treffer.</p>",
    },
    Site {
        name: "Japanese blog",
        title: "日記",
        top: "<!DOCTYPE html>\n<html lang=\"ja\">\n<head><meta charset=\"UTF-8\">\n<title>{}</title>\n</head>\n<body>\n<div id=\"menu\">最新 過去 連絡先 検索 写真 旅行 料理 読書 音楽 映画 散歩 天気</div>\n",
        line: "<p>今日は雨が降って、家で本を読みました。</p>\n",
        bottom: "<div id=\"foot\">著作権所有 二〇二四年 日記の会 連絡はこちらまで お問い合わせ 個人情報の取り扱い</div></body>\n</html>\n",
        nothing: "<p>記事はありません</p>",
    },
    Site {
        name: "Arabic portal",
        title: "البوابة",
        top: "<html dir=\"rtl\" lang=\"ar\"><head><title>{}</title></head><body><ul><li>الرئيسية</li><li>الأخبار</li><li>اتصل بنا</li><li>الخدمات</li><li>الوظائف</li></ul>",
        line: "<p>افتتحت المدينة اليوم مكتبة جديدة في وسط البلد.</p>\n",
        bottom: "<p>جميع الحقوق محفوظة للبوابة ولا يجوز النسخ دون إذن من الإدارة</p></body></html>",
        nothing: "<p>لا توجد نتائج</p>",
    },
    Site {
        name: "old capitals",
        title: "WELCOME",
        top: "<HTML><HEAD><TITLE>{}</TITLE></HEAD><BODY BGCOLOR=WHITE><CENTER><H1>MY PAGE ABOUT TRAINS</H1><HR><TABLE BORDER=1><TR><TD>LINKS</TD><TD>GUESTBOOK</TD></TR></TABLE>",
        line: "<P><IMG SRC=TRAIN.GIF> A TRAIN OF 1923 ON ITS WAY TO THE COAST\n",
        bottom: "</CENTER><HR>LAST CHANGED IN 1999. BEST VIEWED WITH ANY BROWSER. SIGN THE GUESTBOOK BEFORE YOU LEAVE.</BODY></HTML>\n",
        nothing: "<P>NO TRAINS TODAY",
    },
    Site {
        name: "without end tags",
        title: "Docs",
        top: "<!doctype html><title>{}</title><link rel=stylesheet href=/a.css><nav><a href=/>home</a><a href=/api>api</a><a href=/guide>guide</a></nav><main>",
        line: "<p>Call <code>open()</code> before <code>read()</code>, and close what you have opened.\n",
        bottom: "<footer>Built from the sources of today; corrections are welcome in the tracker of the project.",
        nothing: "<p>No such page in this version.",
    },
    Site {
        name: "XHTML",
        title: "Wiki",
        top: "<?xml version=\"1.0\"?><!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Strict//EN\" \"http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd\"><html xmlns=\"http://www.w3.org/1999/xhtml\"><head><title>{}</title></head><body><div>Edit History Talk Search Random</div>",
        line: "<p>A lemma is a small theorem that helps with a larger one.<br /></p>\n",
        bottom: "<div>Text is available under a free licence; see the terms for what this means to you.</div></body></html>",
        nothing: "<p>There is no text in this page.</p>",
    },
    Site {
        name: "AMP",
        title: "Recipe",
        top: "<!doctype html><html amp lang=\"en\"><head><meta charset=\"utf-8\"><title>{}</title><script async src=\"https://cdn.ampproject.org/v0.js\"></script><style amp-boilerplate>body{animation:-amp-start 8s steps(1,end) 0s 1 normal both}</style></head><body>",
        line: "<p>Stir the flour into the milk, and let it rest for an hour.</p><amp-img src=\"/f.jpg\" width=\"9\" height=\"9\"></amp-img>\n",
        bottom: "<amp-analytics></amp-analytics><footer>More recipes of this kitchen: bread, soup, pie, cake</footer></body></html>",
        nothing: "<p>Nothing to cook.</p>",
    },
    Site {
        name: "single page",
        title: "App",
        top: "<!DOCTYPE html><html><head><title>{}</title><script type=\"module\" src=\"/app.9f.js\"></script></head><body><div id=\"root\"></div><noscript>This page needs scripts to show what is in it.</noscript>",
        line: "<script type=\"application/json\">{\"id\":1,\"name\":\"one\",\"tags\":[\"a\",\"b\"]}</script>\n",
        bottom: "<script>window.__STATE__={\"user\":null,\"theme\":\"light\",\"locale\":\"en\",\"flags\":[]}</script></body></html>",
        nothing: "<script type=\"application/json\">[]</script>",
    },
    Site {
        name: "forum",
        title: "Board index",
        top: "<!DOCTYPE html><html lang=\"en\"><head><title>{}</title></head><body id=\"phpbb\"><a href=\"/ucp\">Login</a><a href=\"/register\">Register</a><a href=\"/faq\">FAQ</a><table>",
        line: "<tr><td>MySQL server has gone away, what now?</td><td>12 replies</td><td>340 views</td></tr>\n",
        bottom: "</table><p>Users browsing this forum: no registered users and 3 guests. All times are UTC.</p></body></html>",
        nothing: "<tr><td>There are no posts in this forum.</td></tr>",
    },
];

impl Site {
    fn page(&self, title: &str, content: &str) -> String {
        let top = self.top.replace("{}", title);
        format!("{top}{content}{}", self.bottom)
    }

    fn lines(&self, count: usize) -> String {
        self.line.repeat(count)
    }
}

/// A name, and the page before and after it.
type Change = (&'static str, fn(&Site) -> (String, String));

const CHANGES: &[Change] = &[
    ("nothing but a time", |s| {
        (
            s.page(s.title, &format!("{}12:00", s.lines(60))),
            s.page(s.title, &format!("{}12:01", s.lines(60))),
        )
    }),
    ("some more content", |s| {
        (s.page(s.title, &s.lines(60)), s.page(s.title, &s.lines(80)))
    }),
    ("some less content", |s| {
        (s.page(s.title, &s.lines(60)), s.page(s.title, &s.lines(40)))
    }),
    ("a new title", |s| {
        (s.page(s.title, &s.lines(60)), s.page("New", &s.lines(60)))
    }),
    ("a message of the day", |s| {
        (
            s.page(s.title, &s.lines(60)),
            s.page("(1) News", &s.lines(2)),
        )
    }),
    ("an emptied list", |s| {
        (s.page(s.title, &s.lines(60)), s.page(s.title, s.nothing))
    }),
    ("a search without hits", |s| {
        (s.page(s.title, &s.lines(200)), s.page(s.title, s.nothing))
    }),
    ("another search without hits", |s| {
        (
            s.page("Search: tea", &s.lines(30)),
            s.page("Search: x", s.nothing),
        )
    }),
    ("a paywall", |s| {
        (
            s.page(s.title, &s.lines(90)),
            s.page(
                s.title,
                &format!(
                    "{}<form action=\"/subscribe\"><button>Subscribe</button></form>",
                    s.lines(4)
                ),
            ),
        )
    }),
    ("a paywall with a title of its own", |s| {
        (
            s.page(s.title, &s.lines(90)),
            s.page(
                "Subscribe",
                &format!("{}<form action=\"/subscribe\"></form>", s.lines(4)),
            ),
        )
    }),
    ("a banner: maintenance tonight", |s| {
        (
            s.page(s.title, &s.lines(60)),
            s.page(
                s.title,
                &format!(
                    "<div class=\"banner\">Scheduled maintenance tonight from 2 to 4.</div>{}",
                    s.lines(60)
                ),
            ),
        )
    }),
    ("a login in its place", |s| {
        (s.page(s.title, &s.lines(60)), s.page("Sign in", "<form method=\"post\"><input name=\"user\"><input type=\"password\" name=\"pw\"></form>"))
    }),
    ("a redesign with less around it", |s| {
        (
            format!(
                "<!-- {} -->{}",
                "old theme ".repeat(300),
                s.page(s.title, &s.lines(60))
            ),
            s.page(s.title, &s.lines(60)),
        )
    }),
    ("a redesign with more around it", |s| {
        (
            s.page(s.title, &s.lines(60)),
            s.page(
                s.title,
                &format!(
                    "<style>{}</style>{}",
                    "a{color:red}".repeat(900),
                    s.lines(60)
                ),
            ),
        )
    }),
    ("minified", |s| {
        (
            s.page(s.title, &s.lines(60).replace('>', ">\n      ")),
            s.page(s.title, &s.lines(60).replace('\n', "")),
        )
    }),
    ("minified, with the optional end left out", |s| {
        (
            s.page(s.title, &s.lines(60)),
            s.page(s.title, &s.lines(60))
                .replace("</body></html>", "")
                .replace("</BODY></HTML>", ""),
        )
    }),
    ("for good much shorter", |s| {
        (s.page(s.title, &s.lines(400)), s.page(s.title, &s.lines(3)))
    }),
    ("sold out", |s| {
        (
            s.page("Green tea", &s.lines(50)),
            s.page("Green tea", &format!("<b>sold out</b>{}", s.lines(1))),
        )
    }),
    ("a word of an error in the middle", |s| {
        (
            s.page(s.title, &s.lines(90)),
            s.page(
                s.title,
                &format!("{}<p>Too many connections</p>{}", s.lines(90), s.lines(30)),
            ),
        )
    }),
    ("comments closed", |s| {
        (
            s.page(s.title, &s.lines(120)),
            s.page(
                s.title,
                &format!("{}<p>Comments are closed.</p>", s.lines(20)),
            ),
        )
    }),
    ("a stub that leads on", |s| {
        (
            s.page(s.title, &s.lines(60)),
            format!(
                "<meta http-equiv=\"refresh\" content=\"0;url=/{}\">",
                s.name.len()
            ),
        )
    }),
    ("a script that leads on", |s| {
        (
            s.page(s.title, &s.lines(60)),
            format!("<script>location.href='/{}'</script>", s.name.len()),
        )
    }),
    ("a form that sends itself", |s| {
        (
            s.page(s.title, &s.lines(60)),
            format!(
                "<form action=\"/sso/{}\" method=\"post\"><input type=\"hidden\" name=\"t\"></form>",
                s.name.len()
            ),
        )
    }),
];

/// Data, feeds and the like are no pages, whatever becomes of them.
const NO_PAGES: &[&str] = &[
    "application/json",
    "application/json; charset=utf-8",
    "application/ld+json",
    "application/rss+xml",
    "application/atom+xml",
    "application/xml",
    "text/xml",
    "text/plain",
    "text/css",
    "text/csv",
    "text/javascript",
    "text/event-stream",
    "text/vnd.turbo-stream.html",
    "image/svg+xml",
    "application/pdf",
    "application/octet-stream",
];

#[test]
fn honest_changes_are_no_failures() {
    let (mut rows, mut doubted) = (0, 0);
    let mut check = |name: &str, before: &str, after: &str| {
        rows += 1;
        match Case::new(before, after).found() {
            Finding::Failed(signs) => panic!("{name}: {signs}"),
            Finding::Doubtful(_) => doubted += 1,
            Finding::Well => {}
        }
    };
    for site in SITES {
        for (change, pages) in CHANGES {
            let (before, after) = pages(site);
            check(&format!("{}: {change}", site.name), &before, &after);
        }
    }
    // Articles about errors, in long and short, and pages that list them.
    for text in KNOWN {
        let article = framed(&format!("What to do about {text}"), &paragraphs(60));
        check(text, &framed("Help", &paragraphs(60)), &article);
        let quoted = framed("Help", &format!("{}<pre>{text}</pre>", paragraphs(60)));
        check(text, &quoted, &framed("Help", &paragraphs(70)));
        let shorter = framed("Help", &format!("<pre>{text}</pre>{}", paragraphs(30)));
        check(text, &quoted, &shorter);
    }
    // Their copies stay as they are for ten minutes, and nothing else comes of it.
    assert_eq!((rows, doubted), (437, 78));
}

#[test]
fn what_is_no_page_is_not_judged() {
    let is_page = |media_type: &str| {
        let fields = Fields::from_pairs([("content-type", media_type.as_bytes())]);
        crate::rules::soft::is_page(&fields)
    };
    for media_type in NO_PAGES {
        assert!(!is_page(media_type), "{media_type}");
    }
    for media_type in ["text/html", "Text/HTML;charset=x", "application/xhtml+xml"] {
        assert!(is_page(media_type), "{media_type}");
    }
    assert!(crate::rules::soft::is_page(&Fields::default()));
}
