//! A throw-away Kubernetes control plane on loopback: etcd, kube-apiserver with
//! RBAC, kube-controller-manager, kube-scheduler and one simulated node (kwok).
//!
//! Only pods are simulated: `stages.yaml` says how they behave.
//! The servers hold a pipe from us and end at its end, so nothing is left
//! behind after a panic or `kill -9`. The flags and why each is there:
//! `docs/operations.md`, "The sandbox's control plane".
//!
//! - here: what is started in which order, and how it is reached
//! - [`programs`]: their flags; [`credentials`]: certificates, keys and kubeconfigs
//! - the Go module beside them is what the programs are built from

mod credentials;
mod programs;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client};
use serde_json::Value;

use super::process::{Folder, Server, free_port};
use super::tools::Tools;
use credentials::{admin_kubeconfig, kubeconfig_of, write_pki};

/// A running control plane; dropping it ends it and removes its folder.
pub struct ControlPlane {
    /// In the order in which they are ended: the API server before etcd, since without etcd it
    /// lingers.
    servers: Vec<Server>,
    kubeconfig: PathBuf,
    tools: Tools,
    folder: Folder,
}

const STAGES: &str = include_str!("stages.yaml");

const NODE: &str = r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"node-0","labels":{"kubernetes.io/hostname":"node-0"}},
"status":{"allocatable":{"cpu":"4000","memory":"16Ti","pods":"20000"},"capacity":{"cpu":"4000","memory":"16Ti","pods":"20000"}}}"#;

/// Names the kubeconfig of a cluster that is there already, to be used instead of a control plane
/// of our own.
pub const EXISTING: &str = "WINDLASS_SANDBOX_KUBECONFIG";

impl ControlPlane {
    /// A control plane in `folder`, or the cluster that [`EXISTING`] names: whoever sets that is
    /// its administrator, and its pods should be simulated too, since the example's images do not
    /// exist.
    pub async fn open(tools: Tools, folder: Folder) -> anyhow::Result<Self> {
        Self::open_as_one_of(1, tools, folder).await
    }

    /// The same, whose API server believes that it is one of several: it says that a definition is
    /// established only after 5 s then, as highly available control planes do
    /// (apiextensions-apiserver).
    pub async fn open_as_one_of(count: u8, tools: Tools, folder: Folder) -> anyhow::Result<Self> {
        match std::env::var_os(EXISTING).filter(|path| !path.is_empty()) {
            Some(kubeconfig) => Self::existing(tools, folder, Path::new(&kubeconfig)).await,
            None => Self::start(count, tools, folder).await,
        }
    }

    async fn existing(tools: Tools, folder: Folder, given: &Path) -> anyhow::Result<Self> {
        let dir = folder.path().join("control-plane");
        fs::create_dir_all(&dir)?;
        let kubeconfig = dir.join("kubeconfig");
        let mut plane = Self {
            servers: Vec::new(),
            kubeconfig: given.to_path_buf(),
            tools,
            folder,
        };
        // Everything inline, and only the current context.
        let flat = plane.kubectl(&[
            "config",
            "view",
            "--raw",
            "--flatten",
            "--minify",
            "--output",
            "json",
        ])?;
        let mut config: Value = serde_json::from_str(&flat)?;
        let cluster = &mut config["clusters"][0]["cluster"];
        let authority = cluster["certificate-authority-data"].take();
        let authority = authority
            .as_str()
            .with_context(|| format!("{} names no certificate authority", given.display()))?;
        let path = dir.join("ca.crt");
        fs::write(
            &path,
            base64::engine::general_purpose::STANDARD.decode(authority)?,
        )?;
        *cluster = serde_json::json!({"server": cluster["server"], "certificate-authority": path});
        fs::write(&kubeconfig, config.to_string())?;
        fs::set_permissions(&kubeconfig, fs::Permissions::from_mode(0o600))?;
        plane.kubeconfig = kubeconfig;
        let client = plane.client().await?;
        plane.wait_for(&client, "/readyz").await?;
        Ok(plane)
    }

