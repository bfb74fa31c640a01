//! What is said is so, what is there stays, what is there already can be taken
//! over: the findings of the audits of 2026-11-26 about the core's surroundings.

use http::Method;
use serde_json::{Value, json};

use crate::support::lab::{CONFIG, Lab, deployment, has, has_not};
use crate::support::{Setup, World, plane};

/// A ConfigMap of a name.
fn config(name: &str, more: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}{more}}}\ndata: {{a: '1'}}\n")
}

/// Objects of the kinds that people have, as their files are written: little of them is given, the server fills in the rest.
const KINDS: &str = "
{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {app: a}}, data: {a: '1', b: '2'}}
{apiVersion: v1, kind: Secret, metadata: {name: a}, stringData: {a: '1'}}
{apiVersion: v1, kind: Service, metadata: {name: a, labels: {app: a}}, spec: {selector: {app: a}, ports: [{port: 80, name: http}]}}
{apiVersion: v1, kind: Service, metadata: {name: headless}, spec: {clusterIP: None, selector: {app: a}, ports: [{port: 80}]}}
{apiVersion: v1, kind: Service, metadata: {name: node}, spec: {type: NodePort, selector: {app: a}, ports: [{port: 80}]}}
{apiVersion: v1, kind: ServiceAccount, metadata: {name: a}}
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: a}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}
{apiVersion: v1, kind: LimitRange, metadata: {name: a}, spec: {limits: [{type: Container, max: {cpu: '4'}}]}}
{apiVersion: v1, kind: ResourceQuota, metadata: {name: a}, spec: {hard: {pods: '99'}}}
{apiVersion: v1, kind: Endpoints, metadata: {name: external}, subsets: [{addresses: [{ip: 10.9.9.9}], ports: [{port: 80}]}]}
{apiVersion: v1, kind: ReplicationController, metadata: {name: a, labels: {app: rc}}, spec: {replicas: 0, selector: {app: rc}, template: {metadata: {labels: {app: rc}}, spec: {containers: [{name: a, image: a}]}}}}
{apiVersion: v1, kind: PodTemplate, metadata: {name: a}, template: {metadata: {labels: {app: t}}, spec: {containers: [{name: a, image: a}]}}}
{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, labels: {app: a}}, spec: {replicas: 1, selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: a}}, spec: {containers: [{name: a, image: 'a:1', ports: [{containerPort: 80}], env: [{name: A, value: '1'}]}]}}}}
{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: a}, spec: {replicas: 1, serviceName: headless, selector: {matchLabels: {app: s}}, template: {metadata: {labels: {app: s}}, spec: {containers: [{name: a, image: 'a:1'}]}}}}
{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: a}, spec: {selector: {matchLabels: {app: d}}, template: {metadata: {labels: {app: d}}, spec: {containers: [{name: a, image: 'a:1'}]}}}}
{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: a}, spec: {replicas: 0, selector: {matchLabels: {app: r}}, template: {metadata: {labels: {app: r}}, spec: {containers: [{name: a, image: 'a:1'}]}}}}
{apiVersion: batch/v1, kind: CronJob, metadata: {name: a}, spec: {schedule: '0 0 * * *', jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: a}]}}}}}}
{apiVersion: batch/v1, kind: Job, metadata: {name: a}, spec: {suspend: true, template: {spec: {restartPolicy: Never, containers: [{name: a, image: a}]}}}}
{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: a}, spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: none}, minReplicas: 1, maxReplicas: 2}}
{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: a}, spec: {minAvailable: 1, selector: {matchLabels: {app: a}}}}
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: a}, spec: {rules: [{host: a.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: a, port: {number: 80}}}}]}}]}}
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a}, spec: {podSelector: {}, policyTypes: [Ingress]}}
{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: a}, rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]}
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: a}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: a}, subjects: [{kind: ServiceAccount, name: a, namespace: NAMESPACE}]}
{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: a}, spec: {holderIdentity: a}}
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a}, addressType: IPv4, endpoints: [{addresses: [10.9.9.8]}], ports: [{port: 80}]}
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: NAMESPACE}, rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]}
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: NAMESPACE}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: NAMESPACE}, subjects: [{kind: ServiceAccount, name: a, namespace: NAMESPACE}]}
{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: NAMESPACE}, value: 7}
{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: NAMESPACE}, provisioner: example.com/none}
{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: NAMESPACE}, spec: {controller: example.com/none}}
{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: NAMESPACE}, webhooks: [{name: a.example.com, sideEffects: None, admissionReviewVersions: [v1], failurePolicy: Ignore, clientConfig: {url: 'https://127.0.0.1:1/'}, rules: [{apiGroups: [none.example], apiVersions: [v1], operations: [CREATE], resources: [nones]}]}]}
";

