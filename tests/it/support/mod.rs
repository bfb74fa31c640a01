//! A world of its own: forge, namespaces on the shared control plane, windlass.

pub mod commands;
pub mod contract;
pub mod lab;
pub mod proxy;
pub mod webhook;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use http::Method;
use kube::api::{ApiResource, DynamicObject};
use kube::{Api, Client};
use serde_json::{Value, json};
use windlass::sandbox::control_plane::ControlPlane;
use windlass::sandbox::example::{self, CONFIG, Example};
use windlass::sandbox::forge::state::Pull;
use windlass::sandbox::forge::{Forge, Wire, WriteGate};
use windlass::sandbox::installation::{Options, Windlass, install, install_definitions};
use windlass::sandbox::process::{Folder, Server, free_port};
use windlass::sandbox::tools::Tools;

use contract::Contract;
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
    /// Renders in a process of its own, over a socket.
    pub renders_elsewhere: bool,
    /// The server's projects, where they are not the example's.
    pub projects: Option<String>,
    /// Without the proxy that counts and cuts requests to the cluster.
    pub direct: bool,
}

/// Everything that one story happens in.
pub struct World {
    pub prefix: String,
    pub forge: Forge,
    pub proxy: Proxy,
    pub client: Client,
    pub windlass: Windlass,
    /// Where it renders, if not in its own container.
    pub renderer: Mutex<Option<Server>>,
    running: Arc<Mutex<Option<Server>>>,
    contract: Arc<Contract>,
    folder: PathBuf,
    http: reqwest::Client,
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

/// A step of a story may take this long before the test fails.
const PATIENCE: Duration = Duration::from_secs(120);

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
        install(plane, &namespace).expect("deploy/'s roles are applied");
        let token_config = folder.join("kubeconfig-direct");
        plane
            .service_account_kubeconfig(&namespace, "windlass", &token_config)
            .expect("a token");
        let proxy = Proxy::start(plane, &token_config, &folder.join("kubeconfig"))
            .await
            .expect("a proxy");
        let forge = Forge::start(&folder, 0).await.expect("a forge");
        let contract = Contract::shared();
        let observing = contract.clone();
        forge.set_wire(Wire {
            observer: Some(Arc::new(move |exchange| observing.see(exchange))),
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
            log: "info,windlass=debug",
            renderer: setup.renders_elsewhere.then(|| folder.join("render.sock")),
            projects: setup.projects.as_deref().unwrap_or(example::PROJECTS),
        };
        let program = Path::new(env!("CARGO_BIN_EXE_windlass"));
        let windlass =
            Windlass::prepare(program, plane, &forge, &folder, &options).expect("settings");
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
            running: Arc::default(),
            contract,
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
        let observing = self.contract.clone();
        self.forge.set_wire(Wire {
            observer: Some(Arc::new(move |exchange| observing.see(exchange))),
            writes: Some(gate.clone()),
        });
        self.proxy.gate(gate);
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

    // ---- looking

    /// Looks until it is there.
    pub async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let log = std::fs::read_to_string(self.windlass.log()).unwrap_or_default();
        let lines: Vec<_> = log.lines().filter(|line| !line.is_empty()).collect();
        panic!(
            "waited {} s in vain: {what}\nwindlass's last words:\n{}",
            PATIENCE.as_secs(),
            lines[lines.len().saturating_sub(25)..].join("\n")
        );
    }

    /// Every application is synced and healthy, and the tip's status says so.
    pub async fn settled(&self) {
        self.until("every application is synced and healthy", async || {
            let objects = self.applications().await;
            let true_twice = |object: &Value| {
                object["status"]["conditions"]
                    .as_array()
                    .is_some_and(|all| all.len() == 2 && all.iter().all(|c| c["status"] == "True"))
            };
            (objects.len() >= 2 && objects.iter().all(true_twice)).then_some(())
        })
        .await;
    }

    /// For a second windlass was ready, had nothing left to do, and asked the cluster for nothing but its Lease.
    pub async fn quiet(&self) {
        let last = Mutex::new(Instant::now());
        self.until("windlass rests", async || {
            let asked = self.proxy.take_asked();
            let rests = self.rests().await;
            let mut last = last.lock().unwrap();
            if !rests || asked.iter().any(|what| !what.contains("/leases")) {
                *last = Instant::now();
            }
            (last.elapsed() > Duration::from_secs(1)).then_some(())
        })
        .await;
    }

