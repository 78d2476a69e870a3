//! Owns what is said of parameters that seem to change no page: which setting leaves them out of keys.
//! Never sets it: whether they change nothing is for the operator to say.

/// What to tell of them; `None` where there is none.
pub(crate) fn words(idle: &[String]) -> Option<String> {
    let (first, more) = idle.split_first()?;
    let (names, verb) = match more {
        [] => (format!("`{first}`"), "changes"),
        _ => (format!("`{}`", idle.join("`, `")), "change"),
    };
    Some(format!(
        "in links the parameter {names} {verb} no page, as it seems, and each value of it has a copy of its \
         own: if that is so, RETTER_CACHE_IGNORED_QUERY=known,{} keeps one copy for all",
        idle.join(",")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_is_named_with_all_of_them() {
        assert_eq!(words(&[]), None);
        let told = words(&["ref".to_owned(), "src".to_owned()]).expect("two");
        assert!(told.contains("`ref`, `src` change no page"), "{told}");
        assert!(
            told.contains("RETTER_CACHE_IGNORED_QUERY=known,ref,src"),
            "{told}"
        );
    }
}