/// How the tools write, and the marks that each leaves.
const TOOLS: [(&str, &[&str], &str); 8] = [
    ("create", &["create"], ""),
    ("apply", &["apply"], ""),
    ("serverside", &["apply", "--server-side"], ""),
    (
        "helm",
        &["create", "--field-manager=helm"],
        "labels: {app.kubernetes.io/managed-by: Helm}, annotations: {meta.helm.sh/release-name: gone, meta.helm.sh/release-namespace: NAMESPACE}",
    ),
    (
        "helmflux",
        &["create", "--field-manager=helm-controller"],
        "labels: {helm.toolkit.fluxcd.io/name: gone, helm.toolkit.fluxcd.io/namespace: flux}",
    ),
    (
        "argo",
        &["apply", "--field-manager=argocd-controller"],
        "annotations: {'argocd.argoproj.io/tracking-id': 'gone:x/y:z/a'}",
    ),
    (
        "argossa",
        &[
            "apply",
            "--server-side",
            "--field-manager=argocd-controller",
        ],
        "annotations: {'argocd.argoproj.io/tracking-id': 'gone:x/y:z/a'}",
    ),
    (
        "flux",
        &[
            "apply",
            "--server-side",
            "--field-manager=kustomize-controller",
        ],
        "labels: {kustomize.toolkit.fluxcd.io/name: gone, kustomize.toolkit.fluxcd.io/namespace: flux}",
    ),
];

/// An object less what the server and we keep of it, and less the marks of tools.
fn bare(object: &Value) -> Value {
    let mut object = object.clone();
    object.as_object_mut().map(|object| object.remove("status"));
    // Theirs move with annotations and labels too; that no pod was rolled the Deployment's revision says.
    let moves = matches!(
        object["kind"].as_str(),
        Some("Deployment" | "EndpointSlice")
    );
    let metadata = object["metadata"].as_object_mut().unwrap();
    for field in ["managedFields", "resourceVersion", "creationTimestamp"] {
        metadata.remove(field);
    }
    if moves {
        metadata.remove("generation");
    }
    for map in ["labels", "annotations"] {
        let Some(entries) = metadata.get_mut(map).and_then(Value::as_object_mut) else {
            continue;
        };
        let marks = [
            "windlass.dev/",
            "fluxcd.io/",
            "argocd.argoproj.io/",
            "meta.helm.sh/",
            "kubectl.kubernetes.io/",
            "app.kubernetes.io/managed-by",
        ];
        entries.retain(|name, _| !marks.iter().any(|mark| name.contains(mark)));
        if entries.is_empty() {
            metadata.remove(map);
        }
    }
    object
}

/// A world whose windlass may write objects of every kind.
async fn that_may_do_everything() -> World {
    let projects = "projects: {acme: {repositories: [acme/config], clusters: [local], namespaces: ['*-staging', '*-production'], kinds: ['*']}}\n";
    let world = World::asleep(Setup {
        projects: Some(projects.into()),
        ..Setup::default()
    })
    .await;
    for account in ["windlass", "windlass-preview"] {
        let subject = format!("--serviceaccount={}:{account}", world.home());
        world.kubectl(&[
            "create",
            "clusterrolebinding",
            &format!("{}{account}", world.prefix),
            "--clusterrole=cluster-admin",
            &subject,
        ]);
    }
    world
}

