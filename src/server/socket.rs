//! Listening sockets: one per core on the same address, and the probe that keeps a second inrush away from it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::ServeError;

/// Connections that wait to be accepted, per core; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// An io_uring listener that was killed keeps its port for some 10 ms.
const PROBES: u32 = 20;
const PROBE_INTERVAL: Duration = Duration::from_millis(10);

/// One listener per core on `address`. With SO_REUSEPORT the kernel spreads connections over them.
pub(super) fn bind_cores(address: SocketAddr, cores: usize) -> Result<Vec<TcpListener>, ServeError> {
    if address.port() != 0 {
        // With SO_REUSEPORT alone, a second inrush would silently take half the traffic.
        probe(address)?;
    }
    let failed = |error| ServeError::AddressUnavailable { address, error };
    let first = listen(address, true).map_err(failed)?;
    let address = first.local_addr().map_err(failed)?;
    let mut listeners = vec![first];
    for _ in 1..cores {
        listeners.push(listen(address, true).map_err(failed)?);
    }
    Ok(listeners)
}

/// The listener of the admin API.
pub(super) async fn bind_admin(
    address: SocketAddr,
) -> Result<(tokio::net::TcpListener, SocketAddr), ServeError> {
    let flag = "--admin-listen";
    let listener = listen(address, false).map_err(|error| in_use_or(address, flag, error))?;
    let bound = listener.local_addr().and_then(|bound| {
        listener.set_nonblocking(true)?;
        Ok((tokio::net::TcpListener::from_std(listener)?, bound))
    });
    bound.map_err(|error| ServeError::AddressUnavailable { address, error })
}

fn probe(address: SocketAddr) -> Result<(), ServeError> {
    let mut tried = 0;
    loop {
        match listen(address, false) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tried < PROBES => {
                tried += 1;
                std::thread::sleep(PROBE_INTERVAL);
            }
            Err(error) => return Err(in_use_or(address, "--listen", error)),
        }
    }
}

fn in_use_or(address: SocketAddr, flag: &'static str, error: io::Error) -> ServeError {
    match error.kind() {
        io::ErrorKind::AddrInUse => ServeError::AddressInUse { address, flag },
        _ => ServeError::AddressUnavailable { address, error },
    }
}

fn listen(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
        // Accepted sockets inherit it: an answer must not wait for the acknowledgement of the one before.
        socket.set_tcp_nodelay(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
