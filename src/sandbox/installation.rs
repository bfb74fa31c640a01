//! windlass installed in a sandbox as it is for real: the definitions and roles
//! that `deploy/` ships, a service account's token, and `windlass serve` as a
//! child process with flags that anybody could give.

use std::fs;
use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use kube::ResourceExt as _;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::Value;

use super::control_plane::ControlPlane;
use super::forge::Forge;
use super::forge::state::random_hex;
use super::process::{Server, free_port};

const RBAC: &str = include_str!("../../deploy/rbac.yaml");
const PREVIEW_ONLY_RBAC: &str = include_str!("../../deploy/components/preview-only/rbac.yaml");
/// What the App is registered with.
pub const APP_MANIFEST: &str = include_str!("../../deploy/github-app.json");
const PREVIEW_ONLY_APP: &str = include_str!("../../deploy/github-app-preview-only.json");

/// Rights for the custom kind of the example's platform application: what a user adds for kinds of
/// their own.
const MORE_KINDS: &str = "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: windlass-acme-kinds\n  labels:\n    windlass.dev/aggregate-to-windlass: \"true\"\nrules:\n  - apiGroups: [acme.example]\n    resources: [backupplans]\n    verbs: [get, list, watch, create, patch, delete]\n";

/// What is there once for a control plane: definitions and cluster roles.
pub fn install_definitions(plane: &ControlPlane) -> anyhow::Result<()> {
    let (shared, _) = documents();
    // One policy for all the installations of a control plane.
    let one = "request.userInfo.username == 'system:serviceaccount:windlass:windlass-preview'";
    let shared = shared
        .replace(
            one,
            "request.userInfo.username.endsWith(':windlass-preview')",
        )
        // Beside the one that is applied as it is shipped.
        .replace(
            "windlass-previews-only-look",
            "windlass-sandbox-previews-only-look",
        );
    apply(
        plane,
        "definitions",
        &(crate::cluster::store::definitions() + &shared + MORE_KINDS),
    )?;
    plane.kubectl(&[
        "wait",
        "--for=condition=Established",
        "crd/applications.windlass.dev",
        "crd/promotions.windlass.dev",
        "crd/freezes.windlass.dev",
        "--timeout=60s",
    ])?;
    Ok(())
}

/// Namespace, service account and bindings, for a windlass whose own namespace is `namespace`.
pub async fn install(plane: &ControlPlane, namespace: &str) -> anyhow::Result<()> {
    let (_, own) = documents();
    install_from(plane, namespace, &own).await
}

/// The same for a windlass that only previews.
pub async fn install_preview_only(plane: &ControlPlane, namespace: &str) -> anyhow::Result<()> {
    let account = "---\napiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: windlass\n  namespace: windlass\n---\n";
    install_from(plane, namespace, &format!("{account}{PREVIEW_ONLY_RBAC}")).await
}

async fn install_from(plane: &ControlPlane, namespace: &str, own: &str) -> anyhow::Result<()> {
    let own = own
        .replace(
            "namespace: windlass\n",
            &format!("namespace: {namespace}\n"),
        )
        // A binding of the same name would belong to another windlass of this control plane.
        .replace(
            "kind: ClusterRoleBinding\nmetadata:\n  name: windlass",
            &format!("kind: ClusterRoleBinding\nmetadata:\n  name: {namespace}"),
        );
    let namespace = format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {namespace}\n");
    let client = plane.client().await?;
    // Without kubectl, which takes a second of a processor: the stories do this some three hundred
    // times.
    for document in std::iter::once(namespace.as_str()).chain(own.split("---\n")) {
        let object: Option<DynamicObject> = serde_yaml::from_str(document)?;
        let Some(object) = object else { continue };
        let types = object.types.clone().context("it has a kind")?;
        let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(&types)?);
        let api: Api<DynamicObject> = match object.namespace() {
            Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let parameters = PatchParams::apply("sandbox").force();
        api.patch(&object.name_any(), &parameters, &Patch::Apply(&object))
            .await
            .with_context(|| format!("cannot install {} {}", types.kind, object.name_any()))?;
    }
    Ok(())
}

