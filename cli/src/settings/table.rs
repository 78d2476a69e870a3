//! Owns the one table of settings: names, defaults, what is accepted, help, and how a text
//! becomes a value. Flags, variables, file keys, `--help` and the table of the book all come from it.
//! Never decides which layer wins: that is `layers`.

mod pages;
mod peers;

use super::spec::Spec;

const DURATION: &str = "a duration: `15 seconds`, `15s`, `500ms`, `1m 30s`; a bare number is \
                        seconds";
const SIZE: &str = "a size: `64MiB`, `64MB`, or bytes as a number";
const SWITCH: &str = "true or false (also yes/no, on/off, 1/0)";
const RATE: &str = "bytes a second, or `off`";
const COUNT: &str = "a whole number from 1 up";
const NAMES: &str = "cookie names separated by commas, `*` once in a name for any text; `known` \
                     stands for the built-in list, `none` for no cookie";
const PARAMETERS: &str = "names of query parameters separated by commas, `*` once in a name for \
                          any text; `known` stands for the built-in list, `none` for no parameter";

const FIELDS: &str = "names of request fields separated by commas, `*` at the end for a prefix; \
                      they are added to what RETTER knows, which `known` stands for";

/// All settings, in the order of `--help`.
pub(crate) fn specs() -> impl Iterator<Item = &'static Spec> {
    pages::SPECS.iter().chain(peers::SPECS)
}
