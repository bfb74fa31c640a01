//! `windlass demo`: the whole story, told on the terminal as it truly happens.
//!
//! Every step is observed where it shows: in the cluster by its API, on the
//! forge by its API. windlass runs as its own process with the settings of a
//! real installation; when it dies it is started again at the same address.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use http::Method;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::control_plane::ControlPlane;
use super::example::{self, CONFIG, PEOPLE, SOURCE};
use super::forge::Forge;
use super::installation::{Options, Windlass, install, install_definitions};
use super::process::{Folder, Server, free_port};
use super::tools::Tools;
use crate::cli::{wait_for_signal, write_out};
use crate::cluster::home::Application;

/// `windlass demo`
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {
    /// Ends after the story: 0 only if every step was observed
    #[arg(long)]
    exit: bool,
    /// Keeps everything in this folder and writes demo.json into it, for other programs to go on from
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// The forge's port (any free one by default)
    #[arg(long, default_value_t = 0)]
    port: u16,
}

const NAMESPACE: &str = "windlass";
/// One step may take this long; it is far more than it needs, so that a slow machine passes too.
const PATIENCE: Duration = Duration::from_secs(180);

pub async fn demo(args: DemoArgs) -> anyhow::Result<()> {
    tokio::select! {
        outcome = play(args) => outcome,
        () = wait_for_signal() => {
            say("\nstopping");
            Ok(())
        }
    }
}

async fn play(args: DemoArgs) -> anyhow::Result<()> {
    let started = Instant::now();
    let folder = match &args.dir {
        Some(dir) => Folder::given(dir)?,
        None => Folder::temporary()?,
    };
    let dir = folder.path().to_path_buf();
    let described = dir.join("demo.json");
    let _ = std::fs::remove_file(&described);
    // What an earlier demo left in a folder of the user's.
    for part in ["forge", "installation"] {
        let _ = std::fs::remove_dir_all(dir.join(part));
    }
    step("starting a Kubernetes control plane, a forge and windlass");
    let plane = ControlPlane::open(Tools::locate()?, folder).await?;
    let namespace_folder = dir.join("installation");
    std::fs::create_dir_all(&namespace_folder)?;
    install_definitions(&plane)?;
    install(&plane, NAMESPACE)?;
    let kubeconfig = namespace_folder.join("kubeconfig");
    plane.service_account_kubeconfig(NAMESPACE, "windlass", &kubeconfig)?;
    let forge = Forge::start(&dir.join("forge"), args.port).await?;
    example::seed(&forge, &example::DEMO)?;
    let options = Options {
        namespace: NAMESPACE,
        port: free_port()?,
        kubeconfig,
        resync: 600,
        delivery_scan: 300,
        log: &std::env::var("WINDLASS_LOG").unwrap_or_else(|_| "info".into()),
        projects: example::PROJECTS,
        renderer: None,
    };
    let windlass = Windlass::prepare(
        &std::env::current_exe()?,
        &plane,
        &forge,
        &namespace_folder,
        &options,
    )?;
    let keeper = Keeper::start(windlass, described.clone())?;
    let client = plane.client().await?;
    let story = Story {
        forge: &forge,
        client,
        windlass: &keeper.windlass,
    };
    story.tell().await?;
    done(&format!("the story took {} s", started.elapsed().as_secs()));
    keeper.describe(description(&plane, &forge, &keeper)?)?;
    if args.exit {
        return Ok(());
    }
    let url = forge.url();
    say(&format!(
        "\nEverything stays up. Look, and write a command (/help, /sync) into a pull request's box:\n\n  {url}/{CONFIG}\n\n  kubectl --kubeconfig {} get applications.windlass.dev -A\n  windlass logs to {}\n\nCtrl-C ends it.",
        plane.kubeconfig().display(),
        keeper.windlass.log().display(),
    ));
    std::future::pending().await
}