/// The documents of `deploy/rbac.yaml`: cluster roles, and the rest.
fn documents() -> (String, String) {
    let shared = |document: &&str| {
        document.contains("\nkind: ClusterRole\n")
            || document.contains("\nkind: ValidatingAdmissionPolicy")
    };
    let (roles, rest): (Vec<_>, Vec<_>) = RBAC.split("---\n").partition(shared);
    let stream = |documents: Vec<&str>| {
        documents
            .iter()
            .map(|document| format!("---\n{document}"))
            .collect::<String>()
    };
    (stream(roles), stream(rest))
}

fn apply(plane: &ControlPlane, name: &str, manifests: &str) -> anyhow::Result<()> {
    let file = plane.folder().join(format!("{name}.yaml"));
    fs::write(&file, manifests)?;
    plane
        .kubectl(&[
            "apply",
            "--server-side",
            "--force-conflicts",
            "-f",
            &file.display().to_string(),
        ])
        .map(drop)
}

/// How a windlass of the sandbox is started, again and again at the same address.
pub struct Windlass {
    program: PathBuf,
    arguments: Vec<String>,
    /// The authorities that it trusts. The system's would be read for each fetch: a tenth of the
    /// stories' time.
    authorities: PathBuf,
    /// Variables besides PATH.
    pub environment: Vec<(&'static str, String)>,
    log: PathBuf,
    pub url: String,
    pub metrics_url: String,
    pub events_token: String,
}

/// What differs between installations.
pub struct Options<'a> {
    pub namespace: &'a str,
    pub port: u16,
    /// The kubeconfig that it uses.
    pub kubeconfig: PathBuf,
    pub resync: u64,
    pub delivery_scan: u64,
    /// Commits of a branch that are fetched at first, if not the default.
    pub fetch_depth: Option<NonZeroU32>,
    pub log: &'a str,
    /// The socket of a renderer that runs elsewhere.
    pub renderer: Option<PathBuf>,
    /// The text of the projects file.
    pub projects: &'a str,
    /// It only previews, and gets no webhooks.
    pub preview_only: bool,
}

impl Windlass {
    /// Registers the App with the forge and writes the files that the settings name. `program`: the
    /// windlass to run.
    pub fn prepare(
        program: &Path,
        plane: &ControlPlane,
        forge: &Forge,
        folder: &Path,
        options: &Options<'_>,
    ) -> anyhow::Result<Self> {
        let url = format!("http://127.0.0.1:{}", options.port);
        let metrics_port = free_port()?;
        let webhook = (!options.preview_only).then(|| format!("{url}/webhook"));
        let app = register(forge, webhook)?;
        let events_token = random_hex(32);
        fs::write(folder.join("projects.yaml"), options.projects)?;
        for (name, content) in [
            ("private-key.pem", &app.private_key),
            ("webhook-secret", &app.webhook_secret),
            ("events-token", &events_token),
        ] {
            let path = folder.join(name);
            fs::write(&path, content)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        }
        let settings = settings(plane, forge, folder, options, app.id, metrics_port)?;
        let mut more = Vec::new();
        if let Some(socket) = &options.renderer {
            more.extend(["--renderer".to_string(), socket.display().to_string()]);
        }
        if options.preview_only {
            more.push("--preview-only".into());
        }
        let arguments = std::iter::once("serve".to_string())
            .chain(
                settings
                    .into_iter()
                    .flat_map(|(flag, value)| [flag.to_string(), value]),
            )
            .chain(more)
            .collect();
        Ok(Self {
            program: program.into(),
            arguments,
            authorities: plane.server()?.1,
            environment: Vec::new(),
            log: folder.join("windlass.log"),
            metrics_url: format!("http://127.0.0.1:{metrics_port}/metrics"),
            url,
            events_token,
        })
    }

