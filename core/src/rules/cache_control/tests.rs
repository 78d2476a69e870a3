use proptest::prelude::*;

use super::*;

fn parse(line: &str) -> CacheControl {
    CacheControl::parse([line.as_bytes()])
}

#[test]
fn directives() {
    #[track_caller]
    fn check(line: &str, set: impl FnOnce(&mut CacheControl)) {
        let mut expected = CacheControl::default();
        set(&mut expected);
        assert_eq!(parse(line), expected, "{line}");
    }
    check("", |_| {});
    check(" , ,", |_| {});
    check("foo, bar=1, baz=\"no-store\"", |_| {});
    check("max-age=60", |c| c.max_age = Some(60));
    check("MAX-AGE=60, No-Store", |c| {
        c.max_age = Some(60);
        c.no_store = true;
    });
    check("max-age=\"60\"", |c| c.max_age = Some(60));
    check("s-maxage=1,public", |c| {
        c.s_maxage = Some(1);
        c.public = true;
    });
    check("must-revalidate, proxy-revalidate", |c| {
        c.must_revalidate = true;
        c.proxy_revalidate = true;
    });
    check("no-transform, immutable, must-understand", |c| {
        c.no_transform = true;
        c.immutable = true;
        c.must_understand = true;
    });
    check("only-if-cached, max-stale, min-fresh=7", |c| {
        c.only_if_cached = true;
        c.max_stale = Some(DELTA_SECONDS_MAX);
        c.min_fresh = Some(7);
    });
    check("max-stale=3", |c| c.max_stale = Some(3));
    check("stale-if-error=9, stale-while-revalidate=8", |c| {
        c.stale_if_error = Some(9);
        c.stale_while_revalidate = Some(8);
    });
    check("no-store=yes", |c| c.no_store = true);
    check("no-store =yes", |c| c.no_store = true);
}

#[test]
fn qualified_forms() {
    #[track_caller]
    fn check(line: &str, no_cache: bool, private: bool) {
        let control = parse(line);
        assert_eq!((control.no_cache, control.private), (no_cache, private));
    }
    check("no-cache, private", true, true);
    check("no-cache=\"x-a, x-b\"", false, false);
    check("private=\"x-a, no-cache\"", false, false);
    check("private=\"x a\"", false, true);
    check("no-cache=\"x-a", true, false);
    check("private=\"Set-Cookie\"", false, false);
    check("no-cache=set-cookie", false, false);
    check("no-cache=\"\"", true, false);
    check("no-cache=\"set-cookie\", no-cache", true, false);
}

#[test]
fn fields_that_no_copy_holds() {
    #[track_caller]
    fn check(lines: &[(&str, &str)], expected: &[&str]) {
        let lines = lines.iter().map(|(name, value)| (*name, value.as_bytes()));
        let fields = Fields::from_pairs(lines);
        let found: Vec<_> = withheld(&fields).map(String::from_utf8_lossy).collect();
        assert_eq!(found, expected);
    }
    let plain = ("Cache-Control", "no-cache=\"a, b\", max-age=1, private=c");
    check(&[plain], &["a", "b", "c"]);
    check(&[plain, ("CDN-Cache-Control", "no-cache=\"d\"")], &["d"]);
    check(&[("Cache-Control", "no-cache, x=\"no-cache=a\"")], &[]);
}

#[test]
fn numbers() {
    #[track_caller]
    fn check(argument: &str, max_age: u32, stale_if_error: Option<u32>) {
        let control = parse(&format!("max-age{argument}, stale-if-error{argument}"));
        assert_eq!(control.max_age, Some(max_age));
        assert_eq!(control.stale_if_error, stale_if_error);
    }
    check("=0", 0, Some(0));
    check("=007", 7, Some(7));
    check("=2147483647", 2_147_483_647, Some(2_147_483_647));
    check("=2147483648", DELTA_SECONDS_MAX, Some(DELTA_SECONDS_MAX));
    let huge = format!("={}", "9".repeat(500));
    check(&huge, DELTA_SECONDS_MAX, Some(DELTA_SECONDS_MAX));
    for invalid in [
        "", "=", "=-1", "=+1", "=1.5", "= 1", "='1'", "=\"1", "=1s", "=\"\\1\"",
    ] {
        check(invalid, 0, None);
    }
}

