//! Owns nginx in front of RETTER: its settings, its process and its port.
//! Never sets more than its manual tells people to.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use crate::port::Port;
use crate::program::Program;

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    folder: PathBuf,
    port: Port,
    _program: Program,
}

impl Nginx {
    /// Starts it in front of `behind`, with these lines in its `location`.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    #[must_use]
    pub fn start(behind: SocketAddr, lines: &str) -> Self {
        let port = Port::reserve();
        let address = port.address();
        let server = format!(
            "server {{
               listen {address};
               location / {{
                 proxy_pass http://{behind};
                 {lines}
               }}
             }}"
        );
        Self::serve(port, &server)
    }

    /// Starts it with these `server` blocks, one of which listens on `port`.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    #[must_use]
    pub fn serve(port: Port, servers: &str) -> Self {
        let name = format!("retter-nginx-{}", port.address().port());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a directory for nginx");
        let config = format!(
            "daemon off;
             master_process off;
             pid nginx.pid;
             error_log stderr notice;
             events {{ }}
             http {{
               access_log off;
               client_body_temp_path body;
               proxy_temp_path proxy;
               fastcgi_temp_path fastcgi;
               uwsgi_temp_path uwsgi;
               scgi_temp_path scgi;
               {servers}
             }}"
        );
        let file = folder.join("nginx.conf");
        std::fs::write(&file, config).expect("the settings of nginx");
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&folder).arg("-c").arg(&file);
        command.args(["-e", "stderr"]);
        let program = Program::start(&mut command);
        // It listens before it says how it waits for events.
        program.wait_for("that it runs", |line| {
            line.contains("event method").then_some(())
        });
        Self {
            folder,
            port,
            _program: program,
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.port.address()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
