//! Owns the measurement of memory: at the start, for each idle client, for each copy.
//! Never counts the page cache: copies of nginx are files.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use tokio::task::JoinSet;

use super::Options;
use super::bed::Bed;
use super::figures::Figures;
use super::responder::COPY_BYTES;
use crate::contender::{Kind, Running};
use crate::http::Connection;
use crate::{Result, error};

/// Clients that are idle.
const IDLE: u32 = 9_000;
/// Copies; few enough for every contender's store.
const COPIES: u32 = 20_000;

/// Measures all three, idle clients and copies each with a contender that did nothing before: what
/// it has freed it may use again.
///
/// # Errors
/// When a request fails.
pub fn measure(options: &Options) -> Result<Vec<Figures>> {
    let mut contenders = options.contenders();
    contenders.retain(|contender| !contender.is_floor());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let figures = |name, text: &str, unit| Figures::new(name, text, unit, &contenders);
    let idle_text = format!("{IDLE} idle clients that have asked once");
    let copy_text = format!("{COPIES} copies with {COPY_BYTES} bytes of body");
    let mut start = figures("memory-start", "memory before the first request", "MiB");
    let mut idle = figures("memory-idle", &idle_text, "bytes for each");
    let mut copy = figures("memory-copy", &copy_text, "bytes for each");
    let note = "copies of nginx are files and HAProxy's whole cache is there from the start";
    copy.notes.push(note.to_owned());
    let bed = Bed::start(&options.directory, &contenders)?;
    for (place, (_, running)) in bed.contenders.iter().enumerate() {
        let before = settled(running)?;
        start.rows[place].values.push(before / f64::from(1 << 20));
        let clients = runtime.block_on(ask_and_stay(running.address))?;
        let after = settled(running)?;
        drop(clients);
        let value = (after - before) / f64::from(IDLE);
        idle.rows[place].values.push(value);
    }
    drop(bed);
    let bed = Bed::start(&options.directory, &contenders)?;
    for (place, (contender, running)) in bed.contenders.iter().enumerate() {
        if matches!(contender.kind, Kind::Nginx(_) | Kind::Haproxy(_)) {
            continue;
        }
        // The first copies make room for connections and tables too.
        runtime.block_on(fill(running.address, 0, u64::from(COPIES / 10)))?;
        let before = settled(running)?;
        runtime.block_on(fill(running.address, u64::from(COPIES / 10), COPIES.into()))?;
        let value = (settled(running)? - before) / (f64::from(COPIES) * 0.9);
        copy.rows[place].values.push(value);
    }
    Ok(vec![start, idle, copy])
}

/// Its memory when what it freed has been given back and what comes later has come.
fn settled(running: &Running) -> Result<f64> {
    thread::sleep(Duration::from_millis(500));
    #[allow(clippy::cast_precision_loss, reason = "memory is below 2^53")]
    Ok(running.process()?.memory()? as f64)
}

/// Opens connections, each of which has asked once.
async fn ask_and_stay(address: SocketAddr) -> Result<Vec<Connection>> {
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