    /// Whether windlass is ready and none of its loops has anything pending.
    async fn rests(&self) -> bool {
        let get = async |url: String| {
            let answer = self
                .http
                .get(url)
                .send()
                .await
                .ok()?
                .error_for_status()
                .ok()?;
            answer.text().await.ok()
        };
        let pending = |metrics: &str| {
            metrics
                .lines()
                .filter(|line| line.starts_with("windlass_queue_keys{"))
                .filter(|line| !line.ends_with(" 0"))
                .count()
        };
        get(format!("{}/readyz", self.windlass.url)).await.is_some()
            && get(self.windlass.metrics_url.clone())
                .await
                .is_some_and(|metrics| pending(&metrics) == 0)
    }

    /// What windlass counts.
    pub async fn metrics(&self) -> String {
        let answer = self
            .http
            .get(&self.windlass.metrics_url)
            .send()
            .await
            .unwrap();
        answer.text().await.unwrap()
    }

    pub async fn applications(&self) -> Vec<Value> {
        self.list(
            "windlass.dev/v1alpha1",
            "Application",
            "applications",
            &self.home(),
        )
        .await
    }

    pub async fn application(&self, name: &str) -> Value {
        self.get(
            "windlass.dev/v1alpha1",
            "Application",
            "applications",
            &self.home(),
            name,
        )
        .await
        .unwrap_or_default()
    }

    fn api(
        &self,
        version: &str,
        kind: &str,
        plural: &str,
        namespace: &str,
    ) -> (Api<DynamicObject>, ApiResource) {
        let (group, v) = version.split_once('/').unwrap_or(("", version));
        let resource = ApiResource {
            group: group.into(),
            version: v.into(),
            api_version: version.into(),
            kind: kind.into(),
            plural: plural.into(),
        };
        let api = if namespace.is_empty() {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        };
        (api, resource)
    }

    pub async fn list(
        &self,
        version: &str,
        kind: &str,
        plural: &str,
        namespace: &str,
    ) -> Vec<Value> {
        let (api, _) = self.api(version, kind, plural, namespace);
        let listed = api
            .list(&Default::default())
            .await
            .map(|list| list.items)
            .unwrap_or_default();
        listed
            .into_iter()
            .map(|object| serde_json::to_value(object).unwrap())
            .collect()
    }

    pub async fn get(
        &self,
        version: &str,
        kind: &str,
        plural: &str,
        namespace: &str,
        name: &str,
    ) -> Option<Value> {
        let (api, _) = self.api(version, kind, plural, namespace);
        api.get_opt(name)
            .await
            .ok()
            .flatten()
            .map(|object| serde_json::to_value(object).unwrap())
    }

    pub async fn deployment(&self, stage: &str) -> Value {
        self.get(
            "apps/v1",
            "Deployment",
            "deployments",
            &self.namespace(&format!("shop-{stage}")),
            "shop",
        )
        .await
        .unwrap_or_default()
    }

    pub async fn config_map(&self, stage: &str, name: &str) -> Option<Value> {
        self.get(
            "v1",
            "ConfigMap",
            "configmaps",
            &self.namespace(&format!("shop-{stage}")),
            name,
        )
        .await
    }

    // ---- the forge

    pub fn as_user(&self, login: &str, method: Method, path: &str, body: Value) -> Value {
        self.try_as_user(login, method, path, body)
            .expect("the forge does it")
    }

    pub fn try_as_user(
        &self,
        login: &str,
        method: Method,
        path: &str,
        body: Value,
    ) -> anyhow::Result<Value> {
        self.forge
            .as_user(login, method, &format!("/repos/{CONFIG}/{path}"), body)
    }

    pub fn read(&self, path: &str) -> Value {
        self.try_as_user("ada", Method::GET, path, Value::Null)
            .unwrap_or_default()
    }

    /// The newest pull request from a branch.
    pub fn pull_from(&self, branch: &str) -> Option<Value> {
        self.read(&format!("pulls?state=all&head=acme:{branch}"))
            .as_array()?
            .first()
            .cloned()
    }

    pub async fn pull_request(&self, stage: &str) -> u64 {
        self.until("a pull request", async || {
            self.pull_from(&format!("windlass/shop/{stage}"))?["number"].as_u64()
        })
        .await
    }

    pub fn comments(&self, number: u64) -> Vec<Value> {
        self.read(&format!("issues/{number}/comments?per_page=100"))
            .as_array()
            .cloned()
            .unwrap_or_default()
    }

