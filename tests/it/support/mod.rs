//! A world of its own: forge, namespaces on the shared control plane, windlass.
//!
//! - `cluster`, `forge`: what a story reads; `people`: what it does there; `waiting`: until it is so
//! - `conversation`: a pull request as text; `commands`, `lab`: shorter ways for many stories
//! - `proxy`, `contract`, `webhook`, `corporate`: what stands between windlass and its servers
//! - `registry`: a server of images

mod budget;
pub mod charts;
mod cluster;
pub mod commands;
pub mod contract;
mod conversation;
pub mod corporate;
mod forge;
pub mod lab;
mod people;
pub mod proxy;
pub mod registry;
mod waiting;
pub mod webhook;
pub mod working_copy;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use kube::Client;
use serde_json::{Value, json};
use windlass::sandbox::control_plane::ControlPlane;
use windlass::sandbox::example::{self, CONFIG, Example};
use windlass::sandbox::forge::{Forge, Observer, Wire, WriteGate};
use windlass::sandbox::installation::{
    Options, Windlass, install, install_definitions, install_preview_only,
};
use windlass::sandbox::process::{Folder, Server, free_port};
use windlass::sandbox::tools::Tools;

use contract::Contract;
use corporate::Corporate;
use proxy::Proxy;

/// The control plane of this process.
pub fn plane() -> &'static ControlPlane {
    static PLANE: OnceLock<ControlPlane> = OnceLock::new();
    PLANE.get_or_init(|| {
        // A runtime of its own: the first test's may end before the others'.
        let start = || {
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            runtime.block_on(async {
                let plane =
                    ControlPlane::open_as_one_of(3, Tools::locate()?, Folder::temporary()?).await?;
                install_definitions(&plane)?;
                anyhow::Ok(plane)
            })
        };
        std::thread::spawn(start)
            .join()
            .expect("no panic")
            .expect("the control plane starts: see `make tools`")
    })
}

/// How a world differs from the usual one.
#[derive(Default)]
pub struct Setup {
    pub platform: bool,
    /// Files put over the example's.
    pub files: Vec<(String, String)>,
    pub resync: Option<u64>,
    pub delivery_scan: Option<u64>,
    /// Commits of a branch that are fetched at first.
    pub fetch_depth: Option<NonZeroU32>,
    /// Renders in a process of its own, over a socket.
    pub renders_elsewhere: bool,
    /// The server's projects, where they are not the example's.
    pub projects: Option<String>,
    /// Without the proxy that counts and cuts requests to the cluster.
    pub direct: bool,
    /// It only previews, with the rights to read.
    pub preview_only: bool,
    /// GitHub is an Enterprise Server of this version, in a [`Corporate`] network.
    pub enterprise: Option<&'static str>,
}

/// Everything that one story happens in.
pub struct World {
    pub prefix: String,
    pub forge: Forge,
    pub proxy: Proxy,
    pub client: Client,
    pub windlass: Windlass,
    /// The network, if it is not open.
    pub corporate: Option<Corporate>,
    /// Where it renders, if not in its own container.
    pub renderer: Mutex<Option<Server>>,
    running: Arc<Mutex<Option<Server>>>,
    contract: Arc<Contract>,
    asked: Arc<Asked>,
    folder: PathBuf,
    pub http: reqwest::Client,
}

/// The requests of the App, by method and route.
type Asked = Mutex<BTreeMap<String, usize>>;

/// Holds every exchange of a forge that stands alone against GitHub's descriptions.
pub fn watched(forge: &Forge) -> Arc<Contract> {
    let contract = Contract::shared();
    let observing = contract.clone();
    forge.set_wire(Wire {
        observer: Some(Arc::new(move |exchange| observing.see(exchange))),
        writes: None,
    });
    contract
}

