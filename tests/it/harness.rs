//! Servers to test against: in this process with a clock that can be moved, or the real binary.

use std::future::Future;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use chronogate::config::Config;
use chronogate::config::deployment::ConfigFile;
use chronogate::runtime::{Clock, SystemClock};
use chronogate::server::{Password, Running, Settings};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

/// How large a test is: what this variable of the environment says, else the default.
pub fn sized(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |size| size.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {size}")))
}

/// Runs a test on a runtime like the server's own; fails it when it hangs.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    run_for(Duration::from_secs(300), test)
}

/// The same for a test that may take so long.
pub fn run_for<T>(most: Duration, test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .thread_stack_size(8 << 20)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        match tokio::time::timeout(most, test).await {
            Ok(done) => done,
            Err(_) => panic!("the test hangs"),
        }
    })
}

/// A server in this process, on a free port and in a folder of its own.
pub struct TestServer {
    running: Running,
    _folder: TempDir,
}

impl TestServer {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut settings = settings(folder.path(), Arc::new(SystemClock));
        change(&mut settings);
        let running = Running::start(&settings).await.expect("starts");
        Self { running, _folder: folder }
    }

    /// A server of the deployment that this file configures.
    pub async fn of_deployment(config: &Path) -> Self {
        let ConfigFile::Deployment(deployment) = ConfigFile::read(config).expect("valid") else {
            panic!("not a deployment's configuration");
        };
        Self::start_with(|settings| settings.deployment = Some(*deployment)).await
    }

    pub fn address(&self) -> SocketAddr {
        self.running.address()
    }

    pub fn config(&self) -> tokio_postgres::Config {
        config(self.address())
    }

    pub async fn connect(&self) -> Client {
        connect(&self.config()).await.expect("connects")
    }

    pub async fn stop(self) {
        self.running.stop().await.expect("stops");
    }
}

pub fn settings(folder: &Path, clock: Arc<dyn Clock>) -> Settings {
    let mut settings = Settings::new(&Config::default()).expect("defaults");
    settings.listen = "127.0.0.1:0".to_owned();
    settings.data = folder.to_owned();
    settings.clock = clock;
    settings.limits.shutdown_grace_s = 2;
    settings.limits.memory_limit_bytes = 256 << 20;
    settings
}

pub fn password(text: &str) -> Option<Password> {
    Some(Password(text.to_owned()))
}

pub fn config(address: SocketAddr) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config.host(address.ip().to_string()).port(address.port()).user("chronogate").dbname("chronogate");
    config
}

/// Connects with tokio-postgres and drives the connection in the background.
pub async fn connect(config: &tokio_postgres::Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// The SQLSTATE of a failed request.
pub fn code<T>(result: Result<T, tokio_postgres::Error>) -> String {
    match result {
        Ok(_) => "00000".to_owned(),
        Err(error) => error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned()),
    }
}

/// The binary, running; killed when dropped.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
    /// Unset until the process listens.
    address: Option<SocketAddr>,
}

impl Process {
    pub fn spawn(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_chronogate"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let (sender, lines) = channel();
        let errors = BufReader::new(child.stderr.take().expect("piped"));
        std::thread::spawn(move || errors.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines, said: Vec::new(), address: None }
    }

    /// `serve` on a free port over this folder, once it accepts connections.
    pub fn serve(data: &Path) -> Self {
        let data = data.to_str().expect("UTF-8");
        let mut process = Self::spawn(&["serve", "--data", data, "--listen", "127.0.0.1:0"]);
        process.await_address();
        process
    }

    pub fn address(&self) -> SocketAddr {
        self.address.expect("listening")
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn await_address(&mut self) {
        let line = self.await_line("address=");
        let (_, rest) = line.split_once("address=").expect("searched for");
        self.address = rest.split_whitespace().next().and_then(|text| text.parse().ok());
    }

    /// The next line of standard error with this text in it, within a minute.
    pub fn await_line(&mut self, text: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(60);
        while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            self.said.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
        panic!("no line with {text:?} but {:#?}", self.said);
    }

    #[cfg(unix)]
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits for the end; `None` when it does not come in time.
    pub fn wait(&mut self, timeout: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + timeout;
        loop {
            match self.child.try_wait().expect("a child") {
                Some(status) => return Some(status),
                None if Instant::now() > deadline => return None,
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// What it has said and says until it ends.
    pub fn said(&mut self) -> &[String] {
        self.said.extend(self.lines.iter());
        &self.said
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