    /// Newest status of a context on a commit: state and description. Looked up where it is kept, since stories wait by it.
    pub fn status(&self, commit: &str, context: &str) -> Option<(String, String)> {
        let state = self.forge.state();
        let found = state
            .by_full_name(CONFIG)?
            .statuses
            .iter()
            .rev()
            .find(|status| status.sha == commit && status.context == context)?;
        Some((
            found.state.clone(),
            found.description.clone().unwrap_or_default(),
        ))
    }

    pub fn head(&self, number: u64) -> String {
        self.with_pull(number, |pull| Some(pull.head.sha.clone()))
            .unwrap_or_default()
    }

    fn with_pull<T>(&self, number: u64, look: impl FnOnce(&Pull) -> Option<T>) -> Option<T> {
        let state = self.forge.state();
        look(
            state
                .by_full_name(CONFIG)?
                .pulls
                .iter()
                .find(|pull| pull.number == number)?,
        )
    }

    pub fn tip(&self) -> String {
        self.read("git/ref/heads/main")["object"]["sha"]
            .as_str()
            .unwrap_or_default()
            .into()
    }

    pub async fn sync_status(&self, commit: &str, state: &str) -> String {
        self.until(
            &format!("windlass/sync is {state} on {commit}"),
            async || {
                self.status(commit, "windlass/sync")
                    .filter(|(is, _)| is == state)
                    .map(|(_, text)| text)
            },
        )
        .await
    }

    /// The verdict on a head: state (pending while it waits) and title.
    pub fn verdict(&self, commit: &str) -> Option<(String, String)> {
        let state = self.forge.state();
        let checks = &state.by_full_name(CONFIG)?.checks;
        let check = checks
            .iter()
            .rev()
            .find(|check| check.sha == commit && check.name == "windlass/gate")?;
        Some((
            check.conclusion.clone().unwrap_or_else(|| "pending".into()),
            check.title.clone().unwrap_or_default(),
        ))
    }

    pub async fn gate_status(&self, number: u64, state: &str) -> String {
        self.until(
            &format!("windlass/gate is {state} on #{number}"),
            async || {
                self.verdict(&self.head(number))
                    .filter(|(is, _)| is == state)
                    .map(|(_, text)| text)
            },
        )
        .await
    }

    /// The title of `windlass/gate`, once it says so.
    pub async fn gate_says(&self, number: u64, part: &str) -> String {
        self.until(
            &format!("windlass/gate on #{number} says: {part}"),
            async || {
                self.verdict(&self.head(number))
                    .map(|(_, text)| text)
                    .filter(|text| text.contains(part))
            },
        )
        .await
    }

    pub async fn merged(&self, number: u64) -> String {
        self.until(&format!("#{number} is merged"), async || {
            self.with_pull(number, |pull| Some(pull.merged.as_ref()?.sha.clone()))
        })
        .await
    }

    pub async fn previewed(&self, number: u64) -> Value {
        self.until(&format!("the preview of #{number}"), async || {
            let head = self.head(number);
            let there = self
                .forge
                .state()
                .by_full_name(CONFIG)?
                .checks
                .iter()
                .any(|check| check.sha == head);
            let checks = there.then(|| self.read(&format!("commits/{head}/check-runs")))?;
            checks["check_runs"]
                .as_array()?
                .iter()
                .find(|check| check["name"] == "windlass/preview" && check["status"] == "completed")
                .cloned()
        })
        .await
    }

    /// A person's pull request from a new branch.
    pub fn propose(&self, login: &str, branch: &str, files: &[(&str, Option<&str>)]) -> u64 {
        self.forge
            .push(CONFIG, branch, login, &format!("Change by {login}"), files)
            .expect("a push");
        let pull = self.as_user(
            login,
            Method::POST,
            "pulls",
            json!({"title": format!("Change by {login}"), "head": branch, "base": "main"}),
        );
        pull["number"].as_u64().unwrap()
    }

    pub fn comment(&self, login: &str, number: u64, text: &str) -> u64 {
        self.as_user(
            login,
            Method::POST,
            &format!("issues/{number}/comments"),
            json!({"body": text}),
        )["id"]
            .as_u64()
            .unwrap()
    }

    pub fn approve(&self, login: &str, number: u64) {
        self.as_user(
            login,
            Method::POST,
            &format!("pulls/{number}/reviews"),
            json!({"event": "APPROVE"}),
        );
    }

    pub fn file(&self, path: &str) -> String {
        use base64::Engine as _;
        let content = self.read(&format!("contents/{path}"))["content"]
            .as_str()
            .unwrap_or_default()
            .to_string();
        String::from_utf8(
            base64::engine::general_purpose::STANDARD
                .decode(content)
                .unwrap(),
        )
        .unwrap()
    }

