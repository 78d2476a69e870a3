//! Owns runs of `wrk` and what it prints.
//! Never decides what is measured.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::{Result, error};

/// What `wrk` is asked to do.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    /// The path of the page.
    pub path: &'a str,
    /// Whether clients accept gzip.
    pub gzip: bool,
    /// How many requests are sent at once on a connection.
    pub pipelined: u32,
    /// Connections.
    pub connections: u32,
    /// When not 0, `N` in the path stands for a random number below this.
    pub pages: u64,
    /// How long.
    pub seconds: u32,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Answers with status below 400.
    pub answers: f64,
    /// Bytes of all answers.
    pub bytes: f64,
    /// How long it took.
    pub seconds: f64,
}

impl Load<'_> {
    /// Runs it, with its script in `directory`.
    ///
    /// # Errors
    /// When `wrk` fails, or an answer was an error.
    pub fn run(&self, address: SocketAddr, directory: &Path) -> Result<Outcome> {
        let script = directory.join("load.lua");
        fs::write(&script, self.script())?;
        let output = Command::new("wrk")
            .args(["-t1", &format!("-c{}", self.connections)])
            .arg(format!("-d{}s", self.seconds))
            .args(["--timeout", "10s", "-s"])
            .arg(script)
            .arg(format!("http://{address}{}", self.path))
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let numbers: Vec<f64> = text
            .lines()
            .find_map(|line| line.strip_prefix("OUTCOME "))
            .map(|line| line.split(' ').flat_map(str::parse).collect())
            .unwrap_or_default();
        let [answers, bytes, micros, errors] = numbers[..] else {
            let told = String::from_utf8_lossy(&output.stderr);
            return Err(error(format!("wrk failed: {text}{told}")));
        };
        if errors > 0.0 {
            return Err(error(format!("{} had {errors} errors:\n{text}", self.path)));
        }
        Ok(Outcome {
            answers,
            bytes,
            seconds: micros / 1e6,
        })
    }

    fn script(&self) -> String {
        let gzip = if self.gzip {
            "wrk.headers['Accept-Encoding'] = 'gzip'\n"
        } else {
            ""
        };
        let request = if self.pipelined > 1 {
            format!(
                "function init()\n  local one = wrk.format()\n  all = one:rep({})\nend\n\
                 function request() return all end\n",
                self.pipelined
            )
        } else if self.pages > 0 {
            let path = self.path.replace('N', "");
            format!(
                "function request() return wrk.format(nil, '{path}' .. math.random(0, {})) end\n",
                self.pages - 1
            )
        } else {
            String::new()
        };
        format!(
            "{gzip}{request}function done(summary)\n  local e = summary.errors\n  \
             print(string.format('OUTCOME %d %.0f %d %d', summary.requests, summary.bytes, \
             summary.duration, e.connect + e.read + e.write + e.status + e.timeout))\nend\n"
        )
    }
}