/// Every kind, left by every tool, put into Git unchanged: taking it over changes nothing but marks, and the next change of
/// one field changes just that. The judge is the object itself, before and after.
#[tokio::test(flavor = "multi_thread")]
async fn what_any_tool_left_of_any_kind_is_taken_over_and_nothing_else_changes() {
    let world = that_may_do_everything().await;
    let home = tempfile::tempdir().unwrap();
    let lines: Vec<_> = KINDS.lines().filter(|line| !line.is_empty()).collect();
    assert!(lines.len() >= 30);
    let (mut files, mut before) = (Vec::new(), Vec::new());
    for (tool, how, marks) in TOOLS {
        let namespace = world.namespace(&format!("{tool}-staging"));
        world.kubectl(&["create", "namespace", &namespace]);
        let text = |marks: &str| {
            let documents = lines.iter().map(|line| {
                let marks = marks.replace("NAMESPACE", &namespace);
                let (mut object, marks): (Value, Value) = (
                    serde_yaml::from_str(&line.replace("NAMESPACE", &namespace)).unwrap(),
                    serde_yaml::from_str(&format!("{{{marks}}}")).unwrap(),
                );
                for (map, entries) in marks.as_object().into_iter().flatten() {
                    for (name, value) in entries.as_object().unwrap() {
                        object["metadata"][map][name] = value.clone();
                    }
                }
                object.to_string()
            });
            documents.collect::<Vec<_>>().join("\n---\n")
        };
        let file = home.path().join(format!("{tool}.yaml"));
        std::fs::write(&file, text(marks)).unwrap();
        plane()
            .kubectl(&[how, &["-n", &namespace, "-f", file.to_str().unwrap()][..]].concat())
            .unwrap();
        let get = || -> Vec<Value> {
            let said = plane().kubectl(&[
                "-n",
                &namespace,
                "get",
                "-f",
                file.to_str().unwrap(),
                "-o",
                "json",
                "--show-managed-fields=false",
            ]);
            serde_json::from_str::<Value>(&said.unwrap()).unwrap()["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(bare)
                .collect()
        };
        before.push((tool, namespace.clone(), file.clone(), get()));
        files.push((format!("apps/{tool}/staging/all.yaml"), text("")));
    }
    let push: Vec<_> = files
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.as_str())))
        .collect();
    world
        .forge
        .push("acme/config", "main", "ada", "What is there", &push)
        .unwrap();
    world.start();
    let status =
        async |tool: &str| world.application(&format!("{tool}.staging")).await["status"].clone();
    for (tool, ..) in &before {
        let status = world
            .until(&format!("{tool} waits to be adopted"), async || {
                let status = status(tool).await;
                status["adoption"].is_array().then_some(status)
            })
            .await;
        assert_eq!(
            status["adoption"].as_array().unwrap().len(),
            lines.len(),
            "{status:#}"
        );
    }
    let said = world.windlass(&["adopt", "--all", "--stage", "staging"]);
    has(
        &said,
        &[
            "argo/staging takes over:",
            "ClusterRole",
            "flux/staging takes over:",
        ],
    );
    for (tool, ..) in &before {
        world
            .until(&format!("{tool} is synced"), async || {
                let status = status(tool).await;
                (status["sync"] == "Synced" && status["adoption"].is_null()).then_some(())
            })
            .await;
    }
    has(
        &world.windlass(&["adopt", "--all", "--stage", "staging"]),
        &["nothing waits to be adopted"],
    );
    let now = |namespace: &str, file: &std::path::Path| -> Vec<Value> {
        let said = plane()
            .kubectl(&[
                "-n",
                namespace,
                "get",
                "-f",
                file.to_str().unwrap(),
                "-o",
                "json",
                "--show-managed-fields=false",
            ])
            .unwrap();
        serde_json::from_str::<Value>(&said).unwrap()["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(bare)
            .collect()
    };
    for (tool, namespace, file, objects) in &before {
        // The generation says that no pod was rolled.
        for (was, is) in objects.iter().zip(now(namespace, file)) {
            assert_eq!(*was, is, "{tool}");
        }
    }
    // The marks of tools that are gone go, and so does what Git drops from now on.
    let changed: Vec<_> = files
        .iter()
        .map(|(path, text)| {
            (
                path.clone(),
                text.replace("\"b\":\"2\"", "\"c\":\"3\"")
                    .replace("\"value\":\"1\"", "\"value\":\"2\""),
            )
        })
        .collect();
    let push: Vec<_> = changed
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.as_str())))
        .collect();
    let commit = world
        .forge
        .push("acme/config", "main", "ada", "One field each", &push)
        .unwrap();
    world
        .until("all are synced to it", async || {
            let mut all = true;
            for (tool, ..) in &before {
                let status = status(tool).await;
                all &= status["syncedRevision"] == commit.as_str();
            }
            all.then_some(())
        })
        .await;
    for (tool, namespace, file, objects) in &before {
        for (was, is) in objects.iter().zip(now(namespace, file)) {
            let mut wanted = was.clone();
            match (was["kind"].as_str(), was["metadata"]["name"].as_str()) {
                (Some("ConfigMap"), _) => wanted["data"] = json!({"a": "1", "c": "3"}),
                (Some("Deployment"), _) => {
                    wanted["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] =
                        "2".into();
                    wanted["metadata"]["annotations"] = is["metadata"]["annotations"].clone();
                }
                _ => {}
            }
            assert_eq!(wanted, is, "{tool}");
            assert!(!is.to_string().contains("tracking-id"), "{tool}: {is}");
        }
    }
}

/// What is deleted without a word is known to be harmless; what a mark keeps stays, whoever's mark it is.
#[tokio::test(flavor = "multi_thread")]
async fn other_tools_marks_keep_and_whatever_is_not_harmless_is_asked_about() {
    let marks = [
        ("helm", "helm.sh/resource-policy: keep"),
        (
            "argo",
            "argocd.argoproj.io/sync-options: 'Prune=false,Delete=false'",
        ),
        ("flux", "kustomize.toolkit.fluxcd.io/prune: disabled"),
    ];
    let mut files: Vec<_> = marks
        .iter()
        .map(|(name, mark)| {
            (
                format!("{name}.yaml"),
                config(name, &format!(", annotations: {{{mark}}}")),
            )
        })
        .collect();
    files.push((
        "asks.yaml".into(),
        config(
            "asks",
            ", annotations: {argocd.argoproj.io/sync-options: Prune=confirm}",
        ),
    ));
    files.push(("plain.yaml".into(), config("plain", "")));
    files.push(("stays.yaml".into(), CONFIG.into()));
    files.push((
        "secret.yaml".into(),
        "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\nstringData: {a: b}\n".into(),
    ));
    files.push((
        "service.yaml".into(),
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{port: 80}]}\n"
            .into(),
    ));
    let lab = Lab::with(
        &files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .collect::<Vec<_>>(),
    )
    .await;
    let gone: Vec<_> = ["helm", "argo", "flux", "asks", "plain", "secret", "service"]
        .iter()
        .map(|name| format!("{name}.yaml"))
        .collect();
    let (number, text) = lab
        .change(
            "less",
            &gone
                .iter()
                .map(|path| (path.as_str(), None))
                .collect::<Vec<_>>(),
        )
        .await;
    has(
        &text,
        &[
            "4 prune",
            "leaves Git but stays in the cluster",
            "helm.sh/resource-policy: keep",
            "Prune=false",
            "prune: disabled",
        ],
    );
    lab.world.as_user(
        "ada",
        Method::PUT,
        &format!("pulls/{number}/merge"),
        json!({}),
    );
    // ConfigMap `asks` asks by its mark, the Secret and the Service by their kinds; `plain` waits with them.
    let status = lab
        .world
        .until("it asks", async || {
            let status = lab.world.application("lab.staging").await["status"].clone();
            status["confirm"].is_string().then_some(status)
        })
        .await;
    let named = status["toConfirm"].to_string();
    has(&named, &["/asks", "/key", "/web"]);
    has(
        status["message"].as_str().unwrap(),
        &["is left: it is marked `helm.sh/resource-policy: keep`"],
    );
    let there = async |kind: &str, plural: &str, name: &str| {
        lab.object("v1", kind, plural, name).await.is_object()
    };
    for name in ["helm", "argo", "flux", "asks"] {
        assert!(there("ConfigMap", "configmaps", name).await, "{name}");
    }
    assert!(there("Secret", "secrets", "key").await && there("Service", "services", "web").await);
    lab.world.comment("mia", number, "/confirm-prune");
    lab.world
        .until("what was confirmed is gone", async || {
            (!there("Secret", "secrets", "key").await).then_some(())
        })
        .await;
    has(
        &lab.world.conversation(number),
        &["deletes `ConfigMap lab-staging/asks`"],
    );
    lab.world
        .until("the rest too", async || {
            (!there("ConfigMap", "configmaps", "plain").await).then_some(())
        })
        .await;
    for name in ["helm", "argo", "flux"] {
        assert!(there("ConfigMap", "configmaps", name).await, "{name}");
    }
}

