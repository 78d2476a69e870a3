//! Owns the words for a setting that cannot work.
//! Never decides that it cannot.

use std::fmt;

use super::spec::Spec;
use super::table::specs;

/// One reason why the program cannot start with these settings.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Problem {
    /// The settings file cannot be read at all.
    File {
        /// Its path as given.
        path: String,
        /// Why.
        reason: String,
    },
    /// A key that is no setting.
    Unknown {
        /// The key and its file.
        place: String,
        /// The nearest key that is one.
        nearest: Option<String>,
    },
    /// A value that is not accepted.
    Value {
        /// Variable, flag, or key and file.
        place: String,
        /// The value as given.
        value: String,
        /// What is wrong with it.
        reason: String,
        /// What is accepted.
        accepted: String,
        /// A whole assignment that works, in the same place.
        example: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, reason } => {
                write!(f, "  settings file {path}\n    problem:  {reason}")
            }
            Self::Unknown { place, nearest } => {
                write!(f, "  {place}\n    problem:  there is no such setting")?;
                match nearest {
                    Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
                    None => f.write_str("; `retter --help` lists all"),
                }
            }
            Self::Value {
                place,
                value,
                reason,
                accepted,
                example,
            } => {
                let shown = if value.is_empty() { "(empty)" } else { value };
                write!(
                    f,
                    "  {place} = {shown}\n    problem:  {reason}\n    accepted: {accepted}\n    \
                     example:  {example}"
                )
            }
        }
    }
}

/// Letters of a name from which on it is likely to be the beginning of another: `backend.timeout`.
const WORD_MIN: usize = 12;

/// The known name that is nearest to `name`, when one is near. `form` names a spec as `name` is
/// named.
pub(crate) fn nearest(name: &str, form: impl Fn(&Spec) -> String) -> Option<String> {
    // Whoever writes `timeout` means one of the time-outs, the first of the shortest.
    let begins = specs().map(&form).filter(|known| known.starts_with(name));
    if let Some(known) = begins.min_by_key(String::len)
        && name.len() >= WORD_MIN
    {
        return Some(known);
    }
    // A third of the letters wrong is no longer a slip.
    let distance_max = name.len() / 3;
    specs()
        .map(|spec| {
            let known = form(spec);
            (strsim::damerau_levenshtein(name, &known), known)
        })
        .min_by_key(|&(distance, _)| distance)
        .filter(|&(distance, _)| distance <= distance_max)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_was_meant_is_suggested() {
        for (written, meant) in [
            (
                "RETTER_BACKEND_TIMEOUT",
                Some("RETTER_BACKEND_TIMEOUT_HEAD"),
            ),
            ("RETTER_BACKEND_BASE_URL", Some("RETTER_BACKEND_BASEURL")),
            ("RETTER_SERVER_LISTN", Some("RETTER_SERVER_LISTEN")),
            ("RETTER_NOTIFY_COMMANDS", Some("RETTER_NOTIFY_COMMAND")),
            ("RETTER_SOMETHING_ELSE_ENTIRELY", None),
        ] {
            let told = nearest(written, Spec::variable);
            assert_eq!(told.as_deref(), meant, "{written}");
        }
    }
}