/// What other programs need to go on from here.
fn description(plane: &ControlPlane, forge: &Forge, keeper: &Keeper) -> anyhow::Result<Value> {
    let users: Vec<_> =
        PEOPLE.iter().map(|(login, role)| json!({"login": login, "role": role.name(), "token": forge.state().token_of(login)})).collect();
    Ok(json!({
        "kubeconfig": plane.kubeconfig(), "assets": plane.tools().assets()?, "forge": {"url": forge.url(), "api_url": forge.api_url()},
        "windlass": {"url": keeper.windlass.url, "metrics_url": keeper.windlass.metrics_url, "pid": 0}, "repositories": {"config": CONFIG, "source": SOURCE}, "users": users,
        "events_token": keeper.windlass.events_token,
    }))
}

/// Keeps windlass running: when it dies it is started again.
struct Keeper {
    windlass: Arc<Windlass>,
    running: Arc<Mutex<Running>>,
    task: tokio::task::JoinHandle<()>,
}

struct Running {
    server: Server,
    /// Where to write what is known, and what; the pid is filled in.
    file: PathBuf,
    description: Option<Value>,
}

impl Running {
    fn write(&self) -> anyhow::Result<()> {
        let Some(mut description) = self.description.clone() else {
            return Ok(());
        };
        description["windlass"]["pid"] = self.server.id().into();
        let scratch = self.file.with_extension("new");
        std::fs::write(&scratch, serde_json::to_string_pretty(&description)? + "\n")?;
        Ok(std::fs::rename(&scratch, &self.file)?)
    }
}

impl Keeper {
    fn start(windlass: Windlass, file: PathBuf) -> anyhow::Result<Self> {
        let windlass = Arc::new(windlass);
        let running = Arc::new(Mutex::new(Running {
            server: windlass.start()?,
            file,
            description: None,
        }));
        let (kept, starter) = (running.clone(), windlass.clone());
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(200)).await;
                let mut running = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if running.server.ended() {
                    say("  windlass ended; starting it again");
                    match starter.start() {
                        Ok(server) => {
                            running.server = server;
                            let _ = running.write();
                        }
                        Err(error) => say(&format!("  {error:#}")),
                    }
                }
            }
        });
        Ok(Self {
            windlass,
            running,
            task,
        })
    }

    fn describe(&self, description: Value) -> anyhow::Result<()> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.description = Some(description);
        running.write()
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Story<'a> {
    forge: &'a Forge,
    client: Client,
    windlass: &'a Windlass,
}