/// The old one serves until the new one does, and what pods need stays as long as they do.
#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_is_renamed_serves_until_the_new_one_does() {
    let reads = |name: &str| format!("          envFrom: [{{configMapRef: {{name: {name}}}}}]\n");
    let lab = Lab::with(&[
        ("deployment.yaml", &deployment("", &reads("settings-one"))),
        ("config.yaml", &config("settings-one", "")),
    ])
    .await;
    let renamed = deployment("", &reads("settings-two"))
        .replacen("metadata: {name: lab}", "metadata: {name: renamed}", 1)
        .replace("lab:1", "lab:broken-1");
    let files = [
        ("deployment.yaml", None),
        ("renamed.yaml", Some(renamed.as_str())),
        ("config.yaml", None),
        ("two.yaml", Some(&*config("settings-two", ""))),
    ];
    let (number, _) = lab.change("rename", &files).await;
    lab.world.approve("mia", number);
    lab.world.gate_says(number, "person").await;
    let why = lab.merge(number, "failure").await;
    has(&why, &["pod renamed", "in container lab"]);
    let serves = async || lab.deployment().await["status"]["readyReplicas"] == 2;
    assert!(serves().await, "the old one serves");
    let old = async || {
        lab.object("v1", "ConfigMap", "configmaps", "settings-one")
            .await
            .is_object()
    };
    assert!(old().await, "and what it reads is there");
    has(
        &lab.world.application("lab.staging").await["status"]["message"].to_string(),
        &["is deleted once the application is healthy without it"],
    );
    let fixed = renamed.replace("lab:broken-1", "lab:2");
    let (fix, _) = lab.change("fix", &[("renamed.yaml", Some(&fixed))]).await;
    // What the first pull request took out was approved with it: nobody is asked again.
    lab.world.approve("mia", fix);
    lab.world.gate_says(fix, "person").await;
    lab.world
        .as_user("ada", Method::PUT, &format!("pulls/{fix}/merge"), json!({}));
    lab.world
        .until("the new one serves", async || {
            let live = lab
                .object("apps/v1", "Deployment", "deployments", "renamed")
                .await;
            (live["status"]["readyReplicas"] == 2).then_some(())
        })
        .await;
    lab.world
        .until("the old one is gone", async || {
            lab.deployment().await.is_null().then_some(())
        })
        .await;
    lab.world
        .until("and what it read", async || (!old().await).then_some(()))
        .await;
    // A roll-out that failed stays failed, whatever comes after it.
    let commit = lab.world.merged(number).await;
    lab.world
        .until("it stays a failure", async || {
            let (state, text) = lab.world.status(&commit, "windlass/sync")?;
            (state == "failure" && text.contains("broken") | text.contains("pod renamed"))
                .then_some(())
        })
        .await;
    lab.world
        .until("the comment too", async || {
            lab.world
                .conversation(number)
                .contains("failed, then superseded")
                .then_some(())
        })
        .await;
}

/// What cannot be looked at is not gone: it stays in the inventory, and is found again.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_finalizer_holds_is_pending_with_its_name() {
    let lab = Lab::with(&[
        ("config.yaml", CONFIG),
        (
            "held.yaml",
            &config("held", ", finalizers: [example.com/hold]"),
        ),
    ])
    .await;
    let commit = lab
        .world
        .forge
        .push(
            "acme/config",
            "main",
            "ada",
            "No held",
            &[("apps/lab/staging/held.yaml", None)],
        )
        .unwrap();
    let why = lab
        .world
        .until("it is pending, with the finalizer's name", async || {
            let status = lab.world.application("lab.staging").await["status"].clone();
            status["message"]
                .as_str()
                .filter(|text| text.contains("example.com/hold"))
                .map(str::to_string)
        })
        .await;
    has(&why, &["is being deleted, and waits for example.com/hold"]);
    assert_eq!(
        lab.world.status(&commit, "windlass/sync").unwrap().0,
        "pending"
    );
    lab.kubectl(&[
        "patch",
        "configmap/held",
        "--type=merge",
        "-p",
        r#"{"metadata":{"finalizers":null}}"#,
    ]);
    lab.world.sync_status(&commit, "success").await;
}

