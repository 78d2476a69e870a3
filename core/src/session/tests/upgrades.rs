//! What becomes of a session that changes its protocol, or is asked to.

use super::rig::{Rig, body, field, get, status};
use crate::report::End;
use crate::session::{Action, Input, Side};

#[test]
fn what_the_origin_of_a_tunnel_said_before_it_went_deaf_comes() {
    for end in [None, Some(Input::ReadFailed(Side::Origin))] {
        let mut rig = Rig::new();
        rig.send(&get("/ws", "Connection: upgrade\r\nUpgrade: websocket\r\n"));
        rig.reply("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
        rig.received();
        // More than it wants to take.
        rig.send("a long message");
        rig.input(Input::WriteFailed(Side::Origin));
        rig.send("and more of it");
        rig.reply("too long");
        match end {
            Some(end) => rig.input(end),
            None => rig.end_of(Side::Origin),
        };
        assert_eq!(rig.received(), "too long");
        assert_eq!(rig.reports.len(), 1, "the tunnel has ended");
    }
}

#[test]
fn an_upgrade_becomes_a_tunnel() {
    for piece in [usize::MAX, 1] {
        let mut rig = Rig::new();
        rig.piece = piece;
        rig.send(
            "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        let asked = rig.asked();
        assert_eq!(field(&asked, "upgrade"), Some("websocket"));
        assert_eq!(field(&asked, "connection"), Some("upgrade"));
        rig.reply("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nhi");
        let received = rig.received();
        assert_eq!((status(&received), body(&received)), (101, "hi"));
        assert_eq!(field(&received, "x-retter"), Some("backend"));
        rig.send("\0raw\r\n\r\n");
        assert_eq!(rig.asked(), "\0raw\r\n\r\n");
        rig.reply("back");
        assert_eq!(rig.received(), "back");
        assert_eq!(
            rig.gateway.site().stats(rig.now).admission.in_flight,
            0,
            "a tunnel is no work"
        );
        rig.took();
        rig.end_of(Side::Client);
        assert_eq!(rig.took(), [Action::Shutdown(Side::Origin)]);
        rig.reply("last");
        assert_eq!(rig.received(), "last");
        rig.end_of(Side::Origin);
        assert!(rig.session.is_done());
        assert_eq!(
            rig.reports.last().map(|report| report.end),
            Some(End::Tunnel)
        );
    }
}

#[test]
fn a_101_that_nobody_asked_for_is_a_bad_gateway() {
    let mut rig = Rig::new();
    rig.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    rig.reply("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n");
    assert_eq!(status(&rig.received()), 502);
}
