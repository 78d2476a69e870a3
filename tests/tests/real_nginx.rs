//! Owns the proof that an application behind nginx and RETTER knows who asks it, and how, whichever
//! of the usual fields it reads.
//! Never looks at what nginx itself does well or badly.

use std::net::{SocketAddr, TcpStream};

use retter_tests::application::Application;
use retter_tests::client::{Client, Request};
use retter_tests::nginx::Nginx;
use retter_tests::retter::Retter;
use retter_tests::retter_program;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

/// Another address than that of nginx, so that the two cannot be confused.
const CLIENT: [u8; 4] = [127, 0, 0, 7];

fn connect(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let own = SocketAddr::from((CLIENT, 0));
    socket
        .bind(&own.into())
        .expect("all of 127.0.0.0/8 is here");
    socket.connect(&address.into()).expect("nginx listens");
    socket.into()
}

/// What the application was told of a request by way of nginx, with these lines in its settings.
fn told(lines: &str, request: &Request) -> Value {
    let application = Application::flask_told();
    let settings = [("RETTER_SERVER_TRUSTED_PROXIES", "127.0.0.1")];
    let retter = Retter::start_with(retter_program!(), application.address(), &settings);
    let nginx = Nginx::start(retter.address(), lines);
    let answer = Client::over(connect(nginx.address())).ask(request);
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.text()).expect("the application answers in JSON")
}

#[track_caller]
fn check(lines: &str, request: &Request, expected: &Value) {
    let told = told(lines, request);
    for reader in ["werkzeug", "rack"] {
        assert_eq!(&told[reader], expected, "{reader}: {told:#}");
    }
}

#[test]
fn both_readers_know_the_visitor_behind_nginx() {
    let lines = "proxy_set_header Host $http_host;
                 proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                 proxy_set_header X-Forwarded-Proto https;";
    let expected = json!({
        "scheme": "https",
        "host": "shop.example",
        "address": "127.0.0.7",
    });
    let request = Request::get("/told");
    check(lines, &request, &expected);
    // nginx lets pass what it knows nothing of, and continues a chain that the client has begun.
    let forged = request
        .field(
            "Forwarded",
            "for=203.0.113.66;host=forged.example;proto=http",
        )
        .field("X-Forwarded-For", "203.0.113.66")
        .field("X-Real-IP", "203.0.113.66")
        .field("X-Forwarded-Ssl", "off");
    check(lines, &forged, &expected);
}

#[test]
fn nginx_that_names_the_public_host_is_believed() {
    let lines = "proxy_set_header X-Forwarded-For $remote_addr;
                 proxy_set_header X-Forwarded-Proto https;
                 proxy_set_header X-Forwarded-Host www.shop.example;";
    let expected = json!({
        "scheme": "https",
        "host": "www.shop.example",
        "address": "127.0.0.7",
    });
    check(lines, &Request::get("/told"), &expected);
}
