//! A resource on loopback that does as little as possible, so that the client's share of the time is large.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

/// Starts the resource: its response to each request head is `ok`.
pub fn resource() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || respond(connection));
        }
    });
    address
}

fn respond(mut connection: TcpStream) {
    connection.set_nodelay(true).expect("an option");
    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(bytes @ 1..) = connection.read(&mut buffer) {
        head.extend_from_slice(&buffer[..bytes]);
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            let _ = connection
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok");
        }
    }
}
