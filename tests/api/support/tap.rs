//! A connector whose connections go through the test: it counts what brokers answer, sends a name to
//! another address, and can make brokers repeat their last word on the cluster.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use ottla::Connector;
use ottla_codec::ApiKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::net::TcpStream;

const PIPE: usize = 256 * 1024;

/// What is seen of, and done to, all connections made through it.
#[derive(Clone, Default)]
pub(crate) struct Tap(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Bytes of answers, by the broker's port and what was asked.
    received: BTreeMap<(u16, i16), usize>,
    /// The newest answer to Metadata, without its correlation id.
    metadata: Vec<u8>,
    stale: bool,
    routes: BTreeMap<String, String>,
}

/// What was asked on one connection and is not answered yet.
type Asked = Arc<Mutex<VecDeque<i16>>>;

impl Tap {
    /// For [`ClientBuilder::connector`](ottla::ClientBuilder::connector).
    pub(crate) fn connector(&self) -> impl Connector + use<> {
        let tap = self.clone();
        move |host: String, port: u16| {
            let tap = tap.clone();
            async move {
                let route = tap.state().routes.get(&host).cloned();
                let address = route.unwrap_or_else(|| format!("{host}:{port}"));
                let broker = TcpStream::connect(address).await?;
                broker.set_nodelay(true)?;
                let port = broker.peer_addr()?.port();
                let (client, inside) = duplex(PIPE);
                tokio::spawn(tap.pump(port, inside, broker));
                Ok(client)
            }
        }
    }

    /// Bytes of answers to `api` that came from the broker at `address`.
    pub(crate) fn received(&self, address: &str, api: ApiKey) -> usize {
        let (_, port) = address.rsplit_once(':').expect("host:port");
        let key = (port.parse().expect("a port"), api as i16);
        self.state().received.get(&key).copied().unwrap_or(0)
    }

    /// From now on every answer to Metadata is the one that came last before.
    pub(crate) fn repeat_metadata(&self) {
        self.state().stale = true;
    }

    /// From now on connections to `host` go to `address`.
    pub(crate) fn route(&self, host: &str, address: &str) {
        let mut state = self.state();
        state.routes.insert(host.to_owned(), address.to_owned());
    }

    /// Carries frames both ways until either side hangs up.
    async fn pump(self, port: u16, inside: DuplexStream, broker: TcpStream) {
        let (from_client, to_client) = split(inside);
        let (from_broker, to_broker) = split(broker);
        let asked = Asked::default();
        tokio::select! {
            biased;
            _ = self.answers(port, &asked, from_broker, to_client) => {}
            _ = requests(&asked, from_client, to_broker) => {}
        }
    }

    async fn answers(
        &self,
        port: u16,
        asked: &Asked,
        mut broker: ReadHalf<TcpStream>,
        mut client: WriteHalf<DuplexStream>,
    ) -> io::Result<()> {
        loop {
            let mut frame = read_frame(&mut broker).await?;
            let api = asked.lock().expect("no panic").pop_front();
            self.pass(port, api.expect("an answer to a request"), &mut frame);
            write_frame(&mut client, &frame).await?;
        }
    }

    fn pass(&self, port: u16, api: i16, frame: &mut Vec<u8>) {
        let mut state = self.state();
        *state.received.entry((port, api)).or_default() += frame.len();
        if api != ApiKey::Metadata as i16 {
            return;
        }
        let body = size_of::<i32>();
        if state.stale {
            frame.truncate(body);
            frame.extend(&state.metadata);
        } else {
            state.metadata = frame[body..].to_vec();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic")
    }
}

async fn requests(
    asked: &Asked,
    mut client: ReadHalf<DuplexStream>,
    mut broker: WriteHalf<TcpStream>,
) -> io::Result<()> {
    loop {
        let frame = read_frame(&mut client).await?;
        let api = i16::from_be_bytes([frame[0], frame[1]]);
        asked.lock().expect("no panic").push_back(api);
        write_frame(&mut broker, &frame).await?;
    }
}

async fn read_frame(from: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Vec<u8>> {
    let length = from.read_u32().await?;
    let mut frame = vec![0; length as usize];
    from.read_exact(&mut frame).await?;
    Ok(frame)
}

async fn write_frame(to: &mut (impl AsyncWriteExt + Unpin), frame: &[u8]) -> io::Result<()> {
    let length = u32::try_from(frame.len()).expect("a frame below 4 GiB");
    to.write_u32(length).await?;
    to.write_all(frame).await
}
