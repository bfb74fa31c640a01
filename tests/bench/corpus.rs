//! Two hundred generated applications, changed at random, previewed, merged
//! and synced: what the previews predicted against what came of it.

use std::fmt::Write as _;

use serde_json::json;

use crate::support::{Setup, World};
use crate::{Results, synced};

const APPLICATIONS: usize = 200;
const ROUNDS: usize = 3;

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
    kind: usize,
    how: usize,
    image: usize,
    replicas: usize,
    env: Vec<(usize, usize)>,
    ports: Vec<usize>,
    cpu: usize,
    probe: bool,
    config: Vec<(usize, usize)>,
    secret: Vec<(usize, usize)>,
    labels: Vec<usize>,
    service: bool,
    ingress: bool,
    hpa: bool,
    pdb: bool,
    cron: bool,
}

const CPU: [&str; 5] = ["10m", "0.01", "20m", "0.020", "15m"];

impl Application {
    fn new(number: usize, dice: &mut Dice) -> Self {
        let pairs = |dice: &mut Dice, most: usize| (0..1 + dice.roll(most)).map(|n| (n, dice.roll(100))).collect::<Vec<_>>();
        Self {
            name: format!("c{number:03}"),
            kind: dice.roll(10),
            how: dice.roll(3),
            image: dice.roll(5),
            replicas: dice.roll(2),
            env: pairs(dice, 4),
            ports: vec![80],
            cpu: dice.roll(CPU.len()),
            probe: dice.roll(2) == 0,
            config: pairs(dice, 4),
            secret: pairs(dice, 3),
            labels: vec![],
            service: dice.roll(4) > 0,
            ingress: dice.roll(3) == 0,
            hpa: false,
            pdb: dice.roll(3) == 0,
            cron: dice.roll(4) == 0,
        }
    }

    /// Something that people change.
    fn change(&mut self, dice: &mut Dice) {
        match dice.roll(16) {
            0 | 1 => self.image += 1,
            2 => self.replicas = (self.replicas + 1) % 3,
            3 => self.env.push((self.env.len(), dice.roll(100))),
            4 => drop(self.env.pop()),
            5 => self.ports.push(8000 + self.ports.len()),
            6 => drop((self.ports.len() > 1).then(|| self.ports.pop())),
            7 => self.cpu = dice.roll(CPU.len()),
            8 => self.probe = !self.probe,
            9 => self.config.push((self.config.len(), dice.roll(100))),
            10 => drop(self.config.pop()),
            11 => self.secret.iter_mut().for_each(|(_, value)| *value += 1),
            12 => self.labels.push(self.labels.len()),
            13 => self.service = !self.service,
            14 => self.ingress = !self.ingress,
            _ => self.pdb = !self.pdb,
        }
    }

    fn manifests(&self) -> Vec<(&'static str, String)> {
        let name = &self.name;
        let labels: String = self.labels.iter().map(|n| format!(", l{n}: x")).collect();
        let metadata = format!("metadata: {{name: {name}, labels: {{app: {name}{labels}}}}}");
        let mut container = format!("        - name: app\n          image: app:{}\n", self.image);
        let list = |items: Vec<String>| items.join(", ");
        if !self.env.is_empty() {
            let env = list(self.env.iter().map(|(n, value)| format!("{{name: E{n}, value: 'v{value}'}}")).collect());
            let _ = writeln!(container, "          env: [{env}]");
        }
        let ports = list(self.ports.iter().map(|port| format!("{{containerPort: {port}, name: p{port}}}")).collect());
        let _ = writeln!(container, "          ports: [{ports}]");
        let _ = writeln!(container, "          resources: {{requests: {{cpu: '{}'}}}}", CPU[self.cpu]);
        if self.probe {
            let _ = writeln!(container, "          readinessProbe: {{httpGet: {{path: /, port: 80}}}}");
        }
        let template = format!("  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec:\n      containers:\n{container}");
        let selector = format!("  selector: {{matchLabels: {{app: {name}}}}}\n");
        let workload = match self.kind {
            0..=6 => {
                format!("apiVersion: apps/v1\nkind: Deployment\n{metadata}\nspec:\n  replicas: {}\n{selector}{template}", self.replicas)
            }
            _ => format!(
                "apiVersion: apps/v1\nkind: StatefulSet\n{metadata}\nspec:\n  serviceName: {name}\n  replicas: {}\n{selector}{template}",
                self.replicas
            ),
        };
        let data = |pairs: &[(usize, usize)]| pairs.iter().map(|(n, value)| format!("k{n}: 'v{value}'")).collect::<Vec<_>>().join(", ");
        let mut all = vec![
            ("workload", workload),
            ("config", format!("apiVersion: v1\nkind: ConfigMap\n{metadata}\ndata: {{{}}}\n", data(&self.config))),
            ("secret", format!("apiVersion: v1\nkind: Secret\n{metadata}\nstringData: {{{}}}\n", data(&self.secret))),
        ];
        if self.service {
            all.push((
                "service",
                format!("apiVersion: v1\nkind: Service\n{metadata}\nspec: {{selector: {{app: {name}}}, ports: [{{port: 80}}]}}\n"),
            ));
        }
        if self.ingress {
            all.push(("ingress", format!("apiVersion: networking.k8s.io/v1\nkind: Ingress\n{metadata}\nspec: {{rules: [{{host: {name}.example.com, http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: {name}, port: {{number: 80}}}}}}}}]}}}}]}}\n")));
        }
        if self.hpa {
            all.push(("hpa", format!("apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\n{metadata}\nspec: {{maxReplicas: 3, scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: {name}}}}}\n")));
        }
        if self.pdb {
            all.push(("pdb", format!("apiVersion: policy/v1\nkind: PodDisruptionBudget\n{metadata}\nspec: {{minAvailable: 0, selector: {{matchLabels: {{app: {name}}}}}}}\n")));
        }
        if self.cron {
            all.push(("cron", format!("apiVersion: batch/v1\nkind: CronJob\n{metadata}\nspec: {{schedule: '0 0 1 1 *', jobTemplate: {{spec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: a, image: 'job:{}'}}]}}}}}}}}}}\n", self.image)));
        }
        all
    }

