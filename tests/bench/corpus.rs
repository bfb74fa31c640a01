//! Two hundred generated applications, changed at random, previewed, merged
//! and synced: what the previews predicted against what came of it.
//!
//! Predicted is what `windlass plan --output json` says before the merge. After
//! the sync every object that was predicted to change, and every one that did
//! change, is held against it: the whole object, less status and what the
//! server keeps for itself. Each trap class is drawn in turn, so that all come
//! up often; how often is printed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::Command;

use serde_json::{Value, json};
use windlass::judged_by::Mask;
use windlass::judged_by::OWNER_LABEL;
use windlass::judged_by::{Action, Change, Notes, Proof, came_out};
use windlass::judged_by::{ResourceKey, cleaned};

use crate::support::{Setup, World, plane};
use crate::{Results, synced};

const APPLICATIONS: usize = 200;
const ROUNDS: usize = 4;

/// What a change may run into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Image,
    Quantity,
    ListItem,
    PortWithoutProtocol,
    StringData,
    ClientSideResidue,
    Immutable,
    RemovedField,
    Status,
    Prune,
    DefinitionWithObject,
    AtomicList,
    Autoscaler,
    NamespaceWithObject,
    Defaults,
    Rbac,
    HorizontalPodAutoscaler,
    OthersEntries,
    Label,
    Ingress,
    Strategy,
    Handler,
    /// Left by these tools, put into Git.
    LeftByCreate,
    LeftByHelm,
    LeftByArgoCd,
    LeftByFlux,
    Rename,
    /// A generated ConfigMap under a new name, and pods of it that fail.
    HashedConfigThatFails,
    AggregatedRole,
    ScaledByOthers,
    Finalizer,
    KeptByMark,
}

const CLASSES: [Class; 32] = [
    Class::Image,
    Class::Quantity,
    Class::ListItem,
    Class::PortWithoutProtocol,
    Class::StringData,
    Class::ClientSideResidue,
    Class::Immutable,
    Class::RemovedField,
    Class::Status,
    Class::Prune,
    Class::DefinitionWithObject,
    Class::AtomicList,
    Class::Autoscaler,
    Class::NamespaceWithObject,
    Class::Defaults,
    Class::Rbac,
    Class::HorizontalPodAutoscaler,
    Class::OthersEntries,
    Class::Label,
    Class::Ingress,
    Class::Strategy,
    Class::Handler,
    Class::LeftByCreate,
    Class::LeftByHelm,
    Class::LeftByArgoCd,
    Class::LeftByFlux,
    Class::Rename,
    Class::HashedConfigThatFails,
    Class::AggregatedRole,
    Class::ScaledByOthers,
    Class::Finalizer,
    Class::KeptByMark,
];

/// How the tools write, and the marks of an owner that is gone.
const TOOLS: [(Class, &str, &[&str], &str); 4] = [
    (Class::LeftByCreate, "create", &["create"], ""),
    (
        Class::LeftByHelm,
        "helm",
        &["create", "--field-manager=helm"],
        "labels: {app.kubernetes.io/managed-by: Helm}, annotations: {meta.helm.sh/release-name: gone, meta.helm.sh/release-namespace: gone}",
    ),
    (
        Class::LeftByArgoCd,
        "argo",
        &[
            "apply",
            "--server-side",
            "--field-manager=argocd-controller",
        ],
        "annotations: {'argocd.argoproj.io/tracking-id': 'gone:apps/Deployment:gone/gone'}",
    ),
    (
        Class::LeftByFlux,
        "flux",
        &[
            "apply",
            "--server-side",
            "--field-manager=kustomize-controller",
        ],
        "labels: {kustomize.toolkit.fluxcd.io/name: gone, kustomize.toolkit.fluxcd.io/namespace: gone}",
    ),
];

/// Marks by which tools are told not to delete.
const MARKS: [&str; 4] = [
    "helm.sh/resource-policy: keep",
    "argocd.argoproj.io/sync-options: Prune=false",
    "kustomize.toolkit.fluxcd.io/prune: disabled",
    "windlass.dev/prune: never",
];

/// What a round has to hold besides what the plan says.
#[derive(Default)]
struct Round {
    scaled: Vec<(String, &'static str)>,
    noted: Vec<String>,
    residue: String,
    /// By tool.
    left: BTreeMap<&'static str, String>,
    /// ConfigMaps that somebody put a finalizer on.
    held_back: Vec<String>,
    /// ConfigMaps that stay: their mark says so.
    kept: Vec<String>,
    /// Applications whose pods fail, with the ConfigMaps that the pods of before use.
    failing: Vec<(usize, String)>,
}

/// The same numbers in each run (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides as u64) as usize
    }
}

