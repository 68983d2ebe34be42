//! A cluster of real brokers, owned by the value that started it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::config::{self, ClusterConfig, NodeConfig};
use super::format;
use super::jars::{Jars, java, remove_dir};
use super::ports::ReservedPort;
use super::process::{Identity, Lifetime, Process, tail};
use super::run::{self, RunState};
use super::security::Security;
use super::{Version, probe};

/// How long a node may take to become ready; a loaded machine with two cores needs some of it.
const READY_TIMEOUT: Duration = Duration::from_secs(120);
/// How long an orderly end may take before SIGKILL.
const GRACE: Duration = Duration::from_secs(30);
const ATTEMPTS: usize = 4;
const ZOOKEEPER_CLASS: &str = "org.apache.zookeeper.server.ZooKeeperServerMain";

/// What to start: [`Cluster::builder`].
#[derive(Clone, Debug)]
pub struct ClusterBuilder {
    version: Version,
    nodes: usize,
    name: Option<String>,
    detached: bool,
    overrides: BTreeMap<String, String>,
    java_options: Vec<String>,
    security: Security,
}

impl ClusterBuilder {
    /// The Kafka version; 4.3.0 by default.
    #[must_use]
    pub fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// How many brokers, with the ids 1, 2, …; one by default. With KRaft each is a controller too.
    #[must_use]
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// A broker property, for every node; `{node}` in the value becomes the node's id.
    #[must_use]
    pub fn set(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.overrides.insert(key.into(), value.into());
        self
    }

    /// What clients have to do to be let in; nothing by default. Brokers talk to each other without it.
    #[must_use]
    pub fn security(mut self, security: Security) -> Self {
        self.security = security;
        self
    }

    /// An option for the JVM of every broker. Brokers start with a heap of 512 MiB and with the quick
    /// compiler only; under sustained load `-XX:TieredStopAtLevel=4` and a larger `-Xmx` are faster.
    #[must_use]
    pub fn java_option(mut self, option: impl Into<String>) -> Self {
        self.java_options.push(option.into());
        self
    }

    /// The name of its directory under `target/kafka/run/`; by default one of its own.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Starts it so that it runs on after this process: see [`Cluster::detach`].
    #[must_use]
    pub fn detached(mut self) -> Self {
        self.detached = true;
        self
    }

    /// Starts the cluster, and waits until every node knows all others and a controller.
    ///
    /// # Errors
    /// Java or Maven is missing, the jars cannot be resolved, or a node does not become ready; the
    /// error then holds the end of that node's log.
    pub fn start(self) -> Result<Cluster> {
        ensure!(
            (1..=9).contains(&self.nodes),
            "a cluster of {} nodes",
            self.nodes
        );
        let jars = Jars::resolve(self.version)?;
        run::sweep()?;
        let mut attempt = 1;
        loop {
            match Cluster::start(&self, jars.clone()) {
                Err(error) if attempt < ATTEMPTS && error.is::<PortClash>() => attempt += 1,
                other => return other,
            }
        }
    }
}

/// Running brokers; they are killed and their data is removed when this is dropped.
///
/// Nodes are named by their ids, which count from 1. When the thread panics, logs are kept.
#[derive(Debug)]
pub struct Cluster {
    jars: Jars,
    dir: PathBuf,
    state: RunState,
    overrides: BTreeMap<String, String>,
    java_options: Vec<String>,
    security: Security,
    /// `id@host:port` of every controller, or the address of ZooKeeper.
    quorum: String,
    zookeeper: Option<Process>,
    nodes: Vec<Node>,
    keep_logs: bool,
}

#[derive(Debug)]
struct Node {
    id: i32,
    port: u16,
    internal_port: u16,
    controller_port: u16,
    process: Option<Process>,
}