    /// As plain manifests, a kustomization or a chart.
    fn files(&self) -> Vec<(String, String)> {
        let folder = format!("apps/{}/staging", self.name);
        let manifests = self.manifests();
        match self.how {
            0 => manifests.into_iter().map(|(file, text)| (format!("{folder}/{file}.yaml"), text)).collect(),
            1 => {
                let listed: Vec<_> = manifests.iter().map(|(file, _)| format!("{file}.yaml")).collect();
                let mut files: Vec<_> = manifests.into_iter().map(|(file, text)| (format!("{folder}/{file}.yaml"), text)).collect();
                files.push((format!("{folder}/kustomization.yaml"), format!("resources: [{}]\n", listed.join(", "))));
                files
            }
            _ => {
                let mut files: Vec<_> =
                    manifests.into_iter().map(|(file, text)| (format!("{folder}/templates/{file}.yaml"), text)).collect();
                files.push((format!("{folder}/Chart.yaml"), format!("apiVersion: v2\nname: {}\nversion: 0.1.0\n", self.name)));
                files
            }
        }
    }
}

/// `prediction_corpus`: the share of objects that came out as the preview showed them.
pub async fn corpus(results: &mut Results) {
    let world = World::asleep(Setup { direct: true, ..Setup::default() }).await;
    let many = world.namespace("corpus");
    world.kubectl(&["create", "namespace", &many]);
    let own = format!("namespace: \"{}{{application}}-{{stage}}\"", world.prefix);
    let catalog = world.file("windlass.yaml").replace(&own, &format!("namespace: {many}"));
    let mut dice = Dice(1);
    let mut applications: Vec<_> = (0..APPLICATIONS).map(|number| Application::new(number, &mut dice)).collect();
    let gone: Vec<String> = ["staging", "production"]
        .iter()
        .flat_map(|stage| ["kustomization", "namespace", "config", "secret"].map(|file| format!("apps/shop/{stage}/{file}.yaml")))
        .collect();
    let first: Vec<(String, String)> = applications.iter().flat_map(Application::files).collect();
    let mut files: Vec<(&str, Option<&str>)> = first.iter().map(|(path, text)| (path.as_str(), Some(text.as_str()))).collect();
    files.extend(gone.iter().map(|path| (path.as_str(), None)));
    files.push(("windlass.yaml", Some(&catalog)));
    world.start();
    let commit = world.forge.push("acme/config", "main", "ada", "The corpus", &files).unwrap();
    synced(&world, &commit).await;
    for round in 0..ROUNDS {
        let before: std::collections::BTreeMap<_, _> = applications.iter().flat_map(Application::files).collect();
        for application in &mut applications {
            for _ in 0..1 + dice.roll(3) {
                application.change(&mut dice);
            }
        }
        let after: std::collections::BTreeMap<_, _> = applications.iter().flat_map(Application::files).collect();
        let mut changes: Vec<_> = after
            .iter()
            .filter(|(path, text)| before.get(*path) != Some(text))
            .map(|(path, text)| (path.as_str(), Some(text.as_str())))
            .collect();
        changes.extend(before.keys().filter(|path| !after.contains_key(*path)).map(|path| (path.as_str(), None)));
        let number = world.propose("bob", &format!("corpus-{round}"), &changes);
        crate::wait(std::time::Duration::from_secs(300), || !world.comments(number).is_empty()).await;
        world.previewed(number).await;
        world.approve("mia", number);
        let merged = world.as_user("ada", http::Method::PUT, &format!("pulls/{number}/merge"), json!({}));
        synced(&world, merged["sha"].as_str().unwrap()).await;
        world.quiet().await;
    }
    let metrics = crate::metrics(&world).await;
    let read = |outcome: &str| {
        let name = format!("windlass_predictions_total{{outcome=\"{outcome}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&name)?.trim().parse::<f64>().ok()).unwrap_or(0.0)
    };
    let (held, missed) = (read("held"), read("missed"));
    let _ = std::fs::copy(world.windlass.log(), std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("corpus.log"));
    results.note("prediction_corpus_objects", held + missed, "objects");
    let share = 100.0 * held / (held + missed).max(1.0);
    results.add("prediction_corpus", share, "% came out as predicted", "≥ 99.5 %", share >= 99.5);
}