/// What one application has: each field is a thing that a change may move.
#[derive(Clone)]
struct Application {
    name: String,
    stateful: bool,
    how: usize,
    image: usize,
    replicas: usize,
    env: Vec<(usize, usize)>,
    ports: Vec<usize>,
    cpu: usize,
    probe: bool,
    explicit: bool,
    config: Vec<(usize, usize)>,
    secret: Vec<(usize, usize)>,
    labels: Vec<usize>,
    status: bool,
    extra: bool,
    /// The definition's and its object's generation; 0: there is none.
    custom: usize,
    rules: usize,
    job: usize,
    /// Names the change of the Job that it may be recreated for.
    permission: String,
    role: usize,
    hpa: usize,
    ingress: usize,
    cron: bool,
    namespace: usize,
    adopted: usize,
    /// Recreate, or OnDelete, instead of the server's default.
    strategy: bool,
    /// Which kinds of volume and probe are chosen; 0: none.
    handler: usize,
    /// What each tool left and Git has now, with its number.
    left: Vec<(&'static str, usize)>,
    renamed: usize,
    hashed: usize,
    fails: bool,
    aggregated: usize,
    last: bool,
    kept: usize,
}

const CPU: [&str; 5] = ["10m", "0.01", "20m", "0.020", "15m"];

impl Application {
    fn new(number: usize, dice: &mut Dice) -> Self {
        let pairs = |dice: &mut Dice, most: usize| {
            (0..1 + dice.roll(most))
                .map(|n| (n, dice.roll(100)))
                .collect::<Vec<_>>()
        };
        Self {
            name: format!("c{number:03}"),
            stateful: dice.roll(4) == 0,
            how: dice.roll(3),
            image: dice.roll(5),
            replicas: dice.roll(2),
            env: pairs(dice, 4),
            ports: vec![80],
            cpu: dice.roll(CPU.len()),
            probe: dice.roll(2) == 0,
            explicit: false,
            config: pairs(dice, 4),
            secret: pairs(dice, 3),
            labels: vec![],
            status: false,
            extra: dice.roll(2) == 0,
            custom: 0,
            rules: 1,
            job: 1,
            permission: String::new(),
            role: dice.roll(2),
            hpa: 0,
            ingress: dice.roll(2),
            cron: dice.roll(4) == 0,
            namespace: 0,
            adopted: 0,
            strategy: false,
            handler: 0,
            left: vec![],
            renamed: 1,
            hashed: 1,
            fails: false,
            aggregated: 0,
            last: true,
            kept: 1,
        }
    }

    /// A change of a class.
    fn change(&mut self, class: Class, dice: &mut Dice) {
        match class {
            Class::Image => self.image += 1,
            Class::Quantity => self.cpu = (self.cpu + 1 + dice.roll(CPU.len() - 1)) % CPU.len(),
            Class::ListItem if self.env.len() > 3 => drop(self.env.remove(dice.roll(3))),
            Class::ListItem => self
                .env
                .push((100 + self.env.len() + dice.roll(900), dice.roll(100))),
            Class::PortWithoutProtocol if self.ports.len() > 2 => drop(self.ports.pop()),
            Class::PortWithoutProtocol => self.ports.push(8000 + self.ports.len()),
            Class::StringData => self.secret.iter_mut().for_each(|(_, value)| *value += 1),
            Class::ClientSideResidue => self.adopted += 1,
            Class::Immutable => self.job += 1,
            Class::RemovedField => self.probe = !self.probe,
            Class::Status => self.status = !self.status,
            Class::Prune => self.extra = !self.extra,
            Class::DefinitionWithObject => self.custom += 1,
            Class::AtomicList => self.rules = 1 + (self.rules + 1 + dice.roll(2)) % 4,
            // Somebody else moves it; here only the image changes beside.
            Class::Autoscaler | Class::ScaledByOthers | Class::OthersEntries => self.image += 1,
            Class::NamespaceWithObject => self.namespace += 1,
            Class::Defaults => self.explicit = !self.explicit,
            Class::Rbac => self.role += 1,
            Class::HorizontalPodAutoscaler => self.hpa += 1,
            Class::Label => self.labels.push(self.labels.len()),
            Class::Ingress => self.ingress += 1,
            Class::Strategy => self.strategy = !self.strategy,
            Class::Handler => self.handler += 1,
            Class::LeftByCreate | Class::LeftByHelm | Class::LeftByArgoCd | Class::LeftByFlux => {
                let tool = TOOLS.iter().find(|(of, ..)| *of == class).unwrap().1;
                self.left.push((tool, self.left.len()));
            }
            Class::Rename => self.renamed += 1,
            Class::HashedConfigThatFails => {
                self.hashed += 1;
                self.fails = true;
            }
            Class::AggregatedRole => self.aggregated += 1,
            Class::Finalizer => self.last = !self.last,
            Class::KeptByMark => self.kept += 1,
        }
    }

    /// What a tool left of this application: a Deployment with a label and a field that Git does not have.
    fn leftover(&self, (tool, number): (&str, usize), marks: &str, more: &str) -> String {
        let name = format!("{}-{tool}-{number}", self.name);
        let image = if more.is_empty() { "app:2" } else { "app:1" };
        let marks = if marks.is_empty() {
            String::new()
        } else {
            format!(", {marks}")
        };
        format!(
            "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}{marks}}}\nspec: {{replicas: 0, {more}selector: {{matchLabels: {{app: {name}}}}}, template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{containers: [{{name: a, image: '{image}'}}]}}}}}}\n"
        )
    }

