//! Certificates, keys and kubeconfigs of a control plane.

use std::fs;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

const CONTEXT: &str = "contexts: [{name: sandbox, context: {cluster: sandbox, user: admin}}]\ncurrent-context: sandbox\n";

pub(super) fn admin_kubeconfig(dir: &Path, port: u16) -> String {
    let user = format!(
        "client-certificate: {0}/admin.crt, client-key: {0}/admin.key",
        dir.display()
    );
    kubeconfig_of(
        &format!("https://127.0.0.1:{port}"),
        &dir.join("ca.crt"),
        &user,
    )
}

pub(super) fn kubeconfig_of(server: &str, authority: &Path, user: &str) -> String {
    let authority = authority.display();
    format!(
        "apiVersion: v1\nkind: Config\nclusters: [{{name: sandbox, cluster: {{server: \"{server}\", certificate-authority: {authority}}}}}]\n\
         users: [{{name: admin, user: {{{user}}}}}]\n{CONTEXT}"
    )
}

/// Our own authority, the server's certificate, the administrator's, and the key of service account
/// tokens.
pub(super) fn write_pki(dir: &Path) -> anyhow::Result<()> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::default();
    ca.distinguished_name.push(DnType::CommonName, "sandbox");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    fs::write(dir.join("ca.crt"), ca.self_signed(&ca_key)?.pem())?;
    let issuer = Issuer::new(ca, ca_key);
    let sign = |name: &str,
                common: &str,
                organisation: Option<&str>,
                hosts: &[&str]|
     -> anyhow::Result<()> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(
            hosts
                .iter()
                .map(|host| host.to_string())
                .collect::<Vec<_>>(),
        )?;
        params.distinguished_name.push(DnType::CommonName, common);
        if let Some(organisation) = organisation {
            params
                .distinguished_name
                .push(DnType::OrganizationName, organisation);
        }
        fs::write(
            dir.join(format!("{name}.crt")),
            params.signed_by(&key, &issuer)?.pem(),
        )?;
        Ok(fs::write(
            dir.join(format!("{name}.key")),
            key.serialize_pem(),
        )?)
    };
    sign(
        "server",
        "kube-apiserver",
        None,
        &[
            "localhost",
            "127.0.0.1",
            "10.0.0.1",
            "kubernetes.default.svc",
        ],
    )?;
    sign("admin", "admin", Some("system:masters"), &[])?;
    let service_accounts = KeyPair::generate()?;
    fs::write(dir.join("sa.key"), service_accounts.serialize_pem())?;
    Ok(fs::write(
        dir.join("sa.pub"),
        service_accounts.public_key_pem(),
    )?)
}
