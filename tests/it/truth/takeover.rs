//! What other tools left is taken over, and nothing else changes.

use serde_json::{Value, json};

use super::that_may_do_everything;
use crate::support::lab::has;
use crate::support::plane;

/// Objects of the kinds that people have, as their files are written: little of them is given, the
/// server fills in the rest.
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
    // Theirs move with annotations and labels too; that no pod was rolled the Deployment's revision
    // says.
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

/// Every kind, left by every tool, put into Git unchanged: taking it over changes nothing but
/// marks, and the next change of one field changes just that. The judge is the object itself,
/// before and after.
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
    world.commit("What is there", &push);
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
    let commit = world.commit("One field each", &push);
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