/// The control plane fills in the rules of an aggregated role; nobody wipes them.
#[tokio::test(flavor = "multi_thread")]
async fn an_aggregated_role_is_left_to_the_control_plane() {
    let world = that_may_do_everything().await;
    let (all, part) = (
        format!("{}all", world.prefix),
        format!("{}part", world.prefix),
    );
    let role = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: {all}}}\naggregationRule: {{clusterRoleSelectors: [{{matchLabels: {{to: {all}}}}}]}}\nrules: []\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: {part}, labels: {{to: {all}}}}}\nrules: [{{apiGroups: [''], resources: [pods], verbs: [get]}}]\n"
    );
    let namespace = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {}}}\n",
        world.namespace("roles-staging")
    );
    let files = [
        ("apps/roles/staging/roles.yaml", Some(role.as_str())),
        (
            "apps/roles/staging/namespace.yaml",
            Some(namespace.as_str()),
        ),
    ];
    let commit = world
        .forge
        .push("acme/config", "main", "ada", "Roles", &files)
        .unwrap();
    world.start();
    world.sync_status(&commit, "success").await;
    let rules = async || {
        world
            .get(
                "rbac.authorization.k8s.io/v1",
                "ClusterRole",
                "clusterroles",
                "",
                &all,
            )
            .await
            .unwrap()["rules"]
            .clone()
    };
    world
        .until("the rules are filled in", async || {
            (rules().await[0]["resources"] == json!(["pods"])).then_some(())
        })
        .await;
    world.quiet().await;
    let version = async || {
        world
            .get(
                "rbac.authorization.k8s.io/v1",
                "ClusterRole",
                "clusterroles",
                "",
                &all,
            )
            .await
            .unwrap()["metadata"]["resourceVersion"]
            .clone()
    };
    let before = version().await;
    let more = config("more", "");
    let number = world.propose(
        "bob",
        "more",
        &[("apps/roles/staging/more.yaml", Some(&more))],
    );
    world.previewed(number).await;
    let text = world.conversation(number);
    has(&text, &["1 create"]);
    has_not(&text, &["rules", "would be set back", "sets back"]);
    let merged = world.as_user(
        "ada",
        Method::PUT,
        &format!("pulls/{number}/merge"),
        json!({}),
    )["sha"]
        .as_str()
        .unwrap()
        .to_string();
    world.sync_status(&merged, "success").await;
    assert_eq!(
        (version().await, rules().await[0]["verbs"].clone()),
        (before, json!(["get"]))
    );
}

/// Whoever scales and is no person has the replicas, also when there are none; and a hand-over ends no pods.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_left_to_every_autoscaler_and_handed_over_without_a_default() {
    let lab = Lab::with(&[
        ("deployment.yaml", &deployment("", "")),
        ("config.yaml", CONFIG),
    ])
    .await;
    let replicas = async || lab.deployment().await["spec"]["replicas"].clone();
    lab.kubectl(&[
        "patch",
        "deployment/lab",
        "--subresource=scale",
        "--type=merge",
        "--field-manager=keda",
        "-p",
        r#"{"spec":{"replicas":4}}"#,
    ]);
    let (number, text) = lab
        .change(
            "config",
            &[(
                "deployment.yaml",
                Some(&deployment("", "").replace("lab:1", "lab:2")),
            )],
        )
        .await;
    has(&text, &["left to others: 1", "`.spec.replicas` (`keda`)"]);
    lab.merge(number, "success").await;
    assert_eq!(replicas().await, 4);
    // Git hands the count over to an autoscaler: the server's default would end all pods but one.
    lab.kubectl(&["scale", "deployment/lab", "--replicas=2"]);
    lab.world.quiet().await;
    let handed = deployment("", "")
        .replace("  replicas: 2\n", "")
        .replace("lab:1", "lab:2");
    let scaler = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: lab}\nspec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: lab}, minReplicas: 2, maxReplicas: 9}\n";
    let before = replicas().await;
    let (number, text) = lab
        .change(
            "hand-over",
            &[
                ("deployment.yaml", Some(&handed)),
                ("scaler.yaml", Some(scaler)),
            ],
        )
        .await;
    has_not(&text, &["replicas: 1"]);
    lab.merge(number, "success").await;
    assert_eq!(replicas().await, before);
}