    fn manifests(&self, prefix: &str) -> Vec<(&'static str, String)> {
        let name = &self.name;
        let labels: String = self.labels.iter().map(|n| format!(", l{n}: x")).collect();
        let metadata = format!("metadata: {{name: {name}, labels: {{app: {name}{labels}}}}}");
        let mut container = format!("        - name: app\n          image: app:{}\n", self.image);
        let list = |items: Vec<String>| items.join(", ");
        if !self.env.is_empty() {
            let env = list(
                self.env
                    .iter()
                    .map(|(n, value)| format!("{{name: E{n}, value: 'v{value}'}}"))
                    .collect(),
            );
            let _ = writeln!(container, "          env: [{env}]");
        }
        let ports = list(
            self.ports
                .iter()
                .map(|port| format!("{{containerPort: {port}, name: p{port}}}"))
                .collect(),
        );
        let _ = writeln!(container, "          ports: [{ports}]");
        let _ = writeln!(
            container,
            "          resources: {{requests: {{cpu: '{}'}}}}",
            CPU[self.cpu]
        );
        if self.probe {
            let _ = writeln!(
                container,
                "          readinessProbe: {{httpGet: {{path: /, port: 80}}}}"
            );
        }
        let mut volumes = String::new();
        if self.handler > 0 {
            let handler =
                ["tcpSocket: {port: 80}", "httpGet: {path: /, port: 80}"][self.handler % 2];
            let _ = writeln!(
                container,
                "          livenessProbe: {{{handler}}}\n          volumeMounts: [{{name: v, mountPath: /v}}]"
            );
            let source = [
                "emptyDir: {}".into(),
                format!("configMap: {{name: {name}}}"),
                format!("secret: {{secretName: {name}}}"),
            ];
            let _ = writeln!(
                volumes,
                "      volumes: [{{name: v, {}}}]",
                source[self.handler % 3]
            );
        }
        let template = format!(
            "  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec:\n      containers:\n{container}{volumes}"
        );
        let selector = format!("  selector: {{matchLabels: {{app: {name}}}}}\n");
        let status = if self.status {
            "status: {observedGeneration: 7}\n"
        } else {
            ""
        };
        let workload = if self.stateful {
            format!(
                "apiVersion: apps/v1\nkind: StatefulSet\n{metadata}\nspec:\n  serviceName: {name}\n  replicas: {}\n{}{selector}{template}",
                self.replicas,
                if self.strategy {
                    "  updateStrategy: {type: OnDelete}\n"
                } else {
                    ""
                }
            )
        } else {
            // What the server fills in by itself, said or not: no difference.
            let strategy = match (self.strategy, self.explicit) {
                (true, _) => "  strategy: {type: Recreate}\n",
                (false, true) => "  revisionHistoryLimit: 10\n  strategy: {type: RollingUpdate}\n",
                (false, false) => "",
            };
            format!(
                "apiVersion: apps/v1\nkind: Deployment\n{metadata}\nspec:\n  replicas: {}\n{strategy}{selector}{template}{status}",
                self.replicas
            )
        };
        let data = |pairs: &[(usize, usize)]| {
            pairs
                .iter()
                .map(|(n, value)| format!("k{n}: 'v{value}'"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let mut all = vec![
            ("workload", workload),
            (
                "config",
                format!(
                    "apiVersion: v1\nkind: ConfigMap\n{metadata}\ndata: {{{}}}\n",
                    data(&self.config)
                ),
            ),
            (
                "secret",
                format!(
                    "apiVersion: v1\nkind: Secret\n{metadata}\nstringData: {{{}}}\n",
                    data(&self.secret)
                ),
            ),
            (
                "job",
                format!(
                    "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}, annotations: {{windlass.dev/recreate: '{}'}}}}\nspec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: a, image: 'job:{}'}}]}}}}}}\n",
                    self.permission, self.job
                ),
            ),
            (
                "service",
                format!(
                    "apiVersion: v1\nkind: Service\n{metadata}\nspec: {{selector: {{app: {name}}}, ports: [{}]}}\n",
                    list(
                        self.ports
                            .iter()
                            .map(|port| format!("{{name: p{port}, port: {port}}}"))
                            .collect()
                    )
                ),
            ),
        ];
        if self.extra {
            all.push(("extra", format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}-extra}}\ndata: {{a: '1'}}\n")));
        }
        if !self.left.is_empty() {
            all.push((
                "left",
                self.left
                    .iter()
                    .map(|one| self.leftover(*one, "", ""))
                    .collect(),
            ));
        }
        let plain = |name: String, marks: &str| {
            format!(
                "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, annotations: {{{marks}}}}}\ndata: {{a: '1'}}\n"
            )
        };
        all.push((
            "kept",
            plain(format!("{name}-kept-{}", self.kept), MARKS[self.kept % 4]),
        ));
        if self.last {
            all.push(("last", plain(format!("{name}-last"), "note: x")));
        }
        let runs = |of: &str, replicas: usize, image: &str, more: &str| {
            format!(
                "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {of}}}\nspec: {{replicas: {replicas}, selector: {{matchLabels: {{app: {of}}}}}, template: {{metadata: {{labels: {{app: {of}}}}}, spec: {{containers: [{{name: a, image: '{image}'{more}}}]}}}}}}\n"
            )
        };
        all.push((
            "renamed",
            runs(
                &format!("{name}-as-{}", self.renamed),
                usize::from(self.cron),
                "app:1",
                "",
            ),
        ));
        let hashed = format!("{name}-hashed-{}", self.hashed);
        let (image, envs) = (
            if self.fails { "app:broken" } else { "app:1" },
            format!(", envFrom: [{{configMapRef: {{name: {hashed}}}}}]"),
        );
        all.push((
            "hashed",
            format!(
                "{}{}",
                plain(hashed, "note: x"),
                runs(&format!("{name}-hashed"), 1, image, &envs)
            ),
        ));
        if self.aggregated > 0 {
            let verbs = ["get", "list", "watch", "create"][..1 + self.aggregated % 4].join(", ");
            all.push(("aggregated", format!("apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: {prefix}{name}-all, labels: {{n: 'n{}'}}}}\naggregationRule: {{clusterRoleSelectors: [{{matchLabels: {{{prefix}{name}: part}}}}]}}\nrules: []\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: {prefix}{name}-part, labels: {{{prefix}{name}: part}}}}\nrules: [{{apiGroups: [''], resources: [configmaps], verbs: [{verbs}]}}]\n", self.aggregated)));
        }
        if self.adopted > 0 {
            all.push((
                "adopted",
                format!(
                    "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}-left-{}}}\ndata: {{keep: '{}'}}\n",
                    self.adopted, self.adopted
                ),
            ));
        }
        if self.role > 0 {
            let verbs = ["get", "list", "watch", "create"][..1 + self.role % 4].join(", ");
            all.push(("role", format!("apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\n{metadata}\nrules: [{{apiGroups: [''], resources: [configmaps], verbs: [{verbs}]}}]\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\n{metadata}\nroleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {name}}}\nsubjects: [{{kind: ServiceAccount, name: {name}-{}}}]\n", self.role % 2)));
        }
        if self.hpa > 0 && !self.stateful {
            all.push(("hpa", format!("apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\n{metadata}\nspec: {{maxReplicas: {}, scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: {name}}}}}\n", 3 + self.hpa)));
        }
        if self.ingress > 0 {
            all.push(("ingress", format!("apiVersion: networking.k8s.io/v1\nkind: Ingress\n{metadata}\nspec: {{rules: [{{host: {name}-{}.example.com, http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: {name}, port: {{number: 80}}}}}}}}]}}}}]}}\n", self.ingress)));
        }
        if self.cron {
            all.push(("cron", format!("apiVersion: batch/v1\nkind: CronJob\n{metadata}\nspec: {{schedule: '0 0 1 1 *', jobTemplate: {{spec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: a, image: 'job:{}'}}]}}}}}}}}}}\n", self.image)));
        }
        if self.custom > 0 {
            let (group, plural) = (format!("{prefix}corpus.example"), format!("{name}s"));
            // A new version of the schema with each change, and an object that uses it.
            let fields: String = (1..=self.custom)
                .map(|n| format!(", f{n}: {{type: integer, default: {n}}}"))
                .collect();
            all.push(("definition", format!("apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: {plural}.{group}}}\nspec:\n  group: {group}\n  scope: Namespaced\n  names: {{kind: K{name}, plural: {plural}, singular: k{name}, listKind: K{name}List}}\n  versions: [{{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object, properties: {{spec: {{type: object, properties: {{rules: {{type: array, items: {{type: object, properties: {{host: {{type: string}}}}}}}}{fields}}}}}}}}}}}}}]\n")));
            let rules = list((0..self.rules).map(|n| format!("{{host: h{n}}}")).collect());
            all.push((
                "object",
                format!(
                    "apiVersion: {group}/v1\nkind: K{name}\nmetadata: {{name: {name}}}\nspec: {{rules: [{rules}], f{}: 100}}\n",
                    self.custom
                ),
            ));
        }
        if self.namespace > 0 {
            let own = format!("{prefix}{name}-own-{}", self.namespace);
            all.push(("namespace", format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {own}, annotations: {{windlass.dev/prune: never}}}}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {own}}}\ndata: {{a: '1'}}\n")));
        }
        all
    }

