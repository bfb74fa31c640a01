//! The flags of the control plane's programs.

use std::path::Path;

fn path(dir: &Path, name: &str) -> String {
    dir.join(name).display().to_string()
}

fn owned(flags: &[&str]) -> Vec<String> {
    flags.iter().map(|flag| flag.to_string()).collect()
}

/// `url`: where it listens.
pub(super) fn etcd(dir: &Path, url: &str) -> Vec<String> {
    owned(&[
        "--data-dir",
        &path(dir, "etcd"),
        "--listen-client-urls",
        url,
        "--advertise-client-urls",
        url,
        "--listen-peer-urls",
        "http://127.0.0.1:0",
        "--unsafe-no-fsync",
        "--log-level",
        "error",
    ])
}

/// `etcd`: its address; `count`: of how many API servers it believes itself to be one.
pub(super) fn api_server(dir: &Path, etcd: &str, port: u16, count: u8) -> Vec<String> {
    owned(&[
        "--etcd-servers",
        etcd,
        "--secure-port",
        &port.to_string(),
        "--bind-address",
        "127.0.0.1",
        "--advertise-address",
        "127.0.0.1",
        "--endpoint-reconciler-type",
        "none",
        "--apiserver-count",
        &count.to_string(),
        "--service-cluster-ip-range",
        "10.0.0.0/20",
        "--tls-cert-file",
        &path(dir, "server.crt"),
        "--tls-private-key-file",
        &path(dir, "server.key"),
        "--client-ca-file",
        &path(dir, "ca.crt"),
        "--service-account-issuer",
        "https://localhost",
        "--service-account-key-file",
        &path(dir, "sa.pub"),
        "--service-account-signing-key-file",
        &path(dir, "sa.key"),
        "--authorization-mode",
        "RBAC,Node",
        "--allow-privileged",
        // Nobody removes the not-ready taint while the node-lifecycle controller is off (below).
        "--disable-admission-plugins",
        "TaintNodesByCondition",
    ])
}

pub(super) fn scheduler(kubeconfig: &str) -> Vec<String> {
    // The controller-manager's own limit of 20 requests a second would dominate every rollout.
    owned(&[
        "--kubeconfig",
        kubeconfig,
        "--leader-elect=false",
        "--secure-port",
        "0",
        "--kube-api-qps",
        "500",
        "--kube-api-burst",
        "1000",
    ])
}

pub(super) fn controller_manager(dir: &Path, kubeconfig: &str) -> Vec<String> {
    let mut flags = scheduler(kubeconfig);
    flags.extend(owned(&[
        "--service-account-private-key-file",
        &path(dir, "sa.key"),
        "--root-ca-file",
        &path(dir, "ca.crt"),
        "--use-service-account-credentials",
        // A simulated node sends no heart-beats: it would be marked as gone after 40 s.
        "--controllers=*,-node-lifecycle-controller",
    ]));
    flags
}

pub(super) fn kwok(dir: &Path, kubeconfig: &str) -> Vec<String> {
    owned(&[
        "--kubeconfig",
        kubeconfig,
        "--manage-all-nodes=true",
        "--config",
        &path(dir, "stages.yaml"),
    ])
}