    /// Another replica with the same settings, but for its name, its addresses, its cache and its
    /// log.
    pub fn replica(&self, identity: &str, folder: &Path) -> anyhow::Result<Self> {
        let (port, metrics_port) = (free_port()?, free_port()?);
        let own = [
            ("--identity", identity.to_string()),
            ("--listen", format!("127.0.0.1:{port}")),
            ("--metrics-listen", format!("127.0.0.1:{metrics_port}")),
            ("--cache", folder.join("cache").display().to_string()),
        ];
        let mut arguments = self.arguments.clone();
        for (flag, value) in own {
            let at = arguments.iter().position(|argument| argument == flag);
            arguments[at.context("a flag of windlass serve")? + 1] = value;
        }
        Ok(Self {
            program: self.program.clone(),
            arguments,
            authorities: self.authorities.clone(),
            environment: self.environment.clone(),
            log: folder.join("windlass.log"),
            metrics_url: format!("http://127.0.0.1:{metrics_port}/metrics"),
            url: format!("http://127.0.0.1:{port}"),
            events_token: self.events_token.clone(),
        })
    }

    /// Starts it; its log goes on where the one before it ended.
    pub fn start(&self) -> anyhow::Result<Server> {
        let mut command = Command::new(&self.program);
        // As bare an environment as a container's.
        command
            .args(&self.arguments)
            .env_clear()
            .env("SSL_CERT_FILE", &self.authorities)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        Server::start(&mut command, &self.log).context("cannot start windlass")
    }

    /// The arguments of `windlass serve`, for another command with the same settings.
    pub fn settings(&self) -> &[String] {
        &self.arguments[1..]
    }

    pub fn log(&self) -> &Path {
        &self.log
    }
}

/// What the App of a windlass is known by.
struct Registered {
    id: u64,
    private_key: String,
    webhook_secret: String,
}

/// Registers the App of a windlass. `webhook`: its address; None: it only previews.
fn register(forge: &Forge, webhook: Option<String>) -> anyhow::Result<Registered> {
    let manifest = match webhook {
        Some(_) => APP_MANIFEST,
        None => PREVIEW_ONLY_APP,
    };
    let manifest: Value = serde_json::from_str(manifest)?;
    let mut state = forge.state();
    state.register_app(&manifest)?;
    state.app.webhook_url = webhook;
    Ok(Registered {
        id: state.app.id,
        private_key: state.app.private_key.clone(),
        webhook_secret: state.app.webhook_secret.clone(),
    })
}

/// The flags that `windlass serve` is started with.
fn settings(
    plane: &ControlPlane,
    forge: &Forge,
    folder: &Path,
    options: &Options<'_>,
    app_id: u64,
    metrics_port: u16,
) -> anyhow::Result<Vec<(&'static str, String)>> {
    let file = |name: &str| folder.join(name).display().to_string();
    let kustomize = plane.tools().program("kustomize")?.display().to_string();
    let helm = plane.tools().program("helm")?.display().to_string();
    let warm_renderer = plane.tools().program("windlass-renderer")?;
    let mut settings = vec![
        ("--github-app-id", app_id.to_string()),
        ("--github-private-key-file", file("private-key.pem")),
        ("--github-webhook-secret-file", file("webhook-secret")),
        ("--github-api-url", forge.api_url()),
        ("--events-token-file", file("events-token")),
        (
            "--events-audience",
            format!("http://127.0.0.1:{}", options.port),
        ),
        ("--kubeconfig", options.kubeconfig.display().to_string()),
        ("--namespace", options.namespace.into()),
        ("--projects", file("projects.yaml")),
        (
            "--preview-account",
            format!("{}/windlass-preview", options.namespace),
        ),
        ("--listen", format!("127.0.0.1:{}", options.port)),
        ("--metrics-listen", format!("127.0.0.1:{metrics_port}")),
        ("--cache", file("cache")),
        ("--kustomize", kustomize),
        ("--helm", helm),
        ("--warm-renderer", warm_renderer.display().to_string()),
        ("--identity", "windlass".into()),
        ("--resync", options.resync.to_string()),
        ("--delivery-scan", options.delivery_scan.to_string()),
        ("--log", options.log.into()),
    ];
    if options.preview_only {
        let full = [
            "--github-webhook-secret-file",
            "--events-token-file",
            "--preview-account",
        ];
        settings.retain(|(flag, _)| !full.contains(flag));
    }
    let depth = options.fetch_depth.map(|depth| depth.to_string());
    settings.extend(depth.map(|depth| ("--fetch-depth", depth)));
    Ok(settings)
}