impl Story<'_> {
    async fn tell(&self) -> anyhow::Result<()> {
        let applications = self
            .until("every application is synced and healthy", async || {
                let all: Vec<_> = Api::<Application>::namespaced(self.client.clone(), NAMESPACE)
                    .list(&Default::default())
                    .await
                    .ok()?
                    .items;
                let healthy = |object: &Application| {
                    object.status.as_ref().is_some_and(|s| {
                        s.conditions.iter().filter(|c| c.status == "True").count() == 2
                    })
                };
                (all.len() == 13 && all.iter().all(healthy)).then_some(all.len())
            })
            .await?;
        done(&format!(
            "{applications} applications are synced and healthy"
        ));

        let digest = format!("sha256:{}", "2a".repeat(32));
        let commit = self.forge.push(
            SOURCE,
            "main",
            "bob",
            "Faster checkout",
            &[("main.go", Some("package main // faster\n"))],
        )?;
        step(&format!(
            "CI says: ghcr.io/acme/shop:1.1.0 was built from {SOURCE}@{}",
            &commit[..12]
        ));
        let event = json!({"image": "ghcr.io/acme/shop", "digest": digest, "tag": "1.1.0", "commit": commit, "source": SOURCE});
        let url = self.announce(&event).await?;
        done(&format!("windlass answers with {url}"));

        let staging = self.promoted("staging", &digest).await?;
        step(
            "staging is healthy with that digest: windlass proposes the same digest for production",
        );
        let production = self
            .until("a pull request for production", async || {
                self.open_pull("windlass/shop/production")
            })
            .await?;
        done(&format!(
            "pull request #{production}: {}",
            self.pull(production)["title"].as_str().unwrap_or_default()
        ));
        self.until("its preview", async || {
            self.has_preview(production).then_some(())
        })
        .await?;
        done("its preview is there; it waits for one approval");
        // A review from before the preview would not count.
        self.until("its verdict", async || {
            self.gate(production)
                .filter(|(state, _)| state == "pending")
        })
        .await?;
        self.as_user(
            "bob",
            Method::POST,
            &format!("pulls/{production}/reviews"),
            json!({"event": "APPROVE"}),
        )?;
        done("bob approves");
        let merged = self.promoted("production", &digest).await?;
        if merged != production || staging == production {
            bail!("production was reached by #{merged}, not by #{production}");
        }

        step("somebody scales a deployment by hand");
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), "shop-production");
        let edited = deployments
            .patch(
                "shop",
                &PatchParams {
                    field_manager: Some("kubectl-scale".into()),
                    ..Default::default()
                },
                &Patch::Merge(json!({"spec": {"replicas": 5}})),
            )
            .await?;
        if edited.spec.and_then(|spec| spec.replicas) != Some(5) {
            bail!("the hand edit did not take");
        }
        let since = Instant::now();
        self.until("the edit is reverted", async || {
            let spec = deployments.get("shop").await.ok()?.spec?;
            (spec.replicas == Some(2)).then_some(())
        })
        .await?;
        done(&format!(
            "reverted after {:.1} s",
            since.elapsed().as_secs_f64()
        ));
        self.until("no pull request is left open", async || {
            let open = self
                .as_user("ada", Method::GET, "pulls?state=open", Value::Null)
                .ok()?;
            (open.as_array()?.is_empty()).then_some(())
        })
        .await?;
        Ok(())
    }

    /// Sends the event until it is taken: windlass may just be starting.
    async fn announce(&self, event: &Value) -> anyhow::Result<String> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()?;
        let url = format!("{}/events/image", self.windlass.url);
        let token = self.windlass.events_token.clone();
        self.until("the event is taken", async || {
            let answer = http
                .post(&url)
                .bearer_auth(&token)
                .json(event)
                .send()
                .await
                .ok()?;
            if !answer.status().is_success() {
                return None;
            }
            answer.json::<Value>().await.ok()?["pull_request"]
                .as_str()
                .map(str::to_string)
        })
        .await
    }

    /// Follows the pull request of a stage to its end; its number.
    async fn promoted(&self, stage: &str, digest: &str) -> anyhow::Result<u64> {
        let branch = format!("windlass/shop/{stage}");
        let (number, commit) = self
            .until(
                &format!("the pull request for {stage} is merged"),
                async || {
                    let pulls = self
                        .as_user(
                            "ada",
                            Method::GET,
                            &format!("pulls?state=closed&head=acme:{branch}"),
                            Value::Null,
                        )
                        .ok()?;
                    let pull = pulls.as_array()?.first()?.clone();
                    Some((
                        pull["number"].as_u64()?,
                        pull["merge_commit_sha"].as_str()?.to_string(),
                    ))
                },
            )
            .await?;
        if !self.has_preview(number) {
            bail!("#{number} was merged without a preview");
        }
        done(&format!(
            "#{number} is merged as {}, its preview was there before",
            &commit[..12]
        ));
        let deployments: Api<Deployment> =
            Api::namespaced(self.client.clone(), &format!("shop-{stage}"));
        self.until(&format!("the rollout in {stage} is done"), async || {
            let live = deployments.get("shop").await.ok()?;
            let image = live
                .spec
                .as_ref()?
                .template
                .spec
                .as_ref()?
                .containers
                .first()?
                .image
                .clone()?;
            let status = live.status.as_ref()?;
            let rolled = status.observed_generation >= live.metadata.generation
                && status.updated_replicas == Some(2)
                && status.available_replicas == Some(2)
                && status.replicas == Some(2);
            (image.ends_with(digest) && rolled).then_some(())
        })
        .await?;
        self.until("the merge commit's status", async || {
            let status = self
                .as_user(
                    "ada",
                    Method::GET,
                    &format!("commits/{commit}/status"),
                    Value::Null,
                )
                .ok()?;
            let sync = status["statuses"]
                .as_array()?
                .iter()
                .find(|status| status["context"] == "windlass/sync")?
                .clone();
            (sync["state"] == "success").then_some(())
        })
        .await?;
        self.until("the comment tells the end", async || {
            self.comments(number)
                .iter()
                .any(|text| text.contains("Synced, healthy"))
                .then_some(())
        })
        .await?;
        done(&format!(
            "shop runs {} in {stage}: synced and healthy, on the commit's status and in the comment",
            &digest[7..19]
        ));
        Ok(number)
    }

    fn as_user(
        &self,
        login: &str,
        method: Method,
        path: &str,
        body: Value,
    ) -> anyhow::Result<Value> {
        self.forge
            .as_user(login, method, &format!("/repos/{CONFIG}/{path}"), body)
    }

    fn pull(&self, number: u64) -> Value {
        self.as_user("ada", Method::GET, &format!("pulls/{number}"), Value::Null)
            .unwrap_or_default()
    }

    fn open_pull(&self, branch: &str) -> Option<u64> {
        let pulls = self
            .as_user(
                "ada",
                Method::GET,
                &format!("pulls?state=open&head=acme:{branch}"),
                Value::Null,
            )
            .ok()?;
        pulls.as_array()?.first()?["number"].as_u64()
    }

    fn comments(&self, number: u64) -> Vec<String> {
        let comments = self
            .as_user(
                "ada",
                Method::GET,
                &format!("issues/{number}/comments"),
                Value::Null,
            )
            .unwrap_or_default();
        comments
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|comment| comment["body"].as_str().map(str::to_string))
            .collect()
    }

    fn has_preview(&self, number: u64) -> bool {
        let head = self.pull(number)["head"]["sha"]
            .as_str()
            .unwrap_or_default()
            .to_string();
        let checks = self
            .as_user(
                "ada",
                Method::GET,
                &format!("commits/{head}/check-runs"),
                Value::Null,
            )
            .unwrap_or_default();
        let checked = checks["check_runs"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|check| check["name"] == "windlass/preview" && check["conclusion"] == "success");
        checked && !self.comments(number).is_empty()
    }

    fn gate(&self, number: u64) -> Option<(String, String)> {
        let head = self.pull(number)["head"]["sha"].as_str()?.to_string();
        let checks = self
            .as_user(
                "ada",
                Method::GET,
                &format!("commits/{head}/check-runs"),
                Value::Null,
            )
            .ok()?;
        let gate = checks["check_runs"]
            .as_array()?
            .iter()
            .find(|check| check["name"] == "windlass/gate")?
            .clone();
        let state = gate["conclusion"].as_str().unwrap_or("pending");
        Some((state.into(), gate["output"]["title"].as_str()?.into()))
    }

    /// Looks until it is there.
    async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> anyhow::Result<T> {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if let Some(found) = look().await {
                return Ok(found);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let tail = last_lines(self.windlass.log());
        bail!(
            "waited {} s in vain: {what}\nwindlass's last words:\n{tail}",
            PATIENCE.as_secs()
        )
    }
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log)
        .context("no log")
        .unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

fn say(text: &str) {
    write_out(&format!("{text}\n"));
}

fn step(text: &str) {
    say(&format!("• {text}"));
}

fn done(text: &str) {
    say(&format!("  ✓ {text}"));
}