/// A Job that took itself away after it ended has run: it does not run again until Git changes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_took_itself_away_is_done() {
    let job = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: migrate}\nspec:\n  ttlSecondsAfterFinished: 0\n  template: {spec: {restartPolicy: Never, containers: [{name: a, image: a}]}}\n";
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let (number, _) = lab.change("job", &[("job.yaml", Some(job))]).await;
    lab.world.as_user(
        "ada",
        Method::PUT,
        &format!("pulls/{number}/merge"),
        json!({}),
    );
    let live = async || lab.object("batch/v1", "Job", "jobs", "migrate").await;
    lab.world
        .until("the Job is there", async || {
            live().await.is_object().then_some(())
        })
        .await;
    // Simulated nodes run no Job to its end: it is told to have.
    lab.kubectl(&["delete", "job/migrate", "--wait=true"]);
    let commit = lab.world.merged(number).await;
    lab.world.sync_status(&commit, "success").await;
    lab.world.quiet().await;
    assert!(live().await.is_null(), "it is not made anew");
}

/// A kind that is served under another version is named by it.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_served_no_more_is_named_and_a_hook_may_have_a_generated_name() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let night = "apiVersion: batch/v1beta1\nkind: CronJob\nmetadata: {name: night}\nspec: {schedule: '0 0 * * *', jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: a}]}}}}}\n";
    let (_, text) = lab.change("old", &[("night.yaml", Some(night))]).await;
    has(
        &text,
        &[
            "the cluster does not serve CronJob as batch/v1beta1: it is served as batch/v1",
            "apps/lab/staging/night.yaml:1",
        ],
    );
    has_not(&text, &["CustomResourceDefinition"]);
    let hook = "apiVersion: batch/v1\nkind: Job\nmetadata:\n  generateName: migrate-\n  annotations: {argocd.argoproj.io/hook: PreSync}\nspec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: a}]}}}\n";
    let (_, text) = lab.change("hook", &[("hook.yaml", Some(hook))]).await;
    has(&text, &["1 hook", "Job lab-staging/migrate-"]);
    let (_, text) = lab
        .change(
            "kept",
            &[(
                "kept.yaml",
                Some(&hook.replace("argocd.argoproj.io/hook", "a.example/b")),
            )],
        )
        .await;
    has(&text, &["only a hook may have generateName"]);
}

/// What cannot be changed is named; a claim is never created anew, a StatefulSet without its pods.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_changed_is_named_and_no_pods_or_data_go_with_it() {
    let set = |storage: &str, more: &str| {
        format!(
            "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {{name: db{more}}}\nspec:\n  replicas: 2\n  serviceName: db\n  selector: {{matchLabels: {{app: db}}}}\n  template:\n    metadata: {{labels: {{app: db}}}}\n    spec: {{containers: [{{name: db, image: 'db:1'}}]}}\n  volumeClaimTemplates:\n    - metadata: {{name: data}}\n      spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: {storage}}}}}}}\n"
        )
    };
    let claim = |size: &str| {
        format!(
            "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: own}}\nspec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: {size}}}}}}}\n"
        )
    };
    let world_files = [
        ("set.yaml", set("1Gi", "")),
        ("claim.yaml", claim("2Gi")),
        ("config.yaml", CONFIG.to_string()),
    ];
    // Claims without a volume bind to none: the StatefulSet's pods wait. What counts here is who they are.
    let world = World::asleep(Setup::default()).await;
    let namespace = world.namespace("lab-staging");
    let mut files = vec![(
        "apps/lab/staging/namespace.yaml".to_string(),
        format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n"),
    )];
    files.extend(
        world_files
            .iter()
            .map(|(name, text)| (format!("apps/lab/staging/{name}"), text.clone())),
    );
    let push: Vec<_> = files
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.as_str())))
        .collect();
    world
        .forge
        .push("acme/config", "main", "ada", "The lab", &push)
        .unwrap();
    world.start();
    let lab = Lab { world };
    lab.world
        .until("it is applied", async || {
            (lab.world.application("lab.staging").await["status"]["sync"] == "Synced").then_some(())
        })
        .await;
    let (_, text) = lab
        .change("shrink", &[("claim.yaml", Some(&claim("1Gi")))])
        .await;
    has(&text, &["A claim is never created anew"]);
    has_not(&text, &["windlass.dev/recreate"]);
    let (_, text) = lab
        .change("grow", &[("set.yaml", Some(&set("2Gi", "")))])
        .await;
    has(
        &text,
        &[
            ".spec.volumeClaimTemplates[0].spec.resources.requests.storage cannot be changed from 1Gi to 2Gi",
            "keep 1Gi",
            "its pods go on",
        ],
    );
    let permission = text
        .split("windlass.dev/recreate: ")
        .nth(1)
        .unwrap()
        .split('`')
        .next()
        .unwrap()
        .to_string();
    let pods = async || {
        let all = lab.world.list("v1", "Pod", "pods", &lab.namespace()).await;
        all.iter()
            .map(|pod| pod["metadata"]["uid"].to_string())
            .collect::<Vec<_>>()
    };
    let before = lab
        .world
        .until("a pod", async || {
            Some(pods().await).filter(|all| !all.is_empty())
        })
        .await;
    let allowed = set(
        "2Gi",
        &format!(", annotations: {{windlass.dev/recreate: '{permission}'}}"),
    );
    let (number, text) = lab.change("allowed", &[("set.yaml", Some(&allowed))]).await;
    has(&text, &["its pods go on meanwhile", "keep 1Gi"]);
    lab.world.as_user(
        "ada",
        Method::PUT,
        &format!("pulls/{number}/merge"),
        json!({}),
    );
    lab.world
        .until("it is the new one", async || {
            let live = lab
                .object("apps/v1", "StatefulSet", "statefulsets", "db")
                .await;
            (live["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"]
                == "2Gi")
                .then_some(())
        })
        .await;
    assert_eq!(pods().await, before, "no pod ended");
    // The permission named that change and no other.
    let (_, text) = lab
        .change(
            "again",
            &[("set.yaml", Some(&allowed.replace("2Gi", "3Gi")))],
        )
        .await;
    has(&text, &["cannot be applied", "windlass.dev/recreate: "]);
}

