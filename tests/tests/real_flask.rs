//! Owns the proof that a real Flask application is rescued, and that WebSockets pass to it.
//! Never looks at what Flask itself does well or badly.

use std::net::TcpStream;

use retter_tests::application::Application;
use retter_tests::coverage::{self, Framework};
use retter_tests::retter::Retter;
use retter_tests::{DEADLINE, retter_program, scenario};
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, client};

#[test]
fn users_of_a_flask_application_keep_their_pages_through_an_outage() {
    scenario::outage(retter_program!(), Application::flask());
}

#[test]
fn visitors_of_a_flask_application_with_permanent_sessions_get_their_pages_and_others() {
    let framework = Framework::new("Flask, permanent sessions", 1);
    coverage::outage(retter_program!(), Application::flask_permanent(), framework);
}

#[test]
fn a_websocket_echoes_through() {
    let application = Application::flask();
    let retter = Retter::start(retter_program!(), application.address());
    let stream = TcpStream::connect(retter.address()).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let url = format!("ws://{}/echo", retter.address());
    let (mut socket, response) = client(url, stream).unwrap();
    assert_eq!(response.status(), 101);

    let large: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    for message in [
        Message::text("hello"),
        Message::binary(large),
        Message::text("ü".repeat(70_000)),
        Message::binary(Vec::new()),
    ] {
        socket.send(message.clone()).unwrap();
        assert_eq!(socket.read().unwrap(), message);
    }
    socket.send(Message::text("bye")).unwrap();
    let expected = CloseFrame {
        code: CloseCode::Normal,
        reason: "bye".into(),
    };
    assert_eq!(socket.read().unwrap(), Message::Close(Some(expected)));
}