    /// As plain manifests, a kustomization or a chart.
    fn files(&self, prefix: &str) -> Vec<(String, String)> {
        let folder = format!("apps/{}/staging", self.name);
        let manifests = self.manifests(prefix);
        match self.how {
            0 => manifests
                .into_iter()
                .map(|(file, text)| (format!("{folder}/{file}.yaml"), text))
                .collect(),
            1 => {
                let listed: Vec<_> = manifests
                    .iter()
                    .map(|(file, _)| format!("{file}.yaml"))
                    .collect();
                let mut files: Vec<_> = manifests
                    .into_iter()
                    .map(|(file, text)| (format!("{folder}/{file}.yaml"), text))
                    .collect();
                files.push((
                    format!("{folder}/kustomization.yaml"),
                    format!("resources: [{}]\n", listed.join(", ")),
                ));
                files
            }
            _ => {
                let mut files: Vec<_> = manifests
                    .into_iter()
                    .map(|(file, text)| (format!("{folder}/templates/{file}.yaml"), text))
                    .collect();
                files.push((
                    format!("{folder}/Chart.yaml"),
                    format!("apiVersion: v2\nname: {}\nversion: 0.1.0\n", self.name),
                ));
                files
            }
        }
    }
}

type Live = BTreeMap<(String, Option<String>, String), Value>;

/// Every live object with our label, by kind, namespace and name.
fn live(world: &World) -> Live {
    let custom = world.kubectl(&["get", "crd", "-o", "jsonpath={.items[*].metadata.name}"]);
    let mut kinds: Vec<String> = [
        "configmaps",
        "secrets",
        "services",
        "namespaces",
        "deployments.apps",
        "statefulsets.apps",
        "jobs.batch",
        "cronjobs.batch",
        "horizontalpodautoscalers.autoscaling",
        "ingresses.networking.k8s.io",
        "roles.rbac.authorization.k8s.io",
        "rolebindings.rbac.authorization.k8s.io",
        "clusterroles.rbac.authorization.k8s.io",
        "customresourcedefinitions.apiextensions.k8s.io",
    ]
    .map(str::to_string)
    .into();
    kinds.extend(
        custom
            .split_whitespace()
            .filter(|name| name.ends_with(&format!("{}corpus.example", world.prefix)))
            .map(str::to_string),
    );
    let text = world.kubectl(&[
        "get",
        &kinds.join(","),
        "-A",
        "-l",
        OWNER_LABEL,
        "-o",
        "json",
    ]);
    let all: Value = serde_json::from_str(&text).unwrap();
    let mut found = Live::new();
    for object in all["items"].as_array().unwrap() {
        let text = |at: &str| {
            object
                .pointer(at)
                .and_then(Value::as_str)
                .map(str::to_string)
        };
        found.insert(
            (
                text("/kind").unwrap(),
                text("/metadata/namespace"),
                text("/metadata/name").unwrap(),
            ),
            object.clone(),
        );
    }
    found
}

/// What `windlass plan` says of a branch.
fn predicted(world: &World, base: &str, head: &str) -> Vec<Change> {
    let tool = |name: &str| plane().tools().program(name).unwrap().display().to_string();
    let said = Command::new(env!("CARGO_BIN_EXE_windlass"))
        .args([
            "plan",
            "--output",
            "json",
            "--base",
            base,
            "--head",
            head,
            "--namespace",
            &world.home(),
            "--kustomize",
            &tool("kustomize"),
            "--helm",
            &tool("helm"),
        ])
        .args([
            "--repo",
            world
                .forge
                .repository_path("acme", "config")
                .to_str()
                .unwrap(),
        ])
        .env("KUBECONFIG", plane().kubeconfig())
        .output()
        .unwrap();
    let read: Value = serde_json::from_slice(&said.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&said.stderr)));
    let changes = read["applications"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|app| app["changes"].as_array().unwrap());
    changes
        .map(|change| {
            let action = match change["action"].as_str().unwrap() {
                "create" => Action::Create,
                "configure" => Action::Configure,
                "recreate" => Action::Recreate,
                "prune" => Action::Prune,
                other => panic!("{other}: {change}"),
            };
            let side = |name: &str| Some(change[name].clone()).filter(|side| !side.is_null());
            let problem = change["problem"].as_str().map(str::to_string);
            let key: ResourceKey = serde_json::from_value(change["object"].clone()).unwrap();
            let version = change["version"].as_str().unwrap().to_string();
            Change {
                key,
                version,
                action,
                proof: Proof::Server,
                before: side("before"),
                after: side("after"),
                problem,
                notes: Notes::default(),
                hidden: vec![],
            }
        })
        .collect()
}

