//! The network of a company: servers whose certificates a private authority signed, and a proxy
//! that is the only way to them. Their names are in no DNS, so nothing gets there past the proxy.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

pub const GITHUB: &str = "github.corp.test";
pub const REGISTRY: &str = "registry.corp.test";
/// The proxy's password; it may be seen nowhere.
pub const PASSWORD: &str = "hidden-from-everybody";

pub struct Corporate {
    /// The authority's certificate.
    pub ca_file: PathBuf,
    /// By name: what NO_PROXY says of addresses is not about the proxy itself.
    pub proxy: String,
    acceptor: TlsAcceptor,
    shared: Arc<Shared>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    /// `host:443` → where that is.
    places: Mutex<HashMap<String, SocketAddr>>,
    /// What was connected to.
    connected: Mutex<Vec<String>>,
    /// The status that the proxy answers everything by.
    refuses_by: Mutex<Option<u16>>,
}

impl Corporate {
    pub async fn start(folder: &Path) -> Self {
        let mut about = CertificateParams::new([]).unwrap();
        about.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(about, KeyPair::generate().unwrap()).unwrap();
        let ca_file = folder.join("corporate-ca.pem");
        std::fs::write(&ca_file, authority.pem()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = [GITHUB, REGISTRY].map(String::from);
        let certificate = CertificateParams::new(names).unwrap();
        let certificate = certificate.signed_by(&key, &authority).unwrap();
        let tls = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (proxy, shared) = (format!("localhost:{port}"), Arc::<Shared>::default());
        let served = each(listener, {
            let shared = shared.clone();
            move |client| connect(client, shared.clone())
        });
        Self {
            ca_file,
            proxy,
            acceptor: TlsAcceptor::from(Arc::new(tls)),
            shared,
            tasks: Mutex::new(vec![served]),
        }
    }

    /// Puts a server of plain HTTP behind TLS, at `https://HOST`.
    pub async fn serve(&self, host: &str, plain: String) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let place = listener.local_addr().unwrap();
        let mut places = self.shared.places.lock().unwrap();
        places.insert(format!("{host}:443"), place);
        let acceptor = self.acceptor.clone();
        let served = each(listener, move |client| {
            terminate(client, acceptor.clone(), plain.clone())
        });
        self.tasks.lock().unwrap().push(served);
    }

    /// The variables of a program in this network.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let proxy = format!("http://windlass:{PASSWORD}@{}", self.proxy);
        vec![
            ("HTTPS_PROXY", proxy),
            ("NO_PROXY", "127.0.0.1".into()),
            ("WINDLASS_CA_FILE", self.ca_file.display().to_string()),
        ]
    }

    /// What was connected to through the proxy since the last call.
    pub fn connected(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.connected.lock().unwrap())
    }

    /// The proxy answers everything by this status.
    pub fn refuse_by(&self, status: u16) {
        *self.shared.refuses_by.lock().unwrap() = Some(status);
    }
}

impl Drop for Corporate {
    fn drop(&mut self) {
        self.tasks
            .lock()
            .unwrap()
            .iter()
            .for_each(JoinHandle::abort);
    }
}

fn each<F>(listener: TcpListener, serve: impl Fn(TcpStream) -> F + Send + 'static) -> JoinHandle<()>
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(serve(client));
        }
    })
}

async fn terminate(client: TcpStream, acceptor: TlsAcceptor, plain: String) -> std::io::Result<()> {
    let mut client = acceptor.accept(client).await?;
    let mut server = TcpStream::connect(plain).await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

/// CONNECT and nothing else (RFC 9110, section 9.3.6), for who has the password.
async fn connect(mut client: TcpStream, shared: Arc<Shared>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.split(' ').nth(1).unwrap_or_default().to_string();
    let basic = BASE64.encode(format!("windlass:{PASSWORD}"));
    let is_known = head.lines().any(|line| {
        let (name, value) = line.split_once(": ").unwrap_or_default();
        name.eq_ignore_ascii_case("proxy-authorization") && value == format!("Basic {basic}")
    });
    let place = shared.places.lock().unwrap().get(&target).copied();
    let refused = *shared.refuses_by.lock().unwrap();
    let status = match (refused, place) {
        (Some(status), _) => status,
        _ if !head.starts_with("CONNECT ") => 405,
        _ if !is_known => 407,
        (_, None) => 502,
        (_, Some(_)) => 200,
    };
    let answer = format!("HTTP/1.1 {status} .\r\n\r\n");
    client.write_all(answer.as_bytes()).await?;
    let Some(place) = place.filter(|_| status == 200) else {
        return Ok(());
    };
    shared.connected.lock().unwrap().push(target);
    let mut server = TcpStream::connect(place).await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}
