//! The manifests of an application, and its files: plain, a kustomization or a chart.

use std::fmt::Write as _;

use super::classes::MARKS;
use super::{Application, CPU};

impl Application {
    /// What a tool left of this application: a Deployment with a label and a field that Git does
    /// not have.
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
