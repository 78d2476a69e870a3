//! Owns which text wins for each setting: flag before environment before file before default.
//! Never prints; problems are returned, all of them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use retter_core::config::{Config, ConfigError};

use super::problem::{Problem, nearest};
use super::spec::Spec;
use super::table::specs;
use super::{BaseUrl, CONFIG_VARIABLE, DiskMode, Loaded, Values};
use crate::error_pages;

/// Where a setting's text came from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Layer {
    /// Nobody gave it.
    Default,
    /// The environment.
    Environment,
    /// The settings file, by its path.
    File(String),
    /// The command line.
    Flag,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.pad("default"),
            Self::Environment => f.pad("environment"),
            Self::File(path) => f.pad(path),
            Self::Flag => f.pad("flag"),
        }
    }
}

/// One setting's text and its layer.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) spec: &'static Spec,
    pub(crate) text: String,
    pub(crate) layer: Layer,
}

impl Given {
    /// The setting's name as it is spelled in its layer.
    fn place(&self) -> String {
        match &self.layer {
            Layer::Default | Layer::Environment => self.spec.variable(),
            Layer::File(path) => format!("{} in {path}", self.spec.key),
            Layer::Flag => format!("--{}", self.spec.flag()),
        }
    }

    fn problem(&self, reason: String, accepted: String) -> Problem {
        let example = self.spec.example;
        Problem::Value {
            place: self.place(),
            value: self.spec.shown(&self.text).to_owned(),
            reason,
            accepted,
            example: match self.layer {
                Layer::Default | Layer::Environment => {
                    format!("{}={example}", self.spec.variable())
                }
                Layer::File(_) => format!("{} = \"{example}\"", self.spec.key),
                Layer::Flag => format!("--{} {example}", self.spec.flag()),
            },
        }
    }
}

/// Everything outside the program that settings come from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    /// Texts by key that replace defaults (the demo's own).
    pub(crate) defaults: Vec<(&'static str, String)>,
    /// All variables; those of other programs are passed over.
    pub(crate) environment: Vec<(OsString, OsString)>,
    /// The value of `--config`.
    pub(crate) file: Option<String>,
    /// Texts by key.
    pub(crate) flags: Vec<(&'static str, String)>,
}

impl Sources {
    /// Whether a settings file is named, which may have changed since it was read.
    pub(crate) fn names_file(&self) -> bool {
        let is_named = |(name, value): &(OsString, OsString)| {
            name.as_os_str() == CONFIG_VARIABLE && !value.is_empty()
        };
        self.file.is_some() || self.environment.iter().any(is_named)
    }
}

/// Loads and checks all settings.
///
/// # Errors
/// Every problem at once.
pub(crate) fn load(sources: &Sources) -> Result<Loaded, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut warnings = Vec::new();
    let mut environment = read_environment(sources, &mut problems, &mut warnings);
    let file = sources
        .file
        .clone()
        .or_else(|| environment.remove(CONFIG_VARIABLE));
    let mut file_texts = match &file {
        Some(path) => read_file(path, &mut problems),
        None => BTreeMap::new(),
    };
    let path = file.unwrap_or_default();
    let shown: Vec<_> = specs()
        .map(|spec| {
            let by_key = |texts: &[(&str, String)]| {
                let found = texts.iter().rev().find(|(key, _)| *key == spec.key);
                found.map(|(_, text)| text.clone())
            };
            let flag = by_key(&sources.flags).map(|text| (text, Layer::Flag));
            let variable = environment.remove(&spec.variable());
            let from_file = file_texts.remove(spec.key);
            let (text, layer) = flag
                .or_else(|| variable.map(|text| (text, Layer::Environment)))
                .or_else(|| from_file.map(|text| (text, Layer::File(path.clone()))))
                .or_else(|| of_systemd(spec, sources).map(|text| (text, Layer::Environment)))
                .or_else(|| by_key(&sources.defaults).map(|text| (text, Layer::Default)))
                .unwrap_or_else(|| (spec.default.to_owned(), Layer::Default));
            Given { spec, text, layer }
        })
        .collect();
    match check(&shown, problems) {
        Ok((config, values)) => Ok(Loaded {
            config,
            shown,
            values,
            warnings,
        }),
        Err(problems) => Err(problems),
    }
}

/// The core's part of these settings.
///
/// # Errors
/// Every problem at once.
pub(crate) fn config(shown: &[Given]) -> Result<Config, Vec<Problem>> {
    Ok(check(shown, Vec::new())?.0)
}