/// `prediction_corpus`: the share of objects that came out as the plan said.
pub async fn corpus(results: &mut Results) {
    // The corpus writes namespaces, roles and custom resources of its own: everything is granted.
    let world = World::asleep(Setup {
        direct: true,
        projects: Some(crate::EVERYTHING.to_owned()),
        ..Setup::default()
    })
    .await;
    let many = world.namespace("corpus");
    world.kubectl(&["create", "namespace", &many]);
    // What an administrator grants for kinds that deploy/rbac.yaml does not list.
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": format!("{}corpus", world.prefix), "labels": {"windlass.dev/aggregate-to-windlass": "true"}}, "rules": [
            {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings", "clusterroles"], "verbs": ["get", "list", "watch", "create", "patch", "delete", "escalate", "bind"]},
            {"apiGroups": [format!("{}corpus.example", world.prefix)], "resources": ["*"], "verbs": ["get", "list", "watch", "create", "patch", "delete"]}]});
    let file = std::env::temp_dir().join(format!("{}corpus.json", world.prefix));
    std::fs::write(&file, role.to_string()).unwrap();
    world.kubectl(&["apply", "-f", file.to_str().unwrap()]);
    tools(&world);
    let own = format!("namespace: \"{}{{application}}-{{stage}}\"", world.prefix);
    let catalog = world
        .file("windlass.yaml")
        .replace(&own, &format!("namespace: {many}"));
    let mut dice = Dice(1);
    let mut applications: Vec<_> = (0..APPLICATIONS)
        .map(|number| Application::new(number, &mut dice))
        .collect();
    let gone: Vec<String> = ["staging", "production"]
        .iter()
        .flat_map(|stage| {
            ["kustomization", "namespace", "config", "secret"]
                .map(|file| format!("apps/shop/{stage}/{file}.yaml"))
        })
        .collect();
    let files_of = |applications: &[Application]| {
        applications
            .iter()
            .flat_map(|one| one.files(&world.prefix))
            .collect::<BTreeMap<_, _>>()
    };
    let first = files_of(&applications);
    let mut files: Vec<(&str, Option<&str>)> = first
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.as_str())))
        .collect();
    files.extend(gone.iter().map(|path| (path.as_str(), None)));
    files.push(("windlass.yaml", Some(&catalog)));
    world.start();
    let commit = world
        .forge
        .push("acme/config", "main", "ada", "The corpus", &files)
        .unwrap();
    confirm(&world, &["shop/staging", "shop/production"]).await;
    synced(&world, &commit).await;
    world.quiet().await;
    let mut drawn: BTreeMap<Class, usize> = BTreeMap::new();
    let (mut held, mut missed, mut turn) = (0usize, Vec::new(), 0usize);
    for turned in 0..ROUNDS {
        let before = files_of(&applications);
        let mut round = Round::default();
        for (number, application) in applications.iter_mut().enumerate() {
            for _ in 0..1 + dice.roll(2) {
                let class = CLASSES[turn % CLASSES.len()];
                turn += 1;
                // A stateful one has no Deployment that somebody scales.
                let none = application.stateful
                    && matches!(
                        class,
                        Class::Autoscaler | Class::ScaledByOthers | Class::HorizontalPodAutoscaler
                    );
                if none || class == Class::HashedConfigThatFails && application.fails {
                    continue;
                }
                *drawn.entry(class).or_default() += 1;
                round.draw(class, number, application);
                application.change(class, &mut dice);
                round.drawn(class, application);
            }
        }
        others(&world, &many, &round);
        world.quiet().await;
        let after = files_of(&applications);
        let mut changes: Vec<_> = after
            .iter()
            .filter(|(path, text)| before.get(*path) != Some(text))
            .map(|(path, text)| (path.as_str(), Some(text.as_str())))
            .collect();
        changes.extend(
            before
                .keys()
                .filter(|path| !after.contains_key(*path))
                .map(|path| (path.as_str(), None)),
        );
        let branch = format!("corpus-{turned}");
        let number = world.propose("bob", &branch, &changes);
        crate::wait(std::time::Duration::from_secs(300), || {
            !world.comments(number).is_empty()
        })
        .await;
        world.previewed(number).await;
        // A Job that cannot be changed is recreated by a word that names just this change.
        let mut allowed = Vec::new();
        for change in predicted(&world, "main", &branch)
            .iter()
            .filter(|change| change.key.kind == "Job")
        {
            let word = change.problem.as_ref().and_then(|problem| {
                Some(
                    problem
                        .split_once("windlass.dev/recreate: ")?
                        .1
                        .split('`')
                        .next()?
                        .to_string(),
                )
            });
            let application = applications
                .iter_mut()
                .find(|one| one.name == change.key.name);
            if let (Some(word), Some(application)) = (word, application) {
                application.permission = word;
                allowed.extend(
                    application
                        .files(&world.prefix)
                        .into_iter()
                        .filter(|(path, _)| path.ends_with("/job.yaml")),
                );
            }
        }
        let allowed: Vec<_> = allowed
            .iter()
            .map(|(path, text)| (path.as_str(), Some(text.as_str())))
            .collect();
        if !allowed.is_empty() {
            world
                .forge
                .push(
                    "acme/config",
                    &branch,
                    "bob",
                    "These may be recreated",
                    &allowed,
                )
                .unwrap();
            let head = world.head(number);
            let looked = || {
                world
                    .forge
                    .state()
                    .by_full_name("acme/config")
                    .is_some_and(|repo| repo.checks.iter().any(|one| one.sha == head))
            };
            crate::wait(std::time::Duration::from_secs(300), looked).await;
            world.previewed(number).await;
        }
        let plan = predicted(&world, "main", &branch);
        let was = live(&world);
        world.approve("mia", number);
        let merged = world.as_user(
            "ada",
            http::Method::PUT,
            &format!("pulls/{number}/merge"),
            json!({}),
        );
        release(&world, &many, &round.held_back).await;
        let sha = merged["sha"].as_str().unwrap();
        let state = if round.failing.is_empty() {
            "success"
        } else {
            "failure"
        };
        crate::wait(std::time::Duration::from_secs(900), || {
            world
                .status(sha, "windlass/sync")
                .is_some_and(|(is, _)| is == state)
        })
        .await;
        world.quiet().await;
        let is = live(&world);
        round.score(&many, &is, plan.clone(), &mut held, &mut missed);
        let uses = |change: &&Change| {
            !(change.action == Action::Prune
                && round
                    .failing
                    .iter()
                    .any(|(_, used)| *used == change.key.name))
        };
        let settled: Vec<_> = plan.iter().filter(uses).cloned().collect();
        score(&settled, &was, &is, &mut held, &mut missed);
        // What failed is mended, and only then goes what the pods of before used.
        for (number, _) in &round.failing {
            applications[*number].fails = false;
        }
        let mended = files_of(&applications);
        let mended: Vec<_> = mended
            .iter()
            .map(|(path, text)| (path.as_str(), Some(text.as_str())))
            .collect();
        let commit = world
            .forge
            .push("acme/config", "main", "ada", "Mended", &mended)
            .unwrap();
        synced(&world, &commit).await;
        world.quiet().await;
        let is = live(&world);
        for (_, used) in &round.failing {
            match is.contains_key(&configmap(&many, used)) {
                true => missed.push(format!(
                    "{used} is still there after what failed was mended"
                )),
                false => held += 1,
            }
        }
        println!(
            "round {}: {} predicted, {held} held so far, {} missed",
            turned + 1,
            plan.len(),
            missed.len()
        );
    }
    let log = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("corpus.log");
    std::fs::write(&log, missed.join("\n")).unwrap();
    for (class, times) in &drawn {
        println!("  {class:?}: {times} times");
    }
    let least = drawn.values().min().copied().unwrap_or(0);
    results.add(
        "prediction_corpus_least_drawn",
        least as f64,
        "times, the class drawn least",
        "≥ 20",
        drawn.len() == CLASSES.len() && least >= 20,
    );
    results.note(
        "prediction_corpus_objects",
        (held + missed.len()) as f64,
        "objects",
    );
    let share = 100.0 * held as f64 / ((held + missed.len()) as f64).max(1.0);
    results.add(
        "prediction_corpus",
        share,
        "% came out as predicted",
        "≥ 99.5 %",
        share >= 99.5,
    );
    println!("misses are in {}", log.display());
}

