//! The example organisation: a config repository of the size that a real team
//! has, a source repository, and people.

use super::forge::Forge;
use super::forge::state::{Role, UserKind};

pub const CONFIG: &str = "acme/config";
pub const SOURCE: &str = "acme/shop";
pub const PEOPLE: [(&str, Role); 4] = [
    ("ada", Role::Admin),
    ("mia", Role::Maintain),
    ("bob", Role::Write),
    ("rita", Role::Read),
];

/// What differs between the demo and the many worlds of the tests.
pub struct Example<'a> {
    /// Before every namespace's name: worlds on one control plane do not meet.
    pub prefix: &'a str,
    /// The applications besides shop.
    pub others: &'a [&'a str],
    pub platform: bool,
}

/// The demo's: several more applications.
pub const DEMO: Example<'_> = Example {
    prefix: "",
    others: &["catalog", "checkout", "emails", "payments", "search"],
    platform: true,
};

/// What the config repository may do: go where the patterns of its `windlass.yaml` lead, and bring
/// definitions.
pub const PROJECTS: &str = "projects:
  acme:
    repositories: [acme/config]
    clusters: [local]
    namespaces: ['*-staging', '*-production']
    kinds: [CustomResourceDefinition.apiextensions.k8s.io]
";

/// Makes both repositories and the people on a forge.
pub fn seed(forge: &Forge, example: &Example<'_>) -> anyhow::Result<()> {
    {
        let mut state = forge.state();
        for (login, _) in PEOPLE {
            state.add_user(login, UserKind::User);
        }
    }
    forge.create_repository(CONFIG, &config_files(example))?;
    forge.create_repository(
        SOURCE,
        &[
            ("README.md".into(), "# shop\n".into()),
            ("main.go".into(), "package main\n".into()),
        ],
    )?;
    let mut state = forge.state();
    for repo in &mut state.repositories {
        repo.roles.extend(
            PEOPLE
                .iter()
                .map(|(login, role)| (login.to_string(), *role)),
        );
    }
    Ok(())
}

/// Every file of the config repository.
pub fn config_files(example: &Example<'_>) -> Vec<(String, String)> {
    let mut files = vec![
        ("windlass.yaml".to_string(), windlass_yaml(example)),
        ("README.md".to_string(), "# What runs where\n".to_string()),
    ];
    for application in std::iter::once(&"shop").chain(example.others) {
        let base = format!("apps/{application}/base");
        files.push((format!("{base}/kustomization.yaml"), format!("resources:\n  - deployment.yaml\n  - service.yaml\nlabels:\n  - includeSelectors: true\n    pairs:\n      app.kubernetes.io/name: {application}\n")));
        files.push((format!("{base}/deployment.yaml"), deployment(application)));
        files.push((
            format!("{base}/service.yaml"),
            format!(
                "apiVersion: v1\nkind: Service\nmetadata:\n  name: {application}\nspec:\n  ports:\n    - port: 80\n      targetPort: http\n"
            ),
        ));
        for stage in ["staging", "production"] {
            files.extend(overlay(example, application, stage));
        }
    }
    if example.platform {
        files.extend(platform(example));
    }
    files
}

pub fn windlass_yaml(example: &Example<'_>) -> String {
    let prefix = example.prefix;
    let platform = match example.platform {
        true => format!(
            "  - name: platform\n    path: platform/{{stage}}\n    namespace: {prefix}platform-{{stage}}\n"
        ),
        false => String::new(),
    };
    format!(
        "version: 1
stages:                                # in order, shared by all applications
  staging:
    cluster: local
    merge: auto                        # windlass merges its own image pull requests here without a review
  production:
    cluster: local
    after: [staging]                   # proposed once staging is healthy with the same digest
    gates: {{ approvals: 1 }}
applications:
  - path: apps/{{application}}/{{stage}}
    namespace: \"{prefix}{{application}}-{{stage}}\"
    images:
      ghcr.io/acme/{{application}}: {{ source: acme/{{application}} }}   # whose CI may announce it
{platform}"
    )
}

/// The digest that everything runs before the story begins.
pub fn first_digest() -> String {
    format!("sha256:{}", "10".repeat(32))
}

fn deployment(application: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata:
  name: {application}
spec:
  replicas: 2
  selector: {{}}
  template:
    spec:
      containers:
        - name: {application}
          image: ghcr.io/acme/{application}
          ports:
            - name: http
              containerPort: 8080
          envFrom:
            - configMapRef:
                name: {application}
          resources:
            requests: {{ cpu: 50m, memory: 64Mi }}
"
    )
}

fn overlay(example: &Example<'_>, application: &str, stage: &str) -> Vec<(String, String)> {
    let folder = format!("apps/{application}/{stage}");
    let namespace = format!("{}{application}-{stage}", example.prefix);
    let shop = application == "shop";
    let mut resources = vec!["../base", "namespace.yaml", "config.yaml"];
    if shop {
        resources.push("secret.yaml");
    }
    let listed: String = resources
        .iter()
        .map(|resource| format!("  - {resource}\n"))
        .collect();
    let digest = first_digest();
    let mut files = vec![
        (
            format!("{folder}/kustomization.yaml"),
            format!(
                "namespace: {namespace}\nresources:\n{listed}images:\n  # moved by windlass\n  - name: ghcr.io/acme/{application}\n    newTag: \"1.0.0\"\n    digest: {digest}\n"
            ),
        ),
        (
            format!("{folder}/namespace.yaml"),
            format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {namespace}\n"),
        ),
        (
            format!("{folder}/config.yaml"),
            format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {application}\ndata:\n  stage: {stage}\n  greeting: hello\n"
            ),
        ),
    ];
    if shop {
        files.push((
            format!("{folder}/secret.yaml"),
            format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: shop\nstringData:\n  session-key: not-so-secret-{stage}\n"),
        ));
    }
    files
}

/// A definition, an object of its kind, and defaults for the namespace: plain manifests, no
/// kustomization.
fn platform(example: &Example<'_>) -> Vec<(String, String)> {
    let namespace = format!("{}platform-production", example.prefix);
    vec![
        ("platform/production/namespace.yaml".into(), format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {namespace}\n")),
        (
            "platform/production/backupplan-definition.yaml".into(),
            "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: backupplans.acme.example
spec:
  group: acme.example
  scope: Namespaced
  names: { kind: BackupPlan, listKind: BackupPlanList, plural: backupplans, singular: backupplan }
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              required: [schedule]
              properties:
                schedule: { type: string }
                keep: { type: integer, default: 7 }
"
            .into(),
        ),
        (
            "platform/production/backups.yaml".into(),
            "apiVersion: acme.example/v1\nkind: BackupPlan\nmetadata:\n  name: nightly\nspec:\n  schedule: \"0 3 * * *\"\n---\napiVersion: v1\nkind: LimitRange\nmetadata:\n  name: defaults\nspec:\n  limits:\n    - type: Container\n      defaultRequest: { cpu: 10m, memory: 16Mi }\n".into(),
        ),
    ]
}
