//! Owns the measurement of memory: at the start, for each idle client, for each copy.
//! Never counts the page cache: copies of nginx are files.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use tokio::task::JoinSet;

use super::Options;
use super::bed::Bed;
use super::figures::Figures;
use crate::http::Connection;
use crate::{Result, error};

/// Clients that are idle.
const IDLE: u32 = 9_000;
/// Copies; few enough for every contender's store.
const COPIES: u64 = 20_000;

/// Measures all three.
///
/// # Errors
/// When a request fails.
pub fn measure(options: &Options) -> Result<Vec<Figures>> {
    let mut contenders = options.contenders();
    contenders.retain(|contender| !contender.is_floor());
    let bed = Bed::start(&options.directory, &contenders)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let figures = |name, text: &str, unit| Figures::new(name, text, unit, &contenders);
    let idle_text = format!("{IDLE} idle clients that have asked once");
    let copy_text = format!(
        "{COPIES} copies with {} bytes of body",
        super::responder::COPY_BYTES
    );
    let mut all = [
        figures("memory-start", "memory before the first request", "MiB"),
        figures("memory-idle", &idle_text, "bytes for each"),
        figures("memory-copy", &copy_text, "bytes for each"),
    ];
    all[2]
        .notes
        .push("copies of nginx are files, which are not counted".to_owned());
    for (place, (_, running)) in bed.contenders.iter().enumerate() {
        let process = running.process()?;
        let memory = || -> Result<f64> {
            // Until what was freed has been given back and what comes later has come.
            thread::sleep(Duration::from_millis(500));
            #[allow(clippy::cast_precision_loss, reason = "memory is below 2^53")]
            Ok(process.memory()? as f64)
        };
        let start = memory()?;
        let clients = runtime.block_on(idle(running.address))?;
        let busy = memory()?;
        drop(clients);
        let before = memory()?;
        runtime.block_on(fill(running.address, 0, COPIES))?;
        let after = memory()?;
        let values = [
            start / f64::from(1 << 20),
            (busy - start) / f64::from(IDLE),
            #[allow(clippy::cast_precision_loss, reason = "copies are few")]
            ((after - before) / COPIES as f64),
        ];
        for (figures, value) in all.iter_mut().zip(values) {
            figures.rows[place].values.push(value);
        }
    }
    Ok(all.into())
}

/// Opens connections, each of which has asked once.
async fn idle(address: SocketAddr) -> Result<Vec<Connection>> {
    let request = format!("GET /hit/73 HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let mut clients = Vec::new();
    for _ in 0..IDLE {
        let mut client = Connection::connect(address).await?;
        if client.ask(request.as_bytes()).await?.status != 200 {
            return Err(error("an idle client was refused"));
        }
        clients.push(client);
    }
    Ok(clients)
}

/// Asks for each of the copies `from..to` once.
///
/// # Errors
/// When a request fails.
pub async fn fill(address: SocketAddr, from: u64, to: u64) -> Result<()> {
    const CONNECTIONS: u64 = 32;
    let mut filling = JoinSet::new();
    for first in 0..CONNECTIONS {
        filling.spawn(async move {
            let mut connection = Connection::connect(address).await?;
            let mut number = from + first;
            while number < to {
                let request = format!("GET /copy/{number} HTTP/1.1\r\nHost: {address}\r\n\r\n");
                let answer = connection.ask(request.as_bytes()).await?;
                if answer.status != 200 {
                    return Err(std::io::Error::other(format!("status {}", answer.status)));
                }
                number += CONNECTIONS;
            }
            Ok(())
        });
    }
    while let Some(filled) = filling.join_next().await {
        filled??;
    }
    Ok(())
}