/// Confirms the deletions of applications that left Git.
async fn confirm(world: &World, applications: &[&str]) {
    for title in applications {
        let name = title.replace('/', ".");
        let waits = || {
            let at = "jsonpath={.status.confirm}";
            let object = ["applications.windlass.dev", &name, "--ignore-not-found"];
            !world
                .kubectl(&[&["-n", &world.home(), "get"], &object[..], &["-o", at]].concat())
                .is_empty()
        };
        crate::wait(std::time::Duration::from_secs(300), waits).await;
        let said = Command::new(env!("CARGO_BIN_EXE_windlass"))
            .args(["confirm-prune", title, "--namespace", &world.home()])
            .env("KUBECONFIG", plane().kubeconfig())
            .output()
            .unwrap();
        assert!(
            said.status.success(),
            "{}",
            String::from_utf8_lossy(&said.stderr)
        );
    }
}

fn configmap(namespace: &str, name: &str) -> (String, Option<String>, String) {
    ("ConfigMap".into(), Some(namespace.into()), name.into())
}

impl Round {
    /// What others do before an application changes.
    fn draw(&mut self, class: Class, number: usize, application: &Application) {
        let name = &application.name;
        match class {
            Class::Autoscaler => self.scaled.push((name.clone(), "kube-controller-manager")),
            Class::ScaledByOthers => self.scaled.push((name.clone(), "some-scaler")),
            Class::OthersEntries => self.noted.push(name.clone()),
            Class::HashedConfigThatFails => self
                .failing
                .push((number, format!("{name}-hashed-{}", application.hashed))),
            Class::Finalizer if application.last => self.held_back.push(format!("{name}-last")),
            Class::KeptByMark => self.kept.push(format!("{name}-kept-{}", application.kept)),
            _ => {}
        }
    }

