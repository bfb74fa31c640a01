//! A real admission webhook: an HTTPS server that the API server calls, with a
//! certificate of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::{Json, State};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{World, plane};

/// What it answers to a review's request: allowed with a JSON patch, or refused with words.
pub type Answer = dyn Fn(&Value) -> Result<Value, String> + Send + Sync;

pub struct Webhook {
    url: String,
    authority: String,
    asked: Arc<AtomicUsize>,
    server: tokio::task::JoinHandle<()>,
}

struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for Tls {
    type Io = tokio_rustls::server::TlsStream<TcpStream>;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            if let Ok((stream, address)) = self.listener.accept().await
                && let Ok(stream) = self.acceptor.accept(stream).await
            {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

type Shared = (Arc<Answer>, Arc<AtomicUsize>);

async fn review(State((answer, asked)): State<Shared>, Json(review): Json<Value>) -> Json<Value> {
    asked.fetch_add(1, Ordering::SeqCst);
    let request = &review["request"];
    let mut response = match answer(request) {
        Ok(patch) if patch.as_array().is_none_or(Vec::is_empty) => json!({"allowed": true}),
        Ok(patch) => {
            json!({"allowed": true, "patchType": "JSONPatch", "patch": BASE64.encode(patch.to_string())})
        }
        Err(words) => json!({"allowed": false, "status": {"message": words, "code": 400}}),
    };
    response["uid"] = request["uid"].clone();
    Json(
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}),
    )
}

impl Webhook {
    pub async fn start(
        answer: impl Fn(&Value) -> Result<Value, String> + Send + Sync + 'static,
    ) -> Self {
        let made =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_string(), "localhost".to_string()])
                .unwrap();
        let chain = vec![CertificateDer::from(made.cert.der().to_vec())];
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let shared: Shared = (Arc::new(answer), asked.clone());
        let app = Router::new().route("/", post(review)).with_state(shared);
        let tls = Tls {
            listener,
            acceptor: TlsAcceptor::from(Arc::new(config)),
        };
        let server = tokio::spawn(async move { drop(axum::serve(tls, app).await) });
        Self {
            url,
            authority: BASE64.encode(made.cert.pem()),
            asked,
            server,
        }
    }

    /// How often it was called.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// The configuration that has the API server call it for one resource in one namespace.
    pub fn configuration(
        &self,
        kind: &str,
        name: &str,
        namespace: &str,
        group: &str,
        resource: &str,
    ) -> Value {
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "webhooks": [{
            "name": "lab.example.com", "clientConfig": {"url": self.url, "caBundle": self.authority}, "sideEffects": "None",
            "failurePolicy": "Fail", "timeoutSeconds": 5, "admissionReviewVersions": ["v1"],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "rules": [{"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": [resource]}]}]})
    }
}

/// A webhook's configuration, until the story ends: it must not be in anybody else's way.
pub struct Installed {
    kind: &'static str,
    name: String,
}

impl Installed {
    pub fn remove(&self) {
        let _ = plane().kubectl(&["delete", self.kind, &self.name]);
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        self.remove();
    }
}

impl Webhook {
    /// Installs it, and waits until the API server calls it, which takes a while. `probe`: a request
    /// that it is called for.
    pub async fn install(
        &self,
        world: &World,
        kind: &'static str,
        (namespace, group, resource): (&str, &str, &str),
        probe: impl Fn(usize),
    ) -> Installed {
        let name = format!("{}{resource}", world.prefix);
        let configuration = self.configuration(kind, &name, namespace, group, resource);
        world.with_file(&["create"], &configuration.to_string());
        let before = self.asked();
        world
            .until("the webhook is called", async || {
                probe(self.asked());
                (self.asked() > before).then_some(())
            })
            .await;
        Installed { kind, name }
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.server.abort();
    }
}