/// Holds each exchange against GitHub's descriptions, and counts those of the App.
fn observer(contract: &Arc<Contract>, asked: &Arc<Asked>) -> Arc<Observer> {
    let (contract, asked) = (contract.clone(), asked.clone());
    Arc::new(move |exchange| {
        if exchange.by_app {
            let what = format!("{} {}", exchange.method, route(&exchange.path));
            *asked.lock().unwrap().entry(what).or_default() += 1;
        }
        contract.see(exchange);
    })
}

/// A path without the repository, and with `*` in the place of numbers and hashes.
fn route(path: &str) -> String {
    let below = path
        .splitn(5, '/')
        .nth(4)
        .filter(|_| path.starts_with("/repos/"));
    let segments = below.unwrap_or(path).split('/').map(|segment| {
        let is_id = segment.len() >= 40 || segment.bytes().all(|b| b.is_ascii_digit());
        if is_id && !segment.is_empty() {
            "*"
        } else {
            segment
        }
    });
    segments.collect::<Vec<_>>().join("/")
}

/// `windlass render`, as the sidecar container runs it.
pub fn renderer(folder: &Path) -> Server {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_windlass"));
    let program = |name: &str| plane().tools().program(name).expect("a program");
    command
        .arg("render")
        .arg("--socket")
        .arg(folder.join("render.sock"))
        .arg("--work")
        .arg(folder.join("renderings"));
    command
        .arg("--kustomize")
        .arg(program("kustomize"))
        .arg("--helm")
        .arg(program("helm"))
        .env_clear();
    Server::start(&mut command, &folder.join("render.log")).expect("a renderer")
}

/// GitHub; where it is an Enterprise Server, in the network that leads to it.
async fn github(folder: &Path, enterprise: Option<&str>) -> (Forge, Option<Corporate>) {
    let Some(version) = enterprise else {
        return (Forge::start(folder, 0).await.expect("a forge"), None);
    };
    let corporate = Corporate::start(folder).await;
    let origin = format!("https://{}", corporate::GITHUB);
    let forge = Forge::known_as(folder, 0, Some(&origin)).await;
    let forge = forge.expect("a forge");
    forge.state().enterprise = Some(version.into());
    let plain = format!("127.0.0.1:{}", forge.port());
    corporate.serve(corporate::GITHUB, plain).await;
    (forge, Some(corporate))
}

impl World {
    pub async fn new() -> Self {
        Self::with(Setup::default()).await
    }

    /// A world whose windlass runs and has synced everything once.
    pub async fn with(setup: Setup) -> Self {
        let world = Self::asleep(setup).await;
        world.start();
        world.settled().await;
        world
    }