    /// What tools left of what an application has from now on.
    fn drawn(&mut self, class: Class, application: &Application) {
        if class == Class::ClientSideResidue {
            let (name, number) = (&application.name, application.adopted);
            let _ = write!(
                self.residue,
                "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}-left-{number}, labels: {{old: label}}}}\ndata: {{keep: old, gone: '2'}}\n",
            );
        }
        if let Some((_, tool, _, marks)) = TOOLS.iter().find(|(of, ..)| *of == class) {
            let text = application.leftover(
                *application.left.last().unwrap(),
                marks,
                "minReadySeconds: 3, ",
            );
            self.left.entry(tool).or_default().push_str(&text);
        }
    }

    /// What stays though Git has it no more: by its mark, or since pods use it.
    fn score(
        &self,
        namespace: &str,
        is: &Live,
        plan: Vec<Change>,
        held: &mut usize,
        missed: &mut Vec<String>,
    ) {
        let told = |name: &str| {
            plan.iter()
                .any(|change| change.action == Action::Prune && change.key.name == name)
        };
        for name in &self.kept {
            match is.contains_key(&configmap(namespace, name)) && !told(name) {
                true => *held += 1,
                false => missed.push(format!(
                    "{name} is marked to be kept: is there {}, told to go {}",
                    is.contains_key(&configmap(namespace, name)),
                    told(name)
                )),
            }
        }
        for (_, name) in &self.failing {
            match is.contains_key(&configmap(namespace, name)) && told(name) {
                true => *held += 1,
                false => missed.push(format!(
                    "{name} is used by pods: is there {}, told to go {}",
                    is.contains_key(&configmap(namespace, name)),
                    told(name)
                )),
            }
        }
    }
}

