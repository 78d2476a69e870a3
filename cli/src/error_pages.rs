//! Owns the reading of an operator's own pages from a folder.
//! Never shows one: the core does.

use std::fs;
use std::io;
use std::path::Path;

use retter_core::config::{OwnPage, OwnPages};

/// A page is held in memory, and sent to many at the worst time.
const BYTES_MAX: u64 = 256 * 1024;

/// Reads the pages that a folder has.
///
/// # Errors
/// What is wrong with the folder or a file of it.
pub(crate) fn read(folder: &Path) -> Result<OwnPages, String> {
    let shown = folder.display();
    let files = fs::read_dir(folder).map_err(|error| format!("{shown} cannot be read: {error}"))?;
    let mut pages = OwnPages::default();
    let mut count = 0;
    for file in files {
        let path = file.map_err(|error| error.to_string())?.path();
        if path.extension().is_none_or(|extension| extension != "html") {
            continue;
        }
        let name = path.file_stem().unwrap_or_default();
        let page = OwnPage::ALL.into_iter().find(|page| name == page.as_str());
        let Some(page) = page else {
            return Err(format!("{} is no page that is ever shown", path.display()));
        };
        let text = text(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        pages.set(page, &text);
        count += 1;
    }
    match count {
        0 => Err(format!("{shown} has no page")),
        _ => Ok(pages),
    }
}

fn text(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > BYTES_MAX {
        let text = format!("it has more than {BYTES_MAX} bytes");
        return Err(io::Error::other(text));
    }
    fs::read_to_string(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_and_what_is_wrong_with_it_is_said() {
        let folder = std::env::temp_dir().join(format!("retter-pages-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).unwrap();
        let told = || read(&folder).unwrap_err();
        assert!(told().contains("no page"), "{}", told());
        write("down.html", b"<p>{status}</p>");
        write("logo.svg", b"<svg/>");
        let pages = read(&folder).unwrap();
        assert!(pages.get(OwnPage::Down).is_some() && pages.get(OwnPage::Busy).is_none());
        write("dwon.html", b"");
        assert!(told().contains("dwon.html"), "{}", told());
        fs::remove_file(folder.join("dwon.html")).unwrap();
        write("busy.html", b"\xff");
        assert!(told().contains("busy.html"), "{}", told());
        write("busy.html", &vec![b' '; 300_000]);
        assert!(told().contains("262144"), "{}", told());
        fs::remove_dir_all(&folder).unwrap();
        assert!(told().contains("cannot be read"), "{}", told());
    }
}