impl Cluster {
    /// One 4.3.0 broker, unless told otherwise.
    #[must_use]
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder {
            version: Version::DEFAULT,
            nodes: 1,
            name: None,
            detached: false,
            overrides: BTreeMap::new(),
            java_options: Vec::new(),
            security: Security::Plaintext,
        }
    }

    /// What a client needs to know beside the addresses, by the names of librdkafka's properties.
    #[must_use]
    pub fn client_properties(&self) -> Vec<(String, String)> {
        self.security.client_properties(&self.dir.join("conf"))
    }

    /// `host:port` of every node, separated by commas.
    #[must_use]
    pub fn bootstrap_servers(&self) -> String {
        self.state.bootstrap_servers.clone()
    }

    /// `host:port` of one node.
    ///
    /// # Errors
    /// There is no such node.
    pub fn address(&self, id: i32) -> Result<String> {
        Ok(format!("127.0.0.1:{}", self.nodes[self.index(id)?].port))
    }

    /// The ids of all nodes, running or not.
    #[must_use]
    pub fn node_ids(&self) -> Vec<i32> {
        self.nodes.iter().map(|node| node.id).collect()
    }

    /// The Kafka version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.jars.version()
    }

    /// The jars the brokers run from.
    #[must_use]
    pub fn jars(&self) -> &Jars {
        &self.jars
    }

    /// Whether the node's process runs.
    #[must_use]
    pub fn is_running(&self, id: i32) -> bool {
        let node = self.nodes.iter().find(|node| node.id == id);
        node.and_then(|node| node.process.as_ref())
            .is_some_and(|process| process.identity.is_alive())
    }

    /// Kills a node with SIGKILL: it says goodbye to nobody.
    ///
    /// # Errors
    /// There is no such node, or it cannot be killed.
    pub fn kill(&mut self, id: i32) -> Result<()> {
        let index = self.index(id)?;
        match self.nodes[index].process.take() {
            Some(process) => process.kill(),
            None => Ok(()),
        }
    }

    /// Stops a node with SIGTERM: it hands its leaderships over first.
    ///
    /// # Errors
    /// There is no such node, or it cannot be stopped.
    pub fn stop(&mut self, id: i32) -> Result<()> {
        let index = self.index(id)?;
        match self.nodes[index].process.take() {
            Some(process) => process.terminate(GRACE),
            None => Ok(()),
        }
    }

    /// Halts a node with SIGSTOP: its sockets stay open and nothing answers.
    ///
    /// # Errors
    /// There is no such node, or it does not run.
    pub fn pause(&self, id: i32) -> Result<()> {
        self.running(id)?.pause()
    }

    /// Lets a paused node go on.
    ///
    /// # Errors
    /// There is no such node, or it does not run.
    pub fn resume(&self, id: i32) -> Result<()> {
        self.running(id)?.signal("CONT")
    }

    /// Starts a killed or stopped node on its port and data, and waits until it is ready.
    /// A node that runs is stopped first.
    ///
    /// # Errors
    /// There is no such node, or it does not become ready.
    pub fn restart(&mut self, id: i32) -> Result<()> {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            self.restart_unready(id)?;
            match self.await_ready(&[id]) {
                Err(error) if error.is::<StillRegistered>() && Instant::now() < deadline => {}
                other => return other,
            }
        }
    }

    /// Stops a node, and gives it a port for its next start that it has not had before.
    ///
    /// # Errors
    /// There is no such node, it cannot be stopped, or there is no free port.
    pub fn change_port(&mut self, id: i32) -> Result<()> {
        self.stop(id)?;
        let index = self.index(id)?;
        let node = &mut self.nodes[index];
        let is_internal = node.internal_port == node.port;
        node.port = ReservedPort::reserve()?.port;
        if is_internal {
            node.internal_port = node.port;
        }
        self.state.bootstrap_servers = addresses(&self.nodes);
        self.write_config(id)
    }

    /// Like [`restart`](Self::restart), without waiting.
    ///
    /// # Errors
    /// There is no such node, or Java cannot be run.
    pub fn restart_unready(&mut self, id: i32) -> Result<()> {
        self.stop(id)?;
        self.spawn_node(id)
    }

    /// Waits until every running node of `ids` knows all running nodes and a controller.
    ///
    /// # Errors
    /// One does not become ready in time; the error holds the end of its log.
    pub fn await_ready(&self, ids: &[i32]) -> Result<()> {
        let deadline = Instant::now() + READY_TIMEOUT;
        let running: Vec<i32> = self
            .node_ids()
            .into_iter()
            .filter(|id| self.is_running(*id))
            .collect();
        for id in ids {
            self.await_node(*id, &running, deadline)?;
        }
        Ok(())
    }

    /// A node's log: everything it wrote to its standard streams, restarts included.
    ///
    /// # Errors
    /// There is no such node.
    pub fn log_path(&self, id: i32) -> Result<PathBuf> {
        self.index(id)?;
        Ok(self.dir.join("logs").join(format!("node-{id}.log")))
    }

    /// The directory that holds a node's partitions, each in a directory `<topic>-<partition>`.
    ///
    /// # Errors
    /// There is no such node.
    pub fn data_path(&self, id: i32) -> Result<PathBuf> {
        self.index(id)?;
        Ok(self.dir.join("data").join(format!("node-{id}")))
    }

    /// A command that runs a Java class of this Kafka version's jars.
    #[must_use]
    pub fn java_class<I, S>(&self, main_class: &str, args: I) -> Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.jars.java_class(main_class, args)
    }

    /// Keeps the logs when this is dropped, and says where they are.
    pub fn keep_logs(&mut self) -> PathBuf {
        self.keep_logs = true;
        self.dir.join("logs")
    }

    /// Leaves a cluster alone that was started [`detached`](ClusterBuilder::detached), so that
    /// [`run::down`](super::down) is what ends it.
    ///
    /// # Errors
    /// It was not started detached.
    pub fn detach(mut self) -> Result<RunState> {
        ensure!(
            self.state.detached,
            "{} was started to end with this process",
            self.state.name
        );
        self.zookeeper = None;
        self.nodes.clear();
        self.dir = PathBuf::new();
        Ok(self.state.clone())
    }

    fn start(builder: &ClusterBuilder, jars: Jars) -> Result<Self> {
        let name = builder.name.clone().unwrap_or_else(unique_name);
        let dir = run::fresh_run_dir(&name)?;
        let reserve = |_| {
            let internal = match builder.security {
                Security::Plaintext => None,
                _ => Some(ReservedPort::reserve()?),
            };
            Ok((ReservedPort::reserve()?, internal, ReservedPort::reserve()?))
        };
        let ports = (0..builder.nodes)
            .map(reserve)
            .collect::<Result<Vec<_>>>()?;
        let zookeeper_port = ReservedPort::reserve()?;
        let nodes: Vec<Node> = (1..)
            .zip(&ports)
            .map(|(id, (port, internal, controller))| Node {
                id,
                port: port.port,
                internal_port: internal.as_ref().unwrap_or(port).port,
                controller_port: controller.port,
                process: None,
            })
            .collect();
        let quorum = if jars.version().needs_zookeeper() {
            format!("127.0.0.1:{}", zookeeper_port.port)
        } else {
            let voter = |node: &Node| format!("{}@127.0.0.1:{}", node.id, node.controller_port);
            nodes.iter().map(voter).collect::<Vec<_>>().join(",")
        };
        let mut cluster = Self {
            state: RunState {
                name,
                version: jars.version().to_string(),
                bootstrap_servers: addresses(&nodes),
                detached: builder.detached,
                owner: Identity::current()?,
                processes: Vec::new(),
            },
            jars,
            dir,
            overrides: builder.overrides.clone(),
            java_options: builder.java_options.clone(),
            security: builder.security,
            quorum,
            zookeeper: None,
            nodes,
            keep_logs: false,
        };
        cluster.security.write(&cluster.dir.join("conf"))?;
        for id in cluster.node_ids() {
            fs::create_dir_all(cluster.data_path(id)?)?;
            cluster.write_config(id)?;
        }
        if cluster.version().needs_zookeeper() {
            cluster.spawn_zookeeper(zookeeper_port)?;
        } else {
            let standard = !cluster
                .overrides
                .keys()
                .any(|key| key.contains("feature") || key.contains("protocol.version"));
            format::format(&cluster.jars, &cluster.dir, &cluster.node_ids(), standard)?;
        }
        drop(ports);
        for id in cluster.node_ids() {
            cluster.spawn_node(id)?;
        }
        let ids = cluster.node_ids();
        match cluster.await_ready(&ids) {
            Ok(()) => {
                let internal = format!("127.0.0.1:{}", cluster.nodes[0].internal_port);
                cluster.security.add_users(&cluster.jars, &internal)?;
                Ok(cluster)
            }
            Err(error) => {
                if !error.is::<PortClash>() {
                    cluster.keep_logs();
                }
                Err(error)
            }
        }
    }

    fn write_config(&self, id: i32) -> Result<()> {
        let cluster = ClusterConfig {
            version: self.version(),
            nodes: self.nodes.len(),
            quorum: &self.quorum,
            overrides: &self.overrides,
            security: &self.security,
            conf: &self.dir.join("conf"),
        };
        let node = &self.nodes[self.index(id)?];
        let node = NodeConfig {
            id,
            port: node.port,
            internal_port: node.internal_port,
            controller_port: node.controller_port,
            data: &self.data_path(id)?,
        };
        let properties = config::server_properties(&cluster, &node);
        fs::write(self.config_path(id), properties).context("writing a node's properties")
    }

    fn spawn_zookeeper(&mut self, port: ReservedPort) -> Result<()> {
        let config = self.dir.join("conf/zookeeper.properties");
        fs::write(
            &config,
            config::zookeeper_properties(port.port, &self.dir.join("data/zookeeper")),
        )?;
        drop(port);
        self.zookeeper = Some(self.spawn("zookeeper", ZOOKEEPER_CLASS, &config, "128m")?);
        self.record()
    }

    fn spawn_node(&mut self, id: i32) -> Result<()> {
        let index = self.index(id)?;
        let process = self.spawn(
            &format!("node-{id}"),
            "kafka.Kafka",
            &self.config_path(id),
            "512m",
        )?;
        self.nodes[index].process = Some(process);
        // At once: what is recorded can be stopped, whatever becomes of this process.
        self.record()
    }

    fn spawn(&self, name: &str, main_class: &str, config: &Path, heap: &str) -> Result<Process> {
        let mut command = vec![java().display().to_string(), format!("-Xmx{heap}")];
        command.extend(self.jars.java_args("INFO"));
        if name != "zookeeper" {
            command.extend(self.java_options.iter().cloned());
        }
        command.extend([main_class.into(), config.display().to_string()]);
        let log = self.dir.join("logs").join(format!("{name}.log"));
        let lifetime = if self.state.detached {
            Lifetime::Detached
        } else {
            Lifetime::Attached
        };
        Process::spawn(&command, &self.dir, &log, lifetime)
            .with_context(|| format!("starting {name}"))
    }

    fn await_node(&self, id: i32, expected: &[i32], deadline: Instant) -> Result<()> {
        let node = &self.nodes[self.index(id)?];
        let Some(process) = &node.process else {
            bail!("node {id} is stopped")
        };
        loop {
            let probed = probe::registered_brokers(node.internal_port);
            if probed
                .as_ref()
                .is_ok_and(|known| expected.iter().all(|id| known.contains(id)))
            {
                return Ok(());
            }
            let ended = !process.identity.is_alive();
            if ended && process.has_logged("Address already in use")? {
                return Err(PortClash.into());
            }
            if ended && process.has_logged("NodeExistsException")? {
                return Err(StillRegistered.into());
            }
            if ended || Instant::now() >= deadline {
                let what = if ended {
                    "has ended".into()
                } else {
                    format!("is not ready: {probed:?}")
                };
                bail!("node {id} {what}; {}", tail(process.log(), 40));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn record(&mut self) -> Result<()> {
        let named = |node: &Node| {
            Some((
                format!("node-{}", node.id),
                node.process.as_ref()?.identity.clone(),
            ))
        };
        self.state.processes = self.nodes.iter().filter_map(named).collect();
        let zookeeper = self.zookeeper.as_ref();
        self.state
            .processes
            .extend(zookeeper.map(|process| ("zookeeper".into(), process.identity.clone())));
        self.state.write()
    }

    fn running(&self, id: i32) -> Result<&Identity> {
        let process = self.nodes[self.index(id)?].process.as_ref();
        Ok(&process
            .with_context(|| format!("node {id} does not run"))?
            .identity)
    }

    fn index(&self, id: i32) -> Result<usize> {
        self.nodes
            .iter()
            .position(|node| node.id == id)
            .with_context(|| format!("no node {id}"))
    }

    fn config_path(&self, id: i32) -> PathBuf {
        self.dir.join("conf").join(format!("node-{id}.properties"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let nodes = self.nodes.drain(..).filter_map(|node| node.process);
        for process in nodes.chain(self.zookeeper.take()) {
            let pid = process.identity.pid;
            if let Err(error) = process.kill() {
                eprintln!(
                    "could not end process {pid} of {}: {error:#}",
                    self.state.name
                );
            }
        }
        if self.dir.as_os_str().is_empty() {
            return;
        }
        let keep = self.keep_logs || thread::panicking();
        let gone = if keep {
            self.dir.join("data")
        } else {
            self.dir.clone()
        };
        if let Err(error) = remove_dir(&gone) {
            eprintln!("{error:#}");
        }
        if keep {
            // Without it nothing takes this directory for a cluster; the logs are for a reader.
            let _ = fs::remove_file(self.dir.join("state.json"));
            eprintln!(
                "logs of Kafka {} are in {}",
                self.state.version,
                self.dir.join("logs").display()
            );
        }
    }
}

/// `host:port` of each node, separated by commas.
fn addresses(nodes: &[Node]) -> String {
    let address = |node: &Node| format!("127.0.0.1:{}", node.port);
    nodes.iter().map(address).collect::<Vec<_>>().join(",")
}

fn unique_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!(
        "test-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// ZooKeeper holds the session of the node's killed predecessor for some seconds, and as long as it
/// does a new one ends at once.
#[derive(Debug)]
struct StillRegistered;

impl std::fmt::Display for StillRegistered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ZooKeeper still holds the session of the process before")
    }
}

impl std::error::Error for StillRegistered {}

/// A port was taken between its release here and the broker's start.
#[derive(Debug)]
struct PortClash;

impl std::fmt::Display for PortClash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a port was taken by another process")
    }
}

impl std::error::Error for PortClash {}