/// The kinds by which Argo CD and Flux tell that they keep something; there is no object of them.
fn tools(world: &World) {
    let kinds = [
        ("argoproj.io", "v1alpha1", "Application", "applications"),
        (
            "kustomize.toolkit.fluxcd.io",
            "v1",
            "Kustomization",
            "kustomizations",
        ),
        (
            "helm.toolkit.fluxcd.io",
            "v2",
            "HelmRelease",
            "helmreleases",
        ),
    ];
    for (group, version, kind, plural) in kinds {
        let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}")}, "spec": {"group": group, "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural}, "versions": [{"name": version, "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}});
        with_file(world, &["apply"], &definition.to_string());
        world.kubectl(&[
            "wait",
            "--for=condition=Established",
            &format!("crd/{plural}.{group}"),
            "--timeout=60s",
        ]);
    }
}

fn with_file(world: &World, arguments: &[&str], text: &str) {
    let file = std::env::temp_dir().join(format!("{}corpus-objects.yaml", world.prefix));
    std::fs::write(&file, text).unwrap();
    world.kubectl(&[arguments, &["-f", file.to_str().unwrap()]].concat());
}

/// What others do to the cluster between two rounds.
fn others(world: &World, namespace: &str, round: &Round) {
    let patch = |object: String, manager: &str, more: &[&str], patch: &str| {
        let manager = format!("--field-manager={manager}");
        world.kubectl(
            &[
                &[
                    "-n",
                    namespace,
                    "patch",
                    &object,
                    "--type=merge",
                    &manager,
                    "-p",
                    patch,
                ],
                more,
            ]
            .concat(),
        );
    };
    for (name, manager) in &round.scaled {
        patch(
            format!("deployment/{name}"),
            manager,
            &["--subresource=scale"],
            r#"{"spec":{"replicas":2}}"#,
        );
    }
    let note =
        r#"{"metadata":{"annotations":{"operator.example/note":"seen"}},"data":{"theirs":"1"}}"#;
    for name in &round.noted {
        patch(format!("configmap/{name}"), "some-operator", &[], note);
    }
    for name in &round.held_back {
        patch(
            format!("configmap/{name}"),
            "some-operator",
            &[],
            r#"{"metadata":{"finalizers":["operator.example/last"]}}"#,
        );
    }
    if !round.residue.is_empty() {
        with_file(world, &["-n", namespace, "apply"], &round.residue);
    }
    for (_, tool, how, _) in TOOLS {
        if let Some(text) = round.left.get(tool) {
            with_file(world, &[&["-n", namespace], how].concat(), text);
        }
    }
}

/// Lets go what a finalizer held, once its deletion waits for that.
async fn release(world: &World, namespace: &str, names: &[String]) {
    let ending = |name: &String| {
        let at = "jsonpath={.metadata.deletionTimestamp}";
        !world
            .kubectl(&[
                "-n",
                namespace,
                "get",
                "configmap",
                name,
                "--ignore-not-found",
                "-o",
                at,
            ])
            .is_empty()
    };
    for name in names {
        crate::wait(std::time::Duration::from_secs(300), || ending(name)).await;
        let none = r#"{"metadata":{"finalizers":null}}"#;
        world.kubectl(&[
            "-n",
            namespace,
            "patch",
            "configmap",
            name,
            "--type=merge",
            "-p",
            none,
        ]);
    }
}

/// An object less what a controller of Kubernetes writes into it: the rules of a role that is aggregated.
fn ours(object: &Value) -> Value {
    let mut object = object.clone();
    if object["aggregationRule"].is_object() {
        object.as_object_mut().map(|object| object.remove("rules"));
    }
    object
}

/// Holds a plan against what was there before and is there now.
fn score(plan: &[Change], was: &Live, is: &Live, held: &mut usize, missed: &mut Vec<String>) {
    let mask = Mask::new(b"corpus");
    let name = |key: &ResourceKey| (key.kind.clone(), key.namespace.clone(), key.name.clone());
    let mut told = BTreeSet::new();
    for change in plan {
        told.insert(name(&change.key));
        let now = is.get(&name(&change.key)).map(ours);
        let now = now.as_ref();
        let after = change.after.as_ref().map(ours);
        if change.problem.is_none()
            && came_out(
                &mask,
                &Change {
                    after,
                    ..change.clone()
                },
                now,
            )
        {
            *held += 1;
        } else {
            let now = now.map(cleaned).unwrap_or_default();
            missed.push(format!(
                "{} {} {}: predicted {} is {}",
                change.action.word(),
                change.key,
                change.problem.clone().unwrap_or_default(),
                change.after.clone().unwrap_or_default(),
                now
            ));
        }
    }
    for key in was.keys().chain(is.keys()).collect::<BTreeSet<_>>() {
        let side = |all: &Live| all.get(key).map(ours).as_ref().map(cleaned);
        if !told.contains(key) && side(was) != side(is) {
            missed.push(format!(
                "not predicted: {key:?}: {} → {}",
                side(was).unwrap_or_default(),
                side(is).unwrap_or_default()
            ));
        }
    }
}