    /// How most stories begin: an image is announced, merged and healthy in staging, and proposed for production, where
    /// its review is waited for. The two pull requests.
    pub async fn up_to_review(&self, tag: &str) -> (u64, u64) {
        self.announce(tag).await;
        let staging = self.pull_request("staging").await;
        let commit = self.merged(staging).await;
        self.sync_status(&commit, "success").await;
        let production = self.pull_request("production").await;
        self.previewed(production).await;
        self.gate_status(production, "pending").await;
        (staging, production)
    }

    /// Announces an image as CI would; status code and body.
    pub async fn announce(&self, tag: &str) -> (u16, Value) {
        // As CI does: again while it is not taken, or takes long.
        self.until("the event is taken", async || {
            self.event(&image_event(tag), Some(&self.windlass.events_token))
                .await
                .filter(|(status, _)| ![503, 202].contains(status))
        })
        .await
    }

    pub async fn event(&self, event: &Value, token: Option<&str>) -> Option<(u16, Value)> {
        let request = self
            .http
            .post(format!("{}/events/image", self.windlass.url))
            .json(event);
        let request = if let Some(token) = token {
            request.bearer_auth(token)
        } else {
            request
        };
        let answer = request.send().await.ok()?;
        Some((
            answer.status().as_u16(),
            answer.json().await.unwrap_or_default(),
        ))
    }

    /// The conversation of a pull request as people read it, with what differs from run to run made the same.
    pub fn conversation(&self, number: u64) -> String {
        let pull = self.read(&format!("pulls/{number}"));
        let mut out = format!(
            "{} by {} ({})\n",
            pull["title"].as_str().unwrap_or_default(),
            pull["user"]["login"].as_str().unwrap_or_default(),
            if pull["merged"] == true {
                "merged"
            } else {
                pull["state"].as_str().unwrap_or_default()
            }
        );
        for comment in self.comments(number) {
            let eyes = if comment["reactions"]["eyes"].as_u64() > Some(0) {
                " 👀"
            } else {
                ""
            };
            out.push_str(&format!(
                "\n--- {}{eyes}\n{}\n",
                comment["user"]["login"].as_str().unwrap_or_default(),
                comment["body"].as_str().unwrap_or_default().trim()
            ));
        }
        self.scrub(&out)
    }

    /// Takes out commits, digests of plans, ids, durations and this world's prefix.
    pub fn scrub(&self, text: &str) -> String {
        let origin = self.forge.api_url().replace("/api/v3", "");
        let text = text
            .replace(&self.prefix, "")
            .replace(&origin, "https://forge");
        let mut out = String::new();
        let mut word = String::new();
        let flush = |word: &mut String, out: &mut String| {
            let hex = word.len() >= 12
                && word.bytes().all(|b| b.is_ascii_hexdigit())
                && !word.bytes().all(|b| b == word.as_bytes()[0]);
            let announced = word.len() == 12
                && (0..256).any(|n| word == &format!("{n:02x}").repeat(6))
                || word.len() == 64;
            out.push_str(if hex && !announced { "(hex)" } else { word });
            word.clear();
        };
        for c in text.chars() {
            if c.is_ascii_alphanumeric() {
                word.push(c);
            } else {
                flush(&mut word, &mut out);
                out.push(c);
            }
        }
        flush(&mut word, &mut out);
        let mut lines: Vec<String> = out
            .lines()
            .map(|line| line.trim_end().to_string())
            .collect();
        for line in &mut lines {
            if line.starts_with("<sub>head")
                && let (Some(start), Some(end)) = (line.find("` · "), line.find(" s · plan"))
            {
                line.replace_range(start + "` · ".len()..end, "(time)");
            }
            // The seal is made with the App's key.
            if line.starts_with("<!-- windlass:sticky ") {
                *line = line.replace("(hex) (hex)", "(hex)");
            }
            if let Some(rest) = line.strip_prefix("<!-- windlass:reply ")
                && rest.ends_with(" -->")
            {
                *line = "<!-- windlass:reply (id) -->".into();
            }
            if line.contains("plan `wl1:") {
                let start = line.find("wl1:").unwrap() + 4;
                let end = line[start..]
                    .find('`')
                    .map_or(line.len(), |end| start + end);
                line.replace_range(start..end, "(digest)");
            }
        }
        lines.join("\n")
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