/// What cannot be read, before and after, is a failure of whoever changes it: never "no application changes".
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_on_either_side_is_never_no_change() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let remote = "resources: [config.yaml, 'https://example.com/base?ref=1']\n";
    lab.world
        .forge
        .push(
            "acme/config",
            "main",
            "ada",
            "A remote base",
            &[("apps/lab/staging/kustomization.yaml", Some(remote))],
        )
        .unwrap();
    let (number, text) = lab
        .change(
            "less",
            &[("config.yaml", Some(&CONFIG.replace("'1'", "'2'")))],
        )
        .await;
    has_not(&text, &["No application changes"]);
    has(&text, &["example.com"]);
    assert_eq!(lab.world.previewed(number).await["conclusion"], "failure");
    // Who changes something else is not to blame.
    let other = lab.world.propose(
        "bob",
        "other",
        &[(
            "apps/shop/staging/config.yaml",
            Some(
                &lab.world
                    .file("apps/shop/staging/config.yaml")
                    .replace("hello", "hi"),
            ),
        )],
    );
    assert_eq!(lab.world.previewed(other).await["conclusion"], "success");
}

/// The pull request that brings applications, with the rules that make them ones, previews them as what they will be; one
/// that takes a rule away lists what stays behind.
#[tokio::test(flavor = "multi_thread")]
async fn the_pull_request_that_brings_applications_previews_them() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let catalog = lab.world.file("windlass.yaml");
    let namespace = lab.world.namespace("fresh-staging");
    let rule = format!(
        "applications:\n  - name: fresh\n    path: fresh/{{stage}}\n    namespace: {}fresh-{{stage}}\n",
        lab.world.prefix
    );
    let ruled = catalog.replacen("applications:\n", &rule, 1);
    let files = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n---\n{}",
        config("first", "")
    );
    let number = lab.world.propose(
        "bob",
        "fresh",
        &[
            ("windlass.yaml", Some(&ruled)),
            ("fresh/staging/all.yaml", Some(&files)),
        ],
    );
    lab.world.previewed(number).await;
    let text = lab.world.conversation(number);
    has(
        &text,
        &[
            "**fresh/staging** on `local`",
            "2 create",
            "This application is not on the base branch",
            "ConfigMap fresh-staging/first",
        ],
    );
    let without = catalog.replacen(
        "  - path: apps/{application}/{stage}\n",
        "  - path: others/{application}/{stage}\n",
        1,
    );
    let number = lab
        .world
        .propose("bob", "without", &[("windlass.yaml", Some(&without))]);
    lab.world.previewed(number).await;
    has(
        &lab.world.conversation(number),
        &["The application leaves Git", "`ConfigMap lab`"],
    );
}

/// Who merges before the gate is green has that said where everybody reads it.
#[tokio::test(flavor = "multi_thread")]
async fn a_merge_past_the_gate_is_said_in_the_thread() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let (number, _) = lab
        .change(
            "past",
            &[("config.yaml", Some(&CONFIG.replace("'1'", "'2'")))],
        )
        .await;
    lab.world.gate_says(number, "0 of 1 approvals").await;
    lab.merge(number, "success").await;
    let said = "It was merged while `windlass/gate` was not green: 0 of 1 approvals";
    lab.world
        .until("the thread says so", async || {
            lab.world.conversation(number).contains(said).then_some(())
        })
        .await;
}