    /// A world whose windlass is yet to be started.
    pub async fn asleep(setup: Setup) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let prefix = format!("w{}-", NEXT.fetch_add(1, Ordering::SeqCst));
        let (plane, namespace) = (plane(), format!("{prefix}home"));
        let folder = plane.folder().join(&namespace);
        std::fs::create_dir_all(&folder).expect("a folder");
        let installed = match setup.preview_only {
            true => install_preview_only(plane, &namespace).await,
            false => install(plane, &namespace).await,
        };
        installed.expect("deploy/'s roles are applied");
        let token_config = folder.join("kubeconfig-direct");
        plane
            .service_account_kubeconfig(&namespace, "windlass", &token_config)
            .await
            .expect("a token");
        let proxy = Proxy::start(plane, &token_config, &folder.join("kubeconfig"))
            .await
            .expect("a proxy");
        let (forge, corporate) = github(&folder, setup.enterprise).await;
        let contract = Contract::shared();
        let asked = Arc::new(Asked::default());
        forge.set_wire(Wire {
            observer: Some(observer(&contract, &asked)),
            writes: None,
        });
        let example = Example {
            prefix: &prefix,
            others: &[],
            platform: setup.platform,
        };
        example::seed(&forge, &example).expect("the example");
        if !setup.files.is_empty() {
            let files: Vec<_> = setup
                .files
                .iter()
                .map(|(path, text)| (path.as_str(), Some(text.as_str())))
                .collect();
            forge
                .push(CONFIG, "main", "ada", "More of the example", &files)
                .expect("files");
        }
        let options = Options {
            namespace: &namespace,
            port: free_port().expect("a port"),
            kubeconfig: if setup.direct {
                token_config.clone()
            } else {
                folder.join("kubeconfig")
            },
            resync: setup.resync.unwrap_or(600),
            delivery_scan: setup.delivery_scan.unwrap_or(300),
            fetch_depth: setup.fetch_depth,
            log: "info,windlass=debug",
            renderer: setup.renders_elsewhere.then(|| folder.join("render.sock")),
            preview_only: setup.preview_only,
            projects: setup.projects.as_deref().unwrap_or(example::PROJECTS),
        };
        let program = Path::new(env!("CARGO_BIN_EXE_windlass"));
        let mut windlass =
            Windlass::prepare(program, plane, &forge, &folder, &options).expect("settings");
        windlass.environment = corporate
            .as_ref()
            .map_or_else(Vec::new, Corporate::environment);
        let renderer = setup.renders_elsewhere.then(|| renderer(&folder));
        let client = plane.client().await.expect("a client");
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()
            .expect("a client");
        Self {
            renderer: Mutex::new(renderer),
            prefix,
            forge,
            proxy,
            client,
            windlass,
            corporate,
            running: Arc::default(),
            contract,
            asked,
            folder,
            http,
        }
    }

    pub fn start(&self) {
        let server = self.windlass.start().expect("windlass starts");
        *self.running.lock().unwrap() = Some(server);
    }

    /// Kill -9.
    pub fn kill(&self) {
        self.killer()();
    }

    /// Something that kills the windlass that runs then.
    pub fn killer(&self) -> impl Fn() + Send + Sync + 'static {
        let running = self.running.clone();
        move || drop(running.lock().unwrap().take())
    }

    /// Another replica of the same windlass, at an address of its own.
    pub fn replica(&self, identity: &str) -> Windlass {
        let folder = self.folder.join(identity);
        std::fs::create_dir_all(&folder).expect("a folder");
        self.windlass.replica(identity, &folder).expect("a replica")
    }

    pub fn pid(&self) -> Option<u32> {
        self.running.lock().unwrap().as_ref().map(Server::id)
    }

    pub fn is_running(&self) -> bool {
        self.running
            .lock()
            .unwrap()
            .as_mut()
            .is_some_and(|server| !server.ended())
    }

    /// Puts a gate round all of windlass's writes: to the forge and to the cluster.
    pub fn gate(&self, gate: Arc<dyn WriteGate>) {
        self.forge.set_wire(Wire {
            observer: Some(observer(&self.contract, &self.asked)),
            writes: Some(gate.clone()),
        });
        self.proxy.gate(gate);
    }

    /// The requests of the App since the last call, by method and route.
    pub fn asked(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    /// Where windlass keeps its mirrors.
    pub fn cache(&self) -> PathBuf {
        self.folder.join("cache")
    }

    pub fn home(&self) -> String {
        format!("{}home", self.prefix)
    }

    pub fn namespace(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.kill();
        if !std::thread::panicking() {
            let wrong = self.contract.take_violations();
            assert!(
                wrong.is_empty(),
                "GitHub's descriptions were broken:\n{}",
                wrong.join("\n")
            );
            let limited = std::mem::take(&mut self.forge.state().quota.violations);
            assert!(
                limited.is_empty(),
                "sent while GitHub limited the App:\n{}",
                limited.join("\n")
            );
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// The image that a tag stands for in these stories: its digest repeats the tag's number.
pub fn digest_of(tag: &str) -> String {
    let number: u8 = tag
        .bytes()
        .fold(0x20, |sum, b| sum.wrapping_mul(31).wrapping_add(b));
    format!("sha256:{}", format!("{number:02x}").repeat(32))
}

pub fn image_event(tag: &str) -> Value {
    json!({"image": "ghcr.io/acme/shop", "digest": digest_of(tag), "tag": tag, "commit": "c".repeat(40), "source": "acme/shop"})
}