#[test]
fn a_quoted_comma_does_not_split_and_a_stray_quote_hides_nothing() {
    assert_eq!(
        parse("a=\"x, no-store, max-age=1\""),
        CacheControl::default()
    );
    assert_eq!(parse("a=\"\\\", no-store\""), CacheControl::default());
    assert!(parse("a=\"x, no-store").no_store);
    assert!(parse("a\"x, no-store, b\"").no_store);
    assert!(parse("a=\"1\"\", no-store").no_store);
}

#[test]
fn the_most_restrictive_duplicate_counts() {
    let lines = [
        &b"max-age=5, min-fresh=1"[..],
        b"max-age=3, max-age=9",
        b"min-fresh=4",
    ];
    let control = CacheControl::parse(lines);
    assert_eq!((control.max_age, control.min_fresh), (Some(3), Some(4)));
    assert_eq!(parse("max-age=5, max-age=x").max_age, Some(0));
    assert_eq!(parse("max-stale, max-stale=2").max_stale, Some(2));
}

#[test]
fn targeted_fields_come_first() {
    #[track_caller]
    fn check(lines: &[(&str, &str)], max_age: Option<u32>, targeted: bool) {
        let lines = lines.iter().map(|(name, value)| (*name, value.as_bytes()));
        let control = effective(&Fields::from_pairs(lines));
        assert_eq!((control.max_age, control.targeted), (max_age, targeted));
    }
    let plain = ("Cache-Control", "max-age=1");
    let cdn = ("CDN-Cache-Control", "max-age=2");
    let own = ("Retter-Cache-Control", "max-age=3");
    check(&[], None, false);
    check(&[plain], Some(1), false);
    check(&[plain, cdn], Some(2), true);
    check(&[plain, cdn, own], Some(3), true);
    check(&[plain, ("CDN-Cache-Control", " ")], Some(1), false);
    check(
        &[plain, ("Retter-Cache-Control", "stale-if-error=9")],
        None,
        true,
    );
}

fn directive() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "max-age",
        "s-maxage",
        "no-store",
        "no-cache",
        "private",
        "public",
        "must-revalidate",
        "proxy-revalidate",
        "min-fresh",
        "max-stale",
        "stale-if-error",
        "stale-while-revalidate",
        "x-other",
    ]);
    let argument = prop_oneof![
        Just(String::new()),
        (0..10_000_u64).prop_map(|seconds| format!("={seconds}")),
        (0..u64::MAX).prop_map(|seconds| format!("=\"{seconds}\"")),
        Just("=\"set-cookie, no-store\"".to_owned()),
        Just("=soon".to_owned()),
    ];
    (name, argument).prop_map(|(name, argument)| format!("{name}{argument}"))
}

proptest! {
    #[test]
    fn any_bytes_are_parsed(line in prop::collection::vec(any::<u8>(), 0..200)) {
        let control = CacheControl::parse([&line[..]]);
        let bound = |seconds: Option<u32>| seconds.is_none_or(|s| s <= DELTA_SECONDS_MAX);
        prop_assert!(bound(control.max_age) && bound(control.stale_if_error));
    }

    #[test]
    fn nearly_directives_are_parsed(line in "[a-z=\", \\\\0-9-]{0,60}") {
        let _ = parse(&line);
    }

    #[test]
    fn order_and_lines_do_not_matter(
        (sorted, shuffled) in prop::collection::vec(directive(), 0..8)
            .prop_flat_map(|list| (Just(list.clone()), Just(list).prop_shuffle()))
    ) {
        let one_line = parse(&sorted.join(", "));
        let many_lines = CacheControl::parse(shuffled.iter().map(String::as_bytes));
        prop_assert_eq!(one_line, many_lines);
    }
}