    /// Starts one in `folder`; ready when this returns (measured: 3 to 4 s on 2 cores).
    async fn start(count: u8, tools: Tools, folder: Folder) -> anyhow::Result<Self> {
        let dir = folder.path().join("control-plane");
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir)?;
        let (etcd_port, port) = (free_port()?, free_port()?);
        write_pki(&dir)?;
        let kubeconfig = dir.join("kubeconfig");
        fs::write(&kubeconfig, admin_kubeconfig(&dir, port))?;
        fs::write(dir.join("stages.yaml"), STAGES)?;
        let mut plane = Self {
            servers: Vec::new(),
            kubeconfig,
            tools,
            folder,
        };
        let etcd = format!("http://127.0.0.1:{etcd_port}");
        plane.spawn(&dir, "etcd", &programs::etcd(&dir, &etcd))?;
        let api_server = programs::api_server(&dir, &etcd, port, count);
        plane.spawn(&dir, "kube-apiserver", &api_server)?;
        let client = plane.client().await?;
        plane.wait_for(&client, "/readyz").await?;
        let config = plane.kubeconfig.display().to_string();
        let controllers = programs::controller_manager(&dir, &config);
        plane.spawn(&dir, "kube-controller-manager", &controllers)?;
        plane.spawn(&dir, "kube-scheduler", &programs::scheduler(&config))?;
        plane.spawn(&dir, "kwok", &programs::kwok(&dir, &config))?;
        let request = http::Request::post("/api/v1/nodes")
            .header("Content-Type", "application/json")
            .body(NODE.as_bytes().to_vec())?;
        client
            .request_text(request)
            .await
            .context("cannot create the simulated node")?;
        plane
            .wait_for(
                &client,
                "/api/v1/namespaces/default/serviceaccounts/default",
            )
            .await?;
        Ok(plane)
    }

    fn spawn(&mut self, dir: &Path, program: &str, arguments: &[String]) -> anyhow::Result<()> {
        let mut command = Command::new(self.tools.program(program)?);
        command
            .args(arguments)
            .env_clear()
            .env("HOME", dir)
            .current_dir(dir);
        let server = Server::start(&mut command, &dir.join(format!("{program}.log")))?;
        self.servers.insert(0, server);
        Ok(())
    }

    async fn wait_for(&mut self, client: &Client, path: &str) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            let request = http::Request::get(path).body(Vec::new())?;
            if let Ok(Ok(_)) =
                tokio::time::timeout(Duration::from_secs(2), client.request_text(request)).await
            {
                return Ok(());
            }
            if self.servers.iter_mut().any(Server::ended)
                || started.elapsed() > Duration::from_secs(90)
            {
                bail!(
                    "the control plane did not come up ({path}): see the logs in {}",
                    self.folder.path().join("control-plane").display()
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A client of the administrator's.
    pub async fn client(&self) -> anyhow::Result<Client> {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig)?;
        let config =
            kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Ok(Client::try_from(config)?)
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs `kubectl` as the administrator; what it printed, or an error with it.
    pub fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(self.tools.program("kubectl")?)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments)
            .output()?;
        if !output.status.success() {
            bail!(
                "kubectl {}: {}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Writes a kubeconfig that authenticates as a service account, by a token for a day.
    pub async fn service_account_kubeconfig(
        &self,
        namespace: &str,
        name: &str,
        path: &Path,
    ) -> anyhow::Result<()> {
        let request = serde_json::from_value(serde_json::json!({
            "spec": {"audiences": [], "expirationSeconds": 24 * 60 * 60},
        }))?;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, namespace);
        let made = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .with_context(|| format!("cannot make a token for {namespace}/{name}"))?;
        let token = made
            .status
            .context("a token request is answered by a token")?
            .token;
        let (server, authority) = self.server()?;
        Ok(fs::write(
            path,
            kubeconfig_of(&server, &authority, &format!("token: {token}")),
        )?)
    }

    /// The API server's address and the authority that signed its certificate.
    pub fn server(&self) -> anyhow::Result<(String, PathBuf)> {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig)?;
        let cluster = kubeconfig
            .clusters
            .first()
            .and_then(|cluster| cluster.cluster.clone())
            .context("our kubeconfig has a cluster")?;
        Ok((
            cluster.server.context("it has an address")?,
            cluster
                .certificate_authority
                .context("it has an authority")?
                .into(),
        ))
    }
}
