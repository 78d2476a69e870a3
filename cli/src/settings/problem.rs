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

/// The known name that is nearest to `name`, when one is near. `form` names a spec as `name` is
/// named.
pub(crate) fn nearest(name: &str, form: impl Fn(&Spec) -> String) -> Option<String> {
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
