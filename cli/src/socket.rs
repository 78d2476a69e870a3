//! Owns the socket in the file system by which commands on the same machine reach the instance that
//! runs: where it is, that nobody but its owner may use it, and its end.
//! Never answers on it: `admin` does.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::settings::Choice;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// Its name in a directory for such files.
const NAME: &str = "retter.sock";

/// Connections that the system holds until they are accepted; its users are commands.
const BACKLOG: i32 = 64;

/// A socket that this process listens on. Dropped, its file is gone.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) path: PathBuf,
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Why there is none.
#[derive(Debug)]
pub(crate) enum Error {
    /// Another instance answers on it.
    Taken(PathBuf),
    /// It cannot be made.
    System(PathBuf, io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(path) => write!(
                f,
                "another instance listens on the socket {}: commands reach that one; give each \
                 instance a RETTER_ADMIN_SOCKET of its own, or `off`",
                path.display()
            ),
            Self::System(path, error) => write!(
                f,
                "the socket {} for commands cannot be made: {error}; set RETTER_ADMIN_SOCKET to a path \
                 in a directory that this program may write to, or `off`",
                path.display()
            ),
        }
    }
}

/// The directories that the system has for such files, the one for this process first. systemd
/// names the first to a service and to nobody else, so it is looked for by its usual name too.
fn directories(variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let runtime = variable("RUNTIME_DIRECTORY").and_then(|value| {
        let text = value.into_string().ok()?;
        text.split(':').next().map(PathBuf::from)
    });
    let of_user = variable("XDG_RUNTIME_DIR").map(PathBuf::from);
    let usual = PathBuf::from("/run/retter");
    let all = [runtime, of_user, Some(usual)].into_iter().flatten();
    all.filter(|path| path.is_absolute() && path.is_dir())
        .collect()
}

/// Listens where `choice` says. `None` where there is no place for it, or none is wanted.
///
/// # Errors
/// It cannot be made.
pub(crate) fn listen(
    choice: &Choice,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<(UnixListener, Socket)>, Error> {
    let path = match choice {
        Choice::Off => return Ok(None),
        Choice::At(path) => path.clone(),
        Choice::Auto => match directories(variable).into_iter().next() {
            Some(directory) => directory.join(NAME),
            None => return Ok(None),
        },
    };
    if UnixStream::connect(&path).is_ok() {
        return Err(Error::Taken(path));
    }
    let listener = bind(&path).map_err(|error| Error::System(path.clone(), error))?;
    Ok(Some((listener, Socket { path })))
}

/// Nobody can connect before the file is its owner's alone: it does not listen until then.
fn bind(path: &Path) -> io::Result<UnixListener> {
    // What is left of an instance that has ended without a word.
    match std::fs::symlink_metadata(path) {
        Ok(left) if is_socket(&left) => std::fs::remove_file(path)?,
        Ok(_) => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "it is no socket",
            ));
        }
        Err(_) => {}
    }
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

fn is_socket(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    metadata.file_type().is_socket()
}

/// Where an instance may listen.
pub(crate) fn places(choice: &Choice, variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    match choice {
        Choice::Off => Vec::new(),
        Choice::At(path) => vec![path.clone()],
        Choice::Auto => {
            let directories = directories(variable).into_iter();
            let paths = directories.map(|directory| directory.join(NAME));
            paths.filter(|path| path.exists()).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of this test's own.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("retter-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn variable(&self) -> impl Fn(&str) -> Option<OsString> {
            let text = format!("{}:/elsewhere", self.0.display());
            move |name| (name == "RUNTIME_DIRECTORY").then(|| text.clone().into())
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn one_instance_has_it_for_itself_and_takes_it_with_it() {
        let place = Folder::new("socket");
        let (listener, socket) = listen(&Choice::Auto, place.variable()).unwrap().unwrap();
        assert_eq!(socket.path, place.0.join(NAME));
        let mode = std::fs::metadata(&socket.path)
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let found = places(&Choice::Auto, place.variable());
        assert_eq!(found.first(), Some(&socket.path));
        let taken = listen(&Choice::Auto, place.variable()).unwrap_err();
        assert!(taken.to_string().contains("RETTER_ADMIN_SOCKET"), "{taken}");
        drop(listener);
        // It is left by one that was killed, and taken over.
        std::mem::forget(socket);
        let (_listener, socket) = listen(&Choice::Auto, place.variable()).unwrap().unwrap();
        let path = socket.path.clone();
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let place = Folder::new("file");
        let path = place.0.join("important");
        std::fs::write(&path, "text").unwrap();
        let error = listen(&Choice::At(path.clone()), |_| None).unwrap_err();
        assert!(error.to_string().contains("no socket"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"text");
    }

    #[test]
    fn the_setting_is_a_path_or_a_word() {
        assert!(listen(&Choice::Off, |_| None).unwrap().is_none());
    }
}
