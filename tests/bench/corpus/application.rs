//! A generated application: what it has, and the changes that it is drawn for.

use std::fmt::Write as _;

/// What a change may run into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
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

pub const CLASSES: [Class; 32] = [
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
pub const TOOLS: [(Class, &str, &[&str], &str); 4] = [
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
/// The same numbers in each run (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides as u64) as usize
    }
}

/// What one application has: each field is a thing that a change may move.
#[derive(Clone)]
pub struct Application {
    pub name: String,
    pub stateful: bool,
    pub how: usize,
    pub image: usize,
    pub replicas: usize,
    pub env: Vec<(usize, usize)>,
    pub ports: Vec<usize>,
    pub cpu: usize,
    pub probe: bool,
    pub explicit: bool,
    pub config: Vec<(usize, usize)>,
    pub secret: Vec<(usize, usize)>,
    pub labels: Vec<usize>,
    pub status: bool,
    pub extra: bool,
    /// The definition's and its object's generation; 0: there is none.
    pub custom: usize,
    pub rules: usize,
    pub job: usize,
    /// Names the change of the Job that it may be recreated for.
    pub permission: String,
    pub role: usize,
    pub hpa: usize,
    pub ingress: usize,
    pub cron: bool,
    pub namespace: usize,
    pub adopted: usize,
    /// Recreate, or OnDelete, instead of the server's default.
    pub strategy: bool,
    /// Which kinds of volume and probe are chosen; 0: none.
    pub handler: usize,
    /// What each tool left and Git has now, with its number.
    pub left: Vec<(&'static str, usize)>,
    pub renamed: usize,
    pub hashed: usize,
    pub fails: bool,
    pub aggregated: usize,
    pub last: bool,
    pub kept: usize,
}

const CPU: [&str; 5] = ["10m", "0.01", "20m", "0.020", "15m"];

impl Application {
    pub fn new(number: usize, dice: &mut Dice) -> Self {
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
    pub fn change(&mut self, class: Class, dice: &mut Dice) {
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
    pub fn leftover(&self, (tool, number): (&str, usize), marks: &str, more: &str) -> String {
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

    pub fn manifests(&self, prefix: &str) -> Vec<(&'static str, String)> {
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
    pub fn files(&self, prefix: &str) -> Vec<(String, String)> {
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