fn check(shown: &[Given], mut problems: Vec<Problem>) -> Result<(Config, Values), Vec<Problem>> {
    let mut values = Values::defaults();
    for given in shown {
        if let Err(reason) = (given.spec.apply)(&mut values, &given.text) {
            problems.push(given.problem(reason, given.spec.accepted.to_owned()));
        }
    }
    problems.extend(take_pages(&mut values, shown));
    problems.extend(asks_itself(&values, shown));
    problems.extend(lies_open(&values, shown));
    problems.extend(is_kept_nowhere(&values, shown));
    problems.extend(has_no_secret(&values, shown));
    match values.core.clone().validate() {
        Ok(config) if problems.is_empty() => Ok((config, values)),
        Ok(_) => Err(problems),
        Err(errors) => {
            problems.extend(errors.iter().map(|error| from_core(error, shown)));
            Err(problems)
        }
    }
}

/// Reads the operator's own pages, which are part of the settings.
fn take_pages(values: &mut Values, shown: &[Given]) -> Option<Problem> {
    let folder = values.error_pages.as_ref()?;
    match error_pages::read(folder) {
        Ok(pages) => {
            values.core.client.own_pages = pages;
            None
        }
        Err(reason) => {
            let mut shown = shown.iter();
            let given = shown.find(|given| given.spec.key == "server.error_pages")?;
            Some(given.problem(reason, given.spec.accepted.to_owned()))
        }
    }
}

/// Copies on a disk need a folder.
fn is_kept_nowhere(values: &Values, shown: &[Given]) -> Option<Problem> {
    let given = shown.iter().find(|given| given.spec.key == "cache.disk")?;
    let is_wish = given.layer != Layer::Default && values.disk != DiskMode::Off;
    if !is_wish || values.state_dir.is_some() {
        return None;
    }
    let reason = "there is no RETTER_STATE_DIR where they could be kept";
    Some(given.problem(reason.to_owned(), given.spec.accepted.to_owned()))
}

/// Copies are shared sealed, or not at all.
fn has_no_secret(values: &Values, shown: &[Given]) -> Option<Problem> {
    if values.shared.is_none() || values.shared_secret.is_some() {
        return None;
    }
    let given = shown
        .iter()
        .find(|given| given.spec.key == "cache.shared_secret")
        .filter(|given| given.text.trim() == given.spec.default)?;
    let reason = "RETTER_CACHE_SHARED needs it: whoever can write the Redis could plant pages else";
    Some(given.problem(reason.to_owned(), given.spec.accepted.to_owned()))
}

/// The folder that systemd has made for this service (`StateDirectory=`); the first, where it made
/// several.
fn of_systemd(spec: &Spec, sources: &Sources) -> Option<String> {
    let mut variables = sources.environment.iter();
    let (_, folders) = variables.find(|(name, _)| name == "STATE_DIRECTORY")?;
    let first = folders.to_str()?.split(':').next()?;
    (spec.key == "state.dir" && !first.is_empty()).then(|| first.to_owned())
}

/// An admin address that other machines reach tells them about the application's users, and lets
/// them drop copies.
fn lies_open(values: &Values, shown: &[Given]) -> Option<Problem> {
    let is_open = values
        .admin
        .as_ref()
        .is_some_and(|listen| !listen.is_loopback());
    if !is_open || values.admin_token.is_some() {
        return None;
    }
    let reason = "other machines can reach it, and there is no RETTER_ADMIN_TOKEN that it could \
                  ask them for";
    let accepted = "an address of loopback, `off`, or a token beside it";
    let given = shown
        .iter()
        .find(|given| given.spec.key == "admin.listen")?;
    Some(given.problem(reason.to_owned(), accepted.to_owned()))
}

/// A base URL that leads back to this program would answer every request with itself.
fn asks_itself(values: &Values, shown: &[Given]) -> Option<Problem> {
    let BaseUrl { host, port, .. } = &values.origin;
    let listens = [
        ("server.listen", Some(&values.listen)),
        ("admin.listen", values.admin.as_ref()),
    ];
    let (key, _) = listens
        .into_iter()
        .find(|(_, listen)| listen.is_some_and(|listen| listen.takes(host, *port)))?;
    let given = |key: &str| shown.iter().find(|given| given.spec.key == key);
    let other = given(key)?;
    let reason = format!(
        "this is where RETTER itself listens ({} = {}); it would ask itself",
        other.spec.variable(),
        other.text
    );
    given("backend.baseurl").map(|given| given.problem(reason, given.spec.accepted.to_owned()))
}

