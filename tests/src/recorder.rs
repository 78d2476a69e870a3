//! Owns an origin that takes down every whole request with the connection that it came on.
//! Never forgives: bytes that a strict reader does not take for a request are told.

use std::fmt;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use retter_strict::{Message, Rest, Sender, Unfit};

use crate::corpus::End;
use crate::signal::Watched;

/// What came since the last look.
#[derive(Debug, Default)]
pub struct Recorded {
    /// Why bytes were no request, if some were none.
    pub broken: Option<Unfit>,
    /// Each whole request with the number of its connection.
    pub messages: Vec<(usize, Message)>,
}

/// What the origin does about a request: bytes, and how the connection goes on.
pub type Script = dyn Fn(&Message) -> (Vec<u8>, End) + Send + Sync;

/// An origin on a port of its own.
pub struct Recorder {
    /// Where it listens.
    pub address: SocketAddr,
    recorded: Arc<Watched<Recorded>>,
}

impl Recorder {
    /// Starts it.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn start(script: impl Fn(&Message) -> (Vec<u8>, End) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let recorded = Arc::new(Watched::<Recorded>::default());
        let (shared, script) = (Arc::clone(&recorded), Arc::new(script));
        // Ends with the process: nobody joins a thread that only waits for connections.
        thread::spawn(move || {
            for (number, stream) in listener.incoming().flatten().enumerate() {
                let (shared, script) = (Arc::clone(&shared), Arc::clone(&script));
                thread::spawn(move || record(stream, number, &shared, &*script));
            }
        });
        Self { address, recorded }
    }

    /// Takes what came out.
    #[must_use]
    pub fn take(&self) -> Recorded {
        self.recorded.change(std::mem::take)
    }
}

fn record(mut stream: TcpStream, number: usize, recorded: &Watched<Recorded>, script: &Script) {
    let (mut bytes, mut known) = (Vec::new(), 0);
    let mut buffer = [0; 16 * 1024];
    while let Ok(len @ 1..) = stream.read(&mut buffer) {
        bytes.extend_from_slice(&buffer[..len]);
        let (messages, rest) = retter_strict::read(&bytes, Sender::Client);
        for message in messages.into_iter().skip(known) {
            known += 1;
            let (reply, end) = script(&message);
            recorded.change(|recorded| recorded.messages.push((number, message)));
            let _ = stream.write_all(&reply);
            match end {
                End::Close => drop(stream.shutdown(Shutdown::Write)),
                End::Keep => {}
                End::Reset => {
                    let linger = Some(std::time::Duration::ZERO);
                    let _ = socket2::SockRef::from(&stream).set_linger(linger);
                    return;
                }
            }
        }
        if let Rest::Broken(why) = rest {
            recorded.change(|recorded| recorded.broken = Some(why));
            return;
        }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
