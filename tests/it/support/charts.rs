//! A chart repository and an OCI registry, at one address: what is published, and nothing else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use sha2::{Digest as _, Sha256};

use super::World;

/// Path → content.
type Files = Arc<Mutex<BTreeMap<String, Bytes>>>;

pub struct Charts {
    files: Files,
    /// `127.0.0.1:PORT`.
    pub address: String,
    server: tokio::task::JoinHandle<()>,
}

impl Charts {
    pub async fn start() -> Self {
        let files = Files::default();
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await;
        let listener = listener.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let app = Router::new().fallback(file).with_state(files.clone());
        let server = tokio::spawn(async move { drop(axum::serve(listener, app).await) });
        Self {
            files,
            address,
            server,
        }
    }

    /// Lets a windlass that is yet to start fetch from here.
    pub fn allow(&self, world: &mut World) {
        let file = world.cache().with_extension("sources.yaml");
        let Self { address, .. } = self;
        let sources =
            format!("sources:\n- url: http://{address}/charts\n- url: oci://{address}/acme\n");
        std::fs::write(&file, sources).expect("a file");
        let file = file.display().to_string();
        world.windlass.environment.push(("WINDLASS_SOURCES", file));
    }

    /// A version of a chart, in both.
    pub fn publish(&self, name: &str, version: &str, template: &str) {
        let archive = packed(name, version, template);
        let digest = hex::encode(Sha256::digest(&archive));
        let manifest = format!(
            r#"{{"schemaVersion": 2, "layers": [{{"mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip", "digest": "sha256:{digest}", "size": {}}}]}}"#,
            archive.len()
        );
        let entry = format!(
            "  - version: {version}\n    digest: {digest}\n    urls:\n    - {name}-{version}.tgz\n"
        );
        let mut files = self.files.lock().unwrap();
        let index = files.entry("/charts/index.yaml".into()).or_default();
        let text = String::from_utf8_lossy(index).into_owned();
        let (head, key) = ("apiVersion: v1\nentries:\n", format!("  {name}:\n"));
        let text = text.replace(head, "").replace(&key, "");
        *index = format!("{head}{key}{entry}{text}").into();
        let oci = format!("/v2/acme/{name}");
        files.insert(format!("{oci}/manifests/{version}"), manifest.into());
        files.insert(format!("{oci}/blobs/sha256:{digest}"), archive.clone());
        files.insert(format!("/charts/{name}-{version}.tgz"), archive);
    }
}

impl Drop for Charts {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn file(State(files): State<Files>, uri: Uri) -> Result<Bytes, StatusCode> {
    let found = files.lock().unwrap().get(uri.path()).cloned();
    found.ok_or(StatusCode::NOT_FOUND)
}

fn packed(name: &str, version: &str, template: &str) -> Bytes {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut builder = tar::Builder::new(gzip);
    let about = format!("apiVersion: v2\nname: {name}\nversion: {version}\n");
    for (path, content) in [
        ("Chart.yaml", about.as_str()),
        ("values.yaml", "greeting: from the chart\n"),
        ("templates/config.yaml", template),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        let path = format!("{name}/{path}");
        let added = builder.append_data(&mut header, path, content.as_bytes());
        added.expect("an entry");
    }
    let gzip = builder.into_inner().expect("an archive");
    gzip.finish().expect("an archive").into()
}
