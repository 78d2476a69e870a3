//! Owns the commands about single copies: they are shown, go to another machine and come from one, and
//! pages are fetched through the instance that runs so that there are copies of them.
//! Never touches a copy itself: the instance does.

mod export;
mod fetching;
mod import;
pub(crate) mod pieces;
mod robots;
mod show;
mod sitemap;
mod url;
mod warm;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use retter_disk::{ArchiveKey, is_exposed};

use crate::failed;
use crate::settings::Loaded;

/// What an operator wants of copies.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Wish {
    /// Write those that everybody may see to a file.
    Export { file: PathBuf, key: Option<PathBuf> },
    /// Fetch the pages of a sitemap, its address or file, through the instance.
    Fetch {
        sitemap: String,
        pages_max: Option<u32>,
    },
    /// Take those of such a file over.
    Import { file: PathBuf, key: Option<PathBuf> },
    /// Show one.
    Show {
        url: String,
        number: Option<u32>,
        head_only: bool,
    },
}

/// Does it, and says what came of it.
pub(crate) fn run(loaded: &Loaded, wish: &Wish) -> ExitCode {
    let done = match wish {
        Wish::Export { file, key } => export::run(loaded, file, key.as_deref()),
        Wish::Fetch { sitemap, pages_max } => warm::run(loaded, sitemap, *pages_max),
        Wish::Import { file, key } => import::run(loaded, file, key.as_deref()),
        Wish::Show {
            url,
            number,
            head_only,
        } => show::run(loaded, url, *number, *head_only),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => failed(format_args!("{why}")),
    }
}

/// Reads the key of a sealed file.
fn read_key(file: &Path) -> Result<ArchiveKey, String> {
    let shown = file.display();
    let failed = |error: &dyn std::fmt::Display| format!("the key {shown}: {error}");
    if is_exposed(file).map_err(|error| failed(&error))? {
        return Err(format!(
            "the key {shown}: others than its owner can read it; `chmod 600` it"
        ));
    }
    let text = std::fs::read_to_string(file).map_err(|error| failed(&error))?;
    ArchiveKey::parse(&text).map_err(|error| failed(&error))
}
