//! How clients reach the brokers: TCP listeners on 127.0.0.1, and pipes inside the process.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::event_loop::Event;

/// Which transport a cluster listens on. Pipes are there in both cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Memory,
}

/// Binds 127.0.0.1 without listening, which keeps the port while its broker is down. 0 chooses a free port.
pub(crate) fn reserve(port: u16) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    Ok(socket)
}

/// Accepts clients of a broker until it goes down.
pub(crate) async fn accept(
    listener: TcpListener,
    broker: i32,
    events: mpsc::UnboundedSender<Event>,
    alive: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = alive.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                // A broker's answers are small and waited for.
                let _ = stream.set_nodelay(true);
                if events.send(Event::Accepted { broker, stream }).is_err() {
                    break;
                }
            }
            // The client was gone before it was accepted, or descriptors ran out: the next one may do better.
            Err(error) => {
                tracing::debug!(broker, %error, "accept failed");
                tokio::task::yield_now().await;
            }
        }
    }
}
