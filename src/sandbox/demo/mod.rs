//! `windlass demo`: the whole story, told on the terminal as it truly happens.
//!
//! Every step is observed where it shows: in the cluster by its API, on the
//! forge by its API. windlass runs as its own process with the settings of a
//! real installation; when it dies it is started again at the same address.
//!
//! - here: what is started, and what stays up afterwards
//! - [`keeper`]: keeps windlass running; [`story`]: what happens; [`observe`]: where it shows

mod keeper;
mod observe;
mod story;

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};

use super::control_plane::ControlPlane;
use super::example::{self, CONFIG, PEOPLE, SOURCE};
use super::forge::Forge;
use super::installation::{Options, Windlass, install, install_definitions};
use super::process::{Folder, free_port};
use super::tools::Tools;
use crate::cli::{wait_for_signal, write_out};
use keeper::Keeper;
use story::Story;

/// `windlass demo`
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {
    /// Ends after the story; the exit code is 0 only if every step was observed
    #[arg(long)]
    exit: bool,
    /// Keeps everything in this folder and writes demo.json into it, for other programs to continue
    /// from
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// The forge's port (any free one by default)
    #[arg(long, default_value_t = 0)]
    port: u16,
}

const NAMESPACE: &str = "windlass";

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
    let forge = Forge::start(&dir.join("forge"), args.port).await?;
    let windlass = prepare(&plane, &forge, &dir.join("installation")).await?;
    let keeper = Keeper::start(windlass, described)?;
    let client = plane.client().await?;
    let story = Story {
        forge: &forge,
        client,
        windlass: &keeper.windlass,
    };
    let number = story.tell().await?;
    done(&format!("the story took {} s", started.elapsed().as_secs()));
    keeper.describe(description(&plane, &forge, &keeper)?)?;
    if args.exit {
        return Ok(());
    }
    say(&your_turn(&plane, &forge, &keeper.windlass, number));
    std::future::pending().await
}

/// What to look at and to try next, as lines to copy.
fn your_turn(plane: &ControlPlane, forge: &Forge, windlass: &Windlass, number: u64) -> String {
    let (url, ada) = (forge.url(), forge.state().token_of("ada"));
    let host = url.trim_start_matches("http://");
    let page = windlass.metrics_url.trim_end_matches("/metrics");
    let (windlass_url, token) = (&windlass.url, &windlass.events_token);
    let (kubeconfig, log) = (plane.kubeconfig().display(), windlass.log().display());
    let kubectl = plane.tools().program("kubectl");
    let kubectl = kubectl.map_or("kubectl".into(), |path| path.display().to_string());
    let digest = "3b".repeat(32);
    format!(
        r#"
Your turn. Everything stays up until you press Ctrl-C.

  merge   {url}/{CONFIG}/pull/{number}
          approve it there as bob, press Merge, and watch the comment. /help lists the commands.
  watch   {page}/
          every application in every stage, what needs somebody, and what happens
  edit    git clone http://ada:{ada}@{host}/{CONFIG}.git
          then open a pull request, or run `windlass plan` in the clone
  ship    curl -H "Authorization: Bearer {token}" {windlass_url}/events/image --json '{{"image": "ghcr.io/acme/shop", "tag": "1.2.0", "digest": "sha256:{digest}", "source": "{SOURCE}", "commit": "'$(git ls-remote http://ada:{ada}@{host}/{SOURCE}.git main | cut -f 1)'"}}'
          with a tag that begins with `broken` (and another digest) its pods crash
  break   {kubectl} --kubeconfig {kubeconfig} -n shop-production scale deployment shop --replicas=5
          windlass sets it back, and says who did it: `kubectl describe` shows the Event
  log     {log}
"#
    )
}

/// windlass, installed in the cluster, registered with the forge, and ready to be started.
async fn prepare(plane: &ControlPlane, forge: &Forge, folder: &Path) -> anyhow::Result<Windlass> {
    std::fs::create_dir_all(folder)?;
    install_definitions(plane)?;
    install(plane, NAMESPACE).await?;
    let kubeconfig = folder.join("kubeconfig");
    plane
        .service_account_kubeconfig(NAMESPACE, "windlass", &kubeconfig)
        .await?;
    example::seed(forge, &example::DEMO)?;
    let options = Options {
        preview_only: false,
        namespace: NAMESPACE,
        port: free_port()?,
        kubeconfig,
        resync: 600,
        delivery_scan: 300,
        fetch_depth: None,
        log: &std::env::var("WINDLASS_LOG").unwrap_or_else(|_| "info".into()),
        projects: example::PROJECTS,
        renderer: None,
    };
    Windlass::prepare(&std::env::current_exe()?, plane, forge, folder, &options)
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

fn say(text: &str) {
    write_out(&format!("{text}\n"));
}

fn step(text: &str) {
    say(&format!("• {text}"));
}

fn done(text: &str) {
    say(&format!("  ✓ {text}"));
}