/// Says a core error in the words of the layer the value came from.
fn from_core(error: &ConfigError, shown: &[Given]) -> Problem {
    // The core names other settings by its own fields; here they have variables.
    let accepted = shown
        .iter()
        .filter(|given| !given.spec.core.is_empty())
        .fold(error.accepted.to_owned(), |text, given| {
            text.replace(given.spec.core, &given.spec.variable())
        });
    // The base URL is the only setting with two fields in the core.
    let setting = match error.setting {
        "origin.path_prefix" => "origin.authority",
        setting => setting,
    };
    let reason = "it is out of range, or at odds with another setting".to_owned();
    match shown.iter().find(|given| given.spec.core == setting) {
        Some(given) => given.problem(reason, accepted),
        None => Problem::Value {
            place: error.setting.to_owned(),
            value: String::new(),
            reason,
            accepted,
            example: "the default".to_owned(),
        },
    }
}

/// The variables of this program. Unknown ones only warn: an orchestrator may have set them
/// (Kubernetes makes `RETTER_PORT` for a service called retter).
fn read_environment(
    sources: &Sources,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for (name, value) in &sources.environment {
        let Some(name) = name.to_str().filter(|name| name.starts_with("RETTER_")) else {
            continue;
        };
        let spec = specs().find(|spec| spec.variable() == name);
        if spec.is_none() && name != CONFIG_VARIABLE {
            let hint = nearest(name, Spec::variable)
                .map_or_else(String::new, |near| format!("; did you mean {near}?"));
            warnings.push(format!("the variable {name} is no setting{hint}"));
            continue;
        }
        match value.to_str() {
            // Compose files pass `NAME=` for what the operator did not set.
            Some("") => {}
            Some(value) => {
                texts.insert(name.to_owned(), value.to_owned());
            }
            None => problems.push(Problem::Value {
                place: name.to_owned(),
                value: spec.map_or_else(
                    || value.to_string_lossy().into_owned(),
                    |spec| spec.shown(&value.to_string_lossy()).to_owned(),
                ),
                reason: "it is not UTF-8 text".to_owned(),
                accepted: spec.map_or("a path", |spec| spec.accepted).to_owned(),
                example: format!("{name}={}", spec.map_or("retter.toml", |s| s.example)),
            }),
        }
    }
    texts
}

/// The texts of a settings file by key. Tables may nest in any way: `[server] timeout_read`,
/// `[server.timeout] read` and `server_timeout_read` are the same setting.
fn read_file(path: &str, problems: &mut Vec<Problem>) -> BTreeMap<&'static str, String> {
    let mut texts = BTreeMap::new();
    let mut fail = |reason: String| {
        let path = path.to_owned();
        problems.push(Problem::File { path, reason });
        BTreeMap::new()
    };
    let content = match std::fs::read_to_string(Path::new(path)) {
        Ok(content) => content,
        Err(error) => return fail(error.to_string()),
    };
    let table: toml::Table = match content.parse() {
        Ok(table) => table,
        Err(error) => return fail(indent(&error)),
    };
    let mut leaves = Vec::new();
    flatten("", &table, &mut leaves);
    for (key, value) in leaves {
        let flat = key.replace('.', "_");
        let place = format!("{key} in {path}");
        let Some(spec) = specs().find(|spec| spec.flat() == flat) else {
            let nearest = nearest(&key, |spec| spec.key.to_owned());
            problems.push(Problem::Unknown { place, nearest });
            continue;
        };
        let mut bad = |reason: &str| {
            problems.push(Problem::Value {
                place: place.clone(),
                value: spec.shown(&value.to_string()).to_owned(),
                reason: reason.to_owned(),
                accepted: spec.accepted.to_owned(),
                example: format!("{} = \"{}\"", spec.key, spec.example),
            });
        };
        match text_of(value) {
            Some(text) if !texts.contains_key(spec.key) => {
                texts.insert(spec.key, text);
            }
            Some(_) => bad("the same setting is given twice in this file"),
            None => bad("a setting is a text, a number, a truth value or a list of texts"),
        }
    }
    texts
}

fn flatten<'a>(prefix: &str, table: &'a toml::Table, leaves: &mut Vec<(String, &'a toml::Value)>) {
    for (name, value) in table {
        let key = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        // As deep as the operator's own file; nothing from the network comes here.
        match value.as_table() {
            Some(table) => flatten(&key, table, leaves),
            None => leaves.push((key, value)),
        }
    }
}

fn text_of(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::Boolean(value) => Some(value.to_string()),
        toml::Value::Float(value) => Some(value.to_string()),
        toml::Value::Integer(value) => Some(value.to_string()),
        toml::Value::String(value) => Some(value.clone()),
        toml::Value::Array(values) => {
            let texts: Option<Vec<_>> = values.iter().map(toml::Value::as_str).collect();
            texts.map(|texts| texts.join(","))
        }
        toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

fn indent(error: &toml::de::Error) -> String {
    let text = error.to_string();
    text.trim_end().replace('\n', "\n              ")
}