/// An object whose version is served no more is looked up under one that is; one that may not be read just now is not gone.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_under_another_version_is_not_gone() {
    let lab = Lab::with(&[("config.yaml", CONFIG)]).await;
    let group = format!("{}moved.example", lab.world.prefix);
    lab.may_write(&group, "things");
    let schema =
        "schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}";
    let definition = |versions: &[(&str, bool, bool)]| {
        let versions: Vec<_> = versions
            .iter()
            .map(|(name, served, storage)| {
                format!("{{name: {name}, served: {served}, storage: {storage}, {schema}}}")
            })
            .collect();
        format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: things.{group}}}\nspec:\n  group: {group}\n  scope: Namespaced\n  names: {{kind: Thing, plural: things}}\n  versions: [{}]\n",
            versions.join(", ")
        )
    };
    lab.with_file(
        &["apply"],
        &definition(&[("v1alpha1", true, false), ("v1", true, true)]),
    );
    lab.world.kubectl(&[
        "wait",
        "--for=condition=Established",
        &format!("crd/things.{group}"),
        "--timeout=30s",
    ]);
    let thing = format!("apiVersion: {group}/v1alpha1\nkind: Thing\nmetadata: {{name: lab}}\n");
    let (number, _) = lab.change("thing", &[("thing.yaml", Some(&thing))]).await;
    lab.merge(number, "success").await;
    lab.with_file(
        &["apply"],
        &definition(&[("v1alpha1", false, false), ("v1", true, true)]),
    );
    lab.world
        .until("the old version is served no more", async || {
            plane()
                .kubectl(&["get", "--raw", &format!("/apis/{group}/v1alpha1/things")])
                .is_err()
                .then_some(())
        })
        .await;
    lab.world.kill();
    lab.world
        .forge
        .push(
            "acme/config",
            "main",
            "ada",
            "No thing",
            &[("apps/lab/staging/thing.yaml", None)],
        )
        .unwrap();
    lab.world.start();
    let status = async || lab.world.application("lab.staging").await["status"].clone();
    let named = lab
        .world
        .until("its deletion asks", async || {
            status().await["toConfirm"][0].as_str().map(str::to_string)
        })
        .await;
    assert!(named.starts_with("Thing "), "{named}");
    // While nobody may read it, it stays known.
    lab.world.kubectl(&["delete", "clusterrole", &group]);
    lab.world.comment("ada", number, "/sync");
    lab.world
        .until("it cannot be told", async || {
            status().await["message"]
                .as_str()?
                .contains("whether it is still there cannot be told")
                .then_some(())
        })
        .await;
    assert!(status().await["inventory"].to_string().contains("Thing"));
    lab.may_write(&group, "things");
    lab.world.windlass(&["sync", "lab/staging"]);
    lab.world
        .until("it asks again", async || {
            status().await["toConfirm"][0].as_str().map(drop)
        })
        .await;
    assert_eq!(
        lab.world.windlass(&["confirm-prune", "lab/staging"]),
        format!("lab/staging deletes:\n  {named}\n")
    );
    lab.world
        .until("it is gone", async || {
            lab.object(&format!("{group}/v1"), "Thing", "things", "lab")
                .await
                .is_null()
                .then_some(())
        })
        .await;
}

/// Order and interruption are part of what a preview says: renames, autoscalers, definitions that their own objects no
/// longer fit, kinds of which nobody says when they are healthy.
#[tokio::test(flavor = "multi_thread")]
async fn order_and_interruption_are_forecast() {
    let scaler = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: lab}\nspec:\n  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: lab}\n  minReplicas: 2\n  maxReplicas: 9\n";
    let lab = Lab::with(&[
        ("config.yaml", CONFIG),
        ("deployment.yaml", &deployment("", "")),
    ])
    .await;
    let group = format!("{}sizes.example", lab.world.prefix);
    lab.may_write(&group, "sizes");
    let definition = |most: u32| {
        format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: sizes.{group}}}\nspec:\n  group: {group}\n  scope: Namespaced\n  names: {{kind: Size, plural: sizes}}\n  versions: [{{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object, properties: {{spec: {{type: object, properties: {{size: {{type: integer, maximum: {most}}}}}}}}}}}}}}}]\n"
        )
    };
    let size =
        format!("apiVersion: {group}/v1\nkind: Size\nmetadata: {{name: lab}}\nspec: {{size: 7}}\n");
    let renamed = deployment("", "").replace("{name: lab}", "{name: newlab}");
    let (number, text) = lab
        .change(
            "first",
            &[
                ("definition.yaml", Some(&definition(9))),
                ("size.yaml", Some(&size)),
            ],
        )
        .await;
    has(
        &text,
        &[&format!(
            "No rule says when `Size.{}` is healthy",
            lab.world.scrub(&group)
        )],
    );
    lab.merge(number, "success").await;
    let conditions = lab.world.application("lab.staging").await["status"]["conditions"].to_string();
    has(
        &conditions,
        &[&format!(
            "no rule says when Size.{group} is healthy: what its status says of itself counted"
        )],
    );
    // Not in the diff: the object itself does not change.
    let (_, text) = lab
        .change("tighter", &[("definition.yaml", Some(&definition(5)))])
        .await;
    has(
        &text,
        &["1 of this application's live objects would not be valid any more: Size lab-staging/lab"],
    );
    let (_, text) = lab
        .change("renamed", &[("deployment.yaml", Some(&renamed))])
        .await;
    has(
        &text,
        &[
            "comes for Deployment lab-staging/lab, which goes once this is healthy: until then both run",
            "its 2 pods end once the rest of the change is healthy",
        ],
    );
    let handed = deployment("", "").replace("  replicas: 2\n", "");
    let (_, text) = lab
        .change(
            "scaled",
            &[
                ("scaler.yaml", Some(scaler)),
                ("deployment.yaml", Some(&handed)),
            ],
        )
        .await;
    has(
        &text,
        &[
            "keeps Deployment lab between 2 and 9 pods, whatever Git says of its replicas",
            "`Deployment lab-staging/lab`: `.spec.replicas` (`HorizontalPodAutoscaler lab`)",
        ],
    );
    let (_, text) = lab
        .change(
            "fewer",
            &[(
                "deployment.yaml",
                Some(&deployment("", "").replace("replicas: 2", "replicas: 1")),
            )],
        )
        .await;
    has(&text, &["1 pod ends: 1 in the place of 2"]);
}
